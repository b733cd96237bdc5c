package search

import (
	"slices"
	"strings"
	"testing"
)

const guide = "http://fhir.hie.moh.gov.my/StructureDefinition/"

// ext writes an extension with a value, such as valueCode":"x".
func ext(name, value string) string { return `{"url":"` + name + `","` + value + `}` }

// extensions writes extensions of the guide as members of a document.
func extensions(name string, inner ...string) string {
	if len(inner) == 1 && strings.HasPrefix(inner[0], "value") {
		return `"extension":[` + ext(guide+name, inner[0]) + `]`
	}
	return `"extension":[{"url":"` + guide + name + `","extension":[` + strings.Join(inner, ",") + `]}]`
}

// MY Core's own parameters, each with a document that has a value, a search that
// finds it and one that does not.
func TestParametersOfMYCore(t *testing.T) {
	const coded = `valueCodeableConcept":{"coding":[{"system":"http://s","code":"a"}]}`
	const toCharge = `valueReference":{"reference":"ChargeItemDefinition/c"}`
	tokens, misses := "a http://s|a", "b http://t|a"
	for _, c := range []struct{ base, code, typ, body, hits, misses string }{
		{"Appointment", "created", "date", `"created":"2026-11-23"`, "2026-11-23 2026 ge2026-11-01", "2025 lt2026-11-23"},
		{"Appointment", "date-start", "date", `"start":"2026-11-23T09:00:00+08:00"`, "2026-11-23 gt2026-11-22 2026-11-23T09:00:00%2B08:00", "2026-11-24"},
		{"Appointment", "simple-register-identifier", "string", extensions("simple-register-my-core", ext("identifier", `valueString":"HIE-7"`)), "HIE-7 hie-7 hie", "7"},
		{"Appointment", "simple-register-name", "string", extensions("simple-register-my-core", ext("name", `valueString":"Siti binti Ahmad"`)), "siti ahmad", "iti"},
		{"ChargeItem", "cid-reference", "reference", extensions("charge-item-definition-reference-my-core", toCharge), "ChargeItemDefinition/c c", "ChargeItemDefinition/d"},
		{"Encounter", "cid-reference", "reference", extensions("charge-item-definition-reference-my-core", toCharge), "ChargeItemDefinition/c c", "d"},
		{"Encounter", "admit-source", "token", `"hospitalization":{"admitSource":{"coding":[{"system":"http://s","code":"a"}]}}`, tokens, misses},
		{"Encounter", "date-start", "date", `"period":{"start":"2026-11-23T09:00:00+08:00","end":"2026-11-25"}`, "2026-11-23 lt2026-11-24", "2026-11-25 gt2026-11-24"},
		{"Encounter", "identifier-value", "string", `"identifier":[{"value":"AB-1"}]`, "ab AB-1", "b"},
		{"Encounter", "ncd-combine", "token", extensions("ncd-vc-dx-my-core", ext("combinationDiagnosis", `valueBoolean":true`)), "true", "false"},
		{"Encounter", "ncd-diagnosis", "token", extensions("ncd-vc-dx-my-core", ext("diagnosis", coded)), tokens, misses},
		{"Encounter", "outcome", "token", extensions("encounter-outcome-my-core", ext("encounterOutcome", coded)), tokens, misses},
		{"Encounter", "outcome-reason", "token", extensions("encounter-outcome-my-core", ext("outcomeReason", coded)), tokens, misses},
		{"Encounter", "priority", "token", `"priority":{"coding":[{"system":"http://s","code":"a"}]}`, tokens, misses},
		{"Encounter", "rating", "token", extensions("encounter-rating-my-core", ext("rating", coded)), tokens, misses},
		{"Encounter", "service-type", "token", `"serviceType":{"coding":[{"system":"http://s","code":"a"}]}`, tokens, misses},
		{"Encounter", "visit-type", "token", extensions("visit-type-my-core", coded), tokens, misses},
		{"HealthcareService", "additional-info", "reference", extensions("additional-info-my-core", `valueReference":{"reference":"DocumentReference/d"}`), "DocumentReference/d d", "DocumentReference/e"},
		{"HealthcareService", "appointment-required", "string", `"appointmentRequired":true`, "true", "false"},
		{"HealthcareService", "public-booking", "string", extensions("public-booking-my-core", `valueBoolean":false`), "false", "true"},
		{"Location", "longitude", "number", `"position":{"longitude":101.5,"latitude":3}`, "101.5 gt101 lt102 102", "101 gt101.5"},
		{"Location", "physicalType", "token", `"physicalType":{"coding":[{"system":"http://s","code":"a"}]}`, tokens, misses},
		{"Organization", "alias", "string", `"alias":["HKL"]`, "hkl hk", "kl"},
		{"Organization", "altitude", "number", extensions("Organization-position-my-core", ext("altitude", `valueDecimal":12.5`)), "12.5 ge12", "12 gt13"},
		{"Organization", "category", "token", extensions("organization-category-my-core", coded), tokens, misses},
		{"Organization", "cluster", "token", extensions("organization-cluster-my-core", coded), tokens, misses},
		{"Organization", "latitude", "number", extensions("Organization-position-my-core", ext("latitude", `valueDecimal":3.17`)), "3.17 lt4", "3.16"},
		{"Organization", "longitude", "number", extensions("Organization-position-my-core", ext("longitude", `valueDecimal":101.7`)), "101.7", "101.6"},
		{"Organization", "organization-district", "token", `"address":[{` + extensions("address-district-my-core", coded) + `}]`, tokens, misses},
		{"Organization", "organization-state", "token", `"address":[{` + extensions("address-state-my-core", coded) + `}]`, tokens, misses},
		{"Organization", "pkd", "token", extensions("organization-pkd-my-core", coded), tokens, misses},
		{"Patient", "citizenship", "token", extensions("citizenship-my-core", ext("citizenship", coded)), tokens, misses},
		{"Patient", "citizenship-status", "token", extensions("citizenship-my-core", ext("citizenshipStatus", coded)), tokens, misses},
		{"Patient", "education-level", "token", extensions("education-level-my-core", coded), tokens, misses},
		{"Patient", "ethnic", "token", extensions("ethnic-my-core", coded), tokens, misses},
		{"Patient", "foreigner-type", "token", extensions("foreigner-type-my-core", coded), tokens, misses},
		{"Patient", "identifier-value", "string", `"identifier":[{"value":"910503-14-5678"}]`, "910503-14-5678 910503", "14"},
		{"PractitionerRole", "drug-classification", "token", extensions("pr-drug-classification-my-core", coded), tokens, misses},
		{"PractitionerRole", "scheduling", "token", extensions("scheduling-my-core", `valueBoolean":true`), "true", "false"},
		{"Schedule", "address-district", "token", extensions("address-district-my-core", coded), tokens, misses},
		{"Schedule", "address-state", "token", extensions("address-state-my-core", coded), tokens, misses},
		{"Schedule", "address-state", "token", `"extension":[` + ext("http://fhir.hie.moh.gov.my/CodeSystem/state-my-core", coded) + `]`, tokens, misses},
		{"Schedule", "organization", "reference", extensions("service-provider-my-core", `valueReference":{"reference":"Organization/11-1"}`), "Organization/11-1 11-1", "11-2"},
		{"Schedule", "schedule-type", "token", extensions("schedule-type-my-core", coded), tokens, misses},
		{"Slot", "end", "date", `"end":"2026-11-23T09:15:00+08:00"`, "2026-11-23 ge2026-11-23T09:15:00%2B08:00", "2026-11-22"},
	} {
		p, ok := find(c.base, c.code)
		if !ok || p.Type() != c.typ {
			t.Errorf("%s.%s is of type %q, want %q", c.base, c.code, p.Type(), c.typ)
			continue
		}
		s := newShelf(t, `{"resourceType":"`+c.base+`","id":"it",`+c.body+`}`, `{"resourceType":"`+c.base+`","id":"other"}`)
		for value := range strings.FieldsSeq(c.hits) {
			s.check([]finding{{c.base + "?" + c.code + "=" + value, "it"}})
		}
		for value := range strings.FieldsSeq(c.misses) {
			s.check([]finding{{c.base + "?" + c.code + "=" + value, ""}})
		}
		if slices.Contains(p.Modifiers(), "missing") {
			s.check([]finding{{c.base + "?" + c.code + ":missing=true", "other"}, {c.base + "?" + c.code + ":missing=false", "it"}})
		}
	}
}
