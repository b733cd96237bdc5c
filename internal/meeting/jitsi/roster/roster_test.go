package roster_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// diary notes what a consultation is told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(what string, p meeting.Person) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, what+" "+p.ID)
}

func (d *diary) Admit(context.Context, string, meeting.Person) error     { return nil }
func (d *diary) Joined(_ context.Context, _ string, p meeting.Person)    { d.note("joined", p) }
func (d *diary) Left(_ context.Context, _ string, p meeting.Person)      { d.note("left", p) }
func (d *diary) EndForAll(context.Context, string, meeting.Person) error { return nil }

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func at(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

func person(id string) meeting.Person { return meeting.Person{ID: id, Role: meeting.Patient} }

// database is one for all rosters of a test.
func database(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "roster.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// node is the roster of one node over a database.
func node(st store.Store, d *diary, now *time.Time) *roster.Roster {
	return &roster.Roster{Store: st, Admission: func() meeting.Admission { return d }, Clock: func() time.Time { return *now }}
}

func newRoster(t *testing.T) (*roster.Roster, *diary, *time.Time) {
	now, d := start, &diary{}
	return node(database(t), d, &now), d, &now
}

func present(t *testing.T, b *roster.Roster, room string) []meeting.Person {
	t.Helper()
	people, err := b.Present(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	return people
}

// event lets one of the events of two stays of Aminah (a1, a2) and one of Bala
// happen, by name.
func event(ctx context.Context, b *roster.Roster, room, name string) error {
	switch name {
	case "a1+":
		return b.Joined(ctx, room, "a1", person("aminah"), at(10))
	case "a1-":
		return b.Left(ctx, room, "a1", person("aminah"), at(20))
	case "a2+":
		return b.Joined(ctx, room, "a2", person("aminah"), at(15))
	case "a2-":
		return b.Left(ctx, room, "a2", person("aminah"), at(40))
	case "b+":
		return b.Joined(ctx, room, "b", person("bala"), at(12))
	case "b-":
		return b.Left(ctx, room, "b", person("bala"), at(30))
	case "end":
		return b.Destroyed(ctx, room, at(30))
	case "end with b":
		return b.Destroyed(ctx, room, at(30), roster.Stay{Key: "b", Person: person("bala")})
	}
	return fmt.Errorf("no event %q", name)
}

func play(t *testing.T, b *roster.Roster, name string) {
	t.Helper()
	if err := event(t.Context(), b, "r", name); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestEventsComeInAnyOrderAndTwice(t *testing.T) {
	for _, c := range []struct{ name, events, told, present string }{
		{"one stay", "a1+ a1-", "joined aminah, left aminah", ""},
		{"still inside", "a1+", "joined aminah", "aminah"},
		{"every event twice", "a1+ a1+ a1- a1-", "joined aminah, left aminah", ""},
		{"all of it again", "a1+ a1- a1+ a1-", "joined aminah, left aminah", ""},
		{"the end before the beginning", "a1- a1+", "joined aminah, left aminah", ""},
		{"a second page opened before the first closed", "a1+ a2+ a1-", "joined aminah", "aminah"},
		{"a rejoin", "a1+ a1- a2+", "joined aminah, left aminah, joined aminah", "aminah"},
		{"the old stay heard of during the new one", "a2+ a1- a1+", "joined aminah", "aminah"},
		{"two people", "a1+ b+ a1-", "joined aminah, joined bala, left aminah", "bala"},
		{"the end of the room before the last leaving", "a1+ b+ end a1- b-", "joined aminah, joined bala, left aminah, left bala", ""},
		{"the end of the room alone", "a1+ b+ end", "joined aminah, joined bala, left aminah, left bala", ""},
		{"the end twice", "a1+ end end", "joined aminah, left aminah", ""},
		{"the coming after the end", "end a1+", "joined aminah, left aminah", ""},
		{"the end names somebody unknown", "end with b b+ b-", "joined bala, left bala", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, told, _ := newRoster(t)
			for _, e := range strings.Fields(strings.ReplaceAll(c.events, "end with b", "end_with_b")) {
				play(t, b, strings.ReplaceAll(e, "_", " "))
			}
			if told.String() != c.told {
				t.Errorf("told %q, want %q", told, c.told)
			}
			var inside []string
			for _, p := range present(t, b, "r") {
				inside = append(inside, p.ID)
			}
			if got := strings.Join(inside, ","); got != c.present {
				t.Errorf("present %q, want %q", got, c.present)
			}
		})
	}
}

func TestEveryOrderOfACallEndsWithNobodyInside(t *testing.T) {
	now, st := start, database(t)
	var orders [][]string
	var permute func(done, rest []string)
	permute = func(done, rest []string) {
		if len(rest) == 0 {
			orders = append(orders, done)
		}
		for i := range rest {
			permute(append(slices.Clone(done), rest[i]), slices.Delete(slices.Clone(rest), i, i+1))
		}
	}
	permute(nil, []string{"a1+", "a1-", "b+", "b-", "end"})
	var calls sync.WaitGroup
	for _, order := range orders {
		calls.Go(func() {
			// Each event comes twice, to another node the second time.
			told, room := &diary{}, strings.Join(order, "")
			a, b := node(st, told, &now), node(st, told, &now)
			for _, e := range order {
				if err := errors.Join(event(t.Context(), a, room, e), event(t.Context(), b, room, e)); err != nil {
					t.Errorf("%v: %v", order, err)
				}
			}
			if p, err := b.Present(t.Context(), room); err != nil || len(p) != 0 {
				t.Errorf("%v: still present: %v, %v", order, p, err)
			}
			for _, who := range []string{"aminah", "bala"} {
				if j, l := strings.Count(told.String(), "joined "+who), strings.Count(told.String(), "left "+who); j != 1 || l != 1 {
					t.Errorf("%v: %s came %d times and went %d times: %s", order, who, j, l, told)
				}
			}
		})
	}
	calls.Wait()
}

func TestWhoComesAfterTheEndIsInTheNextCall(t *testing.T) {
	b, told, _ := newRoster(t)
	play(t, b, "a1+")
	if err := b.Joined(t.Context(), "r", "late", person("bala"), at(35)); err != nil {
		t.Fatal(err)
	}
	play(t, b, "end") // at 30, heard of late
	if p := present(t, b, "r"); len(p) != 1 || p[0].ID != "bala" {
		t.Errorf("present %v, want bala; told %s", p, told)
	}
}

func TestTwoCountsInARowCloseARoom(t *testing.T) {
	b, told, now := newRoster(t)
	play(t, b, "a1+")
	count := func(open ...string) {
		t.Helper()
		*now = now.Add(20 * time.Second)
		set := map[string]bool{}
		for _, o := range open {
			set[o] = true
		}
		if err := b.Counted(t.Context(), set, *now); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		open    []string
		present int
	}{{nil, 1}, {[]string{"r"}, 1}, {nil, 1}, {nil, 0}} {
		if count(step.open...); len(present(t, b, "r")) != step.present {
			t.Fatalf("after a count of %v: %d present, want %d", step.open, len(present(t, b, "r")), step.present)
		}
	}
	if told.String() != "joined aminah, left aminah" {
		t.Errorf("told %q", told)
	}
	if n := b.ClosedByCount(); n != 1 {
		t.Errorf("%d rooms were closed by counts", n)
	}
}

func TestACountKnowsNothingOfWhoCameAfterIt(t *testing.T) {
	b, _, now := newRoster(t)
	asOf := *now
	*now = now.Add(time.Second)
	play(t, b, "a1+")
	for range 3 {
		if err := b.Counted(t.Context(), nil, asOf); err != nil {
			t.Fatal(err)
		}
	}
	if len(present(t, b, "r")) != 1 {
		t.Error("somebody who came after the count was counted out")
	}
}

func TestSweepEndsStaysOfADayAndForgetsRooms(t *testing.T) {
	b, told, now := newRoster(t)
	play(t, b, "a1+")
	*now = now.Add(23 * time.Hour)
	if err := b.Sweep(t.Context()); err != nil || len(present(t, b, "r")) != 1 {
		t.Fatalf("swept too early: %v, %v", present(t, b, "r"), err)
	}
	*now = now.Add(2 * time.Hour)
	if err := b.Sweep(t.Context()); err != nil || len(present(t, b, "r")) != 0 {
		t.Fatalf("not swept: %v, %v", present(t, b, "r"), err)
	}
	if told.String() != "joined aminah, left aminah" {
		t.Errorf("told %q", told)
	}
}

func TestARoomTakesABoundedNumberOfStays(t *testing.T) {
	b, _, _ := newRoster(t)
	var stays []roster.Stay
	for n := range 5000 {
		stays = append(stays, roster.Stay{Key: fmt.Sprint(n), Person: person(fmt.Sprint(n % 3))})
	}
	if err := b.Destroyed(t.Context(), "r", at(10), stays[:10]...); err != nil {
		t.Fatal(err)
	}
	if err := b.Joined(t.Context(), "r", "one more", person("bala"), at(20)); err != nil {
		t.Fatal(err)
	}
	if err := b.Destroyed(t.Context(), "r", at(30), stays...); err != nil { // what fits is taken in
		t.Fatal(err)
	}
	if err := b.Joined(t.Context(), "r", "too many", person("chong"), at(40)); !errors.Is(err, roster.ErrFull) {
		t.Errorf("5000 stays were taken in: %v", err)
	}
	if p := present(t, b, "r"); len(p) != 0 {
		t.Errorf("still present: %v", p)
	}
}

func TestOneNoticePerComingUnderConcurrency(t *testing.T) {
	b, told, _ := newRoster(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, e := range []string{"a1+", "a1-"} {
				play(t, b, e)
			}
			_ = present(t, b, "r")
			_, _, _ = b.Counts(t.Context())
		})
	}
	wg.Wait()
	if told.String() != "joined aminah, left aminah" {
		t.Errorf("told %q", told)
	}
}

func TestSealHidesAndProves(t *testing.T) {
	seal, err := roster.NewSeal([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := roster.NewSeal([]byte(strings.Repeat("x", 32)))
	doctor := meeting.Person{ID: "practitioner-0a1b", Name: "Dr Aminah", Role: meeting.Practitioner}
	id := seal.ID("room-1", doctor)
	if id != seal.ID("room-1", doctor) {
		t.Error("a person's id is not stable")
	}
	if id == seal.ID("room-2", doctor) {
		t.Error("the same id in two rooms lets people be followed")
	}
	if strings.Contains(id, "0a1b") || strings.ContainsAny(id, "+/=%") {
		t.Errorf("id %q shows the person or needs escaping", id)
	}
	got, ok := seal.Open("room-1", id)
	if want := (meeting.Person{ID: doctor.ID, Role: doctor.Role}); !ok || got != want {
		t.Errorf("opened %+v %v, want %+v", got, ok, want)
	}
	for name, open := range map[string]func() (meeting.Person, bool){
		"another room":   func() (meeting.Person, bool) { return seal.Open("room-2", id) },
		"another secret": func() (meeting.Person, bool) { return other.Open("room-1", id) },
		"a forged id":    func() (meeting.Person, bool) { return seal.Open("room-1", "A"+id[1:]+"AAAA") },
		"no id":          func() (meeting.Person, bool) { return seal.Open("room-1", "") },
		"an open id":     func() (meeting.Person, bool) { return seal.Open("room-1", doctor.ID) },
	} {
		if p, ok := open(); ok {
			t.Errorf("%s opened as %+v", name, p)
		}
	}
	if _, err := roster.NewSeal([]byte("short")); err == nil {
		t.Error("a short secret was taken")
	}
}

// nobody is an exchange that dies before it tells anything.
func nobody() meeting.Admission { return nil }

func TestWhatANodeCouldNotTellIsToldByAnother(t *testing.T) {
	now, told, st := start, &diary{}, database(t)
	dying := &roster.Roster{Store: st, Admission: nobody, Clock: func() time.Time { return now }}
	other := node(st, told, &now)
	play(t, dying, "a1+")
	for _, wait := range []time.Duration{time.Second, 2 * time.Minute, time.Second} {
		now = now.Add(wait)
		if err := other.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "", false: "joined aminah"}[now.Sub(start) < time.Minute]; told.String() != want {
			t.Errorf("after %s told %q, want %q", now.Sub(start), told, want)
		}
	}
}

func TestARefusedStayIsKnownAtEveryNode(t *testing.T) {
	now, told, st := start, &diary{}, database(t)
	a, b := node(st, told, &now), node(st, told, &now)
	out := roster.Outsider{Room: "r", Key: "a1", User: "u"}
	if err := a.Refuse(t.Context(), out, person("aminah"), at(10)); err != nil {
		t.Fatal(err)
	}
	if known, refused, err := b.Knows(t.Context(), "r", "a1"); err != nil || !known || !refused {
		t.Errorf("known %v, refused %v, %v", known, refused, err)
	}
	play(t, b, "a1+")
	if list, err := b.Outsiders(t.Context()); err != nil || !slices.Equal(list, []roster.Outsider{out}) {
		t.Errorf("to be removed: %v, %v", list, err)
	}
	play(t, b, "a1-")
	play(t, b, "b+")
	if err := a.Refuse(t.Context(), roster.Outsider{Room: "r", Key: "b"}, person("bala"), at(12)); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Outsiders(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("still to be removed: %v, %v", list, err)
	}
	if told.String() != "joined bala" {
		t.Errorf("told %q", told)
	}
	// The refusal outlives the room for a day.
	play(t, a, "b-")
	for _, c := range []struct {
		wait  time.Duration
		known bool
	}{{2 * time.Hour, true}, {25 * time.Hour, false}} {
		now = now.Add(c.wait)
		if err := a.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if known, _, err := b.Knows(t.Context(), "r", "a1"); err != nil || known != c.known {
			t.Errorf("after %s known %v, %v", c.wait, known, err)
		}
	}
}

func TestAnEndIsKnownAtEveryNode(t *testing.T) {
	now, st := start, database(t)
	a, b := node(st, &diary{}, &now), node(st, &diary{}, &now)
	if err := a.End(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	for room, want := range map[string]bool{"r": true, "s": false} {
		if ended, err := b.Ended(t.Context(), room); err != nil || ended != want {
			t.Errorf("%s has ended: %v, %v", room, ended, err)
		}
	}
}

func TestTwoNodesCountTogether(t *testing.T) {
	now, told, st := start, &diary{}, database(t)
	a, b := node(st, told, &now), node(st, told, &now)
	play(t, a, "a1+")
	for i, n := range []*roster.Roster{b, a} { // the duty goes from one to the other
		now = now.Add(20 * time.Second)
		if err := n.Counted(t.Context(), nil, now); err != nil {
			t.Fatal(err)
		}
		if got := len(present(t, a, "r")); got != 1-i {
			t.Errorf("after count %d: %d present", i+1, got)
		}
	}
	if rooms, people, err := b.Counts(t.Context()); err != nil || rooms != 0 || people != 0 {
		t.Errorf("%d rooms, %d people, %v", rooms, people, err)
	}
	if told.String() != "joined aminah, left aminah" {
		t.Errorf("told %q", told)
	}
}

func TestOneNoticePerComingFromManyNodes(t *testing.T) {
	now, told, st := start, &diary{}, database(t)
	var wg sync.WaitGroup
	for range 4 {
		n := node(st, told, &now)
		wg.Go(func() {
			for _, e := range []string{"a1+", "b+", "end", "a1-", "b-"} {
				play(t, n, e)
			}
		})
	}
	wg.Wait()
	for _, line := range []string{"joined aminah", "left aminah", "joined bala", "left bala"} {
		if n := strings.Count(told.String(), line); n != 1 {
			t.Errorf("%q was told %d times: %s", line, n, told)
		}
	}
}
