package play

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/source"
)

// events collects what arrives about the Encounters of an organisation.
type events struct {
	mu     sync.Mutex
	seen   []source.Event
	more   chan struct{} // closed and replaced at each arrival
	failed error
	cancel context.CancelFunc
	done   chan struct{}
}

// topics gives the topics on which Encounters may be announced.
func (c Client) topics() []string {
	if len(c.Topics) > 0 {
		return c.Topics
	}
	return []string{source.EncounterTopic(c.Organization)}
}

// encounter gives the Encounter of an event, which it may have to ask for; nil
// when the event is about something else, or about somebody else's.
func encounter(ctx context.Context, c *source.Client, event source.Event) (*fhir.Document, error) {
	if !strings.HasPrefix(event.Subject, "Encounter/") {
		return nil, nil
	}
	if event.Focus != nil {
		return event.Focus, nil
	}
	doc, err := c.Get(ctx, event.Subject)
	var refused *source.Error
	if errors.As(err, &refused) && refused.Status/100 == 4 {
		return nil, nil
	}
	return doc, err
}

// begin consumes the topics in a group of its own, from the start.
func (e *events) begin(ctx context.Context, c *source.Client, topics []string) {
	ctx, e.cancel = context.WithCancel(ctx)
	e.more, e.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(e.done)
		err := c.Consume(ctx, source.ConsumerConfig{
			Group: "play-" + uuid.NewString(), Topics: topics, FromStart: true,
		}, func(ctx context.Context, event source.Event) (err error) {
			if event.Focus, err = encounter(ctx, c, event); err != nil {
				return err
			}
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
