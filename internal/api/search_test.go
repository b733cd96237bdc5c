package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// searchset is what a client reads of a Bundle.
type searchset struct {
	Type  string
	Total *int
	Link  []struct{ Relation, URL string }
	Entry []struct {
		FullURL  string
		Resource struct {
			ResourceType, ID string
			Meta             struct {
				VersionID string
				Tag       []struct{ Code string }
			}
			Issue []struct{ Severity, Code, Diagnostics string }
		}
		Search struct{ Mode string }
	}
}

// link gives the address that a Bundle names, below the root; "" for none.
func (b searchset) link(relation string) string {
	for _, l := range b.Link {
		if l.Relation == relation {
			return Root + strings.TrimPrefix(l.URL, testBase)
		}
	}
	return ""
}

// found gives the ids of the entries of a mode.
func (b searchset) found(mode string) string {
	var all []string
	for _, e := range b.Entry {
		if e.Search.Mode == mode {
			all = append(all, e.Resource.ResourceType+"/"+e.Resource.ID)
		}
	}
	return strings.Join(all, " ")
}

func (s *server) bundle(t testing.TB, w *httptest.ResponseRecorder) (b searchset) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return b
}

// observations writes records of the hospital and of the clinic.
func (s *server) observations(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("o%02d", i)
		if w := s.do(hospital, "PUT", Root+"/Observation/"+id, observation(id, `,"subject":{"reference":"Patient/p1"},"note":[{"text":"as written"}]`), nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for i := range 3 {
		id := fmt.Sprintf("c%02d", i)
		if w := s.do(clinic, "PUT", Root+"/Observation/"+id, observation(id, `,"subject":{"reference":"Patient/p1"}`), nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// Pages over HTTP: of a GET and of a form, under other parameters, through
// another node, in a batch and in a transaction.
func TestPagesByTheirLinks(t *testing.T) {
	s := newServer(t)
	s.observations(t, 13)
	var all []string
	for i := range 13 {
		all = append(all, fmt.Sprintf("Observation/o%02d", i))
	}
	other, err := NewFHIR(FHIROptions{Exchange: s.exchange, Base: s.base, Clock: s.clock, PageKey: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*server{s, {FHIR: other, now: s.now}}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	within := func(typ string) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder {
			w := s.do(hospital, "POST", Root, `{"resourceType":"Bundle","type":"`+typ+`","entry":[{"request":{"method":"GET","url":"Observation?_count=5"}}]}`, nil)
			var answer struct {
				Entry []struct{ Resource json.RawMessage }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			inner := httptest.NewRecorder()
			inner.Body.Write(answer.Entry[0].Resource)
			return inner
		}
	}
	for name, first := range map[string]func() *httptest.ResponseRecorder{
		"a type": func() *httptest.ResponseRecorder { return s.do(hospital, "GET", Root+"/Observation?_count=5", "", nil) },
		"a form": func() *httptest.ResponseRecorder {
			return s.do(hospital, "POST", Root+"/Observation/_search", "_count=5&status=final", form)
		},
		"the system": func() *httptest.ResponseRecorder {
			return s.do(hospital, "GET", Root+"?_type=Observation,Flag&_count=5", "", nil)
		},
		"a form of all": func() *httptest.ResponseRecorder { return s.do(hospital, "POST", Root+"/_search", "_count=5", form) },
		"a compartment": func() *httptest.ResponseRecorder {
			return s.do(hospital, "GET", Root+"/Patient/p1/*?_count=5", "", nil)
		},
		"a batch":       within("batch"),
		"a transaction": within("transaction"),
		"a form, of some": func() *httptest.ResponseRecorder {
			return s.do(hospital, "POST", Root+"/Patient/p1/Observation/_search?_count=5", "code:text=pulse", form)
		},
	} {
		t.Run(name, func(t *testing.T) {
			page := s.bundle(t, first())
			var walked []string
			last := page.link("last")
			self := ""
			for n := 0; ; n++ {
				walked = append(walked, strings.Fields(page.found("match"))...)
				if page.Total == nil || *page.Total != 13 {
					t.Errorf("page %d: total %v", n, page.Total)
				}
				if (page.link("previous") != "") != (n > 0) || page.link("first") == "" || page.link("self") == "" {
					t.Errorf("page %d: %v", n, page.Link)
				}
				self = page.link("self")
				next := page.link("next")
				if next == "" {
					break
				}
				if strings.Contains(next, "final") || strings.Contains(next, "pulse") {
					t.Errorf("the link shows what was asked for: %s", next)
				}
				page = nodes[(n+1)%2].bundle(t, nodes[(n+1)%2].do(hospital, "GET", next, "", nil))
			}
			if !slices.Equal(walked, all) {
				t.Errorf("%v", walked)
			}
			if at, of := nodes[1].bundle(t, nodes[1].do(hospital, "GET", last, "", nil)), nodes[0].bundle(t, nodes[0].do(hospital, "GET", self, "", nil)); at.found("match") != page.found("match") || of.found("match") != page.found("match") {
				t.Errorf("last is %s, and itself %s, not %s", at.found("match"), of.found("match"), page.found("match"))
			}
			if back := s.bundle(t, s.do(hospital, "GET", page.link("first"), "", nil)); back.found("match") != strings.Join(all[:5], " ") {
				t.Errorf("first is %s", back.found("match"))
			}
			if w := s.do(hospital, "HEAD", page.link("first"), "", nil); w.Code != http.StatusOK || w.Body.Len() > 0 {
				t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
			}
		})
	}
}

// The links of a page open for those who got them, until they expire.
func TestPageLinksThatDoNotOpen(t *testing.T) {
	s := newServer(t)
	s.observations(t, 5)
	page := s.bundle(t, s.do(hospital, "GET", Root+"/Observation?_count=2&_elements=status", "", nil))
	next := page.link("next")
	for name, c := range map[string]struct {
		as     auth.Principal
		url    string
		status int
	}{
		"of the organisation":      {hospital, next, 200},
		"forged":                   {hospital, next[:len(next)-2] + "AA", 400},
		"cut off":                  {hospital, next[:len(next)-9], 400},
		"no link":                  {hospital, Root + "/Observation?_page=hello", 400},
		"of another type":          {hospital, strings.Replace(next, "/Observation", "/Patient", 1), 400},
		"of a history":             {hospital, strings.Replace(next, "/Observation", "/Observation/_history", 1), 400},
		"for another organisation": {clinic, next, 400},
		"without the scope":        {reader, next, 403},
	} {
		if w := s.do(c.as, "GET", c.url, "", nil); w.Code != c.status || c.status >= 400 && !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	second := s.bundle(t, s.do(hospital, "GET", next, "", nil))
	if second.found("match") != "Observation/o02 Observation/o03" || len(second.Entry[0].Resource.Meta.Tag) != 1 || second.Entry[0].Resource.Meta.Tag[0].Code != "SUBSETTED" {
		t.Errorf("%+v", second)
	}
	s.now = s.now.Add(31 * time.Minute)
	if w := s.do(hospital, "GET", next, "", nil); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), "Search again") {
		t.Errorf("expired: %d %s", w.Code, w.Body)
	}
}

// What a search says of itself: the total, the self link, what it ignored.
func TestSearchesSayWhatTheyDid(t *testing.T) {
	s := newServer(t)
	s.observations(t, 5)
	for _, c := range []struct {
		query, prefer string
		status        int
		total         int // -1 for none
		entries       int
		self          string // parameters
		ignored       string
	}{
		{"", "", 200, 5, 5, "", ""},
		{"_count=3", "", 200, 5, 3, "_count=3", ""},
		{"_total=none", "", 200, -1, 5, "_total=none", ""},
		{"_count=3&_total=none", "", 200, -1, 3, "_count=3&_total=none", ""},
		{"_count=3&_total=accurate", "", 200, 5, 3, "_count=3&_total=accurate", ""},
		{"_count=3&_total=estimate", "", 200, 5, 3, "_count=3&_total=estimate", ""},
		{"_count=0", "", 200, 5, 0, "_count=0", ""},
		{"_summary=count", "", 200, 5, 0, "_summary=count", ""},
		{"_count=900", "", 200, 5, 5, "_count=200", ""},
		{"status=final&status=final", "", 200, 5, 5, "status=final&status=final", ""},
		{"_total=some", "", 400, 0, 0, "", ""},
		{"_count=many", "", 400, 0, 0, "", ""},
		{"colour=red&_sort=colour&_include=Observation:colour&_summary=odd&status=final", "", 200, 5, 5, "status=final", "_include=Observation:colour _sort=colour _summary=odd colour"},
		{"colour=red", "handling=lenient", 200, 5, 5, "", "colour"},
		{"colour=red&status=final", "handling=strict", 400, 0, 0, "", ""},
		{"_sort=colour", "handling=strict", 400, 0, 0, "", ""},
		{"_include=Observation:colour", "handling=strict", 400, 0, 0, "", ""},
		{"_include:iterate=Nothing:subject", "handling=strict", 400, 0, 0, "", ""},
		{"_revinclude=Patient:name", "handling=strict", 400, 0, 0, "", ""},
		{"_contained=true", "handling=strict", 400, 0, 0, "", ""},
		{"_containedType=container", "", 200, 5, 5, "", "_containedType"},
		{"_contained=both", "", 200, 5, 5, "", "_contained=both"},
		{"_type=Observation", "handling=strict", 400, 0, 0, "", ""},
		{"status:odd=final", "handling=lenient", 400, 0, 0, "", ""},
		{"_sort=-status,colour", "", 200, 5, 5, "", "_sort=-status,colour"},
		{"_elements=status&_count=2", "handling=strict", 200, 5, 2, "_count=2&_elements=status", ""},
		{"_summary=true&_elements=status", "", 400, 0, 0, "", ""},
	} {
		header := map[string]string{}
		if c.prefer != "" {
			header["Prefer"] = c.prefer
		}
		w := s.do(hospital, "GET", Root+"/Observation?"+c.query, "", header)
		if w.Code != c.status {
			t.Errorf("%s with %q: %d %s", c.query, c.prefer, w.Code, w.Body)
			continue
		}
		if c.status != http.StatusOK {
			if !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
				t.Errorf("%s: %s", c.query, w.Body)
			}
			continue
		}
		b := s.bundle(t, w)
		total := -1
		if b.Total != nil {
			total = *b.Total
		}
		var ignored []string
		for _, e := range b.Entry {
			for _, i := range e.Resource.Issue {
				name, _, _ := strings.Cut(i.Diagnostics, " was ignored")
				if ignored = append(ignored, name); e.Search.Mode != "outcome" || i.Severity != "warning" {
					t.Errorf("%s: %+v", c.query, e)
				}
			}
		}
		_, self, _ := strings.Cut(b.link("self"), "?")
		if n := len(strings.Fields(b.found("match"))); total != c.total || n != c.entries || self != c.self || strings.Join(ignored, " ") != c.ignored {
			t.Errorf("%s with %q: total %d, %d entries, self %q, ignored %q", c.query, c.prefer, total, n, self, ignored)
		}
	}
}

// A form may ask for its format, and a GET pays no attention to a body.
func TestForms(t *testing.T) {
	s := newServer(t)
	s.observations(t, 2)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for _, c := range []struct {
		method, url, body string
		header            map[string]string
		status            int
		contains          string
	}{
		{"POST", "/Observation/_search", "_format=xml", form, 200, `<Bundle xmlns`},
		{"POST", "/Observation/_search?_format=json", "_format=xml", form, 200, `"resourceType":"Bundle"`},
		{"POST", "/Observation/_search", "_format=text/turtle", form, 406, "OperationOutcome"},
		{"POST", "/Observation/_search?_id=o00", "_id=o01", form, 200, `"total":0`},
		{"POST", "/Observation/_search?_id=o00", "status=final", form, 200, `"total":1`},
		{"POST", "/Observation/_search", "_id=%zz", form, 400, "percent"},
		{"POST", "/Observation/_search", `{"resourceType":"Parameters"}`, nil, 415, "x-www-form-urlencoded"},
		{"GET", "/Observation?_id=o00", "_id=o01", form, 200, `"total":1`},
		{"GET", "/Observation/_search", "", nil, 405, ""},
		{"POST", "/Patient/p1/Observation/_search", "_id=o00", form, 200, `"total":1`},
		{"POST", "/Patient/p1/*/_search", "_id=o00", form, 200, `"total":1`},
		{"POST", "/Patient/p1/Observation/_find", "", form, 404, ""},
		{"POST", "/Patient/p1/observation/_search", "", form, 404, ""},
		{"GET", "/Patient/p1/$nothing", "", nil, 404, ""},
		{"PUT", "/Patient/p1/Observation", "{}", nil, 405, ""},
	} {
		w := s.do(hospital, c.method, Root+c.url, c.body, c.header)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) {
			t.Errorf("%s %s %s: %d %s", c.method, c.url, c.body, w.Code, w.Body)
		}
	}
}

// Compartments and the whole system, as two organisations see them.
func TestScopesOfTwoOrganisations(t *testing.T) {
	s := newServer(t)
	put := func(as auth.Principal, bodies ...string) {
		t.Helper()
		for _, body := range bodies {
			if w := s.do(as, "PUT", Root+"/"+between(body, `"resourceType":"`, `"`)+"/"+between(body, `"id":"`, `"`), body, nil); w.Code != http.StatusCreated {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	about := `,"subject":{"reference":"Patient/p1"}`
	put(hospital, organizationBody, patientBody,
		`{"resourceType":"Practitioner","id":"d1","name":[{"text":"Dr Lim"}]}`,
		observation("h1", about+`,"performer":[{"reference":"Practitioner/d1"}],"encounter":{"reference":"Encounter/e9"}`),
		observation("h2", `,"subject":{"reference":"Patient/p2"},"device":{"reference":"Device/v1"}`),
		`{"resourceType":"Condition","id":"h3","subject":{"reference":"Patient/p1"},"clinicalStatus":{"text":"active"}}`,
		`{"resourceType":"Flag","id":"h4","status":"active","code":{"text":"x"},"subject":{"reference":"Patient/p1"},"author":{"reference":"Device/v1"}}`,
		`{"resourceType":"Device","id":"v1"}`,
		`{"resourceType":"RelatedPerson","id":"r1","patient":{"reference":"Patient/p1"}}`,
		`{"resourceType":"Basic","id":"b1","code":{"text":"x"},"subject":{"reference":"Patient/p1"},"author":{"reference":"RelatedPerson/r1"}}`,
		`{"resourceType":"Location","id":"l1","status":"active","name":"Ward"}`)
	put(clinic, observation("c1", about), `{"resourceType":"Flag","id":"c2","status":"active","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}`)
	narrow := hospital
	narrow.Scopes = []string{"system/Observation.rs", "system/Flag.rs"}
	for _, c := range []struct {
		as     auth.Principal
		url    string
		want   string // matches, then what is included
		status int
	}{
		{hospital, "/Patient/p1/Observation", "Observation/h1", 200},
		{hospital, "/Patient/p1/Observation?status=final&_include=Observation:performer", "Observation/h1 + Practitioner/d1", 200},
		{hospital, "/Patient/p1/Observation?status=amended", "", 200},
		{hospital, "/Patient/p1/Condition", "Condition/h3", 200},
		{hospital, "/Patient/p1/Patient", "Patient/p1", 200},
		{hospital, "/Patient/p1/*", "Patient/p1 Observation/h1 Condition/h3 Flag/h4 RelatedPerson/r1 Basic/b1", 200},
		{hospital, "/Patient/p1/*?_type=Flag,Condition&_sort=-_id", "Flag/h4 Condition/h3", 200},
		{hospital, "/Patient/p1/*?_include=*", "Patient/p1 Observation/h1 Condition/h3 Flag/h4 RelatedPerson/r1 Basic/b1 + Organization/11-05060009 Practitioner/d1 Device/v1", 200},
		{hospital, "/Patient/nobody/*", "", 200},
		{hospital, "/Encounter/e9/Observation", "Observation/h1", 200},
		{hospital, "/Encounter/e9/*", "Observation/h1", 200},
		{hospital, "/Practitioner/d1/*", "Practitioner/d1 Observation/h1", 200},
		{hospital, "/RelatedPerson/r1/Basic", "Basic/b1", 200},
		{hospital, "/Device/v1/*", "Observation/h2 Flag/h4 Device/v1", 200},
		{hospital, "/Patient/p1/Location", "", 404},
		{hospital, "/Organization/11-05060009/Patient", "", 404},
		{clinic, "/Patient/p1/Observation", "Observation/c1", 200},
		{clinic, "/Patient/p1/*", "Observation/c1 Flag/c2", 200},
		{clinic, "/Patient/p1/*?_include=*&_revinclude=*", "Observation/c1 Flag/c2", 200},
		{clinic, "/Practitioner/d1/*", "Practitioner/d1", 200},
		{narrow, "/Patient/p1/*", "Observation/h1 Flag/h4", 200},
		{narrow, "/Patient/p1/Condition", "", 403},

		{hospital, "?_type=Observation,Flag", "Observation/h1 Observation/h2 Flag/h4", 200},
		{hospital, "?_type=Observation,Flag&subject=Patient/p1&_sort=_id&_include=Observation:performer", "Observation/h1 Flag/h4 + Practitioner/d1", 200},
		{hospital, "?_type=Patient&identifier=HIE-00000003&_revinclude=Observation:subject", "Patient/p1 + Observation/h1", 200},
		{hospital, "?_id=p1,h3,c1", "Patient/p1 Condition/h3", 200},
		{hospital, "?_lastUpdated=ge2026&_type=Location,Basic", "Basic/b1 Location/l1", 200},
		{hospital, "?_lastUpdated=lt2026", "", 200},
		{hospital, "", "Organization/11-05060009 Patient/p1 Practitioner/d1 Observation/h1 Observation/h2 Condition/h3 Flag/h4 Device/v1 RelatedPerson/r1 Basic/b1 Location/l1", 200},
		{clinic, "", "Organization/11-05060009 Practitioner/d1 Location/l1 Observation/c1 Flag/c2", 200},
		{clinic, "?_type=Patient,Location&_include=*", "Location/l1", 200},
		{clinic, "?_type=Location,Observation&_count=0", "", 200},
		{narrow, "", "Observation/h1 Observation/h2 Flag/h4", 200},
		{narrow, "?_type=Flag,Patient", "Flag/h4", 200},
		{narrow, "?_type=Patient,Condition", "", 403},
		{hospital, "?_type=Observation,NamingSystem&_id=h1,c1,vc-token", "Observation/h1 NamingSystem/vc-token", 200},
		{hospital, "?_type=Observation,Nothing", "", 400},
		{hospital, "?_type=Observation,AuditEvent", "", 400},
		{auth.Principal{}, "?_type=Observation", "", 401},
		{auth.Principal{}, "/Patient/p1/*", "", 401},
	} {
		w := s.do(c.as, "GET", Root+c.url, "", map[string]string{"Prefer": "handling=strict"})
		if w.Code != c.status {
			t.Errorf("%s %s: %d %s", c.as.ID, c.url, w.Code, w.Body)
			continue
		}
		if c.status != http.StatusOK {
			continue
		}
		b := s.bundle(t, w)
		got := b.found("match")
		if included := b.found("include"); included != "" {
			got += " + " + included
		}
		if got != c.want || b.found("outcome") != "" {
			t.Errorf("%s %s:\n got %s\nwant %s", c.as.ID, c.url, got, c.want)
		}
	}
	if b := s.bundle(t, s.do(clinic, "GET", Root+"?_type=Location,Observation&_count=0", "", nil)); b.Total == nil || *b.Total != 2 {
		t.Errorf("the clinic counts %v", b.Total)
	}
	if b := s.bundle(t, s.do(hospital, "GET", Root+"/AuditEvent?entity=Patient/p1&_count=200", "", nil)); len(b.Entry) < 5 {
		t.Errorf("the audit trail of the patient has %d entries", len(b.Entry))
	}
}
