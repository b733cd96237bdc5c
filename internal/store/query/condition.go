package query

import (
	"math"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// test writes a condition as a test of the record r.
func (b *builder) test(types scope, r string, c store.Condition) Text {
	var out Text
	if c.Not {
		out.add("NOT ")
	}
	out.add("(")
	switch {
	case c.Clause != nil:
		if c.Clause.Not {
			out.add("NOT (")
		}
		values, others := b.wholes(*c.Clause)
		if len(values) > 0 {
			hint := ""
			if len(values) == 1 {
				hint = b.dialect.Valued
			}
			out.append(b.entry("index_value i"+hint, types, r, c.Clause.Param, among("i.value", values)))
		}
		for i, m := range others {
			out.or(i + len(values))
			out.append(b.alternative(types, r, c.Clause.Param, m))
		}
		b.none(&out, len(c.Clause.Any))
		if c.Clause.Not {
			out.add(")")
		}
	case c.Link != nil:
		for i, sub := range c.Link.Sub {
			out.or(i)
			out.append(b.linked(types, r, *c.Link, sub))
		}
		b.none(&out, len(c.Link.Sub))
	case c.Any != nil:
		for i, inner := range c.Any {
			out.or(i)
			out.append(b.test(types, r, inner))
		}
		b.none(&out, len(c.Any))
	default:
		for i, inner := range c.All {
			if i > 0 {
				out.add(" AND ")
			}
			out.append(b.test(types, r, inner))
		}
		if len(c.All) == 0 {
			out.add("NOT " + b.dialect.False)
		}
	}
	out.add(")")
	return out
}

// wholes takes the whole values out of the alternatives of a clause: they are
// compared all at once.
func (b *builder) wholes(c store.Clause) (values []any, others []store.Match) {
	if c.Param == "_id" || c.Param == "_lastUpdated" {
		return nil, c.Any
	}
	for _, m := range c.Any {
		if m.Kind != store.Date && m.Compare == store.Equal && !m.Not {
			values = append(values, b.dialect.Whole(m.Value))
		} else {
			others = append(others, m)
		}
	}
	return values, others
}

func (t *Text) or(i int) {
	if i > 0 {
		t.add(" OR ")
	}
}

// none writes what no alternative at all means.
func (b *builder) none(out *Text, alternatives int) {
	if alternatives == 0 {
		out.add(b.dialect.False)
	}
}

// alternative writes a match as a test of the record r.
func (b *builder) alternative(types scope, r, name string, m store.Match) Text {
	switch {
	case name == "_id":
		return Text{r + ".id = ?", []any{m.Value}}
	case name == "_lastUpdated":
		return b.dates(r+".updated", r+".updated < ?", r+".updated >= ?", m)
	case m.Compare == store.Missing:
		out := Text{SQL: "("}
		for i, table := range []string{"index_value i", "index_date i"} {
			out.or(i)
			out.append(b.entry(table, types, r, name, Text{}))
		}
		out.add(")")
		if m.Value != "false" {
			out.SQL = "NOT " + out.SQL
		}
		return out
	case m.Compare == store.Near:
		out := Text{SQL: "EXISTS (SELECT 1 FROM "}
		out.append(b.near(types, name, m))
		out.add(" AND x.rid = " + r + ".rid)")
		return out
	}
	table, meets := b.meets(name, m)
	return b.entry(table+" i", types, r, name, meets)
}

// meets writes a match as a test of an entry i of a table.
func (b *builder) meets(name string, m store.Match) (table string, meets Text) {
	if m.Kind == store.Date {
		table, meets = "index_date", b.dates("i.low", "i.high <= ?", "i.high > ?", m)
	} else {
		table, meets = "index_value", b.value("i.value", name, m)
	}
	if m.Not {
		meets.SQL = "NOT (" + meets.SQL + ")"
	}
	return table, meets
}

// near writes tables and conditions for points in space that are near another:
// first those in a slice of it.
func (b *builder) near(types scope, name string, m store.Match) Text {
	out := Text{SQL: "index_date x" + b.dialect.Join + "index_date y ON y.rid = x.rid" + b.dialect.Join + "index_date z ON z.rid = x.rid WHERE "}
	out.append(types.is("x.param", name+":x"), Text{SQL: " AND "}, types.is("y.param", name+":y"), Text{SQL: " AND "}, types.is("z.param", name+":z"))
	p := m.Place
	out.add(" AND x.low BETWEEN ? AND ?", p.X-m.Low, p.X+m.Low)
	out.add(" AND (x.low - ?) * (x.low - ?) + (y.low - ?) * (y.low - ?) + (z.low - ?) * (z.low - ?) <= ?", p.X, p.X, p.Y, p.Y, p.Z, p.Z, m.Low*m.Low)
	return out
}

// entry tests that the record r has an entry i of a table that meets a condition.
func (b *builder) entry(table string, types scope, r, name string, meets Text) Text {
	out := Text{SQL: "EXISTS (SELECT 1 FROM " + table + " WHERE i.rid = " + r + ".rid AND "}
	out.append(types.is("i.param", name))
	if meets.SQL != "" {
		out.add(" AND ")
		out.append(meets)
	}
	out.add(")")
	return out
}

// value compares a column with that of a match.
func (b *builder) value(column, name string, m store.Match) Text {
	switch m.Compare {
	case store.Equal:
		return Text{column + " = ?", []any{b.dialect.Whole(m.Value)}}
	case store.HasPrefix:
		prefix := b.dialect.Part(m.Value)
		return Text{"(" + column + " >= ? AND " + column + " < ?)", []any{prefix, after(prefix)}}
	case store.Contains:
		return Text{strings.ReplaceAll(b.dialect.Contains, "value", column), []any{b.dialect.Part(m.Value)}}
	case store.HasSuffix:
		part := b.dialect.Part(m.Value)
		return Text{strings.ReplaceAll(b.dialect.Ends, "value", column), []any{part, part}}
	}
	b.refuse("The parameter %s cannot be compared in this way.", name)
	return Text{}
}

func (b *builder) refuse(format, what string) {
	if b.err == nil {
		b.err = fhir.Errorf(fhir.CodeNotSupported, "", format, what)
	}
}

// after is the first text behind all those that begin with prefix.
func after(prefix string) string { return prefix + "\U0010FFFF" }

// list writes a condition that has a rank as a SELECT of the rids that it
// names.
func (b *builder) list(types scope, c store.Condition, also []store.Match) Text {
	var out Text
	union := func(i int) {
		if i > 0 {
			out.add(" UNION ALL ")
		}
	}
	switch {
	case own(c):
		out.append(b.matches(types, c))
	case c.Clause != nil:
		values, others := b.wholes(*c.Clause)
		if len(values) > 0 {
			out.append(named("index_value", types, c.Clause.Param, among("i.value", values)))
		}
		for i, m := range others {
			union(i + len(values))
			out.append(b.named(types, c.Clause.Param, m, also))
		}
	case c.Link != nil:
		for i, sub := range c.Link.Sub {
			union(i)
			out.append(b.led(types, *c.Link, sub))
		}
	case c.All != nil:
		out.append(b.matches(types, c.All...))
	default:
		for i, inner := range c.Any {
			union(i)
			out.append(b.list(types, inner, nil))
		}
	}
	return out
}

// matches selects the records of the types that meet conditions.
func (b *builder) matches(types scope, where ...store.Condition) Text {
	q := store.Query{Types: types, Where: where}
	s := b.source(q, leadOf(flat(nil, where), len(types) == 1))
	out := Text{SQL: "SELECT " + s.rid}
	out.append(s.from, s.where)
	return out
}

// named selects the records that have an entry which meets a match, and others
// too. What begins before a time and reaches over it is looked for among the
// narrow entries that begin shortly before, and among the wide ones.
func (b *builder) named(types scope, name string, m store.Match, also []store.Match) Text {
	if m.Compare == store.Near {
		out := Text{SQL: "SELECT x.rid FROM "}
		out.append(b.near(types, name, m))
		return out
	}
	table, meets := b.meets(name, m)
	var bounds Text
	if !m.Not {
		bounds.append(narrow("i.low", m))
	}
	for _, a := range also {
		_, more := b.meets(name, a)
		meets.add(" AND ")
		meets.append(more)
		bounds.append(narrow("i.low", a))
	}
	if bounds.SQL == "" {
		return named(table, types, name, meets)
	}
	out := named(table, types, name, Text{meets.SQL + bounds.SQL, append(meets.Args[:len(meets.Args):len(meets.Args)], bounds.Args...)})
	out.add(" UNION ALL ")
	out.append(named(table, types, name+Wide, meets))
	return out
}

// Wide ends the name under which the entries of dates are kept once more that
// are wider than most.
const Wide = ":wide"

// width is what a narrow entry has at most, in microseconds: a day and a half.
const width = 129_600_000_000

// Stored gives entries with those that are kept once more.
func Stored(entries []store.Entry) []store.Entry {
	for _, e := range entries {
		if e.Kind == store.Date && (e.Low < math.MinInt64/2 || e.High > math.MaxInt64/2 || e.High-e.Low > width) {
			e.Param += Wide
			entries = append(entries[:len(entries):len(entries)], e)
		}
	}
	return entries
}

// narrow bounds where a narrow entry that meets a match begins, where the match
// itself does not.
func narrow(low string, m store.Match) Text {
	since := func(t int64) Text {
		if t < math.MinInt64+width {
			return Text{}
		}
		return Text{" AND " + low + " > ?", []any{t - width}}
	}
	switch m.Compare {
	case store.GreaterThan:
		return since(m.High)
	case store.GreaterEqual, store.Overlaps:
		return since(m.Low)
	}
	return Text{}
}

// narrowOnly tells whether a parameter is known to have no wide entries.
func (b *builder) narrowOnly(types scope, name string) bool {
	if b.few == nil {
		return false
	}
	rows := Text{SQL: "SELECT 1 FROM index_date i WHERE "}
	rows.append(types.is("i.param", name+Wide))
	n, err := b.few(rows, 1)
	if err != nil {
		b.err = err
	}
	return n == 0
}

func named(table string, types scope, name string, meets Text) Text {
	out := Text{SQL: "SELECT i.rid FROM " + table + " i WHERE "}
	out.append(types.is("i.param", name))
	out.add(" AND ")
	out.append(meets)
	return out
}

// linked tests that the record r refers to a match of sub, or with Reverse
// that a match of sub refers to r.
func (b *builder) linked(types scope, r string, link store.Link, sub store.Query) Text {
	sub.Type, sub.Types = typeOf(sub), nil
	s := b.alias("r")
	i := s + "i"
	out := Text{SQL: "EXISTS (SELECT 1 FROM index_value " + i + b.dialect.Join + "resource " + s + " ON "}
	if link.Reverse {
		out.add(s + ".rid = " + i + ".rid WHERE ")
		out.append(scope{sub.Type}.is(i+".param", link.Param))
		out.add(" AND " + i + ".value = " + r + ".type || '/' || " + r + ".id")
	} else {
		out.add(s+".type = ? AND "+s+".id = "+idIn(i+".value", sub.Type)+" WHERE "+i+".rid = "+r+".rid AND ", sub.Type)
		out.append(types.is(i+".param", link.Param))
		out.add(" AND " + i + ".value = " + s + ".type || '/' || " + s + ".id")
	}
	out.append(b.holds(s, sub))
	out.add(")")
	return out
}

// holds tests that the record s is a match of a query.
func (b *builder) holds(s string, q store.Query) Text {
	out := Text{SQL: " AND "}
	out.append(b.visible("", s, scope{q.Type}, q))
	for _, c := range q.Where {
		out.add(" AND ")
		out.append(b.test(scope{q.Type}, s, c))
	}
	return out
}

// led selects the records that refer to a match of sub, or with Reverse those
// to which a match of sub refers.
func (b *builder) led(types scope, link store.Link, sub store.Query) Text {
	sub.Type, sub.Types = typeOf(sub), nil
	s := b.source(sub, leadOf(flat(nil, sub.Where), true))
	i := s.row + "i"
	var out Text
	if !link.Reverse {
		out.add("SELECT " + i + ".rid")
		out.append(s.from)
		out.add(b.dialect.Join + "index_value " + i + " ON ")
		out.append(types.is(i+".param", link.Param))
		out.add(" AND " + i + ".value = " + s.row + ".type || '/' || " + s.row + ".id")
		out.append(s.where)
		return out
	}
	for n, typ := range types {
		if n > 0 {
			out.add(" UNION ALL ")
		}
		t := b.alias("r")
		out.add("SELECT " + t + ".rid")
		out.append(s.from)
		out.add(b.dialect.Join + "index_value " + i + " ON " + i + ".rid = " + s.row + ".rid AND ")
		out.append(scope{sub.Type}.is(i+".param", link.Param))
		out.add(b.dialect.Join+"resource "+t+" ON "+t+".type = ? AND "+t+".id = "+idIn(i+".value", typ), typ)
		out.append(s.where)
		out.add(" AND " + i + ".value = " + t + ".type || '/' || " + t + ".id")
	}
	return out
}

func typeOf(q store.Query) string {
	if q.Type == "" && len(q.Types) > 0 {
		return q.Types[0]
	}
	return q.Type
}

// idIn takes the id out of a reference to a type.
func idIn(column, typ string) string {
	return "substr(" + column + ", " + strconv.Itoa(len(typ)+2) + ")"
}

// dates compares the range of an entry with that of a search. low is where the
// entry begins; ended tells that it ends before a time or at it, over that it
// does not.
func (b *builder) dates(low, ended, over string, m store.Match) Text {
	both := []any{m.Low, m.High}
	switch m.Compare {
	case store.Equal: // it begins before the end, too, which an index can use
		return Text{"(" + low + " >= ? AND " + low + " < ? AND " + ended + ")", []any{m.Low, m.High, m.High}}
	case store.NotEqual:
		return Text{"NOT (" + low + " >= ? AND " + ended + ")", both}
	case store.LessThan:
		return Text{low + " < ?", []any{m.Low}}
	case store.LessEqual: // before, or within
		return Text{"(" + low + " < ? AND (" + low + " < ? OR " + ended + "))", []any{m.High, m.Low, m.High}}
	case store.GreaterThan:
		return Text{over, []any{m.High}}
	case store.GreaterEqual: // after, or within
		return Text{"(" + over + " AND (" + over + " OR " + low + " >= ?))", []any{m.Low, m.High, m.Low}}
	case store.Overlaps:
		return Text{"(" + low + " < ? AND " + over + ")", []any{m.High, m.Low}}
	case store.StartsAfter:
		return Text{low + " >= ?", []any{m.High}}
	case store.EndsBefore:
		return Text{"(" + low + " < ? AND " + ended + ")", []any{m.Low, m.Low}}
	}
	b.refuse("Dates cannot be compared by %s.", strings.ToLower(string(m.Compare)))
	return Text{}
}
