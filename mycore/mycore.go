// Package mycore is MY Core, the FHIR profile family of Malaysia's Health
// Information Exchange, as data and rules: its names, its code systems, and
// what a record must have.
//
// The rules are in profiles.txt; the definitions that are made from it are read
// by package fhir/validate. A Validator judges a document by itself. Whether
// what it refers to exists, and whether the change is possible now, is judged
// elsewhere.
package mycore

import "strings"

// Root is where MY Core's canonical URLs begin.
const Root = "http://fhir.hie.moh.gov.my/"

// Identifier systems.
const (
	SystemVCToken        = Root + "sid/vc-token"
	SystemEncounterID    = Root + "sid/encounter-id"
	SystemMyKad          = Root + "sid/my-kad-no"
	SystemMyKadVariant   = Root + "sid/mykad-no" // so spelt in one profile; accepted, not written
	SystemMRN            = Root + "sid/patient-mrn"
	SystemPassport       = Root + "sid/passport-no"
	SystemArmy           = Root + "sid/army-no"
	SystemPolice         = Root + "sid/police-no"
	SystemNewborn        = Root + "sid/newborn-no"
	SystemPermanent      = Root + "sid/permanent-residence-no"
	SystemOthers         = Root + "sid/others-no"
	SystemOrganizationID = Root + "sid/organization-id"
)

// IdentitySystems are the identifier systems that name a person, whatever the
// facility. Medical record numbers are not among them.
var IdentitySystems = []string{
	SystemMyKad, SystemMyKadVariant, SystemPassport, SystemArmy, SystemPolice, SystemPermanent,
}

// Code systems.
const (
	SystemEncounterClass     = Root + "CodeSystem/encounter-class-my-core"
	SystemServiceType        = Root + "CodeSystem/service-type-my-core"
	SystemScheduleType       = Root + "CodeSystem/schedule-type-my-core"
	SystemSpecialty          = Root + "CodeSystem/specialty-my-core"
	SystemCancellationReason = Root + "CodeSystem/cancellation-reason-my-core"
	SystemEncounterOutcome   = Root + "CodeSystem/encounter-outcome-my-core"
	SystemOutcomeReason      = Root + "CodeSystem/encounter-outcome-reason-my-core"
	SystemEncounterRating    = Root + "CodeSystem/encounter-rating-my-core"
	SystemVisitType          = Root + "CodeSystem/visit-type-my-core"
)

// ClassVirtual is the encounter class of a virtual consultation.
const ClassVirtual = "VR"

// Service types of virtual consultations.
const (
	ServiceIndividual = "VCI"
	ServiceEducation  = "VCE"
	ServiceMDT        = "VCMDT"
	ServiceOnDemand   = "VCD"
)

// Extensions.
const (
	ExtensionSlotQuota        = Root + "StructureDefinition/slot-quota-my-core"
	ExtensionScheduleType     = Root + "StructureDefinition/schedule-type-my-core"
	ExtensionSimpleRegister   = Root + "StructureDefinition/simple-register-my-core"
	ExtensionEncounterOutcome = Root + "StructureDefinition/encounter-outcome-my-core"
	ExtensionEncounterRating  = Root + "StructureDefinition/encounter-rating-my-core"
	ExtensionPublicBooking    = Root + "StructureDefinition/public-booking-my-core"
	ExtensionVisitType        = Root + "StructureDefinition/visit-type-my-core"
)

// Profile gives the canonical URL of MY Core's profile of a resource type.
func Profile(typ string) string { return Root + "StructureDefinition/" + typ + "-my-core" }

// variants are the spellings of published URLs that mean the same system.
var variants = []struct{ spelling, means string }{
	{"/ValueSet/", "/CodeSystem/"},
	{"/Valueset/", "/CodeSystem/"},
	{"/VaueSet/", "/CodeSystem/"},
	{"/valueset/", "/CodeSystem/"},
	{"cancelation-reason", "cancellation-reason"},
	{"service-request-category", "servicerequest-category"},
	{"code-system-ncd-vc-dx", "ncd-vc-dx"},
}

// Normalize gives the code system that a URL means: the published profiles and
// samples use ValueSet URLs and several spellings. Other systems pass unchanged.
func Normalize(system string) string {
	if !strings.HasPrefix(system, Root) {
		return system
	}
	for _, v := range variants {
		system = strings.ReplaceAll(system, v.spelling, v.means)
	}
	return system
}
