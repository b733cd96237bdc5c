package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// block is how many numbers a process takes at once. What is left of one when
// the process ends is never given.
const block = 32

// blocks gives numbers of counters that were taken many at once, outside the
// transactions that use them: a counter's row would make each of them fail that
// runs beside another.
type blocks struct {
	mu   sync.Mutex
	have map[string]span
}

// span is the numbers from next up to, and without, end.
type span struct{ next, end int64 }

// FreshNumber implements store.Tx.
func (t *tx) FreshNumber(counter string) (int64, error) {
	if err := t.ended(); err != nil {
		return 0, err
	}
	return t.store.freshNumber(t.ctx, counter)
}

func (s *Store) freshNumber(ctx context.Context, counter string) (int64, error) {
	s.fresh.mu.Lock()
	defer s.fresh.mu.Unlock()
	have := s.fresh.have[counter]
	if have.next == have.end {
		last, err := s.take(ctx, counter)
		if err != nil {
			return 0, err
		}
		have = span{last - block + 1, last + 1}
	}
	n := have.next
	have.next++
	s.fresh.have[counter] = have
	return n, nil
}

// take takes a block and gives its last number. It uses a connection for
// views: a transaction that waited for another one of its own kind could wait
// for ever.
func (s *Store) take(ctx context.Context, counter string) (last int64, err error) {
	for begin := time.Now(); ; pause(ctx, begin) {
		err = clear(s.reads.QueryRow(ctx, numbered(tables.TakeNumbers), text(counter), block).Scan(&last))
		if err == nil || !retryable(err) || time.Since(begin) > patience || ctx.Err() != nil {
			return last, err
		}
	}
}
