package r4

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The counts are those of the release's own files.
func TestIndexHoldsTheWholeRelease(t *testing.T) {
	got := map[string]int{}
	for _, typ := range Types() {
		got[map[Kind]string{Resource: "resource types", Complex: "complex types", Primitive: "primitive types"}[typ.Kind]]++
		if typ.Abstract {
			got["abstract types"]++
		}
		if IsResource(typ.Name) {
			got["resource types of documents"]++
		}
		each(typ.Root, func(e *Element) {
			got["elements"]++
			got["types of elements"] += len(e.Types)
			got["constraints"] += len(e.Constraints)
			for _, r := range e.Types {
				got["targets"] += len(r.Targets)
			}
			for what, is := range map[string]bool{
				"choices": e.Choice, "content references": e.Repeats() != nil, "modifiers": e.Modifier,
				"summary elements": e.Summary, "bindings": e.Binding != nil,
			} {
				if is {
					got[what]++
				}
			}
		})
	}
	got["search parameters"] = len(searches().byURL)
	got["compartments"] = len(Compartments())
	for _, c := range Compartments() {
		got["members of compartments"] += len(c.Members)
	}
	want := map[string]int{
		"compartments": 5, "members of compartments": 214,
		"resource types": 148, "complex types": 43, "primitive types": 20, "abstract types": 4,
		"resource types of documents": 146, "elements": 7691, "types of elements": 8226, "targets": 1631,
		"constraints": 8944, "choices": 186, "content references": 55, "modifiers": 905, "summary elements": 3276,
		"bindings": 1160, "search parameters": 1377,
	}
	for what, n := range want {
		if got[what] != n {
			t.Errorf("%d %s, want %d", got[what], what, n)
		}
	}
}

func each(e *Element, visit func(*Element)) {
	visit(e)
	for _, c := range e.Children {
		each(c, visit)
	}
}

func TestEveryNameInTheIndexLeadsSomewhere(t *testing.T) {
	for _, typ := range Types() {
		if typ.Base != "" {
			if _, ok := LookupType(typ.Base); !ok {
				t.Errorf("%s is made from the unknown %s", typ.Name, typ.Base)
			}
		}
		if _, err := regexp.Compile("^(?:" + typ.Pattern + ")$"); err != nil {
			t.Errorf("%s: %v", typ.Name, err)
		}
		each(typ.Root, func(e *Element) {
			names := map[string]bool{}
			for i, c := range e.Children {
				if names[c.Name] || c.Position() != i {
					t.Errorf("%s stands twice, or at %d instead of %d", c.Path, c.Position(), i)
				}
				names[c.Name] = true
			}
			if (len(e.Types) == 0) != (e == typ.Root || e.Repeats() != nil) {
				t.Errorf("%s has %d types", e.Path, len(e.Types))
			}
			for _, r := range e.Types {
				if _, ok := LookupType(r.Code); !ok {
					t.Errorf("%s has the unknown type %q", e.Path, r.Code)
				}
				for _, name := range slices.Concat(r.Targets, r.Profiles) {
					if _, ok := LookupType(name); !ok {
						t.Errorf("%s names the unknown %q", e.Path, name)
					}
				}
			}
			for _, c := range e.Constraints {
				if c.Key == "" || c.Human == "" || c.Severity != "error" && c.Severity != "warning" {
					t.Errorf("%s: odd constraint %+v", e.Path, *c)
				}
			}
			if b := e.Binding; b != nil {
				if !slices.Contains([]string{"required", "extensible", "preferred", "example"}, b.Strength) || !strings.HasPrefix(b.ValueSet, "http://") {
					t.Errorf("%s: odd binding %+v", e.Path, *b)
				}
			}
		})
	}
	for url, p := range searches().byURL {
		for _, name := range slices.Concat(p.Base, p.Targets) {
			if typ, ok := LookupType(name); !ok || typ.Kind != Resource {
				t.Errorf("%s names the unknown %q", url, name)
			}
		}
		for _, c := range p.Components {
			if _, ok := SearchParameterByURL(c.Definition); !ok || c.Expression == "" {
				t.Errorf("%s: odd component %+v", url, c)
			}
		}
	}
}

// Every path at the beginning of a search expression exists, so that the
// parameters and the structures are those of one release.
func TestSearchExpressionsNameElementsThatExist(t *testing.T) {
	path := regexp.MustCompile(`(?:^|[|(]\s*|\s)([A-Z][A-Za-z]+)((?:\.[a-z][A-Za-z]*\b)+)(\(?)`)
	checked := 0
	for url, p := range searches().byURL {
		for _, m := range path.FindAllStringSubmatch(p.Expression, -1) {
			typ, ok := LookupType(m[1])
			if !ok {
				t.Errorf("%s: %s has the unknown type %s", url, p.Expression, m[1])
				continue
			}
			steps := strings.Split(m[2][1:], ".")
			if m[3] == "(" {
				steps = steps[:len(steps)-1] // a function
			}
			for len(steps) > 0 {
				el, next, ok := typ.Element(steps[0])
				if !ok {
					t.Errorf("%s: %s: %s has no %s", url, p.Expression, typ.Name, steps[0])
					break
				}
				content := el.Content(next)
				if content == nil {
					break // a choice: the expression says which by a function
				}
				typ = &Type{Name: el.Path, Root: content}
				steps = steps[1:]
				checked++
			}
		}
	}
	if checked < 1500 {
		t.Errorf("only %d steps were checked", checked)
	}
}

func TestElementFindsByThePathOfTheDocument(t *testing.T) {
	for _, c := range []struct{ typ, path, element, is string }{
		{"Patient", "birthDate", "Patient.birthDate", "date"},
		{"Patient", "contact.name", "Patient.contact.name", "HumanName"},
		{"Patient", "deceasedBoolean", "Patient.deceased[x]", "boolean"},
		{"Patient", "deceasedDateTime", "Patient.deceased[x]", "dateTime"},
		{"Patient", "deceased", "Patient.deceased[x]", ""},
		{"Patient", "deceased[x]", "Patient.deceased[x]", ""},
		{"Observation", "valueQuantity", "Observation.value[x]", "Quantity"},
		{"Observation", "component.valueCodeableConcept", "Observation.component.value[x]", "CodeableConcept"},
		{"Observation", "component.referenceRange.low", "Observation.referenceRange.low", "Quantity"},
		{"Bundle", "entry.link.url", "Bundle.link.url", "uri"},
		{"Bundle", "entry.resource", "Bundle.entry.resource", "Resource"},
		{"Parameters", "parameter.part.part.part.valueUrl", "Parameters.parameter.value[x]", "url"},
		{"Extension", "url", "Extension.url", "uri"},
		{"Extension", "valueMeta", "Extension.value[x]", "Meta"},
		{"Encounter", "id", "Encounter.id", "string"},
		{"Encounter", "contained", "Encounter.contained", "Resource"},
		{"Narrative", "div", "Narrative.div", "xhtml"},
		{"dateTime", "value", "dateTime.value", "dateTime"},
		{"SimpleQuantity", "comparator", "Quantity.comparator", "code"},

		{"Patient", "name.family", "HumanName.family", "string"},
		{"Bundle", "entry.resource.id", "Resource.id", "string"},

		{"Patient", "deceasedString", "", ""},
		{"Patient", "contact.nope", "", ""},
		{"Patient", "birthDate.x", "", ""},
		{"Patient", "", "", ""},
		{"Patient", "project", "", ""},
		{"Meta", "project", "", ""}, // Medplum's own
	} {
		typ, ok := LookupType(c.typ)
		if !ok {
			t.Fatalf("%s is unknown", c.typ)
		}
		el, is, ok := typ.Element(c.path)
		if ok != (c.element != "") || is != c.is || ok && el.Path != c.element {
			t.Errorf("%s %q: got %v %q %v, want %s %q", c.typ, c.path, el, is, ok, c.element, c.is)
		}
	}
	if _, ok := LookupType("SubscriptionStatus"); ok {
		t.Error("SubscriptionStatus is of R4B, not of R4")
	}
	if _, ok := LookupType("MetadataResource"); ok {
		t.Error("MetadataResource is a logical type")
	}
}

func TestFactsOfAnElement(t *testing.T) {
	typ, _ := LookupType("Appointment")
	status, _, _ := typ.Element("status")
	if status.Min != 1 || status.Max != 1 || status.List() || !status.Modifier || !status.Summary {
		t.Errorf("status: %+v", status)
	}
	if b := status.Binding; b == nil || b.Strength != "required" || b.ValueSet != "http://hl7.org/fhir/ValueSet/appointmentstatus" {
		t.Errorf("status: %+v", b)
	}
	participant, _, _ := typ.Element("participant")
	if participant.Min != 1 || participant.Max != Unbounded || !participant.List() || participant.Types[0].Code != "BackboneElement" {
		t.Errorf("participant: %+v", participant)
	}
	if key(participant, "app-1") == nil || key(participant, "ele-1") == nil {
		t.Errorf("participant: constraints %v", participant.Constraints)
	}
	actor, _, _ := typ.Element("participant.actor")
	if want := []string{"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Device", "HealthcareService", "Location"}; !slices.Equal(actor.Types[0].Targets, want) {
		t.Errorf("actor: targets %v", actor.Types[0].Targets)
	}
	if c := key(typ.Root, "app-4"); c == nil || !strings.Contains(c.Expression, "'noshow'") || strings.Contains(c.Expression, "'no-show'") {
		t.Errorf("app-4 is not corrected: %+v", c)
	}
	dom6 := key(typ.Root, "dom-6")
	if dom6 == nil || dom6.Severity != "warning" || dom6.Expression != "text.`div`.exists()" || dom6.Human != "A resource should have narrative for robust management" {
		t.Errorf("dom-6: %+v", dom6)
	}
	encounter, _ := LookupType("Encounter")
	if key(encounter.Root, "dom-6") != dom6 {
		t.Error("the same constraint is stored twice")
	}

	extension, _ := LookupType("Extension")
	url, _, _ := extension.Element("url")
	value, _, _ := extension.Element("value[x]")
	if !url.Attribute || url.Min != 1 || value.Attribute || !value.Choice || len(value.Types) != 50 {
		t.Errorf("Extension: %+v %+v", url, value)
	}
	quantity, _ := LookupType("Range")
	low, _, _ := quantity.Element("low")
	if !slices.Equal(low.Types[0].Profiles, []string{"SimpleQuantity"}) || low.Types[0].Code != "Quantity" {
		t.Errorf("Range.low: %+v", low.Types)
	}
	if simple, _ := LookupType("SimpleQuantity"); !simple.Profile || simple.Base != "Quantity" {
		t.Errorf("SimpleQuantity: %+v", simple)
	} else if c, _, _ := simple.Element("comparator"); c.Max != 0 {
		t.Errorf("SimpleQuantity.comparator: %+v", c)
	}
	order := func(name string, n int) (names []string) {
		typ, _ := LookupType(name)
		for _, c := range typ.Root.Children[:n] {
			names = append(names, c.Name)
		}
		return names
	}
	if got := strings.Join(order("Slot", 12), " "); got != "id meta implicitRules language text contained extension modifierExtension identifier serviceCategory serviceType specialty" {
		t.Errorf("Slot: %s", got)
	}
	link, _ := LookupType("Bundle")
	entryLink, _, _ := link.Element("entry.link")
	if entryLink.Repeats() == nil || entryLink.Repeats().Path != "Bundle.link" {
		t.Errorf("Bundle.entry.link repeats %v", entryLink.Repeats())
	}
}

func key(e *Element, k string) *Constraint {
	for _, c := range e.Constraints {
		if c.Key == k {
			return c
		}
	}
	return nil
}

func TestFactsOfATypeName(t *testing.T) {
	for _, c := range []struct {
		name                string
		resource, primitive bool
		base                string
	}{
		{"Patient", true, false, "DomainResource"},
		{"Bundle", true, false, "Resource"},
		{"DomainResource", false, false, "Resource"},
		{"Resource", false, false, ""},
		{"HumanName", false, false, "Element"},
		{"Age", false, false, "Quantity"},
		{"Timing", false, false, "BackboneElement"},
		{"code", false, true, "string"},
		{"positiveInt", false, true, "integer"},
		{"xhtml", false, true, "Element"},
		{"Nope", false, false, ""},
		{"", false, false, ""},
	} {
		if IsResource(c.name) != c.resource || IsPrimitive(c.name) != c.primitive || BaseOf(c.name) != c.base {
			t.Errorf("%s: %v %v %q", c.name, IsResource(c.name), IsPrimitive(c.name), BaseOf(c.name))
		}
	}
	for _, c := range []struct {
		name, base string
		want       bool
	}{
		{"Patient", "Resource", true}, {"Patient", "Patient", true}, {"id", "string", true},
		{"unsignedInt", "integer", true}, {"string", "id", false}, {"HumanName", "Resource", false}, {"", "", false},
	} {
		if Is(c.name, c.base) != c.want {
			t.Errorf("Is(%q, %q) is not %v", c.name, c.base, c.want)
		}
	}
}

func TestPatternsJudgePrimitives(t *testing.T) {
	for _, c := range []struct {
		typ, text string
		want      bool
	}{
		{"date", "2026-02", true}, {"date", "2026-2", false}, {"id", "a.b-1", true}, {"id", "a b", false},
		{"instant", "2026-02-01T10:00:00Z", true}, {"instant", "2026-02-01", false}, {"decimal", "1.00", true},
		{"decimal", ".5", false}, {"code", "a b", true}, {"code", " a", false}, {"boolean", "TRUE", false},
		{"uuid", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", true}, {"positiveInt", "0", false},
	} {
		typ, _ := LookupType(c.typ)
		if got := regexp.MustCompile("^(?:" + typ.Pattern + ")$").MatchString(c.text); got != c.want {
			t.Errorf("%s %q: %v", c.typ, c.text, got)
		}
	}
}

func TestSearchParametersOfAType(t *testing.T) {
	for typ, own := range map[string]int{"Appointment": 17, "Encounter": 23, "Schedule": 7, "Slot": 8, "Patient": 23, "Practitioner": 17} {
		const all = 9 // eight of Resource and _text of DomainResource
		got := SearchParameters(typ)
		if len(got) != own+all {
			t.Errorf("%s has %d search parameters, want %d", typ, len(got), own+all)
		}
		if !slices.IsSortedFunc(got, func(a, b *SearchParameter) int { return strings.Compare(a.Code, b.Code) }) {
			t.Errorf("%s: not in order", typ)
		}
	}
	for _, typ := range Types() {
		if IsResource(typ.Name) && len(SearchParameters(typ.Name)) < 8 || typ.Kind != Resource && SearchParameters(typ.Name) != nil {
			t.Errorf("%s has %d search parameters", typ.Name, len(SearchParameters(typ.Name)))
		}
	}
	p, ok := LookupSearchParameter("Appointment", "patient")
	if !ok || p.Type != "reference" || p.Expression != "Appointment.participant.actor.where(resolve() is Patient)" || !slices.Equal(p.Targets, []string{"Patient"}) {
		t.Errorf("Appointment patient: %+v", p)
	}
	if p, ok := LookupSearchParameter("Encounter", "date"); !ok || p.URL != "http://hl7.org/fhir/SearchParameter/clinical-date" ||
		!slices.Contains(p.Base, "Observation") || !slices.Equal(p.Comparators, []string{"eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"}) {
		t.Errorf("Encounter date: %+v", p)
	}
	if p, ok := LookupSearchParameter("Slot", "_lastUpdated"); !ok || p.Type != "date" || p.Expression != "Resource.meta.lastUpdated" {
		t.Errorf("Slot _lastUpdated: %+v", p)
	}
	if p, ok := LookupSearchParameter("Binary", "_text"); ok {
		t.Errorf("Binary has no narrative: %+v", p)
	}
	p, ok = LookupSearchParameter("Observation", "combo-code-value-quantity")
	if !ok || p.Type != "composite" || !slices.Equal(p.Components, []Component{
		{"http://hl7.org/fhir/SearchParameter/Observation-combo-code", "code"},
		{"http://hl7.org/fhir/SearchParameter/Observation-combo-value-quantity", "value.as(Quantity)"},
	}) {
		t.Errorf("combo-code-value-quantity: %+v", p)
	}
	if _, ok := LookupSearchParameter("DeviceDefinition", "classification"); ok {
		t.Error("DeviceDefinition classification is not of R4")
	}
}

func TestFirstQuestionsMayComeAtOnce(t *testing.T) {
	defer func(a func() map[string]*Type, b func() *searchIndex) { types, searches = a, b }(types, searches)
	types = sync.OnceValue(func() map[string]*Type { return parseTypes(typesText) })
	searches = sync.OnceValue(func() *searchIndex { return parseSearch(searchText) })

	var wait sync.WaitGroup
	start := make(chan struct{})
	found := make([]*Element, 32)
	for i := range found {
		wait.Go(func() {
			<-start
			if _, ok := LookupSearchParameter("Patient", "birthdate"); !ok {
				t.Error("Patient has no birthdate parameter")
			}
			typ, _ := LookupType("Patient")
			found[i], _, _ = typ.Element("contact.gender")
		})
	}
	close(start)
	wait.Wait()
	for _, e := range found {
		if e == nil || e != found[0] {
			t.Fatal("the index was read more than once, or not to its end")
		}
	}
}

// Members of a compartment are named by search parameters that exist.
func TestCompartments(t *testing.T) {
	for _, c := range Compartments() {
		if !IsResource(c.Code) || !strings.HasPrefix(c.URL, "http://hl7.org/fhir/CompartmentDefinition/") {
			t.Errorf("%+v", c)
		}
		for _, m := range c.Members {
			for _, code := range m.Params {
				p, ok := LookupSearchParameter(m.Type, code)
				if code != Itself && (!ok || p.Type != "reference" && p.Type != "uri") {
					t.Errorf("%s: %s has no reference %s", c.Code, m.Type, code)
				}
			}
		}
	}
	patient, _ := LookupCompartment("Patient")
	for typ, want := range map[string]string{"Appointment": "actor", "Communication": "subject,sender,recipient", "Slot": "", "Patient": "link"} {
		if got := strings.Join(patient.Params(typ), ","); got != want {
			t.Errorf("%s belongs to a patient by %q, want %q", typ, got, want)
		}
	}
	if _, ok := LookupCompartment("Organization"); ok {
		t.Error("there is a compartment of Organization")
	}
}

// Every element has a text, its own or that of the base type that it repeats,
// and every modifier says why it is one.
func TestTextsOfElements(t *testing.T) {
	bases := []string{"Resource", "DomainResource", "Element", "BackboneElement", "Quantity"}
	var check func(typ *Type, e *Element)
	check = func(typ *Type, e *Element) {
		text, ok := LookupText(typ.Name + strings.TrimPrefix(e.Path, typ.Root.Path))
		for i := 0; !ok && i < len(bases); i++ {
			text, ok = LookupText(bases[i] + e.Path[strings.LastIndex(e.Path, "."):])
		}
		if !ok || text.Short == "" || (text.Modifier != "") != e.Modifier {
			t.Errorf("%s of %s: %+v", e.Path, typ.Name, text)
		}
		for _, c := range e.Children {
			check(typ, c)
		}
	}
	for _, typ := range Types() {
		check(typ, typ.Root)
	}
	for path, want := range map[string]string{"Patient": "Information about an individual or animal receiving health care services", "Patient.contact.name": "A name associated with the contact person"} {
		if text, _ := LookupText(path); text.Short != want {
			t.Errorf("%s: %q", path, text.Short)
		}
	}
}

// The whole index stays far below the 40 MB that a small machine can spare.
func TestIndexIsSmall(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a, b := parseTypes(typesText), parseSearch(searchText)
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("the index takes %d KB", kept/1024)
	if kept > 20<<20 {
		t.Errorf("the index takes %d bytes", kept)
	}
	if len(typesText)+len(searchText) > 1<<20 {
		t.Error("the files are larger than 1 MB")
	}
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
}

func BenchmarkLoad(b *testing.B) {
	for name, load := range map[string]func(){
		"types":  func() { parseTypes(typesText) },
		"search": func() { parseSearch(searchText) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			types()
			for b.Loop() {
				load()
			}
		})
	}
}

func BenchmarkElement(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		t, _ := LookupType("Observation")
		if _, typ, _ := t.Element("component.valueQuantity"); typ != "Quantity" {
			b.Fatal(typ)
		}
	}
}
