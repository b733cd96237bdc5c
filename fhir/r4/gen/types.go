package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	structureURL = "http://hl7.org/fhir/StructureDefinition/"
	valueSetURL  = "http://hl7.org/fhir/ValueSet/"
	searchURL    = "http://hl7.org/fhir/SearchParameter/"
	systemType   = "http://hl7.org/fhirpath/System."
)

// errata are expressions that R4 4.0.1 has wrong and later releases put
// right: the first names a status that does not exist, the second fails on
// more than one value.
var errata = map[string][2]string{
	"app-4": {
		"Appointment.cancelationReason.exists() implies (Appointment.status='no-show' or Appointment.status='cancelled')",
		"Appointment.cancelationReason.exists() implies (Appointment.status='noshow' or Appointment.status='cancelled')",
	},
	"tim-9": {
		"offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))",
		"offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())",
	},
}

// known are the members of an ElementDefinition: kept, or left out because
// they are text for people or say nothing that is checked.
var known = map[string]bool{
	"id": true, "path": true, "min": true, "max": true, "type": true, "contentReference": true,
	"representation": true, "isModifier": true, "isSummary": true, "binding": true, "constraint": true,

	"short": false, "definition": false, "base": false, "mapping": false, "comment": false,
	"requirements": false, "alias": false, "isModifierReason": false, "condition": false,
	"extension": false, "mustSupport": false, "meaningWhenMissing": false, "example": false,
	"orderMeaning": false,
	// Ordered by url, on extensions alone: the name of the element says it.
	"slicing": false,
	// Stated on the primitive types themselves, where the pattern says it too.
	"minValueInteger": false, "maxValueInteger": false, "maxLength": false,
}

// writeTypes renders types.txt: first the constraints, which many elements
// share, then every type with its elements.
func writeTypes(in *source) (string, error) {
	var constraints, types strings.Builder
	numbers := map[constraint]int{}
	corrected := 0
	slices.SortFunc(in.structures, func(a, b *structure) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range in.structures {
		if s.FHIRVersion != release || s.Kind == "logical" {
			continue
		}
		kind := map[string]string{"resource": "resource", "complex-type": "complex", "primitive-type": "primitive"}[s.Kind]
		if kind == "" {
			return "", fmt.Errorf("%s: unknown kind %q", s.Name, s.Kind)
		}
		role := ""
		switch {
		case s.Abstract:
			role = "abstract"
		case s.Derivation == "constraint":
			role = "profile"
		}
		var elements strings.Builder
		pattern := ""
		for _, raw := range s.Snapshot.Element {
			e, err := decode(raw)
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.Name, err)
			}
			if kind == "primitive" && e.Path == s.Name+".value" {
				pattern = extensionOf(e.Type[0], structureURL+"regex")
			}
			ids := make([]string, len(e.Constraint))
			for i, c := range e.Constraint {
				if fix, ok := errata[c.Key]; ok {
					if c.Expression != fix[0] {
						return "", fmt.Errorf("%s: the erratum of %s no longer fits", e.Path, c.Key)
					}
					c.Expression = fix[1]
					corrected++
				}
				n, ok := numbers[c]
				if !ok {
					n = len(numbers)
					numbers[c] = n
					line(&constraints, "C", c.Key, c.Severity, c.Human, c.Expression)
				}
				ids[i] = strconv.Itoa(n)
			}
			if err := writeElement(&elements, e, strings.Join(ids, ",")); err != nil {
				return "", fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		line(&types, "T", s.Name, kind, strings.TrimPrefix(s.BaseDefinition, structureURL), role, pattern, strings.TrimPrefix(s.Status, "active"))
		types.WriteString(elements.String())
	}
	if corrected != len(errata) {
		return "", fmt.Errorf("%d errata were applied, want %d", corrected, len(errata))
	}
	return constraints.String() + types.String(), nil
}

func decode(raw map[string]json.RawMessage) (e element, err error) {
	for name := range raw {
		if _, ok := known[name]; !ok {
			return e, fmt.Errorf("%s has a %s, which the index has no place for", raw["path"], name)
		}
	}
	whole, err := json.Marshal(raw)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(whole, &e)
}

func extensionOf(t typeRef, url string) string {
	for _, x := range t.Extension {
		if x.URL == url {
			return x.ValueURL + x.ValueString
		}
	}
	return ""
}

// writeElement renders one element: its depth as dots and its name, then
// cardinality, flags, types, content reference, binding and constraints.
func writeElement(b *strings.Builder, e element, constraints string) error {
	steps := strings.Split(e.Path, ".")
	flags := ""
	if e.IsModifier {
		flags += "m"
	}
	if e.IsSummary {
		flags += "s"
	}
	for _, r := range e.Representation {
		switch r {
		case "xmlAttr":
			flags += "a"
		case "xhtml": // the type says it
		default:
			return fmt.Errorf("unknown representation %q", r)
		}
	}
	var types []string
	for _, t := range e.Type {
		text, err := typeText(t)
		if err != nil {
			return err
		}
		types = append(types, text)
	}
	binding := ""
	if e.Binding != nil && e.Binding.ValueSet != "" {
		url, _, _ := strings.Cut(e.Binding.ValueSet, "|")
		binding = e.Binding.Strength + " " + shorten(url, valueSetURL)
	}
	line(b, strings.Repeat(".", len(steps)-1)+steps[len(steps)-1],
		strconv.Itoa(e.Min)+".."+e.Max, flags, strings.Join(types, "|"),
		strings.TrimPrefix(e.ContentReference, "#"), binding, constraints)
	return nil
}

// typeText renders a type as Code[Profile,…](Target,…).
func typeText(t typeRef) (string, error) {
	code := t.Code
	if strings.HasPrefix(code, systemType) {
		// The true types of ids, urls and values stand in an extension.
		code = extensionOf(t, structureURL+"structuredefinition-fhir-type")
		if code == "" {
			code = strings.ToLower(strings.TrimPrefix(t.Code, systemType)[:1]) + strings.TrimPrefix(t.Code, systemType)[1:]
		}
	}
	list := func(urls []string, open, end string) string {
		if len(urls) == 0 {
			return ""
		}
		names := make([]string, len(urls))
		for i, u := range urls {
			names[i] = shorten(u, structureURL)
		}
		return open + strings.Join(names, ",") + end
	}
	text := code + list(t.Profile, "[", "]") + list(t.TargetProfile, "(", ")")
	if strings.Count(text, "(") > 1 || strings.ContainsAny(code, "[](),|") {
		return "", fmt.Errorf("type %q cannot be written", text)
	}
	return text, nil
}

// shorten drops the usual beginning of a URL.
func shorten(url, prefix string) string {
	if rest, ok := strings.CutPrefix(url, prefix); ok && !strings.ContainsAny(rest, ":/") {
		return rest
	}
	return url
}
