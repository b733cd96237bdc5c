package api

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// history answers GET [base]/Type/id/_history, GET [base]/Type/_history and
// GET [base]/_history, newest first.
func (f *FHIR) history(w http.ResponseWriter, r *http.Request) error {
	q := exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: r.PathValue("type"), ID: r.PathValue("id"), Count: search.DefaultCount}}
	place := strings.TrimPrefix(path.Join(q.Type, q.ID, "_history"), "/")
	given := r.URL.Query()
	values, at, err := f.openPage(r, place, given)
	if err != nil {
		return err
	}
	if at != nil {
		return f.page(w, r, place, given, *at)
	}
	if err := readHistory(&q, values); err != nil {
		return err
	}
	if prefer(r)["handling"] == "strict" {
		for name := range values {
			if !historyParams[name] {
				return fhir.Errorf(fhir.CodeInvalid, "", "A history takes _count, _since, _at and what says how the answer looks.")
			}
		}
	}
	q.Values = values
	found, err := f.exchange.History(r.Context(), auth.FromContext(r.Context()), q)
	if err != nil {
		return err
	}
	asked := exchange.Asked{Kind: exchange.OfHistory, Path: path.Join(q.Type, q.ID), Values: values}
	return f.writeResult(w, r, place, asked, found, f.self(r, place, given, values))
}

// historyParams are what a history knows; all else is passed over, unless the
// caller prefers to be told.
var historyParams = map[string]bool{
	"_count": true, "_offset": true, "_since": true, "_at": true, "_sort": true, "_format": true, "_pretty": true, "_summary": true, "_elements": true,
}

func readHistory(q *exchange.HistoryQuery, values url.Values) (err error) {
	number := func(name string, to *int, limit int) error {
		text := values.Get(name)
		if text == "" {
			return nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fhir.Errorf(fhir.CodeInvalid, "", "%s must be a whole number from 0.", name)
		}
		*to = min(n, limit)
		return nil
	}
	if err := number("_count", &q.Count, search.MaxCount); err != nil {
		return err
	}
	if err := number("_offset", &q.Offset, search.MaxOffset); err != nil {
		return err
	}
	if since := values.Get("_since"); since != "" {
		from, _, err := fhir.ParseDate(since)
		if err != nil {
			return fhir.Errorf(fhir.CodeInvalid, "", "_since must be a time such as 2026-11-23T09:00:00+08:00.")
		}
		q.Since = from
	}
	if sort := values.Get("_sort"); sort != "" && sort != "-_lastUpdated" {
		return fhir.Errorf(fhir.CodeNotSupported, "", "A history comes newest first; _sort can only be -_lastUpdated.")
	}
	if values.Get("_list") != "" {
		return fhir.Errorf(fhir.CodeNotSupported, "", "A history cannot be narrowed by _list.")
	}
	if at := values.Get("_at"); at != "" {
		if q.From, q.To, err = fhir.ParseDate(at); err != nil {
			return fhir.Errorf(fhir.CodeInvalid, "", "_at must be a date or time such as 2026-11-23 or 2026-11-23T09:00:00+08:00.")
		}
	}
	return nil
}

// pastEntry gives one version with what made it.
func (f *FHIR) pastEntry(res store.Resource, part shape) entry {
	req := request{Method: res.Method, URL: res.Type + "/" + res.ID}
	status := "200 OK"
	switch {
	case res.Deleted():
		status = "204 No Content"
	case res.Method == http.MethodPost:
		req.URL = res.Type
		status = "201 Created"
	case res.Version == 1:
		status = "201 Created"
	}
	return entry{
		fullURL: f.fullURL(res), resource: part.of(res.Body),
		request: fhir.Marshal(req), response: fhir.Marshal(responseTo(status, res)),
	}
}
