package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// What the exchange is made of is read and searched like any record, and
// written by nobody.
func TestLibrary(t *testing.T) {
	type header = map[string]string
	const slots = `{"resourceType":"Basic","code":{"text":"x"},"subject":{"reference":"StructureDefinition?url=http://hl7.org/fhir/StructureDefinition/Slot"}}`
	tests := []struct {
		name, method, url, body string
		header                  header
		as                      *auth.Principal
		status                  int
		contains, excludes      string // parts divided by " & "
	}{
		{name: "read", url: "/StructureDefinition/Patient", status: 200,
			contains: `"url":"http://hl7.org/fhir/StructureDefinition/Patient" & "versionId":"1" & "path":"Patient.contact.name" & "short":"A name associated with the contact person" & "key":"pat-1" & "valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"`},
		{name: "read of the guide", url: "/StructureDefinition/Encounter-my-core", status: 200, contains: `"derivation":"constraint" & "versionId":"1"`},
		{name: "read as XML", url: "/CompartmentDefinition/patient", header: header{"Accept": mediaXML}, status: 200, contains: `<code value="Patient"/> & <param value="subject"/>`},
		{name: "a large one as XML", url: "/StructureDefinition/ElementDefinition", header: header{"Accept": mediaXML}, status: 200, contains: `<path value="ElementDefinition.binding.valueSet"/>`},
		{name: "read what the caller has", url: "/StructureDefinition/Patient", header: header{"If-None-Match": `W/"1"`}, status: 304},
		{name: "a naming system", url: "/NamingSystem/vc-token", status: 200, contains: `"value":"http://fhir.hie.moh.gov.my/sid/vc-token"`},
		{name: "version", url: "/StructureDefinition/Patient/_history/1", status: 200, contains: `"id":"Patient"`},
		{name: "no other version", url: "/StructureDefinition/Patient/_history/2", status: 404},
		{name: "history", url: "/StructureDefinition/Patient/_history", status: 200, contains: `"history" & "total":1 & "id":"Patient"`},
		{name: "history of the type", url: "/CompartmentDefinition/_history?_count=2", status: 200, contains: `"total":5 & "next"`},
		{name: "history since", url: "/CompartmentDefinition/_history?_since=2026-11-24", status: 200, contains: `"total":0`},
		{name: "of nothing", url: "/StructureDefinition/Nothing", status: 404, contains: "not-found"},
		{name: "meta", url: "/StructureDefinition/Patient/$meta", status: 200, contains: `"versionId":"1"`},

		{name: "by url", url: "/StructureDefinition?url=http://hl7.org/fhir/StructureDefinition/Patient&_total=accurate", status: 200, contains: `"total":1 & "id":"Patient" & "mode":"match"`},
		{name: "by type", url: "/StructureDefinition?type=Patient&_total=accurate&_elements=id,url", status: 200, contains: `"total":3 & "id":"Patient" & "id":"Patient-my-core" & "id":"Patient-my-core-1.0.0"`, excludes: `"snapshot"`},
		{name: "by kind", url: "/StructureDefinition?kind=primitive-type&_summary=count", status: 200, contains: `"total":20`},
		{name: "what is normative", url: "/StructureDefinition?status=active&kind=resource&derivation=specialization&_total=accurate&_elements=url", status: 200, contains: `"total":12 & "id":"Observation"`, excludes: `"id":"Encounter"`},
		{name: "by derivation and base", url: "/StructureDefinition?derivation=constraint&base=http://hl7.org/fhir/StructureDefinition/Patient&_total=accurate", status: 200, contains: `"total":2 & "id":"Patient-my-core" & "version":"2024" & "version":"1.0.0"`},
		{name: "by an element", url: "/StructureDefinition?path=Slot.overbooked&_total=accurate&_summary=true", status: 200, contains: `"total":1 & "id":"Slot"`, excludes: `"element"`},
		{name: "by a binding", url: "/StructureDefinition?valueset=http://hl7.org/fhir/ValueSet/slotstatus", status: 200, contains: `"id":"Slot"`},
		{name: "by name", url: "/StructureDefinition?name=humann&_summary=true", status: 200, contains: `"id":"HumanName"`},
		{name: "by a part of the name", url: "/StructureDefinition?name:contains=anName&_summary=true", status: 200, contains: `"id":"HumanName"`},
		{name: "by id", url: "/ValueSet?_id=service-type-my-core,x", status: 200, contains: `"id":"service-type-my-core"`},
		{name: "by a code of the code system", url: "/CodeSystem?code=VCMDT&_total=accurate", status: 200, contains: `"total":1 & "id":"service-type-my-core"`},
		{name: "by what is missing", url: "/NamingSystem?contact:missing=true&kind=identifier&_summary=count", status: 200, contains: `"total":11`},
		{name: "by what it is not", url: "/CompartmentDefinition?code:not=Patient&_total=accurate", status: 200, contains: `"total":4`, excludes: `"code":"Patient","search"`},
		{name: "by date", url: "/StructureDefinition?date=ge2019-11-02&_summary=count&kind=primitive-type", status: 200, contains: `"total":0`},
		{name: "by update", url: "/CompartmentDefinition?_lastUpdated=lt2026-11-23&_summary=count", status: 200, contains: `"total":0`},
		{name: "in order", url: "/CompartmentDefinition?_sort=-code&_count=1", status: 200, contains: `"id":"relatedPerson" & "next"`, excludes: `"id":"device"`},
		{name: "in the other order", url: "/CompartmentDefinition?_sort=code&_count=1", status: 200, contains: `"id":"device"`},
		{name: "in the order of ids", url: "/CompartmentDefinition?_sort=-_id&_count=1", status: 200, contains: `"id":"relatedPerson"`},
		{name: "by form", method: "POST", url: "/CompartmentDefinition/_search", body: "code=Patient", header: header{"Content-Type": "application/x-www-form-urlencoded"}, status: 200, contains: `"id":"patient"`, excludes: `"id":"device"`},

		{name: "a search parameter", url: "/SearchParameter?url=http://hl7.org/fhir/SearchParameter/individual-birthdate", status: 200,
			contains: `"code":"birthdate" & "base":["Patient","Person","RelatedPerson"] & "expression":"Patient.birthDate | Person.birthDate | RelatedPerson.birthDate" & "comparator":["eq","ne","gt","ge","lt","le","sa","eb","ap"] & "modifier":["missing"]`},
		{name: "search parameters of a type", url: "/SearchParameter?base=Slot&code=status,slot-type&_total=accurate", status: 200, contains: `"total":1 & "id":"Slot-status"`},
		{name: "one of the guide", url: "/SearchParameter/Encounter-rating", status: 200, contains: `extension('rating').value & "type":"token"`},
		{name: "search parameters by target", url: "/SearchParameter?target=Slot&base=Appointment", status: 200, contains: `"id":"Appointment-slot"`},
		{name: "all of them, page by page", url: "/SearchParameter?_count=200&_elements=url", status: 200, contains: `"next"`},

		{name: "a code system of R4", url: "/CodeSystem?url=http://hl7.org/fhir/administrative-gender&_total=accurate", status: 200, contains: `"total":1 & "code":"female" & "content":"complete"`},
		{name: "a value set of R4", url: "/ValueSet/administrative-gender", status: 200, contains: `"url":"http://hl7.org/fhir/ValueSet/administrative-gender" & "versionId":"1"`},
		{name: "code systems by a code", url: "/CodeSystem?code=genderqueer,female&_summary=true", status: 200, contains: `"id":"administrative-gender"`},
		{name: "value sets by title", url: "/ValueSet?title=AdministrativeGender&_summary=true", status: 200, contains: `"id":"administrative-gender"`},
		{name: "terminology", url: "/TerminologyCapabilities/exchange", status: 200, contains: `"uri":"http://fhir.hie.moh.gov.my/CodeSystem/service-type-my-core"`},
		{name: "the statement", url: "/CapabilityStatement?software=jumpa&resource=Patient&mode=server&_elements=url", status: 200, contains: `"id":"exchange" & SUBSETTED`, excludes: `"interaction"`},

		{name: "profiles of a type", url: "/StructureDefinition?type=Slot&derivation=constraint&_elements=url", status: 200, contains: `StructureDefinition/Slot-my-core`},
		{name: "an operation by its code", url: "/OperationDefinition?code=validate&_total=accurate", status: 200, contains: `"total":1 & "name":"resource"`},
		{name: "labels in use", url: "/StructureDefinition/$meta", status: 200, contains: `"valueMeta"`},

		{name: "referred to by a condition", method: "POST", url: "/Basic", body: slots, status: 201, contains: `"reference":"StructureDefinition/Slot"`},
		{name: "included", url: "/Basic?subject=StructureDefinition/Slot&_include=Basic:subject", status: 200, contains: `"mode":"include" & "path":"Slot.overbooked"`},
		{name: "what refers to it", url: "/StructureDefinition?_id=Slot&_revinclude=Basic:subject", status: 200, contains: `"mode":"include" & "resourceType":"Basic"`},

		{name: "included by its canonical url", url: "/StructureDefinition?_id=Slot-my-core&_include=StructureDefinition:base&_summary=true", status: 200, contains: `"id":"Slot-my-core" & "id":"Slot" & "mode":"include"`},
		{name: "included from step to step", url: "/StructureDefinition?_id=Slot-my-core&_include:iterate=StructureDefinition:base&_summary=true", status: 200, contains: `"id":"DomainResource" & "id":"Resource"`},
		{name: "what a chain leads to", url: "/Basic?subject:StructureDefinition.name=Slot&_total=accurate", status: 200, contains: `"total":1`},
		{name: "what a chain does not lead to", url: "/Basic?subject:StructureDefinition.name=Patient&_total=accurate", status: 200, contains: `"total":0`},
		{name: "what is referred to", url: "/StructureDefinition?_has:Basic:subject:code:text=x&_total=accurate&_elements=url", status: 200, contains: `"total":1 & "id":"Slot"`},
		{name: "what is not referred to", url: "/StructureDefinition?_has:Basic:subject:_id=nobody&_total=accurate&_elements=url", status: 200, contains: `"total":0`},
		{name: "what others do not see refers to nothing", url: "/StructureDefinition?_has:Basic:subject:code:text=x&_total=accurate&_elements=url", as: &clinic, status: 200, contains: `"total":0`},

		{name: "across types", url: "?_type=Basic,StructureDefinition,CompartmentDefinition&_id=Slot,patient&_total=accurate&_elements=url", status: 200, contains: `"total":2 & "id":"Slot" & "id":"patient" & "mode":"match"`},
		{name: "across types, page by page", url: "?_type=Basic,CompartmentDefinition&_count=2&_elements=url", status: 200, contains: `"resourceType":"Basic" & "id":"device" & "next"`, excludes: `"id":"encounter"`},
		{name: "across types that are all its own", url: "?_type=CodeSystem,ValueSet&_id=administrative-gender&_total=accurate&_summary=true", status: 200, contains: `"total":2 & "resourceType":"CodeSystem" & "resourceType":"ValueSet"`},
		{name: "not among the records of the whole system", url: "?_id=administrative-gender&_total=accurate&_summary=true", status: 200, contains: `"total":0`},

		{name: "put", method: "PUT", url: "/StructureDefinition/Patient", body: `{"resourceType":"StructureDefinition","id":"Patient"}`, status: 403},
		{name: "put a new one", method: "PUT", url: "/CompartmentDefinition/x", body: `{"resourceType":"CompartmentDefinition","id":"x"}`, status: 403},
		{name: "post", method: "POST", url: "/NamingSystem", body: `{"resourceType":"NamingSystem"}`, status: 403},
		{name: "delete", method: "DELETE", url: "/CodeSystem/service-type-my-core", status: 403},
		{name: "without the scope", url: "/StructureDefinition/Patient", as: &reader, status: 403},
		{name: "as another organisation", url: "/StructureDefinition/Patient", as: &clinic, status: 200, contains: `"id":"Patient"`},
		{name: "as nobody", url: "/StructureDefinition/Patient", as: &auth.Principal{}, status: 401},
		{name: "who did so", url: "/AuditEvent?entity=StructureDefinition/Patient", status: 200, contains: `"reference":"StructureDefinition/Patient"`},
	}
	s := newServer(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as, method := hospital, http.MethodGet
			if tt.as != nil {
				as = *tt.as
			}
			if tt.method != "" {
				method = tt.method
			}
			w := s.do(as, method, Root+tt.url, tt.body, tt.header)
			body := w.Body.String()
			if w.Code != tt.status {
				t.Errorf("status %d, want %d: %.2000s", w.Code, tt.status, body)
			}
			for part := range strings.SplitSeq(tt.contains, " & ") {
				if !strings.Contains(body, part) {
					t.Errorf("no %s in %.2000s", part, body)
				}
			}
			if tt.excludes != "" && strings.Contains(body, tt.excludes) {
				t.Errorf("%s in %.2000s", tt.excludes, body)
			}
		})
	}
}

// Every operation has a definition that is valid and can be read, says where
// the routes lead to it, and no other operation is defined.
func TestOperationDefinitions(t *testing.T) {
	s := newServer(t)
	v := validate.New(validate.Options{})
	defined := map[string]bool{}
	for _, o := range operations {
		defined[o.name] = true
		w := s.do(hospital, "GET", Root+"/OperationDefinition/"+o.id, "", nil)
		doc, err := fhir.Parse(w.Body.Bytes())
		if w.Code != http.StatusOK || err != nil {
			t.Errorf("%s: %d %s", o.id, w.Code, w.Body)
			continue
		}
		for _, issue := range v.Validate(t.Context(), doc) {
			t.Errorf("%s: %v", o.id, issue)
		}
		if !doc.Get("system").Is("true") && !doc.Get("type").Is("true") && !doc.Get("instance").Is("true") {
			t.Errorf("%s is led to by no route", o.id)
		}
		for level, pattern := range map[string]string{"system": "/" + o.name, "type": "/{type}/" + o.name, "instance": "/{type}/{id}/" + o.name} {
			led := slices.ContainsFunc(routes, func(rt fhirRoute) bool {
				return rt.pattern == pattern || len(o.types) == 1 && rt.pattern == strings.Replace(pattern, "{type}", o.types[0], 1)
			})
			if said, ok := doc.Get(level).Bool(); !ok || said != led {
				t.Errorf("%s: %s is %v", o.id, level, said)
			}
		}
		for _, typ := range o.types {
			if !r4.IsResource(typ) {
				t.Errorf("%s: %s", o.id, typ)
			}
		}
	}
	for _, rt := range routes {
		for _, m := range rt.methods {
			if strings.HasPrefix(m.interaction, "$") && !defined[m.interaction] {
				t.Errorf("%s has no definition", m.interaction)
			}
		}
	}
}
