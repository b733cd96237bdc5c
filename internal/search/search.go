// Package search knows under which values a FHIR resource can be found, and
// what a search request asks for.
//
// The search parameters are one table: for each resource type the code, what
// kind of value it compares, and where in the document the values stand. Index
// reads a document with that table; Parse reads a request with the same one,
// so what is indexed can be asked for and the other way round.
//
// The package is pure: it neither reads nor writes the database. It knows no
// composite parameters.
package search

import (
	"net/url"
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Page sizes of a search and bounds of what one request may ask.
const (
	DefaultCount = 20
	MaxCount     = 200
	MaxOffset    = 100_000
	maxClauses   = 50  // parameters of one request
	maxAny       = 200 // comma-separated alternatives of one parameter
	maxSort      = 4   // keys of one order
	maxDepth     = 3   // references in a row
	maxBranches  = 8   // types to which a further reference in a row may lead
)

// Request is a search as it was understood.
type Request struct {
	Path        string      // what is searched: Type, Type/id/Type or Type/id/* of a compartment, "" for the whole system
	Query       store.Query // Organization, also that of each query within, is left to the caller
	Includes    []Include
	RevIncludes []Include
	NoTotal     bool       // the number of matches is not asked for, even when it is known
	Unknown     []string   // parameters that were ignored, such as "colour" or "_include=Slot:colour"
	Applied     url.Values // the parameters that were not ignored
}

// Kind is what a search parameter compares.
type Kind uint8

// Kinds of search parameters.
const (
	Token      Kind = iota + 1 // Coding, CodeableConcept, Identifier, ContactPoint
	Code                       // a code or boolean whose system goes without saying
	Reference                  // a reference to another resource
	String                     // text, found by how it begins
	Name                       // text of several words, found by how any of them begins
	Date                       // date, dateTime, instant, Period
	Number                     // a decimal
	URI                        // an address or canonical, compared as a whole
	Canonical                  // a reference by canonical address
	Quantity                   // a number with a unit
	Composite                  // two values of one element
	Place                      // a position, found by its distance from another
	Words                      // words of the whole document
	Identity                   // _id
	Updated                    // _lastUpdated
	Membership                 // _list: what a List holds
)

// fhirType gives the search parameter type of the FHIR specification.
var fhirType = map[Kind]string{
	Token: "token", Code: "token", Reference: "reference", String: "string",
	Name: "string", Date: "date", Number: "number", URI: "uri",
	Canonical: "reference", Quantity: "quantity", Composite: "composite", Place: "special", Words: "string",
	Identity: "token", Updated: "date", Membership: "special",
}

// Param is a search parameter of a resource type.
type Param struct {
	Code   string
	Kind   Kind
	Target []string // types that a reference may lead to; empty for any
	paths  []path

	compute func(root fhir.Node) []string // instead of paths
	parts   *parts                        // of a composite parameter
	single  bool                          // a date of which a record has one at most
}

// Type gives the parameter's type in the words of FHIR: token, reference,
// string, date, number, quantity, uri, composite or special.
func (p Param) Type() string { return fhirType[p.Kind] }

// leadsTo tells whether the reference may lead to the type.
func (p Param) leadsTo(typ string) bool {
	return len(p.Target) == 0 || slices.Contains(p.Target, typ)
}

// TypeNamed tells whether name is a resource type of FHIR R4.
func TypeNamed(name string) bool { return params()[name] != nil }

// Types gives the resource types of FHIR R4 in alphabetical order.
func Types() []string { return slices.Clone(resourceTypes) }

// Params gives the search parameters of a resource type by code, without _id
// and _lastUpdated, which every stored type has.
func Params(typ string) []Param { return slices.Clone(params()[typ]) }

// Has tells whether a resource type has a search parameter.
func Has(typ, code string) bool {
	_, ok := find(typ, code)
	return ok
}

func find(typ, code string) (Param, bool) {
	i, ok := slices.BinarySearchFunc(params()[typ], code, func(p Param, code string) int {
		switch {
		case p.Code < code:
			return -1
		case p.Code > code:
			return 1
		}
		return 0
	})
	if !ok {
		return Param{}, false
	}
	return params()[typ][i], true
}
