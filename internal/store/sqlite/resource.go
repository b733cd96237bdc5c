package sqlite

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// reader implements store.Reader, and tx store.Tx, on one connection.
type reader struct {
	*conn
	tables.Reader
}

type tx struct {
	reader
	tables.Writer
	seen seen
}

func (c *conn) reader() reader {
	return reader{c, tables.Reader{Conn: c, Aside: dialect.Aside}}
}

func (c *conn) tx(known seen) *tx { return &tx{c.reader(), tables.Writer{Conn: c}, known} }

// seen are records as the writer has read them, by Type/id. The updates of a
// batch ask for the same few again and again.
type seen map[string]kept

// kept is a record in its table; rid is 0 when there is none.
type kept struct {
	rid int64
	store.Resource
}

// kept reads a record unless that has been done.
func (t *tx) kept(typ, id string) (kept, error) {
	if k, ok := t.seen[typ+"/"+id]; ok {
		return k, nil
	}
	k, err := t.reader.kept(typ, id)
	if errors.Is(err, store.ErrNotFound) {
		k, err = kept{}, nil
	}
	if err == nil {
		t.seen[typ+"/"+id] = k
	}
	return k, err
}

// Resource implements store.Reader.
func (t *tx) Resource(typ, id string) (store.Resource, error) {
	k, err := t.kept(typ, id)
	if err == nil && k.rid == 0 {
		err = store.ErrNotFound
	}
	return k.Resource, err
}

func scanKept(r tables.Row) (k kept, err error) {
	err = r.Scan(&k.Type, &k.ID, &k.Version, tables.At{Time: &k.Updated}, &k.Method, &k.Organization, &k.Body, &k.rid)
	return k, err
}

func (r reader) kept(typ, id string) (kept, error) {
	return tables.Single(r.conn, "SELECT "+tables.ResourceColumns+", r.rid FROM resource r WHERE type = ? AND id = ?", []any{typ, id}, scanKept)
}

// Resource implements store.Reader.
func (r reader) Resource(typ, id string) (store.Resource, error) {
	k, err := r.kept(typ, id)
	return k.Resource, err
}

// ResourceVersion implements store.Reader.
func (r reader) ResourceVersion(typ, id string, version int64) (store.Resource, error) {
	current, err := r.Resource(typ, id)
	if err != nil || current.Version == version {
		return current, err
	}
	return tables.Single(r.conn, `SELECT v.type, r.id, v.version, v.updated, v.method, r.organization, v.body
		FROM resource r JOIN resource_version v ON v.rid = r.rid WHERE r.type = ? AND r.id = ? AND v.version = ?`,
		[]any{typ, id, version}, tables.ScanResource)
}

// Resources implements store.Reader. The keys travel as one JSON array, so
// that there is one statement for any number of them.
func (r reader) Resources(keys []store.Key, organization string) ([]store.Resource, error) {
	rows := make([][3]any, len(keys))
	for i, k := range keys {
		rows[i] = [3]any{k.Type, k.ID, k.Version}
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	// CROSS JOIN keeps the engine from walking all records of a type.
	const named = " FROM json_each(?) k CROSS JOIN resource r ON r.type = k.value ->> 0 AND r.id = k.value ->> 1"
	may, args := "", []any{string(list)}
	if organization != "" {
		may, args = " AND "+query.MayBeSeen, append(args, organization, organization)
	}
	return tables.Many(r.conn, "SELECT "+tables.ResourceColumns+", k.key place"+named+" WHERE k.value ->> 2 IN (0, r.version)"+may+
		" UNION ALL SELECT v.type, r.id, v.version, v.updated, v.method, r.organization, v.body, k.key place"+named+
		" CROSS JOIN resource_version v ON v.rid = r.rid AND v.version = k.value ->> 2 WHERE true"+may+" ORDER BY place",
		append(args, args...), func(r tables.Row) (res store.Resource, err error) {
			var place int
			err = r.Scan(&res.Type, &res.ID, &res.Version, tables.At{Time: &res.Updated}, &res.Method, &res.Organization, &res.Body, &place)
			return res, err
		})
}

// PutResource implements store.Tx.
func (t *tx) PutResource(r store.Resource, add, remove []store.Entry) error {
	before, err := t.kept(r.Type, r.ID)
	if err != nil {
		return err
	}
	if r.Version != before.Version+1 {
		return fhir.Errorf(fhir.CodeConflict, "", "The record has changed since it was read.")
	}
	delete(t.seen, r.Type+"/"+r.ID)
	rid, body := before.rid, tables.Blob(r.Body)
	if rid == 0 {
		err = tables.One(t.conn, "INSERT INTO resource (type, id, version, updated, method, organization, body) VALUES (?, ?, 1, ?, ?, ?, ?) RETURNING rid",
			[]any{r.Type, r.ID, tables.Micro(r.Updated), r.Method, r.Organization, body}, &rid)
	} else {
		err = t.Exec("INSERT INTO resource_version (rid, version, type, updated, method, body) SELECT rid, version, type, updated, method, body FROM resource WHERE rid = ?", rid)
		if r.Method != before.Method || r.Organization != before.Organization { // else the indexes of these columns stay as they are
			err = errors.Join(err, t.Exec("UPDATE resource SET method = ?, organization = ? WHERE rid = ?", r.Method, r.Organization, rid))
		}
		err = errors.Join(err, t.Exec("UPDATE resource SET version = ?, updated = ?, body = ? WHERE rid = ?", r.Version, tables.Micro(r.Updated), body, rid))
	}
	if err != nil {
		return err
	}
	for _, e := range query.Stored(remove) {
		if err := t.unindex(r.Type, rid, e); err != nil {
			return err
		}
	}
	return t.index(r.Type, rid, query.Stored(add))
}

// Relabel implements store.Tx.
func (t *tx) Relabel(r store.Resource, add, remove []store.Entry) error {
	k, err := t.kept(r.Type, r.ID)
	if err != nil {
		return err
	}
	rid := k.rid
	if r.Version != k.Version {
		var found int64
		return tables.One(t.conn, "UPDATE resource_version SET body = ? WHERE rid = ? AND version = ? RETURNING version", []any{tables.Blob(r.Body), rid, r.Version}, &found)
	}
	delete(t.seen, r.Type+"/"+r.ID)
	if err := t.Exec("UPDATE resource SET body = ? WHERE rid = ?", tables.Blob(r.Body), rid); err != nil {
		return err
	}
	for _, e := range query.Stored(remove) {
		if err := t.unindex(r.Type, rid, e); err != nil {
			return err
		}
	}
	return t.index(r.Type, rid, query.Stored(add))
}

func (t *tx) unindex(typ string, rid int64, e store.Entry) error {
	if e.Kind == store.Date {
		return t.Exec("DELETE FROM index_date WHERE param = ? AND low = ? AND high = ? AND rid = ?", query.Param(typ, e.Param), e.Low, e.High, rid)
	}
	if e.Kind == store.Reference {
		if err := t.Exec("DELETE FROM index_reference WHERE value = ? AND rid = ? AND param = ?", e.Value, rid, query.Param(typ, e.Param)); err != nil {
			return err
		}
	}
	return t.Exec("DELETE FROM index_value WHERE param = ? AND value = ? AND rid = ?", query.Param(typ, e.Param), e.Value, rid)
}

// maxRows bounds the rows of one INSERT, so that few statements are prepared.
const maxRows = 32

func (t *tx) index(typ string, rid int64, add []store.Entry) error {
	values := rows{table: "index_value", row: "(?,?,?)", width: 3}
	dates := rows{table: "index_date", row: "(?,?,?,?)", width: 4}
	references := rows{table: "index_reference", row: "(?,?,?)", width: 3}
	for _, e := range add {
		param := query.Param(typ, e.Param)
		var errs [2]error
		switch e.Kind {
		case store.Date:
			errs[0] = dates.add(t, param, e.Low, e.High, rid)
		case store.Reference:
			errs[0] = references.add(t, e.Value, rid, param)
			fallthrough
		default:
			errs[1] = values.add(t, param, e.Value, rid)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
	}
	return errors.Join(values.flush(t), dates.flush(t), references.flush(t))
}

// rows are rows of a table that are written some at a time.
type rows struct {
	table, row string
	width      int
	args       []any
}

func (r *rows) add(t *tx, args ...any) error {
	if r.args = append(r.args, args...); len(r.args) < r.width*maxRows {
		return nil
	}
	return r.flush(t)
}

func (r *rows) flush(t *tx) error {
	if len(r.args) == 0 {
		return nil
	}
	err := t.Exec("INSERT OR IGNORE INTO "+r.table+" VALUES "+strings.TrimSuffix(strings.Repeat(r.row+",", len(r.args)/r.width), ","), r.args...)
	r.args = r.args[:0]
	return err
}

// Grant implements store.Tx.
func (t *tx) Grant(typ, id, organization string) error {
	return t.Exec("INSERT OR IGNORE INTO granted (rid, organization) SELECT rid, ? FROM resource WHERE type = ? AND id = ?", organization, typ, id)
}

// ReferencedBy implements store.Reader.
func (r reader) ReferencedBy(to []store.Key, limit int) ([]store.Resource, error) {
	values := make([]string, len(to))
	for i, k := range to {
		values[i] = k.Type + "/" + k.ID
	}
	list, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return tables.Many(r.conn, "SELECT "+tables.ResourceColumns+` FROM resource r WHERE r.method <> 'DELETE'
		AND r.rid IN (SELECT i.rid FROM json_each(?) k CROSS JOIN index_reference i ON i.value = k.value) ORDER BY r.rid LIMIT ?`, []any{string(list), limit}, tables.ScanResource)
}
