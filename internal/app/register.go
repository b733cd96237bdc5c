package app

import (
	"context"
	"errors"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Registration is a source system to be let in.
type Registration struct {
	ClientID, Name, Organization string
	Email                        string // for the notification API; may be empty
}

// Secrets are what a source system signs in with. They are shown once and kept
// as hashes only.
type Secrets struct {
	ClientSecret string
	Password     string // "" without an e-mail address
}

// Register makes the accounts of a source system in the store, or gives them
// new secrets: the old ones are void from then on. With a SQLite database the
// exchange must not run meanwhile. A mistake is a *UsageError.
func Register(ctx context.Context, cfg Config, r Registration) (Secrets, error) {
	given := Secrets{ClientSecret: auth.NewSecret()}
	if r.Email != "" {
		given.Password = auth.NewSecret()
	}
	err := withStore(ctx, cfg, func(st store.Store) error {
		return st.Update(ctx, func(tx store.Tx) error {
			return auth.PutClient(tx, time.Now(), auth.SourceSystem{
				ClientID: r.ClientID, Name: r.Name, Organization: r.Organization, Secret: given.ClientSecret,
				Scopes: clientScopes, Email: r.Email, Password: given.Password,
			})
		})
	})
	if mistake := (*fhir.Error)(nil); errors.As(err, &mistake) {
		err = usage("%s", mistake.Diagnostics)
	}
	if err != nil {
		return Secrets{}, err
	}
	return given, nil
}
