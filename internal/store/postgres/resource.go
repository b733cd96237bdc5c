package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

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
}

func (c *conn) reader() reader { return reader{c, tables.Reader{Conn: c}} }

func (c *conn) tx() *tx { return &tx{c.reader(), tables.Writer{Conn: c}} }

// Resource implements store.Reader. An update reads each record once: nobody
// else can change what it sees.
func (r reader) Resource(typ, id string) (store.Resource, error) {
	if known := r.seen[typ+"/"+id]; known.whole != nil {
		return *known.whole, r.ended()
	}
	var rid int64
	res, err := tables.Single(r.conn, "SELECT "+tables.ResourceColumns+", r.rid FROM resource r WHERE type = ? AND id = ?", []any{typ, id},
		func(row tables.Row) (res store.Resource, err error) {
			err = row.Scan(&res.Type, &res.ID, &res.Version, tables.At{Time: &res.Updated}, &res.Method, &res.Organization, &res.Body, &rid)
			return res, err
		})
	if err == nil || errors.Is(err, store.ErrNotFound) {
		known := seen{rid: rid, version: res.Version}
		if err == nil && r.store != nil {
			known.whole = &res
		}
		r.know(typ, id, known)
	}
	return res, err
}

// know remembers what the transaction has read or written of a record.
func (c *conn) know(typ, id string, s seen) {
	if c.seen == nil {
		c.seen = map[string]seen{}
	}
	c.seen[typ+"/"+id] = s
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

// Resources implements store.Reader.
func (r reader) Resources(keys []store.Key, organization string) ([]store.Resource, error) {
	types, ids, versions := make([]string, len(keys)), make([]string, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		types[i], ids[i], versions[i] = text(k.Type), text(k.ID), k.Version
	}
	const named = " FROM unnest(?::text[], ?::text[], ?::bigint[]) WITH ORDINALITY AS k (type, id, version, place) JOIN resource r ON r.type = k.type AND r.id = k.id"
	may, args := "", []any{types, ids, versions}
	if organization != "" {
		may, args = " AND "+query.MayBeSeen, append(args, organization, organization)
	}
	return tables.Many(r.conn, "SELECT "+tables.ResourceColumns+", k.place"+named+" WHERE k.version IN (0, r.version)"+may+
		" UNION ALL SELECT v.type, r.id, v.version, v.updated, v.method, r.organization, v.body, k.place"+named+
		" JOIN resource_version v ON v.rid = r.rid AND v.version = k.version WHERE true"+may+" ORDER BY place",
		append(args, args...), func(r tables.Row) (res store.Resource, err error) {
			var place int64
			err = r.Scan(&res.Type, &res.ID, &res.Version, tables.At{Time: &res.Updated}, &res.Method, &res.Organization, &res.Body, &place)
			return res, err
		})
}

// PutResource implements store.Tx. It asks for the current version only when
// the transaction has not read it yet; of a first version it believes at first
// that there is none.
func (t *tx) PutResource(r store.Resource, add, remove []store.Entry) error {
	if err := t.ended(); err != nil {
		return err
	}
	known, ok := t.seen[r.Type+"/"+r.ID]
	if !ok && (r.Version > 1 || t.wary) {
		err := tables.One(t.conn, "SELECT rid, version FROM resource WHERE type = ? AND id = ?", []any{r.Type, r.ID}, &known.rid, &known.version)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		t.know(r.Type, r.ID, known)
	}
	if r.Version != known.version+1 {
		return fhir.Errorf(fhir.CodeConflict, "", "The record has changed since it was read.")
	}
	var err error
	if known.version == 0 {
		err = t.Exec("INSERT INTO resource (type, id, version, updated, method, organization, body) VALUES (?, ?, 1, ?, ?, ?, ?)",
			r.Type, r.ID, tables.Micro(r.Updated), r.Method, r.Organization, tables.Blob(r.Body))
	} else {
		err = errors.Join(
			t.Exec("INSERT INTO resource_version (rid, version, type, updated, method, body) SELECT rid, version, type, updated, method, body FROM resource WHERE rid = ?", known.rid),
			t.Exec("UPDATE resource SET version = ?, updated = ?, method = ?, organization = ?, body = ? WHERE rid = ?",
				r.Version, tables.Micro(r.Updated), r.Method, r.Organization, tables.Blob(r.Body), known.rid))
	}
	if err != nil {
		return err
	}
	if err := t.reindex(r.Type, r.ID, known.rid, query.Stored(add), query.Stored(remove)); err != nil {
		return err
	}
	if known.version == 0 {
		delete(t.seen, r.Type+"/"+r.ID) // its rid is known to the database only
		return nil
	}
	r.Updated = time.UnixMicro(tables.Micro(r.Updated)).UTC() // as it will be read
	t.know(r.Type, r.ID, seen{known.rid, r.Version, &r})
	return nil
}

// Relabel implements store.Tx.
func (t *tx) Relabel(r store.Resource, add, remove []store.Entry) error {
	if err := t.ended(); err != nil {
		return err
	}
	var rid, version, found int64
	if err := tables.One(t.conn, "SELECT rid, version FROM resource WHERE type = ? AND id = ?", []any{r.Type, r.ID}, &rid, &version); err != nil {
		return err
	}
	delete(t.seen, r.Type+"/"+r.ID)
	if r.Version != version {
		return tables.One(t.conn, "UPDATE resource_version SET body = ? WHERE rid = ? AND version = ? RETURNING version", []any{tables.Blob(r.Body), rid, r.Version}, &found)
	}
	if err := t.Exec("UPDATE resource SET body = ? WHERE rid = ?", tables.Blob(r.Body), rid); err != nil {
		return err
	}
	return t.reindex(r.Type, r.ID, rid, add, remove)
}

// lists are index entries column by column, as the server takes many at once.
type lists struct {
	params, lows, highs []int64
	values              []string
}

func (l *lists) add(param int64, e store.Entry) {
	l.params, l.values = append(l.params, param), append(l.values, key(e.Value))
	l.lows, l.highs = append(l.lows, e.Low), append(l.highs, e.High)
}

// sort puts entries into the lists of the three tables.
func sort(typ string, entries []store.Entry) (values, dates, references lists) {
	for _, e := range entries {
		p := query.Param(typ, e.Param)
		if e.Kind == store.Date {
			dates.add(p, e)
			continue
		}
		values.add(p, e)
		if e.Kind == store.Reference {
			references.add(p, e)
		}
	}
	return values, dates, references
}

// reindex changes the index entries of a record; rid is 0 when it is new.
func (t *tx) reindex(typ, id string, rid int64, add, remove []store.Entry) error {
	values, dates, references := sort(typ, remove)
	var errs []error
	if len(values.params) > 0 {
		errs = append(errs, t.Exec("DELETE FROM index_value i USING unnest(?::bigint[], ?::text[]) AS n (param, value) WHERE i.param = n.param AND i.value = n.value AND i.rid = ?",
			values.params, values.values, rid))
	}
	if len(dates.params) > 0 {
		errs = append(errs, t.Exec("DELETE FROM index_date i USING unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS n (param, low, high) WHERE i.param = n.param AND i.low = n.low AND i.high = n.high AND i.rid = ?",
			dates.params, dates.lows, dates.highs, rid))
	}
	if len(references.params) > 0 {
		errs = append(errs, t.Exec("DELETE FROM index_reference i USING unnest(?::bigint[], ?::text[]) AS n (param, value) WHERE i.value = n.value AND i.param = n.param AND i.rid = ?",
			references.params, references.values, rid))
	}
	values, dates, references = sort(typ, add)
	whose, args := "?::bigint", []any{rid}
	if rid == 0 {
		whose, args = "(SELECT rid FROM resource WHERE type = ? AND id = ?)", []any{typ, id}
	}
	if len(values.params) > 0 {
		errs = append(errs, t.Exec("INSERT INTO index_value (param, value, rid) SELECT n.param, n.value, "+whose+" FROM unnest(?::bigint[], ?::text[]) AS n (param, value) ON CONFLICT DO NOTHING",
			append(args[:len(args):len(args)], values.params, values.values)...))
	}
	if len(dates.params) > 0 {
		errs = append(errs, t.Exec("INSERT INTO index_date (param, low, high, rid) SELECT n.param, n.low, n.high, "+whose+" FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS n (param, low, high) ON CONFLICT DO NOTHING",
			append(args[:len(args):len(args)], dates.params, dates.lows, dates.highs)...))
	}
	if len(references.params) > 0 {
		errs = append(errs, t.Exec("INSERT INTO index_reference (value, param, rid) SELECT n.value, n.param, "+whose+" FROM unnest(?::bigint[], ?::text[]) AS n (param, value) ON CONFLICT DO NOTHING",
			append(args[:len(args):len(args)], references.params, references.values)...))
	}
	return errors.Join(errs...)
}

// maxKey bounds a value in an index: the server refuses rows of a third of a
// page. Longer ones are told apart by a hash at their end.
const maxKey = 1000

func key(value string) string {
	value = text(value)
	if len(value) <= maxKey {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return strings.ToValidUTF8(value[:maxKey], "") + "#" + hex.EncodeToString(sum[:])
}

// Grant implements store.Tx.
func (t *tx) Grant(typ, id, organization string) error {
	return t.Exec("INSERT INTO granted (rid, organization) SELECT rid, ? FROM resource WHERE type = ? AND id = ? ON CONFLICT DO NOTHING", organization, typ, id)
}

// ReferencedBy implements store.Reader.
func (r reader) ReferencedBy(to []store.Key, limit int) ([]store.Resource, error) {
	values := make([]string, len(to))
	for i, k := range to {
		values[i] = key(k.Type + "/" + k.ID)
	}
	return tables.Many(r.conn, "SELECT "+tables.ResourceColumns+` FROM resource r WHERE r.method <> 'DELETE'
		AND r.rid IN (SELECT rid FROM index_reference WHERE value = ANY(?::text[])) ORDER BY r.rid LIMIT ?`, []any{values, limit}, tables.ScanResource)
}
