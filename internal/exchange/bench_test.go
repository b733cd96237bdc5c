package exchange_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/search"
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

// BenchmarkTransaction measures Bundles of 20 new Observations of a new
// patient, who is named by a urn: validated, linked, indexed, audited, on disk.
func BenchmarkTransaction(b *testing.B) {
	w := newWorld(b)
	const urn = "urn:uuid:6a1e7a8e-0001-4000-8000-000000000001"
	entries := []string{`{"fullUrl":"` + urn + `","resource":{"resourceType":"Patient","active":true,"identifier":[{"system":"http://n","value":"1"}],"name":[{"text":"Tan"}],"gender":"male","birthDate":"1980-01-01","managingOrganization":{"reference":"Organization/` + hospital + `"}},"request":{"method":"POST","url":"Patient"}}`}
	for i := range 20 {
		entries = append(entries, fmt.Sprintf(`{"resource":{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"%s"},"effectiveDateTime":"2026-11-22T10:00:00+08:00","valueQuantity":{"value":%d,"unit":"/min"}},"request":{"method":"POST","url":"Observation"}}`, urn, 60+i))
	}
	bundle, err := fhir.Parse([]byte(`{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.exchange.Transaction(w.ctx, hospitalSystem, bundle, nil); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N*len(entries))/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkSearch measures what source systems ask for among 5,000
// Appointments, as one of two organisations, each with its audit record on
// disk.
func BenchmarkSearch(b *testing.B) {
	w := newWorld(b)
	for i := range 5000 {
		w.put(hospitalSystem, w.appointment(wish{id: fmt.Sprintf("app-%d", i), patient: []string{"aminah", "siti"}[i%2]}))
	}
	for _, c := range []struct{ name, query string }{
		{"by id", "_id=app-77"},
		{"by date and service type, a page", "date=ge2026-11-22&service-type=VCI&_sort=date&_count=20"},
		{"by the patient's number, a chain", "patient.identifier=" + aminah.Login + "&_count=20"},
		{"with the patients", "status=booked&_include=Appointment:patient&_count=20"},
	} {
		values, err := url.ParseQuery(c.query)
		if err != nil {
			b.Fatal(err)
		}
		req, err := w.exchange.ParseSearch("Appointment", values)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					found, err := w.exchange.Search(w.ctx, hospitalSystem, req)
					if err != nil || len(found.Matches) == 0 {
						b.Errorf("%d matches, %v", len(found.Matches), err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "searches/s")
		})
	}
}

// BenchmarkPages measures searches among 20,000 records: one that fits on its
// page, the first page of one that does not and so keeps a cursor, a page behind
// it, and all of a compartment.
func BenchmarkPages(b *testing.B) {
	w := newWorld(b)
	types := []string{"Flag", "Observation", "Condition", "Basic"}
	for from := 0; from < 20_000; from += 2000 {
		w.update(func(tx store.Tx) error {
			for i := from; i < from+2000; i++ {
				body := fmt.Sprintf(`{"resourceType":%q,"id":"%08d-0000-4000-8000-000000000000","status":"active","code":{"text":"x"},"subject":{"reference":"Patient/p%d"}}`, types[i%4], i, i/12)
				doc, err := fhir.Parse([]byte(body))
				if err != nil {
					return err
				}
				res := store.Resource{Type: doc.Type(), ID: doc.ID(), Version: 1, Updated: w.now.Add(time.Duration(i) * time.Millisecond), Method: "PUT", Organization: hospital, Body: doc.Bytes()}
				if err := tx.PutResource(res, search.Index(doc), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	find := func(path string, values url.Values) func(b *testing.B) {
		return func(b *testing.B) {
			req, err := w.exchange.ParseSearch(path, values)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if out, err := w.exchange.Search(w.ctx, hospitalSystem, req); err != nil || len(out.Matches) == 0 {
					b.Fatal(len(out.Matches), err)
				}
			}
		}
	}
	b.Run("one page", find("Flag", url.Values{"patient": {"p17"}}))
	b.Run("first page", find("Flag", url.Values{"status": {"active"}}))
	b.Run("first page by time", find("Flag", url.Values{"_sort": {"-_lastUpdated"}}))
	b.Run("system by time", find("", url.Values{"_sort": {"-_lastUpdated"}}))
	b.Run("compartment", find("Patient/p17/*", nil))
	b.Run("next page", func(b *testing.B) {
		out, err := w.find(hospitalSystem, "Flag?status=active")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			w.page(hospitalSystem, out.Pages.Next)
		}
	})
}
