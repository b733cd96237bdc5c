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

// profile is a StructureDefinition that constrains a type.
type profile struct {
	url, typ, base string
	doc            *fhir.Document
	view           *view // nil until its base is there
	err            error // why it has no view
	skipped        []Skipped
}

// view is what a profile and those that it is made from say of one element: a
// snapshot of all that differs from R4.
type view struct {
	name string      // as the definition has it, without [x]
	el   *r4.Element // what R4 says; of the root it is the root of the type
	typ  string      // the type of the element where only one is possible

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
}

func (w *view) clone() *view {
	c := *w
	c.rules = slices.Clone(w.rules)
	c.slices, c.children = nil, nil
	for _, s := range w.slices {
		c.slices = append(c.slices, s.clone())
	}
	for _, s := range w.children {
		c.children = append(c.children, s.clone())
	}
	return &c
}

var errNoBase = errors.New("the profile that it is made from is not known")

func unversioned(url string) string {
	url, _, _ = strings.Cut(url, "|")
	return url
}

// AddProfile makes a profile known: a StructureDefinition that constrains a
// resource or a data type of R4, with a differential or a snapshot. Extensions
// are profiles of Extension. The profile that it is made from may be added
// later. One of the same url is replaced.
func (v *Validator) AddProfile(doc *fhir.Document) error {
	p := &profile{url: doc.Get("url").String(), typ: doc.Get("type").String(), base: unversioned(doc.Get("baseDefinition").String()), doc: doc}
	_, known := r4.LookupType(p.typ)
	switch {
	case doc.Type() != "StructureDefinition":
		return fhir.Errorf(fhir.CodeInvalid, doc.Type(), "A profile is a StructureDefinition.")
	case !absolute(p.url):
		return fhir.Errorf(fhir.CodeRequired, "StructureDefinition.url", "A profile needs a url.")
	case !known:
		return fhir.Errorf(fhir.CodeNotSupported, "StructureDefinition.type", "The type of the profile is none of R4.")
	case doc.Get("derivation").String() != "constraint":
		return fhir.Errorf(fhir.CodeNotSupported, "StructureDefinition.derivation", "Only a StructureDefinition with derivation constraint is a profile.")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make(map[string]*profile, len(v.profiles)+1)
	for url, q := range v.profiles {
		c := *q
		c.view, c.err, c.skipped = nil, nil, nil
		all[url] = &c
	}
	all[p.url] = p
	for _, q := range all {
		build(q, all, 0)
	}
	if p.err != nil && !errors.Is(p.err, errNoBase) {
		e := fhir.Errorf(fhir.CodeInvalid, "StructureDefinition", "The profile %s cannot be used: %v.", p.url, p.err)
		e.Err = p.err
		return e
	}
	v.profiles = all // the old ones serve those who are using them
	return nil
}

// lookup gives a profile by its URL.
func (v *Validator) lookup(url string) *profile {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if p := v.profiles[url]; p != nil {
		return p
	}
	return v.profiles[unversioned(url)]
}

func (v *Validator) skippedOfProfiles() (list []Skipped) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, p := range v.profiles {
		list = append(list, p.skipped...)
		if p.err != nil {
			list = append(list, Skipped{"*", p.url, p.err.Error()})
		}
	}
	return list
}

// build makes the view of a profile, and before it those of its bases.
func build(p *profile, all map[string]*profile, depth int) {
	if p.view != nil || p.err != nil {
		return
	}
	if depth > 16 {
		p.err = errors.New("its bases go round in a circle, or are too many")
		return
	}
	t, _ := r4.LookupType(p.typ)
	root := &view{name: p.typ, el: t.Root, typ: p.typ}
	elements := p.doc.Get("differential").Get("element")
	switch base, ours := all[p.base]; {
	case ours:
		build(base, all, depth+1)
		if base.err != nil {
			p.err = base.err
			return
		}
		if !r4.Is(p.typ, base.typ) {
			p.err = errors.New("its type is not that of the profile which it is made from")
			return
		}
		root = base.view.clone()
	case strings.HasPrefix(p.base, structureURL) && r4.Is(p.typ, lastStep(p.base)):
	case p.doc.Root().Get("snapshot").Exists():
		elements = fhir.Node{}
	default:
		p.err = errNoBase
		return
	}
	if elements.Len() == 0 {
		elements = p.doc.Root().Get("snapshot").Get("element")
	}
	b := builder{p: p, root: root, last: map[string]*view{}}
	for e := range elements.Items() {
		if err := b.element(e); err != nil {
			p.err = fmt.Errorf("element %s: %w", e.Get("path").String(), err)
			return
		}
	}
	p.view = root
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
	d := discriminator{kind: "value", path: "url", steps: []string{"url"}}
	d.expr, _ = fhirpath.Compile("url")
	return &slicing{by: []discriminator{d}, rules: "open", profile: profile}
}

// sliceOf gives a slice by its name. Choices are sliced by type and extensions
// by url when nothing else is said.
func (w *view) sliceOf(name, profile string) *view {
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
			b.skip(name+" of "+e.Get("path").String(), "the least and greatest values of elements are not judged")
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
		}
		made.by = append(made.by, x)
	}
	if len(made.by) == 0 {
		if w.slicing != nil { // only its rules are narrowed
			w.slicing = &slicing{by: w.slicing.by, rules: made.rules, ordered: made.ordered, profile: b.p.url}
			return nil
		}
		if w.name != "extension" && w.name != "modifierExtension" && !w.el.Choice {
			b.skip("slicing of "+w.el.Path, "slices without a discriminator cannot be told apart")
			return nil
		}
		made.by = byURL("").by
		if w.el.Choice {
			made.by = byType("").by
		}
	}
	w.slicing = made
	return nil
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
