package exchange_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

func TestIndividualConsultation(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	if v := w.checkIn(aminah, "app-1"); v.State != consult.Waiting || v.QueuePlace != 1 {
		t.Fatalf("after check-in: %+v", v)
	}
	c := w.consultation("app-1")
	enc := w.get("Encounter", c.Encounter)
	for path, want := range map[string]string{
		"status": "arrived", "class.code": "VR", "serviceType.coding.code": "VCI", "subject.reference": "Patient/aminah",
		"serviceProvider.reference": "Organization/" + hospital, "appointment.reference": "Appointment/app-1",
		"statusHistory.status": "planned",
	} {
		if got := enc.Get(path).String(); got != want {
			t.Errorf("Encounter.%s = %q, want %q", path, got, want)
		}
	}
	if token := mycore.Token(enc); token != c.Token || !mycore.ValidToken(token) {
		t.Errorf("the Encounter's token is not that of the session")
	}
	if issues := mycore.Validate(enc, mycore.Strict); issues.Err() != nil {
		t.Errorf("the exchange's own Encounter is not strictly valid: %v", issues)
	}
	if n := number(enc); !strings.HasPrefix(n, "HTJ-ENC-2611") {
		t.Errorf("encounter number %q", n)
	}
	if got := w.get("Appointment", "app-1").Get("status").String(); got != "checked-in" {
		t.Errorf("Appointment.status = %q", got)
	}
	w.refused(fhir.CodeBusinessRule, func() error { _, err := w.consult.Join(w.ctx, aminah, "app-1"); return err })
	if err := w.consult.Admit(w.ctx, room(w, c.Token), meeting.Person{ID: c.Encounter, Role: meeting.Patient}); err == nil {
		t.Error("the patient was admitted before activation")
	}

	if v, err := w.consult.Activate(w.ctx, hospitalSystem, c.Token); err != nil || v.Status != consult.SessionActive {
		t.Fatalf("activate: %v %v", v.Status, err)
	}
	if _, err := w.consult.Join(w.ctx, aminah, "app-1"); err != nil {
		t.Fatal(err)
	}
	w.consult.Joined(w.ctx, room(w, c.Token), meeting.Person{ID: c.Encounter, Role: meeting.Patient})
	if got := w.get("Encounter", c.Encounter).Get("status").String(); got != "in-progress" {
		t.Fatalf("after the patient joined the Encounter is %q", got)
	}
	w.consult.Left(w.ctx, room(w, c.Token), meeting.Person{ID: c.Encounter, Role: meeting.Patient})
	if got := w.consultation("app-1").State; got != string(consult.InCall) {
		t.Fatalf("hanging up has moved the consultation to %q", got)
	}

	w.at(w.now.Add(20 * time.Minute))
	enc = w.get("Encounter", c.Encounter)
	done, err := enc.With(fhir.Set("status", "finished"), fhir.Remove("statusHistory"))
	if err != nil {
		t.Fatal(err)
	}
	w.put(hospitalSystem, string(done.Bytes()))
	enc = w.get("Encounter", c.Encounter)
	var history []string
	for h := range enc.All("statusHistory") {
		history = append(history, h.Get("status").String())
	}
	if got := strings.Join(history, " "); got != "planned arrived in-progress" || !enc.Get("period.end").Exists() {
		t.Errorf("status history %q, period %s", got, enc.Get("period").Raw())
	}
	if got := w.get("Appointment", "app-1").Get("status").String(); got != "fulfilled" {
		t.Errorf("Appointment.status = %q", got)
	}
	w.calls.fail = fhir.Errorf(fhir.CodeTransient, "", "down")
	if _, err := w.consult.EndSession(w.ctx, hospitalSystem, c.Token); err != nil {
		t.Fatal(err)
	}
	w.calls.fail = nil
	if err := w.consult.CloseEnded(w.ctx); err != nil || len(w.calls.ended) != 1 {
		t.Errorf("the call was ended %d times, %v; want once, after the provider is back", len(w.calls.ended), err)
	}
	if err := w.consult.Rate(w.ctx, aminah, "app-1", 5, "Terima kasih"); err != nil {
		t.Fatal(err)
	}
	if v, _ := w.consult.Appointment(w.ctx, aminah, "app-1"); !v.Rated || v.State != consult.Finished {
		t.Errorf("after rating: %+v", v)
	}
	var statuses []string
	for _, e := range w.events() {
		if e.Topic == "hie.vc.encounter."+hospital {
			doc, err := fhir.Parse(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			statuses = append(statuses, doc.Get("entry.resource.status").String())
		}
	}
	if got := strings.Join(statuses, " "); got != "arrived in-progress finished" {
		t.Errorf("the topic has seen %q", got)
	}
}

func room(w *world, token string) string {
	var s store.Session
	w.view(func(r store.Reader) (err error) { s, err = r.Session(token); return err })
	return s.Room
}

func number(enc *fhir.Document) string {
	for i := range enc.All("identifier") {
		if i.Get("system").Is(mycore.SystemEncounterID) {
			return i.Get("value").String()
		}
	}
	return ""
}

func TestGroupSharesOneSession(t *testing.T) {
	w := newWorld(t)
	session, err := w.consult.CreateSession(w.ctx, hospitalSystem, consult.NewSession{ServiceType: "VCE", Title: "Diabetes"})
	if err != nil {
		t.Fatal(err)
	}
	w.put(hospitalSystem, w.appointment(wish{id: "a", kind: "VCE", token: session.Token}))
	w.put(hospitalSystem, w.appointment(wish{id: "b", kind: "VCE", token: session.Token, patient: "lim"}))
	w.checkIn(aminah, "a")
	if _, err := w.consult.Activate(w.ctx, hospitalSystem, session.Token); err != nil {
		t.Fatal(err)
	}
	if v := w.checkIn(lim, "b"); v.State != consult.Ready {
		t.Errorf("who comes late to a class that is in session may go in at once, not %s", v.State)
	}
	a, b := w.consultation("a"), w.consultation("b")
	if a.Token != session.Token || b.Token != session.Token || a.Encounter == b.Encounter {
		t.Error("a class has one token and an Encounter for each patient")
	}
	for _, c := range []store.Consultation{a, b} {
		if mycore.Token(w.get("Encounter", c.Encounter)) != session.Token {
			t.Error("an Encounter lacks the token of its Appointment")
		}
	}
	if err := w.consult.Admit(w.ctx, session.Room, meeting.Person{ID: "somebody", Role: meeting.Patient}); fhir.CodeOf(err) != fhir.CodeForbidden {
		t.Errorf("a stranger at the door: %v", err)
	}
}

func TestCheckInIsIdempotent(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := w.consult.CheckIn(w.ctx, aminah, "app-1", agreed); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	page, err := w.exchange.History(w.ctx, auth.Exchange, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Encounter", Count: 10}})
	if err != nil || page.Total != 1 {
		t.Errorf("twenty taps made %d Encounters, %v", page.Total, err)
	}
}

func TestCheckInRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		wish   wish
		after  time.Duration
		by     auth.Principal
		no     bool // consent
		code   fhir.Code
		phrase string
	}{
		{name: "too early", wish: wish{}, after: -21 * time.Minute, by: aminah, code: fhir.CodeBusinessRule, phrase: "opens at"},
		{name: "too late", wish: wish{}, after: 41 * time.Minute, by: aminah, code: fhir.CodeBusinessRule, phrase: "over"},
		{name: "another patient", wish: wish{}, by: lim, code: fhir.CodeNotFound},
		{name: "a source system", wish: wish{}, by: hospitalSystem, code: fhir.CodeForbidden},
		{name: "no consent", wish: wish{}, by: aminah, no: true, code: fhir.CodeBusinessRule, phrase: "consent"},
		{name: "not confirmed", wish: wish{status: "pending"}, by: aminah, code: fhir.CodeBusinessRule, phrase: "confirmed"},
		{name: "cancelled", wish: wish{status: "cancelled"}, by: aminah, code: fhir.CodeBusinessRule, phrase: "cancelled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.put(hospitalSystem, w.appointment(c.wish))
			w.at(w.now.Add(c.after))
			w.refused(c.code, func() error {
				err := w.consult.CheckIn(w.ctx, c.by, "app-1", consult.Consent{VideoConsultation: !c.no})
				if err != nil && !strings.Contains(err.Error(), c.phrase) {
					t.Errorf("the refusal does not say why: %v", err)
				}
				return err
			})
		})
	}
}

func TestTimersCloseWhatIsOver(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{id: "missed"}))
	w.put(hospitalSystem, w.appointment(wish{id: "left", patient: "lim"}))
	w.checkIn(lim, "left")
	expire := func(after time.Duration, want int) {
		t.Helper()
		w.at(w.now.Add(after))
		if n, err := w.consult.Expire(w.ctx); n != want || err != nil {
			t.Errorf("%d closed, %v; want %d", n, err, want)
		}
	}
	expire(39*time.Minute, 0)
	expire(2*time.Minute, 1)
	expire(20*time.Minute, 0)
	expire(11*time.Minute, 1)
	expire(time.Hour, 0)
	if got := w.get("Appointment", "missed").Get("status").String(); got != "noshow" {
		t.Errorf("the missed appointment is %q", got)
	}
	left := w.consultation("left")
	if got := w.get("Encounter", left.Encounter).Get("status").String(); got != "unknown" || left.State != string(consult.Abandoned) {
		t.Errorf("the consultation that was never started is %q, its Encounter %q", left.State, got)
	}
	w.refused(fhir.CodeBusinessRule, func() error { _, err := w.consult.Activate(w.ctx, hospitalSystem, left.Token); return err })
}

func TestPatientCancels(t *testing.T) {
	w := newWorld(t)
	w.slots("s", 1)
	w.put(hospitalSystem, w.appointment(wish{slot: "s"}))
	w.refused(fhir.CodeNotFound, func() error { return w.consult.Cancel(w.ctx, lim, "app-1") })
	for range 2 {
		if err := w.consult.Cancel(w.ctx, aminah, "app-1"); err != nil {
			t.Fatal(err)
		}
	}
	doc := w.get("Appointment", "app-1")
	if doc.Get("status").String() != "cancelled" || doc.Get("cancelationReason.coding.code").String() != "1" {
		t.Errorf("the Appointment reads %s", doc.Bytes())
	}
	if _, left, _ := mycore.Quota(w.get("Slot", "s")); left != 1 {
		t.Errorf("the place was not given back: %d available", left)
	}
	events := w.events()
	if len(events) == 0 || events[len(events)-1].Topic != "hie.vc.appointment."+hospital {
		t.Error("the hospital was not told that the patient cancelled")
	}
}
