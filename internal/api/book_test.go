package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/mycore"
)

const (
	serviceBody = `{"resourceType":"HealthcareService","id":"h1","active":true,"providedBy":{"reference":"Organization/11-05060009"},"category":[{"coding":[` + virtualClass + `]}],"type":[{"coding":[` + individual + `]}],"specialty":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],"name":"Dietetics"}`
	staffBody   = `{"resourceType":"Practitioner","id":"d1","name":[{"text":"Dr. Farid"}]}`
)

// scheduleBody and slotBody are of the service; kind is the schedule type.
func scheduleBody(id, more string) string {
	return `{"resourceType":"Schedule","id":"` + id + `",` + more + `"active":true,"extension":[{"url":"` + mycore.ExtensionScheduleType + `","valueCodeableConcept":{"coding":[{"system":"` + mycore.SystemScheduleType + `","code":"internal"}]}}],` +
		`"serviceCategory":[{"coding":[` + virtualClass + `]}],"serviceType":[{"coding":[` + individual + `]}],"specialty":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],` +
		`"actor":[{"reference":"HealthcareService/h1","type":"HealthcareService","display":"x"},{"reference":"Practitioner/d1","type":"Practitioner","display":"Dr. Farid"}],"planningHorizon":{"start":"2026-11-23T08:00:00+08:00","end":"2026-11-23T17:00:00+08:00"}}`
}

func slotBody(id string, quota int, kind, start, end string) string {
	places := ""
	if quota > 0 {
		places = fmt.Sprintf(`"extension":[{"url":"%s","extension":[{"url":"available","valueInteger":%d},{"url":"quota","valueInteger":%d}]}],`, mycore.ExtensionSlotQuota, quota, quota)
	}
	return `{"resourceType":"Slot","id":"` + id + `",` + places + `"serviceCategory":[{"coding":[` + virtualClass + `]}],"serviceType":[{"coding":[` + individual + `]}],"specialty":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],` +
		`"appointmentType":{"coding":[{"system":"` + mycore.SystemScheduleType + `","code":"` + kind + `"}]},"schedule":{"reference":"Schedule/s1"},"status":"free","start":"2026-11-23T` + start + `:00+08:00","end":"2026-11-23T` + end + `:00+08:00"}`
}

// booking makes the body of $book.
func bookingOf(params ...string) string {
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(params, ",") + `]}`
}

func reference(name, to string) string {
	return `{"name":"` + name + `","valueReference":{"reference":"` + to + `"}}`
}

func newClinic(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	s.fill(t, organizationBody, patientBody, serviceBody, staffBody, scheduleBody("s1", ""),
		slotBody("l1", 2, "internal", "10:00", "10:30"), slotBody("l2", 1, "internal", "11:00", "11:30"), slotBody("l3", 5, "public", "12:00", "12:30"), slotBody("l4", 1, "internal", "08:00", "08:30"))
	for i := range 6 {
		id := fmt.Sprintf("q%d", i)
		s.fill(t, numbered(id, id, "male"))
	}
	if w := s.do(clinic, "PUT", Root+"/Patient/c1", strings.ReplaceAll(numbered("c1", "c1", "male"), "11-05060009", "11-05040012"), nil); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return s
}

func TestBook(t *testing.T) {
	s := newClinic(t)
	p1 := reference("patient", "Patient/p1")
	s.story(t, []step{
		{rule: "what is free", method: "GET", url: "/Slot?status=free&start=ge2026-11-23T09:00:00%2B08:00&start=lt2026-11-23T11:30:00%2B08:00&schedule.actor=HealthcareService/h1&service-type=" + mycore.SystemServiceType + "|VCI&_sort=start&_total=accurate", status: 200, contains: `"total":2 & "id":"l1" & "id":"l2"`},
		{rule: "book", method: "POST", url: "/Slot/l1/$book", body: bookingOf(p1, `{"name":"reason","valueCodeableConcept":{"text":"weight"}}`, `{"name":"comment","valueString":"comes by bus"}`, reference("participant", "Practitioner/d1")), status: 201,
			headers:  headers{"Location": testBase + "/Appointment/*", "ETag": `W/"1"`},
			contains: `"status":"booked" & "start":"2026-11-23T10:00:00+08:00" & "end":"2026-11-23T10:30:00+08:00" & "slot":[{"reference":"Slot/l1"}] & "code":"VCI" & "code":"86" & "code":"VR" & "code":"internal" & "reasonCode":[{"text":"weight"}] & comes by bus & "display":"Dietetics" & "reference":"Patient/p1" & Siti binti Ahmad & "status":"needs-action"`},
		{rule: "the slot has a place less", method: "GET", url: "/Slot/l1", status: 200, contains: `{"url":"available","valueInteger":1} & "status":"free"`},
		{rule: "the same patient again", method: "POST", url: "/Slot/l1/$book", body: bookingOf(p1), status: 409, contains: "a place in this slot already"},
		{rule: "by a condition, at the type", method: "POST", url: "/Appointment/$book", body: bookingOf(reference("slot", testBase+"/Slot/l1"), reference("patient", "Patient?identifier=http://n%7Cq1"), `{"name":"status","valueCode":"pending"}`), status: 201, contains: `"status":"pending" & "reference":"Patient/q1"`},
		{rule: "full", method: "POST", url: "/Slot/l1/$book", body: bookingOf(reference("patient", "Patient/q2")), status: 409, contains: "full"},
		{rule: "it is busy", method: "GET", url: "/Slot?status=busy&_total=accurate", status: 200, contains: `"total":1 & "id":"l1"`},
		{rule: "the only place", method: "POST", url: "/Slot/l2/$book", body: bookingOf(p1), status: 201},
		{rule: "over", method: "POST", url: "/Slot/l4/$book", body: bookingOf(p1), status: 422, contains: "over"},
		{rule: "as others, where it is not open", method: "POST", url: "/Slot/l2/$book", as: &clinic, body: bookingOf(reference("patient", "Patient/c1")), status: 404},
		{rule: "as others, where it is", method: "POST", url: "/Slot/l3/$book", as: &clinic, body: bookingOf(reference("patient", "Patient/c1")), status: 201},
		{rule: "somebody else's patient", method: "POST", url: "/Slot/l3/$book", as: &clinic, body: bookingOf(p1), status: 422, contains: "not known"},
		{rule: "too small a scope", method: "POST", url: "/Slot/l3/$book", as: &reader, body: bookingOf(p1), status: 403},
		{rule: "no such slot", method: "POST", url: "/Slot/none/$book", body: bookingOf(p1), status: 404},
		{rule: "no such patient", method: "POST", url: "/Slot/l3/$book", body: bookingOf(reference("patient", "Patient/none")), status: 422, contains: "not known"},
		{rule: "a condition that nobody meets", method: "POST", url: "/Slot/l3/$book", body: bookingOf(reference("patient", "Patient?identifier=none")), status: 422, contains: "No Patient matches & Parameters.parameter", excludes: "Basic"},
		{rule: "no patient", method: "POST", url: "/Slot/l3/$book", body: bookingOf(), status: 400, contains: "patient"},
		{rule: "no slot", method: "POST", url: "/Appointment/$book", body: bookingOf(p1), status: 400, contains: "slot"},
		{rule: "another slot than the address", method: "POST", url: "/Slot/l3/$book", body: bookingOf(p1, reference("slot", "Slot/l2")), status: 400},
		{rule: "a parameter of another type", method: "POST", url: "/Slot/l3/$book", body: bookingOf(p1, `{"name":"comment","valueInteger":1}`), status: 400, contains: "valueString"},
		{rule: "an unknown parameter", method: "POST", url: "/Slot/l3/$book", body: bookingOf(p1, `{"name":"colour","valueString":"red"}`), status: 400, contains: "no parameter"},
		{rule: "two patients", method: "POST", url: "/Slot/l3/$book", body: bookingOf(p1, p1), status: 400, contains: "too often"},
		{rule: "another status", method: "POST", url: "/Slot/l3/$book", body: bookingOf(p1, `{"name":"status","valueCode":"fulfilled"}`), status: 400},
		{rule: "no parameters", method: "POST", url: "/Slot/l3/$book", body: patientBody, status: 400},
		{rule: "of another type", method: "POST", url: "/Schedule/s1/$book", body: bookingOf(p1), status: 404},
		{rule: "in a batch", method: "POST", body: bundleOf("batch", sent("", "POST", "Slot/l3/$book", bookingOf(reference("patient", "Patient/q3")), ""), sent("", "POST", "Slot/l1/$book", bookingOf(reference("patient", "Patient/q3")), "")), status: 200, contains: `"201 Created" & "409 Conflict"`},
		{rule: "minimal", method: "POST", url: "/Slot/l3/$book", body: bookingOf(reference("patient", "Patient/q4")), header: headers{"Prefer": "return=minimal", "Content-Type": mediaFHIR}, status: 201, excludes: "Appointment"},
		{rule: "a cancelled booking gives its place back", method: "GET", url: "/Appointment?slot=Slot/l1&patient=Patient/q1", status: 200, contains: `"mode":"match"`},
		{rule: "in XML", method: "POST", url: "/Slot/l3/$book", header: headers{"Content-Type": mediaXML, "Accept": mediaXML}, body: `<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="patient"/><valueReference><reference value="Patient/q5"/></valueReference></parameter></Parameters>`, status: 201, contains: `<status value="booked"/>`},
		{rule: "definition of the slot's", method: "GET", url: "/metadata", status: 200, contains: `OperationDefinition/Slot-book & OperationDefinition/Appointment-book`},
	})
}

// Of those who want the last places as many get one as there are.
func TestBookAtOnce(t *testing.T) {
	s := newClinic(t)
	const callers = 6
	codes := make([]int, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			codes[i] = s.do(hospital, "POST", Root+"/Slot/l1/$book", bookingOf(reference("patient", fmt.Sprintf("Patient/q%d", i))), nil).Code
		})
	}
	wg.Wait()
	count := make(map[int]int)
	for _, code := range codes {
		count[code]++
	}
	if count[201] != 2 || count[409] != callers-2 {
		t.Errorf("%v", count)
	}
	s.told(t, step{method: "GET", url: "/Appointment?slot=Slot/l1&_total=accurate", status: 200, contains: `"total":2`})
	s.told(t, step{method: "GET", url: "/Slot/l1", status: 200, contains: `"status":"busy" & {"url":"available","valueInteger":0}`})
}
