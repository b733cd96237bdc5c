package portal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// entry is what the browser of somebody who is not signed in carries between
// two pages. It is sealed: the identity number is readable to nobody.
type entry struct {
	Token    string `json:"t"` // of the forms
	Login    string `json:"l,omitempty"`
	Activate bool   `json:"a,omitempty"` // the terms were accepted
	Next     string `json:"n,omitempty"` // page to open afterwards
	Expires  int64  `json:"e"`           // Unix seconds
}

const (
	entryCookie = "rekodsaya_entry"
	entryLife   = 30 * time.Minute
)

// sealer encrypts and authenticates small values.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, err
}

func (s sealer) shut(v entry) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(entryCookie))), nil
}

func (s sealer) open(text string) (v entry, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < s.aead.NonceSize() {
		return v, false
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, b[:n], b[n:], []byte(entryCookie))
	if err != nil {
		return v, false
	}
	return v, json.Unmarshal(plain, &v) == nil
}

// entryOf reads the cookie; ok is false when there is none that is still good,
// and then the entry is a new one.
func (p *Portal) entryOf(r *http.Request) (e entry, ok bool) {
	if c, err := r.Cookie(entryCookie); err == nil {
		if e, ok := p.seal.open(c.Value); ok && e.Token != "" && p.Clock().Unix() < e.Expires {
			return e, true
		}
	}
	return entry{Token: rand.Text()}, false
}

func (p *Portal) keepEntry(w http.ResponseWriter, e entry) error {
	e.Expires = p.Clock().Add(entryLife).Unix()
	value, err := p.seal.shut(e)
	if err != nil {
		return err
	}
	p.setCookie(w, entryCookie, value, int(entryLife.Seconds()))
	return nil
}

// setCookie sets a cookie for the portal only; age in seconds, 0 until the
// browser closes, negative to remove it.
func (p *Portal) setCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: Root, MaxAge: age,
		HttpOnly: true, Secure: p.Secure, SameSite: http.SameSiteLaxMode,
	})
}
