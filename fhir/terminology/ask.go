package terminology

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// System gives a code system that questions can be asked of. The error says
// that it is not known here, or not in that version; version may be empty.
func (s *Service) System(url, version string) (*CodeSystem, error) {
	cs, known := s.CodeSystem(url)
	if bare, behind, ok := strings.Cut(url, "|"); ok && !known {
		version = cmp.Or(version, behind)
		cs, known = s.CodeSystem(bare)
	}
	if !known || !cs.has() {
		return nil, fhir.Errorf(fhir.CodeNotFound, "", "The code system %s is not known here.", shown(url))
	}
	return cs, cs.inVersion(version)
}

// has tells whether codes of the system are known here.
func (cs *CodeSystem) has() bool { return len(cs.Concepts) > 0 || cs.grammar != nil }

func (cs *CodeSystem) inVersion(version string) error {
	if sameVersion(cs.Version, version) || cs.grammar != nil {
		return nil
	}
	return fhir.Errorf(fhir.CodeNotFound, "", "The code system %s is known here in version %s alone.", cs.URL, cs.Version)
}

// Concept gives the concept of a code. The error says that the system does not
// have it.
func (cs *CodeSystem) Concept(code string) (*Concept, error) {
	c, ok := cs.Find(code)
	switch {
	case ok:
		return c, nil
	case !cs.Complete():
		return nil, fhir.Errorf(fhir.CodeNotFound, "", "Of the code system %s only a part is known here (%s), and the code %s is not in it.", cs.URL, cs.Content, shown(code))
	}
	return nil, fhir.Errorf(fhir.CodeNotFound, "", "The code system %s has no code %s.", cs.URL, shown(code))
}

// Relation tells how code a stands to code b in the hierarchy of a system, in
// the words of FHIR: equivalent, subsumes, subsumed-by, not-subsumed.
func (cs *CodeSystem) Relation(a, b string) (string, error) {
	left, err := cs.Concept(a)
	if err != nil {
		return "", err
	}
	right, err := cs.Concept(b)
	switch {
	case err != nil:
		return "", err
	case left.Code == right.Code:
		return "equivalent", nil
	case cs.HierarchyMeaning != "" && cs.HierarchyMeaning != "is-a":
		return "not-subsumed", nil // it groups its concepts otherwise
	case cs.Subsumes(left, right):
		return "subsumes", nil
	case cs.Subsumes(right, left):
		return "subsumed-by", nil
	}
	return "not-subsumed", nil
}

// Check asks whether a code is valid. Of several codings, those of a
// CodeableConcept, one suffices.
type Check struct {
	Codings  []Coding
	Infer    bool   // a code without a system may be that of any system; else it is valid nowhere
	Abstract bool   // a concept that only groups others will do
	Language string // of the display that is given back
}

// Verdict is the answer to a Check: Coding is the one that was found, with its
// display. Message says what is wrong, or what to know of a code that is valid.
type Verdict struct {
	Result   bool
	Message  string
	Coding   Coding
	Inactive bool
}

// Check tells whether codes are in the value set. The error says that this
// cannot be known here.
func (s *Set) Check(q Check) (Verdict, error) {
	return check(q, func(c Coding) (*member, error) {
		system := c.System
		if system == "" && !q.Infer {
			return nil, nil
		}
		if system == "" {
			systems := s.having(c.Code)
			if len(systems) > 1 {
				return nil, fhir.Errorf(fhir.CodeInvalid, "", "The value set has the code in several systems; name the system.")
			}
			system = strings.Join(systems, "")
		}
		answer, m := s.find(system, c.Code)
		if system == "" && !s.Complete() {
			answer = Unknown
		}
		if answer == Unknown {
			return nil, fhir.Errorf(fhir.CodeNotSupported, "", "Whether the value set has the code cannot be told here. %s", s.why(system)).WithStatus(422)
		}
		if answer == In && m == nil { // by the rules of its system
			m = &member{key: key{system, c.Code}}
		}
		if m != nil && c.Version != "" && m.version != "" && !sameVersion(m.version, c.Version) {
			return nil, fhir.Errorf(fhir.CodeNotSupported, "", "The code system %s is known here in version %s alone.", m.system, m.version).WithStatus(422)
		}
		return m, nil
	}, fmt.Sprintf("is not in the value set %s.", cmp.Or(s.URL, "that was sent")))
}

// why says why nothing is known of a system.
func (s *Set) why(system string) string {
	if g, ok := s.open[system]; ok {
		return g.reason
	}
	return s.Missing()
}

// Check tells whether codes are of the code system. The error says that this
// cannot be known here.
func (s *Service) Check(cs *CodeSystem, q Check) (Verdict, error) {
	return check(q, func(c Coding) (*member, error) {
		if c.System == "" && !q.Infer {
			return nil, nil
		}
		if c.System != "" {
			if of, known := s.CodeSystem(c.System); !known && c.System != cs.URL || known && of.URL != cs.URL {
				return nil, nil // of another system
			}
		}
		if err := cs.inVersion(c.Version); err != nil {
			return nil, err
		}
		concept, ok := cs.Find(c.Code)
		if !ok && !cs.Complete() {
			return nil, fhir.Errorf(fhir.CodeNotSupported, "", "Of the code system %s only a part is known here (%s), and the code is not in it.", cs.URL, cs.Content).WithStatus(422)
		}
		if !ok {
			return nil, nil
		}
		m := cs.member(concept)
		return &m, nil
	}, fmt.Sprintf("is not in the code system %s.", cs.URL))
}

// check asks find for each coding. A coding that is right decides; without one,
// a coding of which nothing can be known does.
func check(q Check, find func(Coding) (*member, error), wrong string) (Verdict, error) {
	if len(q.Codings) == 0 {
		return Verdict{Message: "There is no code to be checked."}, nil
	}
	var unknown error
	var no []string
	var best Verdict
	for _, c := range q.Codings {
		m, err := find(c)
		switch {
		case err != nil:
			unknown = err
			continue
		case m == nil:
			no = append(no, fmt.Sprintf("The code %s%s %s", shown(c.Code), ofSystem(c.System, q.Infer), wrong))
			continue
		}
		v := Verdict{Result: true, Inactive: m.inactive, Coding: Coding{m.system, m.version, m.code, m.displayIn(q.Language)}}
		switch {
		case m.abstract && !q.Abstract:
			v.Result, v.Message = false, fmt.Sprintf("The code %s only groups others and is no value itself.", shown(m.code))
		case c.Display != "" && !m.isDisplay(c.Display):
			v.Result, v.Message = false, fmt.Sprintf("The display of the code %s is %q.", shown(m.code), v.Coding.Display)
		case m.inactive:
			v.Message = fmt.Sprintf("The code %s is no longer in use.", shown(m.code))
		}
		if v.Result {
			return v, nil
		}
		best = v
	}
	if unknown != nil {
		return Verdict{}, unknown
	}
	if best.Message == "" {
		best.Message = strings.Join(no[:min(len(no), 5)], " ")
	}
	return best, nil
}

func ofSystem(system string, infer bool) string {
	switch {
	case system != "":
		return " of the system " + shown(system)
	case !infer:
		return ", which names no system,"
	}
	return ""
}
