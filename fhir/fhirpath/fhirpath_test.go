package fhirpath

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// encounterText is a virtual consultation with everything that makes a
// document awkward: primitive extensions, choice elements, contained resources.
const encounterText = `{
  "resourceType": "Encounter", "id": "enc-1",
  "meta": {"versionId": "3", "lastUpdated": "2026-11-23T09:30:00.123+08:00", "profile": ["http://example.org/StructureDefinition/vc-encounter"]},
  "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Consultation &amp; advice</p></div>"},
  "contained": [
    {"resourceType": "Patient", "id": "p1", "name": [{"family": "Tan", "given": ["Ah", "Kow"]}], "birthDate": "1974-12-25", "deceasedBoolean": false},
    {"resourceType": "Location", "id": "room", "name": "Room 4"}
  ],
  "extension": [
    {"url": "http://example.org/rating", "valueInteger": 5},
    {"url": "http://example.org/waited", "valueDuration": {"value": 15.50, "unit": "minutes", "system": "http://unitsofmeasure.org", "code": "min"}},
    {"url": "http://example.org/nested", "extension": [{"url": "a", "valueString": "x"}, {"url": "b", "valueBoolean": true}]}
  ],
  "identifier": [
    {"use": "official", "system": "http://example.org/encounter-id", "value": "E-100"},
    {"use": "secondary", "system": "http://example.org/vc-token", "value": "3f2504e0"}
  ],
  "status": "in-progress", "_status": {"id": "s1", "extension": [{"url": "http://example.org/since", "valueDateTime": "2026-11-23T09:00:00+08:00"}]},
  "statusHistory": [
    {"status": "arrived", "period": {"start": "2026-11-23T08:50:00+08:00", "end": "2026-11-23T09:00:00+08:00"}},
    {"status": "in-progress", "period": {"start": "2026-11-23T09:00:00+08:00"}}
  ],
  "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR", "display": "virtual"},
  "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "448337001"}], "text": "Telemedicine"}],
  "subject": {"reference": "#p1"},
  "participant": [
    {"type": [{"text": "doctor"}], "individual": {"reference": "Practitioner/dr-1", "display": "Dr Lim"}},
    {"individual": {"reference": "RelatedPerson/rp-1"}},
    {"individual": {"reference": "https://other.example/fhir/Practitioner/dr-2/_history/4"}}
  ],
  "period": {"start": "2026-11-23T09:00:00+08:00"},
  "length": {"value": 30, "system": "http://unitsofmeasure.org", "code": "min"},
  "location": [{"location": {"reference": "#room"}, "status": "active"}],
  "serviceProvider": {"reference": "Organization/org-1"},
  "unheardOf": {"some": ["thing", 1.00]}
}`

func parsed(t testing.TB, text string) *fhir.Document {
	t.Helper()
	d, err := fhir.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func patient(members string) string {
	return `{"resourceType":"Patient",` + members + `}`
}

var noon = time.Date(2026, 11, 23, 12, 30, 15, 250e6, fhir.Malaysia)

// run evaluates an expression and gives the texts of what it finds, joined by |.
func run(t *testing.T, d *fhir.Document, text string, opts Options) (string, error) {
	t.Helper()
	e, err := Compile(text)
	if err != nil {
		return "", err
	}
	if opts.Now.IsZero() {
		opts.Now = noon
	}
	c, err := e.Evaluate(t.Context(), d.Root(), opts)
	var texts []string
	for _, v := range c {
		s := v.String()
		if s == "" && v.Node().Exists() {
			s = v.Node().Path()
		} else if s == "" && v.Sibling().Exists() {
			s = v.Sibling().Path()
		}
		texts = append(texts, s)
	}
	return strings.Join(texts, "|"), err
}

type example struct{ text, want string }

func try(t *testing.T, d *fhir.Document, opts Options, examples ...example) {
	t.Helper()
	for _, x := range examples {
		got, err := run(t, d, x.text, opts)
		if err != nil {
			t.Errorf("%s: %v", x.text, err)
		} else if got != x.want {
			t.Errorf("%s gives %q, want %q", x.text, got, x.want)
		}
	}
}

func TestElements(t *testing.T) {
	try(t, parsed(t, encounterText), Options{},
		example{"Encounter.id", "enc-1"},
		example{"Resource.id", "enc-1"},
		example{"DomainResource.id", "enc-1"},
		example{"Patient.id", ""},
		example{"status", "in-progress"},
		example{"statusHistory.status", "arrived|in-progress"},
		example{"statusHistory[1].period.start", "2026-11-23T09:00:00+08:00"},
		example{"statusHistory[2]", ""},
		example{"statusHistory[-1]", ""},
		example{"class.code", "VR"},
		example{"`class`.`code`", "VR"},
		example{"unheardOf.some", "thing|1.00"},
		example{"resourceType", ""},
		example{"contained.ofType(Patient).name.given", "Ah|Kow"},
		example{"contained.where($this is Location).name", "Room 4"},
		example{"identifier", "Encounter.identifier[0]|Encounter.identifier[1]"},
		example{"identifier.where(system.endsWith('token')).value", "3f2504e0"},
		example{"identifier.select(use & '=' & value)", "official=E-100|secondary=3f2504e0"},
		example{"identifier.exists(use = 'official')", "true"},
		example{"identifier.all(value.exists())", "true"},
		example{"identifier.where($index = 1).use", "secondary"},
		example{"children().count() > 15", "true"},
		example{"children().where($this is code)", "in-progress"},
		example{"descendants().where($this is Period).count()", "3"},
		example{"descendants().ofType(Reference).reference.count()", "6"},
		example{"contained.descendants().ofType(boolean)", "false"},
	)
}

func TestPrimitiveExtensionsAreSeen(t *testing.T) {
	try(t, parsed(t, encounterText), Options{},
		example{"status.id", "s1"},
		example{"status.extension.url", "http://example.org/since"},
		example{"status.extension('http://example.org/since').value", "2026-11-23T09:00:00+08:00"},
		example{"status.extension('http://example.org/since').value is dateTime", "true"},
		example{"status.children().count()", "2"},
		example{"status.hasValue()", "true"},
		example{"status.getValue()", "in-progress"},
		example{"status.getValue() is System.String", "true"},
		example{"descendants().where(url = 'http://example.org/since').count()", "1"},
	)
	// Values and extensions stand at the same place in two lists.
	d := parsed(t, patient(`"name":[{"given":["A",null,"C"],"_given":[null,{"extension":[{"url":"u","valueCode":"x"}]},{"id":"c"}]}],
		"_active":{"extension":[{"url":"why","valueString":"unknown"}]},"_birthDate":null,"birthDate":null`))
	try(t, d, Options{},
		example{"name.given", "A|Patient.name[0]._given[1]|C"},
		example{"name.given.hasValue()", "false"}, // of three
		example{"name.given.select(hasValue())", "true|false|true"},
		example{"name.given.select(extension.exists())", "false|true|false"},
		example{"name.given.id", "c"},
		example{"name.given.where(extension('u').value = 'x').count()", "1"},
		example{"name.given[1].getValue()", ""},
		example{"name.given[1] = 'A'", ""},
		example{"name.given = 'A'", "false"},
		example{"active.exists()", "true"},
		example{"active.hasValue()", "false"},
		example{"active = true", ""},
		example{"active and true", ""},
		example{"active.not()", ""},
		example{"0.not()", "false"}, // one value that is no boolean is true
		example{"active is boolean", "true"},
		example{"active.children().value", "unknown"},
		example{"birthDate.exists()", "false"},
		example{"children().count()", "2"},
	)
}

func TestChoiceElements(t *testing.T) {
	try(t, parsed(t, encounterText), Options{},
		example{"extension('http://example.org/rating').value", "5"},
		example{"extension.where(url = 'http://example.org/rating').value + 1", "6"},
		example{"extension('http://example.org/nested').extension('b').value", "true"},
		example{"extension.value.ofType(integer)", "5"},
		example{"extension.value.where($this is Duration).unit", "minutes"},
		example{"extension.valueInteger", "5"}, // beyond the language, but harmless
		example{"extension.select(value.exists())", "true|true|false"},
		example{"contained.deceased", "false"},
		example{"contained.deceased is boolean", "true"},
		example{"contained.children().where($this is boolean)", "false"},
	)
}

func TestTypesOfElements(t *testing.T) {
	try(t, parsed(t, encounterText), Options{},
		example{"type().name", "Encounter"},
		example{"type().namespace", "FHIR"},
		example{"status.type().name", "code"},
		example{"id.type().name", "id"},
		example{"meta.lastUpdated.type().name", "instant"},
		example{"statusHistory.first().type().name", "BackboneElement"},
		example{"statusHistory.first() is BackboneElement", "true"},
		example{"statusHistory.first() is Element", "true"},
		example{"status is string", "true"},
		example{"status is code", "true"},
		example{"status is uri", "false"},
		example{"status is System.String", "false"},
		example{"length is Quantity", "true"},
		example{"length is Duration", "true"},
		example{"$this is Resource", "true"},
		example{"$this is FHIR.DomainResource", "true"},
		example{"$this is Patient", "false"},
		example{"(1 | 'a' | 2.0).ofType(Integer)", "1"},
		example{"(1 | 'a' | 2.0).ofType(System.String)", "a"},
		example{"{} is Patient", ""},
		example{"$this is System.Patient", "false"},
		example{"unheardOf is Element", "false"},
	)
}

func TestArithmetic(t *testing.T) {
	try(t, parsed(t, patient(`"multipleBirthInteger":2`)), Options{},
		example{"1 + 2 * 3", "7"},
		example{"(1 + 2) * 3", "9"},
		example{"-3 + 1", "-2"},
		example{"7 div 2", "3"}, example{"-7 div 2", "-3"}, example{"7 mod 2", "1"}, example{"-7 mod 2", "-1"},
		example{"7.5 div 2", "3"}, example{"7.5 mod 2", "1.5"},
		example{"1 / 3", "0.33333333"}, example{"2 / 3", "0.66666667"}, example{"4 / 2", "2"},
		example{"1 / 0", ""}, example{"1 div 0", ""}, example{"1 mod 0", ""}, example{"1.0 mod 0.0", ""},
		example{"1.10 + 1.1", "2.20"}, example{"0.1 + 0.2 = 0.3", "true"},
		example{"1.50 * 2", "3.00"},
		example{"12345678901234567890.5 + 0.5", "12345678901234567891.0"},
		example{"99999999999999999999.9 * 99999999999999999999.9", "9999999999999999999980000000000000000000.01"},
		example{"2147483647 + 1", ""}, example{"-2147483648", "-2147483648"}, example{"2147483647 * 2", ""},
		example{"multipleBirth + 1.5", "3.5"},
		example{"1 + {}", ""}, example{"'a' + 'b'", "ab"}, example{"'a' & {} & 'b'", "ab"}, example{"'a' + {}", ""},
		example{"2.power(10)", "1024"}, example{"2.power(-1)", "0.5"}, example{"2.0.power(0.5)", "1.41421356"}, example{"10.power(99).toString().length()", "100"},
		example{"9.9.power(400)", ""}, example{"2.power(31)", "2147483648"},
		example{"2.sqrt()", "1.41421356"}, example{"0.0001.sqrt()", "0.01"}, example{"(-4).sqrt()", ""},
		example{"0.ln()", ""}, example{"1.exp()", "2.71828183"}, example{"1000.exp()", ""}, example{"8.log(2)", "3"}, example{"8.log(1)", ""},
		example{"3.14159.round(3)", "3.142"}, example{"2.5.round()", "3"}, example{"(-2.5).round()", "-2"}, example{"(-2.51).round()", "-3"}, example{"1.round(2)", "1"}, example{"1.005.round(2)", "1.01"},
		example{"1.5.ceiling()", "2"}, example{"(-1.5).ceiling()", "-1"}, example{"1.5.floor()", "1"}, example{"(-1.5).floor()", "-2"}, example{"(-1.5).truncate()", "-1"},
		example{"(-1.5).abs()", "1.5"}, example{"9999999999.5.floor()", ""},
		example{"1.0 ~ 1", "true"}, example{"1.05 ~ 1.1", "true"}, example{"1.04 ~ 1.1", "false"},
		example{"1.00.toString()", "1.00"}, example{"0.05.toString()", "0.05"}, example{"(-0.05).toString()", "-0.05"},
	)
}

func TestNumbersOfADocumentAreExact(t *testing.T) {
	d := parsed(t, `{"resourceType":"Observation","valueQuantity":{"value":101.68650},"component":[
		{"valueQuantity":{"value":0.10e1}},{"valueQuantity":{"value":123456789012345678901234567890.5}},{"valueQuantity":{"value":1e-30}},
		{"valueInteger":12345678901234567890},{"valueQuantity":{"value":1e999999999}}]}`)
	try(t, d, Options{},
		example{"value.value", "101.68650"},
		example{"value.value = 101.6865", "true"},
		example{"component[0].value.value = 1", "true"},
		example{"component[0].value.value", "1.0"},
		example{"component[1].value.value + 0.5", "123456789012345678901234567891.0"},
		example{"component[2].value.value > 0", "true"},
		example{"component[3].value > 2147483647", "true"},
		example{"component[4].value.value", "1e999999999"},
		example{"component[4].value > 1 'mg'", ""},
	)
}

func TestDatesAndTimes(t *testing.T) {
	try(t, parsed(t, patient(`"birthDate":"1974-12","deceasedDateTime":"2026-11-23T09:00:00+08:00"`)), Options{},
		example{"birthDate < @1975", "true"}, example{"birthDate < @1974-12-25", ""}, example{"birthDate = @1974-12", "true"}, example{"birthDate = @1974", ""},
		example{"birthDate > @1974", ""}, example{"birthDate >= @1974-11-30", "true"},
		example{"deceased = @2026-11-23T01:00:00Z", "true"}, example{"deceased > @2026-11-20", "true"}, example{"deceased > @2026-11-22", ""}, example{"deceased > @2026-11-23", ""},
		example{"deceased is dateTime", "true"}, example{"deceased = @T09:00", "false"},
		example{"@2026-11-23T09:00 = @2026-11-23T09:00:00", ""}, example{"@T09:00:00 = @T09:00:00.000", "true"}, example{"@T09 < @T10:30", "true"},
		example{"@2026-01-31 + 1 month", "2026-02-28"}, example{"@2024-02-29 + 1 year", "2025-02-28"}, example{"@2024-02-29 - 4 years", "2020-02-29"},
		example{"@2026-11-23 + 1 week", "2026-11-30"}, example{"@2026-11-23 + 1 'wk'", "2026-11-30"}, example{"@2026-11-23 + 36 hours", "2026-11-24"},
		example{"@2014 + 25 months", "2016"}, example{"@2014-01 + 59 days", "2014-02"}, example{"@2014 + 364 days", "2014"}, example{"@2014 - 366 days", "2013"},
		example{"@2026-11-23T09:00:00+08:00 + 90 minutes", "2026-11-23T10:30:00+08:00"}, example{"@2026-12-31T23:59:59Z + 1 second", "2027-01-01T00:00:00Z"},
		example{"@2026-11-23T09:00:00 + 1.5 seconds", "2026-11-23T09:00:01.500"}, example{"@2026-11-23T09:00:00 + 1 millisecond", "2026-11-23T09:00:00.001"},
		example{"@2026-11-23T09:00:00.500 - 1500 'ms'", "2026-11-23T08:59:59.000"}, example{"@2026-11-23 + 1.9 days", "2026-11-24"},
		example{"@2026-11-23T09 + 90 minutes", "2026-11-23T10"}, example{"@T23:30 + 1 hour", "00:30"}, example{"@T00:00:00 - 1 second", "23:59:59"}, example{"@T10 + 1 day", ""},
		example{"@9999-12-31 + 1 day", ""}, example{"@0001-01-01 - 1 day", ""}, example{"@2026 + 100000 years", ""}, example{"@2026-01-01 + 99999999999999.0 days", ""},
		example{"now()", "2026-11-23T12:30:15.250+08:00"}, example{"today()", "2026-11-23"}, example{"timeOfDay()", "12:30:15.250"}, example{"now() = now()", "true"},
		example{"today() - 18 years > birthDate", "true"},
		example{"'2026-11-23'.toDate() = @2026-11-23", "true"}, example{"@2026-11-23T10:00:00Z.toDate()", "2026-11-23"}, example{"'2026-13'.toDate()", ""}, example{"'2026T'.toDateTime()", ""},
		example{"'24:00'.toTime()", ""}, example{"'09:30'.toTime()", "09:30"}, example{"'2026-02-30'.convertsToDate()", "false"}, example{"@2024-02-29.toString()", "2024-02-29"},
		example{"@2017-11-05T01:30:00.0-04:00 < @2017-11-05", ""}, example{"@2017-11-09T01:30:00Z > @2017-11-05", "true"},
		example{"@2026-11-23T09:00:00Z ~ @2026-11-23T17:00:00+08:00", "true"}, example{"@2026 ~ @2026-01", "false"},
	)
}

func TestQuantities(t *testing.T) {
	try(t, parsed(t, encounterText), Options{},
		example{"length = 30 minutes", "true"}, example{"length = 0.5 hours", "true"}, example{"length > 1 'h'", "false"}, example{"length = 1800 's'", "true"},
		example{"extension('http://example.org/waited').value < length", "true"},
		example{"length + 15 minutes", "45 minutes"}, example{"1 hour + 15 minutes = 75 minutes", "true"}, example{"1 'h' - 15 'min'", "45 'min'"},
		example{"length.value", "30"}, example{"(5 'mg').value", "5"}, example{"(5 'mg').unit", "mg"},
		example{"1 'kg' = 1000 'g'", "true"}, example{"1 'kg' > 2 '[lb_av]'", "true"}, example{"120 'mm[Hg]' > 15 'kPa'", "true"}, example{"5.5 'mmol/L' = 5.5 'mol/m3'", "true"},
		example{"1 'mg' = 1 's'", ""}, example{"1 'mg' < 1 's'", ""}, example{"1 'mg' ~ 1 's'", "false"}, example{"37 'Cel' = 37 'Cel'", "true"}, example{"37 'Cel' = 310.15 'K'", ""},
		example{"1 'furlong' = 1 'furlong'", "true"}, example{"1 'furlong' = 2 'furlong'", "false"}, example{"1 'furlong' = 1 'm'", ""},
		example{"1 year = 12 months", "true"}, example{"1 year = 1 'a'", ""}, example{"1 year ~ 1 'a'", "true"}, example{"1 year = 365 days", ""}, example{"1 day = 24 hours", "true"},
		example{"2 'm' * 3 'm' = 6 'm2'", "true"}, example{"2 'm' * 3", "6 'm'"}, example{"2 * 3 'm'", "6 'm'"}, example{"6 'm' / 2 's'", "3 'm/s'"}, example{"6 'm' / 3 'cm'", "200 '1'"}, example{"1 / 4 's'", "0.25 '/s'"},
		example{"1 '/s' = 1 'Hz'", "true"}, example{"1 '10*3/uL' = 1 '10*9/L'", "true"}, example{"1 'kg.m/s2' = 1 'N'", "true"}, example{"1 'J/(kg.K)' = 1 'm2/(s2.K)'", "true"}, example{"1 '%' = 0.01", "true"},
		example{"10 '{tablets}' = 10", "true"}, example{"1 'mL{total}' = 1 'cm3'", "true"}, example{"1 '[iU]/mL' = 1000 '[iU]/L'", "true"},
		example{"(-5 'mg').abs()", "5 'mg'"}, example{"4.toQuantity()", "4 '1'"}, example{"'4 days'.toQuantity()", "4 days"}, example{"'4 \\'mg\\''.toQuantity()", "4 'mg'"}, example{"'4mg'.toQuantity()", ""}, example{"'4days'.toQuantity()", ""},
		example{"(1500 'mg').toQuantity('g')", "1.5 'g'"}, example{"(1 'mg').convertsToQuantity('s')", "false"}, example{"5 'mg' / 0", ""}, example{"1 day.toString()", "1 day"},
	)
	d := parsed(t, `{"resourceType":"Observation","valueQuantity":{"value":5,"comparator":"<","unit":"mg","system":"http://unitsofmeasure.org","code":"mg"},
		"component":[{"valueQuantity":{"value":5,"system":"http://a","code":"x"}},{"valueQuantity":{"value":5,"system":"http://b","code":"x"}},{"valueQuantity":{"unit":"mg"}}]}`)
	try(t, d, Options{},
		example{"value < 10 'mg'", ""}, example{"value = value", "true"},
		example{"component[0].value = component[0].value", "true"}, example{"component[0].value = component[1].value", ""}, example{"component[2].value > 1 'mg'", ""},
	)
}

func TestStrings(t *testing.T) {
	try(t, parsed(t, patient(`"gender":"male"`)), Options{},
		example{"'añb'.length()", "3"}, example{"'añb'.substring(1, 1)", "ñ"}, example{"'añb'.indexOf('b')", "2"}, example{"'abc'.indexOf('x')", "-1"}, example{"'abcabc'.lastIndexOf('b')", "4"},
		example{"'abc'.substring(0, 0)", ""}, example{"'abc'.substring(3)", ""}, example{"'abc'.substring(1, 99)", "bc"}, example{"'abc'.substring(1, -1)", ""},
		example{"'a-b-c'.replace('-', '')", "abc"}, example{"'abc'.replace('', 'x')", "xaxbxcx"},
		example{"'abc'.matches('b')", "true"}, example{"'abc'.matchesFull('b')", "false"}, example{"'abc'.matchesFull('a.c')", "true"}, example{"'a\\nb'.matches('a.b')", "true"},
		example{"gender.matches('^(male|female)$')", "true"}, example{"'abc'.matches(gender)", "false"},
		example{`'11/30/1972'.replaceMatches('\\b(?P<m>\\d{1,2})/(?P<d>\\d{1,2})/(?P<y>\\d{2,4})\\b', '${d}-${m}-${y}')`, "30-11-1972"},
		example{`'ab'.replaceMatches('(a)(b)', '$2$1x')`, "bax"}, example{`'a'.replaceMatches('a', '\\$5')`, "$5"}, example{`'a'.replaceMatches('a', 'US$')`, "US$"}, example{`'aXbX'.replaceMatches('X', '')`, "ab"}, example{`'ab'.replaceMatches('', 'x')`, "ab"}, example{`'ab'.replaceMatches('^', 'x')`, "xab"},
		example{"'a,b,,c'.split(',')", "a|b||c"}, example{"('a' | 'b').join('-')", "a-b"}, example{"('a' | 'b').join()", "ab"}, example{"'  a '.trim()", "a"}, example{"'abc'.toChars()", "a|b|c"},
		example{"'Ünï'.upper()", "ÜNÏ"}, example{"'test'.encode('base64')", "dGVzdA=="}, example{"'dGVzdA=='.decode('base64')", "test"}, example{"'test'.encode('hex')", "74657374"}, example{"'zz'.decode('hex')", ""},
		example{`'"1<2"'.escape('html')`, "&quot;1&lt;2&quot;"}, example{`'&lt;a&gt;'.unescape('html')`, "<a>"}, example{`'a"b'.escape('json')`, `a\"b`}, example{`'a\\"b'.unescape('json')`, `a"b`}, example{`'"a\\\\"'.unescape('json')`, `"a\"`},
		example{`'\u0041\uD83D\uDE00'`, "A😀"}, example{`'it\'s'`, "it's"}, example{"'a' ~ 'A'", "true"}, example{"'a  b' ~ 'a\\t b'", "true"}, example{"'a' < 'b'", "true"},
		example{"'yes'.toBoolean()", "true"}, example{"'0'.toBoolean()", "false"}, example{"'maybe'.toBoolean()", ""}, example{"'1e5'.toDecimal()", ""}, example{"'-5'.toInteger()", "-5"}, example{"'3000000000'.toInteger()", ""},
		example{"{}.upper()", ""}, example{"'a'.startsWith({})", ""}, example{"gender.startsWith('ma')", "true"},
		example{"1 // a comment\n + /* another */ 2", "3"},
	)
}

func TestConversions(t *testing.T) {
	d := parsed(t, patient(`"active":true,"name":[{"family":"x"}]`))
	for _, x := range []struct{ value, boolean, integer, decimal, text, date, dateTime, time, quantity string }{
		{value: "true", boolean: "true", integer: "1", decimal: "1.0", text: "true", quantity: "1.0 '1'"},
		{value: "active", boolean: "true", integer: "1", decimal: "1.0", text: "true", quantity: "1.0 '1'"},
		{value: "false", boolean: "false", integer: "0", decimal: "0.0", text: "false", quantity: "0.0 '1'"},
		{value: "1", boolean: "true", integer: "1", decimal: "1", text: "1", quantity: "1 '1'"},
		{value: "5", integer: "5", decimal: "5", text: "5", quantity: "5 '1'"},
		{value: "1.0", boolean: "true", decimal: "1.0", text: "1.0", quantity: "1.0 '1'"},
		{value: "'N'", boolean: "false", text: "N"},
		{value: "'1.0'", boolean: "true", decimal: "1.0", text: "1.0", quantity: "1.0 '1'"},
		{value: "'+7'", integer: "7", decimal: "7", text: "+7", quantity: "7 '1'"},
		{value: "'2026-11'", text: "2026-11", date: "2026-11", dateTime: "2026-11"},
		{value: "'2026-11-23T10:00Z'", text: "2026-11-23T10:00Z", date: "2026-11-23", dateTime: "2026-11-23T10:00Z"},
		{value: "'10:00'", text: "10:00", time: "10:00"},
		{value: "@2026", text: "2026", date: "2026", dateTime: "2026"},
		{value: "@2026-11-23T10", text: "2026-11-23T10", date: "2026-11-23", dateTime: "2026-11-23T10"},
		{value: "@T10:00", text: "10:00", time: "10:00"},
		{value: "4 days", text: "4 days", quantity: "4 days"},
		{value: "'1 \\'mg'", text: "1 'mg"},
		{value: "name"},
		{value: "1.type()"},
	} {
		for function, want := range map[string]string{
			"Boolean": x.boolean, "Integer": x.integer, "Decimal": x.decimal, "String": x.text, "Date": x.date, "DateTime": x.dateTime, "Time": x.time, "Quantity": x.quantity,
		} {
			try(t, d, Options{},
				example{"(" + x.value + ").to" + function + "()", want},
				example{"(" + x.value + ").convertsTo" + function + "()", strconv.FormatBool(want != "")},
				example{"(" + x.value + ").to" + function + "().is(System." + function + ")", map[bool]string{true: "true"}[want != ""]},
			)
		}
	}
	try(t, d, Options{},
		example{"{}.toString()", ""}, example{"{}.convertsToString()", ""}, example{"{}.convertsToQuantity()", ""},
		example{"'12345678901234567890.50'.toDecimal()", "12345678901234567890.50"}, example{"12345678901234567890.50 = 12345678901234567890.5", "true"},
		example{"12345678901234567890.50 ~ 12345678901234567890.5", "true"}, example{"-(12345678901234567890.5)", "-12345678901234567890.5"},
		example{"active.getValue().type().name", "Boolean"}, example{"name.getValue()", ""}, example{"5.getValue()", "5"},
	)
}

func TestCollections(t *testing.T) {
	try(t, parsed(t, patient(`"name":[{"given":["A","B"]},{"given":["A"]},{"given":["A","B"]}],"telecom":[{"system":"phone","value":"1"},{"value":"1","system":"phone"},{"system":"phone","value":"2"}]`)), Options{},
		example{"(1 | 2 | 1).count()", "2"}, example{"1.combine(1).count()", "2"}, example{"name.given.distinct()", "A|B"}, example{"name.given.isDistinct()", "false"},
		example{"name.distinct().count()", "2"}, example{"telecom.distinct().count()", "2"}, example{"telecom[0] = telecom[1]", "true"}, example{"telecom[0] ~ telecom[1]", "true"}, example{"telecom[0] = telecom[2]", "false"},
		example{"name[0] ~ name[2]", "true"}, example{"name[0] ~ name[1]", "false"}, example{"name.subsetOf(name)", "true"}, example{"name.first().subsetOf(name)", "true"}, example{"name.supersetOf(name[1])", "true"},
		example{"name.intersect(name[1]).given", "A"}, example{"name.exclude(name[0]).given", "A"}, example{"(1|2|3).exclude(2)", "1|3"}, example{"name.where(given.count() = 2).count()", "2"},
		example{"(1|2|3).where($this != 2)", "1|3"}, example{"(1|2|3|4).where($this != 2)", "1|3|4"}, example{"(1|2|3).skip(1)", "2|3"}, example{"(1|2|3).skip(-1)", "1|2|3"}, example{"(1|2|3).take(2)", "1|2"}, example{"(1|2|3).take(-1)", ""},
		example{"(1|2|3).first()", "1"}, example{"(1|2|3).last()", "3"}, example{"(1|2|3).tail()", "2|3"}, example{"{}.first()", ""}, example{"{}.tail()", ""}, example{"{}.single()", ""},
		example{"1.repeat(iif($this < 5, $this + 1))", "2|3|4|5"}, example{"(1|2|3).aggregate($this + $total, 0)", "6"}, example{"(1|2|3).select($index * $this)", "0|2|6"}, example{"(1|2).select($this | $this + 1)", "1|2|2|3"},
		example{"(true | false).allTrue()", "false"}, example{"(true | false).anyTrue()", "true"}, example{"(true | false).anyFalse()", "true"}, example{"{}.allTrue()", "true"}, example{"{}.anyTrue()", "false"}, example{"{}.allFalse()", "true"}, example{"true.allFalse()", "false"},
		example{"2 in (1|2)", "true"}, example{"{} in (1|2)", ""}, example{"1 in {}", "false"}, example{"(1|2) contains 3", "false"}, example{"{} = {}", ""}, example{"1 = {}", ""}, example{"(1|2) = (2|1)", "false"}, example{"(1|2) ~ (2|1)", "true"},
		example{"iif(true, 1)", "1"}, example{"iif(false, 1)", ""}, example{"iif({}, 1, 2)", "2"}, example{"name.iif(count() > 2, 'many', 'few')", "many"}, example{"name.all(given.exists())", "true"}, example{"{}.all(false)", "true"},
		example{"(1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|15|3.0|2).count()", "15"}, example{"1 | 1.0 | 1 '1'", "1"}, example{"false or 5", "true"}, example{"5 and true", "true"},
	)
}

func TestVariablesAndHolders(t *testing.T) {
	d := parsed(t, encounterText)
	opts := Options{Variables: map[string]Collection{"me": {Text("Dr Lim")}, "now": {Integer(7)}, "who": {Of(d.Get("contained"), "")}}}
	try(t, d, opts,
		example{"%me", "Dr Lim"}, example{"%now + 1", "8"}, example{"participant.individual.where(display = %me).reference", "Practitioner/dr-1"}, example{"%who.name.family", "Tan"},
		example{"%ucum", "http://unitsofmeasure.org"}, example{"%`vs-x`", "http://hl7.org/fhir/ValueSet/x"}, example{"%vs-administrative-gender", "http://hl7.org/fhir/ValueSet/administrative-gender"},
		example{"%ext-patient-birthTime", "http://hl7.org/fhir/StructureDefinition/patient-birthTime"}, example{"%'ext-a'", "http://hl7.org/fhir/StructureDefinition/a"},
		example{"%context.id", "enc-1"}, example{"%resource.id", "enc-1"}, example{"%rootResource.id", "enc-1"}, example{"identifier.select(%context.id).distinct()", "enc-1"},
	)
	// A constraint on an element within a contained resource.
	inner := d.Get("contained")
	e := MustCompile("%context.family & %resource.id & %rootResource.id & iif($this is HumanName, '!', '?')")
	c, err := e.Evaluate(t.Context(), inner.First("name"), Options{Type: "HumanName", Resource: inner, RootResource: d.Root()})
	if err != nil || !slices.Equal(c.Strings(), []string{"Tanp1enc-1!"}) {
		t.Errorf("%v, %v", c.Strings(), err)
	}
	// A value that was found can be the context of the next expression.
	c, err = MustCompile("contained.name").Evaluate(t.Context(), d.Root(), Options{})
	if err != nil || len(c) != 2 {
		t.Fatalf("%v, %v", c, err)
	}
	if c, err = MustCompile("HumanName.given").EvaluateOn(t.Context(), c[0], Options{}); err != nil || len(c) != 2 {
		t.Errorf("%v, %v", c, err)
	}
	// A primitive is evaluated with what stands beside it.
	ele1 := MustCompile("hasValue() or (children().count() > id.count())")
	for _, x := range []struct {
		node, sibling fhir.Node
		want          bool
	}{{d.Get("status"), d.Get("_status"), true}, {d.Get("status"), fhir.Node{}, true}, {fhir.Node{}, d.Get("_status"), true}} {
		c, err := ele1.Evaluate(t.Context(), x.node, Options{Type: "code", Sibling: x.sibling, Resource: d.Root()})
		if b, known := c.Bool(); err != nil || !known || b != x.want {
			t.Errorf("ele-1: %v, %v", c, err)
		}
	}
	if c, err := MustCompile("exists()").Evaluate(t.Context(), fhir.Node{}, Options{}); err != nil || !slices.Equal(c.Strings(), []string{"false"}) {
		t.Errorf("a node that does not exist: %v, %v", c, err)
	}
}

type resolver map[string]string

var errDown = errors.New("the server is down")

func (r resolver) Resolve(_ context.Context, reference string) (*fhir.Document, error) {
	text, ok := r[reference]
	switch {
	case !ok:
		return nil, nil
	case text == "":
		return nil, errDown
	}
	return fhir.Parse([]byte(text))
}

func TestResolve(t *testing.T) {
	d := parsed(t, encounterText)
	r := resolver{"Practitioner/dr-1": `{"resourceType":"Practitioner","id":"dr-1","name":[{"family":"Lim"}]}`, "Organization/org-1": ""}
	try(t, d, Options{Resolver: r},
		example{"subject.resolve().name.family", "Tan"},
		example{"subject.resolve() is Patient", "true"},
		example{"location.location.resolve().name", "Room 4"},
		example{"participant.individual.resolve().name.family", "Lim"},
		example{"'#p1'.resolve().id", "p1"},
		example{"subject.reference.resolve().id", "p1"},
		example{"'#nobody'.resolve()", ""},
	)
	try(t, d, Options{},
		example{"participant.individual.resolve()", ""},
		example{"subject.resolve().id", "p1"},
	)
	try(t, d, Options{Resolver: ReferenceTypes{}},
		example{"participant.individual.where(resolve() is Practitioner).reference", "Practitioner/dr-1|https://other.example/fhir/Practitioner/dr-2/_history/4"},
		example{"participant.individual.where(resolve() is RelatedPerson).reference", "RelatedPerson/rp-1"},
		example{"serviceProvider.resolve().id", "org-1"},
		example{"'urn:uuid:1'.resolve()", ""}, example{"'Patient?name=x'.resolve()", ""},
	)
	if _, err := run(t, d, "serviceProvider.resolve()", Options{Resolver: r}); !errors.Is(err, errDown) {
		t.Errorf("the resolver's error: %v", err)
	}
	bundle := parsed(t, `{"resourceType":"Bundle","type":"collection","entry":[
		{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"a"}},
		{"fullUrl":"http://x/fhir/Practitioner/b","resource":{"resourceType":"Practitioner","id":"b"}},
		{"resource":{"resourceType":"Encounter","subject":{"reference":"urn:uuid:1"},"participant":[{"individual":{"reference":"Practitioner/b"}}]}}]}`)
	try(t, bundle, Options{},
		example{"entry.resource.ofType(Encounter).subject.resolve().id", "a"},
		example{"entry.resource.ofType(Encounter).participant.individual.resolve().id", "b"},
	)
}

type terminology struct{}

func (terminology) MemberOf(_ context.Context, v Value, valueSet string) (bool, error) {
	if valueSet == "http://down" {
		return false, errDown
	}
	return v.String() == "in-progress", nil
}

func (terminology) Subsumes(_ context.Context, a, b Value) (bool, error) {
	return strings.HasPrefix(b.String(), a.String()), nil
}

// baseProfiles judges a resource by its type.
type baseProfiles struct{}

func (baseProfiles) ConformsTo(_ context.Context, v Value, profile string) (bool, error) {
	name, ok := strings.CutPrefix(profile, "http://hl7.org/fhir/StructureDefinition/")
	if _, known := R4().Super(name); !ok || !known {
		return false, errors.New("unknown profile")
	}
	return isA(R4(), v.Type(), name), nil
}

func TestTerminologyAndProfiles(t *testing.T) {
	d := parsed(t, encounterText)
	opts := Options{Terminology: terminology{}, Profiles: baseProfiles{}}
	try(t, d, opts,
		example{"status.memberOf('http://x')", "true"}, example{"class.code.memberOf('http://x')", "false"}, example{"{}.memberOf('http://x')", ""},
		example{"'a'.subsumes('ab')", "true"}, example{"'a'.subsumedBy('ab')", "false"}, example{"'ab'.subsumedBy('a')", "true"},
		example{"conformsTo('http://hl7.org/fhir/StructureDefinition/Encounter')", "true"}, example{"contained[0].conformsTo('http://hl7.org/fhir/StructureDefinition/Encounter')", "false"},
	)
	for text, code := range map[string]fhir.Code{
		"status.memberOf('http://x')": fhir.CodeNotSupported, "'a'.subsumes('b')": fhir.CodeNotSupported, "'a'.subsumedBy('b')": fhir.CodeNotSupported, "conformsTo('http://x')": fhir.CodeNotSupported,
		"elementDefinition()": fhir.CodeNotSupported, "slice('http://x', 'a')": fhir.CodeNotSupported,
	} {
		if _, err := run(t, d, text, Options{}); fhir.CodeOf(err) != code {
			t.Errorf("%s without a server: %v", text, err)
		}
	}
	if _, err := run(t, d, "status.memberOf('http://down')", opts); !errors.Is(err, errDown) {
		t.Errorf("the server's error: %v", err)
	}
	modified := parsed(t, patient(`"modifierExtension":[{"url":"http://a","valueBoolean":true}]`))
	try(t, modified, Options{}, example{"checkModifiers('http://b', 'http://a').exists()", "true"})
	if _, err := run(t, modified, "checkModifiers('http://b')", Options{}); err == nil {
		t.Error("a modifier extension that is not allowed passes")
	}
}

func TestHTMLChecks(t *testing.T) {
	const ns = ` xmlns="http://www.w3.org/1999/xhtml"`
	for text, want := range map[string]string{
		`<div` + ns + `>text</div>`: "true",
		`<div` + ns + `><p>a<br/>b &nbsp; &amp;</p><table border="1"><tr><td colspan="2">x</td></tr></table></div>`: "true",
		`<div` + ns + `><img src="#pic" alt="x"/></div>`:                                                            "true",
		`<div` + ns + `><a href="https://x" title="t">x</a></div>`:                                                  "true",
		`<div` + ns + `><!-- a comment --> x</div>`:                                                                 "true",
		`<div` + ns + `> </div>`:                                                                                    "false", // nothing to read
		`<div` + ns + `/>`:                                                                                          "false",
		`<div` + ns + `><script>x</script></div>`:                                                                   "false",
		`<div` + ns + `><p onclick="x">a</p></div>`:                                                                 "false",
		`<div` + ns + `><a href="javascript:x">a</a></div>`:                                                         "false",
		`<div` + ns + `><form>a</form></div>`:                                                                       "false",
		`<div` + ns + `><iframe src="x"/>a</div>`:                                                                   "false",
		`<div` + ns + `><p>a</div>`:                                                                                 "false",
		`<div` + ns + `><b><i>a</b></i></div>`:                                                                      "false",
		`<div` + ns + `>a</div><div>b</div>`:                                                                        "false",
		`<p` + ns + `>a</p>`:                                                                                        "false",
		`text`:                                                                                                      "false",
		`<div xmlns="http://other">a</div>`:                                                                         "false",
		`<!DOCTYPE html [<!ENTITY x "y">]><div` + ns + `>a&x;</div>`:                                                "false",
		`<?php x ?><div` + ns + `>a</div>`:                                                                          "false",
		`<div` + ns + `>a`:                                                                                          "false",
		``:                                                                                                          "false",
	} {
		d := parsed(t, string(fhir.Marshal(map[string]any{"resourceType": "Basic", "text": map[string]string{"status": "generated", "div": text}})))
		try(t, d, Options{}, example{"text.`div`.htmlChecks()", want})
	}
	try(t, parsed(t, encounterText), Options{}, example{"text.`div`.htmlChecks()", "true"}, example{"language.htmlChecks()", "true"})
}

func TestTraceIsSilentUnlessAsked(t *testing.T) {
	d := parsed(t, encounterText)
	var traced []string
	opts := Options{Trace: func(name string, values Collection) {
		traced = append(traced, name+"="+strings.Join(values.Strings(), ","))
	}}
	try(t, d, opts, example{"identifier.trace('ids', value).use.trace('use')", "official|secondary"})
	if want := []string{"ids=E-100,3f2504e0", "use=official,secondary"}; !slices.Equal(traced, want) {
		t.Errorf("traced %q, want %q", traced, want)
	}
	try(t, d, Options{}, example{"identifier.trace('ids', value).use", "official|secondary"})
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	for _, x := range []struct {
		text   string
		offset int
		says   string
	}{
		{"", 0, "the end of the expression is not expected"},
		{"a.", 2, "a name is expected"},
		{"a b", 2, `"b" is not expected`},
		{"(a", 2, `")" is expected`},
		{"a)", 1, `")" is not expected`},
		{"a + ", 4, "the end of the expression"},
		{"'abc", 0, "the string has no end"},
		{`'a\q'`, 2, "the escape is not known"},
		{`'\u12'`, 3, "four hexadecimal digits"},
		{`"a"`, 0, "single quotes"},
		{"a # b", 2, "no part of the language"},
		{"/* x", 0, "the comment has no end"},
		{"name.frobnicate()", 5, "there is no function frobnicate()"},
		{"name.count(1)", 5, "count() takes no arguments"},
		{"name.where()", 5, "where() takes one argument"},
		{"'a'.substring()", 4, "substring() takes 1 to 2 arguments"},
		{"f(a,)", 4, "an argument is missing"},
		{"a is 5", 5, "the name of a type is expected"},
		{"a.ofType(1 + 1)", 2, "takes the name of a type"},
		{"@2026-13", 0, "this is no date"},
		{"@T25:00", 0, "this is no date"},
		{"2147483649", 0, "larger than 2147483647"},
		{"$that", 0, "$this, $index and $total"},
		{"a.$this", 2, "cannot follow a dot"},
		{"'a'.matches('(')", 12, "the regular expression cannot be used"},
		{"'a'.matches('(?=x)')", 12, "RE2"},
		{"'a'.replaceMatches('a{1001}', '')", 19, "RE2"},
		{"'a'.matches('" + strings.Repeat("[a-z]{900}", 10) + "')", 12, "states"},
		{"'a'.matches('" + strings.Repeat("a", 2000) + "')", 12, "longer than 1024"},
		{"elementDefinition()", 0, "not supported"},
		{strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300), 200, "nested more than 200 deep"},
		{strings.Repeat("-", 300) + "1", 200, "nested more than 200 deep"},
		{"1" + strings.Repeat("+1", 300), 399, "nested more than 200 deep"},
		{strings.Repeat(" ", MaxLength) + "1", 0, "longer than"},
		{"'\xff'", 0, "UTF-8"},
		// of the evaluation
		{"1 + 'a'", 2, "cannot take values of these types"},
		{"name.given = 'A' or 'a' < 1", 24, "cannot order"},
		{"-'a'", 0, "takes a number"},
		{"(1|2) + 1", 6, "there are several"},
		{"name.given.single()", 11, "several values"},
		{"%nobody", 0, "there is no variable %nobody"},
		{"$index", 0, "within where()"},
		{"name.given.upper()", 11, "must be one value"},
		{"name['a']", 4, "must be an integer"},
		{"1.upper()", 2, "must be a string"},
		{"name.startsWith('A')", 5, "must be a string"},
		{"'a'.matches('(' & '')", 4, "the regular expression cannot be used"},
		{"@2026 + 1 'a'", 6, "only a duration of the calendar"},
		{"(1|2) is Integer", 6, "there are several"},
		{"name.allTrue()", 5, ""},
		{"'a'.allTrue()", 4, "takes booleans"},
		{"iif(1|2, 1)", 0, "a condition must be one value"},
		{"$this is Unheard", 6, "there is no type Unheard"},
		{"gender.ofType(string1)", 7, "there is no type string1"},
	} {
		_, err := run(t, parsed(t, patient(`"name":[{"given":["A","B"]}]`)), x.text, Options{})
		if x.says == "" {
			if err != nil {
				t.Errorf("%s: %v", x.text, err)
			}
			continue
		}
		var e *Error
		var f *fhir.Error
		name := x.text[:min(40, len(x.text))]
		if !errors.As(err, &e) || !errors.As(err, &f) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if e.Offset != x.offset || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: at %d: %v; want at %d: %s", name, e.Offset, err, x.offset, x.says)
		}
		if f.Code == "" || f.Code == fhir.CodeException {
			t.Errorf("%s: code %q", name, f.Code)
		}
	}
}

// An error may be shown to anybody, so it has nothing of the document in it.
func TestErrorsHoldNothingOfTheDocument(t *testing.T) {
	d := parsed(t, patient(`"name":[{"family":"Secretperson","given":["Secretperson","Secretperson2"]}],"gender":"Secretperson("`))
	for _, text := range []string{"name.family + 1", "name.family < 1", "name.given.upper()", "-name.family", "name.family.allTrue()", "name[name.family]", "'a'.matches(gender)", "iif(name.given, 1)", "name.family.round()"} {
		_, err := run(t, d, text, Options{})
		if err == nil || strings.Contains(err.Error(), "Secret") || strings.Contains(string(fhir.Outcome(err, "")), "Secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEvaluationIsBounded(t *testing.T) {
	d := parsed(t, encounterText)
	grow := "1.repeat($this + 1)"
	double := "'aaaaaaaaaaaaaaaa'" + strings.Repeat(".replace('a', 'aaaaaaaaaaaaaaaa')", 12)
	regex := "'aaaaaaaaaaaaaaaa'" + strings.Repeat(".replaceMatches('a', 'aaaaaaaaaaaaaaaa')", 12)
	for _, x := range []struct {
		text string
		lim  Limits
		says string
	}{
		{grow, Limits{}, "too many items"},
		{grow, Limits{Steps: 1000}, "too many steps"},
		{double, Limits{}, "too much text"},
		{regex, Limits{}, "too much text"},
		{"('a' | 'b').aggregate('x' & $total & $total, 'y')", Limits{Bytes: 3}, "too much text"},
		{"descendants()", Limits{Items: 10}, "too many items"},
		{"descendants().count()", Limits{Steps: 50}, "too many steps"},
		{"'abcdefghij'.toChars()", Limits{Items: 5}, "too many items"},
		{"'a,b,c,d'.split(',')", Limits{Items: 2}, "too many items"},
		{"descendants().select(%resource.descendants().select(%resource.descendants().select(%resource.descendants())))", Limits{}, "too many"},
	} {
		_, err := run(t, d, x.text, Options{Limits: x.lim})
		if err == nil || !strings.Contains(err.Error(), x.says) || fhir.CodeOf(err) != fhir.CodeTooCostly {
			t.Errorf("%.40s: %v, want %q", x.text, err, x.says)
		}
	}
	try(t, d, Options{Limits: Limits{Steps: 20, Items: 2, Bytes: 12}}, example{"status & 'x'", "in-progressx"}, example{"identifier.use", "official|secondary"})
}

// What looks like one step but takes long counts for many.
func TestLongWorkCountsForManySteps(t *testing.T) {
	var wide strings.Builder
	for i := range 20_000 {
		wide.WriteString(`"m` + strconv.Itoa(i) + `":"x",`)
	}
	d := parsed(t, patient(`"long":"`+strings.Repeat("a", 1<<20)+`","same":"`+strings.Repeat("a", 1<<20)+`",`+
		`"wide":{`+wide.String()+`"z":"x"},"wider":{`+wide.String()+`"z":"x"}`))
	for _, text := range []string{
		"(1|2|3|4|5|6|7|8|9).select(%context.long.length())",
		"(1|2|3|4|5|6|7|8|9).select(%context.long = %context.same)",
		"(1|2|3|4|5|6|7|8|9).select(%context.long | %context.same)",
		"long.matches('(a{50}b?){20}c')",
		"long.replaceMatches('a{0,500}', 'b')",
		"wide.children().select(%context.wide.z)",
		"wide = wider",
		"wide ~ wider",
		"(1|2|3|4|5|6|7|8|9).select(1 '" + strings.Repeat("m9.", 30) + "m9' = 1 '" + strings.Repeat("s9.", 30) + "s9')",
	} {
		_, err := run(t, d, text, Options{Limits: Limits{Steps: 30_000}})
		if fhir.CodeOf(err) != fhir.CodeTooCostly {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	// Children of a wide element are read in one go.
	try(t, d, Options{Limits: Limits{Steps: 60_000}}, example{"wide.children().count()", "20001"})
}

// Types do not multiply along a path.
func TestCheckingIsBounded(t *testing.T) {
	e := MustCompile("Encounter" + strings.Repeat(".extension.value", 60) + ".code")
	if err := e.Check(R4(), "Encounter"); err != nil {
		t.Error(err)
	}
}

func TestAContextStopsAnEvaluation(t *testing.T) {
	d := parsed(t, encounterText)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MustCompile("id").Evaluate(ended, d.Root(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	// It is cancelled from within, so that the test does not depend on time.
	during, cancel := context.WithCancel(t.Context())
	opts := Options{Trace: func(string, Collection) { cancel() }, Limits: Limits{Steps: 1 << 40, Items: 1 << 40}}
	_, err := MustCompile("1.trace('now').repeat($this + 1)").Evaluate(during, d.Root(), opts)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends: %v", err)
	}
}

func TestManyEvaluateOneExpression(t *testing.T) {
	e := MustCompile("identifier.where(system = 'http://example.org/vc-token').value | status | extension.value.ofType(integer).toString()")
	var group sync.WaitGroup
	for i := range 8 {
		d := parsed(t, strings.Replace(encounterText, "3f2504e0", strings.Repeat("x", i+1), 1))
		want := []string{strings.Repeat("x", i+1), "in-progress", "5"}
		group.Go(func() {
			for range 200 {
				c, err := e.Evaluate(t.Context(), d.Root(), Options{})
				if err != nil || !slices.Equal(c.Strings(), want) {
					t.Errorf("%v, %v; want %v", c.Strings(), err, want)
					return
				}
			}
		})
	}
	group.Wait()
}

// What was returned stays as it is, whatever is evaluated later.
func TestResultsAreTheirOwn(t *testing.T) {
	d := parsed(t, encounterText)
	first, err := MustCompile("identifier.value").Evaluate(t.Context(), d.Root(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	literal := MustCompile("true")
	for range 50 {
		c, err := literal.Evaluate(t.Context(), d.Root(), Options{})
		if err != nil || len(c) != 1 || c[0].Type() != "System.Boolean" {
			t.Fatalf("%v, %v", c, err)
		}
		c[0] = Text("spoilt")
		if _, err := MustCompile("descendants().where($this is string)").Evaluate(t.Context(), d.Root(), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := first.Strings(); !slices.Equal(got, []string{"E-100", "3f2504e0"}) {
		t.Errorf("the first result reads %q now", got)
	}
}

func TestStrictNames(t *testing.T) {
	for text, says := range map[string]string{
		"Encounter.status": "",
		"Encounter.identifier.where(system = 'x').value":                              "",
		"Encounter.extension.value.ofType(Quantity).code":                             "",
		"Encounter.contained.name.anything":                                           "",
		"Encounter.subject.resolve().anything":                                        "",
		"Encounter.status.extension.url":                                              "",
		"Encounter.statusHistory.period.start":                                        "",
		"Encounter.descendants().where($this is code)":                                "",
		"(Encounter.period | Encounter.location.period).start":                        "",
		"Encounter.statuss":                                                           "Encounter has no element statuss",
		"Encounter.statusHistory.period.begin":                                        "Period has no element begin",
		"Encounter.identifier.where(sistem = 'x')":                                    "Identifier has no element sistem",
		"Encounter.identifier.select(value.length()).exists() and (period.begin = 1)": "no element begin",
		"Patient.name": "Encounter has no element Patient",
		"(Encounter.extension.value as Period).value": "Period has no element value",
		"Encounter.children().first()":                "in no order",
		"Encounter.descendants()[0]":                  "in no order",
	} {
		_, err := run(t, parsed(t, encounterText), text, Options{Strict: true})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestCollectionHelpers(t *testing.T) {
	for _, x := range []struct {
		c            Collection
		value, known bool
	}{
		{nil, false, false}, {Collection{Bool(true)}, true, true}, {Collection{Bool(false)}, false, true}, {Collection{Text("x")}, true, true}, {Collection{Integer(0)}, true, true}, {Collection{Bool(true), Bool(true)}, false, false},
	} {
		if value, known := x.c.Bool(); value != x.value || known != x.known {
			t.Errorf("%v: %v, %v", x.c.Strings(), value, known)
		}
	}
	d := parsed(t, encounterText)
	v := Of(d.Get("identifier"), "Identifier")
	if v.String() != "" || v.Type() != "Identifier" || v.Node().Path() != "Encounter.identifier[0]" {
		t.Errorf("%q, %s, %s", v, v.Type(), v.Node().Path())
	}
	if got := (Collection{v, Integer(-3), Text("a")}).Strings(); !slices.Equal(got, []string{"-3", "a"}) {
		t.Errorf("%q", got)
	}
}
