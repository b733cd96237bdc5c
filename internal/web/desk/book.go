package desk

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

const (
	maxGroup = 50 // patients that one form books
	maxSlots = 96 // that one form opens
	ahead    = 14 * 24 * time.Hour
)

// formFaults are what can be wrong with a form before the exchange sees it.
var formFaults = map[string]ui.Key{
	"service": "desk.fault.service",
	"time":    "desk.fault.time",
	"patient": "desk.fault.patient",
	"places":  "desk.fault.places",
	"many":    "desk.fault.many",
}

// wrong is a fault of a form; what names the line that is at fault.
type wrong struct {
	Key  ui.Key
	What string
}

// Error implements error. What somebody typed stays out of it.
func (w *wrong) Error() string { return "the form is not right: " + string(w.Key) }

func faulty(name, what string) *wrong { return &wrong{formFaults[name], what} }

// bookPage is a form that makes records.
type bookPage struct {
	Services []service
	Slots    []slot
	Values   url.Values
	Wrong    *wrong
	Refused  string
}

// Value is what a field held when the form was sent.
func (p bookPage) Value(name string) string { return p.Values.Get(name) }

// slot is a free time that a patient can be booked into.
type slot struct {
	ID         string
	Service    service
	Start, End time.Time
	Left       int64
}

// form shows the form of a page for services of a kind.
func (d *Desk) form(w http.ResponseWriter, r *http.Request, t *turn, status int, name, kind string, p bookPage) error {
	v, err := d.board(t).look(r.Context())
	if err != nil {
		return err
	}
	for _, s := range v.Services {
		if kind == "" && (s.Kind == "VCI" || s.Kind == "VCE") || s.Kind == kind {
			p.Services = append(p.Services, s)
		}
	}
	if name == "book" {
		if p.Slots, err = d.freeSlots(r.Context(), t, p.Services); err != nil {
			return err
		}
	}
	if p.Values == nil {
		soon := t.now.In(ui.Malaysia).Truncate(15 * time.Minute).Add(15 * time.Minute)
		p.Values = url.Values{
			"date": {soon.Format("2006-01-02")}, "time": {soon.Format("15:04")}, "until": {soon.Add(2 * time.Hour).Format("15:04")},
			"minutes": {"30"}, "places": {map[string]string{"VCI": "1", "VCE": "10"}[kind]},
		}
	}
	return d.show(w, r, t, status, name, frame{Data: p})
}

// made answers a form: on to the board when all went well, else the form
// again, with what was wrong and everything that was typed.
func (d *Desk) made(w http.ResponseWriter, r *http.Request, t *turn, name, kind string, n note, err error) error {
	if err == nil {
		if err := d.board(t).read(r.Context()); err != nil {
			d.board(t).touch()
		}
		return d.leave(w, r, t, Root, n)
	}
	p := bookPage{Values: r.PostForm}
	var said string
	var ok bool
	if errors.As(err, &p.Wrong) {
		ok = true
	} else if said, ok = problems(err); ok {
		p.Refused = said
	}
	if !ok {
		return err
	}
	return d.form(w, r, t, http.StatusUnprocessableEntity, name, kind, p)
}

func (d *Desk) bookForm(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.form(w, r, t, http.StatusOK, "book", "VCI", bookPage{})
}

func (d *Desk) groupForm(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.form(w, r, t, http.StatusOK, "group", "VCE", bookPage{})
}

func (d *Desk) hoursForm(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.form(w, r, t, http.StatusOK, "hours", "VCI", bookPage{})
}

// freeSlots lists the Slots of the services that still have places.
func (d *Desk) freeSlots(ctx context.Context, t *turn, services []service) ([]slot, error) {
	docs, err := d.board(t).org.Client.SearchAll(ctx, "Slot", url.Values{
		"status": {"free"}, "start": {"ge" + fhir.FormatDateTime(t.now), "lt" + fhir.FormatDateTime(t.now.Add(ahead))},
		"_include": {"Slot:schedule"}, "_sort": {"start"}, "_count": {"200"},
	})
	if err != nil {
		return nil, err
	}
	of := map[string]service{} // by reference of the Schedule
	for _, doc := range docs {
		for _, s := range services {
			if doc.Type() == "Schedule" && strings.HasSuffix(doc.Get("actor.reference").String(), "HealthcareService/"+s.ID) {
				of["Schedule/"+doc.ID()] = s
			}
		}
	}
	var list []slot
	for _, doc := range docs {
		s, known := of[doc.Get("schedule.reference").String()]
		if doc.Type() != "Slot" || !known || mycore.Token(doc) != "" {
			continue
		}
		_, left, _ := mycore.Quota(doc)
		list = append(list, slot{ID: doc.ID(), Service: s, Start: moment(doc, "start"), End: moment(doc, "end"), Left: left})
	}
	return list, nil
}

// when reads date, time and length of a form, in Malaysia.
func when(f url.Values) (start, end time.Time, err error) {
	start, err = time.ParseInLocation("2006-01-02 15:04", f.Get("date")+" "+f.Get("time"), ui.Malaysia)
	minutes, bad := strconv.Atoi(f.Get("minutes"))
	if err != nil || bad != nil || minutes < 5 || minutes > 8*60 {
		return start, end, faulty("time", "")
	}
	return start, start.Add(time.Duration(minutes) * time.Minute), nil
}

func (d *Desk) serviceOf(r *http.Request, t *turn, kind string) (service, error) {
	v, err := d.board(t).look(r.Context())
	if err != nil {
		return service{}, err
	}
	for _, s := range v.Services {
		if s.ID == r.PostForm.Get("service") && s.Kind == kind {
			return s, nil
		}
	}
	return service{}, faulty("service", "")
}

// patient is somebody to be booked.
type patient struct{ ID, Name string }

// patientOf finds a patient by identity number.
func (d *Desk) patientOf(ctx context.Context, t *turn, line string) (patient, error) {
	number, ok := mycore.NormalizeIdentityNumber(line)
	if !ok {
		return patient{}, faulty("patient", line)
	}
	for doc, err := range d.board(t).org.Client.Search(ctx, "Patient", url.Values{"identifier": {number}, "_count": {"2"}}) {
		if err != nil {
			return patient{}, err
		}
		return patient{doc.ID(), mycore.PatientName(doc)}, nil
	}
	return patient{}, faulty("patient", line)
}

// book makes an individual appointment, in a Slot or at any time.
func (d *Desk) book(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.made(w, r, t, "book", "VCI", noteBooked, d.bookOne(r, t))
}

func (d *Desk) bookOne(r *http.Request, t *turn) error {
	who, err := d.patientOf(r.Context(), t, r.PostForm.Get("patient"))
	if err != nil {
		return err
	}
	p := source.AppointmentParams{
		ID: uuid.NewString(), ServiceType: "VCI", Patient: who.ID, PatientName: who.Name,
		Practitioner: t.who.ID, PractitionerName: t.who.Name, ScheduleType: "internal",
	}
	if p.Slot = r.PostForm.Get("slot"); p.Slot != "" {
		err = d.intoSlot(r, t, &p)
	} else {
		err = d.atAnyTime(r, t, &p)
	}
	if err != nil {
		return err
	}
	doc, err := source.NewAppointment(p)
	if err != nil {
		return err
	}
	_, err = d.board(t).org.Client.Put(r.Context(), doc)
	return err
}

func (d *Desk) intoSlot(r *http.Request, t *turn, p *source.AppointmentParams) error {
	v, err := d.board(t).look(r.Context())
	if err != nil {
		return err
	}
	slots, err := d.freeSlots(r.Context(), t, v.Services)
	if err != nil {
		return err
	}
	for _, s := range slots {
		if s.ID == p.Slot {
			p.HealthcareService, p.HealthcareServiceName, p.Specialty = s.Service.ID, s.Service.Name, s.Service.Specialty
			p.Start, p.End = s.Start, s.End
			return nil
		}
	}
	return faulty("time", "")
}

func (d *Desk) atAnyTime(r *http.Request, t *turn, p *source.AppointmentParams) error {
	s, err := d.serviceOf(r, t, "VCI")
	if err != nil {
		return err
	}
	p.HealthcareService, p.HealthcareServiceName, p.Specialty = s.ID, s.Name, s.Specialty
	p.Start, p.End, err = when(r.PostForm)
	return err
}

// bookGroup opens a session for a group and books its patients, all at once:
// Schedule, Slot and every Appointment carry the session's token.
func (d *Desk) bookGroup(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.made(w, r, t, "group", "VCE", noteGroup, d.makeGroup(r, t))
}

func (d *Desk) makeGroup(r *http.Request, t *turn) error {
	ctx, client := r.Context(), d.board(t).org.Client
	s, err := d.serviceOf(r, t, "VCE")
	if err != nil {
		return err
	}
	start, end, err := when(r.PostForm)
	if err != nil {
		return err
	}
	var patients []patient
	for line := range strings.Lines(r.PostForm.Get("patients")) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		who, err := d.patientOf(ctx, t, line)
		if err != nil {
			return err
		}
		patients = append(patients, who)
	}
	if len(patients) == 0 || len(patients) > maxGroup {
		return faulty("many", "")
	}
	places, err := strconv.Atoi(r.PostForm.Get("places"))
	if err != nil || places < len(patients) || places > 1000 {
		return faulty("places", "")
	}
	session, err := client.CreateSession(ctx, source.NewSession{ServiceType: "VCE", Title: s.Name})
	if err != nil {
		return err
	}
	schedule, slot := uuid.NewString(), uuid.NewString()
	w := writer{}
	w.add(source.NewSchedule(source.ScheduleParams{
		ID: schedule, ServiceType: "VCE", Specialty: s.Specialty, HealthcareService: s.ID, HealthcareServiceName: s.Name,
		Start: start, End: end, Token: session.Token, ScheduleType: "internal",
	}))
	w.add(source.NewSlot(source.SlotParams{
		ID: slot, Schedule: schedule, ServiceType: "VCE", Specialty: s.Specialty, Start: start, End: end,
		Quota: places, Token: session.Token, ScheduleType: "internal",
	}))
	for _, who := range patients {
		w.add(source.NewAppointment(source.AppointmentParams{
			ID: uuid.NewString(), ServiceType: "VCE", Specialty: s.Specialty, HealthcareService: s.ID, HealthcareServiceName: s.Name,
			Patient: who.ID, PatientName: who.Name, Practitioner: t.who.ID, PractitionerName: t.who.Name,
			Start: start, End: end, Slot: slot, Token: session.Token, ScheduleType: "internal",
		}))
	}
	return w.send(ctx, client)
}

// openHours makes a Schedule with Slots of equal length, which patients can be
// booked into.
func (d *Desk) openHours(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.made(w, r, t, "hours", "VCI", noteHours, d.makeHours(r, t))
}

func (d *Desk) makeHours(r *http.Request, t *turn) error {
	s, err := d.serviceOf(r, t, "VCI")
	if err != nil {
		return err
	}
	start, first, err := when(r.PostForm)
	if err != nil {
		return err
	}
	length := first.Sub(start)
	until, err := time.ParseInLocation("2006-01-02 15:04", r.PostForm.Get("date")+" "+r.PostForm.Get("until"), ui.Malaysia)
	if err != nil || until.Before(first) || until.Sub(start) > maxSlots*length {
		return faulty("time", "")
	}
	places, err := strconv.Atoi(r.PostForm.Get("places"))
	if err != nil || places < 1 || places > 1000 {
		return faulty("places", "")
	}
	schedule := uuid.NewString()
	w := writer{}
	w.add(source.NewSchedule(source.ScheduleParams{
		ID: schedule, ServiceType: s.Kind, Specialty: s.Specialty, HealthcareService: s.ID, HealthcareServiceName: s.Name,
		Start: start, End: until, ScheduleType: "internal",
	}))
	for at := start; !at.Add(length).After(until); at = at.Add(length) {
		w.add(source.NewSlot(source.SlotParams{
			ID: uuid.NewString(), Schedule: schedule, ServiceType: s.Kind, Specialty: s.Specialty,
			Start: at, End: at.Add(length), Quota: places, ScheduleType: "internal",
		}))
	}
	return w.send(r.Context(), d.board(t).org.Client)
}

// writer gathers records for one transaction.
type writer struct {
	docs []*fhir.Document
	err  error
}

func (w *writer) add(doc *fhir.Document, err error) {
	if w.err == nil {
		w.err = err
	}
	w.docs = append(w.docs, doc)
}

func (w *writer) send(ctx context.Context, client *source.Client) error {
	if w.err != nil {
		return w.err
	}
	bundle, err := source.NewTransaction(w.docs...)
	if err != nil {
		return err
	}
	_, err = client.Transaction(ctx, bundle)
	return err
}
