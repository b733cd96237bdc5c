package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// takesPart proves that a context from Within leads into the transaction.
func takesPart(t *testing.T, s store.Store) {
	broken := errors.New("broken")
	for _, fail := range []error{broken, nil} {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			ctx := store.Within(t.Context(), tx)
			if err := tx.PutSetting("outer", []byte("1")); err != nil {
				return err
			}
			err := s.View(ctx, func(r store.Reader) error {
				_, err := r.Setting("outer")
				return err
			})
			if err != nil {
				return fmt.Errorf("the outer write is not seen within: %w", err)
			}
			if err := s.Update(ctx, func(tx store.Tx) error { return tx.PutSetting("inner", []byte("2")) }); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatalf("the error is %v, want %v", err, fail)
		}
		for _, name := range []string{"outer", "inner"} {
			err := s.View(t.Context(), func(r store.Reader) error { _, err := r.Setting(name); return err })
			if fail == nil && err != nil || fail != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s after an end with %v: %v", name, fail, err)
			}
		}
	}
}

// everything writes a row of each kind, under the name.
func everything(tx store.Tx, name string) error {
	entries := []store.Entry{
		{Param: "identifier", Kind: store.Token, Value: name + "|"}, {Param: "date", Kind: store.Date, Low: 1, High: 2},
		{Param: "doctor", Kind: store.Reference, Value: "Practitioner/" + name},
	}
	c := waiting(name, minute(1))
	_, err := tx.NextNumber(name)
	return errors.Join(err,
		tx.PutResource(record("Patient", name, 1, monday), entries, nil),
		tx.PutResource(record("Patient", name, 2, monday), nil, nil),
		tx.Grant("Patient", name, "org-b"),
		tx.PutSession(store.Session{Token: name, Room: name, Status: "ended", Created: monday, Ended: monday}),
		tx.PutConsultation(c),
		tx.Book(name, name),
		tx.PutAccount(store.Account{Kind: "client", ID: name, Login: name}),
		tx.PutSignIn(store.SignIn{Hash: name, Expires: monday}),
		tx.PutOneTimeCode(store.OneTimeCode{Kind: "patient", Login: name, Expires: monday}),
		tx.PutNotification(store.Notification{ID: name, IdentityNumber: name, Created: monday}),
		tx.PutIdempotent(name, name, []byte(name), monday),
		tx.PutSetting(name, []byte(name)),
		tx.PutAudit(store.Audit{At: monday, Target: name}),
		tx.PutEvent(store.Event{Topic: name, Key: name, Value: []byte(name), Created: monday}),
	)
}

// present counts the rows under the name, of those that everything writes.
func present(r store.Reader, name string) (rows int, err error) {
	count := func(n int, e error) {
		if errors.Is(e, store.ErrNotFound) {
			n, e = 0, nil
		}
		rows, err = rows+n, errors.Join(err, e)
	}
	one := func(e error) { count(1, e) }
	_, e := r.Resource("Patient", name)
	one(e)
	_, e = r.ResourceVersion("Patient", name, 1)
	one(e)
	for _, c := range []store.Clause{where("identifier", token(name+"|")), where("date", dated(store.Equal, 1, 2)), where("doctor", reference("Practitioner/"+name))} {
		page, e := r.Search(store.Query{Type: "Patient", Where: store.Where(c, where("_id", token(name)))})
		count(page.Total, e)
	}
	page, e := r.History(store.HistoryQuery{Type: "Patient", ID: name})
	count(page.Total, e)
	may, e := r.MaySee("Patient", name, "org-b")
	if may {
		one(e)
	}
	list, e := r.ReferencedBy([]store.Key{{Type: "Practitioner", ID: name}}, 10)
	count(len(list), e)
	_, e = r.Session(name)
	one(e)
	endings, e := r.OpenEndings(1000)
	for _, x := range endings {
		if x.Token == name {
			one(e)
		}
	}
	_, e = r.Consultation(name)
	one(e)
	count(r.Booked(name))
	_, e = r.Account("client", name)
	one(e)
	_, e = r.SignIn(name)
	one(e)
	_, e = r.OneTimeCode("patient", name)
	one(e)
	notes, e := r.Notifications(name, 10)
	count(len(notes), e)
	_, e = r.Idempotent(name, name)
	one(e)
	_, e = r.Setting(name)
	one(e)
	count(r.AuditCount(store.AuditQuery{Target: name}))
	events, e := r.PendingEvents(1000)
	for _, x := range events {
		if x.Topic == name {
			one(e)
		}
	}
	return rows, err
}

// whole is what present counts after everything.
const whole = 21

func rows(name string) func(store.Reader) (int, error) {
	return func(r store.Reader) (int, error) { return present(r, name) }
}

// contextKey is for a value in a context.
type contextKey struct{}

var transactionTests = []test{
	{"a context from Within takes part in the transaction", takesPart},
	{"an update is seen whole once it has returned", func(t *testing.T, s store.Store) {
		equal(t, "rows before", read(t, s, rows("x")), 0)
		write(t, s, func(tx store.Tx) error { return everything(tx, "x") })
		equal(t, "rows after", read(t, s, rows("x")), whole)
	}},
	{"a transaction reads what it wrote; nobody else does before its end", func(t *testing.T, s store.Store) {
		var inside, outside int
		write(t, s, func(tx store.Tx) (err error) {
			if err := everything(tx, "x"); err != nil {
				return err
			}
			if inside, err = present(tx, "x"); err != nil {
				return err
			}
			outside, err = try(t.Context(), s, rows("x"))
			return err
		})
		equal(t, "rows inside and outside", []int{inside, outside}, []int{whole, 0})
		equal(t, "rows after", read(t, s, rows("x")), whole)
	}},
	{"an error rolls everything back and is returned as it is", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error { return everything(tx, "before") })
		refused := fmt.Errorf("refused: %w", store.ErrNotFound)
		err := s.Update(t.Context(), func(tx store.Tx) error {
			if err := everything(tx, "x"); err != nil {
				return err
			}
			return refused
		})
		if err != refused { //nolint:errorlint // the very same
			t.Errorf("update: %v; want the error of fn itself", err)
		}
		equal(t, "rows", read(t, s, rows("x")), 0)
		equal(t, "rows of before", read(t, s, rows("before")), whole)
		write(t, s, func(tx store.Tx) error { return everything(tx, "x") })
		equal(t, "rows, tried again", read(t, s, rows("x")), whole)
	}},
	{"a panic rolls everything back and the store lives on", func(t *testing.T, s store.Store) {
		err := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("%v", p)
				}
			}()
			return s.Update(t.Context(), func(tx store.Tx) error {
				if err := everything(tx, "x"); err != nil {
					return err
				}
				panic("out of order")
			})
		}()
		if err == nil {
			t.Error("the panic was swallowed")
		}
		equal(t, "rows", read(t, s, rows("x")), 0)
		write(t, s, func(tx store.Tx) error { return everything(tx, "x") })
		equal(t, "rows, tried again", read(t, s, rows("x")), whole)
	}},
	{"an error of a statement may be handled or not; what fails does not stay", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday))
		write(t, s, func(tx store.Tx) error {
			if err := tx.PutResource(record("Patient", "p1", 7, monday), nil, nil); !isConflict(err) {
				return fmt.Errorf("%w; want a conflict", errors.Join(err))
			}
			return tx.PutSetting("handled", []byte("yes"))
		})
		equal(t, "the setting", read(t, s, setting("handled")), []byte("yes"))
		equal(t, "the version", read(t, s, current("Patient", "p1")).Version, int64(1))
	}},
	{"the error of a view is returned as it is", func(t *testing.T, s store.Store) {
		refused := fmt.Errorf("refused: %w", store.ErrNotFound)
		if err := s.View(t.Context(), func(store.Reader) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("view: %v", err)
		}
	}},
	{"a panic in a view reaches its caller and the store lives on", func(t *testing.T, s store.Store) {
		for range 100 { // more than there may be connections
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				_ = s.View(t.Context(), func(r store.Reader) error {
					_, _ = r.Setting("x")
					panic("out of order")
				})
			}()
		}
		absent(t, s, "a setting", setting("x"))
	}},
	{"a view sees one snapshot while others write", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error { return everything(tx, "old") })
		var before, after, old int
		err := s.View(t.Context(), func(r store.Reader) (err error) {
			if before, err = present(r, "new"); err != nil {
				return err
			}
			if err := s.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(everything(tx, "new"), tx.PutResource(record("Patient", "old", 3, monday), nil, nil),
					tx.PutSetting("old", []byte("changed")), tx.Unbook("old", "old"), tx.DeleteSignIn("old"))
			}); err != nil {
				return err
			}
			if after, err = present(r, "new"); err != nil {
				return err
			}
			old, err = present(r, "old")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "new rows before and after the update, and the old rows", []int{before, after, old}, []int{0, 0, whole})
		equal(t, "new rows in the next view", read(t, s, rows("new")), whole)
		equal(t, "old rows in the next view", read(t, s, rows("old")), whole-1) // two less, and one version more
	}},
	{"sums hold in every view while money moves", func(t *testing.T, s store.Store) {
		put := func(tx store.Tx, name string, n int) error { return tx.PutSetting(name, fmt.Append(nil, n)) }
		write(t, s, func(tx store.Tx) error { return errors.Join(put(tx, "a", 1000), put(tx, "b", 0)) })
		done := make(chan error, 1)
		stop := make(chan struct{})
		go func() {
			for i := 1; i <= 1000; i++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(put(tx, "a", 1000-i), put(tx, "b", i)) }); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for range 200 {
			sum := read(t, s, func(r store.Reader) (sum int, err error) {
				for _, name := range []string{"a", "b"} {
					v, err := r.Setting(name)
					if err != nil {
						return 0, err
					}
					var n int
					if _, err := fmt.Sscan(string(v), &n); err != nil {
						return 0, err
					}
					sum += n
				}
				return sum, nil
			})
			if sum != 1000 {
				t.Errorf("a and b make %d", sum)
				break
			}
		}
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}},
	{"nothing runs for a context that has ended", func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ran := false
		if err := s.Update(ctx, func(tx store.Tx) error { ran = true; return everything(tx, "x") }); !errors.Is(err, context.Canceled) {
			t.Errorf("update: %v", err)
		}
		if err := s.View(ctx, func(store.Reader) error { ran = true; return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("view: %v", err)
		}
		if ran {
			t.Error("fn was run")
		}
		equal(t, "rows", read(t, s, rows("x")), 0)
	}},
	{"an update whose context ends under way is written whole or not at all, as it says", func(t *testing.T, s store.Store) {
		for i := range 20 {
			name := fmt.Sprintf("x%d", i)
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, i))
			err := s.Update(ctx, func(tx store.Tx) error {
				if i%2 == 0 {
					cancel()
				}
				if err := everything(tx, name); err != nil {
					return err
				}
				cancel()
				return nil
			})
			cancel()
			want := 0
			if err == nil {
				want = whole
			}
			equal(t, fmt.Sprintf("rows after %v", err), read(t, s, rows(name)), want)
		}
	}},
	{"a view whose context ends under way leaves no harm", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			for i := range 500 {
				if err := tx.PutResource(record("Slot", fmt.Sprintf("s%d", i), 1, monday), []store.Entry{{Param: "status", Kind: store.Token, Value: "free|"}}, nil); err != nil {
					return err
				}
			}
			return nil
		})
		all := search(store.Query{Type: "Slot", Where: store.Where(where("status", token("free|"))), Sort: []store.Sort{{Param: "status", Descending: true}}, Count: 500, Total: true})
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 25 {
					ctx, cancel := context.WithCancel(t.Context())
					stopped := make(chan struct{})
					go func() { // ends the view at another moment each time
						defer close(stopped)
						for range i * (g + 1) {
							_ = fmt.Sprint(i)
						}
						cancel()
					}()
					page, err := try(ctx, s, all)
					if err == nil && len(page.Resources) != 500 {
						t.Errorf("half an answer: %d of 500", len(page.Resources))
					}
					<-stopped
					if _, err := try(t.Context(), s, setting("none")); !errors.Is(err, store.ErrNotFound) {
						t.Errorf("a view after one that was cancelled: %v", err)
					}
				}
			})
		}
		wg.Wait()
		for range 50 {
			equal(t, "found", len(read(t, s, all).Resources), 500)
		}
	}},
	{"a context that ends between the reads of a view ends the view", func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := try(ctx, s, func(r store.Reader) ([]byte, error) {
			cancel()
			return r.Setting("x")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("view: %v", err)
		}
		for range 50 {
			absent(t, s, "a setting", setting("x"))
		}
	}},
	{"a closed store serves nobody", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error { return everything(tx, "x") })
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
		}
		ran := false
		if err := s.Update(t.Context(), func(store.Tx) error { ran = true; return nil }); err == nil {
			t.Error("an update after the end")
		}
		if err := s.View(t.Context(), func(store.Reader) error { ran = true; return nil }); err == nil {
			t.Error("a view after the end")
		}
		if ran {
			t.Error("fn was run")
		}
	}},
	{"closing waits for what is under way and answers all who come", func(t *testing.T, s store.Store) {
		begun, finish := make(chan struct{}), make(chan struct{})
		answers := make(chan error, 101)
		go func() {
			answers <- s.View(t.Context(), func(r store.Reader) error {
				close(begun)
				<-finish
				_, err := r.Setting("none")
				if errors.Is(err, store.ErrNotFound) {
					return nil
				}
				return fmt.Errorf("the view under way: %w", errors.Join(err, errors.New("the store has gone")))
			})
		}()
		<-begun
		var started sync.WaitGroup
		for i := range 100 {
			started.Add(1)
			go func() {
				started.Done()
				if i%2 == 0 {
					_ = s.View(t.Context(), func(store.Reader) error { return nil })
				} else {
					_ = s.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting("s", nil) })
				}
				answers <- nil
			}()
		}
		started.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		close(finish)
		for range 101 {
			if err := receive(t, answers); err != nil {
				t.Error(err)
			}
		}
		if err := receive(t, closed); err != nil {
			t.Errorf("close: %v", err)
		}
	}},
}
