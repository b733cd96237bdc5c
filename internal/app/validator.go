package app

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/mycore"
)

// validator judges documents by FHIR R4 and MY Core's profiles, for those who
// ask with $validate.
func validator(base string) (*validate.Validator, error) {
	v := validate.New(validate.Options{Base: base, ValueSets: codesOf})
	for _, doc := range mycore.Definitions() {
		if doc.Type() != "StructureDefinition" {
			continue
		}
		if err := v.AddProfile(doc); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// codesOf gives the value sets of MY Core: each holds all codes of one system.
func codesOf(url string) (validate.Codes, bool) {
	system := strings.Replace(url, "/ValueSet/", "/CodeSystem/", 1)
	return codeSystem(system), mycore.Known(system)
}

type codeSystem string

func (s codeSystem) HasCode(code string) bool { return mycore.ValidCode(string(s), code) }

func (s codeSystem) Has(system, code string) bool {
	return mycore.Normalize(system) == string(s) && s.HasCode(code)
}
