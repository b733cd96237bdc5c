package fhirpath

import (
	"bytes"

	"github.com/jumpa-hie/jumpa/fhir"
)

type kind uint8

const (
	kNone kind = iota
	kNode      // something in a document
	kBoolean
	kInteger
	kDecimal
	kString
	kDate
	kDateTime
	kTime
	kQuantity
	kType // what type() gives
)

var systemName = [...]string{
	kBoolean: "Boolean", kInteger: "Integer", kDecimal: "Decimal", kString: "String", kDate: "Date",
	kDateTime: "DateTime", kTime: "Time", kQuantity: "Quantity", kType: "TypeInfo",
}

// Value is one item of a Collection: an element in a document, or a value that
// was computed. Values are immutable.
type Value struct {
	kind kind
	flag bool    // the value of a boolean; whether the unit of a quantity is one of the calendar
	num  decimal // of numbers and quantities
	text string  // of strings, dates and times; the unit of a quantity; the name of a type
	typ  string  // of an element, as the model names it; the namespace of a type
	node fhir.Node
	ext  fhir.Node // the _name beside a primitive element
}

// Collection is the result of an expression: values in order, perhaps none.
type Collection []Value

// Bool makes a boolean.
func Bool(b bool) Value { return Value{kind: kBoolean, flag: b} }

// Integer makes an integer.
func Integer(i int32) Value { return Value{kind: kInteger, num: integer(int64(i))} }

// Text makes a string.
func Text(s string) Value { return Value{kind: kString, text: s} }

// Of makes a value of a node in a document. The type is the one the model uses;
// "" stands for the node's resourceType, or an unknown type.
func Of(n fhir.Node, typ string) Value { return element(n, fhir.Node{}, typ) }

func element(n, ext fhir.Node, typ string) Value {
	if typ == "" || typ == "Resource" || typ == "DomainResource" {
		if rt := n.Get("resourceType"); rt.Kind() == fhir.String {
			typ = rt.String()
		}
	}
	return Value{kind: kNode, node: n, ext: ext, typ: typ}
}

// Node gives the element in the document; it does not exist for a value that
// was computed, and for a primitive that has nothing but extensions.
func (v Value) Node() fhir.Node { return v.node }

// Sibling gives the member _name beside a primitive element, which holds its
// id and extensions.
func (v Value) Sibling() fhir.Node { return v.ext }

// Type gives the type: HumanName, code or Patient.contact for an element,
// System.Boolean for a computed value, "" when the model does not know.
func (v Value) Type() string {
	if v.kind == kNode {
		return v.typ
	}
	return "System." + systemName[v.kind]
}

// Bool gives the value of a boolean.
func (v Value) Bool() (value, ok bool) {
	s, ok := v.system()
	return s.flag, ok && s.kind == kBoolean
}

// String gives the text of a primitive: the digits of a number as they were
// written, a date without @, a quantity as 4 'mg'. It is "" for other elements.
func (v Value) String() string {
	s, ok := v.system()
	if !ok {
		return ""
	}
	switch s.kind {
	case kBoolean:
		if s.flag {
			return "true"
		}
		return "false"
	case kInteger, kDecimal:
		return s.num.String()
	case kQuantity:
		return quantityText(&s)
	case kType:
		return s.typ + "." + s.text
	}
	return s.text
}

// Bool reads a collection as a condition, such as an invariant: known is false
// when it is empty; one value that is no boolean counts as true. Several values
// are neither true nor known.
func (c Collection) Bool() (value, known bool) {
	if len(c) != 1 {
		return false, false
	}
	if c[0].kind == kNode && !c[0].hasValue() && c[0].node.Kind() != fhir.Object {
		return false, false
	}
	if b, ok := c[0].Bool(); ok {
		return b, true
	}
	return true, true
}

// Strings gives the texts of all values that have one.
func (c Collection) Strings() []string {
	var ss []string
	for _, v := range c {
		if s, ok := v.system(); ok {
			ss = append(ss, s.String())
		}
	}
	return ss
}

// hasValue tells whether an element is a primitive that has a value.
func (v *Value) hasValue() bool {
	switch v.node.Kind() {
	case fhir.String, fhir.Number, fhir.Bool:
		return true
	}
	return false
}

// primitive gives the kind of value that a FHIR type holds.
func primitive(typ string) kind {
	switch typ {
	case "boolean":
		return kBoolean
	case "integer", "positiveInt", "unsignedInt":
		return kInteger
	case "decimal":
		return kDecimal
	case "date":
		return kDate
	case "dateTime", "instant":
		return kDateTime
	case "time":
		return kTime
	case "string", "code", "id", "uri", "url", "canonical", "oid", "uuid", "markdown", "base64Binary", "xhtml":
		return kString
	}
	return kNone
}

// quantityTypes are the types that are read as a quantity.
func quantityType(typ string) bool {
	switch typ {
	case "Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration":
		return true
	}
	return false
}

// system gives the value that an element stands for in comparisons and
// arithmetic; ok is false when it has none, as a HumanName, or a primitive
// with nothing but extensions.
func (v *Value) system() (s Value, ok bool) {
	if v.kind != kNode {
		return *v, v.kind != kNone
	}
	switch v.node.Kind() {
	case fhir.Bool:
		b, _ := v.node.Bool()
		return Value{kind: kBoolean, flag: b}, true
	case fhir.Number:
		d, ok := parseDecimal(string(v.node.Raw()))
		switch want := primitive(v.typ); {
		case !ok: // out of every bound: a text
			return Value{kind: kString, text: v.node.String()}, true
		case (want == kInteger || want != kDecimal && plainInteger(v.node.Raw())) && d.integral():
			return Value{kind: kInteger, num: d}, true
		}
		return Value{kind: kDecimal, num: d}, true
	case fhir.String:
		return textValue(v.node.String(), primitive(v.typ)), true
	case fhir.Object:
		if quantityType(v.typ) {
			return v.quantity()
		}
	}
	return Value{}, false
}

func plainInteger(raw []byte) bool { return !bytes.ContainsAny(raw, ".eE") }

// textValue reads the text of an element. What is not of its type's form stays
// a string.
func textValue(text string, want kind) Value {
	switch want {
	case kInteger, kDecimal:
		if d, ok := parseDecimal(text); ok && (want == kDecimal || d.integral()) {
			return Value{kind: want, num: d}
		}
	case kDate, kDateTime, kTime:
		if _, ok := parseMoment(text, want == kTime); ok {
			return Value{kind: want, text: text}
		}
	}
	return Value{kind: kString, text: text}
}

const ucum = "http://unitsofmeasure.org"

var calendarOf = map[string]string{"a": "year", "mo": "month", "wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}

// quantity reads a FHIR Quantity. One with a comparator is no definite value.
func (v *Value) quantity() (Value, bool) {
	number := v.node.Get("value")
	if number.Kind() != fhir.Number || v.node.Get("comparator").Exists() {
		return Value{}, false
	}
	d, ok := parseDecimal(string(number.Raw()))
	if !ok {
		return Value{}, false
	}
	q := Value{kind: kQuantity, num: d, text: "1"}
	code, system := v.node.Get("code"), v.node.Get("system")
	switch {
	case code.Kind() == fhir.String && system.Is(ucum):
		q.text = code.String()
		if word, ok := calendarOf[q.text]; ok {
			q.text, q.flag = word, true
		}
	case code.Kind() == fhir.String: // of another system: comparable with itself
		q.text = system.String() + "|" + code.String()
	case v.node.Get("unit").Kind() == fhir.String:
		q.text = v.node.Get("unit").String()
	}
	return q, true
}

// moment reads the text of a date, dateTime or time.
func (v *Value) moment() (moment, bool) { return parseMoment(v.text, v.kind == kTime) }
