package query

import (
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

// leading chooses the condition whose entries name the records to look at: the
// one that is likely to name the fewest. -1 for none.
func leading(where []store.Condition) int {
	lead, best := -1, names
	for i, c := range where {
		if n := rank(c); n > best {
			lead, best = i, n
		}
	}
	return lead
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
	case c.Not || c.Param == "_lastUpdated" || len(c.Any) == 0:
		return names
	case c.Param == "_id":
		return one
	}
	if len(c.Any) > maxParts {
		whole := func(m store.Match) bool { return m.Kind != store.Date && m.Compare == store.Equal && !m.Not }
		if !slices.ContainsFunc(c.Any, whole) || slices.ContainsFunc(c.Any, func(m store.Match) bool { return !whole(m) }) {
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
