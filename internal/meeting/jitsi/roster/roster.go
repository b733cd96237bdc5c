// Package roster knows who is in the calls of a video system that tells by
// events, which come late, twice, in any order, at any node, or not at all.
//
// What it knows of a room is one row in the store, so that all nodes know the
// same. It tells the consultation once per coming and once per going; a node
// that dies in between is made up for by Sweep, so that a notice may then come
// late or, very rarely, twice. It cannot know of people whose events were all
// lost.
package roster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	noticeTimeout = 5 * time.Second
	untoldFor     = time.Minute    // after which a notice of a node that died is told by another
	maxVisits     = 2000           // of one room, present and past
	visitKept     = 24 * time.Hour // nobody is in a call for longer
	roomKept      = time.Hour      // after the last event, with nobody inside
	missesToClose = 2              // counts in a row that do not name a room
	page          = 500            // rooms read at once
)

// ErrFull says that events of so many visits to one room are not taken in.
var ErrFull = errors.New("roster: too many visits")

// Roster is the list of the people in all rooms. Admission may give nil.
type Roster struct {
	Store     store.Store
	Admission func() meeting.Admission
	Clock     func() time.Time

	order  [64]sync.Mutex // keeps the notices of a room in their order
	closed atomic.Uint64  // rooms, by a count
}

// call is what is kept of a room.
type call struct {
	Visits map[string]*visit `json:"visits,omitempty"`
	Ended  bool              `json:"ended,omitempty"`  // its session, for good
	Closed time.Time         `json:"closed,omitzero"`  // the last end of the room, by the video system's clock
	Misses int               `json:"misses,omitempty"` // counts in a row without it
	Untold []notice          `json:"untold,omitempty"`
}

// visit is one stay of one person, from door to door.
type visit struct {
	Person  meeting.Person `json:"person"`
	Joined  time.Time      `json:"joined,omitzero"` // by the video system's clock
	Left    time.Time      `json:"left,omitzero"`
	Seen    time.Time      `json:"seen"` // by ours
	Number  int            `json:"number"`
	Refused bool           `json:"refused,omitempty"` // not for the consultation, whatever is heard of it
	Gone    bool           `json:"gone,omitempty"`    // of a refused one
	User    string         `json:"user,omitempty"`    // of a refused one: the video system's id
}

func (v *visit) present() bool { return !v.Refused && v.Joined.After(v.Left) }

// notice is what the consultation is told.
type notice struct {
	ID     string         `json:"id"`
	Coming bool           `json:"coming"`
	Person meeting.Person `json:"person"`
	Since  time.Time      `json:"since"`
}

func joined(p meeting.Person) notice { return notice{Coming: true, Person: p} }
func left(p meeting.Person) notice   { return notice{Person: p} }

func (c *call) in(person string) bool {
	for _, v := range c.Visits {
		if v.Person.ID == person && v.present() {
			return true
		}
	}
	return false
}

// load reads a room; one that was never heard of is empty.
func load(r store.Reader, room string) (*call, []byte, error) {
	kept, err := r.Call(room)
	if errors.Is(err, store.ErrNotFound) {
		return &call{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := decode(kept)
	return c, kept.State, err
}

func decode(kept store.Call) (*call, error) {
	c := &call{}
	if json.Unmarshal(kept.State, c) != nil {
		return nil, errors.New("roster: what is kept of a room cannot be read")
	}
	return c, nil
}

// look reads a room for an answer.
func (b *Roster) look(ctx context.Context, room string) (c *call, err error) {
	err = b.Store.View(ctx, func(r store.Reader) (err error) {
		c, _, err = load(r, room)
		return err
	})
	return c, err
}

// each calls fn for every room that is kept, as it stood a moment ago.
func (b *Roster) each(ctx context.Context, fn func(store.Call, *call) error) error {
	for after := ""; ; {
		var list []store.Call
		err := b.Store.View(ctx, func(r store.Reader) (err error) {
			list, err = r.Calls(after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, kept := range list {
			after = kept.Room
			c, err := decode(kept)
			if err != nil {
				return err
			}
			if err := fn(kept, c); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

var seed = maphash.MakeSeed()

// change works on a room and tells what follows from it, in order. change may
// be run more than once.
func (b *Roster) change(ctx context.Context, room string, change func(*call) ([]notice, error)) error {
	turn := &b.order[maphash.String(seed, room)%uint64(len(b.order))]
	turn.Lock()
	defer turn.Unlock()
	var notices []notice
	err := b.Store.Update(ctx, func(tx store.Tx) error {
		c, old, err := load(tx, room)
		if err != nil {
			return err
		}
		if notices, err = change(c); err != nil {
			return err
		}
		for i := range notices {
			notices[i].ID, notices[i].Since = uuid.NewString(), b.Clock()
		}
		c.Untold = append(c.Untold, notices...)
		return b.keep(tx, room, c, old)
	})
	if err != nil {
		return err
	}
	return b.tell(ctx, room, notices)
}

// keep writes a room that has changed.
func (b *Roster) keep(tx store.Tx, room string, c *call, old []byte) error {
	state, err := json.Marshal(c)
	if err != nil || bytes.Equal(state, old) || old == nil && string(state) == "{}" {
		return err
	}
	return tx.PutCall(store.Call{Room: room, People: len(c.people()), State: state, Touched: b.Clock()})
}

// tell gives the notices to the consultation and notes that they were given.
func (b *Roster) tell(ctx context.Context, room string, notices []notice) error {
	admission := b.Admission()
	if admission == nil || len(notices) == 0 {
		return nil
	}
	// The notices belong to what has happened, not to the request.
	ctx = context.WithoutCancel(ctx)
	for _, n := range notices {
		limited, cancel := context.WithTimeout(ctx, noticeTimeout)
		if n.Coming {
			admission.Joined(limited, room, n.Person)
		} else {
			admission.Left(limited, room, n.Person)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	return b.Store.Update(ctx, func(tx store.Tx) error {
		c, old, err := load(tx, room)
		if err != nil {
			return err
		}
		c.Untold = slices.DeleteFunc(c.Untold, func(u notice) bool {
			return slices.ContainsFunc(notices, func(n notice) bool { return n.ID == u.ID })
		})
		return b.keep(tx, room, c, old)
	})
}

// find gives the visit; made tells that it was not known.
func (b *Roster) find(c *call, key string, p meeting.Person) (v *visit, made bool, err error) {
	if v := c.Visits[key]; v != nil {
		return v, false, nil
	}
	if len(c.Visits) >= maxVisits {
		return nil, false, ErrFull
	}
	if c.Visits == nil {
		c.Visits = map[string]*visit{}
	}
	v = &visit{Person: p, Seen: b.Clock(), Number: len(c.Visits)}
	c.Visits[key] = v
	return v, true, nil
}

// Joined notes that p came into the room at a time of the video system's
// clock. key names the stay; a second notice of it changes nothing.
func (b *Roster) Joined(ctx context.Context, room, key string, p meeting.Person, at time.Time) error {
	return b.change(ctx, room, func(c *call) ([]notice, error) {
		was := c.in(p.ID)
		v, made, err := b.find(c, key, p)
		if err != nil || v.Refused || !at.After(v.Joined) {
			return nil, err
		}
		v.Joined = at
		if at.Before(c.Closed) {
			v.Left = c.Closed // it happened in a call that is over
		}
		switch {
		case was:
			return nil, nil
		case v.present():
			return []notice{joined(v.Person)}, nil
		case made:
			return []notice{joined(v.Person), left(v.Person)}, nil
		}
		return nil, nil
	})
}

// Left notes that a stay is over. When its beginning is not known yet, both
// are told, and the beginning will be no news any more.
func (b *Roster) Left(ctx context.Context, room, key string, p meeting.Person, at time.Time) error {
	return b.change(ctx, room, func(c *call) ([]notice, error) { return b.leave(c, key, p, at) })
}

func (b *Roster) leave(c *call, key string, p meeting.Person, at time.Time) ([]notice, error) {
	was := c.in(p.ID)
	v, made, err := b.find(c, key, p)
	if err != nil || !at.After(v.Left) {
		return nil, err
	}
	v.Left, v.Gone = at, v.Refused
	switch {
	case v.Refused:
		return nil, nil
	case made && !was:
		return []notice{joined(v.Person), left(v.Person)}, nil
	case was && !c.in(v.Person.ID):
		return []notice{left(v.Person)}, nil
	}
	return nil, nil
}

// Stay is what the end of a room says about one person in it.
type Stay struct {
	Key    string
	Person meeting.Person
}

// Destroyed notes the end of the room at a time of the video system's clock.
// Whoever came later than that is in the next call of the same room.
func (b *Roster) Destroyed(ctx context.Context, room string, at time.Time, stays ...Stay) error {
	return b.change(ctx, room, func(c *call) (all []notice, err error) {
		if at.After(c.Closed) {
			c.Closed = at
		}
		for _, s := range stays {
			told, err := b.leave(c, s.Key, s.Person, at)
			if err != nil && !errors.Is(err, ErrFull) {
				return nil, err
			}
			all = append(all, told...)
		}
		return append(all, c.vacate(func(v *visit) bool { return !v.Joined.After(at) })...), nil
	})
}

// Closed notes that nobody is in the room, whatever was heard before.
func (b *Roster) Closed(ctx context.Context, room string) error {
	return b.change(ctx, room, func(c *call) ([]notice, error) {
		return c.vacate(func(*visit) bool { return true }), nil
	})
}

// vacate ends the stays that which names, in the order of their coming.
func (c *call) vacate(which func(*visit) bool) (all []notice) {
	for _, v := range c.ordered() {
		switch {
		case !which(v):
		case v.Refused:
			v.Gone = true
		case v.present():
			v.Left = v.Joined
			if !c.in(v.Person.ID) {
				all = append(all, left(v.Person))
			}
		}
	}
	return all
}

func (c *call) ordered() []*visit {
	all := make([]*visit, 0, len(c.Visits))
	for _, v := range c.Visits {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *visit) int { return a.Number - b.Number })
	return all
}

// people gives those inside, each once, in the order of their coming.
func (c *call) people() (list []meeting.Person) {
	for _, v := range c.ordered() {
		if v.present() && !slices.ContainsFunc(list, func(p meeting.Person) bool { return p.ID == v.Person.ID }) {
			list = append(list, v.Person)
		}
	}
	return list
}

// Present gives the people in a room, each once, in the order of their coming.
func (b *Roster) Present(ctx context.Context, room string) ([]meeting.Person, error) {
	c, err := b.look(ctx, room)
	if err != nil {
		return nil, err
	}
	return c.people(), nil
}

// Counts gives the number of rooms with somebody inside, and of the people.
func (b *Roster) Counts(ctx context.Context) (rooms, people int, err error) {
	err = b.Store.View(ctx, func(r store.Reader) (err error) {
		rooms, people, err = r.InCalls()
		return err
	})
	return rooms, people, err
}

// Stays gives the keys of a person's present stays in a room.
func (b *Roster) Stays(ctx context.Context, room, person string) (keys []string, err error) {
	c, err := b.look(ctx, room)
	if err != nil {
		return nil, err
	}
	for key, v := range c.Visits {
		if v.Person.ID == person && v.present() {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// End notes that the session of a room has ended, for good.
func (b *Roster) End(ctx context.Context, room string) error {
	return b.change(ctx, room, func(c *call) ([]notice, error) {
		c.Ended = true
		return nil, nil
	})
}

// Ended tells whether the session of a room has ended.
func (b *Roster) Ended(ctx context.Context, room string) (bool, error) {
	c, err := b.look(ctx, room)
	return err == nil && c.Ended, err
}
