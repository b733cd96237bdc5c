package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/lease"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// A node waits at its start for a database that does not answer yet, as when
// both start together.
const (
	startPatience = time.Minute
	startAgain    = 500 * time.Millisecond
)

// awaitStore is openStore for a node that starts.
func (a *App) awaitStore(ctx context.Context) (engine, error) {
	again := time.NewTicker(startAgain)
	defer again.Stop()
	for begun, told := time.Now(), false; ; told = true {
		st, err := openStore(ctx, a.cfg, a.log)
		if !postgres.Away(err) || time.Since(begun) > startPatience {
			return st, err
		}
		if !told {
			a.log.Warn("the database does not answer; the start waits for it", "at_most", startPatience, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-again.C:
		}
	}
}

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, cfg Config, log *slog.Logger) (engine, error) {
	if cfg.shared() {
		return openPostgres(ctx, cfg, log)
	}
	st, err := sqlite.Open(ctx, cfg.databaseFile())
	switch {
	case errors.Is(err, sqlite.ErrInUse):
		return nil, usage("--data: %s is in use by another jumpa; stop that one or choose another directory", cfg.Data)
	case errors.Is(err, sqlite.ErrNewer):
		return nil, usage("--data: a newer version of jumpa has changed %s so that this one cannot work with it; use that one or choose another directory", cfg.Data)
	case err != nil:
		return nil, usage("--data: the database in %s cannot be opened: %v", cfg.Data, err)
	}
	return st, nil
}

func openPostgres(ctx context.Context, cfg Config, log *slog.Logger) (engine, error) {
	st, err := postgres.OpenWithReplicas(ctx, cfg.DatabaseURL, cfg.replicas(), log)
	switch {
	case errors.Is(err, postgres.ErrReplicas):
		return nil, usage("JUMPA_DATABASE_REPLICA_URL: %s", strings.Join(strings.Fields(err.Error()), " "))
	case errors.Is(err, postgres.ErrNewer):
		return nil, usage("JUMPA_DATABASE_URL: a newer version of jumpa has changed the database so that this one cannot work with it; use that one")
	case err != nil:
		line := "JUMPA_DATABASE_URL: the database cannot be opened: " + strings.Join(strings.Fields(err.Error()), " ")
		return nil, &UsageError{Line: line, Err: err}
	}
	return st, nil
}

// Duties that one node has at a time. What is embedded in a node no other one
// can reach.
const (
	dutyRelay  = "relay"  // of events to the broker
	dutyTimers = "timers" // of consultations
	dutyBroker = "broker" // the embedded one
	dutyCalls  = "calls"  // the embedded ones, or to see to those of a video system outside
)

// duty gives this node's claim to a duty, nil when there are no other nodes.
func (a *App) duty(name string) *lease.Lease {
	if !a.cfg.shared() {
		a.duties.add(name, always{})
		return nil
	}
	l := &lease.Lease{Store: a.store, Duty: name, Node: a.node}
	a.duties.add(name, l)
	a.onStop(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := l.Release(ctx); err != nil {
			a.log.Warn("a duty could not be given up; another node takes it after a while", "duty", name, "error", err)
		}
	})
	return l
}

// kept is a duty that is looked at four times in a term: this node keeps it
// when it has it, and takes it soon when nobody does; nil when there are no
// other nodes.
func (a *App) kept(name string) *lease.Lease {
	duty := a.duty(name)
	if duty != nil {
		a.every(lease.DefaultTerm/4, name+" duty", func(ctx context.Context) error {
			_, _, err := duty.Hold(ctx)
			return err
		})
	}
	return duty
}

// mine tells whether this node has a duty at the moment; nil when there are no
// other nodes.
func (a *App) mine(name string) func(context.Context) bool {
	duty := a.kept(name)
	if duty == nil {
		return nil
	}
	return func(ctx context.Context) bool {
		_, mine, err := duty.Hold(ctx)
		return err == nil && mine
	}
}

// alone takes a duty for as long as this node runs, and refuses to go on when
// another one has it.
func (a *App) alone(ctx context.Context, name, refusal string) error {
	duty := a.duty(name)
	if duty == nil {
		return nil
	}
	keep := func(ctx context.Context) error {
		_, _, err := duty.Hold(ctx)
		return err
	}
	wait := time.NewTicker(lease.DefaultTerm / 4)
	defer wait.Stop()
	for begun := a.clock(); ; { // a node that was killed has the duty until its term is over
		_, mine, err := duty.Hold(ctx)
		switch {
		case err != nil:
			return err
		case mine:
			a.every(lease.DefaultTerm/4, name+" duty", keep)
			return nil
		case a.clock().Sub(begun) > 2*lease.DefaultTerm:
			return usage("%s", refusal)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
	}
}
