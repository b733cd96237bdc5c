package delivery_test

import (
	"context"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// All that subscribers and clients are given is valid R4, with the rules of
// history Bundles.
func TestWhatIsSentIsValid(t *testing.T) {
	v := validate.New(validate.Options{Timeout: time.Minute})
	check := func(what string, body []byte) {
		t.Helper()
		doc, err := fhir.Parse(body)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, issue := range v.Validate(context.Background(), doc) {
			if issue.Severity != fhir.SeverityWarning && issue.Severity != fhir.SeverityInformation {
				t.Errorf("%s: %v\n%s", what, issue, body)
			}
		}
	}
	for _, content := range []string{"empty", "id-only", "full-resource"} {
		w := newWorld(t, database(t))
		w.organizations()
		r := newReceiver(t)
		w.put(hospitalSystem, patient("p1", hospital))
		w.put(hospitalSystem, sub{id: "s1", criteria: encounterTopic, endpoint: r.URL, content: content, heartbeat: 60, maxCount: 5}.String())
		w.start()
		w.until("s1", has("active"))
		check("handshake", []byte(r.next(t).body))
		w.put(hospitalSystem, encounter("e1", "finished", hospital, "p1"))
		check(content, []byte(r.next(t).body))
		w.until("s1", func(s store.Subscriber) bool { return s.Done == 1 })
		w.pass(time.Minute)
		check("heartbeat", []byte(r.next(t).body))
		state, err := w.service.Status(context.Background(), hospitalSystem, "s1")
		if err != nil {
			t.Fatal(err)
		}
		check("status", state)
		events, err := w.service.Events(context.Background(), hospitalSystem, delivery.EventQuery{ID: "s1"})
		if err != nil {
			t.Fatal(err)
		}
		check("events", events)
		for _, topic := range w.service.Set().Topics() {
			doc, err := fhir.Parse(topic.Basic(base))
			if err != nil {
				t.Fatal(err)
			}
			// The backport carries the status in a modifier of R5, which R4
			// alone does not know.
			if doc, err = doc.With(fhir.Remove("modifierExtension")); err != nil {
				t.Fatal(err)
			}
			check("topic", doc.Bytes())
		}
		w.service.Stop()
	}
}
