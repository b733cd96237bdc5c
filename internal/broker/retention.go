package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// retain removes old messages, at once and then again and again.
func (b *Broker) retain(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(b.Every)
	defer ticker.Stop()
	for {
		if err := b.Trim(ctx); err != nil && ctx.Err() == nil {
			b.Log.Error("old messages could not be removed from the embedded broker", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Trim removes the messages whose events are older than the retention. The
// outbox says which those are, for the timestamps of messages are the
// sender's word. The last message of a partition always stays: an empty
// partition would count from 0 again after a restart, and consumers would miss
// all that comes up to the offset they have committed.
func (b *Broker) Trim(ctx context.Context) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.cluster == nil {
		return errors.New("broker: it does not run")
	}
	if b.Outbox == nil {
		return nil
	}
	starts, err := b.starts(ctx)
	if err != nil {
		return err
	}
	for _, s := range starts {
		p := b.cluster.PartitionInfo(s.Topic, s.Partition)
		if p == nil {
			continue
		}
		start := min(s.Offset, p.HighWatermark-1)
		if start <= p.LogStartOffset {
			continue
		}
		if err := b.cluster.DeleteRecords(s.Topic, s.Partition, start); err != nil {
			return fmt.Errorf("broker: topic %s: %w", s.Topic, err)
		}
	}
	return nil
}

// starts gives the offset at which each partition is to begin: that of the
// first event within the retention, or behind the last one that the outbox
// knows. What was published since and is not yet recorded lies behind both.
func (b *Broker) starts(ctx context.Context) (starts []store.Published, err error) {
	since := b.Clock().Add(-b.Retention)
	err = b.Outbox.View(ctx, func(r store.Reader) error {
		starts = nil
		last, err := r.LastPublished()
		if err != nil {
			return err
		}
		kept := map[string]map[int32]int64{}
		for _, p := range last {
			if _, asked := kept[p.Topic]; !asked {
				if kept[p.Topic], err = r.PublishedSince(p.Topic, since); err != nil {
					return err
				}
			}
			p.Offset++
			if first, ok := kept[p.Topic][p.Partition]; ok {
				p.Offset = first
			}
			starts = append(starts, p)
		}
		return nil
	})
	return starts, err
}
