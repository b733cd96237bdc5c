package jitsi

import (
	"context"
	"errors"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
)

const reconcileTimeout = 15 * time.Second

// Start begins to compare with Jitsi's count, until Stop or the end of ctx.
func (d *Driver) Start(ctx context.Context) error { return d.rounds.Start(ctx) }

// Stop waits until the comparing has ended. The calls go on.
func (d *Driver) Stop() {
	d.rounds.Stop()
	d.prosody.client.CloseIdleConnections()
}

// Reconcile compares once with Jitsi's count: people in rooms that are gone
// have left, rooms of ended sessions are ended again. It is for one node at a
// time and takes 15 s at most.
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
		d.removeOutsiders(ctx)
	}
	if err := d.people.Sweep(ctx); err != nil {
		d.opts.Log.Error("old calls could not be put away", "error", err)
	}
}

func (d *Driver) isOver(ctx context.Context, room string) bool {
	if err := d.admit(ctx, room, meeting.Person{Role: meeting.Practitioner}); err != nil {
		return fhir.CodeOf(err) == fhir.CodeBusinessRule
	}
	ended, err := d.people.Ended(ctx, room)
	return err == nil && ended
}

func (d *Driver) endAgain(ctx context.Context, room string) {
	d.stillOpen.Add(1)
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

// putOut notes that somebody may not be in and has them removed: now, by this
// node, and if that does not help by whoever reconciles.
func (d *Driver) putOut(ctx context.Context, room string, o occupant, p meeting.Person) error {
	out := roster.Outsider{Room: room, Key: o.stay()}
	if err := d.people.Refuse(ctx, out, p, o.JoinedAt.Time); err != nil {
		return err
	}
	d.rounds.Soon(out)
	return nil
}

// removeOutsiders puts out who should not be in, again and again until an
// event says that they have left: Prosody's "done" alone is not believed.
func (d *Driver) removeOutsiders(ctx context.Context) {
	list, err := d.people.Outsiders(ctx)
	if err != nil {
		d.opts.Log.Error("it is not known who is to be removed from calls", "error", err)
	}
	for _, o := range list {
		if ctx.Err() != nil || !d.remove(ctx, o) {
			return
		}
	}
}

// remove puts somebody out; false says that Prosody needs a rest.
func (d *Driver) remove(ctx context.Context, o roster.Outsider) bool {
	err := d.prosody.kick(ctx, o.Room, nickOf(o.Key))
	if errors.Is(err, errNotThere) {
		err = d.people.Gone(ctx, o.Room, o.Key)
	}
	if err != nil && !errors.Is(err, errResting) {
		d.opts.Log.Warn("somebody could not be removed from a call yet", "room", o.Room, "error", err)
	}
	return !errors.Is(err, errResting)
}
