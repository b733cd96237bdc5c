package mycore

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Version is that of the published guide which the definitions follow.
const Version = "1.0.0"

type object = map[string]any

// Definitions gives MY Core as FHIR resources, made from the tables of this
// package: a CodeSystem and a ValueSet for each code system, a
// StructureDefinition for each profiled type and each extension. They are
// sorted by type and id, and the same in every call.
//
// A profile says what its rules say: occurrences and bindings as elements of
// the differential, and what only the record of a virtual consultation must
// have as constraints with keys vc-1 and so on.
var Definitions = sync.OnceValue(func() []*fhir.Document {
	var all []*fhir.Document
	add := func(o object) {
		doc, err := fhir.Parse(fhir.Marshal(o))
		if err != nil {
			panic("mycore: " + err.Error()) // the tables are this package's own
		}
		all = append(all, doc)
	}
	for _, system := range slices.Sorted(maps.Keys(codes())) {
		add(codeSystem(system))
		add(valueSet(system))
	}
	for _, typ := range slices.Sorted(maps.Keys(rules)) {
		add(profileOf(typ))
	}
	for _, x := range extensions {
		add(x.definition())
	}
	slices.SortFunc(all, func(a, b *fhir.Document) int {
		return cmp.Or(cmp.Compare(a.Type(), b.Type()), cmp.Compare(a.ID(), b.ID()))
	})
	return all
})

// described is what all definitions begin with.
func described(typ, url string, more object) object {
	id := path.Base(url)
	o := object{
		"resourceType": typ, "id": id, "url": url, "version": Version, "name": titled(id, ""), "title": titled(id, " "),
		"status": "active", "experimental": false, "publisher": "Jumpa, after the MY Core implementation guide",
	}
	maps.Copy(o, more)
	return o
}

// titled makes words of an id: "slot-quota-my-core" is "Slot Quota My Core".
func titled(id, between string) string {
	words := strings.Split(id, "-")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, between)
}

func codeSystem(system string) object {
	list := codes()[system]
	var concepts []object
	for _, code := range slices.Sorted(maps.Keys(list)) {
		concepts = append(concepts, object{"code": code, "display": list[code]})
	}
	return described("CodeSystem", system, object{
		"caseSensitive": true, "content": "complete", "count": len(concepts), "valueSet": valueSetOf(system), "concept": concepts,
	})
}

func valueSet(system string) object {
	return described("ValueSet", valueSetOf(system), object{"compose": object{"include": []object{{"system": system}}}})
}

// valueSetOf names the value set of all codes of a system.
func valueSetOf(system string) string {
	return strings.Replace(system, "/CodeSystem/", "/ValueSet/", 1)
}

// profileOf makes the profile of a type from its rules.
func profileOf(typ string) object {
	root := object{"id": typ, "path": typ}
	if list := constraints(typ); list != nil {
		root["constraint"] = list
	}
	elements := []object{root}
	at := map[string]object{}
	for _, r := range rules[typ] {
		if r.force == virtual {
			continue // a constraint
		}
		full := strings.Join(slices.DeleteFunc([]string{typ, r.within, r.path}, func(s string) bool { return s == "" }), ".")
		e := at[full]
		if e == nil {
			e = object{"id": full, "path": full}
			at[full] = e
			elements = append(elements, e)
		}
		if r.min > 0 {
			e["min"] = r.min
		}
		if r.max > 0 {
			e["max"] = fmt.Sprint(r.max)
		}
		if r.system != "" {
			e["binding"] = object{"strength": "required", "valueSet": valueSetOf(r.system)}
		}
	}
	slices.SortStableFunc(elements, func(a, b object) int {
		return slices.Compare(place(a["path"].(string)), place(b["path"].(string)))
	})
	return described("StructureDefinition", Profile(typ), object{
		"fhirVersion": "4.0.1", "kind": "resource", "abstract": false, "type": typ,
		"baseDefinition": "http://hl7.org/fhir/StructureDefinition/" + typ, "derivation": "constraint",
		"differential": object{"element": elements},
	})
}

// place is where an element stands in its type: the elements of a differential
// follow that order.
func place(path string) (at []int) {
	typ, rest, _ := strings.Cut(path, ".")
	t, _ := r4.LookupType(typ)
	element := t.Root
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, ".")
		children := element.Children
		if len(children) == 0 {
			inner, _ := r4.LookupType(element.Types[0].Code)
			children = inner.Root.Children
		}
		i := slices.IndexFunc(children, func(e *r4.Element) bool { return e.Name == name })
		at, element = append(at, i), children[i]
	}
	return at
}

// isVirtual is where IsVirtual finds the class, as FHIRPath.
var isVirtual = map[string]string{
	"Appointment": "serviceCategory.coding", "Schedule": "serviceCategory.coding", "Slot": "serviceCategory.coding", "Encounter": "class",
}

// constraints are what the record of a virtual consultation must have.
func constraints(typ string) (list []object) {
	where, ok := isVirtual[typ]
	if !ok {
		return nil
	}
	for _, r := range rules[typ] {
		if r.force != virtual {
			continue
		}
		claim, human := r.path+".exists()", "A virtual consultation has "+typ+"."+r.path+"."
		switch {
		case r.codes != nil:
			claim = fmt.Sprintf("%s.all($this in (%s))", r.path, quoted(r.codes))
			human = "In a virtual consultation " + typ + "." + r.path + " is one of " + strings.Join(r.codes, ", ") + "."
		case r.oneOf != nil:
			coding := r.path + ".coding"
			if r.path == "class" {
				coding = "class" // is a Coding itself
			}
			claim = fmt.Sprintf("%s.exists() implies %s.where(code in (%s)).exists()", r.path, coding, quoted(r.oneOf))
			human = cmp.Or(r.mend, "In a virtual consultation "+typ+"."+r.path+" has one of the codes "+strings.Join(r.oneOf, ", ")+".")
		case r.min == 0:
			continue
		}
		list = append(list, object{
			"key": fmt.Sprintf("vc-%d", len(list)+1), "severity": "error", "human": human,
			"expression": fmt.Sprintf("(%s.where(code = '%s') | serviceType.coding.where(code in (%s))).exists() implies (%s)",
				where, ClassVirtual, quoted(vcTypes), claim),
		})
	}
	return list
}

// quoted writes codes as a FHIRPath collection.
func quoted(list []string) string { return "'" + strings.Join(list, "' | '") + "'" }

// extension is one extension of MY Core. A value type of "" is one with parts.
type extension struct {
	url, on, value, system string
	parts                  []part
}

type part struct {
	name, value, system string
	min                 int
}

// extensions of the records of a virtual consultation.
var extensions = []extension{
	{url: ExtensionSlotQuota, on: "Slot", parts: []part{{name: "available", value: "integer"}, {name: "quota", value: "integer", min: 1}}},
	{url: ExtensionScheduleType, on: "Schedule", value: "CodeableConcept", system: SystemScheduleType},
	{url: ExtensionSimpleRegister, on: "Appointment", parts: []part{
		{name: "identifier", value: "string"}, {name: "name", value: "string"}, {name: "gender", value: "code"}, {name: "birthDate", value: "date"},
		{name: "telecom", value: "ContactDetail"}, {name: "age", value: "string"},
	}},
	{url: ExtensionEncounterOutcome, on: "Encounter", parts: []part{
		{name: "encounterOutcome", value: "CodeableConcept", system: SystemEncounterOutcome, min: 1}, {name: "outcomeReason", value: "CodeableConcept", system: SystemOutcomeReason},
	}},
	{url: ExtensionEncounterRating, on: "Encounter", parts: []part{
		{name: "rating", value: "CodeableConcept", system: SystemEncounterRating}, {name: "remark", value: "string"},
	}},
	{url: ExtensionPublicBooking, on: "HealthcareService", value: "boolean"},
	{url: ExtensionVisitType, on: "Encounter", value: "CodeableConcept", system: SystemVisitType},
}

// typed names an element value[x] that has one type.
func typed(id, at, value, system string) object {
	e := object{"id": id, "path": at, "type": []object{{"code": value}}}
	if system != "" {
		e["binding"] = object{"strength": "required", "valueSet": valueSetOf(system)}
	}
	return e
}

func (x extension) definition() object {
	elements := []object{{"id": "Extension", "path": "Extension"}}
	if x.value != "" {
		elements = append(elements,
			object{"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
			object{"id": "Extension.url", "path": "Extension.url", "fixedUri": x.url})
		value := typed("Extension.value[x]", "Extension.value[x]", x.value, x.system)
		value["min"] = 1
		elements = append(elements, value)
	} else {
		elements = append(elements, object{"id": "Extension.extension", "path": "Extension.extension", "slicing": object{
			"discriminator": []object{{"type": "value", "path": "url"}}, "rules": "open",
		}})
		for _, p := range x.parts {
			id := "Extension.extension:" + p.name
			slice := object{"id": id, "path": "Extension.extension", "sliceName": p.name, "min": p.min, "max": "1"}
			elements = append(elements, slice,
				object{"id": id + ".url", "path": "Extension.extension.url", "fixedUri": p.name},
				typed(id+".value[x]", "Extension.extension.value[x]", p.value, p.system))
		}
		elements = append(elements,
			object{"id": "Extension.url", "path": "Extension.url", "fixedUri": x.url},
			object{"id": "Extension.value[x]", "path": "Extension.value[x]", "max": "0"})
	}
	return described("StructureDefinition", x.url, object{
		"fhirVersion": "4.0.1", "kind": "complex-type", "abstract": false, "type": "Extension",
		"context":        []object{{"type": "element", "expression": x.on}},
		"baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension", "derivation": "constraint",
		"differential": object{"element": elements},
	})
}
