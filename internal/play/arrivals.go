package play

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/source"
)

// arrivals follows check-ins on their way to a consumer of the topic.
type arrivals struct {
	mu      sync.Mutex
	taps    map[string]time.Time // when each was tapped
	acked   map[string]bool
	arrived map[string]time.Duration
	more    chan struct{}
}

// arrivalLimit is how long after the last check-in an event may still come.
const arrivalLimit = time.Minute

// watch consumes the Encounter topic. It returns once the consumer is at work,
// which the arrival of the first check-in shows.
func (l Load) watch(ctx context.Context, sys *source.Client, first tap) (*arrivals, func(), error) {
	a := &arrivals{
		taps: make(map[string]time.Time), acked: make(map[string]bool),
		arrived: make(map[string]time.Duration), more: make(chan struct{}, 1),
	}
	consume, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = sys.Consume(consume, source.ConsumerConfig{
			Group: "load-" + uuid.NewString(), Topics: l.Client.topics(), FromStart: true,
		}, func(ctx context.Context, e source.Event) (err error) {
			if e.Focus, err = encounter(ctx, sys, e); err != nil {
				return err
			}
			return a.event(ctx, e)
		}) // it ends with the context
	})
	stop := func() { cancel(); wg.Wait() }
	a.tapped(first.appointment, time.Now())
	if err := first.checkIn(ctx); err != nil {
		stop()
		return nil, nil, err
	}
	limit, done := context.WithTimeout(ctx, arrivalLimit)
	defer done()
	if err := a.wait(limit, func() bool { return len(a.arrived) > 0 }); err != nil {
		stop()
		return nil, nil, err
	}
	a.mu.Lock()
	clear(a.taps)
	clear(a.arrived)
	a.mu.Unlock()
	return a, stop, nil
}

func (a *arrivals) event(_ context.Context, e source.Event) error {
	now := time.Now()
	if e.Focus == nil || !e.Focus.Get("status").Is("arrived") {
		return nil
	}
	ref, _ := fhir.ParseReference(e.Focus.Get("appointment.reference").String(), "")
	a.mu.Lock()
	if at, ok := a.taps[ref.ID]; ok {
		if _, twice := a.arrived[ref.ID]; !twice {
			a.arrived[ref.ID] = now.Sub(at)
		}
	}
	a.mu.Unlock()
	select {
	case a.more <- struct{}{}:
	default:
	}
	return nil
}

func (a *arrivals) tapped(id string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taps[id] = at
}

func (a *arrivals) acknowledged(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked[id] = true
}

// wait waits until ok holds; ok is called with the lock held.
func (a *arrivals) wait(ctx context.Context, ok func() bool) error {
	for {
		a.mu.Lock()
		done := ok()
		a.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-a.more:
		case <-ctx.Done():
			return errors.New("events are missing on the topic")
		}
	}
}

// report waits for the event of every acknowledged check-in and tells how long
// they took from the tap.
func (a *arrivals) report(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, arrivalLimit)
	defer cancel()
	lost := func() (n int) {
		for id := range a.acked {
			if _, ok := a.arrived[id]; !ok {
				n++
			}
		}
		return n
	}
	err := a.wait(ctx, func() bool { return lost() == 0 })
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for _, t := range a.arrived {
		took = append(took, t)
	}
	s := sorted(took)
	_, _ = fmt.Fprintf(out, "%-14s %8d arrived, %d acknowledged, %d lost   p50 %v  p90 %v  p99 %v  max %v\n", "tap to topic", len(s), len(a.acked), lost(),
		percentile(s, 50), percentile(s, 90), percentile(s, 99), percentile(s, 100))
	return err
}
