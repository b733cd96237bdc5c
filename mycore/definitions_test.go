package mycore

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

func definition(t *testing.T, url string) *fhir.Document {
	t.Helper()
	for _, doc := range Definitions() {
		if doc.Get("url").Is(url) {
			return doc
		}
	}
	t.Fatalf("no definition of %s", url)
	return nil
}

func TestDefinitionsAreWhole(t *testing.T) {
	count := map[string]int{}
	urls := map[string]bool{}
	for _, doc := range Definitions() {
		count[doc.Type()]++
		url := doc.Get("url").String()
		if urls[url] || !strings.HasPrefix(url, Root) || !strings.HasSuffix(url, "/"+doc.ID()) || !fhir.ValidID(doc.ID()) {
			t.Errorf("%s/%s has the url %q", doc.Type(), doc.ID(), url)
		}
		urls[url] = true
		if _, err := fhirxml.Encode(doc); err != nil {
			t.Errorf("%s is no R4: %v", url, err)
		}
	}
	want := map[string]int{"CodeSystem": len(codes()), "ValueSet": len(codes()), "StructureDefinition": len(rules) + len(extensions)}
	for typ, n := range want {
		if count[typ] != n {
			t.Errorf("%d of %s, want %d", count[typ], typ, n)
		}
	}
	for _, doc := range Definitions() {
		for n := range doc.All("differential.element.binding.valueSet") {
			if !urls[n.String()] {
				t.Errorf("%s binds to %s, which is not there", doc.Get("url"), n)
			}
		}
	}
}

// The elements of a differential stand in the order of their type, as the
// specification wants it, and each is one of the type.
func TestDifferentialsFollowTheirType(t *testing.T) {
	for typ := range rules {
		doc := definition(t, Profile(typ))
		var before []int
		for e := range doc.All("differential.element") {
			at := place(e.Get("path").String())
			if slices.Compare(before, at) > 0 {
				t.Errorf("%s stands too late", e.Get("path"))
			}
			before = at
		}
	}
}

func TestCodeSystemsHoldTheirCodes(t *testing.T) {
	for system, list := range codes() {
		doc := definition(t, system)
		n := 0
		for c := range doc.All("concept") {
			n++
			if list[c.Get("code").String()] != c.Get("display").String() {
				t.Errorf("%s|%s is %q", system, c.Get("code"), c.Get("display"))
			}
		}
		if n != len(list) {
			t.Errorf("%s has %d codes, want %d", system, n, len(list))
		}
		if got := definition(t, valueSetOf(system)).Get("compose.include.system").String(); got != system {
			t.Errorf("the value set of %s includes %s", system, got)
		}
	}
}

func goodVirtual(t *testing.T, typ string) *fhir.Document {
	t.Helper()
	raw, err := os.ReadFile("testdata/good/" + strings.ToLower(typ) + "-vci.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := fhir.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The constraints of a profile and the rules that they were made from agree on
// every good record and on every one that lacks something.
func TestConstraintsAgreeWithRules(t *testing.T) {
	checked := 0
	for typ := range isVirtual {
		constraints := map[string]*fhirpath.Expression{}
		for c := range definition(t, Profile(typ)).All("differential.element.constraint") {
			e, err := fhirpath.Compile(c.Get("expression").String())
			if err != nil {
				t.Fatalf("%s: %v", c.Get("expression"), err)
			}
			constraints[c.Get("key").String()] = e
		}
		if len(constraints) < 4 {
			t.Errorf("%s has %d constraints", typ, len(constraints))
		}
		good := goodVirtual(t, typ)
		failed := func(doc *fhir.Document) (keys []string) {
			for key, e := range constraints {
				out, err := e.Evaluate(t.Context(), doc.Root(), fhirpath.Options{})
				if err != nil {
					t.Fatalf("%s %s: %v", typ, key, err)
				}
				if ok, _ := out.Bool(); !ok {
					keys = append(keys, key)
				}
			}
			return keys
		}
		if keys := failed(good); keys != nil {
			t.Errorf("the good %s breaks %v", typ, keys)
		}
		for _, r := range rules[typ] {
			if r.force != virtual || r.codes != nil || strings.Contains(r.path, ".") || r.path == "class" {
				continue // R4 itself wants a class
			}
			broken, err := good.With(fhir.Remove(r.path))
			if err != nil {
				t.Fatal(err)
			}
			byRules := Validate(broken, Lenient).Err() != nil
			if keys := failed(broken); byRules != (keys != nil) {
				t.Errorf("%s without %s: the rules refuse it: %v; the constraints that fail: %v", typ, r.path, byRules, keys)
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("only %d records were compared", checked)
	}
}

func TestExtensionsAreOnTheirTypes(t *testing.T) {
	for _, x := range extensions {
		if _, ok := r4.LookupType(x.on); !ok {
			t.Errorf("%s is on %s, which is no type", x.url, x.on)
		}
		for _, p := range append([]part{{value: x.value}}, x.parts...) {
			if _, ok := r4.LookupType(p.value); !ok && p.value != "" {
				t.Errorf("%s has a value of type %s", x.url, p.value)
			}
		}
	}
}
