package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// midnight is a day's beginning in Malaysia.
var midnight = time.Date(2026, 12, 31, 0, 0, 0, 0, time.FixedZone("", 8*60*60))

// complete expects everything that a demo shows, at this moment.
func (s *stage) complete(t *testing.T) {
	t.Helper()
	now := s.Now()
	at := now.In(fhir.Malaysia).Format("2 Jan 15:04")
	all := s.appointments(t)
	activated := map[string]bool{}
	for _, p := range s.cast.Patients {
		activated[p.ID] = p.RekodSaya
	}
	// kinds says for whom there is an appointment of a kind, with the sessions
	// of groups.
	kinds := map[string][]string{}
	classes := map[string][]string{}
	for patient, list := range all {
		live := 0
		for _, v := range list {
			kind := ""
			switch {
			case v.State == consult.Booked && v.CheckIn == consult.Open && now.Before(v.End.Add(-5*time.Minute)):
				live++
				switch {
				case v.Group:
					kind = "class"
					classes[s.token(t, v.Appointment)] = append(classes[s.token(t, v.Appointment)], patient)
				case activated[patient]:
					kind = "open at " + v.Provider
				default:
					kind = "without RekodSaya"
				}
			case v.State == consult.Booked && v.CheckIn == consult.TooEarly && v.Opens.Sub(now) > 30*time.Minute:
				kind = "too early"
			case v.End.Before(now) && v.State != consult.Waiting && v.State != consult.Ready:
				kind = "over"
			}
			kinds[kind] = append(kinds[kind], patient)
		}
		if live > 3 {
			t.Errorf("%s: %s has %d appointments to check in to at once", at, patient, live)
		}
	}
	want := []string{"too early", "over", "without RekodSaya"}
	for _, f := range facilities {
		want = append(want, "open at "+f.name)
	}
	for _, kind := range want {
		if len(kinds[kind]) == 0 {
			t.Errorf("%s: there is no appointment %q", at, kind)
		}
	}
	several := slices.MaxFunc(append(values(classes), nil), func(a, b []string) int { return len(a) - len(b) })
	if len(several) < 3 {
		t.Errorf("%s: the largest class has %d patients: %v", at, len(several), classes)
	}
	for token := range classes {
		if token == "" {
			t.Errorf("%s: an appointment of a class carries no token", at)
		}
	}
}

func values[K comparable, V any](m map[K]V) (list []V) {
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

func (s *stage) token(t *testing.T, appointment string) (token string) {
	t.Helper()
	err := s.store.View(t.Context(), func(r store.Reader) error {
		c, err := r.Consultation(appointment)
		token = c.Token
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestDemoAtEachHour(t *testing.T) {
	for hour := range 24 {
		at := midnight.Add(time.Duration(hour)*time.Hour + time.Duration(hour*7%60)*time.Minute + 17*time.Second)
		t.Run(at.Format("15:04"), func(t *testing.T) {
			s := open(t, t.TempDir(), &clock{now: at})
			s.complete(t)
			s.Stop()
		})
	}
}

// The demo's records keep every line of MY Core, so that an exchange which is
// strict shows them too.
func TestDemoIsStrict(t *testing.T) {
	for _, line := range mycore.Lines {
		cfg := laptop(t, t.TempDir())
		cfg.Validation, cfg.MYCore = "strict", string(line)
		openWith(t, cfg, &clock{now: midnight}).complete(t)
	}
}

func TestDemoAroundTheClock(t *testing.T) {
	data := t.TempDir()
	s := open(t, data, &clock{now: midnight.Add(-3 * time.Minute)})
	for begin := s.Now(); s.Now().Sub(begin) < 25*time.Hour; {
		s.pass(t, 13*time.Minute)
		s.complete(t)
	}
	s.Stop()
	for _, away := range []time.Duration{20 * time.Minute, 9 * time.Hour, 4 * 24 * time.Hour, 400 * 24 * time.Hour} {
		t.Run(fmt.Sprintf("after %v", away), func(t *testing.T) {
			before := s.cast
			s = open(t, data, &clock{now: s.Now().Add(away)})
			s.complete(t)
			s.pass(t, time.Minute)
			s.complete(t)
			if got := fmt.Sprint(s.cast.Clients, s.cast.Patients, s.cast.Practitioners); got != fmt.Sprint(before.Clients, before.Patients, before.Practitioners) {
				t.Error("the credentials have changed")
			}
			s.Stop()
		})
	}
}

// TestDemoAfterAConsultation: what was played to its end is there again.
func TestDemoAfterAConsultation(t *testing.T) {
	s := open(t, t.TempDir(), &clock{now: midnight.Add(10 * time.Hour)})
	aminah := s.cast.Patients[0]
	next := func() consult.View {
		t.Helper()
		for _, v := range s.appointments(t)[aminah.ID] {
			if v.State == consult.Booked && v.CheckIn == consult.Open {
				return v
			}
		}
		t.Fatal("there is nothing to check in to")
		return consult.View{}
	}
	first := next()
	if err := s.consult.CheckIn(t.Context(), s.principal(aminah), first.Appointment, consult.Consent{VideoConsultation: true, Language: "ms"}); err != nil {
		t.Fatal(err)
	}
	s.pass(t, time.Minute)
	for _, v := range s.appointments(t)[aminah.ID] {
		if v.State == consult.Booked && v.CheckIn == consult.Open {
			t.Error("while she waits she was given another appointment")
		}
	}
	if err := s.consult.Cancel(t.Context(), s.principal(aminah), first.Appointment); err != nil {
		t.Fatal(err)
	}
	s.pass(t, time.Minute)
	if again := next(); again.Appointment == first.Appointment {
		t.Error("the appointment that was cancelled is open again")
	}
	s.complete(t)
}

// TestDemoAfterAClass: a class whose session has ended is followed by another
// with a session of its own.
func TestDemoAfterAClass(t *testing.T) {
	s := open(t, t.TempDir(), &clock{now: midnight.Add(15 * time.Hour)})
	class := func() string {
		t.Helper()
		tokens := map[string]int{}
		for _, list := range s.appointments(t) {
			for _, v := range list {
				if v.Group && v.State == consult.Booked && v.CheckIn == consult.Open {
					tokens[s.token(t, v.Appointment)]++
				}
			}
		}
		best := ""
		for token, n := range tokens {
			if session, err := s.consult.Session(t.Context(), s.seeder.principal(0), token); err == nil && session.Status != consult.SessionEnded && n > tokens[best] {
				best = token
			}
		}
		return best
	}
	first := class()
	if _, err := s.consult.EndSession(t.Context(), s.seeder.principal(0), first); err != nil {
		t.Fatal(err)
	}
	s.pass(t, time.Minute)
	if second := class(); second == "" || second == first {
		t.Errorf("there is no class after the first one has ended")
	}
}
