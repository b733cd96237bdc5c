package app

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

const shownByProsody = "shown-by-prosody-0123456789-abcdef"

func TestASessionOnJitsi(t *testing.T) {
	server := jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: shownByProsody})
	t.Cleanup(server.Close)
	cfg := laptop(t, t.TempDir())
	cfg.MeetingProvider, cfg.JitsiDomain, cfg.JitsiControlURL, cfg.JitsiBearer = "jitsi", "meet.example.my", server.URL(), shownByProsody
	a := running(t, cfg)
	server.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = a.URL()+"/jitsi/asap/login", a.URL()+"/jitsi/asap/system"
		o.Reservations, o.Events = a.URL()+"/jitsi/reservation", a.URL()+"/jitsi"
	})
	ctx, organization := t.Context(), a.cast.Clients[0].Organization
	system := auth.Principal{Kind: auth.Client, ID: "his", Scopes: []string{"session"}, Organization: organization}
	session, err := a.consult.CreateSession(ctx, system, consult.NewSession{ServiceType: consult.Education})
	if err != nil {
		t.Fatal(err)
	}
	doctor := meeting.Person{ID: "practitioner-1", Name: "Dr Aminah"}
	credentials, err := a.consult.PractitionerJoin(ctx, system, session.Token, doctor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Join(ctx, credentials.JWT, session.Room); err != nil {
		t.Fatalf("the practitioner cannot join: %v", err)
	}
	view, err := a.consult.Session(ctx, system, session.Token)
	if err != nil || len(view.Present) != 1 || view.Present[0].ID != doctor.ID {
		t.Errorf("present: %+v, %v", view.Present, err)
	}
	if view, err = a.consult.EndSession(ctx, system, session.Token); err != nil || view.Status != consult.SessionEnded {
		t.Fatalf("end: %s, %v", view.Status, err)
	}
	if server.Open(session.Room) {
		t.Error("the call goes on")
	}
	if _, err := server.Join(ctx, credentials.JWT, session.Room); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("after the end: %v", err)
	}
	resp, err := http.Get(a.URL() + "/jitsi/v1/sessions/" + session.Token)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session API is open: %d %s", resp.StatusCode, body)
	}
}

func TestTheExchangeStartsWithoutJitsi(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	_ = l.Close()
	cfg := laptop(t, t.TempDir())
	cfg.MeetingProvider, cfg.JitsiDomain, cfg.JitsiControlURL, cfg.JitsiBearer = "jitsi", "meet.example.my", "http://"+dead, shownByProsody
	a := running(t, cfg)
	system := auth.Principal{Kind: auth.Client, ID: "his", Scopes: []string{"session"}, Organization: a.cast.Clients[0].Organization}
	session, err := a.consult.CreateSession(t.Context(), system, consult.NewSession{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.consult.PractitionerJoin(t.Context(), system, session.Token, meeting.Person{ID: "p", Name: "Dr Aminah"}); err != nil {
		t.Error(err)
	}
	if view, err := a.consult.EndSession(t.Context(), system, session.Token); err != nil || view.Status != consult.SessionEnded {
		t.Errorf("a session does not end without Jitsi: %s, %v", view.Status, err)
	}
}

func TestSettingsOfCalls(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("key.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	jaas := func(c *Config) {
		c.MeetingProvider, c.JaaSAppID, c.JaaSKeyID = "jaas", "vpaas-magic-cookie-1", "ed85b6"
		c.JaaSKeyFile, c.JaaSWebhookSecret = good, "whsec_0123456789"
	}
	jitsi := func(c *Config) {
		c.MeetingProvider, c.JitsiDomain, c.JitsiControlURL, c.JitsiBearer = "jitsi", "meet.example.my", "http://prosody:5280", shownByProsody
	}
	for _, c := range []struct {
		name, blames string // "" for settings that work
		set          []func(*Config)
	}{
		{"jitsi", "", []func(*Config){jitsi}},
		{"jaas", "", []func(*Config){jaas}},
		{"another provider", "JUMPA_MEETING_PROVIDER", []func(*Config){func(c *Config) { c.MeetingProvider = "zoom" }}},
		{"jitsi without a domain", "JUMPA_JITSI_DOMAIN", []func(*Config){jitsi, func(c *Config) { c.JitsiDomain = "" }}},
		{"jitsi without a control address", "JUMPA_JITSI_CONTROL_URL", []func(*Config){jitsi, func(c *Config) { c.JitsiControlURL = "" }}},
		{"jitsi with a short bearer", "JUMPA_JITSI_", []func(*Config){jitsi, func(c *Config) { c.JitsiBearer = "hunter2" }}},
		{"jaas without a key", "JUMPA_JAAS_KEY_FILE", []func(*Config){jaas, func(c *Config) { c.JaaSKeyFile = "" }}},
		{"jaas with a file that is not there", "JUMPA_JAAS_KEY_FILE", []func(*Config){jaas, func(c *Config) { c.JaaSKeyFile = "/no/such/file" }}},
		{"jaas with a public key", "JUMPA_JAAS_KEY_FILE", []func(*Config){jaas, func(c *Config) {
			c.JaaSKeyFile = write("pub.pem", "PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey))
		}}},
		{"jaas with another AppID", "JUMPA_JAAS_", []func(*Config){jaas, func(c *Config) { c.JaaSAppID = "mine" }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := laptop(t, t.TempDir())
			for _, set := range c.set {
				set(&cfg)
			}
			a, err := Start(t.Context(), cfg, silent())
			if a != nil {
				a.Stop()
			}
			if c.blames == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.blames) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want a line about %s", err, c.blames)
			}
		})
	}
}

// A Jitsi that does not answer delays the end of calls and nothing else, at
// every node; the end is asked for again by the node that has the duty.
func TestAJitsiThatHangsBehindTwoNodes(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	onA, onB := c.system(t, at(c.a)), c.system(t, at(c.b))
	p := c.a.cast.Patients[0]
	const id = "jitsi-hangs"
	c.book(t, onB, id, p)
	c.jitsi.Behave(jitsitest.Faults{Hang: true})

	phone := play.NewPatient(at(c.a))
	if err := phone.SignIn(ctx, p.IdentityNumber, p.SignInCode); err != nil {
		t.Fatal(err)
	}
	if err := phone.CheckIn(ctx, id); err != nil {
		t.Fatal(err)
	}
	token := mycore.Token(encounter(t, onB, id))
	if _, err := onB.Activate(ctx, token); err != nil {
		t.Fatal(err)
	}
	if err := phone.Await(ctx, id, "ready"); err != nil {
		t.Fatal(err)
	}
	address, err := phone.Join(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := onB.Join(ctx, token, source.JoinRequest{Name: "Dr Aminah", ID: "practitioner-1"})
	if err != nil {
		t.Fatal(err)
	}
	fragment, err := url.ParseQuery(address[strings.Index(address, "#")+1:])
	if err != nil {
		t.Fatal(err)
	}
	for _, jwt := range []string{credentials.JWT, strings.Trim(fragment.Get("jwt"), `"`)} {
		if _, err := c.jitsi.Join(ctx, jwt, credentials.Room); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.jitsi.Calls("/end-meeting") + c.jitsi.Calls("/kick-participant"); n != 0 {
		t.Errorf("a check-in and two entries asked Jitsi for %d acts", n)
	}
	for _, node := range []*App{c.a, c.b} {
		if people, err := node.calls.Present(ctx, credentials.Room); err != nil || len(people) != 2 {
			t.Errorf("present: %+v, %v", people, err)
		}
	}

	began := time.Now()
	if session, err := onA.End(ctx, token); err != nil || session.Status != consult.SessionEnded {
		t.Fatalf("end: %+v, %v", session, err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the end took %s", took)
	}
	closed := func() bool {
		var session store.Session
		err := c.b.store.View(ctx, func(r store.Reader) (err error) {
			session, err = r.Session(token)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return !session.Closed.IsZero()
	}
	if closed() || !c.jitsi.Open(credentials.Room) {
		t.Fatal("an end was confirmed that Jitsi has not heard of")
	}
	if _, err := onB.Join(ctx, token, source.JoinRequest{Name: "Dr Aminah", ID: "practitioner-1"}); err == nil {
		t.Error("somebody may join an ended session")
	}
	if got := encounter(t, onB, id).Get("status").String(); got != "in-progress" {
		t.Errorf("the end of the call made the Encounter %s", got)
	}

	c.a.Stop()
	c.jitsi.Behave(jitsitest.Faults{})
	for tick := time.Tick(50 * time.Millisecond); !closed(); {
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatal("the other node does not end the call")
		}
	}
	if c.jitsi.Open(credentials.Room) {
		t.Error("the call goes on")
	}
}
