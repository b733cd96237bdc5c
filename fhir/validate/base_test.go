package validate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

func parsed(t testing.TB, text string) *fhir.Document {
	t.Helper()
	doc, err := fhir.Parse([]byte(text))
	if err != nil {
		t.Fatalf("the document of the test is no document: %v", err)
	}
	return doc
}

// found gives what was reported, as "severity key at expression".
func found(issues fhir.Issues) string {
	var lines []string
	for _, i := range issues {
		severity := i.Severity
		if severity == "" {
			severity = fhir.SeverityError
		}
		key := "?"
		if _, rest, ok := strings.Cut(i.Diagnostics, "(rule "); ok {
			key, _, _ = strings.Cut(rest, " of ")
		}
		if key == "ext-unknown" { // has a test of its own
			continue
		}
		lines = append(lines, string(severity)+" "+key+" at "+i.Expression)
	}
	return strings.Join(lines, "\n")
}

func TestGoodRecordsOfMYCoreHaveNoErrors(t *testing.T) {
	files, _ := filepath.Glob("../../mycore/testdata/good/*.json")
	if len(files) < 15 {
		t.Fatalf("only %d records were found", len(files))
	}
	v := validate.New(validate.Options{})
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if issues := v.Validate(t.Context(), parsed(t, string(raw))); len(issues) > 0 {
			for _, i := range issues {
				if i.Severity != "" { // it names a profile or an extension that is not known
					continue
				}
				t.Errorf("%s: %s %s", filepath.Base(f), i.Severity, i.Diagnostics)
			}
		}
	}
}
