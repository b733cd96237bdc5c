package search

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

func TestFilter(t *testing.T) {
	s := newShelf(t,
		`{"resourceType":"Patient","id":"peter","active":true,"gender":"male","birthDate":"1970-03-05","name":[{"given":["Peter","James"],"family":"Chalmers"}],
			"identifier":[{"system":"http://mrn","value":"77"}],"generalPractitioner":[{"reference":"Practitioner/doc"}]}`,
		`{"resourceType":"Patient","id":"siti","gender":"female","birthDate":"2015-01-01","name":[{"text":"Siti (binti) Ahmad"}],"identifier":[{"system":"http://mrn","value":"78"},{"system":"http://nric","value":"1"}]}`,
		`{"resourceType":"Practitioner","id":"doc","name":[{"family":"Petra"}]}`,
		`{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/peter"},"code":{"coding":[{"system":"http://loinc.org","code":"1234-5"}]},
			"valueQuantity":{"value":5.4,"system":"http://unitsofmeasure.org","code":"mg"},"effectivePeriod":{"start":"2026-01-10","end":"2026-01-20"}}`,
		`{"resourceType":"Observation","id":"o2","status":"final","subject":{"reference":"Patient/siti"},"code":{"coding":[{"system":"http://s","code":"a1"}]},"valueQuantity":{"value":9},"effectiveDateTime":"2026-02"}`,
		`{"resourceType":"ValueSet","id":"v","url":"http://acme.org/fhir/ValueSet/123"}`,
	)
	s.terms = terms{}
	for _, c := range []struct{ typ, filter, want string }{
		{"Patient", `name co "pet"`, "peter"},
		{"Patient", `given eq "peter" and birthdate ge 1970-01-01`, "peter"},
		{"Patient", `given eq pet`, ""},
		{"Patient", `given EQ PETER`, "peter"},
		{"Patient", `given sw pet`, "peter"},
		{"Patient", `given ew ter`, "peter"},
		{"Patient", `given ew pet`, ""},
		{"Patient", `given ne peter`, "peter"}, // James is another
		{"Patient", `family ne chalmers`, ""},
		{"Patient", `name eq "Siti (binti) Ahmad"`, "siti"},
		{"Patient", `gender eq female`, "siti"},
		{"Patient", `gender ne female`, "peter"},
		{"Patient", `identifier eq http://mrn|77`, "peter"},
		{"Patient", `identifier eq 78`, "siti"},
		{"Patient", `identifier eq http://nric|`, "siti"},
		{"Patient", `identifier ne http://mrn|78`, "peter siti"},
		{"Patient", `active pr true`, "peter"},
		{"Patient", `active pr false`, "siti"},
		{"Patient", `not (active pr true)`, "siti"},
		{"Patient", `not(gender eq male or gender eq female)`, ""},
		{"Patient", `gender eq male or gender eq female and active pr true`, "peter"}, // from left to right
		{"Patient", `gender eq male or (gender eq female and active pr false)`, "peter siti"},
		{"Patient", `((gender eq male))`, "peter"},
		{"Patient", `birthdate gt 1970-03-05`, "siti"},
		{"Patient", `birthdate lt 1970-03-05 or birthdate eq 2015`, "siti"},
		{"Patient", `birthdate sa 2014`, "siti"},
		{"Patient", `birthdate eb 1971`, "peter"},
		{"Patient", `birthdate le 1970`, "peter"},
		{"Patient", `birthdate ap 1970-03-05`, "peter"},
		{"Patient", `_id eq peter`, "peter"},
		{"Patient", `_id ne peter`, "siti"},
		{"Patient", `_lastUpdated lt 1970-01-02`, "peter siti"},
		{"Patient", `general-practitioner:Practitioner.name sw petr`, "peter"},
		{"Patient", `general-practitioner re Practitioner/doc`, "peter"},
		{"Patient", `general-practitioner ne Practitioner/doc`, ""},
		{"Observation", `code eq http://loinc.org|1234-5`, "o1"},
		{"Observation", `subject.name co "pet"`, "o1"},
		{"Observation", `subject:Patient.identifier eq http://mrn|78`, "o2"},
		{"Observation", `subject[gender eq female].name co ahmad`, "o2"},
		{"Observation", `subject[gender eq male].name co ahmad`, ""},
		{"Observation", `subject[gender eq male or active pr true].birthdate lt 2000`, "o1"},
		{"Observation", `subject.general-practitioner:Practitioner.name eq petra`, "o1"},
		{"Observation", `not (subject.name co pet)`, "o2"},
		{"Observation", `value-quantity eq 5.4|http://unitsofmeasure.org|mg`, "o1"},
		{"Observation", `value-quantity lt 1|http://unitsofmeasure.org|g`, "o1"},
		{"Observation", `value-quantity gt 6`, "o2"},
		{"Observation", `date po 2026-01-15`, "o1"},
		{"Observation", `date eq 2026-01-15`, ""},
		{"Observation", `date po 2026`, "o1 o2"},
		{"Observation", `code in http://vs/two`, ""},
		{"Observation", `code sb http://s|a1`, "o2"},
		{"Observation", `code ss http://s|a`, "o2"},
		{"Observation", `code-value-quantity eq "1234-5$5.4||mg"`, "o1"},
		{"ValueSet", `url eq http://acme.org/fhir/ValueSet/123`, "v"},
		{"ValueSet", `url sw http://acme.org`, "v"},
		{"ValueSet", `url co fhir/Value`, "v"},
		{"ValueSet", `url ew /123`, "v"},
		{"ValueSet", `url ew /12`, ""},
		{"ValueSet", `url ne http://acme.org`, "v"},
	} {
		if got := s.finds(c.typ + "?_filter=" + url.QueryEscape(c.filter)); got != c.want {
			t.Errorf("%s: %s finds %q, want %q", c.typ, c.filter, got, c.want)
		}
	}
	if got := s.finds("Patient?gender=male&_filter=" + url.QueryEscape("birthdate gt 1960 and birthdate lt 2020")); got != "peter" {
		t.Errorf("beside another condition: %q", got)
	}
}

func TestFilterRefuses(t *testing.T) {
	for _, c := range []struct{ filter, says string }{
		{`status eq (booked`, "character 11"},
		{`status eq boo"ked`, "stands in quotation marks"},
		{"name", "character 5: here a comparison"},
		{"name xx y", "character 6: here a comparison"},
		{"name eq", "character 8: here a value"},
		{"name eq )", "character 9: here a value"},
		{`name eq "x`, "character 9: this quotation mark"},
		{`name eq "\q"`, "cannot be read"},
		{"(name eq x", "character 1: this ( is never closed"},
		{"name eq x)", "character 10: here the filter should end"},
		{"name eq x and", "character 14: here the name"},
		{"name eq x name eq y", "character 11: here the filter should end"},
		{"not name eq x", "character 5: after not"},
		{"colour eq x", "character 1: Patient has no search parameter colour"},
		{"gender co x", "character 1: gender is of type token, which cannot be compared by co"},
		{"birthdate eq soon", "character 1: birthdate must be a date"},
		{"birthdate pr maybe", "true or false"},
		{"gender.name eq x", "character 1: gender is no reference"},
		{"general-practitioner.colour eq x", "character 22"},
		{"general-practitioner:Slot.name eq x", "leads to no Slot"},
		{"organization[name eq x] eq y", "after ] there must be"},
		{"organization[name eq x.name eq y", "is never closed"},
		{"organization.partof.partof.partof.name eq x", "at most 3 references"},
		{strings.Repeat("(", 30) + "name eq x" + strings.Repeat(")", 30), "more than 20 brackets"},
		{"name eq x" + strings.Repeat(" or name eq x", 60), "more than 50 tests"},
		{strings.Repeat("x", 6000), "at most 5000 bytes"},
		{"gender in http://vs", "cannot be compared with value sets here"},
	} {
		_, err := Parse("Patient", url.Values{"_filter": {c.filter}}, base)
		if err == nil || !strings.Contains(err.Error(), c.says) || fhir.Status(err) != 400 {
			t.Errorf("%s: %v (%d), want %q", printable(c.filter), err, fhir.Status(err), c.says)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`name co "pet" and not (gender eq male)`, `general-practitioner[active pr true].name eq "\u0041"`, `identifier eq a|b or birthdate ap 2000`, `((((`, `not(`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		req, err := Parse("Patient", url.Values{"_filter": {filter}}, base)
		if err != nil {
			if status := fhir.Status(err); status != 400 {
				t.Errorf("%q: %d %v", filter, status, err)
			}
		} else if filter != "" && len(req.Query.Where) != 1 {
			t.Errorf("%q gives %d conditions", filter, len(req.Query.Where))
		}
	})
}
