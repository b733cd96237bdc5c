package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

var cursorTests = []test{
	{"records are read together by their keys", func(t *testing.T, s store.Store) {
		b := record("Patient", "b", 1, monday)
		b.Organization = "org-b"
		put(t, s, record("Patient", "a", 1, minute(1)), record("Patient", "a", 2, minute(2)), record("Patient", "a", 3, minute(3)), b,
			record("Encounter", "a", 1, monday), record("Patient", "gone", 1, monday), deletion("Patient", "gone", 2, monday))
		write(t, s, func(tx store.Tx) error { return tx.Grant("Patient", "b", "org-a") })
		for _, c := range []struct {
			organization string
			keys         []store.Key
			want         []string
		}{
			{"", nil, []string{}},
			{"", []store.Key{key("Patient/b/0"), key("Patient/a/0")}, []string{"Patient/b/1", "Patient/a/3"}},
			{"", []store.Key{key("Patient/a/2"), key("Encounter/a/1"), key("Patient/a/3"), key("Patient/a/0"), key("Patient/a/1")},
				[]string{"Patient/a/2", "Encounter/a/1", "Patient/a/3", "Patient/a/3", "Patient/a/1"}},
			{"", []store.Key{key("Patient/a/4"), key("Patient/x/0"), key("Slot/a/0"), key("Patient/A/0"), key("Patient//0")}, []string{}},
			{"", []store.Key{key("Patient/gone/0"), key("Patient/gone/1"), key("Patient/gone/2")}, []string{"Patient/gone/2", "Patient/gone/1", "Patient/gone/2"}},
			{"org-a", []store.Key{key("Patient/b/1"), key("Patient/a/1"), key("Patient/b/0")}, []string{"Patient/b/1", "Patient/a/1", "Patient/b/1"}},
			{"org-b", []store.Key{key("Patient/a/0"), key("Patient/a/1"), key("Patient/b/0"), key("Encounter/a/1")}, []string{"Patient/b/1"}},
			{"org-c", []store.Key{key("Patient/b/0")}, []string{}},
		} {
			got := []string{}
			for _, res := range read(t, s, resources(c.keys, c.organization)) {
				got = append(got, fmt.Sprintf("%s/%s/%d", res.Type, res.ID, res.Version))
			}
			equal(t, c.organization+" reads "+fmt.Sprint(c.keys), got, c.want)
		}
		same(t, "a version before", read(t, s, resources([]store.Key{key("Patient/a/1")}, ""))[0], record("Patient", "a", 1, minute(1)))
		same(t, "the current version", read(t, s, resources([]store.Key{key("Patient/a/0")}, ""))[0], record("Patient", "a", 3, minute(3)))
		same(t, "a deletion", read(t, s, resources([]store.Key{key("Patient/gone/0")}, ""))[0], deletion("Patient", "gone", 2, monday))
	}},
	{"a thousand keys at once", func(t *testing.T, s store.Store) {
		var list []store.Resource
		var keys []store.Key
		for i := range 1000 {
			list = append(list, record("Patient", fmt.Sprint("p", i), 1, monday))
			keys = append(keys, store.Key{Type: "Patient", ID: fmt.Sprint("p", 999-i), Version: int64(i % 2)})
		}
		put(t, s, list...)
		got := read(t, s, resources(keys, "org-a"))
		equal(t, "records", len(got), 1000)
		for i, res := range got {
			if res.ID != keys[i].ID {
				t.Fatalf("place %d has %s, want %s", i, res.ID, keys[i].ID)
			}
		}
	}},
	{"a list names what a search finds, in its order, and goes on behind any of it", func(t *testing.T, s store.Store) {
		family(t, s)
		for _, order := range orders {
			q := store.Query{Type: "Patient", Sort: order, Count: 100}
			want := found(t, s, q)
			all := read(t, s, list(q))
			equal(t, "all at once", keyIDs(all.Keys), want)
			equal(t, "more, and where", []any{all.More, all.Last}, []any{false, ""})
			equal(t, "the first version", all.Keys[0].Version, int64(1))
			behind := q
			behind.Offset, behind.Count = 2, 2
			equal(t, "from an offset on", keyIDs(read(t, s, list(behind)).Keys), want[2:4])
			for size := 1; size < 5; size++ {
				q.Count, q.After = size, ""
				var walked []string
				for {
					part := read(t, s, list(q))
					walked = append(walked, keyIDs(part.Keys)...)
					if !part.More {
						break
					}
					q.After = part.Last
					before := q
					before.Before, before.Count = true, 100
					equal(t, "what stands before", keyIDs(read(t, s, list(before)).Keys), walked)
				}
				equal(t, fmt.Sprint("in parts of ", size, " by ", order), walked, want)
			}
		}
		equal(t, "of an organisation", keyIDs(read(t, s, list(store.Query{Type: "Patient", Organization: "org-c", Count: 9})).Keys), []string{})
		equal(t, "of conditions", keyIDs(read(t, s, list(store.Query{Type: "Patient", Where: store.Where(where("gender", token("female|"))), Count: 9})).Keys), []string{"c", "a"})
	}},
	{"an organisation sees all of the types that are open", func(t *testing.T, s store.Store) {
		mine, other := record("Patient", "p", 1, monday), record("Location", "l", 1, monday)
		mine.Organization, other.Organization = "org-b", "org-b"
		put(t, s, mine, other, record("Patient", "a", 1, monday))
		for organization, want := range map[string][]string{"org-a": {"l", "a"}, "org-b": {"p", "l"}, "org-c": {"l"}, "": {"p", "l", "a"}} {
			q := store.Query{Types: []string{"Patient", "Location"}, Organization: organization, Open: []string{"Location"}, Count: 9, Total: true}
			page := read(t, s, search(q))
			equal(t, organization+" finds", ids(page.Resources), want)
			equal(t, organization+" counts", page.Total, len(want))
			equal(t, organization+" lists", keyIDs(read(t, s, list(q)).Keys), want)
		}
	}},
	{"a list goes on from its place, and without what came later", func(t *testing.T, s store.Store) {
		for _, order := range [][]store.Sort{nil, {{Param: "_lastUpdated"}}, {{Param: "_id", Descending: true}}} {
			name := func(n int) string { return fmt.Sprint("p", len(order), n) }
			typ := "Type" + fmt.Sprint(order)
			for i := range 4 {
				put(t, s, record(typ, name(i), 1, minute(i)))
			}
			q := store.Query{Type: typ, Sort: order, Count: 2}
			first := read(t, s, list(q))
			put(t, s, deletion(typ, first.Keys[1].ID, 2, minute(50)), record(typ, "newer", 1, minute(60)))
			q.After, q.Count = first.Last, 9
			equal(t, "the rest", len(read(t, s, list(q)).Keys), 2)
		}
		err := s.View(t.Context(), func(r store.Reader) error {
			_, err := r.List(store.Query{Type: "Patient", Sort: []store.Sort{{Param: "_id"}}, Count: 1, After: `{"r":1,"n":1,"v":[]}`})
			return err
		})
		if fhir.CodeOf(err) != fhir.CodeInvalid {
			t.Errorf("the place of another order: %v", err)
		}
	}},
	{"a list of versions", func(t *testing.T, s store.Store) {
		put(t, s, record("Patient", "a", 1, minute(1)), record("Patient", "b", 1, minute(1)), record("Patient", "a", 2, minute(1)),
			record("Encounter", "a", 1, minute(2)), deletion("Patient", "b", 2, minute(3)), record("Patient", "c", 1, minute(4)))
		for _, q := range []store.HistoryQuery{
			{Type: "Patient"}, {}, {Type: "Patient", ID: "b"}, {Since: minute(2)}, {Organization: "org-a"}, {Organization: "org-b"},
		} {
			q.Count = 100
			want := names(read(t, s, history(q)).Resources)
			for size := 1; size < 4; size++ {
				q.Count, q.After = size, ""
				walked := []string{}
				for {
					part := read(t, s, func(r store.Reader) (store.Listing, error) { return r.ListHistory(q) })
					for _, k := range part.Keys {
						walked = append(walked, fmt.Sprintf("%s/%d", k.ID, k.Version))
					}
					if !part.More {
						break
					}
					q.After = part.Last
				}
				equal(t, fmt.Sprintf("%+v", q), walked, want)
			}
		}
	}},
	{"the parts of a cursor", func(t *testing.T, s store.Store) {
		absent(t, s, "a cursor that nobody made", cursor("c", 0))
		first := store.Cursor{ID: "c", Body: []byte("one\x00\xff"), Expires: minute(20)}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutCursor(first), tx.PutCursor(store.Cursor{ID: "d", Expires: minute(20)}))
		})
		equal(t, "the first part", read(t, s, cursor("c", 0)), first)
		equal(t, "an empty body", len(read(t, s, cursor("d", 0)).Body), 0)
		absent(t, s, "the second part", cursor("c", 1))
		second := store.Cursor{ID: "c", Part: 1, Body: []byte("two"), Expires: minute(30)}
		write(t, s, func(tx store.Tx) error { return tx.PutCursor(second) })
		equal(t, "the second part", read(t, s, cursor("c", 1)), second)
		first.Expires = minute(30)
		equal(t, "the first part lives as long", read(t, s, cursor("c", 0)), first)
		write(t, s, func(tx store.Tx) error {
			return tx.PutCursor(store.Cursor{ID: "c", Part: 1, Body: []byte("other"), Expires: minute(10)})
		})
		equal(t, "a part that was seen stays", read(t, s, cursor("c", 1)), second)
		equal(t, "another cursor", read(t, s, cursor("d", 0)).Expires, minute(20))
	}},
	{"cursors expire", func(t *testing.T, s store.Store) {
		now := minute(100)
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutCursor(store.Cursor{ID: "old", Expires: now.Add(-time.Microsecond)}), tx.PutCursor(store.Cursor{ID: "young", Expires: now}))
		})
		for range 2 {
			write(t, s, func(tx store.Tx) error { return tx.Forget(monday, now) })
			absent(t, s, "an expired cursor", cursor("old", 0))
			read(t, s, cursor("young", 0))
		}
	}},
}

// orders are those in which a family may be put.
var orders = [][]store.Sort{
	nil, {{Param: "_id"}}, {{Param: "_lastUpdated", Descending: true}}, {{Param: "name"}}, {{Param: "name", Descending: true}},
	{{Param: "date"}}, {{Param: "date", Descending: true}}, {{Param: "gender"}, {Param: "name", Descending: true}},
	{{Param: "gender", Descending: true}, {Param: "date"}, {Param: "_id", Descending: true}}, {{Param: "nothing"}},
}

func list(q store.Query) func(store.Reader) (store.Listing, error) {
	return func(r store.Reader) (store.Listing, error) { return r.List(q) }
}

func keyIDs(keys []store.Key) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return out
}

// key reads Type/id/version.
func key(text string) (k store.Key) {
	parts := strings.Split(text, "/")
	k.Type, k.ID = parts[0], parts[1]
	k.Version, _ = strconv.ParseInt(parts[2], 10, 64)
	return k
}

func resources(keys []store.Key, organization string) func(store.Reader) ([]store.Resource, error) {
	return func(r store.Reader) ([]store.Resource, error) { return r.Resources(keys, organization) }
}

func cursor(id string, part int) func(store.Reader) (store.Cursor, error) {
	return func(r store.Reader) (store.Cursor, error) { return r.Cursor(id, part) }
}
