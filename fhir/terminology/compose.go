package terminology

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Bounds on the making of a set, for definitions that come from outside.
const (
	maxSteps   = 1_000_000 // codes that are looked at
	maxDepth   = 16        // value sets within value sets
	maxPattern = 500       // bytes of a regular expression, and parts that it is made of

	filterSteps = 2000         // what it costs to make a filter, in steps
	ruleSteps   = maxSteps / 8 // of a regular expression on codes that are not listed
)

// compiler makes a Set of a definition.
type compiler struct {
	service *Service
	steps   int
	stack   []string
	done    map[string]*Set // those that were asked for by URL
}

func (c *compiler) spend(steps int) error {
	if c.steps += steps; c.steps > maxSteps {
		return fhir.Errorf(fhir.CodeTooCostly, "", "The value set is too costly to work out. Ask for a part of it.").WithStatus(422)
	}
	return nil
}

func (c *compiler) compile(vs *ValueSet) (*Set, error) {
	if slices.Contains(c.stack, vs.URL) && vs.URL != "" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "ValueSet.compose", "The value set includes itself.").WithStatus(422)
	}
	if len(c.stack) > maxDepth {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "ValueSet.compose", "Value sets may include each other at most %d deep.", maxDepth).WithStatus(422)
	}
	c.stack = append(c.stack, vs.URL)
	defer func() { c.stack = c.stack[:len(c.stack)-1] }()
	if len(vs.Include) == 0 && len(vs.Expansion) == 0 {
		return nil, fhir.Errorf(fhir.CodeInvalid, "ValueSet.compose", "The value set includes nothing.").WithStatus(422)
	}
	out := newSet()
	for _, inc := range vs.Include {
		part, err := c.include(inc)
		if err != nil {
			return nil, err
		}
		if err := c.spend(len(part.members) + len(part.maybe)); err != nil {
			return nil, err
		}
		out.union(part)
	}
	for _, exc := range vs.Exclude {
		part, err := c.include(exc)
		if err != nil {
			return nil, err
		}
		if err := c.spend(len(out.members) + len(part.members)); err != nil {
			return nil, err
		}
		out = out.minus(part)
	}
	if len(vs.Expansion) > 0 && (len(vs.Include) == 0 || !out.Listed()) {
		var err error
		if out, err = c.expansion(vs.Expansion); err != nil {
			return nil, err
		}
	}
	if vs.ActiveOnly {
		gone := newSet()
		for _, m := range out.members {
			if m.inactive {
				gone.add(m)
			}
		}
		out = out.minus(gone)
	}
	out.URL, out.Version, out.systems = vs.URL, vs.Version, c.service.CodeSystem
	out.finish()
	return out, nil
}

func (c *compiler) expansion(list []Listed) (*Set, error) {
	out := newSet()
	for _, l := range list {
		cs, _ := c.service.CodeSystem(l.System)
		out.add(listed(l.System, "", cs, l))
	}
	return out, c.spend(len(list))
}

// include gives the codes of one include or exclude.
func (c *compiler) include(inc Include) (out *Set, err error) {
	if inc.System == "" && len(inc.ValueSets) == 0 {
		return nil, fhir.Errorf(fhir.CodeInvalid, "ValueSet.compose.include", "An include names a system or value sets.").WithStatus(422)
	}
	if inc.System == "" && (len(inc.Concepts) > 0 || len(inc.Filters) > 0) {
		return nil, fhir.Errorf(fhir.CodeInvalid, "ValueSet.compose.include", "Codes and filters need the system that they belong to.").WithStatus(422)
	}
	if len(inc.Concepts) > 0 && len(inc.Filters) > 0 {
		return nil, fhir.Errorf(fhir.CodeInvalid, "ValueSet.compose.include", "An include has either codes or filters.").WithStatus(422)
	}
	if inc.System != "" {
		if out, err = c.ofSystem(inc); err != nil {
			return nil, err
		}
	}
	for _, url := range inc.ValueSets {
		set, err := c.named(url)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = set
			continue
		}
		if err := c.spend(len(out.members) + len(set.members)); err != nil {
			return nil, err
		}
		out = out.intersect(set)
	}
	return out, nil
}

// named gives the set of a value set that is asked for by its URL.
func (c *compiler) named(url string) (*Set, error) {
	if set := c.done[url]; set != nil {
		return set, nil
	}
	vs, ok := c.service.ValueSet(url)
	if !ok {
		set := newSet()
		set.leaveOpen("", gap{reason: fmt.Sprintf("The value set %s is not known here.", url)})
		return set, nil
	}
	set, err := c.compile(vs)
	if err == nil {
		c.done[url] = set
	}
	return set, err
}

// ofSystem gives the codes of a system that are listed or that the filters let
// through.
func (c *compiler) ofSystem(inc Include) (*Set, error) {
	out := newSet()
	cs, known := c.service.CodeSystem(inc.System)
	if known {
		inc.System = cs.URL
	}
	other := known && inc.Version != "" && inc.Version != cs.Version && cs.grammar == nil
	if len(inc.Concepts) > 0 {
		version := inc.Version
		if known && !other {
			version = cs.Version
		}
		for _, l := range inc.Concepts {
			out.add(listed(inc.System, version, cs, l))
		}
		return out, c.spend(len(inc.Concepts))
	}
	switch {
	case !known || !cs.has():
		out.leaveOpen(inc.System, gap{reason: fmt.Sprintf("The codes of the system %s are not known here.", inc.System)})
		return out, nil
	case other:
		out.leaveOpen(cs.URL, gap{reason: fmt.Sprintf("Version %s of the system %s is not known here; known is %s.", inc.Version, cs.URL, cs.Version)})
		return out, nil
	case !cs.Complete():
		out.leaveOpen(cs.URL, gap{partial: true, reason: fmt.Sprintf("Of the system %s only a part is known here (%s).", cs.URL, cs.Content)})
	}
	tests := make([]test, len(inc.Filters))
	for i, f := range inc.Filters {
		if err := c.spend(filterSteps); err != nil {
			return nil, err
		}
		var reason string
		if tests[i], reason = cs.test(f); reason != "" {
			out.leaveOpen(cs.URL, gap{reason: reason})
			return out, nil
		}
		if cs.grammar != nil && tests[i].cost != nil {
			if err := c.spend(ruleSteps); err != nil {
				return nil, err
			}
		}
	}
	passes := func(concept *Concept) bool {
		return !slices.ContainsFunc(tests, func(t test) bool { return !t.holds(concept) })
	}
	for _, concept := range cs.Concepts {
		if err := c.spend(costOf(tests, concept)); err != nil {
			return nil, err
		}
		if passes(concept) {
			out.add(cs.member(concept))
		}
	}
	if cs.grammar != nil {
		out.leaveOpen(cs.URL, gap{reason: fmt.Sprintf("The codes of the system %s are too many to be listed.", cs.URL), sure: true, decide: func(code string) Answer {
			if concept, ok := cs.Find(code); ok && passes(concept) {
				return In
			}
			return Out
		}})
	}
	return out, nil
}

func (cs *CodeSystem) member(c *Concept) member {
	return member{key: key{cs.URL, c.Code}, version: cs.Version, abstract: c.Abstract, inactive: c.Inactive, concept: c}
}

// listed is a code that a definition names; cs is nil where the system is not
// known.
func listed(system, version string, cs *CodeSystem, l Listed) member {
	m := member{key: key{system, l.Code}, version: version, display: l.Display, abstract: l.Abstract, inactive: l.Inactive, designations: l.Designations}
	if cs == nil {
		return m
	}
	m.system = cs.URL
	if c, ok := cs.Find(l.Code); ok {
		m.code, m.concept = c.Code, c
		m.abstract, m.inactive = m.abstract || c.Abstract, m.inactive || c.Inactive
	}
	return m
}

// test is a filter as a function. cost says how many steps it takes; nil: one.
type test struct {
	holds func(*Concept) bool
	cost  func(*Concept) int
}

func costOf(tests []test, c *Concept) int {
	steps := 1 + len(tests)
	for _, t := range tests {
		if t.cost != nil {
			steps += t.cost(c)
		}
	}
	return steps
}

// test makes a filter of a value set into a function, or says why it cannot be
// answered.
func (cs *CodeSystem) test(f Filter) (t test, reason string) {
	if hierarchical, ok := relations[f.Op]; ok {
		if f.Property != "concept" && f.Property != "code" {
			return t, fmt.Sprintf("The filter %s of the system %s works on the property concept alone.", f.Op, cs.URL)
		}
		at, ok := cs.Find(f.Value)
		if !ok {
			return t, fmt.Sprintf("A filter names a concept that the system %s does not have.", cs.URL)
		}
		return test{holds: hierarchical(at)}, ""
	}
	get := cs.getter(f.Property)
	if get == nil {
		return t, fmt.Sprintf("A filter asks for a property that the system %s does not have.", cs.URL)
	}
	some := func(is func(value string) bool) func(*Concept) bool {
		return func(c *Concept) bool { return slices.ContainsFunc(get(c), is) }
	}
	list := splitList(f.Value)
	listed := some(func(v string) bool { return slices.Contains(list, v) })
	switch f.Op {
	case "=":
		return test{holds: some(func(v string) bool { return v == f.Value || cs.folded != nil && strings.EqualFold(v, f.Value) })}, ""
	case "in":
		return test{holds: listed}, ""
	case "not-in":
		return test{holds: func(c *Concept) bool { return !listed(c) }}, ""
	case "exists":
		return test{holds: func(c *Concept) bool { return (len(get(c)) > 0) == (f.Value != "false") }}, ""
	case "regex":
		re, parts, reason := pattern(f.Value)
		if reason != "" {
			return t, reason
		}
		return test{holds: some(re.MatchString), cost: func(c *Concept) (steps int) {
			for _, v := range get(c) {
				steps += 1 + parts*len(v)/16 // each part may be tried at each character
			}
			return steps
		}}, ""
	}
	return t, fmt.Sprintf("The filter %s is none of FHIR R4.", shown(f.Op))
}

// pattern reads a regular expression that must match all of a text, and tells of
// how many parts it is made. reason says why it cannot be used.
func pattern(text string) (re *regexp.Regexp, parts int, reason string) {
	if len(text) > maxPattern {
		return nil, 0, fmt.Sprintf("A regular expression is longer than %d bytes.", maxPattern)
	}
	whole := "^(?:" + text + ")$"
	read, err := syntax.Parse(whole, syntax.Perl)
	if err != nil {
		return nil, 0, "A filter has a regular expression that cannot be read."
	}
	program, err := syntax.Compile(read.Simplify())
	if err != nil || len(program.Inst) > maxPattern {
		return nil, 0, "A filter has a regular expression that is too costly."
	}
	if re, err = regexp.Compile(whole); err != nil {
		return nil, 0, "A filter has a regular expression that cannot be read."
	}
	return re, len(program.Inst), ""
}

// shown gives a word of a request for a message, when it is a word.
func shown(word string) string {
	if len(word) > 200 || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "?"
	}
	return word
}

func splitList(text string) []string {
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// relations are the filters on the hierarchy.
var relations = map[string]func(at *Concept) func(*Concept) bool{
	"is-a":          func(at *Concept) func(*Concept) bool { return among(at.Below(), true) },
	"is-not-a":      func(at *Concept) func(*Concept) bool { return among(at.Below(), false) },
	"generalizes":   func(at *Concept) func(*Concept) bool { return among(at.Above(), true) },
	"descendent-of": func(at *Concept) func(*Concept) bool { return among(at.Below()[1:], true) },
}

func among(list []*Concept, in bool) func(*Concept) bool {
	set := make(map[*Concept]bool, len(list))
	for _, c := range list {
		set[c] = true
	}
	return func(c *Concept) bool { return set[c] == in }
}

// getter gives the values of a property that a filter names, nil for one that
// the system does not have. Definitions are not among them: the long ones of R4
// are not here.
func (cs *CodeSystem) getter(property string) func(*Concept) []string {
	switch property {
	case "concept", "code":
		return func(c *Concept) []string { return []string{c.Code} }
	case "display":
		return func(c *Concept) []string { return notEmpty(c.Display) }
	case "designation":
		return func(c *Concept) (list []string) {
			for _, d := range c.Designations {
				list = append(list, d.Value)
			}
			return list
		}
	case "parent":
		return func(c *Concept) []string { return codesOf(c.Parents) }
	case "child":
		return func(c *Concept) []string { return codesOf(c.Children) }
	case "inactive":
		return func(c *Concept) []string { return []string{fmt.Sprint(c.Inactive)} }
	case "notSelectable", "abstract":
		return func(c *Concept) []string { return []string{fmt.Sprint(c.Abstract)} }
	}
	if _, ok := cs.propertyType(property); !ok {
		return nil
	}
	return func(c *Concept) []string { return c.Property(property) }
}

func notEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func codesOf(list []*Concept) (codes []string) {
	for _, c := range list {
		codes = append(codes, c.Code)
	}
	return codes
}
