package storetest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	searches "github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// ScaleBase is the address below which the records of a Fill lie.
const ScaleBase = "https://hie.example/baseR4"

// scaleDay is the day in the middle of the appointments of a Fill.
var scaleDay = time.Date(2026, 11, 23, 8, 0, 0, 0, fhir.Malaysia)

// Fill writes n appointments, 500 on each day around the 23rd of November
// 2026, with as many slots, half as many encounters, and a tenth as many
// patients, of 20 organisations. Each is indexed as the exchange does.
func Fill(ctx context.Context, s store.Store, n int) error {
	const atOnce = 40 // a transaction with many more is slower for each
	for from := 0; from < n; from += atOnce {
		if err := s.Update(ctx, func(tx store.Tx) error {
			for i := from; i < min(from+atOnce, n); i++ {
				for _, body := range scaleRecords(i, n) {
					doc, err := fhir.Parse([]byte(body))
					if err != nil {
						return err
					}
					if err := tx.PutResource(store.Resource{
						Type: doc.Type(), ID: doc.ID(), Version: 1, Updated: scaleDay.Add(time.Duration(i) * time.Second), Method: "PUT",
						Organization: fmt.Sprintf("o%d", i%20), Body: []byte(body),
					}, searches.Index(doc, ScaleBase), nil); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// scaleRecords gives what comes with the i-th of n appointments.
func scaleRecords(i, n int) []string {
	names := strings.Fields("Ahmad Siti Nurul Muhammad Tan Lim Raju Muthu Wong Aminah Farid Halimah Jamal Kamala Osman Devi")
	// The days are not in the order of creation.
	start := scaleDay.AddDate(0, 0, i*7919%max(n/500, 1)-n/1000).Add(time.Duration(i%500) * time.Minute)
	at, end := fhir.FormatDateTime(start), fhir.FormatDateTime(start.Add(15*time.Minute))
	status, slot, state := "fulfilled", "busy", "finished"
	switch {
	case i%20 == 0:
		status, slot, state = "booked", "free", "planned"
	case i%50 == 1:
		status, slot, state = "cancelled", "free", "cancelled"
	case i%1000 == 7:
		state = "in-progress"
	}
	const kind = `"serviceType":[{"coding":[{"system":"http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core","code":"VCI","display":"Individual"}]}]`
	patient, doctor, service, schedule := i/10, i%200, i%50, i%400
	all := []string{
		fmt.Sprintf(`{"resourceType":"Appointment","id":"a%d","identifier":[{"system":"http://hospital.example/appointment","value":"A%d"}],"status":%q,%s,
			"start":%q,"end":%q,"created":"2026-01-01","slot":[{"reference":"Slot/s%d"}],"participant":[{"actor":{"reference":"Patient/p%d"},"status":"accepted"},
			{"actor":{"reference":"Practitioner/d%d"},"status":"accepted"},{"actor":{"reference":"HealthcareService/h%d"},"status":"accepted"}]}`,
			i, i, status, kind, at, end, i, patient, doctor, service),
		fmt.Sprintf(`{"resourceType":"Slot","id":"s%d","schedule":{"reference":"Schedule/c%d"},"status":%q,"start":%q,"end":%q,%s}`, i, schedule, slot, at, end, kind),
	}
	if i%10 == 0 {
		all = append(all, fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/my-kad-no","value":"%012d"}],
			"active":true,"gender":%q,"birthDate":%q,"name":[{"text":"%s bin %s %d"}]}`,
			patient, patient, []string{"male", "female"}[patient%2], time.Date(1940, 1, 1+patient%25000, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), names[patient%16], names[patient/16%16], patient))
	}
	if i%2 == 0 {
		all = append(all, fmt.Sprintf(`{"resourceType":"Encounter","id":"e%d","status":%q,"class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"VR"},
			"subject":{"reference":"Patient/p%d"},"appointment":[{"reference":"Appointment/a%d"}],"period":{"start":%q,"end":%q},
			"identifier":[{"system":"http://hospital.example/visit","value":"E%d"}]}`, i, state, patient, i, at, end, i))
	}
	if i < 400 {
		all = append(all, fmt.Sprintf(`{"resourceType":"Schedule","id":"c%d","active":true,"actor":[{"reference":"HealthcareService/h%d"}],"planningHorizon":{"start":"2026-01-01","end":"2026-12-31"}}`, i, service))
	}
	return all
}

// Flow is a search as the flows of a virtual consultation, the pages and the
// systems of hospitals make it.
type Flow struct{ Name, Search string }

// Flows are searches that must be quick however many records there are.
var Flows = []Flow{
	{"by id", "Appointment?_id=a77"},
	{"by identifier", "Appointment?identifier=http://hospital.example/appointment|A77"},
	{"by identifier without its system", "Appointment?identifier=A77"},
	{"of a patient", "Appointment?patient=Patient/p7"},
	{"of a patient on a day", "Appointment?patient=Patient/p7&date=2026-11-23"},
	{"of a patient, by code, sorted", "Appointment?patient=p7&service-type=VCI&_sort=-date"},
	{"of a patient since a time", "Appointment?patient=p7&date=ge2026-01-01&status=booked,arrived"},
	{"of a day", "Appointment?date=2026-11-23"},
	{"of a day by bounds", "Appointment?date=ge2026-11-23&date=lt2026-11-24"},
	{"of a day with a status, sorted", "Appointment?date=ge2026-11-23&date=lt2026-11-24&status=booked&_sort=date"},
	{"of a service on a day, sorted", "Appointment?actor=HealthcareService/h7&date=ge2026-11-23&date=lt2026-11-24&_sort=date"},
	{"of a practitioner with a status", "Appointment?practitioner=Practitioner/d7&status=booked"},
	{"of a practitioner, latest first", "Appointment?practitioner=d7&_sort=-date"},
	{"by status", "Appointment?status=booked"},
	{"by status, sorted", "Appointment?status=booked&_sort=date"},
	{"by a status that is frequent, sorted", "Appointment?status=fulfilled&_sort=-date"},
	{"by code", "Appointment?service-type=VCI"},
	{"by code and status", "Appointment?service-type=VCI&status=cancelled"},
	{"not a status", "Appointment?status:not=fulfilled"},
	{"changed since", "Appointment?_lastUpdated=gt2026-11-23T08:01:00%2B08:00&_sort=_lastUpdated"},
	{"changed since, with a status", "Encounter?_lastUpdated=gt2026-11-23T08:01:00%2B08:00&status=in-progress,finished&_sort=_lastUpdated"},
	{"last changed", "Appointment?_sort=-_lastUpdated"},
	{"all", "Appointment?"},
	{"all by date", "Appointment?_sort=date"},
	{"all by date, latest first", "Appointment?_sort=-date"},
	{"all by status", "Appointment?_sort=status,_id"},
	{"patients by name", "Patient?_sort=name"},
	{"from a date on, sorted", "Appointment?date=ge2026-11-23&_sort=date"},
	{"a patient by name", "Patient?name=siti%20bin%20muthu%207"},
	{"patients by a name", "Patient?name=siti"},
	{"patients by a name, sorted", "Patient?name=siti&_sort=name"},
	{"a patient by identity number", "Patient?identifier=http://fhir.hie.moh.gov.my/sid/my-kad-no|000000000007"},
	{"a patient by birth date and sex", "Patient?birthdate=1940-01-08&gender=female"},
	{"by the patient's identity number", "Appointment?patient.identifier=http://fhir.hie.moh.gov.my/sid/my-kad-no|000000000007"},
	{"by the patient's identity number alone", "Appointment?actor:Patient.identifier=000000000007"},
	{"by the patient's name", "Appointment?patient.name=siti%20bin%20muthu%207"},
	{"by the patient's name, on a day", "Appointment?patient.name=siti&date=2026-11-23"},
	{"by the patient's sex", "Appointment?patient.gender=female"},
	{"visits by the appointment's identifier", "Encounter?appointment.identifier=http://hospital.example/appointment|A78"},
	{"visits of an appointment", "Encounter?appointment=Appointment/a78"},
	{"visits of a patient, latest first", "Encounter?subject=Patient/p7&_sort=-date"},
	{"visits under way", "Encounter?status=in-progress"},
	{"patients with an appointment", "Patient?_has:Appointment:patient:identifier=http://hospital.example/appointment|A77"},
	{"patients with an appointment on a day", "Patient?_has:Appointment:patient:date=2026-11-23"},
	{"patients with a cancelled appointment", "Patient?_has:Appointment:patient:status=cancelled"},
	{"slots of a schedule", "Slot?schedule=Schedule/c7"},
	{"free slots of a schedule from a day on, sorted", "Slot?schedule=Schedule/c7&status=free&start=ge2026-11-23&_sort=start"},
	{"free slots of a service on a day", "Slot?schedule.actor=HealthcareService/h7&status=free&start=ge2026-11-23&start=lt2026-11-24"},
	{"slots of a type from a day on", "Slot?service-type=VCI&start=ge2026-11-23&status=free"},
	{"a filter", `Appointment?_filter=` + url.QueryEscape(`(patient re Patient/p7 or patient re Patient/p8) and status eq booked`)},
	{"a filter on patients", `Appointment?_filter=` + url.QueryEscape(`patient.identifier eq "000000000007" or identifier eq A5`)},
	{"what is missing", "Appointment?slot:missing=true&patient=p7"},
	{"neither slot nor patient", "Appointment?slot:missing=true&date=2026-11-23"},
}

// Query reads the search of a flow.
func (f Flow) Query(organization string, total bool) (store.Query, error) {
	typ, rest, _ := strings.Cut(f.Search, "?")
	values, err := url.ParseQuery(rest)
	if err != nil {
		return store.Query{}, err
	}
	req, err := searches.Parse(typ, values, ScaleBase)
	if err == nil && len(req.Unknown) > 0 {
		err = fmt.Errorf("unknown: %v", req.Unknown)
	}
	req.Query.Organization, req.Query.Total = organization, total
	return req.Query, err
}
