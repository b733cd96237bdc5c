package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// fill puts resources and fails the test when one is refused.
func (s *server) fill(t testing.TB, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		doc, err := fhir.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if w := s.do(hospital, "PUT", Root+"/"+doc.Type()+"/"+doc.ID(), body, nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

const soundObservation = `{"resourceType":"Observation","status":"final","code":{"text":"pulse"}}`

const slotWithoutStatus = `{"resourceType":"Slot","schedule":{"reference":"Schedule/s1"},"start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00"}`

func TestValidate(t *testing.T) {
	s := newServer(t)
	s.fill(t, organizationBody, patientBody, resource("Schedule", "s1"), strings.Replace(resource("Slot", "l1"), "Schedule/x0", "Schedule/s1", 1), observation("o1", `,"subject":{"reference":"Patient/p1"}`))
	writer := auth.Principal{Kind: auth.Client, ID: "writer", Organization: hospital.Organization, Scopes: []string{"system/Slot.c"}}
	wrap := func(body, more string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"resource","resource":` + body + `}` + more + `]}`
	}
	for _, c := range []struct {
		name, method, url, body string
		as                      *auth.Principal
		status                  int
		contains, excludes      string
	}{
		{name: "sound", method: "POST", url: "/Observation/$validate", body: observation("", ""), status: 400, contains: "id must be"},
		{name: "sound, without an id", method: "POST", url: "/Observation/$validate", body: soundObservation, status: 200, contains: "All is well", excludes: `"error"`},
		{name: "faulty", method: "POST", url: "/Slot/$validate", body: slotWithoutStatus, status: 200, contains: `"error" & Slot.status`},
		{name: "in parameters", method: "POST", url: "/Slot/$validate", body: wrap(slotWithoutStatus, `,{"name":"mode","valueCode":"create"}`), status: 200, contains: `"error" & Slot.status`},
		{name: "a profile that is not known", method: "POST", url: "/Observation/$validate", body: wrap(soundObservation, `,{"name":"profile","valueUri":"http://x"}`), status: 200, contains: `"error" & not-supported & This profile is not known here`},
		{name: "profile in the address", method: "POST", url: "/Observation/$validate?profile=http://x", body: soundObservation, status: 200, contains: `"error" & profile is not known`},
		{name: "too many profiles", method: "POST", url: "/Observation/$validate?" + strings.Repeat("profile=x&", maxProfiles+1), body: resource("Observation", ""), status: 400},
		{name: "to create, with a reference to nobody", method: "POST", url: "/Observation/$validate?mode=create", body: soundObservation[:len(soundObservation)-1] + `,"subject":{"reference":"Patient?identifier=nobody"}}`, status: 200, contains: `"error" & conditional reference`},
		{name: "the same without a mode", method: "POST", url: "/Observation/$validate", body: soundObservation[:len(soundObservation)-1] + `,"subject":{"reference":"Patient?identifier=nobody"}}`, status: 200, excludes: `"error"`},
		{name: "to create what exists", method: "POST", url: "/Observation/o1/$validate?mode=create", body: resource("Observation", "o1"), status: 200, contains: `"duplicate"`},
		{name: "to update", method: "POST", url: "/Observation/o1/$validate?mode=update", body: observation("o1", ""), status: 200, contains: "All is well"},
		{name: "to update what belongs to others", method: "POST", url: "/Observation/o1/$validate?mode=update", body: resource("Observation", "o1"), as: &clinic, status: 403},
		{name: "to delete", method: "POST", url: "/Observation/o1/$validate?mode=delete", status: 200, contains: "All is well"},
		{name: "to delete what is in use", method: "POST", url: "/Patient/p1/$validate?mode=delete", status: 200, contains: `"conflict" & in use`},
		{name: "to delete what is not there", method: "POST", url: "/Patient/none/$validate?mode=delete", status: 200, contains: `"not-found"`},
		{name: "to update, with the id in the body alone", method: "POST", url: "/Observation/$validate?mode=update", body: observation("o1", ""), status: 200, contains: "All is well"},
		{name: "to update nothing", method: "POST", url: "/Observation/$validate?mode=update", body: soundObservation, status: 400, contains: "An update is of a record with an id"},
		{name: "by a profile", method: "GET", url: "/Patient/p1/$validate?mode=profile&profile=http://fhir.hie.moh.gov.my/StructureDefinition/Patient-my-core", status: 200, contains: "All is well"},
		{name: "by a profile in a version that there is not", method: "GET", url: "/Patient/p1/$validate?mode=profile&profile=http://fhir.hie.moh.gov.my/StructureDefinition/Patient-my-core|7", status: 200, contains: `"error" & not known here, only 1.0.0 or 2024`},
		{name: "by no profile", method: "GET", url: "/Patient/p1/$validate?mode=profile", status: 400, contains: "Name the profile"},
		{name: "to create what is taken in with warnings", method: "POST", url: "/Observation/$validate?mode=create", body: `{"resourceType":"Observation","status":"final"}`, status: 200, contains: `"error" & Observation.code & takes in such a record all the same`},
		{name: "to create what is refused", method: "POST", url: "/Observation/$validate?mode=create", body: `{"resourceType":"Observation","status":"done"}`, status: 200, contains: `"error" & Observation.status`, excludes: "all the same"},
		{name: "to delete nothing", method: "POST", url: "/Patient/$validate?mode=delete", status: 400},
		{name: "what is stored", method: "GET", url: "/Patient/p1/$validate", status: 200, contains: `"OperationOutcome"`},
		{name: "what is not stored", method: "GET", url: "/Patient/none/$validate", status: 404},
		{name: "what others have stored", method: "GET", url: "/Patient/p1/$validate", as: &clinic, status: 404},
		{name: "nothing", method: "POST", url: "/Patient/$validate", status: 400, contains: "Send the resource"},
		{name: "an unknown mode", method: "POST", url: "/Patient/$validate?mode=admire", body: resource("Patient", ""), status: 400},
		{name: "another type", method: "POST", url: "/Patient/$validate", body: resource("Observation", ""), status: 400},
		{name: "another id", method: "POST", url: "/Observation/o1/$validate", body: resource("Observation", "o2"), status: 400},
		{name: "no json", method: "POST", url: "/Observation/$validate", body: "{", status: 400, contains: `"structure"`},
		{name: "parameters themselves", method: "POST", url: "/Parameters/$validate", body: `{"resourceType":"Parameters","parameter":[{"name":"x"}]}`, status: 200},
		{name: "with a scope to create", method: "POST", url: "/Slot/$validate?mode=create", body: slotWithoutStatus, as: &writer, status: 200, contains: "Slot.status"},
		{name: "which is none to update", method: "POST", url: "/Slot/$validate?mode=update", body: slotWithoutStatus, as: &writer, status: 403},
		{name: "of what the exchange records itself", method: "POST", url: "/AuditEvent/$validate", body: resource("AuditEvent", ""), status: 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			as := hospital
			if c.as != nil {
				as = *c.as
			}
			w := s.do(as, c.method, Root+c.url, c.body, nil)
			if w.Code != c.status || !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
				t.Fatalf("%d, want %d: %s", w.Code, c.status, w.Body)
			}
			for part := range strings.SplitSeq(c.contains, " & ") {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("no %s in %s", part, w.Body)
				}
			}
			if c.excludes != "" && strings.Contains(w.Body.String(), c.excludes) {
				t.Errorf("%s in %s", c.excludes, w.Body)
			}
		})
	}
	// Nothing of it was stored, and all of it is in the audit trail.
	if w := s.do(hospital, "GET", Root+"/Slot?_total=accurate&_count=0", "", nil); !strings.Contains(w.Body.String(), `"total":1`) {
		t.Errorf("%s", w.Body)
	}
	if w := s.do(hospital, "GET", Root+"/AuditEvent?entity=Observation/o1&_count=100", "", nil); strings.Count(w.Body.String(), `"code":"validate"`) < 2 {
		t.Errorf("%s", w.Body)
	}
}

// A profile is asked for by its URL, with a version or without.
func TestProfilesAreAskedFor(t *testing.T) {
	s := newServer(t)
	patient := `{"resourceType":"Patient","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/patient-mrn","value":"1"},{"system":"http://example.org/ids","value":"2"}],
		"active":true,"name":[{"text":"A patient"}],"gender":"female","birthDate":"1990-01-01","managingOrganization":{"display":"Hospital"}}`
	const profile = "http://fhir.hie.moh.gov.my/StructureDefinition/Patient-my-core"
	for _, c := range []struct{ asked, severity, contains string }{
		{"", "warning", "none of the slices"}, // the exchange's own line, of a record that nobody has named it for
		{profile, "error", "none of the slices"},
		{profile + "|2024", "error", "none of the slices"},
		{profile + "|1.0.0", "information", "All is well"}, // where the identifiers are open
		{profile + "|9", "error", "only 1.0.0 or 2024"},
		{"http://example.org/StructureDefinition/nobody", "error", "This profile is not known here"},
		{"http://hl7.org/fhir/StructureDefinition/Patient", "warning", "none of the slices"},
		{"http://hl7.org/fhir/StructureDefinition/Slot", "error", "The profile is for Slot"},
	} {
		w := s.do(hospital, "POST", Root+"/Patient/$validate?profile="+url.QueryEscape(c.asked), patient, nil)
		if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, `"severity":"`+c.severity+`"`) || !strings.Contains(body, c.contains) {
			t.Errorf("%q: %d %s", c.asked, w.Code, body)
		}
	}
}

func TestMeta(t *testing.T) {
	s := newServer(t)
	s.fill(t, observation("o1", `,"meta":{"tag":[{"code":"x"}]}`))
	for _, c := range []struct {
		method, url string
		as          auth.Principal
		status      int
		contains    string
	}{
		{"GET", "/Observation/o1/$meta", hospital, 200, `{"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":{"tag":[{"code":"x"}],"versionId":"1",`},
		{"POST", "/Observation/o1/$meta", hospital, 200, `"valueMeta"`},
		{"GET", "/Observation/o1/$meta?_format=xml", hospital, 200, `<valueMeta><versionId value="1"/>`},
		{"GET", "/Observation/none/$meta", hospital, 404, "not-found"},
		{"GET", "/Observation/o1/$meta", clinic, 404, "not-found"},
		{"DELETE", "/Observation/o1/$meta", hospital, 405, "not-supported"},
		{"GET", "/Observation/o1/$meta-add", hospital, 405, "not-supported"},
	} {
		w := s.do(c.as, c.method, Root+c.url, "", nil)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) {
			t.Errorf("%s %s: %d %s", c.method, c.url, w.Code, w.Body)
		}
	}
}

// Labels change without a new version, and can be searched for at once.
func TestLabels(t *testing.T) {
	meta := func(members string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{` + members + `}}]}`
	}
	s := newServer(t)
	s.fill(t, `{"resourceType":"Observation","id":"o1","meta":{"tag":[{"system":"http://t","code":"a","display":"A"}]},"status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}`, `{"resourceType":"Basic","id":"b1","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}],"profile":["http://p|2"]},"code":{"text":"x"}}`)
	one := headers{"ETag": `W/"1"`}
	s.story(t, []step{
		{rule: "add", method: "POST", url: "/Observation/o1/$meta-add", body: meta(`"tag":[{"system":"http://t","code":"b"}],"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}],"profile":["http://p"]`), status: 200, headers: one,
			contains: `"tag":[{"system":"http://t","code":"a","display":"A"},{"system":"http://t","code":"b"}] & "security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}] & "profile":["http://p"] & "versionId":"1"`},
		{rule: "no new version, and nothing else has changed", method: "GET", url: "/Observation/o1", status: 200, headers: one, contains: `"code":"b" & "value":1.00`},
		{rule: "it is in the history", method: "GET", url: "/Observation/o1/_history", status: 200, contains: `"total":1 & "code":"b"`},
		{rule: "it is found", method: "GET", url: "/Observation?_tag=http://t|b&_security=R&_profile=http://p&_total=accurate", status: 200, contains: `"total":1`},
		{rule: "none comes in twice", method: "POST", url: "/Observation/o1/$meta-add", body: meta(`"tag":[{"system":"http://t","code":"a","display":"another","version":"2"},{"system":"http://t","code":"b"}]`), status: 200, contains: `"display":"A"},{"system":"http://t","code":"b"}]`, excludes: "another"},
		{rule: "a new version", method: "PATCH", url: "/Observation/o1", body: `[{"op":"replace","path":"/status","value":"amended"}]`, header: headers{"Content-Type": mediaJSONPatch}, status: 200, headers: headers{"ETag": `W/"2"`}},
		{rule: "take away, also what is not there", method: "POST", url: "/Observation/o1/$meta-delete", body: meta(`"tag":[{"system":"http://t","code":"a"},{"system":"http://t","code":"z"}],"profile":["http://p"]`), status: 200, headers: headers{"ETag": `W/"2"`}, contains: `"tag":[{"system":"http://t","code":"b"}]`, excludes: "profile"},
		{rule: "it is not found", method: "GET", url: "/Observation?_tag=http://t|a&_total=accurate", status: 200, contains: `"total":0`},
		{rule: "the version before has it", method: "GET", url: "/Observation/o1/_history/1/$meta", status: 200, contains: `"code":"a"`, headers: one},
		{rule: "label of the version before", method: "POST", url: "/Observation/o1/_history/1/$meta-add", body: meta(`"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"V"}]`), status: 200, headers: one, contains: `"code":"V"`},
		{rule: "it stays there", method: "GET", url: "/Observation/o1", status: 200, excludes: `"V"`},
		{rule: "and is seen there", method: "GET", url: "/Observation/o1/_history/1", status: 200, contains: `"code":"V" & "status":"final"`},
		{rule: "and does not find the record", method: "GET", url: "/Observation?_security=V&_total=accurate", status: 200, contains: `"total":0`},
		{rule: "labels of the type", method: "GET", url: "/Observation/$meta", status: 200, contains: `"tag":[{"code":"b","system":"http://t"}] & "security":[{"code":"R","system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality"}]`, excludes: `"V" & http://p`},
		{rule: "labels of the system", method: "GET", url: "/$meta", status: 200, contains: `"profile":["http://p|2"] & "code":"b"`},
		{rule: "of others", method: "GET", url: "/$meta", as: &clinic, status: 200, contains: `"valueMeta":{}`},
		{rule: "in XML", method: "GET", url: "/Observation/$meta?_format=xml", status: 200, contains: `<tag><system value="http://t"/><code value="b"/></tag>`},
		{rule: "take all away", method: "POST", url: "/Observation/o1/$meta-delete", body: meta(`"tag":[{"system":"http://t","code":"b"}],"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]`), status: 200, excludes: `tag & security`},
		{rule: "others add", method: "POST", url: "/Observation/o1/$meta-add", body: meta(`"profile":["http://p"]`), as: &clinic, status: 404},
		{rule: "too small a scope", method: "POST", url: "/Observation/o1/$meta-add", body: meta(`"profile":["http://p"]`), as: &reader, status: 403},
		{rule: "of definitions", method: "POST", url: "/StructureDefinition/Patient/$meta-add", body: meta(`"profile":["http://p"]`), status: 403},
		{rule: "of nothing", method: "POST", url: "/Observation/none/$meta-add", body: meta(`"profile":["http://p"]`), status: 404},
		{rule: "of no version", method: "POST", url: "/Observation/o1/_history/9/$meta-add", body: meta(`"profile":["http://p"]`), status: 404},
		{rule: "without a meta", method: "POST", url: "/Observation/o1/$meta-add", body: `{"resourceType":"Parameters"}`, status: 400},
		{rule: "a tag that is none", method: "POST", url: "/Observation/o1/$meta-add", body: meta(`"tag":[{"display":"x"}]`), status: 400},
		{rule: "a resource", method: "POST", url: "/Observation/o1/$meta-add", body: observation("o1", ""), status: 400},
		{rule: "of the deleted", method: "DELETE", url: "/Observation/o1", status: 204},
		{rule: "of the deleted, add", method: "POST", url: "/Observation/o1/$meta-add", body: meta(`"profile":["http://p"]`), status: 410},
		{rule: "in a transaction", method: "POST", body: transactionOf(sent("", "POST", "Basic/b1/$meta-add", meta(`"profile":["http://q"]`), "")), status: 400, contains: "batch"},
		{rule: "in a batch", method: "POST", body: bundleOf("batch", sent("", "POST", "Basic/b1/$meta-add", meta(`"profile":["http://q"]`), "")), status: 200, contains: `"200 OK" & http://q`},
	})
	if n := s.trail(t)["meta-add Observation/o1"]; n < 4 {
		t.Errorf("%d audit records", n)
	}
}

func TestEverything(t *testing.T) {
	s := newServer(t)
	about := `,"subject":{"reference":"Patient/p1"}`
	s.fill(t, organizationBody, patientBody, strings.ReplaceAll(patientBody, `"p1"`, `"p2"`),
		`{"resourceType":"Practitioner","id":"d1"}`,
		`{"resourceType":"Encounter","id":"e1","status":"planned","class":{"code":"AMB"}`+about+`,"participant":[{"individual":{"reference":"Practitioner/d1"}}]}`,
		observation("o1", about+`,"effectiveDateTime":"2026-11-22","encounter":{"reference":"Encounter/e1"}`), observation("o2", about+`,"effectiveDateTime":"2026-11-23T10:00:00+08:00"`), observation("o3", `,"subject":{"reference":"Patient/p2"}`))
	few := auth.Principal{Kind: auth.Client, ID: "few", Organization: hospital.Organization, Scopes: []string{"system/Patient.rs", "system/Observation.rs"}}
	for _, c := range []struct {
		name, method, url, body string
		as                      auth.Principal
		status                  int
		want                    string
	}{
		{"patient", "GET", "/Patient/p1/$everything", "", hospital, 200, "Patient/p1 Encounter/e1 Observation/o1 Observation/o2 Organization/11-05060009 Practitioner/d1"},
		{"in pages", "GET", "/Patient/p1/$everything?_count=2", "", hospital, 200, "Patient/p1 Encounter/e1 Observation/o1 Observation/o2 Organization/11-05060009 Practitioner/d1"},
		{"of types", "GET", "/Patient/p1/$everything?_type=Patient,Observation", "", hospital, 200, "Patient/p1 Observation/o1 Observation/o2"},
		{"by parameters", "POST", "/Patient/p1/$everything", `{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"Encounter"},{"name":"_count","valueInteger":1}]}`, hospital, 200, "Encounter/e1"},
		{"since", "GET", "/Patient/p1/$everything?_since=2026-11-24", "", hospital, 200, ""},
		{"encounter", "GET", "/Encounter/e1/$everything", "", hospital, 200, "Encounter/e1 Observation/o1 Patient/p1 Practitioner/d1"},
		{"what the scopes allow", "GET", "/Patient/p1/$everything", "", few, 200, "Patient/p1 Observation/o1 Observation/o2"},
		{"of others", "GET", "/Patient/p1/$everything", "", clinic, 404, ""},
		{"of nobody", "GET", "/Patient/none/$everything", "", hospital, 404, ""},
		{"of another type", "GET", "/Observation/o1/$everything", "", hospital, 404, ""},
		{"from a day on", "GET", "/Patient/p1/$everything?start=2026-11-23&_type=Observation,Encounter", "", hospital, 200, "Encounter/e1 Observation/o2"},
		{"until a day", "GET", "/Patient/p1/$everything?end=2026-11-22", "", hospital, 200, "Patient/p1 Encounter/e1 Observation/o1 Organization/11-05060009 Practitioner/d1"},
		{"between days", "POST", "/Patient/p1/$everything", `{"resourceType":"Parameters","parameter":[{"name":"start","valueDate":"2026-11-20"},{"name":"end","valueDate":"2026-11-21"},{"name":"_type","valueCode":"Observation"}]}`, hospital, 200, ""},
		{"of an encounter from a day on", "GET", "/Encounter/e1/$everything?start=2026", "", hospital, 400, ""},
		{"from no day", "GET", "/Patient/p1/$everything?start=soon", "", hospital, 400, ""},
		{"of no type", "GET", "/Patient/p1/$everything?_type=Colour", "", hospital, 400, ""},
		{"a bad count", "GET", "/Patient/p1/$everything?_count=some", "", hospital, 400, ""},
		{"by a resource", "POST", "/Patient/p1/$everything", `{"resourceType":"Patient"}`, hospital, 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.do(c.as, c.method, Root+c.url, c.body, nil)
			var got []string
			for {
				var bundle struct {
					Entry []struct{ FullURL string }
				}
				if err := json.Unmarshal(w.Body.Bytes(), &bundle); err != nil || w.Code != c.status {
					t.Fatalf("%d, want %d: %s", w.Code, c.status, w.Body)
				}
				for _, e := range bundle.Entry {
					if e.FullURL != "" {
						got = append(got, strings.TrimPrefix(e.FullURL, testBase+"/"))
					}
				}
				next := nextLink.FindStringSubmatch(w.Body.String())
				if next == nil || len(got) > 10 {
					break
				}
				to, err := url.Parse(next[1])
				if err != nil {
					t.Fatal(err)
				}
				w = s.do(c.as, "GET", to.RequestURI(), "", nil)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}
