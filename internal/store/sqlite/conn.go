package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
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

// Exec implements tables.Conn: the statement runs at once.
func (c *conn) Exec(query string, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(c.ctx, args...)
	return c.told(err)
}

// Query implements tables.Conn.
func (c *conn) Query(query string, args []any, read func(tables.Rows) error) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(c.ctx, args...)
	if err != nil {
		return c.told(err)
	}
	defer func() { _ = rows.Close() }()
	return c.told(read(rows))
}

// Lookup implements tables.Conn. It is done before a watcher of the context, as
// database/sql and the driver each start one, would be of use.
func (c *conn) Lookup(query string, args []any, scan func(tables.Row) error) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	err = scan(s.QueryRowContext(context.WithoutCancel(c.ctx), args...))
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return c.told(err)
}
