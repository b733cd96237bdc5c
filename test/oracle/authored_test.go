package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/mycore"
)

// server is a whole exchange and the token of a hospital.
type server struct {
	*testing.T
	base, token string
}

func startServer(t *testing.T) server {
	t.Helper()
	cfg := app.Defaults()
	cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	a, err := app.Start(context.WithoutCancel(t.Context()), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	cast, _ := a.Credentials()
	c := cast.Clients[0]
	answer, err := http.PostForm(a.URL()+"/auth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return server{t, a.URL() + "/baseR4", got.Token}
}

// ask gives the answer to a request, whatever its status.
func (s server) ask(method, path, body string) *fhir.Document {
	s.Helper()
	address := path
	if !strings.HasPrefix(path, "http") {
		address = s.base + path
	}
	req, err := http.NewRequestWithContext(s.Context(), method, address, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/fhir+json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	doc, err := fhir.Parse(raw)
	if err != nil {
		s.Fatalf("%s %s: %v\n%s", method, path, err, raw)
	}
	return doc
}

// all gives the records of all pages of a search.
func (s server) all(path string) (list []*fhir.Document) {
	s.Helper()
	for path != "" {
		page := s.ask(http.MethodGet, path, "")
		for n := range page.All("entry") {
			list = append(list, parsed(s.T, n.Get("resource").Raw()))
		}
		path = ""
		for n := range page.All("link") {
			if n.Get("relation").Is("next") {
				path = n.Get("url").String()
			}
		}
	}
	return list
}

// authored are requests whose answers the exchange writes itself.
var authored = []struct{ name, method, path, body string }{
	{"CapabilityStatement", "GET", "/metadata", ""},
	{"searchset", "GET", "/Patient?_count=3&_include=Patient:organization&_total=accurate", ""},
	{"searchset, nothing found", "GET", "/Patient?_id=nobody", ""},
	{"searchset, parameter not known", "GET", "/Patient?colour=red", ""},
	{"searchset, count", "GET", "/Patient?_summary=count", ""},
	{"searchset, subsetted", "GET", "/Patient?_elements=birthDate", ""},
	{"history of the system", "GET", "/_history", ""},
	{"history of a type", "GET", "/Basic/_history", ""},
	{"history of a record", "GET", "/Basic/b1/_history", ""},
	{"history with a deletion", "GET", "/Basic/b5/_history", ""},
	{"outcome, gone", "GET", "/Basic/b5", ""},
	{"everything", "GET", "/Patient/demo-aminah/$everything", ""},
	{"meta", "GET", "/Patient/demo-aminah/$meta", ""},
	{"meta of the system", "GET", "/$meta", ""},
	{"meta-add", "POST", "/Basic/b1/$meta-add", `{"resourceType":"Parameters","parameter":[{"name":"meta","valueMeta":{"tag":[{"system":"http://x.example","code":"a"}]}}]}`},
	{"TerminologyCapabilities", "GET", "/metadata?mode=terminology", ""},
	{"search of the system", "GET", "/?_type=Patient,Basic&_count=4", ""},
	{"search of a compartment", "GET", "/Patient/demo-aminah/*?_count=4", ""},
	{"audit trail", "GET", "/AuditEvent?_count=10", ""},
	{"expansion", "GET", "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender", ""},
	{"expansion of MY Core", "GET", "/ValueSet/$expand?url=http://fhir.hie.moh.gov.my/ValueSet/state-my-core&filter=j", ""},
	{"lookup", "GET", "/CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=male", ""},
	{"validate-code", "GET", "/CodeSystem/$validate-code?url=http://hl7.org/fhir/administrative-gender&code=mail", ""},
	{"subsumes", "GET", "/CodeSystem/$subsumes?system=http://hl7.org/fhir/administrative-gender&codeA=male&codeB=female", ""},
	{"subscription", "PUT", "/Subscription/s1", `{"resourceType":"Subscription","id":"s1","status":"requested","reason":"x","criteria":"Basic?_id=b9","channel":{"type":"websocket","payload":"application/fhir+json"}}`},
	{"what a subscription is told of", "PUT", "/Basic/b9", `{"resourceType":"Basic","id":"b9","code":{"text":"x"}}`},
	{"status of subscriptions", "GET", "/Subscription/$status", ""},
	{"events of a subscription", "GET", "/Subscription/s1/$events", ""},
	{"key of a websocket", "GET", "/Subscription/s1/$get-ws-binding-token", ""},
	{"transaction-response", "POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[
		{"resource":{"resourceType":"Basic","id":"b2","code":{"text":"x"}},"request":{"method":"PUT","url":"Basic/b2"}},
		{"resource":{"resourceType":"Basic","code":{"text":"x"}},"request":{"method":"POST","url":"Basic","ifNoneExist":"_id=b2"}},
		{"request":{"method":"GET","url":"Basic/b1"}},{"request":{"method":"DELETE","url":"Basic/b3"}}]}`},
	{"batch-response", "POST", "", `{"resourceType":"Bundle","type":"batch","entry":[
		{"resource":{"resourceType":"Basic","id":"b4","code":{"text":"x"}},"request":{"method":"PUT","url":"Basic/b4"}},
		{"request":{"method":"GET","url":"Basic?_id=b4"}},{"request":{"method":"GET","url":"Basic/none"}},{"request":{"method":"DELETE","url":"Basic/b4"}}]}`},
	{"outcome, not found", "GET", "/Patient/nobody", ""},
	{"outcome, no such type", "GET", "/Nothing/1", ""},
	{"outcome, no JSON", "POST", "/Patient", `{"resourceType":`},
	{"outcome, another id", "PUT", "/Patient/1", `{"resourceType":"Patient","id":"2"}`},
	{"outcome of a transaction", "POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"GET","url":"Patient/nobody"}}]}`},
	{"outcome of $validate, good", "POST", "/Basic/$validate", `{"resourceType":"Basic","code":{"text":"x"}}`},
	{"outcome of $validate, bad", "POST", "/Slot/$validate", `{"resourceType":"Slot","status":"free","colour":1}`},
}

// definitions are the types of which the exchange has records of its own, and
// of how many of FHIR R4 one is judged: HL7's validator takes a quarter of a
// second for each.
var definitions = map[string]int{
	"StructureDefinition": 50, "CodeSystem": 200, "ValueSet": 200, "SearchParameter": 200, "OperationDefinition": 1, "CompartmentDefinition": 1, "NamingSystem": 1,
}

// notifications gives the messages of package subscription's tests.
func notifications(t *testing.T) (list []record) {
	t.Helper()
	files, err := filepath.Glob("../../internal/subscription/testdata/*.golden")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d notifications: %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, bundle, _ := bytes.Cut(raw, []byte("\n{"))
		list = append(list, record{filepath.Base(file), parsed(t, append([]byte("{"), bundle...))})
	}
	return list
}

// noPackages is what HL7's validator says when it wants to make a snapshot of an
// extension: within HAPI it has none of the packages in which it looks.
const noPackages = "Error generating Snapshot: Unable to resolve package id hl7.fhir.r4.core"

// noList is what HAPI says when the validator wants to look through all code
// systems, for the one that a ValueSet names by another URL than its own.
const noList = "Unable to fetch resources of type: class org.hl7.fhir.r5.model.CodeSystem"

// What the exchange writes itself is valid FHIR R4 for HL7's validator, and
// HAPI's strict parser reads it without loss.
func TestWhatIsAuthoredIsValid(t *testing.T) {
	s := startServer(t)
	for _, id := range []string{"b1", "b3", "b5"} {
		s.ask("PUT", "/Basic/"+id, `{"resourceType":"Basic","id":"`+id+`","code":{"text":"x"}}`)
		s.ask("PUT", "/Basic/"+id, `{"resourceType":"Basic","id":"`+id+`","code":{"text":"y"}}`)
	}
	s.ask("POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Basic/b5"}}]}`)
	var names []string
	var docs []*fhir.Document
	for _, a := range authored {
		names, docs = append(names, a.name), append(docs, s.ask(a.method, a.path, a.body))
	}
	for _, n := range notifications(t) {
		names, docs = append(names, n.name), append(docs, n.doc)
	}
	for typ, every := range definitions {
		list := s.all("/" + typ + "?_count=100")
		if len(list) == 0 {
			t.Errorf("there is no %s", typ)
		}
		for i, doc := range list {
			if i%every == 0 || strings.HasPrefix(doc.Get("url").String(), mycore.Root) {
				names, docs = append(names, typ+"/"+doc.ID()), append(docs, doc)
			}
		}
	}
	var tasks []task
	for _, doc := range docs {
		tasks = append(tasks, task{Document: string(doc.Bytes())}, task{Document: string(doc.Bytes()), Write: true})
	}
	answers, notJudged := ask(t, tasks), 0
	for i, name := range names {
		for _, says := range faultsOfHL7(answers[2*i].Issues) {
			if !strings.Contains(says, noPackages) {
				t.Errorf("%s: %s", name, says)
			}
		}
		if err := answers[2*i].Error; strings.Contains(err, noList) {
			notJudged++
		} else if err != "" {
			t.Errorf("%s: %s", name, err)
		}
		if err := answers[2*i+1].Error; err != "" {
			t.Errorf("%s: HAPI's parser: %s", name, err)
		}
	}
	t.Logf("%d resources are valid, %d of them as far as HAPI reads them", len(docs), notJudged)
	if notJudged > 5 {
		t.Error("the validator judges too few of them")
	}
}
