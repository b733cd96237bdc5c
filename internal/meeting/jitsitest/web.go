package jitsitest

import (
	_ "embed"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

//go:embed external_api.js
var externalAPI []byte

// Web plays the web app of a Jitsi deployment: the IFrame API, and a page for
// every room that says it has joined. The page of ours that embeds it finds
// what it asked for in window.jitsi and can let events happen by
// jitsi.tell(name, event).
type Web struct {
	*httptest.Server

	mu      sync.Mutex
	away    bool
	queries []string
}

// NewWeb starts a web app; Close stops it.
func NewWeb() *Web {
	w := newWeb()
	w.Start()
	return w
}

// NewSecureWeb starts a web app on https, as deployments are, with a
// certificate that nobody trusts.
func NewSecureWeb() *Web {
	w := newWeb()
	w.StartTLS()
	return w
}

func newWeb() *Web {
	w := &Web{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that a browser breaks off
	return w
}

// Leave lets everything be answered with 503, until it is told otherwise.
func (w *Web) Leave(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

// Asked gives the path and query of every request, as a log would have them.
func (w *Web) Asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.queries...)
}

func (w *Web) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.queries = append(w.queries, r.URL.RequestURI())
	away := w.away
	w.mu.Unlock()
	switch {
	case away:
		http.Error(rw, "The web app is away.", http.StatusServiceUnavailable)
	case strings.HasSuffix(r.URL.Path, "/external_api.js"):
		rw.Header().Set("Content-Type", "text/javascript")
		_, _ = rw.Write(externalAPI)
	default:
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(rw, `<!doctype html><html lang="en"><title>Call</title><main><h1>Call</h1></main></html>`)
	}
}
