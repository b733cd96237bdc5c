package library

import "github.com/jumpa-hie/jumpa/fhir/terminology"

// AddTerms adds the code systems and value sets that a terminology knows.
func (l *Library) AddTerms(t *terminology.Service) {
	l.Add("CodeSystem", func() []Item {
		var all []Item
		for cs := range t.CodeSystems() {
			all = append(all, Item{cs.ID, func() any { return cs.Document() }})
		}
		return all
	})
	l.Add("ValueSet", func() []Item {
		var all []Item
		for vs := range t.ValueSets() {
			all = append(all, Item{vs.ID, func() any { return vs.Document() }})
		}
		return all
	})
}
