package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// pulse gives an Observation whose value tells one write from another.
func pulse(id string, value int) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"text":"pulse"},"valueInteger":%d}`, id, value)
}

// door is the whole interface over HTTP with one Observation behind it.
type door struct {
	*systems
	token string
}

const pulsePath = Root + "/Observation/o1"

func newDoor(t *testing.T) *door {
	t.Helper()
	s := newSystems(t)
	d := &door{s, s.token("hospital", hospitalSecret)}
	if r := d.put(pulse("o1", 1), nil); r.status != http.StatusCreated {
		t.Fatalf("%+v", r)
	}
	return d
}

// put writes the Observation.
func (d *door) put(body string, header map[string]string) reply {
	d.Helper()
	h := map[string]string{"Content-Type": mediaFHIR}
	for k, v := range header {
		h[k] = v
	}
	return d.do("PUT", pulsePath, d.token, body, h)
}

// version gives the ETag of the Observation as it is now.
func (d *door) version() string {
	d.Helper()
	r := d.do("GET", pulsePath, d.token, "", nil)
	if r.status != http.StatusOK {
		d.Fatalf("%+v", r)
	}
	return r.header.Get("ETag")
}

// unchangedBy fails the test when do changes the Observation.
func (d *door) unchangedBy(do func()) {
	d.Helper()
	before := d.version()
	do()
	if after := d.version(); after != before {
		d.Errorf("the Observation changed from %s to %s", before, after)
	}
}

func TestContentTypes(t *testing.T) {
	d := newDoor(t)
	for i, c := range []struct {
		contentType, encoding string
		taken                 bool
	}{
		{mediaFHIR, "", true},
		{"Application/FHIR+JSON", "", true},
		{"application/fhir+json;charset=utf-8", "", true},
		{`application/fhir+json; charset="UTF-8"`, "", true},
		{"application/fhir+json; fhirVersion=4.0", "", true},
		{"application/json", "", true},
		{"application/json; charset=utf-8", "identity", true},
		{"text/json", "", true},
		{"", "", true},
		{"application/fhir+json; charset=iso-8859-1", "", false},
		{"application/fhir+json; charset=utf-16", "", false},
		{"application/fhir+json; charset=", "", false},
		{"application/fhir+json; fhirVersion=5.0", "", false},
		{"application/fhir+json; fhirVersion", "", false},
		{"application/fhir+xml; charset=iso-8859-1", "", false},
		{"xml", "", false},
		{"application/json-patch+json", "", false},
		{"application/vnd.api+json", "", false},
		{"application/octet-stream", "", false},
		{"text/plain", "", false},
		{"*/*", "", false},
		{"application/*", "", false},
		{"multipart/form-data; boundary=x", "", false},
		{mediaFHIR, "br", false},
	} {
		t.Run(c.contentType+c.encoding, func(t *testing.T) {
			header := map[string]string{"Content-Type": c.contentType}
			if c.encoding != "" {
				header["Content-Encoding"] = c.encoding
			}
			if c.taken {
				if r := d.put(pulse("o1", 100+i), header); r.status != http.StatusOK {
					t.Errorf("%d %s", r.status, r.body)
				}
				return
			}
			d.unchangedBy(func() {
				wantOutcome(t, d.put(pulse("o1", 100+i), header), http.StatusUnsupportedMediaType, mediaFHIR)
			})
		})
	}
}

// The format is settled before anything is done: who cannot read the answer
// changes nothing.
func TestFormats(t *testing.T) {
	d := newDoor(t)
	for i, c := range []struct{ query, accept, want string }{
		{"", "", mediaFHIR},
		{"?_format=json", "", mediaFHIR},
		{"?_format=json", "application/fhir+xml", mediaFHIR},
		{"?_format=application/fhir%2Bjson", "", mediaFHIR},
		{"?_format=application/fhir+json", "", mediaFHIR}, // + is a space
		{"?_format=application/json", "", mediaJSON},
		{"?_format=JSON", "", mediaFHIR},
		{"", "application/json", mediaJSON},
		{"", "application/fhir+xml;q=0.1, application/fhir+json;q=0.9", mediaFHIR},
		{"", "application/fhir+xml;q=0.9, application/fhir+json;q=0.1", mediaXML},
		{"?_format=xml", "", mediaXML},
		{"?_format=xml", mediaFHIR, mediaXML},
		{"?_format=ttl", "", ""},
		{"?_format=html", "", ""},
		{"?_format=application/fhir%2Bjson%3BfhirVersion%3D4.0", "", mediaFHIR},
		{"?_format=application/fhir%2Bjson%3BfhirVersion%3D3.0", "", ""},
		{"", "application/fhir+xml", mediaXML},
		{"", "text/html", ""},
		{"", "application/fhir+json; fhirVersion=5.0", ""},
	} {
		for _, method := range []string{"GET", "PUT"} {
			t.Run(method+c.query+c.accept, func(t *testing.T) {
				body := ""
				if method == "PUT" {
					body = pulse("o1", 200+i)
				}
				header := map[string]string{"Accept": c.accept, "Content-Type": mediaFHIR}
				if c.want == "" {
					d.unchangedBy(func() {
						wantOutcome(t, d.do(method, pulsePath+c.query, d.token, body, header), http.StatusNotAcceptable, "4.0.1 in JSON and XML")
					})
					return
				}
				r := d.do(method, pulsePath+c.query, d.token, body, header)
				if r.status != http.StatusOK || r.header.Get("Content-Type") != c.want+";charset=utf-8" {
					t.Errorf("%d %q, want %q: %s", r.status, r.header.Get("Content-Type"), c.want, r.body)
				}
			})
		}
	}
	for _, path := range []string{Root + "/Observation", Root + "/Observation/o1/_history", Root + "/Observation/_history", Root + "/metadata"} {
		if r := d.do("GET", path+"?_format=application/json", d.token, "", nil); r.status != http.StatusOK ||
			r.header.Get("Content-Type") != mediaJSON+";charset=utf-8" || strings.Contains(r.body, "ignored") {
			t.Errorf("%s: %+v", path, r)
		}
		wantOutcome(t, d.do("GET", path+"?_format=ttl", d.token, "", nil), http.StatusNotAcceptable, "JSON")
		if r := d.do("GET", path+"?_format=xml", d.token, "", nil); r.status != http.StatusOK || !strings.Contains(r.body, ` xmlns="http://hl7.org/fhir"`) ||
			r.header.Get("Content-Type") != mediaXML+";charset=utf-8" {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

func TestIfMatchForms(t *testing.T) {
	d := newDoor(t)
	for i, c := range []struct {
		form string // %d is the version that there is
		ok   bool
	}{
		{`W/"%d"`, true},
		{`"%d"`, true},
		{`%d`, true},
		{` W/"%d" `, true},
		{`W/%d`, true},
		{`W/"1"`, false}, // not the version that there is, once there are more
		{`W/"99"`, false},
		{`W/"99999999999999999999"`, false},
		{`W/"0"`, false},
		{`W/"-%d"`, false},
		{`W/"%d", W/"99"`, true},
		{`W/"99","%d"`, true},
		{`W/"1", W/"99"`, false},
		{`W/"%d", "yesterday"`, false},
		{`*`, true},
		{`W/""`, false},
		{`"yesterday"`, false},
		{`W/"%d.0"`, false},
	} {
		t.Run(c.form, func(t *testing.T) {
			now, form := strings.Trim(d.version(), `W/"`), c.form
			if strings.Contains(form, "%d") {
				form = strings.ReplaceAll(form, "%d", now)
			}
			write := func() reply { return d.put(pulse("o1", 300+i), map[string]string{"If-Match": form}) }
			if !c.ok {
				d.unchangedBy(func() { wantOutcome(t, write(), http.StatusPreconditionFailed, `"conflict"`) })
				d.unchangedBy(func() {
					r := d.do("DELETE", pulsePath, d.token, "", map[string]string{"If-Match": form})
					wantOutcome(t, r, http.StatusPreconditionFailed, `"conflict"`)
				})
				return
			}
			if r := write(); r.status != http.StatusOK || r.header.Get("ETag") == `W/"`+now+`"` {
				t.Errorf("%+v", r)
			}
		})
	}
	t.Run("of what is not there", func(t *testing.T) {
		r := d.do("PUT", Root+"/Observation/o2", d.token, pulse("o2", 1), map[string]string{"If-Match": `W/"1"`})
		wantOutcome(t, r, http.StatusPreconditionFailed, "")
		wantOutcome(t, d.do("GET", Root+"/Observation/o2", d.token, "", nil), http.StatusNotFound, "")
	})
}

func TestPreferences(t *testing.T) {
	d := newDoor(t)
	for i, c := range []struct{ prefer, contains string }{
		{"", `"valueInteger"`},
		{"return=representation", `"valueInteger"`},
		{"return=minimal", ""},
		{"respond-async, return=minimal", ""},
		{`return="minimal"`, ""},
		{"Return=minimal", ""},
		{"return = minimal", ""},
		{"return=minimal, return=representation", ""},
		{"return=OperationOutcome", `"OperationOutcome"`},
		{"return=everything", `"valueInteger"`},
		{"handling=strict", `"valueInteger"`},
	} {
		for _, method := range []string{"PUT", "POST"} {
			t.Run(method+" "+c.prefer, func(t *testing.T) {
				path, status := pulsePath, http.StatusOK
				if method == "POST" {
					path, status = Root+"/Observation", http.StatusCreated
				}
				r := d.do(method, path, d.token, pulse("o1", 400+i), map[string]string{"Prefer": c.prefer, "Content-Type": mediaFHIR})
				if r.status != status || !strings.HasPrefix(r.header.Get("Location"), d.url+Root+"/Observation/") ||
					!strings.HasPrefix(r.header.Get("ETag"), `W/"`) || r.header.Get("Last-Modified") == "" {
					t.Errorf("%+v", r)
				}
				if c.contains == "" && (r.body != "" || r.header.Get("Content-Type") != "") || !strings.Contains(r.body, c.contains) {
					t.Errorf("type %q, body %q", r.header.Get("Content-Type"), r.body)
				}
			})
		}
	}
	if r := d.do("GET", Root+"/Observation?colour=red", d.token, "", map[string]string{"Prefer": "handling=lenient"}); r.status != http.StatusOK || !strings.Contains(r.body, "colour was ignored") {
		t.Errorf("%+v", r)
	}
	wantOutcome(t, d.do("GET", Root+"/Observation?colour=red", d.token, "", map[string]string{"Prefer": "handling=strict"}), http.StatusBadRequest, "colour")
}

// sized gives an Observation of n bytes.
func sized(n int) string {
	head, tail := strings.TrimSuffix(pulse("o1", 500), "}")+`,"x":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

// nested gives an Observation that is n levels deep.
func nested(n int) string {
	return strings.TrimSuffix(pulse("o1", 501), "}") + `,"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
}

// with gives an Observation with more members.
func with(members string) string {
	return strings.TrimSuffix(pulse("o1", 502), "}") + "," + members + "}"
}

// What must not come in, to an address of its own and in a Bundle.
func TestBodies(t *testing.T) {
	d := newDoor(t)
	limits := fhir.DefaultLimits
	for _, c := range []struct {
		name, body string
		status     int
		words      string
	}{
		{"as large as can be with what the exchange adds", sized(maxBody - 1000), 200, ""},
		{"one byte more", sized(maxBody + 1), 413, `"too-long"`},
		{"as deep as can be", nested(limits.Depth), 200, ""},
		{"too deep", nested(limits.Depth + 2), 400, "deeper than 64 levels"},
		{"very deep", nested(100_000), 400, "deeper than 64 levels"},
		{"too many values", with(`"x":[` + strings.Repeat("0,", limits.Nodes) + `0]`), 413, "400000 values"},
		{"a member twice", with(`"note":1,"note":2`), 400, "stands twice"},
		{"a member twice in another spelling", with(`"note":1,"n\u006fte":2`), 400, "stands twice"},
		{"a member twice deep inside", with(`"x":[{"y":{"z":1,"z":1}}]`), 400, "stands twice"},
		{"the status twice", with(`"status":"final"`), 400, "stands twice"},
		{"no UTF-8", with("\"x\":\"caf\xe9\""), 400, "UTF-8"},
		{"half a character", with("\"x\":\"\xe5\xbf\""), 400, "UTF-8"},
		{"a character in two ways", with("\"x\":\"\xc0\xaf\""), 400, "UTF-8"},
		{"half a pair", with(`"x":"\ud83d"`), 400, `"structure"`},
		{"a byte order mark", "\ufeff" + pulse("o1", 503), 200, ""},
		{"a comment", with(`/* */"x":1`), 400, `"structure"`},
		{"a comma too many", with(`"x":1,`), 400, `"structure"`},
		{"a number of another kind", with(`"x":NaN`), 400, `"structure"`},
		{"two documents", pulse("o1", 504) + pulse("o1", 505), 400, `"structure"`},
		{"half a document", pulse("o1", 506)[:60], 400, `"structure"`},
		{"an array", "[" + pulse("o1", 507) + "]", 400, ""},
		{"null", "null", 400, ""},
		{"nothing", "", 400, ""},
		{"another type", strings.Replace(pulse("o1", 508), "Observation", "Patient", 1), 400, "Observation"},
		{"no type", strings.Replace(pulse("o1", 509), `"resourceType":"Observation",`, "", 1), 400, ""},
		{"another id", pulse("o2", 510), 400, "Observation.id"},
		{"an id that is a number", strings.Replace(pulse("o1", 511), `"o1"`, "1", 1), 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.status == http.StatusOK {
				if r := d.put(c.body, map[string]string{"Prefer": "return=minimal"}); r.status != c.status {
					t.Errorf("%+v", r)
				}
				return
			}
			d.unchangedBy(func() { wantOutcome(t, d.put(c.body, nil), c.status, c.words) })
			d.unchangedBy(func() {
				bundle := `{"resourceType":"Bundle","type":"batch","entry":[{"resource":` + c.body + `,"request":{"method":"PUT","url":"Observation/o1"}}]}`
				r := d.do("POST", Root, d.token, bundle, map[string]string{"Content-Type": mediaFHIR})
				if r.status >= 500 || r.status == http.StatusOK && !strings.Contains(r.body, `"status":"4`) {
					t.Errorf("as an entry: %s", r.body)
				}
			})
		})
	}
}

// Every status with which a request is refused, each with an OperationOutcome
// that a program can read.
func TestRefusalsAreOutcomes(t *testing.T) {
	d := newDoor(t)
	type header = map[string]string
	encounter := `{"resourceType":"Encounter","id":"e1"}`
	for _, r := range []reply{
		d.do("PUT", Root+"/Observation/gone", d.token, pulse("gone", 1), header{"Content-Type": mediaFHIR}),
		d.do("DELETE", Root+"/Observation/gone", d.token, "", nil),
	} {
		if r.status >= 300 {
			t.Fatalf("%+v", r)
		}
	}
	for _, c := range []struct {
		name, method, path, token, body string
		header                          header
		status                          int
		code                            fhir.Code
	}{
		{"no json", "PUT", pulsePath, d.token, "{", nil, 400, fhir.CodeStructure},
		{"parameters that cannot be read", "PUT", pulsePath + "?_format=json;x", d.token, pulse("o1", 2), nil, 400, fhir.CodeInvalid},
		{"a bad escape", "GET", pulsePath + "?_format=%zz", d.token, "", nil, 400, fhir.CodeInvalid},
		{"a bad id", "GET", Root + "/Observation/o_1", d.token, "", nil, 400, fhir.CodeInvalid},
		{"no token", "GET", pulsePath, "", "", nil, 401, fhir.CodeLogin},
		{"a bad token", "GET", pulsePath, "nonsense", "", nil, 401, fhir.CodeLogin},
		{"somebody else's", "PUT", pulsePath, d.systems.token("clinic", clinicSecret), pulse("o1", 2), nil, 403, fhir.CodeForbidden},
		{"too small a scope", "PUT", pulsePath, d.systems.token("reader", readerSecret), pulse("o1", 2), nil, 403, fhir.CodeForbidden},
		{"not there", "GET", Root + "/Observation/none", d.token, "", nil, 404, fhir.CodeNotFound},
		{"somebody else's, to see", "GET", pulsePath, d.systems.token("clinic", clinicSecret), "", nil, 404, fhir.CodeNotFound},
		{"no such type", "GET", Root + "/Colour/1", d.token, "", nil, 404, fhir.CodeNotSupported},
		{"no such address", "GET", Root + "/a/b/c/d/e", d.token, "", nil, 404, fhir.CodeNotFound},
		{"patch of a version", "PATCH", pulsePath + "/_history/1", d.token, "[]", nil, 405, fhir.CodeNotSupported},
		{"patch that fails", "PATCH", pulsePath, d.token, `[{"op":"remove","path":"/x"}]`, header{"Content-Type": mediaJSONPatch}, 422, fhir.CodeBusinessRule},
		{"turtle", "GET", pulsePath, d.token, "", header{"Accept": "text/turtle"}, 406, fhir.CodeNotSupported},
		{"in use", "DELETE", Root + "/Patient/p1", d.token, "", nil, 409, fhir.CodeConflict},
		{"deleted", "GET", Root + "/Observation/gone", d.token, "", nil, 410, fhir.CodeDeleted},
		{"deleted version", "GET", Root + "/Observation/gone/_history/2", d.token, "", nil, 410, fhir.CodeDeleted},
		{"an old version", "PUT", pulsePath, d.token, pulse("o1", 2), header{"If-Match": `W/"7"`}, 412, fhir.CodeConflict},
		{"too large", "PUT", pulsePath, d.token, sized(maxBody + 1), nil, 413, fhir.CodeTooLong},
		{"plain text", "PUT", pulsePath, d.token, "Observation", header{"Content-Type": "text/plain"}, 415, fhir.CodeNotSupported},
		{"members missing", "PUT", Root + "/Encounter/e1", d.token, encounter, nil, 422, fhir.CodeRequired},
	} {
		if c.status == http.StatusConflict { // somebody whom a record names
			for _, body := range []string{patientBody, `{"resourceType":"Observation","id":"o3","subject":{"reference":"Patient/p1"}}`} {
				typ, id := between(body, `"resourceType":"`, `"`), between(body, `"id":"`, `"`)
				if r := d.do("PUT", Root+"/"+typ+"/"+id, d.token, body, header{"Content-Type": mediaFHIR}); r.status != http.StatusCreated {
					t.Fatalf("%+v", r)
				}
			}
		}
		t.Run(c.name, func(t *testing.T) {
			before := d.version()
			r := d.do(c.method, c.path, c.token, c.body, c.header)
			wantOutcome(t, r, c.status, "")
			var outcome struct {
				ResourceType string
				Issue        []struct {
					Severity, Diagnostics string
					Code                  fhir.Code
				}
			}
			if err := json.Unmarshal([]byte(r.body), &outcome); err != nil || len(outcome.Issue) == 0 {
				t.Fatalf("%v: %s", err, r.body)
			}
			if i := outcome.Issue[0]; i.Severity != "error" || i.Code != c.code || len(i.Diagnostics) < 10 {
				t.Errorf("issue %+v, want code %s", i, c.code)
			}
			if r.header.Get("Cache-Control") != "no-store" || (r.header.Get("ETag") != "") != (c.status == http.StatusGone) || len(r.header.Get("X-Request-Id")) != 32 {
				t.Errorf("headers %v", r.header)
			}
			if challenge := r.header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Bearer ") != (c.status == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
			if allow := r.header.Get("Allow"); (allow != "") != (c.status == http.StatusMethodNotAllowed) {
				t.Errorf("Allow %q", allow)
			}
			if after := d.version(); after != before {
				t.Errorf("the Observation changed from %s to %s", before, after)
			}
		})
	}
}

// HEAD answers as GET does, without the body.
func TestHead(t *testing.T) {
	d := newDoor(t)
	for _, path := range []string{
		"/metadata", "/Observation/o1", "/Observation/o1/_history/1", "/Observation/o1/_history", "/Observation?_id=o1",
		"/Observation/none", "/Observation/o_1", "/Colour/1", "", "/Observation/o1?_format=xml", "/Observation/o1?_format=ttl", "/Observation/o_1?_format=xml",
	} {
		get, head := d.do("GET", Root+path, d.token, "", nil), d.do("HEAD", Root+path, d.token, "", nil)
		if head.status != get.status || head.body != "" || get.body == "" {
			t.Errorf("%s: %d and %d, body %q", path, head.status, get.status, head.body)
		}
		for _, name := range []string{"Content-Type", "ETag", "Last-Modified", "Cache-Control", "Allow"} {
			if head.header.Get(name) != get.header.Get(name) {
				t.Errorf("%s: %s is %q, with GET %q", path, name, head.header.Get(name), get.header.Get(name))
			}
		}
	}
}

// A method that is not for an address is refused with those that are, and
// they are: none of them is refused in the same way.
func TestMethods(t *testing.T) {
	d := newDoor(t)
	all := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"}
	for _, path := range []string{
		Root, Root + "/", Root + "/metadata", Root + "/Observation", Root + "/Observation/_search", Root + "/Observation/_history",
		Root + "/Observation/none", Root + "/Observation/none/_history", Root + "/Observation/none/_history/1",
		"/auth/token", "/auth/jwks", sessions, sessions + "/x", sessions + "/x/join", loginPath, notificationPath,
	} {
		allow := strings.Split(d.do("OPTIONS", path, d.token, "", nil).header.Get("Allow"), ", ")
		if allow[0] == "" {
			t.Errorf("%s: OPTIONS tells of no methods", path)
		}
		possible := make(map[string]bool)
		for _, m := range allow {
			possible[m] = true
			if m == "GET" {
				possible["HEAD"] = true
			}
		}
		for _, m := range all {
			r := d.do(m, path, d.token, "", nil)
			if (r.status == http.StatusMethodNotAllowed) == possible[m] {
				t.Errorf("%s %s: %d, allowed are %v", m, path, r.status, allow)
			}
			if r.status == http.StatusMethodNotAllowed && m != "HEAD" {
				wantOutcome(t, r, http.StatusMethodNotAllowed, `"not-supported"`)
			}
		}
	}
}
