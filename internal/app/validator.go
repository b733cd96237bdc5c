package app

import (
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/subscription"
	"github.com/jumpa-hie/jumpa/mycore"
)

// validator judges documents, those that come in and those that somebody asks
// about: by FHIR R4, by MY Core's profiles in a line, and Subscriptions by those
// of the backport.
func validator(base string, line mycore.Line) *mycore.Validator {
	v := mycore.NewValidator(line, validate.Options{Base: base})
	if err := v.Engine().AddProfiles(subscription.Definitions()...); err != nil {
		panic("app: " + err.Error()) // the profiles are the program's own
	}
	return v
}
