package sqlite

import (
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
)

// Every search of the flows is led by an index, and no long list is sorted;
// what an organisation owns of so few records is not long.
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
				if unsorted[f.Name] && organization == "" && step == "USE TEMP B-TREE FOR ORDER BY" {
					t.Errorf("%s sorts what it finds:\n  %s", f.Name, strings.Join(steps, "\n  "))
				}
			}
		}
	}
	if searched < 4*len(storetest.Flows) {
		t.Errorf("only %d statements were looked at", searched)
	}
}
