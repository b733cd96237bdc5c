package search

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
)

// What nobody should send is answered with 400 and a sentence, and quickly.
func TestBadInput(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("x,", 10_000), ",")
	for _, c := range []struct {
		typ, key, value string
		code            fhir.Code
	}{
		{"Patient", "identifier", many, fhir.CodeTooCostly},
		{"Patient", "name", many, fhir.CodeTooCostly},
		{"Encounter", "subject.name", many, fhir.CodeTooCostly},
		{"Appointment", "actor.name", strings.TrimSuffix(strings.Repeat("x,", 201), ","), fhir.CodeTooCostly},
		{"Encounter", strings.Repeat("part-of.", 50) + "status", "x", fhir.CodeTooCostly},
		{"Patient", "_has:Encounter:patient:" + strings.Repeat("_has:Encounter:part-of:", 50) + "status", "x", fhir.CodeTooCostly},
		{"Patient", "name", "a\x00b", fhir.CodeInvalid},
		{"Patient", "identifier", "a\x00", fhir.CodeInvalid},
		{"Patient", "name", "\xff\xfe", fhir.CodeInvalid},
		{"Patient", "_filter", "name eq \x00", fhir.CodeInvalid},
		{"Patient", "_id", "\xff", fhir.CodeInvalid},
		{"RiskAssessment", "probability", "1e999999999", fhir.CodeInvalid},
		{"RiskAssessment", "probability", "0x10", fhir.CodeInvalid},
		{"RiskAssessment", "probability", "NaN", fhir.CodeInvalid},
		{"RiskAssessment", "probability", "Infinity", fhir.CodeInvalid},
		{"RiskAssessment", "probability", strings.Repeat("9", 5000), fhir.CodeInvalid},
		{"RiskAssessment", "probability", "1_000", fhir.CodeInvalid},
		{"RiskAssessment", "probability", "gt", fhir.CodeInvalid},
		{"Observation", "value-quantity", "1|a|b|c", fhir.CodeInvalid},
		{"Observation", "value-quantity", "1|http://unitsofmeasure.org|", fhir.CodeInvalid},
		{"Observation", "code-value-quantity", "a", fhir.CodeInvalid},
		{"Observation", "code-value-quantity", "a$", fhir.CodeInvalid},
		{"Observation", "code-value-quantity", "a$1$2", fhir.CodeInvalid},
		{"Observation", "code-value-quantity", "a$b", fhir.CodeInvalid},
		{"Patient", "birthdate", "0000-01-01", fhir.CodeInvalid},
		{"Patient", "birthdate", "99999", fhir.CodeInvalid},
		{"Patient", "birthdate", "2026-02-30", fhir.CodeInvalid},
		{"Patient", "birthdate", "2026-13", fhir.CodeInvalid},
		{"Slot", "start", "2026-11-23T24:00:00Z", fhir.CodeInvalid},
		{"Slot", "start", "2026-11-23T09", fhir.CodeInvalid},
		{"Slot", "start", "2026-11-23T09:00:61Z", fhir.CodeInvalid},
		{"Slot", "start", "xx2026", fhir.CodeInvalid},
		{"Location", "near", "91|0|1|km", fhir.CodeInvalid},
		{"Location", "near", "1|181|1|km", fhir.CodeInvalid},
		{"Location", "near", "1|1|-5|km", fhir.CodeInvalid},
		{"Location", "near", "1|1|NaN|km", fhir.CodeInvalid},
		{"Location", "near", "1|1|5|parsec", fhir.CodeInvalid},
		{"Location", "near", "1", fhir.CodeInvalid},
		{"Patient", "name:exact:contains", "x", fhir.CodeNotSupported},
		{"Patient", "_text:missing", "true", fhir.CodeNotSupported},
		{"Patient", "_text", " . ", fhir.CodeInvalid},
		{"Patient", "_list", "$current-problems", fhir.CodeNotSupported},
		{"Slot", "schedule:below", "1", fhir.CodeNotSupported},
		{"Slot", "start:not", "2026", fhir.CodeNotSupported},
	} {
		_, err := Parse(c.typ, url.Values{c.key: {c.value}}, base)
		if fhir.CodeOf(err) != c.code || fhir.Status(err) != 400 {
			t.Errorf("%s?%s=%s: %v (%d), want %s", c.typ, printable(c.key), printable(c.value), err, fhir.Status(err), c.code)
		}
		if err != nil && (len(err.Error()) > 500 || !utf8.ValidString(err.Error())) {
			t.Errorf("%s?%s: the error is long or unreadable: %.200q", c.typ, printable(c.key), err)
		}
	}
	req, err := Parse("Patient", url.Values{"_count": {"1000000"}}, base)
	if err != nil || req.Query.Count > MaxCount {
		t.Errorf("a large _count: %d, %v", req.Query.Count, err)
	}
	heavy := url.Values{}
	for range 45 {
		heavy.Add("identifier", strings.TrimSuffix(strings.Repeat("x,", 200), ","))
	}
	if _, err := Parse("Patient", heavy, base); fhir.CodeOf(err) != fhir.CodeTooCostly || fhir.Status(err) != 400 {
		t.Errorf("9,000 values: %v", err)
	}
}

// The refusal of a modifier names those that there are.
func TestModifiersAreNamed(t *testing.T) {
	_, err := Parse("Patient", url.Values{"name:below": {"x"}}, base)
	if err == nil || !strings.Contains(err.Error(), "it has missing, exact, contains") {
		t.Error(err)
	}
}
