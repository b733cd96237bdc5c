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
	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Times of access tokens.
const (
	TokenLife = time.Hour
	// Recheck is how long a token still works after its account was closed,
	// or its organisation or scopes were changed.
	Recheck = 30 * time.Second
)

// signingKey is the setting under which the key of access tokens is kept.
const signingKey = "auth.key"

// Bounds of tokens.
const (
	maxVerified = 10_000 // remembered
	maxToken    = 8 << 10
)

// tokenType is the type of JWT access tokens (RFC 9068).
const tokenType = "at+jwt"

// Tokens issues and verifies access tokens: signed JWTs (ES256), so that every
// node can verify what any node has issued. It is safe for concurrent use.
type Tokens struct {
	store      store.Store
	clock      func() time.Time
	issuer     func() string
	refuseDemo bool
	shared     bool
	signer     jose.Signer
	public     jose.JSONWebKey
	limits     tokenLimits
	refusals   refusals

	mu       sync.Mutex
	verified recent[[32]byte, verified]
}

// verified is a token whose signature was found right.
type verified struct {
	principal Principal
	kind      string // of the account
	scope     string
	expires   time.Time
	checked   time.Time // when the account was last looked at
}

// TokenOptions of OpenTokens. Issuer is the public URL of the exchange.
type TokenOptions struct {
	Store      store.Store
	Clock      func() time.Time
	Issuer     func() string
	RefuseDemo bool // demo accounts get no token, and theirs are not taken
	Shared     bool // other nodes use the store: failed attempts are counted together
}

// OpenTokens reads the signing key from the store, or makes it the first time.
func OpenTokens(ctx context.Context, o TokenOptions) (*Tokens, error) {
	key, err := loadKey(ctx, o.Store)
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
		(&jose.SignerOptions{}).WithType(tokenType))
	return &Tokens{
		store: o.Store, clock: o.Clock, issuer: o.Issuer, refuseDemo: o.RefuseDemo, shared: o.Shared, signer: signer, public: public,
		limits:   newTokenLimits(o.Clock),
		verified: recent[[32]byte, verified]{limit: maxVerified},
	}, err
}

func loadKey(ctx context.Context, s store.Store) (*ecdsa.PrivateKey, error) {
	var der []byte
	err := s.Update(ctx, func(tx store.Tx) (err error) {
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
	return x509.ParseECPrivateKey(der)
}

// claims of an access token beside the registered ones.
type claims struct {
	jwt.Claims
	Client       string `json:"client_id"`
	Account      string `json:"account"` // its kind
	Scope        string `json:"scope"`
	Organization string `json:"organization"`
}

// Token is an issued access token.
type Token struct {
	Value   string
	Scope   string
	Expires time.Time
}

// Issue signs a token for an account, without looking at any secret. ttl is at
// least a second.
func (t *Tokens) Issue(a store.Account, scope string, ttl time.Duration) (Token, error) {
	now := t.clock()
	token := Token{Scope: scope, Expires: now.Add(ttl).Truncate(time.Second)}
	var err error
	token.Value, err = jwt.Signed(t.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: t.issuer(), Subject: a.ID, Audience: jwt.Audience{t.issuer()}, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(token.Expires),
		},
		Client: a.ID, Account: a.Kind, Scope: scope, Organization: a.Organization,
	}).Serialize()
	return token, err
}

// Verify gives the principal of a bearer token; the error has code login or
// expired. The signature of a token is verified once, its account is looked at
// again every Recheck.
func (t *Tokens) Verify(ctx context.Context, bearer string) (Principal, error) {
	if len(bearer) > maxToken {
		return Principal{}, badToken()
	}
	now := t.clock()
	key := sha256.Sum256([]byte(bearer))
	t.mu.Lock()
	known, ok := t.verified.get(key)
	t.mu.Unlock()
	if !ok {
		var err error
		if known, err = t.verify(bearer); err != nil {
			return Principal{}, err
		}
	}
	if !now.Before(known.expires) {
		return Principal{}, fhir.Errorf(fhir.CodeExpired, "", "The access token has expired; get a new one.")
	}
	if !ok || now.Sub(known.checked) >= Recheck {
		if err := t.recheck(ctx, known); err != nil {
			return Principal{}, err
		}
		known.checked = now
		t.mu.Lock()
		t.verified.put(key, known)
		t.mu.Unlock()
	}
	known.principal.Trace = Trace(ctx)
	return known.principal, nil
}

func badToken() error { return fhir.Errorf(fhir.CodeLogin, "", "The access token is not valid.") }

func (t *Tokens) verify(bearer string) (verified, error) {
	parsed, err := jwt.ParseSigned(bearer, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].KeyID != t.public.KeyID ||
		parsed.Headers[0].ExtraHeaders[jose.HeaderType] != tokenType {
		return verified{}, badToken()
	}
	var c claims
	if err := parsed.Claims(t.public.Key, &c); err != nil {
		return verified{}, badToken()
	}
	if c.Issuer != t.issuer() || !c.Audience.Contains(t.issuer()) || c.Expiry == nil || c.Organization == "" {
		return verified{}, badToken()
	}
	return verified{
		principal: Principal{Kind: Client, ID: c.Subject, Organization: c.Organization, Scopes: strings.Fields(c.Scope)},
		kind:      c.Account, scope: c.Scope, expires: c.Expiry.Time(),
	}, nil
}

// recheck refuses a token whose account no longer stands behind it.
func (t *Tokens) recheck(ctx context.Context, v verified) error {
	var a store.Account
	err := t.store.View(ctx, func(r store.Reader) (err error) {
		a, err = r.AccountByID(v.kind, v.principal.ID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return badToken()
	}
	if err != nil {
		return err
	}
	if !t.mayEnter(a) || a.Organization != v.principal.Organization {
		return badToken()
	}
	if _, err := narrowed(a.Scopes, v.scope); err != nil {
		return badToken()
	}
	return nil
}

func (t *Tokens) mayEnter(a store.Account) bool { return a.Active && !(a.Demo && t.refuseDemo) }

// JWKS gives the public keys with which others can verify access tokens.
func (t *Tokens) JWKS() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{t.public}})
}
