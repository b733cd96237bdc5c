package app

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/search"
)

// searchTerms answers what searches ask about codes: which a value set has, and
// which stand above or below another. base is the FHIR base URL.
type searchTerms struct {
	*terminology.Service
	base func() string
}

// Codes gives the codes of a value set by its canonical URL, or by its address
// on this server.
func (t searchTerms) Codes(valueSet string) (codes []search.Coding, complete bool, err error) {
	if url, ok := t.URL(strings.TrimPrefix(valueSet, strings.TrimSuffix(t.base(), "/")+"/")); ok {
		valueSet = url
	}
	set, err := t.Set(valueSet)
	if err != nil {
		return nil, false, err
	}
	for _, c := range set.Codings() {
		codes = append(codes, search.Coding{System: c.System, Code: c.Code})
	}
	return codes, set.Listed(), nil
}

// Subtree gives a code and all that stand below it, or above it.
func (t searchTerms) Subtree(system, code string, below bool) (list []search.Coding, err error) {
	cs, err := t.System(system, "")
	if err != nil {
		return nil, err
	}
	at, err := cs.Concept(code)
	if err != nil {
		return nil, err
	}
	concepts := at.Above()
	if below {
		concepts = at.Below()
	}
	for _, c := range concepts {
		list = append(list, search.Coding{System: cs.URL, Code: c.Code})
	}
	return list, nil
}
