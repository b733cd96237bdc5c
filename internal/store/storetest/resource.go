package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

var resourceTests = []test{
	{"a version is labelled anew without becoming another", func(t *testing.T, s store.Store) {
		tag := func(v string) store.Entry { return store.Entry{Param: "_tag", Kind: store.Token, Value: v + "|"} }
		first, second := record("Patient", "p1", 1, monday), record("Patient", "p1", 2, monday)
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutResource(first, []store.Entry{tag("old")}, nil), tx.PutResource(second, nil, nil))
		})
		first.Body, second.Body = []byte(`{"resourceType":"Patient","x":1}`), []byte(`{"resourceType":"Patient","x":2}`)
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.Relabel(first, nil, nil), tx.Relabel(second, []store.Entry{tag("new")}, []store.Entry{tag("old")}))
		})
		same(t, "the current version", read(t, s, current("Patient", "p1")), second)
		same(t, "version 1", read(t, s, versionOf("Patient", "p1", 1)), first)
		equal(t, "the values", read(t, s, func(r store.Reader) ([]string, error) { return r.Values("Patient", "_tag", "", 10) }), []string{"new|"})
		for _, none := range []store.Resource{record("Patient", "p1", 3, monday), record("Patient", "p2", 1, monday)} {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Relabel(none, nil, nil) }); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s/%d: %v", none.ID, none.Version, err)
			}
		}
	}},
	{"values are those of the records that somebody may see", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			for i, id := range []string{"a", "b", "c"} {
				r := record("Patient", id, 1, monday)
				if r.Organization = "org-a"; i == 1 {
					r.Organization = "org-b"
				}
				if err := tx.PutResource(r, []store.Entry{{Param: "_tag", Kind: store.Token, Value: id + "|"}, {Param: "_tag", Kind: store.Token, Value: "z|"}}, nil); err != nil {
					return err
				}
			}
			return tx.Grant("Patient", "c", "org-b")
		})
		for _, c := range []struct {
			typ, organization string
			limit             int
			want              []string
		}{
			{"Patient", "", 10, []string{"a|", "b|", "c|", "z|"}},
			{"Patient", "", 2, []string{"a|", "b|"}},
			{"Patient", "org-b", 10, []string{"b|", "c|", "z|"}},
			{"Patient", "org-c", 10, nil},
			{"Observation", "", 10, nil},
		} {
			equal(t, c.typ+" "+c.organization, read(t, s, func(r store.Reader) ([]string, error) { return r.Values(c.typ, "_tag", c.organization, c.limit) }), c.want)
		}
	}},
	{"a record is read as it was written", func(t *testing.T, s store.Store) {
		want := record("Patient", "p1", 1, monday)
		want.Body = []byte("{\n \"resourceType\" : \"Patient\",\"name\":[{\"text\":\"Siti Nurhaliza 华 \\u0000\"}]}")
		put(t, s, want)
		same(t, "the current version", read(t, s, current("Patient", "p1")), want)
		same(t, "version 1", read(t, s, versionOf("Patient", "p1", 1)), want)
	}},
	{"a record that was never written is not found", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday))
		absent(t, s, "another id", current("Patient", "p2"))
		absent(t, s, "another type", current("Encounter", "p1"))
		absent(t, s, "an id in other letters", current("Patient", "P1"))
		absent(t, s, "version 2", versionOf("Patient", "p1", 2))
		absent(t, s, "version 0", versionOf("Patient", "p1", 0))
		absent(t, s, "version 1 of another record", versionOf("Patient", "p2", 1))
	}},
	{"ids are unique within a type only", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "x", 1, monday), record("Encounter", "x", 1, monday))
		equal(t, "type", read(t, s, current("Encounter", "x")).Type, "Encounter")
		equal(t, "type", read(t, s, current("Patient", "x")).Type, "Patient")
	}},
	{"every version stays readable", func(t *testing.T, s store.Store) {
		versions := []store.Resource{
			record("Patient", "p1", 1, minute(1)), record("Patient", "p1", 2, minute(2)),
			deletion("Patient", "p1", 3, minute(3)), record("Patient", "p1", 4, minute(4)),
		}
		for _, v := range versions {
			put(t, s, v)
		}
		for _, v := range versions {
			same(t, "version", read(t, s, versionOf("Patient", "p1", v.Version)), v)
		}
		same(t, "the current version", read(t, s, current("Patient", "p1")), versions[3])
	}},
	{"several versions may be written in one update", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday), record("Patient", "p1", 2, monday), record("Patient", "p1", 3, monday))
		equal(t, "version", read(t, s, current("Patient", "p1")).Version, int64(3))
		same(t, "version 2", read(t, s, versionOf("Patient", "p1", 2)), record("Patient", "p1", 2, monday))
	}},
	{"a deletion is the current version", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, minute(1)), deletion("Patient", "p1", 2, minute(2)))
		got := read(t, s, current("Patient", "p1"))
		same(t, "the current version", got, deletion("Patient", "p1", 2, minute(2)))
		if !got.Deleted() {
			t.Error("Deleted() is false")
		}
		if read(t, s, versionOf("Patient", "p1", 1)).Deleted() {
			t.Error("Deleted() is true for the version before")
		}
	}},
	{"a version that is not the next is a conflict and changes nothing", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday), record("Patient", "p1", 2, monday))
		for _, wrong := range []store.Resource{
			record("Patient", "p1", 0, minute(9)), record("Patient", "p1", 1, minute(9)), record("Patient", "p1", 2, minute(9)),
			record("Patient", "p1", 4, minute(9)), record("Patient", "p2", 2, minute(9)), record("Patient", "p2", 0, minute(9)),
			deletion("Patient", "p1", 2, minute(9)),
		} {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				return tx.PutResource(wrong, []store.Entry{{Param: "identifier", Kind: store.Token, Value: "wrong|"}}, nil)
			})
			if !isConflict(err) {
				t.Errorf("%s/%s version %d: %v; want a conflict", wrong.Type, wrong.ID, wrong.Version, err)
			}
		}
		same(t, "the current version", read(t, s, current("Patient", "p1")), record("Patient", "p1", 2, monday))
		absent(t, s, "the record of the conflict", current("Patient", "p2"))
		equal(t, "found by entries of a conflict", found(t, s, store.Query{Type: "Patient", Count: 9,
			Where: store.Where(where("identifier", token("wrong|")))}), []string{})
	}},
	{"the history of a record is newest first", func(t *testing.T, s store.Store) {
		v1, v2, v3 := record("Patient", "p1", 1, minute(1)), record("Patient", "p1", 2, minute(2)), deletion("Patient", "p1", 3, minute(3))
		put(t, s, v1, v2, v3, record("Patient", "p2", 1, minute(2)), record("Encounter", "p1", 1, minute(2)))
		page := read(t, s, history(store.HistoryQuery{Type: "Patient", ID: "p1", Count: 10}))
		if len(page.Resources) != 3 {
			t.Fatalf("versions: %v", names(page.Resources))
		}
		for i, want := range []store.Resource{v3, v2, v1} {
			same(t, "entry", page.Resources[i], want)
		}
		equal(t, "total and more", []any{page.Total, page.More}, []any{3, false})
	}},
	{"versions of the same instant are in order", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday), record("Patient", "p1", 2, monday), record("Patient", "p1", 3, monday))
		page := read(t, s, history(store.HistoryQuery{Type: "Patient", ID: "p1", Count: 10}))
		equal(t, "versions", names(page.Resources), []string{"p1/3", "p1/2", "p1/1"})
	}},
	{"the history of a type and of everything", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, minute(1)), record("Encounter", "e1", 1, minute(2)),
			record("Patient", "p2", 1, minute(3)), record("Patient", "p1", 2, minute(4)), record("Encounter", "e1", 2, minute(5)))
		for _, c := range []struct {
			name string
			q    store.HistoryQuery
			want []string
		}{
			{"a type", store.HistoryQuery{Type: "Patient"}, []string{"p1/2", "p2/1", "p1/1"}},
			{"everything", store.HistoryQuery{}, []string{"e1/2", "p1/2", "p2/1", "e1/1", "p1/1"}},
			{"a type without records", store.HistoryQuery{Type: "Slot"}, []string{}},
			{"a record that is not there", store.HistoryQuery{Type: "Patient", ID: "e1"}, []string{}},
			{"since an instant, which belongs to it", store.HistoryQuery{Since: minute(3)}, []string{"e1/2", "p1/2", "p2/1"}},
			{"since just after", store.HistoryQuery{Since: minute(3).Add(time.Microsecond)}, []string{"e1/2", "p1/2"}},
			{"a type since", store.HistoryQuery{Type: "Patient", Since: minute(3)}, []string{"p1/2", "p2/1"}},
			{"a record since", store.HistoryQuery{Type: "Patient", ID: "p1", Since: minute(3)}, []string{"p1/2"}},
		} {
			c.q.Count = 10
			page := read(t, s, history(c.q))
			equal(t, c.name, names(page.Resources), c.want)
			equal(t, c.name+": total and more", []any{page.Total, page.More}, []any{len(c.want), false})
		}
	}},
	{"history in pages", func(t *testing.T, s store.Store) {
		var list []store.Resource
		for v := int64(1); v <= 7; v++ {
			list = append(list, record("Patient", "p1", v, minute(int(v))))
		}
		put(t, s, list...)
		for _, c := range []struct {
			offset, count int
			want          []string
			more          bool
		}{
			{0, 3, []string{"p1/7", "p1/6", "p1/5"}, true},
			{3, 3, []string{"p1/4", "p1/3", "p1/2"}, true},
			{6, 3, []string{"p1/1"}, false},
			{4, 3, []string{"p1/3", "p1/2", "p1/1"}, false},
			{7, 3, []string{}, false},
			{90, 3, []string{}, false},
		} {
			page := read(t, s, history(store.HistoryQuery{Type: "Patient", ID: "p1", Offset: c.offset, Count: c.count}))
			equal(t, "versions", names(page.Resources), c.want)
			equal(t, "total and more", []any{page.Total, page.More}, []any{7, c.more})
		}
		page := read(t, s, history(store.HistoryQuery{Type: "Patient", ID: "p1"}))
		equal(t, "a count of 0: resources and total", []any{len(page.Resources), page.Total}, []any{0, 7})
	}},
}

var visibilityTests = []test{
	{"the owner and those with a grant may see a record", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday), record("Encounter", "p1", 1, monday))
		write(t, s, func(tx store.Tx) error { return tx.Grant("Patient", "p1", "org-b") })
		for _, c := range []struct {
			typ, id, organization string
			want                  bool
		}{
			{"Patient", "p1", "org-a", true},
			{"Patient", "p1", "org-b", true},
			{"Patient", "p1", "org-c", false},
			{"Patient", "p1", "", false},
			{"Encounter", "p1", "org-a", true},
			{"Encounter", "p1", "org-b", false},
			{"Patient", "p2", "org-a", false},
		} {
			got := read(t, s, func(r store.Reader) (bool, error) { return r.MaySee(c.typ, c.id, c.organization) })
			if got != c.want {
				t.Errorf("MaySee(%s, %s, %q) = %v", c.typ, c.id, c.organization, got)
			}
		}
	}},
	{"granting twice is no error", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday))
		for range 2 {
			write(t, s, func(tx store.Tx) error {
				if err := tx.Grant("Patient", "p1", "org-b"); err != nil {
					return err
				}
				return tx.Grant("Patient", "p1", "org-b")
			})
		}
		page := read(t, s, search(store.Query{Type: "Patient", Organization: "org-b", Count: 9, Total: true}))
		equal(t, "found once", []any{ids(page.Resources), page.Total}, []any{[]string{"p1"}, 1})
	}},
	{"a grant holds for later versions", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "p1", 1, monday))
		write(t, s, func(tx store.Tx) error { return tx.Grant("Patient", "p1", "org-b") })
		put(t, s, record("Patient", "p1", 2, monday), deletion("Patient", "p1", 3, monday))
		if !read(t, s, func(r store.Reader) (bool, error) { return r.MaySee("Patient", "p1", "org-b") }) {
			t.Error("the grant has gone")
		}
	}},
	{"a record that changes hands belongs to the new owner", func(t *testing.T, s store.Store) {
		v2 := record("Patient", "p1", 2, monday)
		v2.Organization = "org-b"
		put(t, s, record("Patient", "p1", 1, monday), v2)
		equal(t, "owner", read(t, s, current("Patient", "p1")).Organization, "org-b")
		for organization, want := range map[string]bool{"org-a": false, "org-b": true} {
			if got := read(t, s, func(r store.Reader) (bool, error) { return r.MaySee("Patient", "p1", organization) }); got != want {
				t.Errorf("%s may see it: %v", organization, got)
			}
		}
	}},
	{"search and history give an organisation what it may see", func(t *testing.T, s store.Store) {
		b := record("Patient", "b", 1, minute(3))
		b.Organization = "org-b"
		put(t, s, record("Patient", "a1", 1, minute(1)), record("Patient", "a2", 1, minute(2)), b, record("Patient", "a2", 2, minute(4)))
		write(t, s, func(tx store.Tx) error { return tx.Grant("Patient", "a2", "org-b") })
		for _, c := range []struct {
			organization string
			found        []string
			versions     []string
		}{
			{"", []string{"a1", "a2", "b"}, []string{"a2/2", "b/1", "a2/1", "a1/1"}},
			{"org-a", []string{"a1", "a2"}, []string{"a2/2", "a2/1", "a1/1"}},
			{"org-b", []string{"a2", "b"}, []string{"a2/2", "b/1", "a2/1"}},
			{"org-c", []string{}, []string{}},
		} {
			page := read(t, s, search(store.Query{Type: "Patient", Organization: c.organization, Count: 9, Total: true}))
			equal(t, c.organization+" finds", ids(page.Resources), c.found)
			equal(t, c.organization+" counts", page.Total, len(c.found))
			past := read(t, s, history(store.HistoryQuery{Type: "Patient", Organization: c.organization, Count: 9}))
			equal(t, c.organization+": history", names(past.Resources), c.versions)
			equal(t, c.organization+": total of the history", past.Total, len(c.versions))
		}
	}},
}

func current(typ, id string) func(store.Reader) (store.Resource, error) {
	return func(r store.Reader) (store.Resource, error) { return r.Resource(typ, id) }
}

func versionOf(typ, id string, version int64) func(store.Reader) (store.Resource, error) {
	return func(r store.Reader) (store.Resource, error) { return r.ResourceVersion(typ, id, version) }
}

func history(q store.HistoryQuery) func(store.Reader) (store.Page, error) {
	return func(r store.Reader) (store.Page, error) { return r.History(q) }
}

func search(q store.Query) func(store.Reader) (store.Page, error) {
	return func(r store.Reader) (store.Page, error) { return r.Search(q) }
}
