// Package outbox brings committed events to the broker: it reads what is
// pending, publishes it, waits until the broker has it on disk, and only then
// marks it as published.
//
// Every event arrives at least once and those of one key in their order; after
// a crash or a lost acknowledgement some arrive again, with the same ce_id. An
// event that the broker refuses is tried for ever: it holds up its own topic,
// no other, until the cause is gone. One relay may run on a database at a time.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Publisher hands events to a broker.
type Publisher interface {
	// Publish sends the events in their order and waits until the broker has
	// them on disk. It returns the place of each one that is there, also when
	// it gives an error because others are not. It returns when ctx ends.
	Publish(ctx context.Context, events []store.Event) ([]store.Published, error)
}

// Retention is how long published events are kept, on the broker and in the
// outbox.
const Retention = 72 * time.Hour

// Relay moves events from the outbox to the broker. Store and Publisher must
// be set; the zero values of the rest are good.
type Relay struct {
	Store     store.Store
	Publisher Publisher
	Clock     func() time.Time // time.Now when nil
	Log       *slog.Logger     // slog.Default() when nil
	Batch     int              // events published at once; 128 when 0
	Poll      time.Duration    // how often to look without being woken; 500 ms when 0
	Retry     time.Duration    // first pause after a failure, doubled up to 64 times as long; 100 ms when 0
	Timeout   time.Duration    // for publishing one batch; 15 s when 0
	Retention time.Duration    // Retention when 0

	once   sync.Once
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	stats Stats

	// Below: of the one goroutine.
	window   int // how many pending events to look at
	paused   map[string]pause
	looked   time.Time // when it was decided which topics wait
	unmarked []store.Published
	failing  time.Duration // pause after failures of the store
	trimmed  time.Time
}

// pause keeps a topic waiting after a failure.
type pause struct {
	until time.Time
	wait  time.Duration
}

const (
	widest    = 4096 // pending events looked at when topics are held up
	backoffs  = 64   // the longest pause, in first pauses
	trimEvery = time.Hour
)

func (r *Relay) prepare() {
	r.once.Do(func() {
		r.wake = make(chan struct{}, 1)
		r.paused = map[string]pause{}
		orDefault(&r.Batch, 128)
		orDefault(&r.Poll, 500*time.Millisecond)
		orDefault(&r.Retry, 100*time.Millisecond)
		orDefault(&r.Timeout, 15*time.Second)
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
	ready := r.ready(pending)
	r.widen(len(pending), len(ready))
	if len(ready) > r.Batch {
		ready = ready[:r.Batch]
	}
	if len(ready) > 0 {
		r.publish(ctx, ready)
	}
	if err := r.mark(ctx); err != nil {
		return r.storeFailed(ctx, err)
	}
	if len(ready) == r.Batch || len(ready) > 0 && len(pending) == r.window {
		return 0
	}
	return r.untilNext()
}

// widen looks further ahead while topics that are held up fill the window, so
// that they do not hide the others.
func (r *Relay) widen(pending, ready int) {
	switch {
	case len(r.paused) == 0:
		r.window = r.Batch
	case pending == r.window && ready < r.Batch:
		r.window = min(2*r.window, widest)
	}
}

func (r *Relay) pending(ctx context.Context, limit int) (events []store.Event, err error) {
	err = r.Store.View(ctx, func(rd store.Reader) error {
		events, err = rd.PendingEvents(limit)
		return err
	})
	return events, err
}

// release ends the pauses of topics that have nothing pending any more.
func (r *Relay) release(pending []store.Event) {
	if len(r.paused) == 0 || len(pending) == r.window { // there may be more
		return
	}
	left := map[string]bool{}
	for _, e := range pending {
		left[e.Topic] = true
	}
	maps.DeleteFunc(r.paused, func(topic string, _ pause) bool { return !left[topic] })
}

// ready leaves out the topics that are held up.
func (r *Relay) ready(pending []store.Event) []store.Event {
	r.looked = time.Now()
	var out []store.Event
	for _, e := range pending {
		if !r.looked.Before(r.paused[e.Topic].until) {
			out = append(out, e)
		}
	}
	return out
}

func (r *Relay) publish(ctx context.Context, events []store.Event) {
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	published, err := r.Publisher.Publish(limited, events)
	places := make(map[int64]store.Published, len(published))
	for _, p := range published {
		places[p.Seq] = p
	}
	// What came after a failure of the same key is sent again with it, so that
	// the last message of a key is always its latest.
	type key struct{ topic, key string }
	failed := map[key]bool{}
	tried := map[string]result{}
	for _, e := range events {
		k, topic := key{e.Topic, e.Key}, tried[e.Topic]
		if p, ok := places[e.Seq]; ok && !failed[k] {
			topic.arrived++
			r.unmarked = append(r.unmarked, p)
		} else {
			topic.failed++
			failed[k] = true
		}
		tried[e.Topic] = topic
	}
	r.settle(ctx, tried, err)
}

// result counts the events of one topic in a batch.
type result struct{ arrived, failed int }

// settle pauses the topics that failed and releases the others.
func (r *Relay) settle(ctx context.Context, tried map[string]result, err error) {
	var sum result
	for topic, is := range tried {
		sum.arrived += is.arrived
		sum.failed += is.failed
		wait := r.paused[topic].wait
		delete(r.paused, topic)
		if is.failed == 0 || ctx.Err() != nil { // when stopped it is no fault of the topic
			continue
		}
		if is.arrived > 0 {
			wait = 0
		}
		wait = r.longer(wait)
		r.paused[topic] = pause{until: time.Now().Add(wait), wait: wait}
		r.Log.Warn("events could not be published; trying again", "topic", topic, "events", is.failed, "pause", wait, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Published += uint64(sum.arrived)
	r.stats.Failed += uint64(sum.failed)
	r.stats.Held = len(r.paused)
}

func (r *Relay) longer(wait time.Duration) time.Duration {
	if wait == 0 {
		return r.Retry
	}
	return min(2*wait, backoffs*r.Retry)
}

// mark records what has arrived. It is done even while stopping, so that less
// is sent twice; what cannot be recorded is tried again before anything else.
func (r *Relay) mark(ctx context.Context) error {
	if len(r.unmarked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := r.Store.Update(ctx, func(tx store.Tx) error { return tx.MarkPublished(r.Clock(), r.unmarked) })
	if err == nil {
		r.unmarked = nil
	}
	return err
}

func (r *Relay) storeFailed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	r.failing = r.longer(r.failing)
	r.Log.Error("the outbox cannot be read or written; trying again", "pause", r.failing, "error", err)
	return r.failing
}

// untilNext is the time until the next look: the poll, or the end of the
// first pause.
func (r *Relay) untilNext() time.Duration {
	wait := r.Poll
	for _, p := range r.paused {
		if p.until.After(r.looked) { // else it had its turn, or waits for others
			wait = min(wait, max(0, time.Until(p.until)))
		}
	}
	return wait
}

// Trim removes events that were published and are older than the retention,
// with what else the store need not keep. The relay does this once an hour.
func (r *Relay) Trim(ctx context.Context) error {
	r.prepare()
	now := r.Clock()
	return r.Store.Update(ctx, func(tx store.Tx) error { return tx.Forget(now.Add(-r.Retention), now) })
}
