package search

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const base = "https://hie.example/baseR4"

func clause(param string, any ...store.Match) store.Clause {
	return store.Clause{Param: param, Any: any}
}

// sole is a clause on a parameter that has one value at most.
func sole(param string, any ...store.Match) store.Clause {
	c := clause(param, any...)
	c.Single = true
	return c
}

func match(k store.Kind, c store.Compare, value string) store.Match {
	return store.Match{Kind: k, Compare: c, Value: value}
}

func dates(c store.Compare, low, high string) store.Match {
	return store.Match{Kind: store.Date, Compare: c, Low: micro(low), High: micro(high)}
}

func TestParseConditions(t *testing.T) {
	const token, ref, str = store.Token, store.Reference, store.String
	not := clause("status", match(token, store.Equal, "finished|"))
	not.Not = true
	tests := []struct {
		typ, query string
		want       store.Clause
	}{
		{"Patient", "identifier=950728106051", clause("identifier", match(token, store.HasPrefix, "950728106051|"))},
		{"Patient", "identifier=http://s|1", clause("identifier", match(token, store.Equal, "1|http://s"))},
		{"Patient", "identifier=|1", clause("identifier", match(token, store.Equal, "1|"))},
		{"Patient", "identifier=http://s|", clause("identifier:system", match(token, store.Equal, "|http://s"))},
		{"Patient", "identifier=a,http://s|b", clause("identifier", match(token, store.HasPrefix, "a|"), match(token, store.Equal, "b|http://s"))},
		{"Patient", `identifier=a\,b\|c`, clause("identifier", match(token, store.HasPrefix, `a,b\|c|`))},
		{"Patient", "identifier=http://fhir.hie.moh.gov.my/sid/mykad-no|9", clause("identifier", match(token, store.Equal, "9|http://fhir.hie.moh.gov.my/sid/my-kad-no"))},
		{"Slot", "service-type=http://fhir.hie.moh.gov.my/Valueset/service-type-my-core|VCE", clause("service-type", match(token, store.Equal, "VCE|http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core"))},
		{"Encounter", "status=arrived,in-progress", clause("status", match(token, store.Equal, "arrived|"), match(token, store.Equal, "in-progress|"))},
		{"Encounter", "status=http://hl7.org/fhir/encounter-status|arrived", clause("status", match(token, store.Equal, "arrived|"))},
		{"Encounter", "status:not=finished", not},
		{"Encounter", "class=VR", clause("class", match(token, store.HasPrefix, "VR|"))},
		{"Encounter", "status:missing=true", clause("status", match(token, store.Missing, "true"))},
		{"Encounter", "subject=p1", clause("subject", match(ref, store.Equal, "Patient/p1"), match(ref, store.Equal, "Group/p1"))},
		{"Encounter", "patient=p1", clause("patient", match(ref, store.Equal, "Patient/p1"))},
		{"Encounter", "subject=Patient/p1", clause("subject", match(ref, store.Equal, "Patient/p1"))},
		{"Encounter", "subject:Patient=p1", clause("subject", match(ref, store.Equal, "Patient/p1"))},
		{"Encounter", "subject=" + base + "/Patient/p1", clause("subject", match(ref, store.Equal, "Patient/p1"))},
		{"Encounter", "subject=https://other.example/Patient/p1", clause("subject", match(ref, store.Equal, "https://other.example/Patient/p1"))},
		{"Encounter", "patient=Group/g1", clause("patient", match(ref, store.Equal, ""))},
		{"Encounter", "subject:identifier=http://s|1", clause("subject:identifier", match(token, store.Equal, "1|http://s"))},
		{"Encounter", "_id=a,b", clause("_id", match(token, store.Equal, "a"), match(token, store.Equal, "b"))},
		{"Encounter", "_profile=http://p", clause("_profile", match(token, store.HasPrefix, "http://p|"))},
		{"Encounter", "_profile=http://p|1.0", clause("_profile", match(token, store.Equal, "http://p|1.0"))},
		{"Patient", "identifier-value=NURUL - Aïn'", clause("identifier-value", match(str, store.HasPrefix, "nurul ain"))},
		{"Patient", "name:exact=Nurul", clause("name:exact", match(token, store.Equal, "Nurul|"))},
		{"Appointment", "date=2026-11-23", sole("date", dates(store.Equal, "2026-11-23T00:00:00+08:00", "2026-11-24T00:00:00+08:00"))},
		{"Appointment", "date=ge2026-11-23T09:00:00 08:00", sole("date", dates(store.GreaterEqual, "2026-11-23T09:00:00+08:00", "2026-11-23T09:00:01+08:00"))},
		{"Appointment", "date=ap2026-11-23", sole("date", dates(store.Overlaps, "2026-11-23T00:00:00+08:00", "2026-11-24T00:00:00+08:00"))},
		{"Slot", "start=eb2026", sole("start", dates(store.EndsBefore, "2026-01-01T00:00:00+08:00", "2027-01-01T00:00:00+08:00"))},
		{"Slot", "_lastUpdated=gt2026-11-23", clause("_lastUpdated", dates(store.GreaterThan, "2026-11-23T00:00:00+08:00", "2026-11-24T00:00:00+08:00"))},
		{"Location", "longitude=101.7", clause("longitude", store.Match{Kind: store.Date, Compare: store.Equal, Low: place(101.65), High: place(101.75)})},
		{"Location", "longitude=gt3", clause("longitude", store.Match{Kind: store.Date, Compare: store.GreaterThan, Low: place(3), High: place(3) + 1})},
	}
	for _, tt := range tests {
		t.Run(tt.typ+"?"+tt.query, func(t *testing.T) {
			key, value, _ := strings.Cut(tt.query, "=")
			req, err := Parser{Base: base, Clock: func() time.Time { return time.UnixMicro(micro("2026-11-23T12:00:00+08:00")) }}.Parse(tt.typ, url.Values{key: {value}})
			if err != nil {
				t.Fatal(err)
			}
			if want := store.Where(tt.want); !reflect.DeepEqual(req.Query.Where, want) {
				t.Errorf("got  %+v\nwant %+v", req.Query.Where, want)
			}
			if len(req.Unknown) != 0 || req.Applied.Get(key) != value {
				t.Errorf("unknown %v, applied %v", req.Unknown, req.Applied)
			}
		})
	}
}

func TestParseRequest(t *testing.T) {
	plain := func(typ string) store.Query { return store.Query{Type: typ, Count: DefaultCount} }
	where := func(typ string, c store.Condition) store.Query {
		return store.Query{Type: typ, Count: DefaultCount, Where: []store.Condition{c}}
	}
	leads := func(param string, sub ...store.Query) store.Condition {
		return store.Condition{Link: &store.Link{Param: param, Sub: sub}}
	}
	leadsBack := func(param string, sub ...store.Query) store.Condition {
		return store.Condition{Link: &store.Link{Param: param, Reverse: true, Sub: sub}}
	}
	on := func(typ string, c store.Clause) store.Query { return store.Query{Type: typ, Where: store.Where(c)} }
	tests := []struct {
		typ, query string
		want       Request
	}{
		{"Encounter", "subject:Patient.identifier=HIE-3", Request{Query: where("Encounter", leads("subject", on("Patient", clause("identifier", match(store.Token, store.HasPrefix, "HIE-3|")))))}},
		{"Patient", "_has:Encounter:patient:_id=e1", Request{Query: where("Patient", leadsBack("patient", on("Encounter", clause("_id", match(store.Token, store.Equal, "e1")))))}},
		{"Encounter", "appointment.slot.schedule=s1", Request{Query: where("Encounter", leads("appointment",
			store.Query{Type: "Appointment", Where: []store.Condition{leads("slot", on("Slot", clause("schedule", match(store.Reference, store.Equal, "Schedule/s1"))))}}))}},
		{"Slot", "_count=5&_offset=10&_sort=-start,status&_total=accurate", Request{Query: store.Query{
			Type: "Slot", Count: 5, Offset: 10, Total: true, Sort: []store.Sort{{Param: "start", Kind: store.Date, Descending: true}, {Param: "status", Kind: store.Token}}}}},
		{"Slot", "_count=5000", Request{Query: store.Query{Type: "Slot", Count: MaxCount}}},
		{"Slot", "_summary=count&_count=7", Request{Query: store.Query{Type: "Slot", Total: true}}},
		{"Slot", "_count=0", Request{Query: store.Query{Type: "Slot", Total: true}}},
		{"Patient", "_sort=name", Request{Query: store.Query{Type: "Patient", Count: DefaultCount, Sort: []store.Sort{{Param: "name", Kind: store.String}}}}},
		{"Patient", "_sort=colour", Request{Query: plain("Patient"), Unknown: []string{"_sort=colour"}}},
		{"Slot", "_include=Slot:schedule", Request{Query: plain("Slot"), Includes: []Include{{Type: "Slot", Param: "schedule"}}}},
		{"Schedule", "_revinclude=Slot:schedule", Request{Query: plain("Schedule"), RevIncludes: []Include{{Type: "Slot", Param: "schedule"}}}},
		{"Appointment", "_include=Appointment:actor:Patient", Request{Query: plain("Appointment"), Includes: []Include{{Type: "Appointment", Param: "actor", Target: "Patient"}}}},
		{"Appointment", "_include=Appointment:slot&_include:iterate=Slot:schedule", Request{Query: plain("Appointment"),
			Includes: []Include{{Type: "Appointment", Param: "slot"}, {Type: "Slot", Param: "schedule", Iterate: true}}}},
		{"Appointment", "_include=*&_revinclude:recurse=Provenance:*", Request{Query: plain("Appointment"),
			Includes: []Include{{Type: Any, Param: Any}}, RevIncludes: []Include{{Type: "Provenance", Param: Any, Iterate: true}}}},
		{"Patient", "_include:iterate=Slot:colour&_include=Patient&_include=Nothing:*&_revinclude=Slot:*&_include=Patient:link:Slot&_include=Patient:gender", Request{Query: plain("Patient"),
			Unknown: []string{"_include=Patient", "_include=Nothing:*", "_include=Patient:link:Slot", "_include=Patient:gender", "_include:iterate=Slot:colour", "_revinclude=Slot:*"}}},
		{"Schedule", "_include=Slot:schedule", Request{Query: plain("Schedule"), Unknown: []string{"_include=Slot:schedule"}}},
		{"Schedule", "_revinclude=Slot:colour", Request{Query: plain("Schedule"), Unknown: []string{"_revinclude=Slot:colour"}}},
		{"Patient", "_revinclude=Slot:schedule", Request{Query: plain("Patient"), Unknown: []string{"_revinclude=Slot:schedule"}}},
		{"Patient", "colour=blue&_format=json&active=", Request{Query: plain("Patient"), Unknown: []string{"colour"}}},
		{"Encounter", "subject.colour=blue&status.code=x&subject.organization.colour=y", Request{Query: plain("Encounter"),
			Unknown: []string{"status.code", "subject.colour", "subject.organization.colour"}}},
	}
	for _, tt := range tests {
		t.Run(tt.typ+"?"+tt.query, func(t *testing.T) {
			values, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(tt.typ, values, base)
			if err != nil {
				t.Fatal(err)
			}
			got.Applied, tt.want.Path = nil, tt.typ
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestParseChainToEveryType(t *testing.T) {
	req, err := Parse("Appointment", url.Values{"actor.name": {"Ali"}}, base)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, q := range req.Query.Where[0].Link.Sub {
		types = append(types, q.Type)
	}
	if got := strings.Join(types, " "); got != "Patient Practitioner RelatedPerson HealthcareService Location" {
		t.Errorf("the chain leads to %s", got)
	}
}

func TestParseIncludesEveryReference(t *testing.T) {
	req, err := Parse("Slot", url.Values{"_include": {"Slot:*"}}, base)
	if err != nil || len(req.Includes) != 1 || req.Includes[0] != (Include{Type: "Slot", Param: Any}) {
		t.Errorf("%+v, %v", req.Includes, err)
	}
}

func TestParseRefuses(t *testing.T) {
	many := strings.Repeat("a,", maxAny)
	tests := []struct {
		typ, key, value string
		code            fhir.Code
		status          int
	}{
		{"Colour", "_id", "1", fhir.CodeNotSupported, 404},
		{"Slot", "start", "soon", fhir.CodeInvalid, 400},
		{"Slot", "start", "2026-13-40", fhir.CodeInvalid, 400},
		{"Slot", "start:above", "2026", fhir.CodeNotSupported, 400},
		{"Slot", "status:of-type", "a|b|c", fhir.CodeNotSupported, 400},
		{"Slot", "schedule.actor:Patient.organization.partof.name", "x", fhir.CodeTooCostly, 400},
		{"Slot", "start:contains", "2026", fhir.CodeNotSupported, 400},
		{"Slot", "schedule:exact", "s1", fhir.CodeNotSupported, 400},
		{"Slot", "service-type:below", "x", fhir.CodeNotSupported, 400},
		{"Slot", "service-type:colour", "x", fhir.CodeNotSupported, 400},
		{"Patient", "name:text", "x", fhir.CodeNotSupported, 400},
		{"Patient", "identifier:of-type", "a|b", fhir.CodeInvalid, 400},
		{"Slot", "schedule:Patient", "1", fhir.CodeNotSupported, 400},
		{"Slot", "schedule:Patient.name", "x", fhir.CodeNotSupported, 400},
		{"Slot", "schedule", "a b", fhir.CodeInvalid, 400},
		{"Slot", "start:missing", "maybe", fhir.CodeInvalid, 400},
		{"Patient", "identifier", "|", fhir.CodeInvalid, 400},
		{"Patient", "identifier", many, fhir.CodeTooCostly, 400},
		{"Patient", "name", "a, ", fhir.CodeInvalid, 400},
		{"Patient", "_sort", "name,given,-family,gender,active", fhir.CodeTooCostly, 400},
		{"Patient", "_count", "-1", fhir.CodeInvalid, 400},
		{"Patient", "_offset", "9999999", fhir.CodeInvalid, 400},
		{"Patient", "_total", "some", fhir.CodeInvalid, 400},
		{"Location", "longitude", "east", fhir.CodeInvalid, 400},
	}
	for _, tt := range tests {
		t.Run(tt.typ+"?"+tt.key+"="+tt.value[:min(9, len(tt.value))], func(t *testing.T) {
			_, err := Parse(tt.typ, url.Values{tt.key: {tt.value}}, base)
			if fhir.CodeOf(err) != tt.code || fhir.Status(err) != tt.status {
				t.Errorf("got %v (%d), want %s (%d)", err, fhir.Status(err), tt.code, tt.status)
			}
		})
	}
	values := make([]string, maxClauses+1)
	for i := range values {
		values[i] = "x"
	}
	if _, err := Parse("Patient", url.Values{"name": values}, base); fhir.CodeOf(err) != fhir.CodeTooCostly {
		t.Errorf("%d conditions: %v", len(values), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("identifier=a|b&subject:Patient.name=x&_sort=-date")
	f.Add(`date=ap2026&longitude=ge1e9&status:not=\,\|`)
	f.Add("_filter=subject.name co x&_content=a OR b&location:below=Location/1&_list=l&type=a|,b&_has:Observation:encounter:code-value-quantity=a$gt5||mg")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		req, err := Parse("Encounter", values, base)
		if err == nil && (req.Query.Count < 0 || req.Query.Count > MaxCount || len(req.Query.Where) > maxClauses) {
			t.Errorf("%+v is out of bounds", req.Query)
		}
	})
}
