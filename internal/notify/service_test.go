package notify_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
	"github.com/jumpa-hie/jumpa/mycore"
)

const (
	aminah = "850712055018" // active; a patient of the hospital, shared with the clinic
	lim    = "720301105537" // active; a patient of the clinic alone
	siti   = "011130050946" // a patient of the hospital without an account
	devi   = "910925086124" // a patient of the hospital whose account is not active
	hassan = "590418055271" // active; the hospital writes the number with dashes
	passed = "A1234567"     // active; known by a passport
	nobody = "900101015555"
)

var (
	hospital = sender("hospital", "11-05060009", "notify")
	clinic   = sender("clinic", "11-05040012", "system/*.cruds", "notify")
)

func sender(id, organization string, scopes ...string) auth.Principal {
	return auth.Principal{Kind: auth.Client, ID: id, Organization: organization, Scopes: scopes, Trace: "trace-of-" + id}
}

func patient(number string) auth.Principal {
	return auth.Principal{Kind: auth.Patient, ID: "account-of-" + number[4:], Login: number}
}

type world struct {
	testing.TB
	*notify.Service
	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{TB: t, now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	w.Service = &notify.Service{Store: db, Hub: &notify.Hub{}, Clock: func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}}
	w.record("aminah", mycore.SystemMyKad, aminah, hospital.Organization, clinic.Organization)
	w.record("lim", mycore.SystemMyKad, lim, clinic.Organization)
	w.record("siti", mycore.SystemMyKadVariant, siti, hospital.Organization)
	w.record("devi", mycore.SystemMyKad, devi, hospital.Organization)
	w.record("hassan", mycore.SystemMyKad, "590418-05-5271", hospital.Organization)
	w.record("passed", mycore.SystemPassport, passed, hospital.Organization)
	w.record("other", mycore.SystemMRN, nobody, hospital.Organization) // a number of another kind
	for number, active := range map[string]bool{aminah: true, lim: true, devi: false, hassan: true, passed: true, nobody: true} {
		w.update(func(tx store.Tx) error {
			return tx.PutAccount(store.Account{Kind: "patient", ID: patient(number).ID, Login: number, Active: active})
		})
	}
	return w
}

func (w *world) update(fn func(store.Tx) error) {
	w.Helper()
	if err := w.Store.Update(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

// record keeps a Patient of an organisation that others may see too.
func (w *world) record(id, system, number, owner string, others ...string) {
	w.Helper()
	doc, err := fhir.Parse(fmt.Appendf(nil, `{"resourceType":"Patient","id":%q,"identifier":[{"system":%q,"value":%q}]}`, id, system, number))
	if err != nil {
		w.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		err := tx.PutResource(store.Resource{
			Type: "Patient", ID: id, Version: 1, Updated: w.now, Method: "PUT", Organization: owner, Body: doc.Bytes(),
		}, search.Index(doc), nil)
		for _, o := range others {
			err = errors.Join(err, tx.Grant("Patient", id, o))
		}
		return err
	})
}

// written counts all that a message leaves behind.
func (w *world) written() (inboxes, audits int) {
	w.Helper()
	err := w.Store.View(w.Context(), func(r store.Reader) error {
		for _, number := range []string{aminah, lim, siti, devi, hassan, passed, nobody} {
			list, err := r.Notifications(number, 1000)
			if err != nil {
				return err
			}
			inboxes += len(list)
		}
		trail, err := r.AuditTrail(store.AuditQuery{Count: 1000})
		audits = len(trail)
		for _, a := range trail {
			for _, number := range []string{aminah, lim, siti, devi, hassan, passed, nobody} {
				if strings.Contains(fmt.Sprint(a), number) {
					w.Errorf("the audit trail names a person: %+v", a)
				}
			}
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return inboxes, audits
}

func message(ids ...string) notify.Message {
	return notify.Message{Title: "VC session starting", Body: "You can now join the meeting room", PatientIDs: ids}
}

func (w *world) send(p auth.Principal, m notify.Message) string {
	w.Helper()
	results, err := w.Send(w.Context(), p, m)
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for i, r := range results {
		if r.PatientID != m.PatientIDs[i] {
			w.Errorf("result %d is about another id", i)
		}
		out = append(out, string(r.Status))
	}
	return strings.Join(out, " ")
}

func TestSend(t *testing.T) {
	for _, c := range []struct {
		name    string
		p       auth.Principal
		ids     []string
		want    string
		inboxes int
	}{
		{"one", hospital, []string{aminah}, "delivered", 1},
		{"shared with the clinic", clinic, []string{aminah}, "delivered", 1},
		{"in order", hospital, []string{nobody, aminah, siti, devi}, "unknown delivered not-activated not-activated", 1},
		{"twice", hospital, []string{aminah, siti, aminah, "850712-05-5018", " 850712055018 "}, "delivered not-activated delivered delivered delivered", 1},
		{"of another organisation", hospital, []string{lim}, "unknown", 0},
		{"a record with dashes", hospital, []string{hassan}, "delivered", 1},
		{"a passport", hospital, []string{"a1234567"}, "delivered", 1},
		{"a number of another kind", hospital, []string{nobody}, "unknown", 0},
		{"the FHIR id", hospital, []string{"aminah"}, "unknown", 0},
		{"no number", hospital, []string{"", "'; --", "x|y", strings.Repeat("9", 3000), "line\nbreak"}, "unknown unknown unknown unknown unknown", 0},
		{"from the exchange itself", auth.Exchange, []string{lim, aminah}, "delivered delivered", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if got := w.send(c.p, message(c.ids...)); got != c.want {
				t.Errorf("answer %q, want %q", got, c.want)
			}
			if inboxes, audits := w.written(); inboxes != c.inboxes || audits != 1 {
				t.Errorf("%d messages and %d audit records, want %d and 1", inboxes, audits, c.inboxes)
			}
		})
	}
}

func TestSendRefuses(t *testing.T) {
	with := func(edit func(*notify.Message)) notify.Message {
		m := message(aminah)
		edit(&m)
		return m
	}
	many := make([]string, 501)
	for _, c := range []struct {
		name string
		p    auth.Principal
		m    notify.Message
		want fhir.Code
	}{
		{"nobody", auth.Principal{}, message(aminah), fhir.CodeLogin},
		{"a patient", patient(aminah), message(aminah), fhir.CodeForbidden},
		{"without the scope", sender("x", hospital.Organization, "system/*.cruds", "session"), message(aminah), fhir.CodeForbidden},
		{"no title", hospital, with(func(m *notify.Message) { m.Title = " " }), fhir.CodeValue},
		{"long title", hospital, with(func(m *notify.Message) { m.Title = strings.Repeat("界", 121) }), fhir.CodeValue},
		{"title on two lines", hospital, with(func(m *notify.Message) { m.Title = "a\nb" }), fhir.CodeValue},
		{"title that reads backwards", hospital, with(func(m *notify.Message) { m.Title = "a\u202eb" }), fhir.CodeValue},
		{"no body", hospital, with(func(m *notify.Message) { m.Body = "" }), fhir.CodeValue},
		{"long body", hospital, with(func(m *notify.Message) { m.Body = strings.Repeat("x", 1001) }), fhir.CodeValue},
		{"control character", hospital, with(func(m *notify.Message) { m.Body = "a\x1b[2Jb" }), fhir.CodeValue},
		{"to nobody", hospital, message(), fhir.CodeValue},
		{"to too many", hospital, message(many...), fhir.CodeValue},
		{"long key", hospital, with(func(m *notify.Message) { m.IdempotencyKey = strings.Repeat("k", 201) }), fhir.CodeValue},
		{"key with a space", hospital, with(func(m *notify.Message) { m.IdempotencyKey = "a b" }), fhir.CodeValue},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			woken, cancel := w.Hub.Subscribe(notify.InboxKey(aminah), notify.PatientKey(patient(aminah).ID))
			defer cancel()
			results, err := w.Send(t.Context(), c.p, c.m)
			if fhir.CodeOf(err) != c.want || results != nil {
				t.Fatalf("error %v and results %v, want code %q", err, results, c.want)
			}
			if strings.Contains(err.Error(), aminah) {
				t.Errorf("the error names a person: %v", err)
			}
			if inboxes, audits := w.written(); inboxes+audits != 0 {
				t.Errorf("%d messages and %d audit records were written", inboxes, audits)
			}
			if len(woken) != 0 {
				t.Error("a page was woken")
			}
		})
	}
	w := newWorld(t)
	w.send(hospital, with(func(m *notify.Message) { m.Title, m.Body = strings.Repeat("界", 120), strings.Repeat("界\n", 500) })) // the most that is taken
}

func TestSameKeyDeliversOnce(t *testing.T) {
	w := newWorld(t)
	m := message(aminah, nobody, siti)
	m.IdempotencyKey = "retry-1"
	const want = "delivered unknown not-activated"
	if got := w.send(hospital, m); got != want {
		t.Fatalf("answer %q", got)
	}
	woken, cancel := w.Hub.Subscribe(notify.InboxKey(aminah))
	defer cancel()
	w.update(func(tx store.Tx) error { // what has changed since does not change the answer
		return tx.PutAccount(store.Account{Kind: "patient", ID: "new", Login: siti, Active: true})
	})
	if got := w.send(hospital, m); got != want {
		t.Errorf("the second answer is %q", got)
	}
	if inboxes, audits := w.written(); inboxes != 1 || audits != 1 || len(woken) != 0 {
		t.Errorf("%d messages, %d audit records, woken %d", inboxes, audits, len(woken))
	}

	for name, edit := range map[string]func(*notify.Message){
		"title":  func(m *notify.Message) { m.Title += "!" },
		"body":   func(m *notify.Message) { m.Body += "!" },
		"people": func(m *notify.Message) { m.PatientIDs = []string{nobody, aminah, siti} },
	} {
		other := m
		edit(&other)
		_, err := w.Send(t.Context(), hospital, other)
		if fhir.CodeOf(err) != fhir.CodeConflict {
			t.Errorf("another %s under the same key: %v", name, err)
		}
	}
	if inboxes, audits := w.written(); inboxes != 1 || audits != 1 {
		t.Errorf("%d messages and %d audit records after refusals", inboxes, audits)
	}

	m.PatientIDs = []string{aminah}
	w.send(clinic, m) // the key of another sender is another key
	m.IdempotencyKey = ""
	w.send(hospital, m)
	w.send(hospital, m) // without a key each is a message of its own
	if inboxes, _ := w.written(); inboxes != 4 {
		t.Errorf("%d messages, want 4", inboxes)
	}
}

func TestSameKeyAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	m := message(aminah)
	m.IdempotencyKey = "retry-1"
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := w.Send(context.Background(), hospital, m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if inboxes, audits := w.written(); inboxes != 1 || audits != 1 {
		t.Errorf("%d messages and %d audit records, want one of each", inboxes, audits)
	}
}

func TestKeyKeepsNoNumbers(t *testing.T) {
	w := newWorld(t)
	m := message(aminah)
	m.IdempotencyKey = "retry-1"
	w.send(hospital, m)
	err := w.Store.View(t.Context(), func(r store.Reader) error {
		kept, err := r.Idempotent(hospital.ID, "retry-1")
		if !strings.Contains(string(kept), "delivered") || strings.Contains(string(kept), aminah) {
			t.Errorf("kept %s", kept)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPagesAreWokenAfterTheMessageIsThere(t *testing.T) {
	w := newWorld(t)
	inbox, cancel := w.Hub.Subscribe(notify.InboxKey(aminah))
	defer cancel()
	page, cancel := w.Hub.Subscribe(notify.PatientKey(patient(aminah).ID))
	defer cancel()
	stranger, cancel := w.Hub.Subscribe(notify.InboxKey(siti), notify.InboxKey(lim))
	defer cancel()
	w.send(hospital, message(aminah, siti, lim))
	<-inbox
	<-page
	if list, err := w.Inbox(t.Context(), patient(aminah)); err != nil || len(list) != 1 {
		t.Errorf("inbox %v, error %v", list, err)
	}
	if len(stranger) != 0 {
		t.Error("the page of somebody who got nothing was woken")
	}
}

func TestInbox(t *testing.T) {
	w := newWorld(t)
	w.send(hospital, message(aminah))
	w.mu.Lock()
	w.now = w.now.Add(time.Minute)
	w.mu.Unlock()
	later := message(aminah, lim)
	later.Title = "Later"
	w.send(clinic, later)

	list, err := w.Inbox(t.Context(), patient(aminah))
	if err != nil || len(list) != 2 {
		t.Fatalf("inbox %v, error %v", list, err)
	}
	if first := list[0]; first.Title != "Later" || first.Sender != clinic.Organization || !first.Read.IsZero() || !first.Created.Equal(w.now) {
		t.Errorf("the newest is %+v", first)
	}
	for range 2 { // the second time there is nothing to mark
		if err := w.MarkRead(t.Context(), patient(aminah)); err != nil {
			t.Fatal(err)
		}
	}
	if _, audits := w.written(); audits != 3 {
		t.Errorf("%d audit records, want 3", audits)
	}
	list, err = w.Inbox(t.Context(), patient(aminah))
	if err != nil || len(list) != 2 || list[0].Read.IsZero() || list[1].Read.IsZero() {
		t.Errorf("after reading: %v, error %v", list, err)
	}
	if list, err := w.Inbox(t.Context(), patient(lim)); err != nil || len(list) != 1 || !list[0].Read.IsZero() {
		t.Errorf("somebody else's inbox: %v, error %v", list, err)
	}
	for _, p := range []auth.Principal{{}, hospital, {Kind: auth.Operator}} {
		if _, err := w.Inbox(t.Context(), p); fhir.CodeOf(err) != fhir.CodeForbidden {
			t.Errorf("inbox of a %q: %v", p.Kind, err)
		}
		if err := w.MarkRead(t.Context(), p); fhir.CodeOf(err) != fhir.CodeForbidden {
			t.Errorf("marking of a %q: %v", p.Kind, err)
		}
	}
}

func BenchmarkSendToAClass(b *testing.B) {
	w := newWorld(b)
	var ids []string
	for i := range 500 {
		number := fmt.Sprintf("9001010%05d", i)
		w.record(fmt.Sprint("p", i), mycore.SystemMyKad, number, hospital.Organization)
		w.update(func(tx store.Tx) error {
			return tx.PutAccount(store.Account{Kind: "patient", ID: number, Login: number, Active: true})
		})
		ids = append(ids, number)
	}
	for b.Loop() {
		w.send(hospital, message(ids...))
	}
}
