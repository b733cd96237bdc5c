package mycore

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Version is that of the definitions which are the same in all lines.
const Version = "1.0.0"

type object = map[string]any

// Definitions gives MY Core as FHIR resources, made from the tables of this
// package: CodeSystems, ValueSets, a StructureDefinition for each profile of
// each line and for each extension, and the profiles of what the record of a
// virtual consultation must have. They are sorted by type and id, and the same
// in every call.
//
// The profiles of the two lines have one URL and two versions. Those of the
// older line have its name behind their id.
var Definitions = sync.OnceValue(func() []*fhir.Document {
	var all []*fhir.Document
	listed := map[string]bool{}
	for _, e := range entries() {
		for _, o := range e.definitions() {
			listed[o["url"].(string)] = true
			all = append(all, parsed(o))
		}
	}
	for _, system := range slices.Sorted(maps.Keys(codes())) {
		all = append(all, parsed(codeSystem(system)))
		if !listed[valueSetOf(system)] {
			all = append(all, parsed(valueSet(system)))
		}
	}
	slices.SortFunc(all, func(a, b *fhir.Document) int {
		return cmp.Or(cmp.Compare(a.Type(), b.Type()), cmp.Compare(a.ID(), b.ID()))
	})
	return all
})

// described is what all definitions begin with.
func described(typ, url, version string, more object) object {
	id := path.Base(url)
	o := object{
		"resourceType": typ, "id": id, "url": url, "version": version, "name": titled(id, ""), "title": titled(id, " "),
		"status": "active", "experimental": false, "publisher": "Jumpa, after the MY Core implementation guide",
	}
	maps.Copy(o, more)
	return o
}

// titled makes words of an id: "slot-quota-my-core" is "Slot Quota My Core".
func titled(id, between string) string {
	words := strings.Split(id, "-")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, between)
}

func codeSystem(system string) object {
	list := codes()[system]
	var concepts []object
	for _, code := range slices.Sorted(maps.Keys(list)) {
		concepts = append(concepts, object{"code": code, "display": list[code]})
	}
	return described("CodeSystem", system, Version, object{
		"caseSensitive": true, "content": "complete", "count": len(concepts), "valueSet": valueSetOf(system), "concept": concepts,
	})
}

func valueSet(system string) object {
	return described("ValueSet", valueSetOf(system), Version, object{"compose": object{"include": []object{{"system": system}}}})
}

// valueSetOf names the value set of all codes of a system.
func valueSetOf(system string) string {
	url := strings.Replace(system, "/CodeSystem/", "/ValueSet/", 1)
	return strings.Replace(url, "/cancellation-reason", "/cancelation-reason", 1) // so spelt in the guide
}
