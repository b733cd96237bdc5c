package terminology

import (
	"slices"
	"strings"
)

// CodeSystem is a code system with its concepts, as far as they are known.
// What is handed out is shared by everyone and must not be changed.
type CodeSystem struct {
	URL, ID, Version, Name, Title, Status string

	// Content says how much of the system is here: complete, fragment,
	// example, not-present.
	Content string

	// CaseSensitive is nil where the definition does not say; the letters of
	// codes count then.
	CaseSensitive *bool

	HierarchyMeaning string
	ValueSet         string // the URL of the value set of all codes
	Properties       []PropertyDefinition

	// Concepts are in the order of the definition: parents stand before their
	// children.
	Concepts []*Concept

	byCode map[string]*Concept
	folded map[string]*Concept // by code in small letters, nil where they count

	grammar func(code string) bool // of a system without a list
}

// PropertyDefinition declares a property of concepts.
type PropertyDefinition struct{ Code, Type, URI string }

// Concept is one concept of a code system.
type Concept struct {
	Code, Display, Definition string

	Properties   []Property
	Designations []Designation

	Abstract bool // it groups others and is no value itself
	Inactive bool // it is retired, deprecated or withdrawn

	// Parents and Children are the neighbours in the hierarchy. A concept may
	// have several parents: one that it stands in, others by properties.
	Parents, Children []*Concept

	depth int // of the nesting in the definition
}

// Property is one property of a concept, its value as text. Of a Coding it is
// system|code.
type Property struct{ Code, Type, Value string }

// Designation is another text for a concept.
type Designation struct {
	Language, Value string
	Use             Coding // zero where the definition does not say
}

// Coding is a code of a system.
type Coding struct{ System, Version, Code, Display string }

// Complete tells whether all codes of the system are here, so that a code that
// is not is wrong.
func (cs *CodeSystem) Complete() bool { return cs.Content == "complete" }

// Find gives the concept of a code.
func (cs *CodeSystem) Find(code string) (*Concept, bool) {
	c, ok := cs.byCode[code]
	if !ok && cs.folded != nil {
		c, ok = cs.folded[strings.ToLower(code)]
	}
	if cs.grammar != nil && len(code) <= maxRuled && cs.grammar(code) {
		return &Concept{Code: code}, true
	}
	return c, ok
}

// maxRuled bounds the codes that a rule is asked about, in bytes.
const maxRuled = 127

// Subsumes tells whether b is a or stands below it.
func (cs *CodeSystem) Subsumes(a, b *Concept) bool {
	found := false
	walk(b, (*Concept).above, func(c *Concept) bool { found = found || c == a; return !found })
	return found
}

// Below gives a concept and all that stand below it, each once.
func (c *Concept) Below() []*Concept { return c.all((*Concept).below) }

// Above gives a concept and all that it stands below, each once.
func (c *Concept) Above() []*Concept { return c.all((*Concept).above) }

func (c *Concept) all(next func(*Concept) []*Concept) (list []*Concept) {
	walk(c, next, func(c *Concept) bool { list = append(list, c); return true })
	return list
}

func (c *Concept) below() []*Concept { return c.Children }
func (c *Concept) above() []*Concept { return c.Parents }

// walk visits a concept and those that next leads to, each once, while visit
// says so. A hierarchy that runs in a circle does no harm.
func walk(from *Concept, next func(*Concept) []*Concept, visit func(*Concept) bool) {
	seen := map[*Concept]bool{from: true}
	for waiting := []*Concept{from}; len(waiting) > 0; {
		c := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if !visit(c) {
			return
		}
		for _, n := range slices.Backward(next(c)) {
			if !seen[n] {
				seen[n] = true
				waiting = append(waiting, n)
			}
		}
	}
}

// Property gives the values of a property.
func (c *Concept) Property(code string) (values []string) {
	for _, p := range c.Properties {
		if p.Code == code {
			values = append(values, p.Value)
		}
	}
	return values
}

// DisplayIn gives the display in a language, such as nl or zh-CN, or in the
// first of several: the designation of that language or of the one that it is a
// variant of. Without one it is the display, which is English.
func (c *Concept) DisplayIn(language string) string {
	return displayIn(c.Display, c.Designations, language)
}

func displayIn(display string, designations []Designation, language string) string {
	if language == "" {
		return display
	}
	for _, wanted := range preferred(language) {
		for _, d := range designations {
			if strings.EqualFold(d.Language, wanted) && (d.Use.Code == "" || d.Use.Code == "display") {
				return d.Value
			}
		}
		if wanted == "*" || strings.EqualFold(wanted, ownLanguage) {
			break
		}
	}
	return display
}

// ownLanguage is that of the displays of R4 and MY Core.
const ownLanguage = "en"

// preferred lists the languages of an Accept-Language or a displayLanguage,
// each with the one that it is a variant of.
func preferred(languages string) (list []string) {
	for l := range strings.SplitSeq(languages, ",") {
		l, _, _ = strings.Cut(strings.TrimSpace(l), ";")
		if base, _, variant := strings.Cut(l, "-"); variant {
			list = append(list, l, base)
		} else if l != "" {
			list = append(list, l)
		}
	}
	return list
}

// inactive are the values of the property status that take a concept out of
// use.
var inactive = []string{"inactive", "retired", "deprecated", "withdrawn"}

// standard are the properties that no system needs to declare, with their types
// (http://hl7.org/fhir/R4/codesystem-concept-properties.html).
var standard = map[string]string{
	"inactive": "boolean", "status": "code", "deprecationDate": "dateTime", "notSelectable": "boolean", "parent": "code", "child": "code",
}

// propertyType gives the type of a property; ok is false for one that the
// system does not have.
func (cs *CodeSystem) propertyType(code string) (typ string, ok bool) {
	for _, p := range cs.Properties {
		if p.Code == code {
			return p.Type, true
		}
	}
	typ, ok = standard[code]
	return typ, ok
}

// finish makes the maps and the hierarchy from the concepts in order.
func (cs *CodeSystem) finish() {
	cs.byCode = make(map[string]*Concept, len(cs.Concepts))
	if cs.CaseSensitive != nil && !*cs.CaseSensitive {
		cs.folded = make(map[string]*Concept, len(cs.Concepts))
	}
	linked := map[[2]*Concept]bool{}
	link := func(parent, child *Concept) {
		if parent == nil || child == nil || parent == child || linked[[2]*Concept{parent, child}] {
			return
		}
		linked[[2]*Concept{parent, child}] = true
		parent.Children = append(parent.Children, child)
		child.Parents = append(child.Parents, parent)
	}
	var path []*Concept
	for _, c := range cs.Concepts {
		if _, twice := cs.byCode[c.Code]; !twice {
			cs.byCode[c.Code] = c
			if cs.folded != nil {
				cs.folded[strings.ToLower(c.Code)] = c
			}
		}
		path = append(path[:min(c.depth, len(path))], c)
		if n := len(path); n > 1 {
			link(path[n-2], c)
		}
	}
	for _, c := range cs.Concepts {
		for i, p := range c.Properties {
			c.Properties[i].Type, _ = cs.propertyType(p.Code)
			switch p.Code {
			case "status":
				c.Inactive = c.Inactive || slices.Contains(inactive, p.Value)
			case "inactive":
				c.Inactive = c.Inactive || p.Value == "true"
			case "notSelectable", "abstract":
				c.Abstract = c.Abstract || p.Value == "true"
			case "child":
				link(c, cs.byCode[p.Value])
			case "parent", "subsumedBy":
				link(cs.byCode[p.Value], c)
			}
		}
	}
}
