package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
)

// handlerFunc is a handler that returns its error; the one place that answers
// with errors is fail.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h handlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		fail(w, r, err)
	}
}

// verbs answers one address: a handler for each method. HEAD is GET, whose
// body net/http leaves out.
type verbs map[string]handlerFunc

// ServeHTTP implements http.Handler.
func (v verbs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Method
	if name == http.MethodHead {
		name = http.MethodGet
	}
	if h, ok := v[name]; ok {
		h.ServeHTTP(w, r)
		return
	}
	allow := strings.Join(slices.Sorted(maps.Keys(v)), ", ")
	w.Header().Set("Allow", allow)
	fail(w, r, fhir.Errorf(fhir.CodeNotSupported, "", "This address takes %s only.", allow).WithStatus(http.StatusMethodNotAllowed))
}

// nothing answers at addresses where there is nothing.
var nothing = handlerFunc(func(http.ResponseWriter, *http.Request) error {
	return fhir.Errorf(fhir.CodeNotFound, "", "There is nothing at this address.")
})

// fail answers with an OperationOutcome. An error that is not ours is logged
// under the trace id and not shown.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	status, err := judge(r, err)
	if started(w) {
		return // it is too late to say so
	}
	a, ours := w.(*answer)
	if ours {
		a.forget()
	}
	h := w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Location", "Content-Location", "Content-Length"} {
		if status != http.StatusGone || name == "Content-Length" { // a deletion is a version too
			h.Del(name) // of an answer that does not come
		}
	}
	h.Set("Content-Type", mediaFHIR+";charset=utf-8")
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="jumpa"`
		if spanOf(r.Context()).bearer != nil {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests:
		h.Set("Retry-After", throttledFor)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", passingFor)
	}
	w.WriteHeader(status)
	if ours || r.Method != http.MethodHead { // an answer knows how long its body would be
		_, _ = w.Write(fhir.Outcome(err, Trace(r.Context()))) // the client may have gone
	}
}

// passingFor is how many seconds a database takes to come back, or a burst to
// pass.
const passingFor = "2"

// throttledFor is how many seconds after too many attempts another one is let
// in, with some to spare.
const throttledFor = "60"

// judge gives the status of an error and what to show of it, and logs what an operator
// must know.
func judge(r *http.Request, err error) (status int, show error) {
	s := spanOf(r.Context())
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable, fhir.Errorf(fhir.CodeTimeout, "", "The request was cut short; try again.")
	}
	status = fhir.Status(err)
	if status >= http.StatusInternalServerError {
		s.logger().ErrorContext(r.Context(), "a request failed", "trace", s.trace, "route", r.Pattern, "error", err)
	}
	if status == http.StatusUnauthorized && s.bearer != nil {
		return status, s.bearer // why a token that did come does not do
	}
	return status, err
}

// respond answers with JSON that must not be cached.
func respond(w http.ResponseWriter, status int, body any) error {
	h := w.Header()
	h.Set("Content-Type", mediaJSON)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(fhir.Marshal(body)) // the client may have gone
	return nil
}

const maxSmallBody = 64 << 10 // bytes of a request that is not FHIR

// decode reads a small JSON object. Unknown members are refused: they are
// mistakes that would else go unnoticed.
func decode(w http.ResponseWriter, r *http.Request, to any) error {
	name, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || name != mediaJSON && !strings.HasSuffix(name, "+json") || charset != "" && charset != "utf-8" {
		return fhir.Errorf(fhir.CodeNotSupported, "", "Send JSON in UTF-8 with Content-Type: %s.", mediaJSON).WithStatus(http.StatusUnsupportedMediaType)
	}
	body, err := readBody(w, r, maxSmallBody)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return fhir.Errorf(fhir.CodeStructure, "", "The body must be UTF-8.")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return fhir.Errorf(fhir.CodeStructure, "", "The body must be a JSON object.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return notExpected(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fhir.Errorf(fhir.CodeStructure, "", "There is text after the JSON object.")
	}
	return nil
}

var unknownMember = regexp.MustCompile(`^json: unknown field "([A-Za-z_][A-Za-z0-9_]{0,39})"$`)

func notExpected(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return fhir.Errorf(fhir.CodeStructure, kind.Field, "The member %s has a value of the wrong kind.", kind.Field)
	}
	if m := unknownMember.FindStringSubmatch(err.Error()); m != nil {
		return fhir.Errorf(fhir.CodeStructure, m[1], "The member %s is not known here.", m[1])
	}
	return fhir.Errorf(fhir.CodeStructure, "", "The body is not the JSON object that is expected here.")
}
