package api

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// step is one request of a story, told to the interface in order, and what
// the answer must be.
type step struct {
	rule, method, url, body string
	header                  map[string]string
	as                      *auth.Principal // nil: the hospital
	status                  int
	contains, excludes      string            // parts of the body, divided by " & "
	headers                 map[string]string // of the answer: a value, a beginning with *, or "" for none
}

func (s *server) story(t *testing.T, steps []step) {
	for _, c := range steps {
		t.Run(c.rule, func(t *testing.T) { s.told(t, c) })
	}
}

func (s *server) told(t *testing.T, c step) *httptest.ResponseRecorder {
	t.Helper()
	as := hospital
	if c.as != nil {
		as = *c.as
	}
	w := s.do(as, c.method, Root+strings.ReplaceAll(c.url, "|", "%7C"), c.body, c.header)
	body := w.Body.String()
	if w.Code != c.status {
		t.Errorf("%s %s: status %d, want %d: %s", c.method, c.url, w.Code, c.status, body)
	}
	for part := range strings.SplitSeq(c.contains, " & ") {
		if !strings.Contains(body, part) {
			t.Errorf("%s %s: no %s in %s", c.method, c.url, part, body)
		}
	}
	for part := range strings.SplitSeq(c.excludes, " & ") {
		if part != "" && strings.Contains(body, part) {
			t.Errorf("%s %s: %s in %s", c.method, c.url, part, body)
		}
	}
	for name, want := range c.headers {
		got := w.Header().Get(name)
		if start, ok := strings.CutSuffix(want, "*"); got != want && (!ok || !strings.HasPrefix(got, start)) {
			t.Errorf("%s %s: %s is %q, want %q", c.method, c.url, name, got, want)
		}
	}
	if w.Code >= 400 && c.method != "HEAD" && !strings.Contains(body, "OperationOutcome") {
		t.Errorf("%s %s: no OperationOutcome: %s", c.method, c.url, body)
	}
	if w.Code < 400 && strings.HasPrefix(w.Header().Get("Content-Type"), mediaFHIR) && body != "" && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s %s: no JSON: %s", c.method, c.url, body)
	}
	return w
}

type headers = map[string]string

// The rules of the RESTful API of R4, one row for each, in the order in which
// its page has them.
func TestInteractions(t *testing.T) {
	const (
		o1      = "/Observation/o1"
		there   = testBase + "/Observation/o1/_history/"
		created = "Mon, 23 Nov 2026 01:00:00 GMT"
	)
	form := headers{"Content-Type": "application/x-www-form-urlencoded"}
	patch := headers{"Content-Type": mediaJSONPatch}
	minimal := headers{"Prefer": "return=minimal", "Content-Type": mediaFHIR}
	version := func(n string) headers {
		return headers{"ETag": `W/"` + n + `"`, "Location": there + n, "Last-Modified": created}
	}
	newServer(t).story(t, []step{
		// update as create
		{rule: "update without id in the body", method: "PUT", url: o1, body: strings.Replace(observation("o1", ""), `"id":"o1",`, "", 1), status: 400, contains: "Observation.id"},
		{rule: "update with another id", method: "PUT", url: o1, body: observation("o2", ""), status: 400, contains: "Observation.id"},
		{rule: "update with another type", method: "PUT", url: o1, body: patientBody, status: 400},
		{rule: "update with If-Match of what is not there", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"If-Match": `W/"1"`}, status: 412},
		{rule: "update with If-Match * of what is not there", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"If-Match": "*"}, status: 412},
		{rule: "update creates with 201, ETag, Location, Last-Modified", method: "PUT", url: o1, body: observation("o1", ""), status: 201, contains: `"versionId":"1"`, headers: version("1")},
		{rule: "Content-Location names the version in the body", method: "GET", url: o1, status: 200, headers: headers{"Content-Location": there + "1", "ETag": `W/"1"`, "Last-Modified": created, "Location": ""}},
		{rule: "update with If-None-Match * of what is there", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"If-None-Match": "*"}, status: 412},
		{rule: "update ignores versionId and lastUpdated", method: "PUT", url: o1, body: observation("o1", `,"meta":{"versionId":"99","lastUpdated":"1999-01-01T00:00:00Z"}`), status: 200, headers: version("1"), excludes: "1999"},
		{rule: "the same in another order is no new version", method: "PUT", url: o1, status: 200, headers: version("1"),
			body: "{\n \"valueQuantity\" : {\"value\": 72.00},\n \"status\":\"fin\\u0061l\", \"id\":\"o1\", \"code\":{\"text\":\"pulse\"}, \"resourceType\":\"Observation\" }"},
		{rule: "another precision is a new version", method: "PUT", url: o1, body: strings.Replace(observation("o1", ""), "72.00", "72.0", 1), status: 200, headers: version("2")},
		{rule: "another order of a list is a new version", method: "PUT", url: "/Observation/l", body: observation("l", `,"note":[{"text":"a"},{"text":"b"}]`), status: 201},
		{rule: "another order of a list, again", method: "PUT", url: "/Observation/l", body: observation("l", `,"note":[{"text":"b"},{"text":"a"}]`), status: 200, headers: headers{"ETag": `W/"2"`}},
		{rule: "update with the right If-Match", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"If-Match": `W/"2"`}, status: 200, headers: version("3")},
		{rule: "update with an old If-Match", method: "PUT", url: o1, body: observation("o1", `,"issued":"2026-11-23T09:00:00Z"`), header: headers{"If-Match": `W/"2"`}, status: 412, contains: `"conflict"`},
		{rule: "update with If-Match *", method: "PUT", url: o1, body: observation("o1", `,"issued":"2026-11-23T09:00:00Z"`), header: headers{"If-Match": "*"}, status: 200, headers: version("4")},
		{rule: "update of another organisation's record", method: "PUT", url: o1, body: observation("o1", ""), as: &clinic, status: 403},

		// read, vread, HEAD and what the caller has already
		{rule: "read of nothing", method: "GET", url: "/Observation/none", status: 404, contains: `"not-found"`},
		{rule: "read of an unknown type", method: "GET", url: "/Colour/o1", status: 404},
		{rule: "read of an id that is none", method: "GET", url: "/Observation/o_1", status: 400},
		{rule: "HEAD is GET without a body", method: "HEAD", url: o1, status: 200, headers: headers{"ETag": `W/"4"`, "Content-Location": there + "4"}},
		{rule: "If-None-Match of the version", method: "GET", url: o1, header: headers{"If-None-Match": `W/"4"`}, status: 304, excludes: "pulse", headers: headers{"ETag": `W/"4"`}},
		{rule: "If-None-Match of one of several", method: "GET", url: o1, header: headers{"If-None-Match": `W/"1", W/"4"`}, status: 304},
		{rule: "If-None-Match of an old version", method: "GET", url: o1, header: headers{"If-None-Match": `W/"1"`}, status: 200},
		{rule: "If-Modified-Since the last change", method: "GET", url: o1, header: headers{"If-Modified-Since": created}, status: 304},
		{rule: "If-Modified-Since before it", method: "GET", url: o1, header: headers{"If-Modified-Since": "Sun, 22 Nov 2026 01:00:00 GMT"}, status: 200},
		{rule: "If-None-Match goes before If-Modified-Since", method: "GET", url: o1, header: headers{"If-None-Match": `W/"1"`, "If-Modified-Since": created}, status: 200},
		{rule: "HEAD with If-None-Match", method: "HEAD", url: o1, header: headers{"If-None-Match": `W/"4"`}, status: 304},
		{rule: "vread", method: "GET", url: o1 + "/_history/2", status: 200, contains: `"value":72.0}`, headers: headers{"ETag": `W/"2"`, "Content-Location": there + "2"}},
		{rule: "vread that the caller has", method: "GET", url: o1 + "/_history/2", header: headers{"If-None-Match": `W/"2"`}, status: 304},
		{rule: "vread of no version", method: "GET", url: o1 + "/_history/9", status: 404},
		{rule: "vread of what is no version", method: "GET", url: o1 + "/_history/first", status: 404},
		{rule: "vread of another organisation's", method: "GET", url: o1 + "/_history/2", as: &clinic, status: 404, excludes: "pulse"},

		// create
		{rule: "create gives an id of its own", method: "POST", url: "/Observation", body: observation("mine", ""), status: 201, excludes: `"mine"`, contains: `"versionId":"1"`, headers: headers{"Location": testBase + "/Observation/*", "ETag": `W/"1"`, "Last-Modified": created}},
		{rule: "create of another type", method: "POST", url: "/Observation", body: patientBody, status: 400},
		{rule: "create without a body", method: "POST", url: "/Observation", status: 400},
		{rule: "return=minimal has no body", method: "POST", url: "/Observation", body: observation("mine", ""), header: minimal, status: 201, excludes: "pulse", headers: headers{"Location": testBase + "/Observation/*", "Content-Type": "", "Content-Location": ""}},
		{rule: "return=OperationOutcome", method: "POST", url: "/Observation", body: observation("mine", ""), header: headers{"Prefer": "return=OperationOutcome", "Content-Type": mediaFHIR}, status: 201, contains: "OperationOutcome", excludes: "pulse"},
		{rule: "respond-async is done at once", method: "POST", url: "/Observation", body: observation("mine", ""), header: headers{"Prefer": "respond-async", "Content-Type": mediaFHIR}, status: 201, contains: "pulse"},
		{rule: "_summary of what was written", method: "POST", url: "/Observation?_summary=true", body: observation("mine", `,"note":[{"text":"long"}]`), status: 201, contains: "SUBSETTED", excludes: "long"},
		{rule: "_elements of what was written", method: "PUT", url: "/Observation/o5?_elements=code", body: observation("o5", `,"note":[{"text":"long"}]`), status: 201, contains: `SUBSETTED & "code"`, excludes: "long"},
		{rule: "but all of it is kept", method: "GET", url: "/Observation/o5", status: 200, contains: "long", excludes: "SUBSETTED"},

		// PATCH
		{rule: "patch of nothing", method: "PATCH", url: "/Observation/none", body: `[]`, header: patch, status: 404},
		{rule: "patch with an old If-Match", method: "PATCH", url: o1, body: `[{"op":"remove","path":"/issued"}]`, header: headers{"Content-Type": mediaJSONPatch, "If-Match": `W/"1"`}, status: 412},
		{rule: "patch that changes nothing", method: "PATCH", url: o1, body: `[{"op":"replace","path":"/status","value":"final"}]`, header: patch, status: 200, headers: version("4")},
		{rule: "patch", method: "PATCH", url: o1, body: `[{"op":"remove","path":"/issued"}]`, header: headers{"Content-Type": mediaJSONPatch, "If-Match": `W/"4"`}, status: 200, headers: version("5"), excludes: "issued"},
		{rule: "patch of another organisation's", method: "PATCH", url: o1, body: `[]`, header: patch, as: &clinic, status: 404},
		{rule: "patch of the id", method: "PATCH", url: o1, body: `[{"op":"replace","path":"/id","value":"o7"}]`, header: patch, status: 422},
		{rule: "patch in another type", method: "PATCH", url: o1, body: `[]`, header: headers{"Content-Type": "text/plain"}, status: 415},

		// delete
		{rule: "delete of what never was", method: "DELETE", url: "/Observation/none", status: 404},
		{rule: "delete of another organisation's is the same", method: "DELETE", url: o1, as: &clinic, status: 404},
		{rule: "delete of the directory's", method: "PUT", url: "/Organization/11-05060009", body: organizationBody, status: 201},
		{rule: "delete of what all may see, by others", method: "DELETE", url: "/Organization/11-05060009", as: &clinic, status: 403},
		{rule: "delete with an old If-Match", method: "DELETE", url: o1, header: headers{"If-Match": `W/"1"`}, status: 412},
		{rule: "delete has no body and names the deletion", method: "DELETE", url: o1, header: headers{"If-Match": `W/"5"`}, status: 204, headers: headers{"ETag": `W/"6"`, "Content-Type": ""}},
		{rule: "delete again", method: "DELETE", url: o1, status: 204},
		{rule: "read of the deleted", method: "GET", url: o1, status: 410, contains: `"deleted"`, headers: headers{"ETag": `W/"6"`, "Last-Modified": created}},
		{rule: "HEAD of the deleted", method: "HEAD", url: o1, status: 410, headers: headers{"ETag": `W/"6"`}},
		{rule: "others see nothing of it", method: "GET", url: o1, as: &clinic, status: 404, headers: headers{"ETag": ""}},
		{rule: "vread of the deletion", method: "GET", url: o1 + "/_history/6", status: 410, headers: headers{"ETag": `W/"6"`}},
		{rule: "vread of before", method: "GET", url: o1 + "/_history/5", status: 200},
		{rule: "patch of the deleted", method: "PATCH", url: o1, body: `[]`, header: patch, status: 410},
		{rule: "the deleted is not found", method: "GET", url: "/Observation?_id=o1&_total=accurate", status: 200, contains: `"total":0`},
		{rule: "update with If-Match * of the deleted", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"If-Match": "*"}, status: 412},
		{rule: "update brings it back with 201", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"If-None-Match": "*"}, status: 201, headers: version("7")},
		{rule: "read after it", method: "GET", url: o1, status: 200, contains: `"versionId":"7"`},

		// history
		{rule: "history of an instance", method: "GET", url: o1 + "/_history", status: 200, contains: `"type":"history" & "total":7 & "DELETE" & "204 No Content" & "201 Created"`},
		{rule: "history of nothing", method: "GET", url: "/Observation/none/_history", status: 404},
		{rule: "history of others", method: "GET", url: o1 + "/_history", as: &clinic, status: 404},
		{rule: "history of a type", method: "GET", url: "/Observation/_history?_count=1", status: 200, contains: `"next"`},
		{rule: "history of the system", method: "GET", url: "/_history?_count=2", status: 200, contains: `"Observation" & "next"`},
		{rule: "history since", method: "GET", url: o1 + "/_history?_since=2026-11-24T00:00:00Z", status: 200, contains: `"total":0`},
		{rule: "history since a time whose zone has a bare plus", method: "GET", url: o1 + "/_history?_since=2026-11-24T00:00:00.000+00:00", status: 200, contains: `"total":0`},
		{rule: "history since what is no time", method: "GET", url: o1 + "/_history?_since=yesterday", status: 400},
		{rule: "history at", method: "GET", url: o1 + "/_history?_at=2026-11-22", status: 200, contains: `"total":0`},
		{rule: "history with a count that is none", method: "GET", url: o1 + "/_history?_count=-1", status: 400},
		{rule: "history sorted as it comes", method: "GET", url: o1 + "/_history?_sort=-_lastUpdated", status: 200, contains: `"total":7`},
		{rule: "history sorted otherwise", method: "GET", url: o1 + "/_history?_sort=_lastUpdated", status: 400, contains: "newest first"},
		{rule: "history with what it does not know", method: "GET", url: o1 + "/_history?colour=red", status: 200, contains: `"total":7`},
		{rule: "and strictly", method: "GET", url: o1 + "/_history?colour=red", header: headers{"Prefer": "handling=strict"}, status: 400},
		{rule: "history of a list", method: "GET", url: o1 + "/_history?_list=1", status: 400},

		// conditional interactions
		{rule: "patient", method: "PUT", url: "/Patient/p1", body: numbered("p1", "1", "male"), status: 201},
		{rule: "another", method: "PUT", url: "/Patient/p2", body: numbered("p2", "2", "male"), status: 201},
		{rule: "conditional create, no match", method: "POST", url: "/Patient", body: numbered("", "3", "male"), header: headers{"If-None-Exist": "identifier=http://n|3", "Content-Type": mediaFHIR}, status: 201},
		{rule: "conditional create, one match", method: "POST", url: "/Patient", body: numbered("", "1", "other"), header: headers{"If-None-Exist": "?identifier=http://n|1", "Content-Type": mediaFHIR}, status: 200, contains: `"gender":"male"`, headers: headers{"Location": testBase + "/Patient/p1/_history/1", "ETag": `W/"1"`}},
		{rule: "conditional create, as HAPI's client says it", method: "POST", url: "/Patient", body: numbered("", "1", "other"), header: headers{"If-None-Exist": testBase + "/Patient?_format=json&identifier=http%3A%2F%2Fn%7C1", "Content-Type": mediaFHIR}, status: 200, contains: `"id":"p1"`},
		{rule: "conditional create, a condition on another type", method: "POST", url: "/Patient", body: numbered("", "1", "other"), header: headers{"If-None-Exist": "Practitioner?identifier=http://n|1", "Content-Type": mediaFHIR}, status: 400},
		{rule: "conditional create, many match", method: "POST", url: "/Patient", body: numbered("", "1", "other"), header: headers{"If-None-Exist": "identifier=http://n|", "Content-Type": mediaFHIR}, status: 412},
		{rule: "conditional create, not a condition", method: "POST", url: "/Patient", body: numbered("", "1", "other"), header: headers{"If-None-Exist": "?", "Content-Type": mediaFHIR}, status: 400},
		{rule: "conditional update, no match, no id", method: "PUT", url: "/Patient?identifier=http://n|4", body: numbered("", "4", "male"), status: 201},
		{rule: "conditional update, no match, with id", method: "PUT", url: "/Patient?identifier=http://n|5", body: numbered("p5", "5", "male"), status: 201, contains: `"id":"p5"`},
		{rule: "conditional update, no match, with a taken id", method: "PUT", url: "/Patient?identifier=http://n|6", body: numbered("p5", "6", "male"), status: 409},
		{rule: "conditional update, one match, no id", method: "PUT", url: "/Patient?identifier=http://n|1", body: numbered("", "1", "female"), status: 200, contains: `"id":"p1" & "versionId":"2"`},
		{rule: "conditional update, one match, its id", method: "PUT", url: "/Patient?identifier=http://n|1", body: numbered("p1", "1", "male"), status: 200, contains: `"versionId":"3"`},
		{rule: "conditional update, one match, another id", method: "PUT", url: "/Patient?identifier=http://n|1", body: numbered("p2", "1", "male"), status: 400},
		{rule: "conditional update, many match", method: "PUT", url: "/Patient?identifier=http://n|", body: numbered("", "1", "male"), status: 412},
		{rule: "conditional update without a condition", method: "PUT", url: "/Patient", body: numbered("", "1", "male"), status: 400},
		{rule: "conditional update with _format alone", method: "PUT", url: "/Patient?_format=json", body: numbered("", "1", "male"), status: 400},
		{rule: "conditional patch, none", method: "PATCH", url: "/Patient?identifier=http://n|9", body: `[]`, header: patch, status: 404},
		{rule: "conditional patch, one", method: "PATCH", url: "/Patient?identifier=http://n|1&_format=json", body: `[{"op":"replace","path":"/gender","value":"other"}]`, header: patch, status: 200, contains: `"other"`},
		{rule: "conditional patch, many", method: "PATCH", url: "/Patient?identifier=http://n|", body: `[]`, header: patch, status: 412},
		{rule: "conditional delete, none", method: "DELETE", url: "/Patient?identifier=http://n|9", status: 204},
		{rule: "conditional delete, one", method: "DELETE", url: "/Patient?identifier=http://n|5", status: 204, headers: headers{"ETag": `W/"2"`}},
		{rule: "conditional delete, many", method: "DELETE", url: "/Patient?identifier=http://n|", status: 412},

		// methods, formats, addresses
		{rule: "a method that is not for the address", method: "POST", url: o1, body: observation("o1", ""), status: 405, headers: headers{"Allow": "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"}},
		{rule: "a format that there is not", method: "GET", url: o1 + "?_format=ttl", status: 406},
		{rule: "fhirVersion of R4", method: "GET", url: o1, header: headers{"Accept": "application/fhir+json; fhirVersion=4.0"}, status: 200},
		{rule: "fhirVersion in full", method: "GET", url: o1, header: headers{"Accept": "application/fhir+json; fhirVersion=4.0.1"}, status: 200},
		{rule: "fhirVersion of R5", method: "GET", url: o1, header: headers{"Accept": "application/fhir+json; fhirVersion=5.0"}, status: 406},
		{rule: "a body of R5", method: "PUT", url: o1, body: observation("o1", ""), header: headers{"Content-Type": "application/fhir+json; fhirVersion=5.0"}, status: 415},
		{rule: "XML out", method: "GET", url: o1 + "?_format=xml", status: 200, contains: `<Observation xmlns="http://hl7.org/fhir">`, headers: headers{"Content-Type": mediaXML + "*"}},
		{rule: "XML in", method: "PUT", url: "/Basic/x", header: headers{"Content-Type": mediaXML}, body: `<Basic xmlns="http://hl7.org/fhir"><id value="x"/><code><text value="é"/></code></Basic>`, status: 201, contains: `"text":"é"`},
		{rule: "_pretty", method: "GET", url: o1 + "?_pretty=true", status: 200, contains: "{\n  \""},
		{rule: "_summary of one", method: "GET", url: o1 + "?_summary=text", status: 200, contains: "SUBSETTED"},
		{rule: "_elements of one", method: "GET", url: o1 + "?_elements=status", status: 200, contains: "SUBSETTED", excludes: "valueQuantity"},
		{rule: "an escaped id", method: "GET", url: "/Observation/%6f1", status: 200, contains: `"id":"o1"`},
		{rule: "an escaped slash is none", method: "GET", url: "/Observation%2Fo1", status: 404},
		{rule: "an unknown address", method: "GET", url: "/Observation/o1/x/y", status: 404},
		{rule: "search by form", method: "POST", url: "/Patient/_search?gender=other", body: "identifier=http://n|1", header: form, status: 200, contains: `"id":"p1"`},
	})
}

// However the client puts the address together, it is answered here, and
// nothing is sent elsewhere.
func TestAddresses(t *testing.T) {
	d := newDoor(t)
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/baseR4/Observation/o1/", 200},
		{"/baseR4//Observation/o1", 200},
		{"//baseR4/Observation//o1//", 200},
		{"/baseR4/Observation/?_id=o1", 200},
		{"/baseR4/metadata/", 200},
		{"/baseR4/Observation/o1/_history/1/", 200},
		{"/baseR4/Observation/./o1", 404},
		{"/baseR4/Observation/../Observation/o1", 404},
		{"/baseR4/%2e%2e/auth/jwks", 404},
		{"/baseR4/Observation/" + strings.Repeat("1", 65), 400},
		{"/baseR4/Observation/%00", 400},
		{"/baseR4/Observation/o1%20", 400},
		{"/baseR4/Observation?code=" + strings.Repeat("x", maxAddress), 414},
		{"/baseR4x/Observation", 404},
	} {
		t.Run(c.path[:min(len(c.path), 60)], func(t *testing.T) {
			r := d.do("GET", c.path, d.token, "", nil)
			if r.status != c.status {
				t.Errorf("%d, want %d: %s", r.status, c.status, r.body)
			}
			if strings.HasPrefix(c.path, "/baseR4/") && c.status != 200 {
				wantOutcome(t, r, c.status, "")
			}
		})
	}
	if r := d.do("PUT", "/baseR4//Observation/o1/", d.token, pulse("o1", 7), map[string]string{"Content-Type": mediaFHIR}); r.status != 200 || !regexp.MustCompile(`/baseR4/Observation/o1/_history/2$`).MatchString(r.header.Get("Location")) {
		t.Errorf("%+v", r)
	}
}
