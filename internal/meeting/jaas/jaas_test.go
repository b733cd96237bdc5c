package jaas_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jaas"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

const (
	app    = "vpaas-magic-cookie-1d2e6a201d594c8f87a630e3f71826d3"
	hook   = "whsec_0123456789abcdef"
	secret = "a-secret-of-the-exchange-of-32-by"
	vc     = "vc-mfrggzdfmztwq2lk"
)

var (
	doctor  = meeting.Person{ID: "practitioner-0a1b2c", Name: "Dr Aminah binti Osman", Role: meeting.Practitioner}
	patient = meeting.Person{ID: "encounter-77aa", Name: "Bala a/l Muthu", Role: meeting.Patient}

	key = sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return k
	})
)

type desk struct {
	mu     sync.Mutex
	refuse map[string]error
	lines  []string
}

func (d *desk) Admit(_ context.Context, _ string, p meeting.Person) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refuse[p.ID]
}

func (d *desk) note(what string, p meeting.Person) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, what+" "+string(p.Role))
}

func (d *desk) Joined(_ context.Context, _ string, p meeting.Person)    { d.note("joined", p) }
func (d *desk) Left(_ context.Context, _ string, p meeting.Person)      { d.note("left", p) }
func (d *desk) EndForAll(context.Context, string, meeting.Person) error { return nil }

func (d *desk) says(person string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = map[string]error{person: err}
}

func (d *desk) told() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

// journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

type world struct {
	t      *testing.T
	driver *jaas.Driver
	jaas   *jitsitest.JaaS
	desk   *desk
	ticks  chan time.Time

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func options(base string) jaas.Options {
	return jaas.Options{AppID: app, KeyID: app + "/ed85b6", Key: key(), WebhookSecret: hook, Secret: []byte(secret), Base: base, Call: 20 * time.Second}
}

func database(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "calls.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func newWorld(t *testing.T, changes ...func(*jaas.Options)) *world {
	t.Helper()
	w := &world{t: t, desk: &desk{}, now: time.Now().Truncate(time.Second), ticks: make(chan time.Time)}
	w.jaas = &jitsitest.JaaS{AppID: app, Keys: map[string]*rsa.PublicKey{app + "/ed85b6": &key().PublicKey}, Secret: hook, Clock: w.clock}
	w.jaas.Start()
	t.Cleanup(w.jaas.Close)
	log := &journal{}
	opts := options(w.jaas.URL())
	opts.Store = database(t)
	opts.Admission, opts.Clock, opts.Ticks, opts.Log = w.desk, w.clock, w.ticks, slog.New(slog.NewTextHandler(log, nil))
	for _, change := range changes {
		change(&opts)
	}
	var err error
	if w.driver, err = jaas.New(opts); err != nil {
		t.Fatal(err)
	}
	exchange := httptest.NewServer(w.driver.Handler())
	t.Cleanup(exchange.Close)
	w.jaas.Webhook = exchange.URL + "/jaas/events"
	t.Cleanup(func() {
		for _, s := range []string{hook, secret, doctor.Name, patient.Name, doctor.ID, patient.ID, "eyJ"} {
			if strings.Contains(log.b.String(), s) {
				t.Errorf("the log shows %q", s)
			}
		}
	})
	return w
}

func (w *world) token(p meeting.Person) string {
	w.t.Helper()
	c, err := w.driver.Credentials(w.t.Context(), vc, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.JWT
}

func (w *world) join(p meeting.Person) *jitsitest.Guest {
	w.t.Helper()
	g, err := w.jaas.Join(w.token(p), vc)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) present() string {
	w.t.Helper()
	people, err := w.driver.Present(w.t.Context(), vc)
	if err != nil {
		w.t.Fatal(err)
	}
	var roles []string
	for _, p := range people {
		roles = append(roles, string(p.Role))
	}
	return strings.Join(roles, ",")
}

func TestProviderKeepsTheContract(t *testing.T) {
	jitsitest.Suite(t, time.Now, func(t *testing.T) meeting.Provider { return newWorld(t).driver })
}

// Each case names what the documentation of JaaS says.
func TestJoinTokenIsWhatJaaSDocuments(t *testing.T) {
	w := newWorld(t)
	now := w.clock().Unix()
	for _, who := range []meeting.Person{doctor, patient} {
		got, err := jitsitest.VerifyJaaS(w.token(who), app, w.jaas.Keys, w.clock())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			fact      string
			got, want any
		}{
			{"alg is RS256", got.Header["alg"], "RS256"},
			{"typ is JWT", got.Header["typ"], "JWT"},
			{"kid is AppID/key id", got.Header["kid"], app + "/ed85b6"},
			{"aud is jitsi", got.Claims["aud"], "jitsi"},
			{"iss is chat", got.Claims["iss"], "chat"},
			{"sub is the AppID", got.Claims["sub"], app},
			{"room is the name without the tenant", got.Claims["room"], vc},
			{"nbf is back-dated", got.Claims["nbf"], float64(now - 10)},
			{"exp is short", got.Claims["exp"], float64(now + 300)},
			{"moderator is a string", got.User["moderator"], fmt.Sprint(who.Role == meeting.Practitioner)},
			{"name is shown", got.User["name"], who.Name},
			{"no null in user", got.User["email"], ""},
			{"no null in user", got.User["avatar"], ""},
			{"nobody hides", got.User["hidden-from-recorder"], "false"},
			{"features are listed", got.Feature["recording"], "false"},
			{"features are listed", got.Feature["livestreaming"], "false"},
			{"features are listed", got.Feature["transcription"], "false"},
			{"features are listed", got.Feature["outbound-call"], "false"},
			{"no join token is for administration", got.Claims["admin"], nil},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s: got %v, want %v", who.Role, c.fact, c.got, c.want)
			}
		}
		if id, _ := got.User["id"].(string); id == "" || strings.Contains(id, who.ID) {
			t.Errorf("%s: user.id shows who it is: %q", who.Role, id)
		}
	}
	c, err := w.driver.Credentials(t.Context(), vc, doctor)
	if err != nil || !strings.Contains(c.JoinURL, "/"+app+"/"+vc+"#jwt=") {
		t.Errorf("the page must be below the tenant, with the JWT in the fragment; %v", err)
	}
	w.pass(300 * time.Second)
	if _, err := w.jaas.Join(c.JWT, vc); err == nil {
		t.Error("the token is good after its time")
	}
}

func TestWebhooksOnceRepeatedAndReversed(t *testing.T) {
	for name, f := range map[string]jitsitest.Faults{
		"in order":              {},
		"repeated":              {RepeatEvents: true},
		"reversed":              {HoldEvents: true},
		"repeated and reversed": {RepeatEvents: true, HoldEvents: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.jaas.Behave(f)
			d := w.join(doctor)
			w.pass(time.Second)
			p := w.join(patient)
			w.pass(time.Minute)
			for _, g := range []*jitsitest.Guest{p, d} {
				if err := g.Leave(); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Second)
			}
			if err := w.jaas.Deliver(); err != nil {
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

func TestWebhooksAreSigned(t *testing.T) {
	w := newWorld(t)
	now := w.clock()
	token, err := jitsitest.VerifyJaaS(w.token(doctor), app, w.jaas.Keys, now)
	if err != nil {
		t.Fatal(err)
	}
	event := func(change func(m, data map[string]any)) []byte {
		data := map[string]any{"id": token.User["id"], "participantId": "0a1b2c3d", "name": doctor.Name}
		m := map[string]any{
			"idempotencyKey": "k", "appId": app, "eventType": "PARTICIPANT_JOINED", "sessionId": "s",
			"timestamp": now.UnixMilli(), "fqn": app + "/" + vc, "data": data,
		}
		if change != nil {
			change(m, data)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := event(nil)
	signature := w.jaas.Sign(good, hook, now)
	for _, c := range []struct {
		name      string
		body      []byte
		signature string
		want      int
	}{
		{"without a signature", good, "", 401},
		{"signed with another secret", good, w.jaas.Sign(good, "another", now), 401},
		{"another body", append([]byte(" "), good...), signature, 401},
		{"another time", good, strings.Replace(signature, "t=", "t=1", 1), 401},
		{"another scheme only", good, strings.Replace(signature, "v1=", "v0=", 1), 401},
		{"not base64", good, "t=1,v1=###", 401},
		{"signed two days ago", good, w.jaas.Sign(good, hook, now.Add(-48*time.Hour)), 401},
		{"not JSON", []byte("hello"), w.jaas.Sign([]byte("hello"), hook, now), 400},
		{"much too long", bytes.Repeat([]byte("a"), 1<<20), "t=1,v1=x", 400},
		{"another customer", event(func(m, _ map[string]any) { m["appId"] = "vpaas-magic-cookie-2" }), "", 204},
		{"another tenant's room", event(func(m, _ map[string]any) { m["fqn"] = "vpaas-magic-cookie-2/" + vc }), "", 204},
		{"a side room", event(func(_, d map[string]any) { d["isBreakout"] = true }), "", 204},
		{"an event of no interest", event(func(m, _ map[string]any) { m["eventType"] = "FEEDBACK" }), "", 204},
		{"nobody in particular", event(func(_, d map[string]any) { delete(d, "participantId") }), "", 400},
		{"without a time", event(func(m, _ map[string]any) { delete(m, "timestamp") }), "", 400},
		{"of last week", event(func(m, _ map[string]any) { m["timestamp"] = now.Add(-7 * 24 * time.Hour).UnixMilli() }), "", 400},
		{"without a key", event(func(m, _ map[string]any) { delete(m, "idempotencyKey") }), "", 400},
	} {
		s := c.signature
		if s == "" && c.name != "without a signature" {
			// Each has a key of its own: a key that was seen says nothing more.
			c.body = bytes.Replace(c.body, []byte(`"idempotencyKey":"k"`), []byte(`"idempotencyKey":"`+c.name+`"`), 1)
			s = w.jaas.Sign(c.body, hook, now)
		}
		status, err := w.jaas.Post(c.body, s)
		if err != nil || status != c.want {
			t.Errorf("%s: %d %v, want %d", c.name, status, err, c.want)
		}
	}
	if got := w.desk.told() + w.present(); got != "" {
		t.Fatalf("the consultation was told %q", got)
	}
	old := "t=" + strings.TrimPrefix(strings.Split(signature, ",")[0], "t=") + ",v1=" + base64.StdEncoding.EncodeToString([]byte("old secret"))
	if status, err := w.jaas.Post(good, old+","+strings.Split(signature, ",")[1]); err != nil || status != 204 {
		t.Errorf("signed with the old and the new secret: %d %v", status, err)
	}
	if w.present() != "practitioner" {
		t.Errorf("present: %s", w.present())
	}
}

func TestAFailingStoreLetsJaaSSendAgain(t *testing.T) {
	w := newWorld(t)
	w.desk.says(patient.ID, errors.New("busy"))
	w.jaas.Behave(jitsitest.Faults{HoldEvents: true, RepeatEvents: true})
	w.join(patient) // held twice, with one key
	if err := w.jaas.Deliver(); err == nil || !strings.Contains(err.Error(), "503") {
		t.Fatalf("got %v", err)
	}
	w.jaas.Behave(jitsitest.Faults{})
	if w.present() != "" {
		t.Errorf("present: %s", w.present())
	}
	w.desk.says(patient.ID, nil)
	w.join(patient)
	if w.present() != "patient" {
		t.Errorf("present: %s", w.present())
	}
}

func TestEndIsConfirmedByTheWebhooks(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults jitsitest.Faults
		call   time.Duration
		ends   bool
	}{
		{"a good server", jitsitest.Faults{}, 0, true},
		{"it says banned and does nothing", jitsitest.Faults{PretendKick: true}, 0, false},
		{"it refuses our key", jitsitest.Faults{Status: 403}, 0, false},
		{"it breaks", jitsitest.Faults{Status: 500}, 0, false},
		{"it hangs", jitsitest.Faults{Hang: true}, 100 * time.Millisecond, false},
		{"the webhooks are late", jitsitest.Faults{HoldEvents: true}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *jaas.Options) {
				if c.call != 0 {
					o.Call = c.call
				}
			})
			w.join(doctor)
			w.join(patient)
			w.pass(time.Minute)
			w.jaas.Behave(c.faults)
			err := w.driver.End(t.Context(), vc)
			if c.ends != (err == nil) || err != nil && fhir.CodeOf(err) != fhir.CodeTransient {
				t.Errorf("End says %v", err)
			}
			if c.ends != (w.present() == "") {
				t.Errorf("present: %q", w.present())
			}
			if !c.ends {
				n := w.jaas.Bans()
				if c.faults.Hang || c.faults.PretendKick {
					_ = w.driver.End(t.Context(), vc)
					if w.jaas.Bans() != n {
						t.Error("JaaS is asked again at once")
					}
				}
				w.jaas.Behave(jitsitest.Faults{})
				if err := w.jaas.Deliver(); err != nil {
					t.Error(err)
				}
				// The machine may be too slow for one short attempt.
				for deadline := time.Now().Add(time.Minute); ; {
					w.pass(2 * time.Minute)
					if err = w.driver.End(t.Context(), vc); err == nil || time.Now().After(deadline) {
						break
					}
				}
				if err != nil || w.present() != "" {
					t.Errorf("in the end: %v, present %q", err, w.present())
				}
			}
			if _, err := w.driver.Credentials(t.Context(), vc, doctor); fhir.CodeOf(err) != fhir.CodeBusinessRule {
				t.Errorf("credentials after the end: %v", err)
			}
		})
	}
}

func TestWhoIsNotAdmittedIsBannedFromThisRoomOnly(t *testing.T) {
	w := newWorld(t)
	if err := w.driver.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer w.driver.Stop()
	if w.driver.Start(t.Context()) == nil {
		t.Error("started twice")
	}
	w.desk.says(patient.ID, fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation was cancelled."))
	w.join(patient)
	w.ticks <- w.clock()
	w.ticks <- w.clock() // the round before is over when this one is taken
	if w.jaas.Bans() == 0 {
		t.Fatal("nobody was banned")
	}
	if got := w.desk.told(); got != "" {
		t.Errorf("the consultation was told %q", got)
	}
	if _, err := w.jaas.Join(w.token(patient), vc); err == nil {
		t.Error("the patient is in again")
	}
	w.desk.says("", nil)
	c, err := w.driver.Credentials(t.Context(), "vc-next", patient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.jaas.Join(c.JWT, "vc-next"); err != nil {
		t.Errorf("the patient is banned from the next consultation too: %v", err)
	}
}

func TestWhoJoinsAfterTheEndIsBanned(t *testing.T) {
	w := newWorld(t)
	token := w.token(patient)
	if err := w.driver.End(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jaas.Join(token, vc); err != nil {
		t.Fatal(err)
	}
	w.driver.Chores(t.Context())
	if _, err := w.jaas.Join(token, vc); err == nil {
		t.Error("the token still opens the room")
	}
	if w.desk.told() != "" {
		t.Errorf("the consultation was told %q", w.desk.told())
	}
}

func TestKick(t *testing.T) {
	w := newWorld(t)
	w.join(doctor)
	w.join(patient)
	w.pass(time.Second)
	if err := w.driver.Kick(t.Context(), vc, patient); err != nil {
		t.Fatal(err)
	}
	if got := w.present(); got != "practitioner" {
		t.Errorf("present: %s", got)
	}
	if err := w.driver.Kick(t.Context(), "../x", patient); fhir.CodeOf(err) != fhir.CodeValue {
		t.Errorf("a room that cannot be: %v", err)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	good := options("")
	good.Store = database(t)
	if _, err := jaas.New(good); err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*jaas.Options){
		"no AppID":                 func(o *jaas.Options) { o.AppID = "" },
		"another AppID":            func(o *jaas.Options) { o.AppID = "my-app" },
		"no key id":                func(o *jaas.Options) { o.KeyID = "" },
		"the key id of another":    func(o *jaas.Options) { o.KeyID = "vpaas-magic-cookie-2/x" },
		"no key":                   func(o *jaas.Options) { o.Key = nil },
		"a small key":              func(o *jaas.Options) { o.Key = small },
		"no webhook secret":        func(o *jaas.Options) { o.WebhookSecret = "" },
		"a short secret":           func(o *jaas.Options) { o.Secret = []byte("short") },
		"no store":                 func(o *jaas.Options) { o.Store = nil },
		"no web address":           func(o *jaas.Options) { o.Base = "8x8.vc" },
		"a password in an address": func(o *jaas.Options) { o.Base = "https://me:hunter2@8x8.vc" },
	} {
		o := good
		spoil(&o)
		if _, err := jaas.New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
