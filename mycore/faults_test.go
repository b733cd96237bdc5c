package mycore

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The codes of R4, and those of MY Core's status of Encounters.
var (
	appointmentStatus = []string{
		"proposed", "pending", "booked", "arrived", "fulfilled", "cancelled", "noshow", "entered-in-error", "checked-in", "waitlist",
	}
	participationStatus = []string{"accepted", "declined", "tentative", "needs-action"}
	encounterStatusR4   = []string{
		"planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error", "unknown",
	}
	encounterStatus = []string{"arrived", "in-progress", "finished", "unknown"}
	slotStatus      = []string{"busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error"}
	genders         = []string{"male", "female", "other", "unknown"}
)

// fault is one way to break a good record, or to change it without breaking it.
// What is to be said of each stands in testdata/verdicts.txt.
type fault struct {
	record string
	name   string
	edits  []fhir.Edit
}

func edits(list ...fhir.Edit) []fhir.Edit { return list }

// both puts faults on the VCI and the VCE record of a type: what they must have
// is the same.
func both(typ string, faults ...fault) (list []fault) {
	for _, kind := range []string{"vci", "vce"} {
		for _, f := range faults {
			f.record = typ + "-" + kind
			list = append(list, f)
		}
	}
	return list
}

// of puts faults on one record.
func of(record string, faults ...fault) []fault {
	for i := range faults {
		faults[i].record = record
	}
	return faults
}

// virtualService are the faults of serviceCategory, serviceType and specialty,
// which Appointment, Schedule and Slot have in common.
func virtualService() []fault {
	return []fault{
		{name: "no category", edits: edits(fhir.Remove("serviceCategory"))},
		{name: "an empty list of categories", edits: edits(fhir.Set("serviceCategory", raw(`[]`)))},
		{name: "an empty category", edits: edits(fhir.Set("serviceCategory", raw(`[{}]`)))},
		{
			name: "another category", edits: edits(fhir.Set("serviceCategory.0", concept(SystemEncounterClass, "AMB"))),
		},
		{
			name: "VR of another system", edits: edits(fhir.Set("serviceCategory.0", concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "VR"))),
		},
		{name: "no service type", edits: edits(fhir.Remove("serviceType"))},
		{
			name: "a service type held in person", edits: edits(fhir.Set("serviceType.0", concept(SystemServiceType, "03"))),
		},
		{
			name: "a service type of another system", edits: edits(fhir.Set("serviceType.0", concept(snomed, "VCI"))),
		},
		{name: "no specialty", edits: edits(fhir.Remove("specialty"))},
		{
			name: "an unknown specialty", edits: edits(fhir.Set("specialty.0", concept(SystemSpecialty, "9999"))),
		},
		{name: "a specialty of another system beside it", edits: edits(fhir.Append("specialty", concept(snomed, "394802001")))},
		{name: "two categories", edits: edits(fhir.Append("serviceCategory", concept(SystemEncounterClass, "AMB")))},
	}
}

// tokenFaults are the faults of a session token, the first of the identifiers.
func tokenFaults() []fault {
	set := func(value string) []fhir.Edit {
		return edits(fhir.Set("identifier.0", raw(`{"system":"`+SystemVCToken+`","value":`+value+`}`)))
	}
	return []fault{
		{name: "a token in capitals", edits: set(`"0B7C9A52-6F0E-4D6C-9A4E-3A1F5C2D7E88"`)},
		{name: "a token as a urn", edits: set(`"urn:uuid:` + aToken + `"`)},
		{name: "a token that is a JWT", edits: set(`"eyJhbGciOiJIUzI1NiJ9.e30.x"`)},
		{name: "a token with a space", edits: set(`"` + aToken + ` "`)},
		{
			name: "two tokens", edits: append(set(`"`+aToken+`"`), fhir.Append("identifier", raw(tokenEntry))),
		},
	}
}

func appointmentFaults() []fault {
	list := append(virtualService(),
		fault{name: "no status", edits: edits(fhir.Remove("status"))},
		fault{name: "an unknown status", edits: edits(fhir.Set("status", "confirmed"))},
		fault{
			name: "no participants", edits: edits(fhir.Remove("participant")),
		},
		fault{
			name: "participants without actor or type", edits: edits(fhir.Remove("participant.0.actor"), fhir.Remove("participant.1.actor")),
		},
		fault{
			name: "one participant without actor or type", edits: edits(fhir.Remove("participant.1.actor")),
		},
		fault{
			name:  "a participant with a type only",
			edits: edits(fhir.Remove("participant.1.actor"), fhir.Set("participant.1.type", raw(`[{"text":"nurse"}]`))),
		},
		fault{
			name: "a participant without status", edits: edits(fhir.Remove("participant.1.status")),
		},
		fault{
			name: "a participant with an unknown status", edits: edits(fhir.Set("participant.0.status", "maybe")),
		},
		fault{
			name: "an actor without type", edits: edits(fhir.Remove("participant.0.actor.type")),
		},
		fault{
			name: "an actor without display", edits: edits(fhir.Remove("participant.1.actor.display")),
		},
		fault{
			name: "no appointment type", edits: edits(fhir.Remove("appointmentType")),
		},
		fault{
			name: "an unknown appointment type", edits: edits(fhir.Set("appointmentType", concept(SystemScheduleType, "secret"))),
		},
		fault{
			name: "a start that is no date", edits: edits(fhir.Set("start", notADate)),
		},
		fault{
			name: "a start that is a number", edits: edits(fhir.Set("start", 2026)),
		},
		fault{
			name: "an end that is no date", edits: edits(fhir.Set("end", notADate)),
		},
		fault{name: "a start without end", edits: edits(fhir.Remove("end"))},
		fault{name: "an end without start", edits: edits(fhir.Remove("start"))},
		fault{
			name: "booked without times", edits: edits(fhir.Remove("start"), fhir.Remove("end")),
		},
		fault{name: "an end before the start", edits: edits(fhir.Set("end", dayBefore))},
		fault{
			name: "a reason for cancelling what is booked", edits: edits(fhir.Set("cancelationReason", concept(SystemCancellationReason, "1"))),
		},
		fault{
			name:  "cancelled for a reason",
			edits: edits(fhir.Set("status", "cancelled"), fhir.Set("cancelationReason", concept(SystemCancellationReason, "1"))),
		},
		fault{
			name:  "cancelled for an unknown reason",
			edits: edits(fhir.Set("status", "cancelled"), fhir.Set("cancelationReason", concept(SystemCancellationReason, "77"))),
		},
		fault{
			name: "two reasons for cancelling",
			edits: edits(fhir.Set("status", "cancelled"), fhir.Set("cancelationReason",
				raw(`[`+string(concept(SystemCancellationReason, "1"))+`,`+string(concept(SystemCancellationReason, "2"))+`]`))),
		},
	)
	for _, status := range []string{"proposed", "cancelled", "waitlist"} {
		list = append(list, fault{name: status + " without times", edits: edits(fhir.Set("status", status), fhir.Remove("start"), fhir.Remove("end"))})
	}
	for _, status := range appointmentStatus {
		list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status))})
	}
	for _, status := range participationStatus {
		list = append(list, fault{name: "participant " + status, edits: edits(fhir.Set("participant.0.status", status))})
	}
	return both("appointment", list...)
}

func encounterFaults() []fault {
	list := []fault{
		{name: "no status", edits: edits(fhir.Remove("status"))},
		{
			name: "an unknown status", edits: edits(fhir.Set("status", "done")),
		},
		{name: "no token", edits: edits(fhir.Remove("identifier.0"))},
		{name: "no identifier", edits: edits(fhir.Remove("identifier"))},
		{
			name: "an empty token", edits: edits(fhir.Set("identifier.0.value", "")),
		},
		{
			name: "a token without value", edits: edits(fhir.Remove("identifier.0.value")),
		},
		{
			name: "a token under another system", edits: edits(fhir.Set("identifier.0.system", Root+"sid/batch-id")),
		},
		{name: "finished without token", edits: edits(fhir.Set("status", "finished"), fhir.Remove("identifier.0"))},
		{name: "no class", edits: edits(fhir.Remove("class"))},
		{name: "another class", edits: edits(fhir.Set("class.code", "AMB"))},
		{
			name: "an unknown class", edits: edits(fhir.Set("class.code", "ZZ")),
		},
		{name: "two classes", edits: edits(fhir.Set("class", raw(`[{"system":"`+SystemEncounterClass+`","code":"VR"},{"system":"`+SystemEncounterClass+`","code":"AMB"}]`)))},
		{name: "no service type", edits: edits(fhir.Remove("serviceType"))},
		{
			name: "a service type held in person", edits: edits(fhir.Set("serviceType", concept(SystemServiceType, "03"))),
		},
		{
			name: "two service types", edits: edits(fhir.Set("serviceType", raw(`[`+string(concept(SystemServiceType, "VCI"))+`,`+string(concept(SystemServiceType, "03"))+`]`))),
		},
		{name: "no subject", edits: edits(fhir.Remove("subject"))},
		{name: "two subjects", edits: edits(fhir.Set("subject", raw(`[{"reference":"Patient/a"},{"reference":"Patient/b"}]`)))},
		{name: "no period", edits: edits(fhir.Remove("period"))},
		{name: "a period without start", edits: edits(fhir.Set("period", raw(`{"end":"`+morning+`"}`)))},
		{name: "a start that is no date", edits: edits(fhir.Set("period.start", notADate))},
		{name: "an end that is no date", edits: edits(fhir.Set("period.end", notADate))},
		{name: "an end before the start", edits: edits(fhir.Set("period.end", dayBefore))},
		{name: "no service provider", edits: edits(fhir.Remove("serviceProvider"))},
		{
			name: "two service providers", edits: edits(fhir.Set("serviceProvider", raw(`[{"reference":"Organization/a"},{"reference":"Organization/b"}]`))),
		},
		{name: "a practitioner without role", edits: edits(fhir.Remove("participant.0.type"))},
		{name: "no participant", edits: edits(fhir.Remove("participant"))},
		{name: "no type", edits: edits(fhir.Remove("type"))},
		{name: "an unknown specialty", edits: edits(fhir.Set("type.0", concept(SystemSpecialty, "9999")))},
		{name: "a diagnosis without use", edits: edits(fhir.Remove("diagnosis.0.use"))},
	}
	for _, element := range []string{"subject", "serviceProvider", "serviceType", "class"} {
		for _, x := range [][2]string{{"null", `null`}, {"empty", `{}`}, {"an empty list", `[]`}, {"a list of null", `[null]`}} {
			list = append(list, fault{name: element + " is " + x[0], edits: edits(fhir.Set(element, raw(x[1])))})
		}
	}
	for _, status := range encounterStatus {
		list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status))})
	}
	for _, status := range encounterStatusR4 {
		if !slices.Contains(encounterStatus, status) {
			list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status))})
		}
	}
	return both("encounter", append(list, tokenFaults()...)...)
}

func scheduleFaults() []fault {
	list := append(virtualService(),
		fault{name: "no extension", edits: edits(fhir.Remove("extension"))},
		fault{
			name: "no schedule type", edits: edits(fhir.Set("extension.0.url", Root+"StructureDefinition/require-approval-my-core")),
		},
		fault{
			name: "an unknown schedule type", edits: edits(fhir.Set("extension.0.valueCodeableConcept", concept(SystemScheduleType, "secret"))),
		},
		fault{
			name: "a schedule type without value", edits: edits(fhir.Remove("extension.0.valueCodeableConcept")),
		},
		fault{name: "no actor", edits: edits(fhir.Remove("actor"))},
		fault{name: "an actor without type", edits: edits(fhir.Remove("actor.0.type"))},
		fault{name: "an actor without display", edits: edits(fhir.Remove("actor.0.display"))},
		fault{name: "a horizon start that is no date", edits: edits(fhir.Set("planningHorizon.start", notADate))},
		fault{name: "a horizon end that is no date", edits: edits(fhir.Set("planningHorizon.end", notADate))},
		fault{name: "a horizon that ends before it starts", edits: edits(fhir.Set("planningHorizon.end", dayBefore))},
		fault{
			name: "a horizon that ends before it starts, without schedule type", edits: edits(fhir.Set("planningHorizon.end", dayBefore), fhir.Remove("extension")),
		},
	)
	return both("schedule", append(list, tokenFaults()...)...)
}

func slotFaults() []fault {
	quota := func(parts string) []fhir.Edit { return edits(fhir.Set("extension.0.extension", raw(`[`+parts+`]`))) }
	list := append(virtualService(),
		fault{name: "no extension", edits: edits(fhir.Remove("extension"))},
		fault{name: "no quota", edits: quota(`{"url":"available","valueInteger":1}`)},
		fault{name: "a quota that is no number", edits: quota(`{"url":"quota","valueString":"ten"}`)},
		fault{name: "an empty quota", edits: quota(`{"url":"quota","valueString":""}`)},
		fault{name: "a quota with a fraction", edits: quota(`{"url":"quota","valueInteger":1.5}`)},
		fault{name: "a negative quota", edits: quota(`{"url":"quota","valueInteger":-1},{"url":"available","valueInteger":0}`)},
		fault{name: "a quota beyond all measure", edits: quota(`{"url":"quota","valueInteger":1000001},{"url":"available","valueInteger":0}`)},
		fault{name: "an available that is no number", edits: quota(`{"url":"quota","valueInteger":3},{"url":"available","valueString":"all"}`)},
		fault{name: "a quota only", edits: quota(`{"url":"quota","valueInteger":3}`)},
		fault{name: "a quota of nothing", edits: quota(`{"url":"quota","valueInteger":0}`)},
		fault{name: "the largest quota", edits: quota(`{"url":"quota","valueInteger":1000000}`)},
		fault{name: "no appointment type", edits: edits(fhir.Remove("appointmentType"))},
		fault{
			name: "an unknown appointment type", edits: edits(fhir.Set("appointmentType", concept(SystemScheduleType, "secret"))),
		},
		fault{
			name: "two appointment types", edits: edits(fhir.Set("appointmentType", raw(`[`+string(concept(SystemScheduleType, "public"))+`,`+string(concept(SystemScheduleType, "internal"))+`]`))),
		},
		fault{name: "no schedule", edits: edits(fhir.Remove("schedule"))},
		fault{name: "two schedules", edits: edits(fhir.Set("schedule", raw(`[{"reference":"Schedule/a"},{"reference":"Schedule/b"}]`)))},
		fault{name: "no status", edits: edits(fhir.Remove("status"))},
		fault{name: "an unknown status", edits: edits(fhir.Set("status", "open"))},
		fault{name: "no start", edits: edits(fhir.Remove("start"))},
		fault{name: "no end", edits: edits(fhir.Remove("end"))},
		fault{name: "a start that is no date", edits: edits(fhir.Set("start", notADate))},
		fault{name: "an end that is no date", edits: edits(fhir.Set("end", notADate))},
		fault{name: "an end before the start", edits: edits(fhir.Set("end", dayBefore))},
	)
	for _, status := range slotStatus {
		list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status))})
	}
	return both("slot", append(list, tokenFaults()...)...)
}

// missing are the faults of leaving out elements, one by one.
func missing(elements ...string) (list []fault) {
	for _, e := range elements {
		list = append(list, fault{name: "no " + e, edits: edits(fhir.Remove(e))})
	}
	return list
}

// twice are the faults of giving elements a second time, one by one.
func twice(value string, elements ...string) (list []fault) {
	for _, e := range elements {
		list = append(list, fault{
			name: "two of " + e, edits: edits(fhir.Set(e, raw(`[`+value+`,`+value+`]`))),
		})
	}
	return list
}

func personFaults() []fault {
	list := []fault{
		{name: "an unknown gender", edits: edits(fhir.Set("gender", "F"))},
		{name: "a birth date that is no date", edits: edits(fhir.Set("birthDate", "01-02-1990"))},
		{name: "two of gender", edits: edits(fhir.Set("gender", raw(`["male","female"]`)))},
		{name: "two of birthDate", edits: edits(fhir.Set("birthDate", raw(`["1990","1991"]`)))},
	}
	for _, gender := range genders {
		list = append(list, fault{name: "gender " + gender, edits: edits(fhir.Set("gender", gender))})
	}
	return list
}

func directoryFaults() (list []fault) {
	add := func(record string, faults ...[]fault) {
		list = append(list, of(record, slices.Concat(faults...)...)...)
	}
	const reference = `{"reference":"Organization/a"}`
	add("healthcareservice",
		missing("providedBy"),
		missing("category", "type", "name"),
		twice(reference, "providedBy"),
		twice(`"Clinic"`, "name"),
		twice(string(concept(SystemSpecialty, "86")), "specialty"),
		[]fault{
			{name: "no specialty", edits: edits(fhir.Remove("specialty"))},
			{name: "an unknown category", edits: edits(fhir.Set("category.0", concept(SystemEncounterClass, "ZZ")))},
			{name: "an unknown type", edits: edits(fhir.Set("type.0", concept(SystemServiceType, "VCX")))},
			{name: "an unknown specialty", edits: edits(fhir.Set("specialty.0", concept(SystemSpecialty, "9999")))},
		})
	add("patient",
		missing("active", "name", "gender", "birthDate", "managingOrganization"),
		twice(reference, "managingOrganization"),
		twice(`true`, "active"),
		personFaults(),
		[]fault{
			{name: "no identifier", edits: edits(fhir.Remove("identifier"))},
			{name: "no medical record number", edits: edits(fhir.Remove("identifier.1"))},
		})
	add("practitioner",
		missing("identifier", "name", "gender", "birthDate"),
		personFaults())
	add("practitionerrole",
		missing("practitioner", "organization", "code", "specialty"),
		twice(reference, "practitioner", "organization"))
	add("organization",
		missing("identifier", "active", "name"),
		twice(`"Clinic"`, "name"),
		twice(`true`, "active"),
		twice(`{"text":"hospital"}`, "type"),
		[]fault{{name: "no type", edits: edits(fhir.Remove("type"))}})
	add("location",
		missing("status", "name", "managingOrganization"),
		twice(`"active"`, "status"),
		twice(`"Room"`, "name"),
		twice(reference, "managingOrganization"),
		[]fault{{name: "an unknown status", edits: edits(fhir.Set("status", "closed"))}})
	add("organizationaffiliation",
		missing("organization", "participatingOrganization", "code"),
		twice(reference, "organization", "participatingOrganization"))
	add("relatedperson",
		missing("patient"),
		twice(reference, "patient"),
		personFaults(),
		[]fault{
			{name: "no gender", edits: edits(fhir.Remove("gender"))},
			{name: "no birth date", edits: edits(fhir.Remove("birthDate"))},
		})
	return list
}

// inPersonFaults: outside virtual consultations the lists of what a record
// must have are the profiles' and no more.
func inPersonFaults() (list []fault) {
	list = append(list, of("appointment-outpatient", slices.Concat(
		missing("serviceCategory", "serviceType", "specialty", "appointmentType"),
		[]fault{
			{name: "no status", edits: edits(fhir.Remove("status"))},
			{name: "no participants", edits: edits(fhir.Remove("participant"))},
			{name: "a participant without status", edits: edits(fhir.Remove("participant.0.status"))},
			{name: "a start that is no date", edits: edits(fhir.Set("start", notADate))},
			{name: "an end that is no date", edits: edits(fhir.Set("end", notADate))},
			{name: "an unknown service type", edits: edits(fhir.Set("serviceType.0", concept(SystemServiceType, "99")))},
			{name: "a participant with a type only", edits: edits(fhir.Set("participant.0", raw(`{"type":[{"text":"nurse"}],"status":"accepted"}`)))},
		})...)...)
	list = append(list, of("schedule-outpatient", slices.Concat(
		missing("serviceCategory", "serviceType", "specialty", "extension", "actor"),
		[]fault{
			{name: "a horizon start that is no date", edits: edits(fhir.Set("planningHorizon.start", notADate))},
			{name: "a horizon end that is no date", edits: edits(fhir.Set("planningHorizon.end", notADate))},
		})...)...)
	list = append(list, of("slot-outpatient", slices.Concat(
		missing("serviceCategory", "serviceType", "specialty", "extension", "appointmentType"),
		missing("status", "schedule", "start", "end"))...)...)
	return append(list, of("encounter-outpatient", slices.Concat(
		missing("serviceType", "subject", "serviceProvider", "type"),
		[]fault{
			{name: "no status", edits: edits(fhir.Remove("status"))},
			{name: "no class", edits: edits(fhir.Remove("class"))},
			{name: "no period", edits: edits(fhir.Remove("period"))},
			{name: "a start that is no date", edits: edits(fhir.Set("period.start", notADate))},
			{name: "an end that is no date", edits: edits(fhir.Set("period.end", notADate))},
			{name: "planned", edits: edits(fhir.Set("status", "planned"))},
			{name: "an unknown class", edits: edits(fhir.Set("class.code", "ZZ"))},
			{name: "in progress without token", edits: edits(fhir.Set("status", "in-progress"))},
			{name: "a practitioner without role", edits: edits(fhir.Set("participant", raw(`[{"individual":{"reference":"Practitioner/a"}}]`)))},
		})...)...)
}

// ext writes an extension of MY Core.
func ext(name, content string) json.RawMessage {
	return raw(`{"url":"` + Root + `StructureDefinition/` + name + `-my-core",` + content + `}`)
}

// valueOf writes valueCodeableConcept.
func valueOf(system, code string) string {
	return `"valueCodeableConcept":` + string(concept(system, code))
}

const outcomeSuccessful = `"extension":[{"url":"encounterOutcome","valueCodeableConcept":{"coding":[{"system":"` + SystemEncounterOutcome + `","code":"1"}]}}]`

// extensionFaults are of the extensions of MY Core: their codes, types, parts,
// number and place.
func extensionFaults() []fault {
	add := func(name, content string) []fhir.Edit { return edits(fhir.Append("extension", ext(name, content))) }
	return slices.Concat(
		of("encounter-vci", []fault{
			{name: "a visit type", edits: add("visit-type", valueOf(SystemVisitType, "04"))},
			{name: "an unknown visit type", edits: add("visit-type", valueOf(SystemVisitType, "77"))},
			{name: "a visit type as text", edits: add("visit-type", `"valueString":"follow-up"`)},
			{name: "two visit types", edits: append(add("visit-type", valueOf(SystemVisitType, "04")), add("visit-type", valueOf(SystemVisitType, "01"))...)},
			{name: "a visit type on the wrong element", edits: edits(fhir.Set("subject.extension", raw(`[`+string(ext("visit-type", valueOf(SystemVisitType, "04")))+`]`)))},
			{name: "an outcome", edits: add("encounter-outcome", outcomeSuccessful)},
			{name: "an unknown outcome", edits: add("encounter-outcome", strings.Replace(outcomeSuccessful, `"code":"1"`, `"code":"9"`, 1))},
			{name: "an outcome without parts", edits: add("encounter-outcome", valueOf(SystemEncounterOutcome, "1"))},
			{name: "an outcome with a value and parts", edits: add("encounter-outcome", outcomeSuccessful+`,"valueString":"good"`)},
			{name: "a rating", edits: add("encounter-rating", `"extension":[{"url":"rating",`+valueOf(SystemEncounterRating, "5")+`},{"url":"remark","valueString":"Good"}]`)},
			{name: "a rating out of range", edits: add("encounter-rating", `"extension":[{"url":"rating",`+valueOf(SystemEncounterRating, "6")+`}]`)},
			{name: "a referral within the facility", edits: add("internal-refferal", `"valueBoolean":true`)},
			{name: "a referral as text", edits: add("internal-refferal", `"valueBoolean":"yes"`)},
			{name: "a police case", edits: add("police-case", `"valueBoolean":false`)},
			{name: "a status of the session", edits: add("vr-status", `"valueCodeableConcept":{"text":"waiting"}`)},
			{name: "a diagnosis of the consultation", edits: add("ncd-vc-dx", `"extension":[{"url":"diagnosis",`+valueOf(Root+"CodeSystem/ncd-vc-dx-my-core", "01")+`},{"url":"combinationDiagnosis","valueBoolean":false}]`)},
			{name: "a diagnosis of the consultation in part", edits: add("ncd-vc-dx", `"extension":[{"url":"diagnosis",`+valueOf(Root+"CodeSystem/ncd-vc-dx-my-core", "01")+`}]`)},
			{name: "who recorded it", edits: add("audit", `"extension":[{"url":"recorder","valueReference":{"display":"A clerk"}},{"url":"recordedDate","valueDateTime":"2026-11-23T09:00:00+08:00"}]`)},
			{name: "recorded on no day", edits: add("audit", `"extension":[{"url":"recordedDate","valueDateTime":"2026-02-30"}]`)},
			{name: "an extension of nobody", edits: edits(fhir.Append("extension", raw(`{"url":"http://example.org/colour","valueString":"red"}`)))},
			{name: "an extension of HL7", edits: edits(fhir.Append("extension", raw(`{"url":"http://hl7.org/fhir/StructureDefinition/encounter-modeOfArrival","valueCoding":{"code":"x"}}`)))},
			{name: "a modifier that nobody knows", edits: edits(fhir.Append("modifierExtension", raw(`{"url":"http://example.org/cancelled","valueBoolean":true}`)))},
			{name: "an extension with a url of one word", edits: edits(fhir.Append("extension", raw(`{"url":"colour","valueString":"red"}`)))},
		}...),
		of("schedule-vci", []fault{
			{name: "a state", edits: add("address-state", valueOf(Root+"CodeSystem/state-my-core", "05"))},
			{name: "an unknown state", edits: add("address-state", valueOf(Root+"CodeSystem/state-my-core", "77"))},
			{name: "a position", edits: add("schedule-position", `"extension":[{"url":"longitude","valueDecimal":101.9},{"url":"latitude","valueDecimal":2.7}]`)},
			{name: "a position in words", edits: add("schedule-position", `"extension":[{"url":"longitude","valueString":"east"}]`)},
			{name: "approval is needed", edits: add("require-approval", `"valueBoolean":true`)},
			{name: "a custodian", edits: add("service-provider", `"valueReference":{"reference":"Organization/11-05060009"}`)},
			{name: "a custodian that is a person", edits: add("service-provider", `"valueReference":{"reference":"Practitioner/prac-1"}`)},
			{name: "a quota on a schedule", edits: add("slot-quota", `"extension":[{"url":"quota","valueInteger":1}]`)},
		}...),
		of("slot-vci", []fault{
			{name: "a quota as text", edits: edits(fhir.Set("extension.0.extension", raw(`[{"url":"available","valueString":"9"},{"url":"quota","valueString":"10"}]`)))},
			{name: "an integer quota in quotes", edits: edits(fhir.Set("extension.0.extension", raw(`[{"url":"quota","valueInteger":"10"}]`)))},
			{name: "a quota as a decimal", edits: edits(fhir.Set("extension.0.extension", raw(`[{"url":"quota","valueDecimal":10}]`)))},
			{name: "two quotas", edits: add("slot-quota", `"extension":[{"url":"quota","valueInteger":1}]`)},
			{name: "a schedule that is none", edits: edits(fhir.Set("schedule.reference", "Slot/other"))},
		}...),
		of("appointment-vci", []fault{
			{name: "someone without a record", edits: add("simple-register", `"extension":[{"url":"name","valueString":"A patient"},{"url":"gender","valueCode":"female"},{"url":"birthDate","valueDate":"1990-01-01"}]`)},
			{name: "someone of no gender that FHIR has", edits: add("simple-register", `"extension":[{"url":"gender","valueCode":"F"}]`)},
			{name: "someone born on no day", edits: add("simple-register", `"extension":[{"url":"birthDate","valueDate":"1990-02-31"}]`)},
			{name: "the slot as an object", edits: edits(fhir.Set("slot", raw(`{"reference":"Slot/slot-vci-1"}`)))},
			{name: "a slot that is none", edits: edits(fhir.Set("slot.0.reference", "Schedule/other"))},
		}...),
		of("healthcareservice", []fault{
			{name: "patients may book it, in words", edits: edits(fhir.Set("extension", raw(`[`+string(ext("public-booking", `"valueString":"yes"`))+`]`)))},
		}...),
		of("practitionerrole", []fault{
			{name: "schedules may be made", edits: add("scheduling", `"valueBoolean":true`)},
			{name: "a role in words", edits: edits(fhir.Set("code", raw(`[{"text":"doctor"}]`)))},
			{name: "an unknown role", edits: edits(fhir.Set("code.0", concept(Root+"CodeSystem/practitioner-role-code-my-core", "WIZARD")))},
			{name: "a practitioner that is none", edits: edits(fhir.Set("practitioner.reference", "Patient/pat-1"))},
		}...),
		of("organization", []fault{
			{name: "a tenant", edits: add("system-tenant", `"valueBoolean":true`)},
			{name: "an identifier of another system", edits: edits(fhir.Set("identifier.0.system", "http://example.org/organizations"))},
			{name: "an unknown kind", edits: edits(fhir.Set("type.0", concept(Root+"CodeSystem/organization-category-my-core", "ZZZ")))},
		}...),
		of("patient", []fault{
			{name: "an identifier of another system", edits: edits(fhir.Append("identifier", raw(`{"system":"http://example.org/ids","value":"1"}`)))},
			{name: "two MyKad numbers", edits: edits(fhir.Append("identifier", raw(`{"system":"`+SystemMyKad+`","value":"900101145679"}`)))},
			{name: "a MyKad number with dashes", edits: edits(fhir.Set("identifier.0.value", "850712-05-5018"))},
			{name: "a MyKad number with dashes in its other spelling", edits: edits(fhir.Set("identifier.0.system", SystemMyKadVariant), fhir.Set("identifier.0.value", "850712-05-5018"))},
			{name: "MyKad in its other spelling", edits: edits(fhir.Set("identifier.0.system", SystemMyKadVariant))},
			{name: "unknown, with a number for the time being", edits: edits(fhir.Append("identifier", raw(`{"use":"temp","system":"`+SystemOthers+`","value":"HTJ-UNK-26000006"}`)))},
			{name: "unknown, without its use", edits: edits(fhir.Append("identifier", raw(`{"system":"`+SystemOthers+`","value":"HTJ-UNK-26000006"}`)))},
			{name: "a title", edits: edits(fhir.Set("name.0.extension", raw(`[`+string(ext("person-title", `"valueCodeableConcept":{"text":"Dato'"}`))+`]`)))},
			{name: "a contact with nothing in it", edits: edits(fhir.Set("contact", raw(`[{"relationship":[{"text":"mother"}]}]`)))},
			{name: "a managing organisation that is none", edits: edits(fhir.Set("managingOrganization.reference", "Patient/pat-2"))},
		}...),
	)
}

// baseFaults are of FHIR R4 itself.
func baseFaults() []fault {
	const div = `<div xmlns=\"http://www.w3.org/1999/xhtml\">`
	return of("encounter-vci", []fault{
		{name: "an element that nobody defined", edits: edits(fhir.Set("colour", "red"))},
		{name: "an identifier without its list", edits: edits(fhir.Set("type", raw(`{"coding":[{"system":"`+SystemSpecialty+`","code":"86"}]}`)))},
		{name: "a period in words", edits: edits(fhir.Set("period", "today"))},
		{name: "a day that does not exist", edits: edits(fhir.Set("period.start", "2026-02-30T09:00:00+08:00"))},
		{name: "a time without its zone", edits: edits(fhir.Set("period.start", "2026-11-23T09:00:00"))},
		{name: "narrative", edits: edits(fhir.Set("text", raw(`{"status":"generated","div":"`+div+`<p>Well</p></div>"}`)))},
		{name: "narrative with a script", edits: edits(fhir.Set("text", raw(`{"status":"generated","div":"`+div+`<script>x()</script></div>"}`)))},
		{name: "narrative with a handler", edits: edits(fhir.Set("text", raw(`{"status":"generated","div":"`+div+`<p onclick=\"x()\">Well</p></div>"}`)))},
		{name: "narrative with a link that runs", edits: edits(fhir.Set("text", raw(`{"status":"generated","div":"`+div+`<a href=\"javascript:x()\">Well</a></div>"}`)))},
		{name: "narrative of unknown status", edits: edits(fhir.Set("text", raw(`{"status":"written","div":"`+div+`Well</div>"}`)))},
		{name: "a contained record", edits: edits(fhir.Set("contained", raw(`[{"resourceType":"Location","id":"l"}]`)), fhir.Set("location", raw(`[{"location":{"reference":"#l"}}]`)))},
		{name: "a contained record that nobody refers to", edits: edits(fhir.Set("contained", raw(`[{"resourceType":"Location","id":"l"}]`)))},
		{name: "a contained record with a version", edits: edits(fhir.Set("contained", raw(`[{"resourceType":"Location","id":"l","meta":{"versionId":"1"}}]`)), fhir.Set("location", raw(`[{"location":{"reference":"#l"}}]`)))},
		{name: "a reference to nothing contained", edits: edits(fhir.Set("location", raw(`[{"location":{"reference":"#x"}}]`)))},
		{name: "a subject that is a place", edits: edits(fhir.Set("subject.reference", "Location/room-1"))},
		{name: "a subject of another type than it says", edits: edits(fhir.Set("subject.type", "Group"))},
		{name: "a reference that is none", edits: edits(fhir.Set("subject.reference", "somewhere"))},
		{name: "a status in the history that R4 does not know", edits: edits(fhir.Set("statusHistory.0.status", "waiting"))},
		{name: "a participant of a role of one's own", edits: edits(fhir.Set("participant.0.type", raw(`[{"coding":[{"system":"http://example.org/roles","code":"x"}]}]`)))},
		{name: "a language in numbers", edits: edits(fhir.Set("language", 7))},
		{name: "a diagnosis of an unknown role", edits: edits(fhir.Set("diagnosis.0.use", concept(Root+"CodeSystem/diagnosis-role-my-core", "77")))},
		{name: "a diagnosis of a role of R4", edits: edits(fhir.Set("diagnosis.0.use", concept("http://terminology.hl7.org/CodeSystem/diagnosis-role", "AD")))},
		{name: "a class history of another class", edits: edits(fhir.Set("classHistory", raw(`[{"class":{"system":"`+SystemEncounterClass+`","code":"AMB"},"period":{"start":"2026-11-23"}}]`)))},
		{name: "an unknown category", edits: edits(fhir.Append("type.0.coding", raw(`{"system":"`+Root+`CodeSystem/encounter-category-my-core","code":"third"}`)))},
	}...)
}

func allFaults() []fault {
	return slices.Concat(appointmentFaults(), encounterFaults(), scheduleFaults(), slotFaults(), directoryFaults(), inPersonFaults(), extensionFaults(), baseFaults())
}
