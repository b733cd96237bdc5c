package kafka_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// authority makes the certificates of one test, and the tokens that stand for
// those of a sign-in service.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	sign *rsa.PrivateKey // of tokens
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.key = newKey(t)
	der := certify(t, "test authority", nil, nil, a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	write(t, a.ca(), block("CERTIFICATE", der))
	cert, key := a.issue("server")
	write(t, filepath.Join(dir, "server.pem"), key+cert)
	if a.sign, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "jwks.json"), text(t, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "test",
		"n": url64(a.sign.N.Bytes()), "e": url64(big.NewInt(int64(a.sign.E)).Bytes()),
	}}}))
	return a
}

// ca names the file with the authority's certificate.
func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// issue gives a certificate and its key as PEM.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	k := newKey(a.t)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return block("CERTIFICATE", certify(a.t, name, a.cert, a.key, k)), block("PRIVATE KEY", der)
}

// issueFiles gives the files of a certificate and its key.
func (a *authority) issueFiles(name string) (cert, key string) {
	a.t.Helper()
	c, k := a.issue(name)
	cert, key = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	write(a.t, cert, c)
	write(a.t, key, k)
	return cert, key
}

// token gives a signed token as a sign-in service would.
func (a *authority) token(subject string) string {
	a.t.Helper()
	now := time.Now()
	signed := url64([]byte(text(a.t, map[string]any{"alg": "RS256", "kid": "test", "typ": "JWT"}))) + "." +
		url64([]byte(text(a.t, map[string]any{
			"iss": "https://issuer.example", "aud": "kafka", "sub": subject, "scope": "kafka",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		})))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.sign, crypto.SHA256, sum[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return signed + "." + url64(signature)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify makes a certificate, of an authority when there is no parent.
func certify(t *testing.T, name string, parent *x509.Certificate, signer, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if parent == nil {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.IPAddresses = true, x509.KeyUsageCertSign, nil, nil
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func url64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(fmt.Errorf("the test's own JSON: %w", err))
	}
	return string(b)
}
