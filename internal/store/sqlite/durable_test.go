package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// childPath names the database for the process that the tests start from
// their own binary. It writes until it is killed.
const childPath = "JUMPA_STORE_TEST_CHILD"

// writers is how many goroutines of the child write at once.
const writers = 8

// step writes the next state of one writer: rows in many tables that must
// change together or not at all.
func step(tx store.Tx, writer string) (n int64, err error) {
	r, err := tx.Resource("Encounter", writer)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	n = r.Version + 1
	number, err := tx.NextNumber(writer)
	if err != nil {
		return 0, err
	}
	entry := func(n int64) []store.Entry {
		return []store.Entry{{Param: "identifier", Kind: store.Token, Value: fmt.Sprintf("%s-%d|", writer, n)}}
	}
	return n, errors.Join(
		tx.PutResource(store.Resource{Type: "Encounter", ID: writer, Version: n, Updated: time.UnixMicro(n), Method: "PUT", Organization: "o", Body: body(writer, n)}, entry(n), entry(n-1)),
		tx.PutConsultation(store.Consultation{Appointment: writer, Encounter: writer, State: fmt.Sprint(n)}),
		tx.Book(writer, fmt.Sprint(n)),
		tx.PutEvent(store.Event{Topic: writer, Key: writer, Number: number, Value: body(writer, n)}),
		tx.PutAudit(store.Audit{Target: writer, Trace: fmt.Sprint(n)}),
	)
}

// body is a document of several pages of the file, different for each version.
func body(writer string, n int64) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%s %d ", writer, n), 500+int(n%7)*300))
}

// child opens the database, writes, and says on stdout what it was told is on
// disk.
func child(path string) int {
	s, err := Open(context.Background(), path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			writer := fmt.Sprintf("w%d", i)
			for {
				var n int64
				err := s.Update(context.Background(), func(tx store.Tx) (err error) {
					n, err = step(tx, writer)
					return err
				})
				if err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				// One write each, so that lines stay whole.
				_, _ = os.Stdout.WriteString(fmt.Sprintf("%s %d\n", writer, n))
			}
		})
	}
	wg.Wait()
	return 0
}

// killed lets a child write and kills it a random moment after its first
// answer. It adds what the child was told is on disk.
func killed(t *testing.T, path string, acknowledged map[string]int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := 0
	for reader := bufio.NewReader(out); ; {
		line, err := reader.ReadString('\n')
		if err != nil {
			break // a line cut short was not said
		}
		var writer string
		var n int64
		if _, err := fmt.Sscanf(line, "%s %d\n", &writer, &n); err != nil || !strings.HasPrefix(writer, "w") {
			_ = cmd.Process.Kill()
			t.Fatalf("the child says: %s", line)
		}
		acknowledged[writer] = max(acknowledged[writer], n)
		if lines++; timer == nil {
			timer = time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || lines == 0 {
		t.Fatalf("the child ended by itself after %d answers: %v", lines, err)
	}
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	path := filepath.Join(t.TempDir(), "test.db")
	acknowledged := map[string]int64{}
	for i := range rounds {
		killed(t, path, acknowledged)
		if i%3 == 1 {
			continue // the next child finds the file as this one left it
		}
		s := reopen(t, path)
		intact(t, s, acknowledged)
		if t.Failed() {
			return
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("acknowledged: %v", acknowledged)
}

// intact demands that everything acknowledged is there and that nothing is
// half written.
func intact(t *testing.T, s *Store, acknowledged map[string]int64) {
	t.Helper()
	var verdict string
	if err := s.writer.sql.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the file: %s, %v", verdict, err)
	}
	err := s.View(t.Context(), func(r store.Reader) error {
		events := map[string]int64{}
		list, err := r.PendingEvents(1 << 30)
		if err != nil {
			return err
		}
		for _, e := range list {
			events[e.Topic]++
			if e.Number != events[e.Topic] || string(e.Value) != string(body(e.Topic, e.Number)) {
				t.Errorf("event %d of %s has number %d and %d bytes", events[e.Topic], e.Topic, e.Number, len(e.Value))
			}
		}
		for i := range writers {
			writer := fmt.Sprintf("w%d", i)
			current, err := r.Resource("Encounter", writer)
			if errors.Is(err, store.ErrNotFound) && acknowledged[writer] == 0 {
				continue
			}
			n := current.Version
			if err != nil || n < acknowledged[writer] || string(current.Body) != string(body(writer, n)) {
				t.Errorf("%s: version %d, %d bytes, %v; acknowledged were %d", writer, n, len(current.Body), err, acknowledged[writer])
				continue
			}
			c, err := r.Consultation(writer)
			if err != nil || c.State != fmt.Sprint(n) {
				t.Errorf("%s: version %d, consultation %s, %v", writer, n, c.State, err)
			}
			past, err := r.History(store.HistoryQuery{Type: "Encounter", ID: writer})
			if err != nil {
				return err
			}
			booked, err := r.Booked(writer)
			if err != nil {
				return err
			}
			audits, err := r.AuditCount(store.AuditQuery{Target: writer})
			if err != nil {
				return err
			}
			if int64(past.Total) != n || int64(booked) != n || int64(audits) != n || events[writer] != n {
				t.Errorf("%s: version %d, but %d in the history, %d bookings, %d audit records, %d events", writer, n, past.Total, booked, audits, events[writer])
			}
			for v, want := range map[int64]int{n: 1, n - 1: 0} {
				page, err := r.Search(store.Query{Type: "Encounter", Where: store.Where(store.Clause{Param: "identifier",
					Any: []store.Match{{Kind: store.Token, Compare: store.Equal, Value: fmt.Sprintf("%s-%d|", writer, v)}}})})
				if err != nil || page.Total != want {
					t.Errorf("%s: %d found by the entry of version %d of %d, %v", writer, page.Total, v, n, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestACopyOfAClosedDatabaseIsWhole(t *testing.T) {
	path := made(t)
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(path + suffix); err == nil && info.Size() > 0 {
			t.Errorf("%s is left with %d bytes: the file alone is not the database", suffix, info.Size())
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(other, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, reopen(t, other), "kept"); got != "yes" {
		t.Errorf("the copy has %q", got)
	}
}
