package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2id as recommended for interactive sign-in: 19 MiB, two passes.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLength = 32
)

// argonTurns bounds how many passwords are checked at once, so that a burst of
// sign-ins cannot exhaust the memory.
var argonTurns = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

func argon(secret string, salt []byte) []byte {
	argonTurns <- struct{}{}
	defer func() { <-argonTurns }()
	return argon2.IDKey([]byte(secret), salt, argonTime, argonMemory, 1, argonLength)
}

// HashPassword gives the hash under which something that people type is kept.
func HashPassword(password string) string {
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails
	return fmt.Sprintf("argon2id$%s$%s", encode(salt[:]), encode(argon(password, salt[:])))
}

// HashSecret gives the hash under which a random secret of 256 bits is kept.
// It is fast: such a secret cannot be guessed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256$" + hex.EncodeToString(sum[:])
}

// Matches tells whether the secret is the one that the hash was made of, in
// time that does not depend on how much of it is right.
func Matches(hash, secret string) bool {
	kind, rest, _ := strings.Cut(hash, "$")
	switch kind {
	case "sha256":
		return subtle.ConstantTimeCompare([]byte(hash), []byte(HashSecret(secret))) == 1
	case "argon2id":
		salt64, want64, _ := strings.Cut(rest, "$")
		salt, err1 := base64.RawStdEncoding.DecodeString(salt64)
		want, err2 := base64.RawStdEncoding.DecodeString(want64)
		return err1 == nil && err2 == nil && subtle.ConstantTimeCompare(want, argon(secret, salt)) == 1
	}
	return false
}

func encode(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// nobody is checked when there is no such account, so that the time of the
// answer does not tell.
var nobody = HashPassword("nobody")

// randomText gives 256 random bits as text.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
