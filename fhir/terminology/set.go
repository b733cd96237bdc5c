package terminology

import (
	"maps"
	"slices"
	"strings"
)

// Answer is what can be said about a code and a value set.
type Answer uint8

// Unknown is the answer where the codes are not known here: nobody can say then
// that a code is wrong.
const (
	Out Answer = iota
	In
	Unknown
)

// Set is a value set ready for questions. It may be used by many goroutines at
// once.
//
// Of some value sets not all codes are known. A Set keeps that apart: which
// codes are in it, which of those it was asked about may be, and for which
// systems it cannot tell.
type Set struct {
	URL, Version string

	members []member
	at      map[key]int
	maybe   map[key]bool   // may be in it
	except  map[key]bool   // are not in it, though the system is open
	open    map[string]gap // by system; under "" are all systems

	codes   map[string]int // how many systems have the code
	systems func(url string) (*CodeSystem, bool)
	loose   bool // a system is among them in whose codes letters may be small or large
}

type key struct{ system, code string }

// gap says why the codes of a system are not all known. Of a partial one those
// that are known are in the set.
type gap struct {
	reason  string
	partial bool
}

// member is one code of a set.
type member struct {
	key
	version      string
	display      string // as the value set has it, else that of the concept
	abstract     bool
	inactive     bool
	designations []Designation
	concept      *Concept // nil where the system is not known
}

func newSet() *Set { return &Set{at: map[key]int{}} }

func (s *Set) add(m member) {
	if _, twice := s.at[m.key]; !twice {
		s.at[m.key] = len(s.members)
		s.members = append(s.members, m)
	}
}

func (s *Set) leaveOpen(system string, g gap) {
	if s.open == nil {
		s.open = map[string]gap{}
	}
	if before, ok := s.open[system]; !ok || before.partial {
		s.open[system] = g
	}
}

func (s *Set) isOpen(system string) bool {
	if len(s.open) == 0 {
		return false
	}
	_, ok := s.open[system]
	if !ok {
		_, ok = s.open[""]
	}
	return ok
}

func (s *Set) lookup(k key) Answer {
	if _, ok := s.at[k]; ok {
		return In
	}
	if !s.except[k] && (s.maybe[k] || s.isOpen(k.system)) {
		return Unknown
	}
	return Out
}

func mark(all *map[key]bool, k key) {
	if *all == nil {
		*all = map[key]bool{}
	}
	(*all)[k] = true
}

// union adds what is in another set.
func (s *Set) union(o *Set) {
	var except map[key]bool
	for _, side := range []*Set{s, o} {
		for k := range side.except {
			if s.lookup(k) == Out && o.lookup(k) == Out {
				mark(&except, k)
			}
		}
	}
	s.except = except
	for _, m := range o.members {
		s.add(m)
	}
	for k := range o.maybe {
		mark(&s.maybe, k)
	}
	for system, g := range o.open {
		s.leaveOpen(system, g)
	}
}

// minus gives the set without what is in another one.
func (s *Set) minus(o *Set) *Set {
	out := newSet()
	out.except, out.open = maps.Clone(s.except), maps.Clone(s.open)
	for _, m := range s.members {
		switch o.lookup(m.key) {
		case Out:
			out.add(m)
		case Unknown:
			mark(&out.maybe, m.key)
		case In:
			mark(&out.except, m.key)
		}
	}
	for k := range s.maybe {
		if o.lookup(k) == In {
			mark(&out.except, k)
		} else {
			mark(&out.maybe, k)
		}
	}
	for _, m := range o.members {
		if s.isOpen(m.system) {
			mark(&out.except, m.key)
		}
	}
	return out
}

// intersect gives what is in both sets.
func (s *Set) intersect(o *Set) *Set {
	out := newSet()
	possible := func(k key) {
		if _, in := out.at[k]; !in && s.lookup(k) != Out && o.lookup(k) != Out {
			mark(&out.maybe, k)
		}
	}
	for _, m := range s.members {
		if o.lookup(m.key) == In {
			out.add(m)
		}
	}
	for _, side := range []*Set{s, o} {
		for _, m := range side.members {
			possible(m.key)
		}
		for k := range side.maybe {
			possible(k)
		}
		for k := range side.except {
			mark(&out.except, k)
		}
		for system, g := range side.open {
			if s.isOpen(system) && o.isOpen(system) {
				out.leaveOpen(system, g)
			}
		}
	}
	return out
}

// finish makes the maps for the questions of package validate.
func (s *Set) finish() {
	s.codes = make(map[string]int, len(s.members))
	for _, m := range s.members {
		s.codes[m.code]++
		cs, known := s.systems(m.system)
		s.loose = s.loose || known && cs.folded != nil
	}
}

// Complete tells whether all codes are known, so that a code that is not in the
// set is wrong.
func (s *Set) Complete() bool { return len(s.open) == 0 && len(s.maybe) == 0 }

// Missing says why not all codes are known, "" when they are.
func (s *Set) Missing() string {
	if len(s.open) > 0 {
		return s.open[slices.Min(slices.Collect(maps.Keys(s.open)))].reason
	}
	if len(s.maybe) > 0 {
		return "Whether some of the codes belong to the value set is not known here."
	}
	return ""
}

// Contains tells whether the set has a code of a system.
func (s *Set) Contains(system, code string) Answer {
	answer, _ := s.find(system, code)
	return answer
}

// find gives the member too.
func (s *Set) find(system, code string) (Answer, *member) {
	k := key{system, code}
	if i, ok := s.at[k]; ok {
		return In, &s.members[i]
	}
	cs, known := s.systems(system)
	if known && (s.loose || cs.URL != system) {
		k.system = cs.URL
		if c, ok := cs.Find(code); ok {
			k.code = c.Code
		}
		if i, ok := s.at[k]; ok {
			return In, &s.members[i]
		}
	}
	return s.lookup(k), nil
}

// Has tells whether the set has a code of a system for certain.
func (s *Set) Has(system, code string) bool { return s.Contains(system, code) == In }

// HasCode tells whether the set has a code in any of its systems.
func (s *Set) HasCode(code string) bool { return s.codes[code] > 0 }

// system gives the system in which the set has a code; ok is false when there
// is none or more than one.
func (s *Set) system(code string) (system string, ok bool) {
	if s.codes[code] != 1 {
		return "", false
	}
	for _, m := range s.members {
		if m.code == code {
			return m.system, true
		}
	}
	return "", false
}

// Codings gives all codes that are known, in the order of the definition.
func (s *Set) Codings() []Coding {
	list := make([]Coding, len(s.members))
	for i, m := range s.members {
		list[i] = Coding{System: m.system, Version: m.version, Code: m.code, Display: m.displayIn("")}
	}
	return list
}

func (m *member) displayIn(language string) string {
	own := displayIn(m.display, m.designations, language)
	if m.concept == nil || own != "" && (language == "" || own != m.display) {
		return own
	}
	if of := m.concept.DisplayIn(language); own == "" || of != m.concept.Display {
		return of
	}
	return own
}

// isDisplay tells whether a text is one of the displays of the code. Where none
// is known any text may be.
func (m *member) isDisplay(text string) bool {
	known := false
	for _, d := range m.displays() {
		known = known || d != ""
		if d != "" && sameText(d, text) {
			return true
		}
	}
	return !known
}

func (m *member) displays() []string {
	list := []string{m.display}
	for _, d := range m.designations {
		list = append(list, d.Value)
	}
	if m.concept != nil {
		list = append(list, m.concept.displays()...)
	}
	return list
}

func (c *Concept) displays() []string {
	list := []string{c.Display}
	for _, d := range c.Designations {
		if d.Use.Code != "definition" {
			list = append(list, d.Value)
		}
	}
	return list
}

// sameText compares displays: letters may be small or large, and white space
// counts once.
func sameText(a, b string) bool {
	return strings.EqualFold(a, b) || strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}
