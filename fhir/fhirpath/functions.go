package fhirpath

import (
	"fmt"
	"strconv"
)

// function is one function of the language. run gets the input collection;
// arguments are in x.args.
type function struct {
	min, max int
	typed    bool // the argument is the name of a type
	pattern  bool // the first argument is a regular expression
	run      func(m *machine, x *expr, e env, in Collection) Collection
}

func (f *function) arity() string {
	switch {
	case f.max == 0:
		return "no arguments"
	case f.min == f.max && f.max == 1:
		return "one argument"
	case f.min == f.max:
		return strconv.Itoa(f.max) + " arguments"
	case f.max == many:
		return fmt.Sprintf("at least %d arguments", f.min)
	}
	return fmt.Sprintf("%d to %d arguments", f.min, f.max)
}

const many = 32

// refused are the functions of FHIR that ask for profiles, which this package
// does not know.
var refused = map[string]string{
	"elementDefinition": "it needs the definitions of profiles",
	"slice":             "it needs the slices of profiles",
}

var functions = map[string]*function{
	// Existence
	"empty":    {run: func(_ *machine, _ *expr, _ env, in Collection) Collection { return boolean(len(in) == 0) }},
	"exists":   {max: 1, run: (*machine).exists},
	"all":      {min: 1, max: 1, run: (*machine).allOf},
	"allTrue":  {run: booleans(false, isFalse)},
	"anyTrue":  {run: booleans(true, isTrue)},
	"allFalse": {run: booleans(false, isTrue)},
	"anyFalse": {run: booleans(true, isFalse)},
	"count":    {run: func(m *machine, _ *expr, _ env, in Collection) Collection { return m.one(Integer(int32(len(in)))) }},
	"not":      {run: (*machine).not},
	"subsetOf": {min: 1, max: 1, run: (*machine).subsetOf},
	"distinct": {run: func(m *machine, _ *expr, _ env, in Collection) Collection { return m.distinct(in) }},
	"hasValue": {run: func(_ *machine, _ *expr, _ env, in Collection) Collection {
		return boolean(len(in) == 1 && in[0].hasValue())
	}},
	"getValue": {run: (*machine).getValue},
	"isDistinct": {run: func(m *machine, _ *expr, _ env, in Collection) Collection {
		n := len(m.distinct(in))
		return boolean(n == len(in))
	}},
	"supersetOf": {min: 1, max: 1, run: (*machine).supersetOf},

	// Filtering, projection and parts
	"where":       {min: 1, max: 1, run: (*machine).where},
	"select":      {min: 1, max: 1, run: (*machine).selected},
	"repeat":      {min: 1, max: 1, run: (*machine).repeat},
	"ofType":      {min: 1, max: 1, typed: true, run: func(m *machine, x *expr, _ env, in Collection) Collection { return m.ofType(x, in) }},
	"single":      {run: (*machine).singleItem},
	"first":       {run: func(_ *machine, _ *expr, _ env, in Collection) Collection { return in[:min(1, len(in))] }},
	"last":        {run: func(_ *machine, _ *expr, _ env, in Collection) Collection { return in[max(0, len(in)-1):] }},
	"tail":        {run: func(_ *machine, _ *expr, _ env, in Collection) Collection { return in[min(1, len(in)):] }},
	"skip":        {min: 1, max: 1, run: (*machine).skip},
	"take":        {min: 1, max: 1, run: (*machine).take},
	"iif":         {min: 2, max: 3, run: (*machine).iif},
	"union":       {min: 1, max: 1, run: func(m *machine, x *expr, e env, in Collection) Collection { return m.union(in, m.eval(x.args[0], e)) }},
	"combine":     {min: 1, max: 1, run: func(m *machine, x *expr, e env, in Collection) Collection { return m.join(in, m.eval(x.args[0], e)) }},
	"exclude":     {min: 1, max: 1, run: (*machine).exclude},
	"intersect":   {min: 1, max: 1, run: (*machine).intersect},
	"aggregate":   {min: 1, max: 2, run: (*machine).aggregate},
	"children":    {run: func(m *machine, _ *expr, _ env, in Collection) Collection { return m.childrenOf(in) }},
	"descendants": {run: (*machine).descendants},

	// Types
	"is":   {min: 1, max: 1, typed: true, run: func(m *machine, x *expr, _ env, in Collection) Collection { return m.is(x, in) }},
	"as":   {min: 1, max: 1, typed: true, run: func(m *machine, x *expr, _ env, in Collection) Collection { return m.ofType(x, in) }},
	"type": {run: (*machine).typeInfo},

	// Conversion
	"toBoolean": {run: to(toBoolean)}, "convertsToBoolean": {run: converts(toBoolean)},
	"toInteger": {run: to(toInteger)}, "convertsToInteger": {run: converts(toInteger)},
	"toDecimal": {run: to(toDecimal)}, "convertsToDecimal": {run: converts(toDecimal)},
	"toString": {run: to(toText)}, "convertsToString": {run: converts(toText)},
	"toDate": {run: to(toDate)}, "convertsToDate": {run: converts(toDate)},
	"toDateTime": {run: to(toDateTime)}, "convertsToDateTime": {run: converts(toDateTime)},
	"toTime": {run: to(toTime)}, "convertsToTime": {run: converts(toTime)},
	"toQuantity": {max: 1, run: toUnit(false)}, "convertsToQuantity": {max: 1, run: toUnit(true)},

	// Strings
	"indexOf":        {min: 1, max: 1, run: position(false)},
	"lastIndexOf":    {min: 1, max: 1, run: position(true)},
	"substring":      {min: 1, max: 2, run: (*machine).substring},
	"startsWith":     {min: 1, max: 1, run: compareText("startsWith")},
	"endsWith":       {min: 1, max: 1, run: compareText("endsWith")},
	"contains":       {min: 1, max: 1, run: compareText("contains")},
	"upper":          {run: changeText("upper")},
	"lower":          {run: changeText("lower")},
	"trim":           {run: changeText("trim")},
	"replace":        {min: 2, max: 2, run: (*machine).replace},
	"matches":        {min: 1, max: 1, pattern: true, run: (*machine).matchesPattern},
	"matchesFull":    {min: 1, max: 1, pattern: true, run: (*machine).matchesPattern},
	"replaceMatches": {min: 2, max: 2, pattern: true, run: (*machine).replaceMatches},
	"length":         {run: (*machine).length},
	"toChars":        {run: (*machine).toChars},
	"split":          {min: 1, max: 1, run: (*machine).split},
	"join":           {max: 1, run: (*machine).joinText},
	"encode":         {min: 1, max: 1, run: (*machine).encode},
	"decode":         {min: 1, max: 1, run: (*machine).decode},
	"escape":         {min: 1, max: 1, run: (*machine).escape},
	"unescape":       {min: 1, max: 1, run: (*machine).unescape},

	// Mathematics
	"abs":      {run: math1("abs")},
	"ceiling":  {run: math1("ceiling")},
	"floor":    {run: math1("floor")},
	"truncate": {run: math1("truncate")},
	"exp":      {run: math1("exp")},
	"ln":       {run: math1("ln")},
	"sqrt":     {run: math1("sqrt")},
	"log":      {min: 1, max: 1, run: math2("log")},
	"power":    {min: 1, max: 1, run: math2("power")},
	"round":    {max: 1, run: math2("round")},

	// Utilities
	"trace":     {min: 1, max: 2, run: (*machine).trace},
	"now":       {run: func(m *machine, _ *expr, _ env, _ Collection) Collection { return m.clock(kDateTime) }},
	"today":     {run: func(m *machine, _ *expr, _ env, _ Collection) Collection { return m.clock(kDate) }},
	"timeOfDay": {run: func(m *machine, _ *expr, _ env, _ Collection) Collection { return m.clock(kTime) }},

	// FHIR
	"extension":      {min: 1, max: 1, run: (*machine).extension},
	"resolve":        {run: (*machine).resolve},
	"memberOf":       {min: 1, max: 1, run: (*machine).memberOf},
	"subsumes":       {min: 1, max: 1, run: (*machine).subsumes},
	"subsumedBy":     {min: 1, max: 1, run: (*machine).subsumes},
	"conformsTo":     {min: 1, max: 1, run: (*machine).conformsTo},
	"checkModifiers": {max: many, run: (*machine).checkModifiers},
	"htmlChecks":     {run: (*machine).htmlChecks},
}

// each evaluates the first argument on one item.
func (m *machine) each(x *expr, e env, in Collection, i int) Collection {
	return m.eval(x.args[0], env{this: in[i : i+1 : i+1], total: e.total, index: i, loop: true})
}

func (m *machine) exists(x *expr, e env, in Collection) Collection {
	if len(x.args) == 0 {
		return boolean(len(in) > 0)
	}
	for i := range in {
		if m.condition(x, m.each(x, e, in, i)) == isTrue {
			return yes
		}
		if m.err != nil {
			return nil
		}
	}
	return no
}

func (m *machine) allOf(x *expr, e env, in Collection) Collection {
	for i := range in {
		if m.condition(x, m.each(x, e, in, i)) != isTrue {
			return no
		}
	}
	return yes
}

// booleans answers found when one of the booleans is t, else the opposite.
func booleans(found bool, t truth) func(*machine, *expr, env, Collection) Collection {
	return func(m *machine, x *expr, _ env, in Collection) Collection {
		for i := range in {
			v, ok := m.system(&in[i])
			if !ok {
				continue
			}
			if v.kind != kBoolean {
				return m.invalid(x, x.name+"() takes booleans")
			}
			if truthOf(v.flag) == t {
				return boolean(found)
			}
		}
		return boolean(!found)
	}
}

// not reads the integers 0 and 1 as booleans too.
func (m *machine) not(x *expr, _ env, in Collection) Collection {
	switch m.condition(x, in) {
	case isTrue:
		return no
	case isFalse:
		return yes
	}
	return nil
}

// subset tells whether all of a are among b.
func (m *machine) subset(a, b Collection) Collection {
	s := set{m: m, items: b}
	for i := range a {
		if !s.find(&a[i]) {
			return no
		}
	}
	return yes
}

func (m *machine) subsetOf(x *expr, e env, in Collection) Collection {
	return m.subset(in, m.eval(x.args[0], e))
}

func (m *machine) supersetOf(x *expr, e env, in Collection) Collection {
	return m.subset(m.eval(x.args[0], e), in)
}

func (m *machine) intersect(x *expr, e env, in Collection) Collection {
	other := set{m: m, items: m.eval(x.args[0], e)}
	return m.distinct(m.keep(in, func(v *Value, _ int) bool { return other.find(v) }))
}

func (m *machine) exclude(x *expr, e env, in Collection) Collection {
	other := set{m: m, items: m.eval(x.args[0], e)}
	return m.keep(in, func(v *Value, _ int) bool { return !other.find(v) })
}

func (m *machine) where(x *expr, e env, in Collection) Collection {
	return m.keep(in, func(_ *Value, i int) bool { return m.condition(x, m.each(x, e, in, i)) == isTrue })
}

func (m *machine) selected(x *expr, e env, in Collection) Collection {
	var out Collection
	own := false // whether out is ours to append to
	for i := range in {
		c := m.each(x, e, in, i)
		switch {
		case m.err != nil:
			return nil
		case len(c) == 0:
		case out == nil:
			out = c
		default:
			if !own {
				out, own = append(make(Collection, 0, len(out)+len(c)+len(in)-i), out...), true
			}
			if out = append(out, c...); !m.room(len(out)) || !m.step(len(c)) {
				return nil
			}
		}
	}
	return out
}

func (m *machine) repeat(x *expr, e env, in Collection) Collection {
	found := set{m: m}
	todo := in
	for len(todo) > 0 && m.err == nil {
		before := len(found.items)
		for i := range todo {
			c := m.each(x, e, todo, i)
			for j := range c {
				found.add(&c[j])
			}
			if m.err != nil {
				return nil
			}
		}
		todo = found.items[before:len(found.items):len(found.items)]
	}
	return found.items
}

func (m *machine) childrenOf(in Collection) Collection {
	b := m.build()
	for i := range in {
		if in[i].kind == kNode {
			m.all(&b, &in[i])
		}
	}
	if m.err != nil {
		return nil
	}
	return b.done()
}

// descendants gives children, their children and so on: every element once.
func (m *machine) descendants(_ *expr, _ env, in Collection) Collection {
	var out Collection
	for todo := m.childrenOf(in); len(todo) > 0; {
		if out = append(out, todo...); !m.room(len(out)) {
			return nil
		}
		todo = m.childrenOf(todo)
	}
	if m.err != nil {
		return nil
	}
	return out
}

func (m *machine) singleItem(x *expr, _ env, in Collection) Collection {
	if len(in) > 1 {
		return m.invalid(x, "single() finds several values")
	}
	return in
}

func (m *machine) skip(x *expr, e env, in Collection) Collection {
	n, ok := m.integerOf(x, m.eval(x.args[0], e), "the argument of skip()")
	if !ok {
		return nil
	}
	return in[min(max(n, 0), int64(len(in))):]
}

func (m *machine) take(x *expr, e env, in Collection) Collection {
	n, ok := m.integerOf(x, m.eval(x.args[0], e), "the argument of take()")
	if !ok {
		return nil
	}
	n = min(max(n, 0), int64(len(in)))
	return in[:n:n]
}

func (m *machine) iif(x *expr, e env, in Collection) Collection {
	e.this = in
	switch {
	case m.condition(x, m.eval(x.args[0], e)) == isTrue:
		return m.eval(x.args[1], e)
	case len(x.args) == 3:
		return m.eval(x.args[2], e)
	}
	return nil
}

func (m *machine) aggregate(x *expr, e env, in Collection) Collection {
	var total Collection
	if len(x.args) == 2 {
		total = m.eval(x.args[1], e)
	}
	for i := range in {
		if m.err != nil {
			return nil
		}
		total = m.eval(x.args[0], env{this: in[i : i+1 : i+1], total: total, index: i, loop: true})
	}
	return total
}

func (m *machine) typeInfo(_ *expr, _ env, in Collection) Collection {
	b := m.build()
	for i := range in {
		v := &in[i]
		t := Value{kind: kType, typ: "System", text: systemName[v.kind]}
		if v.kind == kNode {
			t.typ, t.text = "FHIR", nameOf(m.model, v.typ)
		}
		b.add(t)
	}
	return b.done()
}

func (m *machine) trace(x *expr, e env, in Collection) Collection {
	name, _ := m.stringOf(x, m.eval(x.args[0], e), "the name of trace()")
	if m.opts.Trace == nil || m.err != nil {
		return in
	}
	shown := in
	if len(x.args) == 2 {
		shown = nil
		for i := range in {
			shown = m.join(shown, m.eval(x.args[1], env{this: in[i : i+1 : i+1], total: e.total, index: i, loop: true}))
		}
	}
	if m.err == nil {
		m.opts.Trace(name, append(Collection(nil), shown...))
	}
	return in
}
