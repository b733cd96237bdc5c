package delivery

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

const (
	maxListed = 1000 // Subscriptions of one answer
	maxAsked  = 100  // events of one answer
)

// errAbsent answers for a Subscription that is not there, or not for p.
func errAbsent(id string) error {
	return fhir.Errorf(fhir.CodeNotFound, "", "There is no Subscription with id %s.", id)
}

// Status gives the state of one Subscription, as Parameters.
func (s *Service) Status(ctx context.Context, p auth.Principal, id string) ([]byte, error) {
	s.prepare()
	var body []byte
	err := s.answer(ctx, p, "subscription-status", "Subscription/"+id, func(tx store.Tx) error {
		sub, o, err := s.mine(tx, p, id)
		if err != nil {
			return err
		}
		body, err = s.state(tx, sub, o)
		return err
	})
	return body, err
}

// Statuses gives the state of all Subscriptions that p may see, or of those
// with one of the ids and one of the statuses, by id.
func (s *Service) Statuses(ctx context.Context, p auth.Principal, ids, statuses []string) (bodies [][]byte, err error) {
	s.prepare()
	err = s.answer(ctx, p, "subscription-status", "Subscription", func(tx store.Tx) error {
		bodies = nil
		list, err := s.owned(tx, p, ids)
		if err != nil {
			return err
		}
		for _, id := range list {
			sub, o, err := s.mine(tx, p, id)
			if fhir.CodeOf(err) == fhir.CodeNotFound {
				continue
			}
			if err != nil {
				return err
			}
			if len(statuses) > 0 && !slices.Contains(statuses, sub.Status) {
				continue
			}
			body, err := s.state(tx, sub, o)
			if err != nil {
				return err
			}
			bodies = append(bodies, body)
		}
		return nil
	})
	return bodies, err
}

// owned gives the ids, or those of all Subscriptions that p may see.
func (s *Service) owned(r store.Reader, p auth.Principal, ids []string) ([]string, error) {
	if len(ids) > maxListed {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "Ask for at most %d Subscriptions.", maxListed).WithStatus(400)
	}
	if len(ids) > 0 {
		ids = slices.Clone(ids)
		slices.Sort(ids)
		return slices.Compact(ids), nil
	}
	grant, err := auth.Allow(p, auth.Search, "Subscription")
	if err != nil {
		return nil, err
	}
	page, err := r.Search(store.Query{Type: "Subscription", Organization: grant.Organization, Count: maxListed})
	for _, res := range page.Resources {
		ids = append(ids, res.ID)
	}
	slices.Sort(ids)
	return ids, err
}

// mine gives a Subscription that p may see.
func (s *Service) mine(r store.Reader, p auth.Principal, id string) (sub store.Subscriber, o subscription.Order, err error) {
	if _, err := auth.Allow(p, auth.Read, "Subscription"); err != nil {
		return sub, o, err
	}
	sees, err := record.Sees(r, p, "Subscription", id)
	if err != nil {
		return sub, o, err
	}
	if !sees {
		return sub, o, errAbsent(id)
	}
	if sub, err = r.Subscriber(id); errors.Is(err, store.ErrNotFound) {
		return sub, o, errAbsent(id)
	}
	if err == nil {
		o, err = subscription.ReadOrder(sub)
	}
	return sub, o, err
}

// state gives the Parameters that tell how a Subscription is.
func (s *Service) state(r store.Reader, sub store.Subscriber, o subscription.Order) ([]byte, error) {
	n := s.notification(sub, o, subscription.QueryStatus)
	if sub.Status == subscription.Failed {
		stored, err := record.Find(r, "Subscription", sub.ID)
		if err != nil {
			return nil, err
		}
		if stored != nil {
			n.Error = stored.Doc.Get("error").String()
		}
	}
	return n.Parameters(s.Base()), nil
}

// EventQuery asks for events of a Subscription that there were. Numbers are
// texts, as clients send them; "" is no bound.
type EventQuery struct {
	ID           string
	Since, Until string // event numbers, both included
	Content      string // as in the extension of the payload; "" for the Subscription's own
}

// Events gives the Bundle of events that are still kept: a hundred at most,
// and no more than it can hold with their content. Whoever wants more asks
// again from the number after the last.
func (s *Service) Events(ctx context.Context, p auth.Principal, q EventQuery) ([]byte, error) {
	s.prepare()
	since, err := number("eventsSinceNumber", q.Since, 1)
	if err != nil {
		return nil, err
	}
	until, err := number("eventsUntilNumber", q.Until, 1<<62)
	if err != nil {
		return nil, err
	}
	if q.Content != "" && !slices.Contains([]subscription.Payload{subscription.Empty, subscription.IDOnly, subscription.FullResource}, subscription.Payload(q.Content)) {
		return nil, fhir.Errorf(fhir.CodeInvalid, "content", "The content must be empty, id-only or full-resource.")
	}
	var body []byte
	err = s.answer(ctx, p, "subscription-events", "Subscription/"+q.ID, func(tx store.Tx) error {
		sub, o, err := s.mine(tx, p, q.ID)
		if err != nil {
			return err
		}
		o.Payload = content(o, q.Content)
		notices, err := tx.Notices(q.ID, since, until, maxAsked)
		if err != nil {
			return err
		}
		n, err := s.happened(tx, p, sub, o, subscription.QueryEvent, notices)
		if err != nil {
			return err
		}
		if body = n.Bundle(s.Base()); o.Payload == subscription.Empty {
			return nil
		}
		return shown(tx, s.now(), p, n.Events)
	})
	return body, err
}

// content decides how much is told: what is asked for, else what the
// Subscription was written for. What p may see of it is decided for each record.
func content(o subscription.Order, asked string) subscription.Payload {
	switch {
	case asked != "":
		return subscription.Payload(asked)
	case o.Plain() && o.Format != "":
		return subscription.FullResource
	case o.Plain():
		return subscription.IDOnly
	}
	return o.Payload
}

func number(name, text string, def int64) (int64, error) {
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fhir.Errorf(fhir.CodeInvalid, name, "%s must be the number of an event.", name)
	}
	return n, nil
}

// answer runs an operation and its audit record in one transaction.
func (s *Service) answer(ctx context.Context, p auth.Principal, operation, target string, fn func(store.Tx) error) error {
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return audit.Write(tx, s.now(), p, audit.Entry{Action: "E", Operation: operation, Target: target})
	})
	if code := fhir.CodeOf(err); err == nil || code != fhir.CodeForbidden && code != fhir.CodeNotFound {
		return err
	}
	unwritten := s.Store.Update(ctx, func(tx store.Tx) error {
		return audit.Write(tx, s.now(), p, audit.Entry{Action: "E", Operation: operation, Target: target, Outcome: audit.Refused})
	})
	if unwritten != nil {
		return unwritten
	}
	return err
}
