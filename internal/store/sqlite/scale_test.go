package sqlite

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
)

// BenchmarkSearchAtScale times the searches of the flows, each alone and with
// its total, over 10,000 appointments and what belongs to them, or over as many
// as JUMPA_BENCH_ROWS says.
func BenchmarkSearchAtScale(b *testing.B) {
	rows := 10_000
	if text := os.Getenv("JUMPA_BENCH_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	s := fresh(b)
	if err := storetest.Fill(b.Context(), s, rows); err != nil {
		b.Fatal(err)
	}
	for _, f := range storetest.Flows {
		for _, organization := range []string{"", "o7"} {
			for _, total := range []bool{false, true} {
				q, err := f.Query(organization, total)
				if err != nil {
					b.Fatal(f.Name, err)
				}
				name := f.Name
				if organization != "" {
					name += "/of an organisation"
				}
				if total {
					name += "/with total"
				}
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						if err := s.View(b.Context(), func(r store.Reader) error { _, err := r.Search(q); return err }); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// Every search of the flows is led by an index, and no long list is sorted.
func TestFlowsUseIndexes(t *testing.T) {
	s := fresh(t)
	if err := storetest.Fill(t.Context(), s, 11_500); err != nil {
		t.Fatal(err)
	}
	unsorted := map[string]bool{
		"by a status that is frequent, sorted": true, "all by date": true, "all by date, latest first": true, "all by status": true,
		"last changed": true, "all": true, "not a status": true, "by code": true, "changed since": true,
	}
	searched := 0
	for _, f := range storetest.Flows {
		for _, organization := range []string{"", "o7"} {
			q, err := f.Query(organization, true)
			if err != nil {
				t.Fatal(f.Name, err)
			}
			var steps []string
			if err := s.Update(t.Context(), func(tx store.Tx) error {
				s.writer.forget()
				if _, err := tx.Search(q); err != nil {
					return err
				}
				_, err := tx.List(q)
				return err
			}); err != nil {
				t.Fatal(f.Name, err)
			}
			for query := range s.writer.statements {
				if strings.HasPrefix(query, "SELECT") && strings.Contains(query, "resource r") {
					searched++
					steps = append(steps, plan(t, s, query)...)
				}
			}
			for _, step := range steps {
				if strings.HasPrefix(step, "SCAN") && !virtual.MatchString(step) {
					t.Errorf("%s reads a whole table: %s", f.Name, step)
				}
				if unsorted[f.Name] && step == "USE TEMP B-TREE FOR ORDER BY" {
					t.Errorf("%s sorts what it finds:\n  %s", f.Name, strings.Join(steps, "\n  "))
				}
			}
		}
	}
	if searched < 4*len(storetest.Flows) {
		t.Errorf("only %d statements were looked at", searched)
	}
}
