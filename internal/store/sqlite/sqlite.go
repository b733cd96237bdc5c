// Package sqlite keeps the exchange's records in one SQLite file on this
// machine, with nothing to install.
//
// One writer runs the waiting updates one after another and commits them
// together: what Update has answered is on disk, and the price of the disk is
// shared. An update that fails is undone alone. Reads run beside it on
// snapshots. One process may use a file at a time.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	_ "modernc.org/sqlite" // the database driver

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Errors of Open.
var (
	ErrInUse = errors.New("the database is in use by another process")
	ErrNewer = errors.New("a newer version of this program has changed the database so that this one cannot work with it")
)

//go:embed schema/*.sql
var schema embed.FS

// Store is a store.Store in a SQLite file.
type Store struct {
	lock    *os.File
	db      *sql.DB
	writer  *conn
	readers chan *conn

	mu     sync.RWMutex // guards closed against sends on queue
	closed bool
	queue  chan *job
	done   chan struct{}

	apart int // batches to come whose jobs have a savepoint each; the writer's

	commits, committed atomic.Uint64
}

var _ store.Store = (*Store)(nil)

// Open opens or creates the database at path. It gives ErrInUse when another
// process has it and ErrNewer when a newer program has changed it so that this
// one cannot work with it.
func Open(ctx context.Context, path string) (*Store, error) {
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, err
	}
	known, err := store.Migrations(files)
	if err != nil {
		return nil, err
	}
	return open(ctx, path, known)
}

// open is Open with the migrations that are known.
func open(ctx context.Context, path string, known []store.Migration) (_ *Store, err error) {
	lock, err := claim(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, queue: make(chan *job, 1024), done: make(chan struct{})}
	defer func() {
		if err != nil {
			s.disconnect()
			_ = lock.Close()
		}
	}()
	// The file is made here, for its owner alone; SQLite gives the files beside
	// it the same mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(0)" +
		"&_pragma=cache_size(-16000)&_pragma=mmap_size(268435456)&_pragma=wal_autocheckpoint(4000)&_pragma=temp_store(MEMORY)"
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	s.db.SetMaxOpenConns(n + 1)
	s.db.SetMaxIdleConns(n + 1)
	if s.writer, err = s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.writer.migrate(ctx, known); err != nil {
		return nil, err
	}
	s.readers = make(chan *conn, n)
	for range n {
		c, err := s.connect(ctx)
		if err != nil {
			return nil, err
		}
		s.readers <- c
	}
	go s.write()
	return s, nil
}

func (s *Store) connect(ctx context.Context) (*conn, error) {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{sql: c, statements: make(map[string]*sql.Stmt)}, nil
}

// begin starts a transaction. A connection that cannot, because it is broken
// or still has one open, is replaced first.
func (s *Store) begin(c *conn, query string) error {
	c.lost = nil
	if c.Exec(query) == nil {
		return nil
	}
	c.drop()
	fresh, err := s.connect(c.ctx)
	if err != nil {
		return err // and the next to come tries again
	}
	c.lost = nil
	c.sql, c.statements = fresh.sql, fresh.statements
	return c.Exec(query)
}

// disconnect closes all connections that nobody uses.
func (s *Store) disconnect() {
	if s.writer != nil {
		s.writer.close()
	}
	for len(s.readers) > 0 {
		(<-s.readers).close()
	}
	if s.db != nil {
		_ = s.db.Close()
	}
}

// migrate brings the schema to the newest version that is known here, one
// migration at a time. A newer one stays as it is.
func (c *conn) migrate(ctx context.Context, known []store.Migration) error {
	var has, oldest int
	if err := c.sql.QueryRowContext(ctx, "PRAGMA user_version").Scan(&has); err != nil {
		return err
	}
	if has < 0 {
		return fmt.Errorf("the database has the schema version %d, which never was", has)
	}
	if has > len(known) {
		err := c.sql.QueryRowContext(ctx, "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM setting WHERE name = ?", store.OldestSetting).Scan(&oldest)
		if err == nil && oldest > len(known) {
			err = ErrNewer
		}
		return err
	}
	for i, m := range known[has:] {
		script := "BEGIN IMMEDIATE;\n" + m.Text + ";\n"
		if m.Oldest > 0 {
			script += fmt.Sprintf("INSERT OR REPLACE INTO setting VALUES ('%s', CAST('%d' AS BLOB));\n", store.OldestSetting, m.Oldest)
		}
		script += fmt.Sprintf("PRAGMA user_version = %d;\nCOMMIT;", has+i+1)
		if _, err := c.sql.ExecContext(ctx, script); err != nil {
			return fmt.Errorf("migration %s: %w", m.Name, err)
		}
	}
	return nil
}

// Close waits for the updates under way and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.queue)
	s.mu.Unlock()
	<-s.done
	for range cap(s.readers) {
		(<-s.readers).close()
	}
	s.writer.close()
	return errors.Join(s.db.Close(), s.lock.Close())
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	if tx, ok := store.Running(ctx); ok {
		return fn(tx)
	}
	return passing(s.view(ctx, fn))
}

func (s *Store) view(ctx context.Context, fn func(store.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	closed := s.closed
	s.mu.RUnlock()
	if closed {
		return errClosed
	}
	var c *conn
	select {
	case c = <-s.readers:
	case <-s.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- c }()
	c.ctx = context.WithoutCancel(ctx) // a transaction is begun and ended whatever happens
	if err := s.begin(c, "BEGIN"); err != nil {
		return err
	}
	defer func() {
		c.ctx, c.lost = context.WithoutCancel(ctx), nil
		if c.Exec("ROLLBACK") != nil {
			c.drop() // so that no old snapshot stays; the next to come connects again
		}
	}()
	c.ctx = ctx
	return fn(c.reader())
}

var errClosed = errors.New("the store is closed")
