package trace_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/trace"
)

// open makes a tracer whose collector counts what comes.
func open(t testing.TB, ratio float64) (*trace.Tracer, *atomic.Int64) {
	t.Helper()
	var batches atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { batches.Add(1) }))
	t.Cleanup(s.Close)
	tracer, err := trace.Open(t.Context(), trace.Options{Endpoint: s.URL, Ratio: ratio, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tracer, &batches
}

// TestSampling sends what the ratio says, and what a caller has decided.
func TestSampling(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for name, c := range map[string]struct {
		ratio  float64
		parent string
		sent   bool
	}{
		"all":                          {1, "", true},
		"none":                         {0, "", false},
		"a caller wants it":            {0, "00-" + id + "-00f067aa0ba902b7-01", true},
		"a caller does not want it":    {1, "00-" + id + "-00f067aa0ba902b7-00", false},
		"a caller writes what is none": {0, "00-" + id + "-zzz", false},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, batches := open(t, c.ratio)
			r := httptest.NewRequest(http.MethodGet, "/baseR4/Patient/1", nil)
			if c.parent != "" {
				r.Header.Set("Traceparent", c.parent)
			}
			r.Header.Set("Tracestate", "vendor=850712055018")
			_, end := tracer.Request(r)
			end("GET /baseR4/{type}/{id}", http.MethodGet, http.StatusOK)
			tracer.Stop()
			if got := batches.Load() > 0; got != c.sent {
				t.Errorf("sent: %v", got)
			}
			follows := strings.HasPrefix(r.Header.Get("Traceparent"), "00-"+id)
			if valid := len(c.parent) > 50; follows != valid || len(r.Header.Get("Traceparent")) != 55 || r.Header.Get("Traceparent") == c.parent {
				t.Errorf("the request goes on as %q", r.Header.Get("Traceparent"))
			}
			if r.Header.Get("Tracestate") != "" {
				t.Error("what a caller writes travels on")
			}
		})
	}
}

func TestWithoutTracesEverythingIsAsItWas(t *testing.T) {
	var none *trace.Tracer
	var st store.Store = nowhere{}
	if none.Store(st) != st {
		t.Error("the store is wrapped")
	}
	if next := http.DefaultTransport; none.Transport("x", next) != next {
		t.Error("the transport is wrapped")
	}
	if none.Publisher(nil) != nil {
		t.Error("the publisher is wrapped")
	}
	none.Stop()
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "done"}, {store.ErrNotFound, "refused"}, {context.Canceled, "refused"},
		{fhir.Errorf(fhir.CodeBusinessRule, "", "No."), "refused"}, {errors.New("no disk"), "failed"},
	} {
		if got := trace.Outcome(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}

// nowhere is a store that does nothing.
type nowhere struct{ store.Store }

func (nowhere) View(_ context.Context, fn func(store.Reader) error) error { return fn(nil) }

// BenchmarkView measures what a span of a transaction costs.
func BenchmarkView(b *testing.B) {
	view := func(b *testing.B, ctx context.Context, st store.Store) {
		for b.Loop() {
			if err := st.View(ctx, func(store.Reader) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("off", func(b *testing.B) { view(b, b.Context(), (*trace.Tracer)(nil).Store(nowhere{})) })
	for name, ratio := range map[string]float64{"not sampled": 0, "sampled": 1} {
		b.Run(name, func(b *testing.B) {
			tracer, _ := open(b, ratio)
			defer tracer.Stop()
			ctx, end := tracer.Request(httptest.NewRequest(http.MethodGet, "/", nil))
			defer end("GET /", http.MethodGet, http.StatusOK)
			view(b, ctx, tracer.Store(nowhere{}))
		})
	}
}
