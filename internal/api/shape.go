package api

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// subsetted is the tag of a resource of which only a part is shown, so that
// nobody sends it back as the whole.
const subsetted = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}`

// maxElements bounds the names of _elements.
const maxElements = 100

// shape says which part of a resource the caller wants to see: _summary or
// _elements. The zero shape is all of it.
type shape struct {
	summary  string // true, text or data
	elements map[string]bool
}

// shapeOf reads _summary and _elements, and gives the values that are left. A
// _summary of count or of a word that is not known stays among them.
func shapeOf(values url.Values) (s shape, rest url.Values, err error) {
	rest = make(url.Values, len(values))
	for k, v := range values {
		rest[k] = v
	}
	switch word := values.Get("_summary"); word {
	case "true", "text", "data":
		s.summary = word
		rest.Del("_summary")
	}
	names := strings.Join(values["_elements"], ",")
	rest.Del("_elements")
	if strings.Trim(names, ", ") == "" {
		return s, rest, nil
	}
	if s.summary != "" {
		return s, rest, fhir.Errorf(fhir.CodeInvalid, "", "Ask for _summary or for _elements, not for both.")
	}
	s.elements = make(map[string]bool)
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if _, below, ok := strings.Cut(name, "."); ok && name[0] >= 'A' && name[0] <= 'Z' {
			name = below // Patient.name
		}
		if name == "" {
			continue
		}
		if s.elements[name] = true; len(s.elements) > maxElements {
			return s, rest, fhir.Errorf(fhir.CodeTooCostly, "", "_elements may have at most %d names.", maxElements).WithStatus(400)
		}
	}
	return s, rest, nil
}

func (s shape) all() bool { return s.summary == "" && s.elements == nil }

// of gives the part of a resource. What FHIR asks for, what changes the
// meaning of the rest, and the id are part of every part.
func (s shape) of(body []byte) []byte {
	if s.all() || len(body) == 0 {
		return body
	}
	doc, err := fhir.Parse(body)
	if err != nil {
		return body // it cannot be taken apart
	}
	if doc, err = tagSubsetted(doc); err != nil {
		return body
	}
	var content *r4.Element
	if t, ok := r4.LookupType(doc.Type()); ok {
		content = t.Root
	}
	return s.object(nil, doc.Root(), content, true)
}

func tagSubsetted(doc *fhir.Document) (*fhir.Document, error) {
	for tag := range doc.All("meta.tag") {
		if tag.Get("code").Is("SUBSETTED") {
			return doc, nil
		}
	}
	return doc.With(fhir.Append("meta.tag", json.RawMessage(subsetted)))
}

func (s shape) object(to []byte, n fhir.Node, content *r4.Element, top bool) []byte {
	to = append(to, '{')
	start := len(to)
	for c := range n.Children() {
		name := strings.TrimPrefix(c.Name(), "_")
		var el *r4.Element
		typ := ""
		if content != nil {
			el, typ, _ = content.Child(name)
		}
		if !s.keeps(name, el, top) {
			continue
		}
		before := len(to)
		if len(to) > start {
			to = append(to, ',')
		}
		to = append(append(to, fhir.Marshal(c.Name())...), ':')
		value := len(to)
		if s.summary != "true" || el == nil || name != c.Name() || typ == "Extension" || top && name == "meta" {
			to = append(to, c.Raw()...)
			continue
		}
		to = s.value(to, c, el, typ)
		if text := string(to[value:]); text == "{}" || text == "[]" {
			to = to[:before]
		}
	}
	return append(to, '}')
}

func (s shape) value(to []byte, n fhir.Node, el *r4.Element, typ string) []byte {
	switch n.Kind() {
	case fhir.Object:
		if rt := n.Get("resourceType"); rt.Exists() {
			typ = rt.String()
		}
		if content := el.Content(typ); content != nil {
			return s.object(to, n, content, false)
		}
	case fhir.Array:
		to = append(to, '[')
		start := len(to)
		for item := range n.Children() {
			before := len(to)
			if len(to) > start {
				to = append(to, ',')
			}
			value := len(to)
			if to = s.value(to, item, el, typ); string(to[value:]) == "{}" {
				to = to[:before]
			}
		}
		return append(to, ']')
	}
	return append(to, n.Raw()...)
}

func (s shape) keeps(name string, el *r4.Element, top bool) bool {
	if name == "resourceType" || top && (name == "id" || name == "meta") {
		return true
	}
	needed := el != nil && (el.Min > 0 || el.Modifier)
	switch s.summary {
	case "true":
		return needed || el != nil && el.Summary
	case "text":
		return needed || name == "text"
	case "data":
		return name != "text"
	}
	return needed || s.elements[name] || el != nil && s.elements[el.Name]
}
