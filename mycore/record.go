package mycore

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// virtualTypes are the service types of virtual consultations.
var virtualTypes = map[string]bool{ServiceIndividual: true, ServiceEducation: true, ServiceMDT: true, ServiceOnDemand: true}

// coded gives the codes of a system among the codings at the paths; a Coding
// itself counts as well as the codings of a CodeableConcept.
func coded(n fhir.Node, system string) (codes []string) {
	for c := range n.Items() {
		if c.Get("coding").Exists() {
			for k := range c.All("coding") {
				if Normalize(k.Get("system").String()) == system {
					codes = append(codes, k.Get("code").String())
				}
			}
		} else if Normalize(c.Get("system").String()) == system {
			codes = append(codes, c.Get("code").String())
		}
	}
	return codes
}

// ServiceType gives the code of the virtual consultation (VCI, VCE, VCMDT or
// VCD) that an Appointment, Encounter, Schedule or Slot is for, "" for none.
func ServiceType(doc *fhir.Document) string {
	for _, code := range coded(doc.Root().Get("serviceType"), SystemServiceType) {
		if virtualTypes[code] {
			return code
		}
	}
	return ""
}

// IsVirtual tells whether a record belongs to a virtual consultation: by its
// class or category (VR) or by its service type.
func IsVirtual(doc *fhir.Document) bool {
	switch doc.Type() {
	case "Appointment", "Schedule", "Slot":
		for _, code := range coded(doc.Root().Get("serviceCategory"), SystemEncounterClass) {
			if code == ClassVirtual {
				return true
			}
		}
	case "Encounter":
		for _, code := range coded(doc.Root().Get("class"), SystemEncounterClass) {
			if code == ClassVirtual {
				return true
			}
		}
	default:
		return false
	}
	return ServiceType(doc) != ""
}

// Token gives the session token among a record's identifiers, "" for none.
func Token(doc *fhir.Document) string {
	for id := range doc.All("identifier") {
		if id.Get("system").Is(SystemVCToken) {
			return id.Get("value").String()
		}
	}
	return ""
}

var tokenForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ValidToken tells whether s has the form of a session token, a lower-case UUID.
func ValidToken(s string) bool { return tokenForm.MatchString(s) }

// EncounterNumber gives the n-th encounter number of a facility in the month
// of t, such as HTJ-ENC-2611000042.
func EncounterNumber(mnemonic string, t time.Time, n int64) string {
	return fmt.Sprintf("%s-ENC-%s%06d", mnemonic, t.In(fhir.Malaysia).Format("0601"), n)
}

// Quota reads the quota extension of a Slot. Both numbers may be integers, as
// in the profile, or text, as in the samples. ok is false when there is no
// quota; a missing available counts as all.
func Quota(slot *fhir.Document) (quota, available int64, ok bool) {
	ext := slot.Root().Extension(ExtensionSlotQuota)
	if quota, ok = quotaPart(ext, "quota"); !ok {
		return 0, 0, false
	}
	if available, ok = quotaPart(ext, "available"); !ok {
		available = quota
	}
	return quota, available, true
}

func quotaPart(ext fhir.Node, name string) (int64, bool) {
	part := ext.Extension(name)
	for _, member := range []string{"valueInteger", "valueString", "valuePositiveInt", "valueUnsignedInt"} {
		if v, ok := part.Get(member).Int(); ok {
			return v, true
		}
	}
	return 0, false
}

// Actors gives the references of an Appointment's participants that lead to a
// resource type, as they stand there.
func Actors(doc *fhir.Document, typ string) (references []string) {
	for actor := range doc.All("participant.actor") {
		ref := actor.Get("reference").String()
		if strings.HasPrefix(ref, typ+"/") || strings.HasPrefix(ref, typ+"?") || strings.Contains(ref, "/"+typ+"/") {
			references = append(references, ref)
		}
	}
	return references
}

// IdentityNumbers gives the numbers that name a Patient wherever they go:
// MyKad, passport, army, police, permanent residence. They are normalized.
func IdentityNumbers(patient *fhir.Document) (numbers []string) {
	for id := range patient.All("identifier") {
		for _, system := range IdentitySystems {
			if id.Get("system").Is(system) {
				if n, ok := NormalizeIdentityNumber(id.Get("value").String()); ok {
					numbers = append(numbers, n)
				}
			}
		}
	}
	return numbers
}

var (
	myKadForm    = regexp.MustCompile(`^\d{6}-?\d{2}-?\d{4}$`)
	identityForm = regexp.MustCompile(`^[A-Z0-9][A-Z0-9/ -]{2,39}$`)
)

// NormalizeIdentityNumber gives the form in which identity numbers are
// compared: a MyKad without dashes, any other in capitals. ok is false for
// what cannot be an identity number.
func NormalizeIdentityNumber(s string) (number string, ok bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if myKadForm.MatchString(s) {
		return strings.ReplaceAll(s, "-", ""), true
	}
	return s, identityForm.MatchString(s)
}

// PatientName gives the name by which a patient is called, "" when the record
// has none.
func PatientName(patient *fhir.Document) string {
	for name := range patient.All("name") {
		if text := name.Get("text").String(); text != "" {
			return text
		}
		var parts []string
		for given := range name.All("given") {
			parts = append(parts, given.String())
		}
		if family := name.Get("family").String(); family != "" {
			parts = append(parts, family)
		}
		if len(parts) > 0 {
			return strings.Join(parts, " ")
		}
	}
	return ""
}
