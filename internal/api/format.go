package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	mediaFHIR = "application/fhir+json"
	mediaJSON = "application/json"
	maxBody   = 4 << 20 // bytes of a request
)

// formats gives the media type of an answer for what _format and Accept may
// name. What they name beside these cannot be answered.
var formats = map[string]string{
	"json": mediaFHIR, mediaFHIR: mediaFHIR, "application/json+fhir": mediaFHIR, "application/fhir json": mediaFHIR,
	mediaJSON: mediaJSON, "text/json": mediaJSON,
	"*/*": mediaFHIR, "application/*": mediaFHIR, "text/*": mediaJSON,
}

// negotiate sets the Content-Type of the answer, or refuses with 406. Parameters
// that cannot be read are refused for all: none is left out in silence.
func negotiate(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fhir.Errorf(fhir.CodeInvalid, "", "The parameters in the address cannot be read; a percent sign is written %%25 and a semicolon %%3B.")
	}
	media := mediaFHIR
	if format := query.Get("_format"); format != "" {
		media = acceptable(format)
	} else if accept := r.Header.Values("Accept"); len(accept) > 0 {
		media = preferred(strings.Join(accept, ","))
	}
	if media == "" {
		return fhir.Errorf(fhir.CodeNotSupported, "", "The exchange speaks FHIR 4.0.1 in JSON only; ask for %s.", mediaFHIR).
			WithStatus(http.StatusNotAcceptable)
	}
	w.Header().Set("Content-Type", media+";charset=utf-8")
	return nil
}

func acceptable(format string) string {
	name, params, err := mime.ParseMediaType(format)
	if err != nil {
		name = strings.ToLower(strings.TrimSpace(format)) // a + that became a space, or a bare word
	}
	if v := params["fhirversion"]; v != "" && v != "4.0" {
		return ""
	}
	return formats[name]
}

// preferred picks the acceptable media type of the highest quality; the first
// of equals.
func preferred(accept string) string {
	best, quality := "", 0.0
	for part := range strings.SplitSeq(accept, ",") {
		q := 1.0
		if _, params, err := mime.ParseMediaType(part); err == nil && params["q"] != "" {
			if q, err = strconv.ParseFloat(params["q"], 64); err != nil {
				continue
			}
		}
		if media := acceptable(part); media != "" && q > quality {
			best, quality = media, q
		}
	}
	return best
}

// readDocument reads the resource in the body.
func readDocument(w http.ResponseWriter, r *http.Request) (*fhir.Document, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return nil, err
	}
	return fhir.Parse(body)
}

func checkContentType(r *http.Request) error {
	name, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Header.Get("Content-Type") == "" {
		name, err = mediaFHIR, nil
	}
	charset := strings.ToLower(params["charset"])
	encoding := r.Header.Get("Content-Encoding")
	version := params["fhirversion"]
	if err != nil || !strings.HasSuffix(name, "json") || formats[name] == "" || charset != "" && charset != "utf-8" ||
		version != "" && version != "4.0" || encoding != "" && encoding != "identity" {
		return fhir.Errorf(fhir.CodeNotSupported, "", "Send FHIR 4.0.1 as plain UTF-8 JSON with Content-Type: %s.", mediaFHIR).
			WithStatus(http.StatusUnsupportedMediaType)
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, fhir.Errorf(fhir.CodeTooLong, "", "The body is larger than %d bytes.", limit)
	case err != nil:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "The body did not arrive whole.")
	}
	return body, nil
}

// prefer reads the Prefer header: what to return of a write, and how to take
// what is not known.
func prefer(r *http.Request) map[string]string {
	preferences := make(map[string]string)
	for _, header := range r.Header.Values("Prefer") {
		for _, part := range strings.FieldsFunc(header, func(c rune) bool { return c == ',' || c == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			preferences[strings.ToLower(name)] = strings.Trim(value, `"`)
		}
	}
	return preferences
}

func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch reads the version of an If-Match header, 0 when there is none. The
// guide's readers also send the bare number.
func ifMatch(r *http.Request) (int64, error) {
	header := r.Header.Get("If-Match")
	if header == "" {
		return 0, nil
	}
	version, ok := parseETag(header)
	if !ok {
		return 0, fhir.Errorf(fhir.CodeConflict, "", `If-Match must name one version, such as W/"3".`).WithStatus(http.StatusPreconditionFailed)
	}
	return version, nil
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
	if header := r.Header.Get("If-None-Match"); header != "" {
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
