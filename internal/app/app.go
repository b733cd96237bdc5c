// Package app puts the exchange together: it reads the configuration, names
// the concrete store, broker and meeting provider, and starts and stops them
// in the right order.
//
// It is the only package that knows everything. It decides nothing about
// consultations.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/api"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/kafka"
	"github.com/jumpa-hie/jumpa/internal/library"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/outbox"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
	"github.com/jumpa-hie/jumpa/internal/trace"
	"github.com/jumpa-hie/jumpa/internal/web/desk"
	"github.com/jumpa-hie/jumpa/mycore"
)

// App is a running exchange.
type App struct {
	cfg      Config
	log      *slog.Logger
	node     string // of this process alone
	clock    func() time.Time
	listener net.Listener
	server   *http.Server
	trace    *trace.Tracer // nil without traces
	store    store.Store
	engine   engine // beneath store
	took     *prometheus.HistogramVec
	duties   duties
	topics   *subscription.Set
	brokers  []string
	kafka    *kafka.Publisher
	relay    *outbox.Relay
	calls    calls
	hub      *notify.Hub
	consult  *consult.Service
	exchange *exchange.Service
	fhir     *api.FHIR
	terms    *terminology.Service
	delivery *delivery.Service
	access   access
	cast     Credentials
	desk     *desk.Desk // nil without a demo

	stops    []func() // what to stop, in the order of starting
	once     sync.Once
	started  atomic.Bool
	stopping atomic.Bool
	pause    func(time.Duration) // before the end, while balancers turn away
	failed   chan error
}

// Start starts an exchange. A mistake in the configuration, a port that is
// taken or a data directory that cannot be used is a *UsageError.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*App, error) {
	return startAt(ctx, cfg, log, time.Now)
}

// startAt is Start by a clock.
func startAt(ctx context.Context, cfg Config, log *slog.Logger, clock func() time.Time) (*App, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := cfg.makeData(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: log, node: uuid.NewString(), clock: clock, hub: &notify.Hub{}, pause: time.Sleep, failed: make(chan error, 1)}
	for _, step := range []func(context.Context) error{
		a.listen, a.openTraces, a.openStore, a.openBroker, a.openCalls, a.openDomain, a.openAccess, a.openDemo, a.firstTopics, a.serve, a.deliver, a.openDesk, a.keepTime,
	} {
		if err := step(ctx); err != nil {
			a.Stop()
			return nil, err
		}
	}
	a.started.Store(true)
	return a, nil
}

// Stop stops everything in the reverse order of starting, and waits. /readyz
// fails from the first moment; requests are still served until the balancers
// have had time to see it. Then open streams end, requests under way finish,
// and the relay, which brings out what they have caused, is among the last.
func (a *App) Stop() {
	a.once.Do(func() {
		a.stopping.Store(true)
		if a.server != nil && a.cfg.Drain > 0 {
			a.log.Info("stopping: readiness fails, requests are still served", "pause", a.cfg.Drain)
			a.server.SetKeepAlivesEnabled(false)
			a.pause(a.cfg.Drain)
		}
		for i := len(a.stops) - 1; i >= 0; i-- {
			a.stops[i]()
		}
	})
}

// Failed gives an error when the exchange can no longer serve.
func (a *App) Failed() <-chan error { return a.failed }

// URL is the address under which people and systems reach the exchange.
func (a *App) URL() string {
	if a.cfg.PublicURL != "" {
		return strings.TrimSuffix(a.cfg.PublicURL, "/")
	}
	return "http://" + a.listener.Addr().String()
}

func (a *App) base() string { return a.URL() + "/baseR4" }

// Kafka is the bootstrap address for source systems.
func (a *App) Kafka() string { return strings.Join(a.brokers, ",") }

// Credentials gives the logins of a demo; ok is false without one.
func (a *App) Credentials() (c Credentials, ok bool) { return a.cast, a.cfg.Demo }

// CredentialsFile is where a demo writes its logins.
func (a *App) CredentialsFile() string { return filepath.Join(a.cfg.Data, demoFile) }

func (a *App) onStop(stop func()) { a.stops = append(a.stops, stop) }

// taken makes one line of an address that cannot be listened on.
func taken(flag, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return usage("%s: %s is in use by another program; choose another HOST:PORT", flag, address)
	}
	return usage("%s: cannot listen on %s: %v", flag, address, err)
}

func (a *App) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if a.listener, err = lc.Listen(ctx, "tcp", a.cfg.Listen); err != nil {
		return taken("--listen", a.cfg.Listen, err)
	}
	a.onStop(func() { _ = a.listener.Close() })
	return nil
}

// openTraces begins to send traces, where they are asked for.
func (a *App) openTraces(ctx context.Context) (err error) {
	if a.cfg.OTLPEndpoint == "" {
		return nil
	}
	a.trace, err = trace.Open(ctx, trace.Options{Endpoint: a.cfg.OTLPEndpoint, Ratio: a.cfg.OTLPRatio, Version: version(), Node: a.node, Log: a.log})
	a.onStop(a.trace.Stop)
	return err
}

func (a *App) openStore(ctx context.Context) error {
	st, err := a.awaitStore(ctx)
	if err != nil {
		return err
	}
	timed := newMeasured(st)
	a.store, a.engine, a.took = a.trace.Store(timed), st, timed.took
	a.onStop(func() {
		if err := st.Close(); err != nil {
			a.log.Error("the store did not close cleanly", "error", err)
		}
	})
	if a.topics, err = a.cfg.topics(); err != nil {
		return err
	}
	if odd := warning(a.topics); odd != "" {
		a.log.Warn("JUMPA_TOPICS: " + odd)
	}
	return nil
}

// openDomain makes the consultation and the record around it.
func (a *App) openDomain(ctx context.Context) error {
	if a.hub.Shared = a.cfg.shared(); a.hub.Shared {
		follower := notify.Follower{Store: a.store, Hub: a.hub, Log: a.log}
		a.run(follower.Run)
	}
	mode, err := a.cfg.mode()
	if err != nil {
		return err
	}
	keeper := &record.Keeper{Clock: a.clock, Topics: a.topics, Base: a.base}
	if err := a.openSubscriptions(ctx, keeper); err != nil {
		return err
	}
	wake := func() {
		a.relay.Wake()
		a.delivery.Wake()
	}
	slots := &booking.Desk{Records: keeper}
	a.consult = &consult.Service{
		Store: a.store, Records: keeper, Booking: slots, Meeting: a.calls, Hub: a.hub, Relay: wake, Clock: a.clock,
		Window: consult.Window{Before: a.cfg.CheckInBefore, Grace: a.cfg.Grace}, Log: a.log,
	}
	a.calls.SetAdmission(a.consult)
	a.terms = mycore.Terms()
	derived := library.New(a.clock(), a.base)
	derived.Add("OperationDefinition", api.Operations)
	derived.Add("StructureDefinition", api.SubscriptionDefinitions)
	derived.Add("CapabilityStatement", func() []library.Item { return a.fhir.Statements() })
	derived.Add("TerminologyCapabilities", func() []library.Item { return a.fhir.TerminologyStatements() })
	derived.AddTerms(a.terms)
	a.exchange = &exchange.Service{
		Store: derived.Over(a.store), Records: keeper, Booking: slots, Consult: a.consult, Subscriptions: a.delivery, Mode: mode, Base: a.base, Clock: a.clock,
		Terminology: searchTerms{a.terms, a.base},
	}
	a.exchange.Validator = validator(a.base(), mycore.Line(a.cfg.MYCore))
	return nil
}

// openDemo fills the exchange with the demo's people and keeps them busy.
func (a *App) openDemo(ctx context.Context) (err error) {
	if !a.cfg.Demo {
		return nil
	}
	if a.cast, err = castOf(a.cfg.Data); err != nil {
		return err
	}
	a.cast.Server, a.cast.Kafka = a.URL(), a.Kafka()
	for i, c := range a.cast.Clients {
		a.cast.Clients[i].Topics = append(a.topics.Names(c.Organization), a.topics.Names("")...)
	}
	s := &seeder{store: a.store, exchange: a.exchange, consult: a.consult, clock: a.clock, cast: a.cast}
	for _, step := range []func(context.Context) error{s.directory, a.accounts, s.refresh} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	a.every(time.Minute, "demo data", s.refresh)
	return a.cast.write(a.cfg.Data)
}

// firstTopics makes the topics before anybody comes. Brokers of others that are
// away do not hold up the start: events wait for them, /readyz tells, and the
// topics are made later.
func (a *App) firstTopics(ctx context.Context) error {
	if a.cfg.KafkaBrokers == "" {
		return a.openTopics(ctx)
	}
	limited, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := a.openTopics(limited); err != nil {
		a.log.Warn("the exchange starts without its topics", "error", err)
	}
	return ctx.Err()
}

// openTopics makes the topics of every organisation, so that source systems
// can subscribe before anything happens.
func (a *App) openTopics(ctx context.Context) error {
	names, err := organizationTopics(ctx, a.store, a.topics)
	if err != nil || len(names) == 0 {
		return err
	}
	if err := a.kafka.EnsureTopics(ctx, names...); err != nil {
		return fmt.Errorf("the topics of the organisations could not be made: %w", err)
	}
	return nil
}

const organizationsAtOnce = 500

// Bounds of a stop, which those of deploy/ leave time for.
const (
	maxDrain  = time.Minute
	finishing = 5 * time.Second // for requests under way; an answer takes far less
)

func (a *App) serve(context.Context) error {
	handler, streams, err := a.routes()
	if err != nil {
		return err
	}
	a.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.server.RegisterOnShutdown(streams)
	go func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	}()
	a.onStop(func() {
		ctx, cancel := context.WithTimeout(context.Background(), finishing)
		defer cancel()
		if a.server.Shutdown(ctx) != nil {
			a.log.Warn("requests that have not finished are broken off", "after", finishing)
			_ = a.server.Close()
		}
	})
	return nil
}

const timersEvery = 4 * time.Second

// keepTime runs the timers of the consultation.
func (a *App) keepTime(context.Context) error {
	a.every(time.Minute, "topics", a.openTopics) // of organisations that are new
	duty := a.kept(dutyTimers)
	a.every(timersEvery, "timers", func(ctx context.Context) error {
		if duty != nil {
			until, mine, err := duty.Hold(ctx)
			if err != nil || !mine {
				return err
			}
			limited, cancel := context.WithTimeout(ctx, until.Sub(a.clock()))
			defer cancel()
			ctx = limited
		}
		if _, err := a.consult.Expire(ctx); err != nil {
			return err
		}
		return a.consult.CloseEnded(ctx)
	})
	return nil
}

// every runs fn again and again until Stop.
func (a *App) every(pause time.Duration, what string, fn func(context.Context) error) {
	a.run(func(ctx context.Context) {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := fn(ctx); err != nil && ctx.Err() == nil {
					a.log.Error("a regular task failed and will be tried again", "task", what, "error", err)
				}
			}
		}
	})
}

// run runs fn until Stop.
func (a *App) run(fn func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { fn(ctx) })
	a.onStop(func() { cancel(); wg.Wait() })
}

// key gives 32 secret bytes that are made once and kept in the store.
func (a *App) key(ctx context.Context, name string) (key []byte, err error) {
	err = a.store.Update(ctx, func(tx store.Tx) error {
		key, err = tx.Setting(name)
		if errors.Is(err, store.ErrNotFound) {
			key = make([]byte, 32)
			_, _ = rand.Read(key) // never fails
			return tx.PutSetting(name, key)
		}
		return err
	})
	return key, err
}
