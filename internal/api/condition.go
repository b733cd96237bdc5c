package api

import (
	"net/http"
	"net/url"

	"github.com/jumpa-hie/jumpa/fhir"
)

// condition gives the search parameters in the address of a conditional
// interaction, nil when the address names one resource.
func condition(r *http.Request) (url.Values, error) {
	if r.PathValue("id") != "" {
		return nil, nil
	}
	values := r.URL.Query()
	values.Del("_format")
	values.Del("_pretty")
	if len(values) == 0 {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "Name the record by its id in the address, or by search parameters, such as ?identifier=system|value.")
	}
	return values, nil
}
