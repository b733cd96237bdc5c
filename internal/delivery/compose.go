package delivery

import (
	"errors"
	"fmt"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// errGone says that the client that wrote a Subscription may no longer come.
var errGone = fhir.Errorf(fhir.CodeForbidden, "", "The client that wrote this Subscription may no longer use the exchange.")

// owner gives the principal for whom a Subscription is served, as long as the
// account may come and may read records of the type.
func (s *Service) owner(r store.Reader, sub store.Subscriber) (auth.Principal, error) {
	p := record.Subscriber(sub)
	account, err := r.AccountByID(string(auth.Client), sub.Client)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return p, errGone
	case err != nil:
		return p, err
	case !account.Active || account.Demo && s.RefuseDemo || account.Organization != sub.Organization:
		return p, errGone
	}
	if _, err := auth.Allow(p, auth.Read, sub.Resource); err != nil {
		return p, errGone
	}
	return p, nil
}

// notification begins a notification of a kind.
func (s *Service) notification(sub store.Subscriber, o subscription.Order, kind subscription.Kind) subscription.Notification {
	return subscription.Notification{
		Name:         fmt.Sprintf("Subscription/%s/%s/%d/%d", sub.ID, kind, sub.Events, s.now().UnixMicro()),
		Subscription: sub.ID, Topic: o.Topic, Status: sub.Status, Kind: kind, Total: sub.Events, At: s.now(), Payload: o.Payload,
	}
}

// happened composes a notification of events: of as many as it can hold with
// their content, but at least of one. A record that p may not see any more is
// left out: its event has a number, and nothing else.
func (s *Service) happened(r store.Reader, p auth.Principal, sub store.Subscriber, o subscription.Order, kind subscription.Kind, notices []store.Notice) (subscription.Notification, error) {
	n := s.notification(sub, o, kind)
	size := 0
	for i, notice := range notices {
		e, err := s.event(r, p, o, notice)
		if err != nil {
			return n, err
		}
		if size += e.Size(); i > 0 && size > subscription.MaxValue {
			break
		}
		n.Events = append(n.Events, e)
	}
	if len(n.Events) == 0 {
		return n, nil
	}
	last := n.Events[len(n.Events)-1]
	n.Name = fmt.Sprintf("Subscription/%s/%s/%d-%d", sub.ID, kind, n.Events[0].Number, last.Number)
	if kind == subscription.EventNotification {
		n.Total, n.At = last.Number, last.At // the same bytes when it is sent again
	}
	return n, nil
}

// event gives what a notice is about, as p may see it now.
func (s *Service) event(r store.Reader, p auth.Principal, o subscription.Order, n store.Notice) (subscription.Event, error) {
	e := subscription.Event{Number: n.Number, At: n.At, Version: n.Version, Created: n.Created}
	if o.Payload == subscription.Empty {
		return e, nil
	}
	sees, err := record.Sees(r, p, n.Type, n.ID)
	if err != nil || !sees {
		return e, err
	}
	version, err := r.ResourceVersion(n.Type, n.ID, n.Version)
	if errors.Is(err, store.ErrNotFound) || err == nil && version.Deleted() {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	if e.Focus, err = fhir.Parse(version.Body); err != nil {
		return e, err
	}
	topic, known := s.Topics.Find(o.Topic)
	if !known || len(topic.Include) == 0 {
		return e, nil
	}
	candidates, err := record.Included(r, e.Focus, s.Base(), topic.Include)
	if err != nil {
		return e, err
	}
	var seen []*fhir.Document
	for _, c := range candidates {
		sees, err := record.Sees(r, p, c.Type, c.ID)
		if err != nil {
			return e, err
		}
		if sees {
			seen = append(seen, c.Doc)
		}
	}
	e.Includes = topic.Included(e.Focus, seen)
	return e, nil
}
