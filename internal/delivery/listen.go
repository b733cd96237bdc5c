package delivery

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

const (
	maxSockets  = 2000            // open at once
	maxRefused  = 5               // bindings after which a websocket is closed
	lookAgain   = 2 * time.Second // for events that another node has committed
	unboundTime = time.Minute     // that a websocket may be bound to nothing
	longest     = 24 * time.Hour  // that a websocket may stay
)

// ErrFull says that there are as many websockets as there may be.
var ErrFull = fhir.Errorf(fhir.CodeTransient, "", "Too many websockets are open; try again later.")

// errClose ends a websocket.
var errClose = errors.New("the websocket is to be closed")

// Socket is an open websocket. Send writes one text message; it returns when
// the peer has taken it, or with an error when it takes too long.
type Socket interface {
	Send(ctx context.Context, text []byte) error
}

// listener is a websocket with what it is bound to. It is of one goroutine:
// events wait in the store and not here, so that a slow peer costs no memory.
type listener struct {
	s       *Service
	socket  Socket
	bound   map[string]*binding
	refused int
	idle    time.Time // bound to nothing since
}

// binding is a Subscription that a websocket listens to.
type binding struct {
	by   auth.Principal
	sent int64     // number of the last event that was written
	last time.Time // when something was written
}

// Listen serves a websocket until its peer leaves, which ends ctx, or breaks
// the rules. messages are the texts that come from it; p is who opened it,
// nobody when that was not said.
func (s *Service) Listen(ctx context.Context, p auth.Principal, socket Socket, messages <-chan string) error {
	s.prepare()
	wake := make(chan struct{}, 1)
	if !s.enter(wake) {
		return ErrFull
	}
	defer s.leave(wake)
	l := &listener{s: s, socket: socket, bound: map[string]*binding{}, idle: s.now()}
	end := s.now().Add(longest)
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	for {
		wait, err := l.round(ctx)
		if err != nil {
			return err
		}
		now := s.now()
		if !now.Before(end) || len(l.bound) == 0 && now.Sub(l.idle) >= unboundTime {
			return errClose
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case text, ok := <-messages:
			if !ok {
				return nil
			}
			if err := l.take(ctx, p, text); err != nil {
				return err
			}
		case <-wake:
		case <-timer.C:
		}
	}
}

func (s *Service) enter(wake chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) >= maxSockets {
		return false
	}
	s.listeners[wake] = struct{}{}
	s.stats.Listening = len(s.listeners)
	return true
}

func (s *Service) leave(wake chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, wake)
	s.stats.Listening = len(s.listeners)
}

// take reads a message: bind-with-token and a token, or, from somebody who
// came with an access token, bind and the id of a Subscription.
func (l *listener) take(ctx context.Context, p auth.Principal, text string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	var ids []string
	var err error
	switch strings.TrimSuffix(word, ":") {
	case "bind-with-token":
		p, ids, err = l.s.admit(rest)
	case "bind":
		if ids = []string{strings.TrimPrefix(rest, ":")}; p.Kind == "" {
			err = fhir.Errorf(fhir.CodeLogin, "", "To bind by id, open the websocket with an access token; or bind with a token of $get-ws-binding-token.")
		}
	default:
		err = fhir.Errorf(fhir.CodeNotSupported, "", "The exchange understands bind-with-token and a token, or bind and an id.")
	}
	for _, id := range ids {
		if err == nil {
			err = l.bind(ctx, p, id)
		}
	}
	var told *fhir.Error
	if err == nil || !errors.As(err, &told) {
		return err
	}
	if l.refused++; l.refused > maxRefused {
		return errClose
	}
	return l.socket.Send(ctx, fhir.Outcome(told, ""))
}

// bind begins to listen to a Subscription: at the first event that was
// written to nobody yet.
func (l *listener) bind(ctx context.Context, p auth.Principal, id string) error {
	if len(l.bound) >= maxBound && l.bound[id] == nil {
		return fhir.Errorf(fhir.CodeTooCostly, "", "A websocket can listen to at most %d Subscriptions.", maxBound)
	}
	var greeting []byte
	b := &binding{by: p, last: l.s.now()}
	err := l.s.answer(ctx, p, "subscription-bind", "Subscription/"+id, func(tx store.Tx) error {
		sub, o, err := l.s.mine(tx, p, id)
		switch {
		case err != nil:
			return err
		case sub.Channel != subscription.WebSocket:
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The Subscription %s has no websocket.", id)
		case sub.Status == subscription.Off || sub.Status == subscription.Failed:
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The Subscription %s is %s.", id, sub.Status)
		}
		if _, err := l.s.owner(tx, asBound(sub, p)); err != nil {
			return err
		}
		if b.sent = sub.Done; o.Plain() {
			greeting = []byte("bound " + id)
			return nil
		}
		greeting = form(o, l.s.notification(sub, o, subscription.Handshake).Bundle(l.s.Base()))
		return nil
	})
	if err != nil {
		return err
	}
	if was := l.bound[id]; was != nil {
		b.sent = was.sent
	}
	l.bound[id] = b
	return l.socket.Send(ctx, greeting)
}

// asBound gives a Subscription as if whoever listens had written it.
func asBound(sub store.Subscriber, p auth.Principal) store.Subscriber {
	sub.Client, sub.Scopes = p.ID, strings.Join(p.Scopes, " ")
	return sub
}

// round writes what is new to the websocket and tells when to look again.
func (l *listener) round(ctx context.Context) (wait time.Duration, err error) {
	wait = lookAgain
	for _, id := range slices.Sorted(maps.Keys(l.bound)) {
		for more := true; more; {
			if more, err = l.news(ctx, id, &wait); err != nil {
				return 0, err
			}
		}
	}
	return wait, nil
}

// news writes one message about a Subscription when there is one to write.
func (l *listener) news(ctx context.Context, id string, wait *time.Duration) (more bool, err error) {
	b := l.bound[id]
	var sub store.Subscriber
	var o subscription.Order
	var n subscription.Notification
	now := l.s.now()
	err = l.s.Store.View(ctx, func(r store.Reader) (err error) {
		if sub, o, err = l.s.mine(r, b.by, id); err != nil {
			return err
		}
		if _, err := l.s.owner(r, asBound(sub, b.by)); err != nil {
			return err
		}
		if sub.Status != subscription.Active || sub.Channel != subscription.WebSocket {
			return nil
		}
		notices, err := r.Notices(id, b.sent+1, sub.Events, o.AtOnce())
		switch {
		case err != nil:
			return err
		case len(notices) > 0:
			n, err = l.s.happened(r, b.by, sub, o, subscription.EventNotification, notices)
			return err
		case o.Heartbeat > 0 && !o.Plain() && !now.Before(b.last.Add(o.Heartbeat)):
			n = l.s.notification(sub, o, subscription.Heartbeat)
		}
		return nil
	})
	if code := fhir.CodeOf(err); err != nil && (code == fhir.CodeNotFound || code == fhir.CodeForbidden) || err == nil && (sub.Status == subscription.Off || sub.Status == subscription.Failed) {
		l.unbind(id) // deleted, ended, or no longer for this peer
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if n.Kind != "" {
		if err := l.write(ctx, b, o, n); err != nil {
			return false, err
		}
	}
	if o.Heartbeat > 0 && !o.Plain() {
		*wait = min(*wait, max(0, b.last.Add(o.Heartbeat).Sub(l.s.now())))
	}
	return n.Kind == subscription.EventNotification, nil
}

func (l *listener) unbind(id string) {
	delete(l.bound, id)
	if len(l.bound) == 0 {
		l.idle = l.s.now()
	}
}

// write sends a notification and records how far the Subscription is.
func (l *listener) write(ctx context.Context, b *binding, o subscription.Order, n subscription.Notification) error {
	var text []byte
	if o.Plain() {
		text = []byte("ping " + n.Subscription)
	} else {
		text = form(o, n.Bundle(l.s.Base()))
	}
	if err := l.socket.Send(ctx, text); err != nil {
		l.s.count(store.Subscriber{}, failed(err))
		return errClose
	}
	l.s.count(store.Subscriber{}, nil)
	b.last = l.s.now()
	if len(n.Events) == 0 {
		return nil
	}
	b.sent = n.Events[len(n.Events)-1].Number
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return l.s.Store.Update(ctx, func(tx store.Tx) error {
		sub, err := tx.Subscriber(n.Subscription)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if sub.Done < b.sent {
			sub.Done, sub.Sent = b.sent, b.last
			if err := tx.PutProgress(sub.ID, sub.Progress); err != nil {
				return err
			}
		}
		if o.Plain() || o.Payload == subscription.Empty {
			return nil
		}
		return shown(tx, b.last, b.by, n.Events)
	})
}

// form gives a Bundle in the format of a Subscription.
func form(o subscription.Order, body []byte) []byte {
	if o.Format == mediaXML {
		if xml, err := toXML(body); err == nil {
			return xml
		}
	}
	return body
}
