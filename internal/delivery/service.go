// Package delivery serves Subscriptions: it sends notifications to the
// addresses that they name, and to whoever listens on a websocket, and answers
// how far they are.
//
// That somebody is to be told of a change is decided and numbered in the
// transaction of the change (package record). What is told, and whether the
// subscriber may still see it, is decided when it is sent. Each Subscription
// goes its own way: events in their order, each at least once, and one
// endpoint that is slow or gone holds up no other. Several nodes may share the
// work; who attends to a Subscription holds it by a lease in the store.
//
// An endpoint that fails for long is given up: the Subscription is then in
// error, its events are kept for some days, and it is for its owner to ask for
// them and to begin again.
package delivery

import (
	"context"
	"crypto/cipher"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Service serves Subscriptions. The fields without a default must be set
// before use.
type Service struct {
	Store   store.Store
	Records *record.Keeper
	Topics  *subscription.Set
	Base    func() string // FHIR base URL
	Guard   *Guard
	Node    string // name of this node, the same after a restart
	Key     []byte // 32 bytes that seal the tokens of websockets, the same on all nodes
	// RefuseDemo tells that accounts of a demo may not be sent anything.
	RefuseDemo bool
	// Transport wraps the one that notifications are sent with; nil leaves it.
	Transport func(http.RoundTripper) http.RoundTripper

	Clock   func() time.Time // time.Now when nil
	Log     *slog.Logger     // slog.Default() when nil
	Poll    time.Duration    // how often to look without being woken; 500 ms when 0
	Retry   time.Duration    // first pause after a failure, doubled with each; 1 s when 0
	Longest time.Duration    // the longest pause; 5 min when 0
	GiveUp  time.Duration    // how long a failing endpoint is tried; 30 min when 0

	once   sync.Once
	client *http.Client
	seal   cipher.AEAD
	wake   chan struct{}
	slots  chan struct{}
	random func() float64

	attending sync.WaitGroup

	settled func(store.Subscriber) // of tests: after each act was written down

	mu        sync.Mutex
	cancel    context.CancelFunc
	done      chan struct{}
	busy      map[string]string // organisations, by the ids of their Subscriptions
	listeners map[chan struct{}]struct{}
	stats     Stats
}

const (
	atOnce      = 256              // Subscriptions attended to at a time
	margin      = 10 * time.Second // of a lease, over the time that an attempt may take
	atOnceOfOne = 64               // of these, of one organisation
	maxDue      = 2048             // looked at to find them
	maxOwned    = 200              // Subscriptions of one organisation
	operation   = "notify"         // in the audit trail
)

func (s *Service) prepare() {
	s.once.Do(func() {
		s.wake = make(chan struct{}, 1)
		s.slots = make(chan struct{}, atOnce)
		s.busy = map[string]string{}
		s.listeners = map[chan struct{}]struct{}{}
		s.client = s.Guard.client()
		if s.Transport != nil {
			s.client.Transport = s.Transport(s.client.Transport)
		}
		orDefault(&s.Poll, 500*time.Millisecond)
		orDefault(&s.Retry, time.Second)
		orDefault(&s.Longest, 5*time.Minute)
		orDefault(&s.GiveUp, 30*time.Minute)
		if s.Clock == nil {
			s.Clock = time.Now
		}
		if s.Log == nil {
			s.Log = slog.Default()
		}
		if s.random == nil {
			s.random = rand.Float64
		}
	})
}

func orDefault(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}

// Receive takes in a Subscription that is about to be stored, and gives it as
// it is to be stored: its status and error are the exchange's, and secrets of
// its headers are left out.
func (s *Service) Receive(tx store.Tx, p auth.Principal, id string, doc *fhir.Document) (*fhir.Document, error) {
	s.prepare()
	order, err := s.Check(p, doc)
	if err != nil {
		return nil, err
	}
	now := s.now()
	old, err := tx.Subscriber(id)
	known := err == nil
	var before subscription.Order
	switch {
	case errors.Is(err, store.ErrNotFound):
		if err := s.room(tx, p.Organization); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if before, err = subscription.ReadOrder(old); err != nil {
			return nil, err
		}
	}
	if err := order.Recall(before); err != nil {
		return nil, err
	}
	next := store.Subscriber{
		ID: id, Organization: p.Organization, Client: p.ID, Scopes: strings.Join(p.Scopes, " "),
		Resource: order.Resource, Channel: order.Channel, Order: order.Marshal(), Progress: old.Progress, Events: old.Events,
	}
	asked := doc.Get("status").String()
	switch {
	case asked == subscription.Off || !order.End.IsZero() && !now.Before(order.End):
		next.Status, next.Progress = subscription.Off, store.Progress{Done: old.Events, Sent: old.Sent}
	case known && order.Same(before) && asked == old.Status && asked != subscription.Requested:
		next.Status = old.Status // somebody writes what was read: nothing begins anew
	default:
		next.Status, next.Progress = subscription.Requested, store.Progress{Done: old.Done, Due: now, Sent: old.Sent}
		if old.Status == subscription.Failed || old.Status == subscription.Off {
			next.Done = old.Events // what was missed is there to be asked for
		}
	}
	if err := tx.PutSubscriber(next); err != nil {
		return nil, err
	}
	edits := []fhir.Edit{fhir.Set("status", next.Status)}
	if next.Status != subscription.Failed {
		edits = append(edits, fhir.Remove("error"))
	} else if err := s.keepError(tx, id, &edits); err != nil {
		return nil, err
	}
	if doc, err = doc.With(edits...); err != nil {
		return nil, err
	}
	return subscription.Conceal(doc, order)
}

// keepError lets the error stand that the exchange has written.
func (s *Service) keepError(r store.Reader, id string, edits *[]fhir.Edit) error {
	stored, err := record.Find(r, "Subscription", id)
	if err != nil {
		return err
	}
	if stored != nil && stored.Doc.Get("error").Exists() {
		*edits = append(*edits, fhir.Set("error", stored.Doc.Get("error").String()))
		return nil
	}
	*edits = append(*edits, fhir.Remove("error"))
	return nil
}

// Check judges a Subscription by what it asks for and by who asks.
func (s *Service) Check(p auth.Principal, doc *fhir.Document) (subscription.Order, error) {
	order, err := s.Topics.Read(doc, s.Base())
	if err != nil {
		return order, err
	}
	if p.Kind != auth.Client || p.Organization == "" {
		return order, fhir.Errorf(fhir.CodeBusinessRule, "Subscription", "A Subscription belongs to the organisation of a source system; write it with the credentials of one.")
	}
	if _, err := auth.Allow(p, auth.Read, order.Resource); err != nil {
		return order, err
	}
	if order.Endpoint != "" {
		return order, s.Guard.Check(order.Endpoint)
	}
	return order, nil
}

// room refuses a Subscription when its organisation has too many.
func (s *Service) room(r store.Reader, organization string) error {
	page, err := r.Search(store.Query{Type: "Subscription", Organization: organization, Total: true})
	if err == nil && page.Total >= maxOwned {
		return fhir.Errorf(fhir.CodeTooCostly, "Subscription", "An organisation may have at most %d Subscriptions.", maxOwned).WithStatus(422)
	}
	return err
}

// Remove forgets a Subscription that is being deleted.
func (s *Service) Remove(tx store.Tx, id string) error { return tx.DeleteSubscriber(id) }

// turn gives a Subscription another status, in its record too.
func (s *Service) turn(tx store.Tx, sub *store.Subscriber, status, reason string) error {
	sub.Status = status
	if err := tx.PutSubscriber(*sub); err != nil {
		return err
	}
	before, err := record.Find(tx, "Subscription", sub.ID)
	if err != nil || before == nil {
		return err
	}
	edits := []fhir.Edit{fhir.Set("status", status), fhir.Remove("error")}
	if reason != "" {
		edits[1] = fhir.Set("error", reason)
	}
	doc, err := before.Doc.With(edits...)
	if err != nil {
		return err
	}
	if _, err := s.Records.Put(tx, record.Version{Doc: doc, ID: sub.ID, Method: "PUT", Before: before, By: auth.Exchange}); err != nil {
		return err
	}
	return audit.Write(tx, s.now(), auth.Exchange, audit.Entry{
		Action: "U", Operation: "update", Target: "Subscription/" + sub.ID, Organization: sub.Organization,
	})
}

// attention gives the next time at which a Subscription needs attention even
// when nothing happens.
func attention(sub store.Subscriber, o subscription.Order) time.Time {
	var times []time.Time
	if !o.End.IsZero() {
		times = append(times, o.End)
	}
	if sub.Status == subscription.Active && sub.Channel == subscription.RestHook && o.Heartbeat > 0 && !o.Plain() {
		times = append(times, sub.Sent.Add(o.Heartbeat))
	}
	if len(times) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// Wake tells that records were committed. It never blocks.
func (s *Service) Wake() {
	s.prepare()
	signal(s.wake)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		signal(l)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Set gives the topics.
func (s *Service) Set() *subscription.Set { return s.Topics }

// now gives the time as the store keeps it.
func (s *Service) now() time.Time { return s.Clock().Truncate(time.Microsecond) }
