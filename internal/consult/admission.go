package consult

import (
	"context"
	"errors"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Service decides who may enter a call and learns who came and went.
var _ meeting.Admission = (*Service)(nil)

// Admit lets practitioners in until the session ends, and patients while it is
// active and their own consultation is ready or in the call.
func (s *Service) Admit(ctx context.Context, room string, p meeting.Person) error {
	return s.Store.View(ctx, func(r store.Reader) error {
		session, err := r.SessionByRoom(room)
		if errors.Is(err, store.ErrNotFound) {
			return fhir.Errorf(fhir.CodeNotFound, "", "There is no such session.")
		}
		switch {
		case err != nil:
			return err
		case session.Status == SessionEnded:
			return ended()
		case p.Role == meeting.Practitioner:
			return nil
		case session.Status != SessionActive:
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The session has not started.")
		}
		c, err := seat(r, session.Token, p)
		if err != nil {
			return err
		}
		if State(c.State) != Ready && State(c.State) != InCall {
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation %s.", phrases[State(c.State)])
		}
		return nil
	})
}

// seat finds the consultation of a patient in a session.
func seat(r store.Reader, token string, p meeting.Person) (store.Consultation, error) {
	c, err := r.ConsultationOf(p.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.Token != token {
		return c, fhir.Errorf(fhir.CodeForbidden, "", "This call is for somebody else.")
	}
	return c, err
}

// Joined notes that somebody has entered; the first entry of a patient begins
// the consultation.
func (s *Service) Joined(ctx context.Context, room string, p meeting.Person) {
	err := s.update(ctx, func(tx store.Tx, e *Effects) error {
		session, err := tx.SessionByRoom(room)
		if err != nil {
			return err
		}
		if err := s.trail(tx, auth.Exchange, "E", "enter-"+string(p.Role), "Session/"+room, session.Organization); err != nil {
			return err
		}
		list, err := tx.ConsultationsWith(session.Token)
		if err != nil {
			return err
		}
		for _, c := range list {
			if p.Role == meeting.Patient && c.Encounter == p.ID && State(c.State) == Ready && session.Status == SessionActive {
				err = s.apply(tx, e, &c, moveJoin, auth.Exchange, "")
			} else {
				err = s.wake(tx, e, &c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Log.Error("an entry into a call could not be noted", "room", room, "error", err)
	}
}

// Left notes that somebody is gone. It never finishes a consultation.
func (s *Service) Left(ctx context.Context, room string, p meeting.Person) {
	err := s.update(ctx, func(tx store.Tx, e *Effects) error {
		session, err := tx.SessionByRoom(room)
		if err != nil {
			return err
		}
		list, err := tx.ConsultationsWith(session.Token)
		if err != nil {
			return err
		}
		for _, c := range list {
			if err := s.wake(tx, e, &c); err != nil {
				return err
			}
		}
		return s.trail(tx, auth.Exchange, "E", "leave-"+string(p.Role), "Session/"+room, session.Organization)
	})
	if err != nil {
		s.Log.Error("a leaving of a call could not be noted", "room", room, "error", err)
	}
}

// EndForAll ends the session at a practitioner's request from inside the call.
func (s *Service) EndForAll(ctx context.Context, room string, p meeting.Person) error {
	if p.Role != meeting.Practitioner {
		return auth.ErrForbidden()
	}
	var session store.Session
	err := s.update(ctx, func(tx store.Tx, e *Effects) (err error) {
		if session, err = tx.SessionByRoom(room); err != nil || session.Status == SessionEnded {
			return err
		}
		return s.end(tx, e, auth.Exchange, &session)
	})
	if err != nil {
		return err
	}
	s.close(ctx, session)
	return nil
}
