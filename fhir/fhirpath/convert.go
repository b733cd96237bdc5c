package fhirpath

import (
	"math"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

type conversion func(v Value) (Value, bool)

// to makes a function that converts one value, and is empty when it cannot.
func to(convert conversion) func(*machine, *expr, env, Collection) Collection {
	return func(m *machine, x *expr, _ env, in Collection) Collection {
		v, ok := m.single(x, in, "the input of "+x.name+"()")
		if !ok {
			return nil
		}
		if v, ok = convert(v); !ok || !m.made(len(v.text)) {
			return nil
		}
		return m.one(v)
	}
}

// converts makes a function that tells whether a value can be converted.
func converts(convert conversion) func(*machine, *expr, env, Collection) Collection {
	return func(m *machine, x *expr, _ env, in Collection) Collection {
		if len(in) == 0 {
			return nil
		}
		v, ok := m.single(x, in, "the input of "+x.name+"()")
		if m.err != nil {
			return nil
		}
		if ok {
			_, ok = convert(v)
		}
		return boolean(ok)
	}
}

func toBoolean(v Value) (Value, bool) {
	switch v.kind {
	case kBoolean:
		return v, true
	case kInteger, kDecimal:
		one := v.num.cmp(integer(1)) == 0
		return Bool(one), one || v.num.sign() == 0
	case kString:
		switch strings.ToLower(v.text) {
		case "true", "t", "yes", "y", "1", "1.0":
			return Bool(true), true
		case "false", "f", "no", "n", "0", "0.0":
			return Bool(false), true
		}
	}
	return v, false
}

func toInteger(v Value) (Value, bool) {
	switch v.kind {
	case kInteger:
		return v, true
	case kBoolean:
		if v.flag {
			return Integer(1), true
		}
		return Integer(0), true
	case kString:
		d, ok := parseDecimal(v.text)
		return Value{kind: kInteger, num: d}, ok && d.integral() && plainInteger([]byte(v.text))
	}
	return v, false
}

func toDecimal(v Value) (Value, bool) {
	switch v.kind {
	case kInteger, kDecimal:
		return Value{kind: kDecimal, num: v.num}, true
	case kBoolean:
		d := Value{kind: kDecimal, num: decimal{scale: 1}}
		if v.flag {
			d.num.c = 10
		}
		return d, true
	case kString:
		d, ok := parseDecimal(v.text)
		return Value{kind: kDecimal, num: d}, ok && !strings.ContainsAny(v.text, "eE")
	}
	return v, false
}

func toText(v Value) (Value, bool) {
	if v.kind == kType {
		return v, false
	}
	return Text(v.String()), true
}

func toDate(v Value) (Value, bool) {
	if v.kind != kString && v.kind != kDate && v.kind != kDateTime {
		return v, false
	}
	t, ok := parseMoment(v.text, false)
	if !ok || strings.HasSuffix(v.text, "T") {
		return v, false
	}
	if t.until > ofDay {
		if v.kind == kString && v.text[10] != 'T' {
			return v, false
		}
		v.text = v.text[:10]
	}
	return Value{kind: kDate, text: v.text}, true
}

func toDateTime(v Value) (Value, bool) {
	if v.kind != kString && v.kind != kDate && v.kind != kDateTime {
		return v, false
	}
	_, ok := parseMoment(v.text, false)
	return Value{kind: kDateTime, text: v.text}, ok && !strings.HasSuffix(v.text, "T")
}

func toTime(v Value) (Value, bool) {
	if v.kind != kString && v.kind != kTime {
		return v, false
	}
	_, ok := parseMoment(v.text, true)
	return Value{kind: kTime, text: v.text}, ok
}

func toQuantity(v Value) (Value, bool) {
	switch v.kind {
	case kQuantity:
		return v, true
	case kInteger, kDecimal:
		return Value{kind: kQuantity, num: v.num, text: "1"}, true
	case kBoolean:
		d, _ := toDecimal(v)
		return Value{kind: kQuantity, num: d.num, text: "1"}, true
	case kString:
		return quantityOf(v.text)
	}
	return v, false
}

// quantityOf reads 4, 4 days and 4 'mg'.
func quantityOf(s string) (q Value, ok bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("+-.0123456789", r) })
	if end < 0 {
		end = len(s)
	}
	q = Value{kind: kQuantity, text: "1"}
	if q.num, ok = parseDecimal(s[:end]); !ok {
		return q, false
	}
	rest := strings.TrimLeft(s[end:], " \t\r\n")
	switch {
	case s[end:] == "":
		return q, true
	case len(rest) > 2 && rest[0] == '\'' && rest[len(rest)-1] == '\'' && !strings.Contains(rest[1:len(rest)-1], "'"):
		q.text = rest[1 : len(rest)-1]
		q.calendar()
		return q, true
	}
	q.text, q.flag = calendarWord(rest)
	return q, q.flag && len(rest) < len(s[end:])
}

// toUnit is toQuantity and convertsToQuantity, which may ask for a unit.
func toUnit(asked bool) func(*machine, *expr, env, Collection) Collection {
	return func(m *machine, x *expr, e env, in Collection) Collection {
		if len(in) == 0 {
			return nil
		}
		v, ok := m.single(x, in, "the input of "+x.name+"()")
		if m.err != nil {
			return nil
		}
		if ok {
			v, ok = toQuantity(v)
		}
		if ok && len(x.args) == 1 {
			name, given := m.stringOf(x, m.eval(x.args[0], e), "the unit")
			if !given {
				return nil
			}
			want := Value{kind: kQuantity, num: integer(1), text: name}
			if word, is := calendarWord(name); is {
				want.text, want.flag = word, true
			}
			if !m.units(&v, &want) {
				return nil
			}
			a, _, _, u, same := measure(&v, &want, false)
			if ok = same; ok {
				want.num, ok = fromRat(a.Quo(a, u.factor)).fit()
				v = want
			}
		}
		switch {
		case asked:
			return boolean(ok)
		case !ok:
			return nil
		}
		return m.one(v)
	}
}

func (m *machine) getValue(x *expr, _ env, in Collection) Collection {
	if len(in) != 1 || in[0].kind == kNode && !in[0].hasValue() {
		return nil
	}
	v, ok := m.single(x, in, "the input of getValue()")
	if !ok {
		return nil
	}
	return m.one(v)
}

// clock gives the time of the evaluation, the same throughout.
func (m *machine) clock(k kind) Collection {
	if m.now.IsZero() {
		m.now = time.Now().In(fhir.Malaysia)
	}
	layout := map[kind]string{kDate: time.DateOnly, kDateTime: "2006-01-02T15:04:05.000Z07:00", kTime: "15:04:05.000"}[k]
	return m.one(Value{kind: k, text: m.now.Format(layout)})
}

// math1 makes a function of one number.
func math1(name string) func(*machine, *expr, env, Collection) Collection {
	return func(m *machine, x *expr, _ env, in Collection) Collection {
		v, ok := m.single(x, in, "the input of "+name+"()")
		if !ok {
			return nil
		}
		if !v.number() && (v.kind != kQuantity || name != "abs") {
			return m.invalid(x, name+"() takes a number")
		}
		r := Value{kind: kInteger}
		switch name {
		case "abs":
			if r = v; v.num.sign() < 0 {
				r.num = v.num.neg()
			}
		case "ceiling":
			r.num = v.num.truncate(1)
		case "floor":
			r.num = v.num.truncate(-1)
		case "truncate":
			r.num = v.num.truncate(0)
		case "exp":
			r.kind = kDecimal
			r.num, ok = fromFloat(math.Exp(v.num.float()))
		case "ln":
			r.kind = kDecimal
			r.num, ok = fromFloat(math.Log(v.num.float()))
		case "sqrt":
			r.kind = kDecimal
			r.num, ok = v.num.sqrt()
		}
		if !ok || r.kind == kInteger && !r.num.integral() {
			return nil
		}
		return m.one(r)
	}
}

// math2 makes a function of a number and an argument.
func math2(name string) func(*machine, *expr, env, Collection) Collection {
	return func(m *machine, x *expr, e env, in Collection) Collection {
		v, ok := m.single(x, in, "the input of "+name+"()")
		if !ok {
			return nil
		}
		arg := Integer(0)
		if len(x.args) == 1 {
			if arg, ok = m.single(x, m.eval(x.args[0], e), "the argument of "+name+"()"); !ok {
				return nil
			}
		}
		if !v.number() || !arg.number() || name == "round" && (arg.kind != kInteger || arg.num.sign() < 0) {
			return m.invalid(x, name+"() takes numbers")
		}
		r := Value{kind: kDecimal}
		switch name {
		case "log":
			r.num, ok = fromFloat(math.Log(v.num.float()) / math.Log(arg.num.float()))
		case "power":
			if r.num, ok = v.num.pow(arg.num); v.kind == kInteger && arg.kind == kInteger && r.num.integral() {
				r.kind = kInteger
			}
		case "round":
			if r = v; arg.num.c <= maxDigits {
				r.num = roundUp(v.num, int32(arg.num.c))
			}
		}
		if !ok {
			return nil
		}
		return m.one(r)
	}
}

// roundUp rounds a half towards the larger number, as round() is defined.
func roundUp(d decimal, scale int32) decimal {
	if d.scale <= scale {
		return d
	}
	half := decimal{c: 5, scale: scale + 1}
	sum, ok := d.add(half)
	if !ok {
		return d.round(scale)
	}
	moved := sum.rescale(sum.scale)
	moved.scale -= scale // so that the wanted place is the unit's
	cut := moved.truncate(-1)
	cut.scale = scale
	return cut
}
