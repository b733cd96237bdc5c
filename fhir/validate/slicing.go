package validate

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

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
