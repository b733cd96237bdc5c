package roster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
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

func newRoster() (*roster.Roster, *diary, *time.Time) {
	now, d := start, &diary{}
	return &roster.Roster{Admission: func() meeting.Admission { return d }, Clock: func() time.Time { return now }}, d, &now
}

// events of two stays of Aminah (a1, a2) and one of Bala, by name.
func play(t *testing.T, b *roster.Roster, event string) {
	t.Helper()
	ctx := t.Context()
	var err error
	switch event {
	case "a1+":
		err = b.Joined(ctx, "r", "a1", person("aminah"), at(10))
	case "a1-":
		err = b.Left(ctx, "r", "a1", person("aminah"), at(20))
	case "a2+":
		err = b.Joined(ctx, "r", "a2", person("aminah"), at(15))
	case "a2-":
		err = b.Left(ctx, "r", "a2", person("aminah"), at(40))
	case "b+":
		err = b.Joined(ctx, "r", "b", person("bala"), at(12))
	case "b-":
		err = b.Left(ctx, "r", "b", person("bala"), at(30))
	case "end":
		err = b.Destroyed(ctx, "r", at(30))
	case "end with b":
		err = b.Destroyed(ctx, "r", at(30), roster.Stay{Key: "b", Person: person("bala")})
	default:
		t.Fatalf("no event %q", event)
	}
	if err != nil {
		t.Fatalf("%s: %v", event, err)
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
			b, told, _ := newRoster()
			for _, e := range strings.Fields(strings.ReplaceAll(c.events, "end with b", "end_with_b")) {
				play(t, b, strings.ReplaceAll(e, "_", " "))
			}
			if told.String() != c.told {
				t.Errorf("told %q, want %q", told, c.told)
			}
			var present []string
			for _, p := range b.Present("r") {
				present = append(present, p.ID)
			}
			if got := strings.Join(present, ","); got != c.present {
				t.Errorf("present %q, want %q", got, c.present)
			}
		})
	}
}

func TestEveryOrderOfACallEndsWithNobodyInside(t *testing.T) {
	events := []string{"a1+", "a1-", "b+", "b-", "end"}
	var permute func(done, rest []string)
	permute = func(done, rest []string) {
		if len(rest) == 0 {
			b, told, _ := newRoster()
			for _, e := range done {
				play(t, b, e)
				play(t, b, e) // each twice
			}
			if p := b.Present("r"); len(p) != 0 {
				t.Errorf("%v: still present: %v", done, p)
			}
			for _, who := range []string{"aminah", "bala"} {
				if j, l := strings.Count(told.String(), "joined "+who), strings.Count(told.String(), "left "+who); j != 1 || l != 1 {
					t.Errorf("%v: %s came %d times and went %d times: %s", done, who, j, l, told)
				}
			}
			return
		}
		for i := range rest {
			permute(append(slices.Clone(done), rest[i]), slices.Delete(slices.Clone(rest), i, i+1))
		}
	}
	permute(nil, events)
}

func TestWhoComesAfterTheEndIsInTheNextCall(t *testing.T) {
	b, told, _ := newRoster()
	play(t, b, "a1+")
	if err := b.Joined(t.Context(), "r", "late", person("bala"), at(35)); err != nil {
		t.Fatal(err)
	}
	play(t, b, "end") // at 30, heard of late
	if p := b.Present("r"); len(p) != 1 || p[0].ID != "bala" {
		t.Errorf("present %v, want bala; told %s", p, told)
	}
}

func TestTwoCountsInARowCloseARoom(t *testing.T) {
	b, told, now := newRoster()
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
		if count(step.open...); len(b.Present("r")) != step.present {
			t.Fatalf("after a count of %v: %d present, want %d", step.open, len(b.Present("r")), step.present)
		}
	}
	if told.String() != "joined aminah, left aminah" {
		t.Errorf("told %q", told)
	}
}

func TestACountKnowsNothingOfWhoCameAfterIt(t *testing.T) {
	b, _, now := newRoster()
	asOf := *now
	*now = now.Add(time.Second)
	play(t, b, "a1+")
	for range 3 {
		if err := b.Counted(t.Context(), nil, asOf); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.Present("r")) != 1 {
		t.Error("somebody who came after the count was counted out")
	}
}

func TestSweepEndsStaysOfADayAndForgetsRooms(t *testing.T) {
	b, told, now := newRoster()
	play(t, b, "a1+")
	*now = now.Add(23 * time.Hour)
	if err := b.Sweep(t.Context()); err != nil || len(b.Present("r")) != 1 {
		t.Fatalf("swept too early: %v, %v", b.Present("r"), err)
	}
	*now = now.Add(2 * time.Hour)
	if err := b.Sweep(t.Context()); err != nil || len(b.Present("r")) != 0 {
		t.Fatalf("not swept: %v, %v", b.Present("r"), err)
	}
	if told.String() != "joined aminah, left aminah" {
		t.Errorf("told %q", told)
	}
}

func TestARoomTakesABoundedNumberOfStays(t *testing.T) {
	b, _, _ := newRoster()
	var err error
	n := 0
	for ; n < 5000 && err == nil; n++ {
		err = b.Joined(t.Context(), "r", fmt.Sprint(n), person(fmt.Sprint(n%3)), at(10))
	}
	if !errors.Is(err, roster.ErrFull) {
		t.Errorf("%d stays were taken in, the last with %v", n, err)
	}
}

func TestOneNoticePerComingUnderConcurrency(t *testing.T) {
	b, told, _ := newRoster()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, e := range []string{"a1+", "a1-"} {
				play(t, b, e)
			}
			_ = b.Present("r")
			_, _ = b.Counts()
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

func TestEveryFeatureIsListed(t *testing.T) {
	for _, role := range []meeting.Role{meeting.Practitioner, meeting.Patient} {
		f := roster.Features(role)
		for _, name := range []string{"recording", "livestreaming", "transcription", "outbound-call", "sip-outbound-call", "file-upload"} {
			if on, listed := f[name]; !listed || on {
				t.Errorf("%s: %s is listed %v, on %v", role, name, listed, on)
			}
		}
	}
}
