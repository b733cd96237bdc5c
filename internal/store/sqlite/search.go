package sqlite

import (
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// dialect is how SQLite writes a search. A plus before a column keeps it from
// walking all records of a type; it takes the tables of a CROSS JOIN in turn. A
// plain 0 would take the place of all that is tested beside it, what the index
// needs too.
var dialect = query.Dialect{
	False: "0 = 1", Join: " CROSS JOIN ", Aside: "+", Told: " INDEXED BY resource_created", Valued: " INDEXED BY sqlite_autoindex_index_value_1",
	Contains: "instr(value, ?) > 0", Ends: "substr(value, -length(?)) = ?",
	Whole: func(value string) string { return value },
	Part:  func(value string) string { return value },
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

// write writes a search. Lists of what its conditions name are counted first:
// the engine does not know how many entries a value has.
func (r reader) write(q store.Query) (query.Search, error) {
	return query.Write(dialect, q, func(rows query.Text, limit int) (int, error) {
		return r.number(query.Text{SQL: "SELECT count(*) FROM (" + rows.SQL + " LIMIT ?)", Args: append(rows.Args[:len(rows.Args):len(rows.Args)], limit)})
	})
}

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
