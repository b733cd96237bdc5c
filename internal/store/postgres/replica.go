package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	watchEvery = time.Second // a replica is looked at, and more often while it is not used
	watchAgain = watchEvery / 10
	watchLimit = 5 * time.Second  // a look that takes longer has failed
	toldAfter  = 10 * time.Second // a replica that is not used for so long is logged
)

// replica is another server that may serve views. One address may lead to
// several servers: each view proves anew that its connection will do.
type replica struct {
	name   string        // for the log
	pool   *pgxpool.Pool // of views
	watch  *pgxpool.Pool // of one connection, to look whether it is there
	usable atomic.Bool   // it was all right when it was last looked at, and has not failed since
	failed chan struct{} // that it has

	mu   sync.Mutex
	up   context.Context // of the views on it: ends when it is gone
	gone context.CancelFunc
}

// replicas are those of a store.
type replicas struct {
	list      []*replica
	positions *positions // of the database
	pools     []*pgxpool.Pool
	turn      atomic.Uint64
	served    atomic.Uint64 // views
	fallbacks atomic.Uint64 // views that might have been, and were read from the database

	stop    context.CancelFunc
	watches sync.WaitGroup
}

// openReplicas begins to watch replicas; none is used before it was seen to be
// all right. database is the configuration of views on the database.
func openReplicas(ctx context.Context, urls []string, database *pgxpool.Config, log *slog.Logger) (_ *replicas, err error) {
	if database.ConnConfig.RuntimeParams["synchronous_commit"] == "off" {
		return nil, errors.New("synchronous_commit is off: what was answered must be on disk")
	}
	rs := &replicas{positions: &positions{}}
	ctx, rs.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			rs.close()
		}
	}()
	pool := func(config *pgxpool.Config) *pgxpool.Pool {
		p, failed := pgxpool.NewWithConfig(ctx, config)
		if failed != nil {
			err = errors.Join(err, failed)
			return nil
		}
		rs.pools = append(rs.pools, p)
		return p
	}
	for i, url := range urls {
		config, err := configure(url)
		if err != nil {
			return rs, fmt.Errorf("replica %d: %w", i+1, err)
		}
		r := &replica{name: strconv.Itoa(i + 1), pool: pool(config), watch: pool(oneConnection(config)), failed: make(chan struct{}, 1)}
		r.up, r.gone = context.WithCancel(context.Background())
		rs.list = append(rs.list, r)
	}
	// Closed last: views on replicas need it.
	if rs.positions.pool = pool(oneConnection(database)); err != nil {
		return rs, err
	}
	for _, r := range rs.list {
		rs.watches.Go(func() { rs.look(ctx, r, log) })
	}
	return rs, nil
}

// oneConnection is a configuration of one connection.
func oneConnection(config *pgxpool.Config) *pgxpool.Config {
	config = config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = 1, 0, 0
	return config
}

// close waits for the views under way and closes all connections.
func (rs *replicas) close() {
	if rs == nil {
		return
	}
	rs.stop()
	rs.watches.Wait()
	for _, p := range rs.pools {
		p.Close()
	}
	for _, r := range rs.list {
		r.gone()
	}
}

// view runs fn on a replica, where the caller allows it and one is all right.
// done tells that it did; otherwise nothing has come of it.
func (rs *replicas) view(ctx context.Context, fn func(store.Reader) error) (done bool, err error) {
	if rs == nil || !store.ReplicaAllowed(ctx) {
		return false, nil
	}
	if r := rs.choose(); r != nil {
		done, err = rs.on(ctx, r, fn)
	}
	if done {
		rs.served.Add(1)
	} else {
		rs.fallbacks.Add(1)
	}
	return done, err
}

// choose gives a replica that is all right, each in its turn; nil for none.
func (rs *replicas) choose() *replica {
	turn := rs.turn.Add(1)
	for i := range rs.list {
		if r := rs.list[(turn+uint64(i))%uint64(len(rs.list))]; r.usable.Load() {
			return r
		}
	}
	return nil
}

// on runs fn on one replica. Whatever fails on it, and whatever fn has made of
// that, goes to the database: a conflict with recovery, a connection that is
// lost, a server that is stopped.
func (rs *replicas) on(caller context.Context, r *replica, fn func(store.Reader) error) (done bool, err error) {
	ctx, end := r.while(caller)
	defer end()
	c := &conn{pool: r.pool, caller: caller, ctx: ctx, begun: true}
	defer c.release()
	if c.sql, err = r.pool.Acquire(ctx); err == nil {
		err = prove(ctx, rs.positions, c)
	}
	if err != nil {
		if caller.Err() == nil && !errors.Is(err, errPrimary) {
			r.fails()
		}
		return false, err
	}
	err = fn(c.reader())
	if c.failed == nil || caller.Err() != nil {
		return true, err
	}
	if lost(c.failed) {
		r.fails()
	}
	return false, c.failed
}

// fails passes a replica over until it was looked at again.
func (r *replica) fails() {
	if r.usable.CompareAndSwap(true, false) {
		select {
		case r.failed <- struct{}{}:
		default:
		}
	}
}

// while gives a context that ends with the replica too.
func (r *replica) while(ctx context.Context) (context.Context, func()) {
	r.mu.Lock()
	up := r.up
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(up, cancel)
	return ctx, func() { stop(); cancel() }
}

// look looks at a replica again and again, and tells when it is not used for
// long.
func (rs *replicas) look(ctx context.Context, r *replica, log *slog.Logger) {
	told := false
	for good := time.Now(); ; {
		err := rs.probe(ctx, r)
		if ctx.Err() != nil {
			return
		}
		pause := watchAgain
		if err == nil {
			good, pause = time.Now(), watchEvery
		}
		if !errors.Is(err, errPrimary) { // which says nothing about the replica
			r.found(err)
		}
		switch away := time.Since(good) >= toldAfter; {
		case away && !told:
			log.Warn("a replica of the database is not used", "replica", r.name, "error", err)
			told = true
		case err == nil && told:
			log.Info("a replica of the database is used again", "replica", r.name)
			told = false
		}
		select {
		case <-ctx.Done():
			return
		case <-r.failed:
		case <-time.After(pause):
		}
	}
}

// probe does what a view does before it reads.
func (rs *replicas) probe(ctx context.Context, r *replica) (err error) {
	ctx, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	c := &conn{pool: r.watch, caller: ctx, ctx: ctx, begun: true}
	defer c.release()
	if c.sql, err = r.watch.Acquire(ctx); err != nil {
		return err
	}
	return prove(ctx, rs.positions, c)
}

// late tells that a replica will do in a moment.
func late(err error) bool { return errors.Is(err, errBehind) || errors.Is(err, errAhead) }

// found notes how a replica is. Views that are under way go on while it is
// merely late: they have their snapshot. When it is not there any more they
// would wait for a server that cannot be heard.
func (r *replica) found(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && r.up.Err() != nil:
		r.up, r.gone = context.WithCancel(context.Background())
	case err != nil && !late(err):
		r.gone()
	}
	r.usable.Store(err == nil)
}

// CheckReplica tells why a replica of the database at url could not be used. It
// changes nothing, and waits a while for one that is late.
func CheckReplica(ctx context.Context, url, at string) error {
	database, err := configure(url)
	if err != nil {
		return err
	}
	rs, err := openReplicas(ctx, nil, database, nil)
	if err != nil {
		return err
	}
	defer rs.close()
	config, err := configure(at)
	if err != nil {
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, oneConnection(config))
	if err != nil {
		return err
	}
	defer pool.Close()
	for begun := time.Now(); ; pause(ctx, begun) {
		err := rs.probe(ctx, &replica{watch: pool})
		if !late(err) || time.Since(begun) > watchLimit {
			return err
		}
	}
}
