package sqlite

import (
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
)

// dialect is how SQLite writes a search. A plus before a column keeps it from
// walking all records of a type; it takes the tables of a CROSS JOIN in turn.
var dialect = query.Dialect{
	False: "0", Join: " CROSS JOIN ", Aside: "+", Contains: "instr(value, ?) > 0", Ends: "substr(value, -length(?)) = ?",
	Whole: func(value string) string { return value },
	Part:  func(value string) string { return value },
}

// Search implements store.Reader.
func (r reader) Search(q store.Query) (store.Page, error) {
	page := store.Page{Total: -1}
	ask, err := query.Write(dialect, q, resourceColumns)
	if err != nil {
		return page, err
	}
	if q.Total || q.Count == 0 {
		if err := r.one(ask.Count.SQL, ask.Count.Args, &page.Total); err != nil || q.Count == 0 {
			return page, err
		}
	}
	page.Resources, err = many(r.conn, ask.Find.SQL, ask.Find.Args, scanResource)
	if len(page.Resources) > q.Count {
		page.Resources, page.More = page.Resources[:q.Count], true
	}
	return page, err
}

// List implements store.Reader.
func (r reader) List(q store.Query) (store.Listing, error) {
	var after *query.Place
	var newest int64
	if q.After == "" {
		if err := r.one("SELECT coalesce(max(rid), 0) FROM resource", nil, &newest); err != nil {
			return store.Listing{}, err
		}
	} else {
		place, err := query.ParsePlace(q.After)
		if err != nil {
			return store.Listing{}, err
		}
		after, newest = &place, place.Newest
	}
	ask, values, err := query.List(dialect, q, after)
	if err != nil {
		return store.Listing{}, err
	}
	rows, err := many(r.conn, ask.SQL, ask.Args, func(row row) (query.Row, error) { return query.Scan(row, values) })
	return query.Listing(rows, q.Count, newest), err
}

// ListHistory implements store.Reader.
func (r reader) ListHistory(q store.HistoryQuery) (store.Listing, error) {
	both, args := past(q, "v.type, r.id, v.version, v.rid, v.updated")
	where := ""
	if q.After != "" {
		after, err := query.ParsePlace(q.After)
		if err != nil || len(after.Values) != 2 {
			return store.Listing{}, query.ErrPlace
		}
		where = " WHERE (updated, version, rid) < (?, ?, ?)"
		args = append(args, after.Values[0], after.Values[1], after.Row)
	}
	rows, err := many(r.conn, "SELECT type, id, version, rid, updated, version FROM ("+both+")"+where+" ORDER BY updated DESC, version DESC, rid DESC LIMIT ?",
		append(args, q.Count+1), func(row row) (query.Row, error) { return query.Scan(row, 2) })
	return query.Listing(rows, q.Count, 0), err
}
