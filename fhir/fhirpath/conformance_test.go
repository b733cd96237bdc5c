package fhirpath

import (
	"context"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// suiteDir names the directory that holds fhirpath/tests-fhir-r4.xml, the
// official FHIRPath test suite for R4, and its inputs.
const suiteDir = "JUMPA_CONFORMANCE"

// unmet are the cases of the suite that are not met, and why.
var unmet = map[string]string{
	"testLiterals/testLiteralTimeUTC":                   "the grammar has no zone in a time: refused, not empty",
	"testLiterals/testLiteralTimeTimezoneOffset":        "the grammar has no zone in a time: refused, not empty",
	"testLiterals/testDateNotEqualTimezoneOffsetBefore": "a day without a zone may hold that moment: empty, as the suite has it for dateTimes (testEquality23)",
	"testLiterals/testDateNotEqualTimezoneOffsetAfter":  "a day without a zone may hold that moment: empty, as the suite has it for dateTimes (testEquality23)",
	"testLiterals/testDateNotEqualUTC":                  "a day without a zone may hold that moment: empty, as the suite has it for dateTimes (testEquality23)",
	"testTypes/testQuantityLiteralWeekToString":         "the notation '{week}' is of a draft; N1 writes 1 week",
	"testEquality/testEquality7":                        "collections of different size are not equal: false, not empty",
	"testNotEquivalent/testNotEquivalent19":             "a mistake of the suite: name ~ name is true too",
	"testRound/testRound2":                              "a mistake of the suite: 3.14159 rounds to 3.142",
}

const suiteCases = 686

type suiteCase struct {
	Name       string `xml:"name,attr"`
	File       string `xml:"inputfile,attr"`
	Mode       string `xml:"mode,attr"`
	Predicate  bool   `xml:"predicate,attr"`
	Expression struct {
		Invalid string `xml:"invalid,attr"`
		Text    string `xml:",chardata"`
	} `xml:"expression"`
	Outputs []struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
	} `xml:"output"`
}

func suite(t *testing.T) (dir string, groups []struct {
	Name  string      `xml:"name,attr"`
	Tests []suiteCase `xml:"test"`
}) {
	t.Helper()
	dir = os.Getenv(suiteDir)
	if dir == "" {
		t.Skip(suiteDir + " does not name the conformance suite")
	}
	dir = filepath.Join(dir, "fhirpath")
	raw, err := os.ReadFile(filepath.Join(dir, "tests-fhir-r4.xml"))
	if err != nil {
		t.Fatal(err)
	}
	// The file is not quite XML: its declaration comes late, and some < stand for themselves.
	text := regexp.MustCompile(`<\?xml.*?\?>`).ReplaceAllString(string(raw), "")
	text = regexp.MustCompile(`<([ =])`).ReplaceAllString(text, "&lt;$1")
	var tests struct {
		Groups []struct {
			Name  string      `xml:"name,attr"`
			Tests []suiteCase `xml:"test"`
		} `xml:"group"`
	}
	if err := xml.Unmarshal([]byte(text), &tests); err != nil {
		t.Fatal(err)
	}
	return dir, tests.Groups
}

// baseProfiles judges a resource by its type: enough for the suite.
type baseProfiles struct{}

func (baseProfiles) ConformsTo(_ context.Context, v Value, profile string) (bool, error) {
	name, ok := strings.CutPrefix(profile, "http://hl7.org/fhir/StructureDefinition/")
	if _, known := R4().Super(name); !ok || !known {
		return false, errors.New("unknown profile")
	}
	return isA(R4(), v.Type(), name), nil
}

func TestConformance(t *testing.T) {
	dir, groups := suite(t)
	inputs := map[string]*fhir.Document{}
	seen, total, met := map[string]bool{}, 0, 0
	for _, g := range groups {
		for i, c := range g.Tests {
			total++
			name := strings.TrimSuffix(c.File, ".xml")
			if inputs[name] == nil {
				raw, err := os.ReadFile(filepath.Join(dir, "input", name+".json"))
				if err != nil {
					t.Fatal(err)
				}
				if inputs[name], err = fhir.Parse(raw); err != nil {
					t.Fatal(err)
				}
			}
			// Two cases of a group may have the same name.
			id := c.Name
			if slices.ContainsFunc(g.Tests[:i], func(o suiteCase) bool { return o.Name == c.Name }) {
				id += "/" + c.Expression.Text
			}
			id = g.Name + "/" + id
			seen[id] = true
			why := judge(inputs[name], c)
			reason, listed := unmet[id]
			switch {
			case why == "":
				met++
				if listed {
					t.Errorf("%s is met now, but listed as unmet: %s", id, reason)
				}
			case !listed:
				t.Errorf("%s: %s\n\t%s", id, c.Expression.Text, why)
			}
		}
	}
	for id := range unmet {
		if !seen[id] {
			t.Errorf("%s is listed as unmet, but the suite has no such case", id)
		}
	}
	if total != suiteCases || met < suiteCases-len(unmet) {
		t.Errorf("%d of %d cases are met", met, total)
	}
	t.Logf("%d of %d cases are met", met, total)
}

// judge runs a case and says what is wrong, "" when it is met.
func judge(d *fhir.Document, c suiteCase) string {
	got, err := evaluate(d, c)
	if c.Expression.Invalid != "" {
		if err == nil {
			return "an error is expected, not " + strings.Join(got.Strings(), ", ")
		}
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if c.Predicate {
		b, known := got.Bool()
		got = Collection{Bool(b && known)}
	}
	var gotText, want []string
	for _, v := range got {
		gotText = append(gotText, strings.ToLower(strings.TrimPrefix(v.Type(), "System."))+" "+v.String())
	}
	for _, o := range c.Outputs {
		want = append(want, strings.ToLower(o.Type)+" "+o.Text)
	}
	if !slices.Equal(gotText, want) {
		return "got " + strings.Join(gotText, "; ") + ", want " + strings.Join(want, "; ")
	}
	return ""
}

func evaluate(d *fhir.Document, c suiteCase) (Collection, error) {
	e, err := Compile(c.Expression.Text)
	if err != nil {
		return nil, err
	}
	return e.Evaluate(context.Background(), d.Root(), Options{Strict: c.Mode == "strict", Profiles: baseProfiles{}})
}
