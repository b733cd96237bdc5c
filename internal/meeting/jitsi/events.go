package jitsi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
)

const maxEvent = 1 << 20

// event is what the event_sync component of Prosody sends. It has neither a
// signature nor an id.
type event struct {
	RoomJID      string    `json:"room_jid"`
	IsBreakout   bool      `json:"is_breakout"`
	CreatedAt    epoch     `json:"created_at"`
	DestroyedAt  epoch     `json:"destroyed_at"`
	Occupant     occupant  `json:"occupant"`
	AllOccupants occupants `json:"all_occupants"`

	room string
}

// occupant has name and id from the token, not from what a person typed.
type occupant struct {
	JID      string `json:"occupant_jid"`
	JoinedAt epoch  `json:"joined_at"`
	LeftAt   epoch  `json:"left_at"`
	Name     string `json:"name"`
	ID       string `json:"id"`
}

// stay names one stay: a rejoin has a new address or a new time.
func (o occupant) stay() string {
	return o.JID + "\x00" + strconv.FormatInt(o.JoinedAt.Unix(), 10)
}

// epoch is a time in seconds.
type epoch struct{ time.Time }

func (e *epoch) UnmarshalJSON(b []byte) error {
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err != nil || seconds < 0 || seconds > math.MaxUint32 {
		return errors.New("jitsi: not a time in seconds")
	}
	if seconds > 0 {
		e.Time = time.UnixMilli(int64(seconds * 1000))
	}
	return nil
}

// occupants is a list; an empty table of Lua is an object in JSON.
type occupants []occupant

func (o *occupants) UnmarshalJSON(b []byte) error {
	if string(b) == "{}" {
		return nil
	}
	return json.Unmarshal(b, (*[]occupant)(o))
}

// nickOf gives the name of a participant in the room from a stay: Jitsi takes
// the first part of the address.
func nickOf(stay string) string {
	jid, _, _ := strings.Cut(stay, "\x00")
	node, _, _ := strings.Cut(jid, "@")
	nick, _, _ := strings.Cut(node, "-")
	return nick
}

// take reads an event and answers what became of it. Events about rooms that
// are not ours, and of side rooms, are taken and put away.
func (d *Driver) take(handle func(context.Context, event) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var e event
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEvent)).Decode(&e); err != nil || e.RoomJID == "" {
			message(w, http.StatusBadRequest, "The event cannot be read.")
			return
		}
		node, domain, _ := strings.Cut(e.RoomJID, "@")
		if domain != d.opts.MUC || checkRoom(node) != nil || e.IsBreakout {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		e.room = node
		switch err := handle(r.Context(), e); {
		case errors.Is(err, errMalformed):
			message(w, http.StatusBadRequest, "The event cannot be read.")
		case err != nil: // Prosody sends it again
			d.opts.Log.Warn("an event of the video system could not be taken in", "room", e.room, "error", err)
			message(w, http.StatusServiceUnavailable, "Please try again in a moment.")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

var errMalformed = errors.New("jitsi: an event without what it needs")

// roomCreated needs nothing: the room is known when somebody comes.
func (d *Driver) roomCreated(context.Context, event) error { return nil }

func (d *Driver) roomDestroyed(ctx context.Context, e event) error {
	if e.DestroyedAt.IsZero() {
		return errMalformed
	}
	var stays []roster.Stay
	for _, o := range e.AllOccupants {
		if p, ok := d.person(e.room, o); ok {
			stays = append(stays, roster.Stay{Key: o.stay(), Person: p})
		}
	}
	return d.people.Destroyed(ctx, e.room, e.DestroyedAt.Time, stays...)
}

func (d *Driver) person(room string, o occupant) (meeting.Person, bool) {
	p, ok := d.seal.Open(room, o.ID)
	p.Name = shorten(o.Name)
	return p, ok
}

// occupantJoined asks the Admission like the embedded room does at its door.
// Who should not be in is put out again.
func (d *Driver) occupantJoined(ctx context.Context, e event) error {
	o := e.Occupant
	if o.JID == "" || o.JoinedAt.IsZero() {
		return errMalformed
	}
	known, refused, err := d.people.Knows(ctx, e.room, o.stay())
	if err != nil || refused {
		return err
	}
	p, ours := d.person(e.room, o)
	if known && ours {
		return d.people.Joined(ctx, e.room, o.stay(), p, o.JoinedAt.Time)
	}
	if !ours {
		d.opts.Log.Warn("somebody without credentials of the exchange is in a call and will be removed; "+
			"Jitsi must not let people in without a token", "room", e.room)
		return d.putOut(ctx, e.room, o, p)
	}
	ended, err := d.people.Ended(ctx, e.room)
	if err == nil && !ended {
		err = d.admit(ctx, e.room, p)
	}
	switch {
	case ended, err != nil && final(err):
		d.opts.Log.Warn("somebody is in a call who may not be, and will be removed", "room", e.room, "role", p.Role)
		return d.putOut(ctx, e.room, o, p)
	case err != nil:
		return err
	}
	return d.people.Joined(ctx, e.room, o.stay(), p, o.JoinedAt.Time)
}

func (d *Driver) occupantLeft(ctx context.Context, e event) error {
	o := e.Occupant
	if o.JID == "" || o.LeftAt.IsZero() {
		return errMalformed
	}
	p, ours := d.person(e.room, o)
	if !ours {
		return d.people.Gone(ctx, e.room, o.stay())
	}
	at := o.LeftAt.Time
	if at.Before(o.JoinedAt.Time) {
		at = o.JoinedAt.Time
	}
	return d.people.Left(ctx, e.room, o.stay(), p, at)
}
