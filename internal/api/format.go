package api

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	mediaFHIR      = "application/fhir+json"
	mediaJSON      = "application/json"
	mediaXML       = "application/fhir+xml"
	mediaJSONPatch = "application/json-patch+json"
	maxBody        = 4 << 20 // bytes of a request, also once it is unpacked
)

// formats gives the media type of an answer for what _format and Accept may
// name. What they name beside these cannot be answered.
var formats = map[string]string{
	"json": mediaFHIR, mediaFHIR: mediaFHIR, "application/json+fhir": mediaFHIR, "application/fhir json": mediaFHIR,
	mediaJSON: mediaJSON, "text/json": mediaJSON,
	"xml": mediaXML, mediaXML: mediaXML, "application/xml+fhir": mediaXML, "application/fhir xml": mediaXML,
	"application/xml": "application/xml", "text/xml": "text/xml",
	"*/*": mediaFHIR, "application/*": mediaFHIR, "text/*": mediaJSON,
}

func isXML(media string) bool { return strings.HasSuffix(media, "xml") }

// format is how an answer is written.
type format struct {
	media  string
	pretty bool
}

// negotiate picks the format of the answer, or refuses with 406. Parameters
// that cannot be read are refused for all: none is left out in silence.
func negotiate(r *http.Request) (format, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return format{}, fhir.Errorf(fhir.CodeInvalid, "", "The parameters in the address cannot be read; a percent sign is written %%25 and a semicolon %%3B.")
	}
	f := format{media: mediaFHIR, pretty: query.Get("_pretty") == "true"}
	if name := query.Get("_format"); name != "" {
		f.media = acceptable(name)
	} else if accept := strings.Join(r.Header.Values("Accept"), ","); strings.TrimSpace(accept) != "" {
		f.media = preferred(accept)
	}
	if f.media == "" {
		return f, errFormat()
	}
	return f, nil
}

func errFormat() error {
	return fhir.Errorf(fhir.CodeNotSupported, "", "The exchange speaks FHIR 4.0.1 in JSON and XML only; ask for %s or %s.", mediaFHIR, mediaXML).
		WithStatus(http.StatusNotAcceptable)
}

// ours tells whether a fhirVersion is that of the exchange. R4 writes 4.0; some
// clients write the release in full.
func ours(version string) bool { return version == "" || version == "4.0" || version == "4.0.1" }

func acceptable(format string) string {
	name, params, err := mime.ParseMediaType(format)
	if err != nil {
		name = strings.ToLower(strings.TrimSpace(format)) // a + that became a space, or a bare word
	}
	if !ours(params["fhirversion"]) {
		return ""
	}
	return formats[name]
}

// preferred picks the acceptable media type of the highest quality; the first
// of equals. A wildcard does not bring back what is named with quality 0.
func preferred(accept string) string {
	best, quality := "", 0.0
	refused := make(map[string]bool)
	var wild []func()
	for part := range strings.SplitSeq(accept, ",") {
		q := 1.0
		if _, params, err := mime.ParseMediaType(part); err == nil && params["q"] != "" {
			if q, err = strconv.ParseFloat(params["q"], 64); err != nil {
				continue
			}
		}
		media, wildcard := acceptable(part), strings.Contains(part, "*")
		switch {
		case media == "":
		case q <= 0 && !wildcard:
			refused[media] = true
		case wildcard && media == mediaFHIR:
			wild = append(wild, func() {
				for _, m := range []string{mediaFHIR, mediaXML} {
					if !refused[m] && q > quality {
						best, quality = m, q
					}
				}
			})
		case q > quality:
			best, quality = media, q
		}
	}
	for _, last := range wild {
		last()
	}
	return best
}

// readDocument reads the resource in the body.
func readDocument(w http.ResponseWriter, r *http.Request) (*fhir.Document, error) {
	return readWithin(w, r, fhir.DefaultLimits)
}

func readWithin(w http.ResponseWriter, r *http.Request, limits fhir.Limits) (*fhir.Document, error) {
	media, err := contentType(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r, int64(limits.Bytes))
	if err != nil {
		return nil, err
	}
	if isXML(media) {
		return fhirxml.Decode(body, limits)
	}
	return fhir.ParseWithin(body, limits)
}

// contentType gives the media type of a body that holds a resource.
func contentType(r *http.Request) (string, error) {
	name, err := mediaOf(r, mediaFHIR)
	if media := formats[name]; err == nil && media != "" && strings.Contains(name, "/") && !strings.ContainsAny(name, "* ") {
		return media, nil
	}
	return "", fhir.Errorf(fhir.CodeNotSupported, "", "Send FHIR 4.0.1 in UTF-8 with Content-Type: %s or %s.", mediaFHIR, mediaXML).
		WithStatus(http.StatusUnsupportedMediaType)
}

// mediaOf reads the Content-Type, absent when there is none. Another charset
// than UTF-8 and another version of FHIR than 4.0 are errors.
func mediaOf(r *http.Request, absent string) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return absent, nil
	}
	name, params, err := mime.ParseMediaType(header)
	charset, told := params["charset"]
	if err != nil || told && !strings.EqualFold(charset, "utf-8") || !ours(params["fhirversion"]) {
		return "", errMedia
	}
	return name, nil
}

var errMedia = fhir.Errorf(fhir.CodeNotSupported, "", "Send UTF-8.").WithStatus(http.StatusUnsupportedMediaType)

// readBody reads a body of at most limit bytes, also once it is unpacked.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	var from io.Reader = http.MaxBytesReader(w, r.Body, limit)
	switch strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ",")) {
	case "", "identity":
	case "gzip", "x-gzip":
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "The body is not what its Content-Encoding says, gzip.")
		}
		from = io.LimitReader(unpacked, limit+1)
	default:
		return nil, fhir.Errorf(fhir.CodeNotSupported, "", "The Content-Encoding of a body is gzip or none. Send it with Content-Type: %s as it is.", mediaFHIR).
			WithStatus(http.StatusUnsupportedMediaType)
	}
	body, err := io.ReadAll(from)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong) || int64(len(body)) > limit:
		return nil, fhir.Errorf(fhir.CodeTooLong, "", "The body is larger than %d bytes.", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fhir.Errorf(fhir.CodeTimeout, "", "The body did not arrive in time.").WithStatus(http.StatusRequestTimeout)
	case err != nil:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "The body did not arrive whole.")
	}
	return body, nil
}

// prefer reads the Prefer header: what to return of a write, and how to take
// what is not known. Of a preference that stands twice the first counts.
func prefer(r *http.Request) map[string]string {
	preferences := make(map[string]string)
	for _, header := range r.Header.Values("Prefer") {
		for _, part := range strings.FieldsFunc(header, func(c rune) bool { return c == ',' || c == ';' }) {
			name, value, _ := strings.Cut(part, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, twice := preferences[name]; !twice {
				preferences[name] = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return preferences
}

func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch reads the If-Match headers of a request.
func ifMatch(r *http.Request) (exchange.Match, error) {
	m, ok := exchange.ParseMatch(strings.Join(r.Header.Values("If-Match"), ","))
	if !ok {
		return nil, fhir.Errorf(fhir.CodeConflict, "", `If-Match must name versions, such as W/"3".`).WithStatus(http.StatusPreconditionFailed)
	}
	return m, nil
}

func parseETag(s string) (version int64, ok bool) {
	s = strings.Trim(strings.TrimPrefix(strings.TrimSpace(s), "W/"), `"`)
	version, err := strconv.ParseInt(s, 10, 64)
	return version, err == nil && version > 0
}

// describe sets the headers that name a version.
func describe(w http.ResponseWriter, res store.Resource) {
	w.Header().Set("ETag", etag(res.Version))
	w.Header().Set("Last-Modified", res.Updated.UTC().Format(http.TimeFormat))
}

// unchanged tells whether the caller already has this version.
func unchanged(r *http.Request, res store.Resource) bool {
	if header := strings.Join(r.Header.Values("If-None-Match"), ","); header != "" {
		for part := range strings.SplitSeq(header, ",") {
			if version, ok := parseETag(part); strings.TrimSpace(part) == "*" || ok && version == res.Version {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && !res.Updated.Truncate(time.Second).After(since)
}

func writeBody(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller may have gone
	return nil
}
