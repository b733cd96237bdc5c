package postgres

import (
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
)

// Every search of the flows can be answered by indexes: with a table read from
// end to end made dear, the planner reads none.
func TestFlowsUseIndexes(t *testing.T) {
	url := database(t)
	seen := &recorder{seen: map[string][]any{}}
	s, err := observed(t.Context(), url, seen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := storetest.Fill(t.Context(), s, 1000); err != nil {
		t.Fatal(err)
	}
	c := admin(t, url)
	run(t, c, "ANALYZE")
	run(t, c, "SET enable_seqscan = off")
	whole := regexp.MustCompile(`Seq Scan on (resource|index_\w+|granted)`)
	searched := 0
	for _, f := range storetest.Flows {
		for _, organization := range []string{"", "o7"} {
			q, err := f.Query(organization, true)
			if err != nil {
				t.Fatal(f.Name, err)
			}
			seen.seen = map[string][]any{}
			if err := s.View(t.Context(), func(r store.Reader) error {
				if _, err := r.Search(q); err != nil {
					return err
				}
				_, err := r.List(q)
				return err
			}); err != nil {
				t.Fatal(f.Name, err)
			}
			for query, args := range seen.seen {
				if !strings.HasPrefix(query, "SELECT") {
					continue
				}
				searched++
				rows, err := c.Query(t.Context(), "EXPLAIN "+query, args...)
				if err != nil {
					t.Fatal(f.Name, err)
				}
				steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
				if err != nil {
					t.Fatal(f.Name, err)
				}
				if all := strings.Join(steps, "\n  "); whole.MatchString(all) {
					t.Errorf("%s reads a whole table:\n%s\n  %s", f.Name, query, all)
				}
			}
		}
	}
	if searched < 4*len(storetest.Flows) {
		t.Errorf("only %d statements were looked at", searched)
	}
}
