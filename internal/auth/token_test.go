package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

func (w *world) token(t *Tokens) Token {
	w.t.Helper()
	token, err := t.ForClient(w.t.Context(), "HTJ", secret, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens(false)
	token := w.token(tokens)
	p, err := tokens.Verify(WithTrace(t.Context(), "abc"), token.Value)
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind != Client || p.ID != "HTJ" || p.Organization != hospital || strings.Join(p.Scopes, " ") != "system/*.cruds session notify" || p.Trace != "abc" {
		t.Errorf("principal %+v", p)
	}
	if want := w.clock().Add(TokenLife); !token.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", token.Expires, want)
	}
	w.pass(TokenLife - time.Second)
	if _, err := tokens.Verify(t.Context(), token.Value); err != nil {
		t.Errorf("a second before the end: %v", err)
	}
	w.pass(time.Second)
	_, err = tokens.Verify(t.Context(), token.Value)
	wantCode(t, err, fhir.CodeExpired)
	_, err = w.tokens(false).Verify(t.Context(), token.Value)
	wantCode(t, err, fhir.CodeExpired)
}

// forge signs claims with a key of its own under a header of its own.
func forge(t *testing.T, alg jose.SignatureAlgorithm, key any, kid, typ string, c any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, o)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVerifyRefuses(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens(false)
	ours, err := loadKey(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kid := tokens.public.KeyID
	good := func(edit func(map[string]any)) map[string]any {
		c := map[string]any{
			"iss": issuer, "aud": issuer, "sub": "HTJ", "account": "client", "organization": hospital, "scope": "session",
			"exp": w.clock().Add(time.Hour).Unix(),
		}
		if edit != nil {
			edit(c)
		}
		return c
	}
	set := func(name string, value any) map[string]any {
		return good(func(c map[string]any) { c[name] = value })
	}
	without := func(name string) map[string]any { return good(func(c map[string]any) { delete(c, name) }) }
	sign := func(c map[string]any) string { return forge(t, jose.ES256, ours, kid, tokenType, c) }
	unsigned := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
			base64.RawURLEncoding.EncodeToString(fhir.Marshal(good(nil))) + "."
	}
	publicKey, err := ours.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	tampered := strings.Split(sign(good(nil)), ".")
	tampered[1] = base64.RawURLEncoding.EncodeToString(fhir.Marshal(set("scope", "system/*.cruds")))

	if _, err := tokens.Verify(t.Context(), sign(good(nil))); err != nil {
		t.Fatalf("the token that the others are made from is refused: %v", err)
	}
	for name, c := range map[string]struct {
		token string
		want  fhir.Code
	}{
		"nothing":                  {"", fhir.CodeLogin},
		"no token":                 {"Bearer", fhir.CodeLogin},
		"three parts of nothing":   {"..", fhir.CodeLogin},
		"too long":                 {strings.Repeat("a", maxToken+1), fhir.CodeLogin},
		"alg none":                 {unsigned(`{"alg":"none","typ":"at+jwt","kid":"` + kid + `"}`), fhir.CodeLogin},
		"alg ES256, not signed":    {unsigned(`{"alg":"ES256","typ":"at+jwt","kid":"` + kid + `"}`), fhir.CodeLogin},
		"our public key as secret": {forge(t, jose.HS256, publicKey, kid, tokenType, good(nil)), fhir.CodeLogin},
		"another key, our kid":     {forge(t, jose.ES256, theirs, kid, tokenType, good(nil)), fhir.CodeLogin},
		"our key, another kid":     {forge(t, jose.ES256, ours, "other", tokenType, good(nil)), fhir.CodeLogin},
		"our key, no kid":          {forge(t, jose.ES256, ours, "", tokenType, good(nil)), fhir.CodeLogin},
		"another type of token":    {forge(t, jose.ES256, ours, kid, "JWT", good(nil)), fhir.CodeLogin},
		"tampered with":            {strings.Join(tampered, "."), fhir.CodeLogin},
		"another issuer":           {sign(set("iss", "https://evil.example")), fhir.CodeLogin},
		"another audience":         {sign(set("aud", "https://evil.example")), fhir.CodeLogin},
		"no audience":              {sign(without("aud")), fhir.CodeLogin},
		"without an end":           {sign(without("exp")), fhir.CodeLogin},
		"no organisation":          {sign(without("organization")), fhir.CodeLogin},
		"an account that is not":   {sign(set("sub", "KKPD")), fhir.CodeLogin},
		"a kind that is not":       {sign(set("account", "patient")), fhir.CodeLogin},
		"another organisation":     {sign(set("organization", "11-05040012")), fhir.CodeLogin},
		"more scopes than held":    {sign(set("scope", "system/*.cruds session notify launch")), fhir.CodeLogin},
		"expired":                  {sign(set("exp", w.clock().Unix())), fhir.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // also when it has been seen before
				p, err := tokens.Verify(t.Context(), c.token)
				wantCode(t, err, c.want)
				if p.Kind != "" {
					t.Errorf("principal %+v", p)
				}
			}
		})
	}
}

func TestAccountBehindATokenIsLookedAtAgain(t *testing.T) {
	for name, edit := range map[string]func(*store.Account){
		"closed":               func(a *store.Account) { a.Active = false },
		"another organisation": func(a *store.Account) { a.Organization = "11-05040012" },
		"fewer scopes":         func(a *store.Account) { a.Scopes = "session" },
		"of a demo":            func(a *store.Account) { a.Demo = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tokens := w.tokens(true)
			token := w.token(tokens)
			if _, err := tokens.Verify(t.Context(), token.Value); err != nil {
				t.Fatal(err)
			}
			w.change("client", "HTJ", edit)
			w.pass(Recheck)
			for range 2 {
				_, err := tokens.Verify(t.Context(), token.Value)
				wantCode(t, err, fhir.CodeLogin)
			}
			_, err := w.tokens(true).Verify(t.Context(), token.Value)
			wantCode(t, err, fhir.CodeLogin)
		})
	}
}

func TestKnownTokenNeedsNoDatabase(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens(false)
	token := w.token(tokens)
	if _, err := tokens.Verify(t.Context(), token.Value); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.pass(Recheck - time.Second)
	if _, err := tokens.Verify(t.Context(), token.Value); err != nil {
		t.Errorf("a known token asked the database: %v", err)
	}
	w.pass(time.Second)
	_, err := tokens.Verify(t.Context(), token.Value)
	wantCode(t, err, fhir.CodeTransient)
}

func TestKeyIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	first, again := w.tokens(false), w.tokens(false)
	token := w.token(first)
	if _, err := again.Verify(t.Context(), token.Value); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	a, err := first.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(a, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.Keys[0]["alg"] != "ES256" || set.Keys[0]["use"] != "sig" || set.Keys[0]["kid"] != again.public.KeyID {
		t.Errorf("keys %s", a)
	}
	if set.Keys[0]["d"] != "" {
		t.Error("the private key is published")
	}
}

func TestForClient(t *testing.T) {
	for _, c := range []struct {
		name, id, secret, scope string
		edit                    func(*store.Account)
		refuseDemo              bool
		want                    fhir.Code
		granted                 string
	}{
		{name: "all that it may", id: "HTJ", secret: secret, granted: "system/*.cruds session notify"},
		{name: "less", id: "HTJ", secret: secret, scope: "system/Patient.rs", granted: "system/Patient.rs"},
		{name: "a demo on loopback", id: "HTJ", secret: secret, scope: "notify", granted: "notify", edit: demo},
		{name: "a demo elsewhere", id: "HTJ", secret: secret, edit: demo, refuseDemo: true, want: fhir.CodeLogin},
		{name: "more", id: "HTJ", secret: secret, scope: "system/*.cruds launch", want: fhir.CodeForbidden},
		{name: "wrong secret", id: "HTJ", secret: secret + "x", want: fhir.CodeLogin},
		{name: "no secret", id: "HTJ", want: fhir.CodeLogin},
		{name: "no client", secret: secret, want: fhir.CodeLogin},
		{name: "unknown client", id: "KKPD", secret: secret, want: fhir.CodeLogin},
		{name: "the e-mail address", id: email, secret: password, want: fhir.CodeLogin},
		{name: "closed", id: "HTJ", secret: secret, edit: func(a *store.Account) { a.Active = false }, want: fhir.CodeLogin},
		{name: "an endless id", id: strings.Repeat("x", 10_000), secret: secret, want: fhir.CodeLogin},
		{name: "an endless secret", id: "HTJ", secret: strings.Repeat("x", 10_000), want: fhir.CodeLogin},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.edit != nil {
				w.change("client", "HTJ", c.edit)
			}
			token, err := w.tokens(c.refuseDemo).ForClient(t.Context(), c.id, c.secret, c.scope)
			wantCode(t, err, c.want)
			if token.Scope != c.granted || (token.Value == "") != (c.want != "") {
				t.Errorf("token %+v, want scope %q", token, c.granted)
			}
			want := "token"
			if c.want != "" {
				want = "" // nothing was written
			}
			if got := strings.Join(w.trail(), " "); got != want {
				t.Errorf("audit trail %q, want %q", got, want)
			}
		})
	}
}

func demo(a *store.Account) { a.Demo = true }

func TestForNotifier(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens(false)
	token, err := tokens.ForNotifier(t.Context(), " HTJ@Source.Example ", password)
	if err != nil {
		t.Fatal(err)
	}
	p, err := tokens.Verify(t.Context(), token.Value)
	if err != nil || p.Kind != Client || p.Organization != hospital || strings.Join(p.Scopes, " ") != "notify" {
		t.Errorf("principal %+v, error %v", p, err)
	}
	for _, c := range [][2]string{{email, "wrong"}, {"nobody@source.example", password}, {"HTJ", secret}, {"", ""}} {
		_, err := tokens.ForNotifier(t.Context(), c[0], c[1])
		wantCode(t, err, fhir.CodeLogin)
	}
	if got := len(w.trail()); got != 1 {
		t.Errorf("%d audit records, want 1", got)
	}
}

func TestGuessingASecretIsThrottled(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens(false)
	from := func(address, secret string) error {
		_, err := tokens.ForClient(WithRemote(t.Context(), address), "HTJ", secret, "")
		return err
	}
	for range 1000 { // what is right is never counted
		if err := from("198.51.100.1", secret); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		wantCode(t, from("203.0.113.7", "guess"), fhir.CodeLogin)
	}
	wantCode(t, from("203.0.113.7", "guess"), fhir.CodeThrottled)
	wantCode(t, from("203.0.113.7", secret), fhir.CodeThrottled) // else a guess would show that it is right
	wantCode(t, from("198.51.100.1", secret), "")                // the client itself is not locked out
	w.pass(30 * time.Second)
	wantCode(t, from("203.0.113.7", "guess"), fhir.CodeLogin)
}

func TestGuessingFromManyAddressesIsThrottled(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens(false)
	throttled := 0
	for i := range 400 {
		address := "203.0.113." + string(rune('a'+i%40))
		_, err := tokens.ForClient(WithRemote(t.Context(), address), "HTJ", "guess", "")
		if fhir.CodeOf(err) == fhir.CodeThrottled {
			throttled++
		}
	}
	if throttled != 200 {
		t.Errorf("%d of 400 guesses were throttled, want 200", throttled)
	}
}

func BenchmarkVerifyKnownToken(b *testing.B) {
	w := newWorld(b)
	tokens := w.tokens(false)
	token := w.token(tokens)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokens.Verify(b.Context(), token.Value); err != nil {
			b.Fatal(err)
		}
	}
}
