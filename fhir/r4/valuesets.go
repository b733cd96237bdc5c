package r4

import (
	_ "embed"
	"sync"
)

// ValueSet is a value set with all its codes.
type ValueSet struct {
	URL   string
	Codes []Code

	systems map[string]string // code → its system, the first that has it
	other   map[[2]string]bool
}

// Code is one code of a value set.
type Code struct{ System, Code, Display string }

//go:embed valuesets.txt
var valueSetsText string

var valueSets = sync.OnceValue(func() map[string]*ValueSet { return parseValueSets(valueSetsText) })

// LookupValueSet gives the value set with the given URL (without a version).
// ok is false when no element requires it or when its codes cannot be listed.
func LookupValueSet(url string) (vs *ValueSet, ok bool) {
	vs, ok = valueSets()[url]
	return vs, ok
}

// HasCode tells whether the value set has the code in any of its systems: the
// question for an element of type code, which does not name a system.
func (vs *ValueSet) HasCode(code string) bool {
	_, ok := vs.systems[code]
	return ok
}

// Has tells whether the value set has the code of the given system.
func (vs *ValueSet) Has(system, code string) bool {
	first, ok := vs.systems[code]
	return ok && (first == system || vs.other[[2]string{system, code}])
}

func parseValueSets(text string) map[string]*ValueSet {
	all := make(map[string]*ValueSet, 232)
	var vs *ValueSet
	system := ""
	for line := range lines(text) {
		f := fields{line}
		switch f.next() {
		case "V":
			vs = &ValueSet{URL: f.next(), systems: map[string]string{}}
			all[vs.URL] = vs
		case "Y":
			system = f.next()
		default:
			c := Code{system, f.next(), f.next()}
			if c.Display == "" {
				c.Display = c.Code
			}
			vs.add(c)
		}
	}
	return all
}

func (vs *ValueSet) add(c Code) {
	vs.Codes = append(vs.Codes, c)
	if _, known := vs.systems[c.Code]; !known {
		vs.systems[c.Code] = c.System
		return
	}
	if vs.other == nil {
		vs.other = map[[2]string]bool{}
	}
	vs.other[[2]string{c.System, c.Code}] = true
}
