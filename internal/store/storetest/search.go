package storetest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

func where(param string, any ...store.Match) store.Clause {
	return store.Clause{Param: param, Any: any}
}

func not(c store.Clause) store.Clause {
	c.Not = true
	return c
}

func token(value string) store.Match {
	return store.Match{Kind: store.Token, Compare: store.Equal, Value: value}
}

func reference(value string) store.Match {
	return store.Match{Kind: store.Reference, Compare: store.Equal, Value: value}
}

func begins(kind store.Kind, value string) store.Match {
	return store.Match{Kind: kind, Compare: store.HasPrefix, Value: value}
}

func dated(c store.Compare, low, high int64) store.Match {
	return store.Match{Kind: store.Date, Compare: c, Low: low, High: high}
}

// other turns a match around: an entry that does not compare so.
func other(m store.Match) store.Match {
	m.Not = true
	return m
}

// numbered are whole values that nothing has.
func numbered(n int) (all []store.Match) {
	for i := range n {
		all = append(all, token(fmt.Sprintf("n%d|", i)))
	}
	return all
}

func numberedBeginnings(n int) (all []store.Match) {
	for _, m := range numbered(n) {
		all = append(all, begins(store.Token, m.Value))
	}
	return all
}

func missing(kind store.Kind, value string) store.Match {
	return store.Match{Kind: kind, Compare: store.Missing, Value: value}
}

// found gives the ids that a search finds, in order.
func found(t *testing.T, s store.Store, q store.Query) []string {
	t.Helper()
	return ids(read(t, s, search(q)).Resources)
}

// family writes the patients that the searches look for. Each has the same
// entries under another type too, which must never be found. The date of a is
// [10, 20), of b [20, 30), of c [0, 100); d has two, [12, 13) and [90, 95).
func family(t *testing.T, s store.Store) {
	t.Helper()
	date := func(low, high int64) store.Entry {
		return store.Entry{Param: "date", Kind: store.Date, Low: low, High: high}
	}
	entry := func(kind store.Kind, param, value string) store.Entry {
		return store.Entry{Param: param, Kind: kind, Value: value}
	}
	entries := map[string][]store.Entry{
		"a": {entry(store.Token, "identifier", "111|nric"), entry(store.Token, "identifier", "A1|mrn"), entry(store.Token, "gender", "female|"),
			entry(store.String, "name", "tan"), entry(store.Reference, "doctor", "Practitioner/x"), date(10, 20)},
		"b": {entry(store.Token, "identifier", "1112|nric"), entry(store.Token, "gender", "male|"),
			entry(store.String, "name", "tan ah kow"), entry(store.Reference, "doctor", "Practitioner/xy"), date(20, 30)},
		"c": {entry(store.Token, "identifier", "111|passport"), entry(store.Token, "gender", "female|"),
			entry(store.String, "name", "anwar"), entry(store.Reference, "doctor", "Practitioner/x"), entry(store.Reference, "clinic", "Organization/x"), date(0, 100)},
		"d": {entry(store.String, "name", "taib"), entry(store.String, "name", "zul"), entry(store.String, "name", "_%"), date(12, 13), date(90, 95)},
		"e": {},
	}
	write(t, s, func(tx store.Tx) error {
		for i, id := range []string{"c", "a", "e", "b", "d"} {
			for _, typ := range []string{"Patient", "Person"} {
				if err := tx.PutResource(record(typ, id, 1, minute(i)), entries[id], nil); err != nil {
					return err
				}
			}
		}
		// One that answers to everything, and has been deleted.
		all := append(append(append([]store.Entry{}, entries["a"]...), entries["b"]...), entries["d"]...)
		if err := tx.PutResource(record("Patient", "gone", 1, minute(9)), all, nil); err != nil {
			return err
		}
		return tx.PutResource(deletion("Patient", "gone", 2, minute(9)), nil, nil)
	})
}

var searchTests = []test{
	{"what a clause finds", func(t *testing.T, s store.Store) {
		family(t, s)
		updated := func(n int) int64 { return minute(n).UnixMicro() }
		for _, c := range []struct {
			name  string
			where []store.Clause
			want  []string
		}{
			{"no clause finds all that is not deleted", nil, []string{"a", "b", "c", "d", "e"}},

			{"an identifier with its system", []store.Clause{where("identifier", token("111|nric"))}, []string{"a"}},
			{"an identifier in any system", []store.Clause{where("identifier", begins(store.Token, "111|"))}, []string{"a", "c"}},
			{"a second identifier", []store.Clause{where("identifier", token("A1|mrn"))}, []string{"a"}},
			{"an identifier is told by its letters", []store.Clause{where("identifier", token("a1|mrn"))}, []string{}},
			{"an identifier that nobody has", []store.Clause{where("identifier", token("112|nric"))}, []string{}},
			{"a code", []store.Clause{where("gender", token("female|"))}, []string{"a", "c"}},
			{"not a code, or none at all", []store.Clause{not(where("gender", token("female|")))}, []string{"b", "d", "e"}},
			{"neither of two codes", []store.Clause{not(where("gender", token("female|"), token("male|")))}, []string{"d", "e"}},
			{"a value under another parameter", []store.Clause{where("gender", token("111|nric"))}, []string{}},

			{"a reference", []store.Clause{where("doctor", reference("Practitioner/x"))}, []string{"a", "c"}},
			{"a reference to the same id of another type", []store.Clause{where("doctor", reference("Organization/x"))}, []string{}},
			{"the beginning of a text", []store.Clause{where("name", begins(store.String, "ta"))}, []string{"a", "b", "d"}},
			{"the whole of a text", []store.Clause{where("name", begins(store.String, "tan"))}, []string{"a", "b"}},
			{"more than a text", []store.Clause{where("name", begins(store.String, "tan ah kow bin"))}, []string{}},
			{"the middle of a text", []store.Clause{where("name", begins(store.String, "an"))}, []string{"c"}},
			{"the second of two texts", []store.Clause{where("name", begins(store.String, "zu"))}, []string{"d"}},
			{"a text with a text anywhere in it", []store.Clause{where("name", store.Match{Kind: store.String, Compare: store.Contains, Value: "an"})}, []string{"a", "b", "c"}},
			{"a text with what looks like a pattern in it", []store.Clause{where("name", store.Match{Kind: store.String, Compare: store.Contains, Value: "%"})}, []string{"d"}},
			{"a text that looks like a pattern", []store.Clause{where("name", begins(store.String, "_%"))}, []string{"d"}},
			{"a pattern that is a text", []store.Clause{where("name", begins(store.String, "t_n"))}, []string{}},

			{"the end of a text", []store.Clause{where("name", store.Match{Kind: store.String, Compare: store.HasSuffix, Value: "n"})}, []string{"a"}},
			{"an end that is longer than the text", []store.Clause{where("name", store.Match{Kind: store.String, Compare: store.HasSuffix, Value: "xxxtan ah kow"})}, []string{}},
			{"an entry that is not a value", []store.Clause{where("name", other(token("tan")))}, []string{"b", "c", "d"}},
			{"an entry that does not begin so", []store.Clause{where("name", other(begins(store.String, "t")))}, []string{"c", "d"}},
			{"an entry that is not within", []store.Clause{where("date", other(dated(store.Equal, 10, 20)))}, []string{"b", "c", "d"}},
			{"an entry that is not a value, or another value", []store.Clause{where("identifier", other(token("111|nric")), token("111|nric"))}, []string{"a", "b", "c"}},
			{"a whole value, or one that begins so, or what is missing", []store.Clause{where("name", token("zul"), begins(store.String, "anw"), token("tan"), missing(store.String, "true"))}, []string{"a", "c", "d", "e"}},
			{"one of very many values", []store.Clause{where("gender", append(numbered(900), token("male|"))...)}, []string{"b"}},
			{"none of very many values", []store.Clause{not(where("gender", append(numbered(900), token("male|"))...))}, []string{"a", "c", "d", "e"}},
			{"one of very many beginnings", []store.Clause{where("gender", append(numberedBeginnings(300), begins(store.Token, "ma"))...)}, []string{"b"}},

			{"one of two alternatives", []store.Clause{where("identifier", token("1112|nric"), token("111|passport"))}, []string{"b", "c"}},
			{"two clauses", []store.Clause{where("gender", token("female|")), where("name", begins(store.String, "ta"))}, []string{"a"}},
			{"two clauses on one parameter", []store.Clause{where("name", begins(store.String, "ta")), where("name", begins(store.String, "zu"))}, []string{"d"}},
			{"a clause without alternatives", []store.Clause{where("gender")}, []string{}},

			{"an id", []store.Clause{where("_id", token("b"))}, []string{"b"}},
			{"one of two ids", []store.Clause{where("_id", token("b"), token("e"))}, []string{"b", "e"}},
			{"not an id", []store.Clause{not(where("_id", token("b")))}, []string{"a", "c", "d", "e"}},
			{"an id of a deleted record", []store.Clause{where("_id", token("gone"))}, []string{}},
			{"updated at an instant", []store.Clause{where("_lastUpdated", dated(store.Equal, updated(1), updated(1)+1))}, []string{"a"}},
			{"updated since", []store.Clause{where("_lastUpdated", dated(store.GreaterEqual, updated(3), updated(3)+1))}, []string{"b", "d"}},
			{"updated before", []store.Clause{where("_lastUpdated", dated(store.LessThan, updated(1), updated(1)+1))}, []string{"c"}},
			{"updated up to", []store.Clause{where("_lastUpdated", dated(store.LessEqual, updated(1), updated(1)+1))}, []string{"a", "c"}},
			{"updated after", []store.Clause{where("_lastUpdated", dated(store.GreaterThan, updated(3), updated(3)+1))}, []string{"d"}},

			{"a date within", []store.Clause{where("date", dated(store.Equal, 10, 20))}, []string{"a", "d"}},
			{"a date that is wider is not within", []store.Clause{where("date", dated(store.Equal, 11, 20))}, []string{"d"}},
			{"a date not within", []store.Clause{where("date", dated(store.NotEqual, 10, 20))}, []string{"b", "c", "d"}},
			{"a date before", []store.Clause{where("date", dated(store.LessThan, 10, 20))}, []string{"c"}},
			{"a date that begins where the time begins is not before", []store.Clause{where("date", dated(store.LessThan, 20, 30))}, []string{"a", "c", "d"}},
			{"a date within or before", []store.Clause{where("date", dated(store.LessEqual, 10, 20))}, []string{"a", "c", "d"}},
			{"a date that begins within and ends behind is neither within nor before", []store.Clause{where("date", dated(store.LessEqual, 10, 15))}, []string{"c", "d"}},
			{"a date that begins before and ends within is neither within nor after", []store.Clause{where("date", dated(store.GreaterEqual, 25, 30))}, []string{"c", "d"}},
			{"a date that overlaps", []store.Clause{where("date", dated(store.Overlaps, 13, 21))}, []string{"a", "b", "c"}},
			{"a date that ends where the time begins does not overlap", []store.Clause{where("date", dated(store.Overlaps, 20, 21))}, []string{"b", "c"}},
			{"a date that begins where the time ends does not overlap", []store.Clause{where("date", dated(store.Overlaps, 5, 12))}, []string{"a", "c"}},
			{"a date after", []store.Clause{where("date", dated(store.GreaterThan, 20, 30))}, []string{"c", "d"}},
			{"a date that ends where the time ends is not after", []store.Clause{where("date", dated(store.GreaterThan, 10, 20))}, []string{"b", "c", "d"}},
			{"a date within or after", []store.Clause{where("date", dated(store.GreaterEqual, 20, 30))}, []string{"b", "c", "d"}},
			{"a date that starts after", []store.Clause{where("date", dated(store.StartsAfter, 10, 20))}, []string{"b", "d"}},
			{"a date that starts after the widest", []store.Clause{where("date", dated(store.StartsAfter, 0, 100))}, []string{}},
			{"a date that ends before", []store.Clause{where("date", dated(store.EndsBefore, 20, 30))}, []string{"a", "d"}},
			{"a date that ends before the first", []store.Clause{where("date", dated(store.EndsBefore, 12, 13))}, []string{}},
			{"one of two dates", []store.Clause{where("date", dated(store.Equal, 20, 30), dated(store.Equal, 90, 95))}, []string{"b", "d"}},
			{"not a date, or none at all", []store.Clause{not(where("date", dated(store.Equal, 10, 20)))}, []string{"b", "c", "e"}},

			{"a token is missing", []store.Clause{where("identifier", missing(store.Token, "true"))}, []string{"d", "e"}},
			{"a token is there", []store.Clause{where("identifier", missing(store.Token, "false"))}, []string{"a", "b", "c"}},
			{"a date is missing", []store.Clause{where("date", missing(store.Date, "true"))}, []string{"e"}},
			{"a date is there", []store.Clause{where("date", missing(store.Date, "false"))}, []string{"a", "b", "c", "d"}},
			{"a reference is missing", []store.Clause{where("clinic", missing(store.Reference, "true"))}, []string{"a", "b", "d", "e"}},
			{"a text is there", []store.Clause{where("name", missing(store.String, "false"))}, []string{"a", "b", "c", "d"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				q := store.Query{Type: "Patient", Where: store.Where(c.where...), Count: 100, Total: true}
				page := read(t, s, search(q))
				equal(t, "found", sorted(ids(page.Resources)), c.want)
				equal(t, "total and more", []any{page.Total, page.More}, []any{len(c.want), false})
			})
		}
	}},
	{"what is near a point", func(t *testing.T, s store.Store) {
		at := func(param string, place store.Point) []store.Entry {
			var all []store.Entry
			for name, v := range map[string]int64{":x": place.X, ":y": place.Y, ":z": place.Z} {
				all = append(all, store.Entry{Param: param + name, Kind: store.Date, Low: v, High: v + 1})
			}
			return all
		}
		write(t, s, func(tx store.Tx) error {
			for id, p := range map[string]store.Point{"a": {X: 637_100_877}, "b": {X: 637_100_800, Y: 300, Z: 400}, "c": {X: -637_100_877}} {
				if err := tx.PutResource(record("Location", id, 1, monday), append(at("near", p), at("far", store.Point{})...), nil); err != nil {
					return err
				}
			}
			return nil
		})
		near := func(low int64) store.Condition {
			return is(where("near", store.Match{Kind: store.Date, Compare: store.Near, Place: store.Point{X: 637_100_877}, Low: low}))
		}
		for low, want := range map[int64][]string{0: {"a"}, 505: {"a"}, 506: {"a", "b"}, 1_274_201_753: {"a", "b"}, 1_274_201_754: {"a", "b", "c"}} {
			equal(t, fmt.Sprint(low), sorted(found(t, s, store.Query{Type: "Location", Where: []store.Condition{near(low)}, Count: 9})), want)
			equal(t, fmt.Sprint(low, " beside an id"), sorted(found(t, s, store.Query{Type: "Location", Where: append(store.Where(where("_id", token("a"), token("b"), token("c"))), near(low)), Count: 9})), want)
		}
		equal(t, "not near", found(t, s, store.Query{Type: "Location", Where: []store.Condition{except(near(506))}, Count: 9}), []string{"c"})
	}},
	{"a search gives whole records", func(t *testing.T, s store.Store) {
		want := record("Slot", "s1", 1, minute(3))
		put(t, s, want)
		page := read(t, s, search(store.Query{Type: "Slot", Count: 1}))
		if len(page.Resources) != 1 {
			t.Fatalf("found %d", len(page.Resources))
		}
		same(t, "the record", page.Resources[0], want)
		equal(t, "total, not asked for", page.Total, -1)
	}},
	{"a search for a type without records", func(t *testing.T, s store.Store) {
		family(t, s)
		page := read(t, s, search(store.Query{Type: "Slot", Count: 10, Total: true}))
		equal(t, "found and total", []any{len(page.Resources), page.Total, page.More}, []any{0, 0, false})
	}},
	{"how results are sorted", func(t *testing.T, s store.Store) {
		family(t, s)
		up := func(p string) store.Sort { return store.Sort{Param: p} }
		down := func(p string) store.Sort { return store.Sort{Param: p, Descending: true} }
		for _, c := range []struct {
			name string
			sort []store.Sort
			want []string
		}{
			{"by creation when nothing is said", nil, []string{"c", "a", "e", "b", "d"}},
			{"by id", []store.Sort{up("_id")}, []string{"a", "b", "c", "d", "e"}},
			{"by id, descending", []store.Sort{down("_id")}, []string{"e", "d", "c", "b", "a"}},
			{"by update", []store.Sort{up("_lastUpdated")}, []string{"c", "a", "e", "b", "d"}},
			{"by update, descending", []store.Sort{down("_lastUpdated")}, []string{"d", "b", "e", "a", "c"}},
			{"by a text; of several the lowest; without one last", []store.Sort{up("name")}, []string{"d", "c", "a", "b", "e"}},
			{"by a text, descending; of several the highest; without one last", []store.Sort{down("name")}, []string{"d", "b", "a", "c", "e"}},
			{"by a date; without one last", []store.Sort{up("date")}, []string{"c", "a", "d", "b", "e"}},
			{"by a date, descending; without one last", []store.Sort{down("date")}, []string{"d", "b", "a", "c", "e"}},
			{"by a code, then by creation", []store.Sort{up("gender")}, []string{"c", "a", "b", "e", "d"}},
			{"by a code, then by id", []store.Sort{up("gender"), up("_id")}, []string{"a", "c", "b", "d", "e"}},
			{"by a code, then by a text, descending", []store.Sort{up("gender"), down("name")}, []string{"a", "c", "b", "d", "e"}},
			{"by a parameter that nothing has", []store.Sort{up("nothing")}, []string{"c", "a", "e", "b", "d"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, known := range []bool{false, true} { // of which kind the values are
					sort := slices.Clone(c.sort)
					for i := range sort {
						if kind := (map[string]store.Kind{"name": store.String, "date": store.Date, "gender": store.Token, "nothing": store.Date}); known {
							sort[i].Kind = kind[sort[i].Param]
						}
					}
					equal(t, "order", found(t, s, store.Query{Type: "Patient", Sort: sort, Count: 100}), c.want)
					var walked, listed []string
					after := ""
					for offset := range c.want {
						walked = append(walked, found(t, s, store.Query{Type: "Patient", Sort: sort, Offset: offset, Count: 1})...)
						l := read(t, s, func(r store.Reader) (store.Listing, error) {
							return r.List(store.Query{Type: "Patient", Sort: sort, Count: 1, After: after})
						})
						for _, k := range l.Keys {
							listed = append(listed, k.ID)
						}
						if l.More != (offset+1 < len(c.want)) {
							t.Errorf("more after %d: %v", offset+1, l.More)
						}
						after = l.Last
					}
					equal(t, "order in pages of one", walked, c.want)
					equal(t, "order in lists of one", listed, c.want)
				}
			})
		}
	}},
	{"dates that are wide, open or narrow, and two conditions on one of them", func(t *testing.T, s store.Store) {
		const day = 86_400_000_000
		write(t, s, func(tx store.Tx) error {
			for id, e := range map[string]store.Entry{
				"hour": {Low: 10 * day, High: 10*day + day/24}, "day": {Low: 11 * day, High: 12 * day}, "month": {Low: 0, High: 30 * day},
				"since": {Low: 5 * day, High: math.MaxInt64}, "until": {Low: math.MinInt64, High: 8 * day},
			} {
				e.Param, e.Kind = "period", store.Date
				if err := tx.PutResource(record("Encounter", id, 1, monday), []store.Entry{e}, nil); err != nil {
					return err
				}
			}
			always := store.Entry{Param: "period", Kind: store.Date, Low: math.MinInt64, High: math.MaxInt64}
			if err := tx.PutResource(record("Encounter", "changed", 1, monday), []store.Entry{always}, nil); err != nil {
				return err
			}
			return tx.PutResource(record("Encounter", "changed", 2, monday), nil, []store.Entry{always})
		})
		period := func(m ...store.Match) store.Clause {
			return store.Clause{Param: "period", Any: m, Single: true}
		}
		at := func(c store.Compare, from, to int64) store.Match { return dated(c, from*day, to*day) }
		for _, c := range []struct {
			name  string
			where []store.Clause
			want  []string
		}{
			{"from a day on", []store.Clause{period(at(store.GreaterEqual, 11, 12))}, []string{"day", "month", "since"}},
			{"after a day", []store.Clause{period(at(store.GreaterThan, 11, 12))}, []string{"month", "since"}},
			{"before a day", []store.Clause{period(at(store.LessThan, 10, 11))}, []string{"month", "since", "until"}},
			{"on a day", []store.Clause{period(at(store.Equal, 10, 11))}, []string{"hour"}},
			{"with a part on a day", []store.Clause{period(at(store.Overlaps, 10, 11))}, []string{"hour", "month", "since"}},
			{"ended before", []store.Clause{period(at(store.EndsBefore, 9, 10))}, []string{"until"}},
			{"from a day on and before another", []store.Clause{period(at(store.GreaterEqual, 10, 11)), period(at(store.LessThan, 12, 13))}, []string{"day", "hour", "month", "since"}},
			{"after one and before another", []store.Clause{period(at(store.StartsAfter, 9, 10)), period(at(store.LessThan, 12, 13))}, []string{"day", "hour"}},
			{"on one of two days, and after one", []store.Clause{period(at(store.Equal, 10, 11), at(store.Equal, 11, 12)), period(at(store.GreaterThan, 10, 11))}, []string{"day"}},
		} {
			for _, sort := range [][]store.Sort{nil, {{Param: "period", Kind: store.Date}}} {
				page := read(t, s, search(store.Query{Type: "Encounter", Where: store.Where(c.where...), Sort: sort, Count: 9, Total: true}))
				equal(t, c.name, sorted(ids(page.Resources)), c.want)
				equal(t, c.name+", counted", page.Total, len(c.want))
			}
		}
	}},
	{"more records than are listed before they are looked at", func(t *testing.T, s store.Store) {
		const n = 2300
		write(t, s, func(tx store.Tx) error {
			for i := range int64(n) {
				entries := []store.Entry{{Param: "status", Kind: store.Token, Value: "open|"}, {Param: "name", Kind: store.String, Value: fmt.Sprintf("tan %04d", n-i)}}
				if i%10 > 0 {
					entries = append(entries, store.Entry{Param: "date", Kind: store.Date, Low: i * 7919 % n, High: i*7919%n + 1})
				}
				if i%1000 == 5 {
					entries = append(entries, store.Entry{Param: "date", Kind: store.Date, Low: n + i, High: n + i + 1}, store.Entry{Param: "mark", Kind: store.Token, Value: "x|"})
				}
				if err := tx.PutResource(record("Slot", fmt.Sprintf("s%04d", i), 1, minute(int(i))), entries, nil); err != nil {
					return err
				}
			}
			return nil
		})
		open, named := is(where("status", token("open|"))), is(where("name", begins(store.String, "tan")))
		for _, w := range [][]store.Condition{{open}, {named}, {open, named}, {either(open, named)}, {is(where("date", dated(store.GreaterEqual, 0, 1), missing(store.Date, "true")))}} {
			for _, sort := range [][]store.Sort{nil, {{Param: "date", Kind: store.Date}}, {{Param: "date", Kind: store.Date, Descending: true}}, {{Param: "name", Kind: store.String}}, {{Param: "_lastUpdated", Descending: true}}, {{Param: "date"}}} {
				q := store.Query{Type: "Slot", Where: w, Sort: sort, Count: 3000, Total: true}
				page := read(t, s, search(q))
				equal(t, "total", page.Total, n)
				whole := ids(page.Resources)
				equal(t, "found", len(slices.Compact(sorted(slices.Clone(whole)))), n)
				q.Count = 700
				var listed []string
				for {
					l := read(t, s, func(r store.Reader) (store.Listing, error) { return r.List(q) })
					for _, k := range l.Keys {
						listed = append(listed, k.ID)
					}
					if !l.More {
						break
					}
					q.After = l.Last
				}
				if !slices.Equal(listed, whole) {
					t.Errorf("%v: a list in parts is not the whole", sort)
				}
				q.After, q.Count, q.Offset = "", 10, n-5
				equal(t, "the last page", ids(read(t, s, search(q)).Resources), whole[n-5:])
			}
		}
		marked := read(t, s, search(store.Query{Type: "Slot", Where: []store.Condition{open, is(where("mark", token("x|")))}, Sort: []store.Sort{{Param: "date", Kind: store.Date, Descending: true}}, Count: 9}))
		equal(t, "few of many, of several dates the highest", ids(marked.Resources), []string{"s2005", "s1005", "s0005"})
	}},
	{"what is found is sorted, and not by what others have", func(t *testing.T, s store.Store) {
		family(t, s)
		female, either := where("gender", token("female|")), where("gender", token("female|"), token("male|"))
		for _, c := range []struct {
			name  string
			where []store.Clause
			sort  string
			down  bool
			want  []string
		}{
			{"one value", []store.Clause{female}, "name", true, []string{"a", "c"}},
			{"one value, upwards", []store.Clause{female}, "identifier", false, []string{"a", "c"}},
			{"one of two values", []store.Clause{either}, "name", true, []string{"b", "a", "c"}},
			{"one of two values, by date", []store.Clause{either}, "date", true, []string{"b", "a", "c"}},
			{"the beginning of a text", []store.Clause{where("name", begins(store.String, "ta"))}, "name", false, []string{"d", "a", "b"}},
			{"a range of dates", []store.Clause{where("date", dated(store.GreaterThan, 0, 25))}, "date", true, []string{"d", "b", "c"}},
			{"two clauses", []store.Clause{female, where("date", dated(store.LessThan, 15, 16))}, "date", true, []string{"a", "c"}},
			{"not a value", []store.Clause{not(female)}, "name", true, []string{"d", "b", "e"}},
			{"an id", []store.Clause{where("_id", token("b"), token("a"))}, "name", true, []string{"b", "a"}},
		} {
			for _, organization := range []string{"", "org-a"} {
				q := store.Query{Type: "Patient", Where: store.Where(c.where...), Sort: []store.Sort{{Param: c.sort, Descending: c.down}}, Organization: organization, Count: 9}
				equal(t, c.name, found(t, s, q), c.want)
			}
		}
	}},
	{"results in pages", func(t *testing.T, s store.Store) {
		var list []store.Resource
		for i := range 10 {
			list = append(list, record("Slot", fmt.Sprintf("s%d", i), 1, minute(i)))
		}
		put(t, s, list...)
		for _, c := range []struct {
			offset, count int
			want          []string
			more          bool
		}{
			{0, 4, []string{"s0", "s1", "s2", "s3"}, true},
			{4, 4, []string{"s4", "s5", "s6", "s7"}, true},
			{8, 4, []string{"s8", "s9"}, false},
			{6, 4, []string{"s6", "s7", "s8", "s9"}, false},
			{0, 10, []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"}, false},
			{10, 4, []string{}, false},
			{99, 4, []string{}, false},
		} {
			page := read(t, s, search(store.Query{Type: "Slot", Offset: c.offset, Count: c.count, Total: true}))
			equal(t, "page", ids(page.Resources), c.want)
			equal(t, "total and more", []any{page.Total, page.More}, []any{10, c.more})
		}
	}},
	{"a count of 0 only counts", func(t *testing.T, s store.Store) {
		family(t, s)
		page := read(t, s, search(store.Query{Type: "Patient", Where: store.Where(where("gender", token("female|")))}))
		equal(t, "resources and total", []any{len(page.Resources), page.Total}, []any{0, 2})
	}},
	{"entries are added and removed by version", func(t *testing.T, s store.Store) {
		old := []store.Entry{
			{Param: "identifier", Kind: store.Token, Value: "1|old"}, {Param: "name", Kind: store.String, Value: "old"},
			{Param: "date", Kind: store.Date, Low: 10, High: 20}, {Param: "doctor", Kind: store.Reference, Value: "Practitioner/old"},
		}
		kept := store.Entry{Param: "identifier", Kind: store.Token, Value: "2|kept"}
		added := []store.Entry{
			{Param: "identifier", Kind: store.Token, Value: "1|new"}, {Param: "name", Kind: store.String, Value: "new"},
			{Param: "date", Kind: store.Date, Low: 10, High: 21}, {Param: "doctor", Kind: store.Reference, Value: "Practitioner/new"},
		}
		write(t, s, func(tx store.Tx) error {
			if err := tx.PutResource(record("Patient", "p1", 1, monday), append([]store.Entry{kept}, old...), nil); err != nil {
				return err
			}
			if err := tx.PutResource(record("Patient", "other", 1, monday), old, nil); err != nil {
				return err
			}
			return tx.PutResource(record("Patient", "p1", 2, monday), added, old)
		})
		for _, c := range []struct {
			clause store.Clause
			want   []string
		}{
			{where("identifier", token("1|old")), []string{"other"}},
			{where("identifier", token("1|new")), []string{"p1"}},
			{where("identifier", token("2|kept")), []string{"p1"}},
			{where("name", begins(store.String, "old")), []string{"other"}},
			{where("name", begins(store.String, "new")), []string{"p1"}},
			{where("date", dated(store.Equal, 10, 20)), []string{"other"}},
			{where("date", dated(store.Equal, 10, 21)), []string{"other", "p1"}},
			{where("doctor", reference("Practitioner/old")), []string{"other"}},
			{where("doctor", reference("Practitioner/new")), []string{"p1"}},
		} {
			equal(t, c.clause.Param+" "+c.clause.Any[0].Value, sorted(found(t, s, store.Query{Type: "Patient", Where: store.Where(c.clause), Count: 9})), c.want)
		}
		equal(t, "who refers to the old", ids(read(t, s, referring("Practitioner", "old", 9))), []string{"other"})
		equal(t, "who refers to the new", ids(read(t, s, referring("Practitioner", "new", 9))), []string{"p1"})
	}},
	{"a record with very many entries is found by each", func(t *testing.T, s store.Store) {
		var entries []store.Entry
		for i := range int64(100) {
			entries = append(entries, store.Entry{Param: "code", Kind: store.Token, Value: fmt.Sprintf("c%d|", i)},
				store.Entry{Param: "date", Kind: store.Date, Low: 10 * i, High: 10*i + 5})
		}
		write(t, s, func(tx store.Tx) error {
			if err := tx.PutResource(record("Basic", "b", 1, monday), entries, nil); err != nil {
				return err
			}
			// The same again, and every other one away.
			var remove []store.Entry
			for i, e := range entries {
				if i/2%2 == 1 {
					remove = append(remove, e)
				}
			}
			return tx.PutResource(record("Basic", "b", 2, monday), nil, remove)
		})
		for i := range int64(100) {
			want := []string{"b"}
			if i%2 == 1 {
				want = []string{}
			}
			equal(t, fmt.Sprintf("code %d", i), found(t, s, store.Query{Type: "Basic", Count: 9, Where: store.Where(where("code", token(fmt.Sprintf("c%d|", i))))}), want)
			equal(t, fmt.Sprintf("date %d", i), found(t, s, store.Query{Type: "Basic", Count: 9, Where: store.Where(where("date", dated(store.Equal, 10*i, 10*i+5)))}), want)
		}
	}},
	{"who refers to a record", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			for _, r := range []struct {
				typ, id, param, value string
				kind                  store.Kind
			}{
				{"Patient", "p1", "general-practitioner", "Practitioner/x", store.Reference},
				{"Encounter", "e1", "participant", "Practitioner/x", store.Reference},
				{"Encounter", "e2", "participant", "Practitioner/xx", store.Reference},
				{"Encounter", "e3", "note", "Practitioner/x", store.String},
				{"Encounter", "e4", "participant", "Practitioner/x", store.Reference},
			} {
				if err := tx.PutResource(record(r.typ, r.id, 1, monday), []store.Entry{{Param: r.param, Kind: r.kind, Value: r.value}}, nil); err != nil {
					return err
				}
			}
			return tx.PutResource(deletion("Encounter", "e4", 2, monday), nil, nil)
		})
		equal(t, "referring", sorted(ids(read(t, s, referring("Practitioner", "x", 10)))), []string{"e1", "p1"})
		equal(t, "referring to one of several", ids(read(t, s, func(r store.Reader) ([]store.Resource, error) {
			return r.ReferencedBy([]store.Key{{Type: "Organization", ID: "x"}, {Type: "Practitioner", ID: "x", Version: 7}, {Type: "Practitioner", ID: "xx"}}, 10)
		})), []string{"p1", "e1", "e2"})
		equal(t, "at most one", len(read(t, s, referring("Practitioner", "x", 1))), 1)
		equal(t, "nobody", len(read(t, s, referring("Organization", "x", 10))), 0)
	}},
	{"a record that refers twice is given once", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			return tx.PutResource(record("Encounter", "e1", 1, monday), []store.Entry{
				{Param: "participant", Kind: store.Reference, Value: "Practitioner/x"},
				{Param: "practitioner", Kind: store.Reference, Value: "Practitioner/x"},
			}, nil)
		})
		equal(t, "referring", ids(read(t, s, referring("Practitioner", "x", 10))), []string{"e1"})
		write(t, s, func(tx store.Tx) error {
			return tx.PutResource(record("Encounter", "e1", 2, monday), nil, []store.Entry{{Param: "practitioner", Kind: store.Reference, Value: "Practitioner/x"}})
		})
		equal(t, "referring by the other parameter still", ids(read(t, s, referring("Practitioner", "x", 10))), []string{"e1"})
	}},
}

func referring(typ, id string, limit int) func(store.Reader) ([]store.Resource, error) {
	return func(r store.Reader) ([]store.Resource, error) {
		return r.ReferencedBy([]store.Key{{Type: typ, ID: id}}, limit)
	}
}
