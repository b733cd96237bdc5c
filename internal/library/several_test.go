package library

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// A search across types gives stored resources and, behind them, those of the
// library, page by page and as a list, each once.
func TestSearchAcrossTypes(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	err = db.Update(t.Context(), func(tx store.Tx) error {
		for i := range 3 {
			id := fmt.Sprintf("b%d", i)
			body := []byte(`{"resourceType":"Basic","id":"` + id + `"}`)
			if err := tx.PutResource(store.Resource{Type: "Basic", ID: id, Version: 1, Updated: opened, Method: "PUT", Body: body}, nil, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	kinds := []store.Match{{Kind: store.Token, Compare: store.Equal, Value: "b1"}, {Kind: store.Token, Compare: store.Equal, Value: "patient"}}
	for name, tt := range map[string]struct {
		q    store.Query
		want []string
	}{
		"all":                 {store.Query{Types: []string{"Basic", "CompartmentDefinition"}}, []string{"b0", "b1", "b2", "device", "encounter", "patient", "practitioner", "relatedPerson"}},
		"some":                {store.Query{Types: []string{"Basic", "CompartmentDefinition"}, Where: []store.Condition{{Clause: &store.Clause{Param: "_id", Any: kinds}}}}, []string{"b1", "patient"}},
		"the library's alone": {store.Query{Types: []string{"CompartmentDefinition"}, Sort: []store.Sort{{Param: "_id", Descending: true}}}, []string{"relatedPerson", "practitioner", "patient", "encounter", "device"}},
		"stored alone":        {store.Query{Types: []string{"Basic", "Group"}}, []string{"b0", "b1", "b2"}},
	} {
		err := whole(t).Over(db).View(t.Context(), func(r store.Reader) error {
			for count := 0; count <= len(tt.want)+1; count++ {
				for offset := 0; offset <= len(tt.want)+1; offset++ {
					q := tt.q
					q.Count, q.Offset, q.Total = count, offset, true
					page, err := r.Search(q)
					if err != nil {
						return err
					}
					var ids []string
					for _, res := range page.Resources {
						ids = append(ids, res.ID)
					}
					from, to := min(offset, len(tt.want)), min(offset+count, len(tt.want))
					if !slices.Equal(ids, tt.want[from:to]) || page.Total != len(tt.want) || count > 0 && page.More != (to < len(tt.want)) {
						t.Errorf("%s: %d from %d are %v of %d, more %v", name, count, offset, ids, page.Total, page.More)
					}
				}
				if count == 0 {
					continue
				}
				q := tt.q
				q.Count = count
				var ids []string
				for more := true; more; {
					l, err := r.List(q)
					if err != nil {
						return err
					}
					for _, k := range l.Keys {
						ids = append(ids, k.ID)
					}
					if q.After, more = l.Last, l.More; more && len(l.Keys) != count {
						t.Errorf("%s: a part of %d has %d", name, count, len(l.Keys))
					}
					if more {
						back := q
						back.Before, back.Count = true, 100
						before, err := r.List(back)
						if err != nil || len(before.Keys) != len(ids) {
							t.Errorf("%s: %d stand before %s, want %d: %v", name, len(before.Keys), q.After, len(ids), err)
						}
					}
				}
				if !slices.Equal(ids, tt.want) {
					t.Errorf("%s: parts of %d give %v", name, count, ids)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
