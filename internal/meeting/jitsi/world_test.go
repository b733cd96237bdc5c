package jitsi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

const (
	bearer = "prosody-shows-this-0123456789-abcdef"
	secret = "a-secret-of-the-exchange-of-32-by"
	vc     = "vc-mfrggzdfmztwq2lk"
)

var (
	doctor  = meeting.Person{ID: "practitioner-0a1b2c", Name: "Dr Aminah binti Osman", Role: meeting.Practitioner}
	patient = meeting.Person{ID: "encounter-77aa", Name: "Bala a/l Muthu", Role: meeting.Patient}
)

// desk is a consultation that lets in whoever it is not told to refuse.
type desk struct {
	mu     sync.Mutex
	refuse map[string]error // by person, or "" for the room itself
	lines  []string
}

func (d *desk) Admit(ctx context.Context, _ string, p meeting.Person) error {
	if err := ctx.Err(); err != nil {
		return err
	}
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

func (d *desk) told() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

func (d *desk) says(person string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse == nil {
		d.refuse = map[string]error{}
	}
	d.refuse[person] = err
}

// vault keeps keys in memory, and may fail.
type vault struct {
	mu   sync.Mutex
	kept map[string][]byte
	fail error
}

func (v *vault) Update(_ context.Context, name string, change func([]byte) ([]byte, error)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return v.fail
	}
	changed, err := change(v.kept[name])
	if err != nil {
		return err
	}
	if v.kept == nil {
		v.kept = map[string][]byte{}
	}
	v.kept[name] = changed
	return nil
}

func (v *vault) breaks(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fail = err
}

type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
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

// world is an exchange with this driver, and a Jitsi beside it.
type world struct {
	t       *testing.T
	driver  *jitsi.Driver
	prosody *jitsitest.Server
	desk    *desk
	vault   *vault
	log     *journal
	url     string // of the exchange

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

// sharedVault saves the tests from making new RSA keys for each world.
var sharedVault vault

func newWorld(t *testing.T, changes ...func(*jitsi.Options)) *world {
	t.Helper()
	w := &world{t: t, desk: &desk{}, vault: &sharedVault, log: &journal{}, now: time.Now().Truncate(time.Second)}
	w.prosody = jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: bearer, Clock: w.clock})
	t.Cleanup(w.prosody.Close)
	opts := jitsi.Options{
		Domain: "meet.example.my", ControlURL: w.prosody.URL(), Bearer: bearer, Secret: []byte(secret), Vault: w.vault, Store: database(t),
		Admission: w.desk, Clock: w.clock, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		// A slow machine is no dead server; the tests of deadlines set their own.
		Limits: jitsi.Limits{Call: 20 * time.Second, End: 60 * time.Second, Pause: time.Millisecond},
	}
	for _, change := range changes {
		change(&opts)
	}
	var err error
	if w.driver, err = jitsi.New(opts); err != nil {
		t.Fatal(err)
	}
	exchange := httptest.NewServer(w.driver.Handler())
	t.Cleanup(exchange.Close)
	w.url = exchange.URL
	w.prosody.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = w.url+"/jitsi/asap/login", w.url+"/jitsi/asap/system"
		o.Reservations, o.Events = w.url+"/jitsi/reservation", w.url+"/jitsi"
		o.Secret = opts.SharedSecret
	})
	t.Cleanup(func() { w.checkLog() })
	return w
}

// checkLog makes sure after every test that nothing secret was logged.
func (w *world) checkLog() {
	log := w.log.String()
	for _, secret := range append(w.prosody.Shown(), bearer, secret, doctor.Name, patient.Name, doctor.ID, patient.ID, "eyJ", "PRIVATE KEY") {
		if strings.Contains(log, secret) {
			w.t.Errorf("the log shows %q:\n%s", secret, log)
		}
	}
}

func (w *world) credentials(p meeting.Person) meeting.Credentials {
	w.t.Helper()
	c, err := w.driver.Credentials(w.t.Context(), vc, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) join(p meeting.Person) *jitsitest.Occupant {
	w.t.Helper()
	o, err := w.prosody.Join(w.t.Context(), w.credentials(p).JWT, vc)
	if err != nil {
		w.t.Fatalf("%s cannot join: %v", p.Role, err)
	}
	return o
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

// ask sends a request to the exchange as Prosody, or with another bearer.
func (w *world) ask(method, path, token, contentType, body string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// until tries again and again what may take more than one attempt.
func (w *world) until(what string, try func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !try(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited a minute for %s", what)
		}
	}
}

// called waits until Prosody was asked so many times.
func (w *world) called(path string, n int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := w.prosody.Called(ctx, path, n); err != nil {
		w.t.Fatal(err)
	}
}
