package search

import (
	"errors"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// token reads code, system|code, |code and system|.
func (p Param) token(value string) ([]store.Condition, error) {
	parts := split(value, '|')
	if len(parts) == 1 {
		return is(p.Code, store.Token, store.HasPrefix, TokenValue(unescape(value), "")), nil
	}
	system := unescape(parts[0])
	code := unescape(strings.Join(parts[1:], `\|`))
	switch {
	case code != "":
		return is(p.Code, store.Token, store.Equal, TokenValue(code, system)), nil
	case system != "":
		return is(p.Code+bySystem, store.Token, store.Equal, TokenValue("", system)), nil
	}
	return nil, fhir.Errorf(fhir.CodeInvalid, "", "A token is a code, system|code, |code or system|.")
}

// bare reads a code with or without its system, which goes without saying.
func (p Param) bare(value string) ([]store.Condition, error) {
	parts := split(value, '|')
	code := unescape(parts[len(parts)-1])
	switch {
	case len(parts) > 2 || code == "" && (len(parts) == 1 || parts[0] == ""):
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be a code, or system|code.", p.Code)
	case code == "": // every code of the system
		return is(p.Code, store.Token, store.Missing, "false"), nil
	}
	return is(p.Code, store.Token, store.Equal, TokenValue(code, "")), nil
}

// typed reads the system and code of an identifier's type and its value, all
// of which must be there.
func (p Param) typed(value string) ([]store.Condition, error) {
	parts := split(value, '|')
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s:of-type must be system|code|value.", p.Code)
	}
	return is(p.Code+ofType, store.Token, store.Equal, TokenValue(typeAndValue(unescape(parts[1]), unescape(parts[2])), unescape(parts[0]))), nil
}

// maxCodes bounds the codes that one value set or subtree may stand for.
const maxCodes = 2000

// members reads the address of a value set, whose codes are asked for.
func (ps Parser) members(p Param) matcher {
	return func(value string) ([]store.Condition, error) {
		if ps.Terminology == nil {
			return nil, unsupported(p.Code, "cannot be compared with value sets here")
		}
		address := unescape(value)
		codes, complete, err := ps.Terminology.Codes(address)
		if err != nil {
			return nil, refused(p, err)
		}
		if !complete {
			return nil, fhir.Errorf(fhir.CodeTooCostly, "", "The value set %s cannot be listed in full, so nothing can be compared with it.", printable(address)).WithStatus(400)
		}
		return p.oneOf(codes)
	}
}

// hierarchy gives the matcher of above and below.
func (ps Parser) hierarchy(p Param, below bool) matcher {
	switch p.Kind {
	case Reference:
		return ps.family(p, below)
	case Canonical:
		return p.versions
	case URI:
		if below {
			return p.beneath
		}
		return p.above
	}
	return func(value string) ([]store.Condition, error) {
		if ps.Terminology == nil {
			return nil, unsupported(p.Code, "cannot be compared along a code system here")
		}
		parts := split(value, '|')
		if len(parts) != 2 || slices.Contains(parts, "") {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s:above and %s:below need system|code.", p.Code, p.Code)
		}
		codes, err := ps.Terminology.Subtree(unescape(parts[0]), unescape(parts[1]), below)
		if err != nil {
			return nil, refused(p, err)
		}
		return p.oneOf(codes)
	}
}

// refused tells that a question to the terminology has no answer, so that the
// search cannot be run.
func refused(p Param, err error) error {
	var e *fhir.Error
	if !errors.As(err, &e) {
		return err
	}
	return fhir.Errorf(e.Code, "", "%s: %s", p.Code, e.Diagnostics).WithStatus(400)
}

// oneOf finds any of the codes. No codes find nothing.
func (p Param) oneOf(codes []Coding) ([]store.Condition, error) {
	if len(codes) > maxCodes {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "%s would have to be compared with more than %d codes.", p.Code, maxCodes).WithStatus(400)
	}
	clause := store.Clause{Param: p.Code, Any: make([]store.Match, 0, len(codes))}
	for _, c := range codes {
		system := c.System
		if p.Kind == Code {
			system = ""
		}
		clause.Any = append(clause.Any, store.Match{Kind: store.Token, Compare: store.Equal, Value: TokenValue(c.Code, system)})
	}
	return store.Where(clause), nil
}

// uri reads an address.
func (p Param) uri(value string) ([]store.Condition, error) {
	parts := split(value, '|')
	if len(parts) > 1 {
		return p.canonical(value)
	}
	return is(p.Code, store.Token, store.HasPrefix, TokenValue(unescape(parts[0]), "")), nil
}

// canonical reads an address with its version; one without a version finds
// every version.
func (p Param) canonical(value string) ([]store.Condition, error) {
	parts := split(value, '|')
	address := unescape(parts[0])
	if len(parts) > 1 {
		return is(p.Code, store.Token, store.Equal, TokenValue(address, unescape(strings.Join(parts[1:], `\|`)))), nil
	}
	return is(p.Code, store.Token, store.HasPrefix, TokenValue(address, "")), nil
}

// versions reads an address with the beginning of a version, by whole parts:
// 1.2 finds 1.2 and 1.2.3, not 1.20.
func (p Param) versions(value string) ([]store.Condition, error) {
	found, err := p.canonical(value)
	if err == nil && found[0].Clause.Any[0].Compare == store.Equal {
		begins := found[0].Clause.Any[0]
		begins.Compare, begins.Value = store.HasPrefix, begins.Value+"."
		found[0].Clause.Any = append(found[0].Clause.Any, begins)
	}
	return found, err
}

// beneath finds an address and all that lie below it.
func (p Param) beneath(value string) ([]store.Condition, error) {
	address := strings.TrimSuffix(unescape(value), "/")
	below := strings.TrimSuffix(TokenValue(address+"/", ""), "|")
	return matches(p.Code,
		store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: TokenValue(address, "")},
		store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: below}), nil
}

const maxAbove = 30 // parts of an address

// above finds an address and all that it lies below.
func (p Param) above(value string) ([]store.Condition, error) {
	var any []store.Match
	address := unescape(value)
	for range maxAbove {
		any = append(any, store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: TokenValue(address, "")})
		i := strings.LastIndexByte(address, '/')
		if i < 1 || address[i-1] == '/' {
			break
		}
		address = address[:i]
		if strings.HasSuffix(value, "/") { // the folder may be written with its slash
			any = append(any, store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: TokenValue(address+"/", "")})
		}
	}
	return matches(p.Code, any...), nil
}
