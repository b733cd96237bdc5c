package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// admin runs statements on a database, beside the store.
func admin(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func run(t testing.TB, c *pgx.Conn, query string, args ...any) {
	t.Helper()
	if _, err := c.Exec(context.Background(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// each runs fn n times at once and reports the errors.
func each(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := fn(i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func get(t testing.TB, s *Store, name string) string {
	t.Helper()
	var v []byte
	if err := s.View(context.Background(), func(r store.Reader) (err error) {
		v, err = r.Setting(name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return string(v)
}

func set(name, value string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.PutSetting(name, []byte(value)) }
}

func TestTheSchemaHasAsManyVersionsAsThatOfSQLite(t *testing.T) {
	ours, err := schema.ReadDir("schema")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadDir("../sqlite/schema")
	if err != nil {
		t.Fatal(err)
	}
	if len(ours) != len(theirs) || len(ours) == 0 {
		t.Errorf("%d migrations here, %d there", len(ours), len(theirs))
	}
	for i, f := range ours {
		if want := fmt.Sprintf("%04d", i+1); !strings.HasPrefix(f.Name(), want) {
			t.Errorf("migration %d is %s", i+1, f.Name())
		}
	}
}

func TestADatabaseIsOpenedAgainAndByManyAtOnce(t *testing.T) {
	url := database(t)
	each(t, 8, func(i int) error {
		s, err := Open(t.Context(), url)
		if err != nil {
			return err
		}
		return errors.Join(s.Update(t.Context(), set(fmt.Sprint(i), "kept")), s.Close())
	})
	s := open(t, url)
	for i := range 8 {
		if got := get(t, s, fmt.Sprint(i)); got != "kept" {
			t.Errorf("setting %d is %q", i, got)
		}
	}
}

func TestADatabaseOfANewerProgramIsRefused(t *testing.T) {
	url := database(t)
	if err := open(t, url).Close(); err != nil {
		t.Fatal(err)
	}
	c := admin(t, url)
	run(t, c, "UPDATE schema_version SET version = 9999; INSERT INTO setting VALUES ('schema.oldest', '9999')")
	if s, err := Open(t.Context(), url); !errors.Is(err, ErrNewer) {
		if err == nil {
			_ = s.Close()
		}
		t.Errorf("open: %v; want ErrNewer", err)
	}
	run(t, c, "UPDATE schema_version SET version = -1")
	if s, err := Open(t.Context(), url); err == nil {
		_ = s.Close()
		t.Error("a version that never was is accepted")
	}
}

// Two processes book the places of one Slot. Each reads how many are taken and
// then writes.
func TestAQuotaHoldsBetweenProcesses(t *testing.T) {
	url := database(t)
	stores := []*Store{open(t, url), open(t, url)}
	const quota, callers = 7, 48
	full := errors.New("full")
	var mu sync.Mutex
	won := 0
	each(t, callers, func(i int) error {
		err := stores[i%2].Update(t.Context(), func(tx store.Tx) error {
			n, err := tx.Booked("slot")
			if err != nil {
				return err
			}
			if n >= quota {
				return full
			}
			return tx.Book("slot", fmt.Sprint(i))
		})
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			won++
		}
		if errors.Is(err, full) {
			return nil
		}
		return err
	})
	for _, s := range stores {
		if err := s.View(t.Context(), func(r store.Reader) error {
			if n, err := r.Booked("slot"); err != nil || n != quota || won != quota {
				t.Errorf("%d booked, %d were told so, %v; the quota is %d", n, won, err, quota)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestNoChangeIsLostBetweenProcesses(t *testing.T) {
	url := database(t)
	stores := []*Store{open(t, url), open(t, url)}
	const callers, times = 16, 5
	each(t, callers, func(i int) error {
		for range times {
			if err := stores[i%2].Update(t.Context(), func(tx store.Tx) error {
				old, err := tx.Setting("sum")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				n := 0
				_, _ = fmt.Sscan(string(old), &n)
				return tx.PutSetting("sum", fmt.Append(nil, n+1))
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if got := get(t, stores[0], "sum"); got != fmt.Sprint(callers*times) {
		t.Errorf("the sum is %s; want %d", got, callers*times)
	}
}

// Two doctors are on duty. Each may go when another stays: they read the same
// and write different rows.
func TestWhatWasReadStillHoldsAtTheCommit(t *testing.T) {
	url := database(t)
	stores := []*Store{open(t, url), open(t, url)}
	for round := range 10 {
		a, b := fmt.Sprintf("%d-a", round), fmt.Sprintf("%d-b", round)
		if err := stores[0].Update(t.Context(), func(tx store.Tx) error { return errors.Join(set(a, "on")(tx), set(b, "on")(tx)) }); err != nil {
			t.Fatal(err)
		}
		each(t, 2, func(i int) error {
			return stores[i].Update(t.Context(), func(tx store.Tx) error {
				on := 0
				for _, name := range []string{a, b} {
					v, err := tx.Setting(name)
					if err != nil {
						return err
					}
					if string(v) == "on" {
						on++
					}
				}
				if on < 2 {
					return nil
				}
				return tx.PutSetting([]string{a, b}[i], []byte("off"))
			})
		})
		if get(t, stores[0], a) == "off" && get(t, stores[0], b) == "off" {
			t.Fatalf("round %d: nobody is on duty", round)
		}
	}
}

func TestAnEventThatIsCommittedLateIsNotPassedBy(t *testing.T) {
	url := database(t)
	s := open(t, url)
	late := admin(t, url)
	run(t, late, "BEGIN")
	run(t, late, "INSERT INTO event (topic, key, number, headers, value, created) VALUES ('t', 'late', 1, '[]', '', 1)")
	event := func(key string) func(store.Tx) error {
		return func(tx store.Tx) error {
			return tx.PutEvent(store.Event{Topic: "t", Key: key, Created: time.UnixMicro(1)})
		}
	}
	if err := s.Update(t.Context(), event("early")); err != nil {
		t.Fatal(err)
	}
	pending := func() (list []store.Event) {
		t.Helper()
		if err := s.View(t.Context(), func(r store.Reader) (err error) { list, err = r.PendingEvents(10); return err }); err != nil {
			t.Fatal(err)
		}
		return list
	}
	first := pending()
	if len(first) != 1 || first[0].Key != "early" {
		t.Fatalf("pending: %+v", first)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		return tx.MarkPublished(time.UnixMicro(2), []store.Published{{Seq: first[0].Seq, Topic: "t"}})
	}); err != nil {
		t.Fatal(err)
	}
	run(t, late, "COMMIT")
	if list := pending(); len(list) != 1 || list[0].Key != "late" || list[0].Seq >= first[0].Seq {
		t.Errorf("pending after the late commit: %+v", list)
	}
}

// Those that queue share a transaction, but not their errors.
func TestInTheLaneEachAnswersForItself(t *testing.T) {
	url := database(t)
	s := open(t, url)
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutAccount(store.Account{Kind: "client", ID: "first", Login: "taken"})
	}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	s.gate.Lock() // all that come now queue
	const n = 30
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(tx store.Tx) error {
				if err := tx.PutSetting(fmt.Sprint(i), []byte("x")); err != nil {
					return err
				}
				switch i % 5 {
				case 1: // before anything was sent
					return refused
				case 2: // after
					_, err := tx.NextNumber("n")
					return errors.Join(err, refused)
				case 3: // a statement that the server refuses
					return tx.PutAccount(store.Account{Kind: "client", ID: fmt.Sprint(i), Login: "taken"})
				case 4:
					panic("out of order")
				}
				_, err := tx.NextNumber("n")
				return err
			})
		})
	}
	for begin := time.Now(); len(s.queue) < n-1 && time.Since(begin) < time.Minute; { // the lane holds the first
		time.Sleep(time.Millisecond)
	}
	s.gate.Unlock()
	wg.Wait()
	for i, err := range errs {
		ok := err == nil
		switch i % 5 {
		case 1, 2:
			ok = errors.Is(err, refused)
		case 3:
			ok = is(err, "23505")
		case 4:
			ok = err != nil && strings.Contains(err.Error(), "out of order")
		}
		if !ok {
			t.Errorf("update %d: %v", i, err)
		}
		var there bool
		if err := s.View(t.Context(), func(r store.Reader) error {
			_, err := r.Setting(fmt.Sprint(i))
			there = err == nil
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if there != (i%5 == 0) {
			t.Errorf("update %d: there is %v", i, there)
		}
	}
	var number int64
	if err := s.Update(t.Context(), func(tx store.Tx) (err error) { number, err = tx.NextNumber("n"); return err }); err != nil || number != n/5+1 {
		t.Errorf("the next number is %d, %v; want %d", number, err, n/5+1)
	}
}

func TestConnectionsThatDiedAreReplaced(t *testing.T) {
	url := database(t)
	s := open(t, url)
	c := admin(t, url)
	for i := range 10 {
		each(t, 8, func(int) error {
			return s.View(t.Context(), func(r store.Reader) error { _, err := r.Booked("x"); return err })
		})
		if err := s.Update(t.Context(), set("n", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		run(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'jumpa'")
		if i%2 == 0 {
			if got := get(t, s, "n"); got != fmt.Sprint(i) {
				t.Errorf("n is %s; want %d", got, i)
			}
		}
	}
	// Also one that dies in the middle of an update.
	runs := 0
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		runs++
		if _, err := tx.NextNumber("once"); err != nil {
			return err
		}
		if runs == 1 {
			run(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'jumpa'")
		}
		n, err := tx.Booked("x")
		return errors.Join(err, tx.PutSetting("n", fmt.Append(nil, "after ", n)))
	}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "n"); got != "after 0" || runs < 2 {
		t.Errorf("n is %q after %d runs", got, runs)
	}
}

// Every value that SQLite takes is taken here: long ones, and what is no text.
func TestOddValuesAreTaken(t *testing.T) {
	s := fresh(t)
	long := strings.Repeat("ab漢", 3000)
	values := []string{long + "1|", long + "2|", "nul\x00|", "bytes\xff|", "", "?|$1"}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		var errs []error
		for i, v := range values {
			errs = append(errs, tx.PutResource(store.Resource{Type: "Patient", ID: fmt.Sprint(i), Version: 1, Method: "POST", Body: []byte("?\x00\xff")},
				[]store.Entry{{Param: "identifier", Kind: store.Token, Value: v}, {Param: "subject", Kind: store.Reference, Value: v}}, nil))
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if err := s.View(t.Context(), func(r store.Reader) error {
			page, err := r.Search(store.Query{Type: "Patient", Count: 10, Where: store.Where(store.Clause{Param: "identifier", Any: []store.Match{{Kind: store.Token, Compare: store.Equal, Value: v}}})})
			if err == nil && (len(page.Resources) != 1 || page.Resources[0].ID != fmt.Sprint(i)) {
				t.Errorf("value %d finds %+v", i, page.Resources)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
}

// A check-in reads what it decides upon, one round trip each; all that it
// writes travels with the commit.
func TestWritesNeedNoRoundTripsOfTheirOwn(t *testing.T) {
	s := fresh(t)
	trips := func(fn func(tx store.Tx) error) int {
		t.Helper()
		var c *conn
		if err := s.Update(t.Context(), func(t store.Tx) error { c = t.(*tx).conn; return fn(t) }); err != nil {
			t.Fatal(err)
		}
		return c.trips
	}
	entries := []store.Entry{{Param: "a", Kind: store.Token, Value: "x|"}, {Param: "b", Kind: store.Date, Low: 1, High: 2}, {Param: "c", Kind: store.Reference, Value: "Patient/x"}}
	if n := trips(set("a", "b")); n != 2 {
		t.Errorf("a setting needs %d round trips", n)
	}
	checkIn := func(version int64) func(store.Tx) error {
		return func(tx store.Tx) error {
			if _, err := tx.Resource("Encounter", "e"); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			_, err := tx.NextNumber("n")
			return errors.Join(err,
				tx.PutResource(store.Resource{Type: "Encounter", ID: "e", Version: version}, entries, nil), tx.Grant("Encounter", "e", "o"),
				tx.PutSession(store.Session{Token: "t"}), tx.PutConsultation(store.Consultation{Appointment: "a"}),
				tx.Book("s", "a"), tx.PutEvent(store.Event{Topic: "t"}), tx.PutAudit(store.Audit{}))
		}
	}
	for version := range int64(3) {
		if n := trips(checkIn(version + 1)); n != 3 {
			t.Errorf("two reads and nine writes need %d round trips; want 3", n)
		}
	}
}
