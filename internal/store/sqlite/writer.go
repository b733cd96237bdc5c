package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// maxBatch bounds how many updates share one commit.
const maxBatch = 256

// job is one Update that waits for the writer.
type job struct {
	ctx    context.Context
	fn     func(store.Tx) error
	err    error
	answer chan error
}

// Update implements store.Store. fn runs on the writer. A caller whose
// context ends while it waits is not served; once its turn has come it waits
// for the answer of the disk.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if tx, ok := store.Running(ctx); ok {
		return fn(tx)
	}
	return passing(s.update(ctx, fn))
}

func (s *Store) update(ctx context.Context, fn func(store.Tx) error) error {
	j := &job{ctx: ctx, fn: fn, answer: make(chan error, 1)}
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

// write is the one writer.
func (s *Store) write() {
	defer close(s.done)
	for first := range s.queue {
		batch := []*job{first}
	fill:
		for len(batch) < maxBatch {
			select {
			case j, ok := <-s.queue:
				if !ok {
					break fill
				}
				batch = append(batch, j)
			default:
				break fill
			}
		}
		err := s.commit(batch)
		s.count(batch, err)
		for _, j := range batch {
			if err != nil { // also when it was refused: for what others did, and what is not so
				j.err = err
			}
			j.answer <- j.err
		}
	}
}

// apart is for how many batches each job has a savepoint of its own after one
// had to be undone.
const apart = 32

// errUndone says that a batch was rolled back for one of its jobs alone.
var errUndone = errors.New("the batch was undone")

// commit runs the jobs of a batch and puts those that succeed on disk together.
// Before a savepoint SQLite copies each page that is about to change. So a batch
// runs without them first; when a job fails that has written something, all are
// undone and run again, each in its own savepoint.
func (s *Store) commit(batch []*job) error {
	if s.apart > 0 {
		s.apart--
		return s.together(batch, true)
	}
	err := s.together(batch, false)
	if errors.Is(err, errUndone) {
		s.apart = apart
		err = s.together(batch, true)
	}
	return err
}

func (s *Store) together(batch []*job, savepoints bool) error {
	c := s.writer
	c.ctx = context.Background()
	if err := s.begin(c, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	undo := func(err error) error { return errors.Join(err, c.Exec("ROLLBACK")) }
	known := seen{}
	for _, j := range batch {
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		if savepoints {
			if err := c.Exec("SAVEPOINT job"); err != nil {
				return undo(err)
			}
		}
		c.wrote = false
		j.err = guarded(j.fn, c.tx(known))
		if c.lost != nil {
			return c.abandon()
		}
		if j.err != nil && c.wrote {
			if !savepoints {
				return undo(errUndone)
			}
			clear(known) // of what is undone
			if err := c.Exec("ROLLBACK TO job"); err != nil {
				return undo(err)
			}
		}
		if savepoints {
			if err := c.Exec("RELEASE job"); err != nil {
				return undo(err)
			}
		}
	}
	if err := c.Exec("COMMIT"); err != nil {
		if c.lost != nil {
			return c.abandon()
		}
		return undo(err)
	}
	return nil
}

// abandon ends a transaction that SQLite may have ended already, and gives the
// reason.
func (c *conn) abandon() error {
	reason := c.lost
	c.lost = nil
	_ = c.Exec("ROLLBACK") // when there is still something to roll back
	return reason
}

// guarded turns a panic of one job into its error, so that the others and the
// writer live on.
func guarded(fn func(store.Tx) error, t store.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(t)
}
