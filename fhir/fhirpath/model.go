package fhirpath

import (
	_ "embed"
	"strings"
	"sync"
)

// Model is what the evaluation asks of FHIR's definitions. R4 is the one built
// in. A type is a type name (Patient, HumanName, code) or, for an anonymous
// element, its path (Patient.contact), whose supertype is BackboneElement or
// Element. A Model is used by many goroutines at once.
type Model interface {
	// Element gives what stands under a name in an object of the given type,
	// inherited elements included. For a choice element the name is without
	// [x]: value, not valueQuantity.
	Element(typ, name string) (Element, bool)
	// Super gives the type that typ specialises: "" for Element, Resource and
	// for types that the model does not know; then known is false.
	Super(typ string) (super string, known bool)
}

// Element is one element of a type: its Type, or the Choices when it is a
// choice element.
type Element struct {
	Type    string
	Choices []Choice
}

// Choice is one way to write a choice element: the type Quantity of value is
// the member valueQuantity, its id and extensions _valueQuantity.
type Choice struct{ Type, Name, Sibling string }

// Choices gives the choices of the element name[x].
func Choices(name string, types ...string) []Choice {
	cs := make([]Choice, len(types))
	for i, t := range types {
		full := name + strings.ToUpper(t[:1]) + t[1:]
		cs[i] = Choice{Type: t, Name: full, Sibling: "_" + full}
	}
	return cs
}

//go:generate go run ./internal/gen -from $R4_DEFINITIONS -to .

//go:embed r4.txt
var r4Text string

// R4 gives the built-in model of FHIR R4 (4.0.1).
func R4() Model { return r4() }

var r4 = sync.OnceValue(func() Model { return readModel(r4Text) })

type table map[string]*definition

type definition struct {
	super    string
	elements map[string]Element
}

// anyType are the types that an extension's value may have.
var anyType = strings.Fields(`base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid
	positiveInt string time unsignedInt uri url uuid Address Age Annotation Attachment CodeableConcept Coding ContactPoint
	Count Distance Duration HumanName Identifier Money Period Quantity Range Ratio Reference SampledData Signature Timing
	ContactDetail Contributor DataRequirement Expression ParameterDefinition RelatedArtifact TriggerDefinition UsageContext
	Dosage Meta`)

// readModel reads the lines that internal/gen writes: "Type<Supertype" opens a
// type, " name Type" and " name[x] Type|Type" are its elements, * any type.
func readModel(text string) table {
	m := table{}
	var at *definition
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		case l == "" || l[0] == '#':
		case l[0] != ' ':
			name, super, _ := strings.Cut(l, "<")
			at = &definition{super: super, elements: map[string]Element{}}
			m[name] = at
		default:
			name, typ, _ := strings.Cut(l[1:], " ")
			base, choice := strings.CutSuffix(name, "[x]")
			if !choice {
				at.elements[name] = Element{Type: typ}
				continue
			}
			types := anyType
			if typ != "*" {
				types = strings.Split(typ, "|")
			}
			at.elements[base] = Element{Choices: Choices(base, types...)}
		}
	}
	return m
}

func (m table) Element(typ, name string) (Element, bool) {
	for d := m[typ]; d != nil; d = m[d.super] {
		if e, ok := d.elements[name]; ok {
			return e, true
		}
	}
	return Element{}, false
}

func (m table) Super(typ string) (string, bool) {
	d, ok := m[typ]
	if !ok {
		return "", false
	}
	return d.super, true
}

// isA tells whether typ is name or specialises it.
func isA(m Model, typ, name string) bool {
	for range 16 { // no hierarchy is deeper; a circle in a foreign model ends
		if typ == name {
			return true
		}
		super, known := m.Super(typ)
		if !known || super == "" {
			return false
		}
		typ = super
	}
	return false
}

// nameOf gives the name by which type() calls a type: an anonymous element is
// called by its supertype.
func nameOf(m Model, typ string) string {
	if strings.Contains(typ, ".") {
		if super, ok := m.Super(typ); ok {
			return super
		}
	}
	return typ
}
