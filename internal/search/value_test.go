package search

import (
	"net/url"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// finding is a search and what it finds, ids in order.
type finding struct{ query, want string }

func (s shelf) check(cases []finding) {
	s.t.Helper()
	for _, c := range cases {
		if got := s.finds(c.query); got != c.want {
			s.t.Errorf("%s finds %q, want %q", c.query, got, c.want)
		}
	}
}

// What the specification says in 3.1.1.4.5 of numbers.
func TestNumbers(t *testing.T) {
	risk := func(id, probability string) string {
		return `{"resourceType":"RiskAssessment","id":"` + id + `","prediction":[{"probabilityDecimal":` + probability + `}]}`
	}
	s := newShelf(t, risk("a", "100"), risk("b", "99.5"), risk("c", "100.5"), risk("d", "100.004"), risk("e", "104"), risk("f", "106"),
		risk("g", "0.0000000001"), risk("h", "1.5e2"), risk("i", "-3"), risk("j", "0.30000000000000004"))
	s.check([]finding{
		{"RiskAssessment?probability=100", "a b d"},
		{"RiskAssessment?probability=100.0", "a d"},
		{"RiskAssessment?probability=100.00", "a d"},
		{"RiskAssessment?probability=100.000", "a"},
		{"RiskAssessment?probability=1e2", "a b c d e"},
		{"RiskAssessment?probability=1.00e2", "a b d"},
		{"RiskAssessment?probability=ne100", "c e f g h i j"},
		{"RiskAssessment?probability=lt100", "b g i j"},
		{"RiskAssessment?probability=le100", "a b g i j"},
		{"RiskAssessment?probability=gt100", "c d e f h"},
		{"RiskAssessment?probability=ge100", "a c d e f h"},
		{"RiskAssessment?probability=sa100.5", "e f h"},
		{"RiskAssessment?probability=eb99.5", "g i j"},
		{"RiskAssessment?probability=ap100", "a b c d e f"},
		{"RiskAssessment?probability=1e-10", "g"},
		{"RiskAssessment?probability=0.0000000001", "g"},
		{"RiskAssessment?probability=gt0.0000000001&probability=lt1", "j"},
		{"RiskAssessment?probability=150", "h"},
		{"RiskAssessment?probability=-3", "i"},
		{"RiskAssessment?probability=lt-2.9", "i"},
		{"RiskAssessment?probability=0.3", "j"},
		{"RiskAssessment?probability=0.30000000000000004", "j"},
		{"RiskAssessment?probability=100,-3", "a b d i"},
	})
}

// What the specification says in 3.1.1.4.12 of quantities.
func TestQuantities(t *testing.T) {
	observation := func(id, quantity string) string {
		return `{"resourceType":"Observation","id":"` + id + `","valueQuantity":{` + quantity + `}}`
	}
	const ucum = `"system":"http://unitsofmeasure.org",`
	s := newShelf(t,
		observation("mg", ucum+`"value":1000,"unit":"milligram","code":"mg"`),
		observation("g", ucum+`"value":1,"code":"g"`),
		observation("kg", ucum+`"value":0.002,"code":"kg"`),
		observation("text", `"value":1,"unit":"g"`),
		observation("other", `"value":1,"system":"http://units.example","code":"g"`),
		observation("less", ucum+`"value":5,"comparator":"<","code":"g"`),
		observation("most", ucum+`"value":5,"comparator":"<=","code":"g"`),
		observation("more", ucum+`"value":5,"comparator":">","code":"g"`),
		observation("mmHg", ucum+`"value":120,"code":"mm[Hg]"`),
		observation("cel", ucum+`"value":37.5,"code":"Cel"`),
		observation("dL", ucum+`"value":90,"code":"mg/dL"`),
	)
	s.check([]finding{
		{"Observation?value-quantity=1|http://unitsofmeasure.org|g", "g mg"},
		{"Observation?value-quantity=1000|http://unitsofmeasure.org|mg", "g mg"},
		{"Observation?value-quantity=1e6|http://unitsofmeasure.org|ug", "g mg"},
		{"Observation?value-quantity=0.001|http://unitsofmeasure.org|kg", "g mg"},
		{"Observation?value-quantity=gt1|http://unitsofmeasure.org|g", "kg less more most"},
		{"Observation?value-quantity=ge1000|http://unitsofmeasure.org|mg", "g kg less mg more most"},
		{"Observation?value-quantity=lt1|http://unitsofmeasure.org|g", "less most"},
		{"Observation?value-quantity=sa5|http://unitsofmeasure.org|g", "more"},
		{"Observation?value-quantity=gt5|http://unitsofmeasure.org|g", "more"},
		{"Observation?value-quantity=ge5|http://unitsofmeasure.org|g", "more"},
		{"Observation?value-quantity=1||g", "g other text"},
		{"Observation?value-quantity=1000||milligram", "mg"},
		{"Observation?value-quantity=1000||mg", "mg"},
		{"Observation?value-quantity=1|http://units.example|g", "other"},
		{"Observation?value-quantity=1000|http://units.example|mg", ""},
		{"Observation?value-quantity=1", "g other text"},
		{"Observation?value-quantity=120|http://unitsofmeasure.org|mm[Hg]", "mmHg"},
		{"Observation?value-quantity=16|http://unitsofmeasure.org|kPa", "mmHg"},
		{"Observation?value-quantity=37.5|http://unitsofmeasure.org|Cel", "cel"},
		{"Observation?value-quantity=0.9|http://unitsofmeasure.org|g/L", "dL"},
		{"Observation?value-quantity=1|http://unitsofmeasure.org|g,120||mm[Hg]", "g mg mmHg"},
		{"Observation?value-quantity:missing=false", "cel dL g kg less mg mmHg more most other text"},
	})
}

func TestComposites(t *testing.T) {
	const loinc = `"system":"http://loinc.org",`
	pressure := func(id, systolic, diastolic string) string {
		return `{"resourceType":"Observation","id":"` + id + `","code":{"coding":[{` + loinc + `"code":"85354-9"}]},"component":[
			{"code":{"coding":[{` + loinc + `"code":"8480-6"},{"system":"http://snomed.info/sct","code":"271649006"}]},"valueQuantity":{"value":` + systolic + `,"unit":"mmHg"}},
			{"code":{"coding":[{` + loinc + `"code":"8462-4"}]},"valueQuantity":{"value":` + diastolic + `,"unit":"mmHg"}}]}`
	}
	s := newShelf(t, pressure("high", "160", "95"), pressure("low", "95", "60"),
		`{"resourceType":"Observation","id":"weight","code":{"coding":[{`+loinc+`"code":"29463-7"}]},"valueQuantity":{"value":72000,"system":"http://unitsofmeasure.org","code":"g"}}`,
		`{"resourceType":"Observation","id":"group","code":{"coding":[{`+loinc+`"code":"883-9"}]},"valueCodeableConcept":{"coding":[{"system":"http://groups","code":"A"}]}}`,
		`{"resourceType":"Observation","id":"note","code":{"coding":[{"code":"note"}]},"valueString":"Sihat, $5 | baik"}`,
		`{"resourceType":"Observation","id":"due","code":{"coding":[{"code":"due"}]},"valueDateTime":"2026-11-23"}`,
		`{"resourceType":"Observation","id":"stay","code":{"coding":[{"code":"due"}]},"valuePeriod":{"start":"2026-11-20","end":"2026-11-30"}}`,
		`{"resourceType":"Group","id":"g","characteristic":[{"code":{"coding":[{"code":"sex"}]},"valueCodeableConcept":{"coding":[{"code":"female"}]}},
			{"code":{"coding":[{"code":"alive"}]},"valueBoolean":true}]}`,
		`{"resourceType":"DocumentReference","id":"d","relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/1"}},{"code":"appends","target":{"reference":"DocumentReference/2"}}]}`,
		`{"resourceType":"ValueSet","id":"v","useContext":[{"code":{"code":"age"},"valueRange":{"low":{"value":20,"unit":"a"},"high":{"value":40,"unit":"a"}}},{"code":{"system":"http://u","code":"focus"},"valueCodeableConcept":{"coding":[{"code":"x"}]}}]}`,
	)
	s.check([]finding{
		{"Observation?component-code-value-quantity=http://loinc.org|8480-6$gt150", "high"},
		{"Observation?component-code-value-quantity=8480-6$160", "high"},
		{"Observation?component-code-value-quantity=8462-4$gt90", "high"},
		{"Observation?component-code-value-quantity=http://loinc.org|8462-4$95", "high"}, // and not the other, whose systolic pressure is 95
		{"Observation?component-code-value-quantity=http://loinc.org|8480-6$lt100", "low"},
		{"Observation?component-code-value-quantity=http://snomed.info/sct|271649006$160||mmHg", "high"},
		{"Observation?component-code-value-quantity=http://snomed.info/sct|$ge90", "high low"},
		{"Observation?component-code-value-quantity=|8480-6$160", ""},
		{"Observation?component-code-value-quantity=8480-6$160||kPa", ""},
		{"Observation?component-code-value-quantity=8480-6$95,8480-6$160", "high low"},
		{"Observation?component-code-value-quantity=8480-6$gt90&component-code-value-quantity=8462-4$lt70", "low"},
		{"Observation?combo-code-value-quantity=8480-6$160", "high"},
		{"Observation?combo-code-value-quantity=29463-7$72|http://unitsofmeasure.org|kg", "weight"},
		{"Observation?code-value-quantity=http://loinc.org|29463-7$gt70|http://unitsofmeasure.org|kg", "weight"},
		{"Observation?code-value-quantity=8480-6$160", ""},
		{"Observation?code-value-concept=883-9$http://groups|A", "group"},
		{"Observation?code-value-concept=883-9$B", ""},
		{"Observation?code-value-concept=29463-7$A", ""},
		{`Observation?code-value-string=note$sihat\,%20\$5%20\|%20baik`, "note"},
		{"Observation?code-value-date=due$2026-11-23", "due"},
		{"Observation?code-value-date=due$ge2026-11-25", "stay"},
		{"Group?characteristic-value=sex$female", "g"},
		{"Group?characteristic-value=alive$true", "g"},
		{"Group?characteristic-value=sex$true", ""},
		{"DocumentReference?relationship=replaces$DocumentReference/1", "d"},
		{"DocumentReference?relationship=appends$DocumentReference/1", ""},
		{"DocumentReference?relationship=appends$2", "d"},
		{"ValueSet?context-type-quantity=age$ge30||a", "v"},
		{"ValueSet?context-type-value=http://u|focus$x", "v"},
		{"ValueSet?context-type-value=age$x", ""},
		{"Observation?code-value-concept:missing=false", ""},
	})
}

func TestWords(t *testing.T) {
	s := newShelf(t,
		`{"resourceType":"Patient","id":"p","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Nurul A&iuml;n &amp; family</p><table><td>headache</td></table></div>"},
			"name":[{"text":"Osman"}],"identifier":[{"value":"secret"}],"contact":[{"name":{"text":"Mak Cik Kiah"}}]}`,
		`{"resourceType":"Condition","id":"c","code":{"text":"Sakit kepala (migrain)","coding":[{"code":"25064002","display":"Headache"}]},"note":[{"text":"Bertambah *teruk* waktu malam."}],
			"extension":[{"url":"http://x","valueString":"berulang"}],"stage":[{"summary":{"text":"lanjut"}}]}`,
		`{"resourceType":"Condition","id":"d","code":{"text":"Sakit perut"}}`,
	)
	s.check([]finding{
		{"Patient?_text=headache", "p"},
		{"Patient?_text=NURUL%20ain", "p"},
		{"Patient?_text=family%20headache", "p"},
		{"Patient?_text=family%20fever", ""},
		{"Patient?_text=osman", ""},
		{"Patient?_text=div", ""},
		{"Patient?_content=headache", "p"},
		{"Patient?_content=osman%20kiah", "p"},
		{"Patient?_content=secret", ""},
		{"Condition?_content=sakit", "c d"},
		{"Condition?_content=migrain", "c"},
		{"Condition?_content=teruk%20malam", "c"},
		{"Condition?_content=berulang", "c"},
		{"Condition?_content=lanjut", "c"},
		{"Condition?_content=headache", ""}, // a display
		{"Condition?_content=25064002", ""},
		{"Condition?_content=perut%20OR%20kepala", "c d"},
		{"Condition?_content=perut,kepala", "c d"},
		{"Condition?_content=sakit%20perut%20OR%20demam", "d"},
		{"Condition?_content=sak", ""},
		{"Condition?_text=sakit", ""},
	})
}

func TestReferencesAndTokens(t *testing.T) {
	s := newShelf(t,
		`{"resourceType":"Encounter","id":"e1","subject":{"reference":"Patient/p1"},"location":[{"location":{"reference":"Location/bed"}}]}`,
		`{"resourceType":"Encounter","id":"e2","subject":{"reference":"https://hie.example/baseR4/Patient/p1/_history/2"},"location":[{"location":{"reference":"Location/ward"}}]}`,
		`{"resourceType":"Encounter","id":"e3","subject":{"reference":"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"}}`,
		`{"resourceType":"Encounter","id":"e4","subject":{"reference":"https://other.example/Patient/p1"}}`,
		`{"resourceType":"Encounter","id":"e5","subject":{"type":"Patient","identifier":{"system":"http://mrn","value":"77"}}}`,
		`{"resourceType":"Location","id":"clinic"}`,
		`{"resourceType":"Location","id":"ward","partOf":{"reference":"Location/clinic"}}`,
		`{"resourceType":"Location","id":"bed","partOf":{"reference":"Location/ward"}}`,
		`{"resourceType":"Appointment","id":"a","supportingInformation":[{"reference":"Basic/1"}]}`,
		`{"resourceType":"QuestionnaireResponse","id":"q1","questionnaire":"http://q|1.2.3"}`,
		`{"resourceType":"QuestionnaireResponse","id":"q2","questionnaire":"http://q|1.20"}`,
		`{"resourceType":"QuestionnaireResponse","id":"q3","questionnaire":"http://q"}`,
		`{"resourceType":"Slot","id":"s1","serviceType":[{"coding":[{"system":"http://s","code":"a"}]},{"coding":[{"system":"http://s","code":"b"}]}]}`,
		`{"resourceType":"Slot","id":"s2","serviceType":[{"coding":[{"system":"http://t","code":"a"}]}]}`,
		`{"resourceType":"Slot","id":"s3","status":"free"}`,
		`{"resourceType":"List","id":"l","entry":[{"item":{"reference":"Slot/s1"}},{"item":{"reference":"Encounter/e1"}},{"item":{"reference":"Slot/s3"}}]}`,
	)
	s.check([]finding{
		{"Encounter?subject=Patient/p1", "e1 e2"},
		{"Encounter?subject=p1", "e1 e2"},
		{"Encounter?subject:Patient=p1", "e1 e2"},
		{"Encounter?patient=p1", "e1 e2"},
		{"Encounter?subject=https://hie.example/baseR4/Patient/p1", "e1 e2"},
		{"Encounter?subject=Patient/p1/_history/2", "e2"},
		{"Encounter?subject=Patient/p1/_history/3", ""},
		{"Encounter?subject=urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "e3"},
		{"Encounter?subject=https://other.example/Patient/p1", "e4"},
		{"Encounter?subject:identifier=http://mrn|77", "e5"},
		{"Encounter?subject:identifier=http://mrn|", "e5"},
		{"Encounter?subject:missing=true", ""},
		{"Encounter?location:missing=true", "e3 e4 e5"},
		{"Encounter?location:below=Location/clinic", "e1 e2"},
		{"Encounter?location:below=ward", "e1 e2"},
		{"Encounter?location:below=bed", "e1"},
		{"Encounter?location:above=bed", "e1 e2"},
		{"Encounter?location:above=Location/ward", "e2"},
		{"Location?partof:below=clinic", "bed ward"},
		{"Appointment?supporting-info=1", "a"},
		{"Appointment?supporting-info=Basic/1", "a"},
		{"QuestionnaireResponse?questionnaire=http://q", "q1 q2 q3"},
		{"QuestionnaireResponse?questionnaire=http://q|1.2.3", "q1"},
		{"QuestionnaireResponse?questionnaire:below=http://q|1.2", "q1"},
		{"QuestionnaireResponse?questionnaire:below=http://q|1", "q1 q2"},
		{"Slot?service-type=http://s|,http://t|a", "s1 s2"},
		{"Slot?service-type=b,http://t|", "s1 s2"},
		{"Slot?service-type:not=http://s|", "s2 s3"},
		{"Slot?service-type:not=b", "s2 s3"}, // s1 has another one too, and still has this one
		{"Slot?service-type:not=b,http://t|", "s3"},
		{"Slot?_list=l", "s1 s3"},
		{"Slot?_list=List/l&status=free", "s3"},
		{"Encounter?_list=l", "e1"},
		{"Slot?_list:not=l", "s2"},
		{"Slot?_id=s1,s3,zz", "s1 s3"},
		{"Slot?_id:not=s1", "s2 s3"},
		{"Slot?status=http://hl7.org/fhir/slotstatus|", "s3"},
	})
}

func TestNear(t *testing.T) {
	at := func(id, lat, long string) string {
		return `{"resourceType":"Location","id":"` + id + `","position":{"latitude":` + lat + `,"longitude":` + long + `}}`
	}
	s := newShelf(t, at("kl", "3.1390", "101.6869"), at("putrajaya", "2.9264", "101.6964"), at("penang", "5.4141", "100.3288"),
		at("fiji", "-17.8", "179.95"), at("samoa", "-17.8", "-179.95"), at("pole", "90", "0"), `{"resourceType":"Location","id":"nowhere"}`)
	s.check([]finding{
		{"Location?near=3.1390|101.6869|10|km", "kl"},
		{"Location?near=3.1390|101.6869|24|km", "kl putrajaya"}, // 23.7 km apart
		{"Location?near=3.1390|101.6869|23|km", "kl"},
		{"Location?near=3.1390|101.6869|24000|m", "kl putrajaya"},
		{"Location?near=3.1390|101.6869|15|[mi_us]", "kl putrajaya"},
		{"Location?near=3.1390|101.6869", "kl putrajaya"},
		{"Location?near=3.1390|101.6869|300", "kl penang putrajaya"},
		{"Location?near=-17.8|180|10|km", "fiji samoa"}, // across the date line
		{"Location?near=90|77|1|km", "pole"},
		{"Location?near=0|0|20100|km", "fiji kl penang pole putrajaya samoa"},
		{"Location?near=3.1390|101.6869|0|km", "kl"},
		{"Location?near:missing=true", "nowhere"},
	})
}

func TestStrings(t *testing.T) {
	person := func(id, name string) string {
		return `{"resourceType":"Patient","id":"` + id + `","name":[{"text":"` + name + `"}],"identifier":[{"value":"` + name + `"}]}`
	}
	s := newShelf(t, person("composed", "Nguyễn Thị Ánh"), person("decomposed", "Nguyễn Thi Anh"), person("german", "Straße"), person("stroke", "Đặng Øster"),
		person("irish", "O'Brien-Smith"), person("al", "Raju a/l Muthu"), person("wide", "ＴＡＮ"), person("greek", "ΣΊΣΥΦΟΣ"))
	s.check([]finding{
		{"Patient?name=nguyen", "composed decomposed"},
		{"Patient?name=" + url.QueryEscape("NGUYỄN THỊ"), "composed decomposed"},
		{"Patient?name=strasse", "german"},
		{"Patient?name=dang", "stroke"},
		{"Patient?name=oster", "stroke"},
		{"Patient?name=obrien", "irish"},
		{"Patient?name=o'brien%20smith", "irish"},
		{"Patient?name=smith", "irish"},
		{"Patient?name=raju%20a/l", "al"},
		{"Patient?name=tan", "wide"},
		{"Patient?name=" + url.QueryEscape("σίσυφος"), "greek"},
		{"Patient?name:contains=brien", "irish"},
		{"Patient?name:contains=" + url.QueryEscape("ễn th"), "composed decomposed"},
		{"Patient?name:exact=O'Brien-Smith", "irish"},
		{"Patient?name:exact=o'brien-smith", ""},
		{"Patient?name:exact=O'Brien", ""},
		{"Patient?name=brien", ""},
		{"Patient?name:missing=false&name=tan", "wide"},
	})
}

// terms is a small terminology.
type terms struct{}

func (terms) Codes(valueSet string) ([]Coding, bool, error) {
	switch valueSet {
	case "http://vs/none":
		return nil, true, nil
	case "http://vs/two":
		return []Coding{{"http://s", "a"}, {"http://s", "b"}}, true, nil
	case "http://vs/large":
		return []Coding{{"http://s", "a"}}, false, nil
	}
	return nil, false, fhir.Errorf(fhir.CodeNotFound, "", "There is no such value set.")
}

func (terms) Subtree(_, code string, below bool) ([]Coding, error) {
	if code == "a" && below {
		return []Coding{{"http://s", "a"}, {"http://s", "a1"}}, nil
	}
	return []Coding{{"http://s", code}}, nil
}

func TestTerminology(t *testing.T) {
	slot := func(id, code string) string {
		return `{"resourceType":"Slot","id":"` + id + `","status":"` + code + `","serviceType":[{"coding":[{"system":"http://s","code":"` + code + `"}]}]}`
	}
	s := newShelf(t, slot("1", "a"), slot("2", "b"), slot("3", "a1"), slot("4", "c"))
	s.terms = terms{}
	s.check([]finding{
		{"Slot?service-type:in=http://vs/two", "1 2"},
		{"Slot?service-type:not-in=http://vs/two", "3 4"},
		{"Slot?service-type:in=http://vs/none", ""},
		{"Slot?service-type:not-in=http://vs/none", "1 2 3 4"},
		{"Slot?service-type:below=http://s|a", "1 3"},
		{"Slot?service-type:above=http://s|a1", "3"},
		{"Slot?status:in=http://vs/two", "1 2"},
	})
	for query, code := range map[string]fhir.Code{
		"service-type:in=http://vs/large": fhir.CodeTooCostly, "service-type:in=http://vs/unknown": fhir.CodeNotFound, "service-type:below=a": fhir.CodeInvalid,
	} {
		values, _ := url.ParseQuery(query)
		if _, err := (Parser{Terminology: terms{}}).Parse("Slot", values); fhir.CodeOf(err) != code || fhir.Status(err) != 400 {
			t.Errorf("%s: %v (%d), want %s", query, err, fhir.Status(err), code)
		}
		if _, err := Parse("Slot", values, ""); fhir.CodeOf(err) != fhir.CodeNotSupported {
			t.Errorf("%s without a terminology: %v", query, err)
		}
	}
}
