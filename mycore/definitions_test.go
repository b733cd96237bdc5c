package mycore

import (
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/fhir/validate"
)

// definition finds a definition by its URL, and its version where it has several.
func definition(t *testing.T, url string, version ...Line) *fhir.Document {
	t.Helper()
	for _, doc := range Definitions() {
		if doc.Get("url").Is(url) && (len(version) == 0 || doc.Get("version").Is(string(version[0]))) {
			return doc
		}
	}
	t.Fatalf("no definition of %s", url)
	return nil
}

func TestDefinitionsAreWhole(t *testing.T) {
	count := map[string]int{}
	urls, ids := map[string]bool{}, map[string]bool{}
	for _, doc := range Definitions() {
		count[doc.Type()]++
		url, version := doc.Get("url").String(), doc.Get("version").String()
		id := strings.TrimSuffix(doc.ID(), "-"+string(Line100))
		if urls[url+"|"+version] || ids[doc.Type()+"/"+doc.ID()] || !strings.HasSuffix(url, "/"+id) || !fhir.ValidID(doc.ID()) {
			t.Errorf("%s/%s has the url %q", doc.Type(), doc.ID(), url)
		}
		if !strings.HasPrefix(url, Root) && !strings.HasPrefix(url, own) {
			t.Errorf("%s is nobody's", url)
		}
		urls[url], urls[url+"|"+version], ids[doc.Type()+"/"+doc.ID()] = true, true, true
		if _, err := fhirxml.Encode(doc); err != nil {
			t.Errorf("%s is no R4: %v", url, err)
		}
	}
	if len(profiled) != 12 {
		t.Errorf("%d types have a profile, want twelve", len(profiled))
	}
	for typ := range profiled {
		for _, line := range Lines {
			if !urls[Profile(typ)+"|"+string(line)] {
				t.Errorf("%s has no profile in the line %s", typ, line)
			}
		}
	}
	if count["CodeSystem"] != len(codes()) || count["ValueSet"] <= len(codes()) {
		t.Errorf("there are %v", count)
	}
	for _, doc := range Definitions() {
		for n := range doc.All("differential.element.binding.valueSet") {
			if _, ofR4 := terminology.R4().ValueSet(n.String()); !urls[n.String()] && !ofR4 {
				t.Errorf("%s binds to %s, which is not there", doc.Get("url"), n)
			}
		}
		for _, path := range []string{"differential.element.type.profile", "differential.element.type.targetProfile", "baseDefinition"} {
			for n := range doc.All(path) {
				if r4.BaseOf(strings.TrimPrefix(n.String(), r4URL)) == "" && !urls[n.String()] {
					t.Errorf("%s names %s, which is not there", doc.Get("url"), n)
				}
			}
		}
	}
}

// Every profile can be used, nothing in it is passed over, and each is a good
// StructureDefinition itself.
func TestProfilesAreUsed(t *testing.T) {
	v := NewValidator(Line2024, validate.Options{})
	if list := v.Engine().Skipped(); len(list) > 0 {
		t.Errorf("not judged: %v", list)
	}
	for _, doc := range Definitions() {
		for _, issue := range v.Engine().Validate(t.Context(), doc) {
			t.Errorf("%s: %s", doc.ID(), issue.Diagnostics)
		}
	}
}

// The elements of a differential stand in the order of their type, as the
// specification wants it, and each is one of the type.
func TestDifferentialsFollowTheirType(t *testing.T) {
	for _, doc := range Definitions() {
		if doc.Type() != "StructureDefinition" {
			continue
		}
		var before []int
		seen := map[string]bool{}
		for e := range doc.All("differential.element") {
			id := e.Get("id").String()
			at := place(t, e.Get("path").String())
			if !strings.Contains(id, ":") {
				if slices.Compare(before, at) > 0 {
					t.Errorf("%s: %s stands too late", doc.ID(), id)
				}
				before = at
			}
			if seen[id] {
				t.Errorf("%s: %s stands twice", doc.ID(), id)
			}
			if colon := strings.LastIndexByte(id, ':'); colon > 0 {
				name, _, _ := strings.Cut(id[colon:], ".")
				if slice := id[:colon] + name; slice != id && !seen[slice] {
					t.Errorf("%s: %s stands before its slice", doc.ID(), id)
				}
			}
			seen[id] = true
		}
	}
}

// place is where an element stands in its type.
func place(t *testing.T, path string) (at []int) {
	typ, rest, _ := strings.Cut(path, ".")
	root, _ := r4.LookupType(typ)
	el := root.Root
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, ".")
		next, childTyp, ok := el.Content(typ).Child(name)
		if !ok {
			t.Fatalf("%s is no element", path)
		}
		at, el, typ = append(at, next.Position()), next, childTyp
	}
	return at
}

func TestRulesAreFHIRPath(t *testing.T) {
	found := 0
	for _, doc := range Definitions() {
		for c := range doc.All("differential.element.constraint") {
			found++
			if _, err := fhirpath.Compile(c.Get("expression").String()); err != nil {
				t.Errorf("%s, %s: %v", doc.ID(), c.Get("key"), err)
			}
			if !strings.HasPrefix(c.Get("key").String(), "hie-") {
				t.Errorf("%s, %s: whose rule is it?", doc.ID(), c.Get("key"))
			}
		}
	}
	if found == 0 {
		t.Error("there are no rules")
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

// Codes that profiles.txt names are codes of their system.
func TestValueSetsNameKnownCodes(t *testing.T) {
	named := 0
	for _, doc := range Definitions() {
		for in := range doc.All("compose.include") {
			system := in.Get("system").String()
			for c := range in.All("concept") {
				named++
				if Known(system) && !ValidCode(system, c.Get("code").String()) {
					t.Errorf("%s names %s", doc.ID(), c.Get("code"))
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d codes are named", named)
	}
}

// What the guide says of its two lines, where they differ.
func TestTheLinesDiffer(t *testing.T) {
	element := func(typ, id string, line Line) fhir.Node {
		for e := range definition(t, Profile(typ), line).All("differential.element") {
			if e.Get("id").Is(typ + "." + id) {
				return e
			}
		}
		return fhir.Node{}
	}
	for _, x := range []struct{ typ, id, what, old, new string }{
		{"Appointment", "appointmentType", "min", "", "1"},
		{"Appointment", "supportingInformation", "min", "1", ""},
		{"Appointment", "serviceCategory:encounterClass", "sliceName", "encounterClass", ""},
		{"Appointment", "specialty", "binding.strength", "required", ""},
		{"Appointment", "specialty.coding:specialty", "sliceName", "", "specialty"},
		{"Encounter", "identifier", "min", "1", ""},
		{"Encounter", "identifier:encounterNo", "min", "1", "0"},
		{"Encounter", "extension:vrStatus", "sliceName", "", "vrStatus"},
		{"Encounter", "extension:policeCase", "sliceName", "", "policeCase"},
		{"Encounter", "type.coding:service", "sliceName", "service", ""},
		{"Encounter", "type.coding:specialty", "sliceName", "", "specialty"},
		{"Patient", "identifier", "slicing.rules", "open", "closed"},
		{"Schedule", "extension:scheduleType", "min", "1", "1"},
		{"Slot", "schedule", "type.targetProfile", Profile("Schedule"), Profile("Schedule")},
	} {
		if got := element(x.typ, x.id, Line100).First(x.what).String(); got != x.old {
			t.Errorf("%s.%s in 1.0.0: %s is %q, want %q", x.typ, x.id, x.what, got, x.old)
		}
		if got := element(x.typ, x.id, Line2024).First(x.what).String(); got != x.new {
			t.Errorf("%s.%s in 2024: %s is %q, want %q", x.typ, x.id, x.what, got, x.new)
		}
	}
}

func TestFaultsInProfilesTextAreNamed(t *testing.T) {
	for _, text := range []string{
		"\tstatus\t1..1\n",
		"profile\n",
		"profile Slot\n\tstatus  sometimes\n",
		"profile Slot\n\tstatus  required\n",
		"profile Slot\n\t! hie-1 No expression\n",
	} {
		if _, err := readEntries(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
