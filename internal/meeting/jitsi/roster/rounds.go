package roster

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	roundEvery = 20 * time.Second
	maxWoken   = 100 // outsiders that wait to be removed at once; others wait for a round
)

// Rounds is what a driver does about calls beside its requests: a round at each
// tick, when that is this node's duty, and at once the removing of an outsider.
type Rounds struct {
	ticks  <-chan time.Time
	duty   func(ctx context.Context) bool
	round  func(ctx context.Context)
	remove func(ctx context.Context, o Outsider) bool
	woken  chan Outsider

	mu     sync.Mutex // guards cancel
	cancel context.CancelFunc
	loop   sync.WaitGroup
}

// NewRounds makes Rounds. Without ticks there is one every 20 s; duty tells
// whether this node has to make the round now, and is nil when there are no
// other nodes.
func NewRounds(ticks <-chan time.Time, duty func(ctx context.Context) bool, round func(ctx context.Context), remove func(ctx context.Context, o Outsider) bool) *Rounds {
	return &Rounds{ticks: ticks, duty: duty, round: round, remove: remove, woken: make(chan Outsider, maxWoken)}
}

// Soon has an outsider removed by this node, unless too many wait for that.
func (r *Rounds) Soon(o Outsider) {
	select {
	case r.woken <- o:
	default:
	}
}

// Start begins, until Stop or the end of ctx.
func (r *Rounds) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		return errors.New("roster: the rounds have been started already")
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.loop.Go(func() {
		ticks := r.ticks
		if ticks == nil {
			ticker := time.NewTicker(roundEvery)
			defer ticker.Stop()
			ticks = ticker.C
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks:
				if r.duty == nil || r.duty(ctx) {
					r.round(ctx)
				}
			case o := <-r.woken:
				r.remove(ctx, o)
			}
		}
	})
	return nil
}

// Stop waits until what is under way has ended. The calls go on.
func (r *Rounds) Stop() {
	r.mu.Lock()
	cancel := r.cancel
	r.cancel = nil
	r.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	r.loop.Wait()
}
