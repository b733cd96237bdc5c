// Package auth knows who is asking and what they may do: principals, the one
// policy table, secrets, access tokens and signed-in browsers.
//
// Source systems come with OAuth2 client credentials or with the e-mail and
// password of the notification API; patients sign in to RekodSaya. Secrets are
// kept as hashes. The package does not know which identity provider a
// hospital uses for its own staff.
package auth

import (
	"context"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Kind is what a principal is.
type Kind string

// Kinds of principals.
const (
	Client   Kind = "client"   // a source system, for its organisation
	Patient  Kind = "patient"  // a RekodSaya account
	Operator Kind = "operator" // of the exchange
	System   Kind = "system"   // the exchange itself: timers, demo data
)

// Principal is somebody on whose behalf something is done.
type Principal struct {
	Kind         Kind
	ID           string // client id or account id: safe in logs and audit
	Organization string // of a client
	Login        string // identity number of a patient; never in logs
	Name         string
	Scopes       []string // of a client, such as system/*.cruds
	Trace        string   // W3C trace id of the request, "" when there is none
}

// Exchange is the principal of the exchange's own work.
var Exchange = Principal{Kind: System, ID: "exchange"}

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext gives the principal of a request; the zero Principal may do nothing.
func FromContext(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// ErrForbidden refuses without telling what there is.
func ErrForbidden() *fhir.Error {
	return fhir.Errorf(fhir.CodeForbidden, "", "These credentials do not allow this.")
}
