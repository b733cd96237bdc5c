package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// Verifier gives the principal of a bearer token; *auth.Tokens is one.
type Verifier interface {
	Verify(ctx context.Context, bearer string) (auth.Principal, error)
}

// span is what is known about a request while it runs.
type span struct {
	trace  string
	route  string // pattern, once a mux has found it
	bearer error  // why the token that came was not taken
	log    *slog.Logger
	end    func(route, method string, status int)
}

func (s *span) logger() *slog.Logger {
	if s.log == nil {
		return slog.Default()
	}
	return s.log
}

type spanKey struct{}

// spanOf gives the span of a request, an empty one outside of an Observer.
func spanOf(ctx context.Context) *span {
	if s, ok := ctx.Value(spanKey{}).(*span); ok {
		return s
	}
	return &span{}
}

// Trace gives the trace id of a request, which the operator finds in the log.
func Trace(ctx context.Context) string { return spanOf(ctx).trace }

// routed notes the pattern of a request. The innermost mux is the first to
// tell, and knows best.
func routed(r *http.Request) {
	if s := spanOf(r.Context()); s.route == "" {
		s.route = r.Pattern
	}
}

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)

// traceOf takes the trace id of a W3C traceparent header, or makes a new one,
// which the handlers then find in the header.
func traceOf(r *http.Request) string {
	m := traceparent.FindStringSubmatch(r.Header.Get("Traceparent"))
	if m != nil && strings.Trim(m[1], "0") != "" && strings.Trim(m[2], "0") != "" {
		return m[1]
	}
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	trace := hex.EncodeToString(b[:16])
	r.Header.Set("Traceparent", "00-"+trace+"-"+hex.EncodeToString(b[16:])+"-01")
	return trace
}

// Bearer puts the principal of a bearer token into the context. A request
// without one, or with one that is not taken, goes on as nobody: what is open
// to all stays open, and whatever needs a principal says what was wrong.
func Bearer(v Verifier, next http.Handler) http.Handler {
	return handlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") { // else none, or Basic for the token endpoint
			p, err := v.Verify(r.Context(), strings.TrimSpace(token))
			switch fhir.Status(err) {
			case http.StatusUnauthorized:
				spanOf(r.Context()).bearer = err
			default:
				if err != nil {
					return err
				}
				p.Trace = Trace(r.Context())
				r = r.WithContext(auth.WithPrincipal(r.Context(), p))
			}
		}
		defer func() { routed(r) }()
		next.ServeHTTP(w, r)
		return nil
	})
}

// Observer watches all requests: trace ids, the log, metrics, panics.
type Observer struct {
	Log   *slog.Logger
	Clock func() time.Time
	// Proxies are the addresses of reverse proxies, whose X-Forwarded-For is
	// believed. Without them the peer of the connection counts.
	Proxies []netip.Prefix
	// BodyTime is how long a body may take to arrive: 30 seconds when it is 0.
	BodyTime time.Duration
	// Begin begins the span of a request, whose trace the traceparent header
	// then names; end is given the pattern of its route. Nil without spans.
	Begin    func(r *http.Request) (ctx context.Context, end func(route, method string, status int))
	duration *prometheus.HistogramVec
	running  prometheus.Gauge
	streams  *prometheus.GaugeVec
}

// NewObserver makes an Observer whose metrics are in the registry.
func NewObserver(log *slog.Logger, clock func() time.Time, registry prometheus.Registerer) *Observer {
	o := &Observer{Log: log, Clock: clock, duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "jumpa_http_request_duration_seconds", Help: "Duration of HTTP requests by route and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"method", "route", "status"})}
	o.running = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "jumpa_http_requests_in_flight", Help: "Requests that wait for their answer; streams are counted apart.",
	})
	o.streams = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "jumpa_http_streams", Help: "Open streams and websockets, by where they lead.",
	}, []string{"surface"})
	for _, s := range surfaces {
		o.streams.WithLabelValues(s.name)
	}
	registry.MustRegister(o.duration, o.running, o.streams)
	return o
}

// surfaces bounds the values of a label: where streams lead, by how their
// paths begin.
var surfaces = []struct{ path, name string }{
	{"/rekodsaya/", "portal"}, {"/desk/", "desk"}, {"/room/", "calls"}, {SocketPath, "subscriptions"}, {"", "other"},
}

// enter counts a request until leave is called. What turns out to be a stream
// is counted as one from then on.
func (o *Observer) enter(rec *watched, r *http.Request) (leave func()) {
	in := o.running
	in.Inc()
	rec.begun = func() {
		if !rec.stream(r) {
			return
		}
		for _, s := range surfaces {
			if strings.HasPrefix(r.URL.Path, s.path) {
				in.Dec()
				in = o.streams.WithLabelValues(s.name)
				in.Inc()
				return
			}
		}
	}
	return func() { in.Dec() }
}

// methods bounds the values of the metric's label.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

// bodyTime is how long a body may take to arrive when nothing else is said.
const bodyTime = 30 * time.Second

// Watch wraps the outermost handler. Paths are logged as the patterns of their
// routes: real ones hold tokens and ids.
func (o *Observer) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := r.Context(), func(string, string, int) {}
		if o.Begin != nil {
			ctx, end = o.Begin(r)
		}
		start, s := o.Clock(), &span{trace: traceOf(r), log: o.Log, end: end}
		ctx = auth.WithRemote(auth.WithTrace(ctx, s.trace), o.remote(r))
		r = r.WithContext(context.WithValue(ctx, spanKey{}, s))
		rec := &watched{ResponseWriter: w}
		defer o.enter(rec, r)()
		w.Header().Set("X-Request-Id", s.trace)
		if r.ContentLength != 0 && r.Body != nil {
			r.Body = inTime(w, r.Body, cmp.Or(o.BodyTime, bodyTime))
		}
		defer func() {
			p := recover()
			abort := p == http.ErrAbortHandler //nolint:errorlint // the value that net/http documents
			if p != nil && !abort {
				abort = started(rec) // so that half an answer does not look whole
				fail(rec, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
			routed(r)
			o.done(r, s, rec, o.Clock().Sub(start))
			if abort {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// remote gives the IP address that a request comes from. Of X-Forwarded-For,
// what the last known proxy has seen is believed.
func (o *Observer) remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if !o.proxy(host) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if host = ip.String(); !o.proxy(host) {
			break
		}
	}
	return host
}

func (o *Observer) proxy(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(o.Proxies, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}

// timedBody is a body that must arrive in time.
type timedBody struct {
	io.ReadCloser
	whole func()
}

// inTime sets a deadline for a body, which ends once it is there: the answer
// may take longer. Where there is no connection there is no deadline.
func inTime(w http.ResponseWriter, body io.ReadCloser, limit time.Duration) io.ReadCloser {
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(limit)) != nil {
		return body
	}
	return &timedBody{body, func() { _ = control.SetReadDeadline(time.Time{}) }}
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) { // after another error net/http must not wait for what is left
		b.whole()
	}
	return n, err
}

func (o *Observer) done(r *http.Request, s *span, rec *watched, took time.Duration) {
	status, route, method := rec.status, s.route, r.Method
	if status == 0 {
		status = http.StatusOK
	}
	if route == "" {
		route = "none"
	}
	if !methods[method] {
		method = "other"
	}
	if !rec.stream(r) {
		o.duration.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
	}
	s.end(route, method, status)
	o.Log.Debug("request", "method", method, "route", route, "status", status, "took", took, "trace", s.trace)
}

// started tells whether an answer is on its way.
func started(w http.ResponseWriter) bool {
	switch to := w.(type) {
	case *watched:
		return to.status != 0
	case *answer:
		return to.begun()
	}
	return false
}

// stream tells whether the answer lasts as long as the client likes, which
// says nothing about the exchange.
func (r *watched) stream(request *http.Request) bool {
	return request.Header.Get("Upgrade") != "" || strings.HasPrefix(r.Header().Get("Content-Type"), "text/event-stream")
}

// watched remembers the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
	begun  func() // when the answer begins
}

func (r *watched) begin(status int) {
	if r.status == 0 {
		r.status = status
		if r.begun != nil {
			r.begun()
		}
	}
}

// WriteHeader implements http.ResponseWriter.
func (r *watched) WriteHeader(status int) {
	r.begin(status)
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *watched) Write(b []byte) (int, error) {
	r.begin(http.StatusOK)
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *watched) Unwrap() http.ResponseWriter { return r.ResponseWriter }
