package tables

import "github.com/jumpa-hie/jumpa/internal/store"

// Cursor implements store.Reader.
func (r Reader) Cursor(id string, part int) (c store.Cursor, err error) {
	err = One(r.Conn, "SELECT id, part, body, expires FROM cursor WHERE id = ? AND part = ?", []any{id, part}, &c.ID, &c.Part, &c.Body, At{&c.Expires})
	return c, err
}

// PutCursor implements store.Tx.
func (w Writer) PutCursor(c store.Cursor) error {
	if err := w.Conn.Exec("INSERT INTO cursor (id, part, body, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", c.ID, c.Part, Blob(c.Body), Micro(c.Expires)); err != nil {
		return err
	}
	return w.Conn.Exec("UPDATE cursor SET expires = ? WHERE id = ? AND expires < ?", Micro(c.Expires), c.ID, Micro(c.Expires))
}
