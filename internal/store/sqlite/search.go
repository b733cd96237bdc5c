package sqlite

import (
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
)

// dialect is how SQLite writes a search. A plus before a column keeps it from
// walking all records of a type; it takes the tables of a CROSS JOIN in turn.
var dialect = query.Dialect{
	False: "0", Join: " CROSS JOIN ", Aside: "+", Contains: "instr(value, ?) > 0",
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
