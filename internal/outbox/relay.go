// Package outbox brings committed events to the broker: it reads what is
// pending, publishes it, waits until the broker has it on disk, and only then
// marks it as published.
//
// Every event arrives at least once and those of one key in their order; after
// a crash or a lost acknowledgement some arrive again, with the same ce_id. An
// event that fails holds up its own key and no other. One that the broker
// refuses as it is, even by itself, is parked: it stays in the store until
// somebody replays it, and those behind it go on.
//
// Where several nodes share a database each may run a relay: a Duty decides
// which of them works. A relay that was asleep begins to publish nothing once
// its time is over, and marks nothing when another one has its place; what it
// had handed to the network before may still arrive.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/lease"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Publisher hands events to a broker.
type Publisher interface {
	// Publish sends the events in their order and waits until the broker has
	// them on disk. It returns the place of each one that is there, also when
	// it gives an error because others are not. It returns when ctx ends. An
	// error that is a Refusal names events that the broker will not take as
	// they are, however often they are sent.
	Publish(ctx context.Context, events []store.Event) ([]store.Published, error)
}

// Refusal is an error that names the events, by Seq, that a broker refuses for
// what they are.
type Refusal interface {
	error
	Refused() []int64
}

// Duty tells whether this node is the one to relay; a lease.Lease is one.
type Duty interface {
	// Hold tells until when this node may publish without asking again.
	Hold(ctx context.Context) (until time.Time, ok bool, err error)
	// Check gives lease.ErrLost, in a transaction, when another node relays now.
	Check(r store.Reader) error
	// Release lets another node relay.
	Release(ctx context.Context) error
}

// Retention is how long published events are kept, on the broker and in the
// outbox.
const Retention = 72 * time.Hour

// Relay moves events from the outbox to the broker. Store and Publisher must
// be set; the zero values of the rest are good.
type Relay struct {
	Store     store.Store
	Publisher Publisher
	Duty      Duty             // nil: this is the only node
	Clock     func() time.Time // time.Now when nil
	Log       *slog.Logger     // slog.Default() when nil
	Batch     int              // events published at once; 128 when 0
	Poll      time.Duration    // how often to look without being woken; 500 ms when 0
	Retry     time.Duration    // first pause after a failure, doubled up to 64 times as long; 100 ms when 0
	Timeout   time.Duration    // for publishing one batch; 15 s when 0
	Patience  time.Duration    // with a broker that does not answer, before another node may try; 10 s when 0
	Retention time.Duration    // Retention when 0

	once   sync.Once
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	stats Stats

	// Below: of the one goroutine.
	window   int // how many pending events to look at
	held     map[key]hold
	looked   time.Time // when it was decided which keys wait
	unmarked []store.Published
	silent   time.Time     // since when the broker has not answered; zero while it does
	aside    time.Time     // until when the turn is left to others
	failing  time.Duration // pause after failures of the store
	trimmed  time.Time
}

const (
	widest    = 4096 // pending events looked at when keys are held up
	backoffs  = 64   // the longest pause, in first pauses
	trimEvery = time.Hour
)

func (r *Relay) prepare() {
	r.once.Do(func() {
		r.wake = make(chan struct{}, 1)
		r.held = map[key]hold{}
		orDefault(&r.Batch, 128)
		orDefault(&r.Poll, 500*time.Millisecond)
		orDefault(&r.Retry, 100*time.Millisecond)
		orDefault(&r.Timeout, 15*time.Second)
		orDefault(&r.Patience, 10*time.Second)
		orDefault(&r.Retention, Retention)
		if r.Clock == nil {
			r.Clock = time.Now
		}
		if r.Log == nil {
			r.Log = slog.Default()
		}
		r.window = r.Batch
	})
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Start begins to relay. It returns at once; the relay runs until Stop, or
// until ctx ends.
func (r *Relay) Start(ctx context.Context) error {
	r.prepare()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		return errors.New("outbox: the relay was started before")
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.done = make(chan struct{})
	go r.run(ctx)
	return nil
}

// Stop ends the relay and waits until it has. What is pending stays pending.
func (r *Relay) Stop() {
	r.mu.Lock()
	cancel, done := r.cancel, r.done
	r.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-done
}

// Wake tells the relay that events were committed. It never blocks.
func (r *Relay) Wake() {
	r.prepare()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Relay) run(ctx context.Context) {
	defer close(r.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := r.round(ctx)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// round publishes one batch and tells how long to wait for the next.
func (r *Relay) round(ctx context.Context) time.Duration {
	until, mine := r.turn(ctx)
	if !mine {
		return r.Poll
	}
	if err := r.mark(ctx); err != nil {
		return r.storeFailed(ctx, err)
	}
	if now := r.Clock(); now.Sub(r.trimmed) >= trimEvery {
		if err := r.Trim(ctx); err != nil {
			return r.storeFailed(ctx, err)
		}
		r.trimmed = now
	}
	pending, err := r.pending(ctx, r.window)
	if err != nil {
		return r.storeFailed(ctx, err)
	}
	r.failing = 0
	r.release(pending)
	batch, alone := r.ready(pending)
	r.widen(len(pending), len(batch))
	batch, alone = batch[:min(len(batch), r.Batch)], alone[:min(len(alone), maxAlone)]
	if err := r.number(ctx, batch, alone); err != nil {
		return r.storeFailed(ctx, err)
	}
	if len(batch) > 0 {
		r.publish(ctx, until, batch)
	}
	for _, e := range alone {
		r.publish(ctx, until, []store.Event{e})
	}
	if err := r.mark(ctx); err != nil {
		return r.storeFailed(ctx, err)
	}
	if r.stepAside(ctx) {
		return r.Poll
	}
	if len(batch) == r.Batch || len(batch) > 0 && len(pending) == r.window {
		return 0
	}
	return r.untilNext()
}

// turn asks whether this node relays, and until when.
func (r *Relay) turn(ctx context.Context) (until time.Time, mine bool) {
	if r.Duty == nil {
		return time.Time{}, true
	}
	if time.Now().Before(r.aside) {
		return time.Time{}, false
	}
	until, mine, err := r.Duty.Hold(ctx)
	if err != nil && ctx.Err() == nil {
		r.Log.Error("whose turn it is to relay cannot be found out; trying again", "error", err)
	}
	if !mine {
		r.forget()
	}
	return until, mine
}

// forget leaves all that is pending to another node, which sends again what is
// not marked.
func (r *Relay) forget() {
	r.unmarked, r.window, r.silent = nil, r.Batch, time.Time{}
	clear(r.held)
}

// stepAside gives the turn up when the broker has not answered this node for
// too long: its way there may be broken while that of another is not.
func (r *Relay) stepAside(ctx context.Context) bool {
	if r.Duty == nil || r.silent.IsZero() || time.Since(r.silent) < r.Patience {
		return false
	}
	if err := r.Duty.Release(ctx); err != nil {
		r.storeFailed(ctx, err)
		return false
	}
	r.Log.Warn("the brokers do not answer this node; another node may try", "silent", time.Since(r.silent))
	r.forget()
	r.aside = time.Now().Add(4 * r.Poll) // the others look once in a poll
	return true
}

func (r *Relay) pending(ctx context.Context, limit int) (events []store.Event, err error) {
	err = r.Store.View(ctx, func(rd store.Reader) error {
		events, err = rd.PendingEvents(limit)
		return err
	})
	return events, err
}

// number gives events that are sent for the first time the next numbers of
// their topics. They keep them, however often they are sent.
func (r *Relay) number(ctx context.Context, lists ...[]store.Event) error {
	topics := map[string][]*store.Event{}
	for _, list := range lists {
		for i := range list {
			if e := &list[i]; e.Number == 0 {
				topics[e.Topic] = append(topics[e.Topic], e)
			}
		}
	}
	if len(topics) == 0 {
		return nil
	}
	return r.change(ctx, func(tx store.Tx) error {
		var fresh []store.Event
		for topic, events := range topics {
			first, err := tx.NextNumbers("topic:"+topic, len(events))
			if err != nil {
				return err
			}
			for i, e := range events {
				e.Number = first + int64(i)
				fresh = append(fresh, *e)
			}
		}
		return tx.NumberEvents(fresh)
	})
}

// publish sends events and settles what became of each key. until is the end
// of this node's turn, zero when it has none.
func (r *Relay) publish(ctx context.Context, until time.Time, events []store.Event) {
	limit := r.Timeout
	if !until.IsZero() {
		limit = min(limit, until.Sub(r.Clock()))
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, e := range events {
		events[i].Value = subscription.Numbered(e.Value, e.Number)
	}
	published, err := r.Publisher.Publish(limited, events)
	places := make(map[int64]store.Published, len(published))
	for _, p := range published {
		places[p.Seq] = p
	}
	refused := map[int64]bool{}
	if refusal := Refusal(nil); errors.As(err, &refusal) {
		for _, seq := range refusal.Refused() {
			refused[seq] = true
		}
	}
	// What came after a failure of the same key is sent again with it, so that
	// the last message of a key is always its latest.
	tried := map[key]result{}
	for _, e := range events {
		is := tried[keyOf(e)]
		p, arrived := places[e.Seq]
		switch {
		case arrived && is.failed == 0:
			is.arrived++
			r.unmarked = append(r.unmarked, p)
		case is.failed == 0:
			is.first, is.refused = e, refused[e.Seq]
			fallthrough
		default:
			is.failed++
		}
		tried[keyOf(e)] = is
	}
	switch {
	case len(published) > 0 || len(refused) > 0:
		r.silent = time.Time{}
	case r.silent.IsZero() && ctx.Err() == nil:
		r.silent = r.looked
	}
	r.settle(ctx, tried, len(events) == 1, err)
}

// mark records what has arrived. It is done even while stopping, so that less
// is sent twice; what cannot be recorded is tried again before anything else.
func (r *Relay) mark(ctx context.Context) error {
	if len(r.unmarked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := r.change(ctx, func(tx store.Tx) error { return tx.MarkPublished(r.Clock(), r.unmarked) })
	if err == nil {
		r.unmarked = nil
	}
	return err
}

// change writes to the outbox, provided that this node still relays.
func (r *Relay) change(ctx context.Context, fn func(store.Tx) error) error {
	return r.Store.Update(ctx, func(tx store.Tx) error {
		if r.Duty != nil {
			if err := r.Duty.Check(tx); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

func (r *Relay) storeFailed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if errors.Is(err, lease.ErrLost) {
		r.Log.Info("another node relays now")
		r.forget()
		return r.Poll
	}
	r.failing = r.longer(r.failing)
	r.Log.Error("the outbox cannot be read or written; trying again", "pause", r.failing, "error", err)
	return r.failing
}

// Trim removes events that were published and are older than the retention,
// with what else the store need not keep. The relay does this once an hour.
func (r *Relay) Trim(ctx context.Context) error {
	r.prepare()
	now := r.Clock()
	return r.Store.Update(ctx, func(tx store.Tx) error { return tx.Forget(now.Add(-r.Retention), now) })
}
