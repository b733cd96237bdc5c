package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// One story of patches: each is judged as the PUT of its result would be.
func TestPatch(t *testing.T) {
	s := newServer(t)
	type header = map[string]string
	const noon = `{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}`
	status := func(v string) string { return `[{"op":"replace","path":"/status","value":"` + v + `"}]` }
	for _, body := range []string{organizationBody, patientBody, observation("o1", `,"subject":{"reference":"Patient/p1"}`), observation("o2", ""), resource("Schedule", "x0"), resource("Slot", "l1")} {
		if w := s.do(hospital, "PUT", Root+"/"+between(body, `"resourceType":"`, `"`)+"/"+between(body, `"id":"`, `"`), body, nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if w := s.do(hospital, "DELETE", Root+"/Observation/o2", "", nil); w.Code != http.StatusNoContent {
		t.Fatal(w.Code)
	}
	for _, c := range []struct {
		name, url, media, body string
		header                 header
		as                     *auth.Principal
		status                 int
		contains               string
	}{
		{name: "json patch", url: "/Observation/o1", body: status("amended"), status: 200, contains: `"versionId":"2" & "status":"amended" & 72.00`},
		{name: "the same again is no new version", url: "/Observation/o1", body: status("amended"), status: 200, contains: `"versionId":"2"`},
		{name: "nothing is no new version", url: "/Observation/o1", body: `[]`, status: 200, contains: `"versionId":"2"`},
		{name: "with the version", url: "/Observation/o1", body: status("final"), header: header{"If-Match": `W/"2"`}, status: 200, contains: `"versionId":"3"`},
		{name: "with an old version", url: "/Observation/o1", body: status("amended"), header: header{"If-Match": `W/"2"`}, status: 412, contains: "changed since"},
		{name: "a test that fails", url: "/Observation/o1", body: `[{"op":"test","path":"/status","value":"amended"},{"op":"remove","path":"/code"}]`, status: 422, contains: "Operation 1"},
		{name: "fhirpath patch", url: "/Observation/o1", media: mediaFHIR, body: `{"resourceType":"Parameters","parameter":[` + noon + `]}`, status: 200, contains: `"versionId":"4" & "status":"amended"`},
		{name: "fhirpath patch in xml", url: "/Observation/o1", media: mediaXML, body: inXML(t, `{"resourceType":"Parameters","parameter":[`+strings.Replace(noon, "amended", "final", 1)+`]}`), status: 200, contains: `"versionId":"5" & "status":"final"`},
		{name: "minimal", url: "/Observation/o1", body: status("amended"), header: header{"Prefer": "return=minimal"}, status: 200},
		{name: "another id", url: "/Observation/o1", body: `[{"op":"replace","path":"/id","value":"o9"}]`, status: 422, contains: "the id"},
		{name: "another type", url: "/Observation/o1", body: `[{"op":"replace","path":"/resourceType","value":"Patient"}]`, status: 422},
		{name: "no resource", url: "/Observation/o1", body: `[{"op":"replace","path":"","value":[]}]`, status: 422},
		{name: "what PUT refuses", url: "/Slot/l1", body: `[{"op":"remove","path":"/status"}]`, status: 422, contains: "Slot.status"},
		{name: "a reference to nobody is taken as PUT takes it", url: "/Observation/o1", body: `[{"op":"replace","path":"/subject/reference","value":"Patient?identifier=nobody"}]`, status: 422, contains: "conditional reference"},
		{name: "a conditional reference", url: "/Observation/o1", body: `[{"op":"replace","path":"/subject/reference","value":"Patient?identifier=HIE-00000003"}]`, status: 200, contains: `"Patient/p1"`},
		{name: "none", url: "/Observation/none", body: `[]`, status: 404},
		{name: "deleted", url: "/Observation/o2", body: `[]`, status: 410},
		{name: "of others", url: "/Observation/o1", body: status("final"), as: &clinic, status: 404},
		{name: "with too small a scope", url: "/Patient/p1", body: `[]`, as: &reader, status: 403},
		{name: "of an audit event", url: "/AuditEvent/1", body: `[]`, status: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			as, h := hospital, header{"Content-Type": mediaJSONPatch}
			if c.as != nil {
				as = *c.as
			}
			if c.media != "" {
				h["Content-Type"] = c.media
			}
			for k, v := range c.header {
				h[k] = v
			}
			w := s.do(as, "PATCH", Root+c.url, c.body, h)
			if w.Code != c.status || c.contains == "" && c.status == 200 && w.Body.Len() > 0 {
				t.Errorf("%d, want %d: %s", w.Code, c.status, w.Body)
			}
			for part := range strings.SplitSeq(c.contains, " & ") {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("no %s in %s", part, w.Body)
				}
			}
			if w.Code == 200 && w.Header().Get("ETag") == "" {
				t.Errorf("%v", w.Header())
			}
		})
	}
	// Each one is in the audit trail, those that were refused too.
	if w := s.do(hospital, "GET", Root+"/AuditEvent?entity=Observation/o1&_count=100", "", nil); strings.Count(w.Body.String(), `"code":"update"`) < 5 {
		t.Errorf("%s", w.Body)
	}
	// The attempt of another organisation is in the owner's: its own would tell
	// it that there is such a record.
	if w := s.do(hospital, "GET", Root+"/AuditEvent?entity=Observation/o1&outcome=4", "", nil); !strings.Contains(w.Body.String(), `"code":"patch"`) {
		t.Errorf("%s", w.Body)
	}
	if w := s.do(clinic, "GET", Root+"/AuditEvent?entity=Observation/o1", "", nil); !strings.Contains(w.Body.String(), `"total":0`) {
		t.Errorf("%s", w.Body)
	}
}

// Patches that come at the same time are done one after the other: none is
// lost. Of those that name the version only one is done.
func TestPatchesAtOnce(t *testing.T) {
	s := newServer(t)
	s.fill(t, observation("o1", `,"note":[]`))
	const callers = 12
	patch := func(i int, header map[string]string) int {
		header["Content-Type"] = mediaJSONPatch
		return s.do(hospital, "PATCH", Root+"/Observation/o1", fmt.Sprintf(`[{"op":"add","path":"/note/-","value":{"text":"note %d."}}]`, i), header).Code
	}
	all := func(header func() map[string]string) map[int]int {
		codes := make([]int, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { codes[i] = patch(i, header()) })
		}
		wg.Wait()
		count := make(map[int]int)
		for _, code := range codes {
			count[code]++
		}
		return count
	}
	if count := all(func() map[string]string { return map[string]string{} }); count[http.StatusOK] != callers {
		t.Errorf("%v", count)
	}
	body := s.do(hospital, "GET", Root+"/Observation/o1", "", nil).Body.String()
	for i := range callers {
		if !strings.Contains(body, fmt.Sprintf(`"note %d."`, i)) {
			t.Errorf("note %d is lost: %s", i, body)
		}
	}
	if count := all(func() map[string]string { return map[string]string{"If-Match": fmt.Sprintf(`W/"%d"`, callers+1)} }); count[http.StatusOK] != 1 || count[http.StatusPreconditionFailed] != callers-1 {
		t.Errorf("%v", count)
	}
}

// A patch of a record changes its place and meta, and not a byte beside.
func TestPatchKeepsBytes(t *testing.T) {
	const members = "\"status\":\"final\", \"code\":{\"text\":\"\\u0041 \\/ é 心\"}, \"unknown\":[1e3, -0.0, {}],\n \"valueString\":\"a\""
	s := newServer(t)
	s.fill(t, "{\n  \"resourceType\":\"Observation\", \"id\":\"o1\",\n  "+members+"}")
	for i, c := range []struct{ media, body string }{
		{mediaJSONPatch, `[{"op":"replace","path":"/valueString","value":"b"}]`},
		{mediaFHIR, `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.value"},{"name":"value","valueString":"c"}]}]}`},
	} {
		w := s.do(hospital, "PATCH", Root+"/Observation/o1", c.body, map[string]string{"Content-Type": c.media})
		want := strings.Replace(members, `"a"`, []string{`"b"`, `"c"`}[i], 1)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
