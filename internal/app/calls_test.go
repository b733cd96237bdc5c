package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
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
