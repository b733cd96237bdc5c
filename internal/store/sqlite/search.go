package sqlite

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// sqlText is a piece of SQL with its arguments.
type sqlText struct {
	text string
	args []any
}

func (s *sqlText) add(text string, args ...any) {
	s.text += text
	s.args = append(s.args, args...)
}

// Search implements store.Reader.
func (r reader) Search(q store.Query) (store.Page, error) {
	page := store.Page{Total: -1}
	var from, where, order sqlText
	from.add(" FROM resource r")
	where.add(" WHERE r.type = ? AND r.method <> 'DELETE'", q.Type)
	if q.Organization != "" {
		where.add(" AND "+mayBeSeen, q.Organization, q.Organization)
	}
	for _, c := range q.Where {
		clause, err := condition(q.Type, c)
		if err != nil {
			return page, err
		}
		where.add(" AND "+clause.text, clause.args...)
	}
	if q.Total || q.Count == 0 {
		if err := r.one("SELECT count(*)"+from.text+where.text, where.args, &page.Total); err != nil || q.Count == 0 {
			return page, err
		}
	}
	order.add(" ORDER BY ")
	for i, s := range q.Sort {
		sorted(&from, &order, q.Type, i, s)
	}
	order.add("r.rid LIMIT ? OFFSET ?", q.Count+1, q.Offset)
	args := append(append(from.args, where.args...), order.args...)
	var err error
	page.Resources, err = many(r.conn, "SELECT "+resourceColumns+from.text+where.text+order.text, args, scanResource)
	if len(page.Resources) > q.Count {
		page.Resources, page.More = page.Resources[:q.Count], true
	}
	return page, err
}

// sorted adds one order: by a column of its own, or by the lowest (for a
// descending order the highest) value of a parameter.
func sorted(from, order *sqlText, typ string, i int, s store.Sort) {
	direction, pick := "", "min"
	if s.Descending {
		direction, pick = " DESC", "max"
	}
	switch s.Param {
	case "_id":
		order.add("r.id" + direction + ", ")
	case "_lastUpdated":
		order.add("r.updated" + direction + ", ")
	default:
		name := "s" + string(rune('a'+i))
		from.add(" LEFT JOIN (SELECT rid, "+pick+"(v) v FROM (SELECT rid, value v FROM index_value WHERE param = ? UNION ALL SELECT rid, low v FROM index_date WHERE param = ?) GROUP BY rid) "+
			name+" ON "+name+".rid = r.rid", param(typ, s.Param), param(typ, s.Param))
		order.add(name + ".v IS NULL, " + name + ".v" + direction + ", ")
	}
}

// condition is a clause as SQL over r.
func condition(typ string, c store.Clause) (sqlText, error) {
	var out sqlText
	if c.Not {
		out.add("NOT ")
	}
	out.add("(")
	for i, m := range c.Any {
		if i > 0 {
			out.add(" OR ")
		}
		alt, err := alternative(typ, c.Param, m)
		if err != nil {
			return out, err
		}
		out.add(alt.text, alt.args...)
	}
	if len(c.Any) == 0 {
		out.add("0")
	}
	out.add(")")
	return out, nil
}

func alternative(typ, name string, m store.Match) (sqlText, error) {
	switch {
	case name == "_id":
		return sqlText{"r.id = ?", []any{m.Value}}, nil
	case name == "_lastUpdated":
		return dates("r.updated", "r.updated + 1", m)
	case m.Compare == store.Missing:
		not := "NOT "
		if m.Value == "false" {
			not = ""
		}
		p := param(typ, name)
		return sqlText{not + "(r.rid IN (SELECT rid FROM index_value WHERE param = ?) OR r.rid IN (SELECT rid FROM index_date WHERE param = ?))", []any{p, p}}, nil
	case m.Kind == store.Date:
		d, err := dates("low", "high", m)
		return sqlText{"r.rid IN (SELECT rid FROM index_date WHERE param = ? AND " + d.text + ")", append([]any{param(typ, name)}, d.args...)}, err
	case m.Compare == store.Equal:
		return sqlText{"r.rid IN (SELECT rid FROM index_value WHERE param = ? AND value = ?)", []any{param(typ, name), m.Value}}, nil
	case m.Compare == store.HasPrefix:
		return sqlText{"r.rid IN (SELECT rid FROM index_value WHERE param = ? AND value >= ? AND value < ?)",
			[]any{param(typ, name), m.Value, after(m.Value)}}, nil
	}
	return sqlText{}, fhir.Errorf(fhir.CodeNotSupported, "", "The parameter %s cannot be compared in this way.", name)
}

// after is the first text behind all those that begin with prefix.
func after(prefix string) string {
	if prefix == "" {
		return "\xff"
	}
	return prefix + "\U0010FFFF"
}

// dates compares the range [low, high) of an entry with that of a search.
func dates(low, high string, m store.Match) (sqlText, error) {
	both := []any{m.Low, m.High}
	switch m.Compare {
	case store.Equal:
		return sqlText{"(" + low + " >= ? AND " + high + " <= ?)", both}, nil
	case store.NotEqual:
		return sqlText{"NOT (" + low + " >= ? AND " + high + " <= ?)", both}, nil
	case store.LessThan:
		return sqlText{low + " < ?", []any{m.Low}}, nil
	case store.LessEqual:
		return sqlText{low + " < ?", []any{m.High}}, nil
	case store.GreaterThan:
		return sqlText{high + " > ?", []any{m.High}}, nil
	case store.GreaterEqual:
		return sqlText{high + " > ?", []any{m.Low}}, nil
	case store.StartsAfter:
		return sqlText{low + " >= ?", []any{m.High}}, nil
	case store.EndsBefore:
		return sqlText{high + " <= ?", []any{m.Low}}, nil
	}
	return sqlText{}, fhir.Errorf(fhir.CodeNotSupported, "", "Dates cannot be compared by %s.", strings.ToLower(string(m.Compare)))
}
