package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Start begins to deliver. It returns at once; deliveries go on until Stop, or
// until ctx ends. What a former run of this node has left off is gone on with.
func (s *Service) Start(ctx context.Context) error {
	s.prepare()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		return errors.New("delivery: was started before")
	}
	err := s.Store.Update(ctx, func(tx store.Tx) error { return tx.ReleaseSubscribers(s.Node) })
	if err != nil {
		return err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go s.run(ctx)
	return nil
}

// Stop ends deliveries and waits until those under way have ended. What was
// not delivered stays for the next start.
func (s *Service) Stop() {
	s.mu.Lock()
	cancel, done := s.cancel, s.done
	s.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-done
	s.attending.Wait()
}

func (s *Service) run(ctx context.Context) {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		claimed, err := s.claim(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.Log.Error("the Subscriptions that are due cannot be read; trying again", "error", err)
		}
		failing = err != nil
		for _, sub := range claimed {
			s.attending.Go(func() { s.attend(ctx, sub) })
		}
		timer.Reset(s.Poll)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// claim takes Subscriptions that need attention, each with a slot, so that no
// other node attends to them.
func (s *Service) claim(ctx context.Context) (claimed []store.Subscriber, err error) {
	free := cap(s.slots) - len(s.slots)
	if free == 0 {
		return nil, nil // the next that ends wakes the loop
	}
	now := s.now()
	due := func(r store.Reader) (list []store.Subscriber, err error) {
		all, err := r.DueSubscribers(now, maxDue)
		s.mu.Lock()
		defer s.mu.Unlock()
		attended := map[string]int{}
		for _, organization := range s.busy {
			attended[organization]++
		}
		for _, sub := range all {
			if _, busy := s.busy[sub.ID]; busy || len(list) == free || attended[sub.Organization] == atOnceOfOne {
				continue
			}
			attended[sub.Organization]++
			list = append(list, sub)
		}
		return list, err
	}
	// Most looks find nothing: they need no writer.
	err = s.Store.View(ctx, func(r store.Reader) (err error) {
		claimed, err = due(r)
		return err
	})
	if err != nil || len(claimed) == 0 {
		return nil, err
	}
	err = s.Store.Update(ctx, func(tx store.Tx) (err error) {
		if claimed, err = due(tx); err != nil {
			return err
		}
		for i := range claimed {
			sub := &claimed[i]
			sub.Holder, sub.Lease = s.Node, now.Add(s.leaseOf(*sub))
			if err := tx.PutProgress(sub.ID, sub.Progress); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range claimed {
		s.busy[sub.ID] = sub.Organization
		s.slots <- struct{}{}
	}
	return claimed, nil
}

// leaseOf is how long a Subscription is held for one attempt.
func (s *Service) leaseOf(sub store.Subscriber) time.Duration {
	o, err := subscription.ReadOrder(sub)
	if err != nil {
		return margin
	}
	return o.Wait() + margin
}

// attend does what a Subscription needs, until it needs nothing more for now.
func (s *Service) attend(ctx context.Context, sub store.Subscriber) {
	defer func() {
		s.mu.Lock()
		delete(s.busy, sub.ID)
		s.mu.Unlock()
		<-s.slots
		signal(s.wake)
	}()
	for {
		act, err := s.next(ctx, sub)
		if err == nil {
			var more bool
			if sub, more, err = s.do(ctx, sub, act); err == nil && !more {
				return
			}
		}
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, errLost) {
				s.Log.Error("a Subscription could not be attended to; it is tried again", "subscription", sub.ID, "error", err)
			}
			return // its lease ends, and it is taken up again
		}
	}
}

// act is what a Subscription needs.
type act struct {
	order subscription.Order
	by    auth.Principal
	turn  string // status to go to without sending anything
	why   string // the error that goes with it

	send    bool
	kind    subscription.Kind
	notices []store.Notice
	note    subscription.Notification
	body    []byte
}

// next finds out what a Subscription needs now.
func (s *Service) next(ctx context.Context, sub store.Subscriber) (a act, err error) {
	if a.order, err = subscription.ReadOrder(sub); err != nil {
		return a, err
	}
	now := s.now()
	err = s.Store.View(ctx, func(r store.Reader) (err error) {
		a.by, err = s.owner(r, sub)
		if !a.order.End.IsZero() && !now.Before(a.order.End) {
			a.turn = subscription.Off
			return nil
		}
		switch {
		case errors.Is(err, errGone) && sub.Status != subscription.Failed:
			a.turn, a.why = subscription.Failed, errGone.Diagnostics
			return nil
		case errors.Is(err, errGone):
			return nil
		case err != nil:
			return err
		}
		return s.message(r, sub, &a, now)
	})
	return a, err
}

// message composes what is to be sent now.
func (s *Service) message(r store.Reader, sub store.Subscriber, a *act, now time.Time) (err error) {
	o := a.order
	switch {
	case sub.Status == subscription.Requested && (sub.Channel == subscription.WebSocket || o.Plain()):
		a.turn = subscription.Active // nobody is told of this
		return nil
	case sub.Status == subscription.Requested:
		a.send, a.kind = true, subscription.Handshake
	case sub.Status != subscription.Active || sub.Channel != subscription.RestHook:
		return nil
	default:
		if a.notices, err = r.Notices(sub.ID, sub.Done+1, sub.Events, o.AtOnce()); err != nil {
			return err
		}
		switch {
		case len(a.notices) > 0:
			a.send, a.kind = true, subscription.EventNotification
		case o.Heartbeat > 0 && !o.Plain() && !now.Before(sub.Sent.Add(o.Heartbeat)):
			a.send, a.kind = true, subscription.Heartbeat
		default:
			return nil
		}
	}
	if a.kind != subscription.EventNotification {
		a.note = s.notification(sub, o, a.kind)
		a.body = a.note.Bundle(s.Base())
		return nil
	}
	if a.note, err = s.happened(r, a.by, sub, o, a.kind, a.notices); err != nil || o.Plain() {
		return err
	}
	a.notices = a.notices[:len(a.note.Events)]
	a.body = a.note.Bundle(s.Base())
	if o.Format == mediaXML && a.note.Payload == subscription.FullResource {
		if _, err := toXML(a.body); err != nil { // a record that XML has no place for goes by its id
			a.note.Payload = subscription.IDOnly
			a.body = a.note.Bundle(s.Base())
		}
	}
	return nil
}

// errLost says that a Subscription was changed, or taken by another node,
// while it was attended to.
var errLost = errors.New("the Subscription has changed meanwhile")

// do does an act and writes down what came of it. more tells that there may
// be more to do.
func (s *Service) do(ctx context.Context, sub store.Subscriber, a act) (after store.Subscriber, more bool, err error) {
	var failure *failure
	switch {
	case a.turn == subscription.Active && sub.Channel == subscription.RestHook:
		failure = s.reach(ctx, a.order)
	case a.send:
		failure = s.send(ctx, a)
		s.count(sub, failure)
	}
	if ctx.Err() != nil && failure != nil {
		return sub, false, ctx.Err() // it was stopped, it has not failed
	}
	// What was sent is written down even while stopping, so that less is sent
	// twice.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		after, err = tx.Subscriber(sub.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && (after.Holder != s.Node || !after.Lease.Equal(sub.Lease)) {
			return errLost
		}
		if err != nil {
			return err
		}
		more, err = s.settle(tx, &after, a, failure)
		return err
	})
	if err == nil && failure != nil {
		s.Log.Warn("a notification could not be delivered", "subscription", sub.ID, "type", a.kind, "failures", after.Failures, "status", after.Status, "reason", failure.reason)
	}
	if err == nil && s.settled != nil {
		s.settled(after)
	}
	return after, more, err
}

// settle writes down what came of an act.
func (s *Service) settle(tx store.Tx, sub *store.Subscriber, a act, f *failure) (more bool, err error) {
	now, before := s.now(), sub.Status
	status, reason := sub.Status, ""
	switch {
	case f != nil:
		sub.Failures++
		if a.kind != subscription.EventNotification && a.kind != subscription.Heartbeat || s.given(sub.Failures) {
			status, reason = subscription.Failed, f.reason
		}
	case a.turn != "":
		status, reason = a.turn, a.why
	case a.kind == subscription.Handshake:
		status = subscription.Active
	}
	if f == nil && (a.send || status == subscription.Active && before != status) {
		sub.Failures, sub.Sent = 0, now
	}
	if f == nil && len(a.notices) > 0 {
		sub.Done = a.notices[len(a.notices)-1].Number
		if err := s.trail(tx, a, now); err != nil {
			return false, err
		}
	}
	sub.Status = status
	sub.Due = attention(*sub, a.order)
	if f != nil && status == subscription.Active {
		sub.Due = now.Add(max(s.pause(sub.Failures), f.after))
	}
	more = f == nil && status == subscription.Active && sub.Channel == subscription.RestHook && sub.Events > sub.Done
	sub.Holder, sub.Lease = "", time.Time{}
	if more {
		sub.Holder, sub.Lease = s.Node, now.Add(a.order.Wait()+margin)
	}
	if status != before {
		return more, s.turn(tx, sub, status, reason)
	}
	return more, tx.PutProgress(sub.ID, sub.Progress)
}

// trail records that records were shown to whoever subscribes.
func (s *Service) trail(tx store.Tx, a act, now time.Time) error {
	if a.order.Payload == subscription.Empty || a.order.Plain() && a.order.Format == "" {
		return nil
	}
	return shown(tx, now, a.by, a.note.Events)
}

// shown writes an audit record for each record of events.
func shown(tx store.Tx, now time.Time, p auth.Principal, events []subscription.Event) error {
	seen := map[string]bool{}
	for _, e := range events {
		if e.Focus == nil {
			continue
		}
		for _, d := range append([]*fhir.Document{e.Focus}, e.Includes...) {
			target := d.Type() + "/" + d.ID()
			if seen[target] {
				continue
			}
			seen[target] = true
			if err := audit.Write(tx, now, p, audit.Entry{Action: "R", Operation: operation, Target: target}); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause is how long to wait after so many failures in a row: twice as long as
// the last time, up to Longest, give or take a fifth.
func (s *Service) pause(failures int) time.Duration {
	return time.Duration(float64(s.nominal(failures)) * (0.8 + 0.4*s.random()))
}

func (s *Service) nominal(failures int) time.Duration {
	return min(s.Retry<<min(failures-1, 30), s.Longest)
}

// given tells whether an endpoint was tried for long enough.
func (s *Service) given(failures int) bool {
	var sum time.Duration
	for n := 1; n <= failures && sum <= s.GiveUp; n++ {
		sum += s.nominal(n)
	}
	return sum > s.GiveUp
}
