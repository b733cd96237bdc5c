package consult

import (
	"context"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const batch = 200 // consultations or sessions of one round of the timers

// timers says which states time itself ends, how, and how long after the end
// of the appointment.
func (s *Service) timers() []struct {
	states []string
	move   Move
	grace  time.Duration
} {
	return []struct {
		states []string
		move   Move
		grace  time.Duration
	}{
		{[]string{string(Booked)}, moveMiss, 0},
		{[]string{string(Waiting), string(Ready)}, moveGiveUp, s.Window.Grace},
	}
}

// Expire closes the consultations whose time is over: missed ones, and those
// that were never started. It returns how many it closed.
func (s *Service) Expire(ctx context.Context) (closed int, err error) {
	for _, t := range s.timers() {
		before := s.Clock().Add(-t.grace)
		var due []store.Consultation
		err := s.Store.View(ctx, func(r store.Reader) (err error) {
			due, err = r.Due(t.states, before, batch)
			return err
		})
		if err != nil {
			return closed, err
		}
		for _, d := range due {
			done := false
			err := s.update(ctx, func(tx store.Tx, e *Effects) error {
				done = false
				c, err := tx.Consultation(d.Appointment)
				if err != nil || c.State != d.State || !c.End.Before(before) {
					return err // it has moved meanwhile
				}
				done = true
				return s.apply(tx, e, &c, t.move, auth.Exchange, "")
			})
			if err != nil {
				return closed, err
			}
			if done {
				closed++
			}
		}
	}
	return closed, nil
}

// CloseEnded tries again to end the calls whose end the meeting provider has
// not confirmed.
func (s *Service) CloseEnded(ctx context.Context) error {
	var open []store.Session
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		open, err = r.OpenEndings(batch)
		return err
	})
	for _, session := range open {
		s.close(ctx, session)
	}
	return err
}
