// Package tables reads and writes the rows that every engine of the store keeps
// in the same tables and asks for in the same words: accounts, consultations,
// calls, events, the audit trail, Subscriptions, cursors, histories.
//
// Reader and Writer are parts of store.Reader and store.Tx. An engine embeds
// them, gives them its transaction as a Conn, and writes itself what its
// database does in its own way: records with their index, searches, and what
// comes in hundreds. The package knows no database and begins no
// transaction.
package tables

import (
	"errors"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Conn is a transaction. Arguments are question marks in a statement.
type Conn interface {
	// Exec runs a statement that gives no rows. An engine may keep it until
	// the next Query or the end: its error may come with those.
	Exec(query string, args ...any) error
	// Query hands the rows of a statement to read, which begins anew when it
	// is called again.
	Query(query string, args []any, read func(Rows) error) error
	// Lookup hands the row that a key leads to to scan; store.ErrNotFound when
	// there is none. It may take as long as that takes when the caller has gone.
	Lookup(query string, args []any, scan func(Row) error) error
}

// Rows are the rows of a statement, one after another.
type Rows interface {
	Row
	Next() bool
	Err() error
}

// Row is what can be scanned.
type Row interface{ Scan(to ...any) error }

// Reader reads, as store.Reader says.
type Reader struct {
	Conn  Conn
	Aside string // before a column that no index is to be looked up by
}

// Writer writes, as store.Tx says.
type Writer struct{ Conn Conn }

// Many reads all rows with scan.
func Many[T any](c Conn, query string, args []any, scan func(Row) (T, error)) (out []T, err error) {
	err = c.Query(query, args, func(rows Rows) error {
		out = nil
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return rows.Err()
	})
	return out, err
}

// Single reads the row that a key leads to with scan; store.ErrNotFound when
// there is none.
func Single[T any](c Conn, query string, args []any, scan func(Row) (T, error)) (v T, err error) {
	err = c.Lookup(query, args, func(r Row) (err error) {
		v, err = scan(r)
		return err
	})
	return v, err
}

// One reads the columns of the first row; store.ErrNotFound when there is none.
func One(c Conn, query string, args []any, to ...any) error {
	return First(c, query, args, func(r Row) error { return r.Scan(to...) })
}

// First hands the first row to scan; store.ErrNotFound when there is none.
func First(c Conn, query string, args []any, scan func(Row) error) error {
	found := false
	err := c.Query(query, args, func(rows Rows) error {
		if found = rows.Next(); found {
			return scan(rows)
		}
		return rows.Err()
	})
	if err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// Micro is a time as a database keeps it: Unix microseconds, 0 for none.
func Micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// At scans a time that Micro has written.
type At struct{ Time *time.Time }

// Scan implements sql.Scanner.
func (a At) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return errors.New("a time is not an integer")
	}
	*a.Time = time.Time{}
	if n != 0 {
		*a.Time = time.UnixMicro(n).UTC()
	}
	return nil
}

// Blob is a value as a database keeps it: never NULL.
func Blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// upsert writes a row by its key, the first n of the columns. It never touches
// another row: what is unique beside the key and taken is an error.
func upsert(table, columns string, n int) string {
	names := strings.Split(columns, ", ")
	set := make([]string, 0, len(names))
	for _, c := range names[n:] {
		set = append(set, c+" = excluded."+c)
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + marks(len(names)) + ") ON CONFLICT (" +
		strings.Join(names[:n], ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
}

// marks gives n question marks for a list; nothing is in one of none.
func marks(n int) string {
	if n == 0 {
		return "NULL"
	}
	return strings.TrimSuffix(strings.Repeat("?,", n), ",")
}

// anys makes arguments of texts.
func anys(texts []string) []any {
	args := make([]any, len(texts))
	for i, t := range texts {
		args[i] = t
	}
	return args
}
