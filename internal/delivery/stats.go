package delivery

import (
	"context"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Stats counts what this node has done since it was started.
type Stats struct {
	Delivered uint64 // notifications that an endpoint has taken, or that were written to a websocket
	Failed    uint64 // attempts that have failed
	Retried   uint64 // attempts after one that had failed
	Listening int    // open websockets
}

// Stats gives the counters.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Service) count(sub store.Subscriber, f *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.Failures > 0 {
		s.stats.Retried++
	}
	if f == nil {
		s.stats.Delivered++
	} else {
		s.stats.Failed++
	}
}

// Waiting tells how many events are still to be delivered, and how many no
// longer will be unless somebody asks for them. The error says that the store
// does not answer.
func (s *Service) Waiting(ctx context.Context) (d store.Deliveries, err error) {
	err = s.Store.View(ctx, func(r store.Reader) (err error) {
		d, err = r.Deliveries()
		return err
	})
	return d, err
}
