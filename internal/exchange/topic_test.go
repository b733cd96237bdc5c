package exchange_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// laboratory is the guide's own row, Lab Requesting Affiliate, and one for all.
var laboratory = []subscription.Topic{{
	Name: "hie.lab.request." + subscription.Organization, Title: "Lab Requesting Affiliate", Category: subscription.Affiliate, Resource: "ServiceRequest",
	Recipients: []string{"performer"}, Include: []string{"Patient", "Encounter"},
	Criteria: []subscription.Criterion{{Element: "category", Any: []string{"108252007"}}, {Element: "status", Any: []string{"active", "revoked"}}},
	Changes:  []string{"status"}, ByOthers: true, Payload: subscription.FullResource, EventType: "my.gov.moh.hie.lab.request-{status}.v1",
}, {
	Name: "hie.lab.all", Title: "Lab", Category: subscription.Public, Resource: "ServiceRequest",
	Criteria: []subscription.Criterion{{Element: "category", Any: []string{"108252007"}}},
	Changes:  []string{"status"}, Payload: subscription.IDOnly, EventType: "my.gov.moh.hie.lab.request-{status}.v1",
}, {
	Name: "hie.lab.report." + subscription.Organization, Title: "Lab Reporting", Category: subscription.Affiliate, Resource: "DiagnosticReport",
	Recipients: []string{"basedOn"}, Include: []string{"Observation", "Patient", "Encounter"},
	Criteria: []subscription.Criterion{{Element: "category", Any: []string{"108252007"}}, {Element: "status", Any: []string{"final"}}},
	Payload:  subscription.FullResource, EventType: "my.gov.moh.hie.lab.report-{status}.v1",
}}

// maxRecipients is how many organisations a record may be announced to.
const maxRecipients = 20

func labRequest(status, patient string, performers ...string) string {
	var list []string
	for _, p := range performers {
		list = append(list, `{"reference":"Organization/`+p+`"}`)
	}
	return `{"resourceType":"ServiceRequest","id":"lab-1","status":"` + status + `","intent":"order","category":[{"coding":[{"system":"http://snomed.info/sct","code":"108252007"}]}],` +
		`"code":{"text":"Full blood count"},"subject":{"reference":"Patient/` + patient + `"},"performer":[` + strings.Join(list, ",") + `]}`
}

// onTopic gives the events on a topic, each as the records that it holds.
func (w *world) onTopic(name string) (all []string) {
	w.Helper()
	for _, e := range w.events() {
		if e.Topic != name {
			continue
		}
		doc, err := fhir.Parse(e.Value)
		if err != nil {
			w.Fatal(err)
		}
		var records []string
		for entry := range doc.All("entry.resource") {
			if typ := entry.Get("resourceType").String(); typ != "Parameters" {
				records = append(records, typ+"/"+entry.Get("id").String())
			}
		}
		all = append(all, strings.Join(records, " "))
	}
	return all
}

func TestLabRequestIsAnnouncedToWhoIsAsked(t *testing.T) {
	w := newWorldOf(t, laboratory...)
	w.put(hospitalSystem, labRequest("draft", "aminah", clinic))
	w.put(hospitalSystem, labRequest("active", "aminah", clinic, "unknown-organisation", hospital))
	w.put(hospitalSystem, labRequest("active", "aminah", clinic, "unknown-organisation", hospital)) // the same again
	w.put(hospitalSystem, labRequest("revoked", "aminah", clinic, "unknown-organisation", hospital))
	request := "ServiceRequest/lab-1 Patient/aminah"
	if got := w.onTopic("hie.lab.request." + clinic); !slices.Equal(got, []string{request, request}) {
		t.Errorf("the clinic is sent %q", got)
	}
	if got := w.onTopic("hie.lab.all"); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("all are sent %q, want three events without records", got)
	}
	if n := len(w.events()); n != 5 {
		t.Errorf("%d events, want 5: the hospital did it itself, and the unknown organisation has no topic", n)
	}
	if _, err := w.exchange.Read(w.ctx, clinicSystem, "ServiceRequest", "lab-1"); err != nil {
		t.Errorf("the clinic cannot read what it was told of: %v", err)
	}
	if _, err := w.exchange.Read(w.ctx, clinicSystem, "Patient", "aminah"); fhir.CodeOf(err) != fhir.CodeNotFound {
		t.Errorf("the clinic reads the Patient: %v", err)
	}
	w.refused(fhir.CodeForbidden, func() error { _, err := w.try(clinicSystem, labRequest("completed", "aminah", clinic)); return err })
}

// What was asked for goes back to who asked.
func TestLabReportIsAnnouncedToWhoAsked(t *testing.T) {
	w := newWorldOf(t, laboratory...)
	w.put(hospitalSystem, labRequest("active", "aminah", clinic))
	w.put(clinicSystem, `{"resourceType":"Observation","id":"hb","status":"final","code":{"text":"Haemoglobin"},"subject":{"reference":"Patient/aminah"}}`)
	report := func(status, basedOn string) string {
		return `{"resourceType":"DiagnosticReport","id":"report-1","status":"` + status + `","category":[{"coding":[{"code":"108252007"}]}],"code":{"text":"Full blood count"},` +
			`"basedOn":[{"reference":"` + basedOn + `"}],"subject":{"reference":"Patient/aminah"},"result":[{"reference":"Observation/hb"}]}`
	}
	w.put(clinicSystem, report("preliminary", "ServiceRequest/lab-1"))
	w.put(clinicSystem, report("final", "ServiceRequest/none"))
	w.put(clinicSystem, report("final", "ServiceRequest/lab-1"))
	if got := w.onTopic("hie.lab.report." + hospital); !slices.Equal(got, []string{"DiagnosticReport/report-1 Observation/hb Patient/aminah"}) {
		t.Errorf("the hospital is sent %q", got)
	}
	if _, err := w.exchange.Read(w.ctx, hospitalSystem, "DiagnosticReport", "report-1"); err != nil {
		t.Errorf("the hospital cannot read the report: %v", err)
	}
}

// Nobody gets a record out of the exchange by referring to it.
func TestWhatTheSenderMayNotSeeIsNotSentAlong(t *testing.T) {
	w := newWorldOf(t, append(laboratory, subscription.Default()...)...)
	w.put(clinicSystem, labRequest("active", "aminah", hospital, clinic))
	if got := w.onTopic("hie.lab.request." + hospital); !slices.Equal(got, []string{"ServiceRequest/lab-1 Patient/aminah"}) {
		t.Errorf("the hospital, whose patient it is, is sent %q", got)
	}
	w.put(hospitalSystem, w.appointment(wish{}))
	w.put(clinicSystem, `{"resourceType":"Encounter","id":"e-1","status":"finished","class":{"system":"http://fhir.hie.moh.gov.my/CodeSystem/encounter-class-my-core","code":"VR"},`+
		`"serviceType":`+concept("service-type", "VCI")+`,"priority":`+concept("visit-priority", "1")+`,"subject":{"reference":"Patient/lim"},"identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/encounter-id","value":"E1"}],`+
		`"period":{"start":"2026-11-20T09:00:00+08:00","end":"2026-11-20T09:30:00+08:00"},"serviceProvider":{"reference":"Organization/`+clinic+`"},"appointment":[{"reference":"Appointment/app-1"}]}`)
	if got := w.onTopic("hie.vc.encounter." + clinic); !slices.Equal(got, []string{"Encounter/e-1 Patient/lim"}) {
		t.Errorf("the clinic is sent %q; the Appointment is the hospital's", got)
	}
}

func TestRecordThatNamesManyRecipients(t *testing.T) {
	w := newWorldOf(t, laboratory...)
	var many []string
	for i := range maxRecipients + 1 {
		id := fmt.Sprintf("lab-%d", i)
		many = append(many, id)
		w.put(client(id, id), `{"resourceType":"Organization","id":"`+id+`","identifier":[{"system":"http://fhir.hie.moh.gov.my/sid/organization-id","value":"`+id+`"}],"active":true,"name":"Laboratory"}`)
	}
	w.refused(fhir.CodeTooCostly, func() error { _, err := w.try(hospitalSystem, labRequest("active", "aminah", many...)); return err })
	w.put(hospitalSystem, labRequest("active", "aminah", many[1:]...))
	if n := len(w.events()); n != maxRecipients+1 {
		t.Errorf("%d events", n)
	}
	w.view(func(r store.Reader) error {
		may, err := r.MaySee("ServiceRequest", "lab-1", many[0])
		if may {
			t.Error("an organisation that was not told may read the record")
		}
		return err
	})
}
