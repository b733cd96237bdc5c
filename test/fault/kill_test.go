// Package fault does harm to the real program at random moments while
// hospitals and patients use it, and then asks it for everything that it has
// acknowledged: one node over SQLite is killed, and many nodes over PostgreSQL
// lose each other, their database, their broker and the network between them.
//
// A killed process loses nothing that the operating system has taken; that a
// power failure loses nothing either is up to the flushing, which the packages
// of the store and the broker test.
package fault

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/source"
)

// Environment variables of the test.
const (
	killsVariable = "JUMPA_FAULT_KILLS" // how often to kill, 10 when not set
	seedVariable  = "JUMPA_FAULT_SEED"  // of an earlier run, to have its moments again
)

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestNothingAcknowledgedIsLostWhenTheExchangeIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	kills := int(fromEnvironment(t, killsVariable, 10))
	seed := fromEnvironment(t, seedVariable, rand.Uint64())
	t.Logf("%s=%d %s=%d", killsVariable, kills, seedVariable, seed)
	s := single(t)
	p := s.nodes[0]
	playing(t, s, seed, func() { p.kill(); p.start(); p.ready() }, func() { strike(p, rand.New(rand.NewPCG(seed, 0)), kills) })
	for _, line := range p.logged("level=ERROR") {
		t.Errorf("the exchange has logged: %s", line)
	}
	t.Logf("%d kills", kills+1)
}

// TestNothingAcknowledgedIsLostWhenTheDiskIsFull lets the disk of one node,
// with database and broker on it, be full now and then.
func TestNothingAcknowledgedIsLostWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if !canFill(t) {
		return
	}
	seed := fromEnvironment(t, seedVariable, rand.Uint64())
	t.Logf("%s=%d", seedVariable, seed)
	s := single(t)
	p := s.nodes[0]
	const times = 3
	playing(t, s, seed, func() { p.kill(); p.start(); p.ready() }, func() {
		r := rand.New(rand.NewPCG(seed, 1))
		for range times {
			time.Sleep(500*time.Millisecond + time.Duration(r.IntN(1500))*time.Millisecond)
			p.fill()
			time.Sleep(200*time.Millisecond + time.Duration(r.IntN(1500))*time.Millisecond)
			p.empty()
			p.ready()
		}
	})
	for _, line := range p.logged("panic in") {
		t.Errorf("the exchange has logged: %s", line)
	}
	t.Logf("the disk was full %d times", times)
}

// playing has hospitals and patients work at a site while strike does it harm.
// Then everything is restarted, and asked for all that it has acknowledged.
func playing(t *testing.T, s *site, seed uint64, restart, strike func()) *ledger {
	t.Helper()
	l := newLoad(t, s)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	heard := listen(ctx, t, l)
	began := time.Now()
	workers := l.run(ctx, seed)
	defer func() { cancel(); workers.Wait() }()
	strike()

	for deadline := time.Now().Add(patience); !l.enough(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the play was too short to prove anything")
			break
		}
	}
	close(l.end)
	giveUp := time.AfterFunc(patience, cancel)
	workers.Wait()
	giveUp.Stop()
	restart() // so that all that follows comes from the disks
	t.Logf("%v of play; %v", time.Since(began).Round(time.Second), l.ledger)

	check, stop := context.WithTimeout(ctx, 5*patience)
	defer stop()
	if err := s.drained(check); err != nil {
		t.Fatal(err)
	}
	a := &audit{load: l}
	versions, audited := a.checkWrites(check)
	a.checkSlots(check)
	operations := a.checkRegisters(check)
	encounters := a.everyEncounter(check, t)
	a.checkVisits(check)
	a.checkSessions(check)
	a.checkInboxes(check)
	events, again := a.checkEvents(check, s.kafka, heard(check, t, s))
	t.Logf("found again: %d acknowledged versions, %d changes in the audit trail, %d Encounters, %d events of their statuses (%d came more than once), %d linearizable operations; lost %d",
		versions, audited, encounters, events, again, operations, a.lost)
	return l.ledger
}

// strike kills the exchange at random moments: at work, and while it starts.
func strike(p *process, r *rand.Rand, kills int) {
	for n := 0; n < kills; n++ {
		time.Sleep(100*time.Millisecond + time.Duration(r.IntN(900))*time.Millisecond)
		p.kill()
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		p.start()
		for n+1 < kills && r.IntN(4) == 0 {
			time.Sleep(time.Duration(r.IntN(600)) * time.Millisecond)
			p.kill()
			p.start()
			n++
		}
		p.ready()
	}
}

// listen consumes the topic in a group, as a hospital's system does that
// outlives the exchange. The function it gives waits until all that is on the
// topic was handled, and tells the ids of the events.
func listen(ctx context.Context, t *testing.T, l *load) func(context.Context, *testing.T, *site) map[string]bool {
	t.Helper()
	var mu sync.Mutex
	ids := map[string]bool{}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- l.sys.Consume(ctx, source.ConsumerConfig{
			Group: "hospital", Topics: []string{source.EncounterTopic(l.org)}, FromStart: true,
		}, func(_ context.Context, e source.Event) error {
			mu.Lock()
			defer mu.Unlock()
			ids[e.ID] = true
			return nil
		})
	}()
	return func(check context.Context, t *testing.T, s *site) map[string]bool {
		a := &audit{load: l}
		byKey, _ := a.topic(check, s.kafka, source.EncounterTopic(l.org))
		want := map[string]bool{}
		for _, log := range byKey {
			for _, m := range log {
				want[m.id] = true
			}
		}
		for {
			mu.Lock()
			n := len(ids)
			mu.Unlock()
			if n >= len(want) {
				break
			}
			select {
			case err := <-done:
				t.Fatalf("the consumer has ended: %v", err)
			case <-check.Done():
				t.Fatalf("the consumer has handled %d of %d events", n, len(want))
			case <-time.After(20 * time.Millisecond):
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the consumer has ended: %v", err)
		}
		return ids
	}
}
