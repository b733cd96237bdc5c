//go:build unix

package foreign

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// request is what a source system sends, without any SDK.
type request struct {
	method, path, body string
	media              string // application/fhir+json below /baseR4, else application/json
	bearer             string // "" for the hospital's access token, "-" for none
	header             [2]string
}

// ask sends a request and gives status and body.
func (h *hie) ask(r request) (status int, body string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.ctx, r.method, h.app.URL()+r.path, strings.NewReader(r.body))
	if err != nil {
		h.Fatal(err)
	}
	if r.media == "" {
		r.media = "application/json"
		if strings.HasPrefix(r.path, "/baseR4") {
			r.media = "application/fhir+json"
		}
	}
	req.Header.Set("Content-Type", r.media)
	if r.bearer == "" {
		r.bearer = h.token(h.cast.Clients[0])
	}
	if r.bearer != "-" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	if r.header[0] != "" {
		req.Header.Set(r.header[0], r.header[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		h.Errorf("%s %s: the answer has no X-Request-Id", r.method, r.path)
	}
	return resp.StatusCode, string(answer)
}

func (h *hie) form(values url.Values) request {
	return request{method: "POST", path: "/auth/token", body: values.Encode(), media: "application/x-www-form-urlencoded", bearer: "-"}
}

func (h *hie) token(c app.ClientCredential) string {
	h.Helper()
	status, body := h.ask(h.form(url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}}))
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		h.Fatalf("no token: %d %s", status, body)
	}
	return answer.Token
}

// appointmentFor writes an Appointment that has just begun.
func (h *hie) appointmentFor(patient app.DemoPatient, kind, slot, token string) *fhir.Document {
	h.Helper()
	service := h.service(kind)
	start := time.Now().Truncate(time.Minute)
	doc, err := source.NewAppointment(source.AppointmentParams{
		ID: uuid.NewString(), ServiceType: kind, Specialty: service.Get("specialty.coding.code").String(),
		HealthcareService: service.ID(), HealthcareServiceName: service.Get("name").String(), Patient: patient.ID, PatientName: patient.Name,
		Start: start, End: start.Add(40 * time.Minute), Slot: slot, Token: token, ScheduleType: "internal",
	})
	if err != nil {
		h.Fatal(err)
	}
	return doc
}

func (h *hie) service(kind string) *fhir.Document {
	h.Helper()
	for _, s := range h.cast.HealthcareServices {
		if s.Organization == h.cast.Clients[0].Organization && s.ServiceType == kind {
			doc, err := h.system.Get(h.ctx, "HealthcareService/"+s.ID)
			if err != nil {
				h.Fatal(err)
			}
			return doc
		}
	}
	h.Fatalf("there is no %s service", kind)
	return nil
}

func (h *hie) put(doc *fhir.Document) *fhir.Document {
	h.Helper()
	r, err := h.system.Put(h.ctx, doc)
	if err != nil {
		h.Fatal(err)
	}
	return r.Doc
}

// slot stores a Slot with so many places and gives its id.
func (h *hie) slot(quota int) string {
	h.Helper()
	service, start, id := h.service("VCI"), time.Now().Truncate(time.Minute), uuid.NewString()
	specialty := service.Get("specialty.coding.code").String()
	schedule, err := source.NewSchedule(source.ScheduleParams{
		ID: id, ServiceType: "VCI", Specialty: specialty, HealthcareService: service.ID(), Start: start, End: start.Add(time.Hour), ScheduleType: "internal",
	})
	if err != nil {
		h.Fatal(err)
	}
	slot, err := source.NewSlot(source.SlotParams{
		ID: id, Schedule: id, ServiceType: "VCI", Specialty: specialty, Start: start, End: start.Add(time.Hour), Quota: quota, ScheduleType: "internal",
	})
	if err != nil {
		h.Fatal(err)
	}
	h.put(schedule)
	h.put(slot)
	return id
}

// checkIn lets a patient check in and gives the browser and the Encounter.
func (h *hie) checkIn(p app.DemoPatient, appointment string) (*play.Patient, *fhir.Document) {
	h.Helper()
	b := play.NewPatient(h.app.URL())
	if err := b.SignIn(h.ctx, p.IdentityNumber, p.SignInCode); err != nil {
		h.Fatal(err)
	}
	if err := b.CheckIn(h.ctx, appointment); err != nil {
		h.Fatal(err)
	}
	list := h.search("Encounter", "appointment", "Appointment/"+appointment)
	if len(list) != 1 {
		h.Fatalf("the Appointment has %d Encounters", len(list))
	}
	return b, list[0]
}

// row is a line of the table of errors in docs/integration.md.
var row = regexp.MustCompile(`(?m)^\| (\d{3}) \| "([^"]+)" \|`)

// TestDocumentedErrors provokes every error of the table, and sees that the
// table has every error that is provoked.
func TestDocumentedErrors(t *testing.T) {
	h := start(t)
	page, err := os.ReadFile("../../docs/integration.md")
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status int
		phrase string
	}
	documented := map[answer]bool{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		var status int
		_, _ = fmt.Sscan(m[1], &status) // three digits
		documented[answer{status, m[2]}] = false
	}

	hospital, clinic := h.cast.Clients[0], h.cast.Clients[1]
	other := h.token(clinic)
	patient := h.cast.Patients[1]
	secret := url.Values{"grant_type": {"client_credentials"}, "client_id": {hospital.ClientID}, "client_secret": {hospital.ClientSecret}}
	with := func(name, value string) url.Values {
		v := url.Values{}
		for k := range secret {
			v[k] = secret[k]
		}
		v.Set(name, value)
		return v
	}
	write := func(doc *fhir.Document, edits ...fhir.Edit) request {
		t.Helper()
		doc, err := doc.With(edits...)
		if err != nil {
			t.Fatal(err)
		}
		return request{method: "PUT", path: "/baseR4/" + doc.Type() + "/" + doc.ID(), body: string(doc.Bytes())}
	}
	foreign := func(r request) request { r.bearer = other; return r }
	wish := h.appointmentFor(patient, "VCI", "", "")
	booked := h.appointmentFor(patient, "VCI", "", "")
	h.put(booked)
	_, waiting := h.checkIn(patient, booked.ID())
	full := h.slot(0)
	ended, err := h.system.CreateSession(h.ctx, source.NewSession{ServiceType: "VCE"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.End(h.ctx, ended.Token); err != nil {
		t.Fatal(err)
	}
	spare, err := h.system.CreateSession(h.ctx, source.NewSession{ServiceType: "VCI"})
	if err != nil {
		t.Fatal(err)
	}
	message := func(title string) request {
		return request{method: "POST", path: "/api/v2/notification-script", body: `{"title":"` + title + `","body":"b","patientIds":["` + patient.IdentityNumber + `"]}`, header: [2]string{"Idempotency-Key", "once"}}
	}
	if status, body := h.ask(message("first")); status != http.StatusOK {
		t.Fatalf("no notification: %d %s", status, body)
	}
	nobody := uuid.NewString()

	for _, c := range []struct {
		status int
		phrase string
		send   request
		times  int // 1 when 0
	}{
		{status: 400, phrase: "invalid_scope", send: h.form(with("scope", "launch"))},
		{status: 400, phrase: "unsupported_grant_type", send: h.form(with("grant_type", "password"))},
		{status: 400, phrase: "is not valid JSON", send: request{method: "PUT", path: "/baseR4/Patient/p", body: `{"resourceType":`}},
		{status: 400, phrase: "The id in the body must be the one in the address", send: request{method: "PUT", path: "/baseR4/Patient/p", body: `{"resourceType":"Patient","id":"q"}`}},
		{status: 400, phrase: "is not known here", send: request{method: "PATCH", path: "/jitsi/v1/sessions/" + ended.Token, body: `{"state":"active"}`}},
		{status: 401, phrase: "invalid_client", send: h.form(with("client_secret", "guessed"))},
		{status: 401, phrase: "This needs an access token", send: request{method: "GET", path: "/baseR4/Encounter/e", bearer: "-"}},
		{status: 401, phrase: "The access token is not valid", send: request{method: "GET", path: "/baseR4/Encounter/e", bearer: "x"}},
		{status: 403, phrase: "These credentials do not allow this", send: foreign(write(booked))},
		{status: 404, phrase: "There is no Encounter with id", send: foreign(request{method: "GET", path: "/baseR4/Encounter/" + waiting.ID()})},
		{status: 404, phrase: "There is no session with this token", send: foreign(request{method: "GET", path: "/jitsi/v1/sessions/" + ended.Token})},
		{status: 406, phrase: "in JSON and XML only", send: request{method: "GET", path: "/baseR4/Encounter/" + waiting.ID(), header: [2]string{"Accept", "text/turtle"}}},
		{status: 409, phrase: "The slot is full", send: write(wish, fhir.Set("slot", json.RawMessage(`[{"reference":"Slot/`+full+`"}]`)))},
		{status: 409, phrase: "was used for another message", send: message("second")},
		{status: 409, phrase: "cancelled by its status, not deleted", send: request{method: "DELETE", path: "/baseR4/Appointment/" + booked.ID()}},
		{status: 412, phrase: "The record has changed since it was read", send: func() request {
			r := write(waiting)
			r.header = [2]string{"If-Match", `W/"7"`}
			return r
		}()},
		{status: 413, phrase: "The body is larger than", send: request{method: "POST", path: "/jitsi/v1/sessions", body: `{"title":"` + strings.Repeat("x", 64<<10) + `"}`}},
		{status: 415, phrase: "with Content-Type: application/fhir+json", send: request{method: "PUT", path: "/baseR4/Patient/p", body: `{}`, media: "text/plain"}},
		{status: 422, phrase: "is missing", send: write(wish, fhir.Remove("specialty"))},
		{status: 422, phrase: "send it first", send: write(wish, fhir.Set("participant.1.actor.reference", "Patient/nobody"))},
		{status: 422, phrase: "The Slot is not of the facility that offers the HealthcareService", send: write(wish, fhir.Set("slot", json.RawMessage(`[{"reference":"Slot/`+full+`"}]`)), fhir.Set("participant.0.actor.reference", "HealthcareService/kkpd-vci"))},
		{status: 422, phrase: "The HealthcareService does not offer this serviceType", send: write(wish, fhir.Set("serviceType.0.coding.0.code", "VCE"))},
		{status: 422, phrase: "must carry the session token", send: write(h.appointmentFor(patient, "VCE", "", ""))},
		{status: 422, phrase: "was not issued by this exchange", send: write(h.appointmentFor(patient, "VCE", "", nobody))},
		{status: 422, phrase: "the patient checks in on RekodSaya", send: write(wish, fhir.Set("status", "checked-in"))},
		{status: 422, phrase: "Read it again and send the change on top", send: write(booked)},
		{status: 422, phrase: "is not possible now", send: write(waiting, fhir.Set("status", "finished"))},
		{status: 422, phrase: "The session token of this Encounter must be kept", send: write(waiting, fhir.Set("identifier.0.value", spare.Token))},
		{status: 422, phrase: "The exchange creates the Encounter", send: write(waiting, fhir.Set("id", nobody))},
		{status: 422, phrase: "The session has ended", send: request{method: "GET", path: "/jitsi/v1/sessions/" + ended.Token + "/join?role=practitioner&name=Farid"}},
		{status: 422, phrase: "The title must have", send: message("")},
		{status: 429, phrase: "temporarily_unavailable", times: 12, send: h.form(with("client_secret", "guessed again"))}, // the last: it locks the hospital out
	} {
		t.Run(c.phrase, func(t *testing.T) {
			if _, ok := documented[answer{c.status, c.phrase}]; !ok {
				t.Error("docs/integration.md does not have this error")
			}
			documented[answer{c.status, c.phrase}] = true
			var status int
			var body string
			for range max(1, c.times) {
				status, body = h.ask(c.send)
			}
			if status != c.status || !strings.Contains(body, c.phrase) {
				t.Errorf("answer %d %s", status, body)
			}
		})
	}
	for a, seen := range documented {
		if !seen {
			t.Errorf("docs/integration.md has an error that no case provokes: %d %q", a.status, a.phrase)
		}
	}
}

// TestSendingAgain does twice what docs/integration.md says may be sent again.
func TestSendingAgain(t *testing.T) {
	h := start(t)
	patient := h.cast.Patients[1]
	wish := h.appointmentFor(patient, "VCI", "", "")
	first, again := h.put(wish), h.put(wish)
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Errorf("a PUT that was sent again made another version: %s", again.Get("meta.versionId").String())
	}
	bundle, err := source.NewTransaction(wish)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.system.Transaction(h.ctx, bundle); err != nil {
		t.Fatal(err)
	}
	if doc, err := h.system.Get(h.ctx, "Appointment/"+wish.ID()); err != nil || !bytes.Equal(doc.Bytes(), first.Bytes()) {
		t.Errorf("a transaction with a PUT that was sent before changed the record: %v", err)
	}

	browser, encounter := h.checkIn(patient, wish.ID())
	session := "/jitsi/v1/sessions/" + mycore.Token(encounter)
	for _, status := range []string{"active", "ended"} {
		var answers []string
		for range 2 {
			join := request{method: "GET", path: session + "/join?role=practitioner&name=Farid"}
			if code, body := h.ask(join); code != http.StatusOK {
				t.Errorf("joining again before the session is %s: %d %s", status, code, body)
			}
			if status == "ended" {
				break // after which nobody joins
			}
		}
		for range 2 {
			code, body := h.ask(request{method: "PATCH", path: session, body: `{"status":"` + status + `"}`})
			if code != http.StatusOK {
				t.Errorf("%s: %d %s", status, code, body)
			}
			answers = append(answers, body)
		}
		if answers[0] != answers[1] {
			t.Errorf("the second %s answers %s after %s", status, answers[1], answers[0])
		}
	}

	notification := request{method: "POST", path: "/api/v2/notification-script", header: [2]string{"Idempotency-Key", uuid.NewString()}}
	told := func(title string) (n int) {
		t.Helper()
		inbox, err := browser.Inbox(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(inbox, title)
	}
	for _, c := range []struct {
		title, key string
		want       int
	}{{"With a key", uuid.NewString(), 1}, {"Without a key", "", 2}} {
		notification.header[1] = c.key
		notification.body = `{"title":"` + c.title + `","body":"b","patientIds":["` + patient.IdentityNumber + `","demo-lim","` + h.cast.Patients[6].IdentityNumber + `"]}`
		var answers []string
		for range 2 {
			code, body := h.ask(notification)
			if code != http.StatusOK {
				t.Fatalf("%d %s", code, body)
			}
			answers = append(answers, body)
		}
		if answers[0] != answers[1] || told(c.title) != c.want {
			t.Errorf("%s: %d messages after the answers %v", c.title, told(c.title), answers)
		}
		for _, want := range []string{`"delivered"`, `"unknown"`, `"not-activated"`} {
			if !strings.Contains(answers[0], want) {
				t.Errorf("no %s in %s", want, answers[0])
			}
		}
	}

	a, _ := h.system.CreateSession(h.ctx, source.NewSession{})
	b, _ := h.system.CreateSession(h.ctx, source.NewSession{})
	if a.Token == "" || a.Token == b.Token {
		t.Error("two sessions have one token")
	}
}

// TestDocumentedMessages sees which messages a source system gets of a
// consultation, of a latecomer to a group, of one that it cancels and of one
// that another source system books.
func TestDocumentedMessages(t *testing.T) {
	h := start(t)
	want := map[string][]string{} // statuses by record
	change := func(doc *fhir.Document, status string) {
		t.Helper()
		doc, err := h.system.Get(h.ctx, doc.Type()+"/"+doc.ID())
		if err != nil {
			t.Fatal(err)
		}
		if doc, err = doc.With(fhir.Set("status", status)); err != nil {
			t.Fatal(err)
		}
		h.put(doc)
	}
	activate := func(token string) {
		t.Helper()
		if _, err := h.system.Activate(h.ctx, token); err != nil {
			t.Fatal(err)
		}
	}
	// visit books, lets the patient check in, and notes what is to be heard of it.
	visit := func(patient int, kind, token string, encounter, appointment []string) (*play.Patient, *fhir.Document, *fhir.Document) {
		t.Helper()
		doc := h.appointmentFor(h.cast.Patients[patient], kind, "", token)
		h.put(doc)
		browser, enc := h.checkIn(h.cast.Patients[patient], doc.ID())
		want["Encounter/"+enc.ID()], want["Appointment/"+doc.ID()] = encounter, appointment
		return browser, doc, enc
	}

	_, _, enc := visit(1, "VCI", "", []string{"arrived", "in-progress", "finished"}, []string{"checked-in"})
	activate(mycore.Token(enc))
	change(enc, "in-progress")
	change(enc, "finished")

	group, err := h.system.CreateSession(h.ctx, source.NewSession{ServiceType: "VCE"})
	if err != nil {
		t.Fatal(err)
	}
	activate(group.Token)
	browser, late, _ := visit(4, "VCE", group.Token, []string{"arrived"}, []string{"checked-in", "arrived"})
	if phase, err := browser.Phase(h.ctx, late.ID()); err != nil || phase != "ready" {
		t.Errorf("the page of the latecomer says %q: %v", phase, err)
	}

	_, cancelled, _ := visit(5, "VCI", "", []string{"arrived", "unknown"}, []string{"checked-in"})
	change(cancelled, "cancelled")

	booked := h.appointmentFor(h.cast.Patients[2], "VCI", "", "")
	clinic := h.cast.Clients[1]
	if status, body := h.ask(request{method: "PUT", path: "/baseR4/Appointment/" + booked.ID(), body: string(booked.Bytes()), bearer: h.token(clinic)}); status != http.StatusCreated {
		t.Fatalf("the clinic cannot book at the hospital: %d %s", status, body)
	}
	want["Appointment/"+booked.ID()] = []string{"booked"}

	_, last, lastEncounter := visit(3, "VCI", "", []string{"arrived"}, []string{"checked-in"})
	for record, statuses := range h.messages("Encounter/"+lastEncounter.ID(), "Appointment/"+last.ID()) {
		if want[record] != nil && !slices.Equal(statuses, want[record]) {
			t.Errorf("%s: messages of %v, want %v", record, statuses, want[record])
		}
		delete(want, record)
	}
	if len(want) > 0 {
		t.Errorf("there are no messages of %v", want)
	}
}

// messages reads both topics of the hospital until the last records of each
// have come, and gives the statuses of each record in their order.
func (h *hie) messages(last ...string) map[string][]string {
	h.Helper()
	organization := h.cast.Clients[0].Organization
	got := map[string][]string{}
	ctx, stop := context.WithCancel(h.ctx)
	defer stop()
	err := h.system.Consume(ctx, source.ConsumerConfig{
		Group: uuid.NewString(), FromStart: true, Topics: []string{source.EncounterTopic(organization), source.AppointmentTopic(organization)},
	}, func(_ context.Context, e source.Event) error {
		status := e.Focus.Get("status").String()
		if !strings.HasSuffix(e.Type, "-"+status+".v1") {
			h.Errorf("the message of a record that is %s has the type %s", status, e.Type)
		}
		got[e.Subject] = append(got[e.Subject], status)
		if !slices.ContainsFunc(last, func(record string) bool { return got[record] == nil }) {
			stop()
		}
		return nil
	})
	if h.ctx.Err() != nil {
		h.Fatalf("the messages do not come: %v", err)
	}
	return got
}
