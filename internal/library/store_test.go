package library

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// A reader of the store sees the library's types in memory and all others in
// the store, within a transaction and without.
func TestOver(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	st := whole(t).Over(db)
	basic := store.Resource{Type: "Basic", ID: "b1", Version: 1, Updated: opened, Method: "PUT", Organization: "o1", Body: []byte(`{"resourceType":"Basic","id":"b1"}`)}
	err = st.Update(t.Context(), func(tx store.Tx) error { return tx.PutResource(basic, nil, nil) })
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutResource(store.Resource{Type: "StructureDefinition", ID: "x", Version: 1, Updated: opened, Method: "PUT", Body: []byte("{}")}, nil, nil)
	})
	if fhir.CodeOf(err) != fhir.CodeForbidden {
		t.Errorf("a definition is written: %v", err)
	}
	check := func(r store.Reader) error {
		for _, c := range []struct {
			typ, id string
			version int64
			there   bool
		}{
			{"Basic", "b1", 1, true}, {"Basic", "b1", 2, false}, {"Basic", "b2", 1, false},
			{"StructureDefinition", "Slot", 1, true}, {"StructureDefinition", "Slot", 2, false}, {"StructureDefinition", "b1", 1, false},
		} {
			res, err := r.ResourceVersion(c.typ, c.id, c.version)
			if (err == nil) != c.there || err != nil && !errors.Is(err, store.ErrNotFound) || c.there && res.ID != c.id {
				t.Errorf("%+v: %v %v", c, res.ID, err)
			}
			if _, err := r.Resource(c.typ, c.id); (err == nil) != (c.there || c.version == 2) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		for organization, want := range map[string]string{"o1": "Slot b1 Patient", "o2": "Slot Patient"} {
			found, err := r.Resources([]store.Key{
				{Type: "StructureDefinition", ID: "Slot"}, {Type: "Basic", ID: "b9"}, {Type: "Basic", ID: "b1", Version: 1},
				{Type: "StructureDefinition", ID: "Slot", Version: 2}, {Type: "StructureDefinition", ID: "Patient", Version: 1}, {Type: "StructureDefinition", ID: "b1"},
			}, organization)
			var ids []string
			for _, res := range found {
				ids = append(ids, res.ID)
			}
			if got := strings.Join(ids, " "); got != want || err != nil {
				t.Errorf("%s sees %s, want %s: %v", organization, got, want, err)
			}
			may, err := r.MaySee("Basic", "b1", organization)
			if may != (organization == "o1") || err != nil {
				t.Errorf("%s may see: %v %v", organization, may, err)
			}
			if may, err := r.MaySee("NamingSystem", "vc-token", organization); !may || err != nil {
				t.Errorf("%s may see: %v %v", organization, may, err)
			}
		}
		for typ, want := range map[string]int{"Basic": 1, "CompartmentDefinition": 5, "": 1} {
			page, err := r.History(store.HistoryQuery{Type: typ, Count: 1})
			if page.Total != want || len(page.Resources) != 1 || page.More != (want > 1) || err != nil {
				t.Errorf("history of %q: %d %v", typ, page.Total, err)
			}
		}
		for typ, want := range map[string]int{"Basic": 1, "CompartmentDefinition": 5} {
			if page, err := r.Search(store.Query{Type: typ, Offset: 1, Count: 2, Total: true}); page.Total != want || len(page.Resources) != min(2, want-1) || err != nil {
				t.Errorf("search of %q: %+v %v", typ, page, err)
			}
		}
		for limit, want := range map[int]string{3: "Device| Encounter| Patient|", 9: "Device| Encounter| Patient| Practitioner| RelatedPerson|"} {
			if values, err := r.Values("CompartmentDefinition", "code", "o2", limit); strings.Join(values, " ") != want || err != nil {
				t.Errorf("%d values are %v: %v", limit, values, err)
			}
		}
		q, h := store.Query{Type: "CompartmentDefinition", Count: 3}, store.HistoryQuery{Type: "CompartmentDefinition", Count: 3}
		for part, want := range []string{"device encounter patient", "practitioner relatedPerson"} {
			for _, list := range []func() (store.Listing, error){
				func() (store.Listing, error) { return r.List(q) }, func() (store.Listing, error) { return r.ListHistory(h) },
			} {
				l, err := list()
				var ids []string
				for _, k := range l.Keys {
					ids = append(ids, k.ID)
				}
				if strings.Join(ids, " ") != want || l.More != (part == 0) || l.More != (l.Last == "@3") || err != nil {
					t.Errorf("part %d: %v %+v %v", part, ids, l, err)
				}
			}
			q.After, h.After = "@3", "@3"
		}
		return nil
	}
	if err := st.View(t.Context(), check); err != nil {
		t.Error(err)
	}
	if err := st.Update(t.Context(), func(tx store.Tx) error { return check(tx) }); err != nil {
		t.Error(err)
	}
}
