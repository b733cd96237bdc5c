package jitsi_test

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
)

// A real deployment keeps the contract. JITSI_URL is Prosody's HTTP port;
// docs/deployment.md says what else there is.
func TestARealJitsiKeepsTheContract(t *testing.T) {
	control := os.Getenv("JITSI_URL")
	if control == "" {
		t.Skip("JITSI_URL is not set")
	}
	opts := jitsi.Options{
		Domain: os.Getenv("JITSI_DOMAIN"), XMPPDomain: os.Getenv("JITSI_XMPP_DOMAIN"), AppID: os.Getenv("JITSI_APP_ID"),
		ControlURL: control, Bearer: os.Getenv("JITSI_BEARER"), Secret: []byte(secret), Vault: &vault{}, Admission: &desk{},
	}
	// Prosody fetches the keys from this test, as it does from the exchange.
	var exchange atomic.Pointer[jitsi.Driver]
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("JITSI_LISTEN"), ":8081"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := exchange.Load(); d != nil {
			d.Handler().ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	open := func(t *testing.T) *jitsi.Driver {
		t.Helper()
		own := opts
		own.Store = database(t)
		d, err := jitsi.New(own)
		if err != nil {
			t.Fatal(err)
		}
		exchange.Store(d)
		return d
	}
	jitsitest.Suite(t, time.Now, func(t *testing.T) meeting.Provider { return open(t) })

	t.Run("who is in a call cannot end another", func(t *testing.T) {
		c, err := open(t).Credentials(t.Context(), vc, doctor)
		if err != nil {
			t.Fatal(err)
		}
		domain := cmp.Or(opts.XMPPDomain, "meet.jitsi")
		for what, token := range map[string]string{"a login token": c.JWT, "no token": ""} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimRight(control, "/")+"/end-meeting?conference="+vc+"@muc."+domain, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = domain
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			if status := send(t, req); status != http.StatusUnauthorized {
				t.Errorf("with %s: %d, want 401", what, status)
			}
		}
	})
	t.Run("its web app can be embedded, and its control calls cannot be reached", func(t *testing.T) {
		for path, want := range map[string]bool{"/external_api.js": true, "/room-census": false, "/end-meeting": false, "/conference-request/v1": false} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+opts.Domain+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
			page := strings.Contains(string(body), "<html") // the web app takes any other path for the name of a room
			if served := resp.StatusCode == http.StatusOK && !page; served != want {
				t.Errorf("%s is served: %v (%d)", path, served, resp.StatusCode)
			}
		}
	})
}

func send(t *testing.T, req *http.Request) int {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
