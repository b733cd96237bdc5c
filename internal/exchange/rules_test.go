package exchange_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// slots stores a Schedule and a Slot with a quota for the hospital's VCI.
func (w *world) slots(id string, quota int64) {
	w.Helper()
	w.put(hospitalSystem, w.schedule("sch-"+id, "HTJ-VCI"))
	w.put(hospitalSystem, w.slot(id, "sch-"+id, quota))
}

func (w *world) schedule(id, service string) string {
	return `{"resourceType":"Schedule","id":"` + id + `","extension":[{"url":"` + mycore.ExtensionScheduleType + `","valueCodeableConcept":` + concept("schedule-type", "affiliate") +
		`}],"active":true,"serviceCategory":[` + concept("encounter-class", "VR") + `],"serviceType":[` + concept("service-type", "VCI") + `],"specialty":[` + concept("specialty", "86") +
		`],"actor":[{"reference":"HealthcareService/` + service + `","type":"HealthcareService","display":"Clinic"}],"planningHorizon":{"start":"` +
		fhir.FormatDateTime(w.now) + `","end":"` + fhir.FormatDateTime(w.now.Add(2*time.Hour)) + `"}}`
}

func (w *world) slot(id, schedule string, quota int64) string {
	q := string(fhir.Marshal(quota))
	return `{"resourceType":"Slot","id":"` + id + `","extension":[{"url":"` + mycore.ExtensionSlotQuota + `","extension":[{"url":"available","valueString":"` + q + `"},{"url":"quota","valueString":"` + q +
		`"}]}],"serviceCategory":[` + concept("encounter-class", "VR") + `],"serviceType":[` + concept("service-type", "VCI") + `],"specialty":[` + concept("specialty", "86") +
		`],"appointmentType":` + concept("schedule-type", "affiliate") + `,"schedule":{"reference":"Schedule/` + schedule + `"},"status":"free","start":"` +
		fhir.FormatDateTime(w.now) + `","end":"` + fhir.FormatDateTime(w.now.Add(time.Hour)) + `"}`
}

func TestAppointmentRefused(t *testing.T) {
	known := uuid.NewString()
	for _, c := range []struct {
		name, from, to string // an edit of the text of a good Appointment
		wish           wish
		by             auth.Principal
		code           fhir.Code
		phrase         string
	}{
		{name: "unknown service", wish: wish{service: "nowhere"}, code: fhir.CodeBusinessRule, phrase: "HealthcareService"},
		{name: "unknown patient", wish: wish{patient: "nobody"}, code: fhir.CodeBusinessRule, phrase: "Patient"},
		{name: "a patient of another organisation", wish: wish{service: "KKPD-VCI"}, by: clinicSystem, code: fhir.CodeBusinessRule, phrase: "Patient"},
		{name: "unknown slot", wish: wish{slot: "nowhere"}, code: fhir.CodeBusinessRule, phrase: "Slot"},
		{name: "a slot that is none", wish: wish{slot: "nowhere"}, from: "Slot/nowhere", to: "Schedule/nowhere", code: fhir.CodeBusinessRule, phrase: "of type Slot"},
		{name: "a service of another type", wish: wish{service: "HTJ-VCE"}, code: fhir.CodeBusinessRule, phrase: "does not offer"},
		{name: "unknown token", wish: wish{token: known}, code: fhir.CodeBusinessRule, phrase: "not issued"},
		{name: "a class without a token", wish: wish{kind: "VCE"}, code: fhir.CodeRequired, phrase: "token"},
		{name: "checked in by the source system", wish: wish{status: "checked-in"}, code: fhir.CodeBusinessRule, phrase: "RekodSaya"},
		{name: "no status", from: `"status":"booked",`, to: "", code: fhir.CodeRequired, phrase: "status"},
		{name: "no specialty", from: `"specialty":[` + concept("specialty", "86") + `],`, to: "", code: fhir.CodeRequired, phrase: "specialty"},
		{name: "read only credentials", by: auth.Principal{Kind: auth.Client, ID: "r", Organization: hospital, Scopes: []string{"system/*.rs"}}, code: fhir.CodeForbidden},
		{name: "nobody", by: auth.Principal{Kind: "none"}, code: fhir.CodeLogin},
		{name: "a patient", by: aminah, code: fhir.CodeForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.by.Kind == "" {
				c.by = hospitalSystem
			}
			body := w.appointment(c.wish)
			if c.from != "" && !strings.Contains(body, c.from) {
				t.Fatal("the edit of this case does not apply")
			}
			w.refused(c.code, func() error {
				_, err := w.try(c.by, strings.Replace(body, c.from, c.to, 1))
				if err != nil && !strings.Contains(err.Error(), c.phrase) {
					t.Errorf("the refusal does not say why: %v", err)
				}
				return err
			})
		})
	}
}

func TestStaleAppointmentRefused(t *testing.T) {
	w := newWorld(t)
	body := w.appointment(wish{})
	w.put(hospitalSystem, body)
	w.checkIn(aminah, "app-1")
	for name, stale := range map[string]string{
		"the copy before check-in": body,
		"missed":                   strings.Replace(body, `"booked"`, `"noshow"`, 1),
		"done without a call":      strings.Replace(body, `"booked"`, `"fulfilled"`, 1),
		"arrived by itself":        strings.Replace(body, `"booked"`, `"arrived"`, 1),
		"for somebody else":        strings.Replace(strings.Replace(body, `"booked"`, `"checked-in"`, 1), "Patient/aminah", "Patient/lim", 1),
	} {
		t.Run(name, func(t *testing.T) {
			w.TB = t
			w.refused(fhir.CodeBusinessRule, func() error { _, err := w.try(hospitalSystem, stale); return err })
		})
	}
	w.TB = t
	w.put(hospitalSystem, strings.Replace(body, `"booked"`, `"cancelled"`, 1))
	c := w.consultation("app-1")
	if c.State != string(consult.Cancelled) || w.get("Encounter", c.Encounter).Get("status").String() != "unknown" {
		t.Errorf("cancelled by its source the consultation is %s", c.State)
	}
}

func TestEncounterRefused(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	w.checkIn(aminah, "app-1")
	c := w.consultation("app-1")
	enc := w.get("Encounter", c.Encounter)
	edit := func(edits ...fhir.Edit) string {
		d, err := enc.With(edits...)
		if err != nil {
			t.Fatal(err)
		}
		return string(d.Bytes())
	}
	for name, body := range map[string]string{
		"finished before it began":  edit(fhir.Set("status", "finished")),
		"in progress too soon":      edit(fhir.Set("status", "in-progress")),
		"another patient":           edit(fhir.Set("subject.reference", "Patient/lim")),
		"another token":             edit(fhir.Set("identifier.0.value", uuid.NewString())),
		"a second one for the same": edit(fhir.Set("id", "mine")),
	} {
		t.Run(name, func(t *testing.T) {
			w.TB = t
			w.refused(fhir.CodeBusinessRule, func() error { _, err := w.try(hospitalSystem, body); return err })
		})
	}
	w.TB = t
	w.refused(fhir.CodeForbidden, func() error { _, err := w.try(clinicSystem, edit(fhir.Set("status", "finished"))); return err })
	w.refused(fhir.CodeNotFound, func() error { _, err := w.consult.Activate(w.ctx, clinicSystem, c.Token); return err })
	w.refused(fhir.CodeConflict, func() error {
		_, err := w.exchange.Delete(w.ctx, hospitalSystem, "Encounter", c.Encounter, nil)
		return err
	})
}

func TestTokenOnHistoryIsStoredWithAWarning(t *testing.T) {
	w := newWorld(t)
	out := w.put(hospitalSystem, `{"resourceType":"Encounter","id":"old","identifier":[{"system":"`+mycore.SystemVCToken+`","value":"`+uuid.NewString()+`"}],"status":"finished",`+
		`"class":{"system":"`+mycore.SystemEncounterClass+`","code":"VR"},"type":[`+concept("specialty", "86")+`],"serviceType":`+concept("service-type", "VCI")+
		`,"subject":{"reference":"Patient/aminah"},"period":{"start":"2023-07-07T17:50:35+08:00"},"serviceProvider":{"reference":"Organization/`+hospital+`"}}`)
	found := false
	for _, i := range out.Issues {
		found = found || i.Severity == fhir.SeverityWarning && strings.Contains(i.Diagnostics, "not issued")
	}
	if !found || !strings.Contains(string(out.Resource.Body), exchange.TagWarning) {
		t.Errorf("issues %v, stored %s", out.Issues, out.Resource.Body)
	}
}

// Whether somebody else has a session of this token is not told.
func TestTokenOfOthersIsAsUnknownAsNone(t *testing.T) {
	w := newWorld(t)
	session, err := w.consult.CreateSession(w.ctx, hospitalSystem, consult.NewSession{ServiceType: "VCE", Title: "Diabetes"})
	if err != nil {
		t.Fatal(err)
	}
	said := func(token string) string {
		out := w.put(clinicSystem, `{"resourceType":"Encounter","id":"e`+token+`","identifier":[{"system":"`+mycore.SystemVCToken+`","value":"`+token+`"}],"status":"finished",`+
			`"class":{"system":"`+mycore.SystemEncounterClass+`","code":"VR"},"type":[`+concept("specialty", "86")+`],"serviceType":`+concept("service-type", "VCE")+
			`,"subject":{"reference":"Patient/lim"},"period":{"start":"2023-07-07T17:50:35+08:00"},"serviceProvider":{"reference":"Organization/`+clinic+`"}}`)
		return out.Issues.Error()
	}
	if of, none := said(string(session.Token)), said(uuid.NewString()); of != none || !strings.Contains(of, "not issued by this exchange") {
		t.Errorf("a token of others: %s\none of nobody: %s", of, none)
	}
}

func TestQuotaIsExact(t *testing.T) {
	w := newWorld(t)
	const quota, wishes = 5, 24
	w.slots("s", quota)
	var booked, full atomic.Int64
	var wg sync.WaitGroup
	for i := range wishes {
		body := w.appointment(wish{id: "a" + string(rune('a'+i)), slot: "s"})
		wg.Go(func() {
			switch _, err := w.try(hospitalSystem, body); {
			case err == nil:
				booked.Add(1)
			case fhir.CodeOf(err) == fhir.CodeConflict:
				full.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if booked.Load() != quota || full.Load() != wishes-quota {
		t.Errorf("%d of %d booked on a quota of %d, %d refused", booked.Load(), wishes, quota, full.Load())
	}
	slot := w.get("Slot", "s")
	if _, left, _ := mycore.Quota(slot); left != 0 || !slot.Get("status").Is("busy") || slot.Get("extension.extension.valueString").String() != "0" {
		t.Errorf("a full Slot reads %s", slot.Bytes())
	}
	w.put(hospitalSystem, w.slot("s", "sch-s", quota)) // the sender believes that all is free
	if _, left, _ := mycore.Quota(w.get("Slot", "s")); left != 0 {
		t.Error("the sender's idea of what is available was taken for the truth")
	}
}

func TestAnotherFacilityBooks(t *testing.T) {
	w := newWorld(t)
	w.slots("s", 2)
	w.put(clinicSystem, w.appointment(wish{patient: "lim", slot: "s"}))
	if _, err := w.exchange.Read(w.ctx, hospitalSystem, "Appointment", "app-1"); err != nil {
		t.Errorf("the hospital cannot see who booked with it: %v", err)
	}
	events := w.events()
	if len(events) != 1 || events[0].Topic != "hie.vc.appointment."+hospital {
		t.Errorf("%d events; want one that tells the hospital", len(events))
	}
	w.put(hospitalSystem, strings.Replace(w.slot("t", "sch-s", 2), `"code":"affiliate"`, `"code":"internal"`, 1))
	outpatient := func(what wish) string {
		return strings.NewReplacer(`"VR"`, `"AMB"`, `"VCI"`, `"03"`).Replace(w.appointment(what))
	}
	for name, c := range map[string]struct {
		body, phrase string
	}{
		"a slot that is not open":                       {w.appointment(wish{id: "app-2", patient: "lim", slot: "t"}), "not known"},
		"a slot that is not":                            {w.appointment(wish{id: "app-2", patient: "lim", slot: "none"}), "not known"},
		"a slot that is not, for a visit":               {outpatient(wish{id: "app-2", patient: "lim", slot: "none"}), "Appointment.slot: This Slot is not known"},
		"a slot that is not open, for a visit":          {outpatient(wish{id: "app-2", patient: "lim", slot: "t"}), "Appointment.slot: This Slot is not known"},
		"a slot of another facility than the service's": {w.appointment(wish{id: "app-2", patient: "lim", slot: "s", service: "KKPD-VCI"}), "not of the facility"},
	} {
		w.refused(fhir.CodeBusinessRule, func() error {
			_, err := w.try(clinicSystem, c.body)
			if err != nil && !strings.Contains(err.Error(), c.phrase) {
				t.Errorf("%s: %v", name, err)
			}
			return err
		})
	}
	if _, left, _ := mycore.Quota(w.get("Slot", "t")); left != 2 {
		t.Errorf("%d places are left in a slot that was never booked", left)
	}
	// Who takes a place of the hospital is shown to it, whatever the visit is.
	w.put(clinicSystem, outpatient(wish{id: "app-3", patient: "lim", slot: "s"}))
	if _, err := w.exchange.Read(w.ctx, hospitalSystem, "Appointment", "app-3"); err != nil {
		t.Errorf("the hospital cannot see who booked a visit with it: %v", err)
	}
}

func TestOrganisationsSeeTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	for _, typ := range []string{"Appointment", "Patient"} {
		id := map[string]string{"Appointment": "app-1", "Patient": "aminah"}[typ]
		if _, err := w.exchange.Read(w.ctx, clinicSystem, typ, id); fhir.CodeOf(err) != fhir.CodeNotFound {
			t.Errorf("the clinic reads the hospital's %s: %v", typ, err)
		}
		if _, err := w.exchange.History(w.ctx, clinicSystem, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: typ, ID: id, Count: 5}}); fhir.CodeOf(err) != fhir.CodeNotFound {
			t.Errorf("the clinic reads the history of the hospital's %s: %v", typ, err)
		}
	}
	if _, err := w.exchange.Read(w.ctx, clinicSystem, "HealthcareService", "HTJ-VCI"); err != nil {
		t.Errorf("services are for all to see: %v", err)
	}
	w.refused(fhir.CodeForbidden, func() error { _, err := w.try(clinicSystem, w.appointment(wish{})); return err })
}

func TestTransactionWithTheGuidesOddReferences(t *testing.T) {
	w := newWorld(t)
	strip := func(s, id string) string { return strings.Replace(s, `"id":"`+id+`",`, "", 1) }
	slot := strip(w.slot("y", "x", 3), "y")
	slot = strings.Replace(slot, `"Schedule/x"`, `"Schedule/urn:uuid:0c3a5d5e-0000-4000-8000-000000000001"`, 1)
	bundle := `{"resourceType":"Bundle","type":"transaction","entry":[` +
		`{"resource":` + slot + `,"request":{"method":"POST"}},` +
		`{"fullUrl":"urn:uuid:0c3a5d5e-0000-4000-8000-000000000001","resource":` + strip(w.schedule("x", "HTJ-VCI"), "x") + `,"request":{"method":"POST"}},` +
		`{"resource":` + strings.Replace(w.appointment(wish{}), `"Patient/aminah"`, `"Patient?identifier=`+mycore.SystemMyKad+`|`+aminah.Login+`"`, 1) + `,"request":{"method":"PUT","url":"Appointment/app-1"}}]}`
	doc, err := fhir.Parse([]byte(bundle))
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.exchange.Transaction(w.ctx, hospitalSystem, doc, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored := w.get("Slot", out.Entries[0].Resource.ID)
	if got, want := stored.Get("schedule.reference").String(), "Schedule/"+out.Entries[1].Resource.ID; got != want {
		t.Errorf("the Slot refers to %s, not to %s", got, want)
	}
	if got := w.consultation("app-1").Patient; got != "aminah" {
		t.Errorf("the conditional reference led to %q", got)
	}
	broken, err := fhir.Parse([]byte(strings.Replace(bundle, "HealthcareService/HTJ-VCI", "HealthcareService/none", 1)))
	if err != nil {
		t.Fatal(err)
	}
	w.refused(fhir.CodeBusinessRule, func() error { _, err := w.exchange.Transaction(w.ctx, hospitalSystem, broken, nil); return err })
}

// Those who hold a consultation may be unknown to the exchange, which is said;
// a strict exchange wants to know them.
func TestUnknownPractitionerIsNoted(t *testing.T) {
	w := newWorld(t)
	with := func(reference string) string {
		return strings.Replace(w.appointment(wish{}), `"participant":[`,
			`"participant":[{"actor":{"reference":"`+reference+`","type":"Practitioner","display":"Dr. Farid"},"status":"accepted"},`, 1)
	}
	w.put(hospitalSystem, `{"resourceType":"Practitioner","id":"farid","meta":{"profile":["`+mycore.Profile("Practitioner")+`"]},"active":true,"name":[{"text":"Farid"}],"gender":"male","birthDate":"1980-01-01","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/professional-no","value":"1"}]}`)
	noted := func(out exchange.Outcome) bool {
		for _, is := range out.Issues {
			if strings.Contains(is.Diagnostics, "This Practitioner is not known") && is.Severity == fhir.SeverityWarning {
				return true
			}
		}
		return false
	}
	for reference, want := range map[string]bool{"Practitioner/farid": false, "Practitioner/nobody": true} {
		out, err := w.try(hospitalSystem, with(reference))
		if err != nil || noted(out) != want {
			t.Errorf("%s: noted %v, want %v; %v, %v", reference, noted(out), want, out.Issues, err)
		}
	}
	w.exchange.Mode = mycore.Strict
	w.refused(fhir.CodeBusinessRule, func() error { _, err := w.try(hospitalSystem, with("Practitioner/nobody")); return err })
}
