package source

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/mycore"
)

const token = "7d3c2f9e-1b4a-4c8d-9e6f-0a1b2c3d4e5f"

var nine = time.Date(2026, 11, 23, 9, 0, 0, 0, fhir.Malaysia)

func appointment() AppointmentParams {
	return AppointmentParams{
		ID: "a1", ServiceType: "VCI", Specialty: "86", HealthcareService: "hs1", Patient: "p1", PatientName: "Siti <b>",
		Practitioner: "PractitionerRole/r1", PractitionerName: "Dr Lim", Start: nine, End: nine.Add(time.Hour), Slot: "s1", ScheduleType: "internal",
	}
}

func schedule() ScheduleParams {
	return ScheduleParams{ID: "c1", ServiceType: "VCE", Specialty: "149", HealthcareService: "HealthcareService/hs1",
		HealthcareServiceName: "Diabetes class", Start: nine, End: nine.Add(time.Hour), Token: token, ScheduleType: "public"}
}

func slot() SlotParams {
	return SlotParams{ID: "s1", Schedule: "c1", ServiceType: "VCE", Specialty: "149", Start: nine, End: nine.Add(time.Hour),
		Quota: 12, Token: token, ScheduleType: "public"}
}

func TestRecordsFollowTheProfiles(t *testing.T) {
	builds := map[string]func() (*fhir.Document, error){
		"appointment": func() (*fhir.Document, error) { return NewAppointment(appointment()) },
		"schedule":    func() (*fhir.Document, error) { return NewSchedule(schedule()) },
		"slot":        func() (*fhir.Document, error) { return NewSlot(slot()) },
	}
	wants := map[string]map[string]string{
		"appointment": {
			"status": "booked", "serviceType.coding.code": "VCI", "start": "2026-11-23T09:00:00.000+08:00", "slot.reference": "Slot/s1",
			"participant.actor.reference": "HealthcareService/hs1", "participant.actor.type": "HealthcareService",
		},
		"schedule": {"actor.display": "Diabetes class", "active": "true", "identifier.value": token, "planningHorizon.end": "2026-11-23T10:00:00.000+08:00"},
		"slot":     {"schedule.reference": "Schedule/c1", "status": "free", "appointmentType.coding.code": "public"},
	}
	for name, build := range builds {
		t.Run(name, func(t *testing.T) {
			doc, err := build()
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range mycore.Lines {
				if issues := mycore.NewValidator(line, validate.Options{}).Receive(t.Context(), doc, mycore.Strict); len(issues) > 0 {
					t.Errorf("the strict profile of %s has something against it: %v", line, issues)
				}
			}
			for path, want := range wants[name] {
				if got := doc.Get(path).String(); got != want {
					t.Errorf("%s = %q, want %q", path, got, want)
				}
			}
		})
	}
	doc, _ := NewSlot(slot())
	if quota, available, ok := mycore.Quota(doc); !ok || quota != 12 || available != 12 {
		t.Errorf("quota %d of %d", available, quota)
	}
	doc, _ = NewAppointment(appointment())
	if got := mycore.Actors(doc, "PractitionerRole"); len(got) != 1 || got[0] != "PractitionerRole/r1" {
		t.Errorf("practitioners %v", got)
	}
	if got := doc.Get("participant.actor.display").String(); got == "" {
		t.Error("a service without a name is not called by its specialty")
	}
}

func TestRecordsThatCannotBeBuilt(t *testing.T) {
	change := func(f func(*AppointmentParams)) func() (*fhir.Document, error) {
		p := appointment()
		f(&p)
		return func() (*fhir.Document, error) { return NewAppointment(p) }
	}
	for name, build := range map[string]func() (*fhir.Document, error){
		"no id":                change(func(p *AppointmentParams) { p.ID = "" }),
		"an id with a slash":   change(func(p *AppointmentParams) { p.ID = "a/b" }),
		"a service type":       change(func(p *AppointmentParams) { p.ServiceType = "XYZ" }),
		"an unknown type":      change(func(p *AppointmentParams) { p.ScheduleType = "secret" }),
		"an unknown specialty": change(func(p *AppointmentParams) { p.Specialty = "no such" }),
		"a nameless patient":   change(func(p *AppointmentParams) { p.PatientName = "" }),
		"no patient":           change(func(p *AppointmentParams) { p.Patient = "" }),
		"no times":             change(func(p *AppointmentParams) { p.Start, p.End = time.Time{}, time.Time{} }),
		"an end before start":  change(func(p *AppointmentParams) { p.End = p.Start.Add(-time.Minute) }),
		"a bad token":          change(func(p *AppointmentParams) { p.Token = "abc" }),
		"a slot of no id":      change(func(p *AppointmentParams) { p.Slot = "Slot/" }),
		"a slot without schedule": func() (*fhir.Document, error) {
			p := slot()
			p.Schedule = ""
			return NewSlot(p)
		},
		"a slot without times": func() (*fhir.Document, error) {
			p := slot()
			p.Start = time.Time{}
			return NewSlot(p)
		},
		"a negative quota": func() (*fhir.Document, error) {
			p := slot()
			p.Quota = -1
			return NewSlot(p)
		},
		"a schedule for nobody": func() (*fhir.Document, error) {
			p := schedule()
			p.HealthcareService = ""
			return NewSchedule(p)
		},
		"a schedule without hours": func() (*fhir.Document, error) {
			p := schedule()
			p.Start = time.Time{}
			return NewSchedule(p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := build()
			if err == nil {
				t.Fatalf("built %s", doc.Bytes())
			}
			if strings.Contains(err.Error(), "Siti") {
				t.Errorf("the error names the patient: %v", err)
			}
		})
	}
}

func TestTransaction(t *testing.T) {
	odd := document(t, `{"resourceType":"Slot",  "id":"s9","x":1.00}`)
	plain, _ := NewSchedule(schedule())
	b, err := NewTransaction(plain, odd)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b.Bytes()), string(odd.Bytes())) {
		t.Error("a record did not keep its bytes")
	}
	var urls []string
	for n := range b.All("entry.request.url") {
		urls = append(urls, n.String())
	}
	if len(urls) != 2 || urls[0] != "Schedule/c1" || urls[1] != "Slot/s9" || !b.Get("type").Is("transaction") {
		t.Errorf("transaction of %v", urls)
	}
	if _, err := NewTransaction(odd, odd); err == nil {
		t.Error("a record stands twice")
	}
	if _, err := NewTransaction(document(t, `{"resourceType":"Slot"}`)); err == nil {
		t.Error("a record has no id")
	}
}

func document(t *testing.T, s string) *fhir.Document {
	t.Helper()
	d, err := fhir.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// encounter is as the exchange writes it, with odd spaces and elements of
// nobody's that must survive. more stands at its end.
func encounter(more string) string {
	return `{"resourceType":"Encounter","id":"e1","identifier":[{"system":"` + mycore.SystemVCToken + `","value":"` + token + `"}],
  "class":{"system":"` + mycore.SystemEncounterClass + `","code":"VR"},"type":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],
  "serviceType":{"coding":[{"system":"` + mycore.SystemServiceType + `","code":"VCI"}]},"subject":{"reference":"Patient/p1"},
  "serviceProvider":{"reference":"Organization/o1"},  "_status" : {"extension": [{"url":"http://hl7.org/fhir/StructureDefinition/weight", "valueDecimal": 1.00}]},
  "period":{"start":"2026-11-23T09:00:00+08:00"},` + more + `}`
}

func TestFinishEncounter(t *testing.T) {
	const inProgress = `"status":"in-progress","statusHistory":[{"status":"planned","period":{"end":"2026-11-23T09:00:00+08:00"}},{"status":"arrived","period":{"start":"2026-11-23T09:00:00+08:00","end":"2026-11-23T09:05:00+08:00"}}]`
	const attending = `,"participant":[{"type":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"ATND"}]}],"individual":{"reference":"Practitioner/d1","display":"Dr Lim"}}]`
	end := nine.Add(time.Hour)
	for _, c := range []struct {
		name, more   string
		p            FinishParams
		participants string // individual and start of each
		reason       string
	}{
		{"by name", inProgress, FinishParams{At: end, Outcome: "1", PractitionerName: "Dr Lim"}, "/Dr Lim 09:05:00", ""},
		{"by reference", inProgress, FinishParams{At: end, Outcome: "1", Practitioner: "d1", PractitionerName: "Dr Lim"}, "Practitioner/d1/Dr Lim 09:05:00", ""},
		{"nobody known", inProgress, FinishParams{At: end, Outcome: "2", Reason: "01"}, "", "01"},
		{"one who stands there", inProgress + attending, FinishParams{At: end, Outcome: "1", Practitioner: "d1"}, "Practitioner/d1/Dr Lim 09:05:00", ""},
		{"one who stands there, unnamed", inProgress + attending, FinishParams{At: end, Outcome: "1"}, "Practitioner/d1/Dr Lim 09:05:00", ""},
		{"another one", inProgress + attending, FinishParams{At: end, Outcome: "1", Practitioner: "PractitionerRole/r2"}, "Practitioner/d1/Dr Lim , PractitionerRole/r2/ 09:05:00", ""},
		{"never in progress", `"status":"arrived"`, FinishParams{At: end, Outcome: "2", Reason: "02", PractitionerName: "Dr Lim"}, "/Dr Lim 10:00:00", "02"},
		{"outcome noted before", inProgress + `,"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/x","valueBoolean":true},{"url":"` + mycore.ExtensionEncounterOutcome + `","extension":[]}]`, FinishParams{At: end, Outcome: "1"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := document(t, encounter(c.more))
			doc, err := FinishEncounter(before, c.p)
			if err != nil {
				t.Fatal(err)
			}
			if issues := mycore.Validate(doc, mycore.Strict); len(issues) > 0 {
				t.Errorf("the strict profile has something against it: %v", issues)
			}
			var who []string
			for n := range doc.All("participant") {
				in, from := n.Get("individual"), n.First("period.start").String()
				if len(from) > 19 {
					from = from[11:19]
				}
				who = append(who, in.Get("reference").String()+"/"+in.Get("display").String()+" "+from)
			}
			if got := strings.Join(who, ", "); got != c.participants {
				t.Errorf("participants %q, want %q", got, c.participants)
			}
			ext := doc.Root().Extension(mycore.ExtensionEncounterOutcome)
			if got := ext.Extension("encounterOutcome").First("valueCodeableConcept.coding.code").String(); got != c.p.Outcome {
				t.Errorf("outcome %q", got)
			}
			if got := ext.Extension("outcomeReason").First("valueCodeableConcept.coding.code").String(); got != c.reason {
				t.Errorf("reason %q", got)
			}
			if !doc.Get("status").Is("finished") || doc.Get("period.end").String() != "2026-11-23T10:00:00+08:00" {
				t.Errorf("status %s, end %s", doc.Get("status"), doc.Get("period.end"))
			}
			if kept := `,  "_status" : {"extension": [{"url":"http://hl7.org/fhir/StructureDefinition/weight", "valueDecimal": 1.00}]},`; !strings.Contains(string(doc.Bytes()), kept) {
				t.Error("bytes changed that must not")
			}
			if n := strings.Count(string(doc.Bytes()), mycore.ExtensionEncounterOutcome); n != 1 {
				t.Errorf("the outcome stands %d times", n)
			}
		})
	}
}

func TestFinishRefuses(t *testing.T) {
	good := FinishParams{At: nine.Add(time.Hour), Outcome: "1"}
	for name, c := range map[string]struct {
		doc string
		p   func(*FinishParams)
	}{
		"another record":      {`{"resourceType":"Patient"}`, nil},
		"no end":              {encounter(`"status":"arrived"`), func(p *FinishParams) { p.At = time.Time{} }},
		"an end before start": {encounter(`"status":"arrived"`), func(p *FinishParams) { p.At = nine.Add(-time.Hour) }},
		"no outcome":          {encounter(`"status":"arrived"`), func(p *FinishParams) { p.Outcome = "" }},
		"another reason":      {encounter(`"status":"arrived"`), func(p *FinishParams) { p.Reason = "09" }},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			if c.p != nil {
				c.p(&p)
			}
			if doc, err := FinishEncounter(document(t, c.doc), p); err == nil {
				t.Errorf("finished %s", doc.Bytes())
			}
		})
	}
	if !json.Valid([]byte(encounter(`"status":"arrived"`))) {
		t.Error("the sample is no JSON")
	}
}
