package search

import (
	"slices"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Meets tells whether a document meets the conditions of a query as the
// database would find it: by the entries that Index gives, its id and
// meta.lastUpdated. Conditions on other records cannot be judged by the
// document alone; they give an error with code not-supported.
func Meets(q store.Query, doc *fhir.Document, bases ...string) (bool, error) {
	if doc.Type() != q.Type && (q.Type != "" || !slices.Contains(q.Types, doc.Type())) {
		return false, nil
	}
	updated, _ := time.Parse(time.RFC3339Nano, doc.Root().Get("meta").Get("lastUpdated").String())
	return Record{ID: doc.ID(), Updated: updated, Entries: Index(doc, bases...)}.Meets(q.Where)
}

// Record is what conditions look at.
type Record struct {
	ID      string
	Updated time.Time
	Entries []store.Entry // in the order of Index
}

// Meets tells whether a record meets all conditions, as the function Meets does.
func (r Record) Meets(where []store.Condition) (bool, error) {
	for _, c := range where {
		if ok, err := r.one(c); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r Record) one(c store.Condition) (ok bool, err error) {
	switch {
	case c.Link != nil:
		return false, fhir.Errorf(fhir.CodeNotSupported, "", "A condition on other records, here by %s, cannot be judged by one record.", c.Link.Param)
	case c.Clause != nil:
		ok, err = r.clause(*c.Clause)
	case c.Any != nil:
		for i := 0; i < len(c.Any) && !ok && err == nil; i++ {
			ok, err = r.one(c.Any[i])
		}
	default:
		ok, err = r.Meets(c.All)
	}
	return ok != c.Not && err == nil, err
}

func (r Record) clause(c store.Clause) (ok bool, err error) {
	for i := 0; i < len(c.Any) && !ok && err == nil; i++ {
		ok, err = r.match(c.Param, c.Any[i])
	}
	return ok != c.Not && err == nil, err
}

func (r Record) match(param string, m store.Match) (bool, error) {
	if m.Compare == store.Near {
		return r.near(param, m), nil
	}
	entries := r.of(param)
	if m.Compare == store.Missing {
		return (len(entries) == 0) == (m.Value != "false"), nil
	}
	compare, known := comparisons[m.Compare]
	if m.Kind != store.Date {
		compare, known = textComparisons[m.Compare]
	}
	if !known {
		return false, unsupported(param, "cannot be compared in this way")
	}
	for _, e := range entries {
		if compare(e, m) != m.Not {
			return true, nil
		}
	}
	return false, nil
}

// near tells whether the record's point is near that of a match.
func (r Record) near(param string, m store.Match) bool {
	x, y, z := r.of(param+placeX), r.of(param+placeY), r.of(param+placeZ)
	if len(x) == 0 || len(y) == 0 || len(z) == 0 {
		return false
	}
	dx, dy, dz := x[0].Low-m.Place.X, y[0].Low-m.Place.Y, z[0].Low-m.Place.Z
	return dx*dx+dy*dy+dz*dz <= m.Low*m.Low
}

// of gives the entries of a parameter.
func (r Record) of(param string) []store.Entry {
	switch param {
	case "_id":
		return []store.Entry{{Value: r.ID}}
	case "_lastUpdated":
		return []store.Entry{{Kind: store.Date, Low: r.Updated.UnixMicro(), High: r.Updated.UnixMicro() + 1}}
	}
	first, _ := slices.BinarySearchFunc(r.Entries, param, func(e store.Entry, param string) int { return strings.Compare(e.Param, param) })
	end := first
	for end < len(r.Entries) && r.Entries[end].Param == param {
		end++
	}
	return r.Entries[first:end]
}

var textComparisons = map[store.Compare]func(store.Entry, store.Match) bool{
	store.Equal:     func(e store.Entry, m store.Match) bool { return e.Value == m.Value },
	store.HasPrefix: func(e store.Entry, m store.Match) bool { return strings.HasPrefix(e.Value, m.Value) },
	store.HasSuffix: func(e store.Entry, m store.Match) bool { return strings.HasSuffix(e.Value, m.Value) },
	store.Contains:  func(e store.Entry, m store.Match) bool { return strings.Contains(e.Value, m.Value) },
}

var comparisons = map[store.Compare]func(store.Entry, store.Match) bool{
	store.Equal:        within,
	store.NotEqual:     func(e store.Entry, m store.Match) bool { return !within(e, m) },
	store.LessThan:     func(e store.Entry, m store.Match) bool { return e.Low < m.Low },
	store.LessEqual:    func(e store.Entry, m store.Match) bool { return e.Low < m.Low || within(e, m) },
	store.GreaterThan:  func(e store.Entry, m store.Match) bool { return e.High > m.High },
	store.GreaterEqual: func(e store.Entry, m store.Match) bool { return e.High > m.High || within(e, m) },
	store.StartsAfter:  func(e store.Entry, m store.Match) bool { return e.Low >= m.High },
	store.EndsBefore:   func(e store.Entry, m store.Match) bool { return e.High <= m.Low },
	store.Overlaps:     func(e store.Entry, m store.Match) bool { return e.Low < m.High && e.High > m.Low },
}

// within tells whether an entry lies within the range of a match.
func within(e store.Entry, m store.Match) bool { return e.Low >= m.Low && e.High <= m.High }
