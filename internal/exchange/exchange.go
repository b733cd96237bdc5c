// Package exchange takes in and gives out FHIR records: it checks who asks,
// validates, resolves references, books slots, moves consultations, and stores
// the result with its events and audit record in one transaction.
//
// Every way into the record (a PUT, a transaction Bundle, the portal) ends
// here or in package consult. It knows no HTTP.
package exchange

import (
	"net/url"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Write is a request to create or update a resource.
type Write struct {
	Type           string
	ID             string     // of an update; empty on create
	Condition      url.Values // of an update without ID: what at most one resource meets
	Doc            *fhir.Document
	IfMatch        int64      // version that must be current; 0 for any or none, AnyVersion for any
	IfNoneMatchAny bool       // refuse when the resource exists
	IfNoneExist    url.Values // of a create: answer with the match when there is one

	mustBeNew bool // a conditional update that nothing met must not change what is there
}

// AnyVersion as IfMatch asks for a record that is there, whichever its version.
const AnyVersion = -1

// Outcome is what became of a write.
type Outcome struct {
	Resource  store.Resource
	Created   bool
	Unchanged bool        // the document was identical: no new version
	Issues    fhir.Issues // warnings
}

// TransactionResult has one outcome for each entry of the Bundle, in its
// order; of those that were asked for it is empty.
type TransactionResult struct {
	Entries []Outcome
}

// SearchResult is one page of matches with what they include.
type SearchResult struct {
	Matches  []store.Resource
	Included []store.Resource
	Notes    fhir.Issues // warnings, of what was left out
	Total    int         // -1 when nobody knows
	Pages    Pages
}
