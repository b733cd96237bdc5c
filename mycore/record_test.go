package mycore

import (
	"slices"
	"testing"
	"time"
)

func TestServiceType(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"none", `{"resourceType":"Appointment"}`, ""},
		{"a list, as Appointment has it", `{"resourceType":"Appointment","serviceType":[` + string(concept(SystemServiceType, "VCE")) + `]}`, "VCE"},
		{"an object, as Encounter has it", `{"resourceType":"Encounter","serviceType":` + string(concept(SystemServiceType, "VCI")) + `}`, "VCI"},
		{"a bare Coding", `{"resourceType":"Encounter","serviceType":{"system":"` + SystemServiceType + `","code":"VCMDT"}}`, "VCMDT"},
		{"behind another coding", `{"resourceType":"Encounter","serviceType":` + string(concept(SystemServiceType, "03", "VCD")) + `}`, "VCD"},
		{"in the second concept", `{"resourceType":"Slot","serviceType":[{"text":"x"},` + string(concept(SystemServiceType, "VCI")) + `]}`, "VCI"},
		{"the first of two", `{"resourceType":"Slot","serviceType":[` + string(concept(SystemServiceType, "VCE", "VCI")) + `]}`, "VCE"},
		{"in person", `{"resourceType":"Slot","serviceType":[` + string(concept(SystemServiceType, "03")) + `]}`, ""},
		{"another system", `{"resourceType":"Slot","serviceType":[` + string(concept(snomed, "VCI")) + `]}`, ""},
		{"lower case", `{"resourceType":"Slot","serviceType":[` + string(concept(SystemServiceType, "vci")) + `]}`, ""},
		{"text only", `{"resourceType":"Slot","serviceType":[{"text":"VCI"}]}`, ""},
		{"no object at all", `{"resourceType":"Slot","serviceType":"VCI"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ServiceType(parse(t, c.in)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestIsVirtual(t *testing.T) {
	category := `"serviceCategory":[` + string(concept(SystemEncounterClass, "VR")) + `]`
	service := `"serviceType":[` + string(concept(SystemServiceType, "VCI")) + `]`
	for _, c := range []struct {
		name, in string
		want     bool
	}{
		{"Appointment by category", `{"resourceType":"Appointment",` + category + `}`, true},
		{"Schedule by category", `{"resourceType":"Schedule",` + category + `}`, true},
		{"Slot by category", `{"resourceType":"Slot",` + category + `}`, true},
		{"Slot by service type", `{"resourceType":"Slot",` + service + `}`, true},
		{"Encounter by class", `{"resourceType":"Encounter","class":{"system":"` + SystemEncounterClass + `","code":"VR"}}`, true},
		{"Encounter by service type", `{"resourceType":"Encounter","class":{"system":"` + SystemEncounterClass + `","code":"AMB"},` + service + `}`, true},
		{"Encounter has no category", `{"resourceType":"Encounter",` + category + `}`, false},
		{"Appointment has no class", `{"resourceType":"Appointment","class":{"system":"` + SystemEncounterClass + `","code":"VR"}}`, false},
		{"VR of another system", `{"resourceType":"Encounter","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"VR"}}`, false},
		{"neither", `{"resourceType":"Appointment"}`, false},
		{"a HealthcareService is no consultation", `{"resourceType":"HealthcareService",` + category + `,` + service + `}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := IsVirtual(parse(t, c.in)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestToken(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"none", `{"resourceType":"Slot"}`, ""},
		{"the only identifier", `{"resourceType":"Slot","identifier":[` + tokenEntry + `]}`, aToken},
		{"a single object", `{"resourceType":"Slot","identifier":` + tokenEntry + `}`, aToken},
		{"among others", `{"resourceType":"Slot","identifier":[{"system":"` + SystemEncounterID + `","value":"X"},{"value":"Y"},` + tokenEntry + `]}`, aToken},
		{"of another system", `{"resourceType":"Slot","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/vc-tokens","value":"` + aToken + `"}]}`, ""},
		{"without system", `{"resourceType":"Slot","identifier":[{"value":"` + aToken + `"}]}`, ""},
		{"without value", `{"resourceType":"Slot","identifier":[{"system":"` + SystemVCToken + `"}]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Token(parse(t, c.in)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name, parts      string
		quota, available int64
		ok               bool
	}{
		{"integers", `{"url":"quota","valueInteger":10},{"url":"available","valueInteger":9}`, 10, 9, true},
		{"text", `{"url":"quota","valueString":"10"},{"url":"available","valueString":"9"}`, 10, 9, true},
		{"positive and unsigned", `{"url":"quota","valuePositiveInt":10},{"url":"available","valueUnsignedInt":0}`, 10, 0, true},
		{"all are available", `{"url":"quota","valueInteger":4}`, 4, 4, true},
		{"an unreadable available", `{"url":"quota","valueInteger":4},{"url":"available","valueString":"x"}`, 4, 4, true},
		{"nothing to book", `{"url":"quota","valueInteger":0}`, 0, 0, true},
		{"no quota", `{"url":"available","valueInteger":4}`, 0, 0, false},
		{"no number", `{"url":"quota","valueString":"ten"}`, 0, 0, false},
		{"a fraction", `{"url":"quota","valueInteger":1.0}`, 0, 0, false},
		{"too large a number", `{"url":"quota","valueInteger":99999999999999999999}`, 0, 0, false},
		{"another type", `{"url":"quota","valueBoolean":true}`, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := parse(t, `{"resourceType":"Slot","extension":[{"url":"http://x"},{"url":"`+ExtensionSlotQuota+`","extension":[`+c.parts+`]}]}`)
			quota, available, ok := Quota(doc)
			if quota != c.quota || available != c.available || ok != c.ok {
				t.Errorf("got %d, %d, %v; want %d, %d, %v", quota, available, ok, c.quota, c.available, c.ok)
			}
		})
	}
	if _, _, ok := Quota(parse(t, `{"resourceType":"Slot"}`)); ok {
		t.Error("a Slot without extension has no quota")
	}
}

func TestEncounterNumber(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		n    int64
		want string
	}{
		{time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC), 42, "HTJ-ENC-2611000042"},
		{time.Date(2026, 10, 31, 16, 0, 0, 0, time.UTC), 1, "HTJ-ENC-2611000001"}, // already November in Malaysia
		{time.Date(2026, 10, 31, 15, 59, 59, 0, time.UTC), 1, "HTJ-ENC-2610000001"},
		{time.Date(2026, 12, 31, 16, 0, 0, 0, time.UTC), 999999, "HTJ-ENC-2701999999"},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 1000000, "HTJ-ENC-26011000000"},
	} {
		if got := EncounterNumber("HTJ", c.at, c.n); got != c.want {
			t.Errorf("EncounterNumber(%v, %d) = %s, want %s", c.at, c.n, got, c.want)
		}
	}
}

func TestActors(t *testing.T) {
	doc := parse(t, `{"resourceType":"Appointment","participant":[
		{"actor":{"reference":"HealthcareService/h"}},
		{"actor":{"reference":"Patient/a"}},
		{"actor":{"reference":"https://fhir.hie.moh.gov.my/baseR4/Patient/b"}},
		{"actor":{"reference":"Patient?identifier=x|1"}},
		{"actor":{"reference":"Patient/c/_history/2"}},
		{"actor":{"reference":"PatientX/d"}},
		{"actor":{"type":"Patient","display":"by name only"}},
		{"type":[{"text":"nurse"}]}]}`)
	want := []string{"Patient/a", "https://fhir.hie.moh.gov.my/baseR4/Patient/b", "Patient?identifier=x|1", "Patient/c/_history/2"}
	if got := Actors(doc, "Patient"); !slices.Equal(got, want) {
		t.Errorf("patients %v, want %v", got, want)
	}
	if got := Actors(doc, "HealthcareService"); !slices.Equal(got, []string{"HealthcareService/h"}) {
		t.Errorf("services %v", got)
	}
	if got := Actors(doc, "Practitioner"); len(got) != 0 {
		t.Errorf("practitioners %v", got)
	}
}

func TestIdentityNumbers(t *testing.T) {
	doc := parse(t, `{"resourceType":"Patient","identifier":[
		{"system":"`+SystemMRN+`","value":"HTJ-1"},
		{"system":"`+SystemMyKad+`","value":"900101-14-5678"},
		{"system":"`+SystemMyKadVariant+`","value":" 900101145678 "},
		{"system":"`+SystemPassport+`","value":"a1234567"},
		{"system":"`+SystemArmy+`","value":"T12345"},
		{"system":"`+SystemPolice+`","value":"G/99-1"},
		{"system":"`+SystemPermanent+`","value":"PR 7"},
		{"system":"`+SystemNewborn+`","value":"921105146670 E/1"},
		{"system":"`+SystemOthers+`","value":"HTJ-UNK-26000006"},
		{"system":"`+SystemPassport+`","value":""},
		{"system":"`+SystemPassport+`"},
		{"value":"900101145678"}]}`)
	want := []string{"900101145678", "900101145678", "A1234567", "T12345", "G/99-1", "PR 7"}
	if got := IdentityNumbers(doc); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNormalizeIdentityNumber(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"900101145678", "900101145678", true},
		{"900101-14-5678", "900101145678", true},
		{" 900101-14-5678\n", "900101145678", true},
		{"900101-145678", "900101145678", true},
		{"a12345678", "A12345678", true},
		{"921105146670 e/1", "921105146670 E/1", true},
		{"A1", "A1", false},
		{"", "", false},
		{"-1234", "-1234", false},
		{"A'; DROP", "A'; DROP", false},
		{"A\u00e91234", "A\u00c91234", false},
		{"1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890", true},
		{"12345678901234567890123456789012345678901", "12345678901234567890123456789012345678901", false},
	} {
		if got, ok := NormalizeIdentityNumber(c.in); got != c.want || ok != c.ok {
			t.Errorf("NormalizeIdentityNumber(%q) = %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func TestPatientName(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"none", ``, ""},
		{"text", `,"name":[{"text":"Aminah binti Yusof","given":["x"]}]`, "Aminah binti Yusof"},
		{"given", `,"name":[{"given":["Aminah binti Yusof"]}]`, "Aminah binti Yusof"},
		{"given and family", `,"name":[{"given":["Mei","Ling"],"family":"Tan"}]`, "Mei Ling Tan"},
		{"family", `,"name":[{"family":"Tan"}]`, "Tan"},
		{"a single object", `,"name":{"text":"Tan"}`, "Tan"},
		{"an empty name before", `,"name":[{"use":"old"},{"text":"Tan"}]`, "Tan"},
		{"escapes", `,"name":[{"text":"Ren\u00e9"}]`, "René"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := PatientName(parse(t, `{"resourceType":"Patient"`+c.in+`}`)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestProfile(t *testing.T) {
	if got := Profile("Slot"); got != "http://fhir.hie.moh.gov.my/StructureDefinition/Slot-my-core" {
		t.Error(got)
	}
}

func TestTypesWithoutAProfileAreJudgedByR4(t *testing.T) {
	judge(t, parse(t, `{"resourceType":"Basic","code":{"text":"x"}}`))
	judge(t, parse(t, `{"resourceType":"Basic"}`), "~ required Basic.code")
	judge(t, parse(t, `{"resourceType":"Observation","status":"done","code":{"text":"x"}}`), "! code-invalid Observation.status")
	judge(t, parse(t, `{"resourceType":"Observation","status":"final","code":{"text":"x"},"effectiveDateTime":"2026-02-30"}`), "! value Observation.effective.ofType(dateTime)")
}
