package mycore

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
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

// Validator judges documents by FHIR R4, by MY Core's profiles in one line, and
// by what the record of a virtual consultation must have. It may be used by
// many goroutines at once.
type Validator struct {
	engine *validate.Validator
	line   Line
}

// NewValidator makes a Validator for a line. Of the options it fills in what it
// knows itself: codes and value sets.
func NewValidator(line Line, opts validate.Options) *Validator {
	opts.Terms, opts.Code = Terms, judgeCode
	opts.Searches = true // the exchange resolves them wherever they stand
	v := &Validator{engine: validate.New(opts), line: line}
	if err := v.engine.AddProfiles(profilesOf(line)...); err != nil {
		panic("mycore: " + err.Error()) // the profiles are this package's own
	}
	return v
}

// Engine gives what judges, to make more profiles known to it.
func (v *Validator) Engine() *validate.Validator { return v.engine }

// Standard gives the Validator of the newest line that knows nothing but R4 and
// MY Core.
var Standard = sync.OnceValue(func() *Validator { return NewValidator(Lines[len(Lines)-1], validate.Options{}) })

// Validate judges a document by the newest line, as Receive does.
func Validate(doc *fhir.Document, mode Mode) fhir.Issues {
	return Standard().Receive(context.Background(), doc, mode)
}

// Receive judges a document that comes in: every error and warning, by the
// mode. A record that names a line in meta.profile is judged by that one.
func (v *Validator) Receive(ctx context.Context, doc *fhir.Document, mode Mode) fhir.Issues {
	return v.judge(ctx, doc, v.profiles(doc), func(f validate.Finding) fhir.Severity {
		if f.Severity == fhir.SeverityError && mode == Lenient && !grave(f) {
			return fhir.SeverityWarning
		}
		return f.Severity
	})
}

// Answer judges a document in full, for one who asks: what R4 and the profiles
// that are asked for, or that the document names, call an error is one. MY
// Core's profile of a record that nobody has named counts as the mode says.
func (v *Validator) Answer(ctx context.Context, doc *fhir.Document, mode Mode, asked ...string) fhir.Issues {
	implied := Profile(doc.Type())
	is := func(url string) bool { return url == implied || strings.HasPrefix(url, implied+"|") }
	named := slices.ContainsFunc(asked, is)
	for claim := range doc.All("meta.profile") {
		named = named || is(claim.String())
	}
	profiles := append(slices.Clone(asked), v.profiles(doc)...)
	if slices.ContainsFunc(asked, is) { // in the line that was asked for, or the usual one
		profiles = append(slices.Clone(asked), virtualOf(doc)...)
	}
	return v.judge(ctx, doc, profiles, func(f validate.Finding) fhir.Severity {
		if f.Severity == fhir.SeverityError && mode == Lenient && !named && f.Profile == implied && !grave(f) {
			return fhir.SeverityWarning
		}
		return f.Severity
	})
}

func (v *Validator) judge(ctx context.Context, doc *fhir.Document, profiles []string, severity func(validate.Finding) fhir.Severity) fhir.Issues {
	issues := v.engine.Judge(ctx, doc, validate.Judgement{Profiles: profiles, Severity: func(f validate.Finding) fhir.Severity {
		if f.Key == "binding" && f.Severity == fhir.SeverityWarning && strings.HasPrefix(f.Profile, r4URL) && rebound()[f.Element] {
			return ""
		}
		return severity(f)
	}})
	if heldOutside(doc) {
		issues = append(issues, fhir.Warningf(fhir.CodeRequired, "Encounter.identifier",
			"This visit has no session token: it was held outside the exchange and takes part in no session."))
	}
	return issues
}

// profiles gives the profiles that a record has to keep, named or not: those of
// virtual consultation first, then MY Core's in the line that the record names.
func (v *Validator) profiles(doc *fhir.Document) []string {
	list := virtualOf(doc)
	if !profiled[doc.Type()] {
		return list
	}
	url, line := Profile(doc.Type()), v.line
	for claim := range doc.All("meta.profile") {
		for _, l := range Lines {
			if claim.Is(url + "|" + string(l)) {
				line = l
			}
		}
	}
	return append(list, url+"|"+string(line))
}

// virtualOf gives the profile of virtual consultation that a record has to
// keep; none when it is of no such consultation.
func virtualOf(doc *fhir.Document) []string {
	switch {
	case !IsVirtual(doc):
		return nil
	case heldOutside(doc):
		return []string{VirtualProfile("encounter-held")}
	}
	return []string{VirtualProfile(strings.ToLower(doc.Type()))}
}

// heldOutside tells whether an Encounter is of a virtual consultation that came
// to the exchange only when it was over: finished, and without a token.
func heldOutside(doc *fhir.Document) bool {
	return doc.Type() == "Encounter" && doc.Get("status").Is("finished") && IsVirtual(doc) && Token(doc) == ""
}

// rebound are the elements that MY Core binds to value sets of its own: that its
// codes are not in R4's extensible sets is no news.
var rebound = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for _, e := range entries() {
		for _, el := range e.elements {
			if e.kind == profileEntry && el.strength != "" {
				set[e.name+"."+el.path] = true
			}
		}
	}
	return set
})

// profiled are the types that MY Core has a profile of.
var profiled = func() map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(profilesText) {
		if typ, ok := strings.CutPrefix(line, profileEntry+" "); ok {
			set[strings.TrimSpace(typ)] = true
		}
	}
	return set
}()

// profilesOf gives all StructureDefinitions, those of a line last: they serve
// who names no version.
func profilesOf(line Line) (list []*fhir.Document) {
	var last []*fhir.Document
	for _, doc := range Definitions() {
		switch {
		case doc.Type() != "StructureDefinition":
		case doc.Get("version").Is(string(line)):
			last = append(last, doc)
		default:
			list = append(list, doc)
		}
	}
	return append(list, last...)
}

// needed are the elements without which the exchange cannot work with a record,
// of a virtual consultation or not.
var needed = map[string]bool{
	"Appointment.status": true, "Appointment.participant": true, "Appointment.participant.status": true,
	"Encounter.status": true, "Encounter.class": true,
	"Slot.status": true, "Slot.schedule": true, "Slot.start": true, "Slot.end": true,
	"HealthcareService.providedBy": true, "RelatedPerson.patient": true,
}

// unreadable are the rules whose breach leaves no meaning that a reader could
// rely on: values of the wrong kind, several where one may stand, scripts in
// narrative, times that run backwards, and R4's rules of appointments.
var unreadable = map[string]bool{
	"type": true, "max": true, "txt-1": true,
	"per-1": true, "app-1": true, "app-2": true, "app-3": true, "app-4": true,
}

const r4URL = "http://hl7.org/fhir/StructureDefinition/"

// grave tells whether a finding is an error in every mode.
func grave(f validate.Finding) bool {
	switch {
	case strings.HasPrefix(f.Profile, VirtualProfile("")), strings.HasPrefix(f.Key, "hie-"):
		return true
	case needed[f.Element] && (f.Key == "min" || f.Key == "null"):
		return true
	case f.Profile == ExtensionSlotQuota && (f.Key == "min:quota" || f.Key == "min"): // how many may book
		return true
	case !strings.HasPrefix(f.Profile, r4URL):
		return false
	case f.Key == "binding":
		return f.Type == "code"
	case f.Key == "empty": // which a reader may pass over where it is a text
		return f.Type != "string" && f.Type != "markdown"
	}
	return unreadable[f.Key] || strings.HasPrefix(f.Key, "format-")
}
