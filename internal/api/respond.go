package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

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

// fail answers with an OperationOutcome. An error that is not ours is logged
// under the trace id and not shown.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	status := fhir.Status(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err, status = fhir.Errorf(fhir.CodeTimeout, "", "The request was cut short; try again."), http.StatusServiceUnavailable
	}
	trace := Trace(r.Context())
	if status == http.StatusInternalServerError {
		slog.ErrorContext(r.Context(), "a request failed", "trace", trace, "route", r.Pattern, "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", mediaFHIR+";charset=utf-8")
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="jumpa"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "10")
		}
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(fhir.Outcome(err, trace)) // the client may have gone
	}
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

// decode reads a small JSON body. Unknown members are refused: they are
// mistakes that would else go unnoticed.
func decode(w http.ResponseWriter, r *http.Request, to any) error {
	if err := checkContentType(r); err != nil {
		return err
	}
	body, err := readBody(w, r, maxSmallBody)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return fhir.Errorf(fhir.CodeStructure, "", "The body is empty; a JSON object is expected.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fhir.Errorf(fhir.CodeStructure, "", "The body is not the JSON object that is expected here.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fhir.Errorf(fhir.CodeStructure, "", "There is text after the JSON object.")
	}
	return nil
}
