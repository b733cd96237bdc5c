package jitsi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
)

func TestACallFromTheFirstDoorToTheLast(t *testing.T) {
	w := newWorld(t)
	d := w.join(doctor)
	p := w.join(patient)
	if got := w.present(); got != "practitioner,patient" {
		t.Errorf("present: %s", got)
	}
	people, _ := w.driver.Present(t.Context(), vc)
	if people[0] != doctor || people[1] != patient {
		t.Errorf("present: %+v", people)
	}
	if rooms, n, err := w.driver.Counts(t.Context()); err != nil || rooms != 1 || n != 2 {
		t.Errorf("%d rooms with %d people, %v", rooms, n, err)
	}
	w.pass(time.Minute)
	for _, o := range []*jitsitest.Occupant{p, d} {
		if err := o.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.desk.told(), "joined practitioner, joined patient, left patient, left practitioner"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if w.prosody.Open(vc) || w.present() != "" {
		t.Error("the call goes on")
	}
	w.join(patient) // the session is still open: the call may open again
}

func TestEventsRepeatedAndReversed(t *testing.T) {
	for name, f := range map[string]jitsitest.Faults{
		"repeated":              {RepeatEvents: true},
		"reversed":              {HoldEvents: true},
		"repeated and reversed": {RepeatEvents: true, HoldEvents: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.prosody.Behave(f)
			d, p := w.join(doctor), w.join(patient)
			w.pass(time.Minute)
			for _, o := range []*jitsitest.Occupant{p, d} {
				if err := o.Leave(); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.prosody.Deliver(); err != nil {
				t.Fatal(err)
			}
			for _, who := range []string{"practitioner", "patient"} {
				if j, l := strings.Count(w.desk.told(), "joined "+who), strings.Count(w.desk.told(), "left "+who); j != 1 || l != 1 {
					t.Errorf("the %s came %d times and left %d times: %s", who, j, l, w.desk.told())
				}
			}
			if got := w.present(); got != "" {
				t.Errorf("still present: %s", got)
			}
		})
	}
}

func TestEventsAreFromProsodyOnly(t *testing.T) {
	w := newWorld(t)
	const joined = `{"event_name":"muc-occupant-joined","room_jid":"` + vc + `@muc.meet.jitsi","occupant":{"occupant_jid":"a-b@meet.jitsi/x","joined_at":1790000000}}`
	for _, c := range []struct {
		name, path, token, body string
		want                    int
	}{
		{"without a bearer", "occupant/joined", "", joined, 401},
		{"with another bearer", "occupant/joined", bearer + "x", joined, 401},
		{"with a join token", "occupant/joined", w.credentials(doctor).JWT, joined, 401},
		{"not JSON", "occupant/joined", bearer, `hello`, 400},
		{"a list", "occupant/joined", bearer, `[]`, 400},
		{"without a room", "occupant/joined", bearer, `{"occupant":{"occupant_jid":"x"}}`, 400},
		{"without a person", "occupant/joined", bearer, `{"room_jid":"` + vc + `@muc.meet.jitsi"}`, 400},
		{"without a time", "occupant/left", bearer, `{"room_jid":"` + vc + `@muc.meet.jitsi","occupant":{"occupant_jid":"x"}}`, 400},
		{"with a time before all times", "occupant/joined", bearer, strings.Replace(joined, "1790000000", "-1", 1), 400},
		{"with a time in words", "occupant/joined", bearer, strings.Replace(joined, "1790000000", `"now"`, 1), 400},
		{"an end without a time", "room/destroyed", bearer, `{"room_jid":"` + vc + `@muc.meet.jitsi"}`, 400},
		{"much too long", "room/destroyed", bearer, `{"room_jid":"` + strings.Repeat("a", 2<<20) + `"}`, 400},
		{"of another Jitsi's room", "occupant/joined", bearer, strings.Replace(joined, "@muc.meet.jitsi", "@muc.evil", 1), 204},
		{"of a side room", "occupant/joined", bearer, strings.Replace(joined, `{"event_name"`, `{"is_breakout":true,"event_name"`, 1), 204},
		{"the end of an empty room, with Lua's empty list", "room/destroyed", bearer, `{"room_jid":"` + vc + `@muc.meet.jitsi","destroyed_at":1790000000,"all_occupants":{}}`, 204},
		{"the beginning of a room", "room/created", bearer, `{"room_jid":"` + vc + `@muc.meet.jitsi","created_at":1790000000}`, 204},
	} {
		if status, body := w.ask("POST", "/jitsi/events/"+c.path, c.token, "application/json", c.body); status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, status, body, c.want)
		}
	}
	if got := w.desk.told() + w.present(); got != "" {
		t.Errorf("the consultation was told %q", got)
	}
}

func TestReservation(t *testing.T) {
	form := func(name string) string {
		return url.Values{"name": {name}, "start_time": {"2026-11-22T22:50:12.000Z"}, "mail_owner": {"0b7e@meet.jitsi"}}.Encode()
	}
	for _, c := range []struct {
		name    string
		room    string
		admit   error
		ended   bool
		want    int
		message string
	}{
		{"a session that is open", vc, nil, false, 201, ""},
		{"a session that has ended", vc, fhir.Errorf(fhir.CodeBusinessRule, "", "The session has ended."), false, 403, "The session has ended."},
		{"no such session", vc, fhir.Errorf(fhir.CodeNotFound, "", "There is no such session."), false, 403, "There is no such session."},
		{"a call that was ended here", vc, nil, true, 403, "This call has ended."},
		{"a name that no session has", "Dr Aminah's room", nil, false, 403, "There is no such call."},
		{"a store that is away", vc, errors.New("disk at /var/secret"), false, 503, "The call cannot be opened now. Please try again in a moment."},
		{"a store that is busy", vc, fhir.Errorf(fhir.CodeTransient, "", "busy"), false, 503, "The call cannot be opened now. Please try again in a moment."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.desk.says("", c.admit)
			if c.ended {
				if err := w.driver.End(t.Context(), vc); err != nil {
					t.Fatal(err)
				}
			}
			status, body := w.ask("POST", "/jitsi/reservation/conference", bearer, "application/x-www-form-urlencoded", form(c.room))
			var answer map[string]any
			if err := json.Unmarshal([]byte(body), &answer); err != nil || status != c.want {
				t.Fatalf("%d %s, want %d", status, body, c.want)
			}
			if got, _ := answer["message"].(string); got != c.message {
				t.Errorf("the person reads %q, want %q", got, c.message)
			}
			if c.want != 201 {
				return
			}
			for _, field := range []string{"id", "name", "mail_owner", "start_time", "duration"} {
				if answer[field] == nil {
					t.Errorf("Prosody requires %s: %s", field, body)
				}
			}
			if answer["duration"] != float64(8*3600) || answer["name"] != vc || answer["lobby"] != false {
				t.Errorf("answer %s", body)
			}
		})
	}
	w := newWorld(t)
	for _, c := range []struct{ method, path string }{
		{"POST", "/conference"}, {"GET", "/conference/x"}, {"DELETE", "/conference/x"},
	} {
		if status, _ := w.ask(c.method, "/jitsi/reservation"+c.path, "", "application/x-www-form-urlencoded", form(vc)); status != 401 {
			t.Errorf("%s without a bearer: %d", c.method, status)
		}
	}
}

// A reservation is the same whoever asks for it, as often as they ask, until
// the session ends.
func TestReservationsRepeatAndEnd(t *testing.T) {
	w := newWorld(t)
	reserve := func(owner string) map[string]any {
		t.Helper()
		body := url.Values{"name": {strings.ToUpper(vc)}, "start_time": {"2026-11-22T22:50:12.000Z"}, "mail_owner": {owner}}.Encode()
		status, text := w.ask("POST", "/jitsi/reservation/conference", bearer, "application/x-www-form-urlencoded", body)
		var answer map[string]any
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 201 {
			t.Fatalf("%d %s", status, text)
		}
		return answer
	}
	id, _ := reserve("one@meet.jitsi")["id"].(string)
	w.join(doctor)
	for _, owner := range []string{"one@meet.jitsi", "two@meet.jitsi"} {
		if again := reserve(owner); again["id"] != id || again["mail_owner"] != owner || again["start_time"] != "2026-11-22T22:50:12.000Z" {
			t.Errorf("asked again: %v", again)
		}
	}
	for range 2 { // a release may come twice, or of an earlier opening
		if status, _ := w.ask("DELETE", "/jitsi/reservation/conference/"+id, bearer, "", ""); status != 204 {
			t.Errorf("release: %d", status)
		}
	}
	for _, c := range []struct {
		id   string
		says error
		want int
	}{
		{id, nil, 200},
		{"../x", nil, 404},
		{"No%20Room", nil, 404},
		{id, errors.New("the store is away"), 503},
		{id, fhir.Errorf(fhir.CodeBusinessRule, "", "The session has ended."), 404},
	} {
		w.desk.says("", c.says)
		if status, body := w.ask("GET", "/jitsi/reservation/conference/"+url.PathEscape(c.id), bearer, "", ""); status != c.want || c.want == 200 && !strings.Contains(body, `"name":"`+vc+`"`) {
			t.Errorf("%s when %v: %d %s, want %d", c.id, c.says, status, body, c.want)
		}
	}
}

func TestThePersonReadsWhyTheRoomStaysShut(t *testing.T) {
	w := newWorld(t)
	token := w.credentials(patient).JWT
	w.desk.says("", fhir.Errorf(fhir.CodeBusinessRule, "", "The session has ended."))
	_, err := w.prosody.Join(t.Context(), token, vc)
	var refusal *jitsitest.Refusal
	if !errors.As(err, &refusal) || refusal.Message != "The session has ended." {
		t.Errorf("got %v", err)
	}
}

func TestWhoIsNotAdmittedIsRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		faults jitsitest.Faults
		enter  func(w *world) error
	}{
		"a patient whose consultation was cancelled": {enter: func(w *world) error {
			token := w.credentials(patient).JWT
			w.desk.says(patient.ID, fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation was cancelled."))
			_, err := w.prosody.Join(w.t.Context(), token, vc)
			return err
		}},
		"somebody without a token": {enter: func(w *world) error {
			_, err := w.prosody.Intrude(w.t.Context(), vc)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ticks := make(chan time.Time)
			w := newWorld(t, func(o *jitsi.Options) { o.Ticks = ticks })
			w.join(doctor)
			w.prosody.Behave(jitsitest.Faults{PretendKick: true}) // "done", and it is not
			if err := w.driver.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer w.driver.Stop()
			if err := c.enter(w); err != nil {
				t.Fatal(err)
			}
			w.called("/kick-participant", 1)
			ticks <- w.clock()
			w.called("/kick-participant", 2)
			w.prosody.Behave(jitsitest.Faults{})
			ticks <- w.clock()
			w.until("the last removal", func() bool {
				before := w.prosody.Calls("/kick-participant")
				w.driver.Reconcile(t.Context())
				return w.prosody.Calls("/kick-participant") == before // nobody is left to remove
			})
			if got := w.desk.told(); got != "joined practitioner" {
				t.Errorf("the consultation was told %q", got)
			}
			if got := w.present(); got != "practitioner" {
				t.Errorf("present: %s", got)
			}
		})
	}
}

// A refused person is none of the consultation's business, whichever way
// Jitsi tells of the end.
func TestWhoWasRefusedIsNeverTold(t *testing.T) {
	for name, end := range map[string]func(w *world, o *jitsitest.Occupant) error{
		"they leave":    func(_ *world, o *jitsitest.Occupant) error { return o.Leave() },
		"the call ends": func(w *world, _ *jitsitest.Occupant) error { return w.driver.End(w.t.Context(), vc) },
		"they are put out, and the count is asked again": func(w *world, _ *jitsitest.Occupant) error {
			w.prosody.Behave(jitsitest.Faults{HoldEvents: true, RepeatEvents: true})
			for range 3 { // the second removal finds nobody before the leaving is heard of
				w.driver.Reconcile(w.t.Context())
			}
			return w.prosody.Deliver()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.prosody.Behave(jitsitest.Faults{RepeatEvents: true})
			w.join(doctor)
			token := w.credentials(patient).JWT
			w.desk.says(patient.ID, fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation was cancelled."))
			o, err := w.prosody.Join(t.Context(), token, vc)
			if err != nil {
				t.Fatal(err)
			}
			if err := end(w, o); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(w.desk.told(), "patient") {
				t.Errorf("the consultation was told %q", w.desk.told())
			}
		})
	}
}

func TestKick(t *testing.T) {
	w := newWorld(t)
	w.join(doctor)
	w.join(patient)
	if err := w.driver.Kick(t.Context(), vc, patient.ID); err != nil {
		t.Fatal(err)
	}
	if got := w.present(); got != "practitioner" {
		t.Errorf("present: %s", got)
	}
	if err := w.driver.Kick(t.Context(), vc, "nobody"); err != nil {
		t.Errorf("somebody who is not there: %v", err)
	}
	if err := w.driver.Kick(t.Context(), "../x", patient.ID); fhir.CodeOf(err) != fhir.CodeValue {
		t.Errorf("a room that cannot be: %v", err)
	}
}

// Only the count says that a call is over.
func TestEndIsConfirmedByTheCount(t *testing.T) {
	short := func(o *jitsi.Options) { o.Limits.End = 300 * time.Millisecond }
	for _, c := range []struct {
		name   string
		faults jitsitest.Faults
		set    []func(*jitsi.Options)
		ends   bool // End says so
		gone   bool // and it is true
	}{
		{"a good server", jitsitest.Faults{}, nil, true, true},
		{"the first two requests are forgotten", jitsitest.Faults{EndsToIgnore: 2}, nil, true, true},
		{"it says done and does nothing", jitsitest.Faults{PretendEnd: true}, []func(*jitsi.Options){short}, false, false},
		{"it says it knows no such room and does", jitsitest.Faults{PretendGone: true}, []func(*jitsi.Options){short}, false, false},
		{"it refuses our key", jitsitest.Faults{Status: 401}, []func(*jitsi.Options){short}, false, false},
		{"it forbids", jitsitest.Faults{Status: 403}, []func(*jitsi.Options){short}, false, false},
		{"it breaks", jitsitest.Faults{Status: 500}, []func(*jitsi.Options){short}, false, false},
		{"it sends us elsewhere", jitsitest.Faults{Status: 302}, []func(*jitsi.Options){short}, false, false},
		{"its count is a page", jitsitest.Faults{Body: "<html>It works!</html>"}, []func(*jitsi.Options){short}, false, true},
		{"its count is of something else", jitsitest.Faults{Body: `{"rooms":[]}`}, []func(*jitsi.Options){short}, false, true},
		{"its count is null", jitsitest.Faults{Body: `{"room_census":null}`}, []func(*jitsi.Options){short}, false, true},
		{"its count names a room without people", jitsitest.Faults{Body: `{"room_census":[{"room_name":"` + vc + `@muc.meet.jitsi"}]}`}, []func(*jitsi.Options){short}, false, true},
		{"its count still has the room", jitsitest.Faults{Body: `{"room_census":[{"room_name":"` + vc + `@muc.meet.jitsi","participants":1}]}`}, []func(*jitsi.Options){short}, false, true},
		{"its count is Lua's empty list", jitsitest.Faults{Body: `{"room_census":{}}`}, nil, true, true},
		{"its count has the room with nobody but the focus", jitsitest.Faults{Body: `{"room_census":[{"room_name":"` + vc + `@muc.meet.jitsi","participants":0}]}`}, nil, true, true},
		{"its count has a room of another component", jitsitest.Faults{Body: `{"room_census":[{"room_name":"` + vc + `@lobby.meet.jitsi","participants":1}]}`}, nil, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.set...)
			w.join(doctor)
			w.join(patient)
			w.prosody.Behave(c.faults)
			err := w.driver.End(t.Context(), vc)
			if c.ends != (err == nil) || err != nil && fhir.CodeOf(err) != fhir.CodeTransient {
				t.Errorf("End says %v", err)
			}
			if c.gone {
				w.until("the end", func() bool { // the machine may be too slow for one short attempt
					w.pass(11 * time.Second)
					return !w.prosody.Open(vc) || w.driver.End(t.Context(), vc) == nil
				})
			}
			if w.prosody.Open(vc) == c.gone {
				t.Errorf("the room is open: %v", !c.gone)
			}
			if c.ends && w.present() != "" {
				t.Errorf("present: %s", w.present())
			}
			if err != nil && (strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(fmt.Sprint(errors.Unwrap(err)), "eyJ")) {
				t.Errorf("the error shows too much: %v", err)
			}
			if _, err := w.driver.Credentials(t.Context(), vc, doctor); fhir.CodeOf(err) != fhir.CodeBusinessRule {
				t.Errorf("credentials after the end: %v", err)
			}
			w.prosody.Behave(jitsitest.Faults{})
			w.pass(time.Minute)
			w.driver.Reconcile(t.Context())
			if w.prosody.Open(vc) || w.present() != "" {
				t.Error("the next count did not end the call")
			}
		})
	}
}

func TestTheEndTakesNoLongerThanItsDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		url    string
		faults jitsitest.Faults
	}{
		"it hangs":          {faults: jitsitest.Faults{Hang: true}},
		"nobody is there":   {url: "http://" + deadAddress(t)},
		"it talks nonsense": {url: "http://" + babble(t)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *jitsi.Options) {
				o.Limits.Call, o.Limits.End = 100*time.Millisecond, 300*time.Millisecond
				if c.url != "" {
					o.ControlURL = c.url
				}
			})
			w.prosody.Behave(c.faults)
			began := time.Now()
			if err := w.driver.End(t.Context(), vc); fhir.CodeOf(err) != fhir.CodeTransient {
				t.Errorf("End says %v", err)
			}
			// Far above the deadline and far below any default of the network.
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			before := w.prosody.Calls("/end-meeting")
			for i := range 50 {
				if err := w.driver.End(t.Context(), fmt.Sprintf("vc-%d", i)); fhir.CodeOf(err) != fhir.CodeTransient {
					t.Errorf("End says %v", err)
				}
			}
			if n := w.prosody.Calls("/end-meeting") - before; n != 0 {
				t.Errorf("a server that does not answer was asked %d times more at once", n)
			}
			w.prosody.Behave(jitsitest.Faults{})
			if c.url == "" {
				w.until("the first answer after a rest", func() bool {
					w.pass(11 * time.Second)
					return w.driver.End(t.Context(), vc) == nil
				})
			}
		})
	}
}

func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func babble(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "220 smtp ready\r\n")
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// To open a session and to let people in needs no word with Jitsi.
func TestCredentialsNeedNoJitsi(t *testing.T) {
	var asked atomic.Int32
	jitsiAway := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}))
	defer jitsiAway.Close()
	w := newWorld(t, func(o *jitsi.Options) { o.ControlURL = jitsiAway.URL })
	w.credentials(doctor)
	w.credentials(patient)
	_ = w.present()
	if n := asked.Load(); n != 0 {
		t.Errorf("Jitsi was asked %d times", n)
	}
}

func TestTheSystemTokenGoesNowhereElse(t *testing.T) {
	var shown atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			shown.Add(1)
		}
	}))
	defer thief.Close()
	detour := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer detour.Close()
	w := newWorld(t, func(o *jitsi.Options) { o.ControlURL, o.Limits.End = detour.URL, 300*time.Millisecond })
	if err := w.driver.End(t.Context(), vc); err == nil {
		t.Error("a redirect counted as an end")
	}
	if shown.Load() != 0 {
		t.Error("the token followed a redirect")
	}
}

func TestLostEventsAreMadeUpForByTheCount(t *testing.T) {
	w := newWorld(t)
	d, p := w.join(doctor), w.join(patient)
	w.prosody.Behave(jitsitest.Faults{LoseEvents: true})
	for _, o := range []*jitsitest.Occupant{d, p} {
		if err := o.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	for round, want := range []string{"practitioner,patient", ""} {
		w.pass(20 * time.Second)
		w.driver.Reconcile(t.Context())
		if got := w.present(); got != want {
			t.Errorf("after count %d: %q, want %q", round+1, got, want)
		}
	}
	if got, want := w.desk.told(), "joined practitioner, joined patient, left practitioner, left patient"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestOneWrongCountPutsNobodyOut(t *testing.T) {
	w := newWorld(t)
	w.join(doctor)
	for _, f := range []jitsitest.Faults{{EmptyCensus: true}, {}, {EmptyCensus: true}, {}, {Status: 500}, {Status: 404}, {Body: "no"}, {Body: "no"}} {
		w.pass(20 * time.Second)
		w.prosody.Behave(f)
		w.driver.Reconcile(t.Context())
		if w.present() != "practitioner" {
			t.Fatalf("%+v put the practitioner out", f)
		}
	}
	if n := strings.Count(w.log.String(), "cannot be asked"); n != 1 {
		t.Errorf("the silence was logged %d times", n)
	}
}

func TestACallOfAnEndedSessionIsFoundAndEnded(t *testing.T) {
	w := newWorld(t)
	w.join(doctor)
	w.pass(20 * time.Second)
	w.driver.Reconcile(t.Context())
	if !w.prosody.Open(vc) {
		t.Fatal("a call of an open session was ended")
	}
	w.desk.says("", fhir.Errorf(fhir.CodeNotFound, "", "There is no such session."))
	w.driver.Reconcile(t.Context())
	if !w.prosody.Open(vc) {
		t.Fatal("a call that is not ours was ended")
	}
	w.desk.says("", errors.New("the store is away"))
	w.driver.Reconcile(t.Context())
	if !w.prosody.Open(vc) {
		t.Fatal("a call was ended because the store is away")
	}
	w.desk.says("", fhir.Errorf(fhir.CodeBusinessRule, "", "The session has ended."))
	w.driver.Reconcile(t.Context())
	if w.prosody.Open(vc) {
		t.Error("a call of an ended session goes on")
	}
}

func TestAFailingStoreLetsProsodySendAgain(t *testing.T) {
	w := newWorld(t)
	token := w.credentials(doctor).JWT
	if _, err := w.prosody.Join(t.Context(), token, vc); err != nil {
		t.Fatal(err)
	}
	w.desk.says(patient.ID, errors.New("busy"))
	if _, err := w.prosody.Join(t.Context(), w.credentials(patient).JWT, vc); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	if got := w.present(); got != "practitioner" {
		t.Errorf("present: %s", got)
	}
}

func TestStartAndStop(t *testing.T) {
	ticks := make(chan time.Time)
	w := newWorld(t, func(o *jitsi.Options) { o.Ticks = ticks })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := w.driver.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if w.driver.Start(ctx) == nil {
		t.Error("started twice")
	}
	for range 3 {
		ticks <- w.clock()
	}
	w.called("/room-census", 3)
	w.driver.Stop()
	w.driver.Stop()
	if err := w.driver.Start(ctx); err != nil {
		t.Errorf("a new start: %v", err)
	}
	cancel()
	w.driver.Stop()
}
