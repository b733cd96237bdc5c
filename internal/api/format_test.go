package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const testBase = "https://hie.example/baseR4"

// withoutExchange is an interface for what must be answered before any record
// is looked at: reaching for one would panic.
func withoutExchange(t testing.TB) *FHIR {
	t.Helper()
	base := func() string { return testBase }
	f, err := NewFHIR(FHIROptions{Exchange: &exchange.Service{Base: base}, Base: base, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNegotiate(t *testing.T) {
	tests := []struct{ format, accept, want string }{
		{"", "", mediaFHIR},
		{"", "*/*", mediaFHIR},
		{"", "application/json", mediaJSON},
		{"", "application/fhir+json;fhirVersion=4.0", mediaFHIR},
		{"", "application/fhir+json;fhirVersion=5.0", ""},
		{"", "application/fhir+xml", mediaXML},
		{"", "application/fhir+xml, application/json;q=0.5", mediaXML},
		{"", "application/fhir+xml;q=0.4, application/json;q=0.5", mediaJSON},
		{"", "application/fhir+json;q=0, */*", mediaXML},
		{"", "application/fhir+json;q=0, application/fhir+xml;q=0, */*", ""},
		{"", "*/*;q=0.1, text/xml;q=0.2", "text/xml"},
		{"", "application/fhir+xml;fhirVersion=3.0", ""},
		{"", "application/json;q=0.3, application/fhir+json;q=0.9", mediaFHIR},
		{"", "application/fhir+json;q=0", ""},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/xml"},
		{"", "nonsense", ""},
		{"json", "application/fhir+xml", mediaFHIR},
		{"application/fhir json", "", mediaFHIR},
		{"application/json", "", mediaJSON},
		{"xml", "application/json", mediaXML},
		{"application/fhir xml", "", mediaXML},
		{"ttl", "application/json", ""},
	}
	for _, tt := range tests {
		t.Run(tt.format+" "+tt.accept, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/baseR4/metadata?_format="+url.QueryEscape(tt.format), nil)
			if tt.accept != "" {
				r.Header.Set("Accept", tt.accept)
			}
			w := httptest.NewRecorder()
			withoutExchange(t).ServeHTTP(w, r)
			want, status := tt.want+";charset=utf-8", http.StatusOK
			if tt.want == "" {
				want, status = "", http.StatusNotAcceptable
			}
			got := w.Header().Get("Content-Type")
			if w.Code != status || want != "" && got != want {
				t.Errorf("%d %q, want %d %q", w.Code, got, status, want)
			}
		})
	}
}

// Requests that are refused before any record is looked at.
func TestRefused(t *testing.T) {
	long := `{"resourceType":"Patient","text":"` + strings.Repeat("x", maxBody) + `"}`
	tests := []struct {
		name, method, url, body string
		header                  map[string]string
		anonymous               bool
		status                  int
		contains                string
		allow                   string
	}{
		{name: "no token", method: "GET", url: "/Patient/1", anonymous: true, status: 401, contains: `"login"`},
		{name: "no token on a bad search", method: "GET", url: "/Slot?start=soon", anonymous: true, status: 401, contains: `"login"`},
		{name: "unknown type", method: "GET", url: "/Colour/1", status: 404, contains: "resource type"},
		{name: "unknown address", method: "GET", url: "/Patient/1/2/3", status: 404, contains: `"not-found"`},
		{name: "bad id", method: "GET", url: "/Patient/a_b", status: 400, contains: "64 letters"},
		{name: "operation of records", method: "GET", url: "/Patient/$everything", status: 404, contains: "one of its records"},
		{name: "bad version", method: "GET", url: "/Patient/1/_history/x", status: 404, contains: `"not-found"`},
		{name: "patch of no kind", method: "PATCH", url: "/Patient/1", body: "[]", status: 415, contains: "application/json-patch+json"},
		{name: "patch of another kind", method: "PATCH", url: "/Patient/1", body: "<diff/>", header: map[string]string{"Content-Type": "application/xml-patch+xml"}, status: 415, contains: "FHIRPath Patch"},
		{name: "patch in latin-1", method: "PATCH", url: "/Patient/1", body: "[]", header: map[string]string{"Content-Type": "application/json-patch+json; charset=latin1"}, status: 415},
		{name: "patch of a version", method: "PATCH", url: "/Patient/1/_history/1", status: 405, contains: "PATCH", allow: "GET, HEAD, OPTIONS"},
		{name: "a bad patch", method: "PATCH", url: "/Patient/1", body: "{}", header: map[string]string{"Content-Type": "application/json-patch+json"}, status: 400, contains: "JSON Patch"},
		{name: "a resource for a patch", method: "PATCH", url: "/Patient/1", body: `{"resourceType":"Patient"}`, header: map[string]string{"Content-Type": mediaFHIR}, status: 400, contains: "Parameters"},
		{name: "too long a patch", method: "PATCH", url: "/Patient/1", body: long, header: map[string]string{"Content-Type": "application/json-patch+json"}, status: 413},
		{name: "delete of a history", method: "DELETE", url: "/Patient/_history", status: 405, allow: "GET, HEAD, OPTIONS"},
		{name: "delete of a type", method: "DELETE", url: "/Patient", status: 400, contains: "search parameters"},
		{name: "delete of a type in a format", method: "DELETE", url: "/Patient?_format=json&_pretty=true", status: 400, contains: "search parameters"},
		{name: "update of a type", method: "PUT", url: "/Patient", body: `{"resourceType":"Patient"}`, status: 400, contains: "search parameters"},
		{name: "patch of a type", method: "PATCH", url: "/Patient", body: `[]`, status: 400, contains: "search parameters"},
		{name: "deletion of the base", method: "DELETE", url: "", status: 405, allow: "GET, HEAD, POST, PUT, OPTIONS"},
		{name: "write of the statement", method: "PUT", url: "/metadata", status: 405, allow: "GET, HEAD, OPTIONS"},
		{name: "xml of no namespace", method: "PUT", url: "/Patient/1", body: "<Patient/>", header: map[string]string{"Content-Type": "application/fhir+xml"}, status: 400, contains: "namespace"},
		{name: "xml in latin-1", method: "PUT", url: "/Patient/1", body: "<Patient/>", header: map[string]string{"Content-Type": "application/fhir+xml; charset=latin1"}, status: 415, contains: mediaFHIR},
		{name: "a word for a format", method: "PUT", url: "/Patient/1", body: "{}", header: map[string]string{"Content-Type": "json"}, status: 415, contains: mediaFHIR},
		{name: "form body", method: "POST", url: "/Patient", body: "{}", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415},
		{name: "other charset", method: "POST", url: "/Patient", body: "{}", header: map[string]string{"Content-Type": "application/json; charset=latin1"}, status: 415},
		{name: "compressed in another way", method: "POST", url: "/Patient", body: "{}", header: map[string]string{"Content-Encoding": "br"}, status: 415, contains: "gzip"},
		{name: "not compressed at all", method: "POST", url: "/Patient", body: "{}", header: map[string]string{"Content-Encoding": "gzip"}, status: 400, contains: "gzip"},
		{name: "json search form", method: "POST", url: "/Patient/_search", body: "{}", header: map[string]string{"Content-Type": "application/json"}, status: 415},
		{name: "too long", method: "PUT", url: "/Patient/1", body: long, status: 413, contains: `"too-long"`},
		{name: "too long a form", method: "POST", url: "/Patient/_search", body: long, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 413},
		{name: "no json", method: "PUT", url: "/Patient/1", body: "{", status: 400, contains: `"structure"`},
		{name: "other type in the body", method: "PUT", url: "/Patient/1", body: `{"resourceType":"Person","id":"1"}`, status: 400, contains: "Patient"},
		{name: "other type created", method: "POST", url: "/Patient", body: `{"resourceType":"Person"}`, status: 400},
		{name: "other id in the body", method: "PUT", url: "/Patient/1", body: `{"resourceType":"Patient","id":"2"}`, status: 400, contains: "Patient.id"},
		{name: "no id in the body", method: "PUT", url: "/Patient/1", body: `{"resourceType":"Patient"}`, status: 400, contains: "Patient.id"},
		{name: "if-match of no version", method: "PUT", url: "/Patient/1", body: `{}`, header: map[string]string{"If-Match": "yesterday"}, status: 412},
		{name: "if-match on delete", method: "DELETE", url: "/Patient/1", header: map[string]string{"If-Match": `W/"0"`}, status: 412},
		{name: "empty if-none-exist", method: "POST", url: "/Patient", body: `{"resourceType":"Patient"}`, header: map[string]string{"If-None-Exist": "?"}, status: 400},
		{name: "no bundle", method: "POST", url: "", body: `{"resourceType":"Patient"}`, status: 400, contains: "Bundle"},
		{name: "other bundle", method: "PUT", url: "/", body: `{"resourceType":"Bundle","type":"collection"}`, status: 400, contains: "batch"},
		{name: "bad search value", method: "GET", url: "/Slot?start=soon", status: 400, contains: "must be a date"},
		{name: "bad escape", method: "GET", url: "/Slot?start=%zz", status: 400},
		{name: "strict search", method: "GET", url: "/Slot?colour=red", header: map[string]string{"Prefer": "handling=strict"}, status: 400, contains: "colour"},
		{name: "forged page", method: "GET", url: "/Slot?_page=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", status: 400, contains: "page link"},
		{name: "bad since", method: "GET", url: "/Slot/_history?_since=soon", status: 400, contains: "_since"},
		{name: "bad at", method: "GET", url: "/_history?_at=soon", status: 400, contains: "_at"},
		{name: "summary and elements", method: "GET", url: "/Patient?_summary=true&_elements=name", status: 400, contains: "not for both"},
		{name: "too many elements", method: "GET", url: "/Patient?_elements=" + manyNames(), status: 400, contains: "too-costly"},
		{name: "bad count", method: "GET", url: "/Slot/1/_history?_count=-1", status: 400, contains: "_count"},
	}
	f := withoutExchange(t)
	mux := http.NewServeMux()
	f.Register(mux)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, Root+tt.url, strings.NewReader(tt.body))
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			if !tt.anonymous {
				r = r.WithContext(auth.WithPrincipal(r.Context(), auth.Exchange))
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.contains) {
				t.Errorf("%d %s, want %d with %s", w.Code, w.Body, tt.status, tt.contains)
			}
			if !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
				t.Errorf("no OperationOutcome: %s", w.Body)
			}
			if got := w.Header().Get("Allow"); got != tt.allow {
				t.Errorf("Allow: %q, want %q", got, tt.allow)
			}
		})
	}
}

func TestUnchanged(t *testing.T) {
	res := store.Resource{Version: 3, Updated: time.Date(2026, 11, 23, 1, 0, 0, 5e8, time.UTC)}
	tests := []struct {
		header, value string
		want          bool
	}{
		{"If-None-Match", `W/"3"`, true},
		{"If-None-Match", `"3"`, true},
		{"If-None-Match", `W/"1", W/"3"`, true},
		{"If-None-Match", "*", true},
		{"If-None-Match", `W/"2"`, false},
		{"If-Modified-Since", "Mon, 23 Nov 2026 01:00:00 GMT", true},
		{"If-Modified-Since", "Mon, 23 Nov 2026 00:59:59 GMT", false},
		{"If-Modified-Since", "never", false},
		{"Accept", "*/*", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(tt.header, tt.value)
		if got := unchanged(r, res); got != tt.want {
			t.Errorf("%s: %s gives %v", tt.header, tt.value, got)
		}
	}
}

func TestPrefer(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Add("Prefer", `return="minimal"; handling=strict`)
	r.Header.Add("Prefer", "respond-async")
	got := prefer(r)
	if got["return"] != "minimal" || got["handling"] != "strict" || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func TestBundleKeepsBytes(t *testing.T) {
	raw := []byte("{ \"resourceType\":\"Basic\",\n\t\"extension\":[{\"valueDecimal\":1.00}] }")
	var out bytes.Buffer
	b := newBundle(&out, "searchset", "2026-11-23T09:00:00.000+08:00", 1, []link{{"self", `https://x/?a="<&>`}})
	b.add(entry{fullURL: "https://x/Basic/1", resource: raw, search: modeMatch})
	b.add(entry{})
	b.end()
	if !json.Valid(out.Bytes()) || !bytes.Contains(out.Bytes(), raw) {
		t.Errorf("%s", out.Bytes())
	}
	out.Reset()
	b = newBundle(&out, "history", "2026-11-23T09:00:00.000+08:00", -1, nil)
	b.end()
	if want := `{"resourceType":"Bundle","meta":{"lastUpdated":"2026-11-23T09:00:00.000+08:00"},"type":"history"}`; out.String() != want {
		t.Errorf("%s, want %s", out.String(), want)
	}
}

func TestMetadata(t *testing.T) {
	f := withoutExchange(t)
	get := func(tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", Root+"/metadata", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		return w
	}
	w := get("")
	var got capabilityStatement
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %v", w.Code, err)
	}
	if got.FHIRVersion != "4.0.1" || got.Kind != "instance" || got.Implementation.URL != testBase || got.Software.Version != "test" {
		t.Errorf("%+v", got)
	}
	rest := got.Rest[0]
	if service := rest.Security.Service[0]; service.Coding[0].Code != "SMART-on-FHIR" || !strings.Contains(service.Text, ".well-known/smart-configuration") {
		t.Errorf("security %+v", service)
	}
	if len(rest.Resource) != len(search.Types()) || len(rest.Interaction) != 4 {
		t.Errorf("%d types, system %v", len(rest.Resource), rest.Interaction)
	}
	for _, c := range rest.Resource {
		var words []string
		for _, i := range c.Interaction {
			words = append(words, i.Code)
		}
		all := strings.Join(words, " ")
		switch c.Type {
		case "Encounter":
			if all != "search-type create history-type read update patch delete history-instance vread" {
				t.Errorf("Encounter: %s", all)
			}
			if !strings.Contains(strings.Join(c.SearchInclude, " "), "Encounter:appointment") || !c.UpdateCreate {
				t.Errorf("Encounter: %+v", c)
			}
		case "AuditEvent":
			if all != "search-type read" || c.Versioning != "no-version" || len(c.SearchParam) != 8 {
				t.Errorf("AuditEvent: %s %+v", all, c.SearchParam)
			}
		case "CodeSystem":
			if strings.Contains(all, "update") || strings.Contains(all, "create") || c.UpdateCreate {
				t.Errorf("%s: %s", c.Type, all)
			}
		case "Schedule":
			if got := strings.Join(c.SearchRevInclude, " "); got != "* Slot:schedule" {
				t.Errorf("Schedule: %s", got)
			}
		}
	}
	if w := get(w.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("%d with the tag", w.Code)
	}
}

// manyNames gives more names than _elements takes.
func manyNames() string {
	var names []string
	for i := range maxElements + 1 {
		names = append(names, "e"+itoa(int64(i)))
	}
	return strings.Join(names, ",")
}
