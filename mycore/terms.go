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

// valueSetNamed gives a value set for validation, where one is known.
func valueSetNamed(url string) (validate.Codes, bool) {
	set, err := Terms().Set(url)
	return codesOf{set}, err == nil
}

// codesOf lets pass what nobody can call wrong.
type codesOf struct{ *terminology.Set }

func (c codesOf) Has(system, code string) bool {
	return c.Contains(system, code) != terminology.Out
}

// Some gives codes for messages.
func (c codesOf) Some(most int) (names []string) {
	all := c.Codings()
	for _, coding := range all[:min(len(all), most)] {
		names = append(names, coding.Code)
	}
	return names
}

func (c codesOf) HasCode(code string) bool { return c.Set.HasCode(code) || !c.Complete() }

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
