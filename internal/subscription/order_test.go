package subscription

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// ordered writes a Subscription around its criteria and its channel.
func ordered(criteria, channel string) string {
	return `{"resourceType":"Subscription","id":"s1","status":"requested","reason":"x",` + criteria + `,"channel":{` + channel + `}}`
}

const (
	encounters = `"criteria":"` + base + `/SubscriptionTopic/hie.vc.encounter"`
	hook       = `"type":"rest-hook","endpoint":"https://hooks.example/x"`
	full       = `"payload":"application/fhir+json","_payload":{"extension":[{"url":"` + extensionContent + `","valueCode":"full-resource"}]}`
)

func filtered(filters ...string) string {
	var list []string
	for _, f := range filters {
		list = append(list, fmt.Sprintf(`{"url":%q,"valueString":%q}`, extensionFilter, f))
	}
	return `"_criteria":{"extension":[` + strings.Join(list, ",") + `]}`
}

func TestReadOrder(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       Order
	}{
		{"a topic", ordered(encounters, hook+","+full), Order{
			Topic: "hie.vc.encounter", Resource: "Encounter", Channel: RestHook, Endpoint: "https://hooks.example/x", Payload: FullResource, Format: "application/fhir+json"}},
		{"a version of a topic", ordered(strings.TrimSuffix(encounters, `"`)+`|1.0"`, hook+","+full), Order{
			Topic: "hie.vc.encounter", Resource: "Encounter", Channel: RestHook, Endpoint: "https://hooks.example/x", Payload: FullResource, Format: "application/fhir+json"}},
		{"filters", ordered(encounters+","+filtered("Encounter?service-type=VCI&status=arrived", "Encounter?class=VR"), hook+","+full), Order{
			Topic: "hie.vc.encounter", Resource: "Encounter", Filters: []string{"service-type=VCI&status=arrived", "class=VR"},
			Channel: RestHook, Endpoint: "https://hooks.example/x", Payload: FullResource, Format: "application/fhir+json"}},
		{"a search", ordered(`"criteria":"Encounter?status=arrived"`, hook), Order{
			Resource: "Encounter", Filters: []string{"status=arrived"}, Channel: RestHook, Endpoint: "https://hooks.example/x"}},
		{"a search below the base", ordered(`"criteria":"`+base+`/Encounter?status=arrived"`, hook), Order{
			Resource: "Encounter", Filters: []string{"status=arrived"}, Channel: RestHook, Endpoint: "https://hooks.example/x"}},
		{"all of a type", ordered(`"criteria":"Patient?"`, hook), Order{Resource: "Patient", Channel: RestHook, Endpoint: "https://hooks.example/x"}},
		{"a search with content", ordered(`"criteria":"Patient"`, hook+","+full), Order{
			Resource: "Patient", Channel: RestHook, Endpoint: "https://hooks.example/x", Payload: FullResource, Format: "application/fhir+json"}},
		{"XML", ordered(`"criteria":"Patient"`, hook+`,"payload":"application/fhir+xml; fhirVersion=4.0"`), Order{
			Resource: "Patient", Channel: RestHook, Endpoint: "https://hooks.example/x", Format: "application/fhir+xml"}},
		{"a websocket", ordered(`"criteria":"Patient"`, `"type":"websocket"`), Order{Resource: "Patient", Channel: WebSocket}},
		{"headers", ordered(`"criteria":"Patient"`, hook+`,"header":["X-A: 1","authorization:  Bearer x "]`), Order{
			Resource: "Patient", Channel: RestHook, Endpoint: "https://hooks.example/x", Headers: []Header{{"X-A", "1"}, {"authorization", "Bearer x"}}}},
		{"times", ordered(`"end":"2026-12-01T08:00:00+08:00","criteria":"Patient"`, hook+`,"extension":[{"url":"`+extensionHeartbeat+`","valueUnsignedInt":60},{"url":"`+
			extensionTimeout+`","valueUnsignedInt":600},{"url":"`+extensionMaxCount+`","valuePositiveInt":5000}]`), Order{
			Resource: "Patient", Channel: RestHook, Endpoint: "https://hooks.example/x", Heartbeat: time.Minute, Timeout: time.Minute, MaxCount: 100,
			End: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		got, err := set(t).Read(doc(t, c.body), base)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v %v\nwant %+v", c.name, got, err, c.want)
			continue
		}
		again, err := ReadOrder(store.Subscriber{Order: got.Marshal()})
		if err != nil || !again.Same(got) {
			t.Errorf("%s, stored and read: %+v %v", c.name, again, err)
		}
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	extension := func(url, value string) string { return hook + `,"extension":[{"url":"` + url + `",` + value + `}]` }
	content := func(code string) string {
		return hook + `,"_payload":{"extension":[{"url":"` + extensionContent + `","valueCode":"` + code + `"}]}`
	}
	for _, c := range []struct {
		name, body, element string
		code                fhir.Code
	}{
		{"no criteria", ordered(`"language":"ms"`, hook), "Subscription.criteria", fhir.CodeRequired},
		{"long criteria", ordered(`"criteria":"Patient?name=`+strings.Repeat("x", 2000)+`"`, hook), "Subscription.criteria", fhir.CodeTooLong},
		{"no topic of ours", ordered(`"criteria":"`+base+`/SubscriptionTopic/x"`, hook+","+full), "Subscription.criteria", fhir.CodeNotSupported},
		{"no topic at all", ordered(`"criteria":"http://other.example/topic"`, hook+","+full), "Subscription.criteria", fhir.CodeNotSupported},
		{"no type", ordered(`"criteria":"Colour?x=1"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"about Subscriptions", ordered(`"criteria":"Subscription"`, hook), "Subscription.criteria", fhir.CodeNotSupported},
		{"about the trail", ordered(`"criteria":"AuditEvent"`, hook), "Subscription.criteria", fhir.CodeNotSupported},
		{"unknown parameter", ordered(`"criteria":"Patient?colour=red"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"empty parameter", ordered(`"criteria":"Patient?name="`, hook), "Subscription.criteria", fhir.CodeValue},
		{"what shapes an answer", ordered(`"criteria":"Patient?_count=3"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"an include", ordered(`"criteria":"Encounter?_include=Encounter:subject"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"a chain", ordered(`"criteria":"Encounter?subject:Patient.name=x"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"a chain backwards", ordered(`"criteria":"Patient?_has:Encounter:patient:status=arrived"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"a date that is none", ordered(`"criteria":"Patient?birthdate=soon"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"an unknown modifier", ordered(`"criteria":"Patient?gender:exact=male"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"a query that is none", ordered(`"criteria":"Patient?name=%zz"`, hook), "Subscription.criteria", fhir.CodeValue},
		{"a filter on another type", ordered(encounters+","+filtered("Patient?name=x"), hook+","+full), "Subscription._criteria", fhir.CodeNotSupported},
		{"a filter that is none", ordered(encounters+","+filtered("status=arrived"), hook+","+full), "Subscription._criteria", fhir.CodeValue},
		{"many filters", ordered(encounters+","+filtered(strings.Split(strings.Repeat(",Encounter?status=arrived", 11), ",")[1:]...), hook+","+full), "Subscription._criteria", fhir.CodeTooCostly},
		{"no channel", ordered(`"criteria":"Patient"`, `"endpoint":"https://hooks.example/x"`), "Subscription.channel.type", fhir.CodeRequired},
		{"e-mail", ordered(`"criteria":"Patient"`, `"type":"email","endpoint":"mailto:x@example"`), "Subscription.channel.type", fhir.CodeNotSupported},
		{"no endpoint", ordered(`"criteria":"Patient"`, `"type":"rest-hook"`), "Subscription.channel.endpoint", fhir.CodeRequired},
		{"a path", ordered(`"criteria":"Patient"`, `"type":"rest-hook","endpoint":"/x"`), "Subscription.channel.endpoint", fhir.CodeValue},
		{"a file", ordered(`"criteria":"Patient"`, `"type":"rest-hook","endpoint":"file:///etc/passwd"`), "Subscription.channel.endpoint", fhir.CodeValue},
		{"a password in the endpoint", ordered(`"criteria":"Patient"`, `"type":"rest-hook","endpoint":"https://a:b@hooks.example"`), "Subscription.channel.endpoint", fhir.CodeValue},
		{"an unknown payload", ordered(`"criteria":"Patient"`, hook+`,"payload":"text/plain"`), "Subscription.channel.payload", fhir.CodeNotSupported},
		{"a topic without content", ordered(encounters, hook+`,"payload":"application/fhir+json"`), "Subscription.channel.payload", fhir.CodeRequired},
		{"an unknown content", ordered(encounters, content("all")), "Subscription.channel.payload", fhir.CodeCodeInvalid},
		{"headers within headers", ordered(`"criteria":"Patient"`, hook+`,"header":[["X: a","Y: b"],"Authorization: x"]`), "Subscription.channel.header", fhir.CodeValue},
		{"a header without a name", ordered(`"criteria":"Patient"`, hook+`,"header":[": x"]`), "Subscription.channel.header", fhir.CodeValue},
		{"a header without a colon", ordered(`"criteria":"Patient"`, hook+`,"header":["x"]`), "Subscription.channel.header", fhir.CodeValue},
		{"a header of two lines", ordered(`"criteria":"Patient"`, hook+`,"header":["X: a\r\nHost: b"]`), "Subscription.channel.header", fhir.CodeValue},
		{"a long header", ordered(`"criteria":"Patient"`, hook+`,"header":["X: `+strings.Repeat("x", 2000)+`"]`), "Subscription.channel.header", fhir.CodeTooLong},
		{"many headers", ordered(`"criteria":"Patient"`, hook+`,"header":[`+strings.TrimSuffix(strings.Repeat(`"X: 1",`, 21), ",")+`]`), "Subscription.channel.header", fhir.CodeTooCostly},
		{"the host", ordered(`"criteria":"Patient"`, hook+`,"header":["Host: inside"]`), "Subscription.channel.header", fhir.CodeNotSupported},
		{"the length", ordered(`"criteria":"Patient"`, hook+`,"header":["content-length: 5"]`), "Subscription.channel.header", fhir.CodeNotSupported},
		{"a proxy's", ordered(`"criteria":"Patient"`, hook+`,"header":["X-Forwarded-For: 127.0.0.1"]`), "Subscription.channel.header", fhir.CodeNotSupported},
		{"a negative timeout", ordered(`"criteria":"Patient"`, extension(extensionTimeout, `"valueUnsignedInt":-1`)), "Subscription.channel.extension", fhir.CodeValue},
		{"no event at once", ordered(`"criteria":"Patient"`, extension(extensionMaxCount, `"valuePositiveInt":0`)), "Subscription.channel.extension", fhir.CodeValue},
		{"a heartbeat of another type", ordered(`"criteria":"Patient"`, extension(extensionHeartbeat, `"valueString":"often"`)), "Subscription.channel.extension", fhir.CodeValue},
		{"an end that is none", ordered(`"end":"soon","criteria":"Patient"`, hook), "Subscription.end", fhir.CodeValue},
	} {
		_, err := set(t).Read(doc(t, c.body), base)
		var e *fhir.Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.HasPrefix(e.Expression, c.element) {
			t.Errorf("%s: %v (%s), want %s at %s", c.name, err, fhir.CodeOf(err), c.code, c.element)
		}
	}
}

// Secret values leave the record, come back when it is written again, and go
// to no other host.
func TestSecretHeaders(t *testing.T) {
	for value, want := range map[string]bool{
		"Authorization: x": true, "X-API-Key: x": true, "Cookie: a=b": true, "X-Hub-Signature: x": true, "My-Token: x": true, "X-Session: x": true,
		"X-Ward: Bearer x": true, "X-Ward: basic eDp5": true, "X-Ward: 7": false, "Accept: */*": false, "Prefer: respond-async": false,
	} {
		name, v, _ := strings.Cut(value, ": ")
		if got := (Header{name, v}).secret(); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	for _, headers := range []string{`["X-Ward: 7","Authorization: Bearer x","X-Tag: Basic y"]`, `"Authorization: Bearer x"`} {
		d := doc(t, ordered(`"criteria":"Patient"`, hook+`,"header":`+headers))
		o, err := set(t).Read(d, base)
		if err != nil {
			t.Fatal(err)
		}
		hidden, err := Conceal(d, o)
		if err != nil || strings.Contains(string(hidden.Bytes()), "Bearer") || strings.Contains(string(hidden.Bytes()), "Basic") {
			t.Fatalf("%v: %s", err, hidden.Bytes())
		}
		again, err := set(t).Read(hidden, base)
		if err != nil || len(again.Headers) != len(o.Headers) {
			t.Fatalf("%+v %v", again, err)
		}
		same := again
		same.Headers = append([]Header(nil), again.Headers...)
		if err := same.Recall(o); err != nil || !same.Same(o) {
			t.Errorf("written again: %+v %v", same, err)
		}
		for _, endpoint := range []string{"https://other.example/x", "https://hooks.example:8443/x", "http://hooks.example/x"} {
			moved := again
			moved.Headers = append([]Header(nil), again.Headers...)
			moved.Endpoint = endpoint
			if err := moved.Recall(o); fhir.CodeOf(err) != fhir.CodeValue {
				t.Errorf("the secret goes to %s: %v", endpoint, err)
			}
		}
		if err := again.Recall(Order{}); fhir.CodeOf(err) != fhir.CodeValue {
			t.Errorf("a secret that nobody has written: %v", err)
		}
	}
}

// Who wants to be told of which change.
func TestBook(t *testing.T) {
	arrived, finished := encounter("arrived"), encounter("finished")
	topical := func(filters ...string) Order {
		return Order{Topic: "hie.vc.encounter", Resource: "Encounter", Filters: filters}
	}
	for _, c := range []struct {
		name          string
		order         Order
		before, after string
		provider      string
		want          bool
	}{
		{"a topic", topical(), "", arrived, "h1", true},
		{"nothing of it has changed", topical(), arrived, strings.Replace(arrived, `"id"`, `"language":"ms","id"`, 1), "h1", false},
		{"of another organisation", topical(), "", arrived, "h2", false},
		{"a filter that is met", topical("status=arrived", "class=VR"), "", arrived, "h1", true},
		{"a filter that is not", topical("status=arrived", "class=AMB"), "", arrived, "h1", false},
		{"a topic that is gone", Order{Topic: "x", Resource: "Encounter"}, "", arrived, "h1", false},
		{"a search", Order{Resource: "Encounter", Filters: []string{"status=arrived"}}, "", arrived, "h2", true},
		{"a search that is not met", Order{Resource: "Encounter", Filters: []string{"status=arrived"}}, "", finished, "h1", false},
		{"a search, whatever has changed", Order{Resource: "Encounter", Filters: []string{"status=arrived"}}, arrived, arrived, "h1", true},
		{"all of a type", Order{Resource: "Encounter"}, "", finished, "", true},
		{"another type", Order{Resource: "Patient"}, "", finished, "", false},
		{"filters of other times", Order{Resource: "Encounter", Filters: []string{"colour=red"}}, "", arrived, "h1", false},
	} {
		b := &Book{Set: set(t), Base: func() string { return base }}
		ch := Change{After: doc(t, c.after), Provider: c.provider, At: at, Version: 1}
		if c.before != "" {
			ch.Before = doc(t, c.before)
		}
		r := search.Record{ID: "e1", Updated: at, Entries: search.Index(ch.After, base)}
		sub := store.Subscriber{ID: "s1", Organization: "h1", Order: c.order.Marshal()}
		for range 2 { // the second time from memory
			if got := b.Wants(sub, ch, r); got != c.want {
				t.Errorf("%s: %v", c.name, got)
			}
		}
		sub.Order = Order{Resource: "Encounter"}.Marshal()
		if !b.Wants(sub, ch, r) {
			t.Errorf("%s: the order has changed, and was not read again", c.name)
		}
	}
}
