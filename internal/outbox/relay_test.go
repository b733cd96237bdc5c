package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/outbox"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// watched is the real database; it tells of every commit, and can be made to
// fail before one.
type watched struct {
	store.Store
	committed chan struct{}
	mu        sync.Mutex
	failures  int // of the next updates
}

func database(t *testing.T) *watched {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jumpa.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &watched{Store: st, committed: make(chan struct{}, 1)}
}

func (w *watched) Update(ctx context.Context, fn func(store.Tx) error) error {
	w.mu.Lock()
	fails := w.failures > 0
	if fails {
		w.failures--
	}
	w.mu.Unlock()
	if fails {
		return errors.New("the disk is full")
	}
	err := w.Store.Update(ctx, fn)
	select {
	case w.committed <- struct{}{}:
	default:
	}
	return err
}

func (w *watched) failNext(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = n
}

// untilPending waits until so many events are pending.
func (w *watched) untilPending(t *testing.T, n int) {
	t.Helper()
	ctx := patience(t)
	for len(pending(t, w)) != n {
		select {
		case <-w.committed:
		case <-ctx.Done():
			t.Fatalf("%d events are pending, not %d", len(pending(t, w)), n)
		}
	}
}

// patience bounds what a test waits for.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// commit puts one event for each key, in this order, in one transaction.
// Numbers count up over all calls with the same first number.
func commit(t *testing.T, st store.Store, topic string, number int, keys ...string) {
	t.Helper()
	err := st.Update(t.Context(), func(tx store.Tx) error {
		for i, key := range keys {
			e := store.Event{
				Topic: topic, Key: key, Number: int64(number + i), Created: start,
				Headers: []store.Header{{Name: "ce_id", Value: fmt.Sprintf("%s/%d", topic, number+i)}},
				Value:   fmt.Appendf(nil, "%d", number+i),
			}
			if err := tx.PutEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func pending(t *testing.T, st store.Store) (events []store.Event) {
	t.Helper()
	err := st.View(t.Context(), func(r store.Reader) (err error) {
		events, err = r.PendingEvents(10_000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// outside is a broker of another party. answer decides what becomes of a call:
// which events arrive, and which of those are acknowledged.
type outside struct {
	answer func(call int, events []store.Event) (arrive, acknowledge []store.Event)

	mu    sync.Mutex
	calls int
	log   []store.Event // what arrived, in its order
}

var errAway = errors.New("the broker is away")

func newOutside(answer func(int, []store.Event) (arrive, acknowledge []store.Event)) *outside {
	return &outside{answer: answer}
}

func (o *outside) Publish(_ context.Context, events []store.Event) ([]store.Published, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	arrive, acknowledge := o.answer(o.calls, events)
	var places []store.Published
	for _, e := range arrive {
		if slices.ContainsFunc(acknowledge, func(a store.Event) bool { return a.Seq == e.Seq }) {
			places = append(places, store.Published{Seq: e.Seq, Topic: e.Topic, Offset: int64(len(o.log))})
		}
		o.log = append(o.log, e)
	}
	if len(places) < len(events) {
		return places, errAway
	}
	return places, nil
}

// checkOrder sees that every event arrived and that the last arrival of each
// key is its latest event; with strict also that the first arrivals of a key
// are in its order.
func checkOrder(t *testing.T, log []store.Event, events int, strict bool) {
	t.Helper()
	type key struct{ topic, key string }
	seen := map[int64]bool{}
	highest, last := map[key]int64{}, map[key]int64{}
	for _, e := range log {
		k := key{e.Topic, e.Key}
		if strict && !seen[e.Seq] && e.Seq < highest[k] {
			t.Errorf("event %d of %v arrived after %d", e.Seq, k, highest[k])
		}
		seen[e.Seq] = true
		highest[k] = max(highest[k], e.Seq)
		last[k] = e.Seq
	}
	if len(seen) != events {
		t.Errorf("%d of %d events arrived", len(seen), events)
	}
	for k, seq := range last {
		if seq != highest[k] {
			t.Errorf("the last arrival of %v is event %d, not its latest %d", k, seq, highest[k])
		}
	}
}

func all(_ int, events []store.Event) (arrive, acknowledge []store.Event) { return events, events }

func relay(st store.Store, p outbox.Publisher) *outbox.Relay {
	return &outbox.Relay{
		Store: st, Publisher: p, Batch: 8, Poll: time.Hour, Retry: time.Millisecond,
		Clock: func() time.Time { return start.Add(time.Minute) }, Log: slog.New(slog.DiscardHandler),
	}
}

func startRelay(t *testing.T, r *outbox.Relay) {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
}

// TestTroubles relays under each kind of trouble. In the end all must have
// arrived in order, and nothing is pending.
func TestTroubles(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answer  func(call int, events []store.Event) (arrive, acknowledge []store.Event)
		unruly  bool // the broker itself lets events overtake
		failing int  // failures of the database
	}{
		{name: "none", answer: all},
		{name: "database", answer: all, failing: 5},
		{name: "away three times in four", answer: func(call int, events []store.Event) (_, _ []store.Event) {
			if call%4 != 0 {
				return nil, nil
			}
			return events, events
		}},
		{name: "every second acknowledgement lost", answer: func(call int, events []store.Event) (_, _ []store.Event) {
			if call%2 == 1 {
				return events, nil
			}
			return events, events
		}},
		{name: "the first half arrives", answer: func(_ int, events []store.Event) (_, _ []store.Event) {
			half := events[:(len(events)+1)/2]
			return half, half
		}},
		{name: "only the last acknowledgement comes back", answer: func(call int, events []store.Event) (_, _ []store.Event) {
			if call%2 == 1 {
				return events, events[len(events)-1:]
			}
			return events, events
		}},
		{name: "one fails and later ones arrive", unruly: true, answer: func(call int, events []store.Event) (_, _ []store.Event) {
			if call%2 == 1 {
				return events[1:], events[1:]
			}
			return events, events
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st, o := database(t), newOutside(tc.answer)
			r := relay(st, o)
			commit(t, st.Store, "before", 1, "a", "b", "a", "a")
			st.failNext(tc.failing)
			startRelay(t, r)
			for i := range 10 {
				commit(t, st.Store, "x", 4*i, "a", "b", "a", "c")
				commit(t, st.Store, "y", i, "a")
				r.Wake()
			}
			st.untilPending(t, 0)
			r.Stop()
			const events = 4 + 10*5
			checkOrder(t, o.log, events, !tc.unruly)
			if s := r.Stats(); s.Published != events || s.Held != 0 {
				t.Errorf("the counters are %+v", s)
			}
			if tc.name == "none" && len(o.log) != events {
				t.Errorf("%d events were sent, %d are enough", len(o.log), events)
			}
		})
	}
}

// TestHeldTopic sees that a topic that is refused for ever, with more events
// than a batch holds, keeps no other waiting, and arrives whole in the end.
func TestHeldTopic(t *testing.T) {
	st := database(t)
	var mu sync.Mutex
	refused := true
	o := newOutside(func(_ int, events []store.Event) (_, _ []store.Event) {
		mu.Lock()
		defer mu.Unlock()
		var good []store.Event
		for _, e := range events {
			if !refused || e.Topic != "bad" {
				good = append(good, e)
			}
		}
		return good, good
	})
	r := relay(st, o)
	for i := range 50 {
		commit(t, st, "bad", i, "a")
	}
	for i := range 20 {
		commit(t, st, "good", i, "a")
	}
	startRelay(t, r)
	st.untilPending(t, 50)
	if n, oldest, err := r.Lag(t.Context()); err != nil || n != 50 || !oldest.Equal(start) {
		t.Errorf("the lag is %d events since %v", n, oldest)
	}
	if s := r.Stats(); s.Held != 1 || s.Published != 20 || s.Failed == 0 {
		t.Errorf("the counters are %+v", s)
	}
	mu.Lock()
	refused = false
	mu.Unlock()
	st.untilPending(t, 0)
	r.Stop()
	checkOrder(t, o.log, 70, true)
	if n, oldest, err := r.Lag(t.Context()); err != nil || n != 0 || !oldest.IsZero() {
		t.Errorf("the lag is %d events since %v", n, oldest)
	}
}

// TestPoll sees that events are found without a wake.
func TestPoll(t *testing.T) {
	st, o := database(t), newOutside(all)
	r := relay(st, o)
	r.Poll = time.Millisecond
	startRelay(t, r)
	commit(t, st, "x", 1, "a")
	st.untilPending(t, 0)
}

// stuck publishes nothing until its context ends.
type stuck struct{ entered chan struct{} }

func (s stuck) Publish(ctx context.Context, _ []store.Event) ([]store.Published, error) {
	close(s.entered)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestStop(t *testing.T) {
	st := database(t)
	idle := relay(st, newOutside(all))
	idle.Wake() // before Start: no harm
	idle.Stop()
	s := stuck{make(chan struct{})}
	r := relay(st, s)
	commit(t, st, "x", 1, "a")
	startRelay(t, r)
	if err := r.Start(t.Context()); err == nil {
		t.Error("it started twice")
	}
	<-s.entered
	r.Stop()
	r.Stop()
	if n := len(pending(t, st)); n != 1 {
		t.Errorf("%d events are pending", n)
	}
	next := newOutside(all)
	startRelay(t, relay(st, next))
	st.untilPending(t, 0)
}

// TestSlow sees that a publisher that never answers is given up, and asked
// again.
func TestSlow(t *testing.T) {
	st := database(t)
	calls := make(chan int)
	r := relay(st, slow(calls))
	r.Timeout = time.Millisecond
	commit(t, st, "x", 1, "a")
	startRelay(t, r)
	for range 3 {
		<-calls
	}
	go func() {
		for range calls { // let the relay go on until it is stopped
		}
	}()
	r.Stop()
	close(calls)
}

type slow chan int

func (s slow) Publish(ctx context.Context, events []store.Event) ([]store.Published, error) {
	s <- len(events)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestTrim sees that only what was published long ago is removed.
func TestTrim(t *testing.T) {
	st, o := database(t), newOutside(all)
	r := relay(st, o)
	commit(t, st, "x", 1, "a", "b")
	startRelay(t, r)
	st.untilPending(t, 0)
	r.Stop()
	commit(t, st, "x", 3, "c")
	first := func() (offset int64, known bool) {
		err := st.View(t.Context(), func(rd store.Reader) error {
			oldest, err := rd.PublishedSince("x", start.Add(-time.Hour))
			offset, known = oldest[0]
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return offset, known
	}
	for _, tc := range []struct {
		after time.Duration
		known bool
	}{{0, true}, {71 * time.Hour, true}, {73 * time.Hour, false}} {
		r.Clock = func() time.Time { return start.Add(time.Minute + tc.after) }
		if err := r.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if offset, known := first(); (known && offset == 0) != tc.known {
			t.Errorf("after %v the first event is known: %v", tc.after, !tc.known)
		}
	}
	if n := len(pending(t, st)); n != 1 {
		t.Errorf("%d events are pending, not the one that was never published", n)
	}
	err := st.View(t.Context(), func(rd store.Reader) error {
		last, err := rd.LastPublished()
		if len(last) != 1 || last[0].Topic != "x" || last[0].Offset != 1 {
			t.Errorf("the highest offsets are %v: they must outlive the events", last)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
