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

// List writes the statement of a list, which gives type, id, version and rid
// of the matches, and then the values that they are ordered by, so many. after
// is nil for a list from the beginning.
func List(d Dialect, q store.Query, after *Place) (out Text, values int, err error) {
	b := builder{dialect: d}
	s := b.source(q)
	keys := b.keys(q, s)
	out.SQL = "SELECT " + s.row + ".type, " + s.row + ".id, " + s.row + ".version, " + s.row + ".rid"
	for _, k := range keys {
		out.add(", ")
		out.append(k.value)
	}
	out.append(s.from, s.where)
	if after != nil {
		if len(after.Values) != len(keys) {
			return out, 0, ErrPlace
		}
		out.add(" AND "+s.row+".rid <= ? AND ", after.Newest)
		if len(keys) > 0 && keys[0].sure { // said once more for the index of the column
			out.append(keys[0].value)
			out.add(map[bool]string{true: " <= ? AND ", false: " >= ? AND "}[keys[0].descending != q.Before], after.Values[0])
		}
		if q.Before {
			out.add("NOT ")
		}
		out.append(behind(keys, *after, s.row))
	}
	out.append(b.order(q, s))
	out.add(" LIMIT ?", q.Count+1)
	return out, len(keys), b.err
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
func behind(keys []key, p Place, row string) Text {
	if len(keys) == 0 {
		return Text{row + ".rid > ?", []any{p.Row}}
	}
	k, v := keys[0], p.Values[0]
	p.Values = p.Values[1:]
	rest := behind(keys[1:], p, row)
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
