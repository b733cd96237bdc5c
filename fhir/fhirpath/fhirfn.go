package fhirpath

import (
	"errors"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

func (m *machine) extension(x *expr, e env, in Collection) Collection {
	url, ok := m.argument(x, e, 0)
	if !ok {
		return nil
	}
	all := m.member(in, "extension", "_extension")
	return m.keep(all, func(v *Value, _ int) bool { return v.node.Get("url").Is(url) })
}

// resolve follows references: a Reference, a canonical or a uri. What is in
// the root resource is found without a Resolver: contained resources, and the
// entries of a Bundle.
func (m *machine) resolve(x *expr, _ env, in Collection) Collection {
	var out Collection
	for i := range in {
		if !m.step(1) {
			return nil
		}
		v := &in[i]
		target := v.node
		if target.Kind() == fhir.Object {
			target = target.Get("reference")
		}
		reference := target.String()
		if v.kind == kString {
			reference = v.text
		} else if target.Kind() != fhir.String {
			continue
		}
		if found := m.inside(reference); found.Exists() {
			out = append(out, Of(found, ""))
			continue
		}
		if m.opts.Resolver == nil || reference == "" || reference[0] == '#' {
			continue
		}
		d, err := m.opts.Resolver.Resolve(m.ctx, reference)
		switch {
		case err != nil:
			return m.fail(x, fhir.CodeException, "a reference cannot be resolved", err)
		case d != nil:
			out = append(out, Of(d.Root(), ""))
		}
	}
	return out
}

// inside looks a reference up in the root resource.
func (m *machine) inside(reference string) fhir.Node {
	id, local := strings.CutPrefix(reference, "#")
	for _, c := range []Collection{m.holder(false), m.holder(true)} {
		if len(c) != 1 {
			continue
		}
		root := c[0].node
		if local {
			if id == "" {
				return root
			}
			for r := range root.All("contained") {
				if m.step(1) && r.Get("id").Is(id) {
					return r
				}
			}
			continue
		}
		if c[0].typ != "Bundle" {
			continue
		}
		for entry := range root.All("entry") {
			if !m.step(1) {
				return fhir.Node{}
			}
			if entry.Get("fullUrl").Is(reference) || strings.HasSuffix(entry.Get("fullUrl").String(), "/"+reference) && strings.Count(reference, "/") == 1 {
				return entry.Get("resource")
			}
		}
	}
	return fhir.Node{}
}

var (
	errNoTerminology = errors.New("no terminology is connected")
	errNoProfiles    = errors.New("no profiles are connected")
)

func (m *machine) memberOf(x *expr, e env, in Collection) Collection {
	valueSet, ok := m.argument(x, e, 0)
	switch {
	case !ok || len(in) == 0:
		return nil
	case len(in) > 1:
		return m.invalid(x, "memberOf() asks about one value; there are several")
	case m.opts.Terminology == nil:
		return m.fail(x, fhir.CodeNotSupported, "memberOf() cannot be answered", errNoTerminology)
	}
	is, err := m.opts.Terminology.MemberOf(m.ctx, in[0], valueSet)
	if err != nil {
		return m.fail(x, fhir.CodeException, "memberOf() cannot be answered", err)
	}
	return boolean(is)
}

// subsumes is subsumedBy as well.
func (m *machine) subsumes(x *expr, e env, in Collection) Collection {
	other := m.eval(x.args[0], e)
	switch {
	case m.err != nil || len(in) == 0 || len(other) == 0:
		return nil
	case len(in) > 1 || len(other) > 1:
		return m.invalid(x, x.name+"() compares two values; there are more")
	case m.opts.Terminology == nil:
		return m.fail(x, fhir.CodeNotSupported, x.name+"() cannot be answered", errNoTerminology)
	}
	a, b := in[0], other[0]
	if x.name == "subsumedBy" {
		a, b = b, a
	}
	is, err := m.opts.Terminology.Subsumes(m.ctx, a, b)
	if err != nil {
		return m.fail(x, fhir.CodeException, x.name+"() cannot be answered", err)
	}
	return boolean(is)
}

func (m *machine) conformsTo(x *expr, e env, in Collection) Collection {
	profile, ok := m.argument(x, e, 0)
	switch {
	case !ok || len(in) == 0:
		return nil
	case len(in) > 1:
		return m.invalid(x, "conformsTo() asks about one value; there are several")
	case m.opts.Profiles == nil:
		return m.fail(x, fhir.CodeNotSupported, "conformsTo() cannot be answered", errNoProfiles)
	}
	is, err := m.opts.Profiles.ConformsTo(m.ctx, in[0], profile)
	if err != nil {
		return m.fail(x, fhir.CodeException, "conformsTo() cannot be answered", err)
	}
	return boolean(is)
}

// checkModifiers gives its input when it has no modifier extensions but the
// named ones.
func (m *machine) checkModifiers(x *expr, e env, in Collection) Collection {
	var allowed []string
	for i := range x.args {
		if url, ok := m.argument(x, e, i); ok {
			allowed = append(allowed, url)
		}
	}
	for i := range in {
		for ext := range in[i].node.All("modifierExtension") {
			if !m.step(1) {
				return nil
			}
			known := false
			for _, url := range allowed {
				known = known || ext.Get("url").Is(url)
			}
			if !known {
				return m.invalid(x, "checkModifiers() finds a modifier extension that is not allowed")
			}
		}
	}
	return in
}
