package api

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// maxAddress bounds the address of a request; a longer search goes into the
// body of a POST to _search.
const maxAddress = 16 << 10

// zone finds a time whose zone was put into an address as it is written. HAPI's
// client does this; by the rules of forms, its plus sign is a space.
var zone = regexp.MustCompile(`(T\d\d(?:(?::|%3A)\d\d){1,2}(?:\.\d+)?)\+(\d\d(?::|%3A)\d\d)`)

// zoned gives a request in whose address the zones of times are east of
// Greenwich as they were meant.
func zoned(r *http.Request) *http.Request {
	query := zone.ReplaceAllString(r.URL.RawQuery, "$1%2B$2")
	if query == r.URL.RawQuery {
		return r
	}
	meant := new(http.Request)
	*meant = *r
	meant.URL = new(url.URL)
	*meant.URL = *r.URL
	meant.URL.RawQuery = query
	return meant
}

// Tidy takes the addresses of the FHIR interface as clients put them together:
// a slash at the end and two in a row, from a base that ends in one, are no
// other address. What is too long or climbs with dots is refused here, before
// a mux sends it elsewhere.
func Tidy(next http.Handler) http.Handler {
	return handlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		at := r.URL.EscapedPath()
		path := "/" + strings.Join(strings.FieldsFunc(at, func(c rune) bool { return c == '/' }), "/")
		if path != Root && !strings.HasPrefix(path, Root+"/") {
			next.ServeHTTP(w, r)
			return nil
		}
		if len(r.RequestURI) > maxAddress {
			return fhir.Errorf(fhir.CodeTooLong, "", "The address is longer than %d bytes; send a search as a POST to _search.", maxAddress).
				WithStatus(http.StatusRequestURITooLong)
		}
		for part := range strings.SplitSeq(path, "/") {
			if part == "." || part == ".." {
				return fhir.Errorf(fhir.CodeNotFound, "", "Nothing of the FHIR interface stands at this address.")
			}
		}
		if path == at {
			next.ServeHTTP(w, r)
			return nil
		}
		plain, err := url.PathUnescape(path)
		if err != nil {
			return fhir.Errorf(fhir.CodeInvalid, "", "The address cannot be read; a percent sign is written %%25.")
		}
		tidy := new(http.Request)
		*tidy = *r
		tidy.URL = new(url.URL)
		*tidy.URL = *r.URL
		tidy.URL.Path, tidy.URL.RawPath = plain, path
		next.ServeHTTP(w, tidy)
		return nil
	})
}
