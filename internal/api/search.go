package api

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const maxForm = 64 << 10 // bytes of a POSTed search

// search answers GET [base]/Type.
func (f *FHIR) search(w http.ResponseWriter, r *http.Request) error {
	return f.find(w, r, r.URL.Query())
}

// searchForm answers POST [base]/Type/_search, whose parameters may stand in
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
	return f.find(w, r, values)
}

func (f *FHIR) find(w http.ResponseWriter, r *http.Request, values url.Values) error {
	typ := r.PathValue("type")
	opened, err := f.openPage(typ, values)
	if err != nil {
		return err
	}
	part, conditions, err := shapeOf(opened)
	if err != nil {
		return err
	}
	req, err := f.exchange.ParseSearch(typ, conditions)
	if err != nil {
		return err
	}
	for _, name := range []string{"_summary", "_elements"} {
		if !conditions.Has(name) && opened.Get(name) != "" {
			req.Applied[name] = opened[name]
		}
	}
	if len(req.Unknown) > 0 && prefer(r)["handling"] == "strict" {
		return fhir.Errorf(fhir.CodeInvalid, "", "The exchange does not know these search parameters: %s.", strings.Join(req.Unknown, ", "))
	}
	found, err := f.exchange.Search(r.Context(), auth.FromContext(r.Context()), req)
	if err != nil {
		return err
	}
	f.searchset(w, req, found, f.self(r, typ, values, req), part)
	return nil
}

// self gives the address of this very page: what was applied of a GET, and
// sealed links for what came sealed or in a body.
func (f *FHIR) self(r *http.Request, typ string, values url.Values, req search.Request) string {
	at := f.baseURL() + "/" + typ
	switch {
	case values.Has(pageParam):
		return at + "?" + pageParam + "=" + url.QueryEscape(values.Get(pageParam))
	case r.Method == http.MethodPost:
		return f.pageLink(typ, req.Applied, req.Query.Offset)
	}
	return f.selfOf(req)
}

// selfOf gives the address of a search, as far as it was applied.
func (f *FHIR) selfOf(req search.Request) string {
	at := f.baseURL() + "/" + req.Query.Type
	if len(req.Applied) > 0 {
		at += "?" + req.Applied.Encode()
	}
	return at
}

var (
	modeMatch   = []byte(`{"mode":"match"}`)
	modeInclude = []byte(`{"mode":"include"}`)
	modeOutcome = []byte(`{"mode":"outcome"}`)
)

func (f *FHIR) searchset(w http.ResponseWriter, req search.Request, found exchange.SearchResult, self string, part shape) {
	w.WriteHeader(http.StatusOK)
	f.writePage(w, req, found, self, part)
}

// writePage writes one page of a search. The names of _elements are those of
// what was searched for; a summary is for all.
func (f *FHIR) writePage(w io.Writer, req search.Request, found exchange.SearchResult, self string, part shape) {
	q := req.Query
	more := found.More && q.Offset+q.Count <= search.MaxOffset
	links := f.pageLinks(q.Type, self, req.Applied, q.Offset, q.Count, more)
	b := newBundle(w, "searchset", fhir.FormatInstant(f.clock()), found.Total, links)
	for _, res := range found.Matches {
		b.add(entry{fullURL: f.fullURL(res), resource: part.of(res.Body), search: modeMatch})
	}
	for _, res := range found.Included {
		b.add(entry{fullURL: f.fullURL(res), resource: shape{summary: part.summary}.of(res.Body), search: modeInclude})
	}
	if notes := append(ignored(req.Unknown), found.Notes...); len(notes) > 0 {
		b.add(entry{fullURL: "urn:uuid:" + uuid.NewString(), resource: fhir.Outcome(notes, ""), search: modeOutcome})
	}
	b.end()
}

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
