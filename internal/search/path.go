package search

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// path leads from a resource to the values of a search parameter. It is
// written with dots: a member name; @name for the extension with that url, or
// with a url that ends so; value for an extension's value of whatever type;
// name(key=text) for those items alone whose member key reads text.
type path []step

type step struct {
	name       string
	extension  bool
	value      bool
	key, equal string
}

func compile(text string) path {
	var p path
	for part := range strings.SplitSeq(text, ".") {
		s := step{name: part}
		if name, rest, ok := strings.Cut(part, "("); ok {
			s.name = name
			s.key, s.equal, _ = strings.Cut(strings.TrimSuffix(rest, ")"), "=")
		}
		if name, ok := strings.CutPrefix(s.name, "@"); ok {
			s.name, s.extension = name, true
		}
		s.value = len(p) > 0 && p[len(p)-1].extension && s.name == "value"
		p = append(p, s)
	}
	return p
}

// walk calls yield with every node at the end of the path.
func (p path) walk(n fhir.Node, yield func(fhir.Node)) {
	if len(p) == 0 {
		yield(n)
		return
	}
	s := p[0]
	for item := range s.from(n).Items() {
		if s.key != "" && !item.Get(s.key).Is(s.equal) || s.extension && !s.names(item) {
			continue
		}
		p[1:].walk(item, yield)
	}
}

func (s step) from(n fhir.Node) fhir.Node {
	switch {
	case s.extension:
		return n.Get("extension")
	case s.value:
		for c := range n.Children() {
			if strings.HasPrefix(c.Name(), "value") {
				return c
			}
		}
		return fhir.Node{}
	}
	return n.Get(s.name)
}

// address is where the extension lies below the guide: among its structures,
// unless its name says otherwise.
func (s step) address() string {
	if strings.Contains(s.name, "/") {
		return s.name
	}
	return "StructureDefinition/" + s.name
}

// names accepts the extension under any of the bases under which the guide has
// been published.
func (s step) names(extension fhir.Node) bool {
	url := extension.Get("url").String()
	return url == s.name || strings.HasSuffix(url, "/"+s.address())
}
