package api

import (
	"net/http"
	"net/url"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
)

// create answers POST [base]/Type. The exchange gives the id; one in the body
// is not kept.
func (f *FHIR) create(w http.ResponseWriter, r *http.Request) error {
	typ := r.PathValue("type")
	condition, err := ifNoneExist(r, typ)
	if err != nil {
		return err
	}
	doc, err := readDocument(w, r)
	if err != nil {
		return err
	}
	if err := sameType(doc, typ); err != nil {
		return err
	}
	out, err := f.exchange.Create(r.Context(), auth.FromContext(r.Context()), exchange.Write{Type: typ, Doc: doc, IfNoneExist: condition})
	if err != nil {
		return err
	}
	return f.written(w, r, out)
}

func ifNoneExist(r *http.Request, typ string) (url.Values, error) {
	header := r.Header.Get("If-None-Exist")
	if header == "" {
		return nil, nil
	}
	condition, ok := exchange.Condition(typ, header)
	if !ok {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "If-None-Exist must hold search parameters, such as identifier=system|value.")
	}
	return condition, nil
}
