package validate

import (
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

type member struct {
	name string
	node fhir.Node
}

// kinds names what a value is in JSON.
var kinds = map[fhir.Kind]string{
	fhir.Object: "an object", fhir.Array: "a list", fhir.String: "a text", fhir.Number: "a number", fhir.Bool: "true or false", fhir.Null: "null",
}

// resourceContent judges a resource of a known type; its path stands already.
func (r *run) resourceContent(n fhir.Node, typ string) {
	t, _ := r4.LookupType(typ)
	r.stand(typ, typ, n, fhir.Node{})
	r.object(n, t.Root, true, true)
	r.contained(n)
	r.invariants(t.Root.Path, t.Root, n, fhir.Node{}, typ)
}

// nested judges a resource within another: a contained one, that of an entry
// of a Bundle, or a parameter.
func (r *run) nested(el *r4.Element, n fhir.Node) {
	rt := n.Get("resourceType")
	typ := rt.String()
	switch {
	case rt.Kind() != fhir.String:
		r.fail(of("type", el.Path), fhir.CodeStructure, "The resource has no resourceType; give it one.")
		return
	case !r4.IsResource(typ):
		r.fail(of("type", el.Path), fhir.CodeNotSupported, "The resourceType is none that R4 knows.")
		return
	}
	resource, container, bundle, ids := r.resource, r.container, r.bundle, r.ids
	r.resource, r.ids = n, nil
	if el.Name != "contained" {
		r.container = n
		if typ == "Bundle" {
			r.bundle = n
		}
	}
	r.resourceContent(n, typ)
	r.apply(n, typ, nil)
	r.resource, r.container, r.bundle, r.ids = resource, container, bundle, ids
}

// object judges the members of an object. c is the element whose children they
// are: the root of a type, or a backbone element. One that may be bare needs
// nothing but an id: a resource, and what stands beside the value of a primitive.
func (r *run) object(n fhir.Node, c *r4.Element, resource, bare bool) {
	if r.full() {
		return
	}
	var few [24]member
	members := few[:0]
	extras := false
	for m := range n.Children() {
		name := m.Name()
		extras = extras || strings.HasPrefix(name, "_")
		members = append(members, member{name, m})
	}
	get := n.Get
	if extras && len(members) > len(few) { // looking through all for each would take too long
		byName := make(map[string]fhir.Node, len(members))
		for _, m := range members {
			byName[m.name] = m.node
		}
		get = func(name string) fhir.Node { return byName[name] }
	}
	var some [64]int32
	counts := some[:]
	if len(c.Children) > len(some) {
		counts = make([]int32, len(c.Children))
	}
	content := false
	for _, m := range members {
		if resource && m.name == "resourceType" {
			continue
		}
		if r.full() {
			return
		}
		content = content || m.name != "id"
		base, extra := strings.CutPrefix(m.name, "_")
		switch {
		case !extra && !extras:
			r.member(c, m.name, m.node, fhir.Node{}, counts)
		case !extra:
			r.member(c, m.name, m.node, get("_"+m.name), counts)
		case !get(base).Exists():
			r.member(c, base, fhir.Node{}, m.node, counts)
		default: // is judged with its value, where the value may have one
			if el, typ, ok := child(c, base); !ok || !r4.IsPrimitive(typ) || el.Repeats() != nil {
				r.unknown(c, m.name)
			}
		}
	}
	if !content && !bare || len(members) == 0 {
		r.fail(of("ele-1", c.Path), fhir.CodeInvariant, "The element is empty. Give it content or leave it out.")
	}
	for _, el := range c.Children {
		if el.Min > 0 && counts[el.Position()] == 0 {
			r.missing(el)
		}
	}
}

// child finds a member by the name that a document has.
func child(c *r4.Element, name string) (el *r4.Element, typ string, ok bool) {
	el, typ, ok = c.Child(name)
	if !ok || el.Max == 0 || el.Choice && len(name) <= len(el.Name)+3 && (name == el.Name || name == el.Name+"[x]") {
		return nil, "", false
	}
	return el, typ, true
}

func (r *run) missing(el *r4.Element) {
	name, hint := el.Name, ""
	if el.Choice {
		names := make([]string, 0, 4)
		for _, t := range el.Types[:min(len(el.Types), 4)] {
			names = append(names, typedName(el.Name, t.Code))
		}
		hint = " It is written with its type: " + strings.Join(names, ", ") + "."
	}
	r.report(fhir.SeverityError, of("min", el.Path), fhir.CodeRequired, r.here()+"."+name,
		"The element is missing; it must be there.%s", hint)
}

// typedName gives the name that a choice element has with a type.
func typedName(name, typ string) string { return name + strings.ToUpper(typ[:1]) + typ[1:] }

// unknown reports a member that the definition does not have. Its name is said
// only when it is a plain one: it comes from outside.
func (r *run) unknown(c *r4.Element, name string) {
	at, called := r.here(), "A member whose name is no name of an element"
	if plainName(name) {
		called = "The element " + strconv.Quote(name)
		at += "." + name
	}
	hint := "Remove it, or carry it in an extension."
	if el, _, ok := c.Child(name); ok && el.Max != 0 && el.Choice {
		hint = "Write its type behind its name, such as " + typedName(el.Name, el.Types[0].Code) + "."
	} else if like := similar(c, name); like != "" {
		hint = "Did you mean " + strconv.Quote(like) + "?"
	}
	r.report(fhir.SeverityError, of("unknown", c.Path), fhir.CodeStructure, at, "%s is not defined for %s. %s", called, c.Path, hint)
}

func plainName(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_') { // no digits: names of elements have none
			return false
		}
	}
	return true
}

// similar finds the child whose name differs from a name in no more than case
// and two letters.
func similar(c *r4.Element, name string) string {
	if len(name) > 40 {
		return ""
	}
	best, least := "", 3
	for _, el := range c.Children {
		if d := distance(strings.ToLower(el.Name), strings.ToLower(name)); d < least && d < len(el.Name)/2 && el.Max != 0 {
			best, least = el.Name, d
		}
	}
	return best
}

// distance counts the letters to change, add or drop.
func distance(a, b string) int {
	var row [48]int
	if len(b) >= len(row) {
		return len(row)
	}
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			corner, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, corner+cost)
		}
	}
	return row[len(b)]
}

// member judges what stands under one name, together with its _name.
func (r *run) member(c *r4.Element, name string, n, extra fhir.Node, counts []int32) {
	el, typ, ok := child(c, name)
	if !ok {
		if n.Exists() {
			r.unknown(c, name)
		} else {
			r.unknown(c, "_"+name)
		}
		return
	}
	primitive := el.Repeats() == nil && r4.IsPrimitive(typ)
	if extra.Exists() && !primitive {
		if !n.Exists() {
			r.unknown(c, "_"+name)
			return
		}
		extra = fhir.Node{} // reported under its own name
	}
	count := &counts[el.Position()]
	shown := ""
	if el.Choice {
		shown = typ
		if *count > 0 {
			r.report(fhir.SeverityError, of("max", el.Path), fhir.CodeStructure, r.here()+"."+el.Name,
				"The element stands more than once, with different types. Keep one of them.")
		}
	}
	if !el.List() {
		*count++
		r.push(el.Name, shown, -1)
		if n.Kind() == fhir.Array || extra.Kind() == fhir.Array {
			key, why := "list", "The element stands at most once: write its value without the brackets of a list."
			if max(n.Len(), extra.Len()) > 1 {
				key, why = "max", "The element stands at most once, not in a list of several. Keep one of them, without the brackets."
			}
			r.fail(of(key, el.Path), fhir.CodeStructure, "%s", why)
			for item := range n.Items() {
				r.value(el, typ, item, fhir.Node{})
			}
		} else {
			r.value(el, typ, n, extra)
		}
		r.pop()
		return
	}
	if n.Exists() && n.Kind() != fhir.Array || extra.Exists() && extra.Kind() != fhir.Array {
		*count++
		r.push(el.Name, shown, -1)
		r.fail(of("list", el.Path), fhir.CodeStructure, "The element is a list: write its value within [ ], even when there is one.")
		if n.Kind() != fhir.Array && extra.Kind() != fhir.Array {
			r.value(el, typ, n, extra)
		}
		r.pop()
		return
	}
	*count += r.list(el, typ, shown, n, extra, primitive)
}

// list judges the items of a list and counts them.
func (r *run) list(el *r4.Element, typ, shown string, n, extra fhir.Node, primitive bool) (count int32) {
	var extras []fhir.Node
	for x := range extra.Children() {
		extras = append(extras, x)
	}
	i := 0
	for item := range n.Children() {
		var x fhir.Node
		if i < len(extras) {
			x = extras[i]
		}
		r.push(el.Name, shown, i)
		if x.Kind() == fhir.Null {
			x = fhir.Node{}
		}
		switch {
		case item.Kind() == fhir.Null && primitive && x.Exists():
			r.value(el, typ, fhir.Node{}, x)
		default:
			r.value(el, typ, item, x)
		}
		r.pop()
		if i++; r.full() {
			return int32(i)
		}
	}
	for ; i < len(extras); i++ {
		r.push(el.Name, shown, i)
		r.value(el, typ, fhir.Node{}, extras[i])
		r.pop()
	}
	if i == 0 {
		r.report(fhir.SeverityError, of("list", el.Path), fhir.CodeStructure, r.here()+"."+el.Name,
			"The list is empty. Leave the element out when there is nothing to say.")
	}
	if el.Max != r4.Unbounded && i > el.Max {
		r.report(fhir.SeverityError, of("max", el.Path), fhir.CodeStructure, r.here()+"."+el.Name,
			"The element stands %d times; at most %d are allowed.", i, el.Max)
	}
	return int32(i)
}

// value judges one value of an element; the path stands already.
func (r *run) value(el *r4.Element, typ string, n, extra fhir.Node) {
	if r.full() {
		return
	}
	if n.Kind() == fhir.Null {
		r.fail(of("null", el.Path), fhir.CodeStructure, "The value is null. Leave the element out when there is nothing to say.")
		return
	}
	content, inner := el, el.Path
	switch same := el.Repeats(); {
	case same != nil:
		content, inner = same, same.Path
	case len(el.Children) > 0:
	case typ == "Resource":
		if r.isObject(el, n) {
			r.nested(el, n)
		}
		return
	default:
		t, ok := r4.LookupType(typ)
		if !ok {
			return
		}
		if t.Kind == r4.Primitive {
			r.stand(el.Path, typ, n, extra)
			if r.primitive(el, typ, n, extra) {
				r.bound(el, typ, n)
			}
			r.invariants(el.Path, el, n, extra, typ)
			return
		}
		content, inner = t.Root, typ
		for _, ref := range el.Types { // SimpleQuantity forbids a comparator
			if ref.Code != typ || len(ref.Profiles) == 0 {
				continue
			}
			if p, ok := r4.LookupType(ref.Profiles[0]); ok && p.Profile {
				content = p.Root
			}
		}
	}
	if !r.isObject(el, n) {
		return
	}
	r.stand(el.Path, inner, n, fhir.Node{})
	r.object(n, content, false, false)
	if el.Path == "Bundle.entry" {
		r.fullURL(n)
	}
	switch typ {
	case "Reference":
		r.reference(el, n)
	case "Extension":
		r.extension(el, n)
	case "Coding", "CodeableConcept", "Quantity":
		r.bound(el, typ, n)
	}
	r.invariants(el.Path, el, n, fhir.Node{}, inner)
	if content != el {
		r.invariants(content.Path, content, n, fhir.Node{}, inner)
	}
}

func (r *run) isObject(el *r4.Element, n fhir.Node) bool {
	if n.Kind() == fhir.Object {
		return true
	}
	r.fail(of("type", el.Path), fhir.CodeStructure, "The value is %s; it must be an object { }.", kinds[n.Kind()])
	return false
}
