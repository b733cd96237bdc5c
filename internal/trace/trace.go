// Package trace makes OpenTelemetry spans of what the exchange does, and sends
// them to a collector: requests, transactions, batches of events, deliveries,
// calls to the video system.
//
// It is the only package that knows OpenTelemetry; what it watches is handed
// through it. A nil *Tracer hands everything through as it is, at no cost.
// Spans have patterns of routes, methods, statuses and counts as attributes,
// and nothing that a caller has sent: no address, id, name or text.
package trace

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/outbox"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Tracer makes spans. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	carry    propagation.TraceContext
}

// Options say where spans go.
type Options struct {
	Endpoint string  // of the collector, http or https; /v1/traces when it has no path
	Ratio    float64 // of the traces that begin here, from 0 to 1; a caller's own decision is followed
	Version  string  // of the program
	Node     string  // of this process
	Log      *slog.Logger
}

// Open begins to send spans. A collector that is away holds nothing up: what
// cannot be sent is lost, and logged.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("traces could not be sent", "error", err) }))
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Ratio))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "jumpa"), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Node),
		)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/jumpa-hie/jumpa")}, nil
}

// Stop sends what is left, for five seconds at most.
func (t *Tracer) Stop() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// Request begins the span of a request, which continues the trace of its
// traceparent header; the header then names the span. end takes the pattern of
// its route, which gives the span its name, its method and the status.
func (t *Tracer) Request(r *http.Request) (ctx context.Context, end func(route, method string, status int)) {
	r.Header.Del("Tracestate") // anybody could write anything there
	header := propagation.HeaderCarrier(r.Header)
	ctx, span := t.tracer.Start(t.carry.Extract(r.Context(), header), "request", trace.WithSpanKind(trace.SpanKindServer))
	t.carry.Inject(ctx, header)
	return ctx, func(route, method string, status int) {
		if _, path, ok := strings.Cut(route, " "); ok { // of a pattern with its method
			route = path
		}
		span.SetName(method + " " + route)
		span.SetAttributes(attribute.String("http.route", route), attribute.String("http.request.method", method), attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Store makes spans of the transactions that belong to a trace. What the
// exchange does by itself, many times a second, makes none.
func (t *Tracer) Store(st store.Store) store.Store {
	if t == nil {
		return st
	}
	return traced{st, t}
}

type traced struct {
	store.Store
	t *Tracer
}

// begins tells whether a transaction begins that is worth a span.
func begins(ctx context.Context) bool {
	_, within := store.Running(ctx)
	return !within && trace.SpanContextFromContext(ctx).IsSampled()
}

// View implements store.Store.
func (s traced) View(ctx context.Context, fn func(store.Reader) error) error {
	if !begins(ctx) {
		return s.Store.View(ctx, fn)
	}
	ctx, span := s.t.tracer.Start(ctx, "store view")
	err := s.Store.View(ctx, fn)
	finish(span, err)
	return err
}

// Update implements store.Store.
func (s traced) Update(ctx context.Context, fn func(store.Tx) error) error {
	if !begins(ctx) {
		return s.Store.Update(ctx, fn)
	}
	ctx, span := s.t.tracer.Start(ctx, "store update")
	runs := 0
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		runs++
		return fn(tx)
	})
	span.SetAttributes(attribute.Int("jumpa.runs", runs))
	finish(span, err)
	return err
}

// finish ends a span with the outcome. The error itself is not told: it may
// name a record.
func finish(span trace.Span, err error) {
	outcome := Outcome(err)
	span.SetAttributes(attribute.String("jumpa.outcome", outcome))
	if outcome == failed {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

const failed = "failed"

// Outcome tells how something has ended, in one of three words: an error that
// answers somebody is no failure.
func Outcome(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, context.Canceled), errors.Is(err, store.ErrNotFound), fhir.Status(err) < http.StatusInternalServerError:
		return "refused"
	}
	return failed
}

// Publisher makes a span of each batch of events, linked to the traces that
// have caused them.
func (t *Tracer) Publisher(p outbox.Publisher) outbox.Publisher {
	if t == nil {
		return p
	}
	return publisher{p, t}
}

type publisher struct {
	outbox.Publisher
	t *Tracer
}

// Publish implements outbox.Publisher.
func (p publisher) Publish(ctx context.Context, events []store.Event) ([]store.Published, error) {
	ctx, span := p.t.tracer.Start(ctx, "publish", trace.WithSpanKind(trace.SpanKindProducer), trace.WithLinks(p.t.causes(events)...))
	published, err := p.Publisher.Publish(ctx, events)
	span.SetAttributes(attribute.Int("messaging.batch.message_count", len(events)), attribute.Int("jumpa.published", len(published)))
	finish(span, err)
	return published, err
}

// causes gives a link to the trace of each event that has one.
func (t *Tracer) causes(events []store.Event) (links []trace.Link) {
	seen := map[trace.TraceID]bool{}
	for _, e := range events {
		for _, h := range e.Headers {
			if h.Name != "traceparent" {
				continue
			}
			cause := trace.SpanContextFromContext(t.carry.Extract(context.Background(), propagation.MapCarrier{h.Name: h.Value}))
			if cause.IsValid() && !seen[cause.TraceID()] {
				seen[cause.TraceID()] = true
				links = append(links, trace.Link{SpanContext: cause})
			}
		}
	}
	return links
}

// Transport makes a span with this name of each request to somebody else. The
// trace is not told to them.
func (t *Tracer) Transport(name string, next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return transport{next, name, t}
}

type transport struct {
	http.RoundTripper
	name string
	t    *Tracer
}

// RoundTrip implements http.RoundTripper.
func (c transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := c.t.tracer.Start(r.Context(), c.name, trace.WithSpanKind(trace.SpanKindClient))
	resp, err := c.RoundTripper.RoundTrip(r.WithContext(ctx))
	span.SetAttributes(attribute.String("http.request.method", r.Method))
	if err == nil {
		span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
	}
	finish(span, err)
	return resp, err
}

// CloseIdleConnections lets http.Client reach the transport.
func (c transport) CloseIdleConnections() {
	if idle, ok := c.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}
