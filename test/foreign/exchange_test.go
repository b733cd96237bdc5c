//go:build unix

// Package foreign runs clients of other makers against the exchange: the
// commands of docs/integration.md with curl, jq and kcat, and the scripts of
// test/clients with fhir-kit-client, HAPI FHIR and kafkajs.
package foreign

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// limit bounds a consultation on a busy machine.
const limit = 5 * time.Minute

// hie is a whole exchange, started for one test, and the view of it that the
// hospital of the scripts has.
type hie struct {
	*testing.T
	ctx    context.Context
	app    *app.App
	cast   app.Credentials
	system *source.Client
}

func start(t *testing.T) *hie {
	t.Helper()
	cfg := app.Defaults()
	cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	a, err := app.Start(context.WithoutCancel(t.Context()), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	cast, _ := a.Credentials()
	c := cast.Clients[0]
	sys, err := source.New(source.Config{Server: a.URL(), ClientID: c.ClientID, ClientSecret: c.ClientSecret, Kafka: []string{a.Kafka()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return &hie{T: t, ctx: ctx, app: a, cast: cast, system: sys}
}

// needs fails the test when a program is missing; it never skips.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing; make deps installs what the tests need", p)
		}
	}
}

// search gives all records that the hospital finds.
func (h *hie) search(typ, param, value string) []*fhir.Document {
	h.Helper()
	list, err := h.system.SearchAll(h.ctx, typ, url.Values{param: {value}})
	if err != nil {
		h.Fatal(err)
	}
	return list
}

// appointments gives the ids of a patient's appointments at the hospital.
func (h *hie) appointments(patient string) map[string]bool {
	h.Helper()
	ids := map[string]bool{}
	for _, a := range h.search("Appointment", "patient", "Patient/"+patient) {
		ids[a.ID()] = true
	}
	return ids
}

// run runs a script of the hospital while the patients do their part, and
// expects that in the end everything is as it should be.
func (h *hie) run(script *exec.Cmd, patients ...app.DemoPatient) {
	h.Helper()
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	var waiting []*patient
	for _, p := range patients {
		waiting = append(waiting, &patient{DemoPatient: p, hie: h, browser: play.NewPatient(h.app.URL()), before: h.appointments(p.ID)})
	}
	links := make(chan string, 1)
	errs := make(chan error, len(waiting)+1)
	met := make(chan struct{}, len(waiting)+1) // one for each who sees and hears the others
	var cast sync.WaitGroup
	cast.Go(func() { errs <- practitioner(ctx, links, len(waiting), met) })
	for _, p := range waiting {
		cast.Go(func() { errs <- p.act(ctx, len(waiting), met) })
	}

	told := &transcript{link: links}
	enter, err := script.StdinPipe()
	if err != nil {
		h.Fatal(err)
	}
	script.Stdout, script.Stderr = told, told
	// What the script has started goes with it, also when it fails.
	script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	script.Cancel = func() error { return syscall.Kill(-script.Process.Pid, syscall.SIGKILL) }
	script.WaitDelay = 5 * time.Second // for what it leaves behind
	script.Env = append(os.Environ(), "JUMPA_DATA="+filepath.Dir(h.app.CredentialsFile()))
	if err := script.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = script.Cancel() })
	ended := make(chan error, 1)
	go func() { ended <- script.Wait() }()
	missing := len(waiting) + 1
	for running := true; running; {
		select {
		case <-met:
			if missing--; missing == 0 {
				_, _ = io.WriteString(enter, "\n") // the consultation is over
			}
		case err := <-errs:
			if err != nil {
				_ = script.Cancel()
				<-ended
				h.Fatalf("%v\nthe script said:\n%s", err, told)
			}
		case err := <-ended:
			running = false
			if err != nil {
				h.Fatalf("the script failed: %v\n%s", err, told)
			}
		case <-ctx.Done():
			_ = script.Cancel()
			<-ended
			h.Fatalf("the script does not come to an end:\n%s", told)
		}
	}
	cast.Wait() // the ended session sends everybody home
	close(errs)
	for err := range errs {
		if err != nil {
			h.Errorf("%v\nthe script said:\n%s", err, told)
		}
	}
	for _, secret := range []string{h.cast.Clients[0].ClientSecret, h.cast.Clients[0].Password} {
		if strings.Contains(told.String(), secret) {
			h.Error("the script prints a secret of the hospital")
		}
	}
	for _, p := range waiting {
		h.finished(p)
	}
}

// finished expects that a consultation is closed everywhere.
func (h *hie) finished(p *patient) {
	h.Helper()
	appointment, err := h.system.Get(h.ctx, "Appointment/"+p.appointment)
	if err != nil {
		h.Fatal(err)
	}
	if got := appointment.Get("status").String(); got != "fulfilled" {
		h.Errorf("the Appointment is %q", got)
	}
	encounters := h.search("Encounter", "appointment", "Appointment/"+p.appointment)
	if len(encounters) != 1 {
		h.Fatalf("the Appointment has %d Encounters", len(encounters))
	}
	enc := encounters[0]
	if got := enc.Get("status").String(); got != "finished" {
		h.Errorf("the Encounter is %q", got)
	}
	if got := enc.Root().Extension(mycore.ExtensionEncounterOutcome).First("extension.valueCodeableConcept.coding.code").String(); got != "1" {
		h.Errorf("the Encounter has the outcome %q", got)
	}
	session, err := h.system.Session(h.ctx, mycore.Token(enc))
	if err != nil {
		h.Fatal(err)
	}
	if session.Status != "ended" {
		h.Errorf("the session is %q", session.Status)
	}
	if phase, err := p.browser.Phase(h.ctx, p.appointment); err != nil || phase != "finished" {
		h.Errorf("the patient's page says %q: %v", phase, err)
	}
	inbox, err := p.browser.Inbox(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	if n := strings.Count(inbox, "Virtual consultation is starting"); n != 1 {
		h.Errorf("the patient's inbox has the message %d times: %s", n, inbox)
	}
}

// transcript is what a script prints. The line with the practitioner's link
// is passed on.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	from int // of the line that is not yet complete
	link chan<- string
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(b)
	for {
		line, _, whole := strings.Cut(t.text.String()[t.from:], "\n")
		if !whole {
			return len(b), nil
		}
		t.from += len(line) + 1
		if strings.HasPrefix(line, "http") && strings.Contains(line, "/room/") {
			select {
			case t.link <- line:
			default: // one practitioner is enough
			}
		}
	}
}

// String gives all that was printed.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// practitioner opens the link that the script prints.
func practitioner(ctx context.Context, links <-chan string, others int, met chan<- struct{}) error {
	select {
	case link := <-links:
		return call(ctx, link, others, met)
	case <-ctx.Done():
		return nil // the script has failed
	}
}

// call takes part in a call with picture and sound until it is ended for
// everybody. It tells met when the others are seen and heard.
func call(ctx context.Context, link string, others int, met chan<- struct{}) error {
	p, err := headless.Join(ctx, link, headless.Options{})
	if err != nil {
		return err
	}
	defer p.Leave()
	if err := p.WaitMedia(ctx, others); err != nil {
		return err
	}
	met <- struct{}{}
	select {
	case <-p.Ended():
	case <-ctx.Done():
	}
	return nil
}

// patient does by the portal what docs/integration.md says of the patient's side.
type patient struct {
	app.DemoPatient
	hie         *hie
	browser     *play.Patient
	before      map[string]bool // the appointments that the demo has made
	appointment string
}

func (p *patient) act(ctx context.Context, others int, met chan<- struct{}) error {
	if err := p.awaitAppointment(ctx); err != nil {
		return err
	}
	if err := p.browser.SignIn(ctx, p.IdentityNumber, p.SignInCode); err != nil {
		return err
	}
	if err := p.browser.CheckIn(ctx, p.appointment); err != nil {
		return err
	}
	if err := p.browser.Await(ctx, p.appointment, "ready", "incall"); err != nil {
		return err
	}
	link, err := p.browser.Join(ctx, p.appointment)
	if err != nil {
		return err
	}
	return call(ctx, link, others, met)
}

// awaitAppointment looks until the hospital has booked.
func (p *patient) awaitAppointment(ctx context.Context) error {
	for {
		list, err := p.hie.system.SearchAll(ctx, "Appointment", url.Values{"patient": {"Patient/" + p.ID}})
		if err != nil {
			return err
		}
		for _, a := range list {
			if !p.before[a.ID()] {
				p.appointment = a.ID()
				return nil
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// blocks gives the commands of a page of the documentation for a flow.
func blocks(t *testing.T, page, flow string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var script strings.Builder
	in := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		switch flows, starts := strings.CutPrefix(line, "```sh run="); {
		case starts:
			in = strings.Contains(","+flows+",", ","+flow+",")
		case strings.HasPrefix(line, "```"):
			in = false
		case in:
			script.WriteString(line + "\n")
		}
	}
	if lines.Err() != nil || script.Len() == 0 {
		t.Fatalf("docs/%s has no commands for %s: %v", page, flow, lines.Err())
	}
	return script.String()
}
