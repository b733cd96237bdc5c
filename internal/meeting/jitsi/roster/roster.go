// Package roster knows who is in the calls of a video system that tells by
// events, which come late, twice, in any order, or not at all.
//
// It tells the consultation once per coming and once per going. It cannot
// know of people whose events were all lost.
package roster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const (
	noticeTimeout = 5 * time.Second
	maxRooms      = 20000
	maxVisits     = 2000           // of one room, present and past
	visitKept     = 24 * time.Hour // nobody is in a call for longer
	roomKept      = time.Hour      // after the last event, with nobody inside
	missesToClose = 2              // counts in a row that do not name a room
)

// ErrFull says that events of so many rooms or visits are not taken in.
var ErrFull = errors.New("roster: too many rooms or visits")

// Features gives what a role may do in a Jitsi call. It lists every feature,
// because Jitsi gives a moderator those that a token does not mention at all.
func Features(meeting.Role) map[string]bool {
	return map[string]bool{
		"send-groupchat": true,
		"recording":      false, "livestreaming": false, "transcription": false,
		"outbound-call": false, "inbound-call": false, "sip-inbound-call": false, "sip-outbound-call": false,
		"create-polls": false, "file-upload": false, "flip": false, "list-visitors": false,
	}
}

// Roster is the list of the people in all rooms. Admission may give nil.
type Roster struct {
	Admission func() meeting.Admission
	Clock     func() time.Time

	mu    sync.Mutex
	rooms map[string]*room
}

type room struct {
	tell   sync.Mutex // keeps the notices of a room in their order
	visits map[string]*visit
	closed time.Time // the last end of the room, by the video system's clock
	misses int
	touch  time.Time
}

// visit is one stay of one person, from door to door.
type visit struct {
	person       meeting.Person
	joined, left time.Time // by the video system's clock
	seen         time.Time // by ours
	number       int
}

func (v *visit) present() bool { return v.joined.After(v.left) }

type notice struct {
	tell func(meeting.Admission, context.Context, string, meeting.Person)
	who  meeting.Person
}

func joined(p meeting.Person) notice { return notice{meeting.Admission.Joined, p} }
func left(p meeting.Person) notice   { return notice{meeting.Admission.Left, p} }

func (r *room) in(person string) bool {
	for _, v := range r.visits {
		if v.person.ID == person && v.present() {
			return true
		}
	}
	return false
}

// change works on a room and tells what follows from it, in order.
func (b *Roster) change(ctx context.Context, name string, change func(*room) ([]notice, error)) error {
	r, err := b.room(name)
	if err != nil {
		return err
	}
	r.tell.Lock()
	defer r.tell.Unlock()
	b.mu.Lock()
	if b.rooms[name] != r { // it was swept meanwhile
		b.mu.Unlock()
		return b.change(ctx, name, change)
	}
	r.touch = b.Clock()
	notices, err := change(r)
	b.mu.Unlock()
	admission := b.Admission()
	if admission == nil {
		return err
	}
	for _, n := range notices {
		// The notice belongs to what has happened, not to the request.
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTimeout)
		n.tell(admission, limited, name, n.who)
		cancel()
	}
	return err
}

func (b *Roster) room(name string) (*room, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rooms[name]
	if r != nil {
		return r, nil
	}
	if len(b.rooms) >= maxRooms {
		return nil, ErrFull
	}
	if b.rooms == nil {
		b.rooms = map[string]*room{}
	}
	r = &room{visits: map[string]*visit{}, touch: b.Clock()}
	b.rooms[name] = r
	return r, nil
}

// find gives the visit; made tells that it was not known.
func (b *Roster) find(r *room, key string, p meeting.Person) (v *visit, made bool, err error) {
	if v := r.visits[key]; v != nil {
		return v, false, nil
	}
	if len(r.visits) >= maxVisits {
		return nil, false, ErrFull
	}
	v = &visit{person: p, seen: b.Clock(), number: len(r.visits)}
	r.visits[key] = v
	return v, true, nil
}

// Joined notes that p came into the room at a time of the video system's
// clock. key names the stay; a second notice of it changes nothing.
func (b *Roster) Joined(ctx context.Context, name, key string, p meeting.Person, at time.Time) error {
	return b.change(ctx, name, func(r *room) ([]notice, error) {
		was := r.in(p.ID)
		v, made, err := b.find(r, key, p)
		if err != nil || !at.After(v.joined) {
			return nil, err
		}
		v.joined = at
		if at.Before(r.closed) {
			v.left = r.closed // it happened in a call that is over
		}
		switch {
		case was:
			return nil, nil
		case v.present():
			return []notice{joined(v.person)}, nil
		case made:
			return []notice{joined(v.person), left(v.person)}, nil
		}
		return nil, nil
	})
}

// Left notes that a stay is over. When its beginning is not known yet, both
// are told, and the beginning will be no news any more.
func (b *Roster) Left(ctx context.Context, name, key string, p meeting.Person, at time.Time) error {
	return b.change(ctx, name, func(r *room) ([]notice, error) { return b.leave(r, key, p, at) })
}

func (b *Roster) leave(r *room, key string, p meeting.Person, at time.Time) ([]notice, error) {
	was := r.in(p.ID)
	v, made, err := b.find(r, key, p)
	if err != nil || !at.After(v.left) {
		return nil, err
	}
	v.left = at
	switch {
	case made && !was:
		return []notice{joined(v.person), left(v.person)}, nil
	case was && !r.in(v.person.ID):
		return []notice{left(v.person)}, nil
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
func (b *Roster) Destroyed(ctx context.Context, name string, at time.Time, stays ...Stay) error {
	return b.change(ctx, name, func(r *room) (all []notice, err error) {
		if at.After(r.closed) {
			r.closed = at
		}
		for _, s := range stays {
			told, err := b.leave(r, s.Key, s.Person, at)
			all = append(all, told...)
			if err != nil {
				return all, err
			}
		}
		return append(all, r.vacate(func(v *visit) bool { return !v.joined.After(at) })...), nil
	})
}

// Closed notes that nobody is in the room, whatever was heard before.
func (b *Roster) Closed(ctx context.Context, name string) error {
	return b.change(ctx, name, func(r *room) ([]notice, error) {
		return r.vacate(func(*visit) bool { return true }), nil
	})
}

// vacate ends the stays that which names, in the order of their coming.
func (r *room) vacate(which func(*visit) bool) (all []notice) {
	for _, v := range r.ordered() {
		if !v.present() || !which(v) {
			continue
		}
		v.left = v.joined
		if !r.in(v.person.ID) {
			all = append(all, left(v.person))
		}
	}
	return all
}

func (r *room) ordered() []*visit {
	all := make([]*visit, 0, len(r.visits))
	for _, v := range r.visits {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *visit) int { return a.number - b.number })
	return all
}

// Counted compares with a count of the video system, asked for at asOf by our
// clock: a room that two counts in a row do not name is closed. People who
// came after asOf are left alone.
func (b *Roster) Counted(ctx context.Context, open map[string]bool, asOf time.Time) error {
	var gone []string
	b.mu.Lock()
	for name, r := range b.rooms {
		counted := slices.ContainsFunc(r.ordered(), func(v *visit) bool { return v.present() && v.seen.Before(asOf) })
		if open[name] || !counted {
			r.misses = 0
			continue
		}
		if r.misses++; r.misses >= missesToClose {
			gone = append(gone, name)
		}
	}
	b.mu.Unlock()
	for _, name := range gone {
		if err := b.change(ctx, name, func(r *room) ([]notice, error) {
			r.misses = 0
			return r.vacate(func(v *visit) bool { return v.seen.Before(asOf) }), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Sweep forgets rooms that are long over, and ends stays of a whole day: their
// end was lost.
func (b *Roster) Sweep(ctx context.Context) error {
	now := b.Clock()
	var stale []string
	b.mu.Lock()
	for name, r := range b.rooms {
		inside := false
		for _, v := range r.visits {
			if v.present() {
				inside = true
				if now.Sub(v.seen) > visitKept {
					stale = append(stale, name)
					break
				}
			}
		}
		if !inside && now.Sub(r.touch) > roomKept && r.tell.TryLock() {
			delete(b.rooms, name)
			r.tell.Unlock()
		}
	}
	b.mu.Unlock()
	for _, name := range stale {
		if err := b.change(ctx, name, func(r *room) ([]notice, error) {
			return r.vacate(func(v *visit) bool { return now.Sub(v.seen) > visitKept }), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Present gives the people in a room, each once, in the order of their coming.
func (b *Roster) Present(name string) []meeting.Person {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rooms[name]
	if r == nil {
		return nil
	}
	var people []meeting.Person
	for _, v := range r.ordered() {
		if v.present() && !slices.ContainsFunc(people, func(p meeting.Person) bool { return p.ID == v.person.ID }) {
			people = append(people, v.person)
		}
	}
	return people
}

// Counts gives the number of rooms with somebody inside, and of the people.
func (b *Roster) Counts() (rooms, people int) {
	b.mu.Lock()
	names := make([]string, 0, len(b.rooms))
	for name := range b.rooms {
		names = append(names, name)
	}
	b.mu.Unlock()
	for _, name := range names {
		if n := len(b.Present(name)); n > 0 {
			rooms++
			people += n
		}
	}
	return rooms, people
}

// Knows tells whether anything was heard of a stay.
func (b *Roster) Knows(name, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rooms[name]
	return r != nil && r.visits[key] != nil
}

// Stays gives the keys of a person's present stays in a room.
func (b *Roster) Stays(name, person string) (keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rooms[name]; r != nil {
		for key, v := range r.visits {
			if v.person.ID == person && v.present() {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
