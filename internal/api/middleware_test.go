package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// The address that limits count by comes from the connection, or from the
// proxies that the operator has named, and never from the caller.
func TestWhereRequestsComeFrom(t *testing.T) {
	o := &Observer{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct{ name, peer, forwarded, want string }{
		{"no proxy", "192.0.2.1:5", "", "192.0.2.1"},
		{"no proxy, and a claim", "192.0.2.1:5", "203.0.113.7", "192.0.2.1"},
		{"a proxy", "10.0.0.1:5", "203.0.113.7", "203.0.113.7"},
		{"a proxy that says nothing", "10.0.0.1:5", "", "10.0.0.1"},
		{"a claim before what the proxy saw", "10.0.0.1:5", "198.51.100.1, 203.0.113.7", "203.0.113.7"},
		{"two proxies", "10.0.0.1:5", "198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"},
		{"only proxies", "10.0.0.1:5", "10.0.0.3,10.0.0.2", "10.0.0.3"},
		{"nonsense", "10.0.0.1:5", "somebody", "10.0.0.1"},
		{"nonsense behind a proxy", "10.0.0.1:5", "somebody, 10.0.0.2", "10.0.0.2"},
		{"a newer address", "[fd00::1]:5", "2001:db8::7", "2001:db8::7"},
		{"an older address in the form of a newer", "[::ffff:10.0.0.1]:5", "203.0.113.7", "203.0.113.7"},
		{"no port", "pipe", "203.0.113.7", "pipe"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := o.remote(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A caller's trace goes on; what is none is replaced.
func TestTraces(t *testing.T) {
	s := newSystems(t)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	s.mux.HandleFunc("GET /trace", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, Trace(r.Context())+" "+r.Header.Get("Traceparent"))
	})
	for _, c := range []struct {
		header string
		taken  bool
	}{
		{"00-" + trace + "-b7ad6b7169203331-01", true},
		{"00-" + trace + "-b7ad6b7169203331-00", true},
		{"", false},
		{"00-" + strings.ToUpper(trace) + "-b7ad6b7169203331-01", false},
		{"01-" + trace + "-b7ad6b7169203331-01", false},
		{"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", false},
		{"00-" + trace + "-0000000000000000-01", false},
		{"00-" + trace + "-b7ad6b7169203331-01-more", false},
	} {
		r := s.do("GET", "/trace", "", "", map[string]string{"Traceparent": c.header})
		seen, parent, _ := strings.Cut(r.body, " ")
		if (seen == trace) != c.taken || r.header.Get("X-Request-Id") != seen || traceparent.FindStringSubmatch(parent) == nil || !strings.Contains(parent, seen) {
			t.Errorf("%q: trace %s, in the answer %s, passed on %s", c.header, seen, r.header.Get("X-Request-Id"), parent)
		}
		if !strings.Contains(s.log.String(), `"trace":"`+seen+`"`) {
			t.Errorf("%q: the log does not have the trace", c.header)
		}
	}
}

// A handler that breaks is told as a fault; half an answer is cut off, so that
// nobody takes it for a whole one.
func TestPanics(t *testing.T) {
	s := newSystems(t)
	s.mux.HandleFunc("GET /before", func(http.ResponseWriter, *http.Request) { panic("wires crossed") })
	s.mux.HandleFunc("GET /within", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"half":`)
		_ = http.NewResponseController(w).Flush()
		panic("wires crossed")
	})
	r := s.do("GET", "/before", "", "", nil)
	wantOutcome(t, r, http.StatusInternalServerError, r.header.Get("X-Request-Id"))
	if strings.Contains(r.body, "wires") {
		t.Errorf("shown: %s", r.body)
	}
	if log := s.log.String(); !strings.Contains(log, "wires crossed") || !strings.Contains(log, "middleware_test.go") {
		t.Errorf("the log does not tell where: %s", log)
	}
	res, err := http.Get(s.url + "/within")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("half an answer looks whole: %s", body)
	}
	if log := s.log.String(); strings.Count(log, "wires crossed") != 2 {
		t.Errorf("the log does not have both faults: %s", log)
	}
	if r := s.do("GET", "/before", "", "", nil); r.status != http.StatusInternalServerError {
		t.Errorf("and then: %+v", r)
	}
}

// broken verifies nothing.
type broken struct{ err error }

func (b broken) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal{}, b.err
}

// Not being able to tell who is asking is not the same as somebody unknown.
func TestTokensThatCannotBeVerified(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
	}{
		{"a fault", errors.New("no database"), http.StatusInternalServerError},
		{"a caller who has gone", context.Canceled, http.StatusServiceUnavailable},
	} {
		reached := false
		h := Bearer(broken{c.err}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || reached || strings.Contains(w.Body.String(), "database") {
			t.Errorf("%s: %d %s, reached %v", c.name, w.Code, w.Body, reached)
		}
		if again := w.Header().Get("Retry-After") != ""; again != (c.status == http.StatusServiceUnavailable) {
			t.Errorf("%s: Retry-After %q", c.name, w.Header().Get("Retry-After"))
		}
	}
}

// However many addresses and methods are tried, the metrics do not grow.
func TestMetricsAreBounded(t *testing.T) {
	s := newSystems(t)
	for _, path := range []string{"/a", "/b", "/c", Root + "/Patient/1", Root + "/Patient/2", Root + "/Observation/3", sessions + "/x", sessions + "/y"} {
		for _, method := range []string{"GET", "FETCH", "STEAL"} {
			s.do(method, path, "", "", nil)
		}
	}
	families, err := s.registry.Gather()
	if err != nil || len(families) != 3 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, f := range families {
		want := map[string]int{
			"jumpa_http_request_duration_seconds": 6, // not there, a record and a session, each with a known method and with others
			"jumpa_http_requests_in_flight":       1,
			"jumpa_http_streams":                  len(surfaces),
		}[f.GetName()]
		if n := len(f.GetMetric()); n != want {
			t.Errorf("%d series, want %d: %v", n, want, f)
		}
	}
}
