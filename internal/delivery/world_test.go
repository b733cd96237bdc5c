package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
	"github.com/jumpa-hie/jumpa/internal/subscription"
	"github.com/jumpa-hie/jumpa/mycore"
)

const (
	base     = "https://hie.example/baseR4"
	patience = 30 * time.Second // bounds waits; measures nothing
	hospital = "hospital-org"
	clinic   = "clinic-org"
)

var (
	hospitalSystem = client("hospital", hospital)
	clinicSystem   = client("clinic", clinic)
)

func client(id, organization string) auth.Principal {
	return auth.Principal{Kind: auth.Client, ID: id, Organization: organization, Scopes: []string{"system/*.cruds"}}
}

// world is an exchange with deliveries over a real database.
type world struct {
	testing.TB
	store    store.Store
	exchange *exchange.Service
	service  *delivery.Service
	records  *record.Keeper
	log      *bytes.Buffer
	settled  chan store.Subscriber

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets time go by, and deliveries look at the clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	w.service.Wake()
}

// lockedWriter is a log that several goroutines write to.
type lockedWriter struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// newWorld opens a world on a database file, which may be one that another
// world has left.
func newWorld(t testing.TB, path string) *world {
	t.Helper()
	st, err := sqlite.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return worldOf(t, st)
}

func worldOf(t testing.TB, st store.Store) *world {
	t.Helper()
	w := &world{TB: t, store: st, log: &bytes.Buffer{}, settled: make(chan store.Subscriber, 4096), now: time.Date(2026, 11, 23, 2, 0, 0, 123_456_789, time.UTC)}
	topics, err := subscription.New(subscription.Default())
	if err != nil {
		t.Fatal(err)
	}
	guard, err := delivery.NewGuard("", true)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&lockedWriter{b: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.records = &record.Keeper{Clock: w.clock, Topics: topics, Base: func() string { return base }}
	w.service = &delivery.Service{
		Store: st, Records: w.records, Topics: topics, Base: func() string { return base }, Guard: guard, Node: "one", Key: bytes.Repeat([]byte{7}, 32),
		Clock: w.clock, Log: log, Poll: time.Hour,
	}
	w.service.SetRandom(func() float64 { return 0.5 })
	w.service.OnSettled(func(s store.Subscriber) { w.settled <- s })
	desk := &booking.Desk{Records: w.records}
	w.exchange = &exchange.Service{
		Store: st, Records: w.records, Booking: desk, Subscriptions: w.service, Mode: mycore.Lenient, Base: func() string { return base }, Clock: w.clock,
		Consult: &consult.Service{
			Store: st, Records: w.records, Booking: desk, Hub: &notify.Hub{}, Relay: w.service.Wake, Clock: w.clock, Window: consult.DefaultWindow, Log: log,
		},
	}
	w.update(func(tx store.Tx) error {
		for _, p := range []auth.Principal{hospitalSystem, clinicSystem} {
			if err := tx.PutAccount(store.Account{Kind: "client", ID: p.ID, Login: p.ID, Organization: p.Organization, Active: true}); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func (w *world) start() {
	w.Helper()
	if err := w.service.Start(context.Background()); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(w.service.Stop)
}

func (w *world) update(fn func(store.Tx) error) {
	w.Helper()
	if err := w.store.Update(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// put writes a resource that must be taken.
func (w *world) put(p auth.Principal, body string) store.Resource {
	w.Helper()
	out, err := w.try(p, body)
	if err != nil {
		w.Fatalf("%v\n%s", err, body)
	}
	return out
}

func (w *world) try(p auth.Principal, body string) (store.Resource, error) {
	w.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		w.Fatal(err)
	}
	out, err := w.exchange.Put(context.Background(), p, exchange.Write{Type: doc.Type(), ID: doc.ID(), Doc: doc})
	return out.Resource, err
}

// organizations writes the two, which Encounters refer to.
func (w *world) organizations() {
	w.Helper()
	for _, p := range []auth.Principal{hospitalSystem, clinicSystem} {
		w.put(p, `{"resourceType":"Organization","id":"`+p.Organization+`","identifier":[{"system":"`+mycore.SystemOrganizationID+`","value":"`+p.Organization+`"}],"active":true,"name":"`+p.ID+`"}`)
	}
}

// observation is a small record; n makes versions differ.
func observation(id string, n int, status string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":%q,"code":{"text":"pulse"},"valueInteger":%d}`, id, status, n)
}

// sub is a Subscription in the making.
type sub struct {
	id, criteria, endpoint string
	status                 string // requested when empty
	filters                []string
	content                string // "" for a plain one
	payload                string
	headers                []string
	channel                string // rest-hook when empty
	heartbeat, timeout     int
	maxCount               int
	end                    string
}

func (s sub) String() string {
	type value = map[string]any
	channel := value{"type": "rest-hook"}
	if s.channel != "" {
		channel["type"] = s.channel
	}
	set := func(m value, name string, v any, when bool) {
		if when {
			m[name] = v
		}
	}
	set(channel, "endpoint", s.endpoint, s.endpoint != "")
	set(channel, "payload", s.payload, s.payload != "")
	set(channel, "header", s.headers, len(s.headers) > 0)
	const ext = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
	set(channel, "_payload", value{"extension": []any{value{"url": ext + "payload-content", "valueCode": s.content}}}, s.content != "")
	var more []any
	for name, n := range map[string]int{"heartbeat-period": s.heartbeat, "timeout": s.timeout} {
		if n > 0 {
			more = append(more, value{"url": ext + name, "valueUnsignedInt": n})
		}
	}
	if s.maxCount > 0 {
		more = append(more, value{"url": ext + "max-count", "valuePositiveInt": s.maxCount})
	}
	set(channel, "extension", more, len(more) > 0)
	doc := value{"resourceType": "Subscription", "id": s.id, "status": "requested", "reason": "to know", "criteria": s.criteria, "channel": channel}
	set(doc, "status", s.status, s.status != "")
	set(doc, "end", s.end, s.end != "")
	var filters []any
	for _, f := range s.filters {
		filters = append(filters, value{"url": ext + "filter-criteria", "valueString": f})
	}
	set(doc, "_criteria", value{"extension": filters}, len(filters) > 0)
	return string(fhir.Marshal(doc))
}

// until waits for an act on a Subscription after which it is as it should be.
func (w *world) until(id string, is func(store.Subscriber) bool) store.Subscriber {
	w.Helper()
	timeout := time.After(patience)
	for {
		select {
		case s := <-w.settled:
			if s.ID == id && is(s) {
				return s
			}
		case <-timeout:
			w.Fatalf("the Subscription did not get there; it is %+v\n%s", w.subscriber(id), w.log)
		}
	}
}

func has(status string) func(store.Subscriber) bool {
	return func(s store.Subscriber) bool { return s.Status == status }
}

func (w *world) subscriber(id string) (s store.Subscriber) {
	w.Helper()
	err := w.store.View(context.Background(), func(r store.Reader) (err error) {
		s, err = r.Subscriber(id)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// read gives a resource as its owner reads it.
func (w *world) read(p auth.Principal, typ, id string) *fhir.Document {
	w.Helper()
	res, err := w.exchange.Read(context.Background(), p, typ, id)
	if err != nil {
		w.Fatal(err)
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return doc
}

// got is a request that a receiver has had.
type got struct {
	method, path string
	header       http.Header
	body         string
}

// receiver is a small server of somebody else. answer decides what it does.
type receiver struct {
	*httptest.Server
	came   chan got
	mu     sync.Mutex
	answer http.HandlerFunc
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{came: make(chan got, 4096)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.came <- got{req.Method, req.URL.Path, req.Header, string(body)}
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// does sets what the receiver does from now on.
func (r *receiver) does(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// next gives the next request, which must come.
func (r *receiver) next(t testing.TB) got {
	t.Helper()
	select {
	case g := <-r.came:
		return g
	case <-time.After(patience):
		t.Fatal("no request came")
		return got{}
	}
}

// message is a notification as a subscriber takes it apart.
type message struct {
	kind, status, subscription, topic, error string
	total                                    int64
	numbers                                  []int64
	focus                                    []string
	resources                                []string // Type/id of the entries that have one
	bundle                                   *fhir.Document
}

func read(t testing.TB, body string) message {
	t.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	var m message
	m.bundle = doc
	for e := range doc.All("entry") {
		res := e.Get("resource")
		if !e.Get("request").Exists() {
			t.Errorf("an entry without a request: %s", e.Raw())
		}
		if res.Exists() && !res.Get("resourceType").Is("Parameters") {
			m.resources = append(m.resources, res.Get("resourceType").String()+"/"+res.Get("id").String())
		}
	}
	params := doc.Root()
	if doc.Type() == "Bundle" {
		if !doc.Get("type").Is("history") {
			t.Errorf("a Bundle of type %s", doc.Get("type"))
		}
		params = doc.Get("entry.resource")
	}
	for p := range params.All("parameter") {
		switch p.Get("name").String() {
		case "subscription":
			m.subscription = p.First("valueReference.reference").String()
		case "topic":
			m.topic = p.Get("valueCanonical").String()
		case "status":
			m.status = p.Get("valueCode").String()
		case "type":
			m.kind = p.Get("valueCode").String()
		case "error":
			m.error = p.First("valueCodeableConcept.text").String()
		case "events-since-subscription-start":
			m.total, _ = strconv.ParseInt(p.Get("valueString").String(), 10, 64)
		case "notification-event":
			for part := range p.All("part") {
				switch part.Get("name").String() {
				case "event-number":
					n, _ := strconv.ParseInt(part.Get("valueString").String(), 10, 64)
					m.numbers = append(m.numbers, n)
				case "focus":
					m.focus = append(m.focus, strings.TrimPrefix(part.First("valueReference.reference").String(), base+"/"))
				}
			}
		}
	}
	return m
}

func dump(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func database(t testing.TB) string { return filepath.Join(t.TempDir(), "jumpa.db") }
