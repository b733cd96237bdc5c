package api

import (
	"net/http"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
)

// delete answers DELETE [base]/Type/id and DELETE [base]/Type?condition.
// Versions before it stay in the history.
func (f *FHIR) delete(w http.ResponseWriter, r *http.Request) error {
	where, err := condition(r)
	if err != nil {
		return err
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	var out exchange.Outcome
	ctx, p, typ := r.Context(), auth.FromContext(r.Context()), r.PathValue("type")
	if where != nil {
		out, err = f.exchange.DeleteMatch(ctx, p, typ, where, match)
	} else {
		out, err = f.exchange.Delete(ctx, p, typ, r.PathValue("id"), match)
	}
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
