package play

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// consultation is one play of a flow.
type consultation struct {
	Options
	script
	kind    string
	sys     *source.Client
	token   string
	slot    string
	seats   []*seat
	inbox   *events
	doctor  *headless.Participant
	started time.Time
}

// seat is one patient's part in it.
type seat struct {
	Person
	browser     *Patient
	appointment string
	encounter   string
	call        *headless.Participant
}

// VCI plays an individual consultation, step by step of the guide's flow.
func VCI(ctx context.Context, o Options) error {
	c, err := open(o, mycore.ServiceIndividual, 1)
	if err != nil {
		return err
	}
	defer c.close()
	return c.run(ctx, []act{
		{"the source system creates a Schedule and a Slot (optional)", c.schedule},
		{"the source system creates the Appointment", c.book},
		{"the patient checks in on RekodSaya", c.checkIn},
		{"the exchange has created a session token", c.sessionMade},
		{"the exchange has created the Encounter with the token as identifier", c.encounterMade},
		{"Kafka has a notification for the Encounter", c.announced},
		{"the source system reads Encounter and token from Kafka", c.tokenRead},
		{"the source system gets the practitioner in and starts the session", c.start},
		{"the source system notifies the patient through the notification API", c.notify},
		{"the patient joins through RekodSaya; picture and sound go both ways", c.join},
		{"the source system updates the Encounter to finished", c.finish},
		{"the source system ends the session, for everybody", c.end},
	})
}

// VCE plays an education session for a group.
func VCE(ctx context.Context, o Options) error {
	c, err := open(o, mycore.ServiceEducation, 3)
	if err != nil {
		return err
	}
	defer c.close()
	return c.run(ctx, []act{
		{"the source system creates a session token", c.createSession},
		{"the source system creates a Schedule and a Slot with the token (optional)", c.schedule},
		{"the source system creates an Appointment with the token for each patient", c.book},
		{"the patients check in on RekodSaya", c.checkIn},
		{"the exchange has created their Encounters with the token of the Appointments", c.encounterMade},
		{"Kafka has a notification for each Encounter", c.announced},
		{"the source system reads Encounters and token from Kafka", c.tokenRead},
		{"the source system gets the practitioner in and starts the session", c.start},
		{"the source system notifies all patients in one call of the notification API", c.notify},
		{"the patients join through RekodSaya; picture and sound go both ways", c.join},
		{"the source system updates the Encounters to finished", c.finish},
		{"the source system ends the session, for everybody", c.end},
	})
}

type act struct {
	title string
	do    func(context.Context) (string, error)
}

func (c *consultation) run(ctx context.Context, acts []act) error {
	c.inbox.begin(ctx, c.sys, c.Client.topics())
	for _, a := range acts {
		if err := c.step(ctx, a.title, a.do); err != nil {
			return err
		}
	}
	if c.next != steps {
		return fmt.Errorf("%d of %d steps were played", c.next, steps)
	}
	_, _ = fmt.Fprintf(c.Out, "All %d steps were observed.\n", steps)
	return nil
}

func open(o Options, kind string, patients int) (*consultation, error) {
	if len(o.People) < patients {
		return nil, fmt.Errorf("this flow needs %d patients with RekodSaya, there are %d", patients, len(o.People))
	}
	sys, err := source.New(source.Config{Server: o.Server, ClientID: o.Client.ID, ClientSecret: o.Client.Secret, Kafka: o.Kafka})
	if err != nil {
		return nil, err
	}
	c := &consultation{Options: o, script: script{out: o.Out}, kind: kind, sys: sys, inbox: &events{}, started: time.Now()}
	for _, p := range o.People[:patients] {
		c.seats = append(c.seats, &seat{Person: p, browser: NewPatient(o.Server)})
	}
	return c, nil
}

func (c *consultation) close() {
	for _, s := range c.seats {
		if s.call != nil {
			s.call.Leave()
		}
	}
	if c.doctor != nil {
		c.doctor.Leave()
	}
	c.inbox.end()
}

func (c *consultation) createSession(ctx context.Context) (string, error) {
	s, err := c.sys.CreateSession(ctx, source.NewSession{ServiceType: c.kind, Title: "Demo"})
	if err != nil {
		return "", err
	}
	c.token = s.Token
	return fmt.Sprintf("session %s is %s", hidden(s.Token), s.Status), nil
}

// times of the appointment: it has just begun.
func (c *consultation) times() (start, end time.Time) {
	start = c.started.Truncate(time.Minute)
	return start, start.Add(45 * time.Minute)
}

const specialty = "02" // General Medicine

func (c *consultation) schedule(ctx context.Context) (string, error) {
	start, end := c.times()
	code, err := c.specialty(ctx)
	if err != nil {
		return "", err
	}
	id := uuid.NewString()
	schedule, err := source.NewSchedule(source.ScheduleParams{
		ID: id, ServiceType: c.kind, Specialty: code, HealthcareService: c.Service, Start: start, End: end, Token: c.token, ScheduleType: "internal",
	})
	if err != nil {
		return "", err
	}
	c.slot = uuid.NewString()
	slot, err := source.NewSlot(source.SlotParams{
		ID: c.slot, Schedule: id, ServiceType: c.kind, Specialty: code, Start: start, End: end, Quota: len(c.seats), Token: c.token, ScheduleType: "internal",
	})
	if err != nil {
		return "", err
	}
	bundle, err := source.NewTransaction(schedule, slot)
	if err != nil {
		return "", err
	}
	if _, err := c.sys.Transaction(ctx, bundle); err != nil {
		return "", err
	}
	return c.places(ctx, len(c.seats), "free")
}

// specialty is that of the service, which all its records must follow.
func (c *consultation) specialty(ctx context.Context) (string, error) {
	hs, err := c.sys.Get(ctx, "HealthcareService/"+c.Service)
	if err != nil {
		return "", err
	}
	if code := hs.Get("specialty.coding.code").String(); code != "" {
		return code, nil
	}
	return specialty, nil
}

// places observes what the Slot has left.
func (c *consultation) places(ctx context.Context, want int, status string) (string, error) {
	doc, err := c.sys.Get(ctx, "Slot/"+c.slot)
	if err != nil {
		return "", err
	}
	quota, left, _ := mycore.Quota(doc)
	if int(left) != want || !doc.Get("status").Is(status) {
		return "", fmt.Errorf("the Slot is %s with %d of %d places left, want %s with %d", doc.Get("status").String(), left, quota, status, want)
	}
	return fmt.Sprintf("the Slot is %s, %d of %d places left", status, left, quota), nil
}

func (c *consultation) book(ctx context.Context) (string, error) {
	start, end := c.times()
	code, err := c.specialty(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range c.seats {
		s.appointment = uuid.NewString()
		doc, err := source.NewAppointment(source.AppointmentParams{
			ID: s.appointment, ServiceType: c.kind, Specialty: code, HealthcareService: c.Service, HealthcareServiceName: "Demo",
			Patient: s.ID, PatientName: s.Name, Start: start, End: end, Slot: c.slot, Token: c.token, ScheduleType: "internal",
		})
		if err != nil {
			return "", err
		}
		if _, err := c.sys.Put(ctx, doc); err != nil {
			return "", err
		}
	}
	return c.places(ctx, 0, "busy")
}

func (c *consultation) checkIn(ctx context.Context) (string, error) {
	for _, s := range c.seats {
		if err := s.browser.SignIn(ctx, s.IdentityNumber, s.Code); err != nil {
			return "", err
		}
		if err := s.browser.CheckIn(ctx, s.appointment); err != nil {
			return "", err
		}
		if err := s.browser.Await(ctx, s.appointment, "waiting"); err != nil {
			return "", err
		}
		doc, err := c.sys.Get(ctx, "Appointment/"+s.appointment)
		if err != nil {
			return "", err
		}
		if !doc.Get("status").Is("checked-in") {
			return "", fmt.Errorf("the Appointment is %q", doc.Get("status").String())
		}
	}
	return fmt.Sprintf("%d in the waiting room, Appointment.status checked-in", len(c.seats)), nil
}

// sessionMade finds the session through the Encounter of the first patient.
func (c *consultation) sessionMade(ctx context.Context) (string, error) {
	enc, err := c.encounterOf(ctx, c.seats[0])
	if err != nil {
		return "", err
	}
	s, err := c.sys.Session(ctx, mycore.Token(enc))
	if err != nil {
		return "", err
	}
	if s.Status != "created" || strings.Contains(s.Room, s.Token) {
		return "", fmt.Errorf("the session is %q", s.Status)
	}
	return fmt.Sprintf("session %s is %s for %s", hidden(s.Token), s.Status, s.ServiceType), nil
}

func (c *consultation) encounterOf(ctx context.Context, s *seat) (*fhir.Document, error) {
	list, err := c.sys.SearchAll(ctx, "Encounter", map[string][]string{"appointment": {"Appointment/" + s.appointment}})
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("the Appointment has %d Encounters", len(list))
	}
	return list[0], nil
}

func (c *consultation) encounterMade(ctx context.Context) (string, error) {
	for _, s := range c.seats {
		enc, err := c.encounterOf(ctx, s)
		if err != nil {
			return "", err
		}
		token := mycore.Token(enc)
		switch {
		case !mycore.ValidToken(token) || c.token != "" && token != c.token:
			return "", errors.New("the Encounter does not carry the token of its session")
		case !enc.Get("status").Is("arrived") || !enc.Get("class.code").Is("VR") || mycore.ServiceType(enc) != c.kind:
			return "", fmt.Errorf("the Encounter is %q, class %q, %q", enc.Get("status").String(), enc.Get("class.code").String(), mycore.ServiceType(enc))
		}
		s.encounter = enc.ID()
	}
	return fmt.Sprintf("%d Encounter, status arrived, class VR, %s", len(c.seats), c.kind), nil
}

func (c *consultation) announced(ctx context.Context) (string, error) {
	var ids []string
	for _, s := range c.seats {
		e, err := c.inbox.await(ctx, s.encounter, "arrived")
		if err != nil {
			return "", err
		}
		ids = append(ids, e.ID)
	}
	return "ce_id " + strings.Join(ids, ", "), nil
}

func (c *consultation) tokenRead(ctx context.Context) (string, error) {
	for _, s := range c.seats {
		e, err := c.inbox.await(ctx, s.encounter, "arrived")
		if err != nil {
			return "", err
		}
		token := mycore.Token(e.Focus)
		if !mycore.ValidToken(token) || c.token != "" && token != c.token {
			return "", errors.New("the event does not carry the token of the session")
		}
		c.token = token
	}
	return "token " + hidden(c.token), nil
}

func (c *consultation) start(ctx context.Context) (string, error) {
	if _, err := c.seats[0].browser.Join(ctx, c.seats[0].appointment); err == nil {
		return "", errors.New("the patient could join before the session was started")
	}
	credentials, err := c.sys.Join(ctx, c.token, source.JoinRequest{Name: c.Doctor, ID: "demo"})
	if err != nil {
		return "", err
	}
	if c.doctor, err = headless.Join(ctx, credentials.JoinURL, headless.Options{}); err != nil {
		return "", err
	}
	s, err := c.sys.Activate(ctx, c.token)
	if err != nil {
		return "", err
	}
	if s.Status != "active" {
		return "", fmt.Errorf("the session is %q", s.Status)
	}
	return "the practitioner is in the room, the session is active", nil
}

func (c *consultation) notify(ctx context.Context) (string, error) {
	var numbers []string
	for _, s := range c.seats {
		numbers = append(numbers, s.IdentityNumber)
	}
	results, err := c.sys.Notify(ctx, source.Notification{
		Title: "Sesi konsultasi maya bermula", Body: "Anda boleh menyertai sesi sekarang.", PatientIDs: numbers, IdempotencyKey: uuid.NewString(),
	})
	if err != nil {
		return "", err
	}
	for _, r := range results {
		if r.Status != "delivered" {
			return "", fmt.Errorf("a patient was not told: %s", r.Status)
		}
	}
	for _, s := range c.seats {
		if err := s.browser.Await(ctx, s.appointment, "ready", "incall"); err != nil {
			return "", err
		}
		messages, err := s.browser.Inbox(ctx)
		if err != nil {
			return "", err
		}
		if !strings.Contains(messages, "Sesi konsultasi maya bermula") {
			return "", errors.New("the message is not in the patient's inbox")
		}
	}
	return fmt.Sprintf("%d delivered, the pages say that the session is ready", len(results)), nil
}

func (c *consultation) join(ctx context.Context) (string, error) {
	for _, s := range c.seats {
		link, err := s.browser.Join(ctx, s.appointment)
		if err != nil {
			return "", err
		}
		if s.call, err = headless.Join(ctx, link, headless.Options{}); err != nil {
			return "", err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(c.seats)+1)
	for i, p := range append([]*headless.Participant{c.doctor}, c.calls()...) {
		wg.Go(func() { errs[i] = p.WaitMedia(ctx, len(c.seats)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	for _, s := range c.seats {
		if _, err := c.inbox.await(ctx, s.encounter, "in-progress"); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d people receive picture and sound of each other; Encounter in-progress", len(c.seats)+1), nil
}

func (c *consultation) calls() (list []*headless.Participant) {
	for _, s := range c.seats {
		list = append(list, s.call)
	}
	return list
}

func (c *consultation) finish(ctx context.Context) (string, error) {
	for _, s := range c.seats {
		enc, err := c.sys.Get(ctx, "Encounter/"+s.encounter)
		if err != nil {
			return "", err
		}
		done, err := source.FinishEncounter(enc, source.FinishParams{At: time.Now(), Outcome: "1", PractitionerName: c.Doctor})
		if err != nil {
			return "", err
		}
		if _, err := c.sys.Put(ctx, done); err != nil {
			return "", err
		}
		if _, err := c.inbox.await(ctx, s.encounter, "finished"); err != nil {
			return "", err
		}
		app, err := c.sys.Get(ctx, "Appointment/"+s.appointment)
		if err != nil {
			return "", err
		}
		if !app.Get("status").Is("fulfilled") {
			return "", fmt.Errorf("the Appointment is %q", app.Get("status").String())
		}
	}
	return "Encounter finished, Appointment fulfilled", nil
}

func (c *consultation) end(ctx context.Context) (string, error) {
	s, err := c.sys.End(ctx, c.token)
	if err != nil {
		return "", err
	}
	if s.Status != "ended" {
		return "", fmt.Errorf("the session is %q", s.Status)
	}
	for _, p := range append(c.calls(), c.doctor) {
		select {
		case <-p.Ended():
		case <-ctx.Done():
			return "", errors.New("somebody is still in the call")
		}
	}
	for _, seat := range c.seats {
		if err := seat.browser.Await(ctx, seat.appointment, "finished"); err != nil {
			return "", err
		}
		if _, err := seat.browser.Join(ctx, seat.appointment); err == nil {
			return "", errors.New("a patient could still join")
		}
		if err := seat.browser.Rate(ctx, seat.appointment, "5", ""); err != nil {
			return "", err
		}
	}
	return "the call is over for everybody, nobody can join again, the patients have rated it", nil
}
