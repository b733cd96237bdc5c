package sqlite

import (
	"encoding/json"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
)

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
	return many(r.conn, "SELECT "+resourceColumns+", k.key place"+named+" WHERE k.value ->> 2 IN (0, r.version)"+may+
		" UNION ALL SELECT v.type, r.id, v.version, v.updated, v.method, r.organization, v.body, k.key place"+named+
		" CROSS JOIN resource_version v ON v.rid = r.rid AND v.version = k.value ->> 2 WHERE true"+may+" ORDER BY place",
		append(args, args...), func(r row) (res store.Resource, err error) {
			var place int
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
	if err := t.exec("INSERT OR IGNORE INTO cursor (id, part, body, expires) VALUES (?, ?, ?, ?)", c.ID, c.Part, blob(c.Body), micro(c.Expires)); err != nil {
		return err
	}
	return t.exec("UPDATE cursor SET expires = ? WHERE id = ? AND expires < ?", micro(c.Expires), c.ID, micro(c.Expires))
}
