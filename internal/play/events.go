package play

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/source"
)

// events collects what arrives on the Encounter topic of an organisation.
type events struct {
	mu     sync.Mutex
	seen   []source.Event
	more   chan struct{} // closed and replaced at each arrival
	failed error
	cancel context.CancelFunc
	done   chan struct{}
}

// begin consumes the topic in a group of its own, from the start.
func (e *events) begin(ctx context.Context, c *source.Client, organization string) {
	ctx, e.cancel = context.WithCancel(ctx)
	e.more, e.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(e.done)
		err := c.Consume(ctx, source.ConsumerConfig{
			Group: "play-" + uuid.NewString(), Topics: []string{source.EncounterTopic(organization)}, FromStart: true,
		}, func(_ context.Context, event source.Event) error {
			e.add(event, nil)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			e.add(source.Event{}, err)
		}
	}()
}

func (e *events) end() {
	if e.cancel != nil {
		e.cancel()
		<-e.done
	}
}

func (e *events) add(event source.Event, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.failed = err
	} else {
		e.seen = append(e.seen, event)
	}
	close(e.more)
	e.more = make(chan struct{})
}

// await gives the event that tells of an Encounter in a status.
func (e *events) await(ctx context.Context, encounter, status string) (source.Event, error) {
	for {
		e.mu.Lock()
		for _, event := range e.seen {
			if event.Focus != nil && event.Focus.ID() == encounter && event.Focus.Get("status").Is(status) {
				e.mu.Unlock()
				return event, nil
			}
		}
		more, failed := e.more, e.failed
		e.mu.Unlock()
		if failed != nil {
			return source.Event{}, fmt.Errorf("reading the topic: %w", failed)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return source.Event{}, fmt.Errorf("no event tells that the Encounter is %s: %w", status, ctx.Err())
		}
	}
}
