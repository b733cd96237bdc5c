package desk

import (
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/source"
)

var now = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

func TestStateIsReadFromBothRecords(t *testing.T) {
	for _, c := range []struct {
		appointment, encounter string
		want                   state
	}{
		{"booked", "", arriving},
		{"pending", "", arriving},
		{"checked-in", "arrived", waiting},
		{"arrived", "arrived", ready},
		{"arrived", "in-progress", inCall},
		{"fulfilled", "finished", done},
		{"fulfilled", "", done},
		{"arrived", "finished", done},
		{"cancelled", "", cancelled},
		{"cancelled", "unknown", cancelled},
		{"entered-in-error", "", cancelled},
		{"noshow", "", missed},
		{"checked-in", "unknown", abandoned},
	} {
		if got := stateOf(c.appointment, c.encounter); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.appointment, c.encounter, got, c.want)
		}
	}
}

func TestGroupStandsWhereItsFirstPatientIs(t *testing.T) {
	for _, c := range []struct {
		states []state
		want   lane
	}{
		{[]state{arriving, arriving}, laneArriving},
		{[]state{arriving, waiting, missed}, laneWaiting},
		{[]state{waiting, inCall}, laneSession},
		{[]state{ready, arriving}, laneSession},
		{[]state{done, missed, cancelled, abandoned}, laneDone},
		{[]state{done, arriving}, laneArriving},
	} {
		b := newBoard(Organization{ID: "o"}, time.Now)
		for _, s := range c.states {
			b.people = append(b.people, person{ID: string(s), Kind: "VCE", State: s, token: "t"})
		}
		entries := b.snapshot().Entries
		if len(entries) != 1 || !entries[0].IsGroup || entries[0].Lane() != c.want {
			t.Errorf("%v stand in lane %d, want %d", c.states, entries[0].Lane(), c.want)
		}
	}
}

func TestBoardKeepsSessionsApart(t *testing.T) {
	b := newBoard(Organization{}, time.Now)
	b.people = []person{
		{ID: "a", Kind: "VCI", State: waiting, token: "1"}, {ID: "b", Kind: "VCE", State: waiting, token: "2"},
		{ID: "c", Kind: "VCE", State: arriving, token: "2"}, {ID: "d", Kind: "VCE", State: arriving, token: "3"},
		{ID: "e", Kind: "VCE", State: arriving}, {ID: "f", Kind: "VCE", State: arriving},
	}
	v := b.snapshot()
	if len(v.Entries) != 5 {
		t.Errorf("%d entries, want 5", len(v.Entries))
	}
	if got := v.Waiting(); got != "a b" {
		t.Errorf("waiting are %q", got)
	}
	if e, p, ok := v.find("c"); !ok || e.ID != "b" || p.ID != "c" || e.Path() != "/desk/visits/b" {
		t.Errorf("c is found in %q", e.ID)
	}
}

func TestWaitTurns(t *testing.T) {
	for minutes, want := range map[int]string{0: "", 9: "", 10: "warn", 19: "warn", 20: "bad", 90: "bad"} {
		e := entry{People: []person{{State: waiting, CheckedIn: now.Add(-time.Duration(minutes) * time.Minute)}, {State: inCall, CheckedIn: now.Add(-time.Hour * 9)}}}
		if got := e.Patience(now); got != want || e.Longest(now) != minutes {
			t.Errorf("after %d minutes: %q and %d", minutes, got, e.Longest(now))
		}
	}
}

func TestOlderNewsChangeNothing(t *testing.T) {
	b := newBoard(Organization{}, time.Now)
	wake, cancel := b.watch()
	defer cancel()
	put := func(appointment, encounter seen) (state, bool) {
		p := person{ID: "a", appointment: appointment, encounter: encounter}
		if encounter.version > 0 {
			p.Encounter = "e"
		}
		p.State = stateOf(appointment.status, encounter.status)
		b.put([]person{p}, false)
		select {
		case <-wake:
			return b.people[0].State, true
		default:
			return b.people[0].State, false
		}
	}
	for _, c := range []struct {
		name                   string
		appointment, encounter seen
		want                   state
		woken                  bool
	}{
		{"booked", seen{"booked", 1}, seen{}, arriving, true},
		{"checked in", seen{"checked-in", 2}, seen{"arrived", 1}, waiting, true},
		{"the same again", seen{"checked-in", 2}, seen{"arrived", 1}, waiting, false},
		{"the booking, late", seen{"booked", 1}, seen{}, waiting, false},
		{"in the call", seen{"arrived", 3}, seen{"in-progress", 3}, inCall, true},
		{"ready, late", seen{"arrived", 3}, seen{"arrived", 2}, inCall, false},
		{"the appointment alone", seen{"cancelled", 4}, seen{}, cancelled, true},
		{"the Encounter alone", seen{"arrived", 3}, seen{"unknown", 4}, cancelled, true},
	} {
		if got, woken := put(c.appointment, c.encounter); got != c.want || woken != c.woken {
			t.Errorf("%s: %s, woken %v; want %s, %v", c.name, got, woken, c.want, c.woken)
		}
	}
	b.put(nil, true)
	if len(b.people) != 0 {
		t.Error("somebody who is gone is still on the board")
	}
}

func TestWatchersWakeOnce(t *testing.T) {
	b := newBoard(Organization{}, time.Now)
	b.touch()
	b.touch() // holds one wish only, and does not block
	if len(b.stale) != 1 {
		t.Errorf("%d wishes", len(b.stale))
	}
	wake, cancel := b.watch()
	if len(wake) != 0 || len(b.watchers) != 1 {
		t.Error("a new watcher is awake")
	}
	cancel()
	if len(b.watchers) != 0 {
		t.Error("a watcher that left is still there")
	}
}

func TestSessionsEnd(t *testing.T) {
	clock := now
	s := newSessions(func() time.Time { return clock })
	cookie := s.open(Practitioner{ID: "p"})
	s.leave(cookie, noteBooked)
	if got, ok := s.find(cookie, false); !ok || got.note != noteBooked {
		t.Error("a part of a page takes the note")
	}
	if got, ok := s.find(cookie, true); !ok || got.note != noteBooked || got.who.ID != "p" || got.csrf == "" {
		t.Error("the session or its note is lost")
	}
	if got, _ := s.find(cookie, true); got.note != (note{}) {
		t.Error("a note is shown twice")
	}
	if _, ok := s.find(cookie+"x", true); ok {
		t.Error("a wrong cookie is let in")
	}
	clock = clock.Add(shift + time.Second)
	if _, ok := s.find(cookie, true); ok {
		t.Error("a session outlasts the shift")
	}
	other := s.open(Practitioner{ID: "q"})
	if len(s.list) != 1 {
		t.Error("sessions that are over are kept")
	}
	s.close(other)
	if _, ok := s.find(other, true); ok {
		t.Error("a session outlasts its sign-out")
	}
}

func TestSignInIsThrottled(t *testing.T) {
	clock := now
	s := newSessions(func() time.Time { return clock })
	for i := range tries {
		if !s.mayTry("farid") {
			t.Fatalf("try %d is refused", i+1)
		}
	}
	if s.mayTry("farid") {
		t.Error("one more try is let through")
	}
	if !s.mayTry("meiling") {
		t.Error("another name pays for it")
	}
	clock = clock.Add(tryEvery)
	if !s.mayTry("farid") {
		t.Error("no new try after a minute")
	}
	for i := range 10 * triesTotal {
		s.mayTry(string(rune('a'+i%26)) + string(rune('a'+i/26%26)))
	}
	if s.mayTry("somebody new") {
		t.Error("guessing many names is not bounded")
	}
}

func TestOwnPages(t *testing.T) {
	for next, want := range map[string]bool{
		"/desk/": true, "/desk/visits/a1": true, "/desk/visits/a1/call": true,
		"": false, "/": false, "/rekodsaya/": false, "//evil/desk/": false, "https://evil/desk/": false,
		"/desk/../rekodsaya": false, `/desk/\evil`: false, "/desk/?x": false, "desk/": false,
	} {
		if got := own(next); got != want {
			t.Errorf("%q: %v", next, got)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	client, err := source.New(source.Config{Server: "http://127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	yes := func(string) bool { return true }
	org := []Organization{{ID: "o", Client: client}}
	for name, c := range map[string]struct {
		o  Options
		ok bool
	}{
		"good":            {Options{Organizations: org, Practitioners: []Practitioner{{Organization: "o", Password: yes}}}, true},
		"no client":       {Options{Organizations: []Organization{{ID: "o"}}}, false},
		"no organisation": {Options{Organizations: org, Practitioners: []Practitioner{{Organization: "x", Password: yes}}}, false},
		"no password":     {Options{Organizations: org, Practitioners: []Practitioner{{Organization: "o"}}}, false},
	} {
		if _, err := New(c.o); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
