package exchange_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// find searches as somebody would; "Type?parameters".
func (w *world) find(p auth.Principal, query string) (exchange.SearchResult, error) {
	w.Helper()
	typ, rest, _ := strings.Cut(query, "?")
	values, err := url.ParseQuery(rest)
	if err != nil {
		w.Fatal(err)
	}
	req, err := search.Parse(typ, values, "http://hie.example/baseR4")
	if err != nil || len(req.Unknown) > 0 {
		w.Fatal(query, req.Unknown, err)
	}
	return w.exchange.Search(w.ctx, p, req)
}

// listed gives records as "Type/id", with "|2" for a version that is not the
// first, in order and separated by spaces.
func listed(list []store.Resource) string {
	var all []string
	for _, res := range list {
		name := res.Type + "/" + res.ID
		if res.Version > 1 {
			name += fmt.Sprintf("|%d", res.Version)
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// pharmacy writes records that refer to each other, of two organisations. The
// clinic may see the patient lim, and what it wrote itself.
func pharmacy(w *world) {
	hospitals := []string{
		`{"resourceType":"Practitioner","id":"dr"}`,
		`{"resourceType":"Location","id":"l1","status":"active"}`,
		`{"resourceType":"MedicationRequest","id":"mr1","status":"active","intent":"order","subject":{"reference":"Patient/lim"},"requester":{"reference":"Practitioner/dr"},"priorPrescription":{"reference":"MedicationRequest/mr0"}}`,
		`{"resourceType":"MedicationDispense","id":"md1","status":"completed","subject":{"reference":"Patient/lim"},"authorizingPrescription":[{"reference":"MedicationRequest/mr1"},{"reference":"http://hie.example/baseR4/MedicationRequest/mr1"},{"reference":"http://other.example/MedicationRequest/mr1"}]}`,
		`{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/lim/_history/1"},"performer":[{"reference":"Practitioner/dr"},{"reference":"Patient/lim"}]}`,
		`{"resourceType":"Observation","id":"o2","status":"final","subject":{"reference":"Patient/siti"},"hasMember":[{"reference":"Observation/o1"}],"performer":[{"reference":"Practitioner/gone"},{"reference":"#c"}],"contained":[{"resourceType":"Practitioner","id":"c"}]}`,
		`{"resourceType":"Questionnaire","id":"q1","url":"http://q.example/q","version":"1","status":"active"}`,
		`{"resourceType":"Questionnaire","id":"q2","url":"http://q.example/q","version":"2","status":"active"}`,
		`{"resourceType":"QuestionnaireResponse","id":"r1","status":"completed","questionnaire":"http://q.example/q|1","subject":{"reference":"Patient/lim"}}`,
		`{"resourceType":"QuestionnaireResponse","id":"r2","status":"completed","questionnaire":"http://q.example/q"}`,
		`{"resourceType":"Provenance","id":"pr1","target":[{"reference":"MedicationRequest/mr1"},{"reference":"MedicationDispense/md1"}],"recorded":"2026-11-22T10:00:00+08:00","agent":[{"who":{"reference":"Practitioner/dr"}}]}`,
		`{"resourceType":"Patient","id":"lim","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/my-kad-no","value":"` + lim.Login + `"}],"active":true,"name":[{"text":"Lim again"}],"gender":"male","birthDate":"1985-07-12"}`,
	}
	clinics := []string{
		`{"resourceType":"MedicationDispense","id":"md2","status":"completed","subject":{"reference":"Patient/lim"},"authorizingPrescription":[{"reference":"MedicationRequest/mr1"}]}`,
		`{"resourceType":"Observation","id":"o3","status":"final","subject":{"reference":"Patient/lim"},"performer":[{"reference":"Practitioner/dr"},{"reference":"Patient/siti"}]}`,
		`{"resourceType":"Provenance","id":"pr2","target":[{"reference":"MedicationRequest/mr1"}],"recorded":"2026-11-22T10:00:00+08:00","agent":[{"who":{"reference":"Practitioner/dr"}}]}`,
	}
	for i, body := range hospitals {
		w.at(w.now.Add(time.Duration(i) * time.Second))
		w.put(hospitalSystem, body)
	}
	for _, body := range clinics {
		w.put(clinicSystem, body)
	}
	for i := 2; i <= 13; i++ {
		w.put(hospitalSystem, fmt.Sprintf(`{"resourceType":"Location","id":"l%d","status":"active","partOf":{"reference":"Location/l%d"}}`, i, i-1))
	}
}

func TestIncludes(t *testing.T) {
	w := newWorld(t)
	pharmacy(w)
	scoped := client("narrow", hospital)
	scoped.Scopes = []string{"system/MedicationDispense.rs", "system/MedicationRequest.rs"}
	const mr = "_include:iterate=MedicationRequest:requester"
	for _, c := range []struct {
		as    auth.Principal
		query string
		want  string
	}{
		{hospitalSystem, "MedicationDispense?_include=MedicationDispense:prescription", "MedicationRequest/mr1"},
		{hospitalSystem, "MedicationDispense?_include=MedicationDispense:prescription&" + mr, "MedicationRequest/mr1 Practitioner/dr"},
		{hospitalSystem, "MedicationDispense?_include=MedicationDispense:prescription&_include:iterate=MedicationRequest:*", "MedicationRequest/mr1 Patient/lim|2 Practitioner/dr"},
		{hospitalSystem, "MedicationDispense?" + mr, ""},
		{hospitalSystem, "MedicationRequest?" + mr, "Practitioner/dr"},
		{hospitalSystem, "MedicationDispense?_include=MedicationDispense:patient", "Patient/lim|2"},
		{hospitalSystem, "MedicationDispense?_include=*", "Patient/lim|2 MedicationRequest/mr1"},
		{hospitalSystem, "MedicationDispense?_include=MedicationDispense:*", "Patient/lim|2 MedicationRequest/mr1"},
		{hospitalSystem, "MedicationDispense?_include=MedicationDispense:*:MedicationRequest", "MedicationRequest/mr1"},
		// the version that a reference names, and the current one
		{hospitalSystem, "Observation?_id=o1&_include=Observation:subject", "Patient/lim"},
		{hospitalSystem, "Observation?_id=o1&_include=Observation:performer", "Practitioner/dr Patient/lim|2"},
		{hospitalSystem, "Observation?_id=o1&_include=Observation:performer:Patient&_include=Observation:subject:Patient", "Patient/lim|2 Patient/lim"},
		{hospitalSystem, "Observation?_id=o1&_include=Observation:subject:Group", ""},
		// what is a match already, is contained, or is not there
		{hospitalSystem, "Observation?_include=Observation:has-member", ""},
		{hospitalSystem, "Observation?_id=o2&_include=Observation:performer", ""},
		{hospitalSystem, "Observation?_id=o2&_include:recurse=Observation:*", "Observation/o1 Patient/siti Patient/lim Patient/lim|2 Practitioner/dr"},
		// canonical references
		{hospitalSystem, "QuestionnaireResponse?_id=r1&_include=QuestionnaireResponse:questionnaire", "Questionnaire/q1"},
		{hospitalSystem, "QuestionnaireResponse?_id=r2&_include=QuestionnaireResponse:questionnaire", "Questionnaire/q2"},
		{hospitalSystem, "QuestionnaireResponse?_id=r1&_include=*", "Patient/lim|2 Questionnaire/q1"},
		{hospitalSystem, "Questionnaire?_id=q1&_revinclude=QuestionnaireResponse:questionnaire", "QuestionnaireResponse/r1 QuestionnaireResponse/r2"},
		// backwards
		{hospitalSystem, "MedicationRequest?_revinclude=MedicationDispense:prescription", "MedicationDispense/md1"},
		{hospitalSystem, "MedicationRequest?_revinclude=Provenance:*", "Provenance/pr1"},
		{hospitalSystem, "MedicationRequest?_revinclude=Provenance:target:MedicationRequest", "Provenance/pr1"},
		{hospitalSystem, "MedicationRequest?_revinclude=*", "MedicationDispense/md1 Provenance/pr1"},
		{hospitalSystem, "Patient?_id=lim&_revinclude=MedicationRequest:patient&_revinclude:iterate=MedicationDispense:prescription", "MedicationRequest/mr1 MedicationDispense/md1"},
		{hospitalSystem, "Patient?_id=lim&_revinclude:iterate=*", "MedicationRequest/mr1 MedicationDispense/md1 Observation/o1 QuestionnaireResponse/r1 Observation/o2 Provenance/pr1"},
		// of two organisations
		{clinicSystem, "MedicationDispense?_include=*", "Patient/lim|2"},
		{clinicSystem, "Observation?_include=*", "Patient/lim|2 Practitioner/dr"},
		{clinicSystem, "Patient?_revinclude=Observation:subject&_revinclude=MedicationDispense:patient", "Observation/o3 MedicationDispense/md2"},
		{clinicSystem, "Patient?_revinclude:iterate=*", "MedicationDispense/md2 Observation/o3"},
		{clinicSystem, "Practitioner?_revinclude=*", "Observation/o3 Provenance/pr2"},
		{clinicSystem, "Practitioner?_revinclude=MedicationRequest:requester", ""},
		{clinicSystem, "Location?_id=l2&_include=Location:partof", "Location/l1"},
		// what the scopes leave out
		{scoped, "MedicationDispense?_include=*&_revinclude=*&" + mr, "MedicationRequest/mr1"},
	} {
		found, err := w.find(c.as, c.query)
		if got := listed(found.Included); err != nil || got != c.want || len(found.Notes) > 0 {
			t.Errorf("%s: %s\n got %s %v %v\nwant %s", c.as.ID, c.query, got, found.Notes, err, c.want)
		}
	}
}

// An include ends after ten references in a row, and after a thousand records,
// and says so.
func TestIncludesAreBounded(t *testing.T) {
	w := newWorld(t)
	pharmacy(w)
	found, err := w.find(clinicSystem, "Location?_id=l13&_include:iterate=Location:partof")
	if err != nil || len(found.Included) != 10 || len(found.Notes) != 1 || !strings.Contains(found.Notes[0].Diagnostics, "10 records in a row") {
		t.Errorf("%s %v %v", listed(found.Included), found.Notes, err)
	}
	found, err = w.find(clinicSystem, "Location?_id=l11&_include:iterate=Location:partof")
	if err != nil || len(found.Included) != 10 || len(found.Notes) != 0 {
		t.Errorf("%s %v %v", listed(found.Included), found.Notes, err)
	}
	w.update(func(tx store.Tx) error {
		for i := range 1001 {
			id := fmt.Sprint("many", i)
			if err := tx.PutResource(store.Resource{
				Type: "Flag", ID: id, Version: 1, Updated: w.now, Method: "PUT", Organization: hospital, Body: []byte(`{"resourceType":"Flag","id":"` + id + `"}`),
			}, []store.Entry{{Param: "subject", Kind: store.Reference, Value: "Patient/siti"}}, nil); err != nil {
				return err
			}
		}
		return nil
	})
	for _, include := range []string{"Flag:subject", "*"} {
		found, err = w.find(hospitalSystem, "Patient?_id=siti&_revinclude="+include)
		if err != nil || len(found.Included) != 1000 || len(found.Notes) != 1 || !strings.Contains(found.Notes[0].Diagnostics, "only 1000") {
			t.Errorf("%s: %d %v %v", include, len(found.Included), found.Notes, err)
		}
	}
}
