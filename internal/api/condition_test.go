package api

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// numbered gives a patient with an identifier; without an id for "".
func numbered(id, number, gender string) string {
	if id != "" {
		id = `"id":"` + id + `",`
	}
	return `{"resourceType":"Patient",` + id + `"identifier":[{"system":"http://n","value":"` + number + `"}],"active":true,"name":[{"text":"Tan"}],"gender":"` + gender +
		`","birthDate":"1980-01-01","managingOrganization":{"reference":"Organization/11-05060009"}}`
}

// One story of conditional interactions.
func TestConditions(t *testing.T) {
	s := newServer(t)
	type header = map[string]string
	json, patch := header{"Content-Type": mediaFHIR}, header{"Content-Type": mediaJSONPatch}
	const one, both = "?identifier=http://n|1", "?identifier=http://n|"
	bundle := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`
	}
	binary := `{"resourceType":"Binary","contentType":"application/json-patch+json","data":"` +
		base64.StdEncoding.EncodeToString([]byte(`[{"op":"replace","path":"/gender","value":"unknown"}]`)) + `"}`
	for _, c := range []struct {
		name, method, url, body string
		header                  header
		as                      *auth.Principal
		status                  int
		contains, excludes      string
	}{
		{name: "organization", method: "PUT", url: "/Organization/11-05060009", body: organizationBody, status: 201},
		{name: "no match creates", method: "PUT", url: "/Patient" + one, body: numbered("", "1", "male"), status: 201, contains: `"versionId":"1"`},
		{name: "one match updates", method: "PUT", url: "/Patient" + one, body: numbered("", "1", "female"), status: 200, contains: `"versionId":"2" & female`},
		{name: "the same again", method: "PUT", url: "/Patient" + one, body: numbered("", "1", "female"), status: 200, contains: `"versionId":"2"`},
		{name: "one match with another id", method: "PUT", url: "/Patient" + one, body: numbered("other", "1", "male"), status: 400, contains: "another id"},
		{name: "one match and an old version", method: "PUT", url: "/Patient" + one, body: numbered("", "1", "male"), header: header{"If-Match": `W/"1"`}, status: 412},
		{name: "one match where none must be", method: "PUT", url: "/Patient" + one, body: numbered("", "1", "male"), header: header{"If-None-Match": "*"}, status: 412},
		{name: "no match with an id", method: "PUT", url: "/Patient?identifier=http://n|2", body: numbered("p2", "2", "male"), status: 201, contains: `"id":"p2"`},
		{name: "no match with an id that is taken", method: "PUT", url: "/Patient?identifier=http://n|3", body: numbered("p2", "3", "male"), status: 409},
		{name: "two match", method: "PUT", url: "/Patient" + both, body: numbered("", "1", "male"), status: 412, contains: "multiple-matches"},
		{name: "a parameter that is not known", method: "PUT", url: "/Patient?colour=red&identifier=1", body: numbered("", "1", "male"), status: 400, contains: "not know: colour"},
		{name: "a reference with a parameter that is not known", method: "PUT", url: "/Observation/o9", body: observation("o9", `,"subject":{"reference":"Patient?colour=red"}`), status: 422, contains: "Observation.subject.reference & not know: colour"},
		{name: "a reference to no type", method: "PUT", url: "/Observation/o9", body: observation("o9", `,"subject":{"reference":"???"}`), status: 201},
		{name: "a parameter without a value", method: "PUT", url: "/Patient?identifier=&gender=female", body: numbered("", "1", "male"), status: 400, contains: "no value"},
		{name: "nothing but how it looks", method: "DELETE", url: "/Patient?_count=1", status: 400},
		{name: "a page is no condition", method: "DELETE", url: "/Patient" + both + "&_count=1&_offset=1", status: 412},
		{name: "others match nothing", method: "DELETE", url: "/Patient" + one, as: &clinic, status: 204},
		{name: "with too small a scope", method: "DELETE", url: "/Patient" + one, as: &reader, status: 403},
		{name: "it is all there", method: "GET", url: "/Patient" + both + "&_total=accurate", status: 200, contains: `"total":2`},

		{name: "patch", method: "PATCH", url: "/Patient" + one, body: `[{"op":"replace","path":"/gender","value":"other"}]`, header: patch, status: 200, contains: `"versionId":"3" & "gender":"other"`},
		{name: "patch of none", method: "PATCH", url: "/Patient?identifier=none", body: `[]`, header: patch, status: 404},
		{name: "patch of two", method: "PATCH", url: "/Patient" + both, body: `[]`, header: patch, status: 412},

		{name: "create what exists", method: "POST", url: "/Patient", body: numbered("", "1", "male"), header: header{"If-None-Exist": one[1:]}, status: 200, contains: `"versionId":"3"`},
		{name: "create where two exist", method: "POST", url: "/Patient", body: numbered("", "1", "male"), header: header{"If-None-Exist": both[1:]}, status: 412},

		{name: "transaction", method: "POST", url: "", status: 200, contains: `"200 OK" & "201 Created" & "204 No Content" & "searchset" & "total":0`, excludes: `"404`, body: bundle(
			`{"fullUrl":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000001","resource":`+numbered("", "1", "male")+`,"request":{"method":"PUT","url":"Patient`+one+`"}}`,
			`{"fullUrl":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000002","resource":`+numbered("", "9", "male")+`,"request":{"method":"PUT","url":"Patient?identifier=http://n|9"}}`,
			`{"fullUrl":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000003","resource":`+numbered("", "1", "male")+`,"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=http://n|2"}}`,
			`{"resource":`+observation("o1", `,"subject":{"reference":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000001"}`)+`,"request":{"method":"PUT","url":"Observation/o1"}}`,
			`{"resource":`+observation("o2", `,"subject":{"reference":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000002"}`)+`,"request":{"method":"PUT","url":"Observation/o2"}}`,
			`{"resource":`+observation("o3", `,"subject":{"reference":"urn:uuid:6a1e7a8e-0001-4000-8000-000000000003"}`)+`,"request":{"method":"PUT","url":"Observation/o3"}}`,
			`{"request":{"method":"DELETE","url":"Patient?identifier=none"}}`,
			`{"request":{"method":"GET","url":"Patient?identifier=none&_total=accurate"}}`)},
		{name: "references go to the first", method: "GET", url: "/Observation?patient.identifier=http://n|1", status: 200, contains: `"id":"o1"`, excludes: `"o2"`},
		{name: "to the second, which is new", method: "GET", url: "/Observation?patient.identifier=http://n|9", status: 200, contains: `"id":"o2"`},
		{name: "and to the third, which existed", method: "GET", url: "/Observation?subject=Patient/p2", status: 200, contains: `"id":"o3"`},
		{name: "transaction with patches", method: "POST", url: "", status: 200, header: header{"Prefer": "return=representation", "Content-Type": mediaFHIR}, contains: `"gender":"unknown" & "status":"amended"`, body: bundle(
			`{"resource":`+binary+`,"request":{"method":"PATCH","url":"Patient`+one+`"}}`,
			`{"resource":{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}]},"request":{"method":"PATCH","url":"Observation/o1","ifMatch":"W/\"1\""}}`)},
		{name: "the same record twice", method: "POST", url: "", status: 400, contains: "Bundle.entry[0] & same record", body: bundle(
			`{"resource":`+numbered("", "2", "male")+`,"request":{"method":"PUT","url":"Patient?identifier=http://n|2"}}`,
			`{"request":{"method":"DELETE","url":"Patient?identifier=http://n|2"}}`)},
		{name: "more than one in a transaction", method: "POST", url: "", status: 412, contains: "Bundle.entry[0]", body: bundle(`{"request":{"method":"DELETE","url":"Patient` + both + `"}}`)},
		{name: "patch of none in a transaction", method: "POST", url: "", status: 404, body: bundle(`{"resource":` + binary + `,"request":{"method":"PATCH","url":"Patient?identifier=none"}}`)},
		{name: "create only in a transaction", method: "POST", url: "", status: 412, body: bundle(`{"resource":` + numbered("p2", "2", "male") + `,"request":{"method":"PUT","url":"Patient/p2","ifNoneMatch":"*"}}`)},
		{name: "a patch that is none", method: "POST", url: "", status: 400, body: bundle(`{"resource":{"resourceType":"Binary","contentType":"text/plain","data":"W10="},"request":{"method":"PATCH","url":"Patient/p2"}}`)},
		{name: "a patch that is missing", method: "POST", url: "", status: 400, body: bundle(`{"request":{"method":"PATCH","url":"Patient/p2"}}`)},
		{name: "batch", method: "POST", url: "", status: 200, contains: `"412 Precondition Failed" & "204 No Content" & "304 Not Modified" & "gender":"unknown"`, header: header{"Prefer": "return=representation", "Content-Type": mediaFHIR},
			body: strings.Replace(bundle(
				`{"request":{"method":"DELETE","url":"Patient`+both+`"}}`, `{"request":{"method":"DELETE","url":"Patient?identifier=none"}}`,
				`{"request":{"method":"GET","url":"Patient/p2","ifNoneMatch":"W/\"1\""}}`,
				`{"resource":`+binary+`,"request":{"method":"PATCH","url":"Patient?identifier=http://n|2"}}`), "transaction", "batch", 1)},

		{name: "delete", method: "DELETE", url: "/Observation?subject=Patient/p2", status: 204},
		{name: "gone", method: "GET", url: "/Observation/o3", status: 410},
		{name: "delete again", method: "DELETE", url: "/Observation?subject=Patient/p2", status: 204},
		{name: "delete by id again", method: "DELETE", url: "/Observation/o3", status: 204},
		{name: "of what records need", method: "DELETE", url: "/Patient" + one, status: 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			as, h := hospital, json
			if c.as != nil {
				as = *c.as
			}
			if c.header != nil {
				h = c.header
			}
			w := s.do(as, c.method, Root+strings.ReplaceAll(c.url, "|", "%7C"), c.body, h)
			if w.Code != c.status {
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
			if w.Code >= 400 && !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
				t.Errorf("%s", w.Body)
			}
		})
	}
}

// Pages of other origins see nothing unless the operator names them.
func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		name    string
		origins []string
		origin  string
		allowed bool
	}{
		{"nobody by default", nil, "https://app.example", false},
		{"one that is named", []string{"https://app.example/"}, "https://app.example", true},
		{"another", []string{"https://app.example"}, "https://app.example.evil.example", false},
		{"another scheme", []string{"https://app.example"}, "http://app.example", false},
		{"null", []string{"https://app.example"}, "null", false},
		{"no page at all", []string{"*"}, "", false},
		{"everybody", []string{"*"}, "https://app.example", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.origins = c.origins
			for _, r := range []struct {
				method, url string
				header      map[string]string
				status      int
			}{
				{"GET", "/metadata", nil, 200},
				{"GET", "/Patient/none", nil, 404},
				{"OPTIONS", "/Patient/none", map[string]string{"Access-Control-Request-Method": "PATCH"}, 204},
			} {
				h := map[string]string{"Origin": c.origin}
				for k, v := range r.header {
					h[k] = v
				}
				w := s.do(auth.Principal{}, r.method, Root+r.url, "", h)
				if r.status == 404 {
					w = s.do(hospital, r.method, Root+r.url, "", h)
				}
				got := w.Header()
				want := ""
				if c.allowed {
					want = c.origin
				}
				if w.Code != r.status || got.Get("Access-Control-Allow-Origin") != want || (got.Get("Access-Control-Expose-Headers") != "") != c.allowed {
					t.Errorf("%s %s: %d %v", r.method, r.url, w.Code, got)
				}
				if strings.Contains(got.Get("Access-Control-Allow-Methods"), "PATCH") != (c.allowed && r.method == "OPTIONS") || got.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s: %v", r.method, got)
				}
				if exposed := got.Get("Access-Control-Expose-Headers"); c.allowed {
					for _, name := range []string{"ETag", "Location", "Content-Location", "Last-Modified"} {
						if !strings.Contains(exposed, name) {
							t.Errorf("%s is not exposed: %s", name, exposed)
						}
					}
				}
				if vary := strings.Join(got.Values("Vary"), ", "); strings.Contains(vary, "Origin") != (len(c.origins) > 0) {
					t.Errorf("Vary: %s", vary)
				}
				if r.method == "OPTIONS" && (w.Body.Len() > 0 || got.Get("Allow") != "GET, HEAD, PUT, PATCH, DELETE, OPTIONS") {
					t.Errorf("%v %s", got, w.Body)
				}
			}
		})
	}
	if w := newServer(t).do(hospital, http.MethodOptions, Root+"/a/b/c/d/e", "", nil); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}
