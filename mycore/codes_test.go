package mycore

import (
	"strings"
	"testing"
)

// The numbers of codes that the guide publishes.
var published = map[string]int{
	SystemCancellationReason:                            4,
	SystemEncounterClass:                                9,
	SystemEncounterOutcome:                              2,
	SystemEncounterRating:                               6,
	SystemOutcomeReason:                                 3,
	SystemScheduleType:                                  5,
	SystemServiceType:                                   16,
	SystemSpecialty:                                     221,
	SystemVisitType:                                     9,
	Root + "CodeSystem/diagnosis-role-my-core":          10,
	Root + "CodeSystem/encounter-category-my-core":      2,
	Root + "CodeSystem/ncd-vc-dx-my-core":               5,
	Root + "CodeSystem/organization-category-my-core":   53,
	Root + "CodeSystem/practitioner-role-code-my-core":  65,
	Root + "CodeSystem/servicerequest-category-my-core": 5,
	Root + "CodeSystem/source-system-my-core":           5,
	Root + "CodeSystem/state-my-core":                   19,
	Root + "CodeSystem/ward-specialty-my-core":          33,
}

func TestEveryCodeSystemIsComplete(t *testing.T) {
	for system, count := range published {
		if got := len(codes()[system]); got != count {
			t.Errorf("%s has %d codes, want %d", system, got, count)
		}
		if !Known(system) {
			t.Errorf("%s is not known", system)
		}
	}
	for system := range codes() {
		if _, ok := published[system]; !ok {
			t.Errorf("%s is in the table, but not among the published code systems", system)
		}
	}
}

// Lines that cannot be read would be skipped without a word.
func TestEveryLineOfTheTableIsRead(t *testing.T) {
	seen := map[string]bool{}
	for i, line := range strings.Split(strings.TrimSuffix(codesTSV, "\n"), "\n") {
		fields := strings.Split(line, "\t")
		if i == 0 {
			if line != "system\tcode\tdisplay" {
				t.Errorf("heading %q", line)
			}
			continue
		}
		if len(fields) != 3 {
			t.Errorf("line %d has %d fields", i+1, len(fields))
			continue
		}
		for _, f := range fields {
			if f == "" || f != strings.TrimSpace(f) {
				t.Errorf("line %d: field %q is empty or padded", i+1, f)
			}
		}
		if key := fields[0] + "|" + fields[1]; seen[key] {
			t.Errorf("line %d: %s stands twice", i+1, key)
		} else {
			seen[key] = true
		}
		if display, ok := Display(fields[0], fields[1]); !ok || display != fields[2] {
			t.Errorf("line %d: Display = %q, %v", i+1, display, ok)
		}
	}
	if len(seen) != 472 {
		t.Errorf("%d codes, want 472", len(seen))
	}
}

func TestDisplay(t *testing.T) {
	for _, c := range []struct{ system, code, display string }{
		{SystemEncounterClass, ClassVirtual, "Virtual"},
		{SystemServiceType, ServiceIndividual, "Individual Virtual Consultation"},
		{SystemServiceType, ServiceEducation, "Education Virtual Consultation"},
		{SystemServiceType, ServiceMDT, "MDT Virtual Consultation"},
		{SystemServiceType, ServiceOnDemand, "On-Demand Virtual Consultation"},
		{SystemScheduleType, "walk-in", "Walk In"},
		{Root + "ValueSet/cancelation-reason-my-core", "2", "Reschedule appointment"},
		{SystemVisitType, "04", "Follow-up"},
		{SystemSpecialty, "02", "General Medicine"},
	} {
		if got, ok := Display(c.system, c.code); got != c.display || !ok {
			t.Errorf("Display(%s, %s) = %q, %v; want %q", c.system, c.code, got, ok, c.display)
		}
	}
	for _, c := range [][2]string{
		{SystemSpecialty, "2"}, // codes are text: 02 is not 2
		{SystemServiceType, "vci"},
		{SystemServiceType, ""},
		{"http://snomed.info/sct", "VCI"},
		{"", ""},
		{"system", "code"}, // the heading is no code
	} {
		if got, ok := Display(c[0], c[1]); ok || got != "" || ValidCode(c[0], c[1]) {
			t.Errorf("Display(%q, %q) = %q, %v; want nothing", c[0], c[1], got, ok)
		}
	}
	for _, system := range []string{"http://snomed.info/sct", "", Root, "system"} {
		if Known(system) {
			t.Errorf("%q is not a code system of MY Core", system)
		}
	}
}
