package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Bounds of deliveries.
const (
	maxDeliveries = 64 // at the same time
	deliveryTime  = 15 * time.Second
)

// deliveries owns the codes that are on their way.
type deliveries struct {
	slots  chan struct{}
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func (d *deliveries) open() {
	d.slots = make(chan struct{}, maxDeliveries)
	d.ctx, d.cancel = context.WithCancel(context.Background())
}

// claim takes a place for a delivery, or tells that there is none.
func (d *deliveries) claim() (release func(), ok bool) {
	select {
	case d.slots <- struct{}{}:
		return func() { <-d.slots }, true
	default:
		return nil, false
	}
}

// run starts a delivery that outlives the request but not stop. done is closed
// when it is over.
func (d *deliveries) run(request context.Context, release func(), deliver func(context.Context)) (done <-chan struct{}) {
	over := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		release()
		close(over)
		return over
	}
	ctx, cancel := context.WithTimeout(WithTrace(d.ctx, Trace(request)), deliveryTime)
	d.running.Go(func() {
		defer close(over)
		defer release()
		defer cancel()
		deliver(ctx)
	})
	return over
}

// stop ends the deliveries and waits for them.
func (d *deliveries) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.cancel()
	d.running.Wait()
}

// newCode gives six random digits.
func newCode() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails
	return fmt.Sprintf("%06d", n)
}
