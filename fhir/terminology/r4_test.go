package terminology_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

func service(t testing.TB, o terminology.Options) *terminology.Service {
	t.Helper()
	s, err := terminology.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the release holds, as counted in its files.
func TestAllOfTheReleaseIsThere(t *testing.T) {
	s := service(t, terminology.Options{})
	systems, concepts, sets, complete := 0, 0, 0, 0
	for cs := range s.CodeSystems() {
		systems++
		concepts += len(cs.Concepts)
		for _, c := range cs.Concepts {
			if found, ok := cs.Find(c.Code); !ok || found.Code != c.Code {
				t.Errorf("%s: %s is not found", cs.URL, c.Code)
			}
			for _, p := range c.Properties {
				if p.Type == "" || p.Value == "" {
					t.Errorf("%s: %s has a property %s of type %q, value %q", cs.URL, c.Code, p.Code, p.Type, p.Value)
				}
			}
		}
	}
	var open []string
	for vs := range s.ValueSets() {
		sets++
		set, err := s.Set(vs.URL)
		if err != nil {
			t.Errorf("%s: %v", vs.URL, err)
			continue
		}
		if set.Complete() {
			complete++
		} else {
			open = append(open, vs.URL)
		}
	}
	if systems != 1061 || concepts != 20724 || sets != 1315 {
		t.Errorf("%d code systems with %d concepts, %d value sets", systems, concepts, sets)
	}
	if complete != 1221 {
		t.Errorf("%d value sets are complete; not: %s", complete, strings.Join(open, "\n"))
	}
}

// Of the value sets that elements require, the codes of these few cannot be
// listed, and of no others.
func TestRequiredValueSetsThatCannotBeListed(t *testing.T) {
	s, missing, codes := terminology.R4(), map[string]bool{}, map[string]int{}
	var check func(*r4.Element)
	check = func(e *r4.Element) {
		if e.Binding != nil && e.Binding.Strength == "required" {
			url, _, _ := strings.Cut(e.Binding.ValueSet, "|")
			if set, err := s.Set(url); err == nil && set.Listed() {
				codes[url] = len(set.Codings())
			}
			missing[url] = codes[url] == 0
		}
		for _, c := range e.Children {
			check(c)
		}
	}
	for _, typ := range r4.Types() {
		check(typ.Root)
	}
	maps.DeleteFunc(missing, func(_ string, is bool) bool { return !is })
	want := map[string]bool{
		"http://hl7.org/fhir/ValueSet/currencies": true, "http://hl7.org/fhir/ValueSet/mimetypes": true,
		"http://hl7.org/fhir/ValueSet/ucum-units": true, "http://loinc.org/vs/LL379-9": true,
	}
	if !maps.Equal(missing, want) {
		t.Errorf("these cannot be listed: %v", missing)
	}
	sum := 0
	for _, n := range codes {
		sum += n
	}
	if len(codes) != 220 || sum != 2066 {
		t.Errorf("%d value sets with %d codes are required and listed", len(codes), sum)
	}
}

// A definition that is written as FHIR and read again says the same.
func TestDefinitionsSurviveTheirDocuments(t *testing.T) {
	s := service(t, terminology.Options{})
	for cs := range s.CodeSystems() {
		again, err := terminology.ReadCodeSystem(cs.Document())
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Concepts) != len(cs.Concepts) {
			t.Fatalf("%s: %d concepts, want %d", cs.URL, len(again.Concepts), len(cs.Concepts))
		}
		for i, c := range cs.Concepts {
			a := again.Concepts[i]
			if a.Code != c.Code || a.Display != c.Display || a.Definition != c.Definition || a.Abstract != c.Abstract || a.Inactive != c.Inactive ||
				!reflect.DeepEqual(a.Properties, c.Properties) || !reflect.DeepEqual(a.Designations, c.Designations) || len(a.Parents) != len(c.Parents) {
				t.Errorf("%s: %s became %+v", cs.URL, c.Code, a)
			}
		}
	}
	for vs := range s.ValueSets() {
		again, err := terminology.ReadValueSet(vs.Document())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, vs) {
			t.Errorf("%s became %+v", vs.URL, again)
		}
	}
}
