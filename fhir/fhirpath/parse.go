package fhirpath

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The bounds of an expression.
const (
	MaxLength = 16 << 10 // bytes
	MaxDepth  = 200      // operators and calls inside one another
)

type op uint8

const (
	opLiteral op = iota
	opThis
	opIndexVar
	opTotal
	opVariable
	opMember
	opCall
	opIndexer
	opNegate
	opPlus
	opIs
	opAs
	opBinary
)

// expr is a node of the syntax tree.
type expr struct {
	op      op
	pos     int32
	depth   int32
	name    string // of a member, variable, function or operator
	sibling string // _name of a member
	left    *expr  // nil: $this
	args    []*expr
	value   Collection
	fn      *function
	typ     typeName
	re      *pattern // of a literal
}

type typeName struct{ space, name string }

type parser struct {
	src  string
	pos  int
	tok  token
	err  *Error
	nest int
}

func parse(src string) (*expr, error) {
	if len(src) > MaxLength {
		return nil, &Error{Code: fhir.CodeTooCostly, Message: fmt.Sprintf("the expression is longer than %d bytes", MaxLength)}
	}
	if !utf8.ValidString(src) {
		return nil, &Error{Code: fhir.CodeInvalid, Message: "the expression is not valid UTF-8"}
	}
	p := &parser{src: src}
	p.next()
	x := p.expression(0)
	if p.err == nil && p.tok.kind != tEnd {
		p.fail(p.tok.pos, "%s is not expected here", p.tok.describe())
	}
	if p.err != nil {
		return nil, p.err
	}
	return x, nil
}

func (t token) describe() string {
	switch t.kind {
	case tEnd:
		return "the end of the expression"
	case tString:
		return "a string"
	}
	return strconv.Quote(t.text)
}

func (p *parser) fail(pos int, format string, args ...any) {
	p.failAs(fhir.CodeInvalid, pos, format, args...)
}

func (p *parser) failAs(code fhir.Code, pos int, format string, args ...any) {
	if p.err == nil {
		p.err = &Error{Code: code, Offset: pos, Message: fmt.Sprintf(format, args...)}
	}
	p.tok = token{kind: tEnd, pos: len(p.src)}
	p.pos = len(p.src)
}

// binary operators, the weakest first. is and as stand among them.
var levels = [][]string{
	{"implies"}, {"or", "xor"}, {"and"}, {"in", "contains"}, {"=", "~", "!=", "!~"}, {"is", "as"}, {"<=", "<", ">", ">="},
	{"|"}, {"+", "-", "&"}, {"*", "/", "div", "mod"},
}

func (p *parser) is(symbol string) bool {
	return (p.tok.kind == tSymbol || p.tok.kind == tName) && p.tok.text == symbol
}

func (p *parser) expect(symbol string) {
	if !p.is(symbol) {
		p.fail(p.tok.pos, "%q is expected instead of %s", symbol, p.tok.describe())
		return
	}
	p.next()
}

// made sets the depth of a node that has all its parts.
func (p *parser) made(x *expr) *expr {
	if x.left != nil {
		x.depth = x.left.depth
	}
	for _, a := range x.args {
		if a != nil {
			x.depth = max(x.depth, a.depth)
		}
	}
	if x.depth++; x.depth > MaxDepth {
		p.tooDeep(int(x.pos))
	}
	return x
}

func (p *parser) tooDeep(pos int) {
	p.failAs(fhir.CodeTooCostly, pos, "the expression is nested more than %d deep", MaxDepth)
}

func (p *parser) expression(level int) *expr {
	if level == len(levels) {
		return p.unary()
	}
	left := p.expression(level + 1)
	for p.err == nil && (p.tok.kind == tSymbol || p.tok.kind == tName) && slices.Contains(levels[level], p.tok.text) {
		x := &expr{op: opBinary, pos: int32(p.tok.pos), name: p.tok.text, left: left}
		p.next()
		switch x.name {
		case "is", "as":
			x.op = opIs
			if x.name == "as" {
				x.op = opAs
			}
			x.typ = p.typeName()
		default:
			right := p.expression(level + 1)
			if p.err != nil {
				return x
			}
			x.args = []*expr{right}
		}
		left = p.made(x)
	}
	return left
}

func (p *parser) unary() *expr {
	if p.nest++; p.nest > MaxDepth {
		p.tooDeep(p.tok.pos)
		return &expr{}
	}
	defer func() { p.nest-- }()
	if p.is("-") || p.is("+") {
		x := &expr{op: opPlus, pos: int32(p.tok.pos), name: p.tok.text}
		if x.name == "-" {
			x.op = opNegate
		}
		p.next()
		x.left = p.unary()
		return p.made(x)
	}
	x := p.term()
	for p.err == nil {
		switch {
		case p.is("."):
			p.next()
			x = p.invocation(x)
		case p.is("["):
			pos := p.tok.pos
			p.next()
			index := p.expression(0)
			p.expect("]")
			x = p.made(&expr{op: opIndexer, pos: int32(pos), left: x, args: []*expr{index}})
		default:
			return x
		}
	}
	return x
}

func (p *parser) literal(v ...Value) *expr {
	return &expr{op: opLiteral, pos: int32(p.tok.pos), value: v, depth: 1}
}

func (p *parser) term() *expr {
	t := p.tok
	switch t.kind {
	case tString:
		x := p.literal(Text(t.text))
		p.next()
		return x
	case tNumber:
		return p.number()
	case tMoment:
		x := p.momentLiteral()
		p.next()
		return x
	case tName:
		if t.text == "true" || t.text == "false" {
			x := p.literal(Bool(t.text == "true"))
			p.next()
			return x
		}
		return p.invocation(nil)
	case tQuoted:
		return p.invocation(nil)
	case tSymbol:
		switch t.text {
		case "(":
			p.next()
			x := p.expression(0)
			p.expect(")")
			return x
		case "{":
			x := p.literal()
			p.next()
			p.expect("}")
			return x
		case "%":
			return p.variable()
		}
		if t.text[0] == '$' {
			return p.invocation(nil)
		}
	}
	p.fail(t.pos, "%s is not expected here", t.describe())
	return &expr{}
}

// number reads an integer, a decimal, or a quantity.
func (p *parser) number() *expr {
	t := p.tok
	d, ok := parseDecimal(t.text)
	if !ok {
		p.fail(t.pos, "the number has too many digits")
		return &expr{}
	}
	x := p.literal(Value{kind: kDecimal, num: d})
	v := &x.value[0]
	p.next()
	if p.tok.kind == tString {
		v.kind, v.text = kQuantity, p.tok.text
		v.calendar()
		p.next()
		return x
	}
	if p.tok.kind == tName {
		if word, ok := calendarWord(p.tok.text); ok {
			v.kind, v.text, v.flag = kQuantity, word, true
			p.next()
			return x
		}
	}
	if !strings.Contains(t.text, ".") {
		v.kind = kInteger
		// One more than the largest integer stands in -2147483648.
		if !d.integral() && t.text != "2147483648" {
			p.fail(t.pos, "the integer is larger than 2147483647")
		}
	}
	return x
}

// calendar reads the unit '{day}' as the calendar's day.
func (v *Value) calendar() {
	if inner, ok := strings.CutPrefix(v.text, "{"); ok {
		if word, ok := calendarWord(strings.TrimSuffix(inner, "}")); ok && strings.HasSuffix(inner, "}") {
			v.text, v.flag = word, true
		}
	}
}

func (p *parser) momentLiteral() *expr {
	text, k := p.tok.text, kDate
	if clock, ok := strings.CutPrefix(text, "T"); ok {
		text, k = clock, kTime
	} else if strings.Contains(text, "T") {
		k = kDateTime
	}
	m, ok := parseMoment(text, k == kTime)
	if !ok {
		p.fail(p.tok.pos, "this is no date, dateTime or time")
		return &expr{}
	}
	if m.until <= ofDay {
		text = strings.TrimSuffix(text, "T")
	}
	return p.literal(Value{kind: k, text: text})
}

func (p *parser) variable() *expr {
	x := &expr{op: opVariable, pos: int32(p.tok.pos), depth: 1}
	// %vs-name and %ext-name are read as one name, with or without backquotes.
	rest := p.src[p.pos:]
	for _, prefix := range []string{"vs-", "ext-"} {
		if strings.HasPrefix(rest, prefix) && len(rest) > len(prefix) && letter(rest[len(prefix)]) {
			start := p.pos
			p.take(func(c byte) bool { return letter(c) || digit(c) || c == '-' })
			x.name = p.src[start:p.pos]
			p.next()
			return x
		}
	}
	p.next()
	if p.tok.kind != tName && p.tok.kind != tQuoted && p.tok.kind != tString {
		p.fail(p.tok.pos, "the name of a variable is expected instead of %s", p.tok.describe())
		return x
	}
	x.name = p.tok.text
	p.next()
	return x
}

// invocation reads a member, a function or $this, $index, $total.
func (p *parser) invocation(left *expr) *expr {
	t := p.tok
	if t.kind == tSymbol && t.text != "" && t.text[0] == '$' {
		x := &expr{pos: int32(t.pos), depth: 1}
		switch t.text {
		case "$this":
			x.op = opThis
		case "$index":
			x.op = opIndexVar
		case "$total":
			x.op = opTotal
		default:
			p.fail(t.pos, "%q is not known; there are $this, $index and $total", t.text)
		}
		if left != nil {
			p.fail(t.pos, "%s cannot follow a dot", t.text)
		}
		p.next()
		return x
	}
	if t.kind != tName && t.kind != tQuoted {
		p.fail(t.pos, "a name is expected instead of %s", t.describe())
		return &expr{}
	}
	if t.kind == tName && left == nil && slices.Contains([]string{"and", "or", "xor", "implies", "div", "mod"}, t.text) {
		p.fail(t.pos, "%q is not expected here", t.text)
		return &expr{}
	}
	p.next()
	if !p.is("(") {
		return p.made(&expr{op: opMember, pos: int32(t.pos), name: t.text, sibling: "_" + t.text, left: left})
	}
	p.next()
	x := &expr{op: opCall, pos: int32(t.pos), name: t.text, left: left}
	for !p.is(")") && p.err == nil {
		x.args = append(x.args, p.expression(0))
		if !p.is(",") {
			break
		}
		if p.next(); p.is(")") {
			p.fail(p.tok.pos, "an argument is missing")
		}
	}
	p.expect(")")
	if p.err != nil {
		return x
	}
	p.bind(x)
	return p.made(x)
}

// bind finds the function and checks its arguments.
func (p *parser) bind(x *expr) {
	f, ok := functions[x.name]
	switch {
	case !ok && refused[x.name] != "":
		p.failAs(fhir.CodeNotSupported, int(x.pos), "the function %s() is not supported: %s", x.name, refused[x.name])
		return
	case !ok:
		p.fail(int(x.pos), "there is no function %s()", x.name)
		return
	case len(x.args) < f.min || len(x.args) > f.max:
		p.fail(int(x.pos), "%s() takes %s", x.name, f.arity())
		return
	}
	x.fn = f
	if f.typed {
		if x.typ, ok = typeOfArgument(x.args[0]); !ok {
			p.fail(int(x.pos), "%s() takes the name of a type", x.name)
			return
		}
		x.args = nil
	}
	if f.pattern && x.args[0].op == opLiteral && len(x.args[0].value) == 1 && x.args[0].value[0].kind == kString {
		re, err := compilePattern(x.args[0].value[0].text, x.name == "matchesFull")
		if err != nil {
			p.fail(int(x.args[0].pos), "the regular expression cannot be used: %v", err)
			return
		}
		x.re = re
	}
}

// typeOfArgument reads Quantity or FHIR.Quantity.
func typeOfArgument(x *expr) (typeName, bool) {
	switch {
	case x.op != opMember:
	case x.left == nil:
		return typeName{name: x.name}, true
	case x.left.op == opMember && x.left.left == nil:
		return typeName{space: x.left.name, name: x.name}, true
	}
	return typeName{}, false
}

func (p *parser) typeName() (t typeName) {
	name := func() string {
		if p.tok.kind != tName && p.tok.kind != tQuoted {
			p.fail(p.tok.pos, "the name of a type is expected instead of %s", p.tok.describe())
			return ""
		}
		s := p.tok.text
		p.next()
		return s
	}
	t.name = name()
	if p.is(".") {
		p.next()
		t.space, t.name = t.name, name()
	}
	return t
}
