package search

import (
	"net/url"
	"time"
)

// Terminology knows code systems and value sets. It answers the modifiers in,
// not-in, above and below of tokens.
type Terminology interface {
	// Codes gives the members of the value set with a canonical address, which
	// may end in |version. complete is false when not all could be listed: the
	// set has too many, or holds codes of a system whose content is not known.
	// An address that is not known is an error with code not-found.
	Codes(valueSet string) (codes []Coding, complete bool, err error)
	// Subtree gives a code with all that lie below it in its system, or with
	// all that it lies below. A system or code that is not known is an error
	// with code not-found.
	Subtree(system, code string, below bool) ([]Coding, error)
}

// Coding is a code in a system.
type Coding struct{ System, Code string }

// Parser reads searches. The zero value knows no terminology and takes the
// clock of the machine.
type Parser struct {
	Base        string           // FHIR base URL below which absolute references count as local
	Terminology Terminology      // nil when there is none
	Clock       func() time.Time // what "about this date" is measured from
}

func (p Parser) now() time.Time {
	if p.Clock == nil {
		return time.Now()
	}
	return p.Clock()
}

// Parse reads a search as a Parser with the base alone does.
func Parse(typ string, values url.Values, base string) (Request, error) {
	return Parser{Base: base}.Parse(typ, values)
}
