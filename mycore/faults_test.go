package mycore

import (
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
)

// fault is one way to break a good record, and all that is to be said of it.
type fault struct {
	record string
	name   string
	edits  []fhir.Edit
	want   []string
}

func edits(list ...fhir.Edit) []fhir.Edit { return list }
func issues(list ...string) []string      { return list }

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
func virtualService(typ string) []fault {
	return []fault{
		{name: "no category", edits: edits(fhir.Remove("serviceCategory")), want: issues("! required " + typ + ".serviceCategory")},
		{name: "an empty list of categories", edits: edits(fhir.Set("serviceCategory", raw(`[]`))), want: issues("! required " + typ + ".serviceCategory")},
		{name: "an empty category", edits: edits(fhir.Set("serviceCategory", raw(`[{}]`))), want: issues("! required " + typ + ".serviceCategory")},
		{
			name: "another category", edits: edits(fhir.Set("serviceCategory.0", concept(SystemEncounterClass, "AMB"))),
			want: issues("! code-invalid " + typ + ".serviceCategory"),
		},
		{
			name: "VR of another system", edits: edits(fhir.Set("serviceCategory.0", concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "VR"))),
			want: issues("! code-invalid " + typ + ".serviceCategory"),
		},
		{name: "no service type", edits: edits(fhir.Remove("serviceType")), want: issues("! required " + typ + ".serviceType")},
		{
			name: "a service type held in person", edits: edits(fhir.Set("serviceType.0", concept(SystemServiceType, "03"))),
			want: issues("! code-invalid " + typ + ".serviceType"),
		},
		{
			name: "a service type of another system", edits: edits(fhir.Set("serviceType.0", concept(snomed, "VCI"))),
			want: issues("! code-invalid " + typ + ".serviceType"),
		},
		{name: "no specialty", edits: edits(fhir.Remove("specialty")), want: issues("! required " + typ + ".specialty")},
		{
			name: "an unknown specialty", edits: edits(fhir.Set("specialty.0", concept(SystemSpecialty, "9999"))),
			want: issues("~ code-invalid " + typ + ".specialty[0]"),
		},
		{name: "a specialty of another system beside it", edits: edits(fhir.Append("specialty", concept(snomed, "394802001")))},
		{name: "two categories", edits: edits(fhir.Append("serviceCategory", concept(SystemEncounterClass, "AMB")))},
	}
}

// tokenFaults are the faults of a session token at a position of a record's
// identifiers, the last of them.
func tokenFaults(typ, at string) []fault {
	place := typ + ".identifier[" + at + "]"
	set := func(value string) []fhir.Edit {
		return edits(fhir.Set("identifier."+at, raw(`{"system":"`+SystemVCToken+`","value":`+value+`}`)))
	}
	return []fault{
		{name: "a token in capitals", edits: set(`"0B7C9A52-6F0E-4D6C-9A4E-3A1F5C2D7E88"`), want: issues("! value " + place + ".value")},
		{name: "a token as a urn", edits: set(`"urn:uuid:` + aToken + `"`), want: issues("! value " + place + ".value")},
		{name: "a token that is a JWT", edits: set(`"eyJhbGciOiJIUzI1NiJ9.e30.x"`), want: issues("! value " + place + ".value")},
		{name: "a token with a space", edits: set(`"` + aToken + ` "`), want: issues("! value " + place + ".value")},
		{
			name: "two tokens", edits: append(set(`"`+aToken+`"`), fhir.Append("identifier", raw(tokenEntry))),
			want: issues("! structure " + typ + ".identifier[" + string(at[0]+1) + "]"),
		},
	}
}

func appointmentFaults() []fault {
	list := append(virtualService("Appointment"),
		fault{name: "no status", edits: edits(fhir.Remove("status")), want: issues("! required Appointment.status")},
		fault{name: "an unknown status", edits: edits(fhir.Set("status", "confirmed")), want: issues("! code-invalid Appointment.status")},
		fault{
			name: "no participants", edits: edits(fhir.Remove("participant")),
			want: issues("! required Appointment.participant", "! required Appointment.participant.actor"),
		},
		fault{
			name: "participants without actor or type", edits: edits(fhir.Remove("participant.0.actor"), fhir.Remove("participant.1.actor")),
			want: issues("! required Appointment.participant.actor", "! invariant Appointment.participant[0]", "! invariant Appointment.participant[1]"),
		},
		fault{
			name: "one participant without actor or type", edits: edits(fhir.Remove("participant.1.actor")),
			want: issues("! invariant Appointment.participant[1]"),
		},
		fault{
			name:  "a participant with a type only",
			edits: edits(fhir.Remove("participant.1.actor"), fhir.Set("participant.1.type", raw(`[{"text":"nurse"}]`))),
		},
		fault{
			name: "a participant without status", edits: edits(fhir.Remove("participant.1.status")),
			want: issues("! required Appointment.participant[1].status"),
		},
		fault{
			name: "a participant with an unknown status", edits: edits(fhir.Set("participant.0.status", "maybe")),
			want: issues("! code-invalid Appointment.participant[0].status"),
		},
		fault{
			name: "an actor without type", edits: edits(fhir.Remove("participant.0.actor.type")),
			want: issues("~ required Appointment.participant[0].actor.type"),
		},
		fault{
			name: "an actor without display", edits: edits(fhir.Remove("participant.1.actor.display")),
			want: issues("~ required Appointment.participant[1].actor.display"),
		},
		fault{
			name: "no appointment type", edits: edits(fhir.Remove("appointmentType")),
			want: issues("~ required Appointment.appointmentType"),
		},
		fault{
			name: "an unknown appointment type", edits: edits(fhir.Set("appointmentType", concept(SystemScheduleType, "secret"))),
			want: issues("~ code-invalid Appointment.appointmentType"),
		},
		fault{
			name: "a start that is no date", edits: edits(fhir.Set("start", notADate)),
			want: issues("! value Appointment.start"),
		},
		fault{
			name: "a start that is a number", edits: edits(fhir.Set("start", 2026)),
			want: issues("! value Appointment.start"),
		},
		fault{
			name: "an end that is no date", edits: edits(fhir.Set("end", notADate)),
			want: issues("! value Appointment.end"),
		},
		fault{name: "a start without end", edits: edits(fhir.Remove("end")), want: issues("! invariant Appointment.end")},
		fault{name: "an end without start", edits: edits(fhir.Remove("start")), want: issues("! invariant Appointment.end")},
		fault{
			name: "booked without times", edits: edits(fhir.Remove("start"), fhir.Remove("end")),
			want: issues("! invariant Appointment.start"),
		},
		fault{name: "an end before the start", edits: edits(fhir.Set("end", dayBefore)), want: issues("! invariant Appointment.end")},
		fault{
			name: "a reason for cancelling what is booked", edits: edits(fhir.Set("cancelationReason", concept(SystemCancellationReason, "1"))),
			want: issues("! invariant Appointment.cancelationReason"),
		},
		fault{
			name:  "cancelled for a reason",
			edits: edits(fhir.Set("status", "cancelled"), fhir.Set("cancelationReason", concept(SystemCancellationReason, "1"))),
		},
		fault{
			name:  "cancelled for an unknown reason",
			edits: edits(fhir.Set("status", "cancelled"), fhir.Set("cancelationReason", concept(SystemCancellationReason, "77"))),
			want:  issues("~ code-invalid Appointment.cancelationReason"),
		},
		fault{
			name: "two reasons for cancelling",
			edits: edits(fhir.Set("status", "cancelled"), fhir.Set("cancelationReason",
				raw(`[`+string(concept(SystemCancellationReason, "1"))+`,`+string(concept(SystemCancellationReason, "2"))+`]`))),
			want: issues("~ structure Appointment.cancelationReason"),
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
		{name: "no status", edits: edits(fhir.Remove("status")), want: issues("! required Encounter.status")},
		{
			name: "an unknown status", edits: edits(fhir.Set("status", "done")),
			want: issues("! code-invalid Encounter.status", "! code-invalid Encounter.status"),
		},
		{name: "no token", edits: edits(fhir.Remove("identifier.0")), want: issues("! required Encounter.identifier")},
		{name: "no identifier", edits: edits(fhir.Remove("identifier")), want: issues("! required Encounter.identifier")},
		{
			name: "an empty token", edits: edits(fhir.Set("identifier.0.value", "")),
			want: issues("! required Encounter.identifier", "! value Encounter.identifier[0].value"),
		},
		{
			name: "a token without value", edits: edits(fhir.Remove("identifier.0.value")),
			want: issues("! required Encounter.identifier", "! value Encounter.identifier[0].value"),
		},
		{
			name: "a token under another system", edits: edits(fhir.Set("identifier.0.system", Root+"sid/batch-id")),
			want: issues("! required Encounter.identifier"),
		},
		{name: "finished without token", edits: edits(fhir.Set("status", "finished"), fhir.Remove("identifier.0")), want: issues("? required Encounter.identifier")},
		{name: "no class", edits: edits(fhir.Remove("class")), want: issues("! required Encounter.class")},
		{name: "another class", edits: edits(fhir.Set("class.code", "AMB")), want: issues("! code-invalid Encounter.class")},
		{
			name: "an unknown class", edits: edits(fhir.Set("class.code", "ZZ")),
			want: issues("! code-invalid Encounter.class", "~ code-invalid Encounter.class"),
		},
		{name: "two classes", edits: edits(fhir.Set("class", raw(`[{"system":"`+SystemEncounterClass+`","code":"VR"},{"system":"`+SystemEncounterClass+`","code":"AMB"}]`))), want: issues("! structure Encounter.class")},
		{name: "no service type", edits: edits(fhir.Remove("serviceType")), want: issues("! required Encounter.serviceType")},
		{
			name: "a service type held in person", edits: edits(fhir.Set("serviceType", concept(SystemServiceType, "03"))),
			want: issues("! code-invalid Encounter.serviceType"),
		},
		{
			name: "two service types", edits: edits(fhir.Set("serviceType", raw(`[`+string(concept(SystemServiceType, "VCI"))+`,`+string(concept(SystemServiceType, "03"))+`]`))),
			want: issues("! structure Encounter.serviceType"),
		},
		{name: "no subject", edits: edits(fhir.Remove("subject")), want: issues("! required Encounter.subject")},
		{name: "two subjects", edits: edits(fhir.Set("subject", raw(`[{"reference":"Patient/a"},{"reference":"Patient/b"}]`))), want: issues("! structure Encounter.subject")},
		{name: "no period", edits: edits(fhir.Remove("period")), want: issues("! required Encounter.period.start")},
		{name: "a period without start", edits: edits(fhir.Set("period", raw(`{"end":"`+morning+`"}`))), want: issues("! required Encounter.period.start")},
		{name: "a start that is no date", edits: edits(fhir.Set("period.start", notADate)), want: issues("! value Encounter.period.start")},
		{name: "an end that is no date", edits: edits(fhir.Set("period.end", notADate)), want: issues("! value Encounter.period.end")},
		{name: "an end before the start", edits: edits(fhir.Set("period.end", dayBefore)), want: issues("! invariant Encounter.period.end")},
		{name: "no service provider", edits: edits(fhir.Remove("serviceProvider")), want: issues("! required Encounter.serviceProvider")},
		{
			name: "two service providers", edits: edits(fhir.Set("serviceProvider", raw(`[{"reference":"Organization/a"},{"reference":"Organization/b"}]`))),
			want: issues("! structure Encounter.serviceProvider"),
		},
		{name: "a practitioner without role", edits: edits(fhir.Remove("participant.0.type")), want: issues("! required Encounter.participant[0].type")},
		{name: "no participant", edits: edits(fhir.Remove("participant"))},
		{name: "no type", edits: edits(fhir.Remove("type")), want: issues("~ required Encounter.type")},
		{name: "an unknown specialty", edits: edits(fhir.Set("type.0", concept(SystemSpecialty, "9999"))), want: issues("~ code-invalid Encounter.type[0]")},
		{name: "a diagnosis without use", edits: edits(fhir.Remove("diagnosis.0.use")), want: issues("~ required Encounter.diagnosis[0].use")},
	}
	for _, element := range []string{"subject", "serviceProvider", "serviceType", "class"} {
		for kind, value := range map[string]string{"null": `null`, "empty": `{}`, "an empty list": `[]`, "a list of null": `[null]`} {
			list = append(list, fault{
				name: element + " is " + kind, edits: edits(fhir.Set(element, raw(value))), want: issues("! required Encounter." + element),
			})
		}
	}
	for _, status := range encounterStatus {
		list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status))})
	}
	for _, status := range encounterStatusR4 {
		if !slices.Contains(encounterStatus, status) {
			list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status)), want: issues("! code-invalid Encounter.status")})
		}
	}
	return both("encounter", append(list, tokenFaultsOfEncounter()...)...)
}

// tokenFaultsOfEncounter: a token that is given but malformed is one fault,
// not two.
func tokenFaultsOfEncounter() []fault {
	list := tokenFaults("Encounter", "0")
	// The good record has an encounter number in second place.
	for i := range list {
		if list[i].name == "two tokens" {
			list[i].want = issues("! structure Encounter.identifier[2]")
		}
	}
	return list
}

func scheduleFaults() []fault {
	list := append(virtualService("Schedule"),
		fault{name: "no extension", edits: edits(fhir.Remove("extension")), want: issues("! required Schedule.extension")},
		fault{
			name: "no schedule type", edits: edits(fhir.Set("extension.0.url", Root+"StructureDefinition/require-approval-my-core")),
			want: issues("! required Schedule.extension"),
		},
		fault{
			name: "an unknown schedule type", edits: edits(fhir.Set("extension.0.valueCodeableConcept", concept(SystemScheduleType, "secret"))),
			want: issues("~ code-invalid Schedule.extension[0]"),
		},
		fault{
			name: "a schedule type without value", edits: edits(fhir.Remove("extension.0.valueCodeableConcept")),
			want: issues("~ code-invalid Schedule.extension[0]"),
		},
		fault{name: "no actor", edits: edits(fhir.Remove("actor")), want: issues("~ required Schedule.actor")},
		fault{name: "an actor without type", edits: edits(fhir.Remove("actor.0.type")), want: issues("~ required Schedule.actor[0].type")},
		fault{name: "an actor without display", edits: edits(fhir.Remove("actor.0.display")), want: issues("~ required Schedule.actor[0].display")},
		fault{name: "a horizon start that is no date", edits: edits(fhir.Set("planningHorizon.start", notADate)), want: issues("! value Schedule.planningHorizon.start")},
		fault{name: "a horizon end that is no date", edits: edits(fhir.Set("planningHorizon.end", notADate)), want: issues("! value Schedule.planningHorizon.end")},
		fault{name: "a horizon that ends before it starts", edits: edits(fhir.Set("planningHorizon.end", dayBefore)), want: issues("! invariant Schedule.planningHorizon.end")},
		fault{
			name: "a horizon that ends before it starts, without schedule type", edits: edits(fhir.Set("planningHorizon.end", dayBefore), fhir.Remove("extension")),
			want: issues("! invariant Schedule.planningHorizon.end", "! required Schedule.extension"),
		},
	)
	return both("schedule", append(list, tokenFaults("Schedule", "0")...)...)
}

func slotFaults() []fault {
	quota := func(parts string) []fhir.Edit { return edits(fhir.Set("extension.0.extension", raw(`[`+parts+`]`))) }
	list := append(virtualService("Slot"),
		fault{name: "no extension", edits: edits(fhir.Remove("extension")), want: issues("! required Slot.extension")},
		fault{name: "no quota", edits: quota(`{"url":"available","valueInteger":1}`), want: issues("! value Slot.extension[0]")},
		fault{name: "a quota that is no number", edits: quota(`{"url":"quota","valueString":"ten"}`), want: issues("! value Slot.extension[0]")},
		fault{name: "an empty quota", edits: quota(`{"url":"quota","valueString":""}`), want: issues("! value Slot.extension[0]")},
		fault{name: "a quota with a fraction", edits: quota(`{"url":"quota","valueInteger":1.5}`), want: issues("! value Slot.extension[0]")},
		fault{name: "a negative quota", edits: quota(`{"url":"quota","valueInteger":-1},{"url":"available","valueInteger":0}`), want: issues("! value Slot.extension[0]")},
		fault{name: "a quota beyond all measure", edits: quota(`{"url":"quota","valueInteger":1000001},{"url":"available","valueInteger":0}`), want: issues("! value Slot.extension[0]")},
		fault{name: "an available that is no number", edits: quota(`{"url":"quota","valueInteger":3},{"url":"available","valueString":"all"}`), want: issues("! value Slot.extension[0]")},
		fault{name: "a quota only", edits: quota(`{"url":"quota","valueInteger":3}`)},
		fault{name: "a quota of nothing", edits: quota(`{"url":"quota","valueInteger":0}`)},
		fault{name: "the largest quota", edits: quota(`{"url":"quota","valueInteger":1000000}`)},
		fault{name: "no appointment type", edits: edits(fhir.Remove("appointmentType")), want: issues("! required Slot.appointmentType")},
		fault{
			name: "an unknown appointment type", edits: edits(fhir.Set("appointmentType", concept(SystemScheduleType, "secret"))),
			want: issues("~ code-invalid Slot.appointmentType"),
		},
		fault{
			name: "two appointment types", edits: edits(fhir.Set("appointmentType", raw(`[`+string(concept(SystemScheduleType, "public"))+`,`+string(concept(SystemScheduleType, "internal"))+`]`))),
			want: issues("! structure Slot.appointmentType"),
		},
		fault{name: "no schedule", edits: edits(fhir.Remove("schedule")), want: issues("! required Slot.schedule")},
		fault{name: "two schedules", edits: edits(fhir.Set("schedule", raw(`[{"reference":"Schedule/a"},{"reference":"Schedule/b"}]`))), want: issues("! structure Slot.schedule")},
		fault{name: "no status", edits: edits(fhir.Remove("status")), want: issues("! required Slot.status")},
		fault{name: "an unknown status", edits: edits(fhir.Set("status", "open")), want: issues("! code-invalid Slot.status")},
		fault{name: "no start", edits: edits(fhir.Remove("start")), want: issues("! required Slot.start")},
		fault{name: "no end", edits: edits(fhir.Remove("end")), want: issues("! required Slot.end")},
		fault{name: "a start that is no date", edits: edits(fhir.Set("start", notADate)), want: issues("! value Slot.start")},
		fault{name: "an end that is no date", edits: edits(fhir.Set("end", notADate)), want: issues("! value Slot.end")},
		fault{name: "an end before the start", edits: edits(fhir.Set("end", dayBefore)), want: issues("! invariant Slot.end")},
	)
	for _, status := range slotStatus {
		list = append(list, fault{name: "status " + status, edits: edits(fhir.Set("status", status))})
	}
	return both("slot", append(list, tokenFaults("Slot", "0")...)...)
}

// missing are the faults of leaving out elements, one by one.
func missing(typ, mark string, elements ...string) (list []fault) {
	for _, e := range elements {
		list = append(list, fault{name: "no " + e, edits: edits(fhir.Remove(e)), want: issues(mark + " required " + typ + "." + e)})
	}
	return list
}

// twice are the faults of giving elements a second time, one by one.
func twice(typ, mark, value string, elements ...string) (list []fault) {
	for _, e := range elements {
		list = append(list, fault{
			name: "two of " + e, edits: edits(fhir.Set(e, raw(`[`+value+`,`+value+`]`))),
			want: issues(mark + " structure " + typ + "." + e),
		})
	}
	return list
}

func personFaults(typ string) []fault {
	list := []fault{
		{name: "an unknown gender", edits: edits(fhir.Set("gender", "F")), want: issues("! code-invalid " + typ + ".gender")},
		{name: "a birth date that is no date", edits: edits(fhir.Set("birthDate", "01-02-1990")), want: issues("! value " + typ + ".birthDate")},
		{name: "two of gender", edits: edits(fhir.Set("gender", raw(`["male","female"]`))), want: issues("! structure " + typ + ".gender")},
		{name: "two of birthDate", edits: edits(fhir.Set("birthDate", raw(`["1990","1991"]`))), want: issues("! structure " + typ + ".birthDate")},
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
		missing("HealthcareService", "!", "providedBy"),
		missing("HealthcareService", "~", "category", "type", "name"),
		twice("HealthcareService", "!", reference, "providedBy"),
		twice("HealthcareService", "~", `"Clinic"`, "name"),
		twice("HealthcareService", "~", string(concept(SystemSpecialty, "86")), "specialty"),
		[]fault{
			{name: "no specialty", edits: edits(fhir.Remove("specialty"))},
			{name: "an unknown category", edits: edits(fhir.Set("category.0", concept(SystemEncounterClass, "ZZ"))), want: issues("~ code-invalid HealthcareService.category[0]")},
			{name: "an unknown type", edits: edits(fhir.Set("type.0", concept(SystemServiceType, "VCX"))), want: issues("~ code-invalid HealthcareService.type[0]")},
			{name: "an unknown specialty", edits: edits(fhir.Set("specialty.0", concept(SystemSpecialty, "9999"))), want: issues("~ code-invalid HealthcareService.specialty[0]")},
		})
	add("patient",
		missing("Patient", "~", "active", "name", "gender", "birthDate", "managingOrganization"),
		twice("Patient", "~", reference, "managingOrganization"),
		twice("Patient", "~", `true`, "active"),
		personFaults("Patient"),
		[]fault{
			{name: "no identifier", edits: edits(fhir.Remove("identifier")), want: issues("~ required Patient.identifier", "~ required Patient.identifier")},
			{name: "no medical record number", edits: edits(fhir.Remove("identifier.1")), want: issues("~ required Patient.identifier")},
		})
	add("practitioner",
		missing("Practitioner", "~", "identifier", "name", "gender", "birthDate"),
		personFaults("Practitioner"))
	add("practitionerrole",
		missing("PractitionerRole", "~", "practitioner", "organization", "code", "specialty"),
		twice("PractitionerRole", "~", reference, "practitioner", "organization"))
	add("organization",
		missing("Organization", "~", "identifier", "active", "name"),
		twice("Organization", "~", `"Clinic"`, "name"),
		twice("Organization", "~", `true`, "active"),
		twice("Organization", "~", `{"text":"hospital"}`, "type"),
		[]fault{{name: "no type", edits: edits(fhir.Remove("type"))}})
	add("location",
		missing("Location", "~", "status", "name", "managingOrganization"),
		twice("Location", "~", `"active"`, "status"),
		twice("Location", "~", `"Room"`, "name"),
		twice("Location", "~", reference, "managingOrganization"),
		[]fault{{name: "an unknown status", edits: edits(fhir.Set("status", "closed")), want: issues("~ code-invalid Location.status")}})
	add("organizationaffiliation",
		missing("OrganizationAffiliation", "~", "organization", "participatingOrganization", "code"),
		twice("OrganizationAffiliation", "~", reference, "organization", "participatingOrganization"))
	add("relatedperson",
		missing("RelatedPerson", "!", "patient"),
		twice("RelatedPerson", "!", reference, "patient"),
		personFaults("RelatedPerson"),
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
		missing("Appointment", "~", "serviceCategory", "serviceType", "specialty", "appointmentType"),
		[]fault{
			{name: "no status", edits: edits(fhir.Remove("status")), want: issues("! required Appointment.status")},
			{name: "no participants", edits: edits(fhir.Remove("participant")), want: issues("! required Appointment.participant", "~ required Appointment.participant.actor")},
			{name: "a participant without status", edits: edits(fhir.Remove("participant.0.status")), want: issues("! required Appointment.participant[0].status")},
			{name: "a start that is no date", edits: edits(fhir.Set("start", notADate)), want: issues("! value Appointment.start")},
			{name: "an end that is no date", edits: edits(fhir.Set("end", notADate)), want: issues("! value Appointment.end")},
			{name: "an unknown service type", edits: edits(fhir.Set("serviceType.0", concept(SystemServiceType, "99"))), want: issues("~ code-invalid Appointment.serviceType[0]")},
			{name: "a participant with a type only", edits: edits(fhir.Set("participant.0", raw(`{"type":[{"text":"nurse"}],"status":"accepted"}`))), want: issues("~ required Appointment.participant.actor")},
		})...)...)
	list = append(list, of("schedule-outpatient", slices.Concat(
		missing("Schedule", "~", "serviceCategory", "serviceType", "specialty", "extension", "actor"),
		[]fault{
			{name: "a horizon start that is no date", edits: edits(fhir.Set("planningHorizon.start", notADate)), want: issues("! value Schedule.planningHorizon.start")},
			{name: "a horizon end that is no date", edits: edits(fhir.Set("planningHorizon.end", notADate)), want: issues("! value Schedule.planningHorizon.end")},
		})...)...)
	list = append(list, of("slot-outpatient", slices.Concat(
		missing("Slot", "~", "serviceCategory", "serviceType", "specialty", "extension", "appointmentType"),
		missing("Slot", "!", "status", "schedule", "start", "end"))...)...)
	return append(list, of("encounter-outpatient", slices.Concat(
		missing("Encounter", "~", "serviceType", "subject", "serviceProvider", "type"),
		[]fault{
			{name: "no status", edits: edits(fhir.Remove("status")), want: issues("! required Encounter.status")},
			{name: "no class", edits: edits(fhir.Remove("class")), want: issues("! required Encounter.class")},
			{name: "no period", edits: edits(fhir.Remove("period")), want: issues("~ required Encounter.period.start")},
			{name: "a start that is no date", edits: edits(fhir.Set("period.start", notADate)), want: issues("! value Encounter.period.start")},
			{name: "an end that is no date", edits: edits(fhir.Set("period.end", notADate)), want: issues("! value Encounter.period.end")},
			{name: "planned", edits: edits(fhir.Set("status", "planned")), want: issues("~ code-invalid Encounter.status")},
			{name: "an unknown class", edits: edits(fhir.Set("class.code", "ZZ")), want: issues("~ code-invalid Encounter.class")},
			{name: "in progress without token", edits: edits(fhir.Set("status", "in-progress"))},
			{name: "a practitioner without role", edits: edits(fhir.Set("participant", raw(`[{"individual":{"reference":"Practitioner/a"}}]`))), want: issues("~ required Encounter.participant[0].type")},
		})...)...)
}

func allFaults() []fault {
	return slices.Concat(appointmentFaults(), encounterFaults(), scheduleFaults(), slotFaults(), directoryFaults(), inPersonFaults())
}
