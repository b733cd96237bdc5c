package query

import (
	"math"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Ranks of conditions, by how few records they are likely to name.
const (
	names = iota // none: the condition cannot be written as a list
	span         // those of a range, such as a date or what contains a text
	code         // those of a code, such as a status
	begin        // those that begin with a text
	whole        // those of a whole value
	one          // the record with an id
)

// maxParts bounds the parts of a list that are looked up one by one.
const maxParts = 100

// enough is how few records need no search for a list with fewer.
const enough = 20

// leader is the condition whose entries name the records to look at.
type leader struct {
	at     int           // its place among the conditions, -1 for none
	single bool          // it is one whole value, whose entries are in the order of creation
	also   []store.Match // what the same entry must meet for other conditions
}

// lead chooses the leader of a query; ok is false when it names so many records
// that it should lead only where that puts nothing out of order.
func (b *builder) lead(q store.Query) (ok bool, best leader) {
	types, where := scopeOf(q), flat(nil, q.Where)
	best = leadOf(where, len(types) == 1)
	if best.at < 0 {
		return false, best
	}
	if b.few == nil {
		return rank(where[best.at]) > code, best
	}
	if own(where[best.at]) && where[best.at].Clause.Param == "_id" {
		return true, best
	}
	// Of those that can lead, the one that names the fewest.
	least, at := math.MaxInt, best
	places := make([]int, 0, len(where))
	for i, c := range where {
		if rank(c) != names {
			places = append(places, i)
		}
	}
	slices.SortStableFunc(places, func(i, j int) int { return rank(where[j]) - rank(where[i]) })
	for _, i := range places {
		if least < enough {
			break
		}
		c := where[i]
		l := leaderAt(where, i, len(types) == 1)
		b.aliases = 0
		n, err := b.few(b.rows(types, c, l.also), min(many, least))
		if err != nil {
			b.err = err
			return false, best
		}
		if n < least || n == least && l.single && !at.single {
			least, at = n, l
		}
	}
	b.aliases = 0
	return least < many, at
}

// rows selects what a condition names.
func (b *builder) rows(types scope, c store.Condition, also []store.Match) Text {
	if !own(c) {
		return b.list(types, c, also)
	}
	out := Text{SQL: "SELECT r.rid FROM resource r WHERE "}
	out.append(types.typed("r.type"), Text{SQL: " AND "}, b.test(types, "r", c))
	return out
}

// leadOf chooses by the ranks alone.
func leadOf(where []store.Condition, alone bool) leader {
	lead, best := -1, names
	for i, c := range where {
		if n := rank(c); n > best {
			lead, best = i, n
		}
	}
	return leaderAt(where, lead, alone)
}

// leaderAt makes a leader of a condition. Others may be about the same entry.
func leaderAt(where []store.Condition, at int, alone bool) leader {
	l := leader{at: at}
	if at < 0 {
		return l
	}
	l.single = alone && single(where[at])
	if _, ok := oneDate(where[at]); !ok {
		return l
	}
	for i, c := range where {
		if m, ok := oneDate(c); ok && i != at && c.Clause.Param == where[at].Clause.Param {
			l.also = append(l.also, m)
		}
	}
	return l
}

// single tells whether a condition is one whole value.
func single(c store.Condition) bool {
	return !c.Not && c.Clause != nil && !c.Clause.Not && len(c.Clause.Any) == 1 && wholeValue(c.Clause.Any[0]) && c.Clause.Param != "_id"
}

func wholeValue(m store.Match) bool {
	return m.Kind != store.Date && m.Compare == store.Equal && !m.Not
}

// oneDate gives the comparison of a condition that is one comparison of a
// parameter of which a record has one date at most.
func oneDate(c store.Condition) (m store.Match, ok bool) {
	if c.Not || c.Clause == nil || c.Clause.Not || !c.Clause.Single || len(c.Clause.Any) != 1 {
		return m, false
	}
	m = c.Clause.Any[0]
	return m, m.Kind == store.Date && m.Compare != store.Missing && m.Compare != store.Near && !m.Not
}

// own tells whether a condition is about a column of the record itself.
func own(c store.Condition) bool {
	return c.Clause != nil && (c.Clause.Param == "_id" || c.Clause.Param == "_lastUpdated")
}

func rank(c store.Condition) int {
	switch {
	case c.Not:
		return names
	case c.Clause != nil:
		return rankOf(*c.Clause)
	case c.Link != nil && len(c.Link.Sub) > 0:
		// What a link names is found by way of other records, which are walked
		// only when they are few.
		least := whole
		for _, sub := range c.Link.Sub {
			n := names
			for _, inner := range flat(nil, sub.Where) {
				n = max(n, rank(inner))
			}
			if n < begin {
				return names
			}
			least = min(least, n)
		}
		return least
	case len(c.All) > 0:
		best := names
		for _, inner := range flat(nil, c.All) {
			best = max(best, rank(inner))
		}
		return min(best, whole)
	case len(c.Any) > 0:
		least := whole
		for _, inner := range c.Any {
			least = min(least, rank(inner))
		}
		return least
	}
	return names
}

func rankOf(c store.Clause) int {
	switch {
	case c.Not || len(c.Any) == 0:
		return names
	case c.Param == "_lastUpdated":
		return span
	case c.Param == "_id":
		return one
	}
	if len(c.Any) > maxParts {
		if slices.ContainsFunc(c.Any, func(m store.Match) bool { return !wholeValue(m) }) {
			return names // a list of so many parts
		}
	}
	least := whole
	for _, m := range c.Any {
		n := span
		switch {
		case m.Compare == store.Missing || m.Not:
			n = names
		case m.Kind == store.Date:
		case m.Compare == store.HasPrefix:
			n = begin
		case m.Kind == store.Token && strings.HasSuffix(m.Value, "|"):
			n = code
		case m.Compare == store.Equal:
			n = whole
		}
		least = min(least, n)
	}
	return least
}
