package delivery

import (
	"context"
	"time"

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
// longer will be unless somebody asks for them. Both are -1 when the store
// does not answer within two seconds.
func (s *Service) Waiting() store.Deliveries {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var d store.Deliveries
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		d, err = r.Deliveries()
		return err
	})
	if err != nil {
		return store.Deliveries{Pending: -1, Dead: -1}
	}
	return d
}
