package fhirpath

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

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
		c, known = m.compareQuantity(&a, &b)
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
	if !m.units(&a, &b) {
		return nil
	}
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
