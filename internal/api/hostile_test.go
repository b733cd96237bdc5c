package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// What comes in to do harm: each is refused with an OperationOutcome, and
// nothing of it is kept.
func TestHostileBodies(t *testing.T) {
	s := newServer(t)
	s.fill(t, observation("o1", `,"note":[{"text":"`+strings.Repeat("x", 1000)+`"}]`))
	laughs := `<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	basic := func(inner string) string {
		return `<Basic xmlns="http://hl7.org/fhir"><id value="x"/><code><text value="` + inner + `"/></code></Basic>`
	}
	xml, patch, zip := headers{"Content-Type": mediaXML}, headers{"Content-Type": mediaJSONPatch}, headers{"Content-Type": mediaFHIR, "Content-Encoding": "gzip"}
	path := func(kind, expression, more string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"` + kind + `"},{"name":"path","valueString":` + string(fhir.Marshal(expression)) + `}` + more + `]}]}`
	}
	var doubling []string
	for range 400 {
		doubling = append(doubling, `{"op":"copy","from":"/note","path":"/note/-"}`)
	}
	basics := "/Basic/x"
	before := s.versions(t)
	s.story(t, []step{
		// XML
		{rule: "a thousand laughs", method: "PUT", url: basics, header: xml, body: `<?xml version="1.0"?>` + laughs + basic("&c;"), status: 400},
		{rule: "an entity of a file", method: "PUT", url: basics, header: xml, body: `<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>` + basic("&f;"), status: 400, excludes: "root:"},
		{rule: "an entity of an address", method: "PUT", url: basics, header: xml, body: `<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;]>` + basic("x"), status: 400},
		{rule: "an entity that nobody declared", method: "PUT", url: basics, header: xml, body: basic("&nbsp;"), status: 400},
		{rule: "a character that XML has not", method: "PUT", url: basics, header: xml, body: basic("&#0;"), status: 400},
		{rule: "deep", method: "PUT", url: basics, header: xml, body: `<Basic xmlns="http://hl7.org/fhir">` + strings.Repeat(`<extension url="x">`, 10_000) + strings.Repeat(`</extension>`, 10_000) + `</Basic>`, status: 400},
		{rule: "never closed", method: "PUT", url: basics, header: xml, body: `<Basic xmlns="http://hl7.org/fhir">` + strings.Repeat(`<code>`, 30), status: 400},
		{rule: "attributes twice", method: "PUT", url: basics, header: xml, body: `<Basic xmlns="http://hl7.org/fhir"><id value="x" value="y"/></Basic>`, status: 400},
		{rule: "another charset in the declaration", method: "PUT", url: basics, header: xml, body: `<?xml version="1.0" encoding="ISO-8859-1"?>` + basic("caf\xe9"), status: 400},
		{rule: "UTF-16", method: "PUT", url: basics, header: xml, body: "\xff\xfe<\x00B\x00a\x00", status: 400},
		{rule: "a script in the narrative", method: "PUT", url: basics, header: xml, body: `<Basic xmlns="http://hl7.org/fhir"><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p></div></text></Basic>`, status: 400},
		{rule: "JSON that says it is XML", method: "PUT", url: basics, header: xml, body: `{"resourceType":"Basic","id":"x"}`, status: 400},

		// JSON
		{rule: "XML that says it is JSON", method: "PUT", url: basics, body: basic("x"), status: 400},
		{rule: "UTF-16 JSON", method: "PUT", url: basics, body: "{\x00\"\x00", status: 400},
		{rule: "a lone surrogate", method: "PUT", url: basics, body: `{"resourceType":"Basic","id":"x","code":{"text":"\udc00\ud800"}}`, status: 400},
		{rule: "a control character", method: "PUT", url: basics, body: "{\"resourceType\":\"Basic\",\"id\":\"x\",\"code\":{\"text\":\"\x00\"}}", status: 400},
		{rule: "a proto", method: "PUT", url: basics, body: `{"resourceType":"Basic","id":"__proto__"}`, status: 400},
		{rule: "a type of two", method: "PUT", url: basics, body: `{"resourceType":["Basic"],"id":"x"}`, status: 400},
		{rule: "meta that is a list", method: "PUT", url: basics, body: `{"resourceType":"Basic","id":"x","code":{"text":"x"},"meta":[]}`, status: 400},

		// gzip
		{rule: "a gzip bomb", method: "PUT", url: basics, header: zip, body: zipped(t, string(make([]byte, 64<<20))), status: 413},
		{rule: "a gzip bomb that is a document", method: "PUT", url: basics, header: zip, body: zipped(t, `{"resourceType":"Basic","id":"x","code":{"text":"`+strings.Repeat("x", 32<<20)+`"}}`), status: 413},
		{rule: "half a gzip", method: "PUT", url: basics, header: zip, body: zipped(t, observation("o1", ""))[:20], status: 400},
		{rule: "gzip within gzip", method: "PUT", url: basics, header: headers{"Content-Type": mediaFHIR, "Content-Encoding": "gzip, gzip"}, body: zipped(t, zipped(t, "{}")), status: 415},
		{rule: "a gzip bomb as a Bundle", method: "POST", header: zip, body: zipped(t, `{"resourceType":"Bundle","type":"batch","entry":[`+strings.Repeat("{},", 8<<20)+`{}]}`), status: 413},

		// PATCH
		{rule: "copies of copies", method: "PATCH", url: "/Observation/o1", header: patch, body: `[` + strings.Join(doubling, ",") + `]`, status: 413, contains: "too large"},
		{rule: "a path that is deep", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"add","path":"` + strings.Repeat("/a", 500_000) + `","value":1}]`, status: 422},
		{rule: "a place beyond all lists", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"add","path":"/note/99999999999999999999","value":1}]`, status: 422},
		{rule: "a negative place", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"remove","path":"/note/-1"}]`, status: 422},
		{rule: "a value that is too deep", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"add","path":"/x","value":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}]`, status: 400},
		{rule: "a result that is too deep", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"add","path":"/x","value":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `},{"op":"copy","from":"/x","path":"/x` + strings.Repeat("/0", 39) + `/-"}]`, status: 422},
		{rule: "too many operations", method: "PATCH", url: "/Observation/o1", header: patch, body: `[` + strings.TrimSuffix(strings.Repeat(`{"op":"test","path":"/status","value":"final"},`, 501), ",") + `]`, status: 413},
		{rule: "a duplicate in a patch", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"remove","op":"add","path":"/x"}]`, status: 400},
		{rule: "the version by a patch", method: "PATCH", url: "/Observation/o1", header: patch, body: `[{"op":"replace","path":"/meta","value":7}]`, status: 400},

		// FHIRPath Patch
		{rule: "an expression that never ends", method: "PATCH", url: "/Observation/o1", body: path("delete", `Observation.repeat($this | (1 | 2).select($this + %resource.note.count()))`, ""), status: 422},
		{rule: "an expression that doubles", method: "PATCH", url: "/Observation/o1", body: path("delete", "Observation.note.text.select("+strings.Repeat("$this & ", 200)+"$this)"+strings.Repeat(".select($this & $this & $this & $this)", 12), ""), status: 400},
		{rule: "an expression that is deep", method: "PATCH", url: "/Observation/o1", body: path("delete", strings.Repeat("(", 20_000)+"Observation"+strings.Repeat(")", 20_000), ""), status: 400},
		{rule: "an expression that is long", method: "PATCH", url: "/Observation/o1", body: path("delete", "Observation"+strings.Repeat(".where(true)", 100_000), ""), status: 400},
		{rule: "an evil regular expression", method: "PATCH", url: "/Observation/o1", body: path("delete", `Observation.note.where(text.matches('^(x+x+)+(x+x+)+y{1000}{1000}$'))`, ""), status: 400},
		{rule: "a regular expression that is large", method: "PATCH", url: "/Observation/o1", body: path("delete", `Observation.note.where(text.matches('((x{0,1000}){0,1000}){0,1000}'))`, ""), status: 400},
		{rule: "a place that is no number", method: "PATCH", url: "/Observation/o1", body: path("insert", "Observation.note", `,{"name":"index","valueInteger":1e30},{"name":"value","valueString":"x"}`), status: 400},

		// parameters
		{rule: "a count beyond all numbers", method: "GET", url: "/Observation?_count=99999999999999999999", status: 400},
		{rule: "a count below", method: "GET", url: "/Observation/o1/_history?_count=-99999999999999999999", status: 400},
		{rule: "an everything of too many", method: "GET", url: "/Patient/p1/$everything?_count=1e9", status: 400},
		{rule: "too many elements", method: "GET", url: "/Observation/o1?_elements=" + strings.ReplaceAll(strings.ReplaceAll(numberedProfiles(150), `"`, ""), "/", ""), status: 400},
		{rule: "too many profiles", method: "POST", url: "/Observation/$validate", body: `{"resourceType":"Parameters","parameter":[` + strings.TrimSuffix(strings.Repeat(`{"name":"profile","valueUri":"http://x"},`, 1000), ",") + `,{"name":"resource","resource":{"resourceType":"Observation"}}]}`, status: 400},
		{rule: "labels that are no meta", method: "POST", url: "/Observation/o1/$meta-add", body: `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{"tag":{"code":{"code":"x"}},"profile":{"x":1}}}]}`, status: 400},
		{rule: "too many labels", method: "POST", url: "/Observation/o1/$meta-add", body: `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{"profile":[` + numberedProfiles(150) + `]}}]}`, status: 413},
		{rule: "an ETag beyond all numbers", method: "PUT", url: "/Observation/o1", body: observation("o1", ""), header: headers{"If-Match": `W/"99999999999999999999999"`, "Content-Type": mediaFHIR}, status: 412},
		{rule: "a condition that is no query", method: "POST", url: "/Observation", body: observation("", "")[:1] + observation("o1", "")[1:], header: headers{"If-None-Exist": "%zz=1", "Content-Type": mediaFHIR}, status: 400},
		{rule: "a NUL in a search", method: "GET", url: "/Observation?code=%00", status: 400, contains: "no text"},
		{rule: "a NUL in a type", method: "GET", url: "/Observation%00", status: 404},
		{rule: "too many references", method: "POST", url: "/List", body: `{"resourceType":"List","status":"current","mode":"working","entry":[` + strings.TrimSuffix(strings.Repeat(`{"item":{"reference":"Patient/x"}},`, 5001), ",") + `]}`, status: 413},
		{rule: "a batch within a batch is a record", method: "POST", body: bundleOf("batch", sent("", "POST", "/", bundleOf("batch"), ""), sent("", "POST", "", bundleOf("transaction", sent("", "DELETE", "Observation/o1", "", "")), "")), status: 200, contains: `"location":"Bundle/`, excludes: "204 No Content"},
	})
	if after := s.versions(t); after != before+2 { // the Bundles of the last row
		t.Errorf("%d versions, before %d", after, before)
	}
}

func numberedProfiles(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"http://p/%d"`, i))
	}
	return strings.Join(list, ",")
}

// versions counts all versions of all records.
func (s *server) versions(t testing.TB) int {
	t.Helper()
	n := 0
	if err := s.store.View(t.Context(), func(r store.Reader) error {
		page, err := r.History(store.HistoryQuery{Count: 1})
		n = page.Total
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is odd but no harm is kept, comes back as it was, and is found.
func TestOddBodies(t *testing.T) {
	s := newServer(t)
	for i, members := range []string{
		`"valueQuantity":{"value":1e400}`, `"valueQuantity":{"value":-0.000000000000000000000000000000000001}`,
		`"valueInteger":` + strings.Repeat("9", 400), `"valueString":"\u0000\u0001"`, `"valueString":"\ud83d\ude00 \u202e"`,
		`"effectiveDateTime":"0001-01-01"`, `"effectiveDateTime":"9999-12-31T23:59:59.999999999+14:00"`, `"effectiveDateTime":"2026-02-30"`, `"effectiveDateTime":"yesterday"`,
		`"identifier":[{"system":"http://n","value":"` + strings.Repeat("é", 5000) + `"}]`, `"code":{"coding":[{"code":"|\\,$"}]}`,
	} {
		id := fmt.Sprintf("o%d", i)
		body := `{"resourceType":"Observation","id":"` + id + `","status":"final",` + members + `}`
		w := s.do(hospital, "PUT", Root+"/Observation/"+id, body, nil)
		if w.Code >= 500 {
			t.Errorf("%s: %d %s", members, w.Code, w.Body)
		}
		if w.Code != http.StatusCreated {
			continue // judged by its form
		}
		if r := s.do(hospital, "GET", Root+"/Observation/"+id, "", nil); r.Code != 200 || !strings.Contains(r.Body.String(), members) {
			t.Errorf("%s: %d %s", members, r.Code, r.Body)
		}
		if r := s.do(hospital, "GET", Root+"/Observation?_id="+id+"&_format=xml", "", nil); r.Code >= 500 {
			t.Errorf("%s: %d %s", members, r.Code, r.Body)
		}
	}
}

// raw sends bytes over a connection of its own and gives the answer.
func (s *systems) raw(t *testing.T, request string, closeEarly bool) (status int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if closeEarly {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	all, _ := io.ReadAll(r.Body) // what there is
	return r.StatusCode, string(all)
}

// Bodies that are not what their headers say, and those that never come.
func TestBodiesThatLie(t *testing.T) {
	s := newSystems(t, func(o *Observer) { o.BodyTime = 50 * time.Millisecond })
	token := s.token("hospital", hospitalSecret)
	body := pulse("o1", 1)
	head := func(more string) string {
		return "PUT " + pulsePath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Type: " + mediaFHIR + "\r\n" + more + "\r\n"
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	for _, c := range []struct {
		name, request string
		early         bool
		status        int
	}{
		{"a body that ends early", head(length(len(body)+10)) + body, true, 400},
		{"a body that never comes", head(length(len(body))), false, 408},
		{"a body that comes to a halt", head(length(len(body))) + body[:10], false, 408},
		{"a body that says it is shorter", head(length(10)) + body, false, 400},
		{"a length below zero", head("Content-Length: -1\r\n") + body, false, 400},
		{"two lengths", head(length(len(body))+length(10)) + body, false, 400},
		{"a length and chunks", head(length(10)+"Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", false, 400},
		{"chunks that are none", head("Transfer-Encoding: chunked\r\n") + "zz\r\n", false, 400},
		{"chunks without an end", head("Transfer-Encoding: chunked\r\n") + "5\r\n{\"res\r\n", false, 408},
		{"a body of four gigabytes", head(length(4<<30)) + body, false, 408},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := s.raw(t, c.request, c.early)
			if status != c.status {
				t.Errorf("%d, want %d: %s", status, c.status, answer)
			}
			if r := s.do("GET", pulsePath, token, "", nil); r.status != http.StatusNotFound {
				t.Errorf("it was kept: %+v", r)
			}
		})
	}
	if r := s.do("PUT", pulsePath, token, body, map[string]string{"Content-Type": mediaFHIR}); r.status != http.StatusCreated {
		t.Errorf("one in time: %+v", r)
	}
}

// hold fails when the interface has a fault of its own, or answers with what
// is no JSON.
func (s *server) hold(t *testing.T, method, target, body string, header map[string]string) {
	t.Helper()
	w := s.do(hospital, method, Root+target, body, header)
	if w.Code >= 500 {
		t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Fatalf("%s %s: no JSON: %s", method, target, w.Body)
	}
}

// Whatever comes as a body, it is kept as it is or refused.
func FuzzBodies(f *testing.F) {
	s := newServer(f)
	s.fill(f, organizationBody, patientBody)
	for _, body := range []string{
		patientBody, observation("x", ""), appointmentBody, `{"resourceType":"Observation","id":"x","_status":{"extension":[{"url":"x","valueDecimal":1e9}]},"contained":[{"resourceType":"Patient","id":"#"}]}`,
		`<Observation xmlns="http://hl7.org/fhir"><id value="x"/><status value="final"/><valueQuantity><value value="1.0"/></valueQuantity></Observation>`, "\xef\xbb\xbf{}", `{"resourceType":"Bundle","id":"x","type":"batch"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, media := range []string{mediaFHIR, mediaXML} {
			for _, at := range []string{"/Observation/x", "/Patient/x", "/Appointment/x"} {
				s.hold(t, "PUT", at, body, map[string]string{"Content-Type": media})
			}
		}
	})
}

// Whatever comes as Parameters, the operations answer or refuse.
func FuzzParameters(f *testing.F) {
	s := newServer(f)
	s.fill(f, organizationBody, patientBody, observation("o1", ""))
	for _, body := range []string{
		`{"name":"meta","valueMeta":{"tag":[{"system":"http://t","code":"a"}],"profile":["http://p"]}}`,
		`{"name":"patient","valueReference":{"reference":"Patient/p1"}},{"name":"slot","valueReference":{"reference":"Slot/l1"}}`,
		`{"name":"_type","valueCode":"Patient"},{"name":"_count","valueInteger":3},{"name":"_since","valueInstant":"2026-11-23T09:00:00Z"},{"name":"start","valueDate":"2026"}`,
		`{"name":"resource","resource":{"resourceType":"Observation"}},{"name":"mode","valueCode":"create"},{"name":"profile","valueUri":"http://x"}`,
		`{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, params string) {
		body := `{"resourceType":"Parameters","parameter":[` + params + `]}`
		for _, at := range []string{"/Observation/o1/$meta-add", "/Observation/o1/$meta-delete", "/Slot/l1/$book", "/Appointment/$book", "/Patient/p1/$everything", "/Observation/$validate", "/Observation/o1/$validate"} {
			s.hold(t, "POST", at, body, nil)
		}
		s.hold(t, "PATCH", "/Observation/o1", body, nil)
	})
}

// Whatever stands in a Bundle, it is done or refused.
func FuzzBundles(f *testing.F) {
	s := newServer(f)
	s.fill(f, organizationBody, patientBody, observation("o1", ""))
	for _, entries := range []string{
		posted(urn(1), numbered("", "1", "male")) + "," + posted("", observation("", `,"subject":{"reference":"`+urn(1)+`"}`)),
		sent("", "PUT", "Observation/o1", observation("o1", ""), `,"ifMatch":"W/\"1\""`) + "," + sent("", "GET", "Observation?_id=o1", "", `,"ifNoneMatch":"W/\"1\""`),
		sent("", "DELETE", "Observation?status=final", "", "") + "," + sent("", "HEAD", "Patient/p1/_history/1", "", ""),
		sent("", "POST", "Patient", numbered("", "1", "male"), `,"ifNoneExist":"identifier=http://n|1"`) + "," + sent("", "POST", "Observation/_search?code=x", "", ""),
		sent("https://other.example/fhir/Observation/1", "PATCH", "Observation/o1", `{"resourceType":"Binary","contentType":"application/json-patch+json","data":"W10="}`, ""),
		`{"request":{"method":"POST","url":"Observation/o1/$meta-add"},"resource":{"resourceType":"Parameters"}}`,
	} {
		f.Add(entries)
	}
	f.Fuzz(func(t *testing.T, entries string) {
		for _, typ := range []string{"transaction", "batch"} {
			s.hold(t, "POST", "", bundleOf(typ, entries), nil)
		}
	})
}
