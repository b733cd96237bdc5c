package app

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jumpa-hie/jumpa/internal/api"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/web/portal"
)

// routes puts all surfaces under one address. streams ends the open streams,
// which else would hold up a shutdown.
func (a *App) routes() (h http.Handler, streams func(), err error) {
	pageKey, err := a.key(context.Background(), "api.page-key")
	if err != nil {
		return nil, nil, err
	}
	a.fhir, err = api.NewFHIR(api.FHIROptions{Exchange: a.exchange, Terms: a.terms, Subscriptions: a.delivery, Base: a.base, Clock: a.clock, Version: version(), PageKey: pageKey, Origins: a.cfg.origins()})
	if err != nil {
		return nil, nil, err
	}
	patients, err := a.portal()
	if err != nil {
		return nil, nil, err
	}
	if err := a.makeDesk(); err != nil {
		return nil, nil, err
	}
	registry := a.metrics()

	systems := http.NewServeMux() // for source systems: bearer tokens
	a.fhir.Register(systems)
	(&api.OAuth{Tokens: a.access.tokens, URL: a.URL, Clock: a.clock}).Register(systems)
	(&api.Sessions{Keeper: a.consult}).Register(systems)
	(&api.Notifications{Notifier: a.access.notify, Tokens: a.access.tokens}).Register(systems)
	sockets := &api.Sockets{Listener: a.delivery}
	sockets.Register(systems)
	guarded := api.Bearer(a.access.tokens, systems)

	mux := http.NewServeMux()
	for _, path := range []string{"/baseR4", "/baseR4/", "/auth/", "/.well-known/", "/jitsi/", "/api/", api.SocketPath} {
		mux.Handle(path, guarded)
	}
	mux.Handle(portal.Root, patients)
	for _, path := range paths[a.cfg.MeetingProvider] {
		mux.Handle(path, a.calls.Handler())
	}
	a.routeDesk(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /{$}", http.RedirectHandler(portal.Root, http.StatusFound))
	observer := api.NewObserver(a.log, a.clock, registry)
	if observer.Proxies, err = a.cfg.proxies(); err != nil {
		return nil, nil, err
	}
	if a.trace != nil {
		observer.Begin = a.trace.Request
	}
	return observer.Watch(api.Tidy(mux)), func() {
		patients.Stop()
		sockets.Stop()
		if a.desk != nil {
			a.desk.StopStreams()
		}
	}, nil
}

func (a *App) portal() (*portal.Portal, error) {
	key, err := a.key(context.Background(), "portal.key")
	if err != nil {
		return nil, err
	}
	o := portal.Options{
		Consultations: a.consult, SignIns: a.access.browsers, Inbox: a.access.notify, Signals: a.hub,
		RoomOrigin: a.cfg.frames(), Secure: strings.HasPrefix(a.URL(), "https:"), Key: key, Clock: a.clock, Log: a.log,
	}
	if a.access.codes != nil {
		o.DevMessages = a.access.codes.messages
	}
	return portal.New(o)
}

// ready tells the truth: this node is not about to stop, and the store answers.
// A broker that is away is told and no more: events wait in the store, and a
// proxy that took all nodes for lost would turn everybody away for nothing.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	if !a.started.Load() {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	if a.stopping.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := a.store.View(ctx, func(r store.Reader) error { // which asks nothing by itself
		_, err := r.LastSignal()
		return err
	}); err != nil {
		a.log.Warn("not ready", "part", "store", "error", err)
		http.Error(w, "store does not answer", http.StatusServiceUnavailable)
		return
	}
	said := "ready\n"
	ctx, cancel = context.WithTimeout(ctx, time.Second) // who asks waits for no more than the store
	defer cancel()
	if err := a.kafka.Ping(ctx); err != nil {
		a.log.Warn("the broker does not answer; events wait in the database", "error", err)
		said += "broker does not answer\n"
	}
	_, _ = w.Write([]byte(said))
}

// metrics makes the registry with what the packages count.
func (a *App) metrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	counter := func(name, help string, read func() float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counter("jumpa_outbox_published_total", "Events that the broker has acknowledged.", func() float64 { return float64(a.relay.Stats().Published) })
	counter("jumpa_outbox_failed_total", "Attempts to publish an event that failed.", func() float64 { return float64(a.relay.Stats().Failed) })
	a.measureSubscriptions(registry)
	a.measure(registry)
	return registry
}

// version is that of the module, or of the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unreleased"
	}
	return info.Main.Version
}
