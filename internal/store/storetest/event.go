package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

func pending(limit int) func(store.Reader) ([]store.Event, error) {
	return func(r store.Reader) ([]store.Event, error) { return r.PendingEvents(limit) }
}

func lastPublished(r store.Reader) ([]store.Published, error) { return r.LastPublished() }

func publishedSince(topic string, since time.Time) func(store.Reader) (map[int32]int64, error) {
	return func(r store.Reader) (map[int32]int64, error) { return r.PublishedSince(topic, since) }
}

// putEvents writes events of one topic, each in an update of its own; their
// keys and values are the words.
func putEvents(t *testing.T, s store.Store, topic string, words ...string) {
	t.Helper()
	for i, w := range words {
		write(t, s, func(tx store.Tx) error {
			return tx.PutEvent(store.Event{Topic: topic, Key: w, Value: []byte(w), Created: minute(i)})
		})
	}
}

// values gives what events say, in order.
func values(list []store.Event) []string {
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, string(e.Value))
	}
	return out
}

// publish marks events as published at partition 0, one after another.
func publish(t *testing.T, s store.Store, at time.Time, first int64, list ...store.Event) {
	t.Helper()
	var p []store.Published
	for i, e := range list {
		p = append(p, store.Published{Seq: e.Seq, Topic: e.Topic, Offset: first + int64(i)})
	}
	write(t, s, func(tx store.Tx) error { return tx.MarkPublished(at, p) })
}

var eventTests = []test{
	{"an event is read as it was written", func(t *testing.T, s store.Store) {
		full := store.Event{Topic: "encounter", Key: "e1", Number: 7, Headers: []store.Header{{Name: "ce_id", Value: "x"}, {Name: "ce_id", Value: "\"华\n"}, {}},
			Value: []byte("{\n \"a\":1 }\x00"), Created: minute(1)}
		bare := store.Event{Topic: "encounter", Created: minute(2)}
		write(t, s, func(tx store.Tx) error { return errors.Join(tx.PutEvent(full), tx.PutEvent(bare)) })
		list := read(t, s, pending(10))
		if len(list) != 2 {
			t.Fatalf("%d events", len(list))
		}
		full.Seq = list[0].Seq
		equal(t, "a full event", list[0], full)
		if e := list[1]; len(e.Headers) != 0 || len(e.Value) != 0 || e.Key != "" || !e.Created.Equal(bare.Created) {
			t.Errorf("a bare event: %+v", e)
		}
	}},
	{"pending events are in the order of their writing", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			for i := range 20 {
				e := store.Event{Topic: fmt.Sprintf("t%d", i%3), Key: fmt.Sprintf("k%d", i%2), Value: fmt.Append(nil, i), Created: minute(100 - i)}
				if err := tx.PutEvent(e); err != nil {
					return err
				}
			}
			return nil
		})
		putEvents(t, s, "t0", "20")
		list := read(t, s, pending(100))
		if len(list) != 21 {
			t.Fatalf("%d events", len(list))
		}
		for i, e := range list {
			if want := fmt.Sprint(i); string(e.Value) != want || i > 0 && e.Seq <= list[i-1].Seq {
				t.Errorf("event %d: seq %d, %s", i, e.Seq, e.Value)
			}
		}
		equal(t, "the first three", values(read(t, s, pending(3))), []string{"0", "1", "2"})
	}},
	{"a published event is no longer pending", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b", "c", "d")
		list := read(t, s, pending(10))
		publish(t, s, minute(9), 0, list[1], list[3])
		equal(t, "pending", values(read(t, s, pending(10))), []string{"a", "c"})
		publish(t, s, minute(9), 2, list[0], list[1]) // b for the second time, as after a crash
		equal(t, "pending", values(read(t, s, pending(10))), []string{"c"})
		write(t, s, func(tx store.Tx) error { return tx.MarkPublished(minute(9), nil) })
		equal(t, "pending", values(read(t, s, pending(10))), []string{"c"})
	}},
	{"signals are read in the order of their seq, and forgotten after an hour", func(t *testing.T, s store.Store) {
		last := func(r store.Reader) (int64, error) { return r.LastSignal() }
		after := func(seq int64, limit int) []string {
			var keys []string
			for _, g := range read(t, s, func(r store.Reader) ([]store.Signal, error) { return r.Signals(seq, limit) }) {
				keys = append(keys, g.Key)
			}
			return keys
		}
		equal(t, "of nothing", read(t, s, last), int64(0))
		for i, key := range []string{"a", "b", "a"} {
			write(t, s, func(tx store.Tx) error { return tx.PutSignal(key, minute(i)) })
		}
		all := read(t, s, func(r store.Reader) ([]store.Signal, error) { return r.Signals(0, 10) })
		equal(t, "all", after(0, 10), []string{"a", "b", "a"})
		equal(t, "two", after(0, 2), []string{"a", "b"})
		equal(t, "later ones", after(all[0].Seq, 10), []string{"b", "a"})
		equal(t, "the last", read(t, s, last), all[2].Seq)
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(-1000), minute(61)) })
		equal(t, "after an hour", after(0, 10), []string{"b", "a"})
	}},
	{"a parked event is not pending until it is replayed, in its old place", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b", "c")
		list := read(t, s, pending(10))
		write(t, s, func(tx store.Tx) error { return tx.ParkEvent(list[1].Seq, minute(9), "too large") })
		equal(t, "pending", values(read(t, s, pending(10))), []string{"a", "c"})
		parked := read(t, s, func(r store.Reader) ([]store.Parked, error) { return r.ParkedEvents(10) })
		if len(parked) != 1 {
			t.Fatalf("%d events are parked", len(parked))
		}
		equal(t, "the parked event", parked[0], store.Parked{Event: list[1], At: minute(9), Reason: "too large"})
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(1000), minute(1000)) })
		putEvents(t, s, "t", "d")
		write(t, s, func(tx store.Tx) error { return tx.UnparkEvent(list[1].Seq) })
		equal(t, "pending again", values(read(t, s, pending(10))), []string{"a", "b", "c", "d"})
		equal(t, "parked", len(read(t, s, func(r store.Reader) ([]store.Parked, error) { return r.ParkedEvents(10) })), 0)
		for _, seq := range []int64{list[1].Seq, 999_999} {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.UnparkEvent(seq) }); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an event that is not parked: %v", err)
			}
		}
		publish(t, s, minute(9), 0, list[0])
		write(t, s, func(tx store.Tx) error { return tx.ParkEvent(list[0].Seq, minute(9), "late") })
		equal(t, "parked after it was published", len(read(t, s, func(r store.Reader) ([]store.Parked, error) { return r.ParkedEvents(10) })), 0)
	}},
	{"a later event never takes the place of an earlier one", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b")
		list := read(t, s, pending(10))
		publish(t, s, minute(1), 0, list...)
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(50), minute(50)) })
		putEvents(t, s, "t", "c")
		next := read(t, s, pending(10))
		if len(next) != 1 || next[0].Seq <= list[1].Seq {
			t.Errorf("after %d comes %+v", list[1].Seq, next)
		}
	}},
	{"the last place of each topic and partition", func(t *testing.T, s store.Store) {
		equal(t, "of nothing", len(read(t, s, lastPublished)), 0)
		putEvents(t, s, "t", "a", "b", "c", "d")
		list := read(t, s, pending(10))
		write(t, s, func(tx store.Tx) error {
			return tx.MarkPublished(minute(9), []store.Published{
				{Seq: list[0].Seq, Topic: "t", Partition: 1, Offset: 41}, {Seq: list[1].Seq, Topic: "t", Partition: 1, Offset: 7},
				{Seq: list[2].Seq, Topic: "t", Partition: 0, Offset: 3}, {Seq: list[3].Seq, Topic: "s", Partition: 1, Offset: 0},
			})
		})
		want := []store.Published{{Topic: "s", Partition: 1, Offset: 0}, {Topic: "t", Partition: 0, Offset: 3}, {Topic: "t", Partition: 1, Offset: 41}}
		equal(t, "the last places", read(t, s, lastPublished), want)
	}},
	{"the oldest place of what was created since", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b", "c") // created at minutes 0, 1 and 2
		list := read(t, s, pending(10))
		write(t, s, func(tx store.Tx) error {
			return tx.MarkPublished(minute(9), []store.Published{
				{Seq: list[0].Seq, Topic: "t", Partition: 0, Offset: 10}, {Seq: list[1].Seq, Topic: "t", Partition: 1, Offset: 20},
				{Seq: list[2].Seq, Topic: "t", Partition: 0, Offset: 11},
			})
		})
		for _, c := range []struct {
			topic string
			since time.Time
			want  map[int32]int64
		}{
			{"t", time.Time{}, map[int32]int64{0: 10, 1: 20}},
			{"t", minute(0), map[int32]int64{0: 10, 1: 20}},
			{"t", minute(1), map[int32]int64{0: 11, 1: 20}},
			{"t", minute(2), map[int32]int64{0: 11}},
			{"t", minute(3), map[int32]int64{}},
			{"s", time.Time{}, map[int32]int64{}},
		} {
			equal(t, c.topic+" since "+c.since.String(), read(t, s, publishedSince(c.topic, c.since)), c.want)
		}
	}},
	{"old published events are forgotten; pending ones and the last places never", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b", "c")
		list := read(t, s, pending(10))
		publish(t, s, minute(5), 0, list[:2]...)
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(1000), minute(1000)) })
		equal(t, "pending", values(read(t, s, pending(10))), []string{"c"})
		equal(t, "the last place", read(t, s, lastPublished), []store.Published{{Topic: "t", Offset: 1}})
		equal(t, "the places kept", read(t, s, publishedSince("t", time.Time{})), map[int32]int64{0: 1})
		publish(t, s, minute(6), 2, list[2])
		equal(t, "the last place", read(t, s, lastPublished), []store.Published{{Topic: "t", Offset: 2}})
	}},
	{"an event may be forgotten only after it was published long ago", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b") // created at minutes 0 and 1
		list := read(t, s, pending(10))
		publish(t, s, minute(30), 0, list...)
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(1), minute(99)) })
		// Created before minute 1: the place of a. Its event was published
		// later, so that marking it again still knows when it was created.
		equal(t, "places", read(t, s, publishedSince("t", time.Time{})), map[int32]int64{0: 1})
		publish(t, s, minute(31), 5, list[0])
		equal(t, "the place of a, published again", read(t, s, lastPublished), []store.Published{{Topic: "t", Offset: 5}})
	}},
	{"a counter gives each number once and leaves no gap", func(t *testing.T, s store.Store) {
		var got []int64
		next := func(counter string) error {
			return s.Update(t.Context(), func(tx store.Tx) error {
				n, err := tx.NextNumber(counter)
				got = append(got, n)
				return err
			})
		}
		for _, counter := range []string{"a", "a", "b", "a"} {
			if err := next(counter); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "numbers", got, []int64{1, 2, 1, 3})
		refused := errors.New("refused")
		err := s.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.NextNumber("a")
			return errors.Join(err, refused)
		})
		if !errors.Is(err, refused) {
			t.Fatalf("update: %v", err)
		}
		got = nil
		if err := next("a"); err != nil {
			t.Fatal(err)
		}
		equal(t, "the number after one that was rolled back", got, []int64{4})
		var first int64
		write(t, s, func(tx store.Tx) (err error) { first, err = tx.NextNumbers("a", 3); return err })
		if err := next("a"); err != nil {
			t.Fatal(err)
		}
		equal(t, "three numbers and the next", []int64{first, got[1]}, []int64{5, 8})
	}},
	{"an event gets its number later and keeps it", func(t *testing.T, s store.Store) {
		putEvents(t, s, "t", "a", "b", "c")
		list := read(t, s, pending(10))
		list[0].Number, list[2].Number = 8, 7
		write(t, s, func(tx store.Tx) error { return tx.NumberEvents([]store.Event{list[0], list[2]}) })
		write(t, s, func(tx store.Tx) error { return tx.NumberEvents(nil) })
		equal(t, "events", read(t, s, pending(10)), list)
	}},
}

func trail(q store.AuditQuery) func(store.Reader) ([]store.Audit, error) {
	return func(r store.Reader) ([]store.Audit, error) { return r.AuditTrail(q) }
}

func audits(q store.AuditQuery) func(store.Reader) (int, error) {
	return func(r store.Reader) (int, error) { return r.AuditCount(q) }
}

var auditTests = []test{
	{"an access is read as it was written", func(t *testing.T, s store.Store) {
		want := store.Audit{At: minute(1), Action: "R", Operation: "read", AgentKind: "client", Agent: "c1", Organization: "org-a",
			Target: "Patient/p1", Outcome: "0", Trace: "trace"}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutAudit(want), tx.PutAudit(store.Audit{At: minute(2)}))
		})
		list := read(t, s, trail(store.AuditQuery{Target: "Patient/p1", Count: 10}))
		if len(list) != 1 {
			t.Fatalf("%d records", len(list))
		}
		want.Seq = list[0].Seq
		equal(t, "the record", list[0], want)
		equal(t, "by its number", read(t, s, trail(store.AuditQuery{Seq: want.Seq, Count: 1})), list)
	}},
	{"what an audit query selects, newest first", func(t *testing.T, s store.Store) {
		seq := map[string]int64{}
		write(t, s, func(tx store.Tx) error {
			for i, a := range []store.Audit{
				{Trace: "1", Target: "Patient/p1", Agent: "c1", Organization: "org-a"},
				{Trace: "2", Target: "Patient/p1", Agent: "c2", Organization: "org-b"},
				{Trace: "3", Target: "Patient/p2", Agent: "c1", Organization: "org-a"},
				{Trace: "4", Target: "Patient", Agent: "c1", Organization: ""},
				{Trace: "5", Target: "Patient/p1", Agent: "c1", Organization: "org-a"},
			} {
				a.At = minute(i + 1)
				if err := tx.PutAudit(a); err != nil {
					return err
				}
			}
			return nil
		})
		for _, a := range read(t, s, trail(store.AuditQuery{Count: 10})) {
			seq[a.Trace] = a.Seq
		}
		for _, c := range []struct {
			name string
			q    store.AuditQuery
			want []string
		}{
			{"everything", store.AuditQuery{}, []string{"5", "4", "3", "2", "1"}},
			{"of a target", store.AuditQuery{Target: "Patient/p1"}, []string{"5", "2", "1"}},
			{"of an agent", store.AuditQuery{Agent: "c1"}, []string{"5", "4", "3", "1"}},
			{"of an organisation", store.AuditQuery{Organization: "org-a"}, []string{"5", "3", "1"}},
			{"since an instant, which belongs to it", store.AuditQuery{Since: minute(3)}, []string{"5", "4", "3"}},
			{"of a target by an agent since", store.AuditQuery{Target: "Patient/p1", Agent: "c1", Organization: "org-a", Since: minute(2)}, []string{"5"}},
			{"of nobody", store.AuditQuery{Agent: "c9"}, []string{}},
			{"before an instant, which does not belong to it", store.AuditQuery{Before: minute(3)}, []string{"2", "1"}},
			{"of two targets", store.AuditQuery{Where: []store.AuditTest{{Field: store.AuditTarget, Any: []string{"Patient/p1", "Patient/p9"}}}}, []string{"5", "2", "1"}},
			{"of others than an agent", store.AuditQuery{Where: []store.AuditTest{{Field: store.AuditAgent, Any: []string{"c1"}, Not: true}}}, []string{"2"}},
			{"of two tests", store.AuditQuery{Organization: "org-a", Where: []store.AuditTest{
				{Field: store.AuditTarget, Any: []string{"Patient/p1"}}, {Field: store.AuditAgent, Any: []string{"c1", "c2"}},
			}}, []string{"5", "1"}},
			{"of no value", store.AuditQuery{Where: []store.AuditTest{{Field: store.AuditAction}}}, []string{}},
			{"one record", store.AuditQuery{Seq: seq["3"]}, []string{"3"}},
			{"one record that the organisation may not see", store.AuditQuery{Seq: seq["3"], Organization: "org-b"}, []string{}},
			{"a record that is not there", store.AuditQuery{Seq: seq["5"] + 1}, []string{}},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.q.Count = 10
				traces := func(list []store.Audit) []string {
					out := []string{}
					for _, a := range list {
						out = append(out, a.Trace)
					}
					return out
				}
				equal(t, "records", traces(read(t, s, trail(c.q))), c.want)
				var walked []string
				for c.q.Offset = 0; ; c.q.Offset += 2 {
					c.q.Count = 2
					page := traces(read(t, s, trail(c.q)))
					equal(t, "count, whatever the page", read(t, s, audits(c.q)), len(c.want))
					if len(page) == 0 {
						break
					}
					walked = append(walked, page...)
				}
				equal(t, "records in pages of two", fmt.Sprint(walked), fmt.Sprint(c.want))
			})
		}
	}},
	{"records of one instant are in the order of their writing", func(t *testing.T, s store.Store) {
		for range 3 {
			write(t, s, func(tx store.Tx) error {
				return errors.Join(tx.PutAudit(store.Audit{At: monday}), tx.PutAudit(store.Audit{At: monday}))
			})
		}
		list := read(t, s, trail(store.AuditQuery{Count: 10}))
		if len(list) != 6 {
			t.Fatalf("%d records", len(list))
		}
		for i := 1; i < len(list); i++ {
			if list[i].Seq >= list[i-1].Seq {
				t.Errorf("seq %d after %d", list[i].Seq, list[i-1].Seq)
			}
		}
	}},
	{"a refused update leaves no trace in the trail", func(t *testing.T, s store.Store) {
		refused := errors.New("refused")
		err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(tx.PutAudit(store.Audit{At: monday}), refused) })
		if !errors.Is(err, refused) {
			t.Fatalf("update: %v", err)
		}
		equal(t, "records", read(t, s, audits(store.AuditQuery{})), 0)
	}},
}
