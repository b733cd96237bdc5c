package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// crowd is how many act at the same time.
const crowd = 64

// together runs fn for each of a crowd at once and gives their errors.
func together(t *testing.T, fn func(i int) error) []error {
	t.Helper()
	errs := make([]error, crowd)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	receive(t, done)
	return errs
}

// receive gives what comes from a channel; a hang ends the test.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("no answer: the store hangs")
		panic("unreachable")
	}
}

var concurrencyTests = []test{
	{"nothing is lost when many change one record", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday))
		const each = 3
		for _, err := range together(t, func(int) error {
			for range each {
				if err := s.Update(t.Context(), func(tx store.Tx) error {
					r, err := tx.Resource("Patient", "p1")
					if err != nil {
						return err
					}
					return tx.PutResource(record("Patient", "p1", r.Version+1, monday), nil, nil)
				}); err != nil {
					return err
				}
			}
			return nil
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		equal(t, "the version", read(t, s, current("Patient", "p1")).Version, int64(1+crowd*each))
		page := read(t, s, history(store.HistoryQuery{Type: "Patient", ID: "p1", Count: 1000}))
		for i, r := range page.Resources {
			if want := int64(page.Total - i); r.Version != want || !strings.Contains(string(r.Body), fmt.Sprintf(`"versionId":"%d"`, want)) {
				t.Fatalf("version %d has the body %s", r.Version, r.Body)
			}
		}
		equal(t, "versions", len(page.Resources), 1+crowd*each)
	}},
	{"of many who change what they read before, one succeeds and the others learn of it", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday))
		won, conflicts := 0, 0
		for _, err := range together(t, func(i int) error {
			return s.Update(t.Context(), func(tx store.Tx) error {
				return tx.PutResource(record("Patient", "p1", 2, minute(i)), nil, nil)
			})
		}) {
			switch {
			case err == nil:
				won++
			case isConflict(err):
				conflicts++
			default:
				t.Error(err)
			}
		}
		equal(t, "successes and conflicts", []int{won, conflicts}, []int{1, crowd - 1})
		equal(t, "the version", read(t, s, current("Patient", "p1")).Version, int64(2))
	}},
	{"of many who create one record, one does", func(t *testing.T, s store.Store) {
		won := 0
		for _, err := range together(t, func(i int) error {
			return s.Update(t.Context(), func(tx store.Tx) error { return tx.PutResource(record("Patient", "p1", 1, minute(i)), nil, nil) })
		}) {
			if err == nil {
				won++
			}
		}
		equal(t, "successes", won, 1)
	}},
	{"a quota lets through exactly so many", func(t *testing.T, s store.Store) {
		const quota = 5
		full := errors.New("full")
		won := 0
		for _, err := range together(t, func(i int) error {
			return s.Update(t.Context(), func(tx store.Tx) error {
				n, err := tx.Booked("slot")
				if err != nil {
					return err
				}
				if n >= quota {
					return full
				}
				return tx.Book("slot", fmt.Sprintf("a%d", i))
			})
		}) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, full):
				t.Error(err)
			}
		}
		equal(t, "let through and booked", []int{won, read(t, s, booked("slot"))}, []int{quota, quota})
	}},
	{"a counter gives every number once to a crowd", func(t *testing.T, s store.Store) {
		numbers := make([]int64, crowd)
		for _, err := range together(t, func(i int) error {
			return s.Update(t.Context(), func(tx store.Tx) (err error) {
				numbers[i], err = tx.NextNumber("n")
				return err
			})
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		seen := map[int64]bool{}
		for _, n := range numbers {
			if n < 1 || n > crowd || seen[n] {
				t.Errorf("number %d is out of range or was given twice", n)
			}
			seen[n] = true
		}
	}},
	{"a crowd gets fresh numbers that nobody else has, whatever becomes of them", func(t *testing.T, s store.Store) {
		refused := errors.New("refused")
		var mu sync.Mutex
		seen := map[int64]bool{}
		for _, err := range together(t, func(i int) error {
			var mine []int64
			err := s.Update(t.Context(), func(tx store.Tx) error {
				mine = nil
				for range 3 {
					n, err := tx.FreshNumber("n")
					if err != nil {
						return err
					}
					mine = append(mine, n)
				}
				if i%2 == 1 {
					return refused
				}
				return nil
			})
			if errors.Is(err, refused) {
				return nil // such numbers may be given again, or not
			}
			mu.Lock()
			defer mu.Unlock()
			for _, n := range mine {
				if n < 1 || seen[n] {
					t.Errorf("number %d is out of range or was given twice", n)
				}
				seen[n] = true
			}
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
	}},
	{"who reads pending events misses none", func(t *testing.T, s store.Store) {
		// Each event has the next number of its topic. At every moment those
		// that can be seen are 1, 2, 3 …: an event never appears before one
		// that was already passed by.
		const each = 4
		var writing atomic.Bool
		writing.Store(true)
		readers := make(chan error, 4)
		for range cap(readers) {
			go func() {
				passed := map[int64]int64{} // number by place in the log
				for last := false; ; {
					last = !writing.Load()
					list, err := try(t.Context(), s, pending(10000))
					if err != nil {
						readers <- err
						return
					}
					for i, e := range list {
						if e.Number != int64(i+1) || passed[e.Seq] != 0 && passed[e.Seq] != e.Number {
							readers <- fmt.Errorf("event %d in the log has number %d and seq %d", i+1, e.Number, e.Seq)
							return
						}
						passed[e.Seq] = e.Number
					}
					if len(list) < len(passed) {
						readers <- fmt.Errorf("%d events were seen, now there are %d", len(passed), len(list))
						return
					}
					if last {
						if len(list) != crowd*each {
							err = fmt.Errorf("%d events at the end", len(list))
						}
						readers <- err
						return
					}
				}
			}()
		}
		refused := errors.New("refused")
		for _, err := range together(t, func(i int) error {
			for n := range each {
				for _, outcome := range []error{refused, nil} { // every other update is refused after its work
					err := s.Update(t.Context(), func(tx store.Tx) error {
						number, err := tx.NextNumber("topic")
						if err != nil {
							return err
						}
						e := store.Event{Topic: "topic", Key: fmt.Sprintf("k%d", i), Number: number, Value: fmt.Append(nil, n), Created: monday}
						return errors.Join(tx.PutEvent(e), outcome)
					})
					if !errors.Is(err, outcome) {
						return err
					}
				}
			}
			return nil
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		writing.Store(false)
		for range cap(readers) {
			if err := receive(t, readers); err != nil {
				t.Error(err)
			}
		}
		next := map[string]int{} // events of one key are in the order of their writing
		for _, e := range read(t, s, pending(10000)) {
			if got := string(e.Value); got != fmt.Sprint(next[e.Key]) {
				t.Errorf("event of %s: %s; want %d", e.Key, got, next[e.Key])
			}
			next[e.Key]++
		}
	}},
	{"many more views than connections are all served", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error { return tx.PutSetting("x", []byte("y")) })
		for _, err := range together(t, func(int) error {
			for range 20 {
				if v, err := try(t.Context(), s, setting("x")); err != nil || string(v) != "y" {
					return fmt.Errorf("%q, %w", v, err)
				}
			}
			return nil
		}) {
			if err != nil {
				t.Error(err)
			}
		}
	}},
}
