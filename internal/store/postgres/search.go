package postgres

import (
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// dialect is how PostgreSQL writes a search. Its planner orders the joins itself.
var dialect = query.Dialect{
	False: "false", Join: " JOIN ", Contains: "strpos(value, ?) > 0", Ends: "right(value, length(?)) = ?",
	Whole: key,
	Part:  text,
}

// Search implements store.Reader.
func (r reader) Search(q store.Query) (store.Page, error) {
	ask, err := r.write(q)
	if err != nil {
		return store.Page{Total: -1}, err
	}
	return ask.Fetch(q, tables.ResourceColumns, func(t query.Text) ([]store.Resource, error) {
		return tables.Many(r.conn, t.SQL, t.Args, tables.ScanResource)
	}, r.number)
}

// write writes a search. The planner knows how many entries a value has, so
// that nothing need be counted first.
func (r reader) write(q store.Query) (query.Search, error) { return query.Write(dialect, q, nil) }

func (r reader) number(t query.Text) (n int, err error) {
	err = tables.One(r.conn, t.SQL, t.Args, &n)
	return n, err
}

// List implements store.Reader.
func (r reader) List(q store.Query) (store.Listing, error) {
	var after *query.Place
	var newest int64
	count := q.Count
	q.Count += q.Offset
	if q.After == "" {
		if err := tables.One(r.conn, "SELECT coalesce(max(rid), 0) FROM resource", nil, &newest); err != nil {
			return store.Listing{}, err
		}
	} else {
		place, err := query.ParsePlace(q.After)
		if err != nil {
			return store.Listing{}, err
		}
		after, newest = &place, place.Newest
	}
	ask, err := r.write(q)
	if err != nil {
		return store.Listing{}, err
	}
	statements, values, err := ask.List(q, after)
	if err != nil {
		return store.Listing{}, err
	}
	var list []query.Row
	for _, t := range statements {
		if len(list) > q.Count {
			break
		}
		rows, err := tables.Many(r.conn, t.SQL, t.Args, func(row tables.Row) (query.Row, error) { return query.Scan(row, values) })
		if err != nil {
			return store.Listing{}, err
		}
		list = append(list, rows...)
	}
	return query.Listing(list[min(q.Offset, len(list)):], count, newest), nil
}
