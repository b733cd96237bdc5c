package app

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/mycore"
)

func TestSearchTerms(t *testing.T) {
	s := searchTerms{mycore.Terms(), func() string { return "http://127.0.0.1/baseR4/" }}
	virtual := search.Coding{System: mycore.SystemServiceType, Code: "VCI"}
	for _, c := range []struct {
		valueSet string
		has      search.Coding
		count    int // -1: not asked
		complete bool
		want     fhir.Code
	}{
		{valueSet: mycore.Root + "ValueSet/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: mycore.Root + "Valueset/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: mycore.Root + "ValueSet/service-type-my-core|1.0.0", has: virtual, count: 16, complete: true},
		{valueSet: "ValueSet/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: "http://127.0.0.1/baseR4/ValueSet/service-type-my-core", has: virtual, count: 16, complete: true},
		{valueSet: "ValueSet/administrative-gender", has: search.Coding{System: "http://hl7.org/fhir/administrative-gender", Code: "other"}, count: 4, complete: true},
		{valueSet: "http://hl7.org/fhir/ValueSet/condition-code", has: search.Coding{System: "http://snomed.info/sct", Code: "160245001"}, count: -1},
		{valueSet: mycore.Root + "ValueSet/service-type-my-core|9", want: fhir.CodeNotFound},
		{valueSet: "http://example.org/none", want: fhir.CodeNotFound},
		{valueSet: "", want: fhir.CodeNotFound},
	} {
		codes, complete, err := s.Codes(c.valueSet)
		if c.want != "" {
			if err == nil || fhir.CodeOf(err) != c.want {
				t.Errorf("%s: %v, want %s", c.valueSet, err, c.want)
			}
			continue
		}
		if err != nil || complete != c.complete || c.count >= 0 && len(codes) != c.count || !slices.Contains(codes, c.has) {
			t.Errorf("%s: %d codes, complete %v, %v", c.valueSet, len(codes), complete, err)
		}
	}
	const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	for _, c := range []struct {
		system, code string
		below        bool
		want         []string // nil: not found
	}{
		{actCode, "IMP", true, []string{"IMP", "ACUTE", "NONAC"}},
		{actCode, "ACUTE", false, []string{"ACUTE", "IMP", "_ActEncounterCode", "_ActCareProvisionCode"}},
		{mycore.Root + "ValueSet/service-type-my-core", "VCI", true, []string{"VCI"}},
		{actCode, "none", true, nil},
		{"http://loinc.org", "8480-6", true, nil},
	} {
		list, err := s.Subtree(c.system, c.code, c.below)
		if c.want == nil {
			if err == nil || fhir.CodeOf(err) != fhir.CodeNotFound {
				t.Errorf("%s: %v", c.code, err)
			}
			continue
		}
		var codes []string
		for _, l := range list {
			codes = append(codes, l.Code)
		}
		if err != nil || !slices.Equal(codes, c.want) {
			t.Errorf("%s: %v %v, want %v", c.code, codes, err, c.want)
		}
	}
}

// Searches by value set and along hierarchies find records of the store.
func TestSearchByTerms(t *testing.T) {
	s := open(t, t.TempDir(), &clock{now: time.Date(2026, 11, 23, 9, 0, 0, 0, fhir.Malaysia)})
	operator := auth.Principal{Kind: auth.Operator, ID: "op"}
	const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	for id, coding := range map[string]string{
		"acute": `"system":"` + actCode + `","code":"ACUTE"`, "ambulatory": `"system":"` + actCode + `","code":"AMB"`,
		"female": `"system":"http://hl7.org/fhir/administrative-gender","code":"female"`, "individual": `"system":"` + mycore.SystemServiceType + `","code":"VCI"`,
		"variant": `"system":"` + mycore.Root + `Valueset/service-type-my-core","code":"VCE"`, "other": `"system":"http://example.org","code":"VCI"`,
	} {
		doc, err := fhir.Parse([]byte(`{"resourceType":"Basic","id":"` + id + `","code":{"coding":[{` + coding + `}]}}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.exchange.Put(t.Context(), operator, exchange.Write{Type: "Basic", ID: id, Doc: doc}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"code:in=" + mycore.Root + "ValueSet/service-type-my-core":       "individual variant",
		"code:in=" + mycore.Root + "Valueset/service-type-my-core|1.0.0": "individual variant",
		"code:in=ValueSet/administrative-gender":                         "female",
		"code:not-in=http://hl7.org/fhir/ValueSet/administrative-gender": "acute ambulatory individual other variant",
		"code:below=" + actCode + "|IMP":                                 "acute",
		"code:below=" + actCode + "|_ActEncounterCode":                   "acute ambulatory",
		"code:above=" + actCode + "|ACUTE":                               "acute",
		"code:below=" + mycore.SystemServiceType + "|VCI":                "individual",
		"code:in=http://hl7.org/fhir/ValueSet/condition-code":            "too-costly",
		"code:in=http://example.org/none":                                "not-found",
		"code:below=http://loinc.org|8480-6":                             "not-found",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		req, err := s.exchange.ParseSearch("Basic", values)
		if err != nil {
			if string(fhir.CodeOf(err)) != want {
				t.Errorf("%s: %v", query, err)
			}
			continue
		}
		found, err := s.exchange.Search(t.Context(), operator, req)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var ids []string
		for _, res := range found.Matches {
			ids = append(ids, res.ID)
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
