package mycore

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Mode is how strictly the profiles are applied. What a record for a virtual
// consultation must have is an error in both.
type Mode uint8

// The modes. The guide's own samples break the guide's own profiles, so
// lenient is the default.
const (
	Lenient Mode = iota
	Strict
)

// Validate judges a document by the rules of its type and gives every error
// and warning it finds. Types without rules have none.
func Validate(doc *fhir.Document, mode Mode) fhir.Issues {
	v := validator{doc: doc, mode: mode, virtual: IsVirtual(doc), counts: map[fhir.Severity]int{}}
	for _, r := range rules[doc.Type()] {
		v.check(r)
	}
	for _, check := range invariants[doc.Type()] {
		check(&v)
	}
	return v.issues
}

type validator struct {
	doc     *fhir.Document
	mode    Mode
	virtual bool
	issues  fhir.Issues
	counts  map[fhir.Severity]int
}

// maxIssues is how many errors, and how many warnings, are reported: a hostile
// document has more than anybody would read.
const maxIssues = 100

func (v *validator) add(e *fhir.Error) {
	if v.counts[e.Severity]++; v.counts[e.Severity] <= maxIssues {
		v.issues = append(v.issues, e)
	}
}

// report adds an issue with the severity that the force of its rule gives.
func (v *validator) report(f force, code fhir.Code, expression, format string, args ...any) {
	e := fhir.Errorf(code, expression, format, args...)
	if f == profile && v.mode == Lenient || f == virtual && !v.virtual && v.mode == Lenient {
		e.Severity = fhir.SeverityWarning
	}
	v.add(e)
}

// blank tells whether an element says nothing: null, {} or "". It counts as
// missing. Codes and dates are looked at all the same, and found wrong.
func blank(e fhir.Node) bool {
	switch e.Kind() {
	case fhir.Null:
		return true
	case fhir.Object, fhir.Array:
		for range e.Children() {
			return false
		}
		return true
	}
	return e.Is("")
}

func (v *validator) check(r rule) {
	if r.force == virtual && !v.virtual && r.oneOf != nil {
		return // another kind of record may have other codes
	}
	if r.force == virtual && !v.virtual && r.codes != nil {
		r.force = profile
	}
	if r.within == "" {
		v.apply(r, v.doc.Root())
		return
	}
	for n := range v.doc.All(r.within) {
		v.apply(r, n)
	}
}

// apply judges the elements that a rule names below n.
func (v *validator) apply(r rule, n fhir.Node) {
	count, found := 0, false
	for e := range n.All(r.path) {
		if r.codes == nil && !r.date && blank(e) {
			continue
		}
		count++
		switch {
		case r.codes != nil && !slices.Contains(r.codes, e.String()):
			v.report(r.force, fhir.CodeCodeInvalid, e.Path(), "The code must be one of: %s.", strings.Join(r.codes, ", "))
		case r.date:
			if _, ok := e.Time(); !ok {
				v.report(r.force, fhir.CodeValue, e.Path(), "This is not a FHIR date or time.")
			}
		case r.oneOf != nil:
			found = found || slices.ContainsFunc(coded(e, r.system), func(c string) bool { return slices.Contains(r.oneOf, c) })
		case r.system != "":
			v.belongs(r, e)
		}
	}
	switch {
	case count < r.min:
		v.report(r.force, fhir.CodeRequired, n.Path()+"."+r.path, "%s", sentence("This element is missing.", r.mend))
	case r.max > 0 && count > r.max:
		v.report(r.force, fhir.CodeStructure, n.Path()+"."+r.path, "This element may stand only %d time.", r.max)
	case r.oneOf != nil && count > 0 && !found:
		v.report(r.force, fhir.CodeCodeInvalid, n.Path()+"."+r.path, "%s",
			sentence("One of the codes "+strings.Join(r.oneOf, ", ")+" of "+r.system+" must be here.", r.mend))
	}
}

func sentence(what, mend string) string {
	return strings.TrimSpace(what + " " + mend)
}

// belongs checks that the codes which an element takes from the system are
// codes of the system. Other systems may stand beside it.
func (v *validator) belongs(r rule, e fhir.Node) {
	for _, code := range coded(e, r.system) {
		if !ValidCode(r.system, code) {
			v.report(profile, fhir.CodeCodeInvalid, e.Path(), "The code is not in the code system %s.", r.system)
		}
	}
}

// invariants are the rules that look at several elements at once.
var invariants = map[string][]func(*validator){
	"Appointment": {appointmentParticipants, appointmentTimes, cancelationReason, token},
	"Encounter":   {encounterToken, encounterPeriod, participantType},
	"Schedule":    {scheduleType, scheduleHorizon, token},
	"Slot":        {slotQuota, slotTimes, token},
	"Patient":     {medicalRecordNumber},
}

// appointmentParticipants is app-1: a participant has a type or an actor.
func appointmentParticipants(v *validator) {
	for p := range v.doc.All("participant") {
		if !p.Get("type").Exists() && !p.Get("actor").Exists() {
			v.report(always, fhir.CodeInvariant, p.Path(), "A participant needs an actor or a type.")
		}
	}
}

// appointmentTimes is app-2 and app-3.
func appointmentTimes(v *validator) {
	start, end := v.doc.Get("start"), v.doc.Get("end")
	status := v.doc.Get("status").String()
	switch {
	case start.Exists() != end.Exists():
		v.report(always, fhir.CodeInvariant, "Appointment.end", "Give both start and end, or neither.")
	case !start.Exists() && !slices.Contains([]string{"proposed", "cancelled", "waitlist"}, status):
		v.report(always, fhir.CodeInvariant, "Appointment.start", "Only a proposed, cancelled or waitlisted appointment may be without start and end.")
	}
	ordered(v, start, end, "Appointment.end")
}

func ordered(v *validator, start, end fhir.Node, expression string) {
	a, okA := start.Time()
	b, okB := end.Time()
	if okA && okB && b.Before(a) {
		v.report(always, fhir.CodeInvariant, expression, "The end lies before the start.")
	}
}

// cancelationReason is app-4 with the code as R4 has it, noshow.
func cancelationReason(v *validator) {
	status := v.doc.Get("status").String()
	if v.doc.Root().Get("cancelationReason").Exists() && status != "cancelled" && status != "noshow" {
		v.report(always, fhir.CodeInvariant, "Appointment.cancelationReason", "Only a cancelled or missed appointment has a reason for cancelling.")
	}
}

// token judges the form of a session token where one is given.
func token(v *validator) {
	count := 0
	for id := range v.doc.All("identifier") {
		if !id.Get("system").Is(SystemVCToken) {
			continue
		}
		if count++; count > 1 {
			v.report(always, fhir.CodeStructure, id.Path(), "A record carries one session token.")
		}
		if !ValidToken(id.Get("value").String()) {
			v.report(always, fhir.CodeValue, id.Path()+".value", "A session token is a UUID in lower case.")
		}
	}
}

// encounterToken: a virtual Encounter carries the token of its session. A
// finished one without it was held outside the exchange.
func encounterToken(v *validator) {
	token(v)
	if !v.virtual || Token(v.doc) != "" {
		return
	}
	f := virtual
	if v.doc.Get("status").Is("finished") {
		f = profile
		if v.mode == Strict {
			v.add(fhir.Warningf(fhir.CodeRequired, "Encounter.identifier", "This visit has no session token: it was held outside the exchange."))
			return
		}
	}
	v.report(f, fhir.CodeRequired, "Encounter.identifier", "The session token is missing, system %s.", SystemVCToken)
}

func encounterPeriod(v *validator) {
	ordered(v, v.doc.Get("period.start"), v.doc.Get("period.end"), "Encounter.period.end")
}

// participantType: whoever takes part has a role.
func participantType(v *validator) {
	for p := range v.doc.All("participant") {
		if p.Get("individual").Exists() && !p.Get("type").Exists() {
			v.report(virtual, fhir.CodeRequired, p.Path()+".type", "A participant needs a role, such as ATND for the attending practitioner.")
		}
	}
}

func scheduleType(v *validator) {
	ext := v.doc.Root().Extension(ExtensionScheduleType)
	if !ext.Exists() {
		v.report(virtual, fhir.CodeRequired, "Schedule.extension", "The schedule type is missing, extension %s.", ExtensionScheduleType)
		return
	}
	if list := coded(ext.Get("valueCodeableConcept"), SystemScheduleType); len(list) == 0 || !ValidCode(SystemScheduleType, list[0]) {
		v.report(profile, fhir.CodeCodeInvalid, ext.Path(), "The schedule type must be a code of %s.", SystemScheduleType)
	}
}

func scheduleHorizon(v *validator) {
	ordered(v, v.doc.Get("planningHorizon.start"), v.doc.Get("planningHorizon.end"), "Schedule.planningHorizon.end")
}

// slotQuota: the quota may be written as an integer or as text.
func slotQuota(v *validator) {
	ext := v.doc.Root().Extension(ExtensionSlotQuota)
	if !ext.Exists() {
		v.report(virtual, fhir.CodeRequired, "Slot.extension", "The quota is missing, extension %s.", ExtensionSlotQuota)
		return
	}
	for _, name := range []string{"quota", "available"} {
		n, ok := quotaPart(ext, name)
		switch {
		case !ok && name == "available" && !ext.Extension(name).Exists():
		case !ok:
			v.report(always, fhir.CodeValue, ext.Path(), "The part %q of the quota must be a whole number.", name)
		case n < 0 || n > 1_000_000:
			v.report(always, fhir.CodeValue, ext.Path(), "The part %q of the quota must be between 0 and 1000000.", name)
		}
	}
}

func slotTimes(v *validator) { ordered(v, v.doc.Get("start"), v.doc.Get("end"), "Slot.end") }

func medicalRecordNumber(v *validator) {
	for id := range v.doc.All("identifier") {
		if id.Get("system").Is(SystemMRN) {
			return
		}
	}
	v.report(profile, fhir.CodeRequired, "Patient.identifier", "The facility's medical record number is missing, system %s.", SystemMRN)
}
