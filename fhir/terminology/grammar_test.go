package terminology_test

import (
	"testing"

	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

// R4's own lists of countries and languages agree with the rules.
func TestListsOfTheReleaseFollowTheRules(t *testing.T) {
	s := service(t, terminology.Options{})
	for url, count := range map[string]int{"http://hl7.org/fhir/ValueSet/iso3166-1-2": 249, "http://hl7.org/fhir/ValueSet/languages": 56} {
		set, err := s.Set(url)
		if err != nil {
			t.Fatal(err)
		}
		codings := set.Codings()
		if len(codings) != count {
			t.Errorf("%s has %d codes, want %d", url, len(codings), count)
		}
		for _, c := range codings {
			cs, err := s.System(c.System, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cs.Concept(c.Code); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}

func TestRuledSystems(t *testing.T) {
	s := service(t, terminology.Options{})
	for _, c := range []struct {
		system, code string
		ok           bool
	}{
		{"urn:ietf:bcp:13", "image/svg+xml", true}, {"urn:ietf:bcp:13", "text/plain;charset=", false}, {"urn:ietf:bcp:13", "text", false}, {"urn:ietf:bcp:13", "text/", false},
		{"urn:ietf:bcp:47", "en-MY", true}, {"urn:ietf:bcp:47", "en_MY", false}, {"urn:ietf:bcp:47", "qq-XX", false}, {"urn:ietf:bcp:47", "", false},
		{"urn:iso:std:iso:3166", "MY", true}, {"urn:iso:std:iso:3166", "458", true}, {"urn:iso:std:iso:3166", "my", false}, {"urn:iso:std:iso:3166", "001", false}, {"urn:iso:std:iso:3166", "", false},
		{"urn:iso:std:iso:4217", "SGD", true}, {"urn:iso:std:iso:4217", "RM", false}, {"urn:iso:std:iso:4217", "", false},
	} {
		cs, err := s.System(c.system, "")
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Check(cs, terminology.Check{Codings: []terminology.Coding{{System: c.system, Code: c.code, Display: "any"}}})
		if err != nil || v.Result != c.ok {
			t.Errorf("%s %q: %+v, %v", c.system, c.code, v, err)
		}
	}
	set, err := s.Set("http://hl7.org/fhir/ValueSet/mimetypes")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := set.Check(terminology.Check{Codings: []terminology.Coding{{System: "urn:ietf:bcp:13", Code: "text/plain"}}}); err != nil || !v.Result || v.Coding.Code != "text/plain" {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := set.Check(terminology.Check{Codings: []terminology.Coding{{System: "urn:ietf:bcp:13", Code: "plain text"}}}); err != nil || v.Result {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := set.Expand(terminology.Page{}); err == nil {
		t.Error("all media types were listed")
	}
}
