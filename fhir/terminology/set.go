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

	codes   map[string][]string // the systems that have the code
	systems func(url string) (*CodeSystem, bool)
	loose   bool // a system is among them in whose codes letters may be small or large
}

type key struct{ system, code string }

// gap says why the codes of a system are not all listed. Of a partial one those
// that are known are in the set.
type gap struct {
	reason  string
	partial bool
	decide  func(code string) Answer // nil: nobody can tell of any code
	sure    bool                     // decide never says Unknown
}

func (g gap) answer(code string) Answer {
	if g.decide == nil {
		return Unknown
	}
	return g.decide(code)
}

// either and both combine what is known of a code in two places.
func either(a, b Answer) Answer { return not(both(not(a), not(b))) }

func both(a, b Answer) Answer {
	switch {
	case a == Out || b == Out:
		return Out
	case a == Unknown || b == Unknown:
		return Unknown
	}
	return In
}

func not(a Answer) Answer {
	switch a {
	case In:
		return Out
	case Out:
		return In
	}
	return Unknown
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
	if before, ok := s.open[system]; ok {
		if g.decide != nil || before.decide != nil {
			one, other := before, g
			g.decide = func(code string) Answer { return either(one.answer(code), other.answer(code)) }
			g.sure = one.sure && other.sure
		}
		if g.partial {
			g.partial, g.reason = before.partial, before.reason
		}
	}
	s.open[system] = g
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
	if s.except[k] {
		return Out
	}
	answer := Out
	if s.maybe[k] {
		answer = Unknown
	}
	if g, ok := s.open[k.system]; ok {
		answer = either(answer, g.answer(k.code))
	}
	if g, ok := s.open[""]; ok && k.system != "" {
		answer = either(answer, g.answer(k.code))
	}
	return answer
}

func mark(all *map[key]bool, k key) {
	if *all == nil {
		*all = map[key]bool{}
	}
	(*all)[k] = true
}

// union adds what is in another set.
func (s *Set) union(o *Set) {
	s.hold()
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
		s.leaveOpen(system, o.held(system, g))
	}
}

// hold puts what is excepted into the gaps that decide, so that it stays out
// when the exception goes.
func (s *Set) hold() {
	for system, g := range s.open {
		s.open[system] = s.held(system, g)
	}
}

func (s *Set) held(system string, g gap) gap {
	if decide, except := g.decide, s.except; decide != nil && len(except) > 0 {
		g.decide = func(code string) Answer {
			if except[key{system, code}] {
				return Out
			}
			return decide(code)
		}
	}
	return g
}

// minus gives the set without what is in another one.
func (s *Set) minus(o *Set) *Set {
	out := newSet()
	out.except = maps.Clone(s.except)
	for system, g := range s.open {
		if before := g; g.decide != nil || o.open[system].decide != nil {
			g.decide = func(code string) Answer { return both(before.answer(code), not(o.lookup(key{system, code}))) }
			g.sure = g.sure && o.sure(system)
		}
		out.leaveOpen(system, g)
	}
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
	for _, side := range []*Set{s, o} {
		for _, m := range side.members {
			if s.lookup(m.key) == In && o.lookup(m.key) == In {
				out.add(m)
			}
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
			if _, done := out.open[system]; !done && s.isOpen(system) && o.isOpen(system) {
				g.partial = g.partial && o.open[system].partial && s.open[system].partial
				g.decide = func(code string) Answer { return both(s.lookup(key{system, code}), o.lookup(key{system, code})) }
				g.sure = s.sure(system) && o.sure(system)
				out.leaveOpen(system, g)
			}
		}
	}
	return out
}

// finish makes the maps for the questions of package validate.
func (s *Set) finish() {
	s.codes = make(map[string][]string, len(s.members))
	for _, m := range s.members {
		s.codes[m.code] = append(s.codes[m.code], m.system)
		cs, known := s.systems(m.system)
		s.loose = s.loose || known && cs.folded != nil
	}
}

// Complete tells whether it is known of every code whether it is in the set, so
// that one that is not is wrong.
func (s *Set) Complete() bool {
	for _, g := range s.open {
		if !g.sure {
			return false
		}
	}
	return len(s.maybe) == 0
}

// sure tells the same of the codes of one system.
func (s *Set) sure(system string) bool {
	g, open := s.open[system]
	_, all := s.open[""]
	return (!open || g.sure) && !all && len(s.maybe) == 0
}

// Listed tells whether Codings gives all codes of the set.
func (s *Set) Listed() bool { return len(s.open) == 0 && len(s.maybe) == 0 }

// Missing says why not all codes are listed, "" when they are.
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
func (s *Set) HasCode(code string) bool { return len(s.having(code)) > 0 }

// having gives the systems in which the set has a code.
func (s *Set) having(code string) []string {
	systems := s.codes[code]
	for system, g := range s.open {
		if g.decide != nil && s.lookup(key{system, code}) == In && !slices.Contains(systems, system) {
			systems = append(slices.Clip(systems), system)
		}
	}
	return systems
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
