package jitsi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
)

// Handler serves Prosody. Below /jitsi/ it has asap/login/ and asap/system/
// (public keys, open to all), reservation/conference and events/ (with the
// bearer). Keep all of it on the private network.
func (d *Driver) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jitsi/asap/login/{file}", d.serveKeys(d.logins))
	mux.HandleFunc("GET /jitsi/asap/system/{file}", d.serveKeys(d.systems))
	for pattern, serve := range map[string]http.HandlerFunc{
		"POST /jitsi/reservation/conference":        d.reserve,
		"GET /jitsi/reservation/conference/{id}":    d.reserved,
		"DELETE /jitsi/reservation/conference/{id}": d.release,
		"POST /jitsi/events/room/created":           d.take(d.roomCreated),
		"POST /jitsi/events/room/destroyed":         d.take(d.roomDestroyed),
		"POST /jitsi/events/occupant/joined":        d.take(d.occupantJoined),
		"POST /jitsi/events/occupant/left":          d.take(d.occupantLeft),
	} {
		mux.HandleFunc(pattern, d.guard(serve))
	}
	return mux
}

func (d *Driver) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		shown := sha256.Sum256([]byte(token))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(shown[:], d.bearer[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			message(w, http.StatusUnauthorized, "This address is for the video system.")
			return
		}
		next(w, r)
	}
}

func (d *Driver) serveKeys(keys *ring) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(d.opts.SharedSecret) > 0 {
			http.NotFound(w, r)
			return
		}
		pem, ok := keys.public(r.Context(), r.PathValue("file"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(pem)
	}
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func message(w http.ResponseWriter, status int, text string) {
	respond(w, status, map[string]string{"message": text})
}
