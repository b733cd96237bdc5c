package sqlite

import (
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// A search finds the same in the same order whether a condition's list leads
// it, the list of what an organisation may see, or none.
func TestEveryWayFindsTheSame(t *testing.T) {
	s := fresh(t)
	if err := storetest.Fill(t.Context(), s, 2000); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, id := range []string{"a0", "a77", "a8"} { // one that is booked, and one of the patient 7, of others
			if err := tx.Grant("Appointment", id, "o7"); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// What is said of the length of a list, up to a limit.
	ways := map[string]func(rows query.Text, limit int) int{
		"conditions": func(query.Text, int) int { return 1 },
		"none":       func(_ query.Text, limit int) int { return limit },
		"the owner": func(rows query.Text, limit int) int {
			if strings.HasPrefix(rows.SQL, "SELECT o.rid FROM resource o") {
				return 1
			}
			return limit
		},
		"none at first": func(rows query.Text, limit int) int {
			if strings.HasPrefix(rows.SQL, "SELECT 1 FROM (") {
				return 0 // no page is near
			}
			return min(limit, 50_000)
		},
	}
	for _, f := range storetest.Flows {
		for _, organization := range []string{"", "o7"} {
			q, err := f.Query(organization, true)
			if err != nil {
				t.Fatal(f.Name, err)
			}
			q.Count = 3000
			var want []string
			for name, few := range ways {
				var got []string
				total := 0
				if err := s.View(t.Context(), func(r store.Reader) error {
					in := r.(reader)
					ask, err := query.Write(dialect, q, func(rows query.Text, limit int) (int, error) { return few(rows, limit), nil })
					if err != nil {
						return err
					}
					page, err := ask.Fetch(q, tables.ResourceColumns, func(t query.Text) ([]store.Resource, error) {
						return tables.Many(in.conn, t.SQL, t.Args, tables.ScanResource)
					}, in.number)
					total = page.Total
					for _, res := range page.Resources {
						got = append(got, res.ID)
					}
					return err
				}); err != nil {
					t.Fatal(f.Name, name, err)
				}
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) || total != len(got) {
					t.Errorf("%s of %q led by %s: %d matches and a total of %d, or another order; another way gives %d", f.Name, organization, name, len(got), total, len(want))
				}
			}
		}
	}
}
