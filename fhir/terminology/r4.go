package terminology

import (
	_ "embed"
	"strings"
	"sync"
)

// r4Text is written by the program in fhir/r4/gen. A line says by its first
// field what it is:
//
//	S url id version name title status content caseSensitive hierarchyMeaning valueSet
//	P code type uri                      a property that the system declares
//	0 code display definition            a concept; the digit is how deep it stands; "=" is the display
//	= code value                         a property of the concept above
//	~ language use value                 a designation of the concept above
//	V url id version name title status   a value set
//	+ system version                     an include; "-" an exclude
//	F property op value                  a filter of it
//	U url                                a value set of it
//	C code display                       a code that it lists
//	M url id version name title status source target   a concept map between two value sets
//	G source version target version      codes of one system in another
//	E code                               a code of the source
//	T code equivalence                   what it is in the target
//	W mode code display                  what all other codes of the source are
//
// An id that is the end of the URL, and the use "display", are left out.
//
//go:embed r4.txt
var r4Text string

const displayUse = "http://terminology.hl7.org/CodeSystem/designation-usage"

// catalog holds definitions by URL. Each is read when it is first asked for.
type catalog struct {
	systems map[string]func() *CodeSystem
	sets    map[string]func() *ValueSet
	maps    map[string]func() *ConceptMap
	ids     map[string]string // type/id → URL
}

func newCatalog() catalog {
	return catalog{map[string]func() *CodeSystem{}, map[string]func() *ValueSet{}, map[string]func() *ConceptMap{}, map[string]string{}}
}

// release is what R4 defines: where each definition begins and ends is found
// out at the first question.
var release = sync.OnceValue(func() catalog {
	c := newCatalog()
	for start := 0; start < len(r4Text); {
		end := start
		for end == start || end < len(r4Text) && !strings.ContainsRune("SVM", rune(r4Text[end])) {
			end += strings.IndexByte(r4Text[end:], '\n') + 1 // each line has an end
		}
		text := r4Text[start:end]
		f := fields{text[:strings.IndexByte(text, '\n')]}
		switch tag, url := f.next(), f.next(); tag {
		case "S":
			c.ids["CodeSystem/"+f.id(url)] = url
			c.systems[url] = sync.OnceValue(func() *CodeSystem { return readSystem(text) })
		case "V":
			c.ids["ValueSet/"+f.id(url)] = url
			c.sets[url] = sync.OnceValue(func() *ValueSet { return readValueSet(text) })
		case "M":
			c.ids["ConceptMap/"+f.id(url)] = url
			c.maps[url] = sync.OnceValue(func() *ConceptMap { return readConceptMap(text) })
		}
		start = end
	}
	return c
})

// fields reads a line from left to right; behind its end all is empty.
type fields struct{ rest string }

var plain = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")

func (f *fields) next() (field string) {
	field, f.rest, _ = strings.Cut(f.rest, "\t")
	if strings.IndexByte(field, '\\') >= 0 {
		return plain.Replace(field)
	}
	return field
}

func (f *fields) id(url string) string {
	if id := f.next(); id != "" {
		return id
	}
	return url[strings.LastIndexByte(url, '/')+1:]
}

func (f *fields) designation() Designation {
	d := Designation{Language: f.next(), Use: Coding{System: displayUse, Code: "display"}}
	if use := f.next(); use != "" {
		d.Use.System, d.Use.Code, _ = strings.Cut(use, "|")
	}
	d.Value = f.next()
	return d
}

func readSystem(text string) *CodeSystem {
	cs := new(CodeSystem)
	var c *Concept
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		f := fields{line}
		switch tag := f.next(); tag {
		case "S":
			cs.URL = f.next()
			cs.ID, cs.Version, cs.Name, cs.Title, cs.Status, cs.Content = f.id(cs.URL), f.next(), f.next(), f.next(), f.next(), f.next()
			if text := f.next(); text != "" {
				sensitive := text == "true"
				cs.CaseSensitive = &sensitive
			}
			cs.HierarchyMeaning, cs.ValueSet = f.next(), f.next()
		case "P":
			cs.Properties = append(cs.Properties, PropertyDefinition{f.next(), f.next(), f.next()})
		case "=":
			c.Properties = append(c.Properties, Property{Code: f.next(), Value: f.next()})
		case "~":
			c.Designations = append(c.Designations, f.designation())
		default:
			c = &Concept{depth: int(tag[0] - '0'), Code: f.next(), Display: f.next(), Definition: f.next()}
			if c.Definition == "=" {
				c.Definition = c.Display
			}
			cs.Concepts = append(cs.Concepts, c)
		}
	}
	cs.finish()
	return cs
}

func readValueSet(text string) *ValueSet {
	vs := new(ValueSet)
	var inc *Include
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		f := fields{line}
		switch f.next() {
		case "V":
			vs.URL = f.next()
			vs.ID, vs.Version, vs.Name, vs.Title, vs.Status = f.id(vs.URL), f.next(), f.next(), f.next(), f.next()
		case "+":
			vs.Include = append(vs.Include, Include{System: f.next(), Version: f.next()})
			inc = &vs.Include[len(vs.Include)-1]
		case "-":
			vs.Exclude = append(vs.Exclude, Include{System: f.next(), Version: f.next()})
			inc = &vs.Exclude[len(vs.Exclude)-1]
		case "F":
			inc.Filters = append(inc.Filters, Filter{f.next(), f.next(), f.next()})
		case "U":
			inc.ValueSets = append(inc.ValueSets, f.next())
		case "C":
			inc.Concepts = append(inc.Concepts, Listed{Code: f.next(), Display: f.next()})
		case "~":
			c := &inc.Concepts[len(inc.Concepts)-1]
			c.Designations = append(c.Designations, f.designation())
		}
	}
	return vs
}

func readConceptMap(text string) *ConceptMap {
	m := new(ConceptMap)
	var g *Group
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		f := fields{line}
		switch f.next() {
		case "M":
			m.URL = f.next()
			m.ID, m.Version, m.Name, m.Title, m.Status, m.Source, m.Target = f.id(m.URL), f.next(), f.next(), f.next(), f.next(), f.next(), f.next()
		case "G":
			m.Groups = append(m.Groups, Group{Source: f.next(), SourceVersion: f.next(), Target: f.next(), TargetVersion: f.next()})
			g = &m.Groups[len(m.Groups)-1]
		case "E":
			g.Elements = append(g.Elements, Mapping{Code: f.next()})
		case "T":
			e := &g.Elements[len(g.Elements)-1]
			e.Targets = append(e.Targets, Mapped{Code: f.next(), Equivalence: f.next()})
		case "W":
			g.Unmapped, g.Fixed = f.next(), Mapped{Code: f.next(), Display: f.next()}
		}
	}
	return m
}
