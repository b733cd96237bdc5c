package outbox

import (
	"context"
	"maps"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// key names what keeps its order: the events of one record on one topic.
type key struct{ topic, record string }

func keyOf(e store.Event) key { return key{e.Topic, e.Key} }

// hold keeps a key waiting after a failure.
type hold struct {
	until   time.Time
	wait    time.Duration
	alone   bool // its first event was refused: it is sent by itself, for a broker may refuse all that comes together
	refused int  // times that it was refused by itself
}

const (
	maxAlone = 4 // events of one round that are sent by themselves
	maxTries = 5 // refusals of an event by itself before it is parked
)

// result counts the events of one key in a batch.
type result struct {
	arrived, failed int
	first           store.Event // that failed
	refused         bool        // for what it is
}

// ready gives the events that may be sent: those of keys that do not wait
// together, and the first of each that goes by itself.
func (r *Relay) ready(pending []store.Event) (batch, alone []store.Event) {
	r.looked = time.Now()
	waits := map[key]bool{}
	for _, e := range pending {
		k := keyOf(e)
		h, held := r.held[k]
		switch {
		case waits[k]:
		case held && r.looked.Before(h.until):
			waits[k] = true
		case h.alone:
			waits[k] = true
			alone = append(alone, e)
		default:
			batch = append(batch, e)
		}
	}
	return batch, alone
}

// release ends the holds of keys that have nothing pending any more.
func (r *Relay) release(pending []store.Event) {
	if len(r.held) == 0 || len(pending) == r.window { // there may be more
		return
	}
	left := map[key]bool{}
	for _, e := range pending {
		left[keyOf(e)] = true
	}
	maps.DeleteFunc(r.held, func(k key, _ hold) bool { return !left[k] })
}

// widen looks further ahead while keys that are held up fill the window, so
// that they do not hide the others.
func (r *Relay) widen(pending, ready int) {
	switch {
	case len(r.held) == 0:
		r.window = r.Batch
	case pending == r.window && ready < r.Batch:
		r.window = min(2*r.window, widest)
	}
}

// settle holds the keys that failed and releases the others.
func (r *Relay) settle(ctx context.Context, tried map[key]result, single bool, err error) {
	var sum result
	failed := map[string]int{} // by topic
	var longest time.Duration
	for k, is := range tried {
		sum.arrived += is.arrived
		sum.failed += is.failed
		h := r.held[k]
		delete(r.held, k)
		if is.failed == 0 || ctx.Err() != nil { // when stopped it is no fault of the event
			continue
		}
		if is.arrived > 0 {
			h = hold{}
		}
		if is.refused && single {
			h.refused++
		}
		if h.refused >= maxTries && r.park(ctx, is.first, err) {
			continue
		}
		h.alone = h.alone || is.refused
		h.wait = r.longer(h.wait)
		h.until = time.Now().Add(h.wait)
		r.held[k] = h
		failed[k.topic] += is.failed
		longest = max(longest, h.wait)
	}
	for topic, n := range failed {
		r.Log.Warn("events could not be published; trying again", "topic", topic, "events", n, "pause", longest, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Published += uint64(sum.arrived)
	r.stats.Failed += uint64(sum.failed)
	r.stats.Held = len(r.held)
}

// park sets an event aside that the broker will not take, so that those behind
// it go on; false when the store does not do it.
func (r *Relay) park(ctx context.Context, e store.Event, reason error) bool {
	if err := r.change(ctx, func(tx store.Tx) error { return tx.ParkEvent(e.Seq, r.Clock(), reason.Error()) }); err != nil {
		r.Log.Error("an event that the broker refuses could not be parked; trying again", "topic", e.Topic, "seq", e.Seq, "error", err)
		return false
	}
	r.Log.Error("an event is parked, because the broker refuses it as it is; replay it when the cause is gone", "topic", e.Topic, "seq", e.Seq, "error", reason)
	return true
}

func (r *Relay) longer(wait time.Duration) time.Duration {
	if wait == 0 {
		return r.Retry
	}
	return min(2*wait, backoffs*r.Retry)
}

// untilNext is the time until the next look: the poll, or the end of the
// first hold.
func (r *Relay) untilNext() time.Duration {
	wait := r.Poll
	for _, h := range r.held {
		if h.until.After(r.looked) { // else it had its turn, or waits for others
			wait = min(wait, max(0, time.Until(h.until)))
		}
	}
	return wait
}
