package validate

import (
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

// codes are those of a value set. What nobody can call wrong is among them.
type codes struct{ set *terminology.Set }

// codes gives the codes of a value set that is known.
func (v *Validator) codes(url string) (codes, bool) {
	set, err := v.opts.Terms().Set(unversioned(url))
	return codes{set}, err == nil
}

// hasCode tells whether a code is among them in any system.
func (c codes) hasCode(code string) bool { return c.set.HasCode(code) || !c.set.Complete() }

func (c codes) has(system, code string) bool { return c.set.Contains(system, code) != terminology.Out }

// some names codes for messages.
func (c codes) some(most int) (names []string) {
	all := c.set.Codings()
	for _, coding := range all[:min(len(all), most)] {
		names = append(names, coding.Code)
	}
	return names
}

// systemOf gives the system of which a code is among them, "" when it is not.
func (c codes) systemOf(code string) string {
	for _, coding := range c.set.Codings() {
		if coding.Code == code {
			return coding.System
		}
	}
	return ""
}

// bound judges a coded element by the binding that R4 has for it, and its codes
// by their code systems.
func (r *run) bound(el *r4.Element, typ string, n fhir.Node) {
	if el.Binding != nil {
		r.binding(of("binding", el.Path), el.Binding, el, typ, n)
	}
	if typ == "Coding" {
		r.coding(el, n)
	}
}

// coding judges a code by its code system, where that is known.
func (r *run) coding(el *r4.Element, n fhir.Node) {
	system, code := n.Get("system"), n.Get("code")
	if r.v.opts.Code == nil || system.Kind() != fhir.String || code.Kind() != fhir.String {
		return
	}
	switch r.v.opts.Code(system.String(), code.String(), n.Get("display").String()) {
	case NoSuchCode:
		r.fail(of("code", el.Path), fhir.CodeCodeInvalid, "The code is none of its code system. Use one that the system has, or name the system that it comes from.")
	case WrongDisplay:
		r.warn(of("display", el.Path), fhir.CodeCodeInvalid, "The display is not that of the code. Write it as the code system has it, or leave it out.")
	}
}

// binding judges a coded value. A required code that is not in the value set
// is an error, an extensible one a warning: a code of another system may serve
// where none of the value set fits. A wrong code of the set's own system is
// found by coding.
func (r *run) binding(s source, b *r4.Binding, el *r4.Element, typ string, n fhir.Node) {
	strength, valueSet := b.Strength, b.ValueSet
	if strength != "required" && strength != "extensible" || !codedType(el, typ) {
		return
	}
	set, ok := r.v.codes(valueSet)
	if !ok {
		return
	}
	in, coded := hasCode(set, typ, n)
	if in || el.Path == "CapabilityStatement.format" && slices.Contains(simpleFormats, n.String()) {
		return
	}
	if strength == "required" {
		what, list := "The code is not one that is allowed here.", ""
		if names := set.some(13); names != nil {
			list = " Use " + oneOf(names) + "."
		}
		if !coded {
			what = "A code is required here; a text alone does not do."
		} else if system := systemMeant(set, typ, n); system != "" {
			what, list = "The code is allowed here, but not without its system or under another one.", " Name the system "+system+"."
		}
		r.fail(s, fhir.CodeCodeInvalid, "%s%s The value set is %s.", what, list, valueSet)
		return
	}
	if coded {
		r.warn(s, fhir.CodeCodeInvalid, "The code is not in the value set %s. Use one of its codes when one fits.", valueSet)
	}
}

// simpleFormats are what CapabilityStatement.format may hold beside media
// types, by its definition.
var simpleFormats = []string{"xml", "json", "ttl"}

// systemMeant gives the system under which a value set has the code of a value
// that names none or another one, "" when it has none.
func systemMeant(set codes, typ string, n fhir.Node) string {
	switch typ {
	case "CodeableConcept":
		for c := range n.All("coding") {
			if system := systemMeant(set, "Coding", c); system != "" {
				return system
			}
		}
	case "Coding":
		return set.systemOf(n.Get("code").String())
	}
	return ""
}

// codedType tells whether a value of a type is a code. A text or a URI is one
// where no other type is possible.
func codedType(el *r4.Element, typ string) bool {
	switch typ {
	case "code", "Coding", "CodeableConcept":
		return true
	case "string", "uri":
		return !el.Choice
	}
	return r4.Is(typ, "Quantity")
}

// hasCode tells whether a coded value has a code of the set, and whether it has
// a code at all.
func hasCode(set codes, typ string, n fhir.Node) (in, coded bool) {
	switch typ {
	case "CodeableConcept":
		for c := range n.All("coding") {
			i, k := hasCode(set, "Coding", c)
			in, coded = in || i, coded || k
		}
		return in, coded
	case "code", "string", "uri":
		return set.hasCode(n.String()), true
	}
	code := n.Get("code") // of a Coding or a Quantity
	if code.Kind() != fhir.String {
		return false, false
	}
	return set.has(n.Get("system").String(), code.String()), true
}
