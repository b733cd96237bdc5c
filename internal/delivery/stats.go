package delivery

import (
	"context"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
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

// Stranded counts the Subscriptions to topics that there are no more.
func (s *Service) Stranded(ctx context.Context) (n int, err error) {
	const atOnce = 200
	err = s.Store.View(ctx, func(r store.Reader) error {
		n = 0
		for offset := 0; ; offset += atOnce {
			page, err := r.Search(store.Query{Type: "Subscription", Offset: offset, Count: atOnce})
			if err != nil {
				return err
			}
			for _, res := range page.Resources {
				doc, err := fhir.Parse(res.Body)
				if err != nil {
					return err
				}
				id, isTopic := strings.CutPrefix(doc.Get("criteria").String(), subscription.Canonical(s.Base(), ""))
				id, _, _ = strings.Cut(id, "|")
				if _, known := s.Topics.Find(id); isTopic && !known && !doc.Get("status").Is(subscription.Off) {
					n++
				}
			}
			if !page.More {
				return nil
			}
		}
	})
	return n, err
}
