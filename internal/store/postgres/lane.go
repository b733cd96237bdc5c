package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// The way of an update:
//
// It first runs at once, beside others, in a SERIALIZABLE transaction. When
// the server refuses it because of another one, it goes to the lane: there all
// that wait run one after another in one transaction, each behind a savepoint,
// and are committed together, while nobody else of this process writes. Who
// comes while the lane is at work, or soon after a conflict (see crowd.go),
// queues there as well. So updates that touch different things run side by
// side, and those that fight for one counter or one Slot share a commit instead
// of failing in turns. So it is between processes too: while the lane of one is
// at work, nobody writes, in any of them. That is a courtesy; where it fails
// the server decides, and who loses tries again.

// maxBatch bounds how many updates share one commit of the lane.
const maxBatch = 64

const savepoint = "SAVEPOINT job"

// The statements that begin an update, beside others or in the lane. The lock
// is taken before the transaction sees anything, so that it sees what those
// before it wrote. It saves work: otherwise an update of another process would
// make the server refuse a whole batch. Who sleeps is waited for only so long.
var (
	begin       = "BEGIN ISOLATION LEVEL SERIALIZABLE"
	beginBeside = []string{begin, patient, "LOCK TABLE lane IN ROW SHARE MODE", "SET LOCAL lock_timeout = 0"}
	beginLane   = []string{begin, patient, "LOCK TABLE lane IN EXCLUSIVE MODE", "SET LOCAL lock_timeout = 0"}
	beginAlone  = []string{begin} // soon after the lock was waited for in vain
)

const (
	patient   = "SET LOCAL lock_timeout = '500ms'"
	impatient = 2 * time.Second // for how long nobody of this process waits again
)

// job is one Update that waits for the lane.
type job struct {
	ctx    context.Context
	fn     func(store.Tx) error
	since  time.Time
	tried  bool // beside others
	err    error
	answer chan error
}

// Update implements store.Store. fn may run more than once: first on the
// caller's goroutine, then on another one. A caller whose context ends while
// it waits is not served; once the commit is under way it waits for the answer.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if tx, ok := store.Running(ctx); ok {
		return fn(tx)
	}
	return passing(s.update(ctx, fn))
}

func (s *Store) update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.ended(ctx); err != nil {
		return err
	}
	since, tried := time.Now(), false
	if s.enter(ctx, since) {
		err, again := s.alone(ctx, fn)
		s.leave()
		s.count(again, &job{err: err})
		s.crowd.note(since, time.Now(), again && !lost(err))
		if !again {
			return err
		}
		tried = true
	}
	j := &job{ctx: ctx, fn: fn, since: since, tried: tried, answer: make(chan error, 1)}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return errClosed
	}
	select {
	case s.queue <- j:
		s.mu.RUnlock()
	case <-ctx.Done():
		s.mu.RUnlock()
		return ctx.Err()
	}
	return <-j.answer
}

// transaction begins one that is not ended by its caller's context, but by its
// own limit.
func (s *Store) transaction(ctx context.Context, begin []string) (*conn, func(), error) {
	if instant(time.Now()) < s.impatient.Load() {
		begin = beginAlone
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	c := &conn{store: s, pool: s.writes, caller: ctx, ctx: bounded, begin: begin}
	if err := c.acquire(); err != nil {
		cancel()
		return nil, nil, err
	}
	return c, func() { c.release(); cancel() }, nil
}

// alone runs one update in a transaction of its own. again tells that it is
// worth another try.
func (s *Store) alone(ctx context.Context, fn func(store.Tx) error) (err error, again bool) { //nolint:revive // err is an answer here
	c, end, err := s.transaction(ctx, beginBeside)
	if err != nil {
		return err, false
	}
	defer end()
	if err = guarded(fn, c.tx()); err == nil {
		err = c.ended()
	}
	if err == nil {
		err = c.commit()
		return err, transient(err)
	}
	if transient(c.failed) { // what fn has seen and said comes of it
		return c.failed, true
	}
	return err, false
}

// transient tells that an update may succeed when it runs again. What is
// unique and was taken may have been taken by one that ran at the same time.
func transient(err error) bool { return retryable(err) || is(err, "23505") }

// commit ends a transaction, with all that still waits, in one round trip.
// The connection has answered before: one that died while nobody used it is
// noticed when it may still be replaced.
func (c *conn) commit() error {
	if c.batch.Len() == len(c.begin) && !c.begun { // nothing was done
		return nil
	}
	if !c.begun {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.queue("COMMIT")
	err := c.flush()
	if is(err, "25P03") || c.unsent { // it was ended before, while this side was asleep: nothing is written
		return err
	}
	if err != nil && (lost(err) || c.ctx.Err() != nil) {
		return fmt.Errorf("%w: %s", ErrUnknown, err) // not as a lost connection, which is tried again
	}
	return err
}

// lane serves the queue until it is closed.
func (s *Store) lane() {
	defer close(s.done)
	for first := range s.queue {
		s.gate.Lock()
		waiting := []*job{first}
	fill:
		for len(waiting) < maxBatch {
			select {
			case j, ok := <-s.queue:
				if !ok {
					break fill
				}
				waiting = append(waiting, j)
			default:
				break fill
			}
		}
		s.serve(waiting)
		s.gate.Unlock()
	}
}

// serve runs jobs until each has its answer. A batch that fails is cut in two,
// so that what makes it fail is alone in the end.
func (s *Store) serve(waiting []*job) {
	size := len(waiting)
	for tries := 0; len(waiting) > 0; tries++ {
		size = min(size, len(waiting))
		batch := waiting[:size]
		err, again := s.together(batch, tries > 0)
		switch {
		case again && tries == 0 && !batch[0].tried:
			s.conflicts.Add(1)
		case again:
			s.retries.Add(1)
		case err == nil:
			s.count(false, batch...)
		}
		if again && tries > 0 && time.Since(batch[0].since) < patience {
			size = (size + 1) / 2
			pause(context.Background(), batch[0].since)
			continue
		}
		if again && tries == 0 {
			continue
		}
		if again {
			err = fmt.Errorf("%w: %w", errBusy, err)
		}
		for _, j := range batch {
			if err != nil {
				j.err = err
			}
			j.answer <- j.err
		}
		waiting, size = waiting[size:], maxBatch
	}
}

// together runs jobs in one transaction and commits those that succeed. Each
// job's own error is with it; err is that of them all.
func (s *Store) together(batch []*job, wary bool) (err error, again bool) { //nolint:revive // err is an answer here
	c, end, err := s.transaction(context.Background(), beginLane)
	if err != nil {
		return err, false
	}
	defer end()
	c.wary = wary
	for _, j := range batch {
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		if len(batch) > 1 {
			c.queue(savepoint)
		}
		c.caller, c.seen, c.wanted = j.ctx, nil, nil
		j.err = guarded(j.fn, c.tx())
		if j.err == nil {
			j.err = c.ended()
		}
		if len(batch) == 1 && j.err == nil {
			j.err = c.commit()
			return j.err, retryable(j.err)
		}
		if j.err == nil {
			c.queue("RELEASE SAVEPOINT job")
			j.err = c.flush()
		}
		if retryable(c.failed) {
			return c.failed, true
		}
		if j.err != nil {
			if len(batch) == 1 {
				return nil, false // rolled back by its end
			}
			if c.undo(); c.failed != nil {
				return c.failed, retryable(c.failed)
			}
		}
	}
	c.caller = context.Background()
	err = c.commit()
	return err, retryable(err)
}

// undo goes back to the savepoint of a job and forgets it. What never left this
// side is not sent.
func (c *conn) undo() {
	c.failed = nil
	waits := c.batch.QueuedQueries
	for i := len(waits) - 1; i >= 0; i-- {
		if waits[i].SQL == savepoint {
			c.batch.QueuedQueries = waits[:i]
			return
		}
	}
	c.batch.QueuedQueries = nil
	// By itself: until it is done, the server refuses to prepare statements.
	if _, err := c.sql.Conn().PgConn().Exec(c.ctx, "ROLLBACK TO SAVEPOINT job; RELEASE SAVEPOINT job").ReadAll(); err != nil {
		c.failed = c.told(err)
	}
}

// guarded turns a panic of one job into its error, so that the others and the
// lane live on.
func guarded(fn func(store.Tx) error, t store.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(t)
}

// errBusy says that others were in the way for too long.
var errBusy = errors.New("the database is busy: too many changes of the same records")
