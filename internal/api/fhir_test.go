package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/library"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
	"github.com/jumpa-hie/jumpa/internal/subscription"
	"github.com/jumpa-hie/jumpa/mycore"
)

// hospital and clinic are two source systems of different organisations.
var (
	hospital = auth.Principal{Kind: auth.Client, ID: "hospital", Organization: "11-05060009", Scopes: []string{"system/*.cruds"}}
	clinic   = auth.Principal{Kind: auth.Client, ID: "clinic", Organization: "11-05040012", Scopes: []string{"system/*.cruds"}}
	reader   = auth.Principal{Kind: auth.Client, ID: "reader", Organization: "11-05060009", Scopes: []string{"system/Patient.rs"}}
)

// server is the interface over a real exchange and a real database.
type server struct {
	*FHIR
	store    store.Store
	now      time.Time
	resolved map[string]bool // canonical URLs that were asked for
}

// newExchange is the real exchange on a store.
func newExchange(t testing.TB, db store.Store, base func() string, clock func() time.Time, log *slog.Logger) *exchange.Service {
	t.Helper()
	topics, err := subscription.New(subscription.Default())
	if err != nil {
		t.Fatal(err)
	}
	records := &record.Keeper{Clock: clock, Topics: topics, Base: base}
	desk := &booking.Desk{Records: records}
	guard, err := delivery.NewGuard("", false)
	if err != nil {
		t.Fatal(err)
	}
	return &exchange.Service{
		Subscriptions: &delivery.Service{
			Store: db, Records: records, Topics: topics, Base: base, Guard: guard, Node: "one", Key: bytes.Repeat([]byte{8}, 32), Clock: clock, Log: log,
		},
		Store: db, Records: records, Booking: desk, Mode: mycore.Lenient, Base: base, Clock: clock,
		Consult: &consult.Service{
			Store: db, Records: records, Booking: desk, Hub: new(notify.Hub), Relay: func() {},
			Clock: clock, Window: consult.DefaultWindow, Log: log,
		},
	}
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{now: time.Date(2026, 11, 23, 9, 0, 0, 0, fhir.Malaysia)}
	clock := func() time.Time { return s.now }
	base := func() string { return testBase }
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s.store = db
	terms, err := terminology.New(terminology.Options{Documents: mycore.Definitions(), Normalize: mycore.Normalize})
	if err != nil {
		t.Fatal(err)
	}
	derived := library.New(clock(), base)
	derived.Add("OperationDefinition", Operations)
	derived.Add("StructureDefinition", SubscriptionDefinitions)
	derived.Add("CapabilityStatement", func() []library.Item { return s.Statements() })
	derived.Add("TerminologyCapabilities", func() []library.Item { return s.TerminologyStatements() })
	derived.AddTerms(terms)
	x := newExchange(t, derived.Over(db), base, clock, slog.New(slog.DiscardHandler))
	if s.FHIR, err = NewFHIR(FHIROptions{Exchange: x, Terms: terms, Subscriptions: x.Subscriptions, Base: base, Clock: clock, PageKey: bytes.Repeat([]byte{7}, 32)}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) do(as auth.Principal, method, target, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", mediaFHIR)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r.WithContext(auth.WithPrincipal(r.Context(), as)))
	return w
}

func observation(id, extra string) string {
	return `{"resourceType":"Observation","id":"` + id + `","status":"final","code":{"text":"pulse"},"valueQuantity":{"value":72.00}` + extra + `}`
}

const (
	organizationBody = `{"resourceType":"Organization","id":"11-05060009","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/organization-id","value":"11-05060009"}],"active":true,"name":"Hospital Tuanku Ja'afar"}`
	patientBody      = `{"resourceType":"Patient","id":"p1","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/patient-mrn","value":"HIE-00000003"}],"active":true,"name":[{"text":"Siti binti Ahmad"}],"gender":"female","birthDate":"1991-05-03","managingOrganization":{"reference":"Organization/11-05060009"}}`
)

const (
	virtualClass    = `{"system":"` + mycore.SystemEncounterClass + `","code":"VR"}`
	individual      = `{"system":"` + mycore.SystemServiceType + `","code":"VCI"}`
	appointmentBody = `{"resourceType":"Appointment","id":"a1","status":"booked","serviceCategory":[{"coding":[` + virtualClass + `]}],
		"serviceType":[{"coding":[` + individual + `]}],"specialty":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],
		"appointmentType":{"coding":[{"system":"` + mycore.SystemScheduleType + `","code":"internal"}]},
		"start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00","participant":[
		{"actor":{"reference":"HealthcareService/h1","type":"HealthcareService","display":"Dietetics"},"status":"accepted"},
		{"actor":{"reference":"Patient/p1","type":"Patient","display":"Siti"},"status":"accepted"}]}`
)

// One story, told in order: each step sees what the steps before it have done.
func TestFHIR(t *testing.T) {
	type header = map[string]string
	form := header{"Content-Type": "application/x-www-form-urlencoded"}
	tests := []struct {
		name, method, url, body string
		header                  header
		as                      *auth.Principal // nil: the hospital
		status                  int
		contains, excludes      string // parts divided by " & "
		headers                 header // of the answer; a value with a * at its end is a beginning
	}{
		{name: "put creates", method: "PUT", url: "/Organization/11-05060009", body: organizationBody, status: 201,
			contains: `"versionId":"1"`, headers: header{"ETag": `W/"1"`, "Location": testBase + "/Organization/11-05060009/_history/1", "Last-Modified": "Mon, 23 Nov 2026 01:00:00 GMT", "Content-Type": mediaFHIR + "*"}},
		{name: "put a patient", method: "PUT", url: "/Patient/p1", body: patientBody, status: 201},
		{name: "read", method: "GET", url: "/Patient/p1", status: 200, contains: `"id":"p1" & Siti binti Ahmad`, headers: header{"ETag": `W/"1"`, "Cache-Control": "no-store"}},
		{name: "head", method: "HEAD", url: "/Patient/p1", status: 200, headers: header{"ETag": `W/"1"`}},
		{name: "read what the caller has", method: "GET", url: "/Patient/p1", header: header{"If-None-Match": `W/"1"`}, status: 304, excludes: "Siti"},
		{name: "read as json", method: "GET", url: "/Patient/p1", header: header{"Accept": mediaJSON}, status: 200, headers: header{"Content-Type": mediaJSON + "*"}},
		{name: "read as nothing", method: "GET", url: "/Patient/p1", header: header{"Accept": ""}, status: 200, headers: header{"Content-Type": mediaFHIR + "*"}},
		{name: "read as turtle", method: "GET", url: "/Patient/p1", header: header{"Accept": "text/turtle"}, status: 406, excludes: "Siti"},
		{name: "read nothing", method: "GET", url: "/Patient/p9", status: 404, contains: `"not-found"`},
		{name: "another organisation sees nothing", method: "GET", url: "/Patient/p1", as: &clinic, status: 404, excludes: "Siti"},
		{name: "another organisation sees the directory", method: "GET", url: "/Organization/11-05060009", as: &clinic, status: 200},
		{name: "a scope too small", method: "PUT", url: "/Patient/p1", body: patientBody, as: &reader, status: 403, contains: `"forbidden"`},

		{name: "the same again is no new version", method: "PUT", url: "/Patient/p1", body: patientBody, status: 200, headers: header{"ETag": `W/"1"`}},
		{name: "update with the version", method: "PUT", url: "/Patient/p1", body: strings.Replace(patientBody, "1991-05-03", "1991-05-04", 1), header: header{"If-Match": `W/"1"`}, status: 200, contains: "1991-05-04", headers: header{"ETag": `W/"2"`}},
		{name: "update with an old version", method: "PUT", url: "/Patient/p1", body: patientBody, header: header{"If-Match": "1"}, status: 412, contains: "changed since"},
		{name: "update with a bare version", method: "PUT", url: "/Patient/p1", body: strings.Replace(patientBody, "1991-05-03", "1991-05-05", 1), header: header{"If-Match": "2", "Prefer": "return=minimal"}, status: 200, excludes: "Siti", headers: header{"ETag": `W/"3"`}},
		{name: "create only", method: "PUT", url: "/Patient/p1", body: patientBody, header: header{"If-None-Match": "*"}, status: 412},
		{name: "outcome preferred", method: "PUT", url: "/Patient/p2", body: strings.ReplaceAll(patientBody, `"p1"`, `"p2"`), header: header{"Prefer": "return=OperationOutcome"}, status: 201, contains: "OperationOutcome", excludes: "Siti"},

		{name: "old version", method: "GET", url: "/Patient/p1/_history/1", status: 200, contains: "1991-05-03", headers: header{"ETag": `W/"1"`}},
		{name: "no such version", method: "GET", url: "/Patient/p1/_history/99", status: 404, contains: "Patient/p1 has no such version"},
		{name: "no such version of others", method: "GET", url: "/Patient/p1/_history/99", as: &clinic, status: 404, contains: "no Patient with id p1"},
		{name: "a version in other digits", method: "GET", url: "/Patient/p1/_history/01", status: 404},
		{name: "history", method: "GET", url: "/Patient/p1/_history", status: 200, contains: `"type":"history" & "total":3 & "201 Created" & "etag":"W/\"3\"" & "method":"PUT"`},
		{name: "history of others", method: "GET", url: "/Patient/p1/_history", as: &clinic, status: 404, excludes: "Siti"},
		{name: "history page", method: "GET", url: "/Patient/p1/_history?_count=1", status: 200, contains: `1991-05-05 & "next"`, excludes: `1991-05-03`},
		{name: "history of the type", method: "GET", url: "/Patient/_history", status: 200, contains: `"total":4`},

		{name: "create", method: "POST", url: "/Observation", body: observation("mine", ""), status: 201, excludes: `"mine"`, headers: header{"Location": testBase + "/Observation/*"}},
		{name: "conditional create finds", method: "POST", url: "/Patient", body: patientBody, header: header{"If-None-Exist": "identifier=http://fhir.hie.moh.gov.my/sid/patient-mrn|HIE-00000003&birthdate=1991-05-05"}, status: 200, contains: `"id":"p1"`},
		{name: "conditional create finds two", method: "POST", url: "/Patient", body: patientBody, header: header{"If-None-Exist": "identifier=HIE-00000003"}, status: 412, contains: "multiple-matches"},
		{name: "conditional create with what it does not know", method: "POST", url: "/Patient", body: patientBody, header: header{"If-None-Exist": "colour=red"}, status: 400, contains: "not know: colour"},

		{name: "search by identifier", method: "GET", url: "/Patient?identifier=HIE-00000003&_total=accurate", status: 200,
			contains: `"searchset" & "total":2 & "fullUrl":"` + testBase + `/Patient/p1" & "mode":"match" & "self"`, excludes: `"next"`},
		{name: "search by name", method: "GET", url: "/Patient?name=ahm&_sort=birthdate", status: 200, contains: `"p1" & "p2"`},
		{name: "search as others", method: "GET", url: "/Patient?identifier=HIE-00000003&_total=accurate", as: &clinic, status: 200, contains: `"total":0`, excludes: "Siti"},
		{name: "search by id", method: "GET", url: "/Patient?_id=p2,p9", status: 200, contains: `"id":"p2"`, excludes: `"id":"p1"`},
		{name: "search by update", method: "GET", url: "/Patient?_lastUpdated=ge2026-11-24", status: 200, excludes: "Siti"},
		{name: "search counts", method: "GET", url: "/Patient?_summary=count", status: 200, contains: `"total":2`, excludes: `"entry"`},
		{name: "search with a system", method: "GET", url: "/Patient?identifier=http://fhir.hie.moh.gov.my/sid/patient-mrn|", status: 200, contains: `"p1" & "p2"`},
		{name: "search the other way", method: "GET", url: "/Patient?gender:not=female&_total=accurate", status: 200, contains: `"total":0`},
		{name: "search what is missing", method: "GET", url: "/Patient?death-date:missing=true&birthdate=1991-05-05", status: 200, contains: `"id":"p1"`, excludes: `"id":"p2"`},
		{name: "search pages", method: "GET", url: "/Patient?_count=1&_sort=birthdate", status: 200, contains: `"id":"p2" & "next"`, excludes: `"id":"p1" & "previous"`},
		{name: "unknown parameter", method: "GET", url: "/Patient?colour=red&_id=p1", status: 200, contains: `"id":"p1" & "mode":"outcome" & colour was ignored & "url":"` + testBase + `/Patient?_id=p1"`},
		{name: "search by form", method: "POST", url: "/Patient/_search", body: "identifier=HIE-00000003&_count=1", header: form, status: 200, contains: `"next" & _page=`, excludes: "identifier=HIE & %7CHIE"},
		{name: "no search", method: "GET", url: "/Patient?birthdate:contains=x", status: 400, contains: "not-supported"},

		{name: "schedule", method: "PUT", url: "/Schedule/s1", body: `{"resourceType":"Schedule","id":"s1","actor":[{"reference":"Organization/11-05060009","type":"Location","display":"x"}],"serviceCategory":[{"coding":[{"code":"AMB"}]}]}`, status: 201},
		{name: "slot", method: "PUT", url: "/Slot/l1", body: `{"resourceType":"Slot","id":"l1","schedule":{"reference":"Schedule/s1"},"status":"free","start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00"}`, status: 201},
		{name: "schedule with slots", method: "GET", url: "/Schedule?_revinclude=Slot:schedule&_id=s1", status: 200, contains: `"id":"s1" & "id":"l1" & "mode":"include"`},
		{name: "slot with schedule", method: "GET", url: "/Slot?_include=Slot:schedule&_id=l1", status: 200, contains: `"id":"s1" & "id":"l1" & "mode":"include"`},
		{name: "the guide's own form", method: "GET", url: "/Schedule?_include=Slot:schedule&_id=s1", status: 200, contains: `"id":"s1" & _include=Slot:schedule was ignored`},
		{name: "slot by time", method: "GET", url: "/Slot?start=ge2026-11-23T10:00:00%2B08:00&start=lt2026-11-23T11:00:00%2B08:00&status=free", status: 200, contains: `"id":"l1"`},
		{name: "slot by reference in full", method: "GET", url: "/Slot?schedule=" + testBase + "/Schedule/s1", status: 200, contains: `"id":"l1"`},

		{name: "observation of a patient", method: "PUT", url: "/Observation/o1", body: observation("o1", `,"subject":{"reference":"Patient/p1"}`), status: 201},
		{name: "chain", method: "GET", url: "/Observation?patient.birthdate=1991-05-05", status: 200, contains: `"id":"o1"`},
		{name: "chain to nobody", method: "GET", url: "/Observation?patient.identifier=nobody&_total=accurate", status: 200, contains: `"total":0`, excludes: `"id":"o1"`},

		{name: "service", method: "PUT", url: "/HealthcareService/h1", body: `{"resourceType":"HealthcareService","id":"h1","active":true,"providedBy":{"reference":"Organization/11-05060009"},"category":[{"coding":[` + virtualClass + `]}],"type":[{"coding":[` + individual + `]}],"name":"Dietetics"}`, status: 201},
		{name: "appointment with a warning", method: "PUT", url: "/Appointment/a1", body: appointmentBody, header: header{"Prefer": "return=OperationOutcome"}, status: 201, contains: `"warning" & RekodSaya`},
		{name: "appointment found", method: "GET", url: "/Appointment?service-type=" + mycore.SystemServiceType + "|VCI&status=booked&date=2026-11-23&patient=p1&actor=HealthcareService/h1&_include=Appointment:patient", status: 200, contains: `"id":"a1" & "id":"p1" & "mode":"include"`},
		{name: "appointment of another service type", method: "GET", url: "/Appointment?service-type=VCE&_total=accurate", status: 200, contains: `"total":0`},
		{name: "appointment by the patient's number", method: "GET", url: "/Appointment?patient.identifier=HIE-00000003", status: 200, contains: `"id":"a1"`},
		{name: "impossible move", method: "PUT", url: "/Appointment/a1", body: strings.Replace(appointmentBody, `"booked"`, `"fulfilled"`, 1), status: 422, contains: "OperationOutcome"},
		{name: "audit", method: "GET", url: "/AuditEvent?entity=Appointment/a1", status: 200, contains: `"AuditEvent" & "mode":"match"`, excludes: "Siti"},

		{name: "transaction", method: "POST", url: "", body: `{"resourceType":"Bundle","type":"transaction","entry":[
			{"fullUrl":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000001","resource":{"resourceType":"Patient","active":true,"identifier":[{"value":"T-1"}],"name":[{"text":"Tan"}],"gender":"male","birthDate":"1980-01-01","managingOrganization":{"reference":"Organization/11-05060009"}},"request":{"method":"POST","url":"Patient"}},
			{"fullUrl":"` + testBase + `/Observation/o2","resource":` + observation("o2", `,"subject":{"reference":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000001"}`) + `,"request":{"method":"PUT","url":"Observation/o2"}},
			{"request":{"method":"GET","url":"Observation/o1"}}]}`, status: 200,
			contains: `"transaction-response" & "201 Created" & "location":"Observation/o2/_history/1" & "lastModified" & "id":"o1"`, excludes: `"T-1"`},
		{name: "reference resolved", method: "GET", url: "/Observation?patient.identifier=T-1", status: 200, contains: `"id":"o2"`, excludes: "urn:uuid"},
		{name: "transaction by PUT, one entry bad", method: "PUT", url: "", body: `{"resourceType":"Bundle","type":"transaction","entry":[
			{"resource":` + observation("o3", "") + `,"request":{"method":"PUT","url":"Observation/o3"}},
			{"request":{"method":"DELETE","url":"Observation/none"}}]}`, status: 404, contains: "Bundle.entry[1]"},
		{name: "nothing of it was done", method: "GET", url: "/Observation/o3", status: 404},
		{name: "batch", method: "POST", url: "/", body: `{"resourceType":"Bundle","type":"batch","entry":[
			{"resource":` + observation("o3", "") + `,"request":{"method":"PUT","url":"Observation/o3"}},
			{"request":{"method":"GET","url":"Observation/none"}},
			{"request":{"method":"GET","url":"Observation?_id=o3"}},
			{"request":{"method":"DELETE","url":"Observation/o2"}},
			{"request":{"method":"HEAD","url":"Observation/none"}},
			{"request":{"method":"HEAD","url":"Patient/p1"}},
			{"request":{"method":"GET","url":"../auth/jwks"}},
			{"request":{"method":"GET","url":"Patient//p1"}},
			{"request":{"method":"G T","url":"Patient/p1"}},
			{"request":{"method":"POST","url":"/"}}]}`, status: 200, excludes: "Siti",
			contains: `"batch-response" & "201 Created" & "404 Not Found" & "searchset" & "204 No Content" & "not-found" & "400 Bad Request"`},

		{name: "in use", method: "DELETE", url: "/Schedule/s1", status: 409, contains: "in use"},
		{name: "delete with an old version", method: "DELETE", url: "/Observation/o1", header: header{"If-Match": `W/"7"`}, status: 412},
		{name: "delete as others", method: "DELETE", url: "/Observation/o1", as: &clinic, status: 404},
		{name: "delete", method: "DELETE", url: "/Observation/o1", status: 204, headers: header{"ETag": `W/"2"`}},
		{name: "gone", method: "GET", url: "/Observation/o1", status: 410, contains: `"deleted"`},
		{name: "not found by search", method: "GET", url: "/Observation?_id=o1", status: 200, excludes: `"id":"o1"`},
		{name: "history of the deleted", method: "GET", url: "/Observation/o1/_history", status: 200, contains: `"DELETE" & "204 No Content" & "total":2`},
		{name: "version before the deletion", method: "GET", url: "/Observation/o1/_history/1", status: 200, contains: `"id":"o1"`},
		{name: "delete again", method: "DELETE", url: "/Observation/o1", status: 204},
		{name: "back again", method: "PUT", url: "/Observation/o1", body: observation("o1", ""), status: 201, headers: header{"ETag": `W/"3"`}},
	}
	s := newServer(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as := hospital
			if tt.as != nil {
				as = *tt.as
			}
			w := s.do(as, tt.method, Root+tt.url, tt.body, tt.header)
			body := w.Body.String()
			if w.Code != tt.status {
				t.Errorf("status %d, want %d: %s", w.Code, tt.status, body)
			}
			for part := range strings.SplitSeq(tt.contains, " & ") {
				if !strings.Contains(body, part) {
					t.Errorf("no %s in %s", part, body)
				}
			}
			for part := range strings.SplitSeq(tt.excludes, " & ") {
				if part != "" && strings.Contains(body, part) {
					t.Errorf("%s in %s", part, body)
				}
			}
			for name, want := range tt.headers {
				got := w.Header().Get(name)
				if start, ok := strings.CutSuffix(want, "*"); got != want && (!ok || !strings.HasPrefix(got, start)) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if body != "" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("no JSON: %s", body)
			}
		})
	}
}

// What comes out is what went in, but for id and meta.
func TestBytesSurvive(t *testing.T) {
	const members = "\"_status\" : {\"extension\":[{\"url\":\"http://x\",\"valueDecimal\":1.00}]},\n\t\"status\":\"final\", \"code\":{\"text\":\"\\u0041 \\/ é 心\"}, \"unknown\":[1e3, -0.0, {}],\n \"valueString\":\"\""
	s := newServer(t)
	w := s.do(hospital, "PUT", Root+"/Observation/o1", "{\n  \"resourceType\":\"Observation\", \"id\":\"o1\",\n  "+members+"}", nil)
	if w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, target := range []string{"/Observation/o1", "/Observation?_id=o1", "/Observation/o1/_history", "/Observation/o1/_history/1"} {
		if w := s.do(hospital, "GET", Root+target, "", nil); !strings.Contains(w.Body.String(), members) {
			t.Errorf("%s: %s", target, w.Body)
		}
	}
}

// Of many updates of the same version exactly one succeeds.
func TestIfMatchRace(t *testing.T) {
	s := newServer(t)
	if w := s.do(hospital, "PUT", Root+"/Observation/o1", observation("o1", ""), nil); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	const callers = 16
	codes := make([]int, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			body := observation("o1", fmt.Sprintf(`,"issued":"2026-11-23T09:00:%02d+08:00"`, i))
			codes[i] = s.do(hospital, "PUT", Root+"/Observation/o1", body, map[string]string{"If-Match": `W/"1"`}).Code
		})
	}
	wg.Wait()
	count := make(map[int]int)
	for _, code := range codes {
		count[code]++
	}
	if count[http.StatusOK] != 1 || count[http.StatusPreconditionFailed] != callers-1 {
		t.Errorf("%v", count)
	}
}

var nextLink = regexp.MustCompile(`"relation":"next","url":"([^"]+)"`)

// Following the next links gives every record once, of searches and histories,
// whichever way the search was sent.
func TestPaging(t *testing.T) {
	s := newServer(t)
	for i := range 7 {
		id := fmt.Sprintf("o%d", i)
		if w := s.do(hospital, "PUT", Root+"/Observation/"+id, observation(id, ""), nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	tests := []struct {
		method, url, body string
		header            map[string]string
	}{
		{"GET", "/Observation?status=final&_count=3", "", nil},
		{"POST", "/Observation/_search", "status=final&_count=3", form},
		{"GET", "/Observation/_history?_count=3", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.url, func(t *testing.T) {
			seen := make(map[string]int)
			w := s.do(hospital, tt.method, Root+tt.url, tt.body, tt.header)
			for page := 0; ; page++ {
				if w.Code != http.StatusOK || page > 3 {
					t.Fatalf("page %d: %d %s", page, w.Code, w.Body)
				}
				var bundle struct{ Entry []struct{ FullURL string } }
				if err := json.Unmarshal(w.Body.Bytes(), &bundle); err != nil {
					t.Fatal(err)
				}
				for _, e := range bundle.Entry {
					seen[e.FullURL]++
				}
				next := nextLink.FindStringSubmatch(w.Body.String())
				if next == nil {
					break
				}
				to, err := url.Parse(next[1])
				if err != nil {
					t.Fatal(err)
				}
				w = s.do(hospital, "GET", to.RequestURI(), "", nil)
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%s came %d times", id, n)
				}
			}
			if len(seen) != 7 {
				t.Errorf("%d of 7 came", len(seen))
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s := newServer(b)
	if w := s.do(hospital, "PUT", Root+"/Observation/o1", observation("o1", ""), nil); w.Code != http.StatusCreated {
		b.Fatalf("%d %s", w.Code, w.Body)
	}
	b.ReportAllocs()
	b.SetParallelism(32) // 32 callers for each core
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w := s.do(hospital, "GET", Root+"/Observation/o1", "", nil); w.Code != http.StatusOK {
				b.Errorf("%d", w.Code)
			}
		}
	})
}
