package mycore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

// load reads a record below testdata.
func load(t testing.TB, name string) *fhir.Document {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(raw))
}

func parse(t testing.TB, raw string) *fhir.Document {
	t.Helper()
	doc, err := fhir.Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func edited(t testing.TB, doc *fhir.Document, edits ...fhir.Edit) *fhir.Document {
	t.Helper()
	out, err := doc.With(edits...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// found lists issues as "severity code expression", sorted.
func found(issues fhir.Issues) []string {
	list := []string{}
	for _, i := range issues {
		severity := i.Severity
		if severity == "" {
			severity = fhir.SeverityError
		}
		list = append(list, string(severity)+" "+string(i.Code)+" "+i.Expression)
	}
	slices.Sort(list)
	return list
}

// expected turns "! code expression" (an error in both modes), "~ code
// expression" (an error when strict, a warning when lenient) and "? code
// expression" (a warning in both) into the form of found.
func expected(mode Mode, want []string) []string {
	list := []string{}
	for _, w := range want {
		mark, issue, _ := strings.Cut(w, " ")
		severity := fhir.SeverityError
		if mark == "?" || mark == "~" && mode == Lenient {
			severity = fhir.SeverityWarning
		}
		list = append(list, string(severity)+" "+issue)
	}
	slices.Sort(list)
	return list
}

var modes = map[string]Mode{"lenient": Lenient, "strict": Strict}

// judge compares all that Validate says with all that is wanted, in both modes.
func judge(t *testing.T, doc *fhir.Document, want ...string) {
	t.Helper()
	for name, mode := range modes {
		got, wanted := found(Validate(doc, mode)), expected(mode, want)
		if !slices.Equal(got, wanted) {
			t.Errorf("%s:\n got  %s\n want %s", name, strings.Join(got, "\n      "), strings.Join(wanted, "\n      "))
		}
	}
}

func concept(system string, codes ...string) json.RawMessage {
	var b strings.Builder
	for i, code := range codes {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"system":"` + system + `","code":"` + code + `"}`)
	}
	return json.RawMessage(`{"coding":[` + b.String() + `]}`)
}

// issues lists what is wanted of a record.
func issues(list ...string) []string { return list }

func raw(s string) json.RawMessage { return json.RawMessage(s) }

const (
	aToken     = "0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"
	snomed     = "http://snomed.info/sct"
	morning    = "2026-11-23T09:00:00+08:00"
	dayBefore  = "2026-11-22T09:00:00+08:00"
	notADate   = "23/11/2026"
	tokenEntry = `{"system":"` + SystemVCToken + `","value":"` + aToken + `"}`
)

func TestGoodRecordsHaveNoIssues(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "good", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			doc := load(t, "good/"+name)
			types[doc.Type()] = true
			judge(t, doc)
		})
	}
	for typ := range profiled {
		if !types[typ] {
			t.Errorf("no good record of type %s", typ)
		}
	}
	if len(types) != 12 {
		t.Errorf("%d types have a good record, want the twelve profiles", len(types))
	}
}

// Whatever stands where an element should, Validate answers, names a place in
// the record, and tells nothing of the person.
func TestAnyShapeIsJudged(t *testing.T) {
	shapes := []string{`null`, `[]`, `{}`, `""`, `0`, `true`, `[null]`, `[[]]`, `[{"coding":"x"}]`, `{"coding":[null,1,{"system":1,"code":{}}]}`, `{"extension":{"url":"quota"}}`}
	files, err := filepath.Glob(filepath.Join("testdata", "good", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no good records", err)
	}
	for _, file := range files {
		good := load(t, "good/"+strings.TrimSuffix(filepath.Base(file), ".json"))
		for element := range good.Root().Children() {
			if element.Name() == "resourceType" || element.Name() == "id" {
				continue
			}
			for _, shape := range shapes {
				doc := edited(t, good, fhir.Set(element.Name(), raw(shape)))
				for _, mode := range modes {
					for _, issue := range Validate(doc, mode) {
						if issue.Expression == "" && issue.Code == fhir.CodeTooCostly {
							continue // there are more
						}
						if issue.Expression != doc.Type() && !strings.HasPrefix(issue.Expression, doc.Type()+".") {
							t.Errorf("%s: %s is %s: the issue names %q", file, element.Name(), shape, issue.Expression)
						}
						for _, secret := range []string{aToken, "Aminah", "900101145678"} {
							if strings.Contains(issue.Diagnostics, secret) {
								t.Errorf("%s: %s is %s: the issue tells %q", file, element.Name(), shape, issue.Diagnostics)
							}
						}
						if !strings.HasSuffix(issue.Diagnostics, ".") && !strings.HasSuffix(issue.Diagnostics, ")") {
							t.Errorf("%s: %q is no sentence", file, issue.Diagnostics)
						}
					}
				}
			}
		}
	}
}

// A document of nothing but faults is refused in few words.
func TestIssuesAreBounded(t *testing.T) {
	const most = 101 // and that the visit was held outside
	doc := parse(t, `{"resourceType":"Appointment","status":"booked","participant":[`+strings.Repeat(`{},`, 50_000)+`{}]}`)
	for name, mode := range modes {
		issues := Validate(doc, mode)
		if issues.Err() == nil || len(issues) > most {
			t.Errorf("%s: %d issues, %v", name, len(issues), issues.Err())
		}
	}
	t.Run("warnings do not hide an error", func(t *testing.T) {
		var participants []string
		for range 300 {
			participants = append(participants, `{"actor":{"reference":"Patient/a"},"status":"accepted"}`)
		}
		participants = append(participants, `{"status":"accepted"}`)
		doc := edited(t, load(t, "good/appointment-vci"), fhir.Set("participant", raw(`[`+strings.Join(participants, ",")+`]`)))
		issues := Validate(doc, Lenient)
		if got := found(issues); len(got) > most || !slices.Contains(got, "error invariant Appointment.participant[300]") {
			t.Errorf("%d issues, %v", len(got), issues.Err())
		}
	})
}

// A message tells a developer what to write: the system too where the code is
// right.
func TestMessagesSayWhatToDo(t *testing.T) {
	v := NewValidator(Line2024, validate.Options{})
	code := raw(`{"code":"VR","display":"Virtual"}`)
	for _, c := range []struct {
		record string
		edit   fhir.Edit
		want   string
	}{
		{"encounter-vci", fhir.Set("class", code), "Encounter.class: The code is allowed here, but not without its system or under another one. Name the system " + SystemEncounterClass + "."},
		{"encounter-vci", fhir.Set("class.system", "http://terminology.hl7.org/CodeSystem/v3-ActCode"), "Name the system " + SystemEncounterClass + "."},
		{"encounter-vci", fhir.Set("class.code", "AMB"), "The code is not one that is allowed here. Use VR."},
		{"appointment-vci", fhir.Set("serviceCategory.0.coding.0", code), "The category VR (virtual) of the system " + SystemEncounterClass + " is missing"},
		{"appointment-vci", fhir.Set("end", "2020-01-01T00:00:00Z"), "The appointment must not end before it starts: correct start or end."},
		{"slot-vci", fhir.Set("end", "2020-01-01T00:00:00Z"), "The slot must not end before it starts: correct start or end."},
		{"patient", fhir.Set("identifier.0.value", "850712-05-5018"), "Patient.identifier[0].value: A MyKad or MyKid number is 12 digits, without dashes."},
	} {
		issues := v.Receive(t.Context(), edited(t, load(t, "good/"+c.record), c.edit), Lenient)
		if !slices.ContainsFunc(issues, func(i *fhir.Error) bool { return strings.Contains(i.Diagnostics, c.want) }) {
			t.Errorf("%s: nothing says %q, but %v", c.record, c.want, issues)
		}
	}
}
