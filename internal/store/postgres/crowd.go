package postgres

import (
	"context"
	"sync/atomic"
	"time"
)

// enter lets an update run beside others as soon as there is a connection for
// it, unless the lane is at work or a crowd is expected. Soon after a crowd it
// waits for no connection: others would fail with it.
func (s *Store) enter(ctx context.Context, now time.Time) bool {
	if s.crowd.expects(now) {
		return false
	}
	select {
	case s.beside <- struct{}{}:
	default:
		if s.crowd.pause.Load() > 0 {
			return false
		}
		select {
		case s.beside <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	if !s.gate.TryRLock() {
		<-s.beside
		return false
	}
	return true
}

func (s *Store) leave() {
	s.gate.RUnlock()
	<-s.beside
}

// crowd tells when updates get in each other's way, so that they go to the lane
// at once and are not run in vain.
type crowd struct {
	until atomic.Int64 // as an instant
	pause atomic.Int64 // that led there, ns
}

var origin = time.Now()

// instant is a time in nanoseconds that no change of the clock moves.
func instant(t time.Time) int64 { return int64(t.Sub(origin)) }

// How long a crowd is expected: from the first conflict, and when each try
// meets another one.
const (
	leastCrowd = 50 * time.Millisecond
	mostCrowd  = time.Second
)

func (c *crowd) expects(now time.Time) bool { return instant(now) < c.until.Load() }

// note learns from an update that ran beside others.
func (c *crowd) note(began, ended time.Time, conflict bool) {
	until, pause := c.until.Load(), c.pause.Load()
	switch now := instant(ended); {
	case !conflict && now > until+pause: // it has been quiet for as long
		c.pause.Store(0)
	case conflict && instant(began) >= until: // the first of those that ran together
		pause = min(max(2*pause, int64(leastCrowd)), int64(mostCrowd))
		c.pause.Store(pause)
		c.until.Store(now + pause)
	}
}
