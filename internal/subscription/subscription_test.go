package subscription

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
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

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Topic)
		want   string
	}{
		{"illegal name", func(x *Topic) { x.Name = "hie/vc." + Organization }, "the name may hold"},
		{"empty name", func(x *Topic) { x.Name = "" }, "the name may hold"},
		{"two organisations", func(x *Topic) { x.Name += Organization }, "the name may hold"},
		{"shared but not public", func(x *Topic) { x.Name = "hie.vc.all" }, "only a public topic"},
		{"public with records", func(x *Topic) { x.Category, x.Name = Public, "hie.vc.all" }, "whole records"},
		{"unknown category", func(x *Topic) { x.Category = "secret" }, "the category must be"},
		{"unknown payload", func(x *Topic) { x.Payload = "" }, "the payload must be"},
		{"no criteria", func(x *Topic) { x.Criteria = nil }, "must be a criterion"},
		{"criterion without value", func(x *Topic) { x.Criteria = []Criterion{{Element: "class"}} }, "needs an element and a value"},
		{"bad element", func(x *Topic) { x.Changes = []string{"slot[0]"} }, "under changes"},
		{"bad include", func(x *Topic) { x.Include = []string{"patient"} }, "a resource type"},
		{"bad event type", func(x *Topic) { x.EventType = "a b" }, "the event type"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			topic := Default()[0]
			tc.change(&topic)
			_, err := New([]Topic{topic})
			if err == nil || !strings.Contains(err.Error(), tc.want) || fhir.CodeOf(err) != fhir.CodeInvalid {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	twice := Default()
	twice[1].Name = strings.ReplaceAll(twice[0].Name, ".", "_")
	if _, err := New(twice); err == nil {
		t.Error("two topics that Kafka takes for one were accepted")
	}
}

func TestNames(t *testing.T) {
	s := set(t)
	if got, want := s.Names("11-05060009"), []string{"hie.vc.encounter.11-05060009", "hie.vc.appointment.11-05060009"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	names := map[string]string{}
	for _, org := range []string{"h1", "H1", "h_1", "h_5F1", "h 1", "h/1", "é", strings.Repeat("é", 40), strings.Repeat("é", 41), strings.Repeat("x", 64)} {
		name := s.Names(org)[1]
		if !topicName.MatchString(name) || len(name) > 249 {
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
