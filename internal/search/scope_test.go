package search

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// belongsByURI are members of a compartment that are named by a parameter which
// is no reference to a record: a message goes to an address.
var belongsByURI = []string{"MessageHeader.target"}

// Every parameter by which FHIR R4 has a type belong to a compartment is indexed
// as a reference that may lead there.
func TestCompartmentsAreIndexed(t *testing.T) {
	n := 0
	for _, c := range r4.Compartments() {
		for _, m := range c.Members {
			for _, code := range m.Params {
				p, ok := find(m.Type, code)
				if code == r4.Itself || !Stored(m.Type) || slices.Contains(belongsByURI, m.Type+"."+code) {
					continue
				}
				n++
				if !ok || p.Kind != Reference || !p.leadsTo(c.Code) {
					t.Errorf("%s belongs to a %s by %s, which is %+v", m.Type, c.Code, code, p)
				}
			}
		}
	}
	if n < 250 {
		t.Errorf("only %d parameters", n)
	}
}

func TestCompartmentsOfADocument(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"resourceType":"Patient","id":"p1"}`, "Patient/p1"},
		{`{"resourceType":"Patient","id":"p1","link":[{"other":{"reference":"Patient/p2"}}],"generalPractitioner":[{"reference":"Practitioner/d"},{"reference":"Organization/o"}]}`, "Patient/p1 Patient/p2 Practitioner/d"},
		{`{"resourceType":"Organization","id":"o"}`, ""},
		{`{"resourceType":"Encounter","id":"e","subject":{"reference":"` + base + `/Patient/p1"},"participant":[{"individual":{"reference":"Practitioner/d"}},{"individual":{"reference":"RelatedPerson/r"}}]}`, "Encounter/e Patient/p1 Practitioner/d RelatedPerson/r"},
		{`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p1/_history/3"},"encounter":{"reference":"Encounter/e"},"device":{"reference":"Device/d"},"performer":[{"reference":"Patient/p1"}]}`, "Device/d Encounter/e Patient/p1"},
		{`{"resourceType":"Slot","id":"s","schedule":{"reference":"Schedule/s"}}`, ""},
		{`{"resourceType":"Observation","id":"o","subject":{"reference":"https://elsewhere.example/Patient/p1"}}`, ""},
	} {
		doc, err := fhir.Parse([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range Index(doc, base) {
			if e.Param == inCompartment {
				got = append(got, e.Value)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.body, got, c.want)
		}
	}
}

// What is searched, how it is written down, and which conditions hold.
func TestScopes(t *testing.T) {
	for _, c := range []struct {
		path, query string
		types       string // of the query
		where       int
		about       string
		unknown     string
	}{
		{"Patient", "name=x", "Patient", 1, "Patient", ""},
		{"Patient", "_type=Patient", "Patient", 0, "Patient", "_type=Patient"},
		{"", "_type=Patient,Encounter&_lastUpdated=ge2026", "Patient Encounter", 1, "*", ""},
		{"", "_type=Patient&_type=Encounter,Patient&identifier=1", "Patient Encounter", 1, "*", ""},
		{"", "_type=Encounter&class=VR", "Encounter", 1, "Encounter", ""},
		{"", "_type=Encounter,Observation&subject=Patient/1&_sort=-date,_id", "Encounter Observation", 1, "*", ""},
		{"", "_type=Encounter,Observation&class=VR&_sort=class", "Encounter Observation", 0, "*", "_sort=class class"},
		{"", "_type=Encounter,Observation&_include=Observation:performer&_revinclude=Provenance:target&_include=Slot:schedule", "Encounter Observation", 0, "*", "_include=Slot:schedule"},
		{"", "_type=Encounter,Observation&patient.name=x", "Encounter Observation", 1, "*", ""},
		{"Patient/1/Encounter", "status=finished", "Encounter", 2, "Patient/1", ""},
		{"Patient/1/*", "_type=Encounter,Condition", "Encounter Condition", 1, "Patient/1", ""},
		{"Practitioner/1/Practitioner", "", "Practitioner", 1, "Practitioner/1", ""},
		{"Patient/1/AuditEvent", "", "AuditEvent", 1, "Patient/1", ""},
		{"Encounter", "_contained=false", "Encounter", 0, "Encounter", ""},
		{"Encounter", "_contained=both&_containedType=container", "Encounter", 0, "Encounter", "_contained=both _containedType"},
	} {
		values, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		req, err := Parse(c.path, values, base)
		r := reader{Request: req}
		if got := strings.Join(r.types(), " "); err != nil || got != c.types || len(req.Query.Where) != c.where || req.About() != c.about || req.Path != c.path {
			t.Errorf("%s?%s: %s, %d conditions, about %s, %v", c.path, c.query, got, len(req.Query.Where), req.About(), err)
		}
		if got := strings.Join(req.Unknown, " "); got != c.unknown {
			t.Errorf("%s?%s: unknown are %q, want %q", c.path, c.query, got, c.unknown)
		}
	}
	all, err := Parse("", nil, base)
	if err != nil || len(all.Query.Types) != len(Types())-1 || slices.Contains(all.Query.Types, "AuditEvent") {
		t.Errorf("the whole system has %d types, %v", len(all.Query.Types), err)
	}
	member, err := Parse("Encounter/1/*", nil, base)
	if err != nil || len(member.Query.Types) != 25 || !slices.Contains(member.Query.Types, "Encounter") {
		t.Errorf("an encounter has %v, %v", member.Query.Types, err)
	}
	for _, c := range []struct {
		path, query string
		status      int
		says        string
	}{
		{"Nothing", "", 404, "not a resource type"},
		{"Organization/1/Patient", "", 404, "no compartment of Organization"},
		{"Patient/1/Slot", "", 404, "Slot resources do not belong"},
		{"Encounter/1/AuditEvent", "", 404, "AuditEvent resources do not belong"},
		{"Patient/1/Nothing", "", 404, "do not belong"},
		{"Patient/a b/Encounter", "", 400, "address of a search"},
		{"Patient/1", "", 400, "address of a search"},
		{"Patient/1/Encounter/2", "", 400, "address of a search"},
		{"", "_type=Nothing", 400, "Nothing is none"},
		{"", "_type=Patient,AuditEvent", 400, "by themselves"},
		{"Patient/1/*", "_type=Slot", 400, "do not belong"},
	} {
		values, _ := url.ParseQuery(c.query)
		_, err := Parse(c.path, values, base)
		if err == nil || fhir.Status(err) != c.status || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s?%s: %v, want %d with %q", c.path, c.query, err, c.status, c.says)
		}
	}
}

// The self link says how many matches a page really has.
func TestCountIsAsFarAsItGoes(t *testing.T) {
	for given, want := range map[string]string{"_count=5000": "200", "_count=7": "7", "_count=7&_count=300": "200", "_count=0": "0", "_summary=count&_count=7": "7"} {
		values, _ := url.ParseQuery(given)
		req, err := Parse("Patient", values, base)
		if got := req.Applied.Get("_count"); err != nil || got != want {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
}
