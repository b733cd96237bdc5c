package app

import (
	"slices"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/mycore"
)

func TestSearchTerms(t *testing.T) {
	s := searchTerms{mycore.Terms(), func() string { return "http://127.0.0.1/baseR4/" }}
	virtual := search.Coding{System: mycore.SystemServiceType, Code: "VCI"}
	for _, c := range []struct {
		valueSet string
		has      search.Coding
		count    int // -1: not asked
		complete bool
		want     fhir.Code
	}{
		{valueSet: mycore.Root + "ValueSet/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: mycore.Root + "Valueset/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: mycore.Root + "ValueSet/service-type-my-core|1.0.0", has: virtual, count: 16, complete: true},
		{valueSet: "ValueSet/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: "http://127.0.0.1/baseR4/ValueSet/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: "ValueSet/administrative-gender", has: search.Coding{System: "http://hl7.org/fhir/administrative-gender", Code: "other"}, count: 4, complete: true},
		{valueSet: "http://hl7.org/fhir/ValueSet/condition-code", has: search.Coding{System: "http://snomed.info/sct", Code: "160245001"}, count: -1},
		{valueSet: mycore.Root + "ValueSet/service-type-my-core|9", want: fhir.CodeNotFound},
		{valueSet: "http://example.org/none", want: fhir.CodeNotFound},
		{valueSet: "", want: fhir.CodeNotFound},
	} {
		codes, complete, err := s.Codes(c.valueSet)
		if c.want != "" {
			if err == nil || fhir.CodeOf(err) != c.want {
				t.Errorf("%s: %v, want %s", c.valueSet, err, c.want)
			}
			continue
		}
		if err != nil || complete != c.complete || c.count >= 0 && len(codes) != c.count || !slices.Contains(codes, c.has) {
			t.Errorf("%s: %d codes, complete %v, %v", c.valueSet, len(codes), complete, err)
		}
	}
	const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	for _, c := range []struct {
		system, code string
		below        bool
		want         []string // nil: not found
	}{
		{actCode, "IMP", true, []string{"IMP", "ACUTE", "NONAC"}},
		{actCode, "ACUTE", false, []string{"ACUTE", "IMP", "_ActEncounterCode", "_ActCareProvisionCode"}},
		{mycore.Root + "ValueSet/service-type-my-core", "VCI", true, []string{"VCI"}},
		{actCode, "none", true, nil},
		{"http://loinc.org", "8480-6", true, nil},
	} {
		list, err := s.Subtree(c.system, c.code, c.below)
		if c.want == nil {
			if err == nil || fhir.CodeOf(err) != fhir.CodeNotFound {
				t.Errorf("%s: %v", c.code, err)
			}
			continue
		}
		var codes []string
		for _, l := range list {
			codes = append(codes, l.Code)
		}
		if err != nil || !slices.Equal(codes, c.want) {
			t.Errorf("%s: %v %v, want %v", c.code, codes, err, c.want)
		}
	}
}
