package oracle

import (
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/fhir/r4/r4test"
)

// samples gives R4's examples from HL7's test cases and the valid records of
// this folder.
func samples(t *testing.T) (all []record) {
	t.Helper()
	z := testCases(t)
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, "org/hl7/fhir/testcases/r4/examples/")
		if !ok || path.Ext(name) != ".json" {
			continue
		}
		all = append(all, record{name, parsed(t, z.read(t, "r4/examples/"+name))})
	}
	for _, r := range records(t) {
		if strings.HasPrefix(r.name, "records/") && strings.Count(filepath.Base(r.name), "-") < 2 {
			all = append(all, r)
		}
	}
	return all
}

// exponents is a sample with numbers such as 1E-22. HAPI writes them in full when
// they come from JSON, and as they are when they come from XML.
const exponents = "observation-decimal.json"

// HAPI's parsers read the same out of a document in JSON and out of the XML
// that Jumpa makes of it; and Jumpa reads the XML of HAPI's as HAPI reads the
// JSON.
func TestHAPIReadsTheXMLOfJumpaAndJumpaThatOfHAPI(t *testing.T) {
	all := samples(t)
	if len(all) < 70 {
		t.Fatalf("there are only %d samples", len(all))
	}
	sampled := len(all)
	for _, typ := range r4test.Resources() {
		for seed := range uint64(3) {
			doc := parsed(t, fhir.Marshal(r4test.NewSound(seed, 3).Resource(typ, 5)))
			all = append(all, record{typ + " " + strconv.FormatUint(seed, 10), doc})
		}
	}
	var tasks []task
	for _, r := range all {
		x, err := fhirxml.Encode(r.doc)
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		tasks = append(tasks, task{Document: string(r.doc.Bytes()), Write: true}, task{Document: string(x), Write: true})
	}
	answers := ask(t, tasks)
	var back []task // what Jumpa makes of HAPI's XML
	var of []int
	for i, r := range all {
		fromJSON, fromXML := answers[2*i], answers[2*i+1]
		switch {
		case fromJSON.Error != "" && fromXML.Error != "":
			if i < sampled {
				t.Errorf("%s: HAPI does not read it: %s", r.name, fromJSON.Error)
			}
			continue
		case fromJSON.Error != fromXML.Error:
			t.Errorf("%s: in one format HAPI does not read it: %q, %q", r.name, fromJSON.Error, fromXML.Error)
			continue
		case fromJSON.JSON != fromXML.JSON && r.name == exponents:
			continue
		case fromJSON.JSON != fromXML.JSON || fromJSON.XML != fromXML.XML:
			t.Errorf("%s: HAPI reads from JSON, and from XML:\n%s", r.name, apart(fromJSON.JSON, fromXML.JSON))
			continue
		}
		doc, err := fhirxml.Decode([]byte(fromJSON.XML), fhir.DefaultLimits)
		if err != nil {
			t.Errorf("%s: Jumpa does not read HAPI's XML: %v\n%s", r.name, err, fromJSON.XML)
			continue
		}
		back, of = append(back, task{Document: string(doc.Bytes()), Write: true}), append(of, i)
	}
	for i, a := range ask(t, back) {
		// HAPI's XML has other white space in narratives than its JSON.
		if want, got := squeezed(answers[2*of[i]].JSON), squeezed(a.JSON); got != want || a.Error != "" {
			t.Errorf("%s: HAPI reads from JSON, and Jumpa from HAPI's XML: %s\n%s", all[of[i]].name, a.Error, apart(want, got))
		}
	}
	t.Logf("%d of %d documents", len(back), len(all))
	if len(back) < len(all)*9/10 {
		t.Errorf("HAPI reads only %d of %d documents", len(back), len(all))
	}
}

var space = regexp.MustCompile(`(?:\\[nrt]|\s)+`)

func squeezed(text string) string {
	text = space.ReplaceAllString(text, " ")
	return strings.NewReplacer("> ", ">", " <", "<").Replace(text)
}

// apart gives two texts from shortly before they differ.
func apart(a, b string) string {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(0, at-60)
	return a[from:min(len(a), at+100)] + "\n" + b[from:min(len(b), at+100)]
}
