package api

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// TokenIssuer issues access tokens; *auth.Tokens is one.
type TokenIssuer interface {
	ForClient(ctx context.Context, clientID, clientSecret, scope string) (auth.Token, error)
	ForNotifier(ctx context.Context, email, password string) (auth.Token, error)
	JWKS() ([]byte, error)
}

// OAuth is the token endpoint for source systems (RFC 6749, client
// credentials) and what describes it.
type OAuth struct {
	Tokens TokenIssuer
	URL    func() string // public URL of the exchange
	Clock  func() time.Time
}

// Register puts the endpoints on a mux.
func (o *OAuth) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /auth/token", o.token)
	mux.Handle("GET /auth/jwks", handlerFunc(o.jwks))
	mux.Handle("GET /.well-known/smart-configuration", handlerFunc(o.smart))
	mux.Handle("GET "+Root+"/.well-known/smart-configuration", handlerFunc(o.smart))
}

// token answers errors in the form of RFC 6749, not as OperationOutcomes.
func (o *OAuth) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, description string) {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="jumpa"`)
		}
		_ = respond(w, status, map[string]string{"error": code, "error_description": description})
	}
	if name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || name != "application/x-www-form-urlencoded" {
		refuse(http.StatusBadRequest, "invalid_request", "Send a form (application/x-www-form-urlencoded).")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxSmallBody)
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request", "The form cannot be read.")
		return
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		refuse(http.StatusBadRequest, "unsupported_grant_type", "The grant_type is client_credentials.")
		return
	}
	id, secret := clientOf(r)
	token, err := o.Tokens.ForClient(r.Context(), id, secret, r.PostForm.Get("scope"))
	switch fhir.CodeOf(err) {
	case fhir.CodeLogin:
		refuse(http.StatusUnauthorized, "invalid_client", "The client id or secret is not right.")
		return
	case fhir.CodeForbidden:
		refuse(http.StatusBadRequest, "invalid_scope", "The client does not hold all of these scopes.")
		return
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	_ = respond(w, http.StatusOK, map[string]any{
		"access_token": token.Value, "token_type": "Bearer", "scope": token.Scope,
		"expires_in": int(token.Expires.Sub(o.Clock()).Seconds()),
	})
}

// clientOf reads client credentials from HTTP Basic, whose parts are form
// encoded (RFC 6749 2.3.1), or from the form.
func clientOf(r *http.Request) (id, secret string) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if plain, err := url.QueryUnescape(id); err == nil {
		id = plain
	}
	if plain, err := url.QueryUnescape(secret); err == nil {
		secret = plain
	}
	return id, secret
}

func (o *OAuth) jwks(w http.ResponseWriter, _ *http.Request) error {
	body, err := o.Tokens.JWKS()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	return writeBody(w, http.StatusOK, body)
}

func (o *OAuth) smart(w http.ResponseWriter, _ *http.Request) error {
	return respond(w, http.StatusOK, map[string]any{
		"issuer":                                o.URL(),
		"jwks_uri":                              o.URL() + "/auth/jwks",
		"token_endpoint":                        o.URL() + "/auth/token",
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"scopes_supported":                      []string{"system/*.cruds", string(auth.Session), string(auth.Notify)},
		"capabilities":                          []string{"client-confidential-symmetric", "permission-v2"},
	})
}
