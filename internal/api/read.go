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
	res, err := f.readVersion(r)
	if err != nil {
		return gone(w, res, err)
	}
	return f.give(w, r, res)
}

// gone says which version the deletion is, when that is what err tells.
func gone(w http.ResponseWriter, res store.Resource, err error) error {
	if fhir.CodeOf(err) == fhir.CodeDeleted && res.Version > 0 {
		describe(w, res)
	}
	return err
}

// vread answers GET [base]/Type/id/_history/version.
func (f *FHIR) vread(w http.ResponseWriter, r *http.Request) error {
	res, err := f.readVersion(r)
	if err != nil {
		return gone(w, res, err)
	}
	return f.give(w, r, res)
}

// readVersion reads the version that the address names, the current one when
// it names none.
func (f *FHIR) readVersion(r *http.Request) (store.Resource, error) {
	ctx, p, typ, id, text := r.Context(), auth.FromContext(r.Context()), r.PathValue("type"), r.PathValue("id"), r.PathValue("version")
	if text == "" {
		return f.exchange.Read(ctx, p, typ, id)
	}
	version, err := versionNumber(text)
	if err != nil {
		return store.Resource{}, err
	}
	return f.exchange.VRead(ctx, p, typ, id, version)
}

func versionNumber(text string) (int64, error) {
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil || version < 1 || strconv.FormatInt(version, 10) != text {
		return 0, fhir.Errorf(fhir.CodeNotFound, "", "There is no such version; versions are numbers from 1.")
	}
	return version, nil
}

func (f *FHIR) give(w http.ResponseWriter, r *http.Request, res store.Resource) error {
	part, rest, err := shapeOf(r.URL.Query())
	if err != nil {
		return err
	}
	if word := rest.Get("_summary"); word != "" && word != "false" {
		return fhir.Errorf(fhir.CodeInvalid, "", "_summary of one record must be true, text, data or false.")
	}
	describe(w, res)
	w.Header().Set("Content-Location", f.baseURL()+"/"+versionPath(res))
	if unchanged(r, res) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeBody(w, http.StatusOK, part.of(res.Body))
}
