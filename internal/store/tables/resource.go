package tables

import (
	"errors"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
)

// ResourceColumns are those of a record, r.
const ResourceColumns = "r.type, r.id, r.version, r.updated, r.method, r.organization, r.body"

// ScanResource reads the ResourceColumns.
func ScanResource(r Row) (res store.Resource, err error) {
	err = r.Scan(&res.Type, &res.ID, &res.Version, At{&res.Updated}, &res.Method, &res.Organization, &res.Body)
	return res, err
}

// MaySee implements store.Reader.
func (r Reader) MaySee(typ, id, organization string) (bool, error) {
	var n int
	err := One(r.Conn, "SELECT count(*) FROM resource r WHERE type = ? AND id = ? AND "+query.MayBeSeen, []any{typ, id, organization, organization}, &n)
	return n > 0, err
}

// Values implements store.Reader. It goes from one value to the next: each may
// stand for very many records.
func (r Reader) Values(typ, param, organization string, limit int) ([]string, error) {
	number := query.Param(typ, param)
	var values []string
	for last := ""; len(values) < limit; {
		next, err := Single(r.Conn, "SELECT value FROM index_value WHERE param = ? AND value > ? ORDER BY value LIMIT 1", []any{number, last}, func(row Row) (v string, err error) {
			err = row.Scan(&v)
			return v, err
		})
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		seen := 0
		where, args := "i.param = ? AND i.value = ?", []any{number, next}
		if organization != "" {
			where, args = where+" AND "+query.MayBeSeen, append(args, organization, organization)
		}
		err = One(r.Conn, "SELECT count(*) FROM (SELECT 1 FROM index_value i JOIN resource r ON r.rid = i.rid WHERE "+where+" LIMIT 1) AS one", args, &seen)
		if err != nil {
			return nil, err
		}
		if last = next; seen > 0 {
			values = append(values, next)
		}
	}
	return values, nil
}

// past selects versions by columns of v, and of r, the record.
func past(q store.HistoryQuery, columns string) (text string, args []any) {
	where, args := "v.updated >= ?", []any{Micro(q.Since)}
	typed := "v.type = ?"
	if q.ID != "" {
		typed = "r.type = ?" // or an engine may walk all versions of the type
	}
	for _, f := range []struct{ clause, value string }{{typed, q.Type}, {"r.id = ?", q.ID}} {
		if f.value != "" {
			where, args = where+" AND "+f.clause, append(args, f.value)
		}
	}
	if q.Organization != "" {
		where, args = where+" AND "+query.MayBeSeen, append(args, q.Organization, q.Organization)
	}
	current := strings.NewReplacer("v.", "r.")
	return "SELECT " + current.Replace(columns) + " FROM resource r WHERE " + current.Replace(where) +
		" UNION ALL SELECT " + columns + " FROM resource r JOIN resource_version v ON v.rid = r.rid WHERE " + where, append(args, args...)
}

// History implements store.Reader.
func (r Reader) History(q store.HistoryQuery) (store.Page, error) {
	both, args := past(q, "v.type, r.id, v.version, v.updated, v.method, r.organization, v.body, v.rid")
	page := store.Page{}
	if err := One(r.Conn, "SELECT count(*) FROM ("+both+") h", args, &page.Total); err != nil {
		return page, err
	}
	var err error
	page.Resources, err = Many(r.Conn, "SELECT type, id, version, updated, method, organization, body FROM ("+both+
		") h ORDER BY updated DESC, version DESC, rid DESC LIMIT ? OFFSET ?", append(args, q.Count+1, q.Offset), ScanResource)
	if len(page.Resources) > q.Count {
		page.Resources, page.More = page.Resources[:q.Count], true
	}
	return page, err
}

// ListHistory implements store.Reader.
func (r Reader) ListHistory(q store.HistoryQuery) (store.Listing, error) {
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
	rows, err := Many(r.Conn, "SELECT type, id, version, rid, updated, version FROM ("+both+") h"+where+" ORDER BY updated DESC, version DESC, rid DESC LIMIT ? OFFSET ?",
		append(args, q.Count+1, q.Offset), func(row Row) (query.Row, error) { return query.Scan(row, 2) })
	return query.Listing(rows, q.Count, 0), err
}
