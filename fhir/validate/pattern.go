package validate

import (
	"iter"
	"math/big"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// equal tells whether two JSON values are the same; the order of members does
// not matter.
func equal(a, b fhir.Node) bool { return same(a, b, true) }

// matches tells whether a value has all that a pattern has. An item of a list
// in the pattern may stand anywhere in the list of the value.
func matches(pattern, n fhir.Node) bool { return same(pattern, n, false) }

func same(a, b fhir.Node, exact bool) bool {
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case fhir.Object:
		for m := range a.Children() {
			if other := b.Get(m.Name()); !other.Exists() || !same(m, other, exact) {
				return false
			}
		}
		return !exact || members(a) == members(b)
	case fhir.Array:
		if exact {
			next, stop := iter.Pull(b.Children())
			defer stop()
			for m := range a.Children() {
				other, ok := next()
				if !ok || !same(m, other, true) {
					return false
				}
			}
			_, more := next()
			return !more
		}
		for m := range a.Children() {
			found := false
			for other := range b.Children() {
				found = found || same(m, other, false)
			}
			if !found {
				return false
			}
		}
		return true
	case fhir.Number:
		return a.String() == b.String() || !exact && number(a).Cmp(number(b)) == 0
	}
	return a.String() == b.String()
}

func members(n fhir.Node) (count int) {
	for range n.Children() {
		count++
	}
	return count
}

func number(n fhir.Node) *big.Float {
	f, _, err := big.ParseFloat(n.String(), 10, 128, big.ToNearestEven)
	if err != nil {
		return new(big.Float)
	}
	return f
}

// shortly shows what a profile asks for. It is of the profile, not of the
// document.
func shortly(n fhir.Node) string {
	const most = 200
	s := string(n.Raw())
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
