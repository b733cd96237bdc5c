package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

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
