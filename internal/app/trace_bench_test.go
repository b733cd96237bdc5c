//go:build unix

package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// BenchmarkTracing puts and gets an Appointment over HTTP, by 32 callers, with
// tracing off, a tenth of the traces sent, and all of them. cpu-µs/op is the
// CPU of the whole process, callers and a collector that reads and throws away
// included.
func BenchmarkTracing(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(collector.Close)
	for _, method := range []string{"PUT", "GET"} {
		for _, c := range []struct {
			name, endpoint string
			ratio          float64
		}{{"off", "", 0}, {"0.1", collector.URL, 0.1}, {"1.0", collector.URL, 1}} {
			b.Run(method+"/"+c.name, func(b *testing.B) {
				cfg := Defaults()
				cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen = b.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
				cfg.OTLPEndpoint, cfg.OTLPRatio = c.endpoint, c.ratio
				a, err := Start(context.WithoutCancel(b.Context()), cfg, silent())
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(a.Stop)
				client := a.cast.Clients[0]
				sys, err := source.New(source.Config{Server: at(a), ClientID: client.ClientID, ClientSecret: client.ClientSecret})
				if err != nil {
					b.Fatal(err)
				}
				var callers atomic.Int64
				b.ReportAllocs()
				b.SetParallelism(16)
				began := cpu()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					start := time.Now().Truncate(time.Minute)
					doc, err := source.NewAppointment(source.AppointmentParams{
						ID: fmt.Sprintf("traced-%d", callers.Add(1)), ServiceType: mycore.ServiceIndividual, Specialty: "86", HealthcareService: a.cast.HealthcareServices[0].ID,
						HealthcareServiceName: "Clinic", Patient: a.cast.Patients[0].ID, PatientName: "P", Start: start, End: start.Add(time.Hour), ScheduleType: "internal",
					})
					if err == nil {
						_, err = sys.Put(b.Context(), doc)
					}
					for n := 0; err == nil && pb.Next(); n++ {
						if method == "GET" {
							_, err = sys.Get(b.Context(), "Appointment/"+doc.ID())
							continue
						}
						if doc, err = doc.With(fhir.Set("comment", fmt.Sprint(n))); err == nil {
							_, err = sys.Put(b.Context(), doc)
						}
					}
					if err != nil {
						b.Error(err)
					}
				})
				b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
