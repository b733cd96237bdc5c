package consult

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

type object = map[string]any

// newEncounter writes the Encounter of a check-in from its Appointment.
func (s *Service) newEncounter(tx store.Tx, c *store.Consultation, appointment *fhir.Document, at time.Time) (*fhir.Document, error) {
	number, err := encounterNumber(tx, c.Organization, at)
	if err != nil {
		return nil, err
	}
	var participants []any
	var subject json.RawMessage
	for p := range appointment.All("participant") {
		actor := p.Get("actor")
		ref, _ := fhir.ParseReference(actor.Get("reference").String(), "")
		switch {
		case ref.Type == "Patient" && ref.ID == c.Patient:
			subject = actor.Raw()
		case ref.Type == "Practitioner" || ref.Type == "PractitionerRole":
			participants = append(participants, object{
				"type": []any{object{"coding": []any{object{
					"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "ATND", "display": "attender",
				}}}},
				"individual": json.RawMessage(actor.Raw()),
			})
		}
	}
	e := encounter{
		ResourceType: "Encounter",
		ID:           uuid.NewString(),
		Meta:         object{"profile": []string{mycore.Profile("Encounter")}},
		Identifier: []any{
			object{"system": mycore.SystemVCToken, "value": c.Token},
			object{"system": mycore.SystemEncounterID, "value": number},
		},
		Status: "arrived",
		StatusHistory: []any{object{"status": "planned", "period": object{
			"start": fhir.FormatDateTime(c.Start), "end": fhir.FormatDateTime(at),
		}}},
		Class:           object{"system": mycore.SystemEncounterClass, "code": mycore.ClassVirtual, "display": "Virtual"},
		Type:            appointment.Get("specialty").Raw(),
		ServiceType:     appointment.Get("serviceType").Raw(),
		Subject:         subject,
		Participant:     participants,
		Appointment:     []any{object{"reference": "Appointment/" + c.Appointment}},
		Period:          object{"start": fhir.FormatDateTime(at)},
		ServiceProvider: object{"reference": "Organization/" + c.Organization, "type": "Organization"},
	}
	if at.Before(c.Start) { // planned until now; the booked start lies ahead
		e.StatusHistory[0].(object)["period"] = object{"end": fhir.FormatDateTime(at)}
	}
	if len(e.Type) > 0 {
		e.Type = append(append([]byte{'['}, e.Type...), ']')
	}
	return fhir.Parse(fhir.Marshal(e))
}

// encounter fixes the order of the members of an authored Encounter.
type encounter struct {
	ResourceType    string          `json:"resourceType"`
	ID              string          `json:"id"`
	Meta            object          `json:"meta"`
	Identifier      []any           `json:"identifier"`
	Status          string          `json:"status"`
	StatusHistory   []any           `json:"statusHistory"`
	Class           object          `json:"class"`
	Type            json.RawMessage `json:"type,omitempty"`
	ServiceType     json.RawMessage `json:"serviceType"`
	Subject         json.RawMessage `json:"subject"`
	Participant     []any           `json:"participant,omitempty"`
	Appointment     []any           `json:"appointment"`
	Period          object          `json:"period"`
	ServiceProvider object          `json:"serviceProvider"`
}

// encounterNumber gives a number that no other Encounter of an organisation in
// the month has.
func encounterNumber(tx store.Tx, organization string, at time.Time) (string, error) {
	mnemonic := "HIE"
	org, err := record.Find(tx, "Organization", organization)
	if err != nil {
		return "", err
	}
	if org != nil {
		if alias := org.Doc.Get("alias").String(); mnemonicForm(alias) {
			mnemonic = alias
		}
	}
	n, err := tx.FreshNumber("encounter:" + organization + ":" + at.In(fhir.Malaysia).Format("0601"))
	if err != nil {
		return "", err
	}
	return mycore.EncounterNumber(mnemonic, at, n), nil
}

func mnemonicForm(s string) bool {
	return len(s) >= 2 && len(s) <= 10 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// setAppointment writes a new status into the Appointment, and gives the place
// in its slot back when the status no longer holds one.
func (s *Service) setAppointment(tx store.Tx, c *store.Consultation, status string, by auth.Principal) error {
	cur, err := record.Find(tx, "Appointment", c.Appointment)
	if err != nil {
		return err
	}
	if cur == nil {
		return fmt.Errorf("consult: appointment of a consultation is missing")
	}
	if cur.Doc.Get("status").Is(status) {
		return nil
	}
	edits := []fhir.Edit{fhir.Set("status", status)}
	if status == "cancelled" && by.Kind == auth.Patient {
		edits = append(edits, fhir.Set("cancelationReason", object{"coding": []any{object{
			"system": mycore.SystemCancellationReason, "code": "1", "display": "Customer/Patient request",
		}}}))
	}
	doc, err := cur.Doc.With(edits...)
	if err != nil {
		return err
	}
	if err := s.Booking.Move(tx, by, c.Appointment, cur.Doc, doc); err != nil {
		return err
	}
	_, err = s.Records.Put(tx, record.Version{
		Doc: doc, ID: c.Appointment, Method: "PUT", Before: cur, By: by, Provider: c.Organization,
	})
	return err
}

// setEncounter writes a new status into the Encounter and keeps its history.
func (s *Service) setEncounter(tx store.Tx, c *store.Consultation, status string, by auth.Principal) error {
	cur, err := record.Find(tx, "Encounter", c.Encounter)
	if err != nil {
		return err
	}
	if cur == nil {
		return fmt.Errorf("consult: encounter of a consultation is missing")
	}
	if cur.Doc.Get("status").Is(status) {
		return nil
	}
	doc, err := cur.Doc.With(fhir.Set("status", status))
	if err != nil {
		return err
	}
	if doc, err = keepHistory(cur, doc, s.Clock()); err != nil {
		return err
	}
	_, err = s.Records.Put(tx, record.Version{
		Doc: doc, ID: c.Encounter, Method: "PUT", Before: cur, By: by, Provider: c.Organization,
	})
	return err
}

// keepHistory completes an Encounter whose status changes: the status that
// ends goes into statusHistory with the time that it lasted, and a visit that
// is over has an end. What the sender has already written is left as it is.
func keepHistory(before *record.Current, doc *fhir.Document, at time.Time) (*fhir.Document, error) {
	was, is := before.Doc.Get("status").String(), doc.Get("status").String()
	known, sent := before.Doc.Root().Get("statusHistory"), doc.Root().Get("statusHistory")
	over := is == "finished" || is == "unknown"
	var edits []fhir.Edit
	if was == is { // sent again, perhaps from a copy made before the status changed
		if sent.Len() < known.Len() {
			edits = append(edits, fhir.Set("statusHistory", json.RawMessage(known.Raw())))
		}
		if end := before.Doc.Get("period.end"); over && end.Exists() && !doc.Get("period.end").Exists() {
			edits = append(edits, fhir.Set("period.end", json.RawMessage(end.Raw())))
		}
		return doc.With(edits...)
	}
	began, now := lastChange(before.Doc), fhir.FormatDateTime(at)
	if least, _, err := fhir.ParseDate(began); err == nil && at.Before(least) {
		now = began // by the clock of another node, which is ahead
	}
	if sent.Len() <= known.Len() {
		if known.Exists() {
			edits = append(edits, fhir.Set("statusHistory", json.RawMessage(known.Raw())))
		}
		edits = append(edits, fhir.Append("statusHistory", object{
			"status": was, "period": object{"start": began, "end": now},
		}))
	}
	if over && !doc.Get("period.end").Exists() {
		edits = append(edits, fhir.Set("period.end", now))
	}
	return doc.With(edits...)
}

// lastChange is when the present status of an Encounter began.
func lastChange(doc *fhir.Document) string {
	at := doc.Get("period.start").String()
	for h := range doc.All("statusHistory") {
		if end := h.First("period.end"); end.Exists() && !h.Get("status").Is("planned") {
			at = end.String()
		}
	}
	return at
}

// newConsent writes down what the patient agreed to at check-in.
func newConsent(c *store.Consultation, language string, at time.Time) (*fhir.Document, error) {
	return fhir.Parse(fhir.Marshal(object{
		"resourceType": "Consent",
		"id":           c.Encounter,
		"language":     language,
		"status":       "active",
		"scope":        concept("http://terminology.hl7.org/CodeSystem/consentscope", "treatment", "Treatment"),
		"category":     []any{concept("http://loinc.org", "59284-0", "Patient Consent")},
		"patient":      object{"reference": "Patient/" + c.Patient, "type": "Patient"},
		"dateTime":     fhir.FormatDateTime(at),
		"organization": []any{object{"reference": "Organization/" + c.Organization, "type": "Organization"}},
		"policyRule":   object{"text": "Treatment by video consultation"},
		"provision": object{"data": []any{object{
			"meaning": "instance", "reference": object{"reference": "Encounter/" + c.Encounter},
		}}},
	}))
}

func concept(system, code, display string) object {
	return object{"coding": []any{object{"system": system, "code": code, "display": display}}}
}
