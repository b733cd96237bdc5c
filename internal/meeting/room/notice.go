package room

import (
	"context"
	"sync"
)

// notices tells the Admission of comings and goings, in their order and never
// from inside a call's lock, so that it may call back.
type notices struct {
	mu    sync.Mutex
	queue []func(context.Context)
	ready chan struct{}
}

func newNotices() *notices { return &notices{ready: make(chan struct{}, 1)} }

func (n *notices) add(tell func(context.Context)) {
	n.mu.Lock()
	n.queue = append(n.queue, tell)
	n.mu.Unlock()
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

func (n *notices) take() []func(context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	queue := n.queue
	n.queue = nil
	return queue
}

// run tells until ctx ends; what is queued then is still told.
func (n *notices) run(ctx context.Context) {
	detached := context.WithoutCancel(ctx)
	for {
		for _, tell := range n.take() {
			tell(detached)
		}
		select {
		case <-ctx.Done():
			for _, tell := range n.take() {
				tell(detached)
			}
			return
		case <-n.ready:
		}
	}
}
