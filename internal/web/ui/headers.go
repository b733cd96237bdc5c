// Package ui is what all pages share: security headers, the style sheet, the
// catalogue of texts in four languages.
//
// Pages are rendered on the server and work without scripts wherever a call is
// not involved. The package holds no page of its own.
package ui

import (
	"net/http"
	"strings"
)

// Secure sets the security headers of a page. frames are the origins that the
// page may embed (the video system), beside its own; they may use camera and
// microphone too.
func Secure(next http.Handler, frames ...string) http.Handler {
	frameSrc, media := "'self'", "self"
	for _, f := range frames {
		frameSrc += " " + f
		media += ` "` + f + `"`
	}
	permissions := strings.ReplaceAll("camera=(X), microphone=(X), display-capture=(X), geolocation=()", "X", media)
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob: mediastream:; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; frame-src " + frameSrc
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Permissions-Policy", permissions)
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
