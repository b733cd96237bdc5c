package auth

import (
	"context"
	"errors"
	"log/slog"
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

// Browsers signs people in and remembers their browsers by a cookie. Its
// fields are set once, before OpenBrowsers.
type Browsers struct {
	Store     store.Store
	Courier   Courier
	Directory Directory
	Normalize func(login string) (string, bool) // of identity numbers
	Clock     func() time.Time
	Log       *slog.Logger // slog.Default when nil
	// Wait has SendCode wait for the courier. It is for couriers that answer
	// at once; with others the time of the answer would tell who is known.
	Wait       bool
	RefuseDemo bool // demo accounts cannot sign in, and are signed out
	Shared     bool // other nodes use the store: attempts are counted together

	sends, tries, addresses *limiter
	deliveries              deliveries
	refusals                refusals
}

// OpenBrowsers sets the rates: for each person a code every half minute after
// five and a try every ten seconds after ten; for each address, behind which a
// whole clinic may sit, a hundred times as many.
func OpenBrowsers(b *Browsers) *Browsers {
	b.sends = newLimiter("sends", 5, 30*time.Second, b.Clock)
	b.tries = newLimiter("tries", 10, 10*time.Second, b.Clock)
	b.addresses = newLimiter("addresses", 1000, 100*time.Millisecond, b.Clock)
	if b.Log == nil {
		b.Log = slog.Default()
	}
	b.deliveries.open()
	return b
}

// Stop waits for the codes on their way; those that take long are given up. It
// may be called more than once.
func (b *Browsers) Stop() { b.deliveries.stop() }

// check reads a login and counts an attempt for it.
func (b *Browsers) check(ctx context.Context, limit *limiter, kind Kind, login string) (string, error) {
	if kind != Patient {
		return "", fhir.Errorf(fhir.CodeNotSupported, "", "Only patients sign in with a code.")
	}
	login, ok := b.Normalize(login)
	if !ok || len(login) > maxLogin {
		return "", fhir.Errorf(fhir.CodeValue, "", "This is not an identity number.")
	}
	_, err := takeTogether(ctx, b.Store, b.Shared, attempt{limit, login}, attempt{b.addresses, remote(ctx)})
	return login, err
}

// SendCode sends a one-time code to the person with this login, if there is
// one. Neither the answer nor its time tells whether there is: what fails on
// the way to somebody known is logged only.
func (b *Browsers) SendCode(ctx context.Context, kind Kind, login string) error {
	login, err := b.check(ctx, b.sends, kind, login)
	if err != nil {
		b.refusals.note(err)
		return err
	}
	release, ok := b.deliveries.claim()
	if !ok {
		return fhir.Errorf(fhir.CodeTransient, "", "Too many codes are on their way. Try again in a minute.")
	}
	known, err := b.known(ctx, kind, login)
	if err != nil {
		release()
		return err
	}
	code := newCode()
	hash := HashPassword(code) // before the transaction: it takes its time
	err = b.Store.Update(ctx, func(tx store.Tx) error {
		return tx.PutOneTimeCode(store.OneTimeCode{
			Kind: string(kind), Login: login, CodeHash: hash, Expires: b.Clock().Add(CodeLife),
		})
	})
	if err != nil || !known {
		release()
		return err
	}
	done := b.deliveries.run(ctx, release, func(ctx context.Context) {
		if err := b.Courier.SendCode(ctx, login, code); err != nil {
			b.Log.Error("a one-time code could not be delivered", "trace", Trace(ctx), "error", err)
		}
	})
	if b.Wait {
		<-done
	}
	return nil
}

// known tells whether somebody can sign in with this login.
func (b *Browsers) known(ctx context.Context, kind Kind, login string) (bool, error) {
	_, known, err := b.Directory.Known(ctx, login)
	if err != nil {
		return false, err
	}
	err = b.Store.View(ctx, func(r store.Reader) error {
		a, err := r.Account(string(kind), login)
		known = known && !(a.Demo && b.RefuseDemo)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return known, err
}

func wrongCode() error {
	return fhir.Errorf(fhir.CodeLogin, "", "The code is wrong or has expired.")
}

// SignIn checks a code and gives the cookie of a signed-in browser. With
// activate, an account that is not active becomes so. Errors have code login,
// throttled, or business-rule for an account that is not activated.
func (b *Browsers) SignIn(ctx context.Context, kind Kind, login, code string, activate bool) (cookie string, err error) {
	defer func() { b.refusals.note(err) }()
	login, err = b.check(ctx, b.tries, kind, login)
	if fhir.CodeOf(err) == fhir.CodeValue || err == nil && len(code) > maxPassword {
		return "", wrongCode()
	}
	if err != nil {
		return "", err
	}
	name, known, err := b.Directory.Known(ctx, login)
	if err != nil {
		return "", err
	}
	proof, err := b.prove(ctx, kind, login, code)
	if err != nil {
		return "", err
	}
	if !proof.right || !known {
		return "", wrongCode()
	}
	cookie = NewSecret()
	err = b.Store.Update(ctx, func(tx store.Tx) error {
		if err := b.spend(tx, kind, login, proof); err != nil {
			return err
		}
		account, err := b.account(ctx, tx, kind, login, name, activate)
		if err != nil {
			return err
		}
		p := Principal{Kind: kind, ID: account.ID, Trace: Trace(ctx)}
		if err := trail(tx, b.Clock(), p, "E", "sign-in", accountTarget(account)); err != nil {
			return err
		}
		return tx.PutSignIn(store.SignIn{
			Hash: HashSecret(cookie), Kind: string(kind), Account: account.ID, CSRF: NewSecret(),
			Created: b.Clock(), Expires: b.Clock().Add(SignInLife),
		})
	})
	if err != nil {
		return "", err
	}
	return cookie, nil
}

// proof is what a code has shown. hash is that of the code that was sent, ""
// for the standing code of a demo account.
type proof struct {
	right bool
	hash  string
}

// prove checks a code: the standing one of a demo account, or the one that was
// sent. A try of that one is counted before it is checked, so that tries at
// the same time do not get more of them.
func (b *Browsers) prove(ctx context.Context, kind Kind, login, code string) (proof, error) {
	standing := ""
	err := b.Store.View(ctx, func(r store.Reader) error {
		a, err := r.Account(string(kind), login)
		if a.Demo && !b.RefuseDemo {
			standing = a.SecretHash
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return proof{}, err
	}
	if standing != "" && Matches(standing, code) {
		return proof{right: true}, nil
	}
	hash := noPassword
	err = b.Store.Update(ctx, func(tx store.Tx) error {
		hash = noPassword
		sent, err := tx.OneTimeCode(string(kind), login)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || !b.Clock().Before(sent.Expires) || sent.Attempts >= maxTries {
			return err
		}
		hash = sent.CodeHash
		sent.Attempts++
		return tx.PutOneTimeCode(sent)
	})
	return proof{Matches(hash, code), hash}, err
}

// spend makes a code that was sent good for one sign-in alone.
func (b *Browsers) spend(tx store.Tx, kind Kind, login string, by proof) error {
	if by.hash == "" {
		return nil
	}
	sent, err := tx.OneTimeCode(string(kind), login)
	if errors.Is(err, store.ErrNotFound) || err == nil && sent.CodeHash != by.hash {
		return wrongCode()
	}
	if err != nil {
		return err
	}
	return tx.DeleteOneTimeCode(string(kind), login)
}

// account gives the active account of a login, making or activating it when
// asked to.
func (b *Browsers) account(ctx context.Context, tx store.Tx, kind Kind, login, name string, activate bool) (store.Account, error) {
	account, err := tx.Account(string(kind), login)
	switch {
	case errors.Is(err, store.ErrNotFound):
		account = store.Account{Kind: string(kind), ID: uuid.NewString(), Login: login, Created: b.Clock()}
	case err != nil:
		return account, err
	case account.Demo && b.RefuseDemo:
		return account, wrongCode()
	}
	if account.Active {
		return account, nil
	}
	if !activate {
		return account, fhir.Errorf(fhir.CodeBusinessRule, "", "RekodSaya is not activated for this person.")
	}
	account.Active = true
	if name != "" {
		account.Name = name
	}
	if err := tx.PutAccount(account); err != nil {
		return account, err
	}
	p := Principal{Kind: kind, ID: account.ID, Trace: Trace(ctx)}
	return account, trail(tx, b.Clock(), p, "U", "activate", accountTarget(account))
}

// Lookup gives the principal and the CSRF token of a signed-in browser; the
// error has code login when there is none, expired when it has been too long.
func (b *Browsers) Lookup(ctx context.Context, kind Kind, cookie string) (p Principal, csrf string, err error) {
	signedOut := fhir.Errorf(fhir.CodeLogin, "", "Please sign in.")
	if cookie == "" || len(cookie) > maxPassword {
		return p, "", signedOut
	}
	err = b.Store.View(ctx, func(r store.Reader) error {
		s, err := r.SignIn(HashSecret(cookie))
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && s.Kind != string(kind):
			return signedOut
		case err != nil:
			return err
		case !b.Clock().Before(s.Expires):
			return fhir.Errorf(fhir.CodeExpired, "", "You have been signed out. Please sign in again.")
		}
		account, err := r.AccountByID(s.Kind, s.Account)
		if errors.Is(err, store.ErrNotFound) || err == nil && (!account.Active || account.Demo && b.RefuseDemo) {
			return signedOut
		}
		if err != nil {
			return err
		}
		p = Principal{
			Kind: kind, ID: account.ID, Login: account.Login, Name: account.Name, Organization: account.Organization, Trace: Trace(ctx),
		}
		csrf = s.CSRF
		return nil
	})
	return p, csrf, err
}

// SignOut forgets a browser; one that is not known is no error.
func (b *Browsers) SignOut(ctx context.Context, cookie string) error {
	hash := HashSecret(cookie)
	return b.Store.Update(ctx, func(tx store.Tx) error {
		s, err := tx.SignIn(hash)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		p := Principal{Kind: Kind(s.Kind), ID: s.Account, Trace: Trace(ctx)}
		if err := trail(tx, b.Clock(), p, "E", "sign-out", accountTarget(store.Account{ID: s.Account})); err != nil {
			return err
		}
		return tx.DeleteSignIn(hash)
	})
}
