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

// Parked tells how many events the broker has refused for what they are, up to
// 1000; -1 when the store does not answer within two seconds.
func (r *Relay) Parked() int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var list []store.Parked
	err := r.Store.View(ctx, func(rd store.Reader) (err error) {
		list, err = rd.ParkedEvents(lagLimit)
		return err
	})
	if err != nil {
		return -1
	}
	return len(list)
}

// lagLimit bounds what Lag and Parked count.
const lagLimit = 1000

// Lag tells how many events wait to be published, up to 1000, and when the
// oldest of them was created. pending is -1 when the store does not answer
// within two seconds.
func (r *Relay) Lag() (pending int, oldest time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	events, err := r.pending(ctx, lagLimit)
	switch {
	case err != nil:
		return -1, time.Time{}
	case len(events) == 0:
		return 0, time.Time{}
	}
	return len(events), events[0].Created
}
