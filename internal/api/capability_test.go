package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
)

// least holds what the types with required members must have. All others take
// a resource with nothing in it.
var least = map[string]string{
	"Appointment":       `,"status":"proposed","participant":[{"actor":{"reference":"Patient/x0"},"status":"accepted"}]`,
	"Encounter":         `,"status":"planned","class":{"code":"AMB"}`,
	"HealthcareService": `,"providedBy":{"reference":"Organization/` + hospitalID + `"}`,
	"RelatedPerson":     `,"patient":{"reference":"Patient/x0"}`,
	"Subscription":      `,"status":"requested","reason":"to know","criteria":"Patient?active=true","channel":{"type":"websocket"}`,
	"Slot":              `,"status":"free","schedule":{"reference":"Schedule/x0"},"start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00"`,
}

// resource gives the least resource of a type, without an id for "".
func resource(typ, id string) string {
	if id != "" {
		id = `,"id":"` + id + `"`
	}
	return `{"resourceType":"` + typ + `"` + id + least[typ] + `}`
}

// attempt is what the exchange says to one interaction on one type.
type attempt struct {
	interaction string
	status      int
	body        string
}

// possible tells whether the exchange did what it was asked for.
func (a attempt) possible() bool { return a.status < 300 }

// tryAll tries everything that FHIR has for a type.
func (s *server) tryAll(typ string) []attempt {
	at := Root + "/" + typ
	var all []attempt
	try := func(interaction, method, target, body string, header map[string]string) attempt {
		w := s.do(hospital, method, target, body, header)
		all = append(all, attempt{interaction, w.Code, w.Body.String()})
		return all[len(all)-1]
	}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	id := "x1"
	put := try("update", "PUT", at+"/"+id, resource(typ, id), nil)
	try("create", "POST", at, resource(typ, ""), nil)
	found := try("search-type", "GET", at+"?_count=1", "", nil)
	try("search-type", "POST", at+"/_search", "_count=1", form)
	if !put.possible() { // somebody else's work
		var bundle struct {
			Entry []struct{ Resource struct{ ID string } }
		}
		if json.Unmarshal([]byte(found.body), &bundle) == nil && len(bundle.Entry) > 0 {
			id = bundle.Entry[0].Resource.ID
		}
	}
	try("read", "GET", at+"/"+id, "", nil)
	try("vread", "GET", at+"/"+id+"/_history/1", "", nil)
	try("history-instance", "GET", at+"/"+id+"/_history", "", nil)
	try("history-type", "GET", at+"/_history", "", nil)
	try("patch", "PATCH", at+"/"+id, "[]", map[string]string{"Content-Type": "application/json-patch+json"})
	try("$everything", "GET", at+"/"+id+"/$everything", "", nil)
	try("$validate", "POST", at+"/$validate", resource(typ, ""), nil)
	try("$meta", "GET", at+"/"+id+"/$meta", "", nil)
	about := map[string]string{"CodeSystem": genderSystem, "ValueSet": genderSet}[typ]
	try("$lookup", "GET", at+"/$lookup?code=male&system="+about, "", nil)
	try("$validate-code", "GET", at+"/$validate-code?code=male&url="+about, "", nil)
	try("$subsumes", "GET", at+"/$subsumes?codeA=male&codeB=female&system="+about, "", nil)
	try("$translate", "GET", at+"/$translate?code=male&source="+genderSet, "", nil)
	try("$expand", "GET", at+"/$expand?url="+about, "", nil)
	label := `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{"tag":[{"code":"x"}]}}]}`
	booked := at + "/$book"
	if typ == "Slot" {
		booked = at + "/x0/$book"
	}
	try("$book", "POST", booked, bookingOf(reference("slot", "Slot/x0"), reference("patient", "Patient/"+typ)), nil)
	try("$meta-add", "POST", at+"/"+id+"/$meta-add", label, nil)
	try("$meta-delete", "POST", at+"/"+id+"/$meta-delete", label, nil)
	try("$status", "GET", at+"/"+id+"/$status", "", nil)
	try("$events", "GET", at+"/"+id+"/$events", "", nil)
	try("$get-ws-binding-token", "GET", at+"/"+id+"/$get-ws-binding-token", "", nil)
	try(conditionalUpdate, "PUT", at+"?_id="+id, resource(typ, id), nil)
	try(conditionalDelete, "DELETE", at+"?_id="+id, "", nil)
	try("compartment", "GET", at+"/"+id+"/Observation", "", nil)
	try("search by form at an id", "POST", at+"/"+id+"/_search", "_count=1", form)
	try("deletion of the history", "DELETE", at+"/"+id+"/_history", "", nil)
	try("delete", "DELETE", at+"/"+id, "", nil)
	return all
}

// What the CapabilityStatement names is done, and what is done is named, for
// every type of FHIR R4.
func TestCapabilityStatementIsTrue(t *testing.T) {
	s := newServer(t)
	for _, body := range []string{organizationBody, resource("Patient", "x0"), resource("Schedule", "x0"), resource("Slot", "x0"), resource("Patient", "Slot"), resource("Patient", "Appointment")} {
		typ := between(body, `"resourceType":"`, `"`)
		if w := s.do(hospital, "PUT", Root+"/"+typ+"/"+between(body, `"id":"`, `"`), body, nil); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	rest := s.capabilities(t)
	if len(rest.Resource) != len(search.Types()) {
		t.Fatalf("%d types of %d", len(rest.Resource), len(search.Types()))
	}
	for _, c := range rest.Resource {
		declared := make(map[string]bool)
		for _, i := range c.Interaction {
			declared[i.Code] = true
		}
		declared[conditionalUpdate], declared[conditionalDelete] = c.ConditionalUpdate, c.ConditionalDelete == "single"
		for _, o := range c.Operation {
			declared["$"+o.Name] = true
		}
		declared["compartment"] = slices.Contains(rest.Compartment, "http://hl7.org/fhir/CompartmentDefinition/"+strings.ToLower(c.Type[:1])+c.Type[1:])
		tried := make(map[string]bool)
		for _, a := range s.tryAll(c.Type) {
			tried[a.interaction] = true
			if a.possible() != declared[a.interaction] {
				t.Errorf("%s of %s: %d %s; declared %v", a.interaction, c.Type, a.status, a.body, declared[a.interaction])
			}
			if !a.possible() && !strings.Contains(a.body, `"OperationOutcome"`) {
				t.Errorf("%s of %s: %d %s", a.interaction, c.Type, a.status, a.body)
			}
		}
		for i, yes := range declared {
			if yes && !tried[i] {
				t.Errorf("%s of %s is declared and was not tried", i, c.Type)
			}
		}
	}
}

// Every search parameter and every include that is declared works, under
// strict handling, which refuses what is not known.
func TestCapabilityStatementSearches(t *testing.T) {
	s := newServer(t)
	values := map[string]string{
		"date": "ge2026-11-23", "reference": "Patient/x0", "number": "7", "quantity": "7", "uri": "http://x.example", "token": "x", "string": "x",
		"composite": "x$2026", "special": "3.1|101.7|10|km",
	}
	searches := 0
	resources := s.capabilities(t).Resource
	every := map[string]bool{} // parameter of any type
	for _, c := range resources {
		for _, p := range c.SearchParam {
			every[p.Name] = true
		}
	}
	for _, c := range resources {
		// A refusal names what it does not know, so that many may be asked at once.
		ask := func(all []string) {
			for query := range slices.Chunk(all, 40) {
				searches++
				w := s.do(hospital, "GET", Root+"/"+c.Type+"?_count=1&"+strings.Join(query, "&"), "", map[string]string{"Prefer": "handling=strict"})
				if w.Code != http.StatusOK {
					t.Errorf("%s?%s: %d %s", c.Type, query, w.Code, w.Body)
				}
			}
		}
		var params, includes []string
		for _, p := range c.SearchParam {
			if values[p.Type] == "" {
				t.Errorf("%s.%s is of type %q", c.Type, p.Name, p.Type)
			}
			params = append(params, url.Values{p.Name: {values[p.Type]}}.Encode())
			if !s.resolves(t, "SearchParameter", p.Definition) {
				t.Errorf("%s.%s: there is no %s", c.Type, p.Name, p.Definition)
			}
		}
		for _, inc := range c.SearchInclude {
			includes = append(includes, "_include="+inc)
		}
		for _, inc := range c.SearchRevInclude {
			includes = append(includes, "_revinclude="+inc)
		}
		ask(params)
		ask(includes)
		for query := range slices.Chunk(unclaimed(c, every), 20) {
			w := s.do(hospital, "GET", Root+"/"+c.Type+"?"+strings.Join(query, "=x&")+"=x", "", map[string]string{"Prefer": "handling=strict"})
			for _, name := range query {
				if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), " "+name) {
					t.Errorf("%s?%s is not declared: %d %.300s", c.Type, name, w.Code, w.Body)
				}
			}
		}
		for _, unknown := range []string{"colour=red", "_include=" + c.Type + ":colour", "_revinclude=Slot:colour"} {
			if w := s.do(hospital, "GET", Root+"/"+c.Type+"?"+unknown, "", map[string]string{"Prefer": "handling=strict"}); w.Code != http.StatusBadRequest {
				t.Errorf("%s?%s: %d", c.Type, unknown, w.Code)
			}
		}
	}
	if searches < len(search.Types()) {
		t.Fatalf("only %d searches", searches)
	}
}

// unclaimed gives parameters of other types that a type does not have: of each
// type others, so that all come to their turn.
func unclaimed(c capabilityOfType, every map[string]bool) []string {
	var names []string
	for name := range every {
		if !slices.ContainsFunc(c.SearchParam, func(p searchParam) bool { return p.Name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { return (len(name)+len(c.Type))%7 != 0 })
	return names
}

// resolves tells whether a canonical URL of the statement leads to exactly one
// resource of this exchange.
func (s *server) resolves(t *testing.T, typ, canonical string) bool {
	t.Helper()
	if known, ok := s.resolved[canonical]; ok {
		return known
	}
	w := s.do(hospital, "GET", Root+"/"+typ+"?_summary=count&url="+url.QueryEscape(canonical), "", nil)
	if s.resolved == nil {
		s.resolved = map[string]bool{}
	}
	s.resolved[canonical] = w.Code == http.StatusOK && strings.Contains(w.Body.String(), `"total":`) && !strings.Contains(w.Body.String(), `"total":0`)
	return s.resolved[canonical]
}

// The statement is valid R4 in every mode, all that it points at can be read
// here, and it is a resource like any other.
func TestCapabilityStatementIsValid(t *testing.T) {
	s := newServer(t)
	v := validate.New(validate.Options{Timeout: time.Minute})
	for _, mode := range []string{"", "?mode=full", "?mode=normative", "?mode=terminology", "?_summary=true"} {
		w := s.do(auth.Principal{}, "GET", Root+"/metadata"+mode, "", nil)
		doc, err := fhir.ParseWithin(w.Body.Bytes(), answerLimits)
		if err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %v", mode, w.Code, err)
		}
		for _, issue := range v.Validate(t.Context(), doc) {
			if issue.Code == fhir.CodeExtension { // that of SMART is not among those of R4
				continue
			}
			t.Errorf("%s: %v", mode, issue)
		}
		t.Logf("%s: %d bytes", mode, w.Body.Len())
	}
	rest := s.capabilities(t)
	for _, c := range rest.Resource {
		for _, profile := range append(c.SupportedProfile, c.Profile) {
			if !s.resolves(t, "StructureDefinition", profile) {
				t.Errorf("there is no %s", profile)
			}
		}
		for _, o := range c.Operation {
			if !s.resolves(t, "OperationDefinition", o.Definition) {
				t.Errorf("there is no %s", o.Definition)
			}
		}
	}
	for _, o := range rest.Operation {
		if !s.resolves(t, "OperationDefinition", o.Definition) {
			t.Errorf("there is no %s", o.Definition)
		}
	}
	for _, c := range rest.Compartment {
		if !s.resolves(t, "CompartmentDefinition", c) {
			t.Errorf("there is no %s", c)
		}
	}
	if !s.resolves(t, "CapabilityStatement", testBase+"/CapabilityStatement/exchange") {
		t.Error("the statement is not found by its url")
	}
}

// GET metadata in its ways to be asked.
func TestMetadataModes(t *testing.T) {
	s := newServer(t)
	plain := s.do(auth.Principal{}, "GET", Root+"/metadata", "", nil)
	tag := plain.Header().Get("ETag")
	for _, c := range []struct {
		url, header        string // of If-None-Match
		status             int
		contains, excludes string
	}{
		{"", "", 200, `"security"`, ""},
		{"?mode=full", "", 200, `"security"`, ""},
		{"?mode=normative", "", 200, `"interaction"`, `"security"`},
		{"?mode=normative", "", 200, `"searchParam"`, `"conditionalCreate"`},
		{"?mode=terminology", "", 200, `"resourceType":"TerminologyCapabilities"`, `"rest"`},
		{"?mode=terminology", "", 200, `{"uri":"http://hl7.org/fhir/administrative-gender"`, ""},
		{"?mode=terminology", "", 200, `"paging":true`, ""},
		{"?mode=other", "", 400, "full, normative or terminology", ""},
		{"?_summary=true", "", 200, "SUBSETTED", `"searchInclude"`},
		{"?_elements=software", "", 200, `"software"`, `"title"`},
		{"?_summary=true&_elements=software", "", 400, "not for both", ""},
		{"", tag, 304, "", ""},
		{"", `"x", ` + tag, 304, "", ""},
		{"", `W/"x"`, 200, `"security"`, ""},
		{"?mode=full", tag, 304, "", ""},
		{"?mode=normative", tag, 200, "", ""},
		{"?_summary=true", tag, 200, "", ""},
		{"?_format=xml", "", 200, `<CapabilityStatement xmlns="http://hl7.org/fhir">`, ""},
		{"?_format=xml", tag, 304, "", ""},
	} {
		w := s.do(auth.Principal{}, "GET", Root+"/metadata"+c.url, "", map[string]string{"If-None-Match": c.header})
		if body := w.Body.String(); w.Code != c.status || !strings.Contains(body, c.contains) || c.excludes != "" && strings.Contains(body, c.excludes) {
			t.Errorf("%s with %q: %d %.300s", c.url, c.header, w.Code, body)
		}
	}
}

// The flags of the statement, each by what it promises.
func TestCapabilityStatementFlags(t *testing.T) {
	s := newServer(t)
	var patient capabilityOfType
	for _, c := range s.capabilities(t).Resource {
		if c.Type == "Patient" {
			patient = c
		}
	}
	if !patient.ReadHistory || !patient.UpdateCreate || !patient.ConditionalCreate || patient.ConditionalRead != "full-support" || patient.Versioning != "versioned-update" {
		t.Fatalf("%+v", patient)
	}
	type header = map[string]string
	for _, c := range []struct {
		flag, method, url, body string
		header                  header
		status                  int
	}{
		{"updateCreate", "PUT", "/Patient/p1", patientBody, nil, 201},
		{"versioned-update", "PUT", "/Patient/p1", strings.Replace(patientBody, "female", "other", 1), header{"If-Match": `W/"1"`}, 200},
		{"versioned-update", "PUT", "/Patient/p1", patientBody, header{"If-Match": `W/"1"`}, 412},
		{"conditionalCreate", "POST", "/Patient", patientBody, header{"If-None-Exist": "identifier=HIE-00000003"}, 200},
		{"conditionalCreate", "POST", "/Patient", strings.Replace(patientBody, "0003", "0004", 1), header{"If-None-Exist": "identifier=HIE-00000004"}, 201},
		{"conditionalRead", "GET", "/Patient/p1", "", header{"If-None-Match": `W/"2"`}, 304},
		{"conditionalRead", "GET", "/Patient/p1", "", header{"If-None-Match": `W/"1"`}, 200},
		{"conditionalRead", "GET", "/Patient/p1", "", header{"If-Modified-Since": "Mon, 23 Nov 2026 01:00:00 GMT"}, 304},
		{"conditionalRead", "GET", "/Patient/p1", "", header{"If-Modified-Since": "Mon, 23 Nov 2026 00:59:59 GMT"}, 200},
		{"readHistory", "DELETE", "/Patient/p1", "", nil, 204},
		{"readHistory", "GET", "/Patient/p1/_history/2", "", nil, 200},
	} {
		if w := s.do(hospital, c.method, Root+c.url, c.body, c.header); w.Code != c.status {
			t.Errorf("%s: %s %s with %v: %d, want %d: %s", c.flag, c.method, c.url, c.header, w.Code, c.status, w.Body)
		}
	}
}

// Of the interactions with the whole system there are four, and no others.
func TestCapabilityStatementOfTheSystem(t *testing.T) {
	s := newServer(t)
	var declared []string
	for _, i := range s.capabilities(t).Interaction {
		declared = append(declared, i.Code)
	}
	if !slices.Equal(declared, []string{"search-system", "transaction", "batch", "history-system"}) {
		t.Errorf("declared are %v", declared)
	}
	for _, c := range []struct {
		interaction, method, url, body string
		status                         int
	}{
		{"transaction", "POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":` + observation("o1", "") + `,"request":{"method":"PUT","url":"Observation/o1"}}]}`, 200},
		{"batch", "POST", "/", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation/o1"}}]}`, 200},
		{"search-system", "GET", "?_type=Patient", "", 200},
		{"search-system", "GET", "/?_type=Patient", "", 200},
		{"search-system", "POST", "/_search?_type=Patient", "", 200},
		{"history-system", "GET", "/_history", "", 200},
		{"operation", "POST", "/$process-message", "{}", 404},
		{"capabilities in another way", "OPTIONS", "", "", 204},
	} {
		w := s.do(hospital, c.method, Root+c.url, c.body, nil)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", c.interaction, w.Code, c.status, w.Body)
		}
		if c.status >= 400 && !strings.Contains(w.Body.String(), `"OperationOutcome"`) {
			t.Errorf("%s: %s", c.interaction, w.Body)
		}
	}
}

// The statement can be read by all, everything else by nobody without a token.
func TestOnlyTheStatementIsOpen(t *testing.T) {
	s := newServer(t)
	nobody := auth.Principal{}
	for _, rt := range routes {
		for _, m := range rt.methods {
			typ := "Patient"
			if o := operationOf(m.interaction, ""); o != nil && o.types != nil {
				typ = o.types[0]
			}
			target := strings.NewReplacer("{type}", typ, "{id}", "p1", "{version}", "1", "{$}", "", "{member}", "Observation", "{search}", "_search").Replace(Root + rt.pattern)
			w := s.do(nobody, m.name, target, "", nil)
			if open := w.Code == http.StatusOK; open != (m.interaction == "capabilities") || !open && w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s: %d %s", m.name, target, w.Code, w.Body)
			}
		}
	}
}

func (s *server) capabilities(t testing.TB) capabilityOfRest {
	t.Helper()
	w := s.do(auth.Principal{}, "GET", Root+"/metadata", "", nil)
	var statement capabilityStatement
	if err := json.Unmarshal(w.Body.Bytes(), &statement); err != nil || w.Code != http.StatusOK || len(statement.Rest) != 1 {
		t.Fatalf("%d %v", w.Code, err)
	}
	return statement.Rest[0]
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

// The first who asks for the statement does not wait long for it.
func BenchmarkStatement(b *testing.B) {
	s := newServer(b)
	for b.Loop() {
		s.capability.bodies = nil
		if _, err := s.statement(""); err != nil {
			b.Fatal(err)
		}
	}
}
