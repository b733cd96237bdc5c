package validate

import (
	"context"
	"errors"
	"iter"
	"math/big"
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
	if slice != "" {
		suffix, what = ":"+slice, "The slice "+slice
	}
	if c.short != "" {
		what += " (" + c.short + ")"
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

// slice finds the slices of each value and judges them: how often each stands,
// in which order, and whether others may stand there.
func (r *run) slice(c *view, list []item, of [][]*view) {
	if c.slicing == nil { // slices are named, but nothing tells them apart
		c = &view{name: c.name, el: c.el, min: c.min, slices: c.slices, slicing: &slicing{rules: "open"}}
	}
	counts := make([]int, len(c.slices))
	last, rest := -1, false
	s := source{"slicing", c.slicing.profile, c.el.Path}
	for i, it := range list {
		if r.full() {
			return
		}
		r.push(c.name, it.shown, it.at)
		at := r.sliceFor(c, it)
		switch {
		case at < 0 && c.slicing.rules == "closed":
			r.fail(s, fhir.CodeStructure, "The value belongs to none of the slices that the profile allows: %s.", oneOf(c.names()))
		case at < 0:
			rest = true
		default:
			if rest && c.slicing.rules == "openAtEnd" {
				r.fail(s, fhir.CodeStructure, "The value of the slice %s stands behind others; those of the profile come first.", c.slices[at].slice)
			}
			if c.slicing.ordered && at < last {
				r.fail(s, fhir.CodeStructure, "The value of the slice %s stands in the wrong place; the order is %s.", c.slices[at].slice, inOrder(c.names()))
			}
			last = max(last, at)
			counts[at]++
			of[i] = append(of[i], c.slices[at])
		}
		r.pop()
	}
	missing := len(list) == 0 && c.min.set && c.min.n > 0 // which is said already
	for k, w := range c.slices {
		if counts[k] > 0 || !missing {
			r.counted(w, counts[k], len(list), w.slice)
		}
		if len(w.slices) > 0 {
			r.resliced(w, list, of)
		}
	}
}

// resliced judges the slices of a slice.
func (r *run) resliced(w *view, list []item, of [][]*view) {
	var inner []item
	var at []int
	for i, it := range list {
		if slices.Contains(of[i], w) {
			inner, at = append(inner, it), append(at, i)
		}
	}
	found := make([][]*view, len(inner))
	r.slice(w, inner, found)
	for i, more := range found {
		of[at[i]] = append(of[at[i]], more...)
	}
}

// sliceFor gives the place of the slice that a value belongs to, -1 for none.
func (r *run) sliceFor(c *view, it item) int {
	rest := -1
	for k, candidate := range c.slices {
		if candidate.slice == "@default" {
			rest = k
		} else if r.belongs(c.slicing, candidate, it) {
			return k
		}
	}
	return rest
}

// inOrder writes names as a sequence.
func inOrder(list []string) string { return strings.Join(list[:min(len(list), 12)], ", ") }

func (w *view) names() (names []string) {
	for _, s := range w.slices {
		names = append(names, s.slice)
	}
	return names
}

// belongs tells whether a value is of a slice, by every discriminator.
func (r *run) belongs(s *slicing, w *view, x item) bool {
	if len(s.by) == 0 { // whatever keeps what the slice says is of the slice
		return r.trial(func(t *run) { t.over(w, x) })
	}
	for i := range s.by {
		if !r.told(&s.by[i], w, x) {
			return false
		}
	}
	return true
}

// told judges one discriminator.
func (r *run) told(d *discriminator, w *view, x item) bool {
	found := []item{x}
	if d.expr != nil {
		found = r.at(d, x)
	}
	sub, hint := r.expects(d, w)
	switch d.kind {
	case "exists":
		if sub == nil {
			return false
		}
		if sub.max.set && sub.max.n == 0 {
			return len(found) == 0
		}
		return sub.min.set && sub.min.n > 0 && len(found) > 0
	case "type":
		return sub != nil && slices.ContainsFunc(found, func(f item) bool { return ofTypes(r, sub, f.typ, d.resolves) })
	case "profile":
		return sub != nil && slices.ContainsFunc(found, func(f item) bool {
			return slices.ContainsFunc(profilesOf(sub, d.resolves), func(url string) bool {
				return r.lookup(url) != nil && r.trial(func(t *run) { t.conform(f.node, f.typ, url) })
			})
		})
	}
	return slices.ContainsFunc(found, func(f item) bool {
		switch {
		case hint.Exists():
			return matches(hint, f.node)
		case sub == nil:
			return false
		case sub.fixed.node.Exists():
			return equal(sub.fixed.node, f.node)
		case sub.pattern.node.Exists():
			return matches(sub.pattern.node, f.node)
		case sub.binding != nil && sub.binding.Strength == "required":
			set, ok := r.v.codes(sub.binding.ValueSet)
			if !ok {
				return false
			}
			in, _ := hasCode(set, f.typ, f.node)
			return in
		case len(sub.children) > 0:
			return r.trial(func(t *run) { t.over(sub, f) })
		}
		return false
	})
}

// at gives what stands at the path of a discriminator.
func (r *run) at(d *discriminator, x item) (list []item) {
	if d.plain != "" && x.node.Kind() == fhir.Object { // as FHIRPath would find it
		for n := range x.node.All(d.path) {
			if !blank(n) {
				list = append(list, item{node: n, typ: d.plain, at: -1})
			}
		}
		if list != nil {
			return list
		}
	}
	result, err := d.expr.Evaluate(r.ctx, x.node, fhirpath.Options{
		Type: x.typ, Sibling: x.extra, Resource: r.resource, RootResource: r.container, Resolver: fhirpath.ReferenceTypes{},
	})
	if err != nil {
		if r.ctx.Err() != nil {
			r.stop()
		}
		return nil
	}
	for _, v := range result {
		list = append(list, item{node: v.Node(), extra: v.Sibling(), typ: v.Type(), at: -1})
	}
	return list
}

// expects finds what a slice says at the path of a discriminator. It is a view,
// or a part of a pattern that stands above.
func (r *run) expects(d *discriminator, w *view) (*view, fhir.Node) {
	for i, step := range d.steps {
		for _, e := range []fhir.Node{w.fixed.node, w.pattern.node} {
			if part := e.First(strings.Join(d.steps[i:], ".")); part.Exists() {
				return nil, part
			}
		}
		name, url, isExtension := strings.Cut(step, ":")
		var next *view
		for _, c := range w.children {
			if c.name == name {
				next = c
			}
		}
		if next != nil && isExtension {
			next = extensionSlice(next, url)
		}
		if next == nil { // perhaps in the profile of its type
			for _, t := range w.types {
				for _, profile := range t.Profiles {
					if p := r.lookup(profile); p != nil && p.view != nil {
						if found, hint := r.expects(&discriminator{steps: d.steps[i:]}, p.view); found != nil || hint.Exists() {
							return found, hint
						}
					}
				}
			}
			return nil, fhir.Node{}
		}
		w = next
	}
	return w, fhir.Node{}
}

func extensionSlice(w *view, url string) *view {
	for _, s := range w.slices {
		for _, t := range s.types {
			if slices.Contains(t.Profiles, url) {
				return s
			}
		}
		for _, c := range s.children {
			if c.name == "url" && c.fixed.node.Is(url) {
				return s
			}
		}
	}
	return nil
}

func ofTypes(r *run, w *view, typ string, resolved bool) bool {
	for _, t := range w.types {
		if !resolved && r4.Is(typ, t.Code) {
			return true
		}
		for _, target := range t.Targets {
			name := lastStep(target)
			if p := r.lookup(target); p != nil {
				name = p.typ
			}
			if resolved && r4.Is(typ, name) {
				return true
			}
		}
	}
	return false
}

func profilesOf(w *view, resolved bool) (urls []string) {
	for _, t := range w.types {
		if resolved {
			urls = append(urls, t.Targets...)
		} else {
			urls = append(urls, t.Profiles...)
		}
	}
	return urls
}

// applyExtension judges an extension by its own definition, when it is known.
func (r *run) applyExtension(el *r4.Element, n fhir.Node, url string) {
	p := r.lookup(url)
	if p == nil {
		switch {
		case el.Name == "modifierExtension":
			r.fail(of("ext-modifier", "Extension"), fhir.CodeExtension,
				"This modifier extension is not known here. It may change the meaning of what it stands in, which must not be passed over. Remove it.")
		case el.Path != "Extension.extension" && !strings.HasPrefix(url, structureURL): // those of HL7 are too many to know
			r.warn(of("ext-unknown", "Extension"), fhir.CodeExtension, "This extension is not known here, and was not judged.")
		}
		return
	}
	if p.typ != "Extension" {
		return
	}
	if !r.inContext(p) {
		var allowed []string
		for c := range p.doc.All("context") {
			allowed = append(allowed, c.Get("expression").String())
		}
		r.fail(source{"ext-context", p.url, "Extension"}, fhir.CodeExtension, "The extension does not belong here; it is for %s.", oneOf(allowed))
	}
	r.conform(n, "Extension", url)
}

// inContext tells whether an extension may stand where it does.
func (r *run) inContext(p *profile) bool {
	if len(r.path) < 2 {
		return true
	}
	holder := r.path[len(r.path)-2]
	none := true
	for c := range p.doc.All("context") {
		none = false
		e := c.Get("expression").String()
		switch c.Get("type").String() {
		case "extension":
			if holder.of == "Extension" {
				return true
			}
		case "fhirpath":
			return true // is not judged
		default:
			if e == holder.def || e == "Element" || r4.Is(holder.of, e) || strings.TrimSuffix(holder.def, "[x]") == e {
				return true
			}
		}
	}
	return none
}

// equal tells whether two JSON values are the same; the order of members does
// not matter.
func equal(a, b fhir.Node) bool { return same(a, b, true) }

// matches tells whether a value has all that a pattern has. An item of a list
// in the pattern may stand anywhere in the list of the value.
func matches(pattern, n fhir.Node) bool { return same(pattern, n, false) }

func same(a, b fhir.Node, exact bool) bool {
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case fhir.Object:
		for m := range a.Children() {
			if other := b.Get(m.Name()); !other.Exists() || !same(m, other, exact) {
				return false
			}
		}
		return !exact || members(a) == members(b)
	case fhir.Array:
		if exact {
			next, stop := iter.Pull(b.Children())
			defer stop()
			for m := range a.Children() {
				other, ok := next()
				if !ok || !same(m, other, true) {
					return false
				}
			}
			_, more := next()
			return !more
		}
		for m := range a.Children() {
			found := false
			for other := range b.Children() {
				found = found || same(m, other, false)
			}
			if !found {
				return false
			}
		}
		return true
	case fhir.Number:
		return a.String() == b.String() || !exact && number(a).Cmp(number(b)) == 0
	}
	return a.String() == b.String()
}

func members(n fhir.Node) (count int) {
	for range n.Children() {
		count++
	}
	return count
}

func number(n fhir.Node) *big.Float {
	f, _, err := big.ParseFloat(n.String(), 10, 128, big.ToNearestEven)
	if err != nil {
		return new(big.Float)
	}
	return f
}

// shortly shows what a profile asks for. It is of the profile, not of the
// document.
func shortly(n fhir.Node) string {
	const most = 200
	s := string(n.Raw())
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// conformance answers conformsTo().
type conformance struct{ r *run }

func (c conformance) ConformsTo(_ context.Context, v fhirpath.Value, url string) (bool, error) {
	if !c.r.knows(url) {
		return false, errors.New("the profile is not known")
	}
	return c.r.trial(func(t *run) { t.conform(v.Node(), v.Type(), url) }), nil
}
