package auth

import (
	"errors"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// SourceSystem is a client to be let in. Email and Password, both or none, are
// its credentials for the notification API.
type SourceSystem struct {
	ClientID, Name, Organization string
	Secret                       string // of 256 random bits, from NewSecret
	Scopes                       []string
	Email, Password              string
	Demo                         bool // works on loopback only
}

func (s SourceSystem) check() error {
	switch {
	case s.ClientID == "" || len(s.ClientID) > maxLogin || s.Organization == "":
		return fhir.Errorf(fhir.CodeRequired, "", "A client needs an id of at most %d characters and an organisation.", maxLogin)
	case len(s.Secret) < secretLength || len(s.Secret) > maxPassword:
		return fhir.Errorf(fhir.CodeValue, "", "A client secret must hold 256 random bits: at least %d characters.", secretLength)
	case (s.Email == "") != (s.Password == "") || len(s.Email) > maxLogin || len(s.Password) > maxPassword:
		return fhir.Errorf(fhir.CodeRequired, "", "E-mail and password come together.")
	}
	for _, scope := range s.Scopes {
		if _, _, ok := parseScope(scope); !ok && scope != string(Session) && scope != string(Notify) {
			return fhir.Errorf(fhir.CodeValue, "", "A scope is system/Type.cruds, session or notify.")
		}
	}
	return nil
}

// PutClient makes the accounts of a source system, or gives them new secrets
// and scopes. Errors have code required, value, or duplicate for an e-mail
// address that another client has.
func PutClient(tx store.Tx, now time.Time, s SourceSystem) error {
	if err := s.check(); err != nil {
		return err
	}
	account := store.Account{
		Kind: string(Client), ID: s.ClientID, Login: s.ClientID, SecretHash: HashSecret(s.Secret), Name: s.Name,
		Organization: s.Organization, Scopes: strings.Join(s.Scopes, " "), Active: true, Created: now, Demo: s.Demo,
	}
	if err := putAccount(tx, account); err != nil || s.Email == "" {
		return err
	}
	account.Kind, account.Login, account.Scopes = Notifier, plainEmail(s.Email), string(Notify)
	account.SecretHash = HashPassword(s.Password)
	return putAccount(tx, account)
}

// putAccount keeps the time at which an account was first made.
func putAccount(tx store.Tx, a store.Account) error {
	taken, err := tx.Account(a.Kind, a.Login)
	if err == nil && taken.ID != a.ID {
		return fhir.Errorf(fhir.CodeDuplicate, "", "Another account has this login.")
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	before, err := tx.AccountByID(a.Kind, a.ID)
	if err == nil {
		a.Created = before.Created
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return tx.PutAccount(a)
}

// DemoPatient is a patient of a demo: Code signs in again and again.
type DemoPatient struct {
	ID             string // of the account
	IdentityNumber string // normalized
	Name, Code     string
	Active         bool // RekodSaya is activated from the start
}

// PutDemoPatient makes the account of a demo patient. One that was activated
// stays so; a person who has an account outside the demo is left alone.
func PutDemoPatient(tx store.Tx, now time.Time, p DemoPatient) error {
	a, err := tx.Account(string(Patient), p.IdentityNumber)
	switch {
	case errors.Is(err, store.ErrNotFound):
		a = store.Account{Kind: string(Patient), ID: p.ID, Login: p.IdentityNumber, Created: now, Demo: true, Active: p.Active}
	case err != nil || !a.Demo:
		return err
	}
	if a.Name == p.Name && Matches(a.SecretHash, p.Code) {
		return nil
	}
	a.Name, a.SecretHash = p.Name, HashPassword(p.Code)
	return tx.PutAccount(a)
}
