package app

import (
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/mycore"
)

// validator judges documents, those that come in and those that somebody asks
// about: by FHIR R4 and by MY Core's profiles in a line.
func validator(base string, line mycore.Line) *mycore.Validator {
	return mycore.NewValidator(line, validate.Options{Base: base})
}
