package mycore

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

// large is an Encounter of 3 KB, as a virtual consultation has it at its end.
func large(t testing.TB) *fhir.Document {
	history := strings.Repeat(`{"status": "planned", "period": {"start": "2026-11-23T09:00:00+08:00", "end": "2026-11-23T09:30:00+08:00"}},`, 12)
	return parse(t, strings.Replace(string(load(t, "good/encounter-vci").Bytes()), `"statusHistory": [`, `"statusHistory": [`+history, 1))
}

// BenchmarkReceive judges records as they come in.
func BenchmarkReceive(b *testing.B) {
	v := NewValidator(Line2024, validate.Options{})
	for name, doc := range map[string]*fhir.Document{
		"appointment": load(b, "good/appointment-vci"), "encounter of 3 KB": large(b), "slot": load(b, "good/slot-vci"), "patient": load(b, "good/patient"),
	} {
		b.Run(name, func(b *testing.B) {
			if issues := v.Receive(b.Context(), doc, Strict); len(issues) > 0 {
				b.Fatal(issues)
			}
			b.ReportAllocs()
			for b.Loop() {
				v.Receive(b.Context(), doc, Lenient)
			}
		})
	}
}

// BenchmarkStart makes a Validator and uses every profile of both lines, each
// time in a process of its own.
func BenchmarkStart(b *testing.B) {
	sum := map[string]float64{}
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStart$", "-test.v")
		cmd.Env = append(os.Environ(), "MYCORE_START=1")
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "start" {
				n, _ := strconv.ParseFloat(f[2], 64)
				sum[f[1]] += n
			}
		}
	}
	for unit, n := range sum {
		b.ReportMetric(n/float64(b.N), unit)
	}
}

// TestStart is the process that BenchmarkStart begins.
func TestStart(t *testing.T) {
	if os.Getenv("MYCORE_START") == "" {
		t.Skip("runs for the benchmark")
	}
	doc, begin := large(t), time.Now()
	say := func(unit string, n float64) {
		os.Stdout.WriteString("start " + unit + " " + strconv.FormatFloat(n, 'f', 3, 64) + "\n")
	}
	v := NewValidator(Line2024, validate.Options{})
	say("made-ms", float64(time.Since(begin).Microseconds())/1000)
	v.Receive(t.Context(), doc, Lenient)
	say("first-ms", float64(time.Since(begin).Microseconds())/1000)
	if list := v.Engine().Skipped(); len(list) > 0 { // builds all
		t.Error(list)
	}
	say("all-ms", float64(time.Since(begin).Microseconds())/1000)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	say("MB", float64(m.Sys)/(1<<20))
	runtime.KeepAlive(v)
}
