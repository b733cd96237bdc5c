package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

func bundleOf(typ string, entries ...string) string {
	return `{"resourceType":"Bundle","type":"` + typ + `","entry":[` + strings.Join(entries, ",") + `]}`
}

func transactionOf(entries ...string) string { return bundleOf("transaction", entries...) }

// posted is an entry that creates, under a fullUrl when there is one.
func posted(full, resource string) string {
	typ := between(resource, `"resourceType":"`, `"`)
	return sent(full, "POST", typ, resource, "")
}

// sent is an entry; more are further members of its request.
func sent(full, method, url, resource, more string) string {
	e := `{"request":{"method":"` + method + `","url":"` + url + `"` + more + `}`
	if full != "" {
		e += `,"fullUrl":"` + full + `"`
	}
	if resource != "" {
		e += `,"resource":` + strings.Replace(resource, `"id":"",`, "", 1)
	}
	return e + `}`
}

func urn(n int) string { return fmt.Sprintf("urn:uuid:6a1e7a8e-0001-4000-8000-%012d", n) }

// stored gives what a transaction stored in each of its entries.
func (s *server) stored(t *testing.T, body string) []*fhir.Document {
	t.Helper()
	w := s.do(hospital, "POST", Root, body, headers{"Prefer": "return=representation", "Content-Type": mediaFHIR})
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var answer struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	docs := make([]*fhir.Document, len(answer.Entry))
	for i, e := range answer.Entry {
		if len(e.Resource) == 0 {
			continue
		}
		doc, err := fhir.Parse(e.Resource)
		if err != nil {
			t.Fatal(err)
		}
		docs[i] = doc
	}
	return docs
}

// Every way in which entries of a transaction may name each other. The Bundle
// is a Patient, and an Observation with the link; FULL stands for the fullUrl.
func TestLinksBetweenEntries(t *testing.T) {
	const oid, other = "urn:oid:1.2.36.146.595.217.0.1", "https://other.example/fhir/Patient/77"
	subject := func(ref string) string { return `,"subject":{"reference":"` + ref + `"}` }
	patient := numbered("", "L1", "male")
	for _, c := range []struct {
		name, full, own, link string // own is the fullUrl of the Observation
		path                  string // where the link stands
		want                  string // P stands for Patient/id
	}{
		{"urn:uuid", urn(1), "", subject(urn(1)), "subject.reference", "P"},
		{"urn:oid", oid, "", subject(oid), "subject.reference", "P"},
		{"an absolute address of another server", other, "", subject(other), "subject.reference", "P"},
		{"an absolute address of this server", testBase + "/Patient/77", "", subject(testBase + "/Patient/77"), "subject.reference", "P"},
		{"relative, beside an entry of another server", other, "https://other.example/fhir/Observation/1", subject("Patient/77"), "subject.reference", "P"},
		{"relative, beside an entry of this server", testBase + "/Patient/77", testBase + "/Observation/1", subject("Patient/77"), "subject.reference", "P"},
		{"relative, from an entry of a third server", other, "https://third.example/fhir/Observation/1", subject("Patient/77"), "subject.reference", "Patient/77"},
		{"relative, from an entry with a urn", other, urn(2), subject("Patient/77"), "subject.reference", "Patient/77"},
		{"the guide's own", urn(1), "", subject("Patient/" + urn(1)), "subject.reference", "P"},
		{"with a version", other, "", subject(other + "/_history/4"), "subject.reference", "P/_history/1"},
		{"relative with a version", other, "https://other.example/fhir/Observation/1", subject("Patient/77/_history/4"), "subject.reference", "P/_history/1"},
		{"in an extension", urn(1), "", `,"extension":[{"url":"http://x","valueReference":{"reference":"` + urn(1) + `"}}]`, "extension.valueReference.reference", "P"},
		{"in an extension of a primitive", urn(1), "", `,"_status":{"extension":[{"url":"http://x","valueReference":{"reference":"` + urn(1) + `"}}]}`, "_status.extension.valueReference.reference", "P"},
		{"in a contained resource", urn(1), "", `,"contained":[{"resourceType":"Condition","id":"c","subject":{"reference":"` + urn(1) + `"}}]`, "contained.subject.reference", "P"},
		{"in a list", urn(1), "", `,"performer":[{"display":"nobody"},{"reference":"` + urn(1) + `"}]`, "performer.reference", "P"},
		{"in a uri", urn(1), "", `,"extension":[{"url":"http://x","valueUri":"` + urn(1) + `"}]`, "extension.valueUri", "P"},
		{"not in an oid, which can hold no address", oid, "", `,"extension":[{"url":"http://x","valueOid":"` + oid + `"}]`, "extension.valueOid", oid},
		{"in a url", other, "", `,"extension":[{"url":"http://x","valueAttachment":{"url":"` + other + `"}}]`, "extension.valueAttachment.url", "P"},
		{"not in a canonical", urn(1), "", `,"extension":[{"url":"http://x","valueCanonical":"` + urn(1) + `"}]`, "extension.valueCanonical", urn(1)},
		{"not in a string", urn(1), "", `,"extension":[{"url":"http://x","valueString":"` + urn(1) + `"}]`, "extension.valueString", urn(1)},
		{"not in the system of a code that another entry has not", urn(1), "", `,"identifier":[{"system":"` + urn(9) + `","value":"1"}]`, "identifier.system", urn(9)},
		{"in a narrative", urn(1), "", `,"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"` + urn(1) + `\">her</a> ` + urn(1) + ` <img alt='x' src='` + urn(1) + `'/></div>"}`,
			"text.div", `<div xmlns="http://www.w3.org/1999/xhtml"><a href="P">her</a> ` + urn(1) + ` <img alt='x' src='P'/></div>`},
		{"elsewhere", urn(1), "", subject("https://other.example/fhir/Patient/1"), "subject.reference", "https://other.example/fhir/Patient/1"},
		{"to what is here", urn(1), "", subject("Patient/p9"), "subject.reference", "Patient/p9"},
		{"to a fragment", urn(1), "", `,"contained":[{"resourceType":"Patient","id":"c"}]` + subject("#c"), "subject.reference", "#c"},
		{"by a condition that the other entry meets", urn(1), "", subject("Patient?identifier=http://n%7CL1"), "subject.reference", "P"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			for _, order := range []bool{true, false} {
				o := posted(c.own, observation("x", c.link))
				p := posted(c.full, strings.Replace(patient, "L1", fmt.Sprint("L", order), 1))
				o = strings.Replace(o, "CL1", fmt.Sprint("CL", order), 1)
				entries := []string{p, o}
				if !order { // nothing depends on the order of the entries
					entries = []string{o, p}
				}
				docs := s.stored(t, transactionOf(entries...))
				if !order {
					docs[0], docs[1] = docs[1], docs[0]
				}
				want := strings.NewReplacer("P/_", "Patient/"+docs[0].ID()+"/_").Replace(c.want)
				if c.want == "P" {
					want = "Patient/" + docs[0].ID()
				}
				want = strings.NewReplacer(`"P"`, `"Patient/`+docs[0].ID()+`"`, `'P'`, `'Patient/`+docs[0].ID()+`'`).Replace(want)
				if got := docs[1].Get(c.path).String(); got != want {
					t.Errorf("the link became %s, want %s", got, want)
				}
			}
		})
	}
}

// The rules of transactions, each with what it must leave.
func TestTransactions(t *testing.T) {
	jsonPatch := `{"resourceType":"Binary","contentType":"application/json-patch+json","data":"` +
		base64.StdEncoding.EncodeToString([]byte(`[{"op":"replace","path":"/gender","value":"unknown"}]`)) + `"}`
	subject := func(ref string) string { return `,"subject":{"reference":"` + ref + `"}` }
	steps := []step{
		{rule: "patient", method: "PUT", url: "/Patient/p1", body: numbered("p1", "1", "male"), status: 201},
		{rule: "observation of it", method: "PUT", url: "/Observation/o1", body: observation("o1", subject("Patient/p1")), status: 201},

		{rule: "an empty Bundle", method: "POST", body: `{"resourceType":"Bundle","type":"transaction"}`, status: 200, contains: `"transaction-response"`, excludes: "entry"},
		{rule: "an empty batch", method: "POST", body: `{"resourceType":"Bundle","type":"batch"}`, status: 200, contains: `"batch-response"`},
		{rule: "another type of Bundle", method: "POST", body: `{"resourceType":"Bundle","type":"searchset"}`, status: 400, contains: "Bundle.type"},
		{rule: "no Bundle", method: "POST", body: observation("o1", ""), status: 400},
		{rule: "an entry without a request", method: "POST", body: transactionOf(`{"resource":` + observation("o2", "") + `}`), status: 400, contains: `Bundle.entry[0].request.method`},
		{rule: "an entry with another method", method: "POST", body: transactionOf(sent("", "BREW", "Observation/o2", observation("o2", ""), "")), status: 400},
		{rule: "a fullUrl twice", method: "POST", body: transactionOf(posted(urn(1), observation("", "")), posted(urn(1), observation("", ""))), status: 400, contains: "Bundle.entry[1].fullUrl"},
		{rule: "a record twice", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o2", observation("o2", ""), ""), sent("", "PUT", "Observation/o2", observation("o2", subject("Patient/p1")), "")), status: 400, contains: "same record"},
		{rule: "written and deleted", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o1", observation("o1", ""), ""), sent("", "DELETE", "Observation/o1", "", "")), status: 400, contains: "same record"},
		{rule: "a urn of no entry", method: "POST", body: transactionOf(posted("", observation("", subject(urn(8))))), status: 422, contains: "Bundle.entry[0].resource.subject.reference"},
		{rule: "a condition that nothing meets", method: "POST", body: transactionOf(posted("", observation("", subject("Patient?identifier=none")))), status: 422, contains: "conditional reference"},
		{rule: "no type of R4", method: "POST", body: transactionOf(posted("", `{"resourceType":"Colour"}`)), status: 400},
		{rule: "url and resource disagree", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o3", observation("o2", ""), "")), status: 400, contains: "Bundle.entry[0].request.url"},
		{rule: "a create with an id in its url", method: "POST", body: transactionOf(sent("", "POST", "Observation/o3", observation("o3", ""), "")), status: 400},
		{rule: "ifMatch of an old version", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o1", observation("o1", ""), `,"ifMatch":"W/\"9\""`)), status: 412, contains: "Bundle.entry[0]"},
		{rule: "ifMatch that is none", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o1", observation("o1", ""), `,"ifMatch":"new"`)), status: 412, contains: "request.ifMatch"},
		{rule: "ifNoneMatch * of what is there", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o1", observation("o1", ""), `,"ifNoneMatch":"*"`)), status: 412},
		{rule: "what another organisation may not", method: "POST", as: &clinic, body: transactionOf(sent("", "PUT", "Observation/o1", observation("o1", ""), "")), status: 403, contains: "Bundle.entry[0]"},
		{rule: "what another organisation may not see", method: "POST", as: &clinic, body: transactionOf(sent("", "GET", "Observation/o1", "", "")), status: 404, excludes: "pulse"},

		{rule: "circular references, in any order", method: "POST", body: transactionOf(
			posted(urn(1), `{"resourceType":"Basic","code":{"text":"a"},"extension":[{"url":"http://x","valueReference":{"reference":"`+urn(2)+`"}}]}`),
			posted(urn(2), `{"resourceType":"Basic","code":{"text":"b"},"extension":[{"url":"http://x","valueReference":{"reference":"`+urn(1)+`"}}]}`)),
			header: headers{"Prefer": "return=representation", "Content-Type": mediaFHIR}, status: 200, contains: `"reference":"Basic/`, excludes: "urn:uuid"},
		{rule: "a record with those that refer to it is deleted, whatever stands first", method: "POST", body: transactionOf(
			sent("", "DELETE", "Patient/p1", "", ""), sent("", "DELETE", "Observation/o1", "", "")), status: 200, contains: `"204 No Content" & "etag":"W/\"2\""`},
		{rule: "both are gone", method: "GET", url: "/Patient/p1", status: 410},
		{rule: "deleted once more, with one that never was", method: "POST", body: transactionOf(sent("", "DELETE", "Patient/p1", "", ""), sent("", "DELETE", "Patient/never", "", "")), status: 404, contains: "Bundle.entry[1]"},
		{rule: "back again", method: "POST", body: transactionOf(sent("", "PUT", "Patient/p1", numbered("p1", "1", "male"), ""), sent("", "PUT", "Observation/o1", observation("o1", subject("Patient/p1")), "")), status: 200, contains: `"201 Created" & Patient/p1/_history/3`},
		{rule: "a reference goes before its target is deleted", method: "POST", body: transactionOf(sent("", "DELETE", "Patient/p1", "", ""), sent("", "PUT", "Observation/o1", observation("o1", ""), "")), status: 200},
		{rule: "a delete and a conditional create of the same", method: "PUT", url: "/Patient/p1", body: numbered("p1", "1", "male"), status: 201},
		{rule: "deletes come first", method: "POST", body: transactionOf(
			sent("", "POST", "Patient", numbered("", "1", "other"), `,"ifNoneExist":"identifier=http://n|1"`), sent("", "DELETE", "Patient/p1", "", "")),
			status: 200, contains: `"201 Created" & "204 No Content"`},
		{rule: "the same condition twice makes one", method: "POST", body: transactionOf(
			sent(urn(1), "POST", "Patient", numbered("", "8", "other"), `,"ifNoneExist":"identifier=http://n|8"`),
			sent(urn(2), "POST", "Patient", numbered("", "8", "other"), `,"ifNoneExist":"identifier=http://n|8"`),
			posted("", observation("", subject(urn(2))))), status: 200},
		{rule: "and references go to it", method: "GET", url: "/Observation?patient.identifier=http://n|8&_total=accurate", status: 200, contains: `"total":1`},
		{rule: "one, not two", method: "GET", url: "/Patient?identifier=http://n|8&_total=accurate", status: 200, contains: `"total":1`},

		{rule: "reads see what was written", method: "POST", body: transactionOf(
			sent("", "GET", "Patient?identifier=http://n|9&_total=accurate", "", ""), sent("", "POST", "Patient/_search?identifier=http://n|9&_summary=count", "", ""),
			sent("", "GET", "Patient/p9", "", ""), sent("", "HEAD", "Patient/p9", "", ""), sent("", "GET", "Patient/p9/_history/1", "", ""), sent("", "GET", "Patient/p9/_history", "", ""),
			sent("", "GET", "Patient/p9", "", `,"ifNoneMatch":"W/\"1\""`), sent("", "GET", "Patient/p9", "", `,"ifModifiedSince":"2026-11-23T09:00:00+08:00"`),
			sent("", "GET", "metadata?_elements=fhirVersion", "", ""), sent("", "GET", "Patient/p9/$everything", "", ""),
			sent("", "POST", "Patient/$validate", `{"resourceType":"Parameters","parameter":[{"name":"resource","resource":`+numbered("p9", "9", "male")+`}]}`, ""),
			sent("", "PUT", "Patient/p9", numbered("p9", "9", "male"), "")), status: 200,
			contains: `"searchset" & "total":1 & "fullUrl":"` + testBase + `/Patient/p9" & "304 Not Modified" & "201 Created" & "history" & "CapabilityStatement"`},
		{rule: "a read of nothing undoes all", method: "POST", body: transactionOf(sent("", "PUT", "Patient/p10", numbered("p10", "10", "male"), ""), sent("", "GET", "Patient/none", "", "")), status: 404, contains: "Bundle.entry[1]"},
		{rule: "nothing of it was done", method: "GET", url: "/Patient/p10", status: 404},
		{rule: "a search that is none undoes all", method: "POST", body: transactionOf(sent("", "PUT", "Patient/p10", numbered("p10", "10", "male"), ""), sent("", "GET", "Patient?birthdate=red", "", "")), status: 400, contains: "Bundle.entry[1]"},
		{rule: "an unknown address undoes all", method: "POST", body: transactionOf(sent("", "PUT", "Patient/p10", numbered("p10", "10", "male"), ""), sent("", "GET", "../auth/jwks", "", "")), status: 400},
		{rule: "nothing of those was done", method: "GET", url: "/Patient/p10", status: 404},

		{rule: "patches", method: "POST", header: headers{"Prefer": "return=representation", "Content-Type": mediaFHIR}, body: transactionOf(
			sent("", "PATCH", "Patient/p9", jsonPatch, `,"ifMatch":"W/\"1\""`),
			sent("", "PATCH", "Observation/o1", `{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}]}`, "")),
			status: 200, contains: `"gender":"unknown" & "status":"amended"`},
		{rule: "minimal by default", method: "POST", body: transactionOf(sent("", "PUT", "Observation/o8", observation("o8", ""), "")), status: 200, contains: `"location":"Observation/o8/_history/1" & "lastModified" & "etag"`, excludes: "pulse"},
		{rule: "with outcomes, in a batch", method: "POST", header: headers{"Prefer": "return=OperationOutcome", "Content-Type": mediaFHIR}, body: bundleOf("batch", sent("", "PUT", "Observation/o8", observation("o8", ""), "")), status: 200, contains: `"outcome":{"resourceType":"OperationOutcome" & "200 OK"`, excludes: "pulse"},
		{rule: "with outcomes", method: "POST", header: headers{"Prefer": "return=OperationOutcome", "Content-Type": mediaFHIR}, body: transactionOf(sent("", "PUT", "Observation/o8", observation("o8", ""), "")), status: 200, contains: `"outcome" & "200 OK"`, excludes: "pulse"},
		{rule: "a Bundle within keeps its own links", method: "POST", header: headers{"Prefer": "return=representation", "Content-Type": mediaFHIR}, body: transactionOf(
			posted(urn(1), `{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"`+urn(5)+`","resource":{"resourceType":"Basic","code":{"text":"b"},"subject":{"reference":"`+urn(6)+`"}}}]}`)),
			status: 200, contains: urn(5) + " & " + urn(6)},
		{rule: "and alone", method: "POST", url: "/Bundle", body: `{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"` + urn(5) + `","resource":{"resourceType":"Basic","code":{"text":"b"},"subject":{"reference":"` + urn(6) + `"}}}]}`, status: 201, contains: urn(6)},
		{rule: "too many entries", method: "POST", body: transactionOf(strings.TrimSuffix(strings.Repeat(sent("", "GET", "Patient/none", "", "")+",", exchange.MaxEntries+1), ",")), status: 413, contains: "too-costly"},
		{rule: "too many entries of a batch", method: "POST", body: bundleOf("batch", strings.TrimSuffix(strings.Repeat("{},", exchange.MaxEntries+1), ",")), status: 413, contains: "too-costly"},
	}
	newServer(t).story(t, steps)
}

// One bad entry of a batch stops no other, and each leaves its own trail.
func TestBatches(t *testing.T) {
	s := newServer(t)
	s.told(t, step{method: "PUT", url: "/Patient/p1", body: numbered("p1", "1", "male"), status: 201})
	before := s.trail(t)
	w := s.told(t, step{method: "POST", status: 200, body: bundleOf("batch",
		sent("", "PUT", "Observation/b1", observation("b1", ""), ""),
		sent("", "PUT", "Observation/b2", observation("b1", ""), ""),
		`{"resource":`+observation("b3", "")+`}`,
		sent("", "GET", "Patient/p1", "", ""),
		sent("", "POST", "Patient/_search?identifier=http://n%7C1&_total=accurate", "", ""),
		sent("", "GET", "Patient/none", "", ""),
		sent("", "POST", "Patient/$validate?mode=create", numbered("p1", "1", "male"), ""),
		sent("", "GET", "Patient/p1/$meta", "", ""),
		sent(urn(1), "POST", "Observation", observation("", `,"subject":{"reference":"`+urn(1)+`"}`), ""),
		sent("", "POST", "Patient", numbered("", "1", "other"), `,"ifNoneExist":"identifier=http://n|1"`),
		sent("", "DELETE", "Patient/p1", "", `,"ifMatch":"W/\"7\""`),
		sent("", "PUT", testBase+"/Observation/b4", observation("b4", ""), ""),
	)})
	var answer struct {
		Type  string
		Entry []struct {
			Resource json.RawMessage
			Response struct {
				Status, Location, Etag, LastModified string
				Outcome                              json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	want := []string{"201 Created", "400 Bad Request", "400 Bad Request", "200 OK", "200 OK", "404 Not Found", "200 OK", "200 OK", "422 Unprocessable Entity", "200 OK", "412 Precondition Failed", "201 Created"}
	if len(answer.Entry) != len(want) || answer.Type != "batch-response" {
		t.Fatalf("%d entries of a %s", len(answer.Entry), answer.Type)
	}
	for i, e := range answer.Entry {
		r := e.Response
		if r.Status != want[i] || (want[i][0] == '4') != (len(r.Outcome) > 0) || (r.Status == "201 Created") != (r.Location != "" && r.Etag != "" && r.LastModified != "" && !strings.Contains(r.Location, "://")) && i != 9 {
			t.Errorf("entry %d: %+v, want %s: %s", i, r, want[i], r.Outcome)
		}
	}
	after := s.trail(t)
	for _, a := range []string{"create Observation/b1", "search Patient", "validate Patient", "create Observation/b4"} {
		if after[a] != before[a]+1 {
			t.Errorf("%s: %d audit records, before %d", a, after[a], before[a])
		}
	}
	if n := after["read Patient/p1"] - before["read Patient/p1"]; n != 3 { // itself, $meta, and the conditional create that found it
		t.Errorf("%d reads of the patient, want 3", n)
	}
}

// trail counts the audit records by operation and target.
func (s *server) trail(t *testing.T) map[string]int {
	t.Helper()
	count := make(map[string]int)
	if err := s.store.View(t.Context(), func(r store.Reader) error {
		all, err := r.AuditTrail(store.AuditQuery{Count: 10_000})
		for _, a := range all {
			count[a.Operation+" "+a.Target]++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return count
}

// A transaction whose last entry fails leaves nothing: no version, no event,
// no booking, no consultation.
func TestTransactionsLeaveNothing(t *testing.T) {
	s := newServer(t)
	service := `{"resourceType":"HealthcareService","id":"h1","active":true,"providedBy":{"reference":"Organization/11-05060009"},"category":[{"coding":[` + virtualClass + `]}],"type":[{"coding":[` + individual + `]}],"name":"Dietetics"}`
	schedule := `{"resourceType":"Schedule","id":"s1","active":true,"extension":[{"url":"http://fhir.hie.moh.gov.my/StructureDefinition/schedule-type-my-core","valueCodeableConcept":{"coding":[{"system":"` + mycore.SystemScheduleType + `","code":"internal"}]}}],"planningHorizon":{"start":"2026-11-23T08:00:00+08:00","end":"2026-11-23T17:00:00+08:00"},"comment":"x","serviceCategory":[{"coding":[` + virtualClass + `]}],"serviceType":[{"coding":[` + individual + `]}],"specialty":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],"actor":[{"reference":"HealthcareService/h1"}]}`
	slot := `{"resourceType":"Slot","id":"l1","extension":[{"url":"http://fhir.hie.moh.gov.my/StructureDefinition/slot-quota-my-core","extension":[{"url":"available","valueString":"2"},{"url":"quota","valueString":"2"}]}],"serviceCategory":[{"coding":[` + virtualClass + `]}],"serviceType":[{"coding":[` + individual + `]}],"specialty":[{"coding":[{"system":"` + mycore.SystemSpecialty + `","code":"86"}]}],"appointmentType":{"coding":[{"system":"` + mycore.SystemScheduleType + `","code":"internal"}]},"schedule":{"reference":"Schedule/s1"},"status":"free","start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00"}`
	booked := strings.Replace(appointmentBody, `"status":"booked"`, `"slot":[{"reference":"Slot/l1"}],"status":"booked"`, 1)
	for _, r := range [][2]string{{"Organization/11-05060009", organizationBody}, {"Patient/p1", patientBody}, {"HealthcareService/h1", service}, {"Schedule/s1", schedule}, {"Slot/l1", slot}} {
		s.told(t, step{method: "PUT", url: "/" + r[0], body: r[1], status: 201})
	}
	state := func() string {
		out := ""
		if err := s.store.View(t.Context(), func(r store.Reader) error {
			page, err := r.History(store.HistoryQuery{Count: 1000})
			if err != nil {
				return err
			}
			events, err := r.PendingEvents(1000)
			if err != nil {
				return err
			}
			places, err := r.Booked("l1")
			out = fmt.Sprintf("%d versions, %d events, %d places", page.Total, len(events), places)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := state()
	good := []string{sent("", "PUT", "Appointment/a1", booked, ""), sent("", "PUT", "Observation/o1", observation("o1", ""), ""), posted(urn(1), numbered("", "7", "male"))}
	for _, bad := range []string{
		sent("", "PUT", "Observation/o2", observation("o3", ""), ""),
		sent("", "DELETE", "Observation/none", "", ""),
		sent("", "DELETE", "Organization/11-05060009", "", ""),
		sent("", "GET", "Observation/none", "", ""),
		sent("", "PUT", "Encounter/e1", `{"resourceType":"Encounter","id":"e1"}`, ""),
		sent("", "PUT", "Basic/x", `{"resourceType":"Basic","id":"x","code":{"text":"x"},"subject":{"reference":"`+urn(4)+`"}}`, ""),
	} {
		w := s.do(hospital, "POST", Root, transactionOf(append(good, bad)...), nil)
		if w.Code < 400 || !strings.Contains(w.Body.String(), "Bundle.entry[3]") {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
		if after := state(); after != before {
			t.Errorf("%s left %s, before %s", bad, after, before)
		}
	}
	if w := s.do(hospital, "POST", Root, transactionOf(good...), nil); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if after := state(); after == before || !strings.HasSuffix(after, "1 places") {
		t.Errorf("%s", after)
	}
}

// A reference to a version of an entry names the one that the Bundle makes.
func TestVersionsBetweenEntries(t *testing.T) {
	s := newServer(t)
	s.told(t, step{method: "PUT", url: "/Patient/p1", body: numbered("p1", "1", "male"), status: 201})
	s.told(t, step{method: "PUT", url: "/Patient/p2", body: numbered("p2", "2", "male"), status: 201})
	full := func(id string) string { return testBase + "/Patient/" + id }
	docs := s.stored(t, transactionOf(
		sent(full("p1"), "PUT", "Patient/p1", numbered("p1", "1", "female"), ""), // a new version
		sent(full("p2"), "PUT", "Patient/p2", numbered("p2", "2", "male"), ""),   // the same
		sent(urn(1), "POST", "Patient", numbered("", "2", "male"), `,"ifNoneExist":"identifier=http://n|2"`),
		posted("", observation("", `,"subject":{"reference":"`+full("p1")+`/_history/77"},"performer":[{"reference":"`+full("p2")+`/_history/77"},{"reference":"`+urn(1)+`/_history/77"}]`))))
	o := docs[3]
	for path, want := range map[string]string{"subject.reference": "Patient/p1/_history/2", "performer.reference": "Patient/p2/_history/1"} {
		if got := o.Get(path).String(); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// The Bundles of the guide as they stand there: sent with PUT, entries without
// a url, Type/urn:uuid:… as a reference, a single slot where a list belongs,
// and a quota whose sender has turned its two numbers around.
func TestBundlesOfTheGuide(t *testing.T) {
	const at = `{"system":"http://fhir.hie.moh.gov.my/CodeSystem/`
	codes := func(kind string) string {
		return `"serviceCategory":[{"coding":[` + at + `encounter-class-my-core","code":"AMB"}]}],"serviceType":[{"coding":[` + at + `service-type-my-core","code":"03"}]}],"specialty":[{"coding":[` + at + `specialty-my-core","code":"02"}]}],` +
			`"appointmentType":{"coding":[` + at + `schedule-type-my-core","code":"` + kind + `"}]},`
	}
	schedule := `{"resourceType":"Schedule","active":true,"extension":[{"url":"` + mycore.ExtensionScheduleType + `","valueCodeableConcept":{"coding":[` + at + `schedule-type-my-core","code":"internal"}]}}],` +
		strings.Replace(codes("x"), `"appointmentType":{"coding":[`+at+`schedule-type-my-core","code":"x"}]},`, "", 1) +
		`"actor":[{"reference":"HealthcareService/h1"},{"type":"Location","display":"Room 3"}],"planningHorizon":{"start":"2026-11-23T08:00:00+08:00","end":"2026-11-23T17:00:00+08:00"}}`
	slot := func(id, schedule, quota, available string) string {
		return `{"resourceType":"Slot",` + id + `"extension":[{"url":"` + mycore.ExtensionSlotQuota + `","extension":[{"url":"available","valueString":"` + available + `"},{"url":"quota","valueString":"` + quota + `"}]}],` +
			codes("public") + `"schedule":{"reference":"` + schedule + `"},"status":"free","start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00"}`
	}
	for _, typ := range []string{"transaction", "batch"} {
		s := newClinic(t)
		if typ == "transaction" {
			w := s.told(t, step{method: "PUT", url: "", header: headers{"Prefer": "return=representation", "Content-Type": mediaFHIR}, status: 200, contains: `"201 Created" & "reference":"Schedule/`, excludes: "urn:uuid", body: transactionOf(
				`{"resource":`+slot("", "Schedule/"+urn(1), "10", "10")+`,"request":{"method":"POST"}}`,
				`{"fullUrl":"`+urn(1)+`","resource":`+schedule+`,"request":{"method":"POST"}}`)})
			if strings.Count(w.Body.String(), "201 Created") != 2 {
				t.Errorf("%s", w.Body)
			}
		}
		withID := func(id, resource string) string {
			return strings.Replace(resource, `",`, `","id":"`+id+`",`, 1)
		}
		s.told(t, step{method: "PUT", url: "/", status: 200, contains: `"201 Created"`, excludes: `"status":"4`, body: bundleOf(typ,
			sent("", "PUT", "Schedule/schedule-sample", withID("schedule-sample", schedule), ""),
			sent("", "PUT", "Slot/slot-sample", slot(`"id":"slot-sample",`, "Schedule/schedule-sample", "10", "10"), ""))})
		booked := `{"resourceType":"Appointment","id":"booked","status":"booked",` + codes("internal") + `"start":"2026-11-23T10:00:00+08:00","end":"2026-11-23T10:30:00+08:00","slot":{"reference":"Slot/slot-sample"},` +
			`"participant":[{"actor":{"reference":"HealthcareService/h1"},"status":"accepted"},{"actor":{"reference":"Patient/p1"},"status":"accepted"},{"actor":{"type":"Location","display":"Room 3"},"status":"accepted"}]}`
		s.told(t, step{method: "PUT", url: "", status: 200, contains: `"201 Created" & "200 OK"`, excludes: `"status":"4`, body: bundleOf(typ,
			sent("", "PUT", "Appointment/booked", booked, ""),
			sent("", "PUT", "Slot/slot-sample", slot(`"id":"slot-sample",`, "Schedule/schedule-sample", "9", "10"), ""))})
		s.told(t, step{method: "GET", url: "/Slot/slot-sample", status: 200, contains: `{"url":"available","valueString":"8"} & {"url":"quota","valueString":"9"} & "status":"free"`})
	}
}
