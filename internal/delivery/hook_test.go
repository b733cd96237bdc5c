package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

const encounterTopic = base + "/SubscriptionTopic/hie.vc.encounter"

func encounter(id, status, provider, patient string) string {
	return `{"resourceType":"Encounter","id":"` + id + `","status":"` + status + `","class":{"system":"` + mycore.SystemEncounterClass + `","code":"VR"},` +
		`"serviceType":{"coding":[{"system":"` + mycore.SystemServiceType + `","code":"VCI"}]},"subject":{"reference":"Patient/` + patient + `"},` +
		`"period":{"start":"2026-11-23T09:00:00+08:00","end":"2026-11-23T09:30:00+08:00"},"serviceProvider":{"reference":"Organization/` + provider + `"}}`
}

func patient(id, organization string) string {
	return `{"resourceType":"Patient","id":"` + id + `","active":true,"identifier":[{"system":"` + mycore.SystemMyKad + `","value":"850712055018"}],"name":[{"text":"Secret Name"}],"gender":"female","birthDate":"1985-07-12","managingOrganization":{"reference":"Organization/` + organization + `"}}`
}

// A Subscription to a topic from its first handshake on.
func TestTopic(t *testing.T) {
	w := newWorld(t, database(t))
	w.organizations()
	r := newReceiver(t)
	w.start()
	w.put(hospitalSystem, patient("p1", hospital))
	created := w.put(hospitalSystem, sub{id: "s1", criteria: encounterTopic, endpoint: r.URL + "/hook", content: "full-resource", payload: "application/fhir+json",
		filters: []string{"Encounter?service-type=VCI&status=finished"}, headers: []string{"Authorization: Bearer very-secret", "X-Ward: 7"}, status: "active"}.String())
	if got := string(created.Body); strings.Contains(got, "very-secret") || !strings.Contains(got, `"status":"requested"`) || !strings.Contains(got, "X-Ward: 7") {
		t.Errorf("as stored: %s", got)
	}

	g := r.next(t)
	m := read(t, g.body)
	if g.method != "POST" || g.path != "/hook" || g.header.Get("Content-Type") != "application/fhir+json" || g.header.Get("Authorization") != "Bearer very-secret" || g.header.Get("X-Ward") != "7" {
		t.Errorf("the handshake: %s %s %v", g.method, g.path, g.header)
	}
	if m.kind != "handshake" || m.status != "requested" || m.total != 0 || m.topic != encounterTopic || m.subscription != base+"/Subscription/s1" {
		t.Errorf("the handshake: %s", g.body)
	}
	w.until("s1", has("active"))
	if doc := w.read(hospitalSystem, "Subscription", "s1"); !doc.Get("status").Is("active") || doc.Get("error").Exists() {
		t.Errorf("after the handshake: %s", doc.Bytes())
	}

	w.put(hospitalSystem, strings.Replace(encounter("e0", "finished", hospital, "p1"), "VCI", "VCE", 1)) // the filter leaves it out
	w.put(hospitalSystem, encounter("e1", "finished", hospital, "p1"))
	g = r.next(t)
	m = read(t, g.body)
	if m.kind != "event-notification" || m.status != "active" || m.total != 1 || !slices.Equal(m.numbers, []int64{1}) || !slices.Equal(m.focus, []string{"Encounter/e1"}) ||
		!slices.Equal(m.resources, []string{"Encounter/e1", "Patient/p1"}) {
		t.Errorf("the event: %s", g.body)
	}
	w.until("s1", func(s store.Subscriber) bool { return s.Done == 1 })

	// Who was shown what is in the audit trail.
	for _, target := range []string{"Encounter/e1", "Patient/p1"} {
		var trail []store.Audit
		err := w.store.View(context.Background(), func(r store.Reader) (err error) {
			trail, err = r.AuditTrail(store.AuditQuery{Target: target, Count: 10})
			return err
		})
		if err != nil || !slices.ContainsFunc(trail, func(a store.Audit) bool {
			return a.Operation == "notify" && a.Agent == "hospital" && a.Organization == hospital
		}) {
			t.Errorf("the trail of %s: %+v %v", target, trail, err)
		}
	}
	// Nothing secret or personal is in any version, or in the log.
	page, err := w.exchange.History(context.Background(), hospitalSystem, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Subscription", ID: "s1", Count: 10}})
	if err != nil || len(page.Matches) < 2 {
		t.Fatalf("%d versions, %v", len(page.Matches), err)
	}
	for _, v := range page.Matches {
		if strings.Contains(string(v.Body), "very-secret") {
			t.Errorf("a version shows the secret: %s", v.Body)
		}
	}
	for _, never := range []string{"very-secret", "Secret Name", "850712055018", r.URL} {
		if strings.Contains(w.log.String(), never) {
			t.Errorf("the log holds %s:\n%s", never, w.log)
		}
	}
}

// What a notification carries, for each content.
func TestContent(t *testing.T) {
	for _, c := range []struct {
		content          string
		focus, resources int
		topic            bool
	}{{"empty", 0, 0, false}, {"id-only", 1, 0, true}, {"full-resource", 1, 2, true}} {
		t.Run(c.content, func(t *testing.T) {
			w := newWorld(t, database(t))
			w.organizations()
			r := newReceiver(t)
			w.put(hospitalSystem, patient("p1", hospital))
			w.put(hospitalSystem, sub{id: "s1", criteria: encounterTopic, endpoint: r.URL, content: c.content}.String())
			w.start()
			w.until("s1", has("active"))
			w.put(hospitalSystem, encounter("e1", "finished", hospital, "p1"))
			r.next(t) // the handshake
			m := read(t, r.next(t).body)
			if len(m.focus) != c.focus || len(m.resources) != c.resources || (m.topic != "") != c.topic || !slices.Equal(m.numbers, []int64{1}) {
				t.Errorf("%s", m.bundle.Bytes())
			}
		})
	}
}

// The notifications of R4 itself: no handshake, an empty POST or a PUT of the
// record below the endpoint.
func TestPlain(t *testing.T) {
	for _, c := range []struct{ payload, method, path, contentType string }{
		{"", "POST", "/fhir", ""},
		{"application/fhir+json", "PUT", "/fhir/Observation/o1", "application/fhir+json"},
		{"application/fhir+xml", "PUT", "/fhir/Observation/o1", "application/fhir+xml"},
	} {
		t.Run(c.payload, func(t *testing.T) {
			w := newWorld(t, database(t))
			r := newReceiver(t)
			w.start()
			w.put(hospitalSystem, sub{id: "s1", criteria: "Observation?status=final", endpoint: r.URL + "/fhir", payload: c.payload}.String())
			w.until("s1", has("active"))
			w.put(hospitalSystem, observation("o0", 1, "preliminary"))
			w.put(hospitalSystem, observation("o1", 1, "final"))
			g := r.next(t)
			if g.method != c.method || g.path != c.path || g.header.Get("Content-Type") != c.contentType {
				t.Errorf("%s %s %v", g.method, g.path, g.header)
			}
			body := []byte(g.body)
			if c.payload == "application/fhir+xml" {
				doc, err := fhirxml.Decode(body, fhir.DefaultLimits)
				if err != nil {
					t.Fatal(err)
				}
				body = doc.Bytes()
			}
			if c.payload == "" && len(body) != 0 || c.payload != "" && !strings.Contains(string(body), `"o1"`) {
				t.Errorf("%s", body)
			}
			w.until("s1", func(s store.Subscriber) bool { return s.Done == 1 })
		})
	}
}

// An endpoint that does not take notifications is tried again and again, and
// given up in the end; its events can be asked for, and it can begin again.
func TestFailingEndpoints(t *testing.T) {
	blocked := make(chan struct{})
	other := newReceiver(t)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		reason string
	}{
		{"refuses", status(500), "status 500"},
		{"does not know", status(404), "status 404"},
		{"sends elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "no redirects"},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-blocked:
			case <-r.Context().Done():
			}
		}, "in time"},
		{"dies", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "could not be reached"},
		{"lies about its length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999999")
			w.WriteHeader(http.StatusBadGateway)
		}, "status 502"},
		{"talks without end", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, "status 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, database(t))
			w.service.Retry, w.service.Longest, w.service.GiveUp = time.Second, 4*time.Second, 10*time.Second
			r := newReceiver(t)
			w.start()
			w.put(hospitalSystem, sub{id: "s1", criteria: "Observation?status=final", endpoint: r.URL, content: "id-only", timeout: 1}.String())
			w.until("s1", has("active"))
			r.next(t)
			r.does(c.answer)
			w.put(hospitalSystem, observation("o1", 1, "final"))
			var attempts int
			for s := w.until("s1", func(s store.Subscriber) bool { return s.Failures > 0 }); s.Status == "active"; attempts++ {
				if s.Failures != attempts+1 || s.Done != 0 || !s.Due.After(w.clock()) {
					t.Fatalf("after attempt %d: %+v", attempts+1, s)
				}
				w.pass(s.Due.Sub(w.clock()))
				s = w.until("s1", func(n store.Subscriber) bool { return n.Failures > s.Failures })
			}
			if attempts != 3 { // after pauses of 1, 2 and 4 seconds; the fourth would pass ten
				t.Errorf("given up after %d attempts", attempts+1)
			}
			doc := w.read(hospitalSystem, "Subscription", "s1")
			if !doc.Get("status").Is("error") || !strings.Contains(doc.Get("error").String(), c.reason) {
				t.Errorf("given up: %s", doc.Bytes())
			}
			if len(other.came) > 0 {
				t.Error("a redirect was followed")
			}

			// Events go on being counted, and can be asked for.
			w.put(hospitalSystem, observation("o2", 1, "final"))
			if d, err := w.service.Waiting(t.Context()); err != nil || d != (store.Deliveries{Dead: 2}) {
				t.Errorf("waiting: %+v", d)
			}
			r.does(nil)
			for len(r.came) > 0 {
				<-r.came
			}
			w.put(hospitalSystem, sub{id: "s1", criteria: "Observation?status=final", endpoint: r.URL, content: "id-only", timeout: 1}.String())
			w.until("s1", has("active"))
			m := read(t, r.next(t).body)
			if m.kind != "handshake" || m.total != 2 {
				t.Errorf("the handshake tells of %d events", m.total)
			}
			body, err := w.service.Events(context.Background(), hospitalSystem, delivery.EventQuery{ID: "s1", Since: "1"})
			if err != nil {
				t.Fatal(err)
			}
			if m := read(t, string(body)); m.kind != "query-event" || !slices.Equal(m.numbers, []int64{1, 2}) || !slices.Equal(m.focus, []string{"Observation/o1", "Observation/o2"}) {
				t.Errorf("missed: %s", body)
			}
			w.put(hospitalSystem, observation("o3", 1, "final"))
			if m := read(t, r.next(t).body); !slices.Equal(m.numbers, []int64{3}) {
				t.Errorf("after the new beginning: %v", m.numbers)
			}
			if doc := w.read(hospitalSystem, "Subscription", "s1"); doc.Get("error").Exists() {
				t.Errorf("the error stands: %s", doc.Bytes())
			}
		})
	}
	close(blocked)
}

// A handshake that fails is an error at once.
func TestRefusedHandshake(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	r.does(status(403))
	w.start()
	w.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty"}.String())
	w.until("s1", has("error"))
	w.put(hospitalSystem, observation("o1", 1, "final"))
	body, err := w.service.Status(context.Background(), hospitalSystem, "s1")
	if err != nil {
		t.Fatal(err)
	}
	if m := read(t, string(body)); m.kind != "query-status" || m.status != "error" || m.total != 1 || !strings.Contains(m.error, "403") {
		t.Errorf("%s", body)
	}
}

// Endpoints that hang hold up no other, and their Subscriptions go on where
// they were.
func TestSlowEndpointsHoldUpNobody(t *testing.T) {
	w := newWorld(t, database(t))
	release := make(chan struct{})
	w.start()
	var slow []*receiver
	for i := range 20 {
		r := newReceiver(t)
		slow = append(slow, r)
		id := fmt.Sprintf("slow%d", i)
		w.put(hospitalSystem, sub{id: id, criteria: "Observation", endpoint: r.URL, content: "empty", timeout: 30}.String())
		w.until(id, has("active"))
		r.next(t)
		r.does(func(http.ResponseWriter, *http.Request) { <-release })
	}
	fast := newReceiver(t)
	w.put(hospitalSystem, sub{id: "fast", criteria: "Observation", endpoint: fast.URL, content: "empty"}.String())
	w.until("fast", has("active"))
	fast.next(t)
	for n := range 5 {
		w.put(hospitalSystem, observation("o1", n, "final"))
		if m := read(t, fast.next(t).body); !slices.Equal(m.numbers, []int64{int64(n + 1)}) {
			t.Fatalf("event %d: %v", n+1, m.numbers)
		}
	}
	close(release)
	for _, r := range slow {
		for n := range 5 {
			if m := read(t, r.next(t).body); !slices.Equal(m.numbers, []int64{int64(n + 1)}) {
				t.Fatalf("event %d of a slow one: %v", n+1, m.numbers)
			}
		}
	}
}

// An organisation whose endpoints all hang leaves room for the others.
func TestOneOrganisationLeavesRoom(t *testing.T) {
	w := newWorld(t, database(t))
	slow, fast := newReceiver(t), newReceiver(t)
	release := make(chan struct{})
	slow.does(func(http.ResponseWriter, *http.Request) { <-release })
	const many = 70
	for i := range many {
		w.put(hospitalSystem, sub{id: fmt.Sprint("slow", i), criteria: "Observation", endpoint: slow.URL, content: "empty", timeout: 60}.String())
	}
	w.start()
	for range 64 {
		slow.next(t)
	}
	w.put(clinicSystem, sub{id: "fast", criteria: "Observation", endpoint: fast.URL, content: "empty"}.String())
	fast.next(t)
	w.until("fast", has("active"))
	if len(slow.came) > 0 {
		t.Error("more than its share was attended to")
	}
	close(release)
	for range many - 64 {
		slow.next(t)
	}
}

// Two organisations: each is told of what it may see, and of nothing else.
func TestTwoOrganisations(t *testing.T) {
	w := newWorld(t, database(t))
	w.organizations()
	mine, theirs := newReceiver(t), newReceiver(t)
	w.put(hospitalSystem, patient("p1", hospital))
	w.put(hospitalSystem, sub{id: "mine", criteria: "Observation", endpoint: mine.URL, content: "full-resource"}.String())
	w.put(clinicSystem, sub{id: "theirs", criteria: "Observation", endpoint: theirs.URL, content: "full-resource"}.String())
	w.put(clinicSystem, sub{id: "topical", criteria: encounterTopic, endpoint: theirs.URL, content: "full-resource"}.String())
	w.start()
	w.until("mine", has("active"))
	mine.next(t)
	theirs.next(t)
	theirs.next(t)
	w.put(hospitalSystem, observation("o1", 1, "final"))
	w.put(hospitalSystem, encounter("e1", "finished", hospital, "p1"))
	w.put(clinicSystem, observation("o2", 1, "final"))
	if m := read(t, mine.next(t).body); !slices.Equal(m.resources, []string{"Observation/o1"}) {
		t.Errorf("mine: %v", m.resources)
	}
	if m := read(t, theirs.next(t).body); !slices.Equal(m.resources, []string{"Observation/o2"}) || !slices.Equal(m.numbers, []int64{1}) {
		t.Errorf("theirs: %v %v", m.resources, m.numbers)
	}
	if s := w.subscriber("topical"); s.Events != 0 {
		t.Errorf("the clinic was told of an Encounter of the hospital: %+v", s)
	}
	// Each sees its own Subscriptions only, whatever it asks.
	ctx := context.Background()
	bodies, err := w.service.Statuses(ctx, clinicSystem, nil, nil)
	if err != nil || len(bodies) != 2 {
		t.Errorf("the clinic sees %d states, %v", len(bodies), err)
	}
	if bodies, err := w.service.Statuses(ctx, clinicSystem, []string{"mine", "theirs"}, []string{"active"}); err != nil || len(bodies) != 1 {
		t.Errorf("of two ids the clinic sees %d states, %v", len(bodies), err)
	}
	if bodies, err := w.service.Statuses(ctx, clinicSystem, nil, []string{"off"}); err != nil || len(bodies) != 0 {
		t.Errorf("%d are off, %v", len(bodies), err)
	}
	_, absent := w.service.Status(ctx, clinicSystem, "nothing")
	for name, ask := range map[string]func() error{
		"status": func() error { _, err := w.service.Status(ctx, clinicSystem, "mine"); return err },
		"events": func() error {
			_, err := w.service.Events(ctx, clinicSystem, delivery.EventQuery{ID: "mine"})
			return err
		},
		"token": func() error { _, err := w.service.Token(ctx, clinicSystem, []string{"mine"}); return err },
		"write": func() error {
			_, err := w.try(clinicSystem, sub{id: "mine", criteria: "Observation", endpoint: theirs.URL}.String())
			return err
		},
	} {
		err := ask()
		if name == "write" {
			if fhir.CodeOf(err) != fhir.CodeForbidden {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if fhir.CodeOf(err) != fhir.CodeNotFound || strings.Replace(err.Error(), "mine", "nothing", 1) != absent.Error() {
			t.Errorf("%s: %v, where nothing is: %v", name, err, absent)
		}
	}
}

// What may be told is decided again when it is told.
func TestTheClientIsNoMore(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	w.start()
	w.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "full-resource"}.String())
	w.until("s1", has("active"))
	r.next(t)
	w.update(func(tx store.Tx) error {
		return tx.PutAccount(store.Account{Kind: "client", ID: "hospital", Login: "hospital", Organization: hospital, Active: false})
	})
	w.put(hospitalSystem, observation("o1", 1, "final"))
	if s := w.until("s1", has("error")); s.Done != 0 {
		t.Errorf("%+v", s)
	}
	if len(r.came) > 0 {
		t.Errorf("it was told all the same: %v", <-r.came)
	}
}

// A client's scopes bound what it is told.
func TestScopes(t *testing.T) {
	w := newWorld(t, database(t))
	narrow := hospitalSystem
	narrow.Scopes = []string{"system/Subscription.cruds", "system/Patient.rs"}
	_, err := w.try(narrow, sub{id: "s1", criteria: "Observation", endpoint: "http://127.0.0.1:1", content: "empty"}.String())
	if fhir.CodeOf(err) != fhir.CodeForbidden {
		t.Errorf("a Subscription to records that the client may not read: %v", err)
	}
	if _, err := w.try(auth.Exchange, sub{id: "s2", criteria: "Observation", endpoint: "http://127.0.0.1:1", content: "empty"}.String()); fhir.CodeOf(err) != fhir.CodeBusinessRule {
		t.Errorf("a Subscription of nobody: %v", err)
	}
}

// Status and error are the exchange's to say, whatever a client writes.
func TestServerControlledFields(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	w.start()
	s := sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty", headers: []string{"X-Api-Key: abc"}}
	write := func(status, more string) string {
		s.status = status
		return strings.Replace(s.String(), `"criteria"`, more+`"criteria"`, 1)
	}
	if res := w.put(hospitalSystem, write("error", `"error":"mine",`)); !strings.Contains(string(res.Body), `"status":"requested"`) || strings.Contains(string(res.Body), "mine") {
		t.Errorf("%s", res.Body)
	}
	w.until("s1", has("active"))
	r.next(t)

	// What was read and is written again begins nothing anew, and keeps the
	// secret that was not shown.
	doc := w.read(hospitalSystem, "Subscription", "s1")
	edited, err := doc.With(fhir.Set("reason", "to know more"))
	if err != nil {
		t.Fatal(err)
	}
	if res := w.put(hospitalSystem, string(edited.Bytes())); !strings.Contains(string(res.Body), `"status":"active"`) || !strings.Contains(string(res.Body), `"X-Api-Key: ***"`) {
		t.Errorf("%s", res.Body)
	}
	w.put(hospitalSystem, observation("o1", 1, "final"))
	if g := r.next(t); read(t, g.body).kind != "event-notification" || g.header.Get("X-Api-Key") != "abc" {
		t.Errorf("%v %s", g.header, g.body)
	}
	// The secret goes to no other endpoint.
	elsewhere, err := doc.With(fhir.Set("channel.endpoint", "http://127.0.0.1:9/hook"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(hospitalSystem, string(elsewhere.Bytes())); fhir.CodeOf(err) != fhir.CodeValue {
		t.Errorf("a secret was taken along: %v", err)
	}
	// Another order needs another handshake; off ends it, whenever.
	s.content = "id-only"
	w.put(hospitalSystem, write("active", ""))
	w.until("s1", has("active"))
	if m := read(t, r.next(t).body); m.kind != "handshake" || m.total != 1 {
		t.Errorf("%s", m.bundle.Bytes())
	}
	w.put(hospitalSystem, write("off", ""))
	w.put(hospitalSystem, observation("o1", 2, "final"))
	if n := w.subscriber("s1"); n.Status != "off" || n.Events != 1 {
		t.Errorf("%+v", n)
	}
}

// A Subscription ends at its end, and when it is deleted; one that is made
// anew under its id begins at 1.
func TestEnd(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	w.start()
	s := sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty", end: fhir.FormatInstant(w.clock().Add(time.Hour))}
	w.put(hospitalSystem, s.String())
	w.until("s1", has("active"))
	r.next(t)
	w.put(hospitalSystem, observation("o1", 1, "final"))
	r.next(t)
	w.until("s1", func(s store.Subscriber) bool { return s.Done == 1 })
	w.pass(time.Hour)
	w.until("s1", has("off"))
	if doc := w.read(hospitalSystem, "Subscription", "s1"); !doc.Get("status").Is("off") {
		t.Errorf("%s", doc.Bytes())
	}
	w.put(hospitalSystem, observation("o1", 2, "final"))
	if n := w.subscriber("s1"); n.Events != 1 {
		t.Errorf("%d events after the end", n.Events)
	}
	if _, err := w.exchange.Delete(context.Background(), hospitalSystem, "Subscription", "s1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.service.Status(context.Background(), hospitalSystem, "s1"); fhir.CodeOf(err) != fhir.CodeNotFound {
		t.Errorf("the status of what was deleted: %v", err)
	}
	s.end = ""
	w.put(hospitalSystem, s.String())
	w.until("s1", has("active"))
	r.next(t)
	w.put(hospitalSystem, observation("o1", 3, "final"))
	if m := read(t, r.next(t).body); !slices.Equal(m.numbers, []int64{1}) {
		t.Errorf("numbers begin at %v", m.numbers)
	}
}

// Heartbeats come when nothing else has, and raise no number.
func TestHeartbeat(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	w.start()
	w.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty", heartbeat: 60}.String())
	s := w.until("s1", has("active"))
	r.next(t)
	if want := w.clock().Truncate(time.Microsecond).Add(time.Minute); !s.Due.Equal(want) {
		t.Fatalf("due %v, want %v", s.Due, want)
	}
	w.pass(40 * time.Second)
	w.put(hospitalSystem, observation("o1", 1, "final"))
	if m := read(t, r.next(t).body); m.kind != "event-notification" {
		t.Errorf("%s", m.kind)
	}
	w.until("s1", func(s store.Subscriber) bool { return s.Done == 1 })
	w.pass(59 * time.Second)
	w.put(hospitalSystem, observation("o1", 2, "final"))
	if m := read(t, r.next(t).body); m.kind != "event-notification" || m.total != 2 {
		t.Errorf("a heartbeat came early: %s", m.kind)
	}
	w.until("s1", func(s store.Subscriber) bool { return s.Done == 2 })
	w.pass(time.Minute)
	if m := read(t, r.next(t).body); m.kind != "heartbeat" || m.total != 2 || len(m.numbers) != 0 {
		t.Errorf("%s %d", m.kind, m.total)
	}
}

// Several events go in one notification, up to the count, and to the size.
func TestBatches(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	w.service.Retry = time.Minute
	w.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "full-resource", maxCount: 4, timeout: 5}.String())
	w.start()
	w.until("s1", has("active"))
	r.next(t)
	r.does(status(503))
	w.put(hospitalSystem, observation("o1", 0, "final"))
	s := w.until("s1", func(s store.Subscriber) bool { return s.Failures == 1 })
	r.next(t)
	for n := range 6 {
		w.put(hospitalSystem, observation("o1", n+1, "final"))
	}
	for _, b := range []struct {
		id   string
		size int
	}{{"b8", 500_000}, {"b9", 600_000}, {"b10", 1_000_000}} {
		w.put(hospitalSystem, fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"text":"x"},"note":[{"text":%q}]}`, b.id, strings.Repeat("x", b.size)))
	}
	r.does(nil)
	w.pass(s.Due.Sub(w.clock()))
	var groups [][]int64
	for sum := 0; sum < 10; {
		m := read(t, r.next(t).body)
		if len(m.numbers) > 1 && len(m.bundle.Bytes()) > 1<<20 {
			t.Errorf("a notification of %d bytes", len(m.bundle.Bytes()))
		}
		if whole := len(m.resources) > 0; whole != (m.numbers[0] != 10) {
			t.Errorf("event %d carries %v", m.numbers[0], m.resources)
		}
		groups = append(groups, m.numbers)
		sum += len(m.numbers)
	}
	if got := fmt.Sprint(groups); got != "[[1 2 3 4] [5 6 7 8] [9] [10]]" {
		t.Errorf("in groups of %s", got)
	}
}

// The pause doubles with each failure, within bounds, and is never quite the
// same.
func TestPauses(t *testing.T) {
	w := newWorld(t, database(t))
	s := w.service
	s.Retry, s.Longest, s.GiveUp = time.Second, 10*time.Second, 30*time.Second
	for failures, want := range []time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		if failures == 0 || want == 0 {
			continue
		}
		for chance, factor := range map[float64]float64{0: 0.8, 0.5: 1, 0.999999: 1.2} {
			s.SetRandom(func() float64 { return chance })
			if got, exact := s.Pause(failures), time.Duration(float64(want)*factor); (got - exact).Abs() > time.Millisecond {
				t.Errorf("after %d failures: %v, want %v", failures, got, exact)
			}
		}
	}
	for failures, want := range map[int]bool{1: false, 5: false, 6: true, 1000: true} { // 1 2 4 8 10 is 25, the sixth passes 30
		if s.Given(failures) != want {
			t.Errorf("given up after %d failures: %v", failures, !want)
		}
	}
}
