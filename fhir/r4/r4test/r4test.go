// Package r4test makes random documents for tests, of every resource type:
// those of a Maker have any element, type and value, with and without the
// companions of primitives, and are right in form alone; those of a Sound are
// right by the definitions of R4.
//
// It knows nothing of the rules in FHIRPath.
package r4test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Maker makes documents with any value in any place.
type Maker struct {
	*rand.Rand
	values int // how many values may still be made
	depth  int // of the resource at hand
}

// New gives a Maker whose documents follow from the two numbers. Together they
// have about so many values.
func New(seed, sequence uint64, values int) *Maker {
	return &Maker{rand.New(rand.NewPCG(seed, sequence)), values, 0}
}

// Resources gives the names of all resource types in order.
func Resources() []string {
	var names []string
	for _, typ := range r4.Types() {
		if r4.IsResource(typ.Name) {
			names = append(names, typ.Name)
		}
	}
	return names
}

// Resource makes a document of a type, as deep as said, as an object for
// encoding/json.
func (m *Maker) Resource(name string, depth int) map[string]any {
	t, _ := r4.LookupType(name)
	outer := m.depth
	m.depth = depth
	object := m.object(t.Root, depth)
	m.depth = outer
	object["resourceType"] = name
	object["id"] = "a1"
	delete(object, "_id")
	return object
}

func (m *Maker) object(content *r4.Element, depth int) map[string]any {
	object := map[string]any{}
	for _, el := range content.Children {
		// Half of a resource's elements, a few of those deeper down, and few
		// of those that every type has.
		often := 50
		if strings.Contains(el.Path, "xtension") || depth < m.depth {
			often = 15
		}
		if m.values <= 0 || m.IntN(100) >= often {
			continue
		}
		m.element(object, el, depth)
	}
	if len(object) == 0 {
		object["id"] = "only"
	}
	return object
}

func (m *Maker) element(object map[string]any, el *r4.Element, depth int) {
	name, typ := el.Name, ""
	if len(el.Types) > 0 {
		typ = el.Types[m.IntN(len(el.Types))].Code
	}
	if el.Choice {
		name += strings.ToUpper(typ[:1]) + typ[1:]
	}
	m.values--
	switch {
	case el.Attribute:
		object[name] = m.text()
	case typ == "xhtml":
		object[name] = m.div()
	case r4.IsPrimitive(typ):
		m.primitives(object, name, typ, el.List())
	case depth <= 0:
	case typ == "Resource":
		all := m.list(el, func() any { return m.Resource(m.resourceName(), depth-1) })
		object[name] = all
	default:
		object[name] = m.list(el, func() any { return m.object(el.Content(typ), depth-1) })
	}
}

func (m *Maker) resourceName() string {
	all := Resources()
	return all[m.IntN(len(all))]
}

func (m *Maker) list(el *r4.Element, one func() any) any {
	if !el.List() {
		return one()
	}
	var all []any
	for range 1 + m.IntN(3) {
		all = append(all, one())
	}
	return all
}

// primitives makes a value, a companion, or both, with nulls where one of two
// lists has a gap.
func (m *Maker) primitives(object map[string]any, name, typ string, list bool) {
	n := 1
	if list {
		n += m.IntN(3)
	}
	values, unders := make([]any, n), make([]any, n)
	haveValue, haveUnder := false, false
	for i := range n {
		kind := m.IntN(6)
		if kind != 0 {
			values[i], haveValue = m.value(typ), true
		}
		if kind <= 1 {
			unders[i], haveUnder = m.companion(), true
		}
	}
	if haveValue {
		object[name] = values
		if !list {
			object[name] = values[0]
		}
	}
	if haveUnder {
		object["_"+name] = unders
		if !list {
			object["_"+name] = unders[0]
		}
	}
}

func (m *Maker) companion() any {
	if m.IntN(2) == 0 {
		return map[string]any{"id": m.text()}
	}
	return map[string]any{"extension": []any{map[string]any{"url": "http://e/" + m.text(), "valueDecimal": m.value("decimal")}}}
}

func (m *Maker) value(typ string) any {
	switch typ {
	case "boolean":
		return m.IntN(2) == 0
	case "integer":
		return json.Number(fmt.Sprint(m.IntN(2000) - 1000))
	case "positiveInt", "unsignedInt":
		return json.Number(fmt.Sprint(m.IntN(1000)))
	case "decimal":
		return json.Number([]string{"0", "-0", "1.00", "101.68650", "0.10e1", "1E+400", "-2e-7", "12345678901234567890.000"}[m.IntN(8)])
	case "id":
		return "x-1"
	}
	return m.text()
}

func (m *Maker) text() string {
	letters := []rune("abcXYZ 09-./:&<>\"'\\\t\n\r;#é漢😀\u00a0\u2028]]>&amp;\ufffd")
	var b strings.Builder
	for range 1 + m.IntN(12) {
		b.WriteRune(letters[m.IntN(len(letters))])
	}
	return b.String()
}

func (m *Maker) div() string {
	b := `<div xmlns="http://www.w3.org/1999/xhtml" xml:lang='ms'>`
	for range m.IntN(4) {
		b += []string{"<p>é &amp; &lt;b&gt;</p>", "<br/>", "<!-- - -->", "\n\t <b >\"x'</b\n>", "<![CDATA[<&]]>", `<a href="?a=1&amp;b=2" title='"'>x</a>`, `<x:p xmlns:x="http://www.w3.org/1999/xhtml" x:a=""/>`}[m.IntN(7)]
	}
	return b + "</div>"
}
