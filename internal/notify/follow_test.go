package notify_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

func TestMain(m *testing.M) { postgrestest.Run(m) }

// TestNodesHearOfEachOther changes things on one node and waits on another.
func TestNodesHearOfEachOther(t *testing.T) {
	url := postgrestest.Database(t)
	a, b := node(t, url), node(t, url)
	woken, cancel := b.hub.Subscribe("inbox:1")
	defer cancel()
	other, cancelOther := b.hub.Subscribe("inbox:2")
	defer cancelOther()
	for range 5 {
		a.change(t, "inbox:1", "service:x", "inbox:1")
		select {
		case <-woken:
		case <-t.Context().Done():
			t.Fatal("the other node has heard nothing")
		}
	}
	select {
	case <-other:
		t.Error("somebody was woken whom it does not concern")
	default:
	}
}

// TestLateCommit commits a signal with a lower number after a higher one was
// seen: it must not be passed over.
func TestLateCommit(t *testing.T) {
	url := postgrestest.Database(t)
	a, b := node(t, url), node(t, url)
	early, cancel := b.hub.Subscribe("early")
	defer cancel()
	late, cancelLate := b.hub.Subscribe("late")
	defer cancelLate()

	written, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		done <- a.store.Update(context.Background(), func(tx store.Tx) error {
			if err := a.hub.Announce(tx, time.Now(), "early"); err != nil {
				return err
			}
			if _, err := tx.LastSignal(); err != nil { // takes the number
				return err
			}
			once.Do(func() { close(written); <-finish })
			return nil
		})
	}()
	<-written
	b.change(t, "late")
	<-late
	select {
	case <-early:
		t.Fatal("a signal was seen before it was committed")
	default:
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	select {
	case <-early:
	case <-t.Context().Done():
		t.Fatal("the signal that was committed late is lost")
	}
}

// TestAlone sees that a single node writes no signals.
func TestAlone(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jumpa.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var hub notify.Hub
	if err := st.Update(t.Context(), func(tx store.Tx) error { return hub.Announce(tx, time.Now(), "inbox:1") }); err != nil {
		t.Fatal(err)
	}
	err = st.View(t.Context(), func(r store.Reader) error {
		last, err := r.LastSignal()
		if last != 0 {
			t.Error("there is a signal for nobody")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// member is one node of several.
type member struct {
	store store.Store
	hub   *notify.Hub
}

func node(t *testing.T, url string) member {
	t.Helper()
	st, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	n := member{st, &notify.Hub{Shared: true}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	f := notify.Follower{Store: st, Hub: n.hub, Every: 5 * time.Millisecond}
	wg.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); st.Close() })
	n.begun(t)
	return n
}

// begun waits until the node hears what is told: what was told before is not
// for it.
func (m member) begun(t *testing.T) {
	t.Helper()
	heard, cancel := m.hub.Subscribe("begun")
	defer cancel()
	for {
		m.change(t, "begun")
		select {
		case <-heard:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m member) change(t *testing.T, keys ...string) {
	t.Helper()
	if err := m.store.Update(t.Context(), func(tx store.Tx) error { return m.hub.Announce(tx, time.Now(), keys...) }); err != nil {
		t.Fatal(err)
	}
}
