package jitsitest

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Token is what a verified token says.
type Token struct {
	Header  map[string]any
	Claims  map[string]any
	User    map[string]any // context.user
	Feature map[string]any // context.features; nil when the token has none
}

func (t Token) text(claim string) string { s, _ := t.Claims[claim].(string); return s }

// split reads a compact token without believing it.
func split(token string) (t Token, signed string, signature []byte, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return t, "", nil, errors.New("not three parts")
	}
	for i, into := range []*map[string]any{&t.Header, &t.Claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return t, "", nil, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return t, "", nil, err
		}
	}
	if c, ok := t.Claims["context"].(map[string]any); ok {
		t.User, _ = c["user"].(map[string]any)
		t.Feature, _ = c["features"].(map[string]any)
	}
	signature, err = base64.RawURLEncoding.DecodeString(parts[2])
	return t, parts[0] + "." + parts[1], signature, err
}

// Verify checks a token as Prosody does at a login, with the keys of one
// repository. It is written from what Prosody checks and shares no code with
// what signs.
func (s *Server) Verify(ctx context.Context, repository, token string) (Token, error) {
	t, signed, signature, err := split(token)
	if err != nil {
		return t, fmt.Errorf("not a token: %w", err)
	}
	if t.Header["typ"] != "JWT" {
		return t, errors.New("invalid typ")
	}
	if err := s.checkSignature(ctx, repository, t, signed, signature); err != nil {
		return t, err
	}
	now := float64(s.opts.Clock().Unix())
	exp, hasExp := t.Claims["exp"].(float64)
	nbf, hasNbf := t.Claims["nbf"].(float64)
	audience, plain := t.Claims["aud"].(string) // a list is refused
	switch {
	case t.text("iss") != s.opts.Issuer:
		return t, errors.New("invalid iss claim")
	case !plain || audience != s.opts.Audience:
		return t, errors.New("invalid aud claim")
	case hasExp && now >= exp:
		return t, errors.New("not acceptable by exp")
	case hasNbf && now < nbf:
		return t, errors.New("not acceptable by nbf")
	case t.text("sub") == "":
		return t, errors.New("sub claim is missing")
	case t.text("room") == "":
		return t, errors.New("room claim is missing")
	}
	return t, nil
}

func (s *Server) checkSignature(ctx context.Context, repository string, t Token, signed string, signature []byte) error {
	sum := sha256.Sum256([]byte(signed))
	if s.opts.Secret != nil {
		mac := hmac.New(sha256.New, s.opts.Secret)
		mac.Write([]byte(signed))
		if t.Header["alg"] != "HS256" || !hmac.Equal(mac.Sum(nil), signature) {
			return errors.New("invalid signature")
		}
		return nil
	}
	kid, _ := t.Header["kid"].(string)
	if t.Header["alg"] != "RS256" || kid == "" {
		return errors.New("invalid or incorrect alg, or no kid")
	}
	key, err := s.publicKey(ctx, repository, kid)
	if err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return errors.New("invalid signature")
	}
	return nil
}

// publicKey fetches a key by the hash of its kid, once: Prosody keeps it in
// memory until it is restarted.
func (s *Server) publicKey(ctx context.Context, repository, kid string) (*rsa.PublicKey, error) {
	sum := sha256.Sum256([]byte(kid))
	address := repository + "/" + hex.EncodeToString(sum[:]) + ".pem"
	s.mu.Lock()
	key := s.keys[address]
	s.mu.Unlock()
	if key != nil {
		return key, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, errors.New("the key repository does not answer")
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("could not obtain public key: %d", resp.StatusCode)
	}
	if key, err = ParsePublicKey(body); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.keys[address] = key
	s.mu.Unlock()
	return key, nil
}

// ParsePublicKey reads the PEM of an RSA public key.
func ParsePublicKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("not the PEM of a public key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return key, nil
}

// Forget empties the memory of keys, as a restart of Prosody does.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keys)
}

// VerifyJaaS checks a token as JaaS does, by its documentation.
func VerifyJaaS(token, appID string, keys map[string]*rsa.PublicKey, now time.Time) (Token, error) {
	t, signed, signature, err := split(token)
	if err != nil {
		return t, fmt.Errorf("not a token: %w", err)
	}
	kid, _ := t.Header["kid"].(string)
	key := keys[kid]
	if t.Header["alg"] != "RS256" || t.Header["typ"] != "JWT" || key == nil || !strings.HasPrefix(kid, appID+"/") {
		return t, errors.New("invalid alg, typ or kid")
	}
	sum := sha256.Sum256([]byte(signed))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return t, errors.New("invalid signature")
	}
	exp, hasExp := t.Claims["exp"].(float64)
	nbf, hasNbf := t.Claims["nbf"].(float64)
	switch {
	case t.text("aud") != "jitsi", t.text("iss") != "chat", t.text("sub") != appID:
		return t, errors.New("invalid aud, iss or sub")
	case !hasExp || float64(now.Unix()) >= exp, !hasNbf || float64(now.Unix()) < nbf:
		return t, errors.New("not acceptable by time")
	}
	for name, value := range t.Feature {
		if !slices.Contains([]any{true, false, "true", "false"}, value) {
			return t, fmt.Errorf("feature %s is neither true nor false", name)
		}
	}
	return t, nil
}
