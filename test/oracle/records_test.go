package oracle

import (
	"maps"
	"os"
	"path"
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

// difference is an element of a record that one of the two judges finds at
// fault and the other does not. In differences.tsv, a * stands for anything.
type difference struct{ record, mode, judge, element string }

func (d difference) String() string {
	return strings.Join([]string{d.record, d.mode, d.judge, d.element}, "\t")
}

// meets tells whether a difference is one of those that a row is about.
func (d difference) meets(row difference) bool {
	return like(d.record, row.record) && like(d.mode, row.mode) && d.judge == row.judge && like(d.element, row.element)
}

func like(text, pattern string) bool {
	ok, _ := path.Match(strings.ReplaceAll(strings.ReplaceAll(pattern, "[", `\[`), "/", "!"), strings.ReplaceAll(text, "/", "!"))
	return ok
}

// reason is a row of differences.tsv: what differs, and why.
type reason struct {
	difference
	why string
	met bool
}

func reasons(t *testing.T) (table []*reason) {
	t.Helper()
	raw, err := os.ReadFile("differences.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		row := strings.Split(line, "\t")
		if len(row) != 5 || strings.TrimSpace(row[4]) == "" {
			t.Fatalf("differences.tsv:%d: a row has a record, a mode, a judge, an element and a reason", i+1)
		}
		if i > 0 { // after the names of the columns
			table = append(table, &reason{difference: difference{row[0], row[1], row[2], row[3]}, why: row[4]})
		}
	}
	return table
}

// record is a document to judge, by the name of its file.
type record struct {
	name string
	doc  *fhir.Document
}

// records gives the samples of MY Core, and the valid and broken records that
// its tests judge.
func records(t *testing.T) (all []record) {
	t.Helper()
	for _, pattern := range []string{"../../mycore/testdata/guide/*.json", "records/*.json"} {
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
	all, table := records(t), reasons(t)
	var tasks []task
	for _, r := range all {
		tasks = append(tasks, task{Document: string(r.doc.Bytes())}, task{Document: string(r.doc.Bytes()), Profiles: profilesOf(r.doc)})
	}
	answers := ask(t, tasks)
	base, guide := validate.New(validate.Options{}), mycore.Standard().Engine()
	alike := 0
	for i, r := range all {
		for j, mode := range []string{byR4, byMYCore} {
			theirs := faultsOfHL7(answers[2*i+j].Issues)
			var ours map[string]string
			if mode == byR4 {
				ours = faultsOfJumpa(base.Validate(t.Context(), r.doc))
			} else {
				ours = faultsOfJumpa(guide.Validate(t.Context(), r.doc, profilesOf(r.doc)...))
			}
			same := true
			tell := func(judge, element, says string) {
				same = false
				d := difference{r.name, mode, judge, element}
				explained := false
				for _, row := range table {
					if d.meets(row.difference) {
						row.met, explained = true, true
					}
				}
				if !explained {
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
	for _, row := range table {
		if !row.met {
			t.Errorf("a reason without a difference:\n%s", row.difference)
		}
	}
	t.Logf("%d of %d verdicts are alike in every element", alike, 2*len(all))
}

// profilesOf gives the profiles that a record has to keep: MY Core's, and what
// the record of a virtual consultation must have.
func profilesOf(doc *fhir.Document) []string {
	list := []string{mycore.Profile(doc.Type()) + "|" + string(mycore.Line2024)}
	switch {
	case !mycore.IsVirtual(doc):
		return list
	case doc.Type() == "Encounter" && doc.Get("status").Is("finished") && mycore.Token(doc) == "":
		return append(list, mycore.VirtualProfile("encounter-held"))
	}
	return append(list, mycore.VirtualProfile(strings.ToLower(doc.Type())))
}

// faultsOfJumpa gives the elements that have an error, and what is said of them.
func faultsOfJumpa(issues fhir.Issues) map[string]string {
	faults := map[string]string{}
	for _, i := range issues {
		if i.Severity == "" || i.Severity == fhir.SeverityError {
			faults[place(i.Expression)] = i.Error()
		}
	}
	return faults
}

// faultsOfHL7 gives the same of HL7's validator. It names the parent of what is
// missing, of what there is too much of and of what does not belong there, and
// the element itself in words.
func faultsOfHL7(issues []issue) map[string]string {
	faults := map[string]string{}
	for _, i := range issues {
		if i.Severity != "error" && i.Severity != "fatal" {
			continue
		}
		path := i.Path
		for _, words := range inWords {
			if m := words.FindStringSubmatch(i.Text); m != nil {
				path += "." + m[1]
				break
			}
		}
		faults[place(path)] = i.String()
	}
	return faults
}

// inWords find the name of an element in what HL7's validator says.
var inWords = []*regexp.Regexp{
	regexp.MustCompile(`^[A-Za-z.:0-9]*\.([A-Za-z]+)(?:\[x\])?(?::\w+)?: (?:minimum required|max allowed)`),
	regexp.MustCompile(`^Slice '[A-Za-z.0-9]*\.([A-Za-z]+):\w+'`),
	regexp.MustCompile(`^(?:Unrecognized property|Undefined element) '([^']+)'`),
}

// The judges name the same place in several ways: with the kind of a choice or
// without, a code by its Coding or by what holds it, a reference by its text or
// by what holds that.
var (
	aside = regexp.MustCompile(`/\*.*?\*/|\.ofType\(\w+\)|\[x\]`)
	deep  = regexp.MustCompile(`(?:\.id|\.coding(?:\[\d+\])?|\.reference|(\.extension\[\d+\])\.url)$`)
)

// place gives the way that this test names an element.
func place(path string) string {
	return deep.ReplaceAllString(aside.ReplaceAllString(path, ""), "$1")
}
