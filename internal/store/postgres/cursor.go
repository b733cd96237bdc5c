package postgres

import (
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
)

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
	return many(r.conn, "SELECT "+resourceColumns+", k.place"+named+" WHERE k.version IN (0, r.version)"+may+
		" UNION ALL SELECT v.type, r.id, v.version, v.updated, v.method, r.organization, v.body, k.place"+named+
		" JOIN resource_version v ON v.rid = r.rid AND v.version = k.version WHERE true"+may+" ORDER BY place",
		append(args, args...), func(r row) (res store.Resource, err error) {
			var place int64
			err = r.Scan(&res.Type, &res.ID, &res.Version, at{&res.Updated}, &res.Method, &res.Organization, &res.Body, &place)
			return res, err
		})
}

// Cursor implements store.Reader.
func (r reader) Cursor(id string, part int) (c store.Cursor, err error) {
	err = r.one("SELECT id, part, body, expires FROM cursor WHERE id = ? AND part = ?", []any{id, part}, &c.ID, &c.Part, &c.Body, at{&c.Expires})
	return c, err
}

// PutCursor implements store.Tx.
func (t *tx) PutCursor(c store.Cursor) error {
	if err := t.exec("INSERT INTO cursor (id, part, body, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", c.ID, c.Part, blob(c.Body), micro(c.Expires)); err != nil {
		return err
	}
	return t.exec("UPDATE cursor SET expires = ? WHERE id = ? AND expires < ?", micro(c.Expires), c.ID, micro(c.Expires))
}
