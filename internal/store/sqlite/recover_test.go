package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// patience bounds every wait: it ends a test that would hang, it measures
// nothing.
const patience = 2 * time.Minute

// await waits for a condition that another goroutine brings about.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it never happened", what)
		}
	}
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

// A connection may be left with an open transaction or broken, when a
// statement was interrupted at a bad moment. Whatever its state, the next to
// use it must not suffer.
func TestABrokenConnectionIsReplaced(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, c *conn){
		"a transaction was left open": func(t *testing.T, c *conn) {
			if _, err := c.sql.ExecContext(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
		},
		"the connection is closed": func(t *testing.T, c *conn) {
			if err := c.sql.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run("reader: "+name, func(t *testing.T) {
			s := fresh(t)
			mustPut(t, s, "before", "yes")
			for range cap(s.readers) {
				c := <-s.readers
				harm(t, c)
				s.readers <- c
			}
			for i := range 2 * cap(s.readers) {
				mustPut(t, s, "now", fmt.Sprint(i))
				if got := setting(t, s, "now"); got != fmt.Sprint(i) {
					t.Fatalf("view %d reads %q: an old snapshot", i, got)
				}
			}
		})
		t.Run("writer: "+name, func(t *testing.T) {
			s := fresh(t)
			mustPut(t, s, "before", "yes")
			harm(t, s.writer)
			for i := range 5 {
				mustPut(t, s, "now", fmt.Sprint(i))
				if got := setting(t, s, "now"); got != fmt.Sprint(i) {
					t.Fatalf("update %d wrote %q", i, got)
				}
			}
			if got := setting(t, s, "before"); got != "yes" {
				t.Errorf("what was there before: %q", got)
			}
		})
	}
}

// A view that ends its own transaction, or loses it, leaves a connection that
// cannot be rolled back.
func TestAViewWhoseTransactionWasLost(t *testing.T) {
	s := fresh(t)
	for range 2 * cap(s.readers) {
		err := s.View(t.Context(), func(r store.Reader) error { return r.(reader).Exec("COMMIT") })
		if err != nil {
			t.Fatalf("the view had what it wanted: %v", err)
		}
	}
	for range 2 * cap(s.readers) {
		setting(t, s, "x")
	}
}

// An update that loses its transaction takes its batch with it, and no other.
func TestAnUpdateWhoseTransactionWasLost(t *testing.T) {
	s := fresh(t)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.PutSetting("lost", nil), tx.(interface{ Exec(string, ...any) error }).Exec("ROLLBACK"))
	})
	if err == nil {
		t.Error("the update says it is on disk")
	}
	mustPut(t, s, "next", "yes")
	if got := setting(t, s, "next"); got != "yes" {
		t.Errorf("the next update wrote %q", got)
	}
}

// Views that wait for a connection learn of the end; they do not wait for ever.
func TestClosingAnswersViewsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fresh(t)
		var taken []*conn
		for range cap(s.readers) {
			taken = append(taken, <-s.readers)
		}
		const n = 32
		answers := make(chan error, n)
		for range n {
			go func() { answers <- s.View(context.Background(), func(store.Reader) error { return nil }) }()
		}
		synctest.Wait() // until all of them wait
		if len(answers) > 0 {
			t.Fatalf("%d views are answered without a connection", len(answers))
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		for range n {
			if err := receive(t, answers); !errors.Is(err, errClosed) {
				t.Errorf("view: %v", err)
			}
		}
		for _, c := range taken {
			s.readers <- c
		}
		if err := receive(t, closed); err != nil {
			t.Error(err)
		}
	})
}

// A view that kept its snapshot would let the log beside the file grow.
func TestAViewLetsGoOfItsSnapshot(t *testing.T) {
	s := fresh(t)
	for name, fn := range map[string]func(r store.Reader) error{
		"success": func(store.Reader) error { return nil },
		"error":   func(store.Reader) error { return errClosed },
		"panic":   func(store.Reader) error { panic("out of order") },
		"lost":    func(r store.Reader) error { return r.(reader).Exec("COMMIT") },
		"no rollback": func(r store.Reader) error { // as when it is interrupted
			statement, err := r.(reader).prepare("ROLLBACK")
			return errors.Join(err, statement.Close())
		},
	} {
		mustPut(t, s, "x", name)
		for range 2 * cap(s.readers) {
			func() {
				defer func() { _ = recover() }()
				_ = s.View(t.Context(), func(r store.Reader) error {
					_, _ = r.Setting("x")
					return fn(r)
				})
			}()
		}
		mustPut(t, s, "x", "later")
		var busy, pages, moved int
		if err := s.writer.sql.QueryRowContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil || busy != 0 {
			t.Errorf("%s: the log cannot be cleared: busy %d, %v", name, busy, err)
		}
	}
}

func TestClosingWhileViewsArrive(t *testing.T) {
	for range 20 {
		s := fresh(t)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					if err := s.View(context.Background(), func(store.Reader) error { return nil }); err != nil {
						if !errors.Is(err, errClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		receive(t, done)
	}
}
