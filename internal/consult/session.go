package consult

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const maxTitle = 120 // characters of a session's title

// CreateSession opens a session for a source system, before there are
// appointments: the way of group sessions.
func (s *Service) CreateSession(ctx context.Context, p auth.Principal, n NewSession) (SessionView, error) {
	if _, err := auth.Allow(p, auth.Session, ""); err != nil {
		return SessionView{}, err
	}
	if n.ServiceType == "" {
		n.ServiceType = Education
	}
	switch {
	case !serviceTypes[n.ServiceType]:
		return SessionView{}, fhir.Errorf(fhir.CodeValue, "serviceType", "The serviceType must be VCI, VCE, VCMDT or VCD.")
	case len([]rune(n.Title)) > maxTitle || strings.ContainsFunc(n.Title, unicode.IsControl):
		return SessionView{}, fhir.Errorf(fhir.CodeValue, "title", "The title must be at most %d characters on one line.", maxTitle)
	}
	session := s.newSession(p.Organization, n.ServiceType, n.Title)
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutSession(session); err != nil {
			return err
		}
		return s.trail(tx, p, "C", "session-create", "Session/"+session.Room, p.Organization)
	})
	return SessionView{Session: session}, err
}

var serviceTypes = map[string]bool{Individual: true, Education: true, "VCMDT": true, "VCD": true}

// owned gives a session of the principal's organisation; any other is not found.
func owned(r store.Reader, p auth.Principal, token string) (store.Session, error) {
	grant, err := auth.Allow(p, auth.Session, "")
	if err != nil {
		return store.Session{}, err
	}
	session, err := r.Session(token)
	if errors.Is(err, store.ErrNotFound) || err == nil && grant.Organization != "" && session.Organization != grant.Organization {
		return store.Session{}, fhir.Errorf(fhir.CodeNotFound, "", "There is no session with this token.")
	}
	return session, err
}

// Session gives a session of the source system's organisation.
func (s *Service) Session(ctx context.Context, p auth.Principal, token string) (SessionView, error) {
	var v SessionView
	err := s.Store.Update(ctx, func(tx store.Tx) (err error) {
		if v.Session, err = owned(tx, p, token); err != nil {
			return err
		}
		return s.trail(tx, p, "R", "session-read", "Session/"+v.Room, v.Organization)
	})
	if err != nil {
		return SessionView{}, err
	}
	if v.Status != SessionEnded {
		v.Present, err = s.Meeting.Present(ctx, v.Room)
	}
	return v, err
}

// PractitionerJoin gives a practitioner of the source system credentials.
func (s *Service) PractitionerJoin(ctx context.Context, p auth.Principal, token string, person meeting.Person) (meeting.Credentials, error) {
	var session store.Session
	person.Role = meeting.Practitioner
	err := s.Store.Update(ctx, func(tx store.Tx) (err error) {
		if session, err = owned(tx, p, token); err != nil {
			return err
		}
		if session.Status == SessionEnded {
			return ended()
		}
		return s.trail(tx, p, "E", "join", "Session/"+session.Room, session.Organization)
	})
	if err != nil {
		return meeting.Credentials{}, err
	}
	return s.Meeting.Credentials(ctx, session.Room, person)
}

func ended() error {
	return fhir.Errorf(fhir.CodeBusinessRule, "", "The session has ended.")
}

// Activate starts the session: every patient who is waiting for it may join.
func (s *Service) Activate(ctx context.Context, p auth.Principal, token string) (SessionView, error) {
	var v SessionView
	err := s.update(ctx, func(tx store.Tx, e *Effects) (err error) {
		if v.Session, err = owned(tx, p, token); err != nil {
			return err
		}
		switch v.Status {
		case SessionActive:
			return nil
		case SessionEnded:
			return ended()
		}
		list, err := tx.ConsultationsWith(token)
		if err != nil {
			return err
		}
		if len(list) > 0 && allClosed(list) {
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation %s; its session cannot be activated.", phrases[State(list[0].State)])
		}
		v.Status, v.Activated = SessionActive, s.Clock()
		if err := tx.PutSession(v.Session); err != nil {
			return err
		}
		for _, c := range list {
			if State(c.State) != Waiting {
				continue
			}
			if err := s.apply(tx, e, &c, moveActivate, p, ""); err != nil {
				return err
			}
		}
		return s.trail(tx, p, "U", "session-activate", "Session/"+v.Room, v.Organization)
	})
	return v, err
}

func allClosed(list []store.Consultation) bool {
	for _, c := range list {
		if !State(c.State).closed() {
			return false
		}
	}
	return true
}

// EndSession ends the session and its call for everybody. Consultations stay
// as they are: finishing is the source system's own act.
func (s *Service) EndSession(ctx context.Context, p auth.Principal, token string) (SessionView, error) {
	var v SessionView
	err := s.update(ctx, func(tx store.Tx, e *Effects) (err error) {
		if v.Session, err = owned(tx, p, token); err != nil || v.Status == SessionEnded {
			return err
		}
		return s.end(tx, e, p, &v.Session)
	})
	if err != nil {
		return SessionView{}, err
	}
	s.close(ctx, v.Session)
	return v, nil
}

func (s *Service) end(tx store.Tx, e *Effects, p auth.Principal, session *store.Session) error {
	session.Status, session.Ended = SessionEnded, s.Clock()
	if err := tx.PutSession(*session); err != nil {
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
	return s.trail(tx, p, "U", "session-end", "Session/"+session.Room, session.Organization)
}

// close tells the meeting provider that a session has ended and remembers its
// confirmation. What fails here is tried again by CloseEnded.
func (s *Service) close(ctx context.Context, session store.Session) {
	if !session.Closed.IsZero() {
		return
	}
	err := s.Meeting.End(ctx, session.Room)
	if err == nil {
		session.Closed = s.Clock()
		err = s.Store.Update(ctx, func(tx store.Tx) error { return tx.PutSession(session) })
	}
	if err != nil {
		s.Log.Warn("a call could not be ended and will be tried again", "room", session.Room, "error", err)
	}
}
