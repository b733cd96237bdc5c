package oracle

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/mycore"
)

// The two ways to judge a record: by R4 alone, and by the profile that MY Core
// has for its type.
const (
	byR4     = "r4"
	byMYCore = "mycore"
)

// difference is a row of differences.tsv: an element of a record that one of
// the two judges finds at fault and the other does not.
type difference struct{ record, mode, judge, element string }

func (d difference) String() string {
	return strings.Join([]string{d.record, d.mode, d.judge, d.element}, "\t")
}

// differences reads the table of what is known, with the reasons.
func differences(t *testing.T) map[difference]string {
	t.Helper()
	raw, err := os.ReadFile("differences.tsv")
	if err != nil {
		t.Fatal(err)
	}
	table := map[difference]string{}
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		row := strings.Split(line, "\t")
		if len(row) != 5 || strings.TrimSpace(row[4]) == "" {
			t.Fatalf("differences.tsv:%d: a row has a record, a mode, a judge, an element and a reason", i+1)
		}
		if i > 0 { // after the names of the columns
			table[difference{row[0], row[1], row[2], row[3]}] = row[4]
		}
	}
	return table
}

// record is a document to judge, by the name of its file.
type record struct {
	name string
	doc  *fhir.Document
}

// records gives the samples of MY Core.
func records(t *testing.T) (all []record) {
	t.Helper()
	for _, pattern := range []string{"../../mycore/testdata/*/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files: %v", pattern, len(files), err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := fhir.Parse(raw)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, record{filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file), doc})
		}
	}
	return all
}

// Jumpa and HL7's validator find the same elements of every record at fault,
// or differences.tsv says why not.
func TestRecordsAreJudgedAlike(t *testing.T) {
	all, table := records(t), differences(t)
	var tasks []task
	for _, r := range all {
		tasks = append(tasks, task{Document: string(r.doc.Bytes())}, task{Document: string(r.doc.Bytes()), Profiles: profileOf(r.doc)})
	}
	answers := ask(t, tasks)
	base, guide := validators(t)
	met, alike := map[difference]bool{}, 0
	for i, r := range all {
		for j, mode := range []string{byR4, byMYCore} {
			theirs := faultsOfHL7(answers[2*i+j].Issues)
			var ours map[string]string
			if mode == byR4 {
				ours = faultsOfJumpa(base.Validate(t.Context(), r.doc))
			} else {
				ours = faultsOfJumpa(guide.Validate(t.Context(), r.doc, profileOf(r.doc)...))
			}
			same := true
			tell := func(judge, element, says string) {
				same = false
				d := difference{r.name, mode, judge, element}
				met[d] = true
				if table[d] == "" {
					t.Errorf("a difference without a reason:\n%s\n\t%s", d, says)
				}
			}
			for _, element := range slices.Sorted(maps.Keys(theirs)) {
				if _, ok := ours[element]; !ok {
					tell("hl7", element, theirs[element])
				}
			}
			for _, element := range slices.Sorted(maps.Keys(ours)) {
				if _, ok := theirs[element]; !ok {
					tell("jumpa", element, ours[element])
				}
			}
			if same {
				alike++
			}
		}
	}
	for d := range table {
		if !met[d] {
			t.Errorf("a reason without a difference:\n%s", d)
		}
	}
	t.Logf("%d of %d verdicts are alike in every element", alike, 2*len(all))
}

func profileOf(doc *fhir.Document) []string {
	return []string{mycore.Root + "StructureDefinition/" + doc.Type() + "-my-core"}
}

// validators give Jumpa's judges: by R4 alone, and with MY Core.
func validators(t *testing.T) (base, guide *validate.Validator) {
	t.Helper()
	guide = validate.New(validate.Options{ValueSets: func(url string) (validate.Codes, bool) {
		system := strings.Replace(url, "/ValueSet/", "/CodeSystem/", 1)
		return codes(system), mycore.Known(system)
	}})
	for _, doc := range mycore.Definitions() {
		if doc.Type() != "StructureDefinition" {
			continue
		}
		if err := guide.AddProfile(doc); err != nil {
			t.Fatal(err)
		}
	}
	return validate.New(validate.Options{}), guide
}

type codes string

func (s codes) HasCode(code string) bool { return mycore.ValidCode(string(s), code) }

func (s codes) Has(system, code string) bool {
	return mycore.Normalize(system) == string(s) && s.HasCode(code)
}

// faultsOfJumpa gives the elements that have an error, and what is said of them.
func faultsOfJumpa(issues fhir.Issues) map[string]string {
	faults := map[string]string{}
	for _, i := range issues {
		if i.Severity == "" || i.Severity == fhir.SeverityError {
			faults[i.Expression] = i.Error()
		}
	}
	return faults
}

// HL7's validator names the parent of what is missing or does not belong, and
// the element in words.
var (
	missing = regexp.MustCompile(`^([A-Za-z.:\[\]0-9]+): minimum required`)
	unknown = regexp.MustCompile(`^(?:Unrecognized property|Undefined element) '([^']+)'`)
	aside   = regexp.MustCompile(`/\*.*?\*/`)
)

// faultsOfHL7 gives the same of HL7's validator.
func faultsOfHL7(issues []issue) map[string]string {
	faults := map[string]string{}
	for _, i := range issues {
		if i.Severity != "error" && i.Severity != "fatal" {
			continue
		}
		path := aside.ReplaceAllString(i.Path, "")
		if m := missing.FindStringSubmatch(i.Text); m != nil {
			path += m[1][strings.LastIndex(m[1], "."):]
		} else if m := unknown.FindStringSubmatch(i.Text); m != nil {
			path += "." + m[1]
		}
		faults[path] = i.String()
	}
	return faults
}
