package api

import (
	"net/http"
	"slices"
	"strings"
)

// What pages of other origins may send and see.
const (
	takenHeaders = "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer"
	shownHeaders = "Allow, Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate, X-Request-Id"
)

// shareWith lets the browser show the answer to a page of another origin when
// that is allowed. Cookies are never part of it: who asks is told by a token.
func (f *FHIR) shareWith(w http.ResponseWriter, r *http.Request) {
	if len(f.origins) == 0 {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin") // also where there is none: caches keep the answer
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	if slices.Contains(f.origins, "*") || slices.ContainsFunc(f.origins, func(o string) bool { return strings.EqualFold(strings.TrimSuffix(o, "/"), origin) }) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", shownHeaders)
	}
}

// options tells what can be done at an address, to programs and, before a
// request of another origin, to browsers.
func (rt fhirRoute) options(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	allow := rt.allow()
	h.Set("Allow", allow)
	if h.Get("Access-Control-Allow-Origin") != "" && r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", takenHeaders)
		h.Set("Access-Control-Max-Age", "600")
	}
	h.Del("Content-Type")
	w.WriteHeader(http.StatusNoContent)
}
