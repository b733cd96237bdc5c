package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestValidate judges records from the shell, by a line, a mode and a profile.
func TestValidate(t *testing.T) {
	records, err := filepath.Abs(filepath.Join(root, "mycore", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	good, sample := filepath.Join(records, "good", "appointment-vci.json"), filepath.Join(records, "guide", "vce-schedule.json")
	const profile = "http://fhir.hie.moh.gov.my/StructureDefinition/Appointment-my-core"
	for _, c := range []struct {
		name        string
		args        []string
		environment []string
		status      int
		says        string
	}{
		{"a good one", []string{good}, nil, 0, "Appointment is valid"},
		{"a sample of the guide", []string{sample}, nil, 0, "warning: Schedule.participant: The element"},
		{"the same, strictly", []string{"--strict", sample}, nil, 2, "error: Schedule.actor"},
		{"in the line of the package", []string{"--mycore", "1.0.0", good}, nil, 0, "warning: Appointment.supportingInformation"},
		{"in the line of the environment", []string{good}, []string{"JUMPA_MYCORE=1.0.0"}, 0, "warning: Appointment.supportingInformation"},
		{"by a profile", []string{"--profile", profile + "|1.0.0", good}, nil, 2, "error: Appointment.supportingInformation"},
		{"by a profile of nobody", []string{"--profile", "http://example.org/x", good}, nil, 2, "This profile is not known here"},
		{"by a line of nobody", []string{"--mycore", "3", good}, nil, 2, ""},
		{"one of two", []string{good, filepath.Join(records, "absent.json")}, nil, 2, "Appointment is valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runs(t, c.environment, append([]string{"validate"}, c.args...)...)
			if r.status != c.status || !strings.Contains(r.stdout, c.says) {
				t.Errorf("status %d, want %d; %s%s", r.status, c.status, r.stdout, r.stderr)
			}
		})
	}
}
