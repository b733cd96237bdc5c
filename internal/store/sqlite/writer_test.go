package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// held keeps the writer busy until release is called, so that the updates
// that come meanwhile wait together. answer gives what became of it.
func held(t *testing.T, s *Store) (release func(), answer <-chan error) {
	t.Helper()
	begun, finish := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- s.Update(context.Background(), func(store.Tx) error {
			close(begun)
			<-finish
			return nil
		})
	}()
	receive(t, begun)
	return func() { close(finish) }, result
}

// enqueue starts an update and returns once it waits in the queue.
func enqueue(ctx context.Context, t *testing.T, s *Store, fn func(store.Tx) error) <-chan error {
	t.Helper()
	waiting := len(s.queue)
	answer := make(chan error, 1)
	go func() { answer <- s.Update(ctx, fn) }()
	await(t, "the update waits", func() bool { return len(s.queue) == waiting+1 })
	return answer
}

func TestUpdatesThatWaitShareACommit(t *testing.T) {
	s := fresh(t)
	release, first := held(t, s)
	const n = 50
	var answers []<-chan error
	var seenInside, seenOutside int
	for i := range n {
		answers = append(answers, enqueue(t.Context(), t, s, func(tx store.Tx) error {
			if err := tx.Book("slot", fmt.Sprint(i)); err != nil || i < n-1 {
				return err
			}
			// The last of the batch sees the others' work, which is not yet
			// committed: nobody else does.
			var err error
			if seenInside, err = tx.Booked("slot"); err != nil {
				return err
			}
			return s.View(t.Context(), func(r store.Reader) error {
				seenOutside, err = r.Booked("slot")
				return err
			})
		}))
	}
	release()
	for _, a := range append(answers, first) {
		if err := receive(t, a); err != nil {
			t.Error(err)
		}
	}
	if seenInside != n || seenOutside != 0 {
		t.Errorf("the last update saw %d bookings, others %d; want %d and 0", seenInside, seenOutside, n)
	}
	if got := bookings(t, s, "slot"); got != n {
		t.Errorf("%d bookings are there; want %d", got, n)
	}
}

func bookings(t testing.TB, s *Store, slot string) (n int) {
	t.Helper()
	if err := s.View(t.Context(), func(r store.Reader) (err error) { n, err = r.Booked(slot); return err }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAFailureInABatchHarmsNoOther(t *testing.T) {
	s := fresh(t)
	release, first := held(t, s)
	refused := errors.New("refused")
	gone, leave := context.WithCancel(t.Context())
	type outcome struct {
		name   string
		answer <-chan error
		want   func(error) bool // nil: it must succeed
	}
	var all []outcome
	add := func(ctx context.Context, name string, want func(error) bool, end func(tx store.Tx) error) {
		all = append(all, outcome{name, enqueue(ctx, t, s, func(tx store.Tx) error {
			if err := tx.PutSetting(name, []byte("x")); err != nil {
				return err
			}
			return end(tx)
		}), want})
	}
	fine := func(store.Tx) error { return nil }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	any := func(err error) bool { return err != nil }
	for i := range 5 {
		name := func(kind string) string { return fmt.Sprintf("%s %d", kind, i) }
		add(t.Context(), name("fine"), nil, fine)
		add(t.Context(), name("error"), is(refused), func(store.Tx) error { return refused })
		add(t.Context(), name("also fine"), nil, fine)
		add(t.Context(), name("panic"), any, func(store.Tx) error { panic("out of order") })
		add(gone, name("has left"), is(context.Canceled), fine)
		add(t.Context(), name("conflict"), any, func(tx store.Tx) error {
			return tx.PutResource(store.Resource{Type: "Patient", ID: "p", Version: 9}, nil, nil)
		})
		add(t.Context(), name("constraint"), any, func(tx store.Tx) error {
			return errors.Join(tx.PutAccount(store.Account{Kind: "client", ID: name("a"), Login: name("taken")}),
				tx.PutAccount(store.Account{Kind: "client", ID: name("b"), Login: name("taken")}))
		})
	}
	add(t.Context(), "fine at the end", nil, fine)
	leave()
	release()
	if err := receive(t, first); err != nil {
		t.Error(err)
	}
	for _, o := range all {
		err := receive(t, o.answer)
		there := setting(t, s, o.name) == "x"
		switch {
		case o.want == nil && (err != nil || !there):
			t.Errorf("%s: %v, written: %v; want it on disk", o.name, err, there)
		case o.want != nil && (!o.want(err) || there):
			t.Errorf("%s: %v, written: %v; want its error and nothing written", o.name, err, there)
		}
	}
}

// Updates of a batch share what they have read. What one has read of its own
// writes is not there for the next when it was undone.
func TestWhatWasUndoneIsNotRemembered(t *testing.T) {
	s := fresh(t)
	put := func(tx store.Tx, version int64) error {
		return tx.PutResource(store.Resource{Type: "Patient", ID: "p", Version: version, Method: "PUT"}, nil, nil)
	}
	refused := errors.New("refused")
	// The second time, jobs have savepoints from the start.
	for _, savepoints := range []bool{false, true} {
		before, found := int64(0), make([]int64, 4)
		look := func(i int, change int64, end error) func(store.Tx) error {
			return func(tx store.Tx) error {
				for _, version := range []int64{0, change} {
					if version > 0 {
						if err := put(tx, before+version); err != nil {
							return err
						}
					}
					res, err := tx.Resource("Patient", "p")
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if version == 0 {
						found[i] = res.Version
					} else if res.Version != before+version {
						t.Errorf("an update does not see its own version %d, but %d", before+version, res.Version)
					}
				}
				return end
			}
		}
		if savepoints {
			before = 2
			if s.apart == 0 {
				t.Fatal("no savepoints after a failure")
			}
		}
		release, first := held(t, s)
		var answers []<-chan error
		wants := []error{nil, refused, nil, nil}
		for i, change := range []int64{1, 2, 2, 0} {
			answers = append(answers, enqueue(t.Context(), t, s, look(i, change, wants[i])))
		}
		release()
		if err := receive(t, first); err != nil {
			t.Error(err)
		}
		for i, a := range answers {
			if err := receive(t, a); !errors.Is(err, wants[i]) {
				t.Errorf("update %d: %v, want %v", i, err, wants[i])
			}
		}
		if want := []int64{before, before + 1, before + 1, before + 2}; !slices.Equal(found, want) {
			t.Errorf("found versions %v, want %v", found, want)
		}
	}
}

// A batch in which all goes well, and one in which a job fails before it has
// written, run once. One that has written when it fails makes the batch run
// again, and no later batch for a while.
func TestABatchRunsAgainForAFailureThatHasWritten(t *testing.T) {
	s := fresh(t)
	for _, c := range []struct {
		name  string
		write bool
		runs  int32
	}{
		{"fails before it writes", false, 2}, {"fails when it has written", true, 4}, {"and again", true, 2},
	} {
		release, first := held(t, s)
		var runs atomic.Int32
		fine := enqueue(t.Context(), t, s, func(tx store.Tx) error {
			runs.Add(1)
			return tx.PutSetting("fine", []byte(c.name))
		})
		refused := errors.New("refused")
		bad := enqueue(t.Context(), t, s, func(tx store.Tx) error {
			runs.Add(1)
			if _, err := tx.Setting("fine"); err != nil {
				return err
			}
			if c.write {
				if _, err := tx.NextNumber("n"); err != nil { // which reads what it writes
					return err
				}
			}
			return refused
		})
		release()
		if err := errors.Join(receive(t, first), receive(t, fine)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := receive(t, bad); !errors.Is(err, refused) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := runs.Load(); got != c.runs {
			t.Errorf("%s: %d runs, want %d", c.name, got, c.runs)
		}
		if got := setting(t, s, "fine"); got != c.name {
			t.Errorf("%s: what succeeded reads %q", c.name, got)
		}
	}
	var n int64
	if err := s.Update(t.Context(), func(tx store.Tx) (err error) { n, err = tx.NextNumber("n"); return err }); err != nil || n != 1 {
		t.Errorf("the next number is %d, %v; those of failures are undone", n, err)
	}
}

func TestACallerWhoLeftIsNotServed(t *testing.T) {
	s := fresh(t)
	release, first := held(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var ran atomic.Bool
	answer := enqueue(ctx, t, s, func(store.Tx) error { ran.Store(true); return nil })
	cancel()
	release()
	if err := receive(t, answer); !errors.Is(err, context.Canceled) || ran.Load() {
		t.Errorf("%v; fn was run: %v", err, ran.Load())
	}
	if err := receive(t, first); err != nil {
		t.Error(err)
	}
}

func TestMoreUpdatesThanABatchHolds(t *testing.T) {
	s := fresh(t)
	release, first := held(t, s)
	const n = 2*maxBatch + 7
	answers := make(chan error, n)
	for i := range n {
		go func() {
			answers <- s.Update(context.Background(), func(tx store.Tx) error { return tx.Book("slot", fmt.Sprint(i)) })
		}()
	}
	await(t, "all updates wait", func() bool { return len(s.queue) == n })
	release()
	for range n {
		if err := receive(t, answers); err != nil {
			t.Error(err)
		}
	}
	if err := receive(t, first); err != nil {
		t.Error(err)
	}
	if got := bookings(t, s, "slot"); got != n {
		t.Errorf("%d bookings; want %d", got, n)
	}
}

func TestClosingServesThoseWhoWait(t *testing.T) {
	s := fresh(t)
	release, first := held(t, s)
	var answers []<-chan error
	for i := range 10 {
		answers = append(answers, enqueue(t.Context(), t, s, func(tx store.Tx) error { return tx.Book("slot", fmt.Sprint(i)) }))
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	await(t, "the store closes", func() bool {
		return errors.Is(s.View(t.Context(), func(store.Reader) error { return nil }), errClosed)
	})
	release()
	for _, a := range append(answers, first, closed) {
		if err := receive(t, a); err != nil {
			t.Error(err)
		}
	}
}

// One small update after another from many goroutines at once: what a check-in
// pays for the disk.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct {
		name string
		fn   func(tx store.Tx, i int64) error
	}{
		{"setting", func(tx store.Tx, i int64) error { return tx.PutSetting(fmt.Sprint(i%1000), []byte("value")) }},
		{"record and event", func(tx store.Tx, i int64) error {
			id := fmt.Sprint("e", i)
			return errors.Join(
				tx.PutResource(store.Resource{Type: "Encounter", ID: id, Version: 1, Method: "POST", Organization: "o", Body: make([]byte, 2000)},
					[]store.Entry{{Param: "status", Kind: store.Token, Value: "planned|"}, {Param: "date", Kind: store.Date, Low: i, High: i + 1},
						{Param: "subject", Kind: store.Reference, Value: "Patient/" + id}}, nil),
				tx.PutEvent(store.Event{Topic: "encounter", Key: id, Value: make([]byte, 2000)}),
				tx.PutAudit(store.Audit{Action: "C", Target: "Encounter/" + id}))
		}},
	} {
		for _, parallel := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", c.name, parallel), func(b *testing.B) {
				s := fresh(b)
				var n atomic.Int64
				one := func() {
					i := n.Add(1)
					if err := s.Update(context.Background(), func(tx store.Tx) error { return c.fn(tx, i) }); err != nil {
						b.Error(err)
					}
				}
				if parallel == 1 {
					for b.Loop() {
						one()
					}
					return
				}
				b.SetParallelism(parallel)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						one()
					}
				})
			})
		}
	}
}
