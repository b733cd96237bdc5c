package exchange

import (
	"errors"
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// rules is what the surroundings of a document say about it.
type rules struct {
	provider string // id of the organisation that provides the service
	service  string // id of the HealthcareService
	warnings fhir.Issues
}

// rules checks a document against the records that it refers to. Only records
// of virtual consultation, and what they stand on, have such rules; and every
// Appointment that takes a place in a Slot.
func (s *Service) rules(tx store.Reader, p auth.Principal, doc *fhir.Document) (rules, error) {
	var out rules
	c := checker{s: s, r: tx, p: p, doc: doc, out: &out}
	var err error
	switch virtual := mycore.IsVirtual(doc); {
	case doc.Type() == "HealthcareService":
		err = c.healthcareService()
	case doc.Type() == "Subscription" && s.Subscriptions != nil:
		_, err = s.Subscriptions.Check(p, doc)
	case doc.Type() == "Appointment" && !virtual:
		err = c.placesAlone()
	case !virtual:
	case doc.Type() == "Appointment":
		if err = c.appointment(); err == nil {
			err = c.staff("participant.actor.reference")
		}
	case doc.Type() == "Encounter":
		if err = c.encounter(); err == nil {
			err = c.staff("participant.individual.reference", "location.location.reference")
		}
	case doc.Type() == "Schedule":
		err = c.schedule()
	case doc.Type() == "Slot":
		err = c.slot()
	}
	return out, err
}

type checker struct {
	s   *Service
	r   store.Reader
	p   auth.Principal
	doc *fhir.Document
	out *rules
}

// named finds the record that a reference names, which must be one of the
// given type. Unknown and invisible records are refused alike.
func (c *checker) named(n fhir.Node, typ string) (*record.Current, error) {
	unknown := errUnknown(n.Path(), typ)
	ref, ok := c.s.local(n)
	switch {
	case ok && ref.Type != typ:
		return nil, errType(n, typ)
	case !ok:
		return nil, unknown
	}
	cur, err := record.Find(c.r, typ, ref.ID)
	if err != nil {
		return nil, err
	}
	if cur == nil {
		return nil, unknown
	}
	grant, err := auth.Allow(c.p, auth.Read, typ)
	if c.p.Kind == auth.Patient {
		grant, err = auth.Grant{}, nil
	}
	if err != nil {
		return nil, err
	}
	if visibleRecord(c.r, grant, cur.Resource) != nil {
		return nil, unknown
	}
	return cur, nil
}

func errUnknown(path, typ string) error {
	return fhir.Errorf(fhir.CodeBusinessRule, path, "This %s is not known to the exchange; send it first.", typ)
}

func errType(n fhir.Node, typ string) error {
	return fhir.Errorf(fhir.CodeBusinessRule, n.Path(), "This must refer to a record of type %s, not of another.", typ)
}

// mine refuses to speak for another organisation.
func (c *checker) mine(element, organization string) error {
	if c.p.Kind == auth.Client && organization != c.p.Organization {
		return fhir.Errorf(fhir.CodeForbidden, element, "These credentials do not speak for this organisation.")
	}
	return nil
}

func (c *checker) healthcareService() error {
	org, err := c.named(c.doc.Get("providedBy.reference"), "Organization")
	if err != nil {
		return err
	}
	c.out.provider = org.ID
	return c.mine("HealthcareService.providedBy", org.ID)
}

// service finds the HealthcareService among the references at path; nil when
// there is none.
func (c *checker) service(path string) (*record.Current, error) {
	for n := range c.doc.All(path) {
		ref, ok := c.s.local(n)
		if !ok || ref.Type != "HealthcareService" {
			continue
		}
		hs, err := c.named(n, "HealthcareService")
		if err != nil {
			return nil, err
		}
		c.adopt(hs)
		return hs, nil
	}
	return nil, nil
}

func (c *checker) adopt(hs *record.Current) {
	c.out.service = hs.ID
	if ref, ok := c.s.local(hs.Doc.Get("providedBy.reference")); ok {
		c.out.provider = ref.ID
	}
}

// agree checks that category, type and specialty follow the HealthcareService.
func (c *checker) agree(hs *record.Current) error {
	typ := c.doc.Type()
	for _, f := range []struct {
		element, service string
		must             bool
	}{
		{"serviceCategory", "category", true},
		{"serviceType", "type", true},
		{"specialty", "specialty", false},
	} {
		offered := codes(hs.Doc, f.service)
		if len(offered) == 0 {
			continue
		}
		for code := range codes(c.doc, f.element) {
			if offered[code] {
				continue
			}
			e := fhir.Errorf(fhir.CodeBusinessRule, typ+"."+f.element, "The HealthcareService does not offer this %s.", f.element)
			if f.must || c.s.Mode == mycore.Strict {
				return e
			}
			e.Severity = fhir.SeverityWarning
			c.out.warnings = append(c.out.warnings, e)
		}
	}
	return nil
}

func codes(doc *fhir.Document, path string) map[string]bool {
	set := make(map[string]bool)
	for n := range doc.All(path + ".coding") {
		set[mycore.Normalize(n.Get("system").String())+"|"+n.Get("code").String()] = true
	}
	return set
}

// token checks the session token of a document. One that the exchange did not
// issue is refused on what can still start, and noted on history.
func (c *checker) token(starting bool) error {
	token := mycore.Token(c.doc)
	if token == "" {
		return nil
	}
	element := c.doc.Type() + ".identifier"
	session, err := c.r.Session(token)
	problem := ""
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case err != nil, c.p.Kind == auth.Client && session.Organization != c.p.Organization && session.Organization != c.out.provider: // whose it is is nobody else's matter
		problem = "This session token was not issued by this exchange."
	case c.out.provider != "" && session.Organization != c.out.provider:
		problem = "This session token was not issued to the organisation that provides the service."
	case session.ServiceType != mycore.ServiceType(c.doc):
		problem = "The session of this token is for another service type."
	case starting && session.Status == "ended":
		problem = "The session of this token has ended."
	}
	if problem == "" {
		return nil
	}
	if starting {
		return fhir.Errorf(fhir.CodeBusinessRule, element, "%s", problem)
	}
	c.out.warnings = append(c.out.warnings, fhir.Warningf(fhir.CodeBusinessRule, element, "%s", problem))
	return nil
}

// ahead names the Appointment statuses from which a consultation can still start.
var ahead = []string{"proposed", "pending", "booked", "waitlist", "arrived", "checked-in"}

func (c *checker) appointment() error {
	starting := slices.Contains(ahead, c.doc.Get("status").String())
	hs, err := c.service("participant.actor.reference")
	if err != nil {
		return err
	}
	if hs == nil {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.participant", "One participant must be the HealthcareService, which must exist on the exchange.")
	}
	if err := c.agree(hs); err != nil {
		return err
	}
	if err := c.patient(starting); err != nil {
		return err
	}
	if err := c.places(); err != nil {
		return err
	}
	if starting && mycore.ServiceType(c.doc) == "VCE" && mycore.Token(c.doc) == "" {
		return fhir.Errorf(fhir.CodeRequired, "Appointment.identifier",
			"An appointment for an education session (VCE) must carry the session token, system %s.", mycore.SystemVCToken)
	}
	return c.token(starting)
}

// patient checks the one patient of an Appointment.
func (c *checker) patient(starting bool) error {
	var patients []fhir.Node
	for n := range c.doc.All("participant.actor.reference") {
		if ref, ok := c.s.local(n); ok && ref.Type == "Patient" {
			patients = append(patients, n)
		}
	}
	if len(patients) > 1 {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.participant", "Send one Appointment for each patient.")
	}
	if len(patients) == 0 {
		if c.doc.Root().Extension(mycore.ExtensionSimpleRegister).Exists() {
			return nil
		}
		return fhir.Errorf(fhir.CodeRequired, "Appointment.participant", "One participant must be the Patient.")
	}
	patient, err := c.named(patients[0], "Patient")
	if err != nil || !starting {
		return err
	}
	for _, number := range mycore.IdentityNumbers(patient.Doc) {
		account, err := c.r.Account(string(auth.Patient), number)
		if err == nil && account.Active {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	c.out.warnings = append(c.out.warnings, fhir.Warningf(fhir.CodeBusinessRule, patients[0].Path(),
		"This patient has not activated RekodSaya and cannot check in until then."))
	return nil
}

// open names the schedule types under which another organisation may book.
var open = []string{"affiliate", "public", "outsource"}

// staffed are the types of those who hold a consultation, and of where.
var staffed = []string{"Practitioner", "PractitionerRole", "Location"}

// staff looks for those who hold the consultation. It can be held without
// their records, so that a missing one is noted, and refused in strict mode.
func (c *checker) staff(paths ...string) error {
	for _, path := range paths {
		for n := range c.doc.All(path) {
			ref, ok := c.s.local(n)
			if !ok || !slices.Contains(staffed, ref.Type) {
				continue
			}
			cur, err := record.Find(c.r, ref.Type, ref.ID)
			if err != nil {
				return err
			}
			if cur != nil {
				continue
			}
			e := fhir.Errorf(fhir.CodeBusinessRule, n.Path(), "This %s is not known to the exchange.", ref.Type)
			if c.s.Mode == mycore.Strict {
				return e
			}
			e.Severity = fhir.SeverityWarning
			c.out.warnings = append(c.out.warnings, e)
		}
	}
	return nil
}

// take checks that the sender may take a place in a slot, and sees to it that
// the facility whose slot it is sees who does. A slot that is not open to others
// is as unknown to them as when they read it.
func (c *checker) take(path string, slot *record.Current) error {
	foreign := c.p.Kind == auth.Client && slot.Organization != c.p.Organization
	if foreign && !slices.Contains(open, slot.Doc.Get("appointmentType.coding.code").String()) {
		return errUnknown(path, "Slot")
	}
	if c.out.provider == "" {
		c.out.provider = slot.Organization
	}
	if c.out.provider != slot.Organization {
		return fhir.Errorf(fhir.CodeBusinessRule, path, "The Slot is not of the facility that offers the HealthcareService.")
	}
	return nil
}

// placesAlone checks the slots in which an Appointment takes a place that is
// not virtual: all else of it is the sender's matter.
func (c *checker) placesAlone() error {
	const path = "Appointment.slot"
	for _, id := range booking.Slots(c.doc) {
		slot, err := record.Find(c.r, "Slot", id)
		if err != nil {
			return err
		}
		if slot == nil {
			return errUnknown(path, "Slot")
		}
		if err := c.take(path, slot); err != nil {
			return err
		}
	}
	return nil
}

// places checks the slots that an Appointment wants.
func (c *checker) places() error {
	for n := range c.doc.All("slot.reference") {
		ref, ok := c.s.local(n)
		switch {
		case ok && ref.Type != "Slot":
			return errType(n, "Slot")
		case !ok:
			return errUnknown(n.Path(), "Slot")
		}
		slot, err := record.Find(c.r, "Slot", ref.ID)
		if err != nil {
			return err
		}
		if slot == nil {
			return errUnknown(n.Path(), "Slot")
		}
		if err := c.take(n.Path(), slot); err != nil {
			return err
		}
		if is, has := mycore.ServiceType(c.doc), mycore.ServiceType(slot.Doc); has != "" && is != has {
			return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.serviceType", "The Slot is for another service type.")
		}
	}
	return nil
}

func (c *checker) encounter() error {
	status := c.doc.Get("status").String()
	org, err := c.named(c.doc.Get("serviceProvider.reference"), "Organization")
	if err != nil {
		return err
	}
	c.out.provider = org.ID
	if err := c.mine("Encounter.serviceProvider", org.ID); err != nil {
		return err
	}
	if subject := c.doc.Get("subject.reference"); subject.Exists() {
		if _, err := c.named(subject, "Patient"); err != nil {
			return err
		}
	}
	return c.token(status == "arrived" || status == "in-progress")
}

func (c *checker) schedule() error {
	hs, err := c.service("actor.reference")
	if err != nil {
		return err
	}
	if hs != nil {
		if err := c.mine("Schedule.actor", c.out.provider); err != nil {
			return err
		}
		if err := c.agree(hs); err != nil {
			return err
		}
	}
	end, ok := c.doc.Get("planningHorizon.end").Time()
	return c.token(!ok || end.After(c.s.Clock()))
}

func (c *checker) slot() error {
	schedule, err := c.named(c.doc.Get("schedule.reference"), "Schedule")
	if err != nil {
		return err
	}
	if err := c.mine("Slot.schedule", schedule.Organization); err != nil {
		return err
	}
	for n := range schedule.Doc.All("actor.reference") {
		ref, ok := c.s.local(n)
		if !ok || ref.Type != "HealthcareService" {
			continue
		}
		hs, err := record.Find(c.r, "HealthcareService", ref.ID)
		if err != nil {
			return err
		}
		if hs != nil {
			c.adopt(hs)
			if err := c.agree(hs); err != nil {
				return err
			}
		}
	}
	return c.token(c.doc.Get("status").Is("free"))
}
