package validate

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// ValueSets reads ValueSet and CodeSystem resources for Options.ValueSets. A
// value set counts when all its codes can be listed: an expansion, or codes,
// whole code systems that are complete among the documents, and other value
// sets, without filters and without what is left out again. Other documents
// are passed over.
func ValueSets(docs ...*fhir.Document) func(url string) (Codes, bool) {
	e := enumerator{systems: map[string]*fhir.Document{}, sets: map[string]*fhir.Document{}, done: map[string]list{}}
	for _, d := range docs {
		switch url := d.Get("url").String(); d.Type() {
		case "CodeSystem":
			e.systems[url] = d
		case "ValueSet":
			e.sets[url] = d
		}
	}
	for url := range e.sets {
		e.set(url, 0)
	}
	done := e.done
	return func(url string) (Codes, bool) {
		l, ok := done[unversioned(url)]
		return l, ok && l != nil
	}
}

// list holds codes by their system; under "" are those of all systems.
type list map[string]map[string]bool

func (l list) HasCode(code string) bool     { return l[""][code] }
func (l list) Has(system, code string) bool { return system != "" && l[system][code] }

func (l list) add(system, code string) {
	for _, s := range []string{"", system} {
		if l[s] == nil {
			l[s] = map[string]bool{}
		}
		l[s][code] = true
	}
}

type enumerator struct {
	systems, sets map[string]*fhir.Document
	done          map[string]list // nil: cannot be listed
}

// set lists a value set, nil when that is not possible.
func (e *enumerator) set(url string, depth int) list {
	url = unversioned(url)
	if l, ok := e.done[url]; ok {
		return l
	}
	d := e.sets[url]
	if d == nil || depth > 16 {
		return known(url)
	}
	l := list{}
	if expansion := d.Root().Get("expansion"); expansion.Get("contains").Exists() {
		expand(l, expansion, 0)
	} else if !e.compose(l, d.Root().Get("compose"), depth) {
		l = nil
	}
	e.done[url] = l
	return l
}

// known gives a value set of R4.
func known(url string) list {
	vs, ok := r4.LookupValueSet(url)
	if !ok {
		return nil
	}
	l := list{}
	for _, c := range vs.Codes {
		l.add(c.System, c.Code)
	}
	return l
}

func expand(l list, n fhir.Node, depth int) {
	for c := range n.All("contains") {
		if c.Get("code").Exists() && !c.Get("abstract").Is("true") {
			l.add(c.Get("system").String(), c.Get("code").String())
		}
		if depth < 16 {
			expand(l, c, depth+1)
		}
	}
}

func (e *enumerator) compose(l list, n fhir.Node, depth int) bool {
	if n.Get("exclude").Exists() || !n.Get("include").Exists() {
		return false
	}
	for in := range n.All("include") {
		system := in.Get("system").String()
		sets := in.Get("valueSet").Len()
		switch {
		case in.Get("filter").Exists(), sets > 1, sets == 1 && system != "":
			return false // an intersection, or more than a list
		case sets == 1:
			other := e.set(in.First("valueSet").String(), depth+1)
			if other == nil {
				return false
			}
			for s, codes := range other {
				for c := range codes {
					if s != "" {
						l.add(s, c)
					}
				}
			}
		case in.Get("concept").Exists():
			for c := range in.All("concept") {
				l.add(system, c.Get("code").String())
			}
		default:
			d := e.systems[system]
			if d == nil || !d.Root().Get("content").Is("complete") {
				return false
			}
			concepts(l, strings.Clone(system), d.Root(), 0)
		}
	}
	return true
}

func concepts(l list, system string, n fhir.Node, depth int) {
	for c := range n.All("concept") {
		l.add(system, c.Get("code").String())
		if depth < 16 {
			concepts(l, system, c, depth+1)
		}
	}
}
