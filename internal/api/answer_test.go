package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// inXML gives a document as XML.
func inXML(t testing.TB, body string) string {
	t.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	out, err := fhirxml.Encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// All interactions in XML from end to end: what goes in and what comes out.
func TestXML(t *testing.T) {
	s := newServer(t)
	type header = map[string]string
	observed := observation("o1", "")
	tests := []struct {
		name, method, url, body string
		header                  header
		status                  int
		contains                string // parts divided by " & "
	}{
		{name: "update", method: "PUT", url: "/Observation/o1", body: observed, status: 201, contains: `<Observation xmlns="http://hl7.org/fhir"><id value="o1"/> & <value value="72.00"/>`},
		{name: "identical update", method: "PUT", url: "/Observation/o1", body: observed, status: 200, contains: `<versionId value="1"/>`},
		{name: "outcome", method: "PUT", url: "/Observation/o1", body: observed, header: header{"Prefer": "return=OperationOutcome"}, status: 200, contains: `<OperationOutcome xmlns`},
		{name: "minimal", method: "PUT", url: "/Observation/o1", body: observed, header: header{"Prefer": "return=minimal"}, status: 200},
		{name: "create", method: "POST", url: "/Observation", body: observation("mine", ""), status: 201, contains: `<value value="72.00"/>`},
		{name: "read", method: "GET", url: "/Observation/o1", status: 200, contains: `<Observation xmlns= & <text value="pulse"/>`},
		{name: "not modified", method: "GET", url: "/Observation/o1", header: header{"If-None-Match": `W/"1"`}, status: 304},
		{name: "vread", method: "GET", url: "/Observation/o1/_history/1", status: 200, contains: `<Observation xmlns=`},
		{name: "history", method: "GET", url: "/Observation/o1/_history", status: 200, contains: `<Bundle xmlns= & <type value="history"/> & <resource><Observation>`},
		{name: "search", method: "GET", url: "/Observation?_id=o1", status: 200, contains: `<type value="searchset"/> & <mode value="match"/>`},
		{name: "unknown parameter", method: "GET", url: "/Observation?colour=red&_id=o1", status: 200, contains: `<OperationOutcome> & colour was ignored`},
		{name: "statement", method: "GET", url: "/metadata", status: 200, contains: `<CapabilityStatement xmlns= & <format value="application/fhir+xml"/>`},
		{name: "audit", method: "GET", url: "/AuditEvent?entity=Observation/o1", status: 200, contains: `<AuditEvent> & <recorded value=`},
		{name: "validate", method: "POST", url: "/Observation/$validate", body: `{"resourceType":"Observation","status":"final"}`, status: 200, contains: `<OperationOutcome xmlns=`},
		{name: "everything", method: "GET", url: "/Patient/none/$everything", status: 404, contains: `<OperationOutcome xmlns=`},
		{name: "summary", method: "GET", url: "/Observation/o1?_summary=true", status: 200, contains: `<code value="SUBSETTED"/>`},
		{name: "error", method: "GET", url: "/Observation/none", status: 404, contains: `<OperationOutcome xmlns= & <code value="not-found"/>`},
		{name: "error before the exchange", method: "GET", url: "/Observation/o_1", status: 400, contains: `<OperationOutcome xmlns=`},
		{name: "no such method", method: "TRACE", url: "/Observation/o1", status: 405, contains: `<OperationOutcome xmlns=`},
		{name: "transaction", method: "POST", url: "", body: `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + observation("o2", "") + `,"request":{"method":"PUT","url":"Observation/o2"}}]}`, status: 200, contains: `<type value="transaction-response"/> & <status value="201 Created"/>`},
		{name: "batch", method: "POST", url: "", body: `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation/o2?_format=xml"}},{"request":{"method":"GET","url":"Observation/none"}}]}`, status: 200, contains: `<type value="batch-response"/> & <id value="o2"/> & <code value="not-found"/>`},
		{name: "delete", method: "DELETE", url: "/Observation/o2", status: 204},
		{name: "gone", method: "GET", url: "/Observation/o2", status: 410, contains: `<code value="deleted"/>`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := header{"Accept": mediaXML, "Content-Type": mediaXML}
			for k, v := range tt.header {
				h[k] = v
			}
			body := tt.body
			if body != "" {
				body = inXML(t, body)
			}
			w := s.do(hospital, tt.method, Root+tt.url, body, h)
			if w.Code != tt.status {
				t.Fatalf("%d, want %d: %s", w.Code, tt.status, w.Body)
			}
			for part := range strings.SplitSeq(tt.contains, " & ") {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("no %s in %s", part, w.Body)
				}
			}
			if tt.contains == "" {
				if w.Body.Len() > 0 {
					t.Errorf("a body: %s", w.Body)
				}
				return
			}
			if _, err := fhirxml.Decode(w.Body.Bytes(), answerLimits); err != nil || w.Header().Get("Content-Type") != mediaXML+";charset=utf-8" {
				t.Errorf("%v; %s", err, w.Header())
			}
		})
	}
	// What came as XML is stored as JSON like any other.
	if w := s.do(hospital, "GET", Root+"/Observation/o1", "", nil); !strings.Contains(w.Body.String(), `"value":72.00`) {
		t.Errorf("%s", w.Body)
	}
}

// What XML has no place for is read as JSON only. A write is done all the
// same, and says so.
func TestWithoutXML(t *testing.T) {
	s := newServer(t)
	xml := map[string]string{"Accept": mediaXML}
	w := s.do(hospital, "PUT", Root+"/Observation/o1", observation("o1", `,"colour":"red"`), xml)
	if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), "This is done.") || w.Header().Get("ETag") != `W/"1"` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, url := range []string{"/Observation/o1", "/Observation"} {
		if w = s.do(hospital, "GET", Root+url, "", xml); w.Code != http.StatusNotAcceptable || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), "colour") || w.Header().Get("ETag") != "" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
}

func TestPretty(t *testing.T) {
	s := newServer(t)
	if w := s.do(hospital, "PUT", Root+"/Observation/o1", observation("o1", `,"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a <b>b</b><br/> c</p>\n</div>"}`), nil); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for query, want := range map[string]string{
		"_pretty=true":             "\n  \"resourceType\": \"Observation\",\n  \"id\": \"o1\"",
		"_pretty=false":            `{"resourceType":"Observation","id":"o1"`,
		"_pretty=true&_format=xml": "<Observation xmlns=\"http://hl7.org/fhir\">\n  <id value=\"o1\"/>\n  <meta>\n    <versionId value=\"1\"/>",
	} {
		w := s.do(hospital, "GET", Root+"/Observation/o1?"+query, "", nil)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "72.00") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		if strings.Contains(query, "xml") && !strings.Contains(w.Body.String(), "<p>a <b>b</b><br/> c</p>\n</div>\n  </text>\n  <status") {
			t.Errorf("the narrative has changed: %s", w.Body)
		}
	}
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Bodies come in and go out compressed; how large they may be is counted
// unpacked.
func TestGzip(t *testing.T) {
	s := newServer(t)
	type header = map[string]string
	long := observation("o1", `,"note":[{"text":"`+strings.Repeat("x", minZip)+`"}]`)
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"taken", zipped(t, long), 201},
		{"too large once unpacked", zipped(t, sized(maxBody+1)), 413},
		{"cut short", zipped(t, long)[:40], 400},
		{"damaged", zipped(t, long)[:30] + "damage", 400},
	} {
		w := s.do(hospital, "PUT", Root+"/Observation/o1", c.body, header{"Content-Encoding": "gzip"})
		if w.Code != c.status {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if w := s.do(hospital, "PUT", Root+"/Observation/o2", observation("o2", ""), nil); w.Code != 201 {
		t.Fatal(w.Code)
	}
	for _, c := range []struct {
		url, accept string
		zipped      bool
	}{
		{"/Observation/o1", "gzip, deflate", true},
		{"/Observation/o1", "deflate, GZIP;q=0.5", true},
		{"/Observation/o1", "*", true},
		{"/Observation/o1", "gzip;q=0, *", false},
		{"/Observation/o1", "", false},
		{"/Observation/o1", "br", false},
		{"/Observation/o2", "gzip", false}, // small
		{"/Observation", "gzip", true},
		{"/Observation?_format=xml", "gzip", true},
		{"/metadata?_pretty=true", "gzip", true},
	} {
		w := s.do(hospital, "GET", Root+c.url, "", header{"Accept-Encoding": c.accept})
		if got := w.Header().Get("Content-Encoding") == "gzip"; w.Code != http.StatusOK || got != c.zipped {
			t.Errorf("%s, %q: %d, compressed %v", c.url, c.accept, w.Code, got)
			continue
		}
		plain := s.do(hospital, "GET", Root+c.url, "", nil).Body.String()
		got := w.Body.String()
		if c.zipped {
			if z, err := gzip.NewReader(w.Body); err != nil {
				t.Error(err)
			} else if all, err := io.ReadAll(z); err != nil {
				t.Error(err)
			} else {
				got = string(all)
			}
			if w.Header().Get("Content-Length") != "" {
				t.Errorf("%s: a length of %s", c.url, w.Header().Get("Content-Length"))
			}
		}
		if got != plain || !strings.Contains(w.Header().Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: %.100s; %v", c.url, got, w.Header())
		}
	}
}

// Whatever an answer is, it is written once.
func TestAnswerOnce(t *testing.T) {
	rec := httptest.NewRecorder()
	a, err := newAnswer(rec, httptest.NewRequest("GET", Root+"/x?_pretty=true", nil).WithContext(auth.WithPrincipal(t.Context(), hospital)))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.Write([]byte(`{"half":`))
	if a.begun() || rec.Body.Len() > 0 {
		t.Error("half an answer is on its way")
	}
	fail(a, httptest.NewRequest("GET", Root+"/x", nil), fhir.Errorf(fhir.CodeNotFound, "", "There is none."))
	a.finish(httptest.NewRequest("GET", Root+"/x", nil))
	if rec.Code != 404 || strings.Contains(rec.Body.String(), "half") || !json.Valid(rec.Body.Bytes()) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
