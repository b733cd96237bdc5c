package fhirpath

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The expressions of R4's own definitions, as internal/gen found them: key and
// expression of each constraint; types, code and expression of each search
// parameter.
var (
	//go:embed testdata/constraints.txt
	constraintText string
	//go:embed testdata/searches.txt
	searchText string
)

func rows(t testing.TB, text string, columns, atLeast int) (rs [][]string) {
	t.Helper()
	for l := range strings.Lines(text) {
		r := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
		if len(r) != columns {
			t.Fatalf("%q has %d columns", l, len(r))
		}
		rs = append(rs, r)
	}
	if len(rs) < atLeast {
		t.Fatalf("only %d expressions", len(rs))
	}
	return rs
}

// samplesOf gives documents of many kinds to evaluate on.
func samplesOf(t testing.TB) []*fhir.Document {
	ds := []*fhir.Document{
		parsed(t, encounterText),
		parsed(t, patient(`"name":[{"family":"Tan","period":{"start":"2020","end":"2021-01"}}],"telecom":[{"system":"phone","value":"1"}],"deceasedBoolean":true,"link":[{"other":{"reference":"Patient/2"}}]`)),
		parsed(t, `{"resourceType":"Bundle","type":"searchset","total":1,"entry":[{"fullUrl":"http://x/Patient/1","resource":{"resourceType":"Patient","id":"1"},"search":{"mode":"match"}}]}`),
		parsed(t, `{"resourceType":"Observation","status":"final","code":{"coding":[{"code":"c"}]},"valueQuantity":{"value":1,"unit":"mg"},"component":[{"code":{"coding":[{"code":"d"}]},"valueCodeableConcept":{"text":"x"}}]}`),
		parsed(t, `{"resourceType":"Slot","id":"a","_start":{"extension":[{"url":"u","valueString":"x"}]},"end":"2026-11-23T09:00:00Z","comment":null,"schedule":[]}`),
	}
	return ds
}

// Every constraint compiles, and judges every element of every sample without
// an error of the language.
func TestConstraintsOfR4(t *testing.T) {
	all := rows(t, constraintText, 2, 240)
	var elements []Value
	everything := MustCompile("$this | descendants()")
	for _, d := range samplesOf(t) {
		c, err := everything.Evaluate(t.Context(), d.Root(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		elements = append(elements, c...)
	}
	// Constraints that take a certain type are errors on others: these take any.
	anywhere := []string{"ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "per-1", "txt-1", "ref-1"}
	found := 0
	for _, r := range all {
		e, err := Compile(r[1])
		if err != nil {
			t.Errorf("%s: %v", r[0], err)
			continue
		}
		if !slices.Contains(anywhere, r[0]) {
			continue
		}
		found++
		for _, v := range elements {
			if r[0] != "ele-1" && (r[0] == "ext-1") != (v.Type() == "Extension") {
				continue
			}
			if _, err := e.EvaluateOn(t.Context(), v, Options{}); err != nil {
				t.Errorf("%s on %s: %v", r[0], v.Node().Path(), err)
			}
		}
	}
	if found < len(anywhere) {
		t.Errorf("only %d of %q", found, anywhere)
	}
}

// Every search parameter compiles, names only elements that exist, and indexes
// every sample of its type without an error.
func TestSearchParametersOfR4(t *testing.T) {
	samples := samplesOf(t)
	evaluated, checked := 0, 0
	for _, r := range rows(t, searchText, 3, 1375) {
		e, err := Compile(r[2])
		if err != nil {
			t.Errorf("%s of %s: %v", r[1], r[0], err)
			continue
		}
		// One of several types is spelled with the elements of the others too.
		if !strings.Contains(r[0], ",") && !strings.Contains(r[2], "|") {
			checked++
			if err := e.Check(R4(), r[0]); err != nil {
				t.Errorf("%s of %s: %v", r[1], r[0], err)
			}
		}
		for _, d := range samples {
			if !slices.ContainsFunc(strings.Split(r[0], ","), func(base string) bool { return isA(R4(), d.Type(), base) }) {
				continue
			}
			evaluated++
			if _, err := e.Evaluate(t.Context(), d.Root(), Options{Resolver: ReferenceTypes{}}); err != nil {
				t.Errorf("%s on %s: %v", r[1], d.Type(), err)
			}
		}
	}
	if evaluated < 80 || checked < 1000 {
		t.Errorf("only %d search parameters were evaluated, %d checked", evaluated, checked)
	}
}

func TestSearchParametersFindWhatTheyShould(t *testing.T) {
	d := parsed(t, encounterText)
	want := map[string]string{
		"Encounter/status":           "in-progress",
		"Encounter/practitioner":     "Practitioner/dr-1|https://other.example/fhir/Practitioner/dr-2/_history/4",
		"Encounter/patient":          "#p1",
		"Encounter/subject":          "#p1",
		"Encounter/location":         "#room",
		"Encounter/length":           "30 minutes",
		"Encounter/service-provider": "Organization/org-1",
		"Encounter/class":            "Encounter.class",
		"Resource/_id":               "enc-1",
		"Resource/_lastUpdated":      "2026-11-23T09:30:00.123+08:00",
		"Resource/_profile":          "http://example.org/StructureDefinition/vc-encounter",
	}
	for _, r := range rows(t, searchText, 3, 1375) {
		for _, base := range strings.Split(r[0], ",") {
			w, ok := want[base+"/"+r[1]]
			if !ok {
				continue
			}
			delete(want, base+"/"+r[1])
			c, err := MustCompile(r[2]).Evaluate(t.Context(), d.Root(), Options{Resolver: ReferenceTypes{}})
			var got []string
			for _, v := range c {
				switch {
				case v.Type() == "Reference":
					got = append(got, v.Node().Get("reference").String())
				case v.String() != "":
					got = append(got, v.String())
				default:
					got = append(got, v.Node().Path())
				}
			}
			if err != nil || strings.Join(got, "|") != w {
				t.Errorf("%s: %q, %v; want %q", r[1], got, err, w)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no such search parameters: %v", want)
	}
}

func TestConstraintsJudge(t *testing.T) {
	texts := map[string][]string{}
	for _, r := range rows(t, constraintText, 2, 240) {
		texts[r[0]] = append(texts[r[0]], r[1])
	}
	for _, x := range []struct {
		key, path, typ, doc string
		want                bool
	}{
		{"per-1", "period", "Period", `"period":{"start":"2026-11-23T09:00:00Z","end":"2026-11-23T08:00:00Z"}`, false},
		{"per-1", "period", "Period", `"period":{"start":"2026-11-23T09:00:00Z","end":"2026-11-23T10:00:00Z"}`, true},
		{"per-1", "period", "Period", `"period":{"end":"2026-11-23T10:00:00Z"}`, true},
		{"ext-1", "extension", "Extension", `"extension":[{"url":"x"}]`, false},
		{"ext-1", "extension", "Extension", `"extension":[{"url":"x","valueString":"a"}]`, true},
		{"ext-1", "_status.extension", "Extension", `"status":"x","_status":{"extension":[{"url":"x"}]}`, false},
		{"ele-1", "class", "Coding", `"class":{}`, false},
		{"ele-1", "class", "Coding", `"class":{"code":"VR"}`, true},
		{"ele-1", "class", "Coding", `"class":{"id":"x"}`, false},
		{"txt-1", "text.div", "xhtml", `"text":{"div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>"}`, false},
		{"dom-3", "", "", `"contained":[{"resourceType":"Patient","id":"p"}]`, false},
		{"dom-3", "", "", `"contained":[{"resourceType":"Patient","id":"p"}],"subject":{"reference":"#p"}`, true},
		{"dom-2", "", "", `"contained":[{"resourceType":"Patient","contained":[{"resourceType":"Patient"}]}]`, false},
		{"ref-1", "subject", "Reference", `"subject":{"reference":"#p"}`, false},
		{"ref-1", "subject", "Reference", `"subject":{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p"}]`, true},
	} {
		d := parsed(t, `{"resourceType":"Encounter",`+x.doc+`}`)
		node := d.Root()
		if x.path != "" {
			node = d.Get(x.path)
		}
		for _, text := range texts[x.key] {
			c, err := MustCompile(text).Evaluate(t.Context(), node, Options{Type: x.typ, Resource: d.Root()})
			if got, known := c.Bool(); err != nil || !known || got != x.want {
				t.Errorf("%s on %s: %v, %v; want %v", x.key, x.doc, c.Strings(), err, x.want)
			}
		}
		if texts[x.key] == nil {
			t.Errorf("there is no %s", x.key)
		}
	}
}

func TestModelOfR4(t *testing.T) {
	m := R4().(table)
	for _, x := range []struct{ typ, name, want string }{
		{"Patient", "contact", "Patient.contact"}, {"Patient.contact", "name", "HumanName"}, {"Patient.contact", "id", "string"}, {"Patient", "id", "id"},
		{"Patient", "deceased", "boolean|dateTime"}, {"Questionnaire.item", "item", "Questionnaire.item"}, {"Bundle.entry", "link", "Bundle.link"},
		{"Age", "value", "decimal"}, {"Extension", "url", "uri"}, {"Narrative", "div", "xhtml"}, {"Encounter", "contained", "Resource"}, {"Patient", "nothing", ""}, {"Nothing", "id", ""},
	} {
		e, ok := m.Element(x.typ, x.name)
		got := e.Type
		for i, c := range e.Choices {
			if i > 0 {
				got += "|"
			}
			got += c.Type
		}
		if got != x.want || ok != (x.want != "") {
			t.Errorf("%s.%s is %q, want %q", x.typ, x.name, got, x.want)
		}
	}
	e, _ := m.Element("Extension", "value")
	if len(e.Choices) != 50 || !slices.Contains(e.Choices, Choice{"dateTime", "valueDateTime", "_valueDateTime"}) {
		t.Errorf("the value of an extension: %v", e.Choices)
	}
	// Every name in the table leads somewhere.
	resources := 0
	for name, d := range m {
		if d.super != "" && m[d.super] == nil {
			t.Errorf("%s specialises %s, which is not there", name, d.super)
		}
		if isA(m, name, "Resource") && !strings.Contains(name, ".") {
			resources++
		}
		for e, el := range d.elements {
			types := []string{el.Type}
			for _, c := range el.Choices {
				types = append(types, c.Type)
			}
			for _, typ := range types {
				if typ != "" && m[typ] == nil || typ == "" && len(el.Choices) == 0 {
					t.Errorf("%s.%s is a %q, which is not there", name, e, typ)
				}
			}
		}
	}
	if resources != 146+3 { // and the abstract Resource, DomainResource and MetadataResource
		t.Errorf("%d resources", resources)
	}
}
