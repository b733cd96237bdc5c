package search

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// condition reads one search parameter, such as status:not=finished. known is
// false when the type has no such parameter.
func (ps Parser) condition(typ, key, value string) (c store.Condition, known bool, err error) {
	code, modifier, _ := strings.Cut(key, ":")
	p, ok := lookup(typ, code)
	if !ok {
		return c, false, nil
	}
	read, not, err := ps.modified(p, modifier)
	if err != nil {
		return c, true, err
	}
	values := split(value, ',')
	if len(values) > maxAny {
		return c, true, fhir.Errorf(fhir.CodeTooCostly, "", "%s may have at most %d alternatives.", code, maxAny).WithStatus(400)
	}
	var any []store.Condition
	for _, v := range values {
		found, err := read(v)
		if err != nil {
			return c, true, err
		}
		any = append(any, found...)
	}
	return gather(any, not), true, nil
}

// lookup finds a parameter, also one of those that every stored type has.
func lookup(typ, code string) (Param, bool) {
	if Stored(typ) {
		switch code {
		case "_id":
			return Param{Code: code, Kind: Identity}, true
		case "_lastUpdated":
			return Param{Code: code, Kind: Updated}, true
		case "_list":
			return Param{Code: code, Kind: Membership}, true
		}
	}
	return find(typ, code)
}

// gather makes one condition of alternatives: one clause for those of each
// parameter.
func gather(any []store.Condition, not bool) store.Condition {
	merged := make([]store.Condition, 0, len(any))
	at := map[string]int{}
	for _, c := range any {
		if c.Clause == nil || c.Not || c.Clause.Not {
			merged = append(merged, c)
			continue
		}
		if i, ok := at[c.Clause.Param]; ok {
			merged[i].Clause.Any = append(merged[i].Clause.Any, c.Clause.Any...)
			continue
		}
		at[c.Clause.Param] = len(merged)
		merged = append(merged, c)
	}
	switch {
	case len(merged) != 1:
		return store.Condition{Not: not, Any: merged}
	case not && merged[0].Clause != nil && !merged[0].Not:
		merged[0].Clause.Not = !merged[0].Clause.Not
	case not:
		merged[0].Not = !merged[0].Not
	}
	return merged[0]
}

// matcher reads one alternative, which may stand for several. Reserved
// characters still have their backslashes.
type matcher func(value string) ([]store.Condition, error)

// modifiersOf gives the modifiers of each kind of parameter. A reference has
// those of the types that it may lead to as well.
var modifiersOf = map[Kind][]string{
	Token:      {"missing", "not", "text", "of-type", "in", "not-in", "above", "below"},
	Code:       {"missing", "not", "text", "in", "not-in", "above", "below"},
	Reference:  {"missing", "identifier", "above", "below"},
	Canonical:  {"missing", "identifier", "below"},
	String:     {"missing", "exact", "contains"},
	Name:       {"missing", "exact", "contains"},
	Date:       {"missing"},
	Number:     {"missing"},
	Quantity:   {"missing"},
	Composite:  {"missing"},
	Place:      {"missing"},
	URI:        {"missing", "above", "below"},
	Identity:   {"not"},
	Updated:    nil,
	Words:      nil,
	Membership: {"not"},
}

// Modifiers gives the modifiers that the parameter can have, beside the types
// of a reference.
func (p Param) Modifiers() []string { return slices.Clone(modifiersOf[p.Kind]) }

// modified gives the matcher for a parameter with a modifier; not tells that
// what it finds is what is not asked for.
func (ps Parser) modified(p Param, modifier string) (read matcher, not bool, err error) {
	if modifier == "" {
		return ps.plain(p), false, nil
	}
	if p.Kind == Reference && TypeNamed(modifier) && p.leadsTo(modifier) {
		p.Target = []string{modifier}
		return ps.plain(p), false, nil
	}
	if !slices.Contains(modifiersOf[p.Kind], modifier) {
		return nil, false, p.without(modifier)
	}
	switch modifier {
	case "not":
		return ps.plain(p), true, nil
	case "missing":
		return p.missing, false, nil
	case "text":
		return Param{Code: p.Code + byText}.text, false, nil
	case "of-type":
		return p.typed, false, nil
	case "exact":
		return p.exact, false, nil
	case "contains":
		return p.contains, false, nil
	case "identifier":
		return Param{Code: p.Code + byIdentifier, Kind: Token}.token, false, nil
	case "in", "not-in":
		return ps.members(p), modifier == "not-in", nil
	}
	return ps.hierarchy(p, modifier == "below"), false, nil
}

// without refuses a modifier that the parameter does not have.
func (p Param) without(modifier string) error {
	has := "it has no modifiers"
	if list := modifiersOf[p.Kind]; len(list) > 0 {
		has = "it has " + strings.Join(list, ", ")
		if p.Kind == Reference {
			has += ", and the types of what it leads to"
		}
	}
	return fhir.Errorf(fhir.CodeNotSupported, "", "The search parameter %s has no modifier %s; %s.", p.Code, printable(modifier), has)
}

func unsupported(what, why string) error {
	return fhir.Errorf(fhir.CodeNotSupported, "", "The search parameter %s %s.", printable(what), why)
}

// plain gives the matcher of a parameter without a modifier.
func (ps Parser) plain(p Param) matcher {
	switch p.Kind {
	case Token:
		return p.token
	case Code:
		return p.bare
	case Reference:
		return ps.reference(p)
	case String, Name:
		return p.text
	case Date, Updated:
		return ps.date(p)
	case Number:
		return p.number
	case Quantity:
		return p.quantity
	case URI:
		return p.uri
	case Canonical:
		return p.canonical
	case Composite:
		return ps.composite(p)
	case Words:
		return p.words
	case Place:
		return p.near
	case Membership:
		return p.listed
	}
	return p.identity
}

// is gives the alternative that the parameter has an entry which compares so.
func is(param string, k store.Kind, c store.Compare, value string) []store.Condition {
	return matches(param, store.Match{Kind: k, Compare: c, Value: value})
}

func matches(param string, any ...store.Match) []store.Condition {
	return store.Where(store.Clause{Param: param, Any: any})
}

func (p Param) missing(value string) ([]store.Condition, error) {
	if value != "true" && value != "false" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s:missing must be true or false.", p.Code)
	}
	name := p.Code
	if p.Kind == Place {
		name += placeX
	}
	var any []store.Condition
	any = append(any, is(name, p.stored(), store.Missing, value)...)
	if p.Kind == Reference { // what is known by its identifier alone is there too
		any = append(any, is(p.Code+byIdentifier, store.Token, store.Missing, value)...)
	}
	if value == "true" && len(any) > 1 {
		return []store.Condition{{All: any}}, nil
	}
	return any, nil
}

// stored gives the kind of the parameter's entries.
func (p Param) stored() store.Kind {
	switch p.Kind {
	case Reference:
		return store.Reference
	case String, Name:
		return store.String
	case Date, Number, Quantity, Place:
		return store.Date
	}
	return store.Token
}

func (p Param) identity(value string) ([]store.Condition, error) {
	return is(p.Code, store.Token, store.Equal, unescape(value)), nil
}

// listed reads the id of a List whose items are asked for.
func (p Param) listed(value string) ([]store.Condition, error) {
	id := strings.TrimPrefix(unescape(value), "List/")
	if !fhir.ValidID(id) {
		return nil, unsupported(p.Code, "needs the id of a List; the lists that go by a name are not kept")
	}
	return []store.Condition{{Link: &store.Link{Param: "item", Reverse: true, Sub: []store.Query{
		{Type: "List", Where: is("_id", store.Token, store.Equal, id)},
	}}}}, nil
}

// split cuts at every separator that has no backslash before it.
func split(s string, separator byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case separator:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// unescape takes the backslashes off reserved characters.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`\,|$`, s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// printable bounds a name from the outside before it goes into a message.
func printable(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
