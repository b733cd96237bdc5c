package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Notifier is the kind of account that signs in to the notification API with
// an e-mail address and a password.
const Notifier = "notifier"

// Bounds of what a client sends to get a token, in bytes.
const (
	maxLogin    = 200
	maxPassword = 500
)

// tokenLimits bound the failed attempts to get a token. What was right is not
// counted: a busy source system is never locked out by itself.
type tokenLimits struct {
	pair    *limiter // an account from an address
	account *limiter // an account from anywhere
	address *limiter // any account from an address
}

func newTokenLimits(clock func() time.Time) tokenLimits {
	return tokenLimits{
		pair:    newLimiter("pair", 10, 30*time.Second, clock),
		account: newLimiter("account", 200, 10*time.Second, clock),
		address: newLimiter("address", 100, time.Second, clock),
	}
}

// ForClient issues a token to a source system that shows its secret. scope is
// what it asks for, "" for all that it may. Errors have code login, throttled
// or forbidden (a scope that it does not have).
func (t *Tokens) ForClient(ctx context.Context, clientID, clientSecret, scope string) (Token, error) {
	return t.enter(ctx, string(Client), clientID, clientSecret, scope)
}

// ForNotifier issues a token that is good for sending notifications alone.
// Errors have code login or throttled.
func (t *Tokens) ForNotifier(ctx context.Context, email, password string) (Token, error) {
	return t.enter(ctx, Notifier, plainEmail(email), password, string(Notify))
}

func plainEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func (t *Tokens) enter(ctx context.Context, kind, login, secret, scope string) (_ Token, err error) {
	defer func() { t.refusals.note(err) }()
	wrong := fhir.Errorf(fhir.CodeLogin, "", "These credentials are not right.")
	if login == "" || len(login) > maxLogin || len(secret) > maxPassword {
		return Token{}, wrong
	}
	right, err := takeTogether(ctx, t.store, t.shared,
		attempt{t.limits.pair, kind + " " + login + " " + remote(ctx)},
		attempt{t.limits.account, kind + " " + login},
		attempt{t.limits.address, remote(ctx)},
	)
	if err != nil {
		return Token{}, err
	}
	account, err := t.account(ctx, kind, login)
	if err != nil {
		return Token{}, err
	}
	if !Matches(account.SecretHash, secret) || !t.mayEnter(account) {
		return Token{}, wrong
	}
	if err := right(ctx); err != nil {
		return Token{}, err
	}
	granted, err := narrowed(account.Scopes, scope)
	if err != nil {
		return Token{}, err
	}
	token, err := t.Issue(account, granted, TokenLife)
	if err != nil {
		return Token{}, err
	}
	p := Principal{Kind: Client, ID: account.ID, Organization: account.Organization, Trace: Trace(ctx)}
	return token, t.store.Update(ctx, func(tx store.Tx) error {
		return trail(tx, t.clock(), p, "E", "token", accountTarget(account))
	})
}

// account gives an account, or one that no secret opens when there is none.
func (t *Tokens) account(ctx context.Context, kind, login string) (a store.Account, err error) {
	err = t.store.View(ctx, func(r store.Reader) (err error) {
		a, err = r.Account(kind, login)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		return a, err
	}
	if kind == Notifier {
		return store.Account{SecretHash: noPassword}, nil
	}
	return store.Account{SecretHash: noSecret}, nil
}

// accountTarget names an account in the audit trail. It is no reference to a
// FHIR resource.
func accountTarget(a store.Account) string { return "account/" + a.ID }

// trail writes the audit record of somebody who comes or goes.
func trail(tx store.Tx, at time.Time, p Principal, action, operation, target string) error {
	return tx.PutAudit(store.Audit{
		At: at, Action: action, Operation: operation, AgentKind: string(p.Kind), Agent: p.ID,
		Organization: p.Organization, Target: target, Outcome: "0", Trace: p.Trace,
	})
}
