package room

import (
	"context"
	"sync"
	"time"
)

// noticeTimeout keeps one slow notice from holding up the others for good.
const noticeTimeout = 10 * time.Second

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

func (n *notices) tellAll(ctx context.Context) {
	for _, tell := range n.take() {
		limited, cancel := context.WithTimeout(ctx, noticeTimeout)
		tell(limited)
		cancel()
	}
}

// run tells until ctx ends; what is queued then is still told.
func (n *notices) run(ctx context.Context) {
	detached := context.WithoutCancel(ctx)
	for {
		n.tellAll(detached)
		select {
		case <-ctx.Done():
			n.tellAll(detached)
			return
		case <-n.ready:
		}
	}
}
