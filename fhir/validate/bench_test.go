package validate_test

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
	"github.com/jumpa-hie/jumpa/mycore"
)

// large is an Encounter of 3 KB, as a virtual consultation has it at its end.
func large(tb testing.TB) *fhir.Document {
	raw, err := os.ReadFile("../../mycore/testdata/good/encounter-vci.json")
	if err != nil {
		tb.Fatal(err)
	}
	history := `"statusHistory": [`
	for range 12 {
		history += `{"status": "planned", "period": {"start": "2026-11-23T09:00:00+08:00", "end": "2026-11-23T09:30:00+08:00"}},
    `
	}
	return parsed(tb, strings.Replace(string(raw), `"statusHistory": [`, history, 1))
}

func BenchmarkEncounter(b *testing.B) {
	doc := large(b)
	v := validate.New(validate.Options{})
	b.Logf("%d bytes", len(doc.Bytes()))
	if issues := v.Validate(b.Context(), doc); len(issues) > 0 {
		b.Fatal(issues)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Validate(b.Context(), doc)
	}
}

func BenchmarkEncounterWithProfile(b *testing.B) {
	doc := large(b)
	v := mycore.Standard().Engine()
	profile := mycore.Profile("Encounter")
	if err := v.Validate(b.Context(), doc, profile).Err(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Validate(b.Context(), doc, profile)
	}
}

// BenchmarkStart measures New and the first document, each time in a process of
// its own, and the memory that stays.
func BenchmarkStart(b *testing.B) {
	var took time.Duration
	var heap float64
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStart$")
		cmd.Env = append(os.Environ(), "VALIDATE_START=1")
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "start" {
				ns, _ := strconv.Atoi(f[1])
				bytes, _ := strconv.Atoi(f[2])
				took += time.Duration(ns)
				heap += float64(bytes)
			}
		}
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "start-ms")
	b.ReportMetric(heap/float64(b.N)/(1<<20), "start-MB")
}

// TestStart is the process that BenchmarkStart begins.
func TestStart(t *testing.T) {
	if os.Getenv("VALIDATE_START") == "" {
		t.Skip("runs for the benchmark")
	}
	doc := large(t)
	begin := time.Now()
	v := validate.New(validate.Options{})
	v.Validate(t.Context(), doc)
	took := time.Since(begin)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	os.Stdout.WriteString("start " + strconv.Itoa(int(took)) + " " + strconv.Itoa(int(m.Sys)) + "\n")
	runtime.KeepAlive(v)
}
