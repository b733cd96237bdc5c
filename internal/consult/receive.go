package consult

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Received is an Appointment or Encounter that a source system has sent, to be
// stored by the caller in the same transaction once it is accepted here.
type Received struct {
	ID       string
	Before   *record.Current // nil when new
	Doc      *fhir.Document
	Provider string // organisation that provides the service
	Service  string // id of the HealthcareService of an Appointment
	By       auth.Principal
}

// entry says in which state an Appointment that arrives for the first time
// begins. A status that is not listed only comes about on the exchange.
var entry = map[string]State{
	"proposed": Booked, "pending": Booked, "booked": Booked, "waitlist": Booked,
	"fulfilled": Finished, "cancelled": Cancelled, "entered-in-error": Cancelled, "noshow": NoShow,
}

// asked says which move a source system asks for with a new Appointment.status.
var asked = map[string]Move{
	"cancelled": moveCancel, "entered-in-error": moveCancel, "noshow": moveMiss, "fulfilled": moveFinish,
}

// ReceiveAppointment moves the consultation as the Appointment says, or
// refuses what is stale or impossible.
func (s *Service) ReceiveAppointment(tx store.Tx, e *Effects, in Received) error {
	known, err := tx.Consultation(in.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil && !mycore.IsVirtual(in.Doc) {
		return nil
	}
	c, timed := facts(in)
	status := in.Doc.Get("status").String()
	if err != nil {
		if !timed {
			return nil // only a wish so far: proposed or on the waiting list
		}
		return s.enter(tx, e, c, status)
	}
	state := State(known.State)
	if state == Booked && entry[status] == Booked {
		if !timed {
			return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.start", "A booked consultation keeps a start and an end.")
		}
		known.Patient, known.Organization, known.HealthcareService = c.Patient, c.Organization, c.HealthcareService
		known.ServiceType, known.Token, known.Start, known.End = c.ServiceType, c.Token, c.Start, c.End
		if err := tx.PutConsultation(known); err != nil {
			return err
		}
		return s.wake(tx, e, &known)
	}
	if err := unchanged(known, c); err != nil {
		return err
	}
	if timed && !state.closed() && (!known.Start.Equal(c.Start) || !known.End.Equal(c.End)) {
		known.Start, known.End = c.Start, c.End
		if err := tx.PutConsultation(known); err != nil {
			return err
		}
	}
	if status == statuses[state].appointment || in.Before.Exists() && in.Before.Doc.Get("status").Is(status) {
		return nil
	}
	m, ok := asked[status]
	if !ok {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.status",
			"The consultation %s; its Appointment cannot become %s. Read it again and send the change on top.", phrases[state], status)
	}
	return at("Appointment.status", s.apply(tx, e, &known, m, in.By, "Appointment"))
}

// facts reads what the consultation needs to know from an Appointment; timed
// is false when it has no start and end.
func facts(in Received) (c store.Consultation, timed bool) {
	start, ok1 := in.Doc.Get("start").Time()
	end, ok2 := in.Doc.Get("end").Time()
	c = store.Consultation{
		Appointment: in.ID, Organization: in.Provider, HealthcareService: in.Service,
		ServiceType: mycore.ServiceType(in.Doc), Token: mycore.Token(in.Doc), Start: start, End: end,
	}
	for _, actor := range mycore.Actors(in.Doc, "Patient") {
		if ref, ok := fhir.ParseReference(actor, ""); ok {
			c.Patient = ref.ID
		}
	}
	return c, ok1 && ok2
}

// enter takes in a consultation that the exchange has not known before.
func (s *Service) enter(tx store.Tx, e *Effects, c store.Consultation, status string) error {
	state, ok := entry[status]
	if !ok {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.status",
			"A new Appointment cannot be %s: the patient checks in on RekodSaya.", status)
	}
	c.State = string(state)
	if state.closed() {
		c.Closed = s.Clock()
	}
	if err := tx.PutConsultation(c); err != nil {
		return err
	}
	return s.wake(tx, e, &c)
}

// unchanged refuses to exchange the parties of a consultation under way.
func unchanged(known, sent store.Consultation) error {
	for _, f := range []struct{ element, was, is string }{
		{"Appointment.participant", known.Patient, sent.Patient},
		{"Appointment.participant", known.HealthcareService, sent.HealthcareService},
		{"Appointment.serviceType", known.ServiceType, sent.ServiceType},
	} {
		if f.was != f.is {
			return fhir.Errorf(fhir.CodeBusinessRule, f.element,
				"The consultation %s; its patient, service and service type can no longer be changed.", phrases[State(known.State)])
		}
	}
	if sent.Token != "" && sent.Token != known.Token {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.identifier",
			"The consultation %s; its session token can no longer be changed.", phrases[State(known.State)])
	}
	return nil
}

// at names the element at fault in an error that has none.
func at(expression string, err error) error {
	var e *fhir.Error
	if errors.As(err, &e) && e.Expression == "" {
		named := *e
		named.Expression = expression
		return &named
	}
	return err
}

// statusMoves says which move a source system asks for with Encounter.status.
var statusMoves = map[string]Move{"in-progress": moveStart, "finished": moveFinish, "unknown": moveGiveUp}

// ReceiveEncounter moves the consultation as the Encounter says, or refuses
// what is stale or impossible. It returns the document to be stored, whose
// status history and period are kept.
func (s *Service) ReceiveEncounter(tx store.Tx, e *Effects, in Received) (*fhir.Document, error) {
	c, err := tx.ConsultationOf(in.ID)
	if errors.Is(err, store.ErrNotFound) {
		return in.Doc, s.foreign(tx, in)
	}
	if err != nil {
		return nil, err
	}
	if err := samePeople(in, c); err != nil {
		return nil, err
	}
	was, is := in.Before.Doc.Get("status").String(), in.Doc.Get("status").String()
	if was != is {
		m, ok := statusMoves[is]
		if !ok {
			return nil, fhir.Errorf(fhir.CodeBusinessRule, "Encounter.status",
				"The consultation %s; its Encounter cannot become %s.", phrases[State(c.State)], is)
		}
		if err := s.apply(tx, e, &c, m, in.By, "Encounter"); err != nil {
			return nil, at("Encounter.status", err)
		}
	}
	doc, err := keepHistory(in.Before, in.Doc, s.Clock())
	if err != nil {
		return nil, err
	}
	return keepRating(in.Before.Doc, doc)
}

// foreign judges an Encounter that belongs to no consultation of the exchange.
func (s *Service) foreign(tx store.Tx, in Received) error {
	if !mycore.IsVirtual(in.Doc) || !slices.Contains([]string{"arrived", "in-progress"}, in.Doc.Get("status").String()) {
		return nil
	}
	for n := range in.Doc.All("appointment.reference") {
		ref, ok := fhir.ParseReference(n.String(), "")
		if !ok || ref.Type != "Appointment" {
			continue
		}
		if _, err := tx.Consultation(ref.ID); err == nil {
			return fhir.Errorf(fhir.CodeBusinessRule, "Encounter.appointment",
				"The exchange creates the Encounter of this Appointment when the patient checks in on RekodSaya; update that one.")
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// samePeople refuses an Encounter that no longer is that of its consultation.
func samePeople(in Received, c store.Consultation) error {
	subject, _ := fhir.ParseReference(in.Doc.Get("subject.reference").String(), "")
	switch {
	case subject.ID != c.Patient:
		return fhir.Errorf(fhir.CodeBusinessRule, "Encounter.subject", "The patient of this Encounter cannot be changed.")
	case in.Provider != c.Organization:
		return fhir.Errorf(fhir.CodeBusinessRule, "Encounter.serviceProvider", "The organisation of this Encounter cannot be changed.")
	case mycore.Token(in.Doc) != c.Token:
		return fhir.Errorf(fhir.CodeBusinessRule, "Encounter.identifier", "The session token of this Encounter must be kept as the exchange wrote it.")
	}
	return nil
}

// keepRating keeps the patient's rating in an Encounter that a source system
// sends from a copy made before it.
func keepRating(before, doc *fhir.Document) (*fhir.Document, error) {
	rating := before.Root().Extension(mycore.ExtensionEncounterRating)
	if !rating.Exists() || doc.Root().Extension(mycore.ExtensionEncounterRating).Exists() {
		return doc, nil
	}
	return doc.With(fhir.Append("extension", json.RawMessage(rating.Raw())))
}
