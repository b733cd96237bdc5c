package r4test

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

// Sound makes documents that are right but for the rules in FHIRPath, of which
// it knows nothing.
type Sound struct {
	*rand.Rand
	values int
}

// NewSound gives a Sound whose documents follow from the two numbers.
func NewSound(seed, sequence uint64) *Sound {
	return &Sound{Rand: rand.New(rand.NewPCG(seed, sequence))}
}

// Resource makes a document of a type, as deep as said, as an object for
// encoding/json.
func (m *Sound) Resource(typ string, depth int) map[string]any {
	t, _ := r4.LookupType(typ)
	o := m.object(t.Root, depth)
	o["resourceType"] = typ
	return o
}

func (m *Sound) object(c *r4.Element, depth int) map[string]any {
	o := map[string]any{}
	for _, el := range c.Children {
		switch {
		case el.Max == 0, el.Name == "contained", el.Name == "extension" && c.Path != "Extension", el.Name == "modifierExtension", el.Name == "id" && c.Path == "Extension":
			continue
		case c.Path == "Extension" && el.Name == "extension":
			continue
		case el.Min == 0 && (depth <= 0 || m.values > 300 || m.IntN(4) > 0) && !(c.Path == "Extension" && el.Choice):
			continue
		}
		typ, name := "", el.Name
		if len(el.Types) > 0 {
			t := el.Types[m.IntN(len(el.Types))]
			typ = t.Code
			if el.Choice {
				name += strings.ToUpper(typ[:1]) + typ[1:]
			}
		}
		if el.List() {
			list := []any{}
			for range 1 + m.IntN(2) + el.Min/2 {
				list = append(list, m.value(el, typ, depth-1))
			}
			o[name] = list
		} else {
			o[name] = m.value(el, typ, depth-1)
			if r4.IsPrimitive(typ) && typ != "xhtml" && m.IntN(12) == 0 && el.Name != "id" && !(c.Path == "Extension") {
				o["_"+name] = map[string]any{"extension": []any{map[string]any{"url": "http://hl7.org/fhir/StructureDefinition/x", "valueCode": "y"}}}
			}
		}
	}
	if _, _, ok := c.Child("extension"); ok && (len(o) == 0 || len(o) == 1 && o["id"] != nil) {
		o["extension"] = []any{map[string]any{"url": "http://hl7.org/fhir/StructureDefinition/x", "valueString": "y"}}
	}
	return o
}

func (m *Sound) value(el *r4.Element, typ string, depth int) any {
	m.values++
	switch same := el.Repeats(); {
	case same != nil:
		return m.object(same, depth-1)
	case len(el.Children) > 0:
		return m.object(el, depth)
	case typ == "Resource":
		return m.Resource("Basic", depth-2)
	case r4.IsPrimitive(typ):
		return m.primitive(el, typ)
	case typ == "Reference":
		return map[string]any{"reference": m.target(el) + "/" + strconv.Itoa(m.IntN(1000))}
	}
	if c, ok := m.code(el); ok {
		coding := map[string]any{"system": c.System, "code": c.Code}
		switch typ {
		case "CodeableConcept":
			return map[string]any{"coding": []any{coding}}
		case "Coding", "Quantity":
			return coding
		}
	}
	t, _ := r4.LookupType(typ)
	for _, ref := range el.Types {
		if ref.Code == typ && len(ref.Profiles) > 0 {
			if p, ok := r4.LookupType(ref.Profiles[0]); ok {
				t = p
			}
		}
	}
	return m.object(t.Root, depth)
}

// open has a code for value sets whose codes cannot be listed.
var open = map[string]terminology.Coding{
	"http://hl7.org/fhir/ValueSet/currencies":   {System: "urn:iso:std:iso:4217", Code: "MYR"},
	"http://hl7.org/fhir/ValueSet/jurisdiction": {System: "urn:iso:std:iso:3166", Code: "MY"},
	"http://hl7.org/fhir/ValueSet/mimetypes":    {System: "urn:ietf:bcp:13", Code: "text/plain"},
	"http://hl7.org/fhir/ValueSet/ucum-units":   {System: "http://unitsofmeasure.org", Code: "mg"},
}

// code picks a code of the value set that an element asks for.
func (m *Sound) code(el *r4.Element) (c terminology.Coding, ok bool) {
	if el.Binding == nil || el.Binding.Strength != "required" && el.Binding.Strength != "extensible" {
		return c, false
	}
	url, _, _ := strings.Cut(el.Binding.ValueSet, "|")
	if c, ok = open[url]; ok {
		return c, true
	}
	set, err := terminology.R4().Set(url)
	if err != nil || !set.Listed() {
		return c, false
	}
	codes := set.Codings()
	return codes[m.IntN(len(codes))], true
}

func (m *Sound) target(el *r4.Element) string {
	for _, t := range el.Types {
		if t.Code == "Reference" && len(t.Targets) > 0 {
			if target := t.Targets[m.IntN(len(t.Targets))]; r4.IsResource(target) {
				return target
			}
		}
	}
	return "Patient"
}

func (m *Sound) primitive(el *r4.Element, typ string) any {
	if typ == "code" || typ == "string" || typ == "uri" {
		if c, ok := m.code(el); ok {
			return c.Code
		}
	}
	pick := func(list ...any) any { return list[m.IntN(len(list))] }
	switch typ {
	case "boolean":
		return pick(true, false)
	case "integer":
		return pick(0, -1, 2147483647, -2147483648)
	case "positiveInt":
		return pick(1, 2147483647)
	case "unsignedInt":
		return pick(0, 2147483647)
	case "decimal":
		return pick(0.5, -1, 1e10, json.Number("1.00"), json.Number("-0.0300"))
	case "date":
		return pick("2026", "2026-11", "2024-02-29")
	case "dateTime":
		return pick("2026", "2026-11", "2026-11-23", "2026-11-23T09:00:00+08:00", "2016-12-31T23:59:60.123Z")
	case "instant":
		return pick("2026-11-23T09:00:00+08:00", "2026-11-23T09:00:00.1Z")
	case "time":
		return pick("00:00:00", "23:59:59.999")
	case "base64Binary":
		return pick("YQ==", "YWI=", "YWJj YWJj")
	case "id":
		return pick("a", "A-1.b")
	case "oid":
		return pick("urn:oid:2.16.840.1.113883", "urn:oid:1.3.6.1.4.1.2")
	case "uuid":
		return "urn:uuid:0b7c9a52-6f0e-4d6c-9a4e-3a1f5c2d7e88"
	case "canonical":
		return pick("http://example.org/a", "http://example.org/a|1.0", "#a")
	case "uri", "url":
		return pick("http://example.org/a", "urn:oid:2.16.840.1.113883", "relative/path")
	case "code":
		if el.Name == "language" {
			return pick("en", "en-US")
		}
		return pick("a", "a b")
	case "xhtml":
		return `<div xmlns="http://www.w3.org/1999/xhtml"><p>x</p></div>`
	}
	if el.Name == "id" {
		return pick("a", "b").(string) + "-" + strconv.Itoa(m.values)
	}
	return pick("x", "two words", "line\nline", "ünï")
}
