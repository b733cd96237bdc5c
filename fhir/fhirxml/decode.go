package fhirxml

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Decode reads a resource from FHIR XML. The limits hold for the XML as for
// the JSON that is made of it. All errors are fhir.Error values: whatever is
// not well-formed XML in UTF-8, or is no resource of R4, is refused with the
// line and column or with the path of the element at fault.
func Decode(xml []byte, lim fhir.Limits) (*fhir.Document, error) {
	if len(xml) > lim.Bytes {
		return nil, fhir.Errorf(fhir.CodeTooLong, "", "The document is larger than %d bytes.", lim.Bytes)
	}
	text := strings.TrimPrefix(string(xml), "\ufeff")
	if strings.HasPrefix(text, "\xfe\xff") || strings.HasPrefix(text, "\xff\xfe") {
		return nil, fhir.Errorf(fhir.CodeStructure, "", "The document is not well-formed FHIR XML: only the encoding UTF-8 is accepted.")
	}
	if strings.IndexFunc(text, notSpace) < 0 {
		return nil, fhir.Errorf(fhir.CodeStructure, "", "The body is empty; an XML resource is expected.")
	}
	t, err := scan(text, lim, false)
	if err != nil {
		return nil, err
	}
	d := decoder{tree: t, out: make([]byte, 0, len(text))}
	if err := d.resource(0); err != nil {
		return nil, err
	}
	return fhir.ParseWithin(d.out, lim)
}

// decoder writes the JSON of a tree.
type decoder struct {
	*tree
	out    []byte
	path   []step
	groups []group // of the elements around, the innermost last
}

// step is one step of the way to the element at hand; index is -1 outside of
// lists.
type step struct {
	name  string
	index int
}

// group is the children of one element that have the same name.
type group struct {
	name        string
	el          *r4.Element
	typ         string
	first, last int32
	count       int
}

// fail makes an error at the element at hand.
func (d *decoder) fail(code fhir.Code, n int32, format string, args ...any) error {
	var b strings.Builder
	for i, s := range d.path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
		if s.index >= 0 {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
	}
	e := fhir.Errorf(code, b.String(), format, args...)
	e.Diagnostics += " (" + d.where(int(d.nodes[n].start)) + ")"
	return e
}

// called gives a name of the sender's in brackets, when it is one that could be
// FHIR's: anything else might be data of a patient.
func called(name string) string {
	if len(name) > 64 || strings.Trim(name, letters) != "" {
		return ""
	}
	return " (" + name + ")"
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func (d *decoder) resource(n int32) error {
	x := &d.nodes[n]
	if x.ns != nsFHIR {
		return d.fail(fhir.CodeStructure, n, "The element%s is not in the namespace %s.", called(x.local), nsFHIR)
	}
	if !r4.IsResource(x.local) {
		return d.fail(fhir.CodeStructure, n, "The element%s is not a resource of FHIR R4.", called(x.local))
	}
	t, _ := r4.LookupType(x.local)
	if len(d.path) == 0 {
		d.path = append(d.path, step{x.local, -1})
	}
	d.out = append(d.out, `{"resourceType":"`...)
	d.out = append(append(d.out, x.local...), '"')
	if _, err := d.members(n, t.Root, ""); err != nil {
		return err
	}
	d.out = append(d.out, '}')
	return nil
}

// object writes an element with content as an object.
func (d *decoder) object(n int32, content *r4.Element) error {
	d.out = append(d.out, '{')
	any, err := d.members(n, content, "")
	if err == nil && !any {
		err = d.fail(fhir.CodeStructure, n, "The element is empty.")
	}
	d.out = append(d.out, '}')
	return err
}

// members writes the attributes and children of n as members; any tells
// whether there was one. The attribute named skip is the caller's.
func (d *decoder) members(n int32, content *r4.Element, skip string) (any bool, err error) {
	x := d.nodes[n]
	if x.stray >= 0 {
		return false, d.fail(fhir.CodeStructure, n, "There is text in the element; FHIR has values in attributes.")
	}
	for _, a := range d.attrs[x.attrStart:x.attrEnd] {
		if a.ns == "" && a.local == skip {
			continue
		}
		el, _, ok := content.Child(a.local)
		if a.ns != "" || !ok || !el.Attribute {
			return false, d.fail(fhir.CodeStructure, n, "FHIR R4 does not define this attribute%s.", called(a.local))
		}
		d.member(a.local)
		d.out = appendString(d.out, a.value)
		any = true
	}
	mine := len(d.groups)
	for c := n + 1; c < x.next; c = d.nodes[c].next {
		if err := d.group(c, content, mine); err != nil {
			return false, err
		}
		any = true
	}
	slices.SortStableFunc(d.groups[mine:], func(a, b group) int { return a.el.Position() - b.el.Position() })
	for i := mine; i < len(d.groups); i++ {
		if err := d.write(d.groups[i]); err != nil {
			return false, err
		}
	}
	d.groups = d.groups[:mine]
	return any, nil
}

// group adds the child c to the group of its name.
func (d *decoder) group(c int32, content *r4.Element, mine int) error {
	x := &d.nodes[c]
	for i := mine; i < len(d.groups); i++ {
		if g := &d.groups[i]; g.name == x.local {
			d.nodes[g.last].same = c
			g.last = c
			g.count++
			return d.namespace(c, g.typ)
		}
	}
	el, typ, ok := childOf(content, x.local)
	if !ok || el.Attribute {
		return d.fail(fhir.CodeStructure, c, "FHIR R4 does not define this element%s.", called(x.local))
	}
	d.groups = append(d.groups, group{name: x.local, el: el, typ: typ, first: c, last: c, count: 1})
	return d.namespace(c, typ)
}

func (d *decoder) namespace(c int32, typ string) error {
	want := nsFHIR
	if typ == "xhtml" {
		want = nsXHTML
	}
	if x := &d.nodes[c]; x.ns != want {
		return d.fail(fhir.CodeStructure, c, "The element%s is not in the namespace %s.", called(x.local), want)
	}
	return nil
}

// childOf finds the child that has the name in a document: a choice needs its
// type.
func childOf(content *r4.Element, name string) (el *r4.Element, typ string, ok bool) {
	el, typ, ok = content.Child(name)
	if ok && el.Choice && len(name) <= len(el.Name)+len("[x]") && (name == el.Name || strings.HasSuffix(name, "[x]")) {
		return nil, "", false
	}
	return el, typ, ok
}

// member begins a member of the object at hand.
func (d *decoder) member(name string) {
	if d.out[len(d.out)-1] != '{' {
		d.out = append(d.out, ',')
	}
	d.out = append(append(append(d.out, '"'), name...), '"', ':')
}

// write writes one member, or two for a primitive with an id or extensions.
func (d *decoder) write(g group) error {
	list := g.el.List()
	d.path = append(d.path, step{g.name, -1})
	defer func() { d.path = d.path[:len(d.path)-1] }()
	if g.count > 1 && !list {
		return d.fail(fhir.CodeStructure, d.nodes[g.first].same, "The element stands more than once; FHIR R4 allows one.")
	}
	if g.typ != "xhtml" && r4.IsPrimitive(g.typ) {
		return d.primitives(g, list)
	}
	d.member(g.name)
	return d.each(g, list, func(n int32) error {
		switch {
		case g.typ == "xhtml":
			return d.narrative(n)
		case g.typ == "Resource":
			return d.inner(n)
		}
		return d.object(n, g.el.Content(g.typ))
	})
}

// each writes the value of every element of a group.
func (d *decoder) each(g group, list bool, value func(n int32) error) error {
	if list {
		d.out = append(d.out, '[')
	}
	at := &d.path[len(d.path)-1]
	for i, n := 0, g.first; n >= 0; i, n = i+1, d.nodes[n].same {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		if list {
			at.index = i
		}
		if err := value(n); err != nil {
			return err
		}
		at = &d.path[len(d.path)-1] // the path may have moved as it grew
	}
	if list {
		d.out = append(d.out, ']')
	}
	return nil
}

// inner writes the one resource inside of an element such as contained.
func (d *decoder) inner(n int32) error {
	x := d.nodes[n]
	if x.stray >= 0 || x.attrStart != x.attrEnd || x.next == n+1 || d.nodes[n+1].next != x.next {
		return d.fail(fhir.CodeStructure, n, "The element must hold one resource and nothing else.")
	}
	return d.resource(n + 1)
}

func (d *decoder) primitives(g group, list bool) error {
	var values, others bool
	for n := g.first; n >= 0; n = d.nodes[n].same {
		value, other := d.holds(n)
		if !value && !other {
			return d.fail(fhir.CodeStructure, n, "The element is empty.")
		}
		values, others = values || value, others || other
	}
	if values {
		d.member(g.name)
		if err := d.each(g, list, func(n int32) error { return d.value(n, g.typ) }); err != nil {
			return err
		}
	}
	if !others {
		return nil
	}
	t, _ := r4.LookupType(g.typ)
	d.member("_" + g.name)
	return d.each(g, list, func(n int32) error {
		if _, other := d.holds(n); !other {
			d.out = append(d.out, "null"...)
			return nil
		}
		d.out = append(d.out, '{')
		_, err := d.members(n, t.Root, "value")
		d.out = append(d.out, '}')
		return err
	})
}

// holds tells whether a primitive has a value, and anything else.
func (d *decoder) holds(n int32) (value, other bool) {
	x := &d.nodes[n]
	other = x.next > n+1 || x.stray >= 0
	for _, a := range d.attrs[x.attrStart:x.attrEnd] {
		if a.ns == "" && a.local == "value" {
			value = true
		} else {
			other = true
		}
	}
	return value, other
}

func (d *decoder) value(n int32, typ string) error {
	x := &d.nodes[n]
	for _, a := range d.attrs[x.attrStart:x.attrEnd] {
		if a.ns != "" || a.local != "value" {
			continue
		}
		if !fits(typ, a.value) {
			return d.fail(fhir.CodeValue, n, "The value is not of type %s.", typ)
		}
		if literal(typ) {
			d.out = append(d.out, a.value...)
		} else {
			d.out = appendString(d.out, a.value)
		}
		return nil
	}
	d.out = append(d.out, "null"...)
	return nil
}

// literal tells whether JSON writes the values of a type without quotes.
func literal(typ string) bool {
	switch typ {
	case "boolean", "decimal", "integer", "positiveInt", "unsignedInt":
		return true
	}
	return false
}

// fits tells whether JSON can write the text as a value of the type.
func fits(typ, text string) bool {
	switch {
	case typ == "boolean":
		return text == "true" || text == "false"
	case literal(typ):
		return isNumber(text)
	}
	return true
}

// isNumber tells whether a text is a number as JSON writes it.
func isNumber(s string) bool {
	digits := func() bool {
		rest := strings.TrimLeft(s, "0123456789")
		any := len(rest) < len(s)
		s = rest
		return any
	}
	s = strings.TrimPrefix(s, "-")
	if rest, zero := strings.CutPrefix(s, "0"); zero {
		s = rest
	} else if !digits() {
		return false
	}
	if rest, ok := strings.CutPrefix(s, "."); ok {
		if s = rest; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c == '\t':
			out = append(out, '\\', 't')
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
