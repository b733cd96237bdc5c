package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// whispered is what the requests below say and nobody else may hear: no log,
// no metric, no audit record and no refusal has any of it.
var whispered = map[string]string{
	"the secret of a client": hospitalSecret, "a wrong secret": "wr0ng-secret-of-somebody", "a password": hospitalPW,
	"an e-mail address": "htj@source.example", "an identity number": aminah, "an identity number on the card": "850712-05-5018",
	"another identity number": siti, "a medical record number": "MRN-4711-0815", "a name": "Aminah binti Yusof",
	"a part of a name": "Aminah", "a name in an address": "Aminah+binti", "a practitioner": "Farid", "a title": "Result of the biopsy",
	"a text": "Please call us about your kidneys", "a phone number": "+60123456789", "a key": "key-of-aminahs-reminder",
	"a token": "eyJmYWtlIjoidG9rZW4ifQ",
}

// heard tells which of the secrets stand in a text.
func heard(text string, secrets map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if strings.Contains(text, secrets[name]) {
			names = append(names, name)
		}
	}
	return names
}

// asked is one request.
type asked struct {
	method, path, body string
	header             map[string]string
}

// whispers gives requests of all kinds, good ones and bad ones, that are full
// of names and numbers. session is the token of a session.
func whispers(session string) []asked {
	type header = map[string]string
	person := `{"resourceType":"Patient","id":"quiet","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/patient-mrn","value":"MRN-4711-0815"},{"value":"` +
		aminah + `"}],"name":[{"text":"Aminah binti Yusof"}],"telecom":[{"system":"phone","value":"+60123456789"}],"gender":"female","birthDate":"1985-07-12","managingOrganization":{"reference":"Organization/` + hospitalID + `"}}`
	encounter := `{"resourceType":"Encounter","id":"quiet","status":"Aminah binti Yusof","class":{"code":"` + aminah + `"},"subject":{"reference":"Patient/` + siti + `","display":"Aminah"}}`
	form := header{"Content-Type": "application/x-www-form-urlencoded"}
	name := url.QueryEscape("Aminah binti Yusof")
	batch := func(typ string) string {
		return `{"resourceType":"Bundle","type":"` + typ + `","entry":[
			{"fullUrl":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000001","resource":` + person + `,"request":{"method":"PUT","url":"Patient/quiet"}},
			{"request":{"method":"GET","url":"Patient?identifier=` + aminah + `"}},
			{"request":{"method":"GET","url":"Patient/` + aminah + `"}},
			{"request":{"method":"DELETE","url":"Patient?name=` + name + `"}},
			{"resource":` + encounter + `,"request":{"method":"PUT","url":"Encounter/quiet"}}]}`
	}
	return []asked{
		// FHIR
		{"PUT", Root + "/Patient/quiet", person, nil},
		{"PUT", Root + "/Patient/quiet", strings.Replace(person, "1985-07-12", "Aminah", 1), nil},
		{"PUT", Root + "/Patient/quiet", person, header{"If-Match": aminah}},
		{"PUT", Root + "/Patient/quiet", strings.Replace(person, "}", "", 1), nil},
		{"PUT", Root + "/Patient/quiet", person + person, nil},
		{"PUT", Root + "/Patient/quiet", strings.Replace(person, `"gender"`, `"Aminah":1,"Aminah":2,"gender"`, 1), nil},
		{"PUT", Root + "/Patient/quiet", person, header{"Content-Type": "text/Aminah"}},
		{"PUT", Root + "/Patient/" + siti, person, nil},
		{"PUT", Root + "/Encounter/quiet", encounter, nil},
		{"POST", Root + "/Patient", person, header{"If-None-Exist": "identifier=" + aminah}},
		{"POST", Root + "/Patient", person, header{"If-None-Exist": "name=" + name}},
		{"GET", Root + "/Patient/quiet", "", nil},
		{"GET", Root + "/Patient/quiet/_history/" + aminah, "", nil},
		{"GET", Root + "/Patient/" + aminah, "", nil},
		{"GET", Root + "/Patient/" + name, "", nil},
		{"GET", Root + "/" + name + "/1", "", nil},
		{"GET", Root + "/Patient/quiet/" + name + "/" + aminah, "", nil},
		{"GET", Root + "/Patient?identifier=" + aminah + "&name=" + name + "&_count=1", "", nil},
		{"GET", Root + "/Patient?birthdate=" + aminah, "", nil},
		{"GET", Root + "/Patient?_sort=" + name, "", nil},
		{"GET", Root + "/Patient?_include=Patient:" + name, "", nil},
		{"GET", Root + "/Patient?identifier=" + aminah + "&_format=" + name, "", nil},
		{"GET", Root + "/Patient?identifier=" + aminah + ";%zz", "", nil},
		{"GET", Root + "/Patient?_page=" + aminah, "", nil},
		{"GET", Root + "/Patient/_history?_since=" + aminah, "", nil},
		{"GET", Root + "/Observation?patient.identifier=" + aminah, "", nil},
		{"GET", Root + "/Patient?identifier=" + aminah, "", header{"Accept": "Aminah/*", "User-Agent": "Aminah", "Referer": "https://x.example/" + aminah, "Traceparent": "00-" + aminah, "X-Request-Id": aminah, "X-Forwarded-For": aminah}},
		{"POST", Root + "/Patient/_search", "identifier=" + aminah + "&name=" + name, form},
		{"POST", Root + "/Patient/_search", "birthdate=" + aminah, form},
		{"POST", Root + "/Patient/_search", person, nil},
		{"POST", Root, batch("batch"), nil},
		{"POST", Root, batch("transaction"), nil},
		{"POST", Root, strings.Replace(batch("transaction"), "DELETE", "PATCH", 1), nil},
		{"PATCH", Root + "/Patient/quiet", person, nil},
		{"DELETE", Root + "/Patient/quiet", "", header{"If-Match": aminah}},
		{"DELETE", Root + "/Patient/quiet", "", nil},
		{"GET", Root + "/Patient/quiet", "", nil},
		// who is asking
		{"GET", Root + "/Patient/quiet", "", header{"Authorization": "Bearer eyJmYWtlIjoidG9rZW4ifQ.x.y"}},
		{"GET", Root + "/Patient/quiet", "", header{"Authorization": "Bearer " + hospitalSecret}},
		{"GET", Root + "/Patient/quiet", "", basic("hospital", hospitalSecret)},
		{"GET", Root + "/Patient/quiet?access_token=eyJmYWtlIjoidG9rZW4ifQ", "", header{"Authorization": ""}},
		{"POST", tokenPath, grantType, merged(form, basic("hospital", hospitalSecret))},
		{"POST", tokenPath, inForm("hospital", "wr0ng-secret-of-somebody"), merged(form, header{"Authorization": ""})},
		{"POST", tokenPath, inForm(aminah, "wr0ng-secret-of-somebody"), merged(form, header{"Authorization": ""})},
		{"POST", tokenPath, inForm("hospital", hospitalSecret) + "&scope=" + name, merged(form, header{"Authorization": ""})},
		{"POST", tokenPath, "grant_type=password&username=" + aminah + "&password=" + hospitalPW, form},
		{"POST", tokenPath + "?client_secret=" + hospitalSecret, "{}", nil},
		{"POST", loginPath, loginBody, nil},
		{"POST", loginPath, strings.Replace(loginBody, hospitalPW, "wr0ng-secret-of-somebody", 1), nil},
		{"POST", loginPath, `{"email":"htj@source.example","Aminah binti Yusof":1}`, nil},
		{"POST", loginPath, `{"email":"htj@source.example","password":{"a":"` + hospitalPW + `"}}`, nil},
		{"POST", loginPath, `{"email":"htj@source.example","password":"` + hospitalPW, nil},
		// messages and sessions
		{"POST", notificationPath, message("Result of the biopsy", aminah, siti, "Aminah binti Yusof"), header{"Idempotency-Key": "key-of-aminahs-reminder"}},
		{"POST", notificationPath, message("Another Result of the biopsy", aminah), header{"Idempotency-Key": "key-of-aminahs-reminder"}},
		{"POST", notificationPath, strings.Replace(message("Result of the biopsy", aminah), "Dr. Farid is waiting for you.", strings.Repeat("Please call us about your kidneys", 100), 1), nil},
		{"POST", notificationPath, message("Result of the biopsy", aminah), header{"Idempotency-Key": strings.Repeat("key-of-aminahs-reminder", 100)}},
		{"POST", notificationPath, message("Result of the biopsy"), nil},
		{"POST", notificationPath, strings.Replace(message("Result of the biopsy", aminah), `"title"`, `"Aminah binti Yusof":1,"title"`, 1), nil},
		{"GET", notificationPath + "?patientIds=" + aminah, "", nil},
		{"POST", "/api/v1/" + name, message("Result of the biopsy", aminah), nil},
		{"POST", sessions, `{"title":"Result of the biopsy\nAminah"}`, nil},
		{"POST", sessions, `{"title":"Result of the biopsy"}`, nil},
		{"GET", sessions + "/" + session, "", nil},
		{"GET", sessions + "/" + session + "/join?role=practitioner&name=Dr.+Farid&id=" + aminah, "", nil},
		{"GET", sessions + "/" + session + "/join?role=" + name + "&name=Dr.+Farid", "", nil},
		{"GET", sessions + "/" + session + "/join?role=practitioner&name=" + strings.Repeat("Farid", 100), "", nil},
		{"GET", sessions + "/" + session + "x", "", nil},
		{"PATCH", sessions + "/" + session, `{"status":"Aminah"}`, nil},
		{"PATCH", sessions + "/" + session, `{"status":"ended"}`, nil},
		{"GET", "/" + name + "/" + aminah, "", nil},
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// Whatever is asked, and however it ends, what was said stays between the two:
// with a sound database and with one that has failed.
func TestNothingIsPassedOn(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)
	session := s.do("POST", sessions, token, "", nil).member("token")
	secrets := merged(whispered, map[string]string{"the token of a session": session, "the access token": token})

	statuses := make(map[int]int)
	ask := func() {
		for i, a := range whispers(session) {
			header := merged(map[string]string{"Authorization": "Bearer " + token}, a.header)
			r := s.do(a.method, a.path, "", a.body, header)
			statuses[r.status]++
			// The id in the address may come back, to say that it is nothing's.
			body := strings.ReplaceAll(r.body, "with id "+path.Base(a.path)+".", "")
			if names := heard(body, secrets); r.status >= 400 && len(names) > 0 {
				t.Errorf("request %d (%s): the refusal with %d shows %v: %s", i, a.method, r.status, names, r.body)
			}
			for name, values := range r.header {
				if names := heard(strings.Join(values, " "), secrets); len(names) > 0 && name != "Location" {
					t.Errorf("request %d (%s): the header %s shows %v", i, a.method, name, names)
				}
			}
		}
	}
	ask()
	for _, status := range []int{200, 201, 204, 400, 401, 404, 405, 406, 409, 410, 412, 415, 422} {
		if statuses[status] == 0 {
			t.Errorf("no request ends with %d: the table is too small (%v)", status, statuses)
		}
	}
	trail := s.auditTrail()
	if names := heard(trail, secrets); len(names) > 0 || trail == "" {
		t.Errorf("the audit trail shows %v:\n%s", names, trail)
	}
	s.calls.broken = errors.New("no connection to the video system")
	s.store.broken.Store(true)
	ask()
	if statuses[http.StatusInternalServerError] < 10 {
		t.Errorf("the database has failed, and %d requests notice", statuses[http.StatusInternalServerError])
	}
	log := s.log.String()
	for line := range strings.Lines(log) {
		if names := heard(line, secrets); len(names) > 0 {
			t.Errorf("the log shows %v: %s", names, line)
		}
	}
	if lines := strings.Count(log, "\n"); lines < 2*len(whispers("")) {
		t.Errorf("only %d lines were logged", lines)
	}
	metrics, err := s.registry.Gather()
	if err != nil || len(metrics) == 0 {
		t.Fatalf("%d metrics, %v", len(metrics), err)
	}
	for _, m := range metrics {
		if names := heard(m.String(), secrets); len(names) > 0 {
			t.Errorf("the metric %s shows %v", m.GetName(), names)
		}
	}
}

// auditTrail gives the whole audit trail as text.
func (s *systems) auditTrail() string {
	s.Helper()
	var out strings.Builder
	err := s.store.View(s.Context(), func(r store.Reader) error {
		trail, err := r.AuditTrail(store.AuditQuery{Count: 10_000})
		for _, a := range trail {
			fmt.Fprintf(&out, "%+v\n", a)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return out.String()
}
