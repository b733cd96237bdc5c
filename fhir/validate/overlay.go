package validate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// maxDepth bounds how deeply profiles may ask for each other.
const maxDepth = 24

// item is one value of an element.
type item struct {
	node, extra fhir.Node
	typ         string // as FHIRPath names it
	shown       string // the type in the path
	at          int
}

// apply lays profiles over a resource: those that are asked for and those that
// it names itself.
func (r *run) apply(n fhir.Node, typ string, profiles []string) {
	for _, url := range profiles {
		r.conform(n, typ, url)
	}
	i := 0
	for claim := range n.Get("meta").All("profile") {
		url := claim.String()
		p := r.lookup(url)
		switch {
		case slices.Contains(profiles, url):
		case p != nil && slices.ContainsFunc(profiles, func(asked string) bool { return r.lookup(asked) == p }):
		case p != nil, strings.HasPrefix(url, structureURL) && r4.IsResource(lastStep(unversioned(url))):
			r.conform(n, typ, url)
		case claim.Kind() == fhir.String:
			r.report(fhir.SeverityInformation, of("profile", "Meta"), fhir.CodeNotSupported,
				r.here()+".meta.profile["+itoa(i)+"]", "%s; the resource was not judged by it.", r.unknownProfile(url))
		}
		i++
	}
}

// unknownProfile says that a profile is not known, or this version of it.
func (r *run) unknownProfile(url string) string {
	if list := r.known.versions(url); list != nil {
		return "This version of the profile is not known here, only " + oneOf(list)
	}
	return "This profile is not known here"
}

// conform lays one profile over a value that stands at the end of the path.
func (r *run) conform(n fhir.Node, typ, url string) {
	p := r.lookup(url)
	s := source{"profile", unversioned(url), ""}
	if p == nil {
		name := lastStep(unversioned(url))
		t, ok := r4.LookupType(name)
		switch {
		case !ok || !strings.HasPrefix(url, structureURL):
			r.fail(s, fhir.CodeNotSupported, "%s. Correct its URL, or do without it.", r.unknownProfile(url))
		case t.Profile:
			if t.Name == "SimpleQuantity" && n.Get("comparator").Exists() {
				r.fail(source{"sqty-1", s.profile, ""}, fhir.CodeInvariant, "The comparator is not used here. Remove it.")
			}
		case !r4.Is(typ, name):
			r.fail(s, fhir.CodeStructure, "The profile is for %s; this is %s.", name, typ)
		}
		return
	}
	switch {
	case p.err != nil:
		r.fail(s, fhir.CodeNotSupported, "The profile cannot be used: %v.", p.err)
	case !r4.Is(typ, p.typ):
		r.fail(s, fhir.CodeStructure, "The profile is for %s; this is %s.", p.typ, typ)
	case r.depth >= maxDepth:
		r.fail(s, fhir.CodeTooCostly, "Profiles ask for each other too deeply.")
	default:
		r.depth++
		r.over(p.view, item{node: n, typ: typ})
		r.depth--
	}
}

// trial tells whether a value keeps what do asks, without reporting anything.
func (r *run) trial(do func(*run)) bool {
	t := &run{v: r.v, ctx: r.ctx, known: r.known, path: slices.Clone(r.path), resource: r.resource, container: r.container, bundle: r.bundle, depth: r.depth + 1}
	if t.depth > maxDepth {
		return false
	}
	do(t)
	if t.ended {
		r.stop()
	}
	return t.errors == 0
}

// over judges one value by a view; its path stands already.
func (r *run) over(w *view, x item) {
	if r.full() {
		return
	}
	r.typed(w, x)
	if w.fixed.node.Exists() && !equal(w.fixed.node, x.node) {
		r.fail(source{"fixed", w.fixed.profile, w.el.Path}, fhir.CodeValue, "The value must be exactly %s.", shortly(w.fixed.node))
	}
	if w.pattern.node.Exists() && !matches(w.pattern.node, x.node) {
		r.fail(source{"pattern", w.pattern.profile, w.el.Path}, fhir.CodeValue, "The value must have what the pattern has: %s.", shortly(w.pattern.node))
	}
	if w.binding != nil && x.node.Exists() && (x.node.Kind() == fhir.String || x.node.Kind() == fhir.Object) {
		r.binding(source{"binding", w.bindingOf, w.el.Path}, w.binding, w.el, x.typ, x.node)
	}
	if w.maxLength.set && utf8.RuneCountInString(x.node.String()) > w.maxLength.n {
		r.fail(source{"maxLength", w.maxLength.profile, w.el.Path}, fhir.CodeTooLong, "The text may have at most %d characters.", w.maxLength.n)
	}
	for _, k := range w.rules {
		r.evaluate(source{k.key, k.profile, w.el.Path}, k.rule, x.node, x.extra, x.typ)
	}
	for _, c := range w.children {
		r.child(w, c, x)
	}
}

// typed judges the type of a value, the profiles that its type must keep, and
// what a reference may lead to.
func (r *run) typed(w *view, x item) {
	if w.types == nil || len(w.el.Children) > 0 || w.el.Repeats() != nil {
		return
	}
	var one *r4.TypeRef
	for i := range w.types {
		if t := &w.types[i]; t.Code == x.typ || t.Code == "Resource" || len(w.el.Types) > 0 && w.el.Types[0].Code == "Resource" && r4.Is(x.typ, t.Code) || w.el.Attribute {
			one = t
		}
	}
	s := source{"type", w.typesOf, w.el.Path}
	if one == nil {
		var names []string
		for _, t := range w.types {
			names = append(names, t.Code)
		}
		r.fail(s, fhir.CodeStructure, "The profile allows %s here, not another type.", oneOf(names))
		return
	}
	if len(one.Targets) > 0 && x.typ == "Reference" {
		r.leads(w, one.Targets, x.node)
	}
	switch len(one.Profiles) {
	case 0:
	case 1:
		if r.knows(one.Profiles[0]) {
			r.conform(x.node, x.typ, one.Profiles[0])
		}
	default:
		for _, url := range one.Profiles {
			if !r.knows(url) || r.trial(func(t *run) { t.conform(x.node, x.typ, url) }) {
				return
			}
		}
		r.fail(s, fhir.CodeStructure, "The value keeps none of the profiles that are possible here: %s.", oneOf(one.Profiles))
	}
}

func (r *run) knows(url string) bool {
	return r.lookup(url) != nil || strings.HasPrefix(url, structureURL) && r4.BaseOf(lastStep(url)) != ""
}

// leads judges what a reference may lead to: the type, and the profile where
// the target is in the same document.
func (r *run) leads(w *view, targets []string, n fhir.Node) {
	ref := n.Get("reference")
	if ref.Kind() != fhir.String {
		return
	}
	found := r.follow(ref.String())
	typ := ""
	if found.Exists() {
		typ = found.Get("resourceType").String()
	} else if lit, ok := fhir.ParseReference(ref.String(), r.v.opts.Base); ok {
		typ = lit.Type
	}
	if !r4.IsResource(typ) {
		return
	}
	var names []string
	profiled := false
	for _, t := range targets {
		name := lastStep(t)
		p := r.lookup(t)
		switch {
		case p != nil:
			name = p.typ
		case r4.BaseOf(name) == "" && name != "Resource":
			return // a profile that nobody knows
		}
		names = append(names, name)
		if !r4.Is(typ, name) {
			continue
		}
		if p == nil || !found.Exists() || r.trial(func(t *run) { t.conform(found, typ, p.url) }) {
			return
		}
		profiled = true
	}
	s := source{"ref-target", w.typesOf, w.el.Path}
	r.push("reference", "", -1)
	if profiled {
		r.fail(s, fhir.CodeValue, "The resource that is referred to does not keep the profile: %s.", oneOf(targets))
	} else {
		r.fail(s, fhir.CodeValue, "The reference may lead to %s, not to another type of resource.", oneOf(names))
	}
	r.pop()
}

// follow finds what a reference leads to within the document.
func (r *run) follow(s string) fhir.Node {
	id, local := strings.CutPrefix(s, "#")
	if !local {
		return r.entry(s)
	}
	if id == "" {
		return r.container
	}
	for c := range r.container.All("contained") {
		if c.Get("id").Is(id) {
			return c
		}
	}
	return fhir.Node{}
}

// items gives the values of a child.
func (w *view) items(parent item) (list []item) {
	from := parent.node
	if from.Kind() != fhir.Object {
		from = parent.extra // the id and the extensions of a primitive
	}
	add := func(name, typ, shown string) {
		n, extra := from.Get(name), fhir.Node{}
		if r4.IsPrimitive(typ) {
			extra = from.Get("_" + name)
		}
		if n.Kind() == fhir.Array || extra.Kind() == fhir.Array {
			var extras []fhir.Node
			for e := range extra.Items() {
				extras = append(extras, e)
			}
			i := 0
			for c := range n.Items() {
				it := item{node: c, typ: typ, shown: shown, at: i}
				if i < len(extras) {
					it.extra = extras[i]
				}
				if blank(c) {
					it.node = fhir.Node{}
				}
				if !blank(it.node) || !blank(it.extra) {
					list = append(list, it)
				}
				i++
			}
			for ; i < len(extras); i++ {
				if !blank(extras[i]) {
					list = append(list, item{extra: extras[i], typ: typ, shown: shown, at: i})
				}
			}
			return
		}
		if !blank(n) || !blank(extra) {
			list = append(list, item{node: n, extra: extra, typ: typ, shown: shown, at: -1})
		}
	}
	if w.el.Choice {
		for _, t := range w.el.Types {
			add(typedName(w.el.Name, t.Code), t.Code, t.Code)
		}
		return list
	}
	typ := ""
	switch same := w.el.Repeats(); {
	case same != nil:
		typ = same.Path
	case len(w.el.Children) > 0:
		typ = w.el.Path
	case len(w.el.Types) > 0:
		typ = w.el.Types[0].Code
	}
	add(w.el.Name, typ, "")
	if typ == "Resource" {
		for i := range list {
			list[i].typ = list[i].node.Get("resourceType").String()
		}
	}
	return list
}

// blank tells whether a value says nothing: it is not there, null, "", or an
// object without members. A profile counts it as missing.
func blank(n fhir.Node) bool {
	switch n.Kind() {
	case fhir.None, fhir.Null:
		return true
	case fhir.Object:
		for range n.Children() {
			return false
		}
		return true
	}
	return n.Is("")
}

// child judges all values of a child: how many there are, the slices they
// belong to, and each by itself.
func (r *run) child(parent, c *view, x item) {
	list := c.items(x)
	r.counted(c, len(list), 0, "")
	var of [][]*view
	if len(c.slices) > 0 {
		of = make([][]*view, len(list))
		r.slice(c, list, of)
	}
	resource, container, bundle := r.resource, r.container, r.bundle
	for i, it := range list {
		r.push(c.name, it.shown, it.at)
		if rt := it.node.Get("resourceType"); rt.Exists() && len(c.el.Types) > 0 && c.el.Types[0].Code == "Resource" {
			r.resource = it.node
			if c.name != "contained" {
				r.container = it.node
			}
		}
		r.over(c, it)
		if of != nil {
			for _, s := range of[i] {
				r.over(s, it)
			}
		}
		r.resource, r.container, r.bundle = resource, container, bundle
		r.pop()
	}
}

// counted judges how often an element, or a slice of it among others, stands.
func (r *run) counted(c *view, n, others int, slice string) {
	tooFew, tooMany := c.min.set && n < c.min.n, c.max.set && c.max.n != r4.Unbounded && n > c.max.n
	if !tooFew && !tooMany {
		return
	}
	at, suffix, what := r.here()+"."+c.name, "", "The element"
	if c.short != "" {
		what = strings.ToUpper(c.short[:1]) + c.short[1:]
	}
	if slice != "" {
		suffix = ":" + slice
		if c.short == "" {
			what = "The slice " + slice
		}
	}
	low, high := source{"min" + suffix, c.min.profile, c.el.Path}, source{"max" + suffix, c.max.profile, c.el.Path}
	missing := fhir.CodeRequired
	if others > 0 && c.binding != nil {
		missing = fhir.CodeCodeInvalid // something stands there, with other codes
	}
	switch {
	case tooFew && n == 0:
		r.report(fhir.SeverityError, low, missing, at, "%s is missing; the profile asks for at least %d.", what, c.min.n)
	case tooFew:
		r.report(fhir.SeverityError, low, fhir.CodeRequired, at, "%s stands %d times; the profile asks for at least %d.", what, n, c.min.n)
	case c.max.n == 0:
		r.report(fhir.SeverityError, high, fhir.CodeStructure, at, "%s is not allowed by the profile. Remove it.", what)
	default:
		r.report(fhir.SeverityError, high, fhir.CodeStructure, at, "%s stands %d times; the profile allows at most %d.", what, n, c.max.n)
	}
}

// conformance answers conformsTo().
type conformance struct{ r *run }

func (c conformance) ConformsTo(_ context.Context, v fhirpath.Value, url string) (bool, error) {
	if !c.r.knows(url) {
		return false, errors.New("the profile is not known")
	}
	return c.r.trial(func(t *run) { t.conform(v.Node(), v.Type(), url) }), nil
}
