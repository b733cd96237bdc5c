package query

import (
	"encoding/json"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// ErrPlace refuses a place of another query.
var ErrPlace = fhir.Errorf(fhir.CodeInvalid, "", "The place is not one of this search.")

// Place is where a record stands in the order of a query. It travels as text.
type Place struct {
	Row    int64 `json:"r"` // rid
	Newest int64 `json:"n"` // the newest rid when the first list was made
	Values []any `json:"v"` // what the record is ordered by: texts, numbers, and nil for none
}

// String gives the text of a place.
func (p Place) String() string { return string(fhir.Marshal(p)) }

// ParsePlace reads the text of a place.
func ParsePlace(text string) (p Place, err error) {
	var raw struct {
		Row    int64             `json:"r"`
		Newest int64             `json:"n"`
		Values []json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return p, err
	}
	p.Row, p.Newest, p.Values = raw.Row, raw.Newest, make([]any, len(raw.Values))
	for i, v := range raw.Values {
		var number int64
		if json.Unmarshal(v, &number) == nil && string(v) != "null" {
			p.Values[i] = number
		} else if err := json.Unmarshal(v, &p.Values[i]); err != nil {
			return p, err
		}
	}
	return p, nil
}

// List writes the statements of a list, whose rows follow one another: type, id,
// version and rid of the matches, and then the values that they are ordered by,
// so many. after is nil for a list from the beginning.
func (s Search) List(q store.Query, after *Place) (all []Text, values int, err error) {
	for i, p := range s.parts {
		values = len(p.keys)
		out := Text{SQL: "SELECT " + p.row + ".type, " + p.row + ".id, " + p.row + ".version, " + p.row + ".rid"}
		for _, k := range p.keys {
			if out.add(", "); k.none() {
				out.add("NULL")
			} else {
				out.append(k.value)
			}
		}
		out.append(p.from, p.where)
		if after != nil {
			if len(after.Values) != len(p.keys) {
				return nil, 0, ErrPlace
			}
			out.add(" AND "+p.row+".rid <= ?", after.Newest)
			within := len(s.parts) == 1 || (after.Values[0] == nil) == (i == 1) // the part in which the place is
			if within && len(p.keys) > 0 && p.keys[0].sure {                    // said once more for the index of the column
				out.add(" AND ")
				out.append(p.keys[0].value)
				out.add(map[bool]string{true: " <= ?", false: " >= ?"}[p.keys[0].descending != q.Before], after.Values[0])
			}
			switch {
			case within && q.Before:
				out.add(" AND NOT ")
				out.append(behind(p.keys, *after, p.rid))
			case within:
				out.add(" AND ")
				out.append(behind(p.keys, *after, p.rid))
			case (i == 0) != q.Before: // not the part on the side that is asked for
				continue
			}
		}
		out.append(order(p.keys, p.source))
		out.add(" LIMIT ?", q.Count+1)
		all = append(all, out)
	}
	return all, values, nil
}

// Row is a row of a list: a match and where it stands.
type Row struct {
	store.Key
	Place
}

// Scan reads a row with so many values.
func Scan(row interface{ Scan(to ...any) error }, values int) (r Row, err error) {
	r.Values = make([]any, values)
	to := []any{&r.Type, &r.ID, &r.Version, &r.Row}
	for i := range r.Values {
		to = append(to, &r.Values[i])
	}
	return r, row.Scan(to...)
}

// Listing gives at most count rows. newest is the newest rid when the first
// list was made.
func Listing(rows []Row, count int, newest int64) (l store.Listing) {
	if len(rows) > count {
		rows, l.More = rows[:count], true
	}
	for _, r := range rows {
		l.Keys = append(l.Keys, r.Key)
	}
	if l.More && count > 0 {
		last := rows[count-1].Place
		last.Newest = newest
		l.Last = last.String()
	}
	return l
}

// behind tests that a record stands behind a place.
func behind(keys []key, p Place, rid string) Text {
	if len(keys) == 0 {
		return Text{rid + " > ?", []any{p.Row}}
	}
	k, v := keys[0], p.Values[0]
	p.Values = p.Values[1:]
	rest := behind(keys[1:], p, rid)
	if k.none() {
		return rest
	}
	var out Text
	if v == nil { // those without a value come last
		out.add("(")
		out.append(k.value)
		out.add(" IS NULL AND ")
		out.append(rest)
		out.add(")")
		return out
	}
	out.add("(")
	if !k.sure {
		out.append(k.value)
		out.add(" IS NULL OR ")
	}
	out.append(k.value)
	if k.descending {
		out.add(" < ?", v)
	} else {
		out.add(" > ?", v)
	}
	out.add(" OR ")
	out.append(k.value)
	out.add(" = ? AND ", v)
	out.append(rest)
	out.add(")")
	return out
}
