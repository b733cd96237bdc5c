package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time; ctx is that of the work under way.
type conn struct {
	sql        *sql.Conn
	statements map[string]*sql.Stmt
	ctx        context.Context
	lost       error // what ended the transaction under way; the next statement would stand outside of it
	wrote      bool  // a statement has been prepared that may write
}

// maxStatements bounds the cache: searches come in many shapes.
const maxStatements = 300

func (c *conn) close() {
	c.forget()
	_ = c.sql.Close()
}

// drop breaks the connection off, with whatever transaction it has.
func (c *conn) drop() {
	c.forget()
	_ = c.sql.Raw(func(any) error { return driver.ErrBadConn })
}

// forget closes all statements, which must not outlive the connection.
func (c *conn) forget() {
	for q, s := range c.statements {
		_ = s.Close()
		delete(c.statements, q)
	}
}

func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if c.lost != nil {
		return nil, c.lost
	}
	c.wrote = c.wrote || !strings.HasPrefix(query, "SELECT ")
	if s, ok := c.statements[query]; ok {
		return s, nil
	}
	if len(c.statements) >= maxStatements {
		c.forget()
	}
	s, err := c.sql.PrepareContext(c.ctx, query)
	if err == nil {
		c.statements[query] = s
	}
	return s, err
}

func (c *conn) exec(query string, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(c.ctx, args...)
	return c.told(err)
}

// one reads a single row; store.ErrNotFound when there is none.
func (c *conn) one(query string, args []any, to ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	err = s.QueryRowContext(c.ctx, args...).Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return c.told(err)
}

// many reads all rows with scan.
func many[T any](c *conn, query string, args []any, scan func(row) (T, error)) ([]T, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(c.ctx, args...)
	if err != nil {
		return nil, c.told(err)
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, c.told(rows.Err())
}

// row is what *sql.Row and *sql.Rows have in common.
type row interface{ Scan(to ...any) error }

// single reads one row with scan; store.ErrNotFound when there is none. It looks
// it up by a key, which is done before a watcher of the context, as database/sql
// and the driver each start one, would be of use.
func single[T any](c *conn, query string, args []any, scan func(row) (T, error)) (T, error) {
	var zero T
	s, err := c.prepare(query)
	if err != nil {
		return zero, err
	}
	if err := c.ctx.Err(); err != nil {
		return zero, err
	}
	v, err := scan(s.QueryRowContext(context.WithoutCancel(c.ctx), args...))
	if errors.Is(err, sql.ErrNoRows) {
		return zero, store.ErrNotFound
	}
	return v, c.told(err)
}

// micro is a time as the database keeps it.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// at scans a time.
type at struct{ t *time.Time }

// Scan implements sql.Scanner.
func (a at) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return errors.New("a time is not an integer")
	}
	*a.t = time.Time{}
	if n != 0 {
		*a.t = time.UnixMicro(n).UTC()
	}
	return nil
}

// blob is a value as the database keeps it: never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// upsert writes a row by its key, the first of the columns. It never touches
// another row: what is unique beside the key and taken is an error.
func upsert(table, columns string) string {
	key, others, _ := strings.Cut(columns, ", ")
	names := strings.Split(others, ", ")
	set := make([]string, len(names))
	for i, n := range names {
		set[i] = n + " = excluded." + n
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + marks(1+len(names)) + ") ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(set, ", ")
}

// marks gives n question marks for a list.
func marks(n int) string {
	return strings.TrimSuffix(strings.Repeat("?,", n), ",")
}
