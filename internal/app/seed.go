package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// seeder keeps the demo alive around now: at any hour there is something to
// check in to, something too early, something over, and a class.
type seeder struct {
	store    store.Store
	exchange *exchange.Service
	consult  *consult.Service
	clock    func() time.Time
	cast     Credentials
}

// scene is an appointment that the demo always has. offset is its start
// relative to now when it has to be made.
type scene struct {
	name     string
	facility int
	kind     string
	patients []string
	offset   time.Duration
	length   time.Duration
	present  func(c store.Consultation, now time.Time, w consult.Window) bool // does this one play the scene?
}

var scenes = []scene{
	{"open", 0, "VCI", []string{"demo-aminah"}, 5 * time.Minute, 45 * time.Minute, openNow},
	{"open", 1, "VCI", []string{"demo-lim"}, 5 * time.Minute, 45 * time.Minute, openNow},
	{"unactivated", 0, "VCI", []string{"demo-siti"}, 15 * time.Minute, 45 * time.Minute, openNow},
	{"early", 0, "VCI", []string{"demo-devi"}, 26 * time.Hour, 30 * time.Minute, tooEarly},
	{"over", 0, "VCI", []string{"demo-devi"}, -26 * time.Hour, 30 * time.Minute, over},
	{"class", 0, "VCE", []string{"demo-devi", "demo-hassan", "demo-grace", "demo-ravi"}, 10 * time.Minute, 60 * time.Minute, openNow},
}

const spare = 10 * time.Minute // an appointment that ends sooner is replaced

func openNow(c store.Consultation, now time.Time, w consult.Window) bool {
	live := c.State == string(consult.Booked) || c.State == string(consult.Waiting) ||
		c.State == string(consult.Ready) || c.State == string(consult.InCall)
	return live && !now.Before(c.Start.Add(-w.Before)) && now.Add(spare).Before(c.End)
}

func tooEarly(c store.Consultation, now time.Time, w consult.Window) bool {
	return c.State == string(consult.Booked) && now.Add(time.Hour).Before(c.Start.Add(-w.Before))
}

func over(c store.Consultation, now time.Time, _ consult.Window) bool {
	return c.End.Before(now)
}

// principal acts as the source system of a facility.
func (s *seeder) principal(facility int) auth.Principal {
	c := s.cast.Clients[facility]
	return auth.Principal{Kind: auth.Client, ID: c.ClientID, Organization: c.Organization, Scopes: clientScopes}
}

// clientScopes is what a demo source system may do.
var clientScopes = []string{"system/*.cruds", string(auth.Session), string(auth.Notify)}

// directory stores the organisations, services, practitioners and patients.
func (s *seeder) directory(ctx context.Context) error {
	for i, f := range facilities {
		for _, doc := range f.directory() {
			if err := s.put(ctx, s.principal(i), doc); err != nil {
				return err
			}
		}
	}
	for i, p := range people {
		if err := s.put(ctx, s.principal(0), p.document(i+1)); err != nil {
			return err
		}
	}
	return s.store.Update(ctx, func(tx store.Tx) error {
		for _, p := range people {
			for _, f := range facilities[1:] {
				if err := tx.Grant("Patient", p.id, f.id); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (s *seeder) put(ctx context.Context, p auth.Principal, doc object) error {
	d, err := fhir.Parse(fhir.Marshal(doc))
	if err != nil {
		return err
	}
	_, err = s.exchange.Put(ctx, p, exchange.Write{Type: d.Type(), ID: d.ID(), Doc: d})
	if err != nil {
		return fmt.Errorf("demo data: %s/%s: %w", d.Type(), d.ID(), err)
	}
	return nil
}

// refresh makes the appointments that are missing now.
func (s *seeder) refresh(ctx context.Context) error {
	for _, sc := range scenes {
		token := ""
		for _, patient := range sc.patients {
			there, err := s.plays(ctx, sc, patient)
			if err != nil {
				return err
			}
			if there != nil {
				token = there.Token
				continue
			}
			if sc.kind == consult.Education && token == "" {
				if token, err = s.session(ctx, sc); err != nil {
					return err
				}
			}
			if err := s.book(ctx, sc, patient, token); err != nil {
				return err
			}
		}
	}
	return nil
}

// plays finds the consultation that plays the scene for a patient, if any.
func (s *seeder) plays(ctx context.Context, sc scene, patient string) (*store.Consultation, error) {
	var found *store.Consultation
	service := facilities[sc.facility].service(sc.kind)
	err := s.store.View(ctx, func(r store.Reader) error {
		list, err := r.ConsultationsFor([]string{patient})
		for _, c := range list {
			if c.HealthcareService != service || !sc.present(c, s.clock(), s.consult.Window) {
				continue
			}
			if c.Token != "" {
				session, err := r.Session(c.Token)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				if session.Status == consult.SessionEnded {
					continue
				}
			}
			found = &c
		}
		return err
	})
	return found, err
}

func (s *seeder) session(ctx context.Context, sc scene) (string, error) {
	f := facilities[sc.facility]
	v, err := s.consult.CreateSession(ctx, s.principal(sc.facility), consult.NewSession{
		ServiceType: sc.kind, Title: f.services[sc.kind].name,
	})
	return v.Token, err
}

func (s *seeder) book(ctx context.Context, sc scene, patient, token string) error {
	f := facilities[sc.facility]
	start := s.clock().Add(sc.offset).Truncate(5 * time.Minute)
	end := start.Add(sc.length)
	name := ""
	for _, p := range people {
		if p.id == patient {
			name = p.name
		}
	}
	actor := func(reference, typ, display string) object {
		return object{"actor": object{"reference": reference, "type": typ, "display": display}, "status": "accepted"}
	}
	doc := profiled("Appointment", fmt.Sprintf("%s-%s-%s", patient, sc.name, s.clock().In(fhir.Malaysia).Format("060102-150405")), object{
		"status":                "booked",
		"serviceCategory":       []any{coding(mycore.SystemEncounterClass, mycore.ClassVirtual, "Virtual")},
		"serviceType":           []any{coding(mycore.SystemServiceType, sc.kind, "")},
		"specialty":             []any{coding(mycore.SystemSpecialty, f.services[sc.kind].specialty, "")},
		"appointmentType":       coding(mycore.SystemScheduleType, "internal", ""),
		"start":                 fhir.FormatDateTime(start),
		"end":                   fhir.FormatDateTime(end),
		"created":               fhir.FormatDateTime(s.clock()),
		"supportingInformation": []any{object{"reference": "HealthcareService/" + f.service(sc.kind)}}, // the line 1.0.0 asks for some
		"participant": []any{
			actor("HealthcareService/"+f.service(sc.kind), "HealthcareService", f.services[sc.kind].name),
			actor("Patient/"+patient, "Patient", name),
			actor("Practitioner/"+f.practitioner.id, "Practitioner", f.practitioner.name),
		},
	})
	if token != "" {
		doc["identifier"] = []any{object{"system": mycore.SystemVCToken, "value": token}}
	}
	return s.put(ctx, s.principal(sc.facility), doc)
}
