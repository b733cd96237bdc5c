package search

import (
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Definition is a search parameter as its SearchParameter resource says it:
// what the exchange makes of it, for all types that have it.
type Definition struct {
	ID, URL     string
	R4          bool // FHIR R4 defines it; else MY Core or the exchange itself
	Code, Type  string
	Base        []string // the types that have it
	Expression  string   // FHIRPath over all bases, "" where there is none
	Targets     []string // of a reference: the types it may lead to; none for any
	Components  []r4.Component
	Modifiers   []string // as a search writes them: those that work on every base
	Comparators []string
}

// rootURL is where the URLs of parameters begin that R4 does not define.
const rootURL = mycore.Root + "SearchParameter/"

type definitions struct {
	all []*Definition
	of  map[[2]string]*Definition // by type and code
}

// Definitions gives all search parameters in the order of their ids.
func Definitions() []*Definition { return described().all }

// DefinitionOf gives the parameter that a search of the type knows by the code.
func DefinitionOf(typ, code string) (*Definition, bool) {
	d, ok := described().of[[2]string{typ, code}]
	return d, ok
}

// Codes gives the codes of the parameters of a type, with those that all
// stored types have, in alphabetical order.
func Codes(typ string) []string {
	var codes []string
	if Stored(typ) {
		codes = append(codes, "_id", "_lastUpdated")
	}
	for _, p := range params()[typ] {
		codes = append(codes, p.Code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

var described = sync.OnceValue(describeAll)

func describeAll() *definitions {
	out := &definitions{of: map[[2]string]*Definition{}}
	byURL := map[string]*Definition{}
	own := map[[2]string]*Definition{} // those of no release, by code and what they are
	for _, typ := range resourceTypes {
		for _, code := range Codes(typ) {
			var d *Definition
			if of, ok := r4.LookupSearchParameter(typ, code); ok && typeOf(typ, code) == of.Type {
				if d = byURL[of.URL]; d == nil {
					d = ofRelease(of)
					byURL[of.URL] = d
					out.all = append(out.all, d)
				}
			} else {
				p, _ := find(typ, code)
				key := [2]string{code, p.Type() + strings.Join(p.Target, " ") + strings.Join(p.expressions(""), "|")}
				if d = own[key]; d == nil {
					d = &Definition{ID: typ + "-" + code, Code: code, Type: p.Type(), Targets: p.Target}
					d.URL = rootURL + d.ID
					own[key] = d
					out.all = append(out.all, d)
				}
				d.Expression = strings.Trim(d.Expression+" | "+strings.Join(p.expressions(typ), " | "), " |")
			}
			d.Base = append(d.Base, typ)
			out.of[[2]string{typ, code}] = d
		}
	}
	known := map[string][]string{}
	for _, d := range out.all {
		d.finish(known)
	}
	slices.SortFunc(out.all, func(a, b *Definition) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func typeOf(typ, code string) string {
	switch code {
	case "_id":
		return "token"
	case "_lastUpdated":
		return "date"
	}
	p, _ := find(typ, code)
	return p.Type()
}

func ofRelease(of *r4.SearchParameter) *Definition {
	_, id, _ := strings.Cut(of.URL, "/SearchParameter/")
	return &Definition{
		ID: id, URL: of.URL, R4: true, Code: of.Code, Type: of.Type, Expression: of.Expression, Targets: of.Targets, Components: of.Components,
	}
}

// finish adds what a search says to the parameter, and gathers its bases.
// known keeps the modifiers that a search takes for parameters of one kind.
func (d *Definition) finish(known map[string][]string) {
	for i, typ := range d.Base {
		p, _ := find(typ, d.Code)
		key := string(rune(p.Kind))
		if strings.HasPrefix(d.Code, "_") {
			key += d.Code
		}
		if _, ok := known[key]; !ok {
			known[key] = slices.DeleteFunc(slices.Clone(modifiers), func(m string) bool { return !d.takes(typ, m) })
		}
		if i == 0 {
			d.Modifiers = slices.Clone(known[key])
		}
		d.Modifiers = slices.DeleteFunc(d.Modifiers, func(m string) bool { return !slices.Contains(known[key], m) })
	}
	switch d.Type {
	case "date", "number", "quantity":
		d.Comparators = comparators
	}
	if of, ok := r4.LookupSearchParameter("Basic", d.Code); ok && d.R4 && slices.Contains(of.Base, "Resource") {
		d.Base = of.Base
	}
}

// modifiers are those that FHIR R4 has; type stands for the name of any type.
var modifiers = []string{"missing", "exact", "contains", "not", "text", "in", "not-in", "below", "above", "type", "identifier", "of-type"}

// comparators are the prefixes of a date, number or quantity.
var comparators = []string{"eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"}

// values are such as every parameter of a type can be asked for.
var values = map[string]string{
	"date": "2026-11-23", "number": "1", "quantity": "1", "reference": "http://x.example/Basic/1", "uri": "http://x.example", "string": "x", "token": "x", "composite": "x$2026", "special": "1|1|1|km",
}

// takes asks Parse whether a modifier is supported.
func (d *Definition) takes(typ, modifier string) bool {
	value := values[d.Type]
	switch modifier {
	case "missing":
		value = "true"
	case "in", "not-in":
		value = "http://hl7.org/fhir/ValueSet/observation-status"
	case "of-type":
		value = "http://x.example|a|b"
	case "type":
		if modifier, value = "Basic", "1"; len(d.Targets) > 0 {
			modifier = d.Targets[0]
		}
	}
	if d.Type == "token" && (modifier == "above" || modifier == "below") {
		value = "http://x.example|a"
	}
	asked := Parser{Base: "http://x.example/fhir", Terminology: anyTerminology{}}
	req, err := asked.Parse(typ, url.Values{d.Code + ":" + modifier: {value}})
	return fhir.CodeOf(err) != fhir.CodeNotSupported && len(req.Unknown) == 0
}

// anyTerminology has an answer to every question, for what depends on there
// being one at all.
type anyTerminology struct{}

func (anyTerminology) Codes(string) ([]Coding, bool, error)          { return nil, true, nil }
func (anyTerminology) Subtree(_, _ string, _ bool) ([]Coding, error) { return nil, nil }

// expressions writes the paths of a parameter in FHIRPath, from a type on.
func (p Param) expressions(typ string) []string {
	var all []string
	for _, path := range p.paths {
		all = append(all, path.expression(typ))
	}
	return all
}

// expression writes a path in FHIRPath.
func (p path) expression(typ string) string {
	text := typ
	within := false // an extension
	for _, s := range p {
		if s.extension {
			address := s.name
			if !within {
				address = mycore.Root + s.address()
			}
			text += ".extension('" + address + "')"
			within = true
			continue
		}
		text += "." + s.name
		if s.key != "" {
			text += ".where(" + s.key + "='" + s.equal + "')"
		}
	}
	return strings.TrimPrefix(text, ".")
}
