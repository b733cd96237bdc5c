package library

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/r4"
)

const (
	structureURL = "http://hl7.org/fhir/StructureDefinition/"
	systemType   = "http://hl7.org/fhirpath/System."
	hl7          = "Health Level Seven International"
	release      = "4.0.1"
	released     = "2019-11-01"
)

// structures gives the resource and data types of FHIR R4, and the profiles
// that R4 has of its data types, as StructureDefinitions with a snapshot.
//
// They say what package r4 knows. The definition of an element is its short
// text; mappings, examples and comments are not there.
func structures() []Item {
	var all []Item
	for _, t := range r4.Types() {
		all = append(all, Item{t.Name, func() any { return structureOf(t) }})
	}
	return all
}

type structure struct {
	ResourceType   string      `json:"resourceType"`
	ID             string      `json:"id"`
	Extension      []extension `json:"extension,omitempty"`
	URL            string      `json:"url"`
	Version        string      `json:"version"`
	Name           string      `json:"name"`
	Status         string      `json:"status"`
	Experimental   bool        `json:"experimental"`
	Date           string      `json:"date"`
	Publisher      string      `json:"publisher"`
	Description    string      `json:"description,omitempty"`
	Copyright      string      `json:"copyright"`
	FHIRVersion    string      `json:"fhirVersion"`
	Kind           string      `json:"kind"`
	Abstract       bool        `json:"abstract"`
	Type           string      `json:"type"`
	BaseDefinition string      `json:"baseDefinition,omitempty"`
	Derivation     string      `json:"derivation,omitempty"`
	Snapshot       struct {
		Element []element `json:"element"`
	} `json:"snapshot"`
}

type extension struct {
	URL         string `json:"url"`
	ValueURL    string `json:"valueUrl,omitempty"`
	ValueString string `json:"valueString,omitempty"`
}

type element struct {
	ID               string       `json:"id"`
	Path             string       `json:"path"`
	Representation   []string     `json:"representation,omitempty"`
	Short            string       `json:"short,omitempty"`
	Definition       string       `json:"definition,omitempty"`
	Min              int          `json:"min"`
	Max              string       `json:"max"`
	Base             origin       `json:"base"`
	ContentReference string       `json:"contentReference,omitempty"`
	Type             []typeRef    `json:"type,omitempty"`
	Constraint       []constraint `json:"constraint,omitempty"`
	IsModifier       bool         `json:"isModifier"`
	IsModifierReason string       `json:"isModifierReason,omitempty"`
	IsSummary        bool         `json:"isSummary"`
	Binding          *binding     `json:"binding,omitempty"`
}

type origin struct {
	Path string `json:"path"`
	Min  int    `json:"min"`
	Max  string `json:"max"`
}

type typeRef struct {
	Extension     []extension `json:"extension,omitempty"`
	Code          string      `json:"code"`
	Profile       []string    `json:"profile,omitempty"`
	TargetProfile []string    `json:"targetProfile,omitempty"`
}

type constraint struct {
	Key        string `json:"key"`
	Severity   string `json:"severity"`
	Human      string `json:"human"`
	Expression string `json:"expression,omitempty"`
}

type binding struct {
	Strength string `json:"strength"`
	ValueSet string `json:"valueSet"`
}

// kinds are those of R4's types in the words of StructureDefinition.kind.
var kinds = map[r4.Kind]string{r4.Resource: "resource", r4.Complex: "complex-type", r4.Primitive: "primitive-type"}

func structureOf(t *r4.Type) structure {
	s := structure{
		ResourceType: "StructureDefinition", ID: t.Name, URL: structureURL + t.Name, Version: release, Name: t.Name,
		Status: "active", Date: released, Publisher: hl7, FHIRVersion: release,
		Copyright: "HL7 publishes the definitions of FHIR under CC0. This is a rendering of them by the exchange, from what it works by itself.",
		Kind:      kinds[t.Kind], Abstract: t.Abstract, Type: t.Name,
	}
	if t.Draft {
		s.Status = "draft"
	}
	if t.Base != "" {
		s.BaseDefinition, s.Derivation = structureURL+t.Base, "specialization"
	}
	if t.Profile {
		s.Type, s.Derivation = t.Base, "constraint"
	}
	w := structureWriter{t: t}
	w.add(t.Root, nil)
	s.Snapshot.Element = w.elements
	s.Description = w.elements[0].Short
	return s
}

// structureWriter makes the elements of one type's snapshot.
type structureWriter struct {
	t        *r4.Type
	elements []element
}

// add writes an element and what stands below it.
func (w *structureWriter) add(e, parent *r4.Element) {
	first := e
	if parent != nil {
		first = inherited(w.t, e, parent)
	}
	text, ok := r4.LookupText(w.t.Name + strings.TrimPrefix(e.Path, w.t.Root.Path))
	if !ok {
		text, _ = r4.LookupText(first.Path)
	}
	out := element{
		ID: e.Path, Path: e.Path, Short: text.Short, Definition: text.Short, Min: e.Min, Max: maximum(e), Base: origin{first.Path, first.Min, maximum(first)},
		Type: w.types(e), IsModifier: e.Modifier, IsModifierReason: text.Modifier, IsSummary: e.Summary,
	}
	switch {
	case e.Attribute:
		out.Representation = []string{"xmlAttr"}
	case w.t.Name == "xhtml" && e.Name == "value":
		out.Representation = []string{"xhtml"}
	}
	if same := e.Repeats(); same != nil {
		out.ContentReference = "#" + same.Path
	}
	for _, c := range e.Constraints {
		out.Constraint = append(out.Constraint, constraint{c.Key, c.Severity, c.Human, c.Expression})
	}
	if e.Binding != nil {
		out.Binding = &binding{e.Binding.Strength, e.Binding.ValueSet}
		if e.Binding.Strength == "required" && strings.HasPrefix(e.Binding.ValueSet, "http://hl7.org/fhir/") {
			out.Binding.ValueSet += "|" + release // required codes are those of the release
		}
	}
	w.elements = append(w.elements, out)
	for _, c := range e.Children {
		w.add(c, e)
	}
}

// inherited gives the element of a base type that e repeats, e itself when the
// type has it of its own.
func inherited(t *r4.Type, e, parent *r4.Element) *r4.Element {
	base := t.Base
	if parent != t.Root {
		base = parent.Types[0].Code
	}
	found := e
	for ; base != ""; base = r4.BaseOf(base) {
		of, ok := r4.LookupType(base)
		if !ok {
			break
		}
		i := slices.IndexFunc(of.Root.Children, func(c *r4.Element) bool { return c.Name == e.Name })
		if i < 0 {
			break
		}
		found = of.Root.Children[i]
	}
	return found
}

func maximum(e *r4.Element) string {
	if e.Max == r4.Unbounded {
		return "*"
	}
	return strconv.Itoa(e.Max)
}

// types writes the types of an element. Ids, the url of an extension and the
// value of a primitive have types of FHIRPath, and say which one of FHIR it is.
func (w *structureWriter) types(e *r4.Element) []typeRef {
	var all []typeRef
	for _, t := range e.Types {
		ref := typeRef{Code: t.Code, Profile: urls(t.Profiles), TargetProfile: urls(t.Targets)}
		value := w.t.Kind == r4.Primitive && e.Name == "value"
		if e.Attribute || value || e.Name == "id" && r4.IsPrimitive(t.Code) && strings.Count(e.Path, ".") == 1 {
			ref.Code = systemType + "String"
			ref.Extension = []extension{{URL: structureURL + "structuredefinition-fhir-type", ValueURL: t.Code}}
		}
		if value {
			ref.Code = systemType + cmp.Or(systemTypes[w.t.Name], "String")
			if w.t.Pattern != "" {
				ref.Extension = append(ref.Extension, extension{URL: structureURL + "regex", ValueString: w.t.Pattern})
			}
		}
		all = append(all, ref)
	}
	return all
}

// systemTypes are the types of FHIRPath in which the values of primitives are
// held, where they are no String.
var systemTypes = map[string]string{
	"boolean": "Boolean", "date": "Date", "dateTime": "DateTime", "instant": "DateTime", "decimal": "Decimal", "integer": "Integer", "time": "Time",
}

// urls writes names of R4's own types and profiles in full.
func urls(names []string) []string {
	var all []string
	for _, n := range names {
		if !strings.Contains(n, ":") {
			n = structureURL + n
		}
		all = append(all, n)
	}
	return all
}
