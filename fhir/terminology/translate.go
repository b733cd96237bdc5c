package terminology

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// ConceptMap says what codes of one system are in another.
type ConceptMap struct {
	URL, ID, Version, Name, Title, Status string

	Source, Target string // the value sets that it leads from and to
	Groups         []Group
}

// Group translates from one system to another.
type Group struct {
	Source, SourceVersion, Target, TargetVersion string

	Elements []Mapping

	// Unmapped says what to do with a code that is not among the Elements:
	// nothing, "provided" (it stays as it is) or "fixed" (it becomes Fixed).
	Unmapped string
	Fixed    Mapped
}

// Mapping is one code of the source with what it is in the target.
type Mapping struct {
	Code, Display string
	Targets       []Mapped
}

// Mapped is one code of the target.
type Mapped struct{ Code, Display, Equivalence string }

// ReadConceptMap takes the definition out of a ConceptMap. Targets that hold only
// together with other facts are left out.
func ReadConceptMap(doc *fhir.Document) (*ConceptMap, error) {
	if doc.Type() != "ConceptMap" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "resourceType", "A ConceptMap is expected here.")
	}
	n := doc.Root()
	m := &ConceptMap{
		URL: text(n, "url"), ID: doc.ID(), Version: text(n, "version"), Name: text(n, "name"), Title: text(n, "title"), Status: text(n, "status"),
		Source: text(n, "sourceUri") + text(n, "sourceCanonical"), Target: text(n, "targetUri") + text(n, "targetCanonical"),
	}
	for part := range n.All("group") {
		g := Group{Source: text(part, "source"), SourceVersion: text(part, "sourceVersion"), Target: text(part, "target"), TargetVersion: text(part, "targetVersion")}
		for e := range part.All("element") {
			mapping := Mapping{Code: text(e, "code"), Display: text(e, "display")}
			for t := range e.All("target") {
				if !t.Get("dependsOn").Exists() {
					mapping.Targets = append(mapping.Targets, Mapped{text(t, "code"), text(t, "display"), text(t, "equivalence")})
				}
			}
			g.Elements = append(g.Elements, mapping)
		}
		unmapped := part.Get("unmapped")
		g.Unmapped, g.Fixed = text(unmapped, "mode"), Mapped{Code: text(unmapped, "code"), Display: text(unmapped, "display")}
		m.Groups = append(m.Groups, g)
	}
	return m, nil
}

// ConceptMap gives a concept map of R4 by its URL, with a version behind a | or
// not.
func (s *Service) ConceptMap(url string) (*ConceptMap, bool) {
	bare, version, _ := strings.Cut(url, "|")
	get, ok := release().maps[bare]
	if !ok || !sameVersion(get().Version, version) {
		return nil, false
	}
	return get(), true
}

// ConceptMaps gives the concept maps of R4 that lead from a value set to another;
// an empty URL is any.
func (s *Service) ConceptMaps(source, target string) (list []*ConceptMap) {
	for m := range all(s.own.maps, release().maps) {
		if (source == "" || m.Source == source) && (target == "" || m.Target == target) {
			list = append(list, m)
		}
	}
	return list
}

// Translation asks what codes are elsewhere: in the system Target, or in all
// that a map leads to. Reverse asks what leads to them.
type Translation struct {
	Codings []Coding
	Target  string
	Reverse bool
}

// Match is one answer. Equivalence is that of R4; of "unmatched" there is no
// Coding.
type Match struct {
	Coding
	Equivalence string
}

// Matches tells whether codes are the same thing as far as that goes.
func (m Match) Matches() bool { return m.Equivalence != "unmatched" && m.Equivalence != "disjoint" }

// Translate asks a map. Each answer is given once.
func (s *Service) Translate(m *ConceptMap, q Translation) (matches []Match) {
	seen := map[Match]bool{}
	for _, g := range m.Groups {
		if q.Reverse {
			g = g.reversed()
		}
		if q.Target != "" && !s.sameSystem(q.Target, g.Target) {
			continue
		}
		target, known := s.CodeSystem(g.Target)
		for _, c := range q.Codings {
			if c.System != "" && !s.sameSystem(c.System, g.Source) {
				continue
			}
			for _, t := range g.of(c) {
				match := Match{Coding{System: g.Target, Version: g.TargetVersion, Code: t.Code, Display: t.Display}, t.Equivalence}
				if known && match.Display == "" {
					if concept, ok := target.Find(t.Code); ok {
						match.Display = concept.Display
					}
				}
				if !seen[match] {
					seen[match] = true
					matches = append(matches, match)
				}
			}
		}
	}
	return matches
}

// of gives what a code is in the target.
func (g Group) of(c Coding) (list []Mapped) {
	found := false
	for _, e := range g.Elements {
		if e.Code == c.Code {
			found = true
			list = append(list, e.Targets...)
		}
	}
	switch {
	case found:
	case g.Unmapped == "provided":
		list = append(list, Mapped{c.Code, c.Display, "equal"})
	case g.Unmapped == "fixed":
		list = append(list, Mapped{g.Fixed.Code, g.Fixed.Display, "relatedto"})
	}
	return list
}

// inverse gives the equivalence the other way round.
var inverse = map[string]string{"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}

// reversed leads from the target to the source.
func (g Group) reversed() Group {
	out := Group{Source: g.Target, SourceVersion: g.TargetVersion, Target: g.Source, TargetVersion: g.SourceVersion}
	for _, e := range g.Elements {
		for _, t := range e.Targets {
			if t.Code == "" {
				continue
			}
			equivalence := t.Equivalence
			if other := inverse[equivalence]; other != "" {
				equivalence = other
			}
			out.Elements = append(out.Elements, Mapping{Code: t.Code, Display: t.Display, Targets: []Mapped{{e.Code, e.Display, equivalence}}})
		}
	}
	return out
}

// sameSystem tells whether two URLs mean the same code system.
func (s *Service) sameSystem(a, b string) bool {
	if a == b {
		return true
	}
	one, ok := s.CodeSystem(a)
	other, known := s.CodeSystem(b)
	return ok && known && one == other
}
