package mycore

import (
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

// Terms knows the code systems and value sets of MY Core, in every spelling that
// was published, and those of FHIR R4.
var Terms = sync.OnceValue(func() *terminology.Service {
	s, err := terminology.New(terminology.Options{Documents: Definitions(), Normalize: Normalize})
	if err != nil {
		panic("mycore: " + err.Error()) // the definitions are this package's own
	}
	return s
})

// judgeCode tells whether a code system has a code under a display. The
// displays of MY Core are not compared: the guide's samples have wrong ones.
func judgeCode(system, code, display string) validate.CodeFault {
	cs, known := Terms().CodeSystem(system)
	if !known {
		return validate.NoFault
	}
	switch _, found := cs.Find(code); {
	case !found && cs.Complete():
		return validate.NoSuchCode
	case !found || display == "" || strings.HasPrefix(cs.URL, Root):
		return validate.NoFault
	}
	v, err := Terms().Check(cs, terminology.Check{Codings: []terminology.Coding{{System: system, Code: code, Display: display}}, Abstract: true})
	if err == nil && !v.Result {
		return validate.WrongDisplay
	}
	return validate.NoFault
}
