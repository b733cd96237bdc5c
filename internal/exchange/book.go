package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Book asks for an Appointment of a patient in a Slot. What is not given is
// taken from the Slot, its Schedule and the HealthcareService. Nodes are parts
// of one Parameters resource.
type Book struct {
	Slot                         string // id
	Patient                      fhir.Node
	Status                       string      // booked when empty
	Participants, SupportingInfo []fhir.Node // References
	Reasons, Identifiers         []fhir.Node
	Description, Comment         string
}

// Book makes the Appointment in one transaction, under the rules of any other:
// of those who want the last place one gets it.
func (s *Service) Book(ctx context.Context, p auth.Principal, b Book) (Outcome, error) {
	out, err := s.update(ctx, func(tx store.Tx, e *consult.Effects) (Outcome, error) {
		if _, err := auth.Allow(p, auth.Create, "Appointment"); err != nil {
			return Outcome{}, err
		}
		doc, err := s.appointment(tx, p, b)
		if err != nil {
			return Outcome{}, err
		}
		issues, err := s.validate(doc)
		if err != nil {
			return Outcome{}, err
		}
		return s.create(tx, e, p, Write{Type: "Appointment", Doc: doc}, issues, links{})
	})
	return out, s.refused(ctx, p, "C", "book", "Slot/"+b.Slot, err)
}

// appointment writes the document of a booking.
func (s *Service) appointment(r store.Reader, p auth.Principal, b Book) (*fhir.Document, error) {
	slot, err := s.bookable(r, p, b.Slot)
	if err != nil {
		return nil, err
	}
	patient, err := s.patient(r, p, b.Patient)
	if err != nil {
		return nil, err
	}
	if err := s.notYetBooked(r, slot.ID, patient.ID); err != nil {
		return nil, err
	}
	schedule, err := s.origin(r, slot.Doc.Get("schedule.reference"))
	if err != nil {
		return nil, err
	}
	service, err := s.origin(r, fhir.Node{})
	if err != nil {
		return nil, err
	}
	participants := []any{}
	join := func(typ, reference, display string) {
		actor := map[string]string{"reference": reference, "type": typ}
		if display != "" {
			actor["display"] = display
		}
		participants = append(participants, map[string]any{"actor": actor, "status": "accepted"})
	}
	for n := range schedule.All("actor") {
		ref, ok := s.local(n.Get("reference"))
		if !ok {
			continue
		}
		display := n.Get("display").String()
		if ref.Type == "HealthcareService" && service.Type() == "Basic" {
			if service, err = s.origin(r, n.Get("reference")); err != nil {
				return nil, err
			}
			if name := service.Get("name").String(); name != "" {
				display = name
			}
		}
		join(ref.Type, ref.String(), display)
	}
	join("Patient", "Patient/"+patient.ID, mycore.PatientName(patient.Doc))
	for _, n := range b.Participants {
		participants = append(participants, map[string]any{"actor": json.RawMessage(n.Raw()), "status": "needs-action"})
	}
	m := members{{"resourceType", fhir.Marshal("Appointment")}, {"meta", fhir.Marshal(map[string]any{"profile": []string{mycore.Profile("Appointment")}})}}
	m.list("identifier", b.Identifiers)
	if token := firstToken(slot.Doc, schedule); token != "" && !mentions(b.Identifiers, mycore.SystemVCToken) {
		m.list("identifier", b.Identifiers, fhir.Marshal(map[string]string{"system": mycore.SystemVCToken, "value": token}))
	}
	m.add("status", fhir.Marshal(b.Status))
	for _, c := range []struct{ name, service string }{{"serviceCategory", "category"}, {"serviceType", "type"}, {"specialty", "specialty"}} {
		m.add(c.name, listed(first(slot.Doc.Root().Get(c.name), schedule.Root().Get(c.name), service.Root().Get(c.service))))
	}
	m.add("appointmentType", first(slot.Doc.Get("appointmentType"), schedule.Root().Extension(mycore.ExtensionScheduleType).Get("valueCodeableConcept")).Raw())
	m.list("reasonCode", b.Reasons)
	m.add("description", text(b.Description))
	m.list("supportingInformation", b.SupportingInfo)
	m.add("start", slot.Doc.Get("start").Raw())
	m.add("end", slot.Doc.Get("end").Raw())
	m.add("slot", fhir.Marshal([]any{map[string]string{"reference": "Slot/" + slot.ID}}))
	m.add("created", fhir.Marshal(fhir.FormatDateTime(s.Clock())))
	m.add("comment", text(b.Comment))
	m.add("participant", fhir.Marshal(participants))
	return fhir.Parse(m.object())
}

// bookable finds a Slot that the caller may see, or that is open to other
// organisations.
func (s *Service) bookable(r store.Reader, p auth.Principal, id string) (*record.Current, error) {
	slot, err := record.Load(r, "Slot", id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("Slot", id)
	}
	if err != nil {
		return nil, err
	}
	grant := auth.Grant{}
	if p.Kind == auth.Client {
		grant.Organization = p.Organization
	}
	public := slot.Exists() && slices.Contains(open, slot.Doc.Get("appointmentType.coding.code").String())
	if hidden := visible(r, grant, "Slot", id); hidden != nil && !public {
		return nil, hidden
	}
	if !slot.Exists() {
		return nil, fhir.Errorf(fhir.CodeDeleted, "", "Slot/%s has been deleted.", id)
	}
	if end, ok := slot.Doc.Get("end").Time(); ok && !end.After(s.Clock()) {
		return nil, fhir.Errorf(fhir.CodeBusinessRule, "Slot.end", "The slot is over and cannot be booked any more.")
	}
	return slot, nil
}

// patient finds whom a booking is for: Patient/id, or a condition that exactly
// one patient meets.
func (s *Service) patient(r store.Reader, p auth.Principal, n fhir.Node) (*record.Current, error) {
	doc, err := fhir.Parse(append(append([]byte(`{"resourceType":"Basic","subject":`), n.Raw()...), '}'))
	if err != nil {
		return nil, err
	}
	var found *record.Current
	if doc, err = s.resolve(r, p, doc, links{}); err == nil {
		c := checker{s: s, r: r, p: p, doc: doc}
		found, err = c.named(doc.Get("subject.reference"), "Patient")
	}
	var problem *fhir.Error
	if errors.As(err, &problem) && problem.Expression != "" {
		problem.Expression = "Parameters.parameter"
	}
	return found, err
}

// notYetBooked refuses a second place in the same slot for the same patient.
func (s *Service) notYetBooked(r store.Reader, slot, patient string) error {
	is := func(param, value string) store.Condition {
		return store.Condition{Clause: &store.Clause{Param: param, Any: []store.Match{{Kind: store.Reference, Compare: store.Equal, Value: value}}}}
	}
	page, err := r.Search(store.Query{Type: "Appointment", Count: 100, Where: []store.Condition{is("slot", "Slot/"+slot), is("patient", "Patient/"+patient)}})
	if err != nil {
		return err
	}
	for _, res := range page.Resources {
		doc, err := fhir.Parse(res.Body)
		if err != nil {
			return err
		}
		if slices.Contains(booking.Slots(doc), slot) {
			return fhir.Errorf(fhir.CodeConflict, "Appointment.slot", "The patient has a place in this slot already.")
		}
	}
	return nil
}

// origin gives the document behind a reference, an empty one of its type when
// there is none: a booking takes over what there is.
func (s *Service) origin(r store.Reader, n fhir.Node) (*fhir.Document, error) {
	ref, ok := s.local(n)
	if ok {
		cur, err := record.Find(r, ref.Type, ref.ID)
		if err != nil {
			return nil, err
		}
		if cur != nil {
			return cur.Doc, nil
		}
	}
	return fhir.Parse([]byte(`{"resourceType":"Basic"}`))
}

func firstToken(docs ...*fhir.Document) string {
	for _, d := range docs {
		if t := mycore.Token(d); t != "" {
			return t
		}
	}
	return ""
}

func mentions(identifiers []fhir.Node, system string) bool {
	return slices.ContainsFunc(identifiers, func(n fhir.Node) bool { return n.Get("system").Is(system) })
}

func first(nodes ...fhir.Node) fhir.Node {
	for _, n := range nodes {
		if n.Exists() {
			return n
		}
	}
	return fhir.Node{}
}

// listed gives a value as a list, which it may be already.
func listed(n fhir.Node) []byte {
	if n.Kind() == fhir.Object {
		return append(append([]byte{'['}, n.Raw()...), ']')
	}
	return n.Raw()
}

func text(s string) []byte {
	if s == "" {
		return nil
	}
	return fhir.Marshal(s)
}

// members are the members of an object in their order, as JSON.
type members []struct {
	name string
	raw  []byte
}

// add puts a member at the end; one without a value is left out, and one that
// is there is replaced.
func (m *members) add(name string, raw []byte) {
	if len(raw) == 0 {
		return
	}
	for i := range *m {
		if (*m)[i].name == name {
			(*m)[i].raw = raw
			return
		}
	}
	*m = append(*m, struct {
		name string
		raw  []byte
	}{name, raw})
}

func (m *members) list(name string, nodes []fhir.Node, more ...[]byte) {
	var items []string
	for _, n := range nodes {
		items = append(items, string(n.Raw()))
	}
	for _, raw := range more {
		items = append(items, string(raw))
	}
	if len(items) > 0 {
		m.add(name, []byte("["+strings.Join(items, ",")+"]"))
	}
}

func (m members) object() []byte {
	out := []byte{'{'}
	for i, member := range m {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, fhir.Marshal(member.name)...), ':'), member.raw...)
	}
	return append(out, '}')
}
