package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// pageParam names the parameter of a sealed page link. It is encrypted, so
// that search values such as an identity number, sent in the body of a POST,
// do not end up in addresses and logs, and it is bound to the place that it
// was made for and to whose request it came from. Who may see what is decided
// anew on every page.
const pageParam = "_page"

func pageCipher(key []byte) (cipher.AEAD, error) {
	if len(key) == 0 {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("the key of page links has %d bytes instead of 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealed gives an address that holds values unreadably. place is the path
// below the base; the address is bound to it and to whose the request is.
func (f *FHIR) sealed(r *http.Request, place string, values url.Values) string {
	sealed := f.pages.Seal(nil, nil, []byte(values.Encode()), boundTo(r, place))
	return f.at(place) + "?" + pageParam + "=" + base64.RawURLEncoding.EncodeToString(sealed)
}

// at gives the address of a place.
func (f *FHIR) at(place string) string { return strings.TrimSuffix(f.baseURL()+"/"+place, "/") }

func boundTo(r *http.Request, place string) []byte {
	p := auth.FromContext(r.Context())
	return []byte(place + "\n" + string(p.Kind) + "\n" + p.Organization)
}

// Parameters of a place within a result.
const (
	placeCursor = "_cursor"
	placePart   = "_part"
	placeOffset = "_offset"
)

// openPage gives the values behind a sealed address, or values itself when it
// is none. at is where the page of a result begins, when the address leads to
// one.
func (f *FHIR) openPage(r *http.Request, place string, values url.Values) (opened url.Values, at *exchange.Place, err error) {
	text := values.Get(pageParam)
	if text == "" {
		return values, nil, nil
	}
	invalid := fhir.Errorf(fhir.CodeInvalid, "", "This page link is not valid or no longer valid; search again.")
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, nil, invalid
	}
	plain, err := f.pages.Open(nil, nil, sealed, boundTo(r, place))
	if err != nil {
		return nil, nil, invalid
	}
	if opened, err = url.ParseQuery(string(plain)); err != nil {
		return nil, nil, invalid
	}
	if !opened.Has(placeCursor) {
		return opened, nil, nil
	}
	at = &exchange.Place{Cursor: opened.Get(placeCursor)}
	if at.Part, err = strconv.Atoi(opened.Get(placePart)); err == nil {
		at.Offset, err = strconv.Atoi(opened.Get(placeOffset))
	}
	if err != nil {
		return nil, nil, invalid
	}
	return nil, at, nil
}

// self gives the address of this very page: what was applied of a GET, and a
// sealed address for what came sealed or in a body.
func (f *FHIR) self(r *http.Request, place string, given, applied url.Values) string {
	switch {
	case given.Has(pageParam):
		return f.at(place) + "?" + pageParam + "=" + url.QueryEscape(given.Get(pageParam))
	case r.Method == http.MethodPost:
		return f.sealed(r, place, applied)
	case len(applied) == 0:
		return f.at(place)
	}
	return f.at(place) + "?" + strings.ReplaceAll(applied.Encode(), "%2C", ",") // HL7's validator reads types between commas
}

// page answers the address of a page behind the first one.
func (f *FHIR) page(w http.ResponseWriter, r *http.Request, place string, given url.Values, at exchange.Place) error {
	asked, found, err := f.exchange.Page(r.Context(), auth.FromContext(r.Context()), at)
	if err != nil {
		return err
	}
	return f.writeResult(w, r, place, asked, found, f.self(r, place, given, nil))
}

// writeResult writes one page of a result. The names of _elements are those of
// what was searched for; a summary is for all.
func (f *FHIR) writeResult(w http.ResponseWriter, r *http.Request, place string, asked exchange.Asked, found exchange.SearchResult, self string) error {
	part, _, err := shapeOf(asked.Values)
	if err != nil {
		return err
	}
	links := []link{{"self", self}}
	for _, l := range []struct {
		relation string
		to       *exchange.Place
	}{{"first", found.Pages.First}, {"previous", found.Pages.Previous}, {"next", found.Pages.Next}, {"last", found.Pages.Last}} {
		if l.to != nil {
			links = append(links, link{l.relation, f.sealed(r, place, url.Values{
				placeCursor: {l.to.Cursor}, placePart: {strconv.Itoa(l.to.Part)}, placeOffset: {strconv.Itoa(l.to.Offset)},
			})})
		}
	}
	typ := "searchset"
	if asked.Kind == exchange.OfHistory {
		typ = "history"
	}
	w.WriteHeader(http.StatusOK)
	b := newBundle(w, typ, fhir.FormatInstant(f.clock()), found.Total, links)
	for _, res := range found.Matches {
		b.add(f.resultEntry(asked, res, part))
	}
	for _, res := range found.Included {
		b.add(entry{fullURL: f.fullURL(res), resource: shape{summary: part.summary}.of(res.Body), search: modeInclude})
	}
	if len(found.Notes) > 0 {
		b.add(entry{fullURL: "urn:uuid:" + uuid.NewString(), resource: fhir.Outcome(found.Notes, ""), search: modeOutcome})
	}
	b.end()
	return nil
}

// resultEntry gives one entry of a result: a version with what made it, or a
// match; of $everything, what is about the record that was named.
func (f *FHIR) resultEntry(asked exchange.Asked, res store.Resource, part shape) entry {
	mode := modeMatch
	switch {
	case asked.Kind == exchange.OfHistory:
		return f.pastEntry(res, part)
	case asked.Kind == exchange.OfEverything && asked.Path != res.Type+"/"+res.ID:
		mode = modeInclude
	}
	return entry{fullURL: f.fullURL(res), resource: part.of(res.Body), search: mode}
}
