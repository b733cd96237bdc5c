package terminology_test

import (
	"testing"

	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

const (
	genders      = "http://hl7.org/fhir/ValueSet/administrative-gender"
	genderSystem = "http://hl7.org/fhir/administrative-gender"
	actEncounter = "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode"
	actCode      = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
)

func BenchmarkContains(b *testing.B) {
	s := service(b, terminology.Options{})
	for b.Loop() {
		set, err := s.Set(actEncounter)
		if err != nil || set.Contains(actCode, "VR") != terminology.In {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s := service(b, terminology.Options{})
	q := terminology.Check{Codings: []terminology.Coding{{System: actCode, Code: "VR", Display: "virtual"}}}
	for b.Loop() {
		set, err := s.Set(actEncounter)
		if err != nil {
			b.Fatal(err)
		}
		if v, err := set.Check(q); err != nil || !v.Result {
			b.Fatal(v, err)
		}
	}
}

func BenchmarkExpand(b *testing.B) {
	s := service(b, terminology.Options{})
	for b.Loop() {
		set, err := s.Set(actEncounter)
		if err != nil {
			b.Fatal(err)
		}
		if x, err := set.Expand(terminology.Page{Filter: "virt"}); err != nil || x.Total != 1 {
			b.Fatal(x, err)
		}
	}
}
