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

// Search is a query as two statements: Count gives the number of matches in
// one row, Find their rows. Columns of the record are those of an r.
type Search struct{ Count, Find Text }

// Write writes the statements of a query; columns are what Find selects. The
// error is that of a comparison which the kind of the entries does not have.
func Write(d Dialect, q store.Query, columns string) (Search, error) {
	b := builder{dialect: d}
	s := b.source(q)
	if b.err != nil {
		return Search{}, b.err
	}
	if len(s.from.Args)+len(s.where.Args) > maxArgs {
		return Search{}, fhir.Errorf(fhir.CodeTooCostly, "", "The search has too many conditions.").WithStatus(400)
	}
	var out Search
	out.Count.append(Text{SQL: "SELECT count(*)"}, s.from, s.where)
	out.Find.append(Text{SQL: "SELECT " + columns}, s.from, s.where, b.order(q, s))
	out.Find.add(" LIMIT ? OFFSET ?", q.Count+1, q.Offset)
	return out, nil
}

// maxArgs bounds the arguments of a statement, which engines do too.
const maxArgs = 30_000

// builder writes one statement. It keeps the first error.
type builder struct {
	dialect Dialect
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

func (b *builder) source(q store.Query) source {
	types := scopeOf(q)
	where := flat(nil, q.Where)
	r := b.alias("r")
	s := source{from: Text{SQL: " FROM resource " + r}, where: Text{SQL: " WHERE "}, row: r, rid: r + ".rid"}
	lead := leading(where)
	if len(types) == 0 {
		s.where.add(b.dialect.False)
		return s
	}
	if lead >= 0 && where[lead].Clause != nil && where[lead].Clause.Param == "_id" {
		s.where.append(types.typed(r + ".type"))
	} else if lead >= 0 || len(types) > 1 && len(q.Sort) > 0 && q.Sort[0].Param == "_lastUpdated" { // which has an order of its own
		s.where.append(types.typed(b.dialect.Aside + r + ".type"))
	} else {
		s.where.append(types.typed(r + ".type"))
	}
	s.where.add(" AND " + r + ".method <> 'DELETE'")
	if q.Organization != "" {
		s.where.add(" AND (")
		if len(q.Open) > 0 {
			s.where.append(scope(q.Open).typed(r + ".type"))
			s.where.add(" OR ")
		}
		s.where.add(strings.ReplaceAll(MayBeSeen, "r.", r+".")+")", q.Organization, q.Organization)
	}
	for i, c := range where {
		s.where.add(" AND ")
		switch {
		case i != lead || c.Clause != nil && c.Clause.Param == "_id":
			s.where.append(b.test(types, r, c))
		case len(types) == 1 && single(c):
			// Entries of one value are in the order of creation already.
			m := c.Clause.Any[0]
			s.rid = r + "d.rid"
			s.from.SQL = " FROM index_value " + r + "d" + b.dialect.Join + "resource " + r + " ON " + r + ".rid = " + r + "d.rid"
			s.where.append(types.is(r+"d.param", c.Clause.Param))
			s.where.add(" AND "+r+"d.value = ?", b.dialect.Whole(m.Value))
		default:
			s.where.add(r + ".rid IN (")
			s.where.append(b.list(types, c))
			s.where.add(")")
		}
	}
	return s
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

// single tells whether a condition is one whole value.
func single(c store.Condition) bool {
	return c.Clause != nil && len(c.Clause.Any) == 1 && c.Clause.Any[0].Compare == store.Equal && c.Clause.Any[0].Kind != store.Date && !c.Clause.Any[0].Not
}

// key is a value by which the matches are ordered. Those without it come last.
type key struct {
	value      Text
	descending bool
	sure       bool // every record has it
}

// keys writes what the matches are ordered by, before the order of creation.
func (b *builder) keys(q store.Query, s source) (all []key) {
	types := scopeOf(q)
	for _, by := range q.Sort {
		pick := "min"
		if by.Descending {
			pick = "max"
		}
		switch by.Param {
		case "_id":
			all = append(all, key{Text{SQL: s.row + ".id"}, by.Descending, true})
		case "_lastUpdated":
			all = append(all, key{Text{SQL: s.row + ".updated"}, by.Descending, true})
		default:
			// What is added to each value keeps an engine from walking all
			// values of the parameter in their order.
			for _, column := range []string{"i.value || '') FROM index_value", "i.low + 0) FROM index_date"} {
				value := Text{SQL: "(SELECT " + pick + "(" + column + " i WHERE i.rid = " + s.row + ".rid AND "}
				value.append(types.is("i.param", by.Param))
				value.add(")")
				all = append(all, key{value, by.Descending, false})
			}
		}
	}
	return all
}

// order writes how the matches follow one another.
func (b *builder) order(q store.Query, s source) Text {
	order := Text{SQL: " ORDER BY "}
	for _, k := range b.keys(q, s) {
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
