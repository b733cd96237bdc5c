package search

import (
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Every parameter of every type has one definition, each of which has an id of
// its own and an expression that can be read.
func TestDefinitions(t *testing.T) {
	ids := map[string]bool{}
	of := map[*Definition]int{}
	for _, typ := range Types() {
		for _, code := range Codes(typ) {
			d, ok := DefinitionOf(typ, code)
			if !ok || d.Code != code || !slices.Contains(d.Base, typ) && !slices.Contains(d.Base, "Resource") && !slices.Contains(d.Base, "DomainResource") {
				t.Fatalf("%s.%s: %+v", typ, code, d)
			}
			of[d]++
		}
	}
	for _, d := range Definitions() {
		if ids[d.ID] || of[d] == 0 {
			t.Errorf("%s: twice, or of nothing: %d", d.ID, of[d])
		}
		ids[d.ID] = true
		if _, ok := r4.SearchParameterByURL(d.URL); ok != d.R4 {
			t.Errorf("%s: %v", d.URL, d.R4)
		}
		if _, err := fhirpath.Compile(d.Expression); err != nil && d.Expression != "" {
			t.Errorf("%s: %s: %v", d.ID, d.Expression, err)
		}
		for path := range strings.SplitSeq(d.Expression, " | ") {
			typ, below, _ := strings.Cut(path, ".")
			if d.R4 || strings.Contains(below, "(") {
				continue // not a plain path
			}
			if of, ok := r4.LookupType(typ); !ok {
				t.Errorf("%s: no type %s", d.ID, typ)
			} else if _, _, ok := of.Element(below); !ok {
				t.Errorf("%s: %s has no %s", d.ID, typ, below)
			}
		}
		if d.Expression == "" && !strings.HasPrefix(d.Code, "_") {
			t.Errorf("%s has no expression", d.ID)
		}
	}
}

func TestDefinitionsSayWhatIsThere(t *testing.T) {
	for _, tt := range []struct{ typ, code, url, expression, base, targets, modifiers, comparators string }{
		{"Patient", "birthdate", "http://hl7.org/fhir/SearchParameter/individual-birthdate", "Patient.birthDate | Person.birthDate | RelatedPerson.birthDate", "Patient Person RelatedPerson", "", "missing", "eq ne gt ge lt le sa eb ap"},
		{"Patient", "name", "http://hl7.org/fhir/SearchParameter/Patient-name", "Patient.name", "Patient", "", "missing exact contains", ""},
		{"Encounter", "rating", "http://fhir.hie.moh.gov.my/SearchParameter/Encounter-rating",
			"Encounter.extension('http://fhir.hie.moh.gov.my/StructureDefinition/encounter-rating-my-core').extension('rating').value", "Encounter", "", "missing not text in not-in below above of-type", ""},
		{"Encounter", "cid-reference", "http://fhir.hie.moh.gov.my/SearchParameter/ChargeItem-cid-reference",
			"ChargeItem.extension('http://fhir.hie.moh.gov.my/StructureDefinition/charge-item-definition-reference-my-core').value | Encounter.extension('http://fhir.hie.moh.gov.my/StructureDefinition/charge-item-definition-reference-my-core').value",
			"ChargeItem Encounter", "ChargeItemDefinition", "missing type identifier", ""},
		{"Slot", "schedule", "http://hl7.org/fhir/SearchParameter/Slot-schedule", "Slot.schedule", "Slot", "Schedule", "missing type identifier", ""},
		{"ValueSet", "url", "http://hl7.org/fhir/SearchParameter/conformance-url", "", "", "", "missing below above", ""},
		{"Basic", "_lastUpdated", "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated", "Resource.meta.lastUpdated", "Resource", "", "", "eq ne gt ge lt le sa eb ap"},
		{"Basic", "_id", "http://hl7.org/fhir/SearchParameter/Resource-id", "Resource.id", "Resource", "", "not", ""},
	} {
		d, ok := DefinitionOf(tt.typ, tt.code)
		if !ok {
			t.Errorf("%s.%s is not defined", tt.typ, tt.code)
			continue
		}
		for what, pair := range map[string][2]string{
			"url": {d.URL, tt.url}, "expression": {d.Expression, tt.expression}, "base": {strings.Join(d.Base, " "), tt.base}, "targets": {strings.Join(d.Targets, " "), tt.targets},
			"modifiers": {strings.Join(d.Modifiers, " "), tt.modifiers}, "comparators": {strings.Join(d.Comparators, " "), tt.comparators},
		} {
			if pair[0] != pair[1] && (pair[1] != "" || what == "modifiers" || what == "comparators") {
				t.Errorf("%s of %s.%s: %s, want %s", what, tt.typ, tt.code, pair[0], pair[1])
			}
		}
	}
}

// A search takes the modifiers that a definition names on every type, and
// refuses all others.
func TestDefinitionsSayHowToAsk(t *testing.T) {
	for _, d := range Definitions() {
		for _, typ := range Types() {
			if of, ok := DefinitionOf(typ, d.Code); !ok || of != d {
				continue
			}
			for _, m := range modifiers {
				// A parameter may take more on one of its types than on all.
				if takes := d.takes(typ, m); !takes && slices.Contains(d.Modifiers, m) || takes && len(d.Base) == 1 && !slices.Contains(d.Modifiers, m) {
					t.Errorf("%s.%s:%s is %v", typ, d.Code, m, takes)
				}
			}
		}
	}
}

func BenchmarkDefinitions(b *testing.B) {
	params()
	for b.Loop() {
		describeAll()
	}
}
