// Package postgres keeps the exchange's records in PostgreSQL, for more than
// one machine.
//
// Updates are SERIALIZABLE and run side by side; those that get in each
// other's way are run again, one after another, in one transaction (see
// lane.go). Writes wait on this side until something is read or the end is
// reached, so that an update needs about as many round trips as it has reads.
// Reads run on snapshots of their own connections; those that cost much may run
// on replicas (see replica.go).
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Errors of the store.
var (
	ErrNewer = errors.New("a newer version of this program has changed the database so that this one cannot work with it")
	// ErrUnknown says that the connection was lost during the commit: the
	// update may be on disk or not.
	ErrUnknown = errors.New("the connection was lost while an update was committed; it may have been written or not")
	// ErrReplicas says that replicas cannot be used as they were named.
	ErrReplicas = errors.New("the replicas cannot be used")
	errClosed   = errors.New("the store is closed")
)

//go:embed schema/*.sql
var schema embed.FS

// Bounds of one transaction.
const (
	statementLimit = 30 * time.Second // of one statement, kept by the server
	idleLimit      = 10 * time.Second // between statements, kept by the server: others wait for what a node that sleeps has locked
	limit          = 90 * time.Second // of the whole, kept here
	patience       = 15 * time.Second // during which a transaction is tried again
)

// Store is a store.Store in a PostgreSQL database.
type Store struct {
	writes, reads *pgxpool.Pool
	replicas      *replicas // nil for none

	crowd  crowd
	gate   sync.RWMutex  // read: updates that run side by side; write: the lane
	beside chan struct{} // one for each of the former

	impatient atomic.Int64 // the instant until which other processes are not waited for

	mu     sync.RWMutex // guards closed against sends on queue
	closed bool
	queue  chan *job
	done   chan struct{}

	fresh blocks

	commits, committed, conflicts, retries atomic.Uint64
}

var _ store.Store = (*Store)(nil)

// Open connects to the database at url (postgres://…) and brings its schema to
// the version of this program. A newer schema stays as it is; Open gives
// ErrNewer when this program cannot work with it. Each process has two bounded
// pools, for updates and for views; pool_max_conns in the URL sets the size of
// each.
func Open(ctx context.Context, url string) (*Store, error) {
	known, err := migrations()
	if err != nil {
		return nil, err
	}
	return connect(ctx, url, known, nil)
}

// OpenWithReplicas is Open with the addresses of replicas, hot standbys of the
// database, that views with store.OnReplica may be read from. They need not be
// there. Each has a pool of its own.
func OpenWithReplicas(ctx context.Context, url string, replicas []string, log *slog.Logger) (*Store, error) {
	s, err := Open(ctx, url)
	if err != nil || len(replicas) == 0 {
		return s, err
	}
	if s.replicas, err = openReplicas(ctx, replicas, s.reads.Config(), log); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrReplicas, err), s.Close())
	}
	return s, nil
}

// configure gives the configuration of a pool of connections for views.
func configure(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = int32(max(8, 2*runtime.GOMAXPROCS(0))) //nolint:gosec // a small number
	}
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	parameters := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name":                    "jumpa",
		"statement_timeout":                   fmt.Sprint(statementLimit.Milliseconds()),
		"idle_in_transaction_session_timeout": fmt.Sprint(idleLimit.Milliseconds()),
		"synchronous_commit":                  "on",
		"random_page_cost":                    "1.1", // of a disk without a moving head
		"jit":                                 "off", // costs more than these statements
	} {
		if parameters[name] == "" {
			parameters[name] = value
		}
	}
	return config, nil
}

// connect is Open with the migrations that are known, and an observer of all
// statements.
func connect(ctx context.Context, url string, known []store.Migration, tracer pgx.QueryTracer) (_ *Store, err error) {
	config, err := configure(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	if err := migrate(ctx, config.ConnConfig, known); err != nil {
		return nil, err
	}
	s := &Store{beside: make(chan struct{}, config.MaxConns), queue: make(chan *job, 1024), done: make(chan struct{}), fresh: blocks{have: map[string]span{}}}
	if s.reads, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	config = config.Copy()
	// A scan of a whole table, however small, conflicts with every writer of it.
	config.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	if s.writes, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		s.reads.Close()
		return nil, err
	}
	go s.lane()
	return s, nil
}

// Close waits for the transactions under way and closes all connections.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return nil
	}
	s.closed = true
	close(s.queue)
	s.mu.Unlock()
	<-s.done
	s.replicas.close()
	s.writes.Close()
	s.reads.Close()
	return nil
}

// ended tells why nothing may begin any more, if so.
func (s *Store) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	return nil
}

const beginView = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

// View implements store.Store. fn runs once, but once more after a replica has
// failed.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	if tx, ok := store.Running(ctx); ok {
		return fn(tx)
	}
	return passing(s.view(ctx, fn))
}

func (s *Store) view(ctx context.Context, fn func(store.Reader) error) error {
	if err := s.ended(ctx); err != nil {
		return err
	}
	if done, err := s.replicas.view(ctx, fn); done {
		return err
	}
	c := &conn{pool: s.reads, caller: ctx, ctx: ctx, begin: []string{beginView}}
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	return fn(c.reader())
}

// retryable tells that a transaction failed because of others, and will not
// fail for the same reason for ever.
func retryable(err error) bool {
	return is(err, "40001", "40P01", "55P03") || is(err, prepared...) || lost(err) || overtaken(err)
}

// overtaken tells that another process has written a row with the same key at
// the same time: the next version of a record, or its first. The next try sees
// it.
func overtaken(err error) bool {
	var known *pgconn.PgError
	return errors.As(err, &known) && known.Code == "23505" &&
		(strings.HasSuffix(known.ConstraintName, "_pkey") || known.ConstraintName == "resource_type_id_key")
}

// lost tells that the server or the connection to it has gone.
func lost(err error) bool {
	var known *pgconn.PgError
	if errors.As(err, &known) {
		return strings.HasPrefix(known.Code, "08") || is(err, "57P01", "57P02", "57P03", "25P03", "53300")
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, errBroken)
}

// is tells whether the server gave one of the codes.
func is(err error, codes ...string) bool {
	var known *pgconn.PgError
	if !errors.As(err, &known) {
		return false
	}
	for _, c := range codes {
		if known.Code == c {
			return true
		}
	}
	return false
}

// pause waits a random while, longer the longer it has been tried: up to half
// a second.
func pause(ctx context.Context, since time.Time) {
	top := min(500*time.Millisecond, 4*time.Millisecond+time.Since(since)/4)
	timer := time.NewTimer(rand.N(top)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
