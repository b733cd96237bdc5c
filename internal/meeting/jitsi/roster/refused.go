package roster

import (
	"context"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Outsider is somebody who is in a room and may not be. User is the id that
// the video system gave with the stay, "" when there is none to act on.
type Outsider struct {
	Room string
	Key  string // of the stay
	User string
}

// Refuse notes that somebody came in at a time of the video system's clock who
// may not be inside. What is heard of this stay later is not for the
// consultation. A stay that is known keeps what was decided on it.
func (b *Roster) Refuse(ctx context.Context, o Outsider, p meeting.Person, at time.Time) error {
	return b.change(ctx, o.Room, func(c *call) ([]notice, error) {
		v, made, err := b.find(c, o.Key, p)
		if err == nil && made {
			v.Joined, v.Refused, v.User = at, true, o.User
			v.Gone = at.Before(c.Closed)
		}
		return nil, err
	})
}

// Knows tells whether anything was heard of a stay, and whether it was refused.
func (b *Roster) Knows(ctx context.Context, room, key string) (known, refused bool, err error) {
	c, err := b.look(ctx, room)
	if err != nil {
		return false, false, err
	}
	v := c.Visits[key]
	return v != nil, v != nil && v.Refused, nil
}

// Gone notes that a refused stay is over; it does nothing to another one.
func (b *Roster) Gone(ctx context.Context, room, key string) error {
	return b.change(ctx, room, func(c *call) ([]notice, error) {
		if v := c.Visits[key]; v != nil {
			v.Gone = v.Refused
		}
		return nil, nil
	})
}

// Outsiders gives those who were refused and have not been heard to leave.
func (b *Roster) Outsiders(ctx context.Context) (list []Outsider, err error) {
	now := b.Clock()
	err = b.each(ctx, func(kept store.Call, c *call) error {
		for key, v := range c.Visits {
			if v.Refused && !v.Gone && now.Sub(v.Seen) < visitKept {
				list = append(list, Outsider{Room: kept.Room, Key: key, User: v.User})
			}
		}
		return nil
	})
	return list, err
}
