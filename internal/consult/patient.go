package consult

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Appointments gives the patient's virtual consultations, by start.
func (s *Service) Appointments(ctx context.Context, p auth.Principal) ([]View, error) {
	if p.Kind != auth.Patient {
		return nil, auth.ErrForbidden()
	}
	var views []View
	err := s.Store.View(ctx, func(r store.Reader) error {
		ids, err := patients(r, p.Login)
		if err != nil || len(ids) == 0 {
			return err
		}
		list, err := r.ConsultationsFor(ids)
		if err != nil {
			return err
		}
		for _, c := range list {
			v, err := s.view(r, c)
			if err != nil {
				return err
			}
			views = append(views, v)
		}
		return nil
	})
	sort.SliceStable(views, func(i, j int) bool { return views[i].Start.Before(views[j].Start) })
	return views, err
}

// Appointment gives one of the patient's appointments, with who is in the call.
func (s *Service) Appointment(ctx context.Context, p auth.Principal, id string) (View, error) {
	var v View
	var room string
	err := s.Store.View(ctx, func(r store.Reader) error {
		c, err := theirs(r, p, id)
		if err != nil {
			return err
		}
		if State(c.State) == Ready || State(c.State) == InCall {
			session, err := r.Session(c.Token)
			if err != nil {
				return err
			}
			room = session.Room
		}
		v, err = s.view(r, c)
		return err
	})
	if err == nil && room != "" {
		// Who is there is a courtesy: without it the page is still right.
		v.Present, _ = s.Meeting.Present(ctx, room)
	}
	return v, err
}

func (s *Service) view(r store.Reader, c store.Consultation) (View, error) {
	v := View{
		Appointment: c.Appointment, Service: c.HealthcareService, State: State(c.State),
		Group: c.ServiceType == Education, Start: c.Start, End: c.End, CheckedIn: c.CheckedIn,
		Opens: c.Start.Add(-s.Window.Before), CheckIn: s.window(c),
		CanCancel: c.State == string(Booked) || c.State == string(Waiting) || c.State == string(Ready),
	}
	appointment, err := record.Find(r, "Appointment", c.Appointment)
	if err != nil {
		return v, err
	}
	if appointment != nil {
		for actor := range appointment.Doc.All("participant.actor") {
			ref, _ := fhir.ParseReference(actor.Get("reference").String(), "")
			if ref.Type == "Practitioner" || ref.Type == "PractitionerRole" {
				v.Practitioner = actor.Get("display").String()
			}
		}
	}
	if v.Title, err = text(r, "HealthcareService", c.HealthcareService, "name"); err != nil {
		return v, err
	}
	if v.Provider, err = text(r, "Organization", c.Organization, "name"); err != nil {
		return v, err
	}
	if v.State == Waiting && !v.Group {
		ahead, err := r.Ahead(c)
		if err != nil {
			return v, err
		}
		v.QueuePlace = ahead + 1
	}
	if v.State == Finished && c.Encounter != "" {
		enc, err := record.Find(r, "Encounter", c.Encounter)
		if err != nil {
			return v, err
		}
		v.Rated = enc != nil && enc.Doc.Root().Extension(mycore.ExtensionEncounterRating).Exists()
	}
	return v, nil
}

func text(r store.Reader, typ, id, path string) (string, error) {
	c, err := record.Find(r, typ, id)
	if err != nil || c == nil {
		return "", err
	}
	return c.Doc.Get(path).String(), nil
}

func (s *Service) window(c store.Consultation) CheckInWindow {
	now := s.Clock()
	switch {
	case now.Before(c.Start.Add(-s.Window.Before)):
		return TooEarly
	case now.After(c.End):
		return Over
	}
	return Open
}

// CheckIn brings the patient into the waiting room: it opens the session if
// there is none, creates the Encounter that carries its token, and announces
// it. Doing it again gives the same answer and changes nothing.
func (s *Service) CheckIn(ctx context.Context, p auth.Principal, id string, consent Consent) error {
	return s.update(ctx, func(tx store.Tx, e *Effects) error {
		c, err := theirs(tx, p, id)
		if err != nil {
			return err
		}
		if !c.CheckedIn.IsZero() && !State(c.State).closed() {
			return nil
		}
		if err := s.mayCheckIn(tx, p, c, consent); err != nil {
			return err
		}
		session, err := s.sessionFor(tx, &c)
		if err != nil {
			return err
		}
		if err := s.arrive(tx, e, &c, p, consent); err != nil {
			return err
		}
		if session.Status == SessionActive { // the group is already in session
			return s.apply(tx, e, &c, moveActivate, auth.Exchange, "")
		}
		return nil
	})
}

func (s *Service) mayCheckIn(r store.Reader, p auth.Principal, c store.Consultation, consent Consent) error {
	account, err := r.AccountByID(string(auth.Patient), p.ID)
	if err != nil {
		return err
	}
	switch {
	case !account.Active:
		return fhir.Errorf(fhir.CodeBusinessRule, "", "RekodSaya is not activated for this patient.")
	case State(c.State) != Booked:
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.status", "The consultation %s.", phrases[State(c.State)])
	case s.window(c) == TooEarly:
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.start", "Check-in opens at %s.", fhir.FormatDateTime(c.Start.Add(-s.Window.Before)))
	case s.window(c) == Over:
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.end", "The time of this appointment is over.")
	case !consent.VideoConsultation:
		return fhir.Errorf(fhir.CodeBusinessRule, "Consent", "A video consultation needs the patient's consent.")
	}
	appointment, err := record.Find(r, "Appointment", c.Appointment)
	if err != nil {
		return err
	}
	if appointment == nil || !appointment.Doc.Get("status").Is("booked") {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.status", "The appointment is not confirmed yet.")
	}
	return nil
}

// sessionFor gives the session of a consultation: the one whose token its
// Appointment carries, or a new one.
func (s *Service) sessionFor(tx store.Tx, c *store.Consultation) (store.Session, error) {
	if c.Token == "" {
		session := s.newSession(c.Organization, c.ServiceType, "")
		c.Token = session.Token
		return session, tx.PutSession(session)
	}
	session, err := tx.Session(c.Token)
	if errors.Is(err, store.ErrNotFound) || err == nil && session.Status == SessionEnded {
		return session, fhir.Errorf(fhir.CodeBusinessRule, "Appointment.identifier", "The session of this appointment has ended.")
	}
	return session, err
}

func (s *Service) newSession(organization, serviceType, title string) store.Session {
	return store.Session{
		Token: uuid.NewString(), Room: roomName(), Status: SessionCreated,
		ServiceType: serviceType, Organization: organization, Title: title, Created: s.Clock(),
	}
}

// roomName is 128 random bits: it can be neither guessed nor derived from the token.
func roomName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "vc-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// arrive writes the Encounter and the consent and moves the consultation.
func (s *Service) arrive(tx store.Tx, e *Effects, c *store.Consultation, p auth.Principal, consent Consent) error {
	appointment, err := record.Find(tx, "Appointment", c.Appointment)
	if err != nil {
		return err
	}
	now := s.Clock()
	enc, err := s.newEncounter(tx, c, appointment.Doc, now)
	if err != nil {
		return err
	}
	c.Encounter = enc.ID()
	if err := s.apply(tx, e, c, moveCheckIn, p, "Encounter"); err != nil {
		return err
	}
	agreed, err := newConsent(c, consent.Language, now)
	if err != nil {
		return err
	}
	for _, doc := range []*fhir.Document{enc, agreed} {
		if _, err := s.Records.Put(tx, record.Version{
			Doc: doc, ID: doc.ID(), Method: "POST", By: auth.Exchange, Owner: c.Organization, Provider: c.Organization,
		}); err != nil {
			return err
		}
	}
	return s.trail(tx, p, "C", "check-in", "Encounter/"+c.Encounter, c.Organization)
}

// Cancel takes the patient out, before the call.
func (s *Service) Cancel(ctx context.Context, p auth.Principal, id string) error {
	return s.update(ctx, func(tx store.Tx, e *Effects) error {
		c, err := theirs(tx, p, id)
		if err != nil || c.State == string(Cancelled) {
			return err
		}
		if State(c.State) == InCall {
			return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.status", "The consultation is in the call and can no longer be cancelled.")
		}
		if err := s.apply(tx, e, &c, moveCancel, p, ""); err != nil {
			return err
		}
		return s.trail(tx, p, "U", "cancel", "Appointment/"+c.Appointment, c.Organization)
	})
}

// Join gives the patient credentials for the call, once it is ready.
func (s *Service) Join(ctx context.Context, p auth.Principal, id string) (meeting.Credentials, error) {
	var room string
	person := meeting.Person{Role: meeting.Patient}
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		c, err := theirs(tx, p, id)
		if err != nil {
			return err
		}
		if State(c.State) != Ready && State(c.State) != InCall {
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation %s; it cannot be joined.", phrases[State(c.State)])
		}
		session, err := tx.Session(c.Token)
		if err != nil {
			return err
		}
		if session.Status != SessionActive {
			return fhir.Errorf(fhir.CodeBusinessRule, "", "The session is not open.")
		}
		patient, err := record.Find(tx, "Patient", c.Patient)
		if err != nil || patient == nil {
			return err
		}
		room, person.ID, person.Name = session.Room, c.Encounter, mycore.PatientName(patient.Doc)
		return s.trail(tx, p, "E", "join", "Encounter/"+c.Encounter, c.Organization)
	})
	if err != nil {
		return meeting.Credentials{}, err
	}
	return s.Meeting.Credentials(ctx, room, person)
}

// Rate stores the patient's rating (1 to 5) and remark in the Encounter.
func (s *Service) Rate(ctx context.Context, p auth.Principal, id string, rating int, remark string) error {
	display, ok := mycore.Display(mycore.SystemEncounterRating, strconv.Itoa(rating))
	remark = strings.TrimSpace(remark)
	if !ok || rating < 1 {
		return fhir.Errorf(fhir.CodeValue, "", "A rating is a number from 1 to 5.")
	}
	if len(remark) > 2000 {
		return fhir.Errorf(fhir.CodeTooLong, "", "The remark is too long.")
	}
	return s.update(ctx, func(tx store.Tx, e *Effects) error {
		c, err := theirs(tx, p, id)
		if err != nil {
			return err
		}
		if State(c.State) != Finished || c.Encounter == "" {
			return fhir.Errorf(fhir.CodeBusinessRule, "", "Only a finished consultation can be rated.")
		}
		enc, err := record.Find(tx, "Encounter", c.Encounter)
		if err != nil {
			return err
		}
		if enc.Doc.Root().Extension(mycore.ExtensionEncounterRating).Exists() {
			return nil // the first answer stands; a second tap is no new one
		}
		parts := []any{object{"url": "rating", "valueCodeableConcept": concept(mycore.SystemEncounterRating, strconv.Itoa(rating), display)}}
		if remark != "" {
			parts = append(parts, object{"url": "remark", "valueString": remark})
		}
		doc, err := enc.Doc.With(fhir.Append("extension", object{"url": mycore.ExtensionEncounterRating, "extension": parts}))
		if err != nil {
			return err
		}
		if _, err := s.Records.Put(tx, record.Version{Doc: doc, ID: enc.ID, Method: "PUT", Before: enc, By: p, Provider: c.Organization}); err != nil {
			return err
		}
		return s.trail(tx, p, "U", "rate", "Encounter/"+c.Encounter, c.Organization)
	})
}
