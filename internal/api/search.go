package api

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const maxForm = 64 << 10 // bytes of a POSTed search

// search answers GET [base]/Type, and the same of the whole system and of a
// compartment.
func (f *FHIR) search(w http.ResponseWriter, r *http.Request) error {
	return f.find(w, r, r.URL.Query())
}

// searchForm answers POST [base]/Type/_search and the like, whose parameters may stand in
// the address, in the body, or in both.
func (f *FHIR) searchForm(w http.ResponseWriter, r *http.Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Header.Get("Content-Type") != "" && (err != nil || media != "application/x-www-form-urlencoded") {
		return fhir.Errorf(fhir.CodeNotSupported, "", "Send the search parameters with Content-Type: application/x-www-form-urlencoded.").
			WithStatus(http.StatusUnsupportedMediaType)
	}
	body, err := readBody(w, r, maxForm)
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(strings.Trim(r.URL.RawQuery+"&"+string(body), "&"))
	if err != nil {
		return fhir.Errorf(fhir.CodeInvalid, "", "The search parameters cannot be read; check the percent signs.")
	}
	if a, ours := w.(*answer); ours && r.URL.Query().Get("_format") == "" && values.Get("_format") != "" {
		if err := a.as(values.Get("_format")); err != nil {
			return err
		}
	}
	return f.find(w, r, values)
}

// pathOf gives what is searched: the part of the address below the base.
func pathOf(r *http.Request) string {
	if member := r.PathValue("member"); member != "" {
		return r.PathValue("type") + "/" + r.PathValue("id") + "/" + member
	}
	return r.PathValue("type")
}

func (f *FHIR) find(w http.ResponseWriter, r *http.Request, given url.Values) error {
	path := pathOf(r)
	values, at, err := f.openPage(r, path, given)
	if err != nil {
		return err
	}
	if at != nil {
		return f.page(w, r, path, given, *at)
	}
	_, conditions, err := shapeOf(values)
	if err != nil {
		return err
	}
	req, err := f.exchange.ParseSearch(path, conditions)
	if err != nil {
		return err
	}
	for _, name := range []string{"_summary", "_elements"} {
		if !conditions.Has(name) && values.Get(name) != "" {
			req.Applied[name] = values[name]
		}
	}
	if len(req.Unknown) > 0 && prefer(r)["handling"] == "strict" {
		return fhir.Errorf(fhir.CodeInvalid, "", "The exchange does not know these search parameters: %s.", strings.Join(req.Unknown, ", "))
	}
	found, err := f.exchange.Search(r.Context(), auth.FromContext(r.Context()), req)
	if err != nil {
		return err
	}
	found.Notes = append(ignored(req.Unknown), found.Notes...)
	asked := exchange.Asked{Kind: exchange.OfSearch, Path: path, Values: req.Applied}
	return f.writeResult(w, r, path, asked, found, f.self(r, path, given, req.Applied))
}

var (
	modeMatch   = []byte(`{"mode":"match"}`)
	modeInclude = []byte(`{"mode":"include"}`)
	modeOutcome = []byte(`{"mode":"outcome"}`)
)

func (f *FHIR) fullURL(res store.Resource) string {
	return f.baseURL() + "/" + res.Type + "/" + res.ID
}

// ignored tells the caller what the search did not take into account.
func ignored(unknown []string) (issues fhir.Issues) {
	for _, name := range unknown {
		issues = append(issues, fhir.Warningf(fhir.CodeNotSupported, "", "%s was ignored: this search does not know it.", name))
	}
	return issues
}
