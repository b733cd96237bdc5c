package terminology

import (
	"fmt"
	"mime"
	"regexp"
	"strings"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// grammars are code systems of others whose codes follow rules, or are known to
// a library: they can be checked, but not listed.
var grammars = map[string]func() *CodeSystem{
	"urn:ietf:bcp:13":      grammar("urn:ietf:bcp:13", "MediaTypes", mediaType),
	"urn:ietf:bcp:47":      grammar("urn:ietf:bcp:47", "LanguageTags", languageTag),
	"urn:iso:std:iso:3166": grammar("urn:iso:std:iso:3166", "Countries", country),
	"urn:iso:std:iso:4217": grammar("urn:iso:std:iso:4217", "Currencies", currencyCode),
}

func grammar(url, name string, holds func(code string) bool) func() *CodeSystem {
	cs := &CodeSystem{URL: url, Name: name, Content: "complete", grammar: holds}
	return func() *CodeSystem { return cs }
}

var mediaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// mediaType tells whether a code has the form of a media type (RFC 6838), with
// parameters or not. New ones come up every month, so that no list is asked.
func mediaType(code string) bool {
	name, _, err := mime.ParseMediaType(code)
	return err == nil && mediaName.MatchString(name)
}

// languageTag tells whether a code is a language tag whose parts are
// registered.
func languageTag(code string) bool {
	if code == "" || strings.ContainsRune(code, '_') {
		return false
	}
	_, err := language.Parse(code)
	return err == nil
}

// country tells whether a code names a country, in two or three letters or in
// three digits.
func country(code string) bool {
	r, err := language.ParseRegion(code)
	return err == nil && r.IsCountry() && (code == r.String() || code == r.ISO3() || code == fmt.Sprintf("%03d", r.M49()))
}

func currencyCode(code string) bool {
	unit, err := currency.ParseISO(code)
	return err == nil && unit.String() == code
}
