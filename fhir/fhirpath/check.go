package fhirpath

import (
	"fmt"
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
)

// static is what is known of a collection without a document: its types (nil
// when they are not known) and whether it has an order.
type static struct {
	types     []string
	unordered bool
}

type checker struct {
	model Model
	err   error
}

// Check tells whether every name in the expression is an element of the types
// on its way, beginning with an element of the given type, and whether nothing
// depends on the order of children() and descendants(). It follows paths as
// far as the model knows them; what it cannot know it accepts.
func (e *Expression) Check(m Model, typ string) error {
	if m == nil {
		m = R4()
	}
	c := &checker{model: m}
	start := static{}
	if typ != "" {
		start.types = []string{typ}
	}
	c.infer(e.root, start)
	return c.err
}

func (c *checker) fail(x *expr, format string, args ...any) static {
	if c.err == nil {
		c.err = &Error{Code: fhir.CodeInvalid, Offset: int(x.pos), Message: fmt.Sprintf(format, args...)}
	}
	return static{}
}

func (c *checker) infer(x *expr, this static) static {
	switch x.op {
	case opThis:
		return this
	case opMember:
		if x.left == nil {
			if len(this.types) > 0 && isA(c.model, this.types[0], x.name) {
				return this
			}
			return c.member(x, this)
		}
		return c.member(x, c.infer(x.left, this))
	case opIndexer:
		in := c.infer(x.left, this)
		c.infer(x.args[0], this)
		return c.ordered(x, in, "an index")
	case opCall:
		in := this
		if x.left != nil {
			in = c.infer(x.left, this)
		}
		return c.call(x, in, this)
	case opIs:
		c.infer(x.left, this)
	case opAs:
		return c.narrow(x, c.infer(x.left, this))
	case opBinary:
		a, b := c.infer(x.left, this), c.infer(x.args[0], this)
		if x.name == "|" {
			return both(a, b)
		}
	case opPlus, opNegate:
		c.infer(x.left, this)
	}
	return static{}
}

func both(a, b static) static {
	if a.types == nil || b.types == nil {
		return static{}
	}
	return static{types: once(append(slices.Clone(a.types), b.types...))}
}

func (c *checker) member(x *expr, in static) static {
	if in.types == nil || c.err != nil {
		return static{}
	}
	var out []string
	found := false
	for _, t := range in.types {
		if _, known := c.model.Super(t); !known {
			return static{}
		}
		el, ok := c.model.Element(t, x.name)
		if !ok {
			if small(t) && (x.name == "id" || x.name == "extension" || x.name == "value") {
				return static{}
			}
			continue
		}
		found = true
		if len(el.Choices) == 0 {
			out = append(out, el.Type)
		}
		for _, choice := range el.Choices {
			out = append(out, choice.Type)
		}
	}
	if !found {
		return c.fail(x, "%s has no element %s", in.types[0], x.name)
	}
	if slices.Contains(out, "Resource") { // any resource
		return static{}
	}
	return static{types: once(out)}
}

// once drops repetitions, so that extension.value.extension.value… stays small.
func once(types []string) []string {
	slices.Sort(types)
	return slices.Compact(types)
}

func (c *checker) narrow(x *expr, in static) static {
	if x.typ.space == "System" {
		return static{}
	}
	if _, known := c.model.Super(x.typ.name); !known {
		return static{}
	}
	return static{types: []string{x.typ.name}, unordered: in.unordered}
}

func (c *checker) ordered(x *expr, in static, what string) static {
	if in.unordered {
		return c.fail(x, "%s has no meaning here: children() and descendants() are in no order", what)
	}
	return in
}

func (c *checker) call(x *expr, in, this static) static {
	inner := this
	switch x.name { // arguments that are evaluated on each item
	case "where", "select", "all", "exists", "repeat", "aggregate", "trace", "iif":
		inner = in
	}
	var args []static
	for _, a := range x.args {
		args = append(args, c.infer(a, inner))
	}
	switch x.name {
	case "first", "last", "tail", "skip", "take":
		return c.ordered(x, in, x.name+"()")
	case "where", "single", "distinct", "exclude", "intersect", "trace", "checkModifiers":
		return in
	case "union", "combine":
		return both(in, args[0])
	case "select":
		return args[0]
	case "ofType", "as":
		return c.narrow(x, in)
	case "children", "descendants":
		return static{unordered: true}
	case "extension":
		return static{types: []string{"Extension"}}
	}
	return static{}
}
