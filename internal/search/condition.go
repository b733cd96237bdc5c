package search

import (
	"math"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// condition reads one search parameter, such as status:not=finished. known is
// false when the type has no such parameter.
func condition(typ, key, value, base string) (c store.Clause, known bool, err error) {
	code, modifier, _ := strings.Cut(key, ":")
	p, ok := find(typ, code)
	switch {
	case code == "_id" && Stored(typ):
		p, ok = Param{Code: code}, true
	case code == "_lastUpdated" && Stored(typ):
		p, ok = Param{Code: code, Kind: Date}, true
	}
	if !ok {
		return c, false, nil
	}
	c.Param = code
	values := split(value, ',')
	if p.Kind == Quantity && modifier != "missing" {
		values = p.inOneUnit(values, &c)
	}
	if len(values) > maxAny {
		return c, true, fhir.Errorf(fhir.CodeTooCostly, "", "%s may have at most %d alternatives.", code, maxAny).WithStatus(400)
	}
	match, err := p.modified(modifier, &c)
	if err != nil {
		return c, true, err
	}
	if (p.Kind == Token && (modifier == "" || modifier == "not") || modifier == "identifier") && systemsOnly(values) {
		c.Param += bySystem
		match = system
	}
	for _, v := range values {
		found, err := match(v, base)
		if err != nil {
			return c, true, err
		}
		c.Any = append(c.Any, found...)
	}
	return c, true, nil
}

// matcher reads one alternative. Reserved characters still have their
// backslashes.
type matcher func(value, base string) ([]store.Match, error)

// modified gives the matcher for the parameter with a modifier; c is adapted.
func (p Param) modified(modifier string, c *store.Clause) (matcher, error) {
	plain := p.matcher()
	switch {
	case modifier == "":
		return plain, nil
	case modifier == "missing" && p.Kind != 0 && p.Code != "_lastUpdated":
		return p.missing, nil
	case modifier == "not" && (p.Kind == Token || p.Kind == Code):
		c.Not = true
		return plain, nil
	case modifier == "text" && p.Kind == Token:
		c.Param += byText
		return p.text, nil
	case modifier == "of-type" && p.Kind == Token:
		c.Param += ofType
		return p.typed, nil
	case modifier == "contains" && (p.Kind == String || p.Kind == Name):
		return p.contains, nil
	case (modifier == "above" || modifier == "below") && p.Kind == URI:
		if modifier == "above" {
			return above, nil
		}
		return beneath, nil
	case modifier == "exact" && (p.Kind == String || p.Kind == Name):
		c.Param += asWritten
		return exact, nil
	case modifier == "identifier" && p.Kind == Reference:
		c.Param += byIdentifier
		return token, nil
	case p.Kind == Reference && TypeNamed(modifier) && p.leadsTo(modifier):
		p.Target = []string{modifier}
		return p.matcher(), nil
	}
	return nil, unsupported(p.Code+":"+printable(modifier), "is not supported")
}

func unsupported(what, why string) error {
	return fhir.Errorf(fhir.CodeNotSupported, "", "The search parameter %s %s.", printable(what), why)
}

func (p Param) matcher() matcher {
	switch p.Kind {
	case Token:
		return token
	case Code:
		return code
	case Reference:
		return p.reference
	case String, Name:
		return p.text
	case Date:
		return p.date
	case Number, Quantity:
		return p.number
	case URI, Canonical:
		return uri
	}
	return id
}

func (p Param) missing(value, _ string) ([]store.Match, error) {
	if value != "true" && value != "false" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s:missing must be true or false.", p.Code)
	}
	return []store.Match{{Kind: p.stored(), Compare: store.Missing, Value: value}}, nil
}

// stored gives the kind of the parameter's entries.
func (p Param) stored() store.Kind {
	switch p.Kind {
	case Reference:
		return store.Reference
	case String, Name:
		return store.String
	case Date, Number, Quantity:
		return store.Date
	}
	return store.Token
}

func one(k store.Kind, c store.Compare, value string) ([]store.Match, error) {
	return []store.Match{{Kind: k, Compare: c, Value: value}}, nil
}

func id(value, _ string) ([]store.Match, error) {
	return one(store.Token, store.Equal, unescape(value))
}

// token reads code, system|code, |code and system|.
func token(value, _ string) ([]store.Match, error) {
	parts := split(value, '|')
	if len(parts) == 1 {
		return one(store.Token, store.HasPrefix, TokenValue(unescape(value), ""))
	}
	system := unescape(parts[0])
	code := unescape(strings.Join(parts[1:], `\|`))
	if code != "" {
		return one(store.Token, store.Equal, TokenValue(code, system))
	}
	return nil, fhir.Errorf(fhir.CodeInvalid, "", "A token is a code, system|code, |code, or system| without other alternatives.")
}

// system reads system|, which matches every code of the system.
func system(value, _ string) ([]store.Match, error) {
	return one(store.Token, store.Equal, TokenValue("", unescape(strings.TrimSuffix(value, "|"))))
}

// systemsOnly tells whether every alternative has the form system|.
func systemsOnly(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool {
		parts := split(v, '|')
		return len(parts) != 2 || parts[0] == "" || parts[1] != ""
	})
}

// code reads a code with or without its system, which goes without saying.
func code(value, _ string) ([]store.Match, error) {
	parts := split(value, '|')
	return one(store.Token, store.Equal, TokenValue(unescape(parts[len(parts)-1]), ""))
}

// uri reads an address; a canonical without version matches every version.
func uri(value, _ string) ([]store.Match, error) {
	parts := split(value, '|')
	address := unescape(parts[0])
	if len(parts) > 1 {
		return one(store.Token, store.Equal, TokenValue(address, unescape(parts[1])))
	}
	return one(store.Token, store.HasPrefix, TokenValue(address, ""))
}

func (p Param) text(value, _ string) ([]store.Match, error) {
	begin := fold(shorten(unescape(value)))
	if begin == "" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s needs a text to look for.", p.Code)
	}
	return one(store.String, store.HasPrefix, begin)
}

func (p Param) contains(value, base string) ([]store.Match, error) {
	found, err := p.text(value, base)
	for i := range found {
		found[i].Compare = store.Contains
	}
	return found, err
}

// typed reads the system and code of an identifier's type and its value, all
// of which must be there.
func (p Param) typed(value, _ string) ([]store.Match, error) {
	parts := split(value, '|')
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s:of-type must be system|code|value.", p.Code)
	}
	return one(store.Token, store.Equal, TokenValue(typeAndValue(unescape(parts[1]), unescape(parts[2])), unescape(parts[0])))
}

// beneath finds an address and all that lie below it.
func beneath(value, _ string) ([]store.Match, error) {
	address := strings.TrimSuffix(unescape(value), "/")
	any, _ := one(store.Token, store.HasPrefix, TokenValue(address, ""))
	below := strings.TrimSuffix(TokenValue(address+"/", ""), "|")
	return append(any, store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: below}), nil
}

// above finds an address and all that it lies below.
func above(value, _ string) ([]store.Match, error) {
	var any []store.Match
	address := unescape(value)
	for range maxAbove {
		any = append(any, store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: TokenValue(address, "")})
		i := strings.LastIndexByte(address, '/')
		if i < 1 || address[i-1] == '/' {
			break
		}
		address = address[:i]
	}
	return any, nil
}

const maxAbove = 30 // parts of an address

func exact(value, _ string) ([]store.Match, error) {
	return one(store.Token, store.Equal, TokenValue(shorten(unescape(value)), ""))
}

// reference reads Type/id, an address, or an id alone, which may belong to any
// type that the reference leads to.
func (p Param) reference(value, base string) ([]store.Match, error) {
	value = unescape(value)
	if kept, typ := literal(value, []string{base}); kept != "" {
		if !p.leadsTo(typ) {
			return one(store.Reference, store.Equal, "") // nothing can match
		}
		return one(store.Reference, store.Equal, kept)
	}
	if !fhir.ValidID(value) {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be an id or Type/id.", p.Code)
	}
	targets := p.Target
	if len(targets) == 0 {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must say the type too, as Type/id.", p.Code)
	}
	var any []store.Match
	for _, typ := range targets {
		any = append(any, store.Match{Kind: store.Reference, Compare: store.Equal, Value: typ + "/" + value})
	}
	return any, nil
}

var prefixes = map[string]store.Compare{
	"eq": store.Equal, "ne": store.NotEqual, "lt": store.LessThan, "le": store.LessEqual,
	"gt": store.GreaterThan, "ge": store.GreaterEqual, "sa": store.StartsAfter, "eb": store.EndsBefore,
}

// prefixed takes the comparison off a value; ap is about the same.
func prefixed(value string) (c store.Compare, about bool, rest string) {
	if len(value) > 2 {
		if c, ok := prefixes[value[:2]]; ok {
			return c, false, value[2:]
		}
		if value[:2] == "ap" {
			return store.Overlaps, true, value[2:]
		}
	}
	return store.Equal, false, value
}

func (p Param) date(value, _ string) ([]store.Match, error) {
	compare, about, rest := prefixed(unescape(value))
	rest = strings.ReplaceAll(rest, " ", "+") // a + that nobody escaped in a URL
	from, to, err := fhir.ParseDate(rest)
	if err != nil {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be a date such as 2026-11-23 or 2026-11-23T09:00:00+08:00.", p.Code)
	}
	m := store.Match{Kind: store.Date, Compare: compare, Low: from.UnixMicro(), High: to.UnixMicro()}
	if about { // as much again on either side
		m.Low, m.High = m.Low-(m.High-m.Low), m.High+(m.High-m.Low)
	}
	return []store.Match{m}, nil
}

// inOneUnit takes the unit off quantities; c is adapted. Alternatives in
// different units are left as they are, and so refused.
func (p Param) inOneUnit(values []string, c *store.Clause) []string {
	param := ""
	numbers := make([]string, 0, len(values))
	for _, v := range values {
		parts := split(v, '|')
		in := p.Code
		switch len(parts) {
		case 2: // as 5.4|mg is often written
			in = inUnit(p.Code, unescape(parts[1]), "")
		case 3:
			in = inUnit(p.Code, unescape(parts[2]), unescape(parts[1]))
		}
		if len(parts) > 3 || param != "" && in != param {
			return values
		}
		param = in
		numbers = append(numbers, parts[0])
	}
	c.Param = param
	return numbers
}

func (p Param) number(value, _ string) ([]store.Match, error) {
	compare, about, rest := prefixed(unescape(value))
	v, ok := millionths(rest)
	if !ok {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be a number.", p.Code)
	}
	m := store.Match{Kind: store.Date, Compare: compare, Low: v, High: v + 1}
	if compare == store.Equal || compare == store.NotEqual || about {
		half := precision(rest) / 2
		if about {
			half = max(half, int64(math.Abs(float64(v))/10)) // within a tenth
		}
		m.Low, m.High = v-half, v+max(half, 1)
	}
	return []store.Match{m}, nil
}

// precision gives the worth of the last digit of a decimal, in millionths.
func precision(s string) int64 {
	worth := int64(1e6)
	if _, fraction, ok := strings.Cut(s, "."); ok {
		for range min(len(fraction), 6) {
			worth /= 10
		}
	}
	return worth
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
