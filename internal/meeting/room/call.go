package room

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

// call is one room while people are in it.
type call struct {
	room *Room
	name string

	mu        sync.Mutex
	seats     map[string]*seat          // by person
	removed   map[string]meeting.Person // by person
	arrivals  int
	idleSince time.Time
	over      bool // ended, suspended or collected: nobody enters any more
}

// seat is one person's place. It outlives a lost connection by seatKept.
type seat struct {
	id      string
	number  int // order of coming
	person  meeting.Person
	conn    *connection // nil while the connection is lost
	away    time.Time   // when it was lost
	audio   bool
	video   bool
	held    atomic.Bool // muted by the practitioner: sound is not forwarded
	streams []*stream   // what conn sends
}

func newCall(r *Room, name string) *call {
	return &call{room: r, name: name, seats: map[string]*seat{}, removed: map[string]meeting.Person{}, idleSince: r.opts.Clock()}
}

// enter gives conn the seat of its person. Whoever sat there before, the
// same person on another page or before a reload, is replaced.
func (c *call) enter(conn *connection, audio, video bool) error {
	who := conn.who
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return refusal(codeUnavailable)
	}
	if _, out := c.removed[who.Subject]; out {
		return refusal(codeRemoved)
	}
	s := c.seats[who.Subject]
	if s == nil {
		if len(c.seats) >= c.room.opts.MaxParticipants {
			return refusal(codeFull)
		}
		c.arrivals++
		s = &seat{id: c.room.seatID(c.name, who.Subject), number: c.arrivals}
		c.seats[who.Subject] = s
		c.tell(meeting.Admission.Joined, who.person())
	} else if s.conn != nil {
		s.conn.finish(signal.Message{Type: signal.Replaced})
	}
	s.person, s.conn, s.away, s.streams = who.person(), conn, time.Time{}, nil
	s.audio, s.video = audio && !s.held.Load(), video
	conn.seat = s
	conn.send(signal.Message{Type: signal.Welcome, Seat: s.id, Ticket: conn.newTicket(), Features: who.Features})
	if s.held.Load() {
		conn.send(signal.Message{Type: signal.Mute})
	}
	c.changed()
	return nil
}

// tell queues a notice for the Admission.
func (c *call) tell(how func(meeting.Admission, context.Context, string, meeting.Person), p meeting.Person) {
	c.room.notices.add(func(ctx context.Context) {
		if a := c.room.currentAdmission(); a != nil {
			how(a, ctx, c.name, p)
		}
	})
}

// lost keeps the seat of a connection that broke, or gives it back when the
// person left. It does nothing for a connection that was replaced.
func (c *call) lost(conn *connection, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := conn.seat
	if c.over || s.conn != conn {
		return
	}
	s.conn, s.streams, s.away = nil, nil, c.room.opts.Clock()
	if left {
		c.vacate(s)
	}
	c.changed()
}

// vacate takes the seat away. The caller holds the lock.
func (c *call) vacate(s *seat) {
	delete(c.seats, s.person.ID)
	if len(c.seats) == 0 {
		c.idleSince = c.room.opts.Clock()
	}
	c.tell(meeting.Admission.Left, s.person)
}

// changed tells everybody who is there and what there is to receive. The
// caller holds the lock.
func (c *call) changed() {
	people := signal.Message{Type: signal.People, People: c.people()}
	for _, s := range c.seats {
		if s.conn == nil {
			continue
		}
		own := people
		if s.conn.who.Features[featureRemove] {
			own.Removed = c.removedPeople()
		}
		s.conn.send(own)
		s.conn.touch()
	}
}

func (c *call) ordered() []*seat {
	all := make([]*seat, 0, len(c.seats))
	for _, s := range c.seats {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *seat) int { return cmp.Compare(a.number, b.number) })
	return all
}

func (c *call) people() []signal.Person {
	var all []signal.Person
	for _, s := range c.ordered() {
		all = append(all, signal.Person{
			Seat: s.id, Name: s.person.Name, Role: string(s.person.Role),
			Audio: s.audio && s.conn != nil, Video: s.video && s.conn != nil, Away: s.conn == nil,
		})
	}
	return all
}

func (c *call) removedPeople() []signal.Person {
	var all []signal.Person
	for _, p := range c.removed {
		all = append(all, signal.Person{Seat: c.room.seatID(c.name, p.ID), Name: p.Name, Role: string(p.Role)})
	}
	slices.SortFunc(all, func(a, b signal.Person) int { return cmp.Compare(a.Seat, b.Seat) })
	return all
}

func (c *call) present() []meeting.Person {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []meeting.Person
	for _, s := range c.ordered() {
		all = append(all, s.person)
	}
	return all
}

// say records what a person sends. Turning the microphone on again lifts the
// practitioner's mute.
func (c *call) say(conn *connection, audio, video bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := conn.seat
	if s.conn != conn || (s.audio == audio && s.video == video && (!audio || !s.held.Load())) {
		return
	}
	if audio {
		s.held.Store(false)
	}
	s.audio, s.video = audio, video
	c.changed()
}

// muteAll holds the sound of everybody but the one who asks.
func (c *call) muteAll(by *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seats {
		if s == by.seat {
			continue
		}
		s.held.Store(true)
		s.audio = false
		if s.conn != nil {
			s.conn.send(signal.Message{Type: signal.Mute})
		}
	}
	c.changed()
}

// remove sends somebody out and keeps him out until letIn.
func (c *call) remove(by *connection, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seats {
		if s.id != id || s == by.seat {
			continue
		}
		c.removed[s.person.ID] = s.person
		if s.conn != nil {
			s.conn.finish(signal.Message{Type: signal.Removed})
		}
		s.conn, s.streams = nil, nil
		c.vacate(s)
		c.changed()
		return
	}
}

func (c *call) letIn(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for person := range c.removed {
		if c.room.seatID(c.name, person) == id {
			delete(c.removed, person)
			c.changed()
			return
		}
	}
}

// end closes every seat for good.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, s := range c.ordered() {
		if s.conn != nil {
			s.conn.finish(signal.Message{Type: signal.Ended})
		}
		s.conn, s.streams = nil, nil
		c.vacate(s)
	}
}

// suspend drops every connection; the people may come back.
func (c *call) suspend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, s := range c.seats {
		if s.conn != nil {
			s.conn.finish(signal.Message{})
		}
	}
}

// sweep gives up seats that were away too long and renews tickets. It reports
// whether the call is idle for so long that it can be forgotten.
func (c *call) sweep(now time.Time) (idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := false
	for _, s := range c.ordered() {
		switch {
		case s.conn == nil && now.Sub(s.away) >= seatKept:
			c.vacate(s)
			gone = true
		case s.conn != nil:
			s.conn.renewTicket(now)
		}
	}
	if gone {
		c.changed()
	}
	if len(c.seats) == 0 && now.Sub(c.idleSince) >= idleKept {
		c.over = true
	}
	return c.over
}

// publish adds a stream to what the person on conn sends. It reports false
// when that connection does not hold its seat any more.
func (c *call) publish(conn *connection, st *stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := conn.seat
	if s.conn != conn {
		return false
	}
	// One of each kind: the one before belongs to a media connection that is gone.
	s.streams = slices.DeleteFunc(s.streams, func(o *stream) bool { return o.kind == st.kind })
	s.streams = append(s.streams, st)
	c.touchAll()
	return true
}

func (c *call) withdraw(conn *connection, st *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(conn.seat.streams, st); i >= 0 {
		conn.seat.streams = slices.Delete(conn.seat.streams, i, i+1)
		c.touchAll()
	}
}

func (c *call) touchAll() {
	for _, s := range c.seats {
		if s.conn != nil {
			s.conn.touch()
		}
	}
}

// streamsFor gives what conn is to receive: the streams of everybody else, in
// the order of their coming.
func (c *call) streamsFor(conn *connection) []*stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn.seat.conn != conn {
		return nil
	}
	var all []*stream
	for _, s := range c.ordered() {
		if s == conn.seat {
			continue
		}
		for _, st := range s.streams {
			if !conn.soundOnly.Load() || !st.isVideo() {
				all = append(all, st)
			}
		}
	}
	return all
}
