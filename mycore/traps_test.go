package mycore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The published guide and its samples do not always follow its profiles. The
// records below testdata/guide have the shapes of the samples; each subtest is
// one known trap in them, by its number in the list of facts.

func TestSamplesOfTheGuide(t *testing.T) {
	want := map[string][]string{
		"vci-appointment":     nil,
		"vce-appointment":     nil,
		"vci-encounter":       nil,
		"vce-encounter":       nil,
		"vci-schedule":        issues("~ required Schedule.actor"),
		"vce-schedule":        issues("~ required Schedule.actor", "~ structure Schedule.participant"),
		"vci-slot":            nil,
		"vce-slot":            nil,
		"finished-encounter":  issues("? required Encounter.identifier"),
		"group-schedule":      issues("! required Schedule.specialty", "! code-invalid Schedule.serviceType", "~ code-invalid Schedule.serviceType[0].coding[0]"),
		"booking-appointment": issues("~ structure Appointment.slot"),
		"booking-slot":        issues("~ value Slot.schedule.reference"),
	}
	files, err := os.ReadDir(filepath.Join("testdata", "guide"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("%d samples in testdata/guide, want %d", len(files), len(want))
	}
	for name, list := range want {
		t.Run(name, func(t *testing.T) { judge(t, load(t, "guide/"+name), list...) })
	}
}

func TestTrap01ValueSetURLsMeanTheCodeSystem(t *testing.T) {
	valueSet := func(system string) string { return strings.Replace(system, "/CodeSystem/", "/ValueSet/", 1) }
	for _, record := range []string{"appointment-vci", "schedule-vci", "slot-vci"} {
		t.Run(record, func(t *testing.T) {
			doc := edited(t, load(t, "good/"+record),
				fhir.Set("serviceCategory.0", concept(valueSet(SystemEncounterClass), "VR")),
				fhir.Set("serviceType.0", concept(valueSet(SystemServiceType), "VCE")),
				fhir.Set("specialty.0", concept(valueSet(SystemSpecialty), "149")))
			judge(t, doc)
			if !IsVirtual(doc) || ServiceType(doc) != ServiceEducation {
				t.Errorf("virtual %v, service type %q", IsVirtual(doc), ServiceType(doc))
			}
		})
	}
	t.Run("encounter", func(t *testing.T) {
		doc := edited(t, load(t, "good/encounter-vci"),
			fhir.Set("class.system", valueSet(SystemEncounterClass)),
			fhir.Set("serviceType", concept(valueSet(SystemServiceType), "VCI")),
			fhir.Set("type.0", concept(valueSet(SystemSpecialty), "86")))
		judge(t, doc)
	})
	t.Run("unknown codes stay unknown", func(t *testing.T) {
		judge(t, edited(t, load(t, "good/slot-vci"), fhir.Set("specialty.0", concept(valueSet(SystemSpecialty), "9999"))),
			"~ code-invalid Slot.specialty[0].coding[0]")
	})
	t.Run("a slice of its own system is not needed", func(t *testing.T) {
		// The profiles slice by system; codings that fall outside the slices are legal.
		judge(t, edited(t, load(t, "good/appointment-vci"),
			fhir.Append("specialty.0.coding", raw(`{"system":"`+Root+`CodeSystem/servicerequest-category-my-core","code":"363679005"}`))))
	})
}

func TestTrap02SpellingsOfPublishedURLs(t *testing.T) {
	for _, c := range []struct{ published, meant string }{
		{Root + "ValueSet/service-type-my-core", SystemServiceType},
		{Root + "Valueset/service-type-my-core", SystemServiceType},
		{Root + "valueset/service-type-my-core", SystemServiceType},
		{Root + "VaueSet/service-type-my-core", SystemServiceType},
		{Root + "Valueset/schedule-type-my-core", SystemScheduleType},
		{Root + "ValueSet/cancelation-reason-my-core", SystemCancellationReason},
		{Root + "CodeSystem/cancelation-reason-my-core", SystemCancellationReason},
		{Root + "Valueset/service-request-category-my-core", Root + "CodeSystem/servicerequest-category-my-core"},
		{Root + "CodeSystem/code-system-ncd-vc-dx-my-core", Root + "CodeSystem/ncd-vc-dx-my-core"},
		{SystemServiceType, SystemServiceType},
		{SystemCancellationReason, SystemCancellationReason},
		// Nobody else's URLs change.
		{"http://hl7.org/fhir/ValueSet/encounter-status", "http://hl7.org/fhir/ValueSet/encounter-status"},
		{"http://example.org/ValueSet/cancelation-reason", "http://example.org/ValueSet/cancelation-reason"},
		{"", ""},
	} {
		if got := Normalize(c.published); got != c.meant {
			t.Errorf("Normalize(%q) = %q, want %q", c.published, got, c.meant)
		}
	}
	cancelled := []fhir.Edit{fhir.Set("status", "cancelled"), fhir.Set("cancelationReason", concept(Root+"ValueSet/cancelation-reason-my-core", "2"))}
	judge(t, edited(t, load(t, "good/appointment-vci"), cancelled...))
	t.Run("the extension internal-refferal", func(t *testing.T) {
		url := Root + "StructureDefinition/internal-refferal-my-core"
		doc := edited(t, load(t, "good/encounter-vci"), fhir.Append("extension", raw(`{"url":"`+url+`","valueBoolean":true}`)))
		judge(t, doc)
		if v, ok := doc.Root().Extension(url).Get("valueBoolean").Bool(); !v || !ok {
			t.Error("the extension is lost")
		}
	})
}

func TestTrap03QuotaIsAnIntegerOrText(t *testing.T) {
	for _, x := range []struct {
		name, part string
		want       []string
	}{
		{"integers, as in the profile", `[{"url":"available","valueInteger":9},{"url":"quota","valueInteger":10}]`, nil},
		{"text, as in every sample", `[{"url":"available","valueString":"9"},{"url":"quota","valueString":"10"}]`, nil},
		{"one of each", `[{"url":"quota","valueInteger":10},{"url":"available","valueString":"9"}]`, nil},
		{"an integer sent as text", `[{"url":"quota","valueInteger":"10"},{"url":"available","valueInteger":9}]`, issues("~ structure Slot.extension[0].extension[0].value.ofType(integer)")},
	} {
		t.Run(x.name, func(t *testing.T) {
			doc := edited(t, load(t, "good/slot-vci"), fhir.Set("extension.0.extension", raw(x.part)))
			judge(t, doc, x.want...)
			if quota, available, ok := Quota(doc); quota != 10 || available != 9 || !ok {
				t.Errorf("Quota = %d, %d, %v", quota, available, ok)
			}
		})
	}
}

func TestTrap04SchedulesWithoutActor(t *testing.T) {
	for _, name := range []string{"guide/vci-schedule", "guide/vce-schedule"} {
		doc := load(t, name)
		if err := Validate(doc, Lenient).Err(); err != nil {
			t.Errorf("%s, lenient: %v", name, err)
		}
		if got := found(Validate(doc, Strict)); !slices.Contains(got, "error required Schedule.actor") {
			t.Errorf("%s, strict: %v", name, got)
		}
	}
	if doc := load(t, "guide/vce-schedule"); !doc.Get("participant.actor").Exists() {
		t.Error("the sample has lost the participant that Schedules do not have")
	}
}

func TestTrap05SlotAsAnObject(t *testing.T) {
	doc := load(t, "guide/booking-appointment")
	if doc.Root().Get("slot").Kind() != fhir.Object {
		t.Fatal("the sample no longer writes its slot as an object")
	}
	judge(t, doc, "~ structure Appointment.slot")
	if got := doc.Get("slot.reference").String(); got != "Slot/slot-sample" {
		t.Errorf("slot = %q", got)
	}
	t.Run("other lists of one", func(t *testing.T) {
		doc := load(t, "good/appointment-vci")
		for _, element := range []string{"serviceCategory", "serviceType", "specialty", "slot"} {
			doc = edited(t, doc, fhir.Set(element, raw(string(doc.Get(element).Raw()))))
		}
		judge(t, doc, "~ structure Appointment.serviceCategory", "~ structure Appointment.serviceType", "~ structure Appointment.slot", "~ structure Appointment.specialty")
		if !IsVirtual(doc) || ServiceType(doc) != ServiceIndividual {
			t.Errorf("virtual %v, service type %q", IsVirtual(doc), ServiceType(doc))
		}
	})
}

func TestTrap06DisplaysAreNeverJudged(t *testing.T) {
	doc := load(t, "guide/vce-schedule")
	if got := doc.Get("serviceType.coding.display").String(); got != "Individual Virtual Consultation" {
		t.Fatalf("the sample no longer mislabels its code: %q", got)
	}
	if got := ServiceType(doc); got != ServiceEducation {
		t.Errorf("service type %q", got)
	}
	judge(t, edited(t, load(t, "good/encounter-vci"), fhir.Set("class.display", "Inpatient"), fhir.Set("serviceType.coding.0.display", "Day Care")))
}

func TestTrap07ArrivedWithPlannedInTheHistory(t *testing.T) {
	for _, name := range []string{"guide/vci-encounter", "guide/vce-encounter"} {
		doc := load(t, name)
		if !doc.Get("statusHistory.status").Is("planned") || doc.Get("participant").Exists() {
			t.Fatalf("%s no longer has the shape of the sample", name)
		}
		judge(t, doc)
	}
	t.Run("finished, with a participant by display only", func(t *testing.T) {
		doc := load(t, "guide/finished-encounter")
		if doc.Get("participant.individual.reference").Exists() || !doc.Get("participant.type.coding.code").Is("ATND") {
			t.Fatal("the record no longer has the shape of the sample")
		}
		judge(t, doc, "? required Encounter.identifier")
		judge(t, edited(t, doc, fhir.Remove("participant.0.type")),
			"? required Encounter.identifier", "! required Encounter.participant[0].type")
	})
}

func TestTrap08NoshowMayHaveAReason(t *testing.T) {
	reason := fhir.Set("cancelationReason", concept(SystemCancellationReason, "0"))
	judge(t, edited(t, load(t, "good/appointment-vci"), fhir.Set("status", "noshow"), reason))
	judge(t, edited(t, load(t, "good/appointment-vci"), fhir.Set("status", "no-show")), "! code-invalid Appointment.status")
}

func TestTrap09SpellingsOfIdentifiers(t *testing.T) {
	for _, system := range []string{SystemMyKad, SystemMyKadVariant} {
		doc := edited(t, load(t, "good/patient"), fhir.Set("identifier.0.system", system))
		judge(t, doc)
		if got := IdentityNumbers(doc); !slices.Equal(got, []string{"900101145678"}) {
			t.Errorf("%s: identity numbers %v", system, got)
		}
	}
	for _, value := range []string{"HTJ-UNK-26000006", "HTJ-UKN-23000006"} {
		doc := edited(t, load(t, "good/patient"),
			fhir.Set("identifier.0", raw(`{"use":"temp","system":"`+SystemOthers+`","value":"`+value+`"}`)))
		judge(t, doc)
		if got := IdentityNumbers(doc); len(got) != 0 {
			t.Errorf("%s names nobody, yet the identity numbers are %v", value, got)
		}
	}
}

func TestTrap10SamplesAreNotOneConsistentSet(t *testing.T) {
	// The Appointment is internal and points at another Slot than the sample's,
	// which is affiliate: each is judged by itself.
	app, slot := load(t, "guide/vce-appointment"), load(t, "guide/vce-slot")
	if app.Get("appointmentType.coding.code").String() == slot.Get("appointmentType.coding.code").String() ||
		app.Get("slot.reference").Is("Slot/"+slot.ID()) {
		t.Fatal("the records agree; the samples do not")
	}
	judge(t, app)
	judge(t, slot)
	if Token(app) == "" || Token(app) != Token(slot) {
		t.Errorf("tokens %q and %q", Token(app), Token(slot))
	}
	// Quota and available are swapped in the booking sample.
	if quota, available, ok := Quota(load(t, "guide/booking-slot")); quota != 9 || available != 10 || !ok {
		t.Errorf("Quota = %d, %d, %v", quota, available, ok)
	}
}

func TestTrap11GroupCodeIsNotInTheCodeSystem(t *testing.T) {
	if ValidCode(SystemServiceType, "VCG") {
		t.Error("VCG is no code of MY Core")
	}
	doc := load(t, "guide/group-schedule")
	if !IsVirtual(doc) || ServiceType(doc) != "" {
		t.Errorf("virtual %v, service type %q", IsVirtual(doc), ServiceType(doc))
	}
	for name, mode := range modes {
		if got := found(Validate(doc, mode)); !slices.Contains(got, "error code-invalid Schedule.serviceType") {
			t.Errorf("%s: %v", name, got)
		}
	}
	doc = edited(t, load(t, "good/encounter-vci"), fhir.Set("serviceType", concept(SystemServiceType, "VCG")))
	judge(t, doc, "! code-invalid Encounter.serviceType", "~ code-invalid Encounter.serviceType.coding[0]")
}

func TestTrap12EncountersAreNotCancelled(t *testing.T) {
	for _, status := range []string{"planned", "cancelled"} {
		judge(t, edited(t, load(t, "good/encounter-vci"), fhir.Set("status", status)), "! code-invalid Encounter.status")
		judge(t, edited(t, load(t, "good/encounter-outpatient"), fhir.Set("status", status)), "~ code-invalid Encounter.status")
	}
	// The Appointment says that a consultation is cancelled.
	judge(t, edited(t, load(t, "good/appointment-vci"), fhir.Set("status", "cancelled")))
}

// Tokens are bare UUIDs and references of bundles may be urns: the first is
// judged here, the second where bundles are unpacked.
func TestURNsAreNotTokensButMayBeReferences(t *testing.T) {
	for value, want := range map[string]bool{
		aToken:                              true,
		"urn:uuid:" + aToken:                false,
		strings.ToUpper(aToken):             false,
		"{" + aToken + "}":                  false,
		aToken + "\n":                       false,
		strings.Replace(aToken, "-", "", 1): false,
		"":                                  false,
	} {
		if got := ValidToken(value); got != want {
			t.Errorf("ValidToken(%q) = %v", value, got)
		}
	}
	judge(t, edited(t, load(t, "good/slot-vci"), fhir.Set("schedule.reference", "urn:uuid:"+aToken)))
	judge(t, edited(t, load(t, "good/slot-vci"), fhir.Set("schedule.reference", "Schedule/urn:uuid:"+aToken)), "~ value Slot.schedule.reference")
}
