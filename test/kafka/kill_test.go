package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/outbox"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// testKilled kills the broker while the relay brings committed events there.
// Each one must be on the broker in the end, and each key in its order.
func testKilled(t *testing.T, k *kind) {
	if k.kill == nil {
		t.Skip("the brokers of KAFKA_BROKERS are not ours to kill")
	}
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jumpa.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	name := topic(t, k)
	relay := &outbox.Relay{Store: st, Publisher: k.publisher(t), Batch: 16, Timeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler)}
	if err := relay.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Stop)

	const kills, perKill = 2, 600
	const events = kills * perKill
	ctx := patience(t)
	for from := 0; from < events; from += perKill {
		commit(t, st, numbered(name, from, from+perKill/2)...)
		relay.Wake()
		for victim := uint64(from + rand.IntN(perKill/3)); relay.Stats().Published < victim; time.Sleep(100 * time.Microsecond) {
			if ctx.Err() != nil {
				t.Fatalf("%d events of %d were published", relay.Stats().Published, victim)
			}
		}
		k.kill()
		commit(t, st, numbered(name, from+perKill/2, from+perKill)...) // work goes on
		relay.Wake()
		k.revive()
	}
	untilPublished(t, st)
	relay.Stop()

	log := all(t, k, name)
	arrived, last := map[int]bool{}, map[string]int{}
	for _, r := range log {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatal(err)
		}
		key := string(r.Key)
		if before, seen := last[key]; seen && !arrived[n] && n < before {
			t.Errorf("%s: event %d came after %d", key, n, before)
		}
		arrived[n] = true
		last[key] = n
	}
	if len(arrived) != events {
		t.Errorf("%d of %d events arrived", len(arrived), events)
	}
	for n := events - 7; n < events; n++ {
		if key := fmt.Sprintf("Encounter/%d", n%7); last[key] != n {
			t.Errorf("the last message of %s is event %d, not %d", key, last[key], n)
		}
	}
	t.Logf("%d events, %d messages", events, len(log))
}

func commit(t *testing.T, st store.Store, events ...store.Event) {
	t.Helper()
	err := st.Update(t.Context(), func(tx store.Tx) error {
		for _, e := range events {
			e.Created = time.Now()
			if err := tx.PutEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// untilPublished waits until the outbox has nothing pending.
func untilPublished(t *testing.T, st store.Store) {
	t.Helper()
	ctx := patience(t)
	for {
		var pending []store.Event
		err := st.View(ctx, func(r store.Reader) (err error) {
			pending, err = r.PendingEvents(1)
			return err
		})
		switch {
		case err != nil:
			t.Fatal(err)
		case len(pending) == 0:
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
