package auth

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// maxScope bounds what a client may ask for, in characters.
const maxScope = 2000

// firstVersion gives the letters for the words of SMART's first version.
var firstVersion = map[string]string{"read": "rs", "write": "cud", "*": "cruds"}

// parseScope reads a SMART scope on FHIR resources, system/Type.letters or
// system/*.letters. ok is false for anything else.
func parseScope(s string) (typ, letters string, ok bool) {
	rest, ok := strings.CutPrefix(s, "system/")
	if !ok {
		return "", "", false
	}
	typ, letters, _ = strings.Cut(rest, ".")
	if l := firstVersion[letters]; l != "" {
		letters = l
	}
	return typ, letters, typeOrAll(typ) && inOrder(letters)
}

// typeOrAll tells whether s is * or has the form of a resource type.
func typeOrAll(s string) bool {
	if s == "*" {
		return true
	}
	for i, c := range []byte(s) {
		if upper := 'A' <= c && c <= 'Z'; !upper && (i == 0 || c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// inOrder tells whether s has letters of cruds, each once, in this order, as
// SMART asks for.
func inOrder(s string) bool {
	rest := "cruds"
	for _, c := range s {
		i := strings.IndexRune(rest, c)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return s != ""
}

// scoped tells whether one of the scopes covers the action: a SMART scope
// (system/Encounter.cruds, system/*.rs) or the exchange's own words session
// and notify. To ask needs none.
func scoped(scopes []string, a Action, typ string) bool {
	switch a {
	case Session, Notify:
		return slices.Contains(scopes, string(a))
	case Ask:
		return true
	}
	for _, s := range scopes {
		name, letters, ok := parseScope(s)
		if ok && (name == "*" || name == typ) && strings.Contains(letters, string(a)) {
			return true
		}
	}
	return false
}

// narrowed gives the scopes that are asked for, all of which must lie within
// those held; all that are held when nothing is asked for.
func narrowed(held, asked string) (string, error) {
	have, want := strings.Fields(held), strings.Fields(asked)
	if len(want) == 0 {
		return strings.Join(have, " "), nil
	}
	if len(asked) > maxScope {
		return "", beyondScope()
	}
	var granted []string
	for _, s := range want {
		if slices.Contains(granted, s) {
			continue
		}
		if !covered(have, s) {
			return "", beyondScope()
		}
		granted = append(granted, s)
	}
	return strings.Join(granted, " "), nil
}

func covered(held []string, scope string) bool {
	typ, letters, ok := parseScope(scope)
	if !ok {
		return (scope == string(Session) || scope == string(Notify)) && slices.Contains(held, scope)
	}
	for _, letter := range letters {
		if !scoped(held, Action(letter), typ) {
			return false
		}
	}
	return true
}

func beyondScope() error {
	return fhir.Errorf(fhir.CodeForbidden, "", "The client does not hold all the scopes that it asks for.")
}
