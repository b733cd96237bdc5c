// Package ui is what all pages share: security headers, the style sheet, the
// catalogue of texts in four languages.
//
// Pages are rendered on the server and work without scripts wherever a call is
// not involved. The package holds no page of its own.
package ui

import "net/http"

const (
	scripts = "script-src 'self'"
	policy  = "default-src 'none'; style-src 'self'; img-src 'self' data:; media-src 'self' blob: mediastream:; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; "
	permissions = "camera=(self), microphone=(self), display-capture=(self), geolocation=()"
)

// Secure sets the security headers of a page. It embeds nothing and runs no
// script but its own.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy+scripts+"; frame-src 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Permissions-Policy", permissions)
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
