package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// errBroken marks what broke a connection without a word of the server.
var errBroken = errors.New("the connection to the database was lost")

// conn is one transaction on one connection, used by one goroutine at a time.
// Statements without an answer wait in batch and travel with the next that
// has one.
type conn struct {
	store  *Store // of an update
	pool   *pgxpool.Pool
	sql    *pgxpool.Conn
	caller context.Context // of who asked for the transaction: ends it between statements
	ctx    context.Context // of the statements
	begin  []string        // the statements that begin the transaction
	begun  bool            // they have been answered
	batch  pgx.Batch
	failed error // the first error of a statement: nothing more can be done
	unsent bool  // what failed has not even left this side
	seen   map[string]seen
	wanted map[string]bool // types of which a Subscription may want to hear; nil when that is not known
	wary   bool            // asks whether what is new is there already, instead of being told so by an error
	trips  int             // to the server and back
}

// seen is what the transaction knows of a record.
type seen struct {
	rid, version int64
	whole        *store.Resource // as it was read or written; nil when that is not known
}

// acquire takes a connection; while there is no server it tries again.
func (c *conn) acquire() (err error) {
	for begin := time.Now(); ; pause(c.ctx, begin) {
		if c.sql, err = c.pool.Acquire(c.ctx); err == nil {
			for _, statement := range c.begin {
				c.queue(statement)
			}
			return nil
		}
		err = clear(err)
		if !lost(err) || time.Since(begin) > patience || c.ctx.Err() != nil {
			return err
		}
	}
}

// release gives the connection back, with no transaction on it: one that
// cannot be ended breaks it off.
func (c *conn) release() {
	if c.sql == nil {
		return
	}
	if !c.sql.Conn().IsClosed() && c.sql.Conn().PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), 5*time.Second)
		_, _ = c.sql.Exec(ctx, "ROLLBACK")
		cancel()
	}
	c.sql.Release() // which closes one that still has a transaction
	c.sql = nil
}

// queue adds a statement to those that wait.
func (c *conn) queue(query string, args ...any) {
	c.batch.Queue(numbered(query), texts(args)...)
}

// maxWaiting bounds the statements that wait.
const maxWaiting = 256

// exec runs a statement without an answer, sooner or later: its error may be
// that of a later statement or of the end.
func (c *conn) exec(query string, args ...any) error {
	if err := c.ended(); err != nil {
		return err
	}
	c.queue(query, args...)
	if c.batch.Len() >= maxWaiting {
		return c.flush()
	}
	return nil
}

func (c *conn) ended() error {
	if c.failed != nil {
		return c.failed
	}
	return c.caller.Err()
}

// flush runs all that waits.
func (c *conn) flush() error { return c.send(nil) }

// send runs all that waits, in one round trip, and hands the rows of the last
// statement to read.
func (c *conn) send(read func(pgx.Rows) error) error {
	if c.failed != nil {
		return c.failed
	}
	queued := c.batch.QueuedQueries
	c.batch = pgx.Batch{}
	if len(queued) == 0 {
		return nil
	}
	for begin := time.Now(); ; pause(c.ctx, begin) {
		err := c.once(queued, read)
		if err == nil {
			c.begun = true
			return nil
		}
		// A connection may have died while nobody used it. Nothing has been
		// done on it yet: another one serves as well.
		if !c.begun && lost(err) && time.Since(begin) < patience && c.ctx.Err() == nil && queued[0].SQL == c.begin[0] && queued[len(queued)-1].SQL != "COMMIT" {
			c.release()
			c.pool.Reset()
			if err = c.acquire(); err == nil {
				c.batch = pgx.Batch{} // begin is in queued already
				continue
			}
		}
		c.failed = err
		return err
	}
}

func (c *conn) once(queued []*pgx.QueuedQuery, read func(pgx.Rows) error) (err error) {
	if c.sql == nil {
		return errClosed
	}
	batch := pgx.Batch{}
	for _, q := range queued {
		batch.Queue(q.SQL, q.Arguments...)
	}
	c.trips++
	answers := c.sql.SendBatch(c.ctx, &batch)
	defer func() { err = c.told(errors.Join(err, answers.Close())) }()
	for i := range queued {
		if i == len(queued)-1 && read != nil {
			break
		}
		tag, err := answers.Exec()
		if err != nil {
			c.unsent = i == 0 && pgconn.SafeToRetry(err)
			return err
		}
		if queued[i].SQL == "COMMIT" && tag.String() != "COMMIT" {
			return errors.New("the transaction was rolled back")
		}
	}
	if read == nil {
		return nil
	}
	rows, err := answers.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := read(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// prepared are the codes that a client gives whose memory of prepared
// statements is wrong, as after an error while it prepared several: nothing
// was run, and another connection serves.
var prepared = []string{"42P05", "26000"}

// told is the error of a statement as the rest of the store knows it.
func (c *conn) told(err error) error {
	if err == nil {
		return nil
	}
	var known *pgconn.PgError
	if errors.As(err, &known) {
		if is(known, prepared...) {
			_ = c.sql.Conn().Close(c.ctx)
		}
		return fmt.Errorf("postgres: %w", known) // once, not as often as there were statements
	}
	if ctx := c.ctx.Err(); ctx != nil {
		return ctx
	}
	if c.sql.Conn().IsClosed() {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return err
}

// clear makes the error of a pool plain.
func clear(err error) error {
	if err != nil && strings.Contains(err.Error(), "closed pool") {
		return errClosed
	}
	return err
}

// many reads all rows with scan.
func many[T any](c *conn, query string, args []any, scan func(row) (T, error)) (out []T, err error) {
	if err := c.ended(); err != nil {
		return nil, err
	}
	c.queue(query, args...)
	err = c.send(func(rows pgx.Rows) error {
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

// single reads one row with scan; store.ErrNotFound when there is none.
func single[T any](c *conn, query string, args []any, scan func(row) (T, error)) (T, error) {
	var zero T
	list, err := many(c, query, args, scan)
	if err != nil {
		return zero, err
	}
	if len(list) == 0 {
		return zero, store.ErrNotFound
	}
	return list[0], nil
}

// one reads a single row; store.ErrNotFound when there is none.
func (c *conn) one(query string, args []any, to ...any) error {
	_, err := single(c, query, args, func(r row) (struct{}, error) { return struct{}{}, r.Scan(to...) })
	return err
}

// row is what can be scanned.
type row interface{ Scan(to ...any) error }

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

// texts makes texts such that the server takes them: UTF-8 without NUL.
func texts(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = text(s)
		}
	}
	return args
}

func text(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
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

// marks gives n question marks for a list.
func marks(n int) string {
	return strings.TrimSuffix(strings.Repeat("?,", n), ",")
}

// numbered turns question marks into $1, $2 …
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}
