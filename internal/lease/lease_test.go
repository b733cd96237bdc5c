package lease_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/lease"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// clock is the clock of one node.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func database(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lease.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// node makes a claim whose clock shows another time than those of the others.
func node(st store.Store, name string, wrong time.Duration) (*lease.Lease, *clock) {
	c := &clock{at: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).Add(wrong)}
	return &lease.Lease{Store: st, Duty: "relay", Node: name, Term: 6 * time.Second, Clock: c.now}, c
}

func hold(t *testing.T, l *lease.Lease) bool {
	t.Helper()
	_, ok, err := l.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func check(t *testing.T, st store.Store, l *lease.Lease) error {
	t.Helper()
	return st.View(t.Context(), func(r store.Reader) error { return l.Check(r) })
}

func TestOneHolder(t *testing.T) {
	st := database(t)
	a, clockA := node(st, "a", 0)
	b, clockB := node(st, "b", 48*time.Hour)
	pass := func(d time.Duration) { clockA.pass(d); clockB.pass(d) }

	if !hold(t, a) || hold(t, b) {
		t.Fatal("the first to ask has the duty, and nobody else")
	}
	for range 10 { // signs of life keep it, whatever the clocks show
		pass(3 * time.Second)
		if !hold(t, a) || hold(t, b) {
			t.Fatal("a holder that is alive lost the duty")
		}
	}
	if err := check(t, st, a); err != nil {
		t.Error(err)
	}
	if err := check(t, st, b); !errors.Is(err, lease.ErrLost) {
		t.Errorf("one who has not got the duty: %v", err)
	}

	pass(5 * time.Second)
	if hold(t, b) {
		t.Fatal("the duty was taken before its term was over")
	}
	pass(time.Second)
	if !hold(t, b) {
		t.Fatal("the duty of a holder that is silent was not taken")
	}
	if err := check(t, st, a); !errors.Is(err, lease.ErrLost) {
		t.Errorf("a holder that was replaced may act: %v", err)
	}
	if hold(t, a) {
		t.Error("a holder that was replaced goes on")
	}
}

func TestReleaseHandsOver(t *testing.T) {
	st := database(t)
	a, _ := node(st, "a", 0)
	b, _ := node(st, "b", -time.Hour)
	if !hold(t, a) || hold(t, b) {
		t.Fatal("two holders")
	}
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !hold(t, b) {
		t.Error("a duty that was given up is not taken at once")
	}
	if err := a.Release(t.Context()); err != nil { // again, and of somebody else's
		t.Fatal(err)
	}
	if err := check(t, st, b); err != nil {
		t.Error(err)
	}
}

// TestFence: who loses the duty and takes it back has a new fence, and a
// transaction that began under the old one is refused by nobody else's work.
func TestFence(t *testing.T) {
	st := database(t)
	a, clockA := node(st, "a", 0)
	b, clockB := node(st, "b", 0)
	hold(t, a)
	hold(t, b)
	clockB.pass(6 * time.Second)
	if !hold(t, b) {
		t.Fatal("not taken")
	}
	if err := b.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := check(t, st, a); !errors.Is(err, lease.ErrLost) {
		t.Fatalf("before it asks again: %v", err)
	}
	clockA.pass(3 * time.Second)
	if !hold(t, a) {
		t.Fatal("not taken back")
	}
	if err := check(t, st, a); err != nil {
		t.Error(err)
	}
}

// TestStoreAway: without an answer of the store the duty ends by itself.
func TestStoreAway(t *testing.T) {
	st := database(t)
	a, clockA := node(st, "a", 0)
	until, _, _ := a.Hold(t.Context())
	away, cancel := context.WithCancel(t.Context())
	cancel()
	clockA.pass(3 * time.Second)
	if again, ok, err := a.Hold(away); err == nil || !ok || !again.Equal(until) {
		t.Errorf("within the term: %v %v %v, want until %v", again, ok, err, until)
	}
	clockA.pass(3 * time.Second)
	if _, ok, err := a.Hold(away); err == nil || ok {
		t.Errorf("after the term: %v %v", ok, err)
	}
}

// TestManyNodes lets nodes take turns at random and sees that no two hold the
// duty at one moment.
func TestManyNodes(t *testing.T) {
	st := database(t)
	const nodes = 4
	var all [nodes]*lease.Lease
	var clocks [nodes]*clock
	for i := range nodes {
		all[i], clocks[i] = node(st, fmt.Sprint(i), time.Duration(i)*time.Minute)
	}
	until := [nodes]time.Duration{} // on the one clock of the test
	now := time.Duration(0)
	held := 0
	for round := range 400 {
		i := (round * 7919) % nodes
		if round%50 < 20 && i == held {
			i = (i + 1) % nodes // the holder is asleep for a while
		}
		_, ok, err := all[i].Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			for j := range nodes {
				if j != i && until[j] > now {
					t.Fatalf("round %d: %d takes the duty that %d still has", round, i, j)
				}
			}
			held = i
			until[i] = now + 6*time.Second
		}
		now += time.Second
		for _, c := range clocks {
			c.pass(time.Second)
		}
	}
}

// slow is a store whose answers take time.
type slow struct {
	store.Store
	wait func()
}

func (s slow) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.wait()
	return s.Store.Update(ctx, fn)
}

// TestSlowStoreTakesNoDuty: what was seen late was not seen when it was asked
// for. A node whose database was silent does not take over from one that is
// alive.
func TestSlowStoreTakesNoDuty(t *testing.T) {
	st := database(t)
	a, clockA := node(st, "a", 0)
	b, clockB := node(st, "b", 0)
	pass := func(d time.Duration) { clockA.pass(d); clockB.pass(d) }
	if !hold(t, a) || hold(t, b) {
		t.Fatal("the first to ask has the duty")
	}
	b.Store = slow{st, func() {
		for range 4 {
			pass(2 * time.Second)
			if !hold(t, a) {
				t.Fatal("a holder that is alive lost the duty")
			}
		}
	}}
	if hold(t, b) {
		t.Error("the duty was taken from a node that is alive, while the database was silent")
	}
	b.Store = st
	pass(time.Second)
	if hold(t, b) {
		t.Error("the duty was taken from a node that is alive, once the database spoke again")
	}
	if err := check(t, st, a); err != nil {
		t.Errorf("the holder is told %v", err)
	}
}

// TestLostIsForgotten sees that a node which finds another in its place asks
// again before it acts, although its own turn would go on.
func TestLostIsForgotten(t *testing.T) {
	st := database(t)
	a, _ := node(st, "a", 0)
	b, clock := node(st, "b", 0)
	if !hold(t, a) || hold(t, b) {
		t.Fatal("the first has not got the duty")
	}
	clock.pass(2 * lease.DefaultTerm)
	if !hold(t, b) {
		t.Fatal("the second has not taken over")
	}
	if !a.Held() {
		t.Fatal("the clock of the first has moved")
	}
	if err := check(t, st, a); !errors.Is(err, lease.ErrLost) {
		t.Fatalf("the first was let through: %v", err)
	}
	if hold(t, a) || a.Held() {
		t.Error("the first goes on by what it knew")
	}
}
