// Package library holds what the exchange is made of as FHIR resources: search
// parameters, structures, operations, compartments, code systems and value
// sets, and the statement of what the exchange can do.
//
// Nobody writes them: they are derived from the tables that the program itself
// works by, each when it is first asked for, and kept in memory. Over lays them
// over a store, so that whoever reads that store reads, searches and includes
// them like any other record. Each has one version.
//
// The package knows no policy: who may read is decided above it. It has no
// organisations either, since what it holds belongs to everybody.
package library

import (
	"bytes"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Item is one resource: its id, and how to make it. What Make gives is a
// *fhir.Document, or written as JSON; it needs no meta.
type Item struct {
	ID   string
	Make func() any
}

// Source gives the items of one type. It is asked once, when the first of them
// is needed.
type Source func() []Item

// Library holds the derived resources. It is safe for concurrent use.
type Library struct {
	made    time.Time
	base    func() string
	shelves map[string]*shelf
}

// New makes a library of the definitions of FHIR R4 and MY Core. made is when
// all its resources were last changed; base is the FHIR base URL.
func New(made time.Time, base func() string) *Library {
	l := empty(made, base)
	for _, typ := range []string{"CodeSystem", "StructureDefinition", "ValueSet"} {
		l.Add(typ, guide(typ))
	}
	l.Add("StructureDefinition", structures)
	l.Add("SearchParameter", searchParameters)
	l.Add("CompartmentDefinition", compartments)
	l.Add("NamingSystem", namingSystems)
	return l
}

func empty(made time.Time, base func() string) *Library {
	return &Library{made: made.Truncate(time.Millisecond), base: base, shelves: map[string]*shelf{}}
}

// Add puts the items of a source after those that the type has already. All
// sources are added before the library is used.
func (l *Library) Add(typ string, s Source) {
	if l.shelves[typ] == nil {
		l.shelves[typ] = &shelf{library: l, typ: typ}
	}
	l.shelves[typ].sources = append(l.shelves[typ].sources, s)
}

// Has tells whether the resources of a type are derived.
func (l *Library) Has(typ string) bool { return l.shelves[typ] != nil }

// shelf holds the resources of one type.
type shelf struct {
	library *Library
	typ     string
	sources []Source
	fill    sync.Once
	books   []*book // in the order of their sources
	byID    map[string]*book
	index   sync.Once
}

// book is one resource, written when it is first opened.
type book struct {
	item  Item
	shelf *shelf
	write sync.Once
	store.Resource
	doc     *fhir.Document // until it is indexed, when it was made as one
	index   sync.Once
	entries []store.Entry
}

func (s *shelf) all() []*book {
	s.fill.Do(func() {
		s.byID = map[string]*book{}
		for _, source := range s.sources {
			for _, item := range source() {
				if s.byID[item.ID] == nil {
					b := &book{item: item, shelf: s}
					s.books, s.byID[item.ID] = append(s.books, b), b
				}
			}
		}
	})
	return s.books
}

func (s *shelf) find(id string) *book {
	s.all()
	return s.byID[id]
}

// open gives the resource.
func (b *book) open() store.Resource {
	b.write.Do(func() {
		made := b.shelf.library.made
		b.Resource = store.Resource{Type: b.shelf.typ, ID: b.item.ID, Version: 1, Updated: made, Method: "PUT"}
		switch content := b.item.Make().(type) {
		case *fhir.Document:
			doc, err := content.Stamp(b.item.ID, 1, made)
			b.sound(err)
			b.Body, b.doc = doc.Bytes(), doc
		default:
			body := bytes.TrimSuffix(fhir.Marshal(content), []byte("}"))
			b.Body = append(body, `,"meta":{"versionId":"1","lastUpdated":"`+fhir.FormatInstant(made)+`"}}`...)
		}
	})
	return b.Resource
}

// values gives what the resource is found by.
func (b *book) values() []store.Entry {
	b.index.Do(func() {
		body, doc := b.open().Body, b.doc
		if doc == nil {
			var err error
			doc, err = fhir.ParseWithin(body, limits)
			b.sound(err)
		}
		b.entries = search.Index(doc, b.shelf.library.base())
		b.doc = nil
	})
	return b.entries
}

// sound stops at a fault in what the program made itself.
func (b *book) sound(err error) {
	if err != nil {
		panic("library: " + b.shelf.typ + "/" + b.item.ID + ": " + err.Error())
	}
}

// limits are those of a large definition.
var limits = fhir.Limits{Bytes: 8 << 20, Depth: fhir.DefaultLimits.Depth, Nodes: 500_000}
