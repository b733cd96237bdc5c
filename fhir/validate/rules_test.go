package validate_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

// visit is an Encounter with more members.
func visit(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"resourceType":"Encounter","status":"planned","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"}` + members + `}`
}

func patient(members string) string { return `{"resourceType":"Patient",` + members + `}` }

func ext(value string) string {
	return patient(`"extension":[{"url":"http://example.org/x",` + value + `}]`)
}

func div(inner string) string {
	return patient(`"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">` + inner + `</div>"}`)
}

func observation(members string) string {
	return `{"resourceType":"Observation","status":"final","code":{"text":"x"},` + members + `}`
}

func bundle(typ, entries string) string {
	return `{"resourceType":"Bundle","type":"` + typ + `","entry":[` + entries + `]}`
}

// Every kind of rule of R4, with a record that keeps it (want "") and records
// that break it.
var base = []struct{ name, document, want string }{
	{"a type that is abstract", `{"resourceType":"DomainResource"}`, "error type at DomainResource"},
	{"a type that R4 does not have", `{"resourceType":"Visit"}`, "error type at Visit"},

	{"the least that an Encounter needs", visit(""), ""},
	{"required elements are missing", `{"resourceType":"Encounter"}`, "error min at Encounter.status\nerror min at Encounter.class"},
	{"a required choice is missing", `{"resourceType":"MedicationRequest","status":"active","intent":"order","subject":{"display":"x"}}`, "error min at MedicationRequest.medication"},
	{"a required element within a backbone element is missing", visit(`"statusHistory":[{"status":"planned"}]`), "error min at Encounter.statusHistory[0].period"},
	{"a list where one value belongs", visit(`"period":[{"start":"2026"}]`), "error list at Encounter.period"},
	{"one value where a list belongs", visit(`"identifier":{"value":"1"}`), "error list at Encounter.identifier"},
	{"an empty list", visit(`"identifier":[]`), "error list at Encounter.identifier"},
	{"null in a list", visit(`"identifier":[null]`), "error null at Encounter.identifier[0]"},
	{"null", visit(`"period":null`), "error null at Encounter.period"},
	{"a text where an object belongs", visit(`"period":"2026"`), "error type at Encounter.period"},
	{"an object without content", visit(`"period":{}`), "error ele-1 at Encounter.period"},
	{"an object with nothing but an id", visit(`"period":{"id":"a"}`), "error ele-1 at Encounter.period"},

	{"an unknown element", visit(`"state":"planned"`), "error unknown at Encounter.state"},
	{"an unknown element within a data type", visit(`"period":{"begin":"2026"}`), "error unknown at Encounter.period.begin"},
	{"an unknown element whose name cannot be shown", visit(`"900101-01-1234":"x"`), "error unknown at Encounter"},
	{"the name of a choice without its type", observation(`"value":"x"`), "error unknown at Observation.value"},
	{"the name of a choice as the definition writes it", observation(`"value[x]":"x"`), "error unknown at Observation"},
	{"a choice of a type that it does not have", observation(`"valueAddress":{"text":"x"}`), "error unknown at Observation.valueAddress"},
	{"a choice", observation(`"valueQuantity":{"value":1.00,"unit":"mg"}`), ""},
	{"a choice twice", observation(`"valueString":"x","valueInteger":1`), "error max at Observation.value"},
	{"content that repeats another element", bundle("collection", `{"link":[{"relation":"self"}],"resource":`+visit("")+`}`), "error min at Bundle.entry[0].link[0].url"},

	{"extensions beside a primitive", visit(`"_status":{"extension":[{"url":"http://example.org/x","valueCode":"y"}]}`), ""},
	{"extensions in place of a primitive", patient(`"_birthDate":{"extension":[{"url":"http://example.org/x","valueCode":"y"}]}`), ""},
	{"extensions in a list of primitives", patient(`"name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"http://example.org/x","valueCode":"y"}]}]}]`), ""},
	{"nothing in either list of primitives", patient(`"name":[{"given":["A",null],"_given":[null,null]}]`), "error null at Patient.name[0].given[1]"},
	{"an unknown member beside a primitive", visit(`"_status":{"note":"x"}`), "error unknown at Encounter.status.note"},
	{"_name beside what is no primitive", visit(`"period":{"start":"2026"},"_period":{"id":"x"}`), "error unknown at Encounter._period"},
	{"_name of nothing", visit(`"_state":{"id":"x"}`), "error unknown at Encounter._state"},

	{"a boolean in quotes", patient(`"active":"true"`), "error quoted at Patient.active"},
	{"a day that does not exist", patient(`"birthDate":"2026-02-30"`), "error format-date at Patient.birthDate"},
	{"a time of day where a day belongs", patient(`"birthDate":"2026-02-03T10:00:00Z"`), "error format-date at Patient.birthDate"},
	{"a time without a zone", visit(`"period":{"start":"2026-02-03T10:00:00"}`), "error format-dateTime at Encounter.period.start"},
	{"an integer in quotes", patient(`"multipleBirthInteger":"2"`), "error quoted at Patient.multipleBirth.ofType(integer)"},
	{"an integer with a point", patient(`"multipleBirthInteger":2.0`), "error format-integer at Patient.multipleBirth.ofType(integer)"},
	{"a text with a control character", patient(`"name":[{"text":"a\u0007"}]`), "error format-string at Patient.name[0].text"},
	{"a text that is too long", patient(`"name":[{"text":"` + strings.Repeat("a", 1<<20+1) + `"}]`), "error format-string at Patient.name[0].text"},
	{"a number where a text belongs", patient(`"name":[{"text":1}]`), "error type at Patient.name[0].text"},
	{"an id of two elements", patient(`"name":[{"id":"a","text":"x"},{"id":"a","text":"y"}],"contained":[{"resourceType":"Patient","id":"c","name":[{"id":"a","text":"z"}]}],"link":[{"other":{"reference":"#c"},"type":"seealso"}]`), "error id-again at Patient.name[1].id"},
	{"a language that is none", patient(`"language":"Bahasa Melayu"`), "error language at Patient.language"},
	{"a tag of a language", patient(`"language":"zh-Hans-MY"`), ""},
	{"a profile without its whole URL", patient(`"meta":{"profile":["Patient-my-core"]}`), "error canonical at Patient.meta.profile[0]\ninformation profile at Patient.meta.profile[0]"},
	{"an id of an element with a space", patient(`"name":[{"id":"a b","text":"x"}]`), "error format-id at Patient.name[0].id"},
	{"what stands beside a primitive is no object", patient(`"birthDate":"2026","_birthDate":"x"`), "error type at Patient.birthDate"},
	{"an id in place of a primitive", patient(`"_birthDate":{"id":"x"}`), "error ele-1 at Patient.birthDate"},
	{"an id beside a primitive", patient(`"birthDate":"2026","_birthDate":{"id":"x"}`), ""},
	{"nothing beside a primitive", patient(`"birthDate":"2026","_birthDate":{}`), "error ele-1 at Patient.birthDate"},
	{"an empty text", patient(`"name":[{"text":""}]`), "error empty at Patient.name[0].text"},
	{"an id that is none", patient(`"contained":[{"resourceType":"Group","id":"a b","type":"person","actual":true}],"link":[{"type":"seealso","other":{"reference":"#x"}}]`),
		"error format-id at Patient.contained[0].id\nerror ref-1 at Patient.link[0].other.reference\nerror dom-3 at Patient"},

	{"a required code", patient(`"gender":"female"`), ""},
	{"a code that is not among the required ones", patient(`"gender":"F"`), "error binding at Patient.gender"},
	{"a required code in a Coding", visit(`"hospitalization":{"dischargeDisposition":{"text":"x"}},"length":{"value":1,"unit":"min","system":"http://unitsofmeasure.org","code":"min"}`), ""},
	{"a required code within a data type", patient(`"telecom":[{"system":"pigeon","value":"x"}]`), "error binding at Patient.telecom[0].system"},
	{"a required code in a CodeableConcept", `{"resourceType":"AllergyIntolerance","patient":{"display":"x"},"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"active"}]}}`, ""},
	{"a required code of another system", `{"resourceType":"AllergyIntolerance","patient":{"display":"x"},"clinicalStatus":{"coding":[{"system":"http://example.org","code":"active"}]}}`, "error binding at AllergyIntolerance.clinicalStatus"},
	{"a text in place of a required code", `{"resourceType":"AllergyIntolerance","patient":{"display":"x"},"clinicalStatus":{"text":"active"}}`, "error binding at AllergyIntolerance.clinicalStatus"},
	{"a code that is only recommended", patient(`"communication":[{"language":{"coding":[{"system":"http://example.org","code":"x"}]}}]`), ""},

	{"a reference", visit(`"subject":{"reference":"Patient/1"}`), ""},
	{"a reference to a version", visit(`"subject":{"reference":"Patient/1/_history/2"}`), ""},
	{"a reference to another server", visit(`"subject":{"reference":"https://example.org/fhir/Patient/1"}`), ""},
	{"a reference by URN", visit(`"subject":{"reference":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"}`), ""},
	{"a reference by its identifier", visit(`"subject":{"identifier":{"value":"1"}}`), ""},
	{"a reference to another type", visit(`"subject":{"reference":"Location/1"}`), "error ref-target at Encounter.subject.reference"},
	{"a reference to another type on another server", visit(`"subject":{"reference":"https://example.org/fhir/Location/1"}`), "error ref-target at Encounter.subject.reference"},
	{"a reference to an unknown type", visit(`"subject":{"reference":"Person1/1"}`), "error ref-form at Encounter.subject.reference"},
	{"a reference without a type", visit(`"subject":{"reference":"1"}`), "error ref-form at Encounter.subject.reference"},
	{"a reference with a space", visit(`"subject":{"reference":"Patient/1 "}`), "error ref-form at Encounter.subject.reference"},
	{"a reference by a broken URN", visit(`"subject":{"reference":"urn:uuid:1"}`), "error ref-form at Encounter.subject.reference"},
	{"a reference by a broken URL", visit(`"subject":{"reference":"https://"}`), "error ref-form at Encounter.subject.reference"},
	{"a reference to a version on another server", visit(`"subject":{"reference":"https://example.org/fhir/Location/1/_history/2"}`), "error ref-target at Encounter.subject.reference"},
	{"a reference whose type alone is wrong", visit(`"subject":{"reference":"https://example.org/x","type":"Location"}`), "error ref-target at Encounter.subject.reference"},
	{"a search in place of a reference, of an unknown type", visit(`"subject":{"reference":"Person1?identifier=1"}`), "error ref-form at Encounter.subject.reference"},
	{"a search in place of a reference", visit(`"subject":{"reference":"Patient?identifier=1"}`), "error ref-conditional at Encounter.subject.reference"},
	{"a reference whose type says something else", visit(`"subject":{"reference":"Patient/1","type":"Group"}`), "error ref-type at Encounter.subject.reference"},

	{"a contained resource that is used", visit(`"contained":[{"resourceType":"Patient","id":"p","active":true}],"subject":{"reference":"#p"}`), ""},
	{"a contained resource that nobody uses", visit(`"contained":[{"resourceType":"Patient","id":"p","active":true}]`), "error dom-3 at Encounter"},
	{"a contained resource that is not there", visit(`"subject":{"reference":"#p"}`), "error ref-1 at Encounter.subject.reference"},
	{"a contained resource of another type", visit(`"contained":[{"resourceType":"Location","id":"p","name":"x"}],"subject":{"reference":"#p"}`), "error ref-target at Encounter.subject.reference"},
	{"a contained resource without an id", visit(`"contained":[{"resourceType":"Patient","active":true}]`), "error contained-id at Encounter.contained[0]"},
	{"two contained resources with one id", visit(`"contained":[{"resourceType":"Patient","id":"p","active":true},{"resourceType":"Group","id":"p","type":"person","actual":true}],"subject":{"reference":"#p"}`), "error contained-id at Encounter.contained[1]"},
	{"a contained resource within a contained one", visit(`"contained":[{"resourceType":"Patient","id":"p","contained":[{"resourceType":"Group","id":"g","type":"person","actual":true}],"link":[{"type":"refer","other":{"reference":"#p"}}]}],"subject":{"reference":"#p"}`), "error dom-3 at Encounter.contained[0]\nerror dom-2 at Encounter"},
	{"a fault within a contained resource", visit(`"contained":[{"resourceType":"Patient","id":"p","gender":"F"}],"subject":{"reference":"#p"}`), "error binding at Encounter.contained[0].gender"},
	{"a contained resource with a version", visit(`"contained":[{"resourceType":"Patient","id":"p","meta":{"versionId":"1"}}],"subject":{"reference":"#p"}`), "error dom-4 at Encounter"},
	{"a reference from a contained resource to its container", visit(`"contained":[{"resourceType":"Task","id":"t","status":"draft","intent":"order","focus":{"reference":"#"}}]`), ""},

	{"an extension with a value", ext(`"valueString":"x"`), ""},
	{"an extension with parts", ext(`"extension":[{"url":"part","valueString":"x"}]`), ""},
	{"an extension with nothing", patient(`"extension":[{"url":"http://example.org/x"}]`), "error ext-1 at Patient.extension[0]"},
	{"an extension with both", ext(`"valueString":"x","extension":[{"url":"part","valueString":"x"}]`), "error ext-1 at Patient.extension[0]"},
	{"an extension without a url", patient(`"extension":[{"valueString":"x"}]`), "error min at Patient.extension[0].url"},
	{"an extension whose url is not a whole one", patient(`"extension":[{"url":"x","valueString":"x"}]`), "error ext-url at Patient.extension[0].url"},

	{"a rule on the resource", patient(`"contact":[{"gender":"male"}]`), "error pat-1 at Patient.contact[0]"},
	{"a rule on a data type", visit(`"period":{"start":"2026-02-03","end":"2026-02-01"}`), "error per-1 at Encounter.period"},
	{"a rule on a data type in a choice", observation(`"valueRange":{"low":{"value":2},"high":{"value":1}}`), "error rng-2 at Observation.value.ofType(Range)"},
	{"a rule on two elements", observation(`"valueString":"x","dataAbsentReason":{"text":"x"}`), "error obs-6 at Observation"},
	{"a rule that R4 has wrong", `{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"string","enableWhen":[{"question":"2","operator":"exists","answerBoolean":true}]}]}`, ""},
	{"the same rule, broken", `{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"string","enableWhen":[{"question":"2","operator":"exists","answerString":"x"}]}]}`, "error que-7 at Questionnaire.item[0].enableWhen[0]"},
	{"a simple quantity with a comparator", observation(`"referenceRange":[{"low":{"value":1,"comparator":"<"}}]`), "error unknown at Observation.referenceRange[0].low.comparator\nerror sqty-1 at Observation.referenceRange[0].low"},

	{"a narrative", div(`<p style=\"color: red\">x<br/><a href=\"https://example.org\">y</a>&nbsp;</p>`), ""},
	{"a narrative with a script", div(`<script>x</script>`), "error txt-1 at Patient.text.div"},
	{"a narrative with an event handler", div(`<p onclick=\"x()\">x</p>`), "error txt-1 at Patient.text.div"},
	{"a narrative with a link to a script", div(`<a href=\" java\tscript:x()\">x</a>`), "error txt-1 at Patient.text.div"},
	{"a narrative with a form", div(`<form><input/></form>`), "error txt-1 at Patient.text.div"},
	{"a narrative with a style that loads", div(`<p style=\"background:URL (http://x)\">x</p>`), "error txt-1 at Patient.text.div"},
	{"a narrative with images", div(`<img src=\"data:image/png;base64,YQ==\" alt=\"x\"/><img src=\"#a\"/><a name=\"a\" xml:lang=\"en\">x</a>`), ""},
	{"a narrative with an image that can hold a script", div(`<img src=\"data:image/svg+xml,x\"/>`), "error txt-1 at Patient.text.div"},
	{"a narrative with a link to data", div(`<a href=\"data:text/html,x\">x</a>`), "error txt-1 at Patient.text.div"},
	{"a narrative with an unknown attribute", div(`<p formaction=\"x\">x</p>`), "error txt-1 at Patient.text.div"},
	{"a narrative that leaves its namespace", div(`<p xmlns=\"http://www.w3.org/2000/svg\">x</p>`), "error txt-1 at Patient.text.div"},
	{"a narrative with an element of another namespace", div(`<s:script xmlns:s=\"http://www.w3.org/1999/xhtml\">x</s:script>`), "error txt-1 at Patient.text.div"},
	{"a narrative with a processing instruction", div(`<?php x?>`), "error txt-1 at Patient.text.div"},
	{"a narrative with two divs", patient(`"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div><div>y</div>"}`), "error txt-1 at Patient.text.div"},
	{"a narrative with its elements crossed", div(`<b><i>x</b></i>`), "error txt-1 at Patient.text.div"},
	{"a narrative that is no text", patient(`"text":{"status":"generated","div":{}}`), "error type at Patient.text.div"},
	{"a narrative that is not well-formed", div(`<p>x`), "error txt-1 at Patient.text.div"},
	{"a narrative with an unknown entity", div(`&secret;`), "error txt-1 at Patient.text.div"},
	{"a narrative with a document type", patient(`"text":{"status":"generated","div":"<!DOCTYPE div [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><div xmlns=\"http://www.w3.org/1999/xhtml\">&x;</div>"}`), "error txt-1 at Patient.text.div"},
	{"a narrative that says nothing", div(` `), "error txt-2 at Patient.text.div"},
	{"a narrative without its namespace", patient(`"text":{"status":"generated","div":"<div>x</div>"}`), "error txt-1 at Patient.text.div"},

	{"a bundle", bundle("collection", `{"resource":`+visit("")+`}`), ""},
	{"a fault within a bundle", bundle("collection", `{"resource":`+patient(`"gender":"F"`)+`}`), "error binding at Bundle.entry[0].resource.gender"},
	{"a transaction without requests", bundle("transaction", `{"resource":`+visit("")+`}`), "error bdl-3 at Bundle"},
	{"a transaction whose entries refer to each other", bundle("transaction",
		`{"fullUrl":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88","resource":`+patient(`"active":true`)+`,"request":{"method":"POST","url":"Patient"}},`+
			`{"resource":`+visit(`"subject":{"reference":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"}`)+`,"request":{"method":"POST","url":"Encounter"}}`), ""},
	{"a transaction whose entries refer to the wrong type", bundle("transaction",
		`{"fullUrl":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88","resource":`+visit("")+`,"request":{"method":"POST","url":"Encounter"}},`+
			`{"resource":`+visit(`"subject":{"reference":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"}`)+`,"request":{"method":"POST","url":"Encounter"}}`), "error ref-target at Bundle.entry[1].resource.subject.reference"},
	{"a transaction that refers to nothing", bundle("transaction",
		`{"resource":`+visit(`"subject":{"reference":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"}`)+`,"request":{"method":"POST","url":"Encounter"}}`), "warning ref-bundle at Bundle.entry[0].resource.subject.reference"},
	{"entries that refer to each other as Type/id", bundle("collection",
		`{"fullUrl":"http://example.org/fhir/Patient/1","resource":`+patient(`"id":"1","active":true`)+`},{"fullUrl":"http://example.org/fhir/Encounter/2","resource":`+visit(`"subject":{"reference":"Patient/1"}`)+`}`), ""},
	{"a search within a transaction", bundle("transaction",
		`{"resource":`+visit(`"subject":{"reference":"Patient?identifier=1"}`)+`,"request":{"method":"POST","url":"Encounter"}}`), ""},
	{"an entry with nothing in it", bundle("collection", `{"fullUrl":"urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"}`), "error bdl-5 at Bundle.entry[0]"},
	{"a document that does not begin with a Composition", `{"resourceType":"Bundle","type":"document","identifier":{"system":"http://example.org","value":"1"},"timestamp":"2026-11-23T09:00:00Z","entry":[{"fullUrl":"http://example.org/Patient/1","resource":` + patient(`"active":true`) + `}]}`, "error bdl-11 at Bundle"},
	{"two entries with one fullUrl", bundle("collection", `{"fullUrl":"http://example.org/Patient/1","resource":`+patient(`"active":true`)+`},{"fullUrl":"http://example.org/Patient/1","resource":`+patient(`"active":true`)+`}`), "error bdl-7 at Bundle"},
	{"an entry whose fullUrl says another id", bundle("collection", `{"fullUrl":"http://example.org/fhir/Patient/2","resource":`+patient(`"id":"1","active":true`)+`}`), "error bdl-url at Bundle.entry[0].fullUrl"},
	{"an entry whose fullUrl says another type", bundle("collection", `{"fullUrl":"http://example.org/fhir/Group/1","resource":`+patient(`"id":"1","active":true`)+`}`), "error bdl-url at Bundle.entry[0].fullUrl"},
	{"an entry whose fullUrl is not whole", bundle("collection", `{"fullUrl":"Patient/1","resource":`+patient(`"id":"1","active":true`)+`}`), "error bdl-url at Bundle.entry[0].fullUrl"},
	{"an entry whose fullUrl names nothing of REST", bundle("collection", `{"fullUrl":"http://example.org/people/7","resource":`+patient(`"id":"1","active":true`)+`}`), ""},
	{"an entry without a resourceType", bundle("collection", `{"resource":{"active":true}}`), "error type at Bundle.entry[0].resource"},
}

func TestBaseRules(t *testing.T) {
	v := validate.New(validate.Options{})
	for _, x := range base {
		t.Run(x.name, func(t *testing.T) {
			issues := v.Validate(t.Context(), parsed(t, x.document))
			if got := found(issues); got != x.want {
				t.Errorf("found:\n%s\nwant:\n%s\nall: %v", got, x.want, diagnostics(issues))
			}
		})
	}
}

func diagnostics(issues fhir.Issues) string {
	var b strings.Builder
	for _, i := range issues {
		b.WriteString("\n" + i.Diagnostics)
	}
	return b.String()
}

// A CapabilityStatement names formats by media types, and by three words that
// are none.
func TestFormatsOfACapabilityStatement(t *testing.T) {
	v := validate.New(validate.Options{})
	for format, right := range map[string]bool{"xml": true, "json": true, "ttl": true, "application/fhir+json": true, "yaml": false} {
		issues := v.Validate(t.Context(), parsed(t, `{"resourceType":"CapabilityStatement","status":"active","date":"2026-11-23","kind":"requirements","description":"x","rest":[{"mode":"server"}],"fhirVersion":"4.0.1","format":["`+format+`"]}`))
		if (len(issues) == 0) != right {
			t.Errorf("%s: %s", format, diagnostics(issues))
		}
	}
}

func TestMessagesNameElementRuleAndProfile(t *testing.T) {
	v := validate.New(validate.Options{})
	for _, x := range []struct{ document, want string }{
		{patient(`"gender":"F"`), "Patient.gender: The code is not one that is allowed here. Use male, female, other or unknown. The value set is http://hl7.org/fhir/ValueSet/administrative-gender. (rule binding of http://hl7.org/fhir/StructureDefinition/Patient)"},
		{visit(`"Period":{}`), `Encounter.Period: The element "Period" is not defined for Encounter. Did you mean "period"? (rule unknown of http://hl7.org/fhir/StructureDefinition/Encounter)`},
		{observation(`"value":"x"`), `Observation.value: The element "value" is not defined for Observation. Write its type behind its name, such as valueQuantity. (rule unknown of http://hl7.org/fhir/StructureDefinition/Observation)`},
		{visit(`"subject":{"reference":"Location/1"}`), "Encounter.subject.reference: The reference may lead to Patient or Group, not to another type of resource. (rule ref-target of http://hl7.org/fhir/StructureDefinition/Encounter)"},
	} {
		issues := v.Validate(t.Context(), parsed(t, x.document))
		if len(issues) != 1 || issues[0].Diagnostics != x.want {
			t.Errorf("the issues are %s\nwant %s", diagnostics(issues), x.want)
		}
	}
}

func TestMessagesHoldNoValues(t *testing.T) {
	const secret = "900101011234"
	v := validate.New(validate.Options{})
	doc := parsed(t, `{"resourceType":"Patient","gender":"`+secret+`","birthDate":"`+secret+`","active":"`+secret+`","`+secret+`":1,
		"name":[{"given":"`+secret+`","use":"`+secret+`"}],"managingOrganization":{"reference":"`+secret+`","type":"`+secret+` "},
		"text":{"status":"`+secret+`","div":"`+secret+`"},"extension":[{"url":"`+secret+`"}],"contained":[{"resourceType":"`+secret+`"}]}`)
	issues := v.Validate(t.Context(), doc)
	if len(issues) < 8 {
		t.Fatalf("only %d issues: %s", len(issues), diagnostics(issues))
	}
	for _, i := range issues {
		if strings.Contains(i.Diagnostics+i.Expression, secret) {
			t.Errorf("a value is told: %s", i.Diagnostics)
		}
	}
}

type known map[string]bool

func (k known) Exists(_ context.Context, r fhir.Reference) (bool, error) { return k[r.String()], nil }

func TestTargetsOfReferencesAreAskedFor(t *testing.T) {
	v := validate.New(validate.Options{Base: "https://hie.example/fhir", References: known{"Patient/1": true}})
	for _, x := range []struct{ reference, want string }{
		{"Patient/1", ""},
		{"https://hie.example/fhir/Patient/1", ""},
		{"Patient/2", "error ref-exists at Encounter.subject.reference"},
		{"https://hie.example/fhir/Patient/2", "error ref-exists at Encounter.subject.reference"},
		{"https://other.example/fhir/Patient/2", ""},
	} {
		issues := v.Validate(t.Context(), parsed(t, visit(`"subject":{"reference":"`+x.reference+`"}`)))
		if got := found(issues); got != x.want {
			t.Errorf("%s: found %q, want %q", x.reference, got, x.want)
		}
	}
}

func TestIssuesAreBounded(t *testing.T) {
	v := validate.New(validate.Options{})
	doc := parsed(t, visit(`"identifier":[`+strings.Repeat(`{"use":"x"},`, 5000)+`{}]`))
	issues := v.Validate(t.Context(), doc)
	if n := len(issues); n != 100 || issues.Err() == nil {
		t.Fatalf("there are %d issues", n)
	}
	if last := issues[99]; last.Severity != fhir.SeverityInformation || !strings.Contains(last.Diagnostics, "more") {
		t.Errorf("nothing says that the list ends: %v", last)
	}
}

func TestWarningsGiveWayToErrors(t *testing.T) {
	v := validate.New(validate.Options{MaxIssues: 3})
	doc := parsed(t, patient(`"extension":[`+strings.Repeat(`{"url":"http://example.org/x","valueCode":"y"},`, 5)+`{"url":"http://example.org/x","valueCode":"y"}],"gender":"F","active":1`))
	got := found(v.Validate(t.Context(), doc))
	if !strings.Contains(got, "error binding at Patient.gender") {
		t.Errorf("found %s", got)
	}
}

// The work on an object does not grow with the square of its members.
func TestAnObjectWithManyMembers(t *testing.T) {
	var b strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&b, `"x%d":1,"_x%d":{},`, i, i)
	}
	v := validate.New(validate.Options{Timeout: time.Hour})
	if issues := v.Validate(t.Context(), parsed(t, patient(b.String()+`"active":true`))); issues.Err() == nil || len(issues) > 100 {
		t.Errorf("there are %d issues", len(issues))
	}
}

func TestTimeIsBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := validate.New(validate.Options{})
	doc := parsed(t, visit(`"identifier":[`+strings.Repeat(`{"value":"x"},`, 5000)+`{"value":"x"}]`))
	issues := v.Validate(ctx, doc)
	if len(issues) != 1 || issues[0].Code != fhir.CodeTooCostly || issues.Err() == nil {
		t.Errorf("a stopped validation gives %v", issues)
	}
}

func TestEveryRuleOfR4IsEvaluated(t *testing.T) {
	if skipped := validate.New(validate.Options{}).Skipped(); len(skipped) > 0 {
		t.Errorf("rules are passed over: %v", skipped)
	}
}

func TestNarrativeIsAskedForOnlyWhenWanted(t *testing.T) {
	doc := parsed(t, patient(`"active":true`))
	if got := found(validate.New(validate.Options{}).Validate(t.Context(), doc)); got != "" {
		t.Errorf("found %s", got)
	}
	if got := found(validate.New(validate.Options{BestPractice: true}).Validate(t.Context(), doc)); got != "warning dom-6 at Patient" {
		t.Errorf("found %s", got)
	}
}
