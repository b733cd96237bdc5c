package source

import (
	"strconv"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
)

// FinishParams say how a consultation ended.
type FinishParams struct {
	At               time.Time // end of the consultation
	Outcome          string    // 1 successful, 2 unsuccessful
	Reason           string    // why not: 01 technical, 02 patient, 03 facility; may be empty
	Practitioner     string    // who attended, as Practitioner/id, PractitionerRole/id or id; may be empty
	PractitionerName string    // may be empty
}

const (
	systemParticipation = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	attender            = "ATND"
)

// FinishEncounter gives the Encounter of a consultation as finished: status,
// period.end, the outcome, and who attended from when. All else keeps its
// bytes. Read the Encounter from the exchange first and Put what comes back.
func FinishEncounter(doc *fhir.Document, p FinishParams) (*fhir.Document, error) {
	switch {
	case doc.Type() != "Encounter":
		return nil, fhir.Errorf(fhir.CodeValue, "", "Only an Encounter can be finished.")
	case p.At.IsZero():
		return nil, fhir.Errorf(fhir.CodeRequired, "Encounter.period.end", "Say when the consultation ended.")
	case !mycore.ValidCode(mycore.SystemEncounterOutcome, p.Outcome):
		return nil, fhir.Errorf(fhir.CodeCodeInvalid, "Encounter.extension", "The outcome is 1 (successful) or 2 (unsuccessful).")
	case p.Reason != "" && !mycore.ValidCode(mycore.SystemOutcomeReason, p.Reason):
		return nil, fhir.Errorf(fhir.CodeCodeInvalid, "Encounter.extension", "The reason is 01 (technical), 02 (patient) or 03 (facility).")
	}
	edits := []fhir.Edit{
		fhir.Set("status", "finished"),
		fhir.Set("period.end", fhir.FormatDateTime(p.At)),
		outcome(doc, p),
	}
	done, err := doc.With(append(edits, attendance(doc, p)...)...)
	if err != nil {
		return nil, err
	}
	if err := mycore.Validate(done, mycore.Lenient).Err(); err != nil {
		return nil, err
	}
	return done, nil
}

func outcome(doc *fhir.Document, p FinishParams) fhir.Edit {
	parts := []any{object{"url": "encounterOutcome", "valueCodeableConcept": concept(mycore.SystemEncounterOutcome, p.Outcome)}}
	if p.Reason != "" {
		parts = append(parts, object{"url": "outcomeReason", "valueCodeableConcept": concept(mycore.SystemOutcomeReason, p.Reason)})
	}
	ext := object{"url": mycore.ExtensionEncounterOutcome, "extension": parts}
	i := 0
	for n := range doc.Root().Get("extension").Children() {
		if n.Get("url").Is(mycore.ExtensionEncounterOutcome) {
			return fhir.Set("extension."+strconv.Itoa(i), ext)
		}
		i++
	}
	return fhir.Append("extension", ext)
}

// attendance notes from when the practitioner attended: in the participant who
// stands there already, or in a new one.
func attendance(doc *fhir.Document, p FinishParams) []fhir.Edit {
	from := fhir.FormatDateTime(p.At)
	if t, ok := attended(doc); ok && t.Before(p.At) {
		from = fhir.FormatDateTime(t)
	}
	i := 0
	for n := range doc.Root().Get("participant").Children() {
		if attends(n) && same(n.Get("individual"), p) {
			if n.First("period.start").Exists() {
				return nil
			}
			return []fhir.Edit{fhir.Set("participant."+strconv.Itoa(i)+".period.start", from)}
		}
		i++
	}
	if p.Practitioner == "" && p.PractitionerName == "" {
		return nil
	}
	individual := object{}
	if p.Practitioner != "" {
		individual = actor("Practitioner", p.Practitioner, "")
	}
	if p.PractitionerName != "" {
		individual["display"] = p.PractitionerName
	}
	coding := object{"system": systemParticipation, "code": attender, "display": "attender"}
	return []fhir.Edit{fhir.Append("participant", object{
		"type":       []any{object{"coding": []any{coding}}},
		"period":     object{"start": from},
		"individual": individual,
	})}
}

// attended is when the consultation became in-progress.
func attended(doc *fhir.Document) (at time.Time, ok bool) {
	var last fhir.Node
	for h := range doc.All("statusHistory") {
		if h.Get("status").Is("in-progress") {
			return h.First("period.start").Time()
		}
		if end := h.First("period.end"); end.Exists() {
			last = end
		}
	}
	if !doc.Get("status").Is("in-progress") {
		return time.Time{}, false
	}
	if !last.Exists() {
		last = doc.Get("period.start")
	}
	return last.Time()
}

func attends(participant fhir.Node) bool {
	for c := range participant.All("type.coding") {
		if c.Get("code").Is(attender) {
			return true
		}
	}
	return false
}

// same tells whether a participant is the practitioner of the parameters, who
// may be left open.
func same(individual fhir.Node, p FinishParams) bool {
	switch {
	case p.Practitioner != "":
		want, _ := fhir.ParseReference(reference("Practitioner", p.Practitioner), "")
		got, ok := fhir.ParseReference(individual.Get("reference").String(), "")
		return ok && got.Type == want.Type && got.ID == want.ID
	case p.PractitionerName != "":
		return individual.Get("display").Is(p.PractitionerName)
	}
	return true
}
