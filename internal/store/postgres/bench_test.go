package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// callers is how many act at the same time.
const callers = 64

// BenchmarkCallers measures on a server with the durability of production. Of
// the records with an event, those of one topic fight for its counter.
func BenchmarkCallers(b *testing.B) {
	s := open(b, postgrestest.Own(b).URL())
	ctx := context.Background()
	put := func(id, topic string) error {
		return s.Update(ctx, func(tx store.Tx) error {
			number, err := tx.NextNumber(topic)
			if err != nil {
				return err
			}
			if err := tx.PutResource(store.Resource{Type: "Encounter", ID: id, Version: 1, Method: "PUT", Organization: "o", Body: make([]byte, 1500)}, []store.Entry{
				{Param: "identifier", Kind: store.Token, Value: id + "|"}, {Param: "subject", Kind: store.Reference, Value: "Patient/" + id},
				{Param: "date", Kind: store.Date, Low: 1, High: 2}, {Param: "status", Kind: store.Token, Value: "arrived|"},
			}, nil); err != nil {
				return err
			}
			if err := tx.PutEvent(store.Event{Topic: topic, Key: id, Number: number, Value: make([]byte, 2000), Created: time.Now()}); err != nil {
				return err
			}
			return tx.PutAudit(store.Audit{At: time.Now(), Target: "Encounter/" + id})
		})
	}
	var next atomic.Int64
	for _, bench := range []struct {
		name string
		do   func(n int64) error
	}{
		{"setting", func(n int64) error { return s.Update(ctx, set(fmt.Sprint("s", n%1000), "value")) }},
		{"record and event, one topic", func(n int64) error { return put(fmt.Sprintf("%x", uint64(n)*0x9E3779B97F4A7C15), "one") }},
		{"record and event, many topics", func(n int64) error {
			return put(fmt.Sprintf("%x", uint64(n)*0x9E3779B97F4A7C15), fmt.Sprint("t", n%200))
		}},
		{"read", func(int64) error {
			return s.View(ctx, func(r store.Reader) error { _, err := r.Resource("Encounter", "known"); return err })
		}},
	} {
		if bench.name == "read" {
			if err := put("known", "one"); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(bench.name, func(b *testing.B) {
			left := atomic.Int64{}
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := bench.do(next.Add(1)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "per-second")
		})
	}
}
