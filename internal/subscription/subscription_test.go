package subscription

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

var update = flag.Bool("update", false, "write the golden files anew")

const base = "https://hie.example/baseR4"

var at = time.Date(2026, 11, 23, 2, 15, 30, 125_000_000, time.UTC)

func doc(t *testing.T, raw string) *fhir.Document {
	t.Helper()
	d, err := fhir.Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func set(t *testing.T) *Set {
	t.Helper()
	s, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encounter(status string) string {
	return fmt.Sprintf(`{"resourceType":"Encounter","id":"e1","status":%q,"class":{"system":"http://fhir.hie.moh.gov.my/CodeSystem/encounter-class-my-core","code":"VR"}}`, status)
}

func appointment(status, start, slot string) string {
	return fmt.Sprintf(`{"resourceType":"Appointment","id":"a1","status":%q,"start":%q,"end":"2026-11-23T11:00:00+08:00","slot":[{"reference":%q}],"serviceType":[{"coding":[{"code":"VCI"}]}]}`, status, start, slot)
}

func TestMatch(t *testing.T) {
	const (
		noon      = "2026-11-23T12:00:00+08:00"
		noonAtUTC = "2026-11-23T04:00:00Z"
		later     = "2026-11-23T12:30:00+08:00"
	)
	booked := appointment("booked", noon, "Slot/s1")
	for _, tc := range []struct {
		name          string
		before, after string
		provider, by  string
		want          []string
	}{
		{"encounter created", "", encounter("arrived"), "h1", "", []string{"hie.vc.encounter.h1"}},
		{"created by the provider itself", "", encounter("finished"), "h1", "h1", []string{"hie.vc.encounter.h1"}},
		{"status changed", encounter("arrived"), encounter("in-progress"), "h1", "h1", []string{"hie.vc.encounter.h1"}},
		{"status the same", encounter("arrived"), strings.Replace(encounter("arrived"), `"id"`, `"language":"ms","id"`, 1), "h1", "h1", nil},
		{"not virtual", "", strings.Replace(encounter("arrived"), "VR", "AMB", 1), "h1", "", nil},
		{"becomes virtual", strings.Replace(encounter("arrived"), "VR", "AMB", 1), encounter("arrived"), "h1", "", []string{"hie.vc.encounter.h1"}},
		{"is virtual no more", encounter("arrived"), strings.Replace(encounter("finished"), "VR", "AMB", 1), "h1", "", nil},
		{"no provider", "", encounter("arrived"), "", "", nil},
		{"deleted", encounter("arrived"), "", "h1", "h1", nil},
		{"another type", "", `{"resourceType":"Patient","id":"p1"}`, "h1", "", nil},

		{"booked by another facility", "", booked, "h1", "h2", []string{"hie.vc.appointment.h1"}},
		{"booked by the provider", "", booked, "h1", "h1", nil},
		{"cancelled by the patient", booked, appointment("cancelled", noon, "Slot/s1"), "h1", "", []string{"hie.vc.appointment.h1"}},
		{"moved by another", booked, appointment("booked", later, "Slot/s1"), "h1", "h2", []string{"hie.vc.appointment.h1"}},
		{"same instant written otherwise", booked, appointment("booked", noonAtUTC, "Slot/s1"), "h1", "h2", nil},
		{"other slot", booked, appointment("booked", noon, "Slot/s2"), "h1", "h2", []string{"hie.vc.appointment.h1"}},
		{"slot removed", booked, strings.Replace(booked, `"slot":[{"reference":"Slot/s1"}],`, "", 1), "h1", "h2", []string{"hie.vc.appointment.h1"}},
		{"slot as a single object", booked, strings.Replace(booked, `[{"reference":"Slot/s1"}]`, `{"reference":"Slot/s1"}`, 1), "h1", "h2", nil},
		{"not a virtual consultation", "", strings.Replace(booked, "VCI", "03", 1), "h1", "h2", nil},
		{"group", "", strings.Replace(booked, "VCI", "VCE", 1), "h1", "h2", []string{"hie.vc.appointment.h1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Change{Provider: tc.provider, By: tc.by, At: at, Version: 1}
			if tc.before != "" {
				c.Before = doc(t, tc.before)
			}
			if tc.after != "" {
				c.After = doc(t, tc.after)
			}
			var got []string
			for _, m := range set(t).Match(c) {
				got = append(got, m.Name)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("announced on %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCriterion(t *testing.T) {
	d := doc(t, `{"resourceType":"ServiceRequest","status":"active","category":[{"coding":[{"system":"http://snomed.info/sct","code":"108252007"},{"code":"x"}]}],"performerType":{"coding":[{"code":"affiliate"}]},"code":{"system":"s","code":"c"}}`)
	for _, tc := range []struct {
		criterion Criterion
		want      bool
	}{
		{Criterion{"status", []string{"active", "revoked"}}, true},
		{Criterion{"status", []string{"revoked"}}, false},
		{Criterion{"category", []string{"108252007"}}, true},
		{Criterion{"category", []string{"http://snomed.info/sct|108252007"}}, true},
		{Criterion{"category", []string{"http://loinc.org|108252007"}}, false},
		{Criterion{"category.coding", []string{"x"}}, true},
		{Criterion{"code", []string{"s|c"}}, true},
		{Criterion{"missing", []string{""}}, false},
	} {
		if got := tc.criterion.holds(d); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.criterion, got, tc.want)
		}
	}
}

// lab gives the guide's own row: Lab Requesting Affiliate.
func lab() Topic {
	return Topic{
		Name: "hie.lab.request." + Organization, Title: "Lab Requesting Affiliate", Category: Affiliate, Resource: "ServiceRequest",
		Recipients: []string{"performer"}, Include: []string{"Patient", "Encounter"},
		Criteria: []Criterion{{"category", []string{"108252007"}}, {"status", []string{"active", "revoked"}}},
		Changes:  []string{"status"}, Payload: FullResource, EventType: "my.gov.moh.hie.lab.request-" + Status + ".v1",
	}
}

func TestNewRefuses(t *testing.T) {
	many := make([]string, 51)
	for i := range many {
		many[i] = "status"
	}
	for _, tc := range []struct {
		name   string
		change func(*Topic)
		field  string
		want   string
	}{
		{"illegal name", func(x *Topic) { x.Name = "hie/vc." + Organization }, "name", "must hold up to 64"},
		{"empty name", func(x *Topic) { x.Name = "" }, "name", "must hold up to 64"},
		{"nothing but the organisation", func(x *Topic) { x.Name = Organization }, "name", "must hold up to 64"},
		{"nothing but signs", func(x *Topic) { x.Name = ".-." + Organization }, "name", "must hold up to 64"},
		{"a name that is no id", func(x *Topic) { x.Name = "hie_vc." + Organization }, "name", "must hold up to 64"},
		{"a long name", func(x *Topic) { x.Name = strings.Repeat("x", 65) + Organization }, "name", "must hold up to 64"},
		{"one of Kafka's own", func(x *Topic) { x.Name, x.Category, x.Payload, x.Include = "__consumer_offsets", Public, IDOnly, nil }, "name", "must hold up to 64"},
		{"two organisations", func(x *Topic) { x.Name += Organization }, "name", "may hold one"},
		{"shared but not public", func(x *Topic) { x.Name = "hie.vc.all" }, "name", "in a public topic only"},
		{"a long title", func(x *Topic) { x.Title = strings.Repeat("é", 251) }, "title", "250 characters"},
		{"public with records", func(x *Topic) { x.Category, x.Name, x.Include = Public, "hie.vc.all", nil }, "payload", "no whole records"},
		{"public for one", func(x *Topic) { x.Category, x.Payload, x.Include = Public, IDOnly, nil }, "name", "one for all"},
		{"public that tells of others", func(x *Topic) { x.Category, x.Name, x.Payload = Public, "hie.vc.all", IDOnly }, "include", "must be empty"},
		{"public by others", func(x *Topic) {
			x.Category, x.Name, x.Payload, x.Include, x.ByOthers = Public, "hie.vc.all", IDOnly, nil, true
		}, "byOthers", "must be false"},
		{"public to some", func(x *Topic) {
			x.Category, x.Name, x.Payload, x.Include, x.Recipients = Public, "hie.vc.all", IDOnly, nil, []string{"performer"}
		}, "recipients", "must be empty"},
		{"unknown category", func(x *Topic) { x.Category = "secret" }, "category", "must be internal"},
		{"unknown payload", func(x *Topic) { x.Payload = "" }, "payload", "must be empty, id-only"},
		{"unknown resource", func(x *Topic) { x.Resource = "Consultation" }, "resource", "a type of FHIR R4"},
		{"the audit trail", func(x *Topic) { x.Resource = "AuditEvent" }, "resource", "a type of FHIR R4"},
		{"Subscriptions", func(x *Topic) { x.Resource = "Subscription" }, "resource", "a type of FHIR R4"},
		{"no criteria", func(x *Topic) { x.Criteria = nil }, "criteria", "must hold a criterion"},
		{"many criteria", func(x *Topic) { x.Criteria = make([]Criterion, 51) }, "criteria", "50 entries"},
		{"criterion without value", func(x *Topic) { x.Criteria = []Criterion{{Element: "class"}} }, "criteria", "1 to 50 values"},
		{"criterion with an empty value", func(x *Topic) { x.Criteria = []Criterion{{"class", []string{""}}} }, "criteria", "1 to 50 values"},
		{"criterion with many values", func(x *Topic) { x.Criteria = []Criterion{{"class", many}} }, "criteria", "1 to 50 values"},
		{"criterion on no element", func(x *Topic) { x.Criteria = []Criterion{{"clas", []string{"VR"}}} }, "criteria", `"clas", which is none of Encounter`},
		{"criterion on an object", func(x *Topic) { x.Criteria = []Criterion{{"subject", []string{"Patient/p1"}}} }, "criteria", "name one within it"},
		{"bad element", func(x *Topic) { x.Changes = []string{"slot[0]"} }, "changes", "no element of Encounter"},
		{"many changes", func(x *Topic) { x.Changes = many }, "changes", "50 entries"},
		{"bad include", func(x *Topic) { x.Include = []string{"patient"} }, "include", "types of FHIR R4"},
		{"recipients of an Encounter", func(x *Topic) { x.Recipients = []string{"serviceProvider"} }, "recipients", "must be empty"},
		{"bad event type", func(x *Topic) { x.EventType = "a b" }, "eventType", "may hold letters"},
		{"no event type", func(x *Topic) { x.EventType = "" }, "eventType", "may hold letters"},
		{"no recipients", func(x *Topic) { *x = lab(); x.Recipients = nil }, "recipients", "such as performer"},
		{"a recipient that is no reference", func(x *Topic) { *x = lab(); x.Recipients = []string{"performerType"} }, "recipients", "no reference of ServiceRequest"},
		{"a recipient that is no element", func(x *Topic) { *x = lab(); x.Recipients = []string{"performer.reference"} }, "recipients", "no reference of ServiceRequest"},
		{"many recipients", func(x *Topic) { *x = lab(); x.Recipients = many }, "recipients", "50 entries"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			topic := Default()[0]
			tc.change(&topic)
			_, err := New([]Topic{topic})
			var e *fhir.Error
			if !errors.As(err, &e) || e.Code != fhir.CodeInvalid || e.Expression != tc.field || !strings.Contains(e.Diagnostics, ": "+tc.field+" ") || !strings.Contains(e.Diagnostics, tc.want) {
				t.Errorf("error %v, want %q of %q", err, tc.want, tc.field)
			}
			if err != nil && (len(err.Error()) > 700 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("the error is not one short line: %s", err)
			}
		})
	}
	for name, topics := range map[string][]Topic{"none": nil, "too many": make([]Topic, 101)} {
		if _, err := New(topics); fhir.CodeOf(err) != fhir.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two topics never have one name, whatever the ids of organisations are: each
// would show the other's records.
func TestNamesThatMeet(t *testing.T) {
	public := func(name string) Topic {
		return Topic{Name: name, Category: Public, Resource: "Encounter", Criteria: Default()[0].Criteria, Payload: IDOnly, EventType: "x"}
	}
	named := func(name string) Topic {
		t := lab()
		t.Name = name
		return t
	}
	for _, c := range []struct {
		a, b Topic
		meet bool
	}{
		{named("hie.lab." + Organization), named("hie.lab." + Organization), true},
		{named("hie." + Organization), named("hie.lab." + Organization), true}, // lab.x and x
		{named(Organization + ".lab"), named("hie." + Organization), true},
		{named("hie." + Organization + ".lab"), named("hie.lab." + Organization), true},
		{named("hie.lab." + Organization), named("hie.imaging." + Organization), false},
		{named("hie." + Organization + ".lab"), named("hie." + Organization + ".imaging"), false},
		{named("hie.lab." + Organization), public("hie.lab.all"), true},
		{named("hie.lab." + Organization), public("hie.laball"), false},
		{named("hie.lab." + Organization), public("hie.lab"), true}, // have one id
		{public("hie.lab"), public("hie.lab"), true},
		{public("hie.lab"), public("hie.lab.all"), false},
	} {
		for _, topics := range [][]Topic{{c.a, c.b}, {c.b, c.a}} {
			if _, err := New(topics); (err != nil) != c.meet {
				t.Errorf("%s and %s: %v, want them refused: %v", topics[0].Name, topics[1].Name, err, c.meet)
			}
		}
	}
}

// A topic on records that no service provides tells the organisations that the
// record names.
func TestRecipients(t *testing.T) {
	request := func(status string, performers ...string) string {
		var list []string
		for _, p := range performers {
			list = append(list, fmt.Sprintf(`{"reference":%q}`, p))
		}
		return fmt.Sprintf(`{"resourceType":"ServiceRequest","id":"r1","status":%q,"category":[{"coding":[{"system":"http://snomed.info/sct","code":"108252007"}]}],"performer":[%s]}`, status, strings.Join(list, ","))
	}
	others := lab()
	others.Name, others.ByOthers = "hie.others."+Organization, true
	all := Topic{Name: "hie.lab.all", Category: Public, Resource: "ServiceRequest", Criteria: others.Criteria, Changes: []string{"status"}, Payload: IDOnly, EventType: "x"}
	s, err := New([]Topic{lab(), others, all})
	if err != nil {
		t.Fatal(err)
	}
	// A person belongs to o4; o9 is not known.
	owners := func(s *Set, d *fhir.Document) map[fhir.Reference]string {
		owners := map[fhir.Reference]string{}
		for _, ref := range s.References(d, base, 100) {
			switch {
			case ref.Type == "PractitionerRole":
				owners[ref] = "o4"
			case ref.ID != "o9":
				owners[ref] = ref.ID
			}
		}
		return owners
	}
	for _, c := range []struct {
		name          string
		before, after string
		by            string
		want          string
	}{
		{"asked of another", "", request("active", "Organization/o2"), "o1", "hie.lab.request.o2 hie.others.o2 hie.lab.all"},
		{"asked of itself", "", request("active", "Organization/o1"), "o1", "hie.lab.request.o1 hie.lab.all"},
		{"asked of two, one of them twice", "", request("active", "Organization/o2", base+"/Organization/o3", "Organization/o2/_history/1"), "o1",
			"hie.lab.request.o2 hie.lab.request.o3 hie.others.o2 hie.others.o3 hie.lab.all"},
		{"asked of a person", "", request("active", "PractitionerRole/p1"), "o1", "hie.lab.request.o4 hie.others.o4 hie.lab.all"},
		{"asked of strangers", "", request("active", "Organization/o9", "https://other.example/Organization/o2", "urn:uuid:x"), "o1", "hie.lab.all"},
		{"asked of nobody", "", request("active"), "o1", "hie.lab.all"},
		{"a draft", "", request("draft", "Organization/o2"), "o1", ""},
		{"revoked", request("active", "Organization/o2"), request("revoked", "Organization/o2"), "o1", "hie.lab.request.o2 hie.others.o2 hie.lab.all"},
		{"nothing has changed", request("active", "Organization/o2"), request("active", "Organization/o2"), "o1", ""},
		{"one more is asked", request("active", "Organization/o2"), request("active", "Organization/o2", "Organization/o3"), "o1", "hie.lab.request.o3 hie.others.o3"},
		{"another is asked instead", request("active", "Organization/o2"), request("active", "Organization/o3"), "o1", "hie.lab.request.o3 hie.others.o3"},
	} {
		change := Change{After: doc(t, c.after), By: c.by, At: at, Version: 2, Base: base}
		change.Owners = owners(s, change.After)
		if c.before != "" {
			change.Before = doc(t, c.before)
			maps.Copy(change.Owners, owners(s, change.Before))
		}
		var names []string
		for _, m := range s.Match(change) {
			names = append(names, m.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: announced on %q, want %q", c.name, got, c.want)
		}
	}
	var many []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf("Organization/o%d", i))
	}
	if n := len(s.References(doc(t, request("active", many...)), base, 20)); n != 21 {
		t.Errorf("%d references of 5000, want one more than 20", n)
	}
	for name, want := range map[string]bool{"hie.lab.request.o1": true, "hie.lab.request.": false, "hie.lab.request": false, "hie.lab.all": true, "hie.lab.alls": false, "hie.vc.encounter.o1": false} {
		if s.Owns(name) != want {
			t.Errorf("%s is a topic's: %v", name, !want)
		}
	}
	if got := s.Names("o1"); !slices.Equal(got, []string{"hie.lab.request.o1", "hie.others.o1"}) {
		t.Errorf("the topics of o1 are %v", got)
	}
	if got := s.Names(""); !slices.Equal(got, []string{"hie.lab.all"}) {
		t.Errorf("the topics of all are %v", got)
	}
}

func TestConsultations(t *testing.T) {
	changed := func(change func(*Topic)) []Topic {
		topics := Default()
		change(&topics[0])
		return topics
	}
	for name, c := range map[string]struct {
		topics []Topic
		want   bool
	}{
		"the default":             {Default(), true},
		"under another name, ids": {changed(func(x *Topic) { x.Name, x.Payload = "kkm."+Organization, IDOnly }), true},
		"to everybody":            {changed(func(x *Topic) { x.Name, x.Category, x.Payload, x.Include = "kkm.all", Public, IDOnly, nil }), true},
		"Appointments alone":      {Default()[1:], false},
		"the laboratory":          {[]Topic{lab()}, false},
		"no changes":              {changed(func(x *Topic) { x.Changes = nil }), false},
		"one kind":                {changed(func(x *Topic) { x.Criteria = append(x.Criteria, Criterion{"serviceType", []string{"VCI"}}) }), false},
		"of other classes":        {changed(func(x *Topic) { x.Criteria[0].Any = []string{"AMB"} }), false},
		"by system and code":      {changed(func(x *Topic) { x.Criteria[0].Any = []string{mycore.SystemEncounterClass + "|VR"} }), true},
		"once they are under way": {changed(func(x *Topic) { x.Criteria = append(x.Criteria, Criterion{"status", []string{"in-progress"}}) }), false},
	} {
		s, err := New(c.topics)
		if err != nil {
			t.Fatal(name, err)
		}
		if s.Consultations() != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
}

// legalTopic is what Kafka takes.
var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

func TestNames(t *testing.T) {
	s := set(t)
	if got, want := s.Names("11-05060009"), []string{"hie.vc.encounter.11-05060009", "hie.vc.appointment.11-05060009"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	names := map[string]string{}
	for _, org := range []string{"h1", "H1", "h_1", "h_5F1", "h 1", "h/1", "é", strings.Repeat("é", 40), strings.Repeat("é", 41), strings.Repeat("x", 64)} {
		name := s.Names(org)[1]
		if !legalTopic.MatchString(name) || len(name) > 249 {
			t.Errorf("%q gives the illegal topic %q", org, name)
		}
		if other, ok := names[name]; ok {
			t.Errorf("%q and %q share the topic %q", org, other, name)
		}
		names[name] = org
		if !fhir.ValidID(ID(name)) {
			t.Errorf("%q is not a FHIR id", ID(name))
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and look at the difference\ngot:\n%s", path, got)
	}
}

// wire shows an event as it stands on the wire: headers, key, value.
func wire(e store.Event) []byte {
	var b bytes.Buffer
	for _, h := range e.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	fmt.Fprintf(&b, "\n%s\n%s", e.Key, e.Value)
	return b.Bytes()
}

func sample(t *testing.T, name string) *fhir.Document {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	d, err := fhir.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRenderGolden(t *testing.T) {
	enc, pat, app := sample(t, "encounter.json"), sample(t, "patient.json"), sample(t, "appointment.json")
	created := Change{
		After: enc, Version: 1, At: at, Provider: "11-05060009",
		Includes: []*fhir.Document{app, pat, enc, pat, nil}, // order, itself and repetitions do not matter
		Trace:    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	cancelled := Change{Before: doc(t, strings.Replace(string(app.Bytes()), "cancelled", "booked", 1)), After: app, Version: 3, At: at, Provider: "11-05060009", Includes: []*fhir.Document{pat}}
	for _, tc := range []struct {
		file    string
		change  Change
		payload Payload
	}{
		{"encounter-full.golden", created, FullResource},
		{"encounter-id-only.golden", created, IDOnly},
		{"encounter-empty.golden", created, Empty},
		{"appointment-cancelled.golden", cancelled, FullResource},
	} {
		t.Run(tc.file, func(t *testing.T) {
			matches := set(t).Match(tc.change)
			if len(matches) != 1 {
				t.Fatalf("%d matches", len(matches))
			}
			matches[0].Topic.Payload = tc.payload
			e := Render(matches[0], tc.change, base+"/")
			if again := Render(matches[0], tc.change, base); !bytes.Equal(again.Value, e.Value) {
				t.Error("the second rendering differs from the first")
			}
			e.Value = Numbered(e.Value, 42)
			if n := bytes.Count(e.Value, []byte(`"valueString":"42"`)); n != 2 {
				t.Errorf("the number stands in %d places", n)
			}
			if _, err := fhir.Parse(e.Value); err != nil {
				t.Errorf("not a document: %v", err)
			}
			whole := bytes.Contains(e.Value, tc.change.After.Bytes())
			if whole != (tc.payload == FullResource) {
				t.Errorf("the record stands in the message byte for byte: %v", whole)
			}
			golden(t, tc.file, wire(e))
		})
	}
}

// TestNumberTouchesNoRecord sees that what looks like a number in a record is
// left alone.
func TestNumberTouchesNoRecord(t *testing.T) {
	record := strings.TrimSuffix(encounter("arrived"), "}") + `,"extension":[{"url":"http://x","valueString":"0"},{"url":"http://y","valueString":"0"}]}`
	c := Change{After: doc(t, record), Version: 1, At: at, Provider: "h1"}
	value := Numbered(Render(set(t).Match(c)[0], c, base).Value, 7)
	if !bytes.Contains(value, []byte(record)) || bytes.Count(value, []byte(`"valueString":"7"`)) != 2 {
		t.Errorf("the notification is %s", value)
	}
}

// TestLargeRecord sees that a record too large for Kafka's usual limit is
// announced all the same.
func TestLargeRecord(t *testing.T) {
	large := doc(t, strings.TrimSuffix(encounter("arrived"), "}")+`,"text":{"status":"generated","div":"`+strings.Repeat("x", MaxValue)+`"}}`)
	c := Change{After: large, Version: 1, At: at, Provider: "h1"}
	e := Render(set(t).Match(c)[0], c, base)
	if len(e.Value) > MaxValue {
		t.Fatalf("the message has %d bytes", len(e.Value))
	}
	d := doc(t, string(e.Value))
	if got := slices.Collect(d.All("entry.fullUrl"))[1].String(); got != base+"/Encounter/e1" {
		t.Errorf("the message is about %q", got)
	}
	if d.Get("entry.resource.resourceType").String() != "Parameters" || slices.Collect(d.All("entry"))[1].Get("resource").Exists() {
		t.Error("the record was sent along")
	}
}

// TestConfiguration sees that topics can be read from a configuration file.
func TestConfiguration(t *testing.T) {
	raw, err := json.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	var back []Topic
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	s, err := New(back)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Topics()[1]; !got.ByOthers || got.Category != Affiliate || !slices.Equal(got.Changes, Default()[1].Changes) {
		t.Errorf("the topic came back as %+v", got)
	}
}
