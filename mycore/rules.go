package mycore

// force says what breaking a rule means.
type force uint8

const (
	always  force = iota // an error, in every record
	virtual              // an error in the records of a virtual consultation, else as profile
	profile              // an error when strict, a warning when lenient
)

// rule is one line of a profile. within names the element whose every
// occurrence is looked at ("" is the record itself), path the element below it.
type rule struct {
	within, path string
	min, max     int      // occurrences; max 0 is unbounded
	codes        []string // allowed codes of a plain code element
	system       string   // code system of a Coding or CodeableConcept; its codes must belong to it
	oneOf        []string // one of these codes of system must be there
	date         bool     // must be a FHIR date or time
	force        force
	mend         string // how to mend it, "" when the rule speaks for itself
}

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
	vcTypes         = []string{ServiceIndividual, ServiceEducation, ServiceMDT, ServiceOnDemand}
	vr              = []string{ClassVirtual}
)

// rules of the profiled types. The lists of what a record for a virtual
// consultation must have are those with force virtual.
var rules = map[string][]rule{
	"Appointment": {
		{path: "status", min: 1, max: 1, codes: appointmentStatus, force: always},
		{path: "participant", min: 1, force: always},
		{within: "participant", path: "status", min: 1, max: 1, codes: participationStatus, force: always},
		{path: "start", max: 1, date: true, force: always},
		{path: "end", max: 1, date: true, force: always},
		{path: "serviceCategory", min: 1, force: virtual},
		{path: "serviceCategory", system: SystemEncounterClass, oneOf: vr, force: virtual, mend: "A virtual consultation has the category VR."},
		{path: "serviceType", min: 1, system: SystemServiceType, force: virtual},
		{path: "serviceType", system: SystemServiceType, oneOf: vcTypes, force: virtual, mend: "Use VCI for one patient, VCE for a group."},
		{path: "specialty", min: 1, force: virtual},
		{path: "specialty", system: SystemSpecialty, force: profile},
		{path: "participant.actor", min: 1, force: virtual, mend: "Name the HealthcareService and the Patient."},
		{path: "appointmentType", min: 1, max: 1, system: SystemScheduleType, force: profile},
		{path: "cancelationReason", max: 1, system: SystemCancellationReason, force: profile},
		{within: "participant.actor", path: "type", min: 1, max: 1, force: profile},
		{within: "participant.actor", path: "display", min: 1, max: 1, force: profile},
	},
	"Encounter": {
		{path: "status", min: 1, max: 1, codes: encounterStatusR4, force: always},
		{path: "class", min: 1, max: 1, force: always},
		{path: "period.start", max: 1, date: true, force: always},
		{path: "period.end", max: 1, date: true, force: always},
		{path: "status", codes: encounterStatus, force: virtual},
		{path: "class", system: SystemEncounterClass, force: profile},
		{path: "class", system: SystemEncounterClass, oneOf: vr, force: virtual, mend: "A virtual consultation has the class VR."},
		{path: "serviceType", min: 1, max: 1, system: SystemServiceType, force: virtual},
		{path: "serviceType", system: SystemServiceType, oneOf: vcTypes, force: virtual, mend: "Use VCI for one patient, VCE for a group."},
		{path: "subject", min: 1, max: 1, force: virtual},
		{path: "period.start", min: 1, max: 1, force: virtual},
		{path: "serviceProvider", min: 1, max: 1, force: virtual},
		{path: "type", min: 1, force: profile},
		{path: "type", system: SystemSpecialty, force: profile},
		{within: "diagnosis", path: "use", min: 1, max: 1, force: profile},
	},
	"Schedule": {
		{path: "planningHorizon.start", max: 1, date: true, force: always},
		{path: "planningHorizon.end", max: 1, date: true, force: always},
		{path: "serviceCategory", min: 1, force: virtual},
		{path: "serviceCategory", system: SystemEncounterClass, oneOf: vr, force: virtual, mend: "A virtual consultation has the category VR."},
		{path: "serviceType", min: 1, system: SystemServiceType, force: virtual},
		{path: "serviceType", system: SystemServiceType, oneOf: vcTypes, force: virtual, mend: "Use VCI for one patient, VCE for a group."},
		{path: "specialty", min: 1, force: virtual},
		{path: "specialty", system: SystemSpecialty, force: profile},
		{path: "actor", min: 1, force: profile, mend: "Name the HealthcareService."},
		{within: "actor", path: "type", min: 1, max: 1, force: profile},
		{within: "actor", path: "display", min: 1, max: 1, force: profile},
	},
	"Slot": {
		{path: "status", min: 1, max: 1, codes: slotStatus, force: always},
		{path: "schedule", min: 1, max: 1, force: always},
		{path: "start", min: 1, max: 1, date: true, force: always},
		{path: "end", min: 1, max: 1, date: true, force: always},
		{path: "serviceCategory", min: 1, force: virtual},
		{path: "serviceCategory", system: SystemEncounterClass, oneOf: vr, force: virtual, mend: "A virtual consultation has the category VR."},
		{path: "serviceType", min: 1, system: SystemServiceType, force: virtual},
		{path: "serviceType", system: SystemServiceType, oneOf: vcTypes, force: virtual, mend: "Use VCI for one patient, VCE for a group."},
		{path: "specialty", min: 1, force: virtual},
		{path: "specialty", system: SystemSpecialty, force: profile},
		{path: "appointmentType", min: 1, max: 1, system: SystemScheduleType, force: virtual},
	},
	"HealthcareService": {
		{path: "providedBy", min: 1, max: 1, force: always, mend: "Name the Organization that offers the service."},
		{path: "category", min: 1, force: profile},
		{path: "category", system: SystemEncounterClass, force: profile},
		{path: "type", min: 1, system: SystemServiceType, force: profile},
		{path: "specialty", max: 1, system: SystemSpecialty, force: profile},
		{path: "name", min: 1, max: 1, force: profile},
	},
	"Patient": {
		{path: "identifier", min: 1, force: profile},
		{path: "active", min: 1, max: 1, force: profile},
		{path: "name", min: 1, force: profile},
		{path: "gender", max: 1, codes: genders, force: always},
		{path: "gender", min: 1, force: profile},
		{path: "birthDate", max: 1, date: true, force: always},
		{path: "birthDate", min: 1, force: profile},
		{path: "managingOrganization", min: 1, max: 1, force: profile},
	},
	"Practitioner": {
		{path: "identifier", min: 1, force: profile},
		{path: "name", min: 1, force: profile},
		{path: "gender", max: 1, codes: genders, force: always},
		{path: "gender", min: 1, force: profile},
		{path: "birthDate", max: 1, date: true, force: always},
		{path: "birthDate", min: 1, force: profile},
	},
	"PractitionerRole": {
		{path: "practitioner", min: 1, max: 1, force: profile},
		{path: "organization", min: 1, max: 1, force: profile},
		{path: "code", min: 1, force: profile},
		{path: "specialty", min: 1, force: profile},
	},
	"Organization": {
		{path: "identifier", min: 1, force: profile},
		{path: "active", min: 1, max: 1, force: profile},
		{path: "name", min: 1, max: 1, force: profile},
		{path: "type", max: 1, force: profile},
	},
	"Location": {
		{path: "status", min: 1, max: 1, codes: []string{"active", "suspended", "inactive"}, force: profile},
		{path: "name", min: 1, max: 1, force: profile},
		{path: "managingOrganization", min: 1, max: 1, force: profile},
	},
	"OrganizationAffiliation": {
		{path: "organization", min: 1, max: 1, force: profile},
		{path: "participatingOrganization", min: 1, max: 1, force: profile},
		{path: "code", min: 1, force: profile},
	},
	"RelatedPerson": {
		{path: "patient", min: 1, max: 1, force: always},
		{path: "gender", max: 1, codes: genders, force: always},
		{path: "birthDate", max: 1, date: true, force: always},
	},
}
