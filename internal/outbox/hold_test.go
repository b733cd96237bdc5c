package outbox_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/lease"
	"github.com/jumpa-hie/jumpa/internal/outbox"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// refusal is what a broker says to events that it will never take.
type refusal []int64

func (refusal) Error() string      { return "the message is too large" }
func (r refusal) Refused() []int64 { return r }

// picky refuses every batch that holds an event of the key "poison", whole, as
// a broker does that looks at batches.
type picky struct {
	*outside
	mu    sync.Mutex
	cured bool
}

func (p *picky) Publish(ctx context.Context, events []store.Event) ([]store.Published, error) {
	p.mu.Lock()
	cured := p.cured
	p.mu.Unlock()
	if !cured && slices.ContainsFunc(events, func(e store.Event) bool { return e.Key == "poison" }) {
		var all refusal
		for _, e := range events {
			all = append(all, e.Seq)
		}
		return nil, all
	}
	return p.outside.Publish(ctx, events)
}

func (p *picky) cure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cured = true
}

func parked(t *testing.T, st store.Store) (list []store.Parked) {
	t.Helper()
	err := st.View(t.Context(), func(r store.Reader) (err error) {
		list, err = r.ParkedEvents(100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPoison sees that an event which the broker refuses for what it is ends
// in the park, alone, that all others arrive, and that it can be replayed.
func TestPoison(t *testing.T) {
	st := database(t)
	p := &picky{outside: newOutside(all)}
	r := relay(st, p)
	commit(t, st, "x", 1, "a", "poison", "b", "a", "c")
	commit(t, st, "y", 1, "poison", "d")
	startRelay(t, r)
	st.untilPending(t, 0)
	list := parked(t, st)
	if len(list) != 2 || list[0].Key != "poison" || list[1].Topic != "y" || list[0].Reason != "the message is too large" {
		t.Fatalf("parked are %+v", list)
	}
	checkOrder(t, p.log, 5, true)

	p.cure()
	for _, e := range list {
		if err := st.Update(t.Context(), func(tx store.Tx) error { return tx.UnparkEvent(e.Seq) }); err != nil {
			t.Fatal(err)
		}
	}
	r.Wake()
	st.untilPending(t, 0)
	r.Stop()
	checkOrder(t, p.log, 7, true)
	if n := len(parked(t, st)); n != 0 {
		t.Errorf("%d are still parked", n)
	}
}

// TestHeldKey sees that an event which fails for ever keeps no other record of
// its topic waiting.
func TestHeldKey(t *testing.T) {
	st := database(t)
	o := newOutside(func(_ int, events []store.Event) (_, _ []store.Event) {
		good := slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool { return e.Key == "bad" })
		return good, good
	})
	r := relay(st, o)
	for i := range 30 {
		commit(t, st, "x", 2*i, "bad", "good")
	}
	startRelay(t, r)
	st.untilPending(t, 30)
	r.Stop()
	checkOrder(t, o.log, 30, true)
	if n := len(parked(t, st)); n != 0 {
		t.Errorf("%d events are parked that no broker refused", n)
	}
}

// TestTakeover lets one node stop in the middle of a batch and wake up after
// another has relayed everything: it publishes nothing more, and marks nothing.
func TestTakeover(t *testing.T) {
	st := database(t)
	duty := func(node string, clock func() time.Time) *lease.Lease {
		return &lease.Lease{Store: st.Store, Duty: "relay", Node: node, Term: time.Minute, Clock: clock}
	}
	var mu sync.Mutex
	nowB := start
	clockB := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return nowB
	}
	asleep := asleep{entered: make(chan struct{}), wake: make(chan struct{}), outside: newOutside(all)}
	a := relay(st, asleep)
	a.Clock, a.Duty = func() time.Time { return start }, duty("a", func() time.Time { return start })
	b, o := relay(st, nil), newOutside(all)
	b.Publisher, b.Clock, b.Poll = o, clockB, time.Millisecond
	b.Duty = duty("b", clockB)

	commit(t, st, "x", 1, "a", "b", "a")
	startRelay(t, a)
	<-asleep.entered
	startRelay(t, b)
	b.Wake()
	if n := len(pending(t, st)); n != 3 {
		t.Fatalf("%d events are pending; the second node did the work of the first", n)
	}
	// The second node must first see that the first gives no sign of life.
	for len(pending(t, st)) == 3 {
		mu.Lock()
		nowB = nowB.Add(time.Minute)
		mu.Unlock()
		b.Wake()
	}
	st.untilPending(t, 0)
	close(asleep.wake)
	a.Stop()
	b.Stop()
	checkOrder(t, o.log, 3, true)
	if s := a.Stats(); s.Published != 3 { // it arrived, a second time, and is not marked again
		t.Errorf("the first node counts %+v", s)
	}
	err := st.View(t.Context(), func(r store.Reader) error {
		last, err := r.LastPublished()
		if len(last) != 1 || last[0].Offset != 2 {
			t.Errorf("the places are %+v, not those of the second node", last)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// asleep holds the first call until it is woken.
type asleep struct {
	entered, wake chan struct{}
	*outside
}

func (s asleep) Publish(ctx context.Context, events []store.Event) ([]store.Published, error) {
	close(s.entered)
	<-s.wake
	for range 10 { // places that no other node gives
		s.log = append(s.log, store.Event{})
	}
	return s.outside.Publish(ctx, events)
}

var (
	_ outbox.Refusal = refusal(nil)
	_ outbox.Duty    = (*lease.Lease)(nil)
)

// TestAside sees that a node whose own way to the broker is broken leaves the
// work to another, and that one that is alone goes on trying.
func TestAside(t *testing.T) {
	st := database(t)
	duty := func(node string) *lease.Lease { return &lease.Lease{Store: st.Store, Duty: "relay", Node: node} }
	cut, held := make(chan int), duty("a")
	a := relay(st, broken(cut))
	a.Patience, a.Poll, a.Duty = time.Millisecond, time.Millisecond, held
	commit(t, st, "x", 1, "a", "b", "a")
	startRelay(t, a)
	for range 5 { // steps aside in between, and comes back, for there is no other
		<-cut
	}
	go func() {
		for range cut {
		}
	}()
	b, o := relay(st, nil), newOutside(all)
	b.Publisher, b.Poll, b.Duty = o, time.Millisecond, duty("b")
	startRelay(t, b)
	st.untilPending(t, 0)
	checkOrder(t, o.log, 3, true)
	a.Stop()
	close(cut)
	if held.Held() {
		t.Error("both nodes hold the duty")
	}
}

// broken is a broker that cannot be reached.
type broken chan int

func (b broken) Publish(_ context.Context, events []store.Event) ([]store.Published, error) {
	b <- len(events)
	return nil, errors.New("no route to host")
}
