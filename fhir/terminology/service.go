package terminology

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Options say what a Service knows besides R4. The zero Options serve.
type Options struct {
	// Documents are CodeSystems and ValueSets; others are passed over.
	Documents []*fhir.Document

	// Normalize gives one form to the spellings of a URL that mean the same
	// definition among the Documents; nil: every URL has one spelling. It may
	// turn the URL of a value set into that of its code system.
	Normalize func(url string) string
}

// Service knows code systems and value sets.
type Service struct {
	own, spelt catalog // the documents by URL, and by what Normalize makes of it
	normalize  func(string) string
	sets       sync.Map // URL → func() (*Set, error)
}

// New makes a Service. The error is that of a document that cannot be read.
func New(o Options) (*Service, error) {
	s := &Service{own: newCatalog(), spelt: newCatalog(), normalize: o.Normalize}
	if s.normalize == nil {
		s.normalize = func(url string) string { return url }
	}
	for _, doc := range o.Documents {
		switch doc.Type() {
		case "CodeSystem":
			cs, err := ReadCodeSystem(doc)
			if err != nil {
				return nil, err
			}
			get := func() *CodeSystem { return cs }
			s.own.ids["CodeSystem/"+cs.ID] = cs.URL
			s.own.systems[cs.URL], s.spelt.systems[s.normalize(cs.URL)] = get, get
		case "ValueSet":
			vs, err := ReadValueSet(doc)
			if err != nil {
				return nil, err
			}
			get := func() *ValueSet { return vs }
			s.own.ids["ValueSet/"+vs.ID] = vs.URL
			s.own.sets[vs.URL], s.spelt.sets[s.normalize(vs.URL)] = get, get
		}
	}
	return s, nil
}

// R4 gives the Service that knows R4 alone.
var R4 = sync.OnceValue(func() *Service {
	s, _ := New(Options{}) // the error is that of a document, and there is none
	return s
})

// CodeSystem gives a code system by its URL. Behind a | may stand the version,
// which must be the one that is known.
func (s *Service) CodeSystem(url string) (*CodeSystem, bool) {
	if get, ok := s.systemNamed(url); ok {
		return get(), true
	}
	url, version, versioned := strings.Cut(url, "|")
	if !versioned {
		return nil, false
	}
	get, ok := s.systemNamed(url)
	if !ok || !sameVersion(get().Version, version) {
		return nil, false
	}
	return get(), true
}

func (s *Service) systemNamed(url string) (get func() *CodeSystem, ok bool) {
	if get, ok = s.own.systems[url]; ok {
		return get, ok
	}
	if get, ok = release().systems[url]; ok {
		return get, ok
	}
	if get, ok = grammars[url]; ok {
		return get, ok
	}
	get, ok = s.spelt.systems[s.normalize(url)]
	return get, ok
}

// ValueSet gives the definition of a value set by its URL, with a version
// behind a | or not.
func (s *Service) ValueSet(url string) (*ValueSet, bool) {
	url, version, _ := strings.Cut(url, "|")
	get, ok := s.own.sets[url]
	if !ok {
		get, ok = release().sets[url]
	}
	if !ok {
		get, ok = s.spelt.sets[s.normalize(url)]
	}
	if !ok || !sameVersion(get().Version, version) {
		return nil, false
	}
	return get(), true
}

// sameVersion tells whether the version at hand is the one that is asked for:
// 4.0.1 is a 4.0 too.
func sameVersion(have, asked string) bool {
	return asked == "" || have == asked || strings.HasPrefix(have, asked+".")
}

// URL gives the URL of a definition by its type and id, such as
// ValueSet/administrative-gender.
func (s *Service) URL(reference string) (url string, ok bool) {
	if url, ok = s.own.ids[reference]; !ok {
		url, ok = release().ids[reference]
	}
	return url, ok
}

// IDs gives the ids of all code systems or value sets that are known, in their
// order, without reading the definitions. typ is CodeSystem or ValueSet.
func (s *Service) IDs(typ string) (ids []string) {
	for _, all := range []map[string]string{s.own.ids, release().ids} {
		for reference := range all {
			if id, ok := strings.CutPrefix(reference, typ+"/"); ok {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// CodeSystems gives all code systems that are known, by their URLs.
func (s *Service) CodeSystems() iter.Seq[*CodeSystem] {
	return all(s.own.systems, release().systems)
}

// ValueSets gives the definitions of all value sets that are known, by their
// URLs.
func (s *Service) ValueSets() iter.Seq[*ValueSet] { return all(s.own.sets, release().sets) }

func all[T any](own, released map[string]func() T) iter.Seq[T] {
	both := maps.Clone(released)
	maps.Copy(both, own)
	return func(yield func(T) bool) {
		for _, url := range slices.Sorted(maps.Keys(both)) {
			if !yield(both[url]()) {
				return
			}
		}
	}
}

// Set gives a value set ready for questions, by its URL. The error says that
// the value set is not known, or that it cannot be worked out.
func (s *Service) Set(url string) (*Set, error) {
	if get, ok := s.sets.Load(url); ok {
		return get.(func() (*Set, error))()
	}
	vs, ok := s.ValueSet(url)
	if !ok {
		return nil, fhir.Errorf(fhir.CodeNotFound, "", "The value set %s is not known here.", shown(url))
	}
	get, _ := s.sets.LoadOrStore(vs.URL, sync.OnceValues(func() (*Set, error) { return s.Compile(vs) }))
	return get.(func() (*Set, error))()
}

// Compile works out a value set that is not one of those that are known.
func (s *Service) Compile(vs *ValueSet) (*Set, error) {
	c := compiler{service: s, done: map[string]*Set{}}
	return c.compile(vs)
}
