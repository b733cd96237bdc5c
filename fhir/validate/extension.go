package validate

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// extension judges an Extension: its url, and value or extensions.
func (r *run) extension(el *r4.Element, n fhir.Node) {
	value := ""
	for m := range n.Children() {
		if name := strings.TrimPrefix(m.Name(), "_"); strings.HasPrefix(name, "value") {
			value = name
		}
	}
	parts := n.Get("extension").Exists()
	switch {
	case value != "" && parts:
		r.fail(of("ext-1", "Extension"), fhir.CodeInvariant, "The extension has a value and extensions of its own. Keep one of the two.")
	case value == "" && !parts:
		r.fail(of("ext-1", "Extension"), fhir.CodeInvariant, "The extension has neither a value nor extensions of its own. Give it a value such as valueString.")
	}
	u := n.Get("url")
	if u.Kind() != fhir.String || u.String() == "" {
		return
	}
	url := u.String()
	if el.Path != "Extension.extension" && !absolute(url) {
		r.push("url", "", -1)
		r.fail(of("ext-url", "Extension"), fhir.CodeExtension, "The url of an extension is a whole one, such as http://example.org/StructureDefinition/name.")
		r.pop()
		return
	}
	r.applyExtension(el, n, url)
}

// usage is what the definition of an extension says of where it may stand.
type usage struct {
	modifier bool
	places   []place
	rules    []*rule // contextInvariant
}

// place is a context of an extension; expr is nil unless it is a FHIRPath.
type place struct {
	kind, text string
	expr       *fhirpath.Expression
}

// usageOf reads the contexts of an extension. What cannot be read is skipped.
func (b *builder) usageOf(doc *fhir.Document) *usage {
	u := &usage{}
	for e := range doc.All("differential.element") {
		if e.Get("path").Is("Extension") {
			u.modifier, _ = e.Get("isModifier").Bool()
		}
	}
	for c := range doc.All("context") {
		p := place{kind: c.Get("type").String(), text: c.Get("expression").String()}
		if p.kind == "fhirpath" {
			var err error
			if p.expr, err = fhirpath.Compile(p.text); err != nil {
				b.skip("context", err.Error())
				return &usage{modifier: u.modifier}
			}
		}
		u.places = append(u.places, p)
	}
	for c := range doc.All("contextInvariant") {
		x, err := newRule("ext-invariant", "error", "The extension may not stand here, since this does not hold: "+c.String(), c.String())
		if err != nil {
			b.skip("contextInvariant", err.Error())
			continue
		}
		u.rules = append(u.rules, x)
	}
	return u
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
	if p.typ != "Extension" || p.usage == nil {
		return
	}
	if modifies := el.Name == "modifierExtension"; modifies != p.usage.modifier {
		right := "extension"
		if p.usage.modifier {
			right = "modifierExtension"
		}
		r.fail(source{"ext-modifier", p.url, "Extension"}, fhir.CodeExtension, "The extension belongs under %s.", right)
	}
	if len(r.path) > 1 {
		r.placed(p, n)
	}
	r.conform(n, "Extension", url)
}

// placed judges whether an extension may stand where it does.
func (r *run) placed(p *profile, n fhir.Node) {
	holder := r.path[len(r.path)-2]
	ok := len(p.usage.places) == 0
	var allowed []string
	for _, c := range p.usage.places {
		ok = ok || r.within(c, holder)
		allowed = append(allowed, c.text)
	}
	if !ok {
		r.fail(source{"ext-context", p.url, "Extension"}, fhir.CodeExtension, "The extension does not belong here; it is for %s.", oneOf(allowed))
	}
	for _, x := range p.usage.rules {
		opts := fhirpath.Options{
			Type: holder.of, Sibling: holder.extra, Resource: r.resource, RootResource: r.container, Resolver: fhirpath.ReferenceTypes{},
			Variables: map[string]fhirpath.Collection{"extension": {fhirpath.Of(n, "Extension")}},
		}
		r.decide(source{"ext-invariant", p.url, "Extension"}, x, holder.node, opts)
	}
}

// within tells whether the holder of an extension is in one of its contexts.
func (r *run) within(c place, holder step) bool {
	switch c.kind {
	case "extension":
		return holder.of == "Extension" && holder.node.Get("url").Is(c.text)
	case "fhirpath":
		found, err := c.expr.Evaluate(r.ctx, r.resource, fhirpath.Options{Resource: r.resource, RootResource: r.container, Resolver: fhirpath.ReferenceTypes{}})
		if err != nil {
			if r.ctx.Err() != nil {
				r.stop()
			}
			return true // it cannot be told
		}
		return slices.ContainsFunc(found, func(v fhirpath.Value) bool {
			return v.Node().Exists() && v.Node() == holder.node || v.Sibling().Exists() && v.Sibling() == holder.extra
		})
	}
	_, path, ofProfile := strings.Cut(c.text, "#")
	if !ofProfile {
		path = c.text
	}
	return path == "Element" || r4.Is(holder.of, path) || strings.TrimSuffix(holder.def, "[x]") == strings.TrimSuffix(path, "[x]")
}
