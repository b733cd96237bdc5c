package consult

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	batch    = 200 // consultations or sessions of one round of the timers
	atOnce   = 8   // calls that are ended side by side
	endRound = 10 * time.Second
)

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
// not confirmed. It takes 10 s at most, and what it does not come to has its
// turn in another round: a provider that confirms nothing keeps nobody waiting.
// It is for one node at a time.
func (s *Service) CloseEnded(ctx context.Context) error {
	var open []store.Session
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		open, err = r.OpenEndings(batch)
		return err
	})
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	ctx, cancel := context.WithTimeout(ctx, endRound)
	defer cancel()
	todo := make(chan store.Session)
	var closing sync.WaitGroup
	for range min(atOnce, len(open)) {
		closing.Go(func() {
			for session := range todo {
				s.close(ctx, session)
			}
		})
	}
	for _, session := range open {
		select {
		case todo <- session:
		case <-ctx.Done():
		}
	}
	close(todo)
	closing.Wait()
	return err
}
