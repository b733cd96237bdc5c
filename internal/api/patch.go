package api

import (
	"net/http"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
)

// patch answers PATCH [base]/Type/id and PATCH [base]/Type?condition with a
// JSON Patch or a FHIRPath Patch.
func (f *FHIR) patch(w http.ResponseWriter, r *http.Request) error {
	where, err := condition(r)
	if err != nil {
		return err
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	change, err := readChange(w, r)
	if err != nil {
		return err
	}
	out, err := f.exchange.Patch(r.Context(), auth.FromContext(r.Context()), exchange.Patch{
		Type: r.PathValue("type"), ID: r.PathValue("id"), Condition: where, Change: change, IfMatch: match,
	})
	if err != nil {
		return err
	}
	return f.written(w, r, out)
}

// readChange reads the patch in the body, whose kind the Content-Type tells.
func readChange(w http.ResponseWriter, r *http.Request) (exchange.Change, error) {
	if name, err := mediaOf(r, ""); err == nil && name == mediaJSONPatch {
		body, err := readBody(w, r, maxBody)
		if err != nil {
			return nil, err
		}
		return exchange.ParseJSONPatch(body)
	}
	if _, err := contentType(r); err != nil || r.Header.Get("Content-Type") == "" {
		w.Header().Set("Accept-Patch", strings.Join([]string{mediaJSONPatch, mediaFHIR, mediaXML}, ", "))
		return nil, fhir.Errorf(fhir.CodeNotSupported, "", "Send a JSON Patch with Content-Type: %s, or a FHIRPath Patch with Content-Type: %s or %s.",
			mediaJSONPatch, mediaFHIR, mediaXML).WithStatus(http.StatusUnsupportedMediaType)
	}
	doc, err := readDocument(w, r)
	if err != nil {
		return nil, err
	}
	return exchange.ParseFHIRPathPatch(doc)
}
