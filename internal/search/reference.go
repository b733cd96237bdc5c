package search

import (
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// reference reads Type/id with or without a version, an address, or an id
// alone, which may belong to any type that the reference leads to.
func (ps Parser) reference(p Param) matcher {
	return func(value string) ([]store.Condition, error) {
		value = unescape(value)
		if kept, typ, version := literal(value, []string{ps.Base}); kept != "" {
			switch {
			case typ != "" && !p.leadsTo(typ):
				return is(p.Code, store.Reference, store.Equal, ""), nil // nothing can match
			case version != "":
				return is(p.Code+byVersion, store.Token, store.Equal, kept+"|"+version), nil
			}
			return is(p.Code, store.Reference, store.Equal, kept), nil
		}
		if !fhir.ValidID(value) {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be an id, Type/id or an address.", p.Code)
		}
		targets := p.Target
		if len(targets) == 0 {
			targets = resourceTypes
		}
		var any []store.Match
		for _, typ := range targets {
			any = append(any, store.Match{Kind: store.Reference, Compare: store.Equal, Value: typ + "/" + value})
		}
		return matches(p.Code, any...), nil
	}
}

// literal gives the value under which a reference is kept, the type that it
// leads to and its version: Type/id for a resource of this exchange, the whole
// address without version for one elsewhere, a urn as it is; "" for what is
// none of these.
func literal(text string, bases []string) (value, typ, version string) {
	if ref, ok := fhir.ParseReference(text, ""); ok {
		return ref.String(), ref.Type, ref.Version
	}
	if strings.HasPrefix(text, "urn:") {
		return text, "", ""
	}
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return "", "", ""
	}
	for _, base := range bases {
		if ref, ok := fhir.ParseReference(text, base); ok {
			return ref.String(), ref.Type, ref.Version
		}
	}
	text, version, _ = strings.Cut(text, "/_history/")
	parts := strings.Split(text, "/")
	return text, parts[len(parts)-2], version
}

// partOf gives the parameter by which records of a type lie below others of
// that type.
var partOf = map[string]string{
	"Location": "partof", "Organization": "partof", "Encounter": "part-of", "Procedure": "part-of",
}

// maxGenerations bounds how far a hierarchy of records is followed.
const maxGenerations = 6

// family reads a reference to a record that lies in a hierarchy: below finds
// references to it and to all that lie below it, above those to all that it
// lies below.
func (ps Parser) family(p Param, below bool) matcher {
	plain := ps.reference(p)
	return func(value string) ([]store.Condition, error) {
		kept, typ, _ := literal(unescape(value), []string{ps.Base})
		if kept == "" && len(p.Target) == 1 {
			typ = p.Target[0]
			kept = typ + "/" + unescape(value)
		}
		ref, ok := fhir.ParseReference(kept, "")
		up := partOf[typ]
		if !ok || up == "" {
			return nil, unsupported(p.Code, "leads to no hierarchy of records in this way: above and below need a Location, Organization, Encounter or Procedure as Type/id")
		}
		any, err := plain(kept)
		if err != nil {
			return nil, err
		}
		where := is("_id", store.Token, store.Equal, ref.ID)
		for range maxGenerations {
			where = []store.Condition{{Link: &store.Link{Param: up, Reverse: !below, Sub: []store.Query{{Type: typ, Where: where}}}}}
			any = append(any, store.Condition{Link: &store.Link{Param: p.Code, Sub: []store.Query{{Type: typ, Where: where}}}})
		}
		return any, nil
	}
}
