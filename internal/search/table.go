package search

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// row defines one search parameter. In base, "*" stands for every stored type,
// "+" for those with a narrative and "?" for every one that the table does not
// name, if it has the element. Paths are alternatives, target types of a
// reference are separated by spaces.
type row struct {
	base, code string
	kind       Kind
	paths      string
	target     string
}

const (
	addressText = "address.text address.line address.city address.district address.state address.postalCode address.country"
	nameText    = "name.text name.family name.given name.prefix name.suffix"
	attendee    = "Patient Practitioner PractitionerRole RelatedPerson Device HealthcareService Location"
)

// table holds the parameters of MY Core, and those of FHIR R4 that the exchange
// reads in its own way; defined adds the others.
var table = []row{
	{"*", "identifier", Token, "identifier", ""},
	{"*", "_profile", URI, "meta.profile", ""},
	{"*", "_tag", Token, "meta.tag", ""},
	{"*", "_security", Token, "meta.security", ""},
	{"*", "_source", URI, "meta.source", ""},
	{"+", "_text", Words, "", ""},
	{"*", "_content", Words, "", ""},
	{"?", "status", Code, "status", ""},
	{"?", "subject", Reference, "subject", ""},
	{"?", "patient", Reference, "patient subject", "Patient"},
	{"?", "encounter", Reference, "encounter", "Encounter"},

	{"Appointment", "actor", Reference, "participant.actor", attendee},
	{"Appointment", "appointment-type", Token, "appointmentType", ""},
	{"Appointment", "based-on", Reference, "basedOn", "ServiceRequest"},
	{"Appointment", "created", Date, "created", ""},
	{"Appointment", "date", Date, "start", ""},
	{"Appointment", "date-start", Date, "start", ""},
	{"Appointment", "location", Reference, "participant.actor", "Location"},
	{"Appointment", "part-status", Code, "participant.status", ""},
	{"Appointment", "patient", Reference, "participant.actor", "Patient"},
	{"Appointment", "practitioner", Reference, "participant.actor", "Practitioner"},
	{"Appointment", "reason-code", Token, "reasonCode", ""},
	{"Appointment", "reason-reference", Reference, "reasonReference", "Condition Procedure Observation ImmunizationRecommendation"},
	{"Appointment", "service-category", Token, "serviceCategory", ""},
	{"Appointment", "service-type", Token, "serviceType", ""},
	{"Appointment", "simple-register-identifier", String, "@simple-register-my-core.@identifier.value", ""},
	{"Appointment", "simple-register-name", Name, "@simple-register-my-core.@name.value", ""},
	{"Appointment", "slot", Reference, "slot", "Slot"},
	{"Appointment", "specialty", Token, "specialty", ""},
	{"Appointment", "status", Code, "status", ""},
	{"Appointment", "supporting-info", Reference, "supportingInformation", ""},

	{"AppointmentResponse", "actor", Reference, "actor", attendee},
	{"AppointmentResponse", "appointment", Reference, "appointment", "Appointment"},
	{"AppointmentResponse", "part-status", Code, "participantStatus", ""},
	{"AppointmentResponse", "patient", Reference, "actor", "Patient"},
	{"AppointmentResponse", "practitioner", Reference, "actor", "Practitioner"},

	{"AuditEvent", "action", Code, "action", ""},
	{"AuditEvent", "agent-role", Token, "agent.role", ""},
	{"AuditEvent", "altid", Token, "agent.altId", ""},
	{"AuditEvent", "date", Date, "recorded", ""},
	{"AuditEvent", "entity", Reference, "entity.what", ""},
	{"AuditEvent", "outcome", Code, "outcome", ""},
	{"AuditEvent", "patient", Reference, "entity.what", "Patient"},
	{"AuditEvent", "subtype", Token, "subtype", ""},

	{"ChargeItem", "cid-reference", Reference, "@charge-item-definition-reference-my-core.value", "ChargeItemDefinition"},
	{"ChargeItem", "code", Token, "code", ""},
	{"ChargeItem", "context", Reference, "context", "Encounter EpisodeOfCare"},
	{"ChargeItem", "patient", Reference, "subject", "Patient"},
	{"ChargeItem", "subject", Reference, "subject", "Patient Group"},

	{"CodeSystem", "name", String, "name", ""},
	{"CodeSystem", "status", Code, "status", ""},
	{"CodeSystem", "title", String, "title", ""},
	{"CodeSystem", "url", URI, "url", ""},
	{"CodeSystem", "version", Code, "version", ""},

	{"Encounter", "admit-source", Token, "hospitalization.admitSource", ""},
	{"Encounter", "appointment", Reference, "appointment", "Appointment"},
	{"Encounter", "based-on", Reference, "basedOn", "ServiceRequest"},
	{"Encounter", "cid-reference", Reference, "@charge-item-definition-reference-my-core.value", "ChargeItemDefinition"},
	{"Encounter", "class", Token, "class", ""},
	{"Encounter", "date", Date, "period", ""},
	{"Encounter", "date-start", Date, "period.start", ""},
	{"Encounter", "diagnosis", Reference, "diagnosis.condition", "Condition Procedure"},
	{"Encounter", "episode-of-care", Reference, "episodeOfCare", "EpisodeOfCare"},
	{"Encounter", "identifier-value", String, "identifier.value", ""},
	{"Encounter", "location", Reference, "location.location", "Location"},
	{"Encounter", "location-period", Date, "location.period", ""},
	{"Encounter", "ncd-combine", Code, "@ncd-vc-dx-my-core.@combinationDiagnosis.value", ""},
	{"Encounter", "ncd-diagnosis", Token, "@ncd-vc-dx-my-core.@diagnosis.value", ""},
	{"Encounter", "outcome", Token, "@encounter-outcome-my-core.@encounterOutcome.value", ""},
	{"Encounter", "outcome-reason", Token, "@encounter-outcome-my-core.@outcomeReason.value", ""},
	{"Encounter", "part-of", Reference, "partOf", "Encounter"},
	{"Encounter", "participant", Reference, "participant.individual", "Practitioner PractitionerRole RelatedPerson"},
	{"Encounter", "participant-type", Token, "participant.type", ""},
	{"Encounter", "patient", Reference, "subject", "Patient"},
	{"Encounter", "practitioner", Reference, "participant.individual", "Practitioner"},
	{"Encounter", "priority", Token, "priority", ""},
	{"Encounter", "rating", Token, "@encounter-rating-my-core.@rating.value", ""},
	{"Encounter", "reason-code", Token, "reasonCode", ""},
	{"Encounter", "reason-reference", Reference, "reasonReference", "Condition Procedure Observation ImmunizationRecommendation"},
	{"Encounter", "service-provider", Reference, "serviceProvider", "Organization"},
	{"Encounter", "service-type", Token, "serviceType", ""},
	{"Encounter", "special-arrangement", Token, "hospitalization.specialArrangement", ""},
	{"Encounter", "status", Code, "status", ""},
	{"Encounter", "subject", Reference, "subject", "Patient Group"},
	{"Encounter", "type", Token, "type", ""},
	{"Encounter", "visit-type", Token, "@visit-type-my-core.value", ""},

	{"HealthcareService", "active", Code, "active", ""},
	{"HealthcareService", "additional-info", Reference, "@additional-info-my-core.value", ""},
	{"HealthcareService", "appointment-required", String, "appointmentRequired", ""},
	{"HealthcareService", "characteristic", Token, "characteristic", ""},
	{"HealthcareService", "coverage-area", Reference, "coverageArea", "Location"},
	{"HealthcareService", "location", Reference, "location", "Location"},
	{"HealthcareService", "name", Name, "name", ""},
	{"HealthcareService", "organization", Reference, "providedBy", "Organization"},
	{"HealthcareService", "public-booking", String, "@public-booking-my-core.value", ""},
	{"HealthcareService", "service-category", Token, "category", ""},
	{"HealthcareService", "service-type", Token, "type", ""},
	{"HealthcareService", "specialty", Token, "specialty", ""},

	{"Location", "address", Name, addressText, ""},
	{"Location", "address-city", String, "address.city", ""},
	{"Location", "address-country", String, "address.country", ""},
	{"Location", "address-postalcode", String, "address.postalCode", ""},
	{"Location", "address-state", String, "address.state", ""},
	{"Location", "longitude", Number, "position.longitude", ""},
	{"Location", "name", Name, "name alias", ""},
	{"Location", "near", Place, "position", ""},
	{"Location", "operational-status", Token, "operationalStatus", ""},
	{"Location", "organization", Reference, "managingOrganization", "Organization"},
	{"Location", "partof", Reference, "partOf", "Location"},
	{"Location", "physicalType", Token, "physicalType", ""},
	{"Location", "status", Code, "status", ""},
	{"Location", "type", Token, "type", ""},

	{"Organization", "active", Code, "active", ""},
	{"Organization", "address", Name, addressText, ""},
	{"Organization", "address-city", String, "address.city", ""},
	{"Organization", "address-country", String, "address.country", ""},
	{"Organization", "address-postalcode", String, "address.postalCode", ""},
	{"Organization", "address-state", String, "address.state", ""},
	{"Organization", "alias", Name, "alias", ""},
	{"Organization", "altitude", Number, "@Organization-position-my-core.@altitude.value", ""},
	{"Organization", "category", Token, "@organization-category-my-core.value", ""},
	{"Organization", "cluster", Token, "@organization-cluster-my-core.value", ""},
	{"Organization", "latitude", Number, "@Organization-position-my-core.@latitude.value", ""},
	{"Organization", "longitude", Number, "@Organization-position-my-core.@longitude.value", ""},
	{"Organization", "name", Name, "name alias", ""},
	{"Organization", "organization-district", Token, "address.@address-district-my-core.value", ""},
	{"Organization", "organization-state", Token, "address.@address-state-my-core.value", ""},
	{"Organization", "partof", Reference, "partOf", "Organization"},
	{"Organization", "pkd", Token, "@organization-pkd-my-core.value", ""},
	{"Organization", "type", Token, "type", ""},

	{"OrganizationAffiliation", "active", Code, "active", ""},
	{"OrganizationAffiliation", "date", Date, "period", ""},
	{"OrganizationAffiliation", "location", Reference, "location", "Location"},
	{"OrganizationAffiliation", "network", Reference, "network", "Organization"},
	{"OrganizationAffiliation", "participating-organization", Reference, "participatingOrganization", "Organization"},
	{"OrganizationAffiliation", "primary-organization", Reference, "organization", "Organization"},
	{"OrganizationAffiliation", "role", Token, "code", ""},
	{"OrganizationAffiliation", "service", Reference, "healthcareService", "HealthcareService"},
	{"OrganizationAffiliation", "specialty", Token, "specialty", ""},

	{"Patient", "active", Code, "active", ""},
	{"Patient", "address", Name, addressText, ""},
	{"Patient", "address-city", String, "address.city", ""},
	{"Patient", "address-country", String, "address.country", ""},
	{"Patient", "address-postalcode", String, "address.postalCode", ""},
	{"Patient", "address-state", String, "address.state", ""},
	{"Patient", "birthdate", Date, "birthDate", ""},
	{"Patient", "citizenship", Token, "@citizenship-my-core.@citizenship.value", ""},
	{"Patient", "citizenship-status", Token, "@citizenship-my-core.@citizenshipStatus.value", ""},
	{"Patient", "death-date", Date, "deceasedDateTime", ""},
	{"Patient", "education-level", Token, "@education-level-my-core.value", ""},
	{"Patient", "email", Token, "telecom(system=email)", ""},
	{"Patient", "ethnic", Token, "@ethnic-my-core.value", ""},
	{"Patient", "family", Name, "name.family", ""},
	{"Patient", "foreigner-type", Token, "@foreigner-type-my-core.value", ""},
	{"Patient", "gender", Code, "gender", ""},
	{"Patient", "general-practitioner", Reference, "generalPractitioner", "Organization Practitioner PractitionerRole"},
	{"Patient", "given", Name, "name.given", ""},
	{"Patient", "identifier-value", String, "identifier.value", ""},
	{"Patient", "language", Token, "communication.language", ""},
	{"Patient", "link", Reference, "link.other", "Patient RelatedPerson"},
	{"Patient", "name", Name, nameText, ""},
	{"Patient", "organization", Reference, "managingOrganization", "Organization"},
	{"Patient", "phone", Token, "telecom(system=phone)", ""},
	{"Patient", "telecom", Token, "telecom", ""},

	{"Practitioner", "active", Code, "active", ""},
	{"Practitioner", "address", Name, addressText, ""},
	{"Practitioner", "communication", Token, "communication", ""},
	{"Practitioner", "email", Token, "telecom(system=email)", ""},
	{"Practitioner", "family", Name, "name.family", ""},
	{"Practitioner", "gender", Code, "gender", ""},
	{"Practitioner", "given", Name, "name.given", ""},
	{"Practitioner", "name", Name, nameText, ""},
	{"Practitioner", "phone", Token, "telecom(system=phone)", ""},
	{"Practitioner", "telecom", Token, "telecom", ""},

	{"PractitionerRole", "active", Code, "active", ""},
	{"PractitionerRole", "date", Date, "period", ""},
	{"PractitionerRole", "drug-classification", Token, "@pr-drug-classification-my-core.value", ""},
	{"PractitionerRole", "email", Token, "telecom(system=email)", ""},
	{"PractitionerRole", "location", Reference, "location", "Location"},
	{"PractitionerRole", "organization", Reference, "organization", "Organization"},
	{"PractitionerRole", "phone", Token, "telecom(system=phone)", ""},
	{"PractitionerRole", "practitioner", Reference, "practitioner", "Practitioner"},
	{"PractitionerRole", "role", Token, "code", ""},
	{"PractitionerRole", "scheduling", Code, "@scheduling-my-core.value", ""},
	{"PractitionerRole", "service", Reference, "healthcareService", "HealthcareService"},
	{"PractitionerRole", "specialty", Token, "specialty", ""},
	{"PractitionerRole", "telecom", Token, "telecom", ""},

	{"RelatedPerson", "active", Code, "active", ""},
	{"RelatedPerson", "birthdate", Date, "birthDate", ""},
	{"RelatedPerson", "email", Token, "telecom(system=email)", ""},
	{"RelatedPerson", "gender", Code, "gender", ""},
	{"RelatedPerson", "name", Name, nameText, ""},
	{"RelatedPerson", "patient", Reference, "patient", "Patient"},
	{"RelatedPerson", "phone", Token, "telecom(system=phone)", ""},
	{"RelatedPerson", "relationship", Token, "relationship", ""},
	{"RelatedPerson", "telecom", Token, "telecom", ""},

	{"Schedule", "active", Code, "active", ""},
	{"Schedule", "actor", Reference, "actor", attendee},
	{"Schedule", "address-district", Token, "@address-district-my-core.value", ""},
	{"Schedule", "address-state", Token, "@address-state-my-core.value @CodeSystem/state-my-core.value", ""},
	{"Schedule", "date", Date, "planningHorizon", ""},
	{"Schedule", "organization", Reference, "@service-provider-my-core.value", "Organization"},
	{"Schedule", "schedule-type", Token, "@schedule-type-my-core.value", ""},
	{"Schedule", "service-category", Token, "serviceCategory", ""},
	{"Schedule", "service-type", Token, "serviceType", ""},
	{"Schedule", "specialty", Token, "specialty", ""},

	{"SearchParameter", "base", Code, "base", ""},
	{"SearchParameter", "code", Code, "code", ""},
	{"SearchParameter", "name", String, "name", ""},
	{"SearchParameter", "status", Code, "status", ""},
	{"SearchParameter", "url", URI, "url", ""},

	{"Slot", "appointment-type", Token, "appointmentType", ""},
	{"Slot", "end", Date, "end", ""},
	{"Slot", "schedule", Reference, "schedule", "Schedule"},
	{"Slot", "service-category", Token, "serviceCategory", ""},
	{"Slot", "service-type", Token, "serviceType", ""},
	{"Slot", "specialty", Token, "specialty", ""},
	{"Slot", "start", Date, "start", ""},
	{"Slot", "status", Code, "status", ""},

	{"StructureDefinition", "name", String, "name", ""},
	{"StructureDefinition", "status", Code, "status", ""},
	{"StructureDefinition", "type", URI, "type", ""},
	{"StructureDefinition", "url", URI, "url", ""},

	{"Subscription", "criteria", String, "criteria", ""},
	{"Subscription", "payload", Code, "channel.payload", ""},
	{"Subscription", "status", Code, "status", ""},
	{"Subscription", "type", Code, "channel.type", ""},
	{"Subscription", "url", URI, "channel.endpoint", ""},

	{"ValueSet", "name", String, "name", ""},
	{"ValueSet", "status", Code, "status", ""},
	{"ValueSet", "title", String, "title", ""},
	{"ValueSet", "url", URI, "url", ""},
	{"ValueSet", "version", Code, "version", ""},
}

// Stored tells whether resources of the type are kept as documents. The
// exception are AuditEvents, which are made from the audit trail when they are
// read: they have no history, and only their own search parameters.
func Stored(typ string) bool { return typ != "AuditEvent" }

// params holds the table by resource type, each type's parameters in order.
//
// The table's own rows come first, then what FHIR R4 defines, then the rows
// for types in general.
var params = sync.OnceValue(func() map[string][]Param { return arrange(table) })

func arrange(rows []row) map[string][]Param {
	named := make(map[string]bool)
	for _, r := range rows {
		named[r.base] = true
	}
	byType := make(map[string][]Param, len(resourceTypes))
	for _, typ := range resourceTypes {
		var all, general []Param
		for _, r := range rows {
			switch {
			case r.base == typ || r.base == "*" && Stored(typ) && r.code[0] == '_', r.base == "+" && Stored(typ) && r4.Is(typ, "DomainResource"):
				all = append(all, r.param())
			case r.base == "*" && Stored(typ) || r.base == "?" && !named[typ]:
				if p := r.of(typ); len(p.paths) > 0 {
					general = append(general, p)
				}
			}
		}
		if Stored(typ) {
			general = append(defined(typ), general...)
		}
		for _, p := range general {
			if !slices.ContainsFunc(all, func(q Param) bool { return q.Code == p.Code }) {
				all = append(all, p)
			}
		}
		for i := range all {
			all[i].single = all[i].Kind == Date && len(all[i].paths) == 1 && once(typ, all[i].paths[0])
		}
		byType[typ] = all
		slices.SortFunc(byType[typ], func(a, b Param) int { return cmp.Compare(a.Code, b.Code) })
	}
	return byType
}

// of gives the parameter with those paths alone that the type has, as elements
// of the kind of value that it compares.
func (r row) of(typ string) Param {
	values := map[Kind]string{Token: "Identifier", Code: "code", Reference: "Reference"}
	t, _ := r4.LookupType(typ)
	r.paths = strings.Join(slices.DeleteFunc(strings.Fields(r.paths), func(path string) bool {
		e, value, ok := t.Element(path)
		if !ok || e.Choice || value != values[r.kind] {
			return true
		}
		targets := e.Types[0].Targets
		return r.target != "" && len(targets) > 0 && !slices.Contains(targets, r.target) && !slices.Contains(targets, "Resource")
	}), " ")
	return r.param()
}

// once tells whether a document can have one value at the end of a path at most.
func once(typ string, p path) bool {
	t, ok := r4.LookupType(typ)
	if !ok {
		return false
	}
	element, of := t.Root, ""
	for _, s := range p {
		if element, of, ok = element.Content(of).Child(s.name); !ok || s.extension || element.List() {
			return false
		}
	}
	return true
}

func (r row) param() Param {
	p := Param{Code: r.code, Kind: r.kind, Target: strings.Fields(r.target)}
	for text := range strings.FieldsSeq(r.paths) {
		p.paths = append(p.paths, compile(text))
	}
	return p
}

// resourceTypes names the resource types of FHIR R4 (4.0.1).
var resourceTypes = strings.Fields(`
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest
CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List
Location Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction
MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical
MedicinalProductUndesirableEffect MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder
Observation ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation
Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Procedure
Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition
ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription
Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport
TestScript ValueSet VerificationResult VisionPrescription`)
