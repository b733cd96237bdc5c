package api

import (
	"context"
	"errors"
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
	mux.Handle("/auth/", nothing)
	mux.Handle("/auth/token", verbs{"POST": o.token})
	mux.Handle("/auth/jwks", verbs{"GET": o.jwks})
	for _, path := range []string{"/.well-known/smart-configuration", Root + "/.well-known/smart-configuration"} {
		mux.Handle(path, verbs{"GET": o.smart})
	}
}

// grantError is an error in the form of RFC 6749, section 5.2.
type grantError struct {
	status            int
	code, description string
}

func (e *grantError) Error() string { return e.code + ": " + e.description }

// refusals of RFC 6749 for the codes of errors.
var refusals = map[fhir.Code]*grantError{
	fhir.CodeLogin:     {http.StatusUnauthorized, "invalid_client", "The client id or secret is not right."},
	fhir.CodeForbidden: {http.StatusBadRequest, "invalid_scope", "The client does not hold all of these scopes."},
	fhir.CodeThrottled: {http.StatusTooManyRequests, "temporarily_unavailable", "Too many attempts. Wait a few minutes and try again."},
	fhir.CodeTooLong:   {http.StatusRequestEntityTooLarge, "invalid_request", "The form is too large."},
}

// token answers errors in the form of RFC 6749, not as OperationOutcomes.
func (o *OAuth) token(w http.ResponseWriter, r *http.Request) error {
	token, err := o.grant(w, r)
	if err == nil {
		return respond(w, http.StatusOK, map[string]any{
			"access_token": token.Value, "token_type": "Bearer", "scope": token.Scope,
			"expires_in": int(token.Expires.Sub(o.Clock()).Seconds()),
		})
	}
	var refused *grantError
	if !errors.As(err, &refused) {
		if refused = refusals[fhir.CodeOf(err)]; refused == nil {
			status, _ := judge(r, err)
			refused = &grantError{status, "server_error", "The exchange could not do this. Quote this number to the operator: " + Trace(r.Context())}
		}
	}
	switch refused.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="jumpa"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", throttledFor)
	}
	return respond(w, refused.status, map[string]string{"error": refused.code, "error_description": refused.description})
}

// grant reads a token request and gets the token.
func (o *OAuth) grant(w http.ResponseWriter, r *http.Request) (auth.Token, error) {
	invalid := func(description string) (auth.Token, error) {
		return auth.Token{}, &grantError{http.StatusBadRequest, "invalid_request", description}
	}
	if name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || name != "application/x-www-form-urlencoded" {
		return invalid("Send a form (application/x-www-form-urlencoded).")
	}
	body, err := readBody(w, r, maxSmallBody)
	if err != nil {
		return auth.Token{}, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return invalid("The form cannot be read.")
	}
	for _, values := range form {
		if len(values) > 1 {
			return invalid("A parameter comes twice.")
		}
	}
	id, secret, ok := clientOf(r, form)
	switch {
	case !ok:
		return invalid("Send the client id and secret in one way: with HTTP Basic or in the form.")
	case form.Get("grant_type") == "":
		return invalid("The grant_type is missing; it is client_credentials.")
	case form.Get("grant_type") != "client_credentials":
		return auth.Token{}, &grantError{http.StatusBadRequest, "unsupported_grant_type", "The grant_type is client_credentials."}
	}
	return o.Tokens.ForClient(r.Context(), id, secret, form.Get("scope"))
}

// clientOf reads client credentials from HTTP Basic, whose parts are form
// encoded (RFC 6749 2.3.1), or from the form. ok is false for both at once.
func clientOf(r *http.Request, form url.Values) (id, secret string, ok bool) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		return form.Get("client_id"), form.Get("client_secret"), true
	}
	if plain, err := url.QueryUnescape(id); err == nil {
		id = plain
	}
	if plain, err := url.QueryUnescape(secret); err == nil {
		secret = plain
	}
	return id, secret, !form.Has("client_secret") && (!form.Has("client_id") || form.Get("client_id") == id)
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
		"scopes_supported":                      []string{"system/*.cruds", "system/*.rs", "system/*.read", "system/*.write", string(auth.Session), string(auth.Notify)},
		"capabilities":                          []string{"client-confidential-symmetric", "permission-v1", "permission-v2"},
	})
}
