package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// The server is killed at random moments while updates go on. What was
// acknowledged is there afterwards, whole, and nothing is there in part.
func TestWhatWasAcknowledgedOutlivesTheServer(t *testing.T) {
	server := postgrestest.Own(t)
	s := open(t, server.URL())
	const writers, kills = 8, 4
	var wg sync.WaitGroup
	var stop atomic.Bool
	var total, unknown atomic.Int64
	one := make(chan struct{}, 1) // more was acknowledged
	acknowledged := make([]int64, writers)
	for i := range writers {
		wg.Go(func() {
			name := fmt.Sprintf("w%d", i)
			for !stop.Load() {
				var n int64
				err := s.Update(context.Background(), func(tx store.Tx) (err error) { n, err = step(tx, name); return err })
				switch {
				case err == nil:
					if n <= acknowledged[i] {
						t.Errorf("%s: %d was acknowledged after %d", name, n, acknowledged[i])
					}
					acknowledged[i] = n
					total.Add(1)
					select {
					case one <- struct{}{}:
					default:
					}
				case errors.Is(err, ErrUnknown):
					unknown.Add(1) // perhaps written: the next step tells
				default:
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for range kills {
		enough := total.Load() + 50 + rand.Int64N(300)
		for begin := time.Now(); total.Load() < enough && !t.Failed(); {
			select {
			case <-one:
			case <-time.After(2*time.Minute - time.Since(begin)):
				t.Error("the updates do not go on")
			}
		}
		if err := server.Stop("immediate"); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		whole(t, s, acknowledged, false)
	}
	stop.Store(true)
	wg.Wait()
	whole(t, s, acknowledged, true)
	t.Logf("%d updates acknowledged, of %d the end is unknown", total.Load(), unknown.Load())
}

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

func body(writer string, n int64) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%s %d ", writer, n), 100))
}

// whole demands that each writer's rows belong together and, when nobody
// writes any more, that they hold all that was acknowledged.
func whole(t *testing.T, s *Store, acknowledged []int64, quiet bool) {
	t.Helper()
	if err := s.View(t.Context(), func(r store.Reader) error {
		events := map[string]int64{}
		if quiet {
			list, err := r.PendingEvents(1 << 20)
			if err != nil {
				return err
			}
			for _, e := range list {
				if events[e.Topic]++; e.Number != events[e.Topic] || string(e.Value) != string(body(e.Topic, e.Number)) {
					t.Errorf("event %d of %s has number %d", events[e.Topic], e.Topic, e.Number)
				}
			}
		}
		for i := range acknowledged {
			writer := fmt.Sprintf("w%d", i)
			current, err := r.Resource("Encounter", writer)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			n := current.Version
			if quiet && (n < acknowledged[i] || n > 0 && string(current.Body) != string(body(writer, n)) || events[writer] != n) {
				t.Errorf("%s: version %d with %d events; acknowledged were %d", writer, n, events[writer], acknowledged[i])
			}
			c, err := r.Consultation(writer)
			if n > 0 && (err != nil || c.State != fmt.Sprint(n)) {
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
			page, err := r.Search(store.Query{Type: "Encounter", Where: store.Where(store.Clause{Param: "identifier",
				Any: []store.Match{{Kind: store.Token, Compare: store.Equal, Value: fmt.Sprintf("%s-%d|", writer, n)}}})})
			if err != nil {
				return err
			}
			if int64(past.Total) != n || int64(booked) != n || int64(audits) != n || n > 0 && page.Total != 1 {
				t.Errorf("%s: version %d, but %d in the history, %d bookings, %d audit records, %d found", writer, n, past.Total, booked, audits, page.Total)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
