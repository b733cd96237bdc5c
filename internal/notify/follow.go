package notify

import (
	"context"
	"log/slog"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Follower brings the signals of all nodes to the hub of this one. Store and
// Hub must be set; the zero values of the rest are good.
type Follower struct {
	Store store.Store
	Hub   *Hub
	Every time.Duration // how often to look; 200 ms when 0
	Log   *slog.Logger  // slog.Default() when nil

	floor   int64 // signals up to here are done with
	seen    map[int64]bool
	looks   []progress // of late, the oldest first
	failing bool
}

// progress is how far the signals had come at a time.
type progress struct {
	at   time.Time
	last int64
}

// Signals get their numbers before they are committed, so that a lower one may
// come later: for a while, all are read again.
const (
	stragglers = 10 * time.Second
	atOnce     = 10_000 // signals
)

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	if f.Every == 0 {
		f.Every = 200 * time.Millisecond
	}
	if f.Log == nil {
		f.Log = slog.Default()
	}
	f.seen = map[int64]bool{}
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	for begun := false; ; {
		var err error
		if !begun {
			err = f.begin(ctx)
			begun = err == nil
		} else {
			err = f.look(ctx, time.Now())
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !f.failing {
			f.Log.Error("the signals of other nodes cannot be read; trying again", "error", err)
		}
		f.failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// begin leaves out what was told before this node was there.
func (f *Follower) begin(ctx context.Context) error {
	return f.Store.View(ctx, func(r store.Reader) (err error) {
		f.floor, err = r.LastSignal()
		return err
	})
}

// look wakes those to whom something new is told.
func (f *Follower) look(ctx context.Context, now time.Time) error {
	var list []store.Signal
	err := f.Store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.Signals(f.floor, atOnce)
		return err
	})
	if err != nil {
		return err
	}
	var keys []string
	last := f.floor
	for _, s := range list {
		if !f.seen[s.Seq] {
			f.seen[s.Seq] = true
			keys = append(keys, s.Key)
		}
		last = s.Seq
	}
	f.Hub.Wake(keys...)
	f.looks = append(f.looks, progress{now, last})
	for len(f.looks) > 0 && (now.Sub(f.looks[0].at) >= stragglers || len(list) == atOnce) {
		f.floor = max(f.floor, f.looks[0].last)
		f.looks = f.looks[1:]
	}
	for seq := range f.seen {
		if seq <= f.floor {
			delete(f.seen, seq)
		}
	}
	return nil
}
