package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// listener makes an active Subscriber of Encounters with a rest-hook.
func listener(id string) store.Subscriber {
	return store.Subscriber{ID: id, Organization: "org-a", Resource: "Encounter", Channel: "rest-hook", Order: []byte("{}"), Status: "active"}
}

func putSubscribers(t *testing.T, s store.Store, list ...store.Subscriber) {
	t.Helper()
	write(t, s, func(tx store.Tx) error {
		for _, l := range list {
			if err := tx.PutSubscriber(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// happen gives a Subscriber events, each in an update of its own.
func happen(t *testing.T, s store.Store, subscription string, n int) {
	t.Helper()
	for i := range n {
		write(t, s, func(tx store.Tx) error {
			return tx.PutNotice(store.Notice{Subscription: subscription, Type: "Encounter", ID: "e1", Version: int64(i + 1), At: minute(i)})
		})
	}
}

func subscriber(id string) func(store.Reader) (store.Subscriber, error) {
	return func(r store.Reader) (store.Subscriber, error) { return r.Subscriber(id) }
}

// due gives the ids of the Subscribers that need attention, in order.
func due(now time.Time, limit int) func(store.Reader) ([]string, error) {
	return func(r store.Reader) ([]string, error) {
		list, err := r.DueSubscribers(now, limit)
		return subscriberIDs(list), err
	}
}

func subscriberIDs(list []store.Subscriber) []string {
	out := []string{}
	for _, l := range list {
		out = append(out, l.ID)
	}
	return out
}

func noticeNumbers(subscription string, from, to int64, limit int) func(store.Reader) ([]int64, error) {
	return func(r store.Reader) ([]int64, error) {
		list, err := r.Notices(subscription, from, to, limit)
		out := []int64{}
		for _, n := range list {
			out = append(out, n.Number)
		}
		return out, err
	}
}

func deliveries(r store.Reader) (store.Deliveries, error) { return r.Deliveries() }

var subscriberTests = []test{
	{"a subscriber is read as it was written", func(t *testing.T, s store.Store) {
		want := store.Subscriber{
			ID: "s1", Organization: "org-a", Client: "c1", Scopes: "system/*.rs", Resource: "Encounter", Channel: "websocket",
			Order: []byte("{\"a\": 1}\x00"), Status: "requested",
			Progress: store.Progress{Done: 3, Failures: 2, Due: minute(1), Sent: minute(2), Holder: "n1", Lease: minute(3)},
		}
		putSubscribers(t, s, want)
		equal(t, "the subscriber", read(t, s, subscriber("s1")), want)
		want.Status, want.Order, want.Progress = "off", []byte("{}"), store.Progress{}
		putSubscribers(t, s, want)
		equal(t, "the subscriber, replaced", read(t, s, subscriber("s1")), want)
		want.Progress = store.Progress{Done: 9, Failures: 1, Holder: "n2", Lease: minute(9)}
		write(t, s, func(tx store.Tx) error { return tx.PutProgress("s1", want.Progress) })
		equal(t, "its progress", read(t, s, subscriber("s1")), want)
		absent(t, s, "another", subscriber("s2"))
	}},
	{"the subscribers of a type are all that are not off, by id", func(t *testing.T, s store.Store) {
		other, off, failed := listener("s0"), listener("s4"), listener("s1")
		other.Resource, off.Status, failed.Status = "Patient", "off", "error"
		putSubscribers(t, s, listener("s3"), listener("s2"), other, off, failed)
		equal(t, "of Encounters", read(t, s, func(r store.Reader) ([]string, error) {
			list, err := r.Subscribers("Encounter")
			return subscriberIDs(list), err
		}), []string{"s1", "s2", "s3"})
	}},
	{"events are numbered for each subscriber from 1", func(t *testing.T, s store.Store) {
		putSubscribers(t, s, listener("s1"), listener("s2"))
		equal(t, "events before the first", read(t, s, subscriber("s1")).Events, int64(0))
		happen(t, s, "s1", 3)
		happen(t, s, "s2", 1)
		refused := errors.New("refused")
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.PutNotice(store.Notice{Subscription: "s1"}), refused)
		}); !errors.Is(err, refused) {
			t.Fatalf("update: %v", err)
		}
		happen(t, s, "s1", 1)
		equal(t, "events of s1", read(t, s, subscriber("s1")).Events, int64(4))
		equal(t, "numbers of s1", read(t, s, noticeNumbers("s1", 1, 99, 99)), []int64{1, 2, 3, 4})
		equal(t, "from 2 to 3", read(t, s, noticeNumbers("s1", 2, 3, 99)), []int64{2, 3})
		equal(t, "two from 2", read(t, s, noticeNumbers("s1", 2, 99, 2)), []int64{2, 3})
		equal(t, "of nobody", read(t, s, noticeNumbers("s9", 1, 99, 99)), []int64{})
		want := store.Notice{Subscription: "s2", Number: 2, Type: "Patient", ID: "p1", Version: 7, Created: true, At: minute(5)}
		write(t, s, func(tx store.Tx) error { return tx.PutNotice(want) })
		list := read(t, s, func(r store.Reader) ([]store.Notice, error) { return r.Notices("s2", 2, 2, 1) })
		equal(t, "a notice", list, []store.Notice{want})
	}},
	{"numbers have no gap however many write at once", func(t *testing.T, s store.Store) {
		putSubscribers(t, s, listener("s1"))
		const writers, each = 4, 10
		var wg sync.WaitGroup
		errs := make(chan error, writers*each)
		for range writers {
			wg.Go(func() {
				for range each {
					errs <- s.Update(t.Context(), func(tx store.Tx) error {
						return tx.PutNotice(store.Notice{Subscription: "s1", Type: "Encounter", ID: "e1", Version: 1, At: monday})
					})
				}
			})
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
		var want []int64
		for i := range int64(writers * each) {
			want = append(want, i+1)
		}
		equal(t, "numbers", read(t, s, noticeNumbers("s1", 1, 999, 999)), want)
	}},
	{"a subscriber is gone with its events, and begins again at 1", func(t *testing.T, s store.Store) {
		putSubscribers(t, s, listener("s1"), listener("s2"))
		happen(t, s, "s1", 2)
		happen(t, s, "s2", 1)
		write(t, s, func(tx store.Tx) error { return tx.DeleteSubscriber("s1") })
		absent(t, s, "the subscriber", subscriber("s1"))
		equal(t, "its events", read(t, s, noticeNumbers("s1", 1, 99, 99)), []int64{})
		equal(t, "those of others", read(t, s, noticeNumbers("s2", 1, 99, 99)), []int64{1})
		putSubscribers(t, s, listener("s1"))
		happen(t, s, "s1", 1)
		equal(t, "its new events", read(t, s, noticeNumbers("s1", 1, 99, 99)), []int64{1})
		write(t, s, func(tx store.Tx) error { return tx.DeleteSubscriber("s9") })
	}},
	{"who needs attention", func(t *testing.T, s store.Store) {
		now := minute(10)
		for _, c := range []struct {
			name   string
			change func(*store.Subscriber)
			events int
			want   bool
		}{
			{"active, nothing to say", func(*store.Subscriber) {}, 0, false},
			{"active with an event", func(*store.Subscriber) {}, 1, true},
			{"active with an event that was sent", func(l *store.Subscriber) { l.Done = 1 }, 1, false},
			{"active with an event and a failure", func(l *store.Subscriber) { l.Failures = 1 }, 1, false},
			{"the same when it is time", func(l *store.Subscriber) { l.Failures, l.Due = 1, now }, 1, true},
			{"active and due", func(l *store.Subscriber) { l.Due = minute(9) }, 0, true},
			{"active and due later", func(l *store.Subscriber) { l.Due = minute(11) }, 0, false},
			{"held by somebody", func(l *store.Subscriber) { l.Holder, l.Lease = "n1", minute(11) }, 1, false},
			{"held until now", func(l *store.Subscriber) { l.Holder, l.Lease = "n1", now }, 1, true},
			{"requested and due", func(l *store.Subscriber) { l.Status, l.Due = "requested", now }, 0, true},
			{"requested with an event", func(l *store.Subscriber) { l.Status = "requested" }, 1, false},
			{"error with an event", func(l *store.Subscriber) { l.Status = "error" }, 1, false},
			{"error and due", func(l *store.Subscriber) { l.Status, l.Due = "error", now }, 0, true},
			{"off and due", func(l *store.Subscriber) { l.Status, l.Due = "off", now }, 1, false},
			{"a websocket with an event", func(l *store.Subscriber) { l.Channel = "websocket" }, 1, false},
			{"a websocket that is due", func(l *store.Subscriber) { l.Channel, l.Due = "websocket", now }, 0, true},
		} {
			l := listener("s1")
			c.change(&l)
			write(t, s, func(tx store.Tx) error { return errors.Join(tx.DeleteSubscriber("s1"), tx.PutSubscriber(l)) })
			happen(t, s, "s1", c.events)
			if got := len(read(t, s, due(now, 10))) == 1; got != c.want {
				t.Errorf("%s: needs attention %v, want %v", c.name, got, c.want)
			}
		}
	}},
	{"the one that was reached longest ago is attended to first", func(t *testing.T, s store.Store) {
		for i, id := range []string{"s3", "s1", "s2"} {
			l := listener(id)
			l.Due, l.Sent = minute(1), minute(i)
			putSubscribers(t, s, l)
		}
		equal(t, "all", read(t, s, due(minute(5), 10)), []string{"s3", "s1", "s2"})
		equal(t, "two", read(t, s, due(minute(5), 2)), []string{"s3", "s1"})
	}},
	{"the leases of one holder are released", func(t *testing.T, s store.Store) {
		for id, holder := range map[string]string{"s1": "n1", "s2": "n2", "s3": "n1"} {
			l := listener(id)
			l.Due, l.Holder, l.Lease = minute(1), holder, minute(60)
			putSubscribers(t, s, l)
		}
		equal(t, "before", read(t, s, due(minute(5), 10)), []string{})
		write(t, s, func(tx store.Tx) error { return tx.ReleaseSubscribers("n1") })
		equal(t, "after", read(t, s, due(minute(5), 10)), []string{"s1", "s3"})
		equal(t, "the holder", read(t, s, subscriber("s1")).Holder, "")
	}},
	{"what is still to be sent, and what will not be", func(t *testing.T, s store.Store) {
		equal(t, "of nothing", read(t, s, deliveries), store.Deliveries{})
		for i, status := range []string{"active", "requested", "error", "off"} {
			l := listener(fmt.Sprint("s", i))
			l.Status, l.Done = status, 1
			putSubscribers(t, s, l)
			happen(t, s, l.ID, 2+i)
		}
		l := listener("s9")
		l.Channel = "websocket"
		putSubscribers(t, s, l)
		happen(t, s, "s9", 5)
		equal(t, "deliveries", read(t, s, deliveries), store.Deliveries{Pending: 1 + 2, Dead: 3})
	}},
	{"old events are forgotten unless they are still to be sent", func(t *testing.T, s store.Store) {
		failed, socket := listener("s2"), listener("s3")
		failed.Status, socket.Channel = "error", "websocket"
		sent := listener("s1")
		sent.Done = 2
		putSubscribers(t, s, sent, failed, socket)
		for _, id := range []string{"s1", "s2", "s3"} {
			happen(t, s, id, 5) // at minutes 0 to 4
		}
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(4), minute(99)) })
		equal(t, "of an active one", read(t, s, noticeNumbers("s1", 1, 99, 99)), []int64{3, 4, 5})
		equal(t, "of a failed one", read(t, s, noticeNumbers("s2", 1, 99, 99)), []int64{5})
		equal(t, "of a websocket", read(t, s, noticeNumbers("s3", 1, 99, 99)), []int64{5})
		happen(t, s, "s2", 1)
		equal(t, "the next number", read(t, s, noticeNumbers("s2", 6, 99, 99)), []int64{6})
	}},
}
