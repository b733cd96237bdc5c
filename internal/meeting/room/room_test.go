package room_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

// clinic is an Admission: patients enter only while the session is active, and
// it writes down who came and went.
type clinic struct {
	mu     sync.Mutex
	active bool
	log    []string
	news   chan struct{}
	ended  func(room string) error
}

func (c *clinic) activate() { c.mu.Lock(); defer c.mu.Unlock(); c.active = true }

func (c *clinic) Admit(_ context.Context, _ string, p meeting.Person) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Role == meeting.Patient && !c.active {
		return fhir.Errorf(fhir.CodeBusinessRule, "", "The clinic has not opened the call yet.")
	}
	return nil
}

func (c *clinic) write(what string, p meeting.Person) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, what+" "+p.ID)
	close(c.news)
	c.news = make(chan struct{})
}

func (c *clinic) Joined(_ context.Context, _ string, p meeting.Person) { c.write("joined", p) }
func (c *clinic) Left(_ context.Context, _ string, p meeting.Person)   { c.write("left", p) }
func (c *clinic) EndForAll(_ context.Context, room string, p meeting.Person) error {
	c.write("end", p)
	return c.ended(room)
}

// await waits until the log reads as wanted, in any order when sorted is not asked.
func (c *clinic) await(t *testing.T, want ...string) {
	t.Helper()
	for {
		c.mu.Lock()
		log, news := append([]string(nil), c.log...), c.news
		c.mu.Unlock()
		if strings.Join(log, ", ") == strings.Join(want, ", ") {
			return
		}
		select {
		case <-news:
		case <-ctxOf(t).Done():
			t.Fatalf("log is %q, want %q", log, want)
		}
	}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type house struct {
	room   *room.Room
	clinic *clinic
	clock  *clock
	url    string
}

var contexts sync.Map // of *testing.T to context

// ctxOf gives the context that limits everything a test waits for.
func ctxOf(t *testing.T) context.Context {
	if ctx, ok := contexts.Load(t); ok {
		return ctx.(context.Context)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	contexts.Store(t, ctx)
	t.Cleanup(func() { cancel(); contexts.Delete(t) })
	return ctx
}

func newHouse(t *testing.T, change ...func(*room.Options)) *house {
	t.Helper()
	h := &house{clinic: &clinic{news: make(chan struct{})}, clock: &clock{now: time.Now()}}
	opts := room.Options{
		PublicURL: func() string { return h.url }, Secret: []byte(strings.Repeat("s3cret-0", 4)),
		Clock: h.clock.Now, Admission: h.clinic, FrameAncestors: []string{"https://clinic.example"},
	}
	for _, c := range change {
		c(&opts)
	}
	r, err := room.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	h.room = r
	h.clinic.ended = func(name string) error { return r.End(context.Background(), name) }
	if err := r.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.Handler())
	h.url = server.URL
	t.Cleanup(func() { r.Stop(); server.Close() })
	return h
}

func (h *house) link(t *testing.T, name, id string, role meeting.Role) string {
	t.Helper()
	c, err := h.room.Credentials(ctxOf(t), name, meeting.Person{ID: id, Name: "Name of " + id, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return c.JoinURL
}

func (h *house) join(t *testing.T, name, id string, role meeting.Role, opts headless.Options) *headless.Participant {
	t.Helper()
	p, err := headless.Join(ctxOf(t), h.link(t, name, id, role), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Drop)
	return p
}

func waitMedia(t *testing.T, p *headless.Participant, people int) {
	t.Helper()
	if err := p.WaitMedia(ctxOf(t), people); err != nil {
		t.Fatalf("%v: %+v", err, p.Stats())
	}
}

func wait(t *testing.T, p *headless.Participant, what string, ok func(headless.Stats) bool) {
	t.Helper()
	if err := p.Wait(ctxOf(t), ok); err != nil {
		t.Fatalf("%s: %v: %+v", what, err, p.Stats())
	}
}

func waitEnded(t *testing.T, p *headless.Participant, reason string) {
	t.Helper()
	select {
	case <-p.Ended():
	case <-ctxOf(t).Done():
		t.Fatal("the participation did not end")
	}
	if p.EndReason() != reason {
		t.Fatalf("ended because of %q, want %q", p.EndReason(), reason)
	}
}

func refusedCode(err error) string {
	var r *headless.Refused
	if errors.As(err, &r) {
		return r.Code
	}
	return fmt.Sprint(err)
}

func TestTwoPeopleSeeAndHearEachOther(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	waitMedia(t, patient, 1)
	who := doctor.Stats().People[patient.Seat()]
	if who.Name != "Name of patient" || who.Role != "patient" {
		t.Errorf("the doctor sees %+v", who)
	}
	patient.Leave()
	h.clinic.await(t, "joined doctor", "joined patient", "left patient")
	people, err := h.room.Present(ctxOf(t), "vc-one")
	if err != nil || len(people) != 1 || people[0].ID != "doctor" {
		t.Errorf("present are %v, %v", people, err)
	}
}

func TestGroupExchangesMedia(t *testing.T) {
	const size = 13
	h := newHouse(t)
	h.clinic.activate()
	all := make([]*headless.Participant, size)
	var entering sync.WaitGroup
	for i := range all {
		role := meeting.Patient
		if i == 0 {
			role = meeting.Practitioner
		}
		link := h.link(t, "vc-group", fmt.Sprintf("person-%d", i), role)
		entering.Go(func() {
			p, err := headless.Join(ctxOf(t), link, headless.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = p
		})
	}
	entering.Wait()
	for _, p := range all {
		if p == nil {
			t.Fatal("somebody could not enter")
		}
		defer p.Drop()
	}
	for _, p := range all {
		waitMedia(t, p, size-1)
	}
	if rooms, people, _ := h.room.Counts(t.Context()); rooms != 1 || people != size {
		t.Errorf("counted %d rooms and %d people", rooms, people)
	}
}

func TestEntryIsRefused(t *testing.T) {
	h := newHouse(t, func(o *room.Options) { o.MaxParticipants, o.MaxRooms = 2, 2 })
	if err := h.room.End(ctxOf(t), "vc-never"); err != nil {
		t.Fatal(err)
	}
	over := h.link(t, "vc-over", "doctor", meeting.Practitioner)
	if err := h.room.End(ctxOf(t), "vc-over"); err != nil {
		t.Fatal(err)
	}
	full := func(id string) string { return h.link(t, "vc-full", id, meeting.Practitioner) }
	h.join(t, "vc-full", "first", meeting.Practitioner, headless.Options{NoAudio: true, NoVideo: true})
	second := h.join(t, "vc-full", "second", meeting.Practitioner, headless.Options{NoAudio: true, NoVideo: true})
	ticket := second.Ticket()
	old := h.link(t, "vc-a", "doctor", meeting.Practitioner)
	h.clock.advance(5*time.Minute + time.Second)
	good := h.link(t, "vc-a", "doctor", meeting.Practitioner)

	tests := []struct{ name, link, ticket, code string }{
		{"patient before activation", h.link(t, "vc-full", "patient", meeting.Patient), "", signal.CodeNotAdmitted},
		{"token of another room", strings.Replace(good, "/room/vc-a", "/room/vc-b", 1), "", signal.CodeInvalid},
		{"expired token", old, "", signal.CodeExpired},
		{"no token", h.url + "/room/vc-a", "", signal.CodeInvalid},
		{"forged token", good[:len(good)-4] + "AAAA", "", signal.CodeInvalid},
		{"entry token used as ticket", h.url + "/room/vc-a", strings.SplitN(good, "jwt=", 2)[1], signal.CodeInvalid},
		{"ticket used as entry token", h.url + "/room/vc-full#jwt=" + ticket, "", signal.CodeInvalid},
		{"ticket two and a half minutes old", h.url + "/room/vc-full", ticket, signal.CodeExpired},
		{"full room", full("third"), "", signal.CodeFull},
		{"ended room", over, "", signal.CodeEnded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := headless.Join(ctxOf(t), tt.link, headless.Options{Ticket: tt.ticket})
			if err == nil {
				p.Drop()
			}
			if got := refusedCode(err); got != tt.code {
				t.Errorf("got %s, want %s", got, tt.code)
			}
		})
	}
	if _, err := h.room.Credentials(ctxOf(t), "vc-never", meeting.Person{ID: "x", Role: meeting.Patient}); fhir.CodeOf(err) != fhir.CodeBusinessRule {
		t.Errorf("credentials for an ended room: %v", err)
	}
}
