package fhirpath

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// env is what $this, $index and $total mean.
type env struct {
	this  Collection
	total Collection
	index int
	loop  bool // whether there is an index
}

var (
	yes = Collection{Bool(true)}
	no  = Collection{Bool(false)}
)

func boolean(b bool) Collection {
	if b {
		return yes
	}
	return no
}

func (m *machine) text(s string) Collection {
	if !m.made(len(s)) {
		return nil
	}
	return m.one(Text(s))
}

// eval evaluates x. Collections are never changed once they are made. After an
// error everything is empty.
func (m *machine) eval(x *expr, e env) Collection {
	if !m.step(1) {
		return nil
	}
	m.at = x
	switch x.op {
	case opLiteral:
		return x.value
	case opThis:
		return e.this
	case opIndexVar:
		if !e.loop {
			return m.invalid(x, "$index has a meaning only within where() and the like")
		}
		return m.one(Integer(int32(e.index)))
	case opTotal:
		return e.total
	case opVariable:
		return m.variable(x)
	case opMember:
		if x.left == nil {
			return m.first1(x, e)
		}
		return m.member(m.eval(x.left, e), x.name, x.sibling)
	case opCall:
		in := e.this
		if x.left != nil {
			in = m.eval(x.left, e)
		}
		if m.err != nil {
			return nil
		}
		m.at = x
		return x.fn.run(m, x, e, in)
	case opIndexer:
		in := m.eval(x.left, e)
		index, ok := m.integerOf(x, m.eval(x.args[0], e), "an index")
		if !ok || index < 0 || index >= int64(len(in)) {
			return nil
		}
		return in[index : index+1 : index+1]
	case opPlus, opNegate:
		return m.polarity(x, m.eval(x.left, e))
	case opIs:
		return m.is(x, m.eval(x.left, e))
	case opAs:
		return m.ofType(x, m.eval(x.left, e))
	}
	return m.binary(x, e)
}

// first1 evaluates the first name of a path: the type of the context, or an
// element of it.
func (m *machine) first1(x *expr, e env) Collection {
	if c := x.name[:min(1, len(x.name))]; c >= "A" && c <= "Z" && len(e.this) > 0 {
		same := true
		for i := range e.this {
			if e.this[i].kind != kNode || !isA(m.model, e.this[i].typ, x.name) {
				same = false
				break
			}
		}
		if same {
			return e.this
		}
	}
	return m.member(e.this, x.name, x.sibling)
}

// member gives the children of a name.
func (m *machine) member(in Collection, name, sibling string) Collection {
	b := m.build()
	for i := range in {
		if !m.step(1) {
			return nil
		}
		v := &in[i]
		switch v.kind {
		case kNode:
			m.children(&b, v, name, sibling)
		case kType:
			switch name {
			case "name":
				b.add(Text(v.text))
			case "namespace":
				b.add(Text(v.typ))
			}
		case kQuantity:
			switch name {
			case "value":
				b.add(Value{kind: kDecimal, num: v.num})
			case "unit":
				b.add(Text(v.text))
			}
		}
	}
	return b.done()
}

func (m *machine) children(b *builder, v *Value, name, sibling string) {
	from, typ := v.node, v.typ
	if from.Kind() != fhir.Object {
		from = v.ext // a primitive: its id and extensions
	}
	if from.Kind() != fhir.Object {
		return
	}
	m.scan(from)
	el, known := m.model.Element(typ, name)
	if !known {
		if typ == "" || v.node.Kind() != fhir.Object {
			el, _ = m.model.Element("Element", name)
		} else if name == "resourceType" {
			return
		}
		m.items(b, from.Get(name), from.Get(sibling), el.Type)
		return
	}
	if len(el.Choices) == 0 {
		var x fhir.Node
		if small(el.Type) {
			x = from.Get(sibling)
		}
		m.items(b, from.Get(name), x, el.Type)
		return
	}
	for i := range el.Choices {
		c := &el.Choices[i]
		n := from.Get(c.Name)
		var x fhir.Node
		if small(c.Type) {
			x = from.Get(c.Sibling)
		}
		if n.Exists() || x.Exists() {
			m.items(b, n, x, c.Type)
		}
	}
}

// small tells whether a type is a primitive: their names begin in lower case.
func small(typ string) bool { return typ == "" || typ[0] >= 'a' && typ[0] <= 'z' }

// items adds a member, or what its list holds, together with what stands at
// the same place under _name.
func (m *machine) items(b *builder, n, x fhir.Node, typ string) {
	if !x.Exists() {
		if n.Kind() != fhir.Array {
			m.item(b, n, x, typ)
			return
		}
		for c := range n.Children() {
			if !m.item(b, c, x, typ) {
				return
			}
		}
		return
	}
	var values, extras []fhir.Node
	for c := range n.Items() {
		values = append(values, c)
	}
	for c := range x.Items() {
		extras = append(extras, c)
	}
	for i := range max(len(values), len(extras)) {
		var c, y fhir.Node
		if i < len(values) {
			c = values[i]
		}
		if i < len(extras) {
			y = extras[i]
		}
		if !m.item(b, c, y, typ) {
			return
		}
	}
}

func (m *machine) item(b *builder, n, x fhir.Node, typ string) bool {
	if !m.step(1) {
		return false
	}
	k := n.Kind()
	if k == fhir.None || k == fhir.Null {
		if x.Kind() != fhir.Object {
			return true
		}
		n = fhir.Node{}
	}
	if k == fhir.Object {
		m.scan(n)
		b.add(element(n, fhir.Node{}, typ))
	} else {
		b.add(Value{kind: kNode, node: n, ext: x, typ: typ})
	}
	return true
}

// all adds every child of an element.
func (m *machine) all(b *builder, v *Value) {
	from := v.node
	if from.Kind() != fhir.Object {
		from = v.ext
	}
	type member struct {
		name string
		node fhir.Node
	}
	var few [24]member // reading a name makes a string: do it once
	members := few[:0]
	var extras map[string]fhir.Node // by the name without _
	for c := range from.Children() {
		name := c.Name()
		members = append(members, member{name, c})
		if base, ok := strings.CutPrefix(name, "_"); ok {
			if extras == nil {
				extras = map[string]fhir.Node{}
			}
			extras[base] = c
		}
	}
	object := v.node.Kind() == fhir.Object
	for _, c := range members {
		if c.name == "resourceType" || c.name == "fhir_comments" || strings.HasPrefix(c.name, "_") {
			continue
		}
		m.items(b, c.node, extras[c.name], m.typeOf(v.typ, c.name, object))
		delete(extras, c.name)
	}
	if len(extras) == 0 {
		return
	}
	for _, c := range members { // those without a value
		base, ok := strings.CutPrefix(c.name, "_")
		if extra := extras[base]; ok && extra.Exists() {
			m.items(b, fhir.Node{}, extra, m.typeOf(v.typ, base, object))
		}
	}
}

// typeOf gives the type of a member by its name in the document, such as
// valueQuantity.
func (m *machine) typeOf(typ, name string, object bool) string {
	if !object {
		typ = "Element"
	}
	if el, ok := m.model.Element(typ, name); ok && len(el.Choices) == 0 {
		return el.Type
	}
	for i := len(name) - 1; i > 0; i-- {
		if name[i] < 'A' || name[i] > 'Z' {
			continue
		}
		el, _ := m.model.Element(typ, name[:i])
		for _, c := range el.Choices {
			if c.Name == name {
				return c.Type
			}
		}
	}
	if el, ok := m.model.Element("Element", name); ok && typ == "" {
		return el.Type
	}
	return ""
}

func (m *machine) variable(x *expr) Collection {
	if c, ok := m.opts.Variables[x.name]; ok {
		return c
	}
	switch x.name {
	case "context":
		return m.context
	case "resource":
		return m.holder(false)
	case "rootResource":
		return m.holder(true)
	case "ucum":
		return m.one(Text(ucum))
	case "sct":
		return m.one(Text("http://snomed.info/sct"))
	case "loinc":
		return m.one(Text("http://loinc.org"))
	}
	if name, ok := strings.CutPrefix(x.name, "vs-"); ok {
		return m.text("http://hl7.org/fhir/ValueSet/" + name)
	}
	if name, ok := strings.CutPrefix(x.name, "ext-"); ok {
		return m.text("http://hl7.org/fhir/StructureDefinition/" + name)
	}
	return m.invalid(x, "there is no variable %"+x.name)
}

// single gives the one value of a collection; ok is false when it is empty,
// has no value, or on an error.
func (m *machine) single(x *expr, c Collection, what string) (Value, bool) {
	switch {
	case m.err != nil || len(c) == 0:
		return Value{}, false
	case len(c) > 1:
		m.invalid(x, what+" must be one value; there are several")
		return Value{}, false
	}
	return m.system(&c[0])
}

func (m *machine) integerOf(x *expr, c Collection, what string) (int64, bool) {
	v, ok := m.single(x, c, what)
	if !ok {
		return 0, false
	}
	if v.kind != kInteger {
		m.invalid(x, what+" must be an integer")
		return 0, false
	}
	return v.num.c, true
}

func (m *machine) stringOf(x *expr, c Collection, what string) (string, bool) {
	v, ok := m.single(x, c, what)
	if !ok {
		if len(c) == 1 && c[0].node.Kind() == fhir.Object {
			m.invalid(x, what+" must be a string")
		}
		return "", false
	}
	if v.kind != kString && (v.kind < kDate || v.kind > kTime) {
		m.invalid(x, what+" must be a string")
		return "", false
	}
	return v.text, true
}

// truth is a boolean, or unknown.
type truth uint8

const (
	unknown truth = iota
	isFalse
	isTrue
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

func (t truth) collection() Collection {
	switch t {
	case isTrue:
		return yes
	case isFalse:
		return no
	}
	return nil
}

// condition reads a collection where a boolean is expected: one value that is
// no boolean is true.
func (m *machine) condition(x *expr, c Collection) truth {
	if m.err != nil || len(c) == 0 {
		return unknown
	}
	if len(c) > 1 {
		m.invalid(x, "a condition must be one value; there are several")
		return unknown
	}
	if c[0].kind == kBoolean {
		return truthOf(c[0].flag)
	}
	v, ok := m.system(&c[0])
	switch {
	case ok && v.kind == kBoolean:
		return truthOf(v.flag)
	case !ok && c[0].typ == "boolean": // nothing but extensions
		return unknown
	}
	return isTrue
}

// matches tells whether a value is of a type, or of one that specialises it.
func (m *machine) matches(v *Value, t typeName) bool {
	if v.kind != kNode {
		return t.space != "FHIR" && systemName[v.kind] == t.name && (t.space == "" || t.space == "System")
	}
	if t.space != "" && t.space != "FHIR" {
		return false
	}
	if v.typ == "" { // the model does not know; the value may tell
		switch s, ok := m.system(v); {
		case ok && s.kind == kBoolean:
			return t.name == "boolean"
		case ok && s.kind == kString:
			return t.name == "string"
		}
		return false
	}
	return isA(m.model, v.typ, t.name)
}

// knows tells whether the type that an expression names is one: a mistake in
// its name must not read as "there is none". A name with its namespace is one.
func (m *machine) knows(x *expr) bool {
	if x.typ.space != "" || slices.Contains(systemName[kBoolean:], x.typ.name) {
		return true
	}
	if _, known := m.model.Super(x.typ.name); known {
		return true
	}
	m.invalid(x, "there is no type "+x.typ.name)
	return false
}

func (m *machine) is(x *expr, in Collection) Collection {
	switch {
	case m.err != nil || !m.knows(x) || len(in) == 0:
		return nil
	case len(in) > 1:
		return m.invalid(x, "is asks about one value; there are several")
	}
	return boolean(m.matches(&in[0], x.typ))
}

// ofType keeps the values of a type. as does the same: R4's own constraints
// use it on collections.
func (m *machine) ofType(x *expr, in Collection) Collection {
	if !m.knows(x) {
		return nil
	}
	return m.keep(in, func(v *Value, _ int) bool { return m.matches(v, x.typ) })
}

// keep gives the values that ok is true for. What stands together is not copied.
func (m *machine) keep(in Collection, ok func(v *Value, i int) bool) Collection {
	from, to := 0, 0 // the run in.[from:to], while the result is one
	var out Collection
	for i := range in {
		if !m.step(1) {
			return nil
		}
		if !ok(&in[i], i) {
			continue
		}
		switch {
		case out != nil:
			out = append(out, in[i])
		case from == to:
			from, to = i, i+1
		case to == i:
			to++
		default:
			out = append(append(make(Collection, 0, len(in)-i+to-from), in[from:to]...), in[i])
		}
	}
	switch {
	case m.err != nil:
		return nil
	case out != nil:
		return out
	case from == to:
		return nil
	}
	return in[from:to:to]
}

// join gives a and then b.
func (m *machine) join(a, b Collection) Collection {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	case !m.room(len(a)+len(b)) || !m.step(len(a)+len(b)):
		return nil
	}
	return append(append(make(Collection, 0, len(a)+len(b)), a...), b...)
}
