package api

import (
	"net/http"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// update answers PUT [base]/Type/id, which also creates, and PUT
// [base]/Type?condition.
func (f *FHIR) update(w http.ResponseWriter, r *http.Request) error {
	typ, id := r.PathValue("type"), r.PathValue("id")
	where, err := condition(r)
	if err != nil {
		return err
	}
	match, err := ifMatch(r)
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
	if id != "" && doc.ID() != id {
		return fhir.Errorf(fhir.CodeInvalid, typ+".id", "The id in the body must be the one in the address.")
	}
	out, err := f.exchange.Put(r.Context(), auth.FromContext(r.Context()), exchange.Write{
		Type: typ, ID: id, Condition: where, Doc: doc, IfMatch: match, IfNoneMatchAny: r.Header.Get("If-None-Match") == "*",
	})
	if err != nil {
		return err
	}
	return f.written(w, r, out)
}

func sameType(doc *fhir.Document, typ string) error {
	if doc.Type() == typ {
		return nil
	}
	return fhir.Errorf(fhir.CodeInvalid, "resourceType", "The body must be of the type in the address, %s.", typ)
}

// written answers a create or update as the caller prefers: with the resource
// (the default), with the warnings, or with nothing.
func (f *FHIR) written(w http.ResponseWriter, r *http.Request, out exchange.Outcome) error {
	describe(w, out.Resource)
	w.Header().Set("Location", f.baseURL()+"/"+versionPath(out.Resource))
	status := http.StatusOK
	if out.Created {
		status = http.StatusCreated
	}
	switch prefer(r)["return"] {
	case "minimal":
		w.Header().Del("Content-Type")
		w.WriteHeader(status)
		return nil
	case "OperationOutcome":
		return writeBody(w, status, fhir.Outcome(out.Issues, ""))
	}
	w.Header().Set("Content-Location", w.Header().Get("Location"))
	part, _, err := shapeOf(r.URL.Query())
	if err != nil { // what was asked for is done, and this must not hide it
		part = shape{}
	}
	return writeBody(w, status, part.of(out.Resource.Body))
}

func versionPath(res store.Resource) string {
	return res.Type + "/" + res.ID + "/_history/" + itoa(res.Version)
}
