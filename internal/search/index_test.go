package search

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const appointment = `{
  "resourceType": "Appointment", "id": "a1",
  "meta": {"profile": ["http://fhir.hie.moh.gov.my/StructureDefinition/Appointment-my-core|1.0.0"],
           "tag": [{"system": "http://example.org/tags", "code": "demo"}]},
  "extension": [{"url": "http://fhir.hie.moh.gov.my/StructureDefinition/simple-register-my-core",
    "extension": [{"url": "name", "valueString": "Siti binti Ahmad"}, {"url": "identifier", "valueString": "HIE-00000003"}]}],
  "identifier": [{"system": "http://fhir.hie.moh.gov.my/sid/vc-token", "value": "5f0c8a34"}, {"value": "no|system"}],
  "status": "booked",
  "serviceType": [{"coding": [{"system": "http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core", "code": "VCI"}, {"code": "bare"}]}],
  "slot": {"reference": "Slot/s1"},
  "start": "2026-11-23T09:00:00+08:00", "end": "2026-11-23T09:30:00+08:00", "created": "2026-11",
  "participant": [
    {"actor": {"reference": "https://hie.example/baseR4/Patient/p1/_history/4", "type": "Patient"}, "status": "accepted"},
    {"actor": {"reference": "HealthcareService/h1"}, "status": "accepted"},
    {"actor": {"type": "Practitioner", "identifier": {"system": "urn:mmc", "value": "123"}}, "status": "tentative"},
    {"actor": {"reference": "https://elsewhere.example/fhir/Location/l9"}, "status": "accepted"},
    {"actor": {"reference": "#contained"}, "status": "accepted"}]
}`

func parse(t testing.TB, body string) *fhir.Document {
	t.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func micro(s string) int64 {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

func TestIndex(t *testing.T) {
	got := Index(parse(t, appointment), "https://hie.example/baseR4")
	token := func(param, value string) store.Entry {
		return store.Entry{Param: param, Kind: store.Token, Value: value}
	}
	ref := func(param, value string) store.Entry {
		return store.Entry{Param: param, Kind: store.Reference, Value: value}
	}
	str := func(param, value string) store.Entry {
		return store.Entry{Param: param, Kind: store.String, Value: value}
	}
	date := func(param, low, high string) store.Entry {
		return store.Entry{Param: param, Kind: store.Date, Low: micro(low), High: micro(high)}
	}
	want := []store.Entry{
		token("_profile", "http://fhir.hie.moh.gov.my/StructureDefinition/Appointment-my-core|1.0.0"),
		token("_tag", "demo|http://example.org/tags"),
		token("_tag:system", "|http://example.org/tags"),
		token("identifier", "5f0c8a34|http://fhir.hie.moh.gov.my/sid/vc-token"),
		token("identifier:system", "|http://fhir.hie.moh.gov.my/sid/vc-token"),
		token("identifier", `no\|system|`),
		token("status", "booked|"),
		token("service-type", "VCI|http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core"),
		token("service-type:system", "|http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core"),
		token("service-type", "bare|"),
		token("part-status", "accepted|"),
		token("part-status", "tentative|"),
		ref("slot", "Slot/s1"),
		ref("actor", "Patient/p1"),
		ref("patient", "Patient/p1"),
		token("_compartment", "Patient/p1"),
		ref("actor", "HealthcareService/h1"),
		ref("actor", "https://elsewhere.example/fhir/Location/l9"),
		ref("location", "https://elsewhere.example/fhir/Location/l9"),
		token("actor:identifier", "123|urn:mmc"),
		token("actor:identifier:system", "|urn:mmc"),
		token("practitioner:identifier", "123|urn:mmc"),
		token("practitioner:identifier:system", "|urn:mmc"),
		date("date", "2026-11-23T09:00:00+08:00", "2026-11-23T09:00:01+08:00"),
		date("date-start", "2026-11-23T09:00:00+08:00", "2026-11-23T09:00:01+08:00"),
		date("created", "2026-11-01T00:00:00+08:00", "2026-12-01T00:00:00+08:00"),
		str("simple-register-identifier", "hie 00000003"),
		token("simple-register-identifier:exact", "HIE-00000003|"),
		str("simple-register-name", "siti binti ahmad"),
		str("simple-register-name:word", "binti ahmad"),
		str("simple-register-name:word", "ahmad"),
		str("_content", "siti"), str("_content", "binti"), str("_content", "ahmad"), str("_content", "hie"), str("_content", "00000003"),
		token("actor:version", "Patient/p1|4"),
		token("patient:version", "Patient/p1|4"),
		token("simple-register-name:exact", "Siti binti Ahmad|"),
	}
	slices.SortFunc(want, compare)
	for _, e := range want {
		if !slices.Contains(got, e) {
			t.Errorf("missing %+v", e)
		}
	}
	for _, e := range got {
		if !slices.Contains(want, e) {
			t.Errorf("unexpected %+v", e)
		}
	}
	if !slices.IsSortedFunc(got, compare) {
		t.Error("the entries are not in order")
	}
}

func TestIndexValues(t *testing.T) {
	long := strings.Repeat("x", 2000)
	tests := []struct {
		name, body string
		entry      store.Entry
		absent     bool
	}{
		{"period", `{"resourceType":"Encounter","period":{"start":"2026-11-23","end":"2026-11-24"}}`,
			store.Entry{Param: "date", Kind: store.Date, Low: micro("2026-11-23T00:00:00+08:00"), High: micro("2026-11-25T00:00:00+08:00")}, false},
		{"period without end", `{"resourceType":"Encounter","period":{"start":"2026-11-23T09:00:00Z"}}`,
			store.Entry{Param: "date", Kind: store.Date, Low: micro("2026-11-23T09:00:00Z"), High: math.MaxInt64}, false},
		{"period without start", `{"resourceType":"Encounter","period":{"end":"2026-11-23T09:00:00Z"}}`,
			store.Entry{Param: "date", Kind: store.Date, Low: math.MinInt64, High: micro("2026-11-23T09:00:01Z")}, false},
		{"period with a bad end", `{"resourceType":"Encounter","period":{"start":"2026-11-23","end":"later"}}`,
			store.Entry{Param: "date", Kind: store.Date, Low: micro("2026-11-23T00:00:00+08:00"), High: math.MaxInt64}, true},
		{"boolean", `{"resourceType":"Patient","active":true}`, store.Entry{Param: "active", Kind: store.Token, Value: "true|"}, false},
		{"accents", `{"resourceType":"Patient","name":[{"family":"  NGUYỄN   Thị "}]}`, store.Entry{Param: "family", Kind: store.String, Value: "nguyen thi"}, false},
		{"any word of a name", `{"resourceType":"Patient","name":[{"text":"Ali bin Abu"}]}`, store.Entry{Param: "name:word", Kind: store.String, Value: "bin abu"}, false},
		{"telecom by system", `{"resourceType":"Patient","telecom":[{"system":"phone","value":"0123"},{"system":"email","value":"a@b"}]}`,
			store.Entry{Param: "phone", Kind: store.Token, Value: "0123|phone"}, false},
		{"telecom of another system", `{"resourceType":"Patient","telecom":[{"system":"email","value":"a@b"}]}`,
			store.Entry{Param: "phone", Kind: store.Token, Value: "a@b|email"}, true},
		{"single coding object", `{"resourceType":"Slot","appointmentType":{"coding":{"system":"s","code":"public"}}}`,
			store.Entry{Param: "appointment-type", Kind: store.Token, Value: "public|s"}, false},
		{"value set address for a system", `{"resourceType":"Slot","serviceType":[{"coding":[{"system":"http://fhir.hie.moh.gov.my/ValueSet/service-type-my-core","code":"VCI"}]}]}`,
			store.Entry{Param: "service-type", Kind: store.Token, Value: "VCI|http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core"}, false},
		{"the other spelling of MyKad", `{"resourceType":"Patient","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/mykad-no","value":"910503145678"}]}`,
			store.Entry{Param: "identifier", Kind: store.Token, Value: "910503145678|http://fhir.hie.moh.gov.my/sid/my-kad-no"}, false},
		{"extension", `{"resourceType":"Schedule","extension":[{"url":"http://fhir.hie.moh.gov.my/StructureDefinition/schedule-type-my-core","valueCodeableConcept":{"coding":[{"system":"s","code":"affiliate"}]}}]}`,
			store.Entry{Param: "schedule-type", Kind: store.Token, Value: "affiliate|s"}, false},
		{"extension under the older base", `{"resourceType":"Schedule","extension":[{"url":"https://veinscdr.mhnexus.com/baseR4/StructureDefinition/service-provider-my-core","valueReference":{"reference":"Organization/11-05060009"}}]}`,
			store.Entry{Param: "organization", Kind: store.Reference, Value: "Organization/11-05060009"}, false},
		{"other extension", `{"resourceType":"Schedule","extension":[{"url":"http://other/schedule-type-my-core","valueCode":"x"}]}`,
			store.Entry{Param: "schedule-type", Kind: store.Token, Value: "x|"}, true},
		{"nested boolean extension", `{"resourceType":"Encounter","extension":[{"url":"http://fhir.hie.moh.gov.my/StructureDefinition/ncd-vc-dx-my-core","extension":[{"url":"combinationDiagnosis","valueBoolean":false}]}]}`,
			store.Entry{Param: "ncd-combine", Kind: store.Token, Value: "false|"}, false},
		{"number", `{"resourceType":"Location","position":{"longitude":101.6869,"latitude":3.139}}`,
			store.Entry{Param: "longitude", Kind: store.Date, Low: place(101.6869), High: place(101.6869) + 1}, false},
		{"patient of a type without a table", `{"resourceType":"Observation","subject":{"reference":"Patient/p1"}}`,
			store.Entry{Param: "patient", Kind: store.Reference, Value: "Patient/p1"}, false},
		{"patient is no group", `{"resourceType":"Observation","subject":{"reference":"Group/g1"}}`,
			store.Entry{Param: "patient", Kind: store.Reference, Value: "Group/g1"}, true},
		{"token too long to be found", `{"resourceType":"Patient","identifier":[{"value":"` + long + `"}]}`,
			store.Entry{Param: "identifier", Kind: store.Token, Value: long + "|"}, true},
		{"text cut", `{"resourceType":"HealthcareService","name":"` + long + `"}`,
			store.Entry{Param: "name", Kind: store.String, Value: long[:200]}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Index(parse(t, tt.body))
			if slices.Contains(got, tt.entry) == tt.absent {
				t.Errorf("entry %+v, absent %v; got %+v", tt.entry, tt.absent, got)
			}
		})
	}
}

func TestIndexIsBounded(t *testing.T) {
	body := `{"resourceType":"Patient","identifier":[` + strings.Repeat(`{"value":"1"},`, 9999) + `{"value":"2"}]}`
	if got := Index(parse(t, body)); len(got) > 2 {
		t.Errorf("%d entries, want the duplicates gone", len(got))
	}
	for _, doc := range []string{`{"resourceType":"Unheard"}`, `{"resourceType":"Patient","identifier":"x","name":7,"telecom":[null],"managingOrganization":[]}`} {
		Index(parse(t, doc)) // must not panic
	}
}

func TestDiff(t *testing.T) {
	before := Index(parse(t, `{"resourceType":"Slot","status":"free","schedule":{"reference":"Schedule/1"},"start":"2026-01-01"}`))
	after := Index(parse(t, `{"resourceType":"Slot","status":"busy","schedule":{"reference":"Schedule/1"},"comment":"x"}`))
	add, remove := Diff(before, after)
	if len(add) != 2 || add[0].Value != "x" || add[1].Value != "busy|" {
		t.Errorf("add = %+v", add)
	}
	if len(remove) != 2 || remove[0].Param != "start" || remove[1].Value != "free|" {
		t.Errorf("remove = %+v", remove)
	}
	if add, remove := Diff(nil, after); len(add) != len(after) || remove != nil {
		t.Errorf("from nothing: %v %v", add, remove)
	}
	if add, remove := Diff(before, nil); len(remove) != len(before) || add != nil {
		t.Errorf("to nothing: %v %v", add, remove)
	}
}

func TestTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range table {
		if key := r.base + " " + r.code; seen[key] {
			t.Errorf("%s stands twice", key)
		} else {
			seen[key] = true
		}
		if r.base != "*" && r.base != "+" && r.base != "?" && !TypeNamed(r.base) {
			t.Errorf("%s is no resource type", r.base)
		}
		for _, target := range r.param().Target {
			if !TypeNamed(target) {
				t.Errorf("%s %s: %s is no resource type", r.base, r.code, target)
			}
		}
		if indexers[r.kind] == nil && r.kind != Words || fhirType[r.kind] == "" {
			t.Errorf("%s %s has no kind", r.base, r.code)
		}
	}
	if n := len(Types()); n != 146 {
		t.Errorf("%d resource types, want the 146 of R4", n)
	}
	if !slices.IsSorted(Types()) {
		t.Error("the resource types are not in order")
	}
}

func BenchmarkIndex(b *testing.B) {
	doc := parse(b, appointment)
	b.ReportAllocs()
	for b.Loop() {
		Index(doc)
	}
}
