package jitsi

import (
	"context"
	"errors"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const (
	reconcileInterval = 20 * time.Second
	reconcileTimeout  = 15 * time.Second
	maxUnwanted       = 50000
	unwantedKept      = 24 * time.Hour
)

// unwanted is somebody to put out of a room. It is remembered after that:
// what is still heard of this stay is not for the consultation.
type unwanted struct {
	room  string
	since time.Time
	gone  bool
}

// Start begins to compare with Jitsi's count, until Stop or the end of ctx.
func (d *Driver) Start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		return errors.New("jitsi: already started")
	}
	ctx, d.cancel = context.WithCancel(ctx)
	ticks := d.opts.Ticks
	var ticker *time.Ticker
	if ticks == nil {
		ticker = time.NewTicker(reconcileInterval)
		ticks = ticker.C
	}
	d.loop.Go(func() {
		if ticker != nil {
			defer ticker.Stop()
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks:
				d.Reconcile(ctx)
			case <-d.wake:
				d.removeUnwanted(ctx)
			}
		}
	})
	return nil
}

// Stop waits until the comparing has ended. The calls go on.
func (d *Driver) Stop() {
	d.mu.Lock()
	cancel := d.cancel
	d.cancel = nil
	d.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	d.loop.Wait()
	d.prosody.client.CloseIdleConnections()
}

// Reconcile compares once with Jitsi's count: people in rooms that are gone
// have left, rooms of ended sessions are ended again. It takes 15 s at most.
func (d *Driver) Reconcile(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	asOf := d.opts.Clock()
	open, err := d.prosody.census(ctx)
	d.noteSilence(err)
	if err == nil {
		if err := d.people.Counted(ctx, open, asOf); err != nil {
			d.opts.Log.Error("the count of the calls could not be taken in", "error", err)
		}
		for room := range open {
			if ctx.Err() != nil {
				break
			}
			if checkRoom(room) == nil && d.isOver(ctx, room) {
				d.endAgain(ctx, room)
			}
		}
		d.removeUnwanted(ctx)
	}
	if err := d.people.Sweep(ctx); err != nil {
		d.opts.Log.Error("old calls could not be put away", "error", err)
	}
	d.sweep()
}

func (d *Driver) isOver(ctx context.Context, room string) bool {
	if d.hasEnded(room) {
		return true
	}
	err := d.admit(ctx, room, meeting.Person{Role: meeting.Practitioner})
	return err != nil && fhir.CodeOf(err) == fhir.CodeBusinessRule
}

func (d *Driver) endAgain(ctx context.Context, room string) {
	if err := d.endOnce(ctx, room); err != nil && !errors.Is(err, errResting) {
		d.opts.Log.Warn("a call is open whose session has ended", "room", room, "error", err)
	}
}

// noteSilence logs when Jitsi stops answering and when it answers again.
func (d *Driver) noteSilence(err error) {
	d.mu.Lock()
	changed := d.silent != (err != nil)
	d.silent = err != nil
	d.mu.Unlock()
	switch {
	case changed && err != nil:
		d.opts.Log.Warn("the video system cannot be asked for its calls", "error", err)
	case changed:
		d.opts.Log.Info("the video system answers again")
	}
}

func (d *Driver) putOut(room, stay string) {
	d.mu.Lock()
	if len(d.unwanted) < maxUnwanted {
		d.unwanted[stay] = unwanted{room: room, since: d.opts.Clock()}
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// refused tells whether a stay was not let in.
func (d *Driver) refused(stay string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.unwanted[stay]
	return known
}

// gone notes that a refused stay is over.
func (d *Driver) gone(stay string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u, known := d.unwanted[stay]; known {
		u.gone = true
		d.unwanted[stay] = u
	}
}

// removeUnwanted puts out who should not be in, again and again until an
// event says that they have left: Prosody's "done" alone is not believed.
func (d *Driver) removeUnwanted(ctx context.Context) {
	d.mu.Lock()
	todo := map[string]string{}
	for stay, u := range d.unwanted {
		if !u.gone {
			todo[stay] = u.room
		}
	}
	d.mu.Unlock()
	for stay, room := range todo {
		if ctx.Err() != nil {
			return
		}
		switch err := d.prosody.kick(ctx, room, nickOf(stay)); {
		case errors.Is(err, errNotThere):
			d.gone(stay)
		case errors.Is(err, errResting):
			return
		case err != nil:
			d.opts.Log.Warn("somebody could not be removed from a call yet", "room", room, "error", err)
		}
	}
}

func (d *Driver) sweep() {
	now := d.opts.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for room, at := range d.ended {
		if now.Sub(at) >= endedKept || len(d.ended) > maxEnded {
			delete(d.ended, room)
		}
	}
	for room, r := range d.reservations {
		if !now.Before(r.expires) {
			delete(d.reservations, room)
		}
	}
	for stay, u := range d.unwanted {
		if now.Sub(u.since) >= unwantedKept {
			delete(d.unwanted, stay)
		}
	}
}
