package terminology

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// maxExpansion bounds the codes of an expansion that is asked for as a whole.
const maxExpansion = 10_000

// Page says which part of a value set is asked for, and how it is shown. The
// zero Page is all of it.
type Page struct {
	Filter       string // words of which each must be part of a code or a display
	Offset       int
	Count        *int // nil: all
	ActiveOnly   bool // without inactive codes
	ForUI        bool // without codes that only group others
	Nested       bool // codes stand below those that they belong to; for all of a value set
	Designations bool
	Languages    []string // of the designations, none for all
	Language     string   // of the displays
	Without      []string // systems that are left out
}

// Expansion is the answer: Total counts all codes that the Page could show.
type Expansion struct {
	Total    int
	Systems  []Coding // the systems with their versions
	Contains []Contained

	// Unclosed says that the value set has codes that are not known here.
	Unclosed bool
}

// Contained is one code of an expansion.
type Contained struct {
	Coding
	Abstract, Inactive bool
	Designations       []Designation
	Contains           []Contained
}

// Expand lists the codes of the value set. The error says that they are not
// known here, or that there are too many to be listed at once.
func (s *Set) Expand(p Page) (Expansion, error) {
	closed := len(s.maybe) == 0
	for _, g := range s.open {
		closed = closed && g.partial
	}
	if !closed {
		return Expansion{}, fhir.Errorf(fhir.CodeNotSupported, "", "The codes of the value set cannot be listed here. %s", s.Missing()).WithStatus(422)
	}
	words := strings.Fields(strings.ToLower(p.Filter))
	var shown []*member
	for i := range s.members {
		m := &s.members[i]
		if p.ActiveOnly && m.inactive || p.ForUI && m.abstract || slices.Contains(p.Without, m.system) || !m.has(words) {
			continue
		}
		shown = append(shown, m)
	}
	x := Expansion{Total: len(shown), Unclosed: len(s.open) > 0, Systems: systemsOf(shown)}
	if p.Count == nil && len(shown)-p.Offset > maxExpansion {
		return Expansion{}, fhir.Errorf(fhir.CodeTooCostly, "", "The value set has more than %d codes. Ask for a part of them with count and offset, or with filter.", maxExpansion).WithStatus(422)
	}
	if p.Nested && p.Offset == 0 && p.Count == nil {
		x.Contains = nest(shown, p)
		return x, nil
	}
	shown = shown[min(p.Offset, len(shown)):]
	if p.Count != nil {
		shown = shown[:min(*p.Count, len(shown))]
	}
	x.Contains = make([]Contained, len(shown))
	for i, m := range shown {
		x.Contains[i] = m.contained(p)
	}
	return x, nil
}

// has tells whether each word is part of the code or of one of the displays.
func (m *member) has(words []string) bool {
	if len(words) == 0 {
		return true
	}
	texts := append(m.displays(), m.code)
	for i := range texts {
		texts[i] = strings.ToLower(texts[i])
	}
	return !slices.ContainsFunc(words, func(word string) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, word) })
	})
}

func systemsOf(list []*member) (systems []Coding) {
	seen := map[Coding]bool{}
	for _, m := range list {
		if c := (Coding{System: m.system, Version: m.version}); !seen[c] {
			seen[c] = true
			systems = append(systems, c)
		}
	}
	return systems
}

func (m *member) contained(p Page) Contained {
	c := Contained{
		Coding:   Coding{m.system, m.version, m.code, m.displayIn(p.Language)},
		Abstract: m.abstract, Inactive: m.inactive,
	}
	if !p.Designations {
		return c
	}
	all := slices.Clone(m.designations)
	if m.concept != nil {
		all = append(all, m.concept.Designations...)
	}
	for _, d := range all {
		if len(p.Languages) == 0 || slices.ContainsFunc(p.Languages, func(l string) bool { return strings.EqualFold(l, d.Language) }) {
			c.Designations = append(c.Designations, d)
		}
	}
	return c
}

// nest puts each code below the nearest of its ancestors that is in the list.
func nest(list []*member, p Page) []Contained {
	in := make(map[*Concept]*member, len(list))
	for _, m := range list {
		if m.concept != nil {
			in[m.concept] = m
		}
	}
	below := map[*member][]*member{}
	var top []*member
	for _, m := range list {
		if parent := nearest(m.concept, in); parent != nil {
			below[parent] = append(below[parent], m)
		} else {
			top = append(top, m)
		}
	}
	var render func(list []*member, depth int) []Contained
	render = func(list []*member, depth int) (out []Contained) {
		for _, m := range list {
			c := m.contained(p)
			if depth < maxDepth {
				c.Contains = render(below[m], depth+1)
			}
			out = append(out, c)
		}
		return out
	}
	return render(top, 0)
}

// nearest gives the member of the nearest ancestor. The first parent of a
// concept is the one that it stands in.
func nearest(c *Concept, in map[*Concept]*member) *member {
	for range maxDepth {
		if c == nil || len(c.Parents) == 0 {
			return nil
		}
		c = c.Parents[0]
		if m := in[c]; m != nil {
			return m
		}
	}
	return nil
}
