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
	from, where, order := sqlText{text: " FROM resource r"}, sqlText{}, sqlText{text: " ORDER BY "}
	rid, named := "r.rid", sqlText{}
	lead := leading(q.Where)
	if lead < 0 {
		where.add(" WHERE r.type = ? AND r.method <> 'DELETE'", q.Type)
	} else { // the plus keeps the engine from walking all records of the type
		where.add(" WHERE +r.type = ? AND r.method <> 'DELETE'", q.Type)
	}
	if q.Organization != "" {
		where.add(" AND "+mayBeSeen, q.Organization, q.Organization)
	}
	for i, c := range q.Where {
		clause, err := condition(q.Type, c)
		if i == lead && err == nil {
			named, err = among(q.Type, c)
		}
		switch {
		case i == lead && len(c.Any) == 1 && c.Any[0].Compare == store.Equal && c.Any[0].Kind != store.Date:
			// Entries of one value are in the order of creation already.
			rid = "d.rid"
			from.text = " FROM index_value d CROSS JOIN resource r ON r.rid = d.rid"
			clause = sqlText{"d.param = ? AND d.value = ?", []any{param(q.Type, c.Param), c.Any[0].Value}}
		case i == lead:
			clause = sqlText{"r." + named.text, named.args}
		}
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
	for i, s := range q.Sort {
		sorted(&from, &order, named, q.Type, i, s)
	}
	order.add(rid+" LIMIT ? OFFSET ?", q.Count+1, q.Offset)
	args := append(append(from.args, where.args...), order.args...)
	var err error
	page.Resources, err = many(r.conn, "SELECT "+resourceColumns+from.text+where.text+order.text, args, scanResource)
	if len(page.Resources) > q.Count {
		page.Resources, page.More = page.Resources[:q.Count], true
	}
	return page, err
}

// leading chooses the clause whose entries name the records to look at: the
// one that is likely to name the fewest. -1 for none.
func leading(where []store.Clause) int {
	lead, best := -1, 0
	for i, c := range where {
		if c.Param == "_id" && !c.Not {
			return -1 // nothing names fewer
		}
		if n := selective(c); n > best {
			lead, best = i, n
		}
	}
	return lead
}

// selective guesses how few records a clause names; 0 when it names none.
func selective(c store.Clause) int {
	if c.Not || c.Param == "_lastUpdated" || len(c.Any) == 0 {
		return 0
	}
	least := 5
	for _, m := range c.Any {
		n := 1
		switch {
		case m.Compare == store.Missing:
			n = 0
		case m.Kind == store.Date:
		case m.Compare == store.HasPrefix:
			n = 3
		case m.Kind == store.Token && strings.HasSuffix(m.Value, "|"):
			n = 2 // a code such as a status
		case m.Compare == store.Equal:
			n = 4
		}
		least = min(least, n)
	}
	return least
}

// sorted adds one order: by a column of its own, or by the lowest (for a
// descending order the highest) value of a parameter. named tells which records
// matter, if only some do.
func sorted(from, order *sqlText, named sqlText, typ string, i int, s store.Sort) {
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
		only := ""
		if named.text != "" {
			only = " AND " + named.text
		}
		p := append([]any{param(typ, s.Param)}, named.args...)
		from.add(" LEFT JOIN (SELECT rid, "+pick+"(v) v FROM (SELECT rid, value v FROM index_value WHERE param = ?"+only+
			" UNION ALL SELECT rid, low v FROM index_date WHERE param = ?"+only+") GROUP BY rid) "+name+" ON "+name+".rid = r.rid", append(p, p...)...)
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

// among is a clause as a test of a rid: that its entries name the record.
func among(typ string, c store.Clause) (sqlText, error) {
	out := sqlText{text: "rid IN ("}
	for i, m := range c.Any {
		named, err := entries(typ, c.Param, m)
		if err != nil {
			return out, err
		}
		if i > 0 {
			out.add(" UNION ALL ")
		}
		out.add(named.text, named.args...)
	}
	out.add(")")
	return out, nil
}

// alternative is a match as a test of a record that is at hand.
func alternative(typ, name string, m store.Match) (sqlText, error) {
	switch {
	case name == "_id":
		return sqlText{"r.id = ?", []any{m.Value}}, nil
	case name == "_lastUpdated":
		return dates("r.updated", "r.updated < ?", "r.updated >= ?", m)
	case m.Kind != store.Date && m.Compare == store.Equal:
		return sqlText{"EXISTS (SELECT 1 FROM index_value i WHERE i.param = ? AND i.value = ? AND i.rid = r.rid)", []any{param(typ, name), m.Value}}, nil
	}
	named, err := entries(typ, name, m)
	named.text = "+r.rid IN (" + named.text + ")"
	if m.Compare == store.Missing && m.Value != "false" {
		named.text = "NOT " + named.text
	}
	return named, err
}

// entries selects the records that a match names; for Missing, those that have
// any entry.
func entries(typ, name string, m store.Match) (sqlText, error) {
	p := param(typ, name)
	switch {
	case m.Compare == store.Missing:
		return sqlText{"SELECT rid FROM index_value WHERE param = ? UNION ALL SELECT rid FROM index_date WHERE param = ?", []any{p, p}}, nil
	case m.Kind == store.Date:
		d, err := dates("low", "high <= ?", "high > ?", m)
		return sqlText{"SELECT rid FROM index_date WHERE param = ? AND " + d.text, append([]any{p}, d.args...)}, err
	case m.Compare == store.Equal:
		return sqlText{"SELECT rid FROM index_value WHERE param = ? AND value = ?", []any{p, m.Value}}, nil
	case m.Compare == store.Contains:
		return sqlText{"SELECT rid FROM index_value WHERE param = ? AND instr(value, ?) > 0", []any{p, m.Value}}, nil
	case m.Compare == store.HasPrefix:
		return sqlText{"SELECT rid FROM index_value WHERE param = ? AND value >= ? AND value < ?", []any{p, m.Value, after(m.Value)}}, nil
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

// dates compares the range of an entry with that of a search. low is where the
// entry begins; ended tells that it ends before a time or at it, over that it
// does not.
func dates(low, ended, over string, m store.Match) (sqlText, error) {
	both := []any{m.Low, m.High}
	switch m.Compare {
	case store.Equal:
		return sqlText{"(" + low + " >= ? AND " + ended + ")", both}, nil
	case store.NotEqual:
		return sqlText{"NOT (" + low + " >= ? AND " + ended + ")", both}, nil
	case store.LessThan:
		return sqlText{low + " < ?", []any{m.Low}}, nil
	case store.LessEqual: // before, or within
		return sqlText{"(" + low + " < ? AND (" + low + " < ? OR " + ended + "))", []any{m.High, m.Low, m.High}}, nil
	case store.GreaterThan:
		return sqlText{over, []any{m.High}}, nil
	case store.GreaterEqual: // after, or within
		return sqlText{"(" + over + " AND (" + over + " OR " + low + " >= ?))", []any{m.Low, m.High, m.Low}}, nil
	case store.Overlaps:
		return sqlText{"(" + low + " < ? AND " + over + ")", []any{m.High, m.Low}}, nil
	case store.StartsAfter:
		return sqlText{low + " >= ?", []any{m.High}}, nil
	case store.EndsBefore:
		return sqlText{ended, []any{m.Low}}, nil
	}
	return sqlText{}, fhir.Errorf(fhir.CodeNotSupported, "", "Dates cannot be compared by %s.", strings.ToLower(string(m.Compare)))
}
