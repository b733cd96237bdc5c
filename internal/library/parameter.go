package library

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/search"
)

type searchParameter struct {
	heading
	Code       string            `json:"code"`
	Base       []string          `json:"base"`
	Type       string            `json:"type"`
	Expression string            `json:"expression,omitempty"`
	Target     []string          `json:"target,omitempty"`
	MultipleOr bool              `json:"multipleOr"`
	And        bool              `json:"multipleAnd"`
	Comparator []string          `json:"comparator,omitempty"`
	Modifier   []string          `json:"modifier,omitempty"`
	Component  []searchComponent `json:"component,omitempty"`
}

type searchComponent struct {
	Definition string `json:"definition"`
	Expression string `json:"expression"`
}

// searchParameters gives the search parameters that a search knows.
func searchParameters() []Item {
	var all []Item
	for _, d := range search.Definitions() {
		all = append(all, Item{d.ID, func() any { return searchParameterOf(d) }})
	}
	return all
}

func searchParameterOf(d *search.Definition) searchParameter {
	p := searchParameter{
		heading: heading{
			ResourceType: "SearchParameter", ID: d.ID, URL: d.URL, Version: release, Name: d.Code, Status: "active", Experimental: no, Date: released, Publisher: hl7,
			Description: described(d),
		},
		Code: d.Code, Base: d.Base, Type: d.Type, Expression: d.Expression, Target: d.Targets,
		MultipleOr: true, And: true, Comparator: d.Comparators,
	}
	if !d.R4 {
		p.Version, p.Date, p.Publisher = guideVersion, guideDate, publisher
	}
	for _, m := range d.Modifiers {
		p.Modifier = append(p.Modifier, strings.ReplaceAll(m, "of-type", "ofType")) // so the value set spells it
	}
	for _, c := range d.Components {
		p.Component = append(p.Component, searchComponent{c.Definition, c.Expression})
	}
	return p
}

// described says in words what a parameter finds: the release's own
// descriptions are not in the index.
func described(d *search.Definition) string {
	var b strings.Builder
	b.WriteString("Finds resources by " + d.Code)
	if len(d.Base) == 1 && !strings.Contains(d.Expression, "|") {
		path := strings.TrimPrefix(d.Expression, d.Base[0]+".")
		if t, ok := r4.LookupType(d.Base[0]); ok {
			if e, _, ok := t.Element(path); ok {
				if text, ok := r4.LookupText(e.Path); ok {
					b.WriteString(": " + text.Short)
				}
			}
		}
	}
	return b.String()
}
