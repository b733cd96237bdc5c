package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
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
	trace string
	route string // pattern, once a mux has found it
}

type spanKey struct{}

// Trace gives the trace id of a request, which the operator finds in the log.
func Trace(ctx context.Context) string {
	if s, ok := ctx.Value(spanKey{}).(*span); ok {
		return s.trace
	}
	return ""
}

// routed notes the pattern that a mux has found for a request made from
// another one's context.
func routed(r *http.Request) {
	if s, ok := r.Context().Value(spanKey{}).(*span); ok && r.Pattern != "" {
		s.route = r.Pattern
	}
}

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceOf takes the trace id of a W3C traceparent header, or makes a new one.
func traceOf(r *http.Request) string {
	if m := traceparent.FindStringSubmatch(r.Header.Get("Traceparent")); m != nil {
		return m[1]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Bearer puts the principal of a bearer token into the context. A request
// without one goes on as nobody; a wrong one is refused.
func Bearer(v Verifier, next http.Handler) http.Handler {
	return handlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") { // none, or Basic for the token endpoint
			next.ServeHTTP(w, r)
			routed(r)
			return nil
		}
		p, err := v.Verify(r.Context(), strings.TrimSpace(token))
		if err != nil {
			return err
		}
		p.Trace = Trace(r.Context())
		r = r.WithContext(auth.WithPrincipal(r.Context(), p))
		defer func() { routed(r) }()
		next.ServeHTTP(w, r)
		return nil
	})
}

// Observer watches all requests: trace ids, the log, metrics, panics.
type Observer struct {
	Log      *slog.Logger
	Clock    func() time.Time
	duration *prometheus.HistogramVec
}

// NewObserver makes an Observer whose metrics are in the registry.
func NewObserver(log *slog.Logger, clock func() time.Time, registry prometheus.Registerer) *Observer {
	o := &Observer{Log: log, Clock: clock, duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "jumpa_http_request_duration_seconds", Help: "Duration of HTTP requests by route and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"method", "route", "status"})}
	registry.MustRegister(o.duration)
	return o
}

// methods bounds the values of the metric's label.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

// Watch wraps the outermost handler. Paths are logged as the patterns of their
// routes: real ones hold tokens and ids.
func (o *Observer) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, s := o.Clock(), &span{trace: traceOf(r)}
		ctx := context.WithValue(r.Context(), spanKey{}, s)
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			ctx = auth.WithRemote(ctx, host)
		}
		r = r.WithContext(ctx)
		rec := &watched{ResponseWriter: w}
		w.Header().Set("X-Request-Id", s.trace)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // the value that net/http documents
					panic(p)
				}
				o.Log.Error("a handler panicked", "trace", s.trace, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					fail(rec, r, errPanic)
				}
			}
			routed(r)
			o.done(r.Method, s, rec.status, o.Clock().Sub(start))
		}()
		next.ServeHTTP(rec, r)
	})
}

var errPanic = fhir.Errorf(fhir.CodeException, "", "The exchange could not do this because of a fault of its own.")

func (o *Observer) done(method string, s *span, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	if s.route == "" {
		s.route = "none"
	}
	if !methods[method] {
		method = "other"
	}
	o.duration.WithLabelValues(method, s.route, strconv.Itoa(status)).Observe(took.Seconds())
	o.Log.Debug("request", "method", method, "route", s.route, "status", status, "took", took, "trace", s.trace)
}

// watched remembers the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *watched) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *watched) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *watched) Unwrap() http.ResponseWriter { return r.ResponseWriter }
