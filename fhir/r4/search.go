package r4

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// SearchParameter is one parameter of a search.
type SearchParameter struct {
	URL         string
	Code        string   // its name in a search
	Type        string   // token, reference, date, string, quantity, number, uri, composite or special
	Base        []string // the types that have it
	Expression  string   // FHIRPath over all bases, "" for _text, _content and _query
	Targets     []string // of a reference: the types it may point at
	Comparators []string // eq, ne, gt, … where they apply
	Modifiers   []string // as the release lists them: for no parameter
	Components  []Component
}

// Component is one part of a composite search parameter.
type Component struct {
	Definition string // the URL of the part's own search parameter
	Expression string // from the place that the composite's expression finds
}

//go:embed search.txt
var searchText string

type searchIndex struct {
	byType map[string][]*SearchParameter
	byCode map[[2]string]*SearchParameter
	byURL  map[string]*SearchParameter
}

var searches = sync.OnceValue(func() *searchIndex { return parseSearch(searchText) })

// SearchParameters gives the parameters of a resource type in the order of
// their codes, with those that all resources have (_id, _lastUpdated, …).
// It gives none for a name that is no resource type.
func SearchParameters(typ string) []*SearchParameter { return searches().byType[typ] }

// LookupSearchParameter gives the parameter that a search of the given
// resource type knows under code.
func LookupSearchParameter(typ, code string) (*SearchParameter, bool) {
	p, ok := searches().byCode[[2]string{typ, code}]
	return p, ok
}

// SearchParameterByURL gives the parameter that a component's Definition names.
func SearchParameterByURL(url string) (*SearchParameter, bool) {
	p, ok := searches().byURL[url]
	return p, ok
}

func parseSearch(text string) *searchIndex {
	x := &searchIndex{map[string][]*SearchParameter{}, map[[2]string]*SearchParameter{}, map[string]*SearchParameter{}}
	own := map[string][]*SearchParameter{}
	shared := map[string][]string{} // lists that are the same are stored once
	share := func(s string) []string {
		l, ok := shared[s]
		if !ok {
			l = list(s)
			shared[s] = l
		}
		return l
	}
	var p *SearchParameter
	for line := range lines(text) {
		f := fields{line}
		if f.next() == "C" {
			p.Components = append(p.Components, Component{lengthen(f.next(), searchURL), f.next()})
			continue
		}
		p = &SearchParameter{URL: lengthen(f.next(), searchURL), Code: f.next(), Type: f.next(), Base: share(f.next()),
			Expression: f.next(), Targets: share(f.next()), Comparators: share(f.next()), Modifiers: share(f.next())}
		x.byURL[p.URL] = p
		for _, b := range p.Base {
			own[b] = append(own[b], p)
		}
	}
	for name, t := range types() {
		if t.Kind != Resource {
			continue
		}
		var all []*SearchParameter
		for base := name; base != ""; base = BaseOf(base) {
			all = append(all, own[base]...)
		}
		slices.SortFunc(all, func(a, b *SearchParameter) int { return strings.Compare(a.Code, b.Code) })
		x.byType[name] = all
		for _, p := range all {
			x.byCode[[2]string{name, p.Code}] = p
		}
	}
	return x
}
