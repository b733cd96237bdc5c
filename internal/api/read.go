package api

import (
	"net/http"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// read answers GET [base]/Type/id with the stored bytes, or with
// the part of them that the caller asks for.
func (f *FHIR) read(w http.ResponseWriter, r *http.Request) error {
	res, err := f.exchange.Read(r.Context(), auth.FromContext(r.Context()), r.PathValue("type"), r.PathValue("id"))
	if err != nil {
		return err
	}
	return give(w, r, res)
}

// vread answers GET [base]/Type/id/_history/version.
func (f *FHIR) vread(w http.ResponseWriter, r *http.Request) error {
	version, err := strconv.ParseInt(r.PathValue("version"), 10, 64)
	if err != nil || version < 1 {
		return fhir.Errorf(fhir.CodeNotFound, "", "There is no such version; versions are numbers from 1.")
	}
	res, err := f.exchange.VRead(r.Context(), auth.FromContext(r.Context()), r.PathValue("type"), r.PathValue("id"), version)
	if err != nil {
		return err
	}
	return give(w, r, res)
}

func give(w http.ResponseWriter, r *http.Request, res store.Resource) error {
	part, rest, err := shapeOf(r.URL.Query())
	if err != nil {
		return err
	}
	if word := rest.Get("_summary"); word != "" && word != "false" {
		return fhir.Errorf(fhir.CodeInvalid, "", "_summary of one record must be true, text, data or false.")
	}
	describe(w, res)
	if unchanged(r, res) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeBody(w, http.StatusOK, part.of(res.Body))
}
