package library

import "github.com/jumpa-hie/jumpa/fhir/terminology"

// AddTerms adds the code systems and value sets that a terminology knows.
func (l *Library) AddTerms(t *terminology.Service) {
	l.Add("CodeSystem", func() []Item {
		return termsOf(t, "CodeSystem", func(url string) any { cs, _ := t.CodeSystem(url); return cs.Document() })
	})
	l.Add("ValueSet", func() []Item {
		return termsOf(t, "ValueSet", func(url string) any { vs, _ := t.ValueSet(url); return vs.Document() })
	})
}

// termsOf gives an item for each id, whose definition is read when it is made.
func termsOf(t *terminology.Service, typ string, make func(url string) any) (all []Item) {
	for _, id := range t.IDs(typ) {
		url, _ := t.URL(typ + "/" + id)
		all = append(all, Item{id, func() any { return make(url) }})
	}
	return all
}
