package outbox

import (
	"context"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Stats counts what the relay has done since it was started.
type Stats struct {
	Published uint64 // events that the broker has acknowledged
	Failed    uint64 // attempts, one per event, that it has not
	Held      int    // keys that wait after a failure
}

// Stats gives the counters.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// lagLimit bounds what Lag and Parked count.
const lagLimit = 1000

// Parked tells how many events the broker has refused for what they are, up to
// 1000. The error says that the store does not answer.
func (r *Relay) Parked(ctx context.Context) (int, error) {
	var list []store.Parked
	err := r.Store.View(ctx, func(rd store.Reader) (err error) {
		list, err = rd.ParkedEvents(lagLimit)
		return err
	})
	return len(list), err
}

// Lag tells how many events wait to be published, up to 1000, and when the
// oldest of them was created. The error says that the store does not answer.
func (r *Relay) Lag(ctx context.Context) (pending int, oldest time.Time, err error) {
	events, err := r.pending(ctx, lagLimit)
	if len(events) > 0 {
		oldest = events[0].Created
	}
	return len(events), oldest, err
}
