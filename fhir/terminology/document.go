package terminology

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// ReadCodeSystem takes the definition out of a CodeSystem.
func ReadCodeSystem(doc *fhir.Document) (*CodeSystem, error) {
	if doc.Type() != "CodeSystem" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "resourceType", "A CodeSystem is expected here.")
	}
	n := doc.Root()
	cs := &CodeSystem{
		URL: text(n, "url"), ID: doc.ID(), Version: text(n, "version"), Name: text(n, "name"), Title: text(n, "title"),
		Status: text(n, "status"), Content: text(n, "content"), HierarchyMeaning: text(n, "hierarchyMeaning"), ValueSet: text(n, "valueSet"),
	}
	if sensitive, said := n.Get("caseSensitive").Bool(); said {
		cs.CaseSensitive = &sensitive
	}
	for p := range n.All("property") {
		cs.Properties = append(cs.Properties, PropertyDefinition{text(p, "code"), text(p, "type"), text(p, "uri")})
	}
	cs.read(n, 0)
	cs.finish()
	return cs, nil
}

// text gives the text of a member.
func text(n fhir.Node, name string) string { return n.Get(name).String() }

func (cs *CodeSystem) read(n fhir.Node, depth int) {
	for m := range n.All("concept") {
		c := &Concept{depth: depth, Code: text(m, "code"), Display: text(m, "display"), Definition: text(m, "definition"), Designations: designations(m)}
		for p := range m.All("property") {
			if v := valueOf(p); v.Kind() == fhir.Object {
				c.Properties = append(c.Properties, Property{Code: text(p, "code"), Value: text(v, "system") + "|" + text(v, "code")})
			} else {
				c.Properties = append(c.Properties, Property{Code: text(p, "code"), Value: v.String()})
			}
		}
		cs.Concepts = append(cs.Concepts, c)
		cs.read(m, depth+1)
	}
}

// valueOf gives the value[x] of a node.
func valueOf(n fhir.Node) fhir.Node {
	for c := range n.Children() {
		if strings.HasPrefix(c.Name(), "value") {
			return c
		}
	}
	return fhir.Node{}
}

func designations(n fhir.Node) (list []Designation) {
	for d := range n.All("designation") {
		use := d.Get("use")
		list = append(list, Designation{text(d, "language"), text(d, "value"), Coding{System: text(use, "system"), Code: text(use, "code"), Display: text(use, "display")}})
	}
	return list
}

// ReadValueSet takes the definition out of a ValueSet.
func ReadValueSet(doc *fhir.Document) (*ValueSet, error) {
	if doc.Type() != "ValueSet" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "resourceType", "A ValueSet is expected here.")
	}
	n := doc.Root()
	vs := &ValueSet{
		URL: text(n, "url"), ID: doc.ID(), Version: text(n, "version"), Name: text(n, "name"), Title: text(n, "title"),
		Status: text(n, "status"), ActiveOnly: n.Get("compose").Get("inactive").Is("false"),
	}
	for m := range n.All("compose.include") {
		vs.Include = append(vs.Include, readInclude(m))
	}
	for m := range n.All("compose.exclude") {
		vs.Exclude = append(vs.Exclude, readInclude(m))
	}
	expansion := n.Get("expansion")
	vs.read(expansion)
	if total, said := expansion.Get("total").Int(); said && total > int64(len(vs.Expansion)) {
		vs.Expansion = nil // a page of it
	}
	return vs, nil
}

func readInclude(n fhir.Node) Include {
	inc := Include{System: text(n, "system"), Version: text(n, "version")}
	for m := range n.All("concept") {
		inc.Concepts = append(inc.Concepts, Listed{Code: text(m, "code"), Display: text(m, "display"), Designations: designations(m)})
	}
	for m := range n.All("filter") {
		inc.Filters = append(inc.Filters, Filter{text(m, "property"), text(m, "op"), text(m, "value")})
	}
	for m := range n.All("valueSet") {
		inc.ValueSets = append(inc.ValueSets, m.String())
	}
	return inc
}

func (vs *ValueSet) read(n fhir.Node) {
	for m := range n.All("contains") {
		if m.Get("code").Exists() {
			vs.Expansion = append(vs.Expansion, Listed{
				System: text(m, "system"), Code: text(m, "code"), Display: text(m, "display"), Designations: designations(m),
				Abstract: m.Get("abstract").Is("true"), Inactive: m.Get("inactive").Is("true"),
			})
		}
		vs.read(m)
	}
}

type object = map[string]any

// Document renders the definition as a CodeSystem.
func (cs *CodeSystem) Document() *fhir.Document {
	o := described("CodeSystem", cs.ID, cs.URL, cs.Version, cs.Name, cs.Title, cs.Status)
	o["content"] = cs.Content
	put(o, "hierarchyMeaning", cs.HierarchyMeaning)
	put(o, "valueSet", cs.ValueSet)
	if cs.CaseSensitive != nil {
		o["caseSensitive"] = *cs.CaseSensitive
	}
	var properties []object
	for _, p := range cs.Properties {
		declared := object{"code": p.Code, "type": p.Type}
		put(declared, "uri", p.URI)
		properties = append(properties, declared)
	}
	put(o, "property", properties)
	if cs.Content != "not-present" {
		o["count"] = len(cs.Concepts)
	}
	rest := cs.Concepts
	put(o, "concept", nested(&rest, 0))
	return document(o)
}

// nested renders the concepts of a depth, and takes them off the list.
func nested(rest *[]*Concept, depth int) (list []object) {
	for len(*rest) > 0 && (*rest)[0].depth >= depth {
		c := (*rest)[0]
		*rest = (*rest)[1:]
		o := object{"code": c.Code}
		put(o, "display", c.Display)
		put(o, "definition", c.Definition)
		put(o, "designation", renderDesignations(c.Designations))
		var properties []object
		for _, p := range c.Properties {
			properties = append(properties, p.render())
		}
		put(o, "property", properties)
		put(o, "concept", nested(rest, depth+1))
		list = append(list, o)
	}
	return list
}

// render gives a property as FHIR writes it, with its value under the name of
// its type.
func (p Property) render() object {
	name, value := p.Typed()
	return object{"code": p.Code, name: value}
}

// Typed gives the name of the member value[x] for the type of the property, and
// the value that belongs there.
func (p Property) Typed() (name string, value any) {
	switch p.Type {
	case "boolean":
		return "valueBoolean", p.Value == "true"
	case "integer":
		if i, err := strconv.Atoi(p.Value); err == nil {
			return "valueInteger", i
		}
	case "decimal":
		if json.Valid([]byte(p.Value)) {
			return "valueDecimal", json.RawMessage(p.Value)
		}
	case "Coding":
		system, code, _ := strings.Cut(p.Value, "|")
		return "valueCoding", object{"system": system, "code": code}
	case "dateTime":
		return "valueDateTime", p.Value
	case "code":
		return "valueCode", p.Value
	}
	return "valueString", p.Value
}

func renderDesignations(list []Designation) (out []object) {
	for _, d := range list {
		out = append(out, d.render())
	}
	return out
}

func (d Designation) render() object {
	o := object{"value": d.Value}
	put(o, "language", d.Language)
	if d.Use.Code != "" {
		o["use"] = d.Use.render()
	}
	return o
}

func (c Coding) render() object {
	o := object{"code": c.Code}
	put(o, "system", c.System)
	put(o, "version", c.Version)
	put(o, "display", c.Display)
	return o
}

// Document renders the definition as a ValueSet.
func (vs *ValueSet) Document() *fhir.Document {
	o := described("ValueSet", vs.ID, vs.URL, vs.Version, vs.Name, vs.Title, vs.Status)
	compose := object{}
	put(compose, "include", renderIncludes(vs.Include))
	put(compose, "exclude", renderIncludes(vs.Exclude))
	if vs.ActiveOnly {
		compose["inactive"] = false
	}
	if len(compose) > 0 {
		o["compose"] = compose
	}
	return document(o)
}

func renderIncludes(list []Include) (out []object) {
	for _, inc := range list {
		o := object{}
		put(o, "system", inc.System)
		put(o, "version", inc.Version)
		put(o, "valueSet", slices.Clone(inc.ValueSets))
		var concepts, filters []object
		for _, c := range inc.Concepts {
			concept := object{"code": c.Code}
			put(concept, "display", c.Display)
			put(concept, "designation", renderDesignations(c.Designations))
			concepts = append(concepts, concept)
		}
		for _, f := range inc.Filters {
			filters = append(filters, object{"property": f.Property, "op": f.Op, "value": f.Value})
		}
		put(o, "concept", concepts)
		put(o, "filter", filters)
		out = append(out, o)
	}
	return out
}

func described(typ, id, url, version, name, title, status string) object {
	o := object{"resourceType": typ}
	for member, value := range map[string]string{"id": id, "url": url, "version": version, "name": name, "title": title, "status": status} {
		put(o, member, value)
	}
	return o
}

// put sets a member that is not empty.
func put[T ~string | []object | []string](o object, name string, value T) {
	switch v := any(value).(type) {
	case string:
		if v != "" {
			o[name] = v
		}
	case []object:
		if len(v) > 0 {
			o[name] = v
		}
	case []string:
		if len(v) > 0 {
			o[name] = v
		}
	}
}

// document makes a Document of what this package rendered.
func document(o object) *fhir.Document {
	doc, err := fhir.ParseWithin(fhir.Marshal(o), rendered)
	if err != nil {
		panic("terminology: " + err.Error()) // definitions come from documents or from the release
	}
	return doc
}

// rendered bounds what this package renders itself: R4's longest code system.
var rendered = fhir.Limits{Bytes: 64 << 20, Depth: 64, Nodes: 4_000_000}
