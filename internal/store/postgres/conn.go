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
	"github.com/jumpa-hie/jumpa/internal/store/tables"
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

// Exec implements tables.Conn: the statement runs sooner or later.
func (c *conn) Exec(query string, args ...any) error {
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
		if c.store != nil && is(err, "55P03") {
			c.store.impatient.Store(instant(time.Now().Add(impatient)))
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

// Query implements tables.Conn: it runs all that waits too.
func (c *conn) Query(query string, args []any, read func(tables.Rows) error) error {
	if err := c.ended(); err != nil {
		return err
	}
	c.queue(query, args...)
	return c.send(func(rows pgx.Rows) error { return read(rows) })
}

// Lookup implements tables.Conn.
func (c *conn) Lookup(query string, args []any, scan func(tables.Row) error) error {
	return tables.First(c, query, args, scan)
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
