package validate_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/mycore"
)

const home = "http://example.org/StructureDefinition/"

// definition is a profile of R4's type, with the elements of its differential.
func definition(name, typ, elements string) string {
	return derived(name, typ, "http://hl7.org/fhir/StructureDefinition/"+typ, elements)
}

func derived(name, typ, base, elements string) string {
	kind := "resource"
	if typ[0] == 'E' && typ == "Extension" {
		kind = "complex-type"
	}
	return `{"resourceType":"StructureDefinition","url":"` + home + name + `","name":"X","status":"active","kind":"` + kind + `","abstract":false,
		"type":"` + typ + `","baseDefinition":"` + base + `","derivation":"constraint","differential":{"element":[` + elements + `]}}`
}

// el is an element of a differential.
func el(path, more string) string {
	id := path
	if strings.Contains(more, `"id"`) {
		return `{"path":"` + path + `",` + more + `}`
	}
	return `{"id":"` + id + `","path":"` + path + `",` + more + `}`
}

func with(t testing.TB, opts validate.Options, profiles ...string) *validate.Validator {
	t.Helper()
	v := validate.New(opts)
	for _, p := range profiles {
		if err := v.AddProfile(parsed(t, p)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

var slicedIdentifier = el("Patient.identifier", `"min":1,"slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"RULES","ordered":ORDERED}`) + `,` +
	el("Patient.identifier", `"id":"Patient.identifier:mrn","sliceName":"mrn","min":1,"max":"1"`) + `,` +
	el("Patient.identifier.system", `"id":"Patient.identifier:mrn.system","min":1,"fixedUri":"http://mrn"`) + `,` +
	el("Patient.identifier.value", `"id":"Patient.identifier:mrn.value","min":1,"maxLength":5`) + `,` +
	el("Patient.identifier", `"id":"Patient.identifier:ic","sliceName":"ic","max":"1"`) + `,` +
	el("Patient.identifier.system", `"id":"Patient.identifier:ic.system","patternUri":"http://ic"`)

// resliced has the slice a, and within it the slice a/main.
var resliced = el("Patient.identifier", `"slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"open"}`) + `,` +
	el("Patient.identifier", `"id":"Patient.identifier:a","sliceName":"a","min":1,"slicing":{"discriminator":[{"type":"value","path":"use"}],"rules":"open"}`) + `,` +
	el("Patient.identifier.system", `"id":"Patient.identifier:a.system","fixedUri":"http://a"`) + `,` +
	el("Patient.identifier", `"id":"Patient.identifier:a/main","sliceName":"a/main","min":1,"max":"1"`) + `,` +
	el("Patient.identifier.use", `"id":"Patient.identifier:a/main.use","fixedCode":"official"`) + `,` +
	el("Patient.identifier.value", `"id":"Patient.identifier:a/main.value","maxLength":3`)

func sliced(rules, ordered string) string {
	return strings.NewReplacer("RULES", rules, "ORDERED", ordered).Replace(slicedIdentifier)
}

var profiled = []struct{ name, typ, elements, document, want string }{
	{"required by the profile", "Patient", el("Patient.birthDate", `"min":1`), patient(`"active":true`), "error min at Patient.birthDate"},
	{"forbidden by the profile", "Patient", el("Patient.photo", `"max":"0"`), patient(`"photo":[{"url":"http://x"}]`), "error max at Patient.photo"},
	{"too many for the profile", "Patient", el("Patient.name", `"max":"1"`), patient(`"name":[{"text":"a"},{"text":"b"}]`), "error max at Patient.name"},
	{"required within a data type", "Patient", el("Patient.name.family", `"min":1`), patient(`"name":[{"text":"a"},{"family":"b"}]`), "error min at Patient.name[0].family"},
	{"nothing is asked within what is not there", "Patient", el("Patient.name.family", `"min":1`), patient(`"active":true`), ""},
	{"a type that the profile leaves out", "Observation", el("Observation.value[x]", `"type":[{"code":"string"}]`), observation(`"valueInteger":1`), "error type at Observation.value.ofType(integer)"},
	{"a type that the profile keeps", "Observation", el("Observation.value[x]", `"type":[{"code":"string"}]`), observation(`"valueString":"x"`), ""},
	{"a choice by the name of one type", "Observation", el("Observation.valueQuantity", `"min":1`), observation(`"valueString":"x"`), "error min:valueQuantity at Observation.value"},
	{"a choice by the name of one type, there", "Observation", el("Observation.valueQuantity.unit", `"min":1`), observation(`"valueQuantity":{"value":1}`), "error min at Observation.value.ofType(Quantity).unit"},
	{"a fixed value", "Patient", el("Patient.active", `"fixedBoolean":true`), patient(`"active":false`), "error fixed at Patient.active"},
	{"a fixed value that is kept", "Patient", el("Patient.active", `"fixedBoolean":true`), patient(`"active":true`), ""},
	{"a fixed value of a data type has nothing beside it", "Patient", el("Patient.communication.language", `"fixedCodeableConcept":{"text":"x"}`), patient(`"communication":[{"language":{"text":"x","coding":[{"code":"y"}]}}]`), "error fixed at Patient.communication[0].language"},
	{"a pattern", "Patient", el("Patient.communication.language", `"patternCodeableConcept":{"coding":[{"system":"http://x","code":"y"}]}`), patient(`"communication":[{"language":{"coding":[{"code":"a"},{"system":"http://x","code":"y","display":"z"}]}}]`), ""},
	{"a pattern that is broken", "Patient", el("Patient.communication.language", `"patternCodeableConcept":{"coding":[{"system":"http://x","code":"y"}]}`), patient(`"communication":[{"language":{"coding":[{"system":"http://x"},{"code":"y"}]}}]`), "error pattern at Patient.communication[0].language"},
	{"a pattern with a number written otherwise", "Observation", el("Observation.value[x]", `"patternQuantity":{"value":1.0}`), observation(`"valueQuantity":{"value":1.00,"unit":"mg"}`), ""},
	{"a pattern with another number", "Observation", el("Observation.value[x]", `"patternQuantity":{"value":1.0}`), observation(`"valueQuantity":{"value":1.01}`), "error pattern at Observation.value.ofType(Quantity)"},
	{"a fixed list in another order", "Patient", el("Patient.communication.language", `"fixedCodeableConcept":{"coding":[{"code":"a"},{"code":"b"}]}`), patient(`"communication":[{"language":{"coding":[{"code":"b"},{"code":"a"}]}}]`), "error fixed at Patient.communication[0].language"},
	{"a fixed list that goes on", "Patient", el("Patient.communication.language", `"fixedCodeableConcept":{"coding":[{"code":"a"}]}`), patient(`"communication":[{"language":{"coding":[{"code":"a"},{"code":"b"}]}}]`), "error fixed at Patient.communication[0].language"},
	{"a fixed list", "Patient", el("Patient.communication.language", `"fixedCodeableConcept":{"coding":[{"system":"http://x","code":"a"}]}`), patient(`"communication":[{"language":{"coding":[{"code":"a","system":"http://x"}]}}]`), ""},
	{"a binding on a choice asks only codes", "Observation", el("Observation.value[x]", `"binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender"}`), observation(`"valueString":"x"`), ""},
	{"a binding on a choice, broken", "Observation", el("Observation.value[x]", `"binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender"}`), observation(`"valueCodeableConcept":{"coding":[{"system":"http://hl7.org/fhir/administrative-gender","code":"x"}]}`), "error binding at Observation.value.ofType(CodeableConcept)"},
	{"the least date", "Patient", el("Patient.birthDate", `"minValueDate":"1900-01-01"`), patient(`"birthDate":"1899-12-31"`), "error minValue at Patient.birthDate"},
	{"the least date, kept", "Patient", el("Patient.birthDate", `"minValueDate":"1900-01-01"`), patient(`"birthDate":"1900-01-01"`), ""},
	{"a date that may be less or not", "Patient", el("Patient.birthDate", `"minValueDate":"1900-06-01"`), patient(`"birthDate":"1900"`), ""},
	{"the greatest time", "Encounter", el("Encounter.period.end", `"maxValueDateTime":"2026-01-01T00:00:00+08:00"`), visit(`"period":{"end":"2026-01-01T00:00:00Z"}`), "error maxValue at Encounter.period.end"},
	{"the greatest number", "Observation", el("Observation.value[x]", `"maxValueInteger":5`), observation(`"valueInteger":6`), "error maxValue at Observation.value.ofType(integer)"},
	{"the greatest number, kept", "Observation", el("Observation.value[x]", `"maxValueInteger":5`), observation(`"valueInteger":5`), ""},
	{"the least quantity in another unit", "Observation", el("Observation.value[x]", `"minValueQuantity":{"value":1,"code":"g","system":"http://unitsofmeasure.org"}`), observation(`"valueQuantity":{"value":999,"code":"mg","system":"http://unitsofmeasure.org"}`), "error minValue at Observation.value.ofType(Quantity)"},

	{"slices without a discriminator", "Patient", el("Patient.identifier", `"slicing":{"rules":"closed"}`) + `,` +
		el("Patient.identifier", `"id":"Patient.identifier:a","sliceName":"a","max":"1"`) + `,` + el("Patient.identifier.system", `"id":"Patient.identifier:a.system","min":1,"fixedUri":"http://a"`),
		patient(`"identifier":[{"system":"http://a"},{"system":"http://b"},{"system":"http://a"}]`), "error slicing at Patient.identifier[1]\nerror max:a at Patient.identifier"},
	{"slices of a slice", "Patient", resliced, patient(`"identifier":[{"system":"http://a","use":"old"},{"system":"http://a","use":"official"},{"system":"http://b","use":"official"}]`), ""},
	{"slices of a slice, one missing", "Patient", resliced, patient(`"identifier":[{"system":"http://a","use":"old"},{"system":"http://b","use":"official"}]`), "error min:a/main at Patient.identifier"},
	{"within a slice of a slice", "Patient", resliced, patient(`"identifier":[{"system":"http://a","use":"official","value":"1234"}]`), "error maxLength at Patient.identifier[0].value"},
	{"a slice that belongs to a code", "Patient", el("Patient.communication", `"slicing":{"discriminator":[{"type":"value","path":"language"}],"rules":"open"}`) + `,` +
		el("Patient.communication", `"id":"Patient.communication:male","sliceName":"male","min":1`) + `,` +
		el("Patient.communication.language", `"id":"Patient.communication:male.language","binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender"}`),
		patient(`"communication":[{"language":{"coding":[{"system":"http://x","code":"male"}]}}]`), "error min:male at Patient.communication"},

	{"a rule that asks for a value set", "Patient", el("Patient.communication.language", `"constraint":[{"key":"x-1","severity":"error","human":"In it.","expression":"memberOf('http://hl7.org/fhir/ValueSet/administrative-gender')"}]`), patient(`"communication":[{"language":{"coding":[{"system":"http://x","code":"male"}]}}]`), "error x-1 at Patient.communication[0].language"},
	{"a rule that asks for a value set nobody knows", "Patient", el("Patient.communication.language", `"constraint":[{"key":"x-1","severity":"error","human":"In it.","expression":"memberOf('http://x')"}]`), patient(`"communication":[{"language":{"text":"x"}}]`), "warning x-1 at Patient.communication[0].language"},
	{"a rule that does not fit what is there", "Patient", el("Patient", `"constraint":[{"key":"x-1","severity":"error","human":"One.","expression":"name.text.length() > 1"}]`), patient(`"name":[{"text":"a"},{"text":"b"}]`), "warning x-1 at Patient"},
	{"a rule that asks for a profile nobody knows", "Patient", el("Patient", `"constraint":[{"key":"x-1","severity":"error","human":"As x.","expression":"conformsTo('http://x')"}]`), patient(`"active":true`), "warning x-1 at Patient"},
	{"the parts of an extension", "Extension", el("Extension.url", `"fixedUri":"http://example.org/StructureDefinition/x"`), patient(`"active":true`), "error profile at Patient"},
	{"a slice for all that belong to no other", "Patient", sliced("closed", "false") + `,` + el("Patient.identifier", `"id":"Patient.identifier:@default","sliceName":"@default","max":"1"`) + `,` +
		el("Patient.identifier.value", `"id":"Patient.identifier:@default.value","max":"0"`),
		patient(`"identifier":[{"system":"http://mrn","value":"1"},{"system":"http://x","value":"1"}]`), "error max at Patient.identifier[1].value"},
	{"a binding that is narrowed", "Patient", el("Patient.communication.language", `"binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"}`), patient(`"communication":[{"language":{"text":"x"}}]`), "error binding at Patient.communication[0].language"},
	{"a binding that is extensible", "Patient", el("Patient.communication.language", `"binding":{"strength":"extensible","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender"}`), patient(`"communication":[{"language":{"coding":[{"code":"x"}]}}]`), "warning binding at Patient.communication[0].language"},
	{"a reference that is narrowed", "Patient", el("Patient.generalPractitioner", `"type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Practitioner"]}]`), patient(`"generalPractitioner":[{"reference":"Practitioner/1"},{"reference":"Organization/1"}]`), "error ref-target at Patient.generalPractitioner[1].reference"},
	{"a rule of the profile", "Patient", el("Patient", `"constraint":[{"key":"x-1","severity":"error","human":"A name is there.","expression":"name.exists()"}]`), patient(`"active":true`), "error x-1 at Patient"},
	{"a rule of the profile on an element", "Patient", el("Patient.name", `"constraint":[{"key":"x-1","severity":"warning","human":"Either.","expression":"family.exists() xor text.exists()"}]`), patient(`"name":[{"text":"a"},{"use":"usual"}]`), "warning x-1 at Patient.name[1]"},

	{"slices by value", "Patient", sliced("open", "false"), patient(`"identifier":[{"system":"http://ic","value":"1"},{"system":"http://other"},{"system":"http://mrn","value":"1"}]`), ""},
	{"a slice that is missing", "Patient", sliced("open", "false"), patient(`"identifier":[{"system":"http://other"}]`), "error min:mrn at Patient.identifier"},
	{"a slice twice", "Patient", sliced("open", "false"), patient(`"identifier":[{"system":"http://mrn","value":"1"},{"system":"http://mrn","value":"2"}]`), "error max:mrn at Patient.identifier"},
	{"within a slice", "Patient", sliced("open", "false"), patient(`"identifier":[{"system":"http://other"},{"system":"http://mrn"}]`), "error min at Patient.identifier[1].value"},
	{"a length within a slice", "Patient", sliced("open", "false"), patient(`"identifier":[{"system":"http://mrn","value":"123456"}]`), "error maxLength at Patient.identifier[0].value"},
	{"closed slices", "Patient", sliced("closed", "false"), patient(`"identifier":[{"system":"http://mrn","value":"1"},{"system":"http://other"}]`), "error slicing at Patient.identifier[1]"},
	{"slices in order", "Patient", sliced("open", "true"), patient(`"identifier":[{"system":"http://mrn","value":"1"},{"system":"http://ic"}]`), ""},
	{"slices out of order", "Patient", sliced("open", "true"), patient(`"identifier":[{"system":"http://ic"},{"system":"http://mrn","value":"1"}]`), "error slicing at Patient.identifier[1]"},
	{"slices before others", "Patient", sliced("openAtEnd", "false"), patient(`"identifier":[{"system":"http://mrn","value":"1"},{"system":"http://x"}]`), ""},
	{"slices behind others", "Patient", sliced("openAtEnd", "false"), patient(`"identifier":[{"system":"http://x"},{"system":"http://mrn","value":"1"}]`), "error slicing at Patient.identifier[1]"},

	{"slices by pattern above the path", "Observation",
		el("Observation.category", `"slicing":{"discriminator":[{"type":"pattern","path":"$this"}],"rules":"open"}`) + `,` +
			el("Observation.category", `"id":"Observation.category:vital","sliceName":"vital","min":1,"patternCodeableConcept":{"coding":[{"code":"vital-signs"}]}`),
		observation(`"category":[{"coding":[{"code":"vital-signs","display":"x"}]}]`), ""},
	{"slices by pattern, missing", "Observation",
		el("Observation.category", `"slicing":{"discriminator":[{"type":"value","path":"coding.code"}],"rules":"open"}`) + `,` +
			el("Observation.category", `"id":"Observation.category:vital","sliceName":"vital","min":1,"patternCodeableConcept":{"coding":[{"code":"vital-signs"}]}`),
		observation(`"category":[{"coding":[{"code":"laboratory"}]}]`), "error min:vital at Observation.category"},
	{"slices by type", "Bundle",
		el("Bundle.entry", `"slicing":{"discriminator":[{"type":"type","path":"resource"}],"rules":"closed"}`) + `,` +
			el("Bundle.entry", `"id":"Bundle.entry:patient","sliceName":"patient","min":1,"max":"1"`) + `,` +
			el("Bundle.entry.resource", `"id":"Bundle.entry:patient.resource","min":1,"type":[{"code":"Patient"}]`) + `,` +
			el("Bundle.entry.resource.birthDate", `"id":"Bundle.entry:patient.resource.birthDate","min":1`),
		bundle("collection", `{"resource":`+patient(`"active":true`)+`},{"resource":`+visit("")+`}`), "error slicing at Bundle.entry[1]\nerror min at Bundle.entry[0].resource.birthDate"},
	{"slices by what a reference leads to", "Encounter",
		el("Encounter.participant", `"slicing":{"discriminator":[{"type":"type","path":"individual.resolve()"}],"rules":"open"}`) + `,` +
			el("Encounter.participant", `"id":"Encounter.participant:doctor","sliceName":"doctor","min":1`) + `,` +
			el("Encounter.participant.individual", `"id":"Encounter.participant:doctor.individual","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Practitioner"]}]`),
		visit(`"participant":[{"individual":{"reference":"RelatedPerson/1"}}]`), "error min:doctor at Encounter.participant"},
	{"slices by existence", "Patient",
		el("Patient.contact", `"slicing":{"discriminator":[{"type":"exists","path":"organization"}],"rules":"open"}`) + `,` +
			el("Patient.contact", `"id":"Patient.contact:work","sliceName":"work","max":"1"`) + `,` +
			el("Patient.contact.organization", `"id":"Patient.contact:work.organization","min":1`) + `,` +
			el("Patient.contact", `"id":"Patient.contact:home","sliceName":"home","min":1`) + `,` +
			el("Patient.contact.organization", `"id":"Patient.contact:home.organization","max":"0"`),
		patient(`"contact":[{"organization":{"reference":"Organization/1"}},{"organization":{"reference":"Organization/2"}}]`),
		"error max:work at Patient.contact\nerror min:home at Patient.contact"},
	{"slices by profile", "Bundle",
		el("Bundle.entry", `"slicing":{"discriminator":[{"type":"profile","path":"resource"}],"rules":"open"}`) + `,` +
			el("Bundle.entry", `"id":"Bundle.entry:woman","sliceName":"woman","min":2`) + `,` +
			el("Bundle.entry.resource", `"id":"Bundle.entry:woman.resource","type":[{"code":"Patient","profile":["http://example.org/StructureDefinition/woman"]}]`),
		bundle("collection", `{"resource":`+patient(`"gender":"female"`)+`},{"resource":`+patient(`"gender":"male"`)+`}`), "error min:woman at Bundle.entry"},
	{"slices by the presence of an extension", "Patient",
		el("Patient.name", `"slicing":{"discriminator":[{"type":"value","path":"extension('http://example.org/StructureDefinition/race').value"}],"rules":"open"}`) + `,` +
			el("Patient.name", `"id":"Patient.name:a","sliceName":"a","max":"1"`) + `,` +
			el("Patient.name.extension", `"id":"Patient.name:a.extension:race","sliceName":"race","type":[{"code":"Extension","profile":["http://example.org/StructureDefinition/race"]}]`) + `,` +
			el("Patient.name.extension.value[x]", `"id":"Patient.name:a.extension:race.value[x]","fixedCode":"a"`),
		patient(`"name":[{"extension":[{"url":"http://example.org/StructureDefinition/race","valueCode":"a"}]},{"extension":[{"url":"http://example.org/StructureDefinition/race","valueCode":"a"}]},{"extension":[{"url":"http://example.org/StructureDefinition/race","valueCode":"b"}]}]`),
		"error max:a at Patient.name"},
	{"slices by two discriminators", "Patient",
		el("Patient.telecom", `"slicing":{"discriminator":[{"type":"value","path":"system"},{"type":"value","path":"use"}],"rules":"open"}`) + `,` +
			el("Patient.telecom", `"id":"Patient.telecom:a","sliceName":"a","min":1`) + `,` +
			el("Patient.telecom.system", `"id":"Patient.telecom:a.system","fixedCode":"phone"`) + `,` +
			el("Patient.telecom.use", `"id":"Patient.telecom:a.use","fixedCode":"home"`),
		patient(`"telecom":[{"system":"phone","use":"work"},{"system":"email","use":"home"}]`), "error min:a at Patient.telecom"},
	{"slices by a required value set", "Patient",
		el("Patient.contact", `"slicing":{"discriminator":[{"type":"value","path":"gender"}],"rules":"closed"}`) + `,` +
			el("Patient.contact", `"id":"Patient.contact:a","sliceName":"a"`) + `,` +
			el("Patient.contact.gender", `"id":"Patient.contact:a.gender","binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender"}`),
		patient(`"contact":[{"name":{"text":"x"},"gender":"male"},{"name":{"text":"x"}}]`), "error slicing at Patient.contact[1]"},
	{"a profile on a data type", "Patient",
		el("Patient.identifier", `"type":[{"code":"Identifier","profile":["http://example.org/StructureDefinition/number"]}]`),
		patient(`"identifier":[{"value":"1"},{"system":"http://x"}]`), "error min at Patient.identifier[1].value"},
	{"one of two profiles on a data type", "Patient",
		el("Patient.identifier", `"type":[{"code":"Identifier","profile":["http://example.org/StructureDefinition/number","http://example.org/StructureDefinition/used"]}]`),
		patient(`"identifier":[{"value":"1"},{"use":"usual","system":"http://x"},{"system":"http://x"}]`), "error type at Patient.identifier[2]"},
	{"a reference to what keeps a profile", "Encounter",
		el("Encounter.subject", `"type":[{"code":"Reference","targetProfile":["http://example.org/StructureDefinition/woman"]}]`),
		visit(`"contained":[{"resourceType":"Patient","id":"p","gender":"female"}],"subject":{"reference":"#p"}`), ""},
	{"a reference to what does not keep a profile", "Encounter",
		el("Encounter.subject", `"type":[{"code":"Reference","targetProfile":["http://example.org/StructureDefinition/woman"]}]`),
		visit(`"contained":[{"resourceType":"Patient","id":"p","gender":"male"}],"subject":{"reference":"#p"}`), "error ref-target at Encounter.subject.reference"},
	{"a simple quantity", "Observation",
		el("Observation.value[x]", `"type":[{"code":"Quantity","profile":["http://hl7.org/fhir/StructureDefinition/SimpleQuantity"]}]`),
		observation(`"valueQuantity":{"value":1,"comparator":"<"}`), "error sqty-1 at Observation.value.ofType(Quantity)"},
	{"content that repeats another element", "Questionnaire",
		el("Questionnaire.item.item.text", `"min":1`),
		`{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"string"}]}]}`, "error min at Questionnaire.item[0].item[0].text"},
	{"extensions of a primitive", "Patient",
		el("Patient.birthDate.extension", `"min":1`), patient(`"birthDate":"2026"`), "error min at Patient.birthDate.extension"},
	{"extensions are sliced by url", "Patient",
		el("Patient.extension", `"id":"Patient.extension:race","sliceName":"race","min":1,"max":"1","type":[{"code":"Extension","profile":["http://example.org/StructureDefinition/race"]}]`),
		patient(`"extension":[{"url":"http://example.org/StructureDefinition/other","valueString":"x"}]`), "error min:race at Patient.extension"},
	{"a slice that is an extension", "Patient",
		el("Patient.extension", `"id":"Patient.extension:race","sliceName":"race","min":1,"max":"1","type":[{"code":"Extension","profile":["http://example.org/StructureDefinition/race"]}]`),
		patient(`"extension":[{"url":"http://example.org/StructureDefinition/race","valueInteger":1}]`), "error type at Patient.extension[0].value.ofType(integer)"},
	{"slices without ids", "Patient",
		`{"path":"Patient.identifier","slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"open"}},{"path":"Patient.identifier","sliceName":"a","min":1},
		 {"path":"Patient.identifier.system","fixedUri":"http://a"},{"path":"Patient.identifier.value","min":1}`,
		patient(`"identifier":[{"system":"http://b"},{"system":"http://a"}]`), "error min at Patient.identifier[1].value"},
}

// race is an extension that other profiles use.
var race = definition("race", "Extension",
	el("Extension.url", `"fixedUri":"`+home+`race"`)+`,`+el("Extension.value[x]", `"min":1,"type":[{"code":"code"}]`))

var (
	woman  = definition("woman", "Patient", el("Patient.gender", `"min":1,"fixedCode":"female"`))
	number = strings.Replace(definition("number", "Identifier", el("Identifier.value", `"min":1`)), `"resource"`, `"complex-type"`, 1)
	used   = strings.Replace(definition("used", "Identifier", el("Identifier.use", `"min":1`)), `"resource"`, `"complex-type"`, 1)
)

func TestProfiles(t *testing.T) {
	for _, x := range profiled {
		t.Run(x.name, func(t *testing.T) {
			v := with(t, validate.Options{}, race, woman, number, used, definition("x", x.typ, x.elements))
			doc := parsed(t, x.document)
			issues := v.Validate(t.Context(), doc, home+"x")
			if got := found(issues); got != x.want {
				t.Errorf("found:\n%s\nwant:\n%s\nall: %v", got, x.want, diagnostics(issues))
			}
			if issues := v.Validate(t.Context(), doc); x.want != "" && !strings.Contains(x.document, home+"race") && found(issues) != "" {
				t.Errorf("without the profile: %s", diagnostics(issues))
			}
		})
	}
}

func TestProfilesThatTheResourceNames(t *testing.T) {
	v := with(t, validate.Options{}, definition("x", "Patient", el("Patient.birthDate", `"min":1`)))
	for _, x := range []struct{ document, want string }{
		{patient(`"meta":{"profile":["` + home + `x"]},"active":true`), "error min at Patient.birthDate"},
		{patient(`"meta":{"profile":["` + home + `x|1.0"]},"active":true`), "error min at Patient.birthDate"},
		{patient(`"meta":{"profile":["http://hl7.org/fhir/StructureDefinition/Patient"]},"active":true`), ""},
		{patient(`"meta":{"profile":["http://hl7.org/fhir/StructureDefinition/Encounter"]},"active":true`), "error profile at Patient"},
		{patient(`"meta":{"profile":["http://example.org/y"]},"active":true`), "information profile at Patient.meta.profile[0]"},
		{visit(`"meta":{"profile":["` + home + `x"]}`), "error profile at Encounter"},
		{bundle("collection", `{"resource":`+patient(`"meta":{"profile":["`+home+`x"]},"active":true`)+`}`), "error min at Bundle.entry[0].resource.birthDate"},
	} {
		if got := found(v.Validate(t.Context(), parsed(t, x.document))); got != x.want {
			t.Errorf("%s: found %q, want %q", x.document, got, x.want)
		}
	}
	if got := found(v.Validate(t.Context(), parsed(t, patient(`"active":true`)), "http://example.org/y")); got != "error profile at Patient" {
		t.Errorf("a profile that nobody knows gives %q", got)
	}
}

func TestProfilesOfProfiles(t *testing.T) {
	child := derived("child", "Patient", home+"parent", el("Patient.identifier", `"id":"Patient.identifier:mrn","sliceName":"mrn","min":1`)+`,`+
		el("Patient.identifier.type", `"id":"Patient.identifier:mrn.type","min":1`)+`,`+el("Patient.gender", `"min":1`))
	parent := definition("parent", "Patient", strings.Replace(sliced("open", "false"), `"id":"Patient.identifier:mrn","sliceName":"mrn","min":1`, `"id":"Patient.identifier:mrn","sliceName":"mrn","min":0`, 1))
	doc := parsed(t, patient(`"identifier":[{"system":"http://mrn"}]`))
	want := "error min at Patient.gender\nerror min at Patient.identifier[0].value\nerror min at Patient.identifier[0].type"

	for name, order := range map[string][]string{"base first": {parent, child}, "base last": {child, parent}} {
		v := with(t, validate.Options{}, order...)
		got := found(v.Validate(t.Context(), doc, home+"child"))
		if !sameLines(got, want) {
			t.Errorf("%s: found\n%s\nwant\n%s", name, got, want)
		}
		if got := found(v.Validate(t.Context(), doc, home+"parent")); got != "error min at Patient.identifier[0].value" {
			t.Errorf("%s: the parent finds %s", name, got)
		}
	}

	v := with(t, validate.Options{}, child)
	if got := found(v.Validate(t.Context(), doc, home+"child")); got != "error profile at Patient" {
		t.Errorf("without its base the profile finds %s", got)
	}
	if len(v.Skipped()) == 0 {
		t.Error("a profile without its base is not among what is skipped")
	}
}

func sameLines(a, b string) bool {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, l := range x {
		if !strings.Contains("\n"+b+"\n", "\n"+l+"\n") {
			return false
		}
	}
	return len(x) == len(y)
}

func TestProfilesThatCannotBeUsed(t *testing.T) {
	for name, text := range map[string]string{
		"another resource":           patient(`"active":true`),
		"no url":                     strings.Replace(definition("x", "Patient", ""), `"url"`, `"id":"x","title"`, 1),
		"an unknown type":            definition("x", "Visit", ""),
		"a specialization":           strings.Replace(definition("x", "Patient", ""), "constraint", "specialization", 1),
		"an unknown element":         definition("x", "Patient", el("Patient.visit", `"min":1`)),
		"another type in its path":   definition("x", "Patient", el("Encounter.status", `"min":1`)),
		"a max that is none":         definition("x", "Patient", el("Patient.name", `"max":"many"`)),
		"an unknown discriminator":   definition("x", "Patient", el("Patient.name", `"slicing":{"discriminator":[{"type":"magic","path":"use"}],"rules":"open"}`)),
		"a path that is not simple":  definition("x", "Patient", el("Patient.name", `"slicing":{"discriminator":[{"type":"value","path":"where(use = 'usual').family"}],"rules":"open"}`)),
		"a path that is no FHIRPath": definition("x", "Patient", el("Patient.name", `"slicing":{"discriminator":[{"type":"value","path":"(("}],"rules":"open"}`)),
		"a circle":                   derived("x", "Patient", home+"x", el("Patient.name", `"min":1`)),
	} {
		v := validate.New(validate.Options{})
		if err := v.AddProfile(parsed(t, text)); err == nil {
			t.Errorf("%s: the profile is taken", name)
		} else if fhir.CodeOf(err) == fhir.CodeException {
			t.Errorf("%s: %v has no code", name, err)
		}
	}
}

func TestExtensionsThatNobodyKnows(t *testing.T) {
	v := validate.New(validate.Options{})
	for url, want := range map[string]int{"http://example.org/x": 1, "http://hl7.org/fhir/StructureDefinition/patient-birthPlace": 0} {
		issues := v.Validate(t.Context(), parsed(t, patient(`"extension":[{"url":"`+url+`","valueString":"x"}]`)))
		if len(issues) != want || issues.Err() != nil {
			t.Errorf("%s: %s", url, diagnostics(issues))
		}
	}
}

func TestContextsOfExtensions(t *testing.T) {
	about := func(name, more string) string {
		return strings.Replace(definition(name, "Extension", el("Extension.value[x]", `"min":1,"type":[{"code":"code"}]`)), `"abstract"`, more+`,"abstract"`, 1)
	}
	v := with(t, validate.Options{},
		about("inner", `"context":[{"type":"extension","expression":"`+home+`outer"}]`),
		strings.Replace(about("outer", `"context":[{"type":"element","expression":"Patient"}]`), `{"code":"code"}`, `{"code":"string"}`, 1),
		about("official", `"context":[{"type":"fhirpath","expression":"Patient.name.where(use = 'official')"}]`),
		about("born", `"context":[{"type":"fhirpath","expression":"Patient.birthDate"}]`),
		about("adult", `"context":[{"type":"element","expression":"Patient"}],"contextInvariant":["birthDate < @2000","%extension.value = 'yes'"]`),
		about("any", `"context":[{"type":"element","expression":"Element"}]`),
		about("resource", `"context":[{"type":"element","expression":"DomainResource"}]`))
	x := func(name string) string { return `{"url":"` + home + name + `","valueCode":"yes"}` }
	for _, c := range []struct{ document, want string }{
		{patient(`"extension":[{"url":"` + home + `outer","valueString":"x","_valueString":{"extension":[` + x("any") + `]}}]`), ""},
		{patient(`"name":[{"use":"official","extension":[` + x("official") + `]}]`), ""},
		{patient(`"name":[{"use":"usual","extension":[` + x("official") + `]}]`), "error ext-context at Patient.name[0].extension[0]"},
		{patient(`"birthDate":"1990","_birthDate":{"extension":[` + x("born") + `]}`), ""},
		{patient(`"gender":"male","_gender":{"extension":[` + x("born") + `]}`), "error ext-context at Patient.gender.extension[0]"},
		{patient(`"birthDate":"1990","extension":[` + x("adult") + `]`), ""},
		{patient(`"birthDate":"2010","extension":[` + x("adult") + `]`), "error ext-invariant at Patient.extension[0]"},
		{patient(`"birthDate":"1990","extension":[` + strings.Replace(x("adult"), "yes", "no", 1) + `]`), "error ext-invariant at Patient.extension[0]"},
		{patient(`"extension":[` + x("inner") + `]`), "error ext-context at Patient.extension[0]"},
		{patient(`"extension":[` + x("resource") + `]`), ""},
		{patient(`"name":[{"text":"x","extension":[` + x("resource") + `]}]`), "error ext-context at Patient.name[0].extension[0]"},
		{patient(`"modifierExtension":[` + x("any") + `]`), "error ext-modifier at Patient.modifierExtension[0]"},
	} {
		if got := found(v.Validate(t.Context(), parsed(t, c.document))); got != c.want {
			t.Errorf("%s: found %q, want %q", c.document, got, c.want)
		}
	}
}

// A profile from outside can be wrong in every way; none hangs, none panics.
func TestHostileProfiles(t *testing.T) {
	long := strings.Repeat("a", 50_000)
	doc := parsed(t, patient(`"name":[{"text":"`+long+`"}],"active":true`))
	rule := func(expression string) string {
		return el("Patient.name.text", `"constraint":[{"key":"x-1","severity":"error","human":"x","expression":"`+expression+`"}]`)
	}
	for name, profiles := range map[string][]string{
		"a circle of bases":        {derived("x", "Patient", home+"y", el("Patient.name", `"min":1`)), derived("y", "Patient", home+"x", el("Patient.name", `"min":1`))},
		"its own base":             {derived("x", "Patient", home+"x", el("Patient.name", `"min":1`))},
		"a type that asks for it":  {definition("x", "Patient", el("Patient.contained", `"type":[{"code":"Patient","profile":["`+home+`x"]}]`))},
		"a regular expression":     {definition("x", "Patient", rule(`matches('(a+)+$') and matches('((a*)*)*b')`))},
		"an expression of depth":   {definition("x", "Patient", rule(strings.Repeat("(", 5000)+"1"+strings.Repeat(")", 5000)))},
		"an expression that grows": {definition("x", "Patient", rule(`(1 | 2 | 3).repeat($this + 1)`))},
		"many elements":            {definition("x", "Patient", strings.Repeat(el("Patient.name", `"min":0`)+",", 6000)+el("Patient.name", `"min":0`))},
		"many slices":              {definition("x", "Patient", el("Patient.name", `"slicing":{"rules":"closed"}`)+strings.Repeat(","+el("Patient.name", `"id":"Patient.name:s","sliceName":"s","max":"0"`), 3000))},
	} {
		t.Run(name, func(t *testing.T) {
			v := validate.New(validate.Options{Timeout: 2 * time.Second})
			for _, p := range profiles {
				_ = v.AddProfile(parsed(t, p)) // whether it is taken does not matter
			}
			begin := time.Now()
			v.Validate(t.Context(), doc, home+"x")
			v.Skipped()
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestVersionsOfProfiles(t *testing.T) {
	version := func(v, elements string) string {
		return strings.Replace(definition("x", "Patient", elements), `"name":"X"`, `"name":"X","version":"`+v+`"`, 1)
	}
	v := with(t, validate.Options{}, version("1", el("Patient.name", `"min":1`)), version("2", el("Patient.gender", `"min":1`)),
		derived("y", "Patient", home+"x|1", el("Patient.active", `"min":1`)))
	doc := parsed(t, patient(`"language":"ms"`))
	for url, want := range map[string]string{
		home + "x":   "error min at Patient.gender", // the one that was added last
		home + "x|1": "error min at Patient.name",
		home + "x|2": "error min at Patient.gender",
		home + "x|3": "error profile at Patient",
		home + "y":   "error min at Patient.name\nerror min at Patient.active",
	} {
		if got := found(v.Validate(t.Context(), doc, url)); !sameLines(got, want) {
			t.Errorf("%s: found %q, want %q", url, got, want)
		}
	}
	claim := parsed(t, patient(`"meta":{"profile":["`+home+`x|1"]},"gender":"male"`))
	if got := found(v.Validate(t.Context(), claim, home+"x|2")); got != "error min at Patient.name" {
		t.Errorf("found %q", got)
	}
}

// Whoever asks decides how grave a finding is.
func TestSeverityIsDecided(t *testing.T) {
	v := validate.New(validate.Options{})
	doc := parsed(t, patient(`"gender":"F","birthDate":"2026-02-30","colour":1`))
	issues := v.Judge(t.Context(), doc, validate.Judgement{Severity: func(f validate.Finding) fhir.Severity {
		switch f.Key {
		case "binding":
			if f.Type != "code" || f.Element != "Patient.gender" || f.Severity != fhir.SeverityError || !strings.HasSuffix(f.Profile, "/Patient") {
				t.Errorf("the finding is %+v", f)
			}
			return fhir.SeverityWarning
		case "unknown":
			return ""
		}
		return f.Severity
	}})
	if got := found(issues); got != "warning binding at Patient.gender\nerror format-date at Patient.birthDate" {
		t.Errorf("found %s", got)
	}
}

func TestCodesOfTheirSystems(t *testing.T) {
	v := validate.New(validate.Options{Code: func(system, code, display string) validate.CodeFault {
		switch {
		case system != "http://known":
			return validate.NoFault
		case code != "a":
			return validate.NoSuchCode
		case display != "" && display != "A":
			return validate.WrongDisplay
		}
		return validate.NoFault
	}})
	for coding, want := range map[string]string{
		`{"system":"http://known","code":"a","display":"A"}`: "",
		`{"system":"http://known","code":"a","display":"B"}`: "warning display at Patient.communication[0].language.coding[0]",
		`{"system":"http://known","code":"b"}`:               "error code at Patient.communication[0].language.coding[0]",
		`{"system":"http://other","code":"b"}`:               "",
		`{"code":"b"}`:                                       "",
	} {
		if got := found(v.Validate(t.Context(), parsed(t, patient(`"communication":[{"language":{"coding":[`+coding+`]}}]`)))); got != want {
			t.Errorf("%s: found %q, want %q", coding, got, want)
		}
	}
}

func TestExtensionsByTheirDefinition(t *testing.T) {
	onPatient := strings.Replace(race, `"abstract"`, `"context":[{"type":"element","expression":"Patient"},{"type":"element","expression":"HumanName.family"}],"abstract"`, 1)
	v := with(t, validate.Options{}, onPatient)
	x := func(value string) string { return `{"url":"` + home + `race",` + value + `}` }
	for _, c := range []struct{ document, want string }{
		{patient(`"extension":[` + x(`"valueCode":"a"`) + `]`), ""},
		{patient(`"extension":[` + x(`"valueString":"a"`) + `]`), "error type at Patient.extension[0].value.ofType(string)"},
		{patient(`"name":[{"family":"x","_family":{"extension":[` + x(`"valueCode":"a"`) + `]}}]`), ""},
		{patient(`"name":[{"extension":[` + x(`"valueCode":"a"`) + `]}]`), "error ext-context at Patient.name[0].extension[0]"},
		{visit(`"extension":[` + x(`"valueCode":"a"`) + `]`), "error ext-context at Encounter.extension[0]"},
		{patient(`"modifierExtension":[{"url":"http://example.org/y","valueCode":"a"}]`), "error ext-modifier at Patient.modifierExtension[0]"},
	} {
		if got := found(v.Validate(t.Context(), parsed(t, c.document))); got != c.want {
			t.Errorf("%s: found %q, want %q", c.document, got, c.want)
		}
	}
}

func TestGoodRecordsKeepTheProfilesOfMYCore(t *testing.T) {
	v := mycore.Standard().Engine()
	files, _ := filepath.Glob("../../mycore/testdata/good/*.json")
	if len(files) < 15 {
		t.Fatalf("only %d records were found", len(files))
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		doc := parsed(t, string(raw))
		if err := v.Validate(t.Context(), doc, mycore.Profile(doc.Type())).Err(); err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
		}
	}
}

func TestProfilesOfMYCoreFindWhatIsWrong(t *testing.T) {
	v := mycore.Standard().Engine()
	for _, x := range []struct{ file, old, new, want string }{
		{"encounter-vci.json", `"code": "ATND"`, `"code": "ATND"`, ""},
		{"encounter-vci.json", `"serviceProvider": {"reference": "Organization/11-05060009"}`, `"language": "ms"`, "error min at Encounter.serviceProvider"},
		{"encounter-vci.json", `"code": "VCI"`, `"code": "no such code"`, "error binding at Encounter.serviceType"},
		{"slot-vci.json", `"valueInteger"`, `"valueDecimal"`, "error type at Slot.extension["},
		{"schedule-vci.json", `schedule-type-my-core", "code": "`, `schedule-type-my-core", "code": "no such `, "error binding at Schedule.extension["},
	} {
		raw, err := os.ReadFile("../../mycore/testdata/good/" + x.file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), x.old) {
			t.Fatalf("%s has no %s: %s", x.file, x.old, raw)
		}
		doc := parsed(t, strings.Replace(string(raw), x.old, x.new, 1))
		got := found(v.Validate(t.Context(), doc, mycore.Profile(doc.Type())))
		if x.want == "" && strings.Contains(got, "error") || !strings.Contains(got, x.want) {
			t.Errorf("%s with %s: found %q, want %q", x.file, x.new, got, x.want)
		}
	}
}

func TestDefinitionsOfMYCoreAreRight(t *testing.T) {
	v := validate.New(validate.Options{})
	for _, d := range mycore.Definitions() {
		for _, i := range v.Validate(t.Context(), d) {
			t.Errorf("%s: %s", d.ID(), i.Diagnostics)
		}
	}
}

func TestSkippedRulesOfProfilesAreListed(t *testing.T) {
	v := with(t, validate.Options{}, definition("x", "Patient",
		el("Patient", `"constraint":[{"key":"x-1","severity":"error","human":"Never.","expression":"no such (("},{"key":"x-2","severity":"error","human":"No."}]`)+`,`+
			el("Patient.birthDate", `"minValueDate":"1900-13-01"`)))
	var keys []string
	for _, s := range v.Skipped() {
		if s.Profile != home+"x" || s.Reason == "" {
			t.Errorf("skipped without a reason: %v", s)
		}
		keys = append(keys, s.Key)
	}
	if got := strings.Join(keys, ", "); got != "minValueDate of Patient.birthDate, x-1, x-2" {
		t.Errorf("skipped are %s", got)
	}
	if got := found(v.Validate(t.Context(), parsed(t, patient(`"birthDate":"1800"`)), home+"x")); got != "" {
		t.Errorf("found %s", got)
	}
}

func TestProfilesMayAskForEachOther(t *testing.T) {
	v := with(t, validate.Options{},
		definition("a", "Patient", el("Patient", `"constraint":[{"key":"a-1","severity":"error","human":"As b.","expression":"conformsTo('`+home+`b')"}]`)),
		definition("b", "Patient", el("Patient", `"constraint":[{"key":"b-1","severity":"error","human":"As a.","expression":"conformsTo('`+home+`a')"}]`)))
	got := found(v.Validate(t.Context(), parsed(t, patient(`"active":true`)), home+"a"))
	if got != "error a-1 at Patient" {
		t.Errorf("found %s", got)
	}
}

func TestOneValidatorServesMany(t *testing.T) {
	v := with(t, validate.Options{}, race, definition("x", "Patient", sliced("closed", "true")))
	good := parsed(t, patient(`"identifier":[{"system":"http://mrn","value":"1"}]`))
	bad := parsed(t, patient(`"identifier":[{"system":"http://x"}],"gender":"F"`))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if got := found(v.Validate(t.Context(), good, home+"x")); got != "" {
					t.Errorf("found %s", got)
				}
				if n := len(v.Validate(t.Context(), bad, home+"x")); n != 3 {
					t.Errorf("found %d", n)
				}
			}
		})
	}
	for range 20 {
		if err := v.AddProfile(parsed(t, derived("y", "Patient", home+"x", el("Patient.name", `"min":1`)))); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

// A snapshot serves where the base is not known, and says nothing twice.
func TestSnapshots(t *testing.T) {
	snapshot := strings.Replace(derived("x", "Patient", "http://example.org/unknown", `{"id":"Patient","path":"Patient","min":0,"max":"*"},`+
		el("Patient.id", `"min":0,"max":"1","type":[{"code":"http://hl7.org/fhirpath/System.String"}]`)+`,`+
		el("Patient.gender", `"min":1,"max":"1","type":[{"code":"code"}],"binding":{"strength":"required","valueSet":"http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"},
			"constraint":[{"key":"ele-1","severity":"error","human":"x","expression":"false"}]`)+`,`+
		el("Patient.contact", `"min":0,"max":"*","type":[{"code":"BackboneElement"}],"constraint":[{"key":"pat-1","severity":"error","human":"x","expression":"false"}]`)), "differential", "snapshot", 1)
	v := with(t, validate.Options{}, snapshot)
	for document, want := range map[string]string{
		patient(`"id":"1","gender":"male"`):                      "",
		patient(`"active":true`):                                 "error min at Patient.gender",
		patient(`"gender":"F"`):                                  "error binding at Patient.gender",
		patient(`"gender":"male","contact":[{"gender":"male"}]`): "error pat-1 at Patient.contact[0]",
	} {
		if got := found(v.Validate(t.Context(), parsed(t, document), home+"x")); got != want {
			t.Errorf("%s: found %q, want %q", document, got, want)
		}
	}
}
