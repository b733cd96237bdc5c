package terminology_test

import (
	"reflect"
	"slices"
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

// The codes that R4 requires are the same in both indexes.
func TestRequiredCodesAreThoseOfPackageR4(t *testing.T) {
	s := service(t, terminology.Options{})
	checked := 0
	for vs := range s.ValueSets() {
		required, ok := r4.LookupValueSet(vs.URL)
		if !ok {
			continue
		}
		checked++
		set, err := s.Set(vs.URL)
		if err != nil || !set.Complete() {
			t.Errorf("%s: %v, complete %v", vs.URL, err, set.Complete())
			continue
		}
		var want, got []string
		for _, c := range required.Codes {
			want = append(want, c.System+"|"+c.Code)
		}
		for _, c := range set.Codings() {
			got = append(got, c.System+"|"+c.Code)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %d codes, want %d", vs.URL, len(got), len(want))
		}
	}
	if checked < 200 {
		t.Errorf("only %d value sets were compared", checked)
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
