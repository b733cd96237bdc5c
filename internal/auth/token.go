package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// TokenLife is how long an access token is valid.
const TokenLife = time.Hour

// signingKey is the setting under which the key of access tokens is kept.
const signingKey = "auth.signing-key"

// maxVerified bounds the memory of tokens that were verified before.
const maxVerified = 10_000

// Tokens issues and verifies access tokens: signed JWTs (ES256), so that every
// node can verify what any node has issued.
type Tokens struct {
	store      store.Store
	clock      func() time.Time
	issuer     func() string
	refuseDemo bool
	signer     jose.Signer
	public     jose.JSONWebKey
	attempts   *limiter

	mu       sync.RWMutex
	verified map[[32]byte]verified
}

type verified struct {
	principal Principal
	expires   time.Time
}

// TokenOptions of OpenTokens. Issuer is the public URL of the exchange.
type TokenOptions struct {
	Store      store.Store
	Clock      func() time.Time
	Issuer     func() string
	RefuseDemo bool // demo accounts get no token
}

// OpenTokens reads the signing key from the store, or makes it the first time.
func OpenTokens(ctx context.Context, o TokenOptions) (*Tokens, error) {
	var der []byte
	err := o.Store.Update(ctx, func(tx store.Tx) (err error) {
		if der, err = tx.Setting(signingKey); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if der, err = x509.MarshalECPrivateKey(key); err != nil {
			return err
		}
		return tx.PutSetting(signingKey, der)
	})
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, err
	}
	public := jose.JSONWebKey{Key: key.Public(), Algorithm: string(jose.ES256), Use: "sig"}
	thumb, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	public.KeyID = hex.EncodeToString(thumb[:8])
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	return &Tokens{
		store: o.Store, clock: o.Clock, issuer: o.Issuer, refuseDemo: o.RefuseDemo, signer: signer, public: public,
		attempts: &limiter{every: 6 * time.Second, burst: 20, clock: o.Clock}, verified: make(map[[32]byte]verified),
	}, err
}

// claims of an access token beside the registered ones.
type claims struct {
	jwt.Claims
	Scope        string `json:"scope"`
	Organization string `json:"organization"`
}

// Token is an issued access token.
type Token struct {
	Value   string
	Scope   string
	Expires time.Time
}

// ForClient issues a token to a source system that shows its secret. scope is
// what it asks for, "" for all that it may. Errors have code login, throttled
// or forbidden (a scope that it does not have).
func (t *Tokens) ForClient(ctx context.Context, clientID, clientSecret, scope string) (Token, error) {
	return t.issue(ctx, string(Client), clientID, clientSecret, scope)
}

// Notifier is the kind of account that signs in to the notification API with
// an e-mail address and a password.
const Notifier = "notifier"

// ForNotifier issues a token that is good for sending notifications alone.
func (t *Tokens) ForNotifier(ctx context.Context, email, password string) (Token, error) {
	return t.issue(ctx, Notifier, strings.ToLower(strings.TrimSpace(email)), password, string(Notify))
}

func (t *Tokens) issue(ctx context.Context, kind, login, secret, scope string) (Token, error) {
	wrong := fhir.Errorf(fhir.CodeLogin, "", "These credentials are not right.")
	if len(login) > 200 || len(secret) > 500 {
		return Token{}, wrong
	}
	var account store.Account
	err := t.store.View(ctx, func(r store.Reader) (err error) {
		account, err = r.Account(kind, login)
		return err
	})
	hash := account.SecretHash
	if errors.Is(err, store.ErrNotFound) {
		hash, err = nobody, nil
	}
	if err != nil {
		return Token{}, err
	}
	if !Matches(hash, secret) {
		// Only failures count: a busy source system is never locked out.
		if err := errors.Join(t.attempts.allow(kind+login), t.attempts.allow("@"+remote(ctx))); err != nil {
			return Token{}, fhir.Errorf(fhir.CodeThrottled, "", "Too many attempts. Wait a few minutes and try again.")
		}
		return Token{}, wrong
	}
	if !account.Active || account.Demo && t.refuseDemo {
		return Token{}, wrong
	}
	granted := account.Scopes
	if scope != "" {
		if granted, err = narrowed(account.Scopes, scope); err != nil {
			return Token{}, err
		}
	}
	return t.sign(account, granted)
}

// narrowed gives the scopes asked for, all of which must be within those held.
func narrowed(held, asked string) (string, error) {
	scopes := strings.Fields(held)
	for _, want := range strings.Fields(asked) {
		rest, fhirScope := strings.CutPrefix(want, "system/")
		typ, letters, ok := strings.Cut(rest, ".")
		if !fhirScope {
			if !scoped(scopes, Action(want), "") {
				return "", ErrForbidden()
			}
			continue
		}
		if !ok || letters == "" {
			return "", ErrForbidden()
		}
		for _, letter := range letters {
			if !scoped(scopes, Action(letter), typ) {
				return "", ErrForbidden()
			}
		}
	}
	return asked, nil
}

func (t *Tokens) sign(a store.Account, scope string) (Token, error) {
	now := t.clock()
	token := Token{Scope: scope, Expires: now.Add(TokenLife)}
	var err error
	token.Value, err = jwt.Signed(t.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: t.issuer(), Subject: a.ID, Audience: jwt.Audience{t.issuer()}, ID: randomText()[:22],
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(token.Expires),
		},
		Scope: scope, Organization: a.Organization,
	}).Serialize()
	return token, err
}

// Verify gives the principal of a bearer token; the error has code login or
// expired. A token that was verified before is not verified again.
func (t *Tokens) Verify(_ context.Context, bearer string) (Principal, error) {
	now := t.clock()
	key := sha256.Sum256([]byte(bearer))
	t.mu.RLock()
	known, ok := t.verified[key]
	t.mu.RUnlock()
	if !ok {
		var err error
		if known, err = t.verify(bearer); err != nil {
			return Principal{}, err
		}
		t.remember(key, known)
	}
	if !now.Before(known.expires) {
		return Principal{}, fhir.Errorf(fhir.CodeExpired, "", "The access token has expired; get a new one.")
	}
	return known.principal, nil
}

func (t *Tokens) verify(bearer string) (verified, error) {
	wrong := fhir.Errorf(fhir.CodeLogin, "", "The access token is not valid.")
	if len(bearer) > 4096 {
		return verified{}, wrong
	}
	parsed, err := jwt.ParseSigned(bearer, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].KeyID != t.public.KeyID {
		return verified{}, wrong
	}
	var c claims
	if err := parsed.Claims(t.public.Key, &c); err != nil {
		return verified{}, wrong
	}
	if c.Issuer != t.issuer() || !c.Audience.Contains(t.issuer()) || c.Expiry == nil || c.Organization == "" {
		return verified{}, wrong
	}
	return verified{
		principal: Principal{Kind: Client, ID: c.Subject, Organization: c.Organization, Scopes: strings.Fields(c.Scope)},
		expires:   c.Expiry.Time(),
	}, nil
}

func (t *Tokens) remember(key [32]byte, v verified) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.verified) >= maxVerified {
		clear(t.verified)
	}
	t.verified[key] = v
}

// JWKS gives the public keys with which others can verify access tokens.
func (t *Tokens) JWKS() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{t.public}})
}
