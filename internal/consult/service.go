package consult

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Window bounds the time of a consultation.
type Window struct {
	Before time.Duration // check-in opens this long before the start
	Grace  time.Duration // a checked-in consultation may start this long after the end
}

// DefaultWindow opens check-in half an hour before the start.
var DefaultWindow = Window{Before: 30 * time.Minute, Grace: 30 * time.Minute}

// Service is the consultation. Its fields are set once, before use.
type Service struct {
	Store   store.Store
	Records *record.Keeper
	Booking *booking.Desk
	Meeting meeting.Provider
	Hub     *notify.Hub
	Relay   func() // tells the outbox that there are events
	Clock   func() time.Time
	Window  Window
	Log     *slog.Logger

	moved tally
}

// Effects are what is to be done once a transaction is on disk.
type Effects struct {
	wake  []string // keys of the hub
	moves []Move
}

// Before ends a transaction: what it will cause after its commit is told to
// the other nodes with it.
func (s *Service) Before(tx store.Tx, e *Effects) error {
	return s.Hub.Announce(tx, s.Clock(), e.wake...)
}

// After does what a committed transaction has caused.
func (s *Service) After(e *Effects) {
	s.moved.add(e.moves)
	s.Hub.Wake(e.wake...)
	s.Relay()
}

// update runs fn in one transaction and then does its effects. The effects are
// those of the run that was committed.
func (s *Service) update(ctx context.Context, fn func(tx store.Tx, e *Effects) error) error {
	var e Effects
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		e = Effects{}
		if err := fn(tx, &e); err != nil {
			return err
		}
		return s.Before(tx, &e)
	})
	if err != nil {
		return err
	}
	s.After(&e)
	return nil
}

// apply moves a consultation and brings its row, its Appointment and its
// Encounter in line. skip names a resource type whose document the caller
// writes itself.
func (s *Service) apply(tx store.Tx, e *Effects, c *store.Consultation, m Move, by auth.Principal, skip string) error {
	queued := State(c.State) == Waiting
	if err := next(c, m, s.Clock()); err != nil {
		return err
	}
	e.moves = append(e.moves, m)
	if queued { // everybody behind moves up
		e.wake = append(e.wake, notify.ServiceKey(c.HealthcareService))
	}
	if err := tx.PutConsultation(*c); err != nil {
		return err
	}
	show := statuses[State(c.State)]
	if skip != "Appointment" && show.appointment != "" {
		if err := s.setAppointment(tx, c, show.appointment, by); err != nil {
			return err
		}
	}
	if skip != "Encounter" && show.encounter != "" && c.Encounter != "" {
		if err := s.setEncounter(tx, c, show.encounter, by); err != nil {
			return err
		}
	}
	return s.wake(tx, e, c)
}

// wake signals the open pages of the patient.
func (s *Service) wake(r store.Reader, e *Effects, c *store.Consultation) error {
	if c.Patient == "" {
		return nil
	}
	patient, err := record.Find(r, "Patient", c.Patient)
	if err != nil || patient == nil {
		return err
	}
	for _, number := range mycore.IdentityNumbers(patient.Doc) {
		e.wake = append(e.wake, notify.InboxKey(number))
	}
	return nil
}

// patients gives the ids of the Patient records that carry the identity number
// of an account: a person has one in each source system.
func patients(r store.Reader, identityNumber string) ([]string, error) {
	if identityNumber == "" {
		return nil, nil
	}
	page, err := r.Search(notify.ByIdentityNumber(identityNumber, "", 100))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, res := range page.Resources {
		ids = append(ids, res.ID)
	}
	return ids, nil
}

// theirs gives the consultation of an appointment when it is the principal's.
// Anything else is not found, so that ids cannot be tried out.
func theirs(r store.Reader, p auth.Principal, appointment string) (store.Consultation, error) {
	missing := fhir.Errorf(fhir.CodeNotFound, "", "There is no such appointment.")
	if p.Kind != auth.Patient {
		return store.Consultation{}, auth.ErrForbidden()
	}
	c, err := r.Consultation(appointment)
	if errors.Is(err, store.ErrNotFound) {
		return c, missing
	}
	if err != nil {
		return c, err
	}
	ids, err := patients(r, p.Login)
	if err != nil {
		return c, err
	}
	for _, id := range ids {
		if id == c.Patient {
			return c, nil
		}
	}
	return c, missing
}

// trail writes the audit record of an action on a consultation.
func (s *Service) trail(tx store.Tx, p auth.Principal, action, operation, target, organization string) error {
	return tx.PutAudit(store.Audit{
		At: s.Clock(), Action: action, Operation: operation, AgentKind: string(p.Kind), Agent: p.ID,
		Organization: organization, Target: target, Outcome: "0",
	})
}
