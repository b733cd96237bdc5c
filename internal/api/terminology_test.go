package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/mycore"
)

const (
	genderSet    = "http://hl7.org/fhir/ValueSet/administrative-gender"
	genderSystem = "http://hl7.org/fhir/administrative-gender"
	actCode      = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	actEncounter = "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode"
	classes      = mycore.Root + "ValueSet/encounter-class-my-core"
)

// asking makes Parameters of name, type and value in turn; a value that begins
// with a brace is written as it is.
func asking(list ...string) string {
	var all []string
	for i := 0; i+2 < len(list); i += 3 {
		value := list[i+2]
		if !strings.HasPrefix(value, "{") && value != "true" && value != "false" {
			quoted, _ := json.Marshal(value)
			value = string(quoted)
		}
		all = append(all, `{"name":"`+list[i]+`","`+list[i+1]+`":`+value+`}`)
	}
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(all, ",") + `]}`
}

func TestTerminology(t *testing.T) {
	s := newServer(t)
	reader := auth.Principal{Kind: auth.Client, ID: "reader", Organization: hospital.Organization, Scopes: []string{"system/Patient.rs"}}
	patient := auth.Principal{Kind: auth.Patient, ID: "p"}
	const yes, no = `"name":"result","valueBoolean":true`, `"name":"result","valueBoolean":false`
	compose := func(include string) string {
		return `{"resourceType":"ValueSet","url":"http://example.org/vs","status":"draft","compose":{"include":[` + include + `]}}`
	}
	s.fill(t, `{"resourceType":"ConceptMap","id":"own","url":"http://example.org/map","status":"active","group":[{"source":"`+mycore.SystemEncounterClass+`","target":"`+actCode+`",
		"element":[{"code":"VR","target":[{"code":"VR","equivalence":"equal"}]}],"unmapped":{"mode":"fixed","code":"AMB"}}]}`)
	valid := validate.New(validate.Options{})
	below := compose(`{"system":"` + actCode + `","filter":[{"property":"concept","op":"is-a","value":"_ActEncounterCode"}]}`)
	for _, c := range []struct {
		name, url, body    string
		as                 *auth.Principal
		status             int
		contains, excludes string // parts divided by " & "
	}{
		// $lookup
		{name: "lookup", url: "/CodeSystem/$lookup?system=" + genderSystem + "&code=female", status: 200,
			contains: `"name":"name","valueString":"AdministrativeGender" & "name":"version","valueString":"4.0.1" & "name":"display","valueString":"Female" & {"name":"code","valueCode":"definition"},{"name":"value","valueString":"Female."}`},
		{name: "lookup of a coding", url: "/CodeSystem/$lookup", body: asking("coding", "valueCoding", `{"system":"`+mycore.SystemServiceType+`","code":"VCI"}`), status: 200,
			contains: `"valueString":"Individual Virtual Consultation"`},
		{name: "lookup in a hierarchy", url: "/CodeSystem/$lookup?system=" + actCode + "&code=AMB", status: 200,
			contains: `{"name":"code","valueCode":"parent"},{"name":"value","valueCode":"_ActEncounterCode"}`},
		{name: "lookup of one property", url: "/CodeSystem/$lookup?system=" + actCode + "&code=_ActEncounterCode&property=notSelectable", status: 200,
			contains: `"valueCode":"notSelectable"},{"name":"value","valueBoolean":true}`, excludes: `"child"`},
		{name: "lookup in Dutch", url: "/CodeSystem/$lookup?system=http://terminology.hl7.org/CodeSystem/v2-0001&code=F&displayLanguage=nl", status: 200,
			contains: `"name":"display","valueString":"Vrouw" & {"name":"language","valueCode":"nl"}`},
		{name: "lookup of a spelling of the guide", url: "/CodeSystem/$lookup?system=" + mycore.Root + "Valueset/encounter-class-my-core&code=VR", status: 200, contains: `"valueString":"Virtual"`},
		{name: "lookup of a version", url: "/CodeSystem/$lookup?system=" + genderSystem + "&code=female&version=4.0.1", status: 200, contains: "Female"},
		{name: "lookup of another version", url: "/CodeSystem/$lookup?system=" + genderSystem + "&code=female&version=3.0.2", status: 404, contains: "in version 4.0.1 alone"},
		{name: "lookup in a record", url: "/CodeSystem/service-type-my-core/$lookup?code=VCE", status: 200, contains: `"valueString":"Education Virtual Consultation"`},
		{name: "lookup of no code", url: "/CodeSystem/$lookup?system=" + genderSystem, status: 400, contains: `"required"`},
		{name: "lookup of no system", url: "/CodeSystem/$lookup?code=female", status: 400, contains: `"required"`},
		{name: "lookup of a wrong code", url: "/CodeSystem/$lookup?system=" + genderSystem + "&code=Female", status: 404, contains: `"not-found"`},
		{name: "lookup in SNOMED CT", url: "/CodeSystem/$lookup?system=http://snomed.info/sct&code=73211009", status: 404, contains: "is not known here"},
		{name: "lookup in LOINC", url: "/CodeSystem/$lookup?system=http://loinc.org&code=8480-6", status: 404, contains: "is not known here"},
		{name: "lookup with another resource", url: "/CodeSystem/$lookup", body: resource("Patient", "x"), status: 400},

		// CodeSystem/$validate-code
		{name: "a code of a system", url: "/CodeSystem/$validate-code?url=" + genderSystem + "&code=male", status: 200, contains: yes + ` & "valueString":"Male"`},
		{name: "a wrong code of a system", url: "/CodeSystem/$validate-code?url=" + genderSystem + "&code=man", status: 200, contains: no + ` & "message"`},
		{name: "a coding", url: "/CodeSystem/$validate-code", body: asking("coding", "valueCoding", `{"system":"`+genderSystem+`","code":"male","display":"male"}`), status: 200, contains: yes},
		{name: "with a wrong display", url: "/CodeSystem/$validate-code?url=" + genderSystem + "&code=male&display=Boy", status: 200, contains: no + ` & is \"Male\" & "name":"display","valueString":"Male"`},
		{name: "a coding of another system", url: "/CodeSystem/$validate-code", body: asking("url", "valueUri", genderSystem, "coding", "valueCoding", `{"system":"http://x","code":"male"}`), status: 200, contains: no},
		{name: "a concept", url: "/CodeSystem/$validate-code", body: asking("url", "valueUri", genderSystem, "codeableConcept", "valueCodeableConcept", `{"coding":[{"system":"http://x","code":"m"},{"system":"`+genderSystem+`","code":"male"}]}`), status: 200, contains: yes},
		{name: "a system that was sent", url: "/CodeSystem/$validate-code", body: asking("codeSystem", "resource", `{"resourceType":"CodeSystem","url":"http://x","content":"complete","concept":[{"code":"a"}]}`, "code", "valueCode", "a"), status: 200, contains: yes},
		{name: "an abstract code", url: "/CodeSystem/$validate-code?url=" + actCode + "&code=_ActEncounterCode", status: 200, contains: no + ` & groups others`},
		{name: "an abstract code that may be one", url: "/CodeSystem/$validate-code?url=" + actCode + "&code=_ActEncounterCode&abstract=true", status: 200, contains: yes},
		{name: "abstract, but how", url: "/CodeSystem/$validate-code?url=" + actCode + "&code=_ActEncounterCode&abstract=maybe", status: 400},
		{name: "a code that is out of use", url: "/CodeSystem/$validate-code?url=http://terminology.hl7.org/CodeSystem/v3-ActMood&code=CRT", status: 200, contains: yes + ` & "name":"inactive","valueBoolean":true & no longer in use`},
		{name: "a system that is not known", url: "/CodeSystem/$validate-code?url=http://loinc.org&code=8480-6", status: 404},
		{name: "a system of which only a part is known", url: "/CodeSystem/$validate-code?url=http://terminology.hl7.org/CodeSystem/service-type&code=99999", status: 422, contains: `"not-supported"`},
		{name: "no code", url: "/CodeSystem/$validate-code?url=" + genderSystem, status: 400, contains: `"required"`},
		{name: "no system", url: "/CodeSystem/$validate-code?code=male", status: 400, contains: `"required"`},
		{name: "of one record", url: "/CodeSystem/service-type-my-core/$validate-code?code=VCE", status: 200, contains: yes},
		{name: "of one record, wrong", url: "/CodeSystem/service-type-my-core/$validate-code?code=VCX", status: 200, contains: no},
		{name: "of no record", url: "/CodeSystem/nothing/$validate-code?code=VCE", status: 404},

		// ValueSet/$validate-code
		{name: "a code in a value set", url: "/ValueSet/$validate-code?url=" + genderSet + "&system=" + genderSystem + "&code=male", status: 200, contains: yes + ` & "name":"system","valueUri":"` + genderSystem + `"`},
		{name: "a code without a system", url: "/ValueSet/$validate-code?url=" + genderSet + "&code=male", status: 200, contains: yes + " & " + genderSystem},
		{name: "a coding without a system", url: "/ValueSet/$validate-code", body: asking("url", "valueUri", genderSet, "coding", "valueCoding", `{"code":"male"}`), status: 200, contains: no + " & names no system"},
		{name: "a coding without a system in a code system", url: "/CodeSystem/$validate-code", body: asking("url", "valueUri", genderSystem, "coding", "valueCoding", `{"code":"male"}`), status: 200, contains: no + " & names no system"},
		{name: "a code in too many systems", url: "/ValueSet/$validate-code?code=x", body: compose(`{"system":"http://a","concept":[{"code":"x"}]},{"system":"http://b","concept":[{"code":"x"}]}`), status: 400, contains: "name the system"},
		{name: "with a version", url: "/ValueSet/$validate-code?url=" + genderSet + "&valueSetVersion=4.0.1&code=male", status: 200, contains: yes},
		{name: "with another version", url: "/ValueSet/$validate-code?url=" + genderSet + "&valueSetVersion=3.0.1&code=male", status: 404},
		{name: "of another version of the system", url: "/ValueSet/$validate-code?url=" + genderSet + "&systemVersion=3.0.1&code=male", status: 422},
		{name: "a wrong code in a value set", url: "/ValueSet/$validate-code?url=" + genderSet + "&system=" + genderSystem + "&code=man", status: 200, contains: no + " & is not in the value set"},
		{name: "a code of another system", url: "/ValueSet/$validate-code?url=" + genderSet + "&system=http://snomed.info/sct&code=male", status: 200, contains: no},
		{name: "below a concept", url: "/ValueSet/$validate-code?url=" + actEncounter + "&system=" + actCode + "&code=VR", status: 200, contains: yes},
		{name: "beside a concept", url: "/ValueSet/$validate-code?url=" + actEncounter + "&system=" + actCode + "&code=SDE", status: 200, contains: no},
		{name: "a concept of several codes", url: "/ValueSet/$validate-code", body: asking("url", "valueUri", genderSet, "codeableConcept", "valueCodeableConcept", `{"coding":[{"system":"http://snomed.info/sct","code":"248153007"},{"system":"`+genderSystem+`","code":"male"}]}`), status: 200, contains: yes},
		{name: "a concept of too many codes", url: "/ValueSet/$validate-code", body: asking("url", "valueUri", genderSet, "codeableConcept", "valueCodeableConcept", `{"coding":[`+strings.Repeat(`{"system":"x","code":"y"},`, maxCodings)+`{"system":"x","code":"y"}]}`), status: 400},
		{name: "a concept of nothing", url: "/ValueSet/$validate-code", body: asking("url", "valueUri", genderSet, "codeableConcept", "valueCodeableConcept", `{"text":"male"}`), status: 200, contains: no},
		{name: "what nobody can tell", url: "/ValueSet/$validate-code?url=http://hl7.org/fhir/ValueSet/condition-code&system=http://snomed.info/sct&code=73211009", status: 422, contains: "cannot be told here & http://snomed.info/sct"},
		{name: "what is listed of SNOMED CT", url: "/ValueSet/$validate-code?url=http://hl7.org/fhir/ValueSet/condition-severity&system=http://snomed.info/sct&code=24484000&display=Severe", status: 200, contains: yes},
		{name: "what is not listed of SNOMED CT", url: "/ValueSet/$validate-code?url=http://hl7.org/fhir/ValueSet/condition-severity&system=http://snomed.info/sct&code=1", status: 200, contains: no},
		{name: "a spelling of the guide", url: "/ValueSet/$validate-code?url=" + mycore.Root + "Valueset/encounter-class-my-core&system=" + classes + "&code=VR", status: 200,
			contains: yes + ` & "name":"system","valueUri":"` + mycore.SystemEncounterClass + `"`},
		{name: "a value set that was sent", url: "/ValueSet/$validate-code", body: asking("valueSet", "resource", compose(`{"system":"`+genderSystem+`","filter":[{"property":"code","op":"regex","value":"m.*"}]}`), "coding", "valueCoding", `{"system":"`+genderSystem+`","code":"male"}`), status: 200, contains: yes},
		{name: "a value set of nothing", url: "/ValueSet/$validate-code", body: asking("valueSet", "resource", `{"resourceType":"ValueSet"}`, "code", "valueCode", "x"), status: 422},
		{name: "a value set that is none", url: "/ValueSet/$validate-code", body: asking("valueSet", "resource", `{"resourceType":"Patient"}`, "code", "valueCode", "x"), status: 400},
		{name: "no value set", url: "/ValueSet/$validate-code?code=male", status: 400, contains: `"required"`},
		{name: "an unknown value set", url: "/ValueSet/$validate-code?url=http://x&code=male", status: 404},
		{name: "in the value set of a record", url: "/ValueSet/service-type-my-core/$validate-code?system=" + mycore.SystemServiceType + "&code=VCI", status: 200, contains: yes},

		// $subsumes
		{name: "subsumes", url: "/CodeSystem/$subsumes?system=" + actCode + "&codeA=_ActEncounterCode&codeB=AMB", status: 200, contains: `"valueCode":"subsumes"`},
		{name: "subsumed by", url: "/CodeSystem/$subsumes?system=" + actCode + "&codeA=AMB&codeB=_ActEncounterCode", status: 200, contains: `"valueCode":"subsumed-by"`},
		{name: "equivalent", url: "/CodeSystem/$subsumes?system=" + genderSystem + "&codeA=male&codeB=male", status: 200, contains: `"valueCode":"equivalent"`},
		{name: "neither", url: "/CodeSystem/$subsumes?system=" + genderSystem + "&codeA=male&codeB=female", status: 200, contains: `"valueCode":"not-subsumed"`},
		{name: "subsumes, of codings", url: "/CodeSystem/$subsumes", body: asking("codingA", "valueCoding", `{"system":"`+actCode+`","code":"ACUTE"}`, "codingB", "valueCoding", `{"system":"`+actCode+`","code":"IMP"}`), status: 200, contains: `"valueCode":"subsumed-by"`},
		{name: "subsumes across systems", url: "/CodeSystem/$subsumes", body: asking("codingA", "valueCoding", `{"system":"`+actCode+`","code":"ACUTE"}`, "codingB", "valueCoding", `{"system":"`+genderSystem+`","code":"male"}`), status: 400},
		{name: "subsumes a wrong code", url: "/CodeSystem/$subsumes?system=" + genderSystem + "&codeA=male&codeB=boy", status: 404},
		{name: "subsumes with one code", url: "/CodeSystem/$subsumes?system=" + genderSystem + "&codeA=male", status: 400, contains: `"required"`},
		{name: "subsumes in a record", url: "/CodeSystem/service-type-my-core/$subsumes?codeA=VCI&codeB=VCE", status: 200, contains: `"not-subsumed"`},

		// $expand
		{name: "expand", url: "/ValueSet/$expand?url=" + genderSet, status: 200,
			contains: `"resourceType":"ValueSet" & "url":"` + genderSet + `" & "total":4 & {"system":"` + genderSystem + `","version":"4.0.1","code":"male","display":"Male"} & "valueUri":"` + genderSystem + `|4.0.1" & "identifier":"urn:uuid: & "timestamp":"2026-11-23T`, excludes: `"offset" & "compose"`},
		{name: "expand a page", url: "/ValueSet/$expand?url=" + genderSet + "&offset=1&count=2", status: 200, contains: `"total":4 & "offset":1 & "code":"female" & "code":"other"`, excludes: `"code":"male" & "code":"unknown"`},
		{name: "expand behind the end", url: "/ValueSet/$expand?url=" + genderSet + "&offset=9", status: 200, contains: `"total":4`, excludes: `"contains"`},
		{name: "expand their number", url: "/ValueSet/$expand?url=" + genderSet + "&count=0", status: 200, contains: `"total":4`, excludes: `"contains"`},
		{name: "expand with words", url: "/ValueSet/$expand?url=" + mycore.Root + "ValueSet/service-type-my-core&filter=virtual+indiv", status: 200, contains: `"total":1 & "code":"VCI" & "name":"filter","valueString":"virtual indiv"`},
		{name: "expand a record", url: "/ValueSet/service-type-my-core/$expand", status: 200, contains: `"id":"service-type-my-core" & "total":16 & "code":"VCMDT"`},
		{name: "expand a spelling of the guide", url: "/ValueSet/$expand?url=" + mycore.Root + "VaueSet/encounter-class-my-core", status: 200, contains: `"url":"` + classes + `" & "total":9`},
		{name: "expand a hierarchy", url: "/ValueSet/$expand", body: below, status: 200, contains: `"abstract":true,"version":"2018-08-12","code":"_ActEncounterCode" & "code":"ACUTE"`, excludes: `"contains":[{"system":"` + actCode + `","version":"2018-08-12","code":"ACUTE"`},
		{name: "expand it nested", url: "/ValueSet/$expand?url=" + actEncounter + "&excludeNested=false", status: 200, contains: `"code":"IMP","display":"inpatient encounter","contains":[{"system":"` + actCode + `","version":"2018-08-12","code":"ACUTE"`},
		{name: "expand for people", url: "/ValueSet/$expand?excludeNotForUI=true", body: below, status: 200, contains: `"code":"ACUTE"`, excludes: `"abstract"`},
		{name: "expand what is in use", url: "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/inactive&activeOnly=true", status: 200, contains: `"EXPEC"`, excludes: `"CRT"`},
		{name: "expand what is not", url: "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/inactive", status: 200, contains: `"inactive":true`},
		{name: "expand with designations", url: "/ValueSet/$expand?url=http://terminology.hl7.org/ValueSet/v2-0001&includeDesignations=true", status: 200, contains: `{"language":"nl","use":{"system":"http://terminology.hl7.org/CodeSystem/designation-usage","code":"display"},"value":"Vrouw"}`},
		{name: "expand in Dutch", url: "/ValueSet/$expand?url=http://terminology.hl7.org/ValueSet/v2-0001&displayLanguage=nl", status: 200, contains: `"display":"Vrouw"`},
		{name: "expand with the definition", url: "/ValueSet/$expand?url=" + genderSet + "&includeDefinition=true", status: 200, contains: `"compose":{"include":[{"system":"` + genderSystem + `"}]}`},
		{name: "expand what was sent", url: "/ValueSet/$expand", body: compose(`{"valueSet":["` + genderSet + `"]},{"system":"http://example.org/own","concept":[{"code":"x","display":"X"}]}`), status: 200, contains: `"total":5 & "code":"x"`},
		{name: "expand what was sent as a parameter", url: "/ValueSet/$expand", body: asking("valueSet", "resource", compose(`{"system":"`+actCode+`","filter":[{"property":"concept","op":"descendent-of","value":"_ActEncounterCode"}]}`)), status: 200, contains: `"code":"VR"`, excludes: `"_ActEncounterCode"`},
		{name: "expand a part of a system that is known in part", url: "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/service-type&count=1", status: 200, contains: `valueset-unclosed & "code":"1"`},
		{name: "expand SNOMED CT", url: "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/condition-code", status: 422, contains: `"not-supported" & http://snomed.info/sct`},
		{name: "expand what lists codes of SNOMED CT", url: "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/condition-severity", status: 200, contains: `"total":3 & {"system":"http://snomed.info/sct","code":"24484000"}`},
		{name: "expand nothing", url: "/ValueSet/$expand", status: 400, contains: `"required"`},
		{name: "expand an unknown one", url: "/ValueSet/$expand?url=http://x", status: 404},
		{name: "expand from below the start", url: "/ValueSet/$expand?url=" + genderSet + "&offset=-1", status: 400},
		{name: "expand too many words for a number", url: "/ValueSet/$expand?url=" + genderSet + "&count=many", status: 400},
		{name: "expand for a context", url: "/ValueSet/$expand?context=http://hl7.org/fhir/StructureDefinition/Patient%23Patient.gender", status: 200, contains: `"url":"` + genderSet + `" & "total":4`},
		{name: "expand for a context within", url: "/ValueSet/$expand?context=http://hl7.org/fhir/StructureDefinition/Appointment%23Appointment.participant.status", status: 200, contains: `"needs-action"`},
		{name: "expand for a context without a value set", url: "/ValueSet/$expand?context=http://hl7.org/fhir/StructureDefinition/Patient%23Patient.birthDate", status: 404},
		{name: "expand for a context of a profile", url: "/ValueSet/$expand?context=" + mycore.Profile("Encounter") + "%23Encounter.class", status: 400},
		{name: "expand for a context of no type", url: "/ValueSet/$expand?context=gender", status: 400},
		{name: "check in a context", url: "/ValueSet/$validate-code?context=http://hl7.org/fhir/StructureDefinition/Patient%23Patient.gender&code=male", status: 200, contains: yes},
		{name: "expand another version of a system", url: "/ValueSet/$expand?url=" + genderSet + "&system-version=" + genderSystem + "|3.0", status: 404},
		{name: "expand without a system", url: "/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/v3-NullFlavor&exclude-system=x", status: 404},

		// $translate
		{name: "translate", url: "/ConceptMap/$translate?url=http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2&system=" + genderSystem + "&code=female", status: 200,
			contains: yes + ` & "name":"equivalence","valueCode":"equal" & "valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/v2-0001","code":"F","display":"Female"} & "name":"source","valueUri":"http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2"`},
		{name: "translate back", url: "/ConceptMap/$translate?url=http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2&system=http://terminology.hl7.org/CodeSystem/v2-0001&code=F&reverse=true", status: 200, contains: yes + ` & "code":"female"`},
		{name: "translate by value sets", url: "/ConceptMap/$translate?source=" + genderSet + "&target=http://terminology.hl7.org/ValueSet/v3-AdministrativeGender&system=" + genderSystem + "&code=male", status: 200, contains: yes + ` & "code":"M"`, excludes: "v2-0001"},
		{name: "translate to a system", url: "/ConceptMap/$translate?source=" + genderSet + "&targetsystem=http://terminology.hl7.org/CodeSystem/v2-0001&system=" + genderSystem + "&code=male", status: 200, contains: yes + " & v2-0001", excludes: "v3-AdministrativeGender\",\"code"},
		{name: "translate what is nothing there", url: "/ConceptMap/$translate?url=http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2&system=" + genderSystem + "&code=none", status: 200, contains: no + " & message"},
		{name: "translate with a map of one's own", url: "/ConceptMap/own/$translate", body: asking("coding", "valueCoding", `{"system":"`+mycore.SystemEncounterClass+`","code":"VR"}`), status: 200, contains: yes + ` & "code":"VR","display":"virtual"`},
		{name: "translate with it by its url", url: "/ConceptMap/$translate?url=http://example.org/map&system=" + mycore.SystemEncounterClass + "&code=VR", status: 200, contains: yes + " & " + actCode},
		{name: "translate the rest", url: "/ConceptMap/own/$translate?system=" + mycore.SystemEncounterClass + "&code=PAC", status: 200, contains: yes + ` & "code":"AMB" & "valueCode":"relatedto"`},
		{name: "translate with the map of others", url: "/ConceptMap/own/$translate?system=x&code=y", as: &clinic, status: 404},
		{name: "translate with the map of others by its url", url: "/ConceptMap/$translate?url=http://example.org/map&system=x&code=y", as: &clinic, status: 404},
		{name: "translate without the scope to read the map", url: "/ConceptMap/own/$translate?system=x&code=y", as: &reader, status: 403},
		{name: "translate with a map that was sent", url: "/ConceptMap/$translate", body: asking("conceptMap", "resource", `{"resourceType":"ConceptMap","group":[{"source":"a","target":"b","unmapped":{"mode":"provided"},"element":[{"code":"1","target":[{"equivalence":"unmatched"}]}]}]}`, "codeableConcept", "valueCodeableConcept", `{"coding":[{"system":"a","code":"1"},{"system":"a","code":"2"}]}`), status: 200,
			contains: yes + ` & "valueCode":"unmatched" & "valueCoding":{"system":"b","code":"2"}`},
		{name: "translate nothing", url: "/ConceptMap/$translate?source=" + genderSet, status: 400, contains: `"required"`},
		{name: "translate with nothing", url: "/ConceptMap/$translate?code=x&system=y", status: 400, contains: `"required"`},
		{name: "translate with an unknown map", url: "/ConceptMap/$translate?url=http://x&code=x&system=y", status: 404},
		{name: "translate between unknown value sets", url: "/ConceptMap/$translate?source=http://x&code=x&system=y", status: 404},

		// who, and where
		{name: "as somebody without the scope", url: "/ValueSet/$expand?url=" + genderSet, as: &reader, status: 200},
		{name: "as a patient", url: "/ValueSet/$expand?url=" + genderSet, as: &patient, status: 403},
		{name: "as nobody", url: "/ValueSet/$expand?url=" + genderSet, as: &auth.Principal{}, status: 401},
		{name: "of another type", url: "/Patient/$expand?url=" + genderSet, status: 404},
		{name: "the lookup of a value set", url: "/ValueSet/$lookup?code=x", status: 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			as, method := hospital, http.MethodGet
			if c.as != nil {
				as = *c.as
			}
			if c.body != "" {
				method = http.MethodPost
			}
			w := s.do(as, method, Root+c.url, c.body, nil)
			if w.Code != c.status {
				t.Fatalf("%d, want %d: %s", w.Code, c.status, w.Body)
			}
			for part := range strings.SplitSeq(c.contains, " & ") {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("no %s in %s", part, w.Body)
				}
			}
			for part := range strings.SplitSeq(c.excludes, " & ") {
				if part != "" && strings.Contains(w.Body.String(), part) {
					t.Errorf("%s in %s", part, w.Body)
				}
			}
			doc, err := fhir.Parse(w.Body.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if issues := valid.Validate(t.Context(), doc); issues.Err() != nil {
				t.Errorf("%v in %s", issues, w.Body)
			}
		})
	}
	w := s.do(hospital, "GET", Root+"/AuditEvent?_count=500", "", nil)
	for _, operation := range []string{"expand", "lookup", "subsumes", "translate", "validate-code"} {
		if !strings.Contains(w.Body.String(), `"subtype":[{"code":"`+operation+`"}],"action":"E"`) {
			t.Errorf("nobody knows of the %s: %s", operation, w.Body)
		}
	}
	statement := s.do(auth.Principal{}, "GET", Root+"/metadata", "", nil).Body.String()
	for _, definition := range []string{"CodeSystem-lookup", "CodeSystem-validate-code", "CodeSystem-subsumes", "ValueSet-expand", "ValueSet-validate-code", "ConceptMap-translate"} {
		if !strings.Contains(statement, "http://hl7.org/fhir/OperationDefinition/"+definition+`"`) {
			t.Errorf("the CapabilityStatement has no %s", definition)
		}
	}
}

// The answers read the same in XML.
func TestTerminologyAsXML(t *testing.T) {
	s := newServer(t)
	w := s.do(hospital, "GET", Root+"/CodeSystem/$lookup?system="+url.QueryEscape(actCode)+"&code=_ActEncounterCode", "", map[string]string{"Accept": mediaXML})
	if w.Code != 200 || !strings.Contains(w.Body.String(), `<valueBoolean value="true"/>`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = s.do(hospital, "GET", Root+"/ValueSet/$expand?url="+url.QueryEscape(genderSet), "", map[string]string{"Accept": mediaXML})
	if w.Code != 200 || !strings.Contains(w.Body.String(), `<code value="female"/>`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
