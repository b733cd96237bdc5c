package r4

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kind says what a type is.
type Kind uint8

// The kinds of types.
const (
	Resource Kind = iota + 1
	Complex
	Primitive
)

// Unbounded is the Max of an element that repeats without limit.
const Unbounded = -1

// Type is one resource or data type.
type Type struct {
	Name     string
	Kind     Kind
	Abstract bool   // Resource, DomainResource, Element, BackboneElement
	Profile  bool   // a profile on the type Base: SimpleQuantity, MoneyQuantity
	Base     string // the type it is made from, "" for Resource and Element
	Draft    bool   // for trial use, where the others are normative
	Pattern  string // a primitive's regular expression over its whole text, "" when there is none

	// Root is the type itself as an element: it has the type's constraints
	// and its elements as children.
	Root *Element
}

// Element is one element of a type.
type Element struct {
	Path string // such as Observation.component.value[x]
	Name string // the last step, without [x]
	Min  int
	Max  int // Unbounded, or a number; 0 where a profile forbids the element

	// Choice tells that the element stands under its name with a type
	// behind it, as value[x] does as valueQuantity.
	Choice bool

	// Types are the types that the element may have. Elements of type
	// Resource hold any resource. Empty for a root and for an element that
	// repeats the content of another.
	Types []TypeRef

	Binding     *Binding      // nil when there is none
	Constraints []*Constraint // those of the definition, ele-1 included
	Modifier    bool          // isModifier
	Summary     bool          // isSummary
	Attribute   bool          // an attribute in XML: Element.id, Extension.url, the value of a primitive

	Children []*Element // of a root or a backbone element, in the order of the definition

	same     *Element // the element whose content this one repeats
	position int
	byName   map[string]child
}

type child struct {
	el  *Element
	typ string
}

// TypeRef is a type that an element may have.
type TypeRef struct {
	Code     string   // the name of a type
	Profiles []string // names or URLs of profiles it must follow
	Targets  []string // for Reference and canonical: names or URLs of what may be pointed at
}

// Binding ties a coded element to a value set.
type Binding struct {
	Strength string // required, extensible, preferred or example
	ValueSet string // its URL, without a version
}

// Constraint is a rule in FHIRPath. Constraints that are the same on many
// elements are the same pointer.
type Constraint struct {
	Key        string
	Severity   string // error or warning
	Human      string
	Expression string
}

//go:embed types.txt
var typesText string

var types = sync.OnceValue(func() map[string]*Type { return parseTypes(typesText) })

// LookupType gives the type with the given name, such as Patient, HumanName or
// dateTime.
func LookupType(name string) (*Type, bool) {
	t, ok := types()[name]
	return t, ok
}

// Types gives all types in the order of their names.
func Types() []*Type {
	all := make([]*Type, 0, len(types()))
	for _, t := range types() {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Type) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// IsResource tells whether name is a resource type that a document can have:
// one that is not abstract.
func IsResource(name string) bool {
	t, ok := LookupType(name)
	return ok && t.Kind == Resource && !t.Abstract
}

// IsPrimitive tells whether name is a primitive type.
func IsPrimitive(name string) bool {
	t, ok := LookupType(name)
	return ok && t.Kind == Primitive
}

// BaseOf gives the type from which the named one is made: DomainResource of
// Patient, string of code, "" of Resource, Element and unknown names.
func BaseOf(name string) string {
	if t, ok := LookupType(name); ok {
		return t.Base
	}
	return ""
}

// Is tells whether the named type is base or made from it, directly or not.
func Is(name, base string) bool {
	for ; name != ""; name = BaseOf(name) {
		if name == base {
			return true
		}
	}
	return false
}

// Element finds an element by its dotted path below the type, written as in a
// document or as in the definition: contact.name, valueQuantity, value[x] or
// value. The path leads through backbone elements, through content that repeats
// another element, and through data types (name.family of Patient). typ is the
// element's type; it is "" when several are possible and the name does not say
// which.
func (t *Type) Element(path string) (el *Element, typ string, ok bool) {
	el = t.Root
	for more := true; more; {
		var name string
		name, path, more = strings.Cut(path, ".")
		if el, typ, ok = el.Content(typ).Child(name); !ok {
			return nil, "", false
		}
	}
	return el, typ, true
}

// Child finds a child by its name as a document has it (valueQuantity) or as
// the definition has it (value[x], value); typ is as for Type.Element.
func (e *Element) Child(name string) (el *Element, typ string, ok bool) {
	if e == nil {
		return nil, "", false
	}
	c, ok := e.byName[name]
	return c.el, c.typ, ok
}

// Content gives the element whose children are found inside e, when e has the
// given type: e itself when it is a root or backbone element, the element that
// it repeats, or the root of the type. For an element of type Resource, typ is
// the type of the resource that is there. It is nil for an unknown type.
func (e *Element) Content(typ string) *Element {
	switch {
	case e == nil:
		return nil
	case e.same != nil:
		return e.same
	case len(e.Children) > 0:
		return e
	}
	if t, ok := LookupType(typ); ok {
		return t.Root
	}
	return nil
}

// Repeats gives the element whose content e repeats, such as Bundle.link for
// Bundle.entry.link; nil when e has content of its own.
func (e *Element) Repeats() *Element { return e.same }

// Position is the place of the element among its siblings, from 0.
func (e *Element) Position() int { return e.position }

// List tells whether the element may stand more than once: a list in JSON.
func (e *Element) List() bool { return e.Max == Unbounded || e.Max > 1 }

// parseTypes reads types.txt. The file is our own: a fault in it is a fault of
// the program, found by any test.
func parseTypes(text string) map[string]*Type {
	p := typeParser{types: make(map[string]*Type, 224), bindings: map[string]*Binding{}}
	for line := range lines(text) {
		f := fields{line}
		switch {
		case strings.HasPrefix(line, "C\t"):
			f.next()
			p.constraints = append(p.constraints, &Constraint{Key: f.next(), Severity: f.next(), Human: f.next(), Expression: f.next()})
		case strings.HasPrefix(line, "T\t"):
			f.next()
			p.begin(&f)
		default:
			p.element(&f)
		}
	}
	p.finish()
	return p.types
}

type typeParser struct {
	types       map[string]*Type
	constraints []*Constraint
	bindings    map[string]*Binding // by their text
	at          *Type
	stack       []*Element
	byPath      map[string]*Element // of the type at hand
	waiting     []repeat
}

type repeat struct {
	el   *Element
	path string
}

func (p *typeParser) begin(f *fields) {
	p.finish()
	t := &Type{Name: f.next()}
	t.Kind = map[string]Kind{"resource": Resource, "complex": Complex, "primitive": Primitive}[f.next()]
	t.Base = f.next()
	switch f.next() {
	case "abstract":
		t.Abstract = true
	case "profile":
		t.Profile = true
	}
	t.Pattern = f.next()
	t.Draft = f.next() == "draft"
	p.at, p.byPath, p.stack = t, map[string]*Element{}, p.stack[:0]
	p.types[t.Name] = t
}

// finish ties up what needs the whole type.
func (p *typeParser) finish() {
	for _, w := range p.waiting {
		w.el.same = p.byPath[w.path]
		if w.el.same == nil {
			panic("r4: " + w.el.Path + " repeats the unknown " + w.path)
		}
	}
	p.waiting = p.waiting[:0]
	for _, e := range p.byPath {
		e.index()
	}
}

func (p *typeParser) element(f *fields) {
	step := f.next()
	name := strings.TrimLeft(step, ".")
	depth := len(step) - len(name)
	e := &Element{Path: name}
	if depth > 0 {
		parent := p.stack[depth-1]
		e.Path = parent.Path + "." + name
		e.position = len(parent.Children)
		parent.Children = append(parent.Children, e)
	} else {
		p.at.Root = e
	}
	p.stack = append(p.stack[:depth], e)
	p.byPath[e.Path] = e
	e.Name, e.Choice = strings.CutSuffix(name, "[x]")
	low, high, _ := strings.Cut(f.next(), "..")
	e.Min, e.Max = number(low), Unbounded
	if high != "*" {
		e.Max = number(high)
	}
	flags := f.next()
	e.Modifier, e.Summary, e.Attribute = strings.Contains(flags, "m"), strings.Contains(flags, "s"), strings.Contains(flags, "a")
	e.Types = parseTypeRefs(f.next())
	if same := f.next(); same != "" {
		p.waiting = append(p.waiting, repeat{e, same})
	}
	e.Binding = p.binding(f.next())
	if list := f.next(); list != "" {
		e.Constraints = make([]*Constraint, 0, strings.Count(list, ",")+1)
		for n := range strings.SplitSeq(list, ",") {
			e.Constraints = append(e.Constraints, p.constraints[number(n)])
		}
	}
}

func (p *typeParser) binding(text string) *Binding {
	if text == "" {
		return nil
	}
	b := p.bindings[text]
	if b == nil {
		strength, set, _ := strings.Cut(text, " ")
		b = &Binding{Strength: strength, ValueSet: lengthen(set, valueSetURL)}
		p.bindings[text] = b
	}
	return b
}

// index fills byName: every name under which a child can be asked for.
func (e *Element) index() {
	if len(e.Children) == 0 {
		return
	}
	e.byName = make(map[string]child, len(e.Children))
	for _, c := range e.Children {
		typ := ""
		if len(c.Types) == 1 {
			typ = c.Types[0].Code
		}
		e.byName[c.Name] = child{c, typ}
		if !c.Choice {
			continue
		}
		e.byName[c.Name+"[x]"] = child{c, typ}
		for _, t := range c.Types {
			e.byName[c.Name+strings.ToUpper(t.Code[:1])+t.Code[1:]] = child{c, t.Code}
		}
	}
}

// parseTypeRefs reads Code[Profile,…](Target,…)|…
func parseTypeRefs(text string) []TypeRef {
	if text == "" {
		return nil
	}
	refs := make([]TypeRef, 0, strings.Count(text, "|")+1)
	for part := range strings.SplitSeq(text, "|") {
		var r TypeRef
		if at := strings.IndexByte(part, '('); at >= 0 {
			r.Targets = strings.Split(part[at+1:len(part)-1], ",")
			part = part[:at]
		}
		if at := strings.IndexByte(part, '['); at >= 0 {
			r.Profiles = strings.Split(part[at+1:len(part)-1], ",")
			part = part[:at]
		}
		r.Code = part
		refs = append(refs, r)
	}
	return refs
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("r4: not a number: " + s)
	}
	return n
}
