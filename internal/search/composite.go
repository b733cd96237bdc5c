package search

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// A composite parameter compares two parts of the same element. Its entries
// are those of the second part, each under a name that holds a code of the
// first: so that one entry speaks for both.

// parts are the two parts of a composite parameter, with paths from the
// element that holds them.
type parts struct{ code, value Param }

// anySystem ends the name for a code whatever its system.
const anySystem = "|*"

// composite reads code$value.
func (ps Parser) composite(p Param) matcher {
	return func(value string) ([]store.Condition, error) {
		both := split(value, '$')
		if len(both) != 2 || slices.Contains(both, "") {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be two values with a $ between them.", p.Code)
		}
		code := p.parts.code
		code.Code = p.Code
		first, err := ps.plain(code)(both[0])
		if err != nil {
			return nil, err
		}
		var any []store.Condition
		for _, c := range first {
			if c.Clause == nil {
				return nil, unsupported(p.Code, "cannot be read in this way")
			}
			for _, m := range c.Clause.Any {
				second := p.parts.value
				switch {
				case m.Compare == store.HasPrefix:
					second.Code = under(p.Code, strings.TrimSuffix(m.Value, "|")+anySystem)
				case m.Compare == store.Equal:
					second.Code = under(p.Code, m.Value)
				default:
					return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s needs a code before the $.", p.Code)
				}
				found, err := ps.plain(second)(both[1])
				if err != nil {
					return nil, err
				}
				any = append(any, found...)
			}
		}
		return any, nil
	}
}

// under names the view of a composite parameter that holds one code alone.
func under(param, code string) string { return param + "$" + code }

// composite indexes one element: its values under each of its codes.
func (ix *indexer) composite(p *Param, n fhir.Node) {
	codes := indexer{bases: ix.bases}
	for _, path := range p.parts.code.paths {
		path.walk(n, func(n fhir.Node) { indexers[p.parts.code.Kind](&codes, &p.parts.code, n) })
	}
	var names []string
	for _, e := range codes.entries {
		switch e.Param {
		case p.parts.code.Code:
			names = append(names, e.Value)
			if i := strings.LastIndexByte(e.Value, '|'); i > 0 && p.parts.code.Kind == Token {
				names = append(names, e.Value[:i]+anySystem)
			}
		case p.parts.code.Code + bySystem:
			names = append(names, e.Value)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if len(name) > maxValue {
			continue
		}
		value := p.parts.value
		value.Code = under(p.Code, name)
		for _, path := range value.paths {
			path.walk(n, func(n fhir.Node) { indexers[value.Kind](ix, &value, n) })
		}
	}
}

// composed reads the definition of a composite parameter. Those whose parts
// stand in different elements, or that have three parts, have no reading.
func composed(typ string, d *r4.SearchParameter) (Param, bool) {
	p := Param{Code: d.Code, Kind: Composite}
	if len(d.Components) != 2 {
		return p, false
	}
	t, _ := r4.LookupType(typ)
	for alternative := range strings.SplitSeq(d.Expression, " | ") {
		alternative = strings.TrimSpace(alternative)
		element, path := t.Root, ""
		if alternative != typ {
			ends := ending(typ, alternative)
			if len(ends) != 1 {
				continue // of another type
			}
			path = ends[0].path
			element, _, _ = t.Element(path)
			element = element.Content(ends[0].typ)
		}
		var whole []Param
		for i, c := range d.Components {
			part, ok := r4.SearchParameterByURL(c.Definition)
			if !ok || strings.HasPrefix(c.Expression, "%") {
				return p, false
			}
			whole = append(whole, Param{Code: d.Components[i].Expression})
			var ends []end
			for text := range strings.SplitSeq(c.Expression, " | ") {
				ends = append(ends, from(element, strings.TrimSpace(text))...)
			}
			whole[i].learn(fitting(part, ends), ends)
			if whole[i].Kind == 0 {
				return p, false
			}
		}
		p.paths = append(p.paths, compiled(path))
		if p.parts == nil {
			p.parts = &parts{whole[0], whole[1]}
		}
	}
	return p, p.parts != nil
}

// fitting gives the definition of a part as its values have it: the release has
// the two parts of DocumentReference.relationship the wrong way round.
func fitting(d *r4.SearchParameter, ends []end) *r4.SearchParameter {
	if len(ends) != 1 || (ends[0].typ == "Reference") == (d.Type == "reference") {
		return d
	}
	fit := *d
	fit.Type, fit.Targets = "token", nil
	if ends[0].typ == "Reference" {
		fit.Type, fit.Targets = "reference", []string{"DocumentReference"}
	}
	return &fit
}

func compiled(text string) path {
	if text == "" {
		return nil // the resource itself
	}
	return compile(text)
}
