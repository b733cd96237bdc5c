package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func database(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jumpa.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// record puts an event for each offset from (with) to (without) into the
// outbox and marks it as published there.
func record(t *testing.T, st store.Store, topic string, created time.Time, from, to int64) {
	t.Helper()
	update(t, st, func(tx store.Tx) error {
		for range to - from {
			if err := tx.PutEvent(store.Event{Topic: topic, Key: "k", Value: []byte("{}"), Created: created}); err != nil {
				return err
			}
		}
		return nil
	})
	update(t, st, func(tx store.Tx) error {
		pending, err := tx.PendingEvents(int(to - from))
		if err != nil {
			return err
		}
		var places []store.Published
		for i, e := range pending {
			places = append(places, store.Published{Seq: e.Seq, Topic: topic, Offset: from + int64(i)})
		}
		return tx.MarkPublished(created, places)
	})
}

func update(t *testing.T, st store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := st.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// bounds gives the first offset of the topic and the one behind its last.
func bounds(t *testing.T, addr, topic string) (start, end int64) {
	t.Helper()
	admin := kadm.NewClient(client(t, addr))
	defer admin.Close()
	starts, err := admin.ListStartOffsets(patience(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(patience(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := starts.Lookup(topic, 0)
	e, _ := ends.Lookup(topic, 0)
	return s.Offset, e.Offset
}

func wantBounds(t *testing.T, b *broker.Broker, when string, start, end int64) {
	t.Helper()
	if s, e := bounds(t, b.Addr(), topic); s != start || e != end {
		t.Errorf("%s the topic goes from %d to %d, want %d to %d", when, s, e, start, end)
	}
}

// crashed gives a copy of the directory as a killed broker would have left it.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "kafka")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

func trim(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTrim(t *testing.T) {
	hours := func(h int) time.Time { return now.Add(time.Duration(-h) * time.Hour) }
	for _, tc := range []struct {
		name   string
		record func(t *testing.T, st store.Store)
		start  int64 // of ten messages
	}{
		{"all fresh", func(t *testing.T, st store.Store) { record(t, st, topic, hours(71), 0, 10) }, 0},
		{"some old", func(t *testing.T, st store.Store) {
			record(t, st, topic, hours(80), 0, 4)
			record(t, st, topic, hours(1), 4, 10)
		}, 4},
		{"an old one behind a fresh one", func(t *testing.T, st store.Store) {
			record(t, st, topic, hours(80), 0, 3)
			record(t, st, topic, hours(1), 3, 4)
			record(t, st, topic, hours(100), 4, 10)
		}, 3},
		{"all old", func(t *testing.T, st store.Store) { record(t, st, topic, hours(80), 0, 10) }, 9},
		{"the last ones not yet recorded", func(t *testing.T, st store.Store) { record(t, st, topic, hours(80), 0, 6) }, 6},
		{"none recorded", func(*testing.T, store.Store) {}, 0},
		{"another topic's", func(t *testing.T, st store.Store) { record(t, st, "hie.vc.encounter.h2", hours(80), 0, 10) }, 0},
		{"old and forgotten by the outbox", func(t *testing.T, st store.Store) {
			record(t, st, topic, hours(80), 0, 10)
			update(t, st, func(tx store.Tx) error { return tx.Forget(hours(72), now) })
		}, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := database(t)
			b := running(t, &broker.Broker{Outbox: st, Clock: clock})
			if err := b.EnsureTopics(t.Context(), "hie.vc.encounter.h2"); err != nil {
				t.Fatal(err)
			}
			for i := range 10 { // each a batch of its own
				produce(t, b.Addr(), topic, i, i+1)
			}
			tc.record(t, st)
			trim(t, b)
			wantBounds(t, b, "after the retention", tc.start, 10)
			if got, want := consume(t, b.Addr(), topic, "g", int(10-tc.start)), numbers(int(tc.start), 10); !slices.Equal(got, want) {
				t.Errorf("to be read are %v, want %v", got, want)
			}
		})
	}
}

// TestOffsetsContinue sees that offsets never go back, after a stop or a crash,
// when everything has expired.
func TestOffsetsContinue(t *testing.T) {
	st := database(t)
	b := running(t, &broker.Broker{Outbox: st, Clock: clock})
	produce(t, b.Addr(), topic, 0, 49) // one batch
	produce(t, b.Addr(), topic, 49, 50)
	record(t, st, topic, now.Add(-100*time.Hour), 0, 50)
	if got := consume(t, b.Addr(), topic, "desk", 50); len(got) != 50 {
		t.Fatal(got)
	}
	trim(t, b)
	trim(t, b) // nothing left to do
	wantBounds(t, b, "trimmed,", 49, 50)

	after := crashed(t, b.Dir)
	b.Stop()
	running(t, b)
	wantBounds(t, b, "after a restart", 49, 50)
	if offset := produce(t, b.Addr(), topic, 50, 51); offset != 50 {
		t.Errorf("after a restart the next offset is %d", offset)
	}
	if got := kcatGroup(t, b.Addr(), topic, "desk", 1); got[0] != "50" {
		t.Errorf("after a restart the group reads %v", got)
	}

	c := running(t, &broker.Broker{Dir: after, Outbox: st, Clock: clock})
	if _, end := bounds(t, c.Addr(), topic); end != 50 {
		t.Errorf("after a crash the topic ends at %d", end)
	}
	if offset := produce(t, c.Addr(), topic, 50, 51); offset != 50 {
		t.Errorf("after a crash the next offset is %d", offset)
	}
	if got := kcatGroup(t, c.Addr(), topic, "desk", 1); got[0] != "50" {
		t.Errorf("after a crash the group reads %v", got)
	}
}

// TestRetentionRuns sees that the broker trims by itself, after a restart too.
func TestRetentionRuns(t *testing.T) {
	st := database(t)
	b := running(t, &broker.Broker{Outbox: st, Clock: clock, Every: time.Hour})
	produce(t, b.Addr(), topic, 0, 5)
	record(t, st, topic, now.Add(-100*time.Hour), 0, 5)
	for _, every := range []time.Duration{time.Hour, time.Millisecond} {
		b.Stop()
		b.Every = every
		running(t, b)
		untilStart(t, b, 4)
	}
	produce(t, b.Addr(), topic, 5, 8)
	record(t, st, topic, now.Add(-100*time.Hour), 5, 8)
	untilStart(t, b, 7)
}

func untilStart(t *testing.T, b *broker.Broker, want int64) {
	t.Helper()
	ctx := patience(t)
	for {
		start, _ := bounds(t, b.Addr(), topic)
		if start == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the topic still begins at %d, not at %d", start, want)
		}
	}
}

// TestExpiredLeavesDisk sees that full segments are deleted.
func TestExpiredLeavesDisk(t *testing.T) {
	st := database(t)
	b := running(t, &broker.Broker{Outbox: st, Clock: clock})
	cl := client(t, b.Addr())
	for range 5 {
		if err := cl.ProduceSync(patience(t), random(400_000)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	segments := func() []string {
		found, err := filepath.Glob(filepath.Join(b.Dir, "log", "partitions", topic+"-0", "*.dat"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := segments()
	if len(before) != 2 {
		t.Fatalf("the segments are %v", before)
	}
	record(t, st, topic, now.Add(-100*time.Hour), 0, 5)
	trim(t, b)
	if after := segments(); !slices.Equal(after, before[1:]) && !slices.Equal(after, before[:1]) {
		t.Errorf("the segments are %v", after)
	}
}

func TestLoss(t *testing.T) {
	st := database(t)
	b := running(t, &broker.Broker{Outbox: st, Clock: clock})
	produce(t, b.Addr(), topic, 0, 5)
	record(t, st, topic, now, 0, 5)
	if got := consume(t, b.Addr(), topic, "desk", 3); len(got) != 3 {
		t.Fatal(got)
	}
	backup := crashed(t, b.Dir)
	produce(t, b.Addr(), topic, 5, 10)
	record(t, st, topic, now, 5, 10)
	b.Stop()

	for _, tc := range []struct {
		name string
		dir  string
		kept []string // messages that the group has still to read
	}{
		{"an old backup", backup, []string{"3", "4"}},
		{"everything", filepath.Join(t.TempDir(), "kafka"), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &broker.Broker{Dir: tc.dir, Listen: "127.0.0.1:0", Outbox: st, Clock: clock, Log: quiet()}
			err := b.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), "has lost messages: topic "+topic) ||
				!strings.Contains(err.Error(), "--kafka-continue") || strings.Contains(err.Error(), "\n") {
				b.Stop()
				t.Fatalf("error %v", err)
			}
			b.Continue = true
			running(t, b)
			if _, end := bounds(t, b.Addr(), topic); end != 10 {
				t.Errorf("the topic ends at %d", end)
			}
			if offset := produce(t, b.Addr(), topic, 10, 11); offset != 10 {
				t.Errorf("the next offset is %d", offset)
			}
			want := append(slices.Clone(tc.kept), "10")
			if got := kcatGroup(t, b.Addr(), topic, "desk", len(want)); !slices.Equal(got, want) {
				t.Errorf("the group reads %v, want %v", got, want)
			}
			for i, c := range []*broker.Broker{{Dir: crashed(t, tc.dir)}, b} { // a crash, then a stop; neither needs Continue
				b.Stop()
				c.Outbox, c.Clock, c.Continue = st, clock, false
				running(t, c)
				if offset := produce(t, c.Addr(), topic, 11, 12); offset != 11 {
					t.Errorf("restart %d: the next offset is %d", i, offset)
				}
				if got := consume(t, c.Addr(), topic, "desk", 1); got[0] != "11" {
					t.Errorf("restart %d: the group reads %v", i, got)
				}
			}
		})
	}
}

// TestOtherBroker sees that the outbox of another broker's is not mistaken for
// this one's.
func TestOtherBroker(t *testing.T) {
	st := database(t)
	update(t, st, func(tx store.Tx) error {
		return tx.PutEvent(store.Event{Topic: topic, Key: "k", Value: []byte("{}"), Created: now})
	})
	update(t, st, func(tx store.Tx) error {
		pending, err := tx.PendingEvents(1)
		if err != nil {
			return err
		}
		return tx.MarkPublished(now, []store.Published{{Seq: pending[0].Seq, Topic: topic, Partition: 2, Offset: 7}})
	})
	b := &broker.Broker{Dir: t.TempDir(), Listen: "127.0.0.1:0", Outbox: st, Continue: true, Log: quiet()}
	if err := b.Start(context.Background()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("partition 2 of topic %s", topic)) {
		b.Stop()
		t.Errorf("error %v", err)
	}
}

// TestLastMessageLost sees that the loss of a single message is noticed.
func TestLastMessageLost(t *testing.T) {
	for recorded, ok := range map[int64]bool{5: true, 6: false} {
		st := database(t)
		b := running(t, &broker.Broker{Outbox: st, Clock: clock})
		produce(t, b.Addr(), topic, 0, 5)
		record(t, st, topic, now, 0, recorded)
		b.Stop()
		if err := b.Start(t.Context()); (err == nil) != ok {
			t.Errorf("5 messages on the broker, %d in the outbox: %v", recorded, err)
		}
	}
}
