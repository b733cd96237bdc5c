// Package query writes a search of the store as one statement of SQL, for the
// engines that keep their index entries in the tables index_value (param,
// value, rid) and index_date (param, low, high, rid) beside resource.
//
// A condition is written in one of two ways: as a test of a record that is at
// hand, or as a list of the records that its entries name. The condition that
// is likely to name the fewest leads the statement with its list; all others
// are tests. The package runs nothing, and it knows no rule of FHIR.
package query

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Text is a piece of SQL with its arguments, each a question mark.
type Text struct {
	SQL  string
	Args []any
}

func (t *Text) add(sql string, args ...any) {
	t.SQL += sql
	t.Args = append(t.Args, args...)
}

func (t *Text) append(others ...Text) {
	for _, o := range others {
		t.add(o.SQL, o.Args...)
	}
}

// Dialect is how an engine differs from others.
type Dialect struct {
	False    string                    // what never holds
	Join     string                    // a join that keeps its order, as far as the engine lets one say so
	Aside    string                    // before a column that no index is to be looked up by
	Told     string                    // after resource r: an index tells who may see a record, before the record is read
	Valued   string                    // after index_value i: look for the entry of a record among those of its value
	Contains string                    // that value has a text in it, given once
	Ends     string                    // that value ends with a text, given twice
	Whole    func(value string) string // a whole value as the engine keeps it
	Part     func(value string) string // the beginning or the middle of one
}

// Param makes the number of a search parameter: 40 bits of a hash, so that no
// table of names is needed.
func Param(typ, name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(typ + "." + name))
	return int64(h.Sum64() & (1<<40 - 1))
}

// Search is a query as statements. Count gives the number of matches in one
// row. The parts give the matches, one behind the other: those that have the
// first value to sort by and those that do not, when they are found in two ways.
type Search struct {
	Count Text
	parts []part
}

// part is where a part of the matches comes from, and by what they are ordered.
type part struct {
	source
	keys []key
}

// Few counts the rows of a SELECT up to a limit.
type Few func(rows Text, limit int) (int, error)

// many is where a list stops being short: a shorter one leads a search. most is
// where one stops being better than all records in the order asked for.
const many, most = 10_000, 100_000

// Write writes the statements of a query. few, which may be nil, tells what the
// lists of its conditions hold. An error is that of few, of a comparison that
// the kind of the entries does not have, or of a query with too many
// conditions.
func Write(d Dialect, q store.Query, few Few) (out Search, err error) {
	b := builder{dialect: d, few: few}
	how, n := b.lead(q, many)
	short, counting := n < many, how
	if !short && (q.Total || q.Count == 0) { // which finds all matches, in whatever order
		counting, _ = b.lead(q, most)
	}
	counted := b.source(q, counting)
	out.Count.append(Text{SQL: "SELECT count(*)"}, counted.from, counted.where)
	if !short && q.Count > 0 && !b.fills(q, how) {
		how, n = b.lead(q, most)
		short = n < most
	}
	b.aliases = 0
	sorted := len(q.Sort) > 0
	switch {
	case !short && sorted && q.Sort[0].Kind != 0 && len(scopeOf(q)) == 1:
		out.parts = b.walk(q)
	case !short && (sorted || !how.single):
		s := b.source(q, leader{at: -1})
		out.parts = []part{{s, b.keys(q.Sort, q, s)}}
	default:
		s := b.source(q, how)
		out.parts = []part{{s, b.keys(q.Sort, q, s)}}
	}
	switch {
	case b.err != nil:
		return Search{}, b.err
	case len(counted.where.Args) > maxArgs:
		return Search{}, fhir.Errorf(fhir.CodeTooCostly, "", "The search has too many conditions.").WithStatus(400)
	}
	return out, nil
}

// find selects columns of the records of a part.
func (p part) find(columns string, limit, offset int) (out Text) {
	out.append(Text{SQL: "SELECT " + strings.ReplaceAll(columns, "r.", p.row+".")}, p.from, p.where, order(p.keys, p.source))
	out.add(" LIMIT ? OFFSET ?", limit, offset)
	return out
}

// Fetch gives the page of a query: rows gives the records of a statement,
// number its count.
func (s Search) Fetch(q store.Query, columns string, rows func(Text) ([]store.Resource, error), number func(Text) (int, error)) (page store.Page, err error) {
	page.Total = -1
	if q.Total || q.Count == 0 {
		if page.Total, err = number(s.Count); err != nil || q.Count == 0 {
			return page, err
		}
	}
	offset := q.Offset
	for i, p := range s.parts {
		if i > 0 && len(page.Resources) > q.Count {
			break
		}
		list, err := rows(p.find(columns, q.Count+1-len(page.Resources), offset))
		if err != nil {
			return page, err
		}
		page.Resources = append(page.Resources, list...)
		switch {
		case len(page.Resources) > 0:
			offset = 0
		case offset > 0 && i+1 < len(s.parts):
			var all Text
			all.append(Text{SQL: "SELECT count(*)"}, p.from, p.where)
			n, err := number(all)
			if err != nil {
				return page, err
			}
			offset -= n
		}
	}
	if len(page.Resources) > q.Count {
		page.Resources, page.More = page.Resources[:q.Count], true
	}
	return page, nil
}

// maxArgs bounds the arguments of a statement, which engines do too.
const maxArgs = 30_000

// builder writes one statement. It keeps the first error.
type builder struct {
	dialect Dialect
	few     Few
	aliases int
	err     error
}

// alias names the next row of a table: r0, which is written r, is that of the
// matches.
func (b *builder) alias(prefix string) string {
	n := b.aliases
	b.aliases++
	if n == 0 {
		return prefix
	}
	return prefix + strconv.Itoa(n)
}

// scope is the types that a condition is about.
type scope []string

func scopeOf(q store.Query) scope {
	if q.Type != "" {
		return scope{q.Type}
	}
	return scope(q.Types)
}

// is compares a column with the numbers of a parameter.
func (s scope) is(column, param string) Text {
	args := make([]any, len(s))
	for i, typ := range s {
		args[i] = Param(typ, param)
	}
	return among(column, args)
}

func (s scope) typed(column string) Text {
	args := make([]any, len(s))
	for i, typ := range s {
		args[i] = typ
	}
	return among(column, args)
}

func among(column string, args []any) Text {
	switch len(args) {
	case 0:
		return Text{SQL: column + " IN (NULL)"}
	case 1:
		return Text{column + " = ?", args}
	}
	return Text{column + " IN (" + strings.TrimSuffix(strings.Repeat("?,", len(args)), ",") + ")", args}
}

// source is where the rows of a query come from.
type source struct {
	from, where Text
	row         string // the alias of the record
	rid         string // a column that holds its rid, in whose order the rows come
}

// MayBeSeen is the test that an organisation, given twice, may see a record r.
const MayBeSeen = "(r.organization = ? OR EXISTS (SELECT 1 FROM granted g WHERE g.rid = r.rid AND g.organization = ?))"

func (b *builder) source(q store.Query, lead leader) source {
	types := scopeOf(q)
	where := flat(nil, q.Where)
	r := b.alias("r")
	s := source{from: Text{SQL: " FROM resource " + r}, where: Text{SQL: " WHERE "}, row: r, rid: r + ".rid"}
	if len(types) == 0 {
		s.where.add(b.dialect.False)
		return s
	}
	aside, listed := "", lead.owner || lead.at >= 0 && !own(where[lead.at])
	switch {
	case listed && len(types) == 1:
		s.from.add(b.dialect.Told)
	case listed || lead.at < 0 && len(types) > 1 && len(q.Sort) > 0 && q.Sort[0].Param == "_lastUpdated": // which has an order of its own
		aside = b.dialect.Aside
	}
	s.where.append(b.visible(aside, r, types, q))
	if lead.owner {
		s.where.add(" AND " + r + ".rid IN (")
		s.where.append(owned(q))
		s.where.add(")")
	}
	for i, c := range where {
		s.where.add(" AND ")
		switch {
		case i != lead.at || own(c):
			s.where.append(b.test(types, r, c))
		case lead.single:
			// Entries of one value are in the order of creation already.
			m := c.Clause.Any[0]
			s.rid = r + "d.rid"
			s.from.SQL = " FROM index_value " + r + "d" + b.dialect.Join + "resource " + r + b.dialect.Told + " ON " + r + ".rid = " + r + "d.rid"
			s.where.append(types.is(r+"d.param", c.Clause.Param))
			s.where.add(" AND "+r+"d.value = ?", b.dialect.Whole(m.Value))
		default:
			s.where.add(r + ".rid IN (")
			s.where.append(b.list(types, c, lead.also))
			s.where.add(")")
		}
	}
	return s
}

// visible tests that the record r is a current one of the types, which the
// organisation of the query may see.
func (b *builder) visible(aside, r string, types scope, q store.Query) Text {
	out := types.typed(aside + r + ".type")
	out.add(" AND " + r + ".method <> 'DELETE'")
	if q.Organization != "" {
		out.add(" AND (")
		if len(q.Open) > 0 {
			out.append(scope(q.Open).typed(r + ".type"))
			out.add(" OR ")
		}
		out.add(strings.ReplaceAll(MayBeSeen, "r.", r+".")+")", q.Organization, q.Organization)
	}
	return out
}

// walk finds matches along the values of the first parameter to sort by, and
// then those that have none. Of a record with several values the lowest counts,
// for a descending order the highest.
func (b *builder) walk(q store.Query) []part {
	by, types := q.Sort[0], scopeOf(q)
	table, value, lower := "index_value", "value", "e.value < d.value"
	if by.Descending {
		lower = "e.value > d.value"
	}
	if by.Kind == store.Date {
		table, value = "index_date", "low"
		lower = "(" + strings.ReplaceAll(lower, "value", "low") + " OR e.low = d.low AND e.high < d.high)"
	}
	r := b.alias("r")
	s := source{row: r, rid: "d.rid", from: Text{SQL: " FROM " + table + " d" + b.dialect.Join + "resource " + r + b.dialect.Told + " ON " + r + ".rid = d.rid"}, where: Text{SQL: " WHERE "}}
	entries, all := b.walked(q)
	s.where.append(entries, Text{SQL: " AND "}, b.visible("", r, types, q))
	s.where.add(" AND NOT EXISTS (SELECT 1 FROM " + table + " e WHERE e.rid = d.rid AND e.param = d.param AND " + lower + ")")
	for _, c := range q.Where {
		s.where.add(" AND ")
		s.where.append(b.test(types, r, c))
	}
	first := key{Text{SQL: "d." + value}, by.Descending, true}
	parts := []part{{s, append([]key{first}, b.keys(q.Sort[1:], q, s)...)}}
	if all {
		b.aliases = 0
		rest := b.source(q, leader{at: -1})
		rest.where.add(" AND NOT ")
		rest.where.append(b.entry(table+" i", types, rest.row, by.Param, Text{}))
		parts = append(parts, part{rest, append([]key{{}}, b.keys(q.Sort[1:], q, rest)...)})
	}
	return parts
}

// walked tests an entry d of the parameter that a query is sorted by first. all
// tells that records without one may be matches too.
func (b *builder) walked(q store.Query) (entries Text, all bool) {
	by, types := q.Sort[0], scopeOf(q)
	entries, all = types.is("d.param", by.Param), true
	for _, c := range flat(nil, q.Where) {
		if m, ok := oneDate(c); ok && c.Clause.Param == by.Param && by.Kind == store.Date {
			entries.add(" AND ")
			entries.append(b.dates("d.low", "d.high <= ?", "d.high > ?", m))
			if b.narrowOnly(types, by.Param) {
				entries.append(narrow("d.low", m))
			}
			all = false
		}
	}
	return entries, all
}

// flat takes conditions that all must hold out of one another.
func flat(out, where []store.Condition) []store.Condition {
	for _, c := range where {
		if c.All != nil && !c.Not {
			out = flat(out, c.All)
		} else {
			out = append(out, c)
		}
	}
	return out
}

// key is a value by which the matches are ordered. Those without it come last.
// The zero key is that of matches which all have none.
type key struct {
	value      Text
	descending bool
	sure       bool // every record has it
}

func (k key) none() bool { return k.value.SQL == "" }

// keys writes what the matches are ordered by, before the order of creation.
func (b *builder) keys(sort []store.Sort, q store.Query, s source) (all []key) {
	types := scopeOf(q)
	for _, by := range sort {
		pick := "min"
		if by.Descending {
			pick = "max"
		}
		// What is added to each value keeps an engine from walking all values of
		// the parameter in their order.
		columns := []string{"i.value || '') FROM index_value", "i.low + 0) FROM index_date"}
		switch {
		case by.Param == "_id":
			all = append(all, key{Text{SQL: s.row + ".id"}, by.Descending, true})
			continue
		case by.Param == "_lastUpdated":
			all = append(all, key{Text{SQL: s.row + ".updated"}, by.Descending, true})
			continue
		case by.Kind == store.Date:
			columns = columns[1:]
		case by.Kind != 0:
			columns = columns[:1]
		}
		for _, column := range columns {
			value := Text{SQL: "(SELECT " + pick + "(" + column + " i WHERE i.rid = " + s.row + ".rid AND "}
			value.append(types.is("i.param", by.Param))
			value.add(")")
			all = append(all, key{value, by.Descending, false})
		}
	}
	return all
}

// order writes how the matches follow one another.
func order(keys []key, s source) Text {
	order := Text{SQL: " ORDER BY "}
	for _, k := range keys {
		if k.none() {
			continue
		}
		order.append(k.value)
		if k.descending {
			order.add(" DESC")
		}
		if !k.sure { // else it would keep an engine from the index of the column
			order.add(" NULLS LAST")
		}
		order.add(", ")
	}
	order.add(s.rid)
	return order
}
