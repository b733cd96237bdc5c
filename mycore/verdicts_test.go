package mycore

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

var update = flag.Bool("update", false, "write the golden files anew")

var ruleOf = regexp.MustCompile(`\(rule (\S+) of (?:\S*/)?(\S+)\)$`)

// verdict lists what is said of a document in both modes: "!" for an error in
// both, "~" for an error in strict mode and a warning in lenient, "?" for a
// warning in both, "i" for information.
func verdict(v *Validator, t *testing.T, doc *fhir.Document) (list []string) {
	t.Helper()
	said := map[string][2]fhir.Severity{}
	for i, mode := range []Mode{Lenient, Strict} {
		for _, issue := range v.Receive(t.Context(), doc, mode) {
			rule := "held outside"
			if m := ruleOf.FindStringSubmatch(issue.Diagnostics); m != nil {
				rule = m[1] + " of " + m[2]
			}
			key := string(issue.Code) + " " + issue.Expression + "  (" + rule + ")"
			pair := said[key]
			pair[i] = issue.Severity
			if issue.Severity == "" {
				pair[i] = fhir.SeverityError
			}
			said[key] = pair
		}
	}
	marks := map[[2]fhir.Severity]string{
		{fhir.SeverityError, fhir.SeverityError}: "! ", {fhir.SeverityWarning, fhir.SeverityError}: "~ ",
		{fhir.SeverityWarning, fhir.SeverityWarning}: "? ", {fhir.SeverityInformation, fhir.SeverityInformation}: "i ",
	}
	for key, pair := range said {
		mark, ok := marks[pair]
		if !ok {
			t.Errorf("%s is %q when lenient and %q when strict", key, pair[0], pair[1])
		}
		list = append(list, mark+key)
	}
	slices.Sort(list)
	return list
}

// inLine makes a good record of the line from one of the newest.
func inLine(t *testing.T, line Line, name string) *fhir.Document {
	doc := load(t, "good/"+name)
	if line == Line2024 {
		return doc
	}
	switch {
	case doc.Type() == "Appointment":
		return edited(t, doc, fhir.Set("supportingInformation", raw(`[{"reference":"Organization/11-05060009"}]`)))
	case name == "encounter-outpatient":
		return edited(t, doc, fhir.Append("identifier", raw(`{"system":"`+SystemEncounterID+`","value":"HTJ-ENC-2611000043"}`)))
	}
	return doc
}

// What is said of each good record and each fault, in both lines and modes,
// stands in testdata/verdicts.txt, to be read and reviewed there.
func TestVerdicts(t *testing.T) {
	var b strings.Builder
	good, _ := filepath.Glob(filepath.Join("testdata", "good", "*.json"))
	for _, line := range Lines {
		v := NewValidator(line, validate.Options{})
		b.WriteString("# " + string(line) + "\n")
		for _, file := range good {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			doc := inLine(t, line, name)
			b.WriteString(name + "\n")
			for _, s := range verdict(v, t, doc) {
				t.Errorf("%s, a good record: %s", name, s)
			}
			for _, f := range allFaults() {
				if f.record != name {
					continue
				}
				b.WriteString("\t" + f.name + "\n")
				for _, s := range verdict(v, t, edited(t, doc, f.edits...)) {
					b.WriteString("\t\t" + s + "\n")
				}
			}
		}
	}
	golden(t, filepath.Join("testdata", "verdicts.txt"), []byte(b.String()))
}

// records is where other validators find what this one has judged.
const records = "../test/oracle/records"

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// The records of virtual consultation and all others, good and broken, lie as
// files with what is to be said of them, so that other validators can be asked
// about the same ones. They name the profiles that they are to be judged by.
func TestRecordsForOtherValidators(t *testing.T) {
	manifest := []string{"file\tverdict\telement\treason"}
	v := NewValidator(Line2024, validate.Options{})
	add := func(name string, doc *fhir.Document) {
		var profiles []string
		for _, url := range v.profiles(doc) {
			profiles = append(profiles, `"`+strings.TrimSuffix(url, "|"+string(Line2024))+`"`)
		}
		doc = edited(t, doc, fhir.Set("meta", raw(`{"profile":[`+strings.Join(profiles, ",")+`]}`)))
		file := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-") + ".json"
		row := []string{file, "valid", "", ""}
		for _, issue := range v.Receive(t.Context(), doc, Strict) {
			severity := issue.Severity
			if severity == "" {
				severity = fhir.SeverityError
			}
			if row[3] != "" && (row[1] == "invalid" || severity != fhir.SeverityError) {
				continue // the first error, or the first warning when there is none
			}
			if severity == fhir.SeverityError {
				row[1] = "invalid"
			}
			row[2], row[3] = issue.Expression, string(severity)+" "+string(issue.Code)
			if m := ruleOf.FindStringSubmatch(issue.Diagnostics); m != nil {
				row[3] += ", " + m[1] + " of " + m[2]
			}
		}
		manifest = append(manifest, strings.Join(row, "\t"))
		golden(t, filepath.Join(records, file), append(slices.Clone(doc.Bytes()), '\n'))
	}
	good, _ := filepath.Glob(filepath.Join("testdata", "good", "*.json"))
	for _, file := range good {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		add(name, load(t, "good/"+name))
		for _, f := range allFaults() {
			if f.record == name && !strings.HasSuffix(name, "-vce") { // those are broken as those of VCI are
				add(name+" "+f.name, edited(t, load(t, "good/"+name), f.edits...))
			}
		}
	}
	if files, err := filepath.Glob(filepath.Join(records, "*.json")); err != nil || len(files) != len(manifest)-1 || len(files) < 100 {
		t.Errorf("there are %d files of %d records, %v", len(files), len(manifest)-1, err)
	}
	golden(t, filepath.Join(records, "manifest.tsv"), []byte(strings.Join(manifest, "\n")+"\n"))
}

// golden compares with a file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	a, b := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("%s:%d:\n got  %s\n want %s\nRead what has changed; then go test -update writes it.", name, i+1, a[i], b[i])
			return
		}
	}
	t.Errorf("%s has %d lines, want %d", name, len(a), len(b))
}
