package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Times of signing in.
const (
	CodeLife   = 5 * time.Minute
	SignInLife = 12 * time.Hour
	maxTries   = 5 // wrong tries of one code
)

// Courier brings a one-time code to the person with this login.
type Courier interface {
	SendCode(ctx context.Context, login, code string) error
}

// Directory knows the people who have a record, with or without an account.
type Directory interface {
	// Known gives the name of the person with this identity number.
	Known(ctx context.Context, identityNumber string) (name string, ok bool, err error)
}

// Browsers signs people in and remembers their browsers by a cookie.
type Browsers struct {
	Store      store.Store
	Courier    Courier
	Directory  Directory
	Normalize  func(login string) (string, bool) // of identity numbers
	Clock      func() time.Time
	RefuseDemo bool

	sends, tries, addresses limiter
}

// OpenBrowsers sets the rates: for each person a code every half minute after
// five and a try every ten seconds after ten; for each address, behind which a
// whole clinic may sit, a hundred times as many.
func OpenBrowsers(b *Browsers) *Browsers {
	b.sends = limiter{every: 30 * time.Second, burst: 5, clock: b.Clock}
	b.tries = limiter{every: 10 * time.Second, burst: 10, clock: b.Clock}
	b.addresses = limiter{every: 100 * time.Millisecond, burst: 1000, clock: b.Clock}
	return b
}

// SendCode sends a one-time code to the person with this login, if there is
// one. The answer does not tell whether there is.
func (b *Browsers) SendCode(ctx context.Context, kind Kind, login string) error {
	login, ok := b.Normalize(login)
	if !ok {
		return fhir.Errorf(fhir.CodeValue, "", "This is not an identity number.")
	}
	if err := b.sends.allow(string(kind) + login); err != nil {
		return err
	}
	if err := b.addresses.allow(remote(ctx)); err != nil {
		return err
	}
	_, known, err := b.Directory.Known(ctx, login)
	if err != nil || !known {
		return err
	}
	code := digits()
	err = b.Store.Update(ctx, func(tx store.Tx) error {
		return tx.PutOneTimeCode(store.OneTimeCode{
			Kind: string(kind), Login: login, CodeHash: HashPassword(code), Expires: b.Clock().Add(CodeLife),
		})
	})
	if err != nil {
		return err
	}
	return b.Courier.SendCode(ctx, login, code)
}

func digits() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails
	return fmt.Sprintf("%06d", n)
}

func wrongCode() error {
	return fhir.Errorf(fhir.CodeLogin, "", "The code is wrong or has expired.")
}

// SignIn checks a code and gives the cookie of a signed-in browser. With
// activate, an account that is not active becomes so. Errors have code login,
// throttled, or business-rule for an account that is not activated.
func (b *Browsers) SignIn(ctx context.Context, kind Kind, login, code string, activate bool) (cookie string, err error) {
	login, ok := b.Normalize(login)
	if !ok || len(code) > 100 {
		return "", wrongCode()
	}
	if err := b.tries.allow(string(kind) + login); err != nil {
		return "", err
	}
	if err := b.addresses.allow(remote(ctx)); err != nil {
		return "", err
	}
	name, known, err := b.Directory.Known(ctx, login)
	if err != nil {
		return "", err
	}
	right, err := b.right(ctx, kind, login, code)
	if err != nil {
		return "", err
	}
	if !right || !known {
		return "", wrongCode()
	}
	cookie = randomText()
	return cookie, b.Store.Update(ctx, func(tx store.Tx) error {
		account, err := b.account(tx, kind, login, name, activate)
		if err != nil {
			return err
		}
		if err := tx.DeleteOneTimeCode(string(kind), login); err != nil {
			return err
		}
		return tx.PutSignIn(store.SignIn{
			Hash: HashSecret(cookie), Kind: string(kind), Account: account.ID, CSRF: randomText(),
			Created: b.Clock(), Expires: b.Clock().Add(SignInLife),
		})
	})
}

// right checks a code: the one that was sent, or the standing code of a demo
// account. A wrong try is counted before the answer.
func (b *Browsers) right(ctx context.Context, kind Kind, login, code string) (bool, error) {
	var sent store.OneTimeCode
	var account store.Account
	err := b.Store.View(ctx, func(r store.Reader) (err error) {
		if sent, err = r.OneTimeCode(string(kind), login); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if account, err = r.Account(string(kind), login); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if account.Demo && !b.RefuseDemo && account.SecretHash != "" && Matches(account.SecretHash, code) {
		return true, nil
	}
	if sent.CodeHash == "" || !b.Clock().Before(sent.Expires) || sent.Attempts >= maxTries {
		_ = Matches(nobody, code) // the same time as a check
		return false, nil
	}
	if Matches(sent.CodeHash, code) {
		return true, nil
	}
	return false, b.Store.Update(ctx, func(tx store.Tx) error {
		now, err := tx.OneTimeCode(string(kind), login)
		if err != nil {
			return err
		}
		now.Attempts++
		return tx.PutOneTimeCode(now)
	})
}

// account gives the active account of a login, making or activating it when
// asked to.
func (b *Browsers) account(tx store.Tx, kind Kind, login, name string, activate bool) (store.Account, error) {
	account, err := tx.Account(string(kind), login)
	switch {
	case errors.Is(err, store.ErrNotFound):
		account = store.Account{Kind: string(kind), ID: uuid.NewString(), Login: login, Created: b.Clock()}
	case err != nil:
		return account, err
	}
	if account.Active {
		return account, nil
	}
	if !activate {
		return account, fhir.Errorf(fhir.CodeBusinessRule, "", "RekodSaya is not activated for this person.")
	}
	account.Active, account.Name = true, name
	if err := tx.PutAccount(account); err != nil {
		return account, err
	}
	return account, tx.PutAudit(store.Audit{
		At: b.Clock(), Action: "U", Operation: "activate", AgentKind: string(kind), Agent: account.ID,
		Target: "Account/" + account.ID, Outcome: "0",
	})
}

// Lookup gives the principal and the CSRF token of a signed-in browser; the
// error has code login when there is none.
func (b *Browsers) Lookup(ctx context.Context, kind Kind, cookie string) (p Principal, csrf string, err error) {
	signedOut := fhir.Errorf(fhir.CodeLogin, "", "Please sign in.")
	if cookie == "" || len(cookie) > 100 {
		return p, "", signedOut
	}
	err = b.Store.View(ctx, func(r store.Reader) error {
		s, err := r.SignIn(HashSecret(cookie))
		if errors.Is(err, store.ErrNotFound) || err == nil && (s.Kind != string(kind) || !b.Clock().Before(s.Expires)) {
			return signedOut
		}
		if err != nil {
			return err
		}
		account, err := r.AccountByID(s.Kind, s.Account)
		if errors.Is(err, store.ErrNotFound) || err == nil && (!account.Active || account.Demo && b.RefuseDemo) {
			return signedOut
		}
		if err != nil {
			return err
		}
		p = Principal{Kind: kind, ID: account.ID, Login: account.Login, Name: account.Name, Organization: account.Organization}
		csrf = s.CSRF
		return nil
	})
	return p, csrf, err
}

// SignOut forgets a browser.
func (b *Browsers) SignOut(ctx context.Context, cookie string) error {
	return b.Store.Update(ctx, func(tx store.Tx) error { return tx.DeleteSignIn(HashSecret(cookie)) })
}
