package query

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Ranks of conditions, by how few records they are likely to name.
const (
	names = iota // none: the condition cannot be written as a list
	far          // those that many other records lead to
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
	owner  bool          // in place of a condition: what the organisation of the query may see
	single bool          // it is one whole value, whose entries are in the order of creation
	also   []store.Match // what the same entry must meet for other conditions
}

// lead chooses the leader of a query and counts what it names, up to a limit: at
// the limit it should lead only where that puts nothing out of order.
func (b *builder) lead(q store.Query, limit int) (best leader, n int) {
	types, where := scopeOf(q), flat(nil, q.Where)
	best = leadOf(where, len(types) == 1)
	switch {
	case b.few == nil && (best.at < 0 || rank(where[best.at]) <= code):
		return best, limit
	case b.few == nil || best.at >= 0 && own(where[best.at]) && where[best.at].Clause.Param == "_id":
		return best, 0
	}
	// Of those that can lead, the one that names the fewest.
	n = limit
	places := make([]int, 0, len(where))
	for i, c := range where {
		if rank(c) != names {
			places = append(places, i)
		}
	}
	slices.SortStableFunc(places, func(i, j int) int { return cheap(where[j]) - cheap(where[i]) })
	for _, i := range places {
		if n < enough {
			break
		}
		l := leaderAt(where, i, len(types) == 1)
		b.aliases = 0
		if rank(where[i]) == far && !b.reachable(*where[i].Link, n) {
			continue
		}
		m := b.count(b.rows(types, where[i], l.also), min(limit, n+1))
		if m < n || m == n && (best.at < 0 || l.single && !best.single) {
			best, n = l, m
		}
	}
	if n >= enough && q.Organization != "" && len(types) == 1 && !slices.Contains(q.Open, types[0]) {
		if m := b.count(owned(q), n); m < n {
			best, n = leader{at: -1, owner: true}, m
		}
	}
	b.aliases = 0
	return best, n
}

// cheap ranks conditions by what it takes to count their lists: what is found by
// way of other records comes last, unless it is one value there.
func cheap(c store.Condition) int {
	if n := rank(c); c.Link == nil || n >= whole {
		return n
	}
	return names
}

// reachable tells whether fewer other records than a limit lead to what a link
// names.
func (b *builder) reachable(link store.Link, limit int) bool {
	for _, sub := range link.Sub {
		types, where := scope{typeOf(sub)}, flat(nil, sub.Where)
		l := leadOf(where, true)
		if l.at < 0 || b.count(b.rows(types, where[l.at], l.also), limit) >= limit {
			return false
		}
	}
	return true
}

// count counts the rows of a SELECT up to a limit.
func (b *builder) count(rows Text, limit int) int {
	if b.err != nil {
		return 0
	}
	n, err := b.few(rows, limit)
	b.err = err
	return n
}

// owned selects what the organisation of a query may see of its type, and what
// it may see of other types by a grant.
func owned(q store.Query) Text {
	out := Text{SQL: "SELECT o.rid FROM resource o WHERE "}
	out.append(scopeOf(q).typed("o.type"))
	out.add(" AND o.organization = ? AND o.method <> 'DELETE' UNION ALL SELECT g.rid FROM granted g WHERE g.organization = ?", q.Organization, q.Organization)
	return out
}

// fills tells whether a page of matches is among the first records in the order
// in which they would be walked.
func (b *builder) fills(q store.Query, how leader) bool {
	types := scopeOf(q)
	if b.few == nil || len(types) != 1 {
		return true
	}
	line, ok := b.line(q, how)
	if !ok {
		return false
	}
	b.aliases = 1
	rows := Text{SQL: "SELECT 1 FROM ("}
	rows.append(line)
	rows.add(" LIMIT ?) line"+b.dialect.Join+"resource r"+b.dialect.Told+" ON r.rid = line.rid WHERE ", many)
	rows.append(b.visible("", "r", types, q))
	for _, c := range q.Where {
		rows.add(" AND ")
		rows.append(b.test(types, "r", c))
	}
	return b.count(rows, q.Offset+q.Count+1) > q.Offset+q.Count
}

// line selects the records of a query's type in the order in which they would
// be walked, where an index has that order.
func (b *builder) line(q store.Query, how leader) (out Text, ok bool) {
	types, where := scopeOf(q), flat(nil, q.Where)
	by, direction := store.Sort{}, ""
	if len(q.Sort) > 0 {
		if by = q.Sort[0]; by.Descending {
			direction = " DESC"
		}
	}
	switch {
	case by.Param == "" && how.single:
		out.append(named("index_value", types, where[how.at].Clause.Param, among("i.value", []any{b.dialect.Whole(where[how.at].Clause.Any[0].Value)})))
		out.add(" ORDER BY i.rid")
	case by.Param == "" || by.Param == "_id" || by.Param == "_lastUpdated":
		out.add("SELECT r.rid FROM resource r WHERE ")
		out.append(types.typed("r.type"))
		for _, c := range where {
			if own(c) {
				out.add(" AND ")
				out.append(b.test(types, "r", c))
			}
		}
		out.add(map[string]string{"": " AND r.method <> 'DELETE' ORDER BY r.rid", "_id": " ORDER BY r.id", "_lastUpdated": " ORDER BY r.updated"}[by.Param] + direction)
	case by.Kind == 0:
		return out, false
	default:
		entries, _ := b.walked(q)
		out.add("SELECT d.rid FROM " + map[bool]string{true: "index_date", false: "index_value"}[by.Kind == store.Date] + " d WHERE ")
		out.append(entries)
		out.add(" ORDER BY " + map[bool]string{true: "d.low", false: "d.value"}[by.Kind == store.Date] + direction)
	}
	return out, true
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
	lead, best := -1, far // which leads only when its list has been counted
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
			switch {
			case n <= far:
				return names
			case n < begin:
				n = far
			}
			least = min(least, n)
		}
		return least
	case len(c.All) > 0:
		best := far
		for _, inner := range flat(nil, c.All) {
			best = max(best, rank(inner))
		}
		return listed(min(best, whole))
	case len(c.Any) > 0:
		least := whole
		for _, inner := range c.Any {
			least = min(least, rank(inner))
		}
		return listed(least)
	}
	return names
}

// listed is the rank of what has conditions within it: far is for a link alone.
func listed(n int) int {
	if n == far {
		return names
	}
	return n
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
