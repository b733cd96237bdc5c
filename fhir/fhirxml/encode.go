package fhirxml

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Encode gives the document as FHIR XML. A document that XML cannot carry is
// refused with an fhir.Error (406: the reader may ask for JSON) that names the
// element.
func Encode(doc *fhir.Document) ([]byte, error) {
	e := encoder{out: make([]byte, 0, 2*len(doc.Bytes())+128)}
	e.out = append(e.out, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"...)
	if err := e.resource(doc.Root(), ` xmlns="`+nsFHIR+`"`); err != nil {
		return nil, err
	}
	return e.out, nil
}

// encoder writes the XML of a document.
type encoder struct {
	out   []byte
	slots []slot // of the objects around, the innermost last
}

// slot is an element of an object: its value and what stands under its name
// with an underscore.
type slot struct {
	name         string
	el           *r4.Element
	typ          string
	value, under fhir.Node
}

func fail(code fhir.Code, n fhir.Node, format string, args ...any) error {
	return fhir.Errorf(code, n.Path(), format, args...).WithStatus(http.StatusNotAcceptable)
}

func (e *encoder) resource(n fhir.Node, namespace string) error {
	name := n.Get("resourceType").String()
	if n.Kind() != fhir.Object || n.Get("resourceType").Kind() != fhir.String || !r4.IsResource(name) {
		return fail(fhir.CodeStructure, n, "This is not a resource of FHIR R4; it can be read as JSON only.")
	}
	t, _ := r4.LookupType(name)
	e.out = append(append(append(e.out, '<'), name...), namespace...)
	_, err := e.content(n, t.Root, name, true)
	return err
}

// content writes what follows on the name in a start tag: the attributes and
// children that the object n holds, and the end tag. any tells whether there
// was one. n may be missing.
func (e *encoder) content(n fhir.Node, content *r4.Element, name string, resource bool) (any bool, err error) {
	mine := len(e.slots)
	defer func() { e.slots = e.slots[:mine] }()
	for m := range n.Children() {
		if resource && m.Name() == "resourceType" {
			continue
		}
		if err := e.slot(m, content, mine); err != nil {
			return false, err
		}
	}
	slices.SortStableFunc(e.slots[mine:], func(a, b slot) int { return a.el.Position() - b.el.Position() })
	for i := mine; i < len(e.slots); i++ {
		s := e.slots[i]
		if !s.el.Attribute || s.value.Kind() == fhir.Null {
			continue
		}
		if err := e.attribute(s.name, s.value, s.typ); err != nil {
			return false, err
		}
		any = true
	}
	e.out = append(e.out, '>')
	start := len(e.out)
	for i := mine; i < len(e.slots); i++ {
		if s := e.slots[i]; !s.el.Attribute {
			if err := e.write(s); err != nil {
				return false, err
			}
		}
	}
	if len(e.out) == start {
		e.out = append(e.out[:start-1], '/', '>')
		return any, nil
	}
	e.out = append(append(append(e.out, '<', '/'), name...), '>')
	return true, nil
}

// slot takes up one member of an object.
func (e *encoder) slot(m fhir.Node, content *r4.Element, mine int) error {
	name := m.Name()
	plain, under := strings.CutPrefix(name, "_")
	el, typ, ok := childOf(content, plain)
	if !ok {
		return fail(fhir.CodeStructure, m, "FHIR R4 does not define this element; the record can be read as JSON only.")
	}
	if under && (el.Attribute || typ == "xhtml" || !r4.IsPrimitive(typ)) {
		return fail(fhir.CodeStructure, m, "Only a primitive element may have an underscore before its name.")
	}
	at := mine
	for at < len(e.slots) && e.slots[at].name != plain {
		at++
	}
	if at == len(e.slots) {
		e.slots = append(e.slots, slot{name: plain, el: el, typ: typ})
	}
	if under {
		e.slots[at].under = m
	} else {
		e.slots[at].value = m
	}
	return nil
}

func (e *encoder) write(s slot) error {
	values, err := items(s.value, s.el)
	if err != nil {
		return err
	}
	switch {
	case s.typ == "xhtml":
		return e.narrative(values)
	case r4.IsPrimitive(s.typ):
		return e.primitives(s, values)
	}
	for _, v := range values {
		if v.Kind() == fhir.Null {
			continue
		}
		if v.Kind() != fhir.Object {
			return fail(fhir.CodeStructure, v, "This element must be an object.")
		}
		before := len(e.out)
		e.out = append(append(e.out, '<'), s.name...)
		if s.typ == "Resource" {
			e.out = append(e.out, '>')
			if err := e.resource(v, ""); err != nil {
				return err
			}
			e.out = append(append(append(e.out, '<', '/'), s.name...), '>')
			continue
		}
		any, err := e.content(v, s.el.Content(s.typ), s.name, false)
		if err != nil {
			return err
		}
		if !any {
			e.out = e.out[:before]
		}
	}
	return nil
}

// items gives the values of an element, which may be written as one or as a
// list.
func items(n fhir.Node, el *r4.Element) ([]fhir.Node, error) {
	if n.Kind() != fhir.Array {
		if !n.Exists() {
			return nil, nil
		}
		return []fhir.Node{n}, nil
	}
	var all []fhir.Node
	for item := range n.Children() {
		if len(all) > 0 && !el.List() {
			return nil, fail(fhir.CodeStructure, n, "This element must be a single value.")
		}
		all = append(all, item)
	}
	return all, nil
}

func (e *encoder) primitives(s slot, values []fhir.Node) error {
	unders, err := items(s.under, s.el)
	if err != nil {
		return err
	}
	t, _ := r4.LookupType(s.typ)
	for i := range max(len(values), len(unders)) {
		var value, under fhir.Node
		if i < len(values) && values[i].Kind() != fhir.Null {
			value = values[i]
		}
		if i < len(unders) && unders[i].Kind() != fhir.Null {
			under = unders[i]
		}
		if under.Exists() && under.Kind() != fhir.Object {
			return fail(fhir.CodeStructure, under, "This element must be an object.")
		}
		if under.Get("value").Exists() || under.Get("_value").Exists() {
			return fail(fhir.CodeStructure, under, "The value of an element stands under its name without an underscore.")
		}
		before := len(e.out)
		e.out = append(append(e.out, '<'), s.name...)
		if value.Exists() {
			if err := e.attribute("value", value, s.typ); err != nil {
				return err
			}
		}
		any, err := e.content(under, t.Root, s.name, false)
		if err != nil {
			return err
		}
		if !any && !value.Exists() {
			e.out = e.out[:before]
		}
	}
	return nil
}

// attribute writes a primitive value.
func (e *encoder) attribute(name string, n fhir.Node, typ string) error {
	switch n.Kind() {
	case fhir.String, fhir.Number, fhir.Bool:
	default:
		return fail(fhir.CodeStructure, n, "This element must be a single value.")
	}
	text := n.String()
	if !fits(typ, text) {
		return fail(fhir.CodeValue, n, "The value is not of type %s.", typ)
	}
	for _, r := range text {
		if !isChar(r) {
			return fail(fhir.CodeValue, n, "The text holds a character that XML cannot carry.")
		}
	}
	e.out = append(append(append(e.out, ' '), name...), '=', '"')
	e.out = append(appendEscaped(e.out, text), '"')
	return nil
}

func (e *encoder) narrative(values []fhir.Node) error {
	for _, v := range values {
		if v.Kind() == fhir.Null {
			continue
		}
		if v.Kind() != fhir.String {
			return fail(fhir.CodeStructure, v, "This element must be a text.")
		}
		div, err := markup(v.String())
		if err != nil {
			var issue *fhir.Error
			if errors.As(err, &issue) {
				return fail(issue.Code, v, "%s", issue.Diagnostics)
			}
			return err
		}
		e.out = append(e.out, div...)
	}
	return nil
}

// appendEscaped writes the text of an attribute so that every reader gets the
// same text back, line breaks included.
func appendEscaped(out []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			out = append(out, "&amp;"...)
		case '<':
			out = append(out, "&lt;"...)
		case '>':
			out = append(out, "&gt;"...)
		case '"':
			out = append(out, "&quot;"...)
		case '\t':
			out = append(out, "&#9;"...)
		case '\n':
			out = append(out, "&#10;"...)
		case '\r':
			out = append(out, "&#13;"...)
		default:
			out = append(out, c)
		}
	}
	return out
}
