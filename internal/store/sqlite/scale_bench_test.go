//go:build unix

package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
)

// BenchmarkSearchAtScale times the searches of the flows over 10,000
// appointments and what belongs to them, or over as many as JUMPA_BENCH_ROWS
// says: the first page, the number of matches, and the names of the first
// thousand, which the exchange keeps for the pages. cpu-ms/op is the time of
// the processor, which other programs disturb less. A database that
// JUMPA_BENCH_FILE names is kept, and is not filled again.
func BenchmarkSearchAtScale(b *testing.B) {
	s := filled(b)
	for _, f := range storetest.Flows {
		for _, organization := range []string{"", "o7"} {
			name := f.Name
			if organization != "" {
				name += "/of an organisation"
			}
			q, err := f.Query(organization, false)
			if err != nil {
				b.Fatal(name, err)
			}
			count, names := q, q
			count.Count, count.Total, names.Count = 0, true, 1000
			for _, run := range []struct {
				name string
				ask  func(store.Reader) error
			}{
				{"page", func(r store.Reader) error { _, err := r.Search(q); return err }},
				{"total", func(r store.Reader) error { _, err := r.Search(count); return err }},
				{"names", func(r store.Reader) error { _, err := r.List(names); return err }},
			} {
				b.Run(name+"/"+run.name, func(b *testing.B) {
					start, n := processor(b), 0
					for ; b.Loop(); n++ {
						if err := s.View(b.Context(), run.ask); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(processor(b)-start)/float64(n)/1e6, "cpu-ms/op")
				})
			}
		}
	}
}

// processor is the time that this process has had of the processor.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// filled opens the database of BenchmarkSearchAtScale.
func filled(b *testing.B) *Store {
	rows, path := 10_000, os.Getenv("JUMPA_BENCH_FILE")
	if text := os.Getenv("JUMPA_BENCH_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	if path == "" {
		path = filepath.Join(b.TempDir(), "test.db")
	}
	s := reopen(b, path)
	const done = "filled" // the setting that tells how many appointments are in the file
	var have string
	if err := s.View(b.Context(), func(r store.Reader) error {
		value, err := r.Setting(done)
		have = string(value)
		return err
	}); err != nil && !errors.Is(err, store.ErrNotFound) {
		b.Fatal(err)
	}
	switch have {
	case strconv.Itoa(rows):
		return s
	case "":
	default:
		b.Fatalf("%s holds %s appointments", path, have)
	}
	if err := storetest.Fill(b.Context(), s, rows); err != nil {
		b.Fatal(err)
	}
	if err := s.Update(b.Context(), func(tx store.Tx) error { return tx.PutSetting(done, []byte(strconv.Itoa(rows))) }); err != nil {
		b.Fatal(err)
	}
	return s
}
