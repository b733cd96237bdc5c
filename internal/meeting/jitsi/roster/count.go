package roster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// counted tells whether somebody is inside of whom a count at asOf must know.
func (c *call) counted(asOf time.Time) bool {
	return slices.ContainsFunc(c.ordered(), func(v *visit) bool { return v.present() && v.Seen.Before(asOf) })
}

// Counted compares with a count of the video system, asked for at asOf by our
// clock: a room that two counts in a row do not name is closed, whichever
// nodes took the counts. People who came after asOf are left alone.
func (b *Roster) Counted(ctx context.Context, open map[string]bool, asOf time.Time) error {
	return b.each(ctx, func(kept store.Call, seen *call) error {
		missed := !open[kept.Room] && seen.counted(asOf)
		if !missed && seen.Misses == 0 {
			return nil
		}
		closed := false
		err := b.change(ctx, kept.Room, func(c *call) ([]notice, error) {
			closed = false
			if !missed || !c.counted(asOf) {
				c.Misses = 0
				return nil, nil
			}
			if c.Misses++; c.Misses < missesToClose {
				return nil, nil
			}
			c.Misses, closed = 0, true
			return c.vacate(func(v *visit) bool { return v.Seen.Before(asOf) }), nil
		})
		if closed && err == nil {
			b.closed.Add(1)
		}
		return err
	})
}

// ClosedByCount tells how many rooms this node has closed because of counts:
// the events that should have said so were lost.
func (b *Roster) ClosedByCount() uint64 { return b.closed.Load() }

// Sweep tells what a node could not tell before it died, ends stays of a whole
// day, whose end was lost, and forgets rooms that are long over. One node at a
// time should do it.
func (b *Roster) Sweep(ctx context.Context) error {
	now := b.Clock()
	stale := func(v *visit) bool { return now.Sub(v.Seen) > visitKept }
	return b.each(ctx, func(kept store.Call, c *call) error {
		if late := c.untold(now); len(late) > 0 {
			if err := b.tell(ctx, kept.Room, late); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(c.ordered(), func(v *visit) bool { return v.present() && stale(v) }) {
			return b.change(ctx, kept.Room, func(c *call) ([]notice, error) { return c.vacate(stale), nil })
		}
		if !c.over(now.Sub(kept.Touched)) {
			return nil
		}
		return b.Store.Update(ctx, func(tx store.Tx) error {
			again, err := tx.Call(kept.Room)
			if err != nil || !again.Touched.Equal(kept.Touched) {
				return absent(err)
			}
			return tx.DeleteCall(kept.Room)
		})
	})
}

// untold gives the notices that their node should have told long ago.
func (c *call) untold(now time.Time) (late []notice) {
	for _, n := range c.Untold {
		if now.Sub(n.Since) > untoldFor {
			late = append(late, n)
		}
	}
	return late
}

// over tells whether a room that nothing was heard of for so long can be
// forgotten. That an end or a refusal stands is remembered longer.
func (c *call) over(quiet time.Duration) bool {
	refused := slices.ContainsFunc(c.ordered(), func(v *visit) bool { return v.Refused })
	switch {
	case len(c.people()) > 0 || len(c.Untold) > 0:
		return false
	case c.Ended || refused:
		return quiet > visitKept
	}
	return quiet > roomKept
}

// absent makes nothing of a row that is not there.
func absent(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
