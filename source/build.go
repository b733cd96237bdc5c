package source

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
)

// AppointmentParams describe a booked virtual consultation. References may be
// given as Type/id or as the id alone.
type AppointmentParams struct {
	ID                    string
	ServiceType           string // VCI or VCE
	Specialty             string // code of MY Core's specialties, such as 86
	HealthcareService     string
	HealthcareServiceName string // the specialty's name when empty
	Patient               string
	PatientName           string
	Practitioner          string // optional; PractitionerRole/id is possible
	PractitionerName      string // needed with Practitioner
	Start, End            time.Time
	Slot                  string // optional
	Token                 string // of the session, for VCE
	ScheduleType          string // internal, public, affiliate, outsource or walk-in
}

// ScheduleParams describe the hours of a virtual clinic.
type ScheduleParams struct {
	ID                    string
	ServiceType           string // VCI or VCE
	Specialty             string
	HealthcareService     string
	HealthcareServiceName string // the specialty's name when empty
	Start, End            time.Time
	Token                 string // optional, for VCE
	ScheduleType          string
}

// SlotParams describe a time of a Schedule that can be booked.
type SlotParams struct {
	ID           string
	Schedule     string
	ServiceType  string // VCI or VCE
	Specialty    string
	Start, End   time.Time
	Quota        int    // places
	Token        string // of the session, for VCE
	ScheduleType string
}

type object = map[string]any

// NewAppointment writes the record of a booked virtual consultation. The error
// holds everything that MY Core's profile has against it (fhir.Issues).
func NewAppointment(p AppointmentParams) (*fhir.Document, error) {
	participants := []any{
		accepted("HealthcareService", p.HealthcareService, named(p.HealthcareServiceName, p.Specialty)),
		accepted("Patient", p.Patient, p.PatientName),
	}
	if p.Practitioner != "" {
		participants = append(participants, accepted("Practitioner", p.Practitioner, p.PractitionerName))
	}
	var slot []any
	if p.Slot != "" {
		slot = []any{object{"reference": reference("Slot", p.Slot)}}
	}
	v := virtual("Appointment", p.ID, p.ServiceType, p.Specialty, p.Token)
	v.Status = "booked"
	v.AppointmentType = concept(mycore.SystemScheduleType, p.ScheduleType)
	v.Start, v.End = moment(p.Start), moment(p.End)
	v.Supporting = []any{object{"reference": reference("HealthcareService", p.HealthcareService)}} // the line 1.0.0 asks for some
	v.Slot, v.Participant = slot, participants
	return v.document()
}

// NewSchedule writes the Schedule of a virtual clinic. Errors are those of
// NewAppointment.
func NewSchedule(p ScheduleParams) (*fhir.Document, error) {
	v := virtual("Schedule", p.ID, p.ServiceType, p.Specialty, p.Token)
	v.Extension = []any{object{
		"url": mycore.ExtensionScheduleType, "valueCodeableConcept": concept(mycore.SystemScheduleType, p.ScheduleType),
	}}
	active := true
	v.Active = &active
	v.Actor = []any{actor("HealthcareService", p.HealthcareService, named(p.HealthcareServiceName, p.Specialty))}
	v.PlanningHorizon = object{"start": moment(p.Start), "end": moment(p.End)}
	return v.document()
}

// NewSlot writes a free Slot with all its places. How many are left is counted
// by the exchange. Errors are those of NewAppointment.
func NewSlot(p SlotParams) (*fhir.Document, error) {
	v := virtual("Slot", p.ID, p.ServiceType, p.Specialty, p.Token)
	v.Extension = []any{object{"url": mycore.ExtensionSlotQuota, "extension": []any{
		object{"url": "available", "valueInteger": p.Quota},
		object{"url": "quota", "valueInteger": p.Quota},
	}}}
	v.AppointmentType = concept(mycore.SystemScheduleType, p.ScheduleType)
	v.Schedule = object{"reference": reference("Schedule", p.Schedule)}
	v.Status = "free"
	v.Start, v.End = moment(p.Start), moment(p.End)
	return v.document()
}

// record is what the three records of a booking have in common, and what is
// peculiar to each.
type record struct {
	ResourceType    string `json:"resourceType"`
	ID              string `json:"id"`
	Meta            object `json:"meta"`
	Extension       []any  `json:"extension,omitempty"`
	Identifier      []any  `json:"identifier,omitempty"`
	Active          *bool  `json:"active,omitempty"`
	Status          string `json:"status,omitempty"`
	ServiceCategory []any  `json:"serviceCategory"`
	ServiceType     []any  `json:"serviceType"`
	Specialty       []any  `json:"specialty"`
	AppointmentType object `json:"appointmentType,omitempty"`
	Schedule        object `json:"schedule,omitempty"`
	Actor           []any  `json:"actor,omitempty"`
	PlanningHorizon object `json:"planningHorizon,omitempty"`
	Start           string `json:"start,omitempty"`
	End             string `json:"end,omitempty"`
	Supporting      []any  `json:"supportingInformation,omitempty"`
	Slot            []any  `json:"slot,omitempty"`
	Participant     []any  `json:"participant,omitempty"`
}

func virtual(typ, id, service, specialty, token string) record {
	v := record{
		ResourceType: typ, ID: id,
		Meta:            object{"profile": []string{mycore.Profile(typ)}},
		ServiceCategory: []any{concept(mycore.SystemEncounterClass, mycore.ClassVirtual)},
		ServiceType:     []any{concept(mycore.SystemServiceType, service)},
		Specialty:       []any{concept(mycore.SystemSpecialty, specialty)},
	}
	if token != "" {
		v.Identifier = []any{object{"system": mycore.SystemVCToken, "value": token}}
	}
	return v
}

// document judges what was built as strictly as the exchange ever does.
func (v record) document() (*fhir.Document, error) {
	if !fhir.ValidID(v.ID) {
		return nil, fhir.Errorf(fhir.CodeValue, v.ResourceType+".id", "Give the record an id of letters, digits, - and . with at most 64 characters.")
	}
	doc, err := fhir.Parse(fhir.Marshal(v))
	if err != nil {
		return nil, err
	}
	for _, path := range []string{"schedule.reference", "participant.actor.reference", "actor.reference", "slot.reference"} {
		for n := range doc.All(path) {
			if _, ok := fhir.ParseReference(n.String(), ""); !ok {
				return nil, fhir.Errorf(fhir.CodeValue, n.Path(), "This is no reference.")
			}
		}
	}
	if err := mycore.Validate(doc, mycore.Strict).Err(); err != nil {
		return nil, err
	}
	return doc, nil
}

func concept(system, code string) object {
	coding := object{"system": system, "code": code}
	if display, ok := mycore.Display(system, code); ok {
		coding["display"] = display
	}
	return object{"coding": []any{coding}}
}

func accepted(typ, id, display string) object {
	return object{"actor": actor(typ, id, display), "status": "accepted"}
}

// actor gives a reference as the profiles want it; a display that is missing
// is reported by the validation.
func actor(typ, id, display string) object {
	ref := reference(typ, id)
	typ, _, _ = strings.Cut(ref, "/")
	a := object{"reference": ref, "type": typ}
	if display != "" {
		a["display"] = display
	}
	return a
}

func reference(typ, id string) string {
	if strings.Contains(id, "/") {
		return id
	}
	return typ + "/" + id
}

func named(name, specialty string) string {
	if name == "" {
		name, _ = mycore.Display(mycore.SystemSpecialty, specialty)
	}
	return name
}

// moment gives a time as a FHIR instant; nothing for the zero time, which the
// validation reports.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fhir.FormatInstant(t)
}

// NewTransaction puts records into one transaction Bundle that creates or
// updates each under its own id. The records keep their bytes.
func NewTransaction(docs ...*fhir.Document) (*fhir.Document, error) {
	var b bytes.Buffer
	b.WriteString(`{"resourceType":"Bundle","type":"transaction","entry":[`)
	known := make(map[string]bool)
	for i, d := range docs {
		ref := d.Type() + "/" + d.ID()
		switch {
		case !fhir.ValidID(d.ID()):
			return nil, errors.New("a record of the transaction carries no id of its own")
		case known[ref]:
			return nil, errors.New("a record stands twice in the transaction")
		}
		known[ref] = true
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"resource":`)
		b.Write(d.Bytes())
		b.WriteString(`,"request":`)
		b.Write(fhir.Marshal(object{"method": "PUT", "url": ref}))
		b.WriteByte('}')
	}
	b.WriteString(`]}`)
	return fhir.Parse(b.Bytes())
}
