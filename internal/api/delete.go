package api

import (
	"net/http"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// delete answers DELETE [base]/Type/id. Versions before it stay in the history.
func (f *FHIR) delete(w http.ResponseWriter, r *http.Request) error {
	version, err := ifMatch(r)
	if err != nil {
		return err
	}
	out, err := f.exchange.Delete(r.Context(), auth.FromContext(r.Context()), r.PathValue("type"), r.PathValue("id"), version)
	if err != nil {
		return err
	}
	if out.Resource.Version > 0 {
		w.Header().Set("ETag", etag(out.Resource.Version))
	}
	w.Header().Del("Content-Type")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
