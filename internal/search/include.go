package search

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Any stands in an Include for every type, and for every reference of a type.
const Any = "*"

// maxIncludes bounds the _include and _revinclude of one request.
const maxIncludes = 50

// Include asks for the resources that matches refer to (_include: Type is the
// type of the match) or that refer to matches (_revinclude: Type is theirs).
type Include struct {
	Type    string // that holds the reference, or Any
	Param   string // or Any
	Target  string // type at the other end, "" for any
	Iterate bool   // from what is included on, too
}

// Covers tells whether the include follows the reference param of a resource
// of type from; to is the type at the other end.
func (inc Include) Covers(from, param, to string) bool {
	return (inc.Type == Any || inc.Type == from) && (inc.Param == Any || inc.Param == param) && (inc.Target == "" || inc.Target == to)
}

// include reads _include=Type:param, Type:param:Target, Type:*, or *.
func (r *reader) include(value string) (bool, error) { return r.adds(&r.Includes, value, false) }

// iterate reads _include:iterate, which STU3 calls _include:recurse.
func (r *reader) iterate(value string) (bool, error) { return r.adds(&r.Includes, value, true) }

func (r *reader) revinclude(value string) (bool, error) {
	return r.adds(&r.RevIncludes, value, false)
}

func (r *reader) reviterate(value string) (bool, error) { return r.adds(&r.RevIncludes, value, true) }

func (r *reader) adds(to *[]Include, value string, iterate bool) (bool, error) {
	inc, ok := parseInclude(value)
	inc.Iterate = iterate
	reverse := to == &r.RevIncludes
	if !ok || !iterate && !r.reaches(inc, reverse) || reverse && inc.Type != Any && !Stored(inc.Type) {
		return false, nil
	}
	if len(r.Includes)+len(r.RevIncludes) >= maxIncludes {
		return true, fhir.Errorf(fhir.CodeTooCostly, "", "A search may have at most %d _include and _revinclude.", maxIncludes).WithStatus(400)
	}
	if !slices.Contains(*to, inc) {
		*to = append(*to, inc)
	}
	return true, nil
}

// parseInclude reads an include; ok is false when there is no such reference.
func parseInclude(value string) (inc Include, ok bool) {
	if value == Any || value == "*:*" {
		return Include{Type: Any, Param: Any}, true
	}
	parts := strings.Split(value, ":")
	if len(parts) < 2 || len(parts) > 3 || !TypeNamed(parts[0]) {
		return inc, false
	}
	inc = Include{Type: parts[0], Param: parts[1]}
	if len(parts) == 3 {
		if inc.Target = parts[2]; !TypeNamed(inc.Target) {
			return inc, false
		}
	}
	return inc, len(inc.References()) > 0
}

// References gives the parameters that the include names, of a Type that is
// not Any.
func (inc Include) References() (all []Param) {
	for _, p := range params()[inc.Type] {
		if (p.Kind == Reference || p.Kind == Canonical) && (inc.Param == Any || inc.Param == p.Code) && (inc.Target == "" || p.leadsTo(inc.Target)) {
			all = append(all, p)
		}
	}
	return all
}

// reaches tells whether an include can have to do with what is searched:
// references of the matches themselves, or references to them.
func (r *reader) reaches(inc Include, reverse bool) bool {
	if inc.Type == Any {
		return true
	}
	if !reverse {
		return r.mayMatch(inc.Type)
	}
	return slices.ContainsFunc(inc.References(), func(p Param) bool {
		if inc.Target != "" {
			return r.mayMatch(inc.Target)
		}
		return len(p.Target) == 0 || slices.ContainsFunc(p.Target, r.mayMatch)
	})
}

// mayMatch tells whether the search may find resources of a type.
func (r *reader) mayMatch(typ string) bool { return slices.Contains(r.types(), typ) }

// Pointer is a reference of a document that a search parameter finds: to a
// resource of this exchange, or to a canonical URL.
type Pointer struct {
	Param string
	fhir.Reference
	URL     string   // canonical, its version in Reference.Version; Type and ID are empty
	Targets []string // types that a canonical may lead to
}

// Pointers gives the references of a document, in order.
func Pointers(doc *fhir.Document, bases ...string) []Pointer {
	var all []Pointer
	for i := range params()[doc.Type()] {
		p := &params()[doc.Type()][i]
		if p.Kind != Reference && p.Kind != Canonical {
			continue
		}
		for _, path := range p.paths {
			path.walk(doc.Root(), func(n fhir.Node) {
				if to, ok := p.pointer(doc.Type(), n, bases); ok {
					all = append(all, to)
				}
			})
		}
	}
	return all
}

func (p *Param) pointer(typ string, n fhir.Node, bases []string) (to Pointer, ok bool) {
	text := n.String()
	if n.Kind() == fhir.Object {
		text = n.Get("reference").String()
	}
	for _, base := range append([]string{""}, bases...) {
		if ref, ok := fhir.ParseReference(text, base); ok {
			return Pointer{Param: p.Code, Reference: ref}, p.leadsTo(ref.Type)
		}
	}
	if n.Kind() != fhir.String || text == "" {
		return to, false
	}
	to.Param = p.Code
	to.URL, to.Version, _ = strings.Cut(text, "|")
	if d, ok := r4.LookupSearchParameter(typ, p.Code); ok {
		to.Targets = d.Targets
	}
	return to, true
}
