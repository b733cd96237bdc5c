package search

import (
	"slices"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Every parameter that FHIR R4 defines can be asked for, except those that are
// named here.
func TestEveryParameterOfR4(t *testing.T) {
	count := 0
	for _, typ := range Types() {
		if !Stored(typ) {
			continue
		}
		for _, d := range r4.SearchParameters(typ) {
			p, ok := find(typ, d.Code)
			want := (d.Expression != "" || d.Code == inNarrative || d.Code == inContent) && d.Code != "_id" && d.Code != "_lastUpdated" && !slices.Contains(unreadable, typ+"."+d.Code)
			if ok != want {
				t.Errorf("%s.%s (%s): %v, want %v", typ, d.Code, d.Expression, ok, want)
			}
			if ok && p.Type() != d.Type {
				t.Errorf("%s.%s is a %s, want %s", typ, d.Code, p.Type(), d.Type)
			}
			if ok {
				count++
			}
		}
	}
	if count < 1300 {
		t.Errorf("only %d parameters", count)
	}
}

func TestPathsOfExpressions(t *testing.T) {
	for _, c := range []struct {
		typ, expression string
		want            []end
	}{
		{"Account", "Account.subject.where(resolve() is Patient)", []end{{"subject", "Reference"}}},
		{"Patient", "Patient.telecom.where(system='email')", []end{{"telecom(system=email)", "ContactPoint"}}},
		{"Observation", "(Observation.value as CodeableConcept).text", []end{{"valueCodeableConcept.text", "string"}}},
		{"Condition", "Condition.onset.as(Age)", []end{{"onsetAge", "Age"}}},
		{"Patient", "Patient.deceased", []end{{"deceasedBoolean", "boolean"}, {"deceasedDateTime", "dateTime"}}},
		{"Library", "Library.relatedArtifact.where(type='depends-on').resource", []end{{"relatedArtifact(type=depends-on).resource", "canonical"}}},
		{"Patient", "Person.name", nil},
		{"Patient", "Patient.colour", nil},
	} {
		if got := ending(c.typ, c.expression); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.expression, got, c.want)
		}
	}
}

func TestParametersOfR4Find(t *testing.T) {
	s := newShelf(t,
		`{"resourceType":"Observation","id":"o1","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},
			"subject":{"reference":"Patient/p1"},"effectivePeriod":{"start":"2026-01-01","end":"2026-01-02"},
			"valueQuantity":{"value":5.40,"unit":"milligram","system":"http://unitsofmeasure.org","code":"mg"}}`,
		`{"resourceType":"Observation","id":"o2","status":"final","effectiveDateTime":"2026-02","valueQuantity":{"value":5.4,"unit":"kg"}}`,
		`{"resourceType":"Observation","id":"o3","valueString":"Positif"}`,
		`{"resourceType":"Patient","id":"alive","deceasedBoolean":false}`,
		`{"resourceType":"Patient","id":"dead","deceasedDateTime":"2026-01-01"}`,
		`{"resourceType":"Patient","id":"gone","deceasedBoolean":true}`,
		`{"resourceType":"Questionnaire","id":"q","url":"http://q","version":"2"}`,
		`{"resourceType":"QuestionnaireResponse","id":"a","questionnaire":"http://q|2"}`,
		`{"resourceType":"DocumentReference","id":"d","masterIdentifier":{"system":"http://m","value":"1"}}`,
		`{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p1"},"onsetAge":{"value":40,"code":"a","system":"http://unitsofmeasure.org"}}`,
		`{"resourceType":"RiskAssessment","id":"r","prediction":[{"probabilityRange":{"low":{"value":0.2},"high":{"value":0.4}}}]}`,
	)
	for _, c := range []struct{ query, want string }{
		{"Observation?code=http://loinc.org|29463-7", "o1"},
		{"Observation?patient=p1", "o1"},
		{"Observation?date=2026-01", "o1"},
		{"Observation?date=ge2026-02", "o2"},
		{"Observation?value-string=posi", "o3"},
		{"Observation?value-quantity=5.4", "o1 o2"},
		{"Observation?value-quantity=5.4|http://unitsofmeasure.org|mg", "o1"},
		{"Observation?value-quantity=5.4||mg", "o1"},
		{"Observation?value-quantity=5.4||kg", "o2"},
		{"Observation?value-quantity=gt5.4||mg", ""},
		{"Observation?value-quantity=ge5.4||mg", "o1"},
		{"Observation?value-quantity=le5,ge5.3", "o1 o2"},
		{"Observation?value-quantity=ap5||kg", "o2"},
		{"Observation?value-quantity=ne5.4", ""},
		{"Observation?value-quantity:missing=true", "o3"},
		{"Patient?deceased=true", "dead gone"},
		{"Patient?deceased=false", "alive"},
		{"QuestionnaireResponse?questionnaire=http://q", "a"},
		{"QuestionnaireResponse?questionnaire=http://q|3", ""},
		{"DocumentReference?identifier=http://m|1", "d"},
		{"Condition?onset-age=gt39", "c"},
		{"RiskAssessment?probability=gt0.3", "r"},
		{"RiskAssessment?probability=gt0.5", ""},
	} {
		if got := s.finds(c.query); got != c.want {
			t.Errorf("%s finds %q, want %q", c.query, got, c.want)
		}
	}
}

func TestModifiers(t *testing.T) {
	s := newShelf(t,
		`{"resourceType":"Patient","id":"p1","name":[{"text":"Nurul Aïn binti Osman"}],"active":true,"identifier":[
			{"system":"http://mrn","value":"77","type":{"text":"Nombor Rekod","coding":[{"system":"http://types","code":"MR"}]}}]}`,
		`{"resourceType":"Patient","id":"p2","name":[{"text":"Tan, Ah $ Kow"}],"identifier":[{"system":"http://other","value":"77"},{"value":"a,b|c"}]}`,
		`{"resourceType":"ValueSet","id":"top","url":"http://acme.org/fhir"}`,
		`{"resourceType":"ValueSet","id":"low","url":"http://acme.org/fhir/ValueSet/123"}`,
		`{"resourceType":"ValueSet","id":"near","url":"http://acme.org/fhirpath"}`,
		`{"resourceType":"Condition","id":"c1","code":{"text":"Sakit Kepala","coding":[{"system":"http://snomed.info/sct","code":"25064002","display":"Headache"}]}}`,
		`{"resourceType":"Condition","id":"c2","meta":{"tag":[{"code":"t"}]},"code":{"coding":[{"code":"25064002"}]},"subject":{"identifier":{"system":"http://mrn","value":"77"}}}`,
	)
	for _, c := range []struct{ query, want string }{
		{"Patient?name:contains=RUL%20AIN", "p1"},
		{"Patient?name:contains=xyz", ""},
		{"Patient?name:exact=Nurul%20A%C3%AFn%20binti%20Osman", "p1"},
		{"Patient?name:exact=nurul%20ain%20binti%20osman", ""},
		{"Patient?name=tan%5C,%20ah%20%5C$%20kow", "p2"},
		{"Patient?name=osman,tan", "p1 p2"},
		{"Patient?name=osman&name=tan", ""},
		{"Patient?identifier=77", "p1 p2"},
		{"Patient?identifier=http://mrn|77", "p1"},
		{"Patient?identifier=|77", ""},
		{"Patient?identifier=http://mrn|", "p1"},
		{"Patient?identifier=a%5C,b%5C|c", "p2"},
		{"Patient?identifier:not=http://mrn|77", "p2"},
		{"Patient?identifier:text=nombor", "p1"},
		{"Patient?identifier:of-type=http://types|MR|77", "p1"},
		{"Patient?identifier:of-type=http://types|MR|78", ""},
		{"Patient?active:missing=true", "p2"},
		{"Patient?active:not=true", "p2"},
		{"ValueSet?url:below=http://acme.org/fhir", "low top"},
		{"ValueSet?url:above=http://acme.org/fhir/ValueSet/123/_history/5", "low top"},
		{"ValueSet?url=http://acme.org/fhir", "top"},
		{"Condition?code:text=head", "c1"},
		{"Condition?code:text=sakit", "c1"},
		{"Condition?code=|25064002", "c2"},
		{"Condition?_tag:missing=true", "c1"},
		{"Condition?subject:identifier=http://mrn|77", "c2"},
	} {
		if got := s.finds(c.query); got != c.want {
			t.Errorf("%s finds %q, want %q", c.query, got, c.want)
		}
	}
}
