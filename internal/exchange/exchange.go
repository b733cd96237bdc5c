// Package exchange takes in and gives out FHIR records: it checks who asks,
// validates, resolves references, books slots, moves consultations, and stores
// the result with its events and audit record in one transaction.
//
// Every way into the record (a PUT, a transaction Bundle, the portal) ends
// here or in package consult. It knows no HTTP.
package exchange

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Match is what If-Match asks for: a record whose current version is one of
// these. None asks for nothing.
type Match []int64

// anyVersion in a Match is a record that is there, whichever its version.
const anyVersion = -1

// ParseMatch reads an If-Match header: "*", or ETags such as W/"3" with commas
// between them; some clients send the bare number. It is not ok when a tag is
// of no version.
func ParseMatch(header string) (m Match, ok bool) {
	for tag := range strings.SplitSeq(header, ",") {
		switch tag = strings.TrimSpace(tag); tag {
		case "":
			continue
		case "*":
			m = append(m, anyVersion)
			continue
		}
		version, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), 10, 64)
		if err != nil || version < 1 {
			return nil, false
		}
		m = append(m, version)
	}
	return m, true
}

// met tells whether a record, nil for one that never was, is as it asks.
func (m Match) met(current *record.Current) bool {
	switch {
	case len(m) == 0:
		return true
	case slices.Contains(m, anyVersion):
		return current.Exists()
	}
	return current != nil && slices.Contains(m, current.Version)
}

// Write is a request to create or update a resource.
type Write struct {
	Type           string
	ID             string     // of an update; empty on create
	Condition      url.Values // of an update without ID: what at most one resource meets
	Doc            *fhir.Document
	IfMatch        Match      // which versions may be current
	IfNoneMatchAny bool       // refuse when the resource exists
	IfNoneExist    url.Values // of a create: answer with the match when there is one

	mustBeNew bool // a conditional update that nothing met must not change what is there
}

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
