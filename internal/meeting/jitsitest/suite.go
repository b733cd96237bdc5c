package jitsitest

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

// Suite plays what every provider promises by the contract, whatever stands
// behind it. make gives a provider that can be reached, with clock as its time.
func Suite(t *testing.T, clock func() time.Time, make func(t *testing.T) meeting.Provider) {
	doctor := meeting.Person{ID: "practitioner-1", Name: "Dr Aminah", Role: meeting.Practitioner}
	patient := meeting.Person{ID: "encounter-1", Name: "Bala", Role: meeting.Patient}
	const room = "vc-abcdefghijklmnopqrstuvwxyz"

	t.Run("credentials open one room for a short time", func(t *testing.T) {
		for _, p := range []meeting.Person{doctor, patient} {
			c, err := make(t).Credentials(t.Context(), room, p)
			if err != nil {
				t.Fatal(err)
			}
			if life := c.ExpiresAt.Sub(clock()); life <= 0 || life > 5*time.Minute {
				t.Errorf("%s: they last %s", p.Role, life)
			}
			if c.Room != room || c.Domain == "" || strings.Count(c.JWT, ".") != 2 {
				t.Errorf("%s: room %q, domain %q, %d dots in the JWT", p.Role, c.Room, c.Domain, strings.Count(c.JWT, "."))
			}
			u, err := url.Parse(c.JoinURL)
			if err != nil {
				t.Fatal(err)
			}
			if u.Host != c.Domain || !strings.HasSuffix(u.Path, "/"+room) {
				t.Errorf("%s: the page is %s%s", p.Role, u.Host, u.Path)
			}
			if !strings.Contains(u.Fragment, c.JWT) || u.RawQuery != "" {
				t.Errorf("%s: the JWT must be in the fragment and nowhere else", p.Role)
			}
		}
	})
	t.Run("two credentials are never the same", func(t *testing.T) {
		p := make(t)
		first, err := p.Credentials(t.Context(), room, patient)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := p.Credentials(t.Context(), room, patient); err != nil || second.JWT == first.JWT {
			t.Errorf("same JWT twice, or %v", err)
		}
	})
	for _, c := range []struct {
		name string
		room string
		who  meeting.Person
	}{
		{"a room without a name", "", doctor},
		{"a room that is a path", "../admin", doctor},
		{"a room with a query", "vc-a?x=1", doctor},
		{"a room with another address", "vc-a@evil", doctor},
		{"a very long room", strings.Repeat("a", 129), doctor},
		{"a person without an id", room, meeting.Person{Name: "Dr Aminah", Role: meeting.Practitioner}},
		{"a person with a very long id", room, meeting.Person{ID: strings.Repeat("a", 201), Role: meeting.Patient}},
		{"a person without a role", room, meeting.Person{ID: "x", Name: "X"}},
		{"a person with another role", room, meeting.Person{ID: "x", Name: "X", Role: "admin"}},
	} {
		t.Run("no credentials for "+c.name, func(t *testing.T) {
			got, err := make(t).Credentials(t.Context(), c.room, c.who)
			if err == nil || got != (meeting.Credentials{}) {
				t.Errorf("gave %q with %v", got.Room, err)
			}
			if code := fhir.CodeOf(err); code != fhir.CodeValue && code != fhir.CodeRequired {
				t.Errorf("the error has code %q", code)
			}
		})
	}
	t.Run("the end is for good and may be said twice", func(t *testing.T) {
		p := make(t)
		for range 2 {
			if err := p.End(t.Context(), room); err != nil {
				t.Fatalf("end of a room that never opened: %v", err)
			}
		}
		if _, err := p.Credentials(t.Context(), room, doctor); fhir.CodeOf(err) != fhir.CodeBusinessRule {
			t.Errorf("credentials for an ended room: %v", err)
		}
		if _, err := p.Credentials(t.Context(), room+"2", doctor); err != nil {
			t.Errorf("another room has ended too: %v", err)
		}
	})
	t.Run("the end of a room that cannot be", func(t *testing.T) {
		if err := make(t).End(t.Context(), "../admin"); fhir.CodeOf(err) != fhir.CodeValue {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody is in a room that never opened", func(t *testing.T) {
		if people, err := make(t).Present(t.Context(), room); err != nil || len(people) != 0 {
			t.Errorf("present %v, %v", people, err)
		}
	})
	t.Run("all at once", func(t *testing.T) {
		p := make(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := p.Credentials(t.Context(), room, doctor); err != nil && fhir.CodeOf(err) != fhir.CodeBusinessRule {
					t.Errorf("credentials: %v", err)
				}
				if _, err := p.Present(t.Context(), room); err != nil {
					t.Errorf("present: %v", err)
				}
				if err := p.End(t.Context(), room); err != nil {
					t.Errorf("end: %v", err)
				}
			})
		}
		wg.Wait()
	})
}
