package roster

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const minSecret = 32

// Seal makes the user id that a person has in one room: nobody else in the
// call can read who it is, the exchange can, and a forged one does not open.
type Seal struct {
	aead cipher.AEAD
	mac  []byte
}

// NewSeal derives a Seal from a secret of at least 32 bytes.
func NewSeal(secret []byte) (*Seal, error) {
	if len(secret) < minSecret {
		return nil, errors.New("roster: the secret needs at least 32 bytes")
	}
	block, err := aes.NewCipher(digest(secret, "seal"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &Seal{aead: aead, mac: digest(secret, "nonce")}, err
}

func digest(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

var letters = map[meeting.Role]byte{meeting.Practitioner: 'd', meeting.Patient: 'p'}

// ID gives the user id of p in room: always the same one, of letters that
// need no escaping in a URL.
func (s *Seal) ID(room string, p meeting.Person) string {
	plain := append([]byte{letters[p.Role]}, p.ID...)
	// The nonce depends on what is sealed, so that a person keeps the id.
	nonce := digest(s.mac, room+"\x00"+string(plain))[:s.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(room)))
}

// Open gives the person behind an id of this room; false for every other id.
func (s *Seal) Open(room, id string) (meeting.Person, bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(sealed) < s.aead.NonceSize() {
		return meeting.Person{}, false
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(room))
	if err != nil || len(plain) < 2 {
		return meeting.Person{}, false
	}
	for role, letter := range letters {
		if letter == plain[0] {
			return meeting.Person{ID: string(plain[1:]), Role: role}, true
		}
	}
	return meeting.Person{}, false
}
