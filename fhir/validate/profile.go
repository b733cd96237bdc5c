package validate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// view is what a profile and those that it is made from say of one element: a
// snapshot of all that differs from R4.
type view struct {
	name  string      // as the definition has it, without [x]
	short string      // what it is, in the words of the profile
	el    *r4.Element // what R4 says; of the root it is the root of the type
	typ   string      // the type of the element where only one is possible

	min, max, maxLength limit
	types               []r4.TypeRef // nil: those of R4
	typesOf             string       // the profile that says so
	binding             *r4.Binding
	bindingOf           string
	fixed, pattern      expected
	rules               []profileRule

	slicing  *slicing
	slice    string // the name of a slice
	slices   []*view
	children []*view
}

// limit is a number that a profile has set.
type limit struct {
	set     bool
	n       int
	profile string
}

type expected struct {
	node    fhir.Node
	profile string
}

type profileRule struct {
	*rule
	profile string
}

type slicing struct {
	by      []discriminator
	rules   string // open, closed or openAtEnd
	ordered bool
	profile string
}

type discriminator struct {
	kind, path string
	expr       *fhirpath.Expression // nil for $this
	steps      []string             // the names on the path; resolve() and ofType() are not among them
	resolves   bool
	plain      string // the type at the end of a path of nothing but names, "" for other paths
}

// size counts a view with all that it holds.
func (w *view) size() int {
	n := 1
	for _, s := range w.slices {
		n += s.size()
	}
	for _, c := range w.children {
		n += c.size()
	}
	return n
}

// builder lays the elements of one StructureDefinition over a view.
type builder struct {
	p    *profile
	root *view
	last map[string]*view // the slice that a path without id continues
}

func (b *builder) element(e fhir.Node) error {
	path := e.Get("path").String()
	steps := strings.Split(path, ".")
	if steps[0] != b.p.typ {
		return errors.New("its path does not begin with the type")
	}
	slice := e.Get("sliceName").String()
	ids := strings.Split(e.Get("id").String(), ".")
	if len(ids) != len(steps) {
		ids = nil
	}
	w, at := b.root, steps[0]
	for i, name := range steps[1:] {
		at += "." + name
		var err error
		if w, err = w.child(name, b.p.url); err != nil {
			return err
		}
		named := ""
		switch {
		case i == len(steps)-2 && slice != "":
			named = slice
		case ids != nil:
			_, named, _ = strings.Cut(ids[i+1], ":")
		default:
			if s := b.last[at]; s != nil && i < len(steps)-2 {
				w = s
			}
		}
		if named != "" {
			w = w.sliceOf(named, b.p.url)
			b.last[at] = w
		} else if i == len(steps)-2 {
			delete(b.last, at)
		}
	}
	return b.say(w, e)
}

// child gives the view of a child, making it when nothing was said of it yet.
func (w *view) child(name, profile string) (*view, error) {
	typ := w.typ
	if typ == "" && len(w.types) == 1 {
		typ = w.types[0].Code
	}
	el, childTyp, ok := w.el.Content(typ).Child(name)
	if !ok {
		return nil, fmt.Errorf("%s is not an element of its base", name)
	}
	var c *view
	for _, have := range w.children {
		if have.name == el.Name {
			c = have
		}
	}
	if c == nil {
		c = &view{name: el.Name, el: el}
		if !el.Choice || len(el.Types) == 1 {
			c.typ = childTyp
		}
		if c.typ == "Resource" {
			c.typ = ""
		}
		w.children = append(w.children, c)
	}
	if el.Choice && childTyp != "" && name != el.Name && name != el.Name+"[x]" { // valueQuantity
		if c.slicing == nil {
			c.slicing = byType(profile)
		}
		s := c.sliceOf(name, profile)
		s.typ = childTyp
		if s.types == nil {
			s.types, s.typesOf = []r4.TypeRef{{Code: childTyp}}, profile
		}
		return s, nil
	}
	return c, nil
}

func byType(profile string) *slicing {
	return &slicing{by: []discriminator{{kind: "type", path: "$this"}}, rules: "open", profile: profile}
}

func byURL(profile string) *slicing {
	d := discriminator{kind: "value", path: "url", steps: []string{"url"}, plain: "uri"}
	d.expr, _ = fhirpath.Compile("url")
	return &slicing{by: []discriminator{d}, rules: "open", profile: profile}
}

// sliceOf gives a slice by its name. Choices are sliced by type and extensions
// by url when nothing else is said.
func (w *view) sliceOf(name, profile string) *view {
	if outer, _, nested := strings.Cut(name, "/"); nested {
		for _, s := range w.slices {
			if s.slice == outer { // a slice of the slice
				return s.innerSlice(name)
			}
		}
	}
	for _, s := range w.slices {
		if s.slice == name {
			return s
		}
	}
	if w.slicing == nil && w.el.Choice {
		w.slicing = byType(profile)
	}
	if w.slicing == nil && (w.name == "extension" || w.name == "modifierExtension") {
		w.slicing = byURL(profile)
	}
	s := &view{name: w.name, el: w.el, typ: w.typ, slice: name}
	if w.el.Choice {
		for _, t := range w.el.Types {
			if typedName(w.el.Name, t.Code) == name {
				s.typ, s.types, s.typesOf = t.Code, []r4.TypeRef{{Code: t.Code}}, profile
			}
		}
	}
	w.slices = append(w.slices, s)
	return s
}

// innerSlice gives a slice of a slice, by its whole name such as a/b.
func (w *view) innerSlice(name string) *view {
	for _, s := range w.slices {
		if s.slice == name {
			return s
		}
		if strings.HasPrefix(name, s.slice+"/") {
			return s.innerSlice(name)
		}
	}
	s := &view{name: w.name, el: w.el, typ: w.typ, slice: name}
	w.slices = append(w.slices, s)
	return s
}

// say takes over what an ElementDefinition says.
func (b *builder) say(w *view, e fhir.Node) error {
	url := b.p.url
	if n, ok := e.Get("min").Int(); ok && w != b.root {
		w.min = limit{true, int(n), url}
	}
	if m := e.Get("max"); m.Kind() == fhir.String && w != b.root {
		n := r4.Unbounded
		if !m.Is("*") {
			var err error
			if n, err = strconv.Atoi(m.String()); err != nil || n < 0 {
				return errors.New("its max is neither a number nor *")
			}
		}
		w.max = limit{true, n, url}
	}
	if s := e.Get("short"); s.Kind() == fhir.String {
		w.short = strings.TrimRight(s.String(), ". ")
	}
	if n, ok := e.Get("maxLength").Int(); ok {
		w.maxLength = limit{true, int(n), url}
	}
	if e.Get("type").Exists() && w != b.root {
		b.types(w, e)
	}
	if set := e.Get("binding"); set.Get("valueSet").Exists() {
		w.binding, w.bindingOf = &r4.Binding{Strength: set.Get("strength").String(), ValueSet: unversioned(set.Get("valueSet").String())}, url
	}
	for m := range e.Children() {
		name := m.Name()
		switch {
		case strings.HasPrefix(name, "fixed"):
			w.fixed = expected{m, url}
		case strings.HasPrefix(name, "pattern"):
			w.pattern = expected{m, url}
		case strings.HasPrefix(name, "minValue"), strings.HasPrefix(name, "maxValue"):
			b.limited(w, m)
		}
	}
	for c := range e.All("constraint") {
		b.constraint(w, c)
	}
	if s := e.Get("slicing"); s.Exists() {
		return b.slicing(w, s)
	}
	return nil
}

// limited takes over the least or the greatest value as a rule.
func (b *builder) limited(w *view, n fhir.Node) {
	name := n.Name()
	compare, human := ">=", "The value is less than the profile allows. The least is "
	if strings.HasPrefix(name, "max") {
		compare, human = "<=", "The value is greater than the profile allows. The greatest is "
	}
	bound, ok := literalOf(name[len("minValue"):], n)
	if !ok {
		b.skip(name+" of "+w.el.Path, "its value cannot be read")
		return
	}
	x, err := newRule(name[:len("minValue")], "error", human+bound, "$this "+compare+" "+bound)
	if err != nil {
		b.skip(name+" of "+w.el.Path, err.Error())
		return
	}
	w.rules = slices.DeleteFunc(w.rules, func(r profileRule) bool { return r.key == x.key })
	w.rules = append(w.rules, profileRule{x, b.p.url})
}

// literalOf writes a value as FHIRPath does.
func literalOf(typ string, n fhir.Node) (string, bool) {
	switch typ {
	case "Date", "DateTime", "Instant":
		return "@" + n.String(), badDate(strings.ToLower(typ[:1])+typ[1:], n.String()) == ""
	case "Time":
		return "@T" + n.String(), clock(n.String())
	case "Decimal", "Integer", "PositiveInt", "UnsignedInt":
		return n.String(), n.Kind() == fhir.Number
	case "Quantity":
		unit := n.Get("code").String()
		if unit == "" {
			unit = n.Get("unit").String()
		}
		return n.Get("value").String() + " '" + unit + "'", n.Get("value").Kind() == fhir.Number && !strings.ContainsAny(unit, `'\`)
	}
	return "", false
}

func (b *builder) skip(key, why string) {
	b.p.skipped = append(b.p.skipped, Skipped{key, b.p.url, why})
}

func (b *builder) types(w *view, e fhir.Node) {
	w.types, w.typesOf = nil, b.p.url
	for t := range e.All("type") {
		code := t.Get("code").String()
		if rest, ok := strings.CutPrefix(code, "http://hl7.org/fhirpath/System."); ok {
			code = strings.ToLower(rest[:1]) + rest[1:]
		}
		if _, ok := r4.LookupType(code); !ok {
			continue
		}
		ref := r4.TypeRef{Code: code}
		for p := range t.All("profile") {
			ref.Profiles = append(ref.Profiles, unversioned(p.String()))
		}
		for p := range t.All("targetProfile") {
			ref.Targets = append(ref.Targets, unversioned(p.String()))
		}
		w.types = append(w.types, ref)
	}
	if len(w.types) == 1 && len(w.el.Children) == 0 && w.el.Repeats() == nil && !(w.types[0].Code == "string" && w.el.Attribute) {
		w.typ = w.types[0].Code
		if w.typ == "Resource" {
			w.typ = ""
		}
	}
}

// constraint adds a rule, unless R4 or a profile before has it already.
func (b *builder) constraint(w *view, c fhir.Node) {
	key, text := c.Get("key").String(), c.Get("expression").String()
	if native[key] {
		return
	}
	for _, has := range w.el.Constraints {
		if has.Key == key {
			return
		}
	}
	if t, ok := r4.LookupType(w.typ); ok {
		for _, has := range t.Root.Constraints {
			if has.Key == key {
				return
			}
		}
	}
	for _, has := range w.rules {
		if has.key == key {
			return
		}
	}
	if text == "" {
		b.skip(key, "the rule has no FHIRPath expression")
		return
	}
	x, err := newRule(key, c.Get("severity").String(), c.Get("human").String(), text)
	if err != nil {
		b.skip(key, err.Error())
		return
	}
	w.rules = append(w.rules, profileRule{x, b.p.url})
}

func (b *builder) slicing(w *view, s fhir.Node) error {
	made := &slicing{rules: s.Get("rules").String(), profile: b.p.url}
	made.ordered, _ = s.Get("ordered").Bool()
	for d := range s.All("discriminator") {
		x := discriminator{kind: d.Get("type").String(), path: d.Get("path").String()}
		switch x.kind {
		case "value", "pattern", "type", "profile", "exists":
		default:
			return errors.New("its slicing has a discriminator of an unknown type")
		}
		if x.path != "$this" {
			expr, err := fhirpath.Compile(x.path)
			if err != nil {
				return err
			}
			x.expr = expr
			if x.steps, x.resolves = stepsOf(x.path); x.steps == nil && !x.resolves {
				return errors.New("its slicing has a path that is not a simple one")
			}
			x.plain = w.typeAt(x.path)
		}
		made.by = append(made.by, x)
	}
	if len(made.by) == 0 {
		if w.slicing != nil { // only its rules are narrowed
			w.slicing = &slicing{by: w.slicing.by, rules: made.rules, ordered: made.ordered, profile: b.p.url}
			return nil
		}
		switch {
		case w.el.Choice:
			made.by = byType("").by
		case w.name == "extension" || w.name == "modifierExtension":
			made.by = byURL("").by
		}
	}
	w.slicing = made
	return nil
}

// typeAt gives the type at a path of names below a view; "" where the path has
// more than names in it or leads through a choice.
func (w *view) typeAt(path string) string {
	el, typ := w.el, w.typ
	for step := range strings.SplitSeq(path, ".") {
		var ok bool
		if el, typ, ok = el.Content(typ).Child(step); !ok || el.Choice || el.Name != step {
			return ""
		}
	}
	if typ == "Resource" { // which type it is, only the document says
		return ""
	}
	return typ
}

// stepsOf takes a discriminator's path apart. The step of extension('url') is
// extension:url.
func stepsOf(path string) (steps []string, resolves bool) {
	for path != "" {
		var step string
		if rest, ok := strings.CutPrefix(path, "extension('"); ok {
			url, after, ok := strings.Cut(rest, "')")
			if !ok {
				return nil, false
			}
			steps = append(steps, "extension:"+url)
			path = strings.TrimPrefix(after, ".")
			continue
		}
		step, path, _ = strings.Cut(path, ".")
		switch {
		case step == "$this" || strings.HasPrefix(step, "ofType("):
		case step == "resolve()":
			resolves = true
		case strings.ContainsAny(step, "()[]' "):
			return nil, false
		default:
			steps = append(steps, step)
		}
	}
	return steps, resolves
}
