package exchange_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
	"github.com/jumpa-hie/jumpa/internal/subscription"
	"github.com/jumpa-hie/jumpa/mycore"
)

// callCentre plays the video system: it can be told to fail.
type callCentre struct {
	mu      sync.Mutex
	ended   []string
	present map[string][]meeting.Person
	fail    error
}

func (m *callCentre) Credentials(_ context.Context, room string, p meeting.Person) (meeting.Credentials, error) {
	return meeting.Credentials{Room: room, JWT: "for " + p.ID, Domain: "calls.example"}, nil
}

func (m *callCentre) End(_ context.Context, room string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.ended = append(m.ended, room)
	return nil
}

func (m *callCentre) Present(_ context.Context, room string) ([]meeting.Person, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.present[room], nil
}

// world is an exchange on a real database with a clock that stands still.
type world struct {
	testing.TB
	ctx      context.Context
	store    store.Store
	surveys  *atomic.Int64 // views that might be on a replica
	exchange *exchange.Service
	consult  *consult.Service
	calls    *callCentre
	hub      *notify.Hub
	mu       sync.Mutex
	now      time.Time
}

const (
	hospital = "11-05060009"
	clinic   = "11-05040012"
)

var (
	hospitalSystem = client("hospital", hospital)
	clinicSystem   = client("clinic", clinic)
	aminah         = auth.Principal{Kind: auth.Patient, ID: "acc-aminah", Login: "850712055018"}
	lim            = auth.Principal{Kind: auth.Patient, ID: "acc-lim", Login: "720301105537"}
)

func client(id, organization string) auth.Principal {
	return auth.Principal{Kind: auth.Client, ID: id, Organization: organization, Scopes: []string{"system/*.cruds", "session", "notify"}}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, subscription.Default()...)
}

// newWorldOf is newWorld with topics of its own.
func newWorldOf(t testing.TB, list ...subscription.Topic) *world {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jumpa.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{TB: t, ctx: t.Context(), store: st, calls: &callCentre{}, hub: &notify.Hub{}, now: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}
	topics, err := subscription.New(list)
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	base := func() string { return "http://hie.example/baseR4" }
	keeper := &record.Keeper{Clock: clock, Topics: topics, Base: base}
	desk := &booking.Desk{Records: keeper}
	w.consult = &consult.Service{
		Store: st, Records: keeper, Booking: desk, Meeting: w.calls, Hub: w.hub, Relay: func() {}, Clock: clock,
		Window: consult.DefaultWindow, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	replicated := &faltering{Store: st}
	w.surveys = &replicated.surveys
	w.exchange = &exchange.Service{Store: replicated, Records: keeper, Booking: desk, Consult: w.consult, Mode: mycore.Lenient, Base: base, Clock: clock}
	w.people()
	return w
}

// people fills the directory: two organisations with their services, patients
// with and without RekodSaya.
func (w *world) people() {
	w.Helper()
	for _, o := range []struct {
		p     auth.Principal
		id, s string
	}{{hospitalSystem, hospital, "HTJ"}, {clinicSystem, clinic, "KKPD"}} {
		w.put(o.p, `{"resourceType":"Organization","id":"`+o.id+`","identifier":[{"system":"`+mycore.SystemOrganizationID+`","value":"`+o.id+`"}],"active":true,"name":"Facility `+o.s+`","alias":["`+o.s+`"]}`)
		for _, kind := range []string{"VCI", "VCE"} {
			w.put(o.p, `{"resourceType":"HealthcareService","id":"`+o.s+"-"+kind+`","providedBy":{"reference":"Organization/`+o.id+`"},`+
				`"category":[`+concept("encounter-class", "VR")+`],"type":[`+concept("service-type", kind)+`],"specialty":[`+concept("specialty", "86")+`],"name":"Clinic `+o.s+` `+kind+`"}`)
		}
	}
	for _, p := range []struct{ id, number string }{{"aminah", aminah.Login}, {"lim", lim.Login}, {"siti", "011130050946"}} {
		w.put(hospitalSystem, `{"resourceType":"Patient","id":"`+p.id+`","identifier":[{"system":"`+mycore.SystemMyKad+`","value":"`+p.number+`"}],"active":true,"name":[{"text":"Patient `+p.id+`"}],"gender":"female","birthDate":"1985-07-12","managingOrganization":{"reference":"Organization/`+hospital+`"}}`)
	}
	w.update(func(tx store.Tx) error {
		for _, p := range []auth.Principal{aminah, lim} {
			if err := tx.PutAccount(store.Account{Kind: "patient", ID: p.ID, Login: p.Login, Active: true, Created: w.now}); err != nil {
				return err
			}
		}
		return tx.Grant("Patient", "lim", clinic)
	})
}

func concept(system, code string) string {
	return `{"coding":[{"system":"http://fhir.hie.moh.gov.my/CodeSystem/` + system + `-my-core","code":"` + code + `"}]}`
}

func (w *world) update(fn func(store.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.ctx, fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) view(fn func(store.Reader) error) {
	w.Helper()
	if err := w.store.View(w.ctx, fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) at(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = t
}

func (w *world) try(p auth.Principal, body string) (exchange.Outcome, error) {
	w.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		w.Fatalf("test document: %v\n%s", err, body)
	}
	return w.exchange.Put(w.ctx, p, exchange.Write{Type: doc.Type(), ID: doc.ID(), Doc: doc})
}

func (w *world) put(p auth.Principal, body string) exchange.Outcome {
	w.Helper()
	out, err := w.try(p, body)
	if err != nil {
		w.Fatalf("PUT refused: %v\n%s", err, body)
	}
	return out
}

func (w *world) get(typ, id string) *fhir.Document {
	w.Helper()
	res, err := w.exchange.Read(w.ctx, auth.Exchange, typ, id)
	if err != nil {
		w.Fatalf("GET %s/%s: %v", typ, id, err)
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return doc
}

func (w *world) consultation(id string) store.Consultation {
	w.Helper()
	var c store.Consultation
	w.view(func(r store.Reader) (err error) { c, err = r.Consultation(id); return err })
	return c
}

func (w *world) events() []store.Event {
	w.Helper()
	var e []store.Event
	w.view(func(r store.Reader) (err error) { e, err = r.PendingEvents(1000); return err })
	return e
}

// refused asserts that an attempt fails with the code and that the message
// speaks of what is wrong, and that nothing at all was written.
func (w *world) refused(code fhir.Code, attempt func() error) {
	w.Helper()
	before := w.fingerprint()
	err := attempt()
	if err == nil {
		w.Fatalf("accepted; want %s", code)
	}
	if got := fhir.CodeOf(err); got != code {
		w.Fatalf("refused with %s (%v); want %s", got, err, code)
	}
	if after := w.fingerprint(); before != after {
		w.Fatalf("a refused request has changed the store:\n%s\n%s", before, after)
	}
}

func (w *world) fingerprint() string {
	w.Helper()
	out := ""
	w.view(func(r store.Reader) error {
		for _, typ := range []string{"Appointment", "Encounter", "Slot", "Schedule", "Patient", "Consent"} {
			page, err := r.History(store.HistoryQuery{Type: typ, Count: 1000})
			if err != nil {
				return err
			}
			out += fmt.Sprintf("%s:%d ", typ, page.Total)
		}
		events, err := r.PendingEvents(1000)
		out += fmt.Sprintf("events:%d", len(events))
		return err
	})
	return out
}

type wish struct {
	id, patient, service, kind, token, slot, status string
	start                                           time.Time
}

// appointment writes an Appointment with sensible parts where none are given.
func (w *world) appointment(b wish) string {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&b.id, "app-1")
	def(&b.patient, "aminah")
	def(&b.kind, "VCI")
	def(&b.service, "HTJ-"+b.kind)
	def(&b.status, "booked")
	if b.start.IsZero() {
		b.start = w.now.Add(10 * time.Minute)
	}
	extra := ""
	if b.token != "" {
		extra += `"identifier":[{"system":"` + mycore.SystemVCToken + `","value":"` + b.token + `"}],`
	}
	if b.slot != "" {
		extra += `"slot":[{"reference":"Slot/` + b.slot + `"}],`
	}
	return `{"resourceType":"Appointment","id":"` + b.id + `",` + extra + `"status":"` + b.status + `","serviceCategory":[` + concept("encounter-class", "VR") +
		`],"serviceType":[` + concept("service-type", b.kind) + `],"specialty":[` + concept("specialty", "86") + `],"appointmentType":` + concept("schedule-type", "affiliate") +
		`,"start":"` + fhir.FormatDateTime(b.start) + `","end":"` + fhir.FormatDateTime(b.start.Add(30*time.Minute)) + `","participant":[` +
		`{"actor":{"reference":"HealthcareService/` + b.service + `","type":"HealthcareService","display":"Clinic"},"status":"accepted"},` +
		`{"actor":{"reference":"Patient/` + b.patient + `","type":"Patient","display":"Patient ` + b.patient + `"},"status":"accepted"}]}`
}

var agreed = consult.Consent{VideoConsultation: true, Language: "ms"}

func (w *world) checkIn(p auth.Principal, id string) consult.View {
	w.Helper()
	if err := w.consult.CheckIn(w.ctx, p, id, agreed); err != nil {
		w.Fatalf("check-in refused: %v", err)
	}
	v, err := w.consult.Appointment(w.ctx, p, id)
	if err != nil {
		w.Fatal(err)
	}
	return v
}
