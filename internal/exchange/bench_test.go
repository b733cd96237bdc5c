package exchange_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// BenchmarkPutAppointment measures durable small writes by 64 callers:
// validated, indexed, audited, committed with synchronous=FULL.
func BenchmarkPutAppointment(b *testing.B) {
	w := newWorld(b)
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			body := w.appointment(wish{id: fmt.Sprintf("app-%d", n.Add(1))})
			if _, err := w.try(hospitalSystem, body); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// BenchmarkCommit is the baseline: transactions that write one row, by as many
// callers, on the same disk.
func BenchmarkCommit(b *testing.B) {
	w := newWorld(b)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := w.store.Update(w.ctx, func(tx store.Tx) error { return tx.PutSetting("x", []byte("y")) }); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// BenchmarkRead measures reads by id, each with its audit record on disk.
func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	w.put(hospitalSystem, w.appointment(wish{}))
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.exchange.Read(w.ctx, hospitalSystem, "Appointment", "app-1"); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkCheckIn measures whole check-ins by 64 callers: session, Encounter,
// Consent, Appointment, event and audit record on disk.
func BenchmarkCheckIn(b *testing.B) {
	w := newWorld(b)
	for i := range b.N {
		w.put(hospitalSystem, w.appointment(wish{id: fmt.Sprintf("app-%d", i)}))
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := w.consult.CheckIn(w.ctx, aminah, fmt.Sprintf("app-%d", n.Add(1)-1), agreed); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "check-ins/s")
}
