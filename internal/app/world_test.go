package app

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/notify"
)

// clock is a time that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// laptop is the configuration of a test: the demo on free ports.
func laptop(t *testing.T, data string) Config {
	t.Helper()
	cfg := Defaults()
	cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen = data, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// running starts the exchange. It is stopped with the test.
func running(t *testing.T, cfg Config) *App {
	t.Helper()
	return runningAt(t, cfg, time.Now)
}

// runningAt is running by a clock.
func runningAt(t *testing.T, cfg Config, clock func() time.Time) *App {
	t.Helper()
	a, err := startAt(context.WithoutCancel(t.Context()), cfg, silent(), clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// stage is the demo without its servers, at a time that the test sets.
type stage struct {
	*App
	*clock
	seeder *seeder
}

// open fills or refreshes the demo of a data directory, as a start does.
func open(t *testing.T, data string, c *clock) *stage {
	t.Helper()
	return openWith(t, laptop(t, data), c)
}

func openWith(t *testing.T, cfg Config, c *clock) *stage {
	t.Helper()
	a := &App{cfg: cfg, log: silent(), clock: c.Now, hub: &notify.Hub{}, failed: make(chan error, 1)}
	t.Cleanup(a.Stop)
	for _, step := range []func(context.Context) error{a.listen, a.openStore, a.openBroker, a.openCalls, a.openDomain, a.openAccess, a.openDemo} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return &stage{a, c, &seeder{store: a.store, exchange: a.exchange, consult: a.consult, clock: c.Now, cast: a.cast}}
}

// pass lets time pass: the timers of the consultation and of the demo run.
func (s *stage) pass(t *testing.T, d time.Duration) {
	t.Helper()
	s.set(s.Now().Add(d))
	if _, err := s.consult.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.seeder.refresh(t.Context()); err != nil {
		t.Fatalf("at %v: %v", s.Now(), err)
	}
}

// principal is a patient of the demo, signed in.
func (s *stage) principal(p DemoPatient) auth.Principal {
	return auth.Principal{Kind: auth.Patient, ID: "rekodsaya-" + p.ID, Login: p.IdentityNumber, Name: p.Name}
}

// appointments gives what each patient's page shows.
func (s *stage) appointments(t *testing.T) map[string][]consult.View {
	t.Helper()
	all := map[string][]consult.View{}
	for _, p := range s.cast.Patients {
		list, err := s.consult.Appointments(t.Context(), s.principal(p))
		if err != nil {
			t.Fatal(err)
		}
		all[p.ID] = list
	}
	return all
}
