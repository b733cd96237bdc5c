package fhirpath

import (
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
	for c := range from.Children() {
		if !m.step(1) {
			return
		}
		name := c.Name()
		if name == "resourceType" || name == "fhir_comments" {
			continue
		}
		value, extra, typ := c, fhir.Node{}, ""
		if base, ok := strings.CutPrefix(name, "_"); ok {
			if from.Get(base).Exists() {
				continue // it came with its value
			}
			name, value, extra = base, fhir.Node{}, c
		}
		typ = m.typeOf(v.typ, name, v.node.Kind() == fhir.Object)
		if value.Exists() && small(typ) {
			extra = from.Get("_" + name)
		}
		m.items(b, value, extra, typ)
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
	return c[0].system()
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
	v, ok := c[0].system()
	switch {
	case ok && v.kind == kBoolean:
		return truthOf(v.flag)
	case !ok && c[0].typ == "boolean": // nothing but extensions
		return unknown
	}
	return isTrue
}

func (m *machine) polarity(x *expr, c Collection) Collection {
	v, ok := m.single(x, c, "the operand of "+x.name)
	if !ok {
		return nil
	}
	if v.kind != kInteger && v.kind != kDecimal && v.kind != kQuantity {
		return m.invalid(x, x.name+" takes a number or a quantity")
	}
	if x.op == opNegate {
		v.num = v.num.neg()
		if v.kind == kInteger && !v.num.integral() {
			return nil
		}
	}
	return m.one(v)
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
		switch s, ok := v.system(); {
		case ok && s.kind == kBoolean:
			return t.name == "boolean"
		case ok && s.kind == kString:
			return t.name == "string"
		}
		return false
	}
	return isA(m.model, v.typ, t.name)
}

func (m *machine) is(x *expr, in Collection) Collection {
	switch {
	case m.err != nil || len(in) == 0:
		return nil
	case len(in) > 1:
		return m.invalid(x, "is asks about one value; there are several")
	}
	return boolean(m.matches(&in[0], x.typ))
}

// ofType keeps the values of a type. as does the same: R4's own constraints
// use it on collections.
func (m *machine) ofType(x *expr, in Collection) Collection {
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

func (m *machine) binary(x *expr, e env) Collection {
	left := m.eval(x.left, e)
	switch x.name {
	case "and", "or", "xor", "implies":
		return m.logic(x, left, e)
	}
	right := m.eval(x.args[0], e)
	if m.err != nil {
		return nil
	}
	m.at = x
	switch x.name {
	case "=":
		return m.equalAll(left, right).collection()
	case "!=":
		switch m.equalAll(left, right) {
		case isTrue:
			return no
		case isFalse:
			return yes
		}
		return nil
	case "~":
		return boolean(m.equivalentAll(left, right))
	case "!~":
		return boolean(!m.equivalentAll(left, right))
	case "|":
		return m.union(left, right)
	case "in":
		return m.within(x, left, right)
	case "contains":
		return m.within(x, right, left)
	case "<", "<=", ">", ">=":
		return m.order(x, left, right)
	case "&":
		a, _ := m.stringOf(x, left, "the left side of &") // nothing is taken as ''
		b, _ := m.stringOf(x, right, "the right side of &")
		if m.err != nil {
			return nil
		}
		return m.text(a + b)
	}
	return m.arithmetic(x, left, right)
}

// logic evaluates the right side only when the left one does not decide.
func (m *machine) logic(x *expr, left Collection, e env) Collection {
	a := m.condition(x, left)
	switch {
	case m.err != nil:
		return nil
	case a == isFalse && x.name == "and":
		return no
	case a == isTrue && x.name == "or", a == isFalse && x.name == "implies":
		return yes
	}
	b := m.condition(x, m.eval(x.args[0], e))
	if m.err != nil {
		return nil
	}
	switch x.name {
	case "and":
		if b == isFalse {
			return no
		}
	case "or":
		if b == isTrue {
			return yes
		}
	case "implies":
		if b == isTrue {
			return yes
		}
		if a == unknown {
			return nil
		}
		return b.collection()
	case "xor":
		if a == unknown || b == unknown {
			return nil
		}
		return boolean(a != b)
	}
	if a == unknown {
		return nil
	}
	return b.collection()
}

func (m *machine) within(x *expr, item, all Collection) Collection {
	switch {
	case len(item) == 0:
		return nil
	case len(item) > 1:
		return m.invalid(x, x.name+" looks for one value; there are several")
	}
	for i := range all {
		if m.equal(&item[0], &all[i]) == isTrue {
			return yes
		}
		if m.err != nil {
			return nil
		}
	}
	return no
}

func (m *machine) order(x *expr, left, right Collection) Collection {
	a, ok1 := m.single(x, left, "the left side of "+x.name)
	b, ok2 := m.single(x, right, "the right side of "+x.name)
	if !ok1 || !ok2 {
		if m.err == nil && (len(left) == 1 && left[0].node.Kind() == fhir.Object && !quantityType(left[0].typ) ||
			len(right) == 1 && right[0].node.Kind() == fhir.Object && !quantityType(right[0].typ)) {
			return m.invalid(x, x.name+" cannot order values of these types")
		}
		return nil
	}
	meet(&a, &b, &left[0], &right[0])
	var c int
	known := true
	switch {
	case a.number() && b.number():
		c = a.num.cmp(b.num)
	case a.kind == kString && b.kind == kString:
		c = strings.Compare(a.text, b.text)
	case a.kind == kQuantity && b.kind == kQuantity:
		c, known = compareQuantity(&a, &b)
	case a.temporal() && b.temporal() && (a.kind == kTime) == (b.kind == kTime):
		p, ok1 := a.moment()
		q, ok2 := b.moment()
		if c, known = p.compare(q); !ok1 || !ok2 {
			known = false
		}
	default:
		return m.invalid(x, x.name+" cannot order values of these types")
	}
	if !known {
		return nil
	}
	switch x.name {
	case "<":
		return boolean(c < 0)
	case "<=":
		return boolean(c <= 0)
	case ">":
		return boolean(c > 0)
	}
	return boolean(c >= 0)
}

func (v *Value) number() bool   { return v.kind == kInteger || v.kind == kDecimal }
func (v *Value) temporal() bool { return v.kind == kDate || v.kind == kDateTime || v.kind == kTime }

// meet converts one of two values to the kind of the other where the
// specification does so by itself: a number becomes a quantity. The text of an
// element whose type nobody knows becomes a date beside a date.
func meet(a, b, left, right *Value) {
	switch {
	case a.kind == kQuantity && b.number():
		b.kind, b.text = kQuantity, "1"
	case b.kind == kQuantity && a.number():
		a.kind, a.text = kQuantity, "1"
	case a.temporal() && b.kind == kString && right.kind == kNode && right.typ == "":
		*b = textValue(b.text, a.kind)
	case b.temporal() && a.kind == kString && left.kind == kNode && left.typ == "":
		*a = textValue(a.text, b.kind)
	}
}

func (m *machine) arithmetic(x *expr, left, right Collection) Collection {
	a, ok1 := m.single(x, left, "the left side of "+x.name)
	b, ok2 := m.single(x, right, "the right side of "+x.name)
	if !ok1 || !ok2 {
		return nil
	}
	switch {
	case x.name == "+" && a.kind == kString && b.kind == kString:
		return m.text(a.text + b.text)
	case (x.name == "+" || x.name == "-") && a.temporal() && b.kind == kQuantity:
		return m.shift(x, a, b)
	case a.number() && b.number():
		return m.numbers(x, a, b)
	case a.kind == kQuantity || b.kind == kQuantity:
		meet(&a, &b, &left[0], &right[0])
		if a.kind == b.kind {
			return m.quantities(x, a, b)
		}
	}
	return m.invalid(x, x.name+" cannot take values of these types")
}

func (m *machine) numbers(x *expr, a, b Value) Collection {
	r := Value{kind: kDecimal}
	if a.kind == kInteger && b.kind == kInteger && x.name != "/" {
		r.kind = kInteger
	}
	var ok bool
	switch x.name {
	case "+":
		r.num, ok = a.num.add(b.num)
	case "-":
		r.num, ok = a.num.add(b.num.neg())
	case "*":
		r.num, ok = a.num.mul(b.num)
	case "/":
		r.num, ok = a.num.quo(b.num)
	case "div":
		r.num, _, ok = a.num.divMod(b.num)
		r.kind = kInteger
	case "mod":
		_, r.num, ok = a.num.divMod(b.num)
	}
	if !ok || r.kind == kInteger && !r.num.integral() { // over the bounds, or divided by zero
		return nil
	}
	return m.one(r)
}

func (m *machine) quantities(x *expr, a, b Value) Collection {
	var r Value
	var ok bool
	switch x.name {
	case "+":
		r, ok = addQuantity(&a, &b)
	case "-":
		b.num = b.num.neg()
		r, ok = addQuantity(&a, &b)
	case "*":
		r, ok = mulQuantity(&a, &b, 1)
	case "/":
		r, ok = mulQuantity(&a, &b, -1)
	default:
		return m.invalid(x, x.name+" cannot take quantities")
	}
	if !ok {
		return nil
	}
	return m.one(r)
}

// shift moves a date or time by a duration.
func (m *machine) shift(x *expr, a, b Value) Collection {
	word := b.text
	if !b.flag {
		var ok bool
		if word, ok = definiteUnit[b.text]; !ok {
			return m.invalid(x, "only a duration of the calendar can be added to a date or time")
		}
	}
	if x.name == "-" {
		b.num = b.num.neg()
	}
	t, ok := a.moment()
	if !ok {
		return nil
	}
	if t, ok = t.add(b.num, word); !ok {
		return nil
	}
	a.text = t.String()
	return m.one(a)
}
