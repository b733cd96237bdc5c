package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// waiting makes a consultation of an individual who waits for service hs-1.
func waiting(appointment string, checkedIn time.Time) store.Consultation {
	return store.Consultation{
		Appointment: appointment, Encounter: "enc-" + appointment, Patient: "p-" + appointment, Organization: "org-a",
		HealthcareService: "hs-1", ServiceType: "VCI", Token: "token-" + appointment, State: "waiting",
		Start: minute(60), End: minute(90), CheckedIn: checkedIn,
	}
}

func putConsultations(t *testing.T, s store.Store, list ...store.Consultation) {
	t.Helper()
	write(t, s, func(tx store.Tx) error {
		for _, c := range list {
			if err := tx.PutConsultation(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// appointments gives the keys of consultations, in order.
func appointments(list []store.Consultation) []string {
	out := make([]string, 0, len(list))
	for _, c := range list {
		out = append(out, c.Appointment)
	}
	return out
}

func consultation(appointment string) func(store.Reader) (store.Consultation, error) {
	return func(r store.Reader) (store.Consultation, error) { return r.Consultation(appointment) }
}

func booked(slot string) func(store.Reader) (int, error) {
	return func(r store.Reader) (int, error) { return r.Booked(slot) }
}

func ahead(c store.Consultation) func(store.Reader) (int, error) {
	return func(r store.Reader) (int, error) { return r.Ahead(c) }
}

var consultationTests = []test{
	{"a consultation is found by appointment, encounter, token and patient", func(t *testing.T, s store.Store) {
		want := waiting("a1", minute(1))
		want.Ready, want.InCall, want.Closed = minute(2), minute(3), minute(4)
		putConsultations(t, s, want, waiting("a2", minute(1)))
		equal(t, "by appointment", read(t, s, consultation("a1")), want)
		equal(t, "by encounter", read(t, s, func(r store.Reader) (store.Consultation, error) { return r.ConsultationOf("enc-a1") }), want)
		equal(t, "by token", read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsWith("token-a1") }), []store.Consultation{want})
		equal(t, "by patient", read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsFor([]string{"p-a1"}) }), []store.Consultation{want})

		absent(t, s, "another appointment", consultation("enc-a1"))
		absent(t, s, "another encounter", func(r store.Reader) (store.Consultation, error) { return r.ConsultationOf("a1") })
		equal(t, "by another token", len(read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsWith("a1") })), 0)
	}},
	{"a consultation is replaced whole", func(t *testing.T, s store.Store) {
		putConsultations(t, s, waiting("a1", minute(1)))
		next := store.Consultation{Appointment: "a1", State: "cancelled", Closed: minute(5)}
		putConsultations(t, s, next)
		equal(t, "the consultation", read(t, s, consultation("a1")), next)
		absent(t, s, "the encounter of before", func(r store.Reader) (store.Consultation, error) { return r.ConsultationOf("enc-a1") })
	}},
	{"what a consultation does not have yet finds nothing", func(t *testing.T, s store.Store) {
		putConsultations(t, s, store.Consultation{Appointment: "a1", State: "booked"}, store.Consultation{Appointment: "a2", State: "booked"})
		equal(t, "both are there", read(t, s, consultation("a2")).State, "booked")
		absent(t, s, "no encounter", func(r store.Reader) (store.Consultation, error) { return r.ConsultationOf("") })
		equal(t, "no token", len(read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsWith("") })), 0)
		equal(t, "no patient", len(read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsFor([]string{""}) })), 0)
		equal(t, "no patients", len(read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsFor(nil) })), 0)
	}},
	{"an encounter belongs to one consultation", func(t *testing.T, s store.Store) {
		putConsultations(t, s, waiting("a1", minute(1)))
		other := waiting("a2", minute(2))
		other.Encounter = "enc-a1"
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutConsultation(other) }); err == nil {
			t.Error("a second consultation took the encounter")
		}
		equal(t, "the first", read(t, s, consultation("a1")), waiting("a1", minute(1)))
		absent(t, s, "the second", consultation("a2"))
	}},
	{"a group shares a token", func(t *testing.T, s store.Store) {
		var want []store.Consultation
		for i := range 3 {
			c := waiting(fmt.Sprintf("a%d", i), minute(1))
			c.Token = "shared"
			want = append(want, c)
		}
		putConsultations(t, s, want[2], want[0], waiting("b", minute(1)), want[1])
		equal(t, "the group", read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsWith("shared") }), want)
	}},
	{"a patient's consultations by start", func(t *testing.T, s store.Store) {
		at := func(appointment, patient string, start int) store.Consultation {
			c := waiting(appointment, minute(1))
			c.Patient, c.Start = patient, minute(start)
			return c
		}
		putConsultations(t, s, at("a1", "p1", 30), at("a2", "p2", 20), at("a3", "p1", 10), at("a4", "p3", 5), at("a0", "p1", 30))
		for _, c := range []struct {
			patients []string
			want     []string
		}{
			{[]string{"p1"}, []string{"a3", "a0", "a1"}},
			{[]string{"p1", "p2"}, []string{"a3", "a2", "a0", "a1"}},
			{[]string{"p1", "p1"}, []string{"a3", "a0", "a1"}},
			{[]string{"p9"}, []string{}},
		} {
			got := read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.ConsultationsFor(c.patients) })
			equal(t, fmt.Sprint(c.patients), appointments(got), c.want)
		}
	}},
	{"who is ahead in the queue", func(t *testing.T, s store.Store) {
		me := waiting("me", minute(10))
		other := func(appointment string, checkedIn int, change func(*store.Consultation)) store.Consultation {
			c := waiting(appointment, minute(checkedIn))
			if change != nil {
				change(&c)
			}
			return c
		}
		putConsultations(t, s, me,
			other("before-1", 1, nil), other("before-2", 9, nil), // these two count
			other("kin", 10, nil),      // the same instant: by appointment, "kin" < "me"
			other("neighbor", 10, nil), // and "neighbor" > "me"
			other("later", 11, nil),
			other("ready", 2, func(c *store.Consultation) { c.State = "ready" }),
			other("elsewhere", 3, func(c *store.Consultation) { c.HealthcareService = "hs-2" }),
			other("group", 4, func(c *store.Consultation) { c.ServiceType = "VCE" }),
			other("experts", 5, func(c *store.Consultation) { c.ServiceType = "VCMDT" }), // counts
		)
		equal(t, "ahead", read(t, s, ahead(me)), 4)
		equal(t, "ahead of the first", read(t, s, ahead(waiting("before-1", minute(1)))), 0)
		equal(t, "ahead of the last", read(t, s, ahead(waiting("later", minute(11)))), 6)
	}},
	{"the counting of a queue is bounded", func(t *testing.T, s store.Store) {
		var list []store.Consultation
		for i := range store.MaxAhead + 5 {
			list = append(list, waiting(fmt.Sprintf("a%04d", i), minute(i)))
		}
		putConsultations(t, s, list...)
		equal(t, "ahead of the one before the bound", read(t, s, ahead(list[store.MaxAhead-1])), store.MaxAhead-1)
		equal(t, "ahead of the one at the bound", read(t, s, ahead(list[store.MaxAhead])), store.MaxAhead)
		equal(t, "ahead of the last", read(t, s, ahead(list[len(list)-1])), store.MaxAhead)
	}},
	{"what is due", func(t *testing.T, s store.Store) {
		in := func(appointment, state string, end int) store.Consultation {
			c := waiting(appointment, minute(1))
			c.State, c.End = state, minute(end)
			return c
		}
		closed := in("closed", "waiting", 1)
		closed.Closed = minute(2)
		putConsultations(t, s, in("w30", "waiting", 30), in("b20", "booked", 20), in("w10", "waiting", 10), in("r10", "ready", 10),
			in("c5", "in-call", 5), in("a30", "waiting", 30), closed)
		for _, c := range []struct {
			name   string
			states []string
			before time.Time
			limit  int
			want   []string
		}{
			{"one state", []string{"waiting"}, minute(99), 9, []string{"w10", "a30", "w30"}},
			{"two states", []string{"waiting", "booked"}, minute(99), 9, []string{"w10", "b20", "a30", "w30"}},
			{"the same end, by appointment", []string{"waiting", "ready"}, minute(11), 9, []string{"r10", "w10"}},
			{"an end at the time is not before it", []string{"waiting"}, minute(30), 9, []string{"w10"}},
			{"just after", []string{"waiting"}, minute(30).Add(time.Microsecond), 9, []string{"w10", "a30", "w30"}},
			{"at most so many", []string{"waiting", "booked"}, minute(99), 2, []string{"w10", "b20"}},
			{"none is that old", []string{"waiting"}, minute(10), 9, []string{}},
			{"a state of none", []string{"elsewhere"}, minute(99), 9, []string{}},
			{"no state", nil, minute(99), 9, []string{}},
		} {
			got := read(t, s, func(r store.Reader) ([]store.Consultation, error) { return r.Due(c.states, c.before, c.limit) })
			equal(t, c.name, appointments(got), c.want)
		}
	}},
	{"sessions by token and by room", func(t *testing.T, s store.Store) {
		one := store.Session{Token: "t1", Room: "r1", Status: "created", ServiceType: "VCI", Organization: "org-a", Title: "Klinik 华", Created: minute(1)}
		two := store.Session{Token: "t2", Room: "r2", Status: "ended", ServiceType: "VCMDT", Organization: "org-b",
			Created: minute(1), Activated: minute(2), Ended: minute(3), Closed: minute(4)}
		write(t, s, func(tx store.Tx) error { return errors.Join(tx.PutSession(one), tx.PutSession(two)) })
		byToken := func(token string) func(store.Reader) (store.Session, error) {
			return func(r store.Reader) (store.Session, error) { return r.Session(token) }
		}
		byRoom := func(room string) func(store.Reader) (store.Session, error) {
			return func(r store.Reader) (store.Session, error) { return r.SessionByRoom(room) }
		}
		for _, want := range []store.Session{one, two} {
			equal(t, "by token", read(t, s, byToken(want.Token)), want)
			equal(t, "by room", read(t, s, byRoom(want.Room)), want)
		}
		absent(t, s, "a room as a token", byToken("r1"))
		absent(t, s, "a token as a room", byRoom("t1"))

		one.Status, one.Activated, one.Room = "active", minute(5), "r3"
		write(t, s, func(tx store.Tx) error { return tx.PutSession(one) })
		equal(t, "replaced", read(t, s, byRoom("r3")), one)
		absent(t, s, "the room of before", byRoom("r1"))

		thief := store.Session{Token: "t9", Room: "r2", Status: "created"}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutSession(thief) }); err == nil {
			t.Error("a second session took the room")
		}
		equal(t, "the session in the room", read(t, s, byRoom("r2")), two)
		absent(t, s, "the second session", byToken("t9"))
	}},
	{"endings that the provider has not confirmed", func(t *testing.T, s store.Store) {
		session := func(token, status string, ended, closed int) store.Session {
			x := store.Session{Token: token, Room: "room-" + token, Status: status, Created: monday}
			if ended > 0 {
				x.Ended = minute(ended)
			}
			if closed > 0 {
				x.Closed = minute(closed)
			}
			return x
		}
		write(t, s, func(tx store.Tx) error {
			for _, x := range []store.Session{
				session("late", "ended", 30, 0), session("early", "ended", 10, 0), session("open", "active", 0, 0),
				session("done", "ended", 5, 6), session("middle", "ended", 20, 0),
			} {
				if err := tx.PutSession(x); err != nil {
					return err
				}
			}
			return nil
		})
		for limit, want := range map[int][]string{10: {"early", "middle", "late"}, 2: {"early", "middle"}} {
			list := read(t, s, func(r store.Reader) ([]store.Session, error) { return r.OpenEndings(limit) })
			got := []string{}
			for _, x := range list {
				got = append(got, x.Token)
			}
			equal(t, "endings", got, want)
		}
	}},
	{"the bookings of a slot", func(t *testing.T, s store.Store) {
		equal(t, "nobody", read(t, s, booked("s1")), 0)
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.Book("s1", "a1"), tx.Book("s1", "a2"), tx.Book("s1", "a1"), tx.Book("s2", "a1"))
		})
		write(t, s, func(tx store.Tx) error { return tx.Book("s1", "a2") })
		equal(t, "each appointment once", read(t, s, booked("s1")), 2)
		equal(t, "the other slot", read(t, s, booked("s2")), 1)
		for range 2 {
			write(t, s, func(tx store.Tx) error { return errors.Join(tx.Unbook("s1", "a1"), tx.Unbook("s1", "nobody")) })
		}
		equal(t, "after one has gone", read(t, s, booked("s1")), 1)
		equal(t, "the other slot", read(t, s, booked("s2")), 1)
	}},
	{"a call is found by its room, replaced and deleted", func(t *testing.T, s store.Store) {
		call := func(room string) func(store.Reader) (store.Call, error) {
			return func(r store.Reader) (store.Call, error) { return r.Call(room) }
		}
		count := func() (n [2]int) {
			_ = read(t, s, func(r store.Reader) (_ int, err error) { n[0], n[1], err = r.InCalls(); return 0, err })
			return n
		}
		equal(t, "nobody is anywhere", count(), [2]int{})
		absent(t, s, "no such room", call("vc-a"))
		want := store.Call{Room: "vc-a", People: 2, State: []byte("{\x00}"), Touched: minute(1)}
		write(t, s, func(tx store.Tx) error {
			for _, c := range []store.Call{want, {Room: "vc-c", State: []byte("c"), Touched: minute(1)}, {Room: "vc-b", People: 5, State: []byte("b"), Touched: minute(2)}} {
				if err := tx.PutCall(c); err != nil {
					return err
				}
			}
			return nil
		})
		equal(t, "the call", read(t, s, call("vc-a")), want)
		equal(t, "rooms and people", count(), [2]int{2, 7})
		var rooms []string
		for after := ""; ; {
			page := read(t, s, func(r store.Reader) ([]store.Call, error) { return r.Calls(after, 2) })
			for _, c := range page {
				rooms = append(rooms, c.Room)
				after = c.Room
			}
			if len(page) < 2 {
				break
			}
		}
		equal(t, "by room", rooms, []string{"vc-a", "vc-b", "vc-c"})
		want.People, want.State = 0, []byte("{}")
		write(t, s, func(tx store.Tx) error {
			if err := tx.PutCall(want); err != nil {
				return err
			}
			for range 2 {
				if err := tx.DeleteCall("vc-b"); err != nil {
					return err
				}
			}
			return nil
		})
		equal(t, "the call after it", read(t, s, call("vc-a")), want)
		absent(t, s, "the deleted one", call("vc-b"))
		equal(t, "nobody is left", count(), [2]int{})
	}},
}
