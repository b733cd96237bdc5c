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

// Bounds of what a stored hash may ask for, in KiB, passes and bytes.
const (
	maxArgonMemory = 1 << 20
	maxArgonTime   = 20
	maxArgonLength = 128
)

// argonTurns bounds how many passwords are checked at once, so that a burst of
// sign-ins cannot exhaust the memory.
var argonTurns = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// argon is an Argon2id hash with what it was made with.
type argon struct {
	memory, time uint32
	salt, key    []byte
}

func (a *argon) derive(secret string, length int) []byte {
	argonTurns <- struct{}{}
	defer func() { <-argonTurns }()
	return argon2.IDKey([]byte(secret), a.salt, a.time, a.memory, 1, uint32(length))
}

// String gives the PHC form: $argon2id$v=19$m=…,t=…,p=1$salt$key.
func (a *argon) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, a.memory, a.time, encode(a.salt), encode(a.key))
}

func parseArgon(hash string) (a argon, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return a, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &a.memory, &a.time); err != nil || n != 2 {
		return a, false
	}
	var err1, err2 error
	a.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	a.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	return a, err1 == nil && err2 == nil && a.memory > 0 && a.memory <= maxArgonMemory && a.time > 0 && a.time <= maxArgonTime &&
		len(a.key) >= 16 && len(a.key) <= maxArgonLength
}

// HashPassword gives the hash under which something that people type is kept.
func HashPassword(password string) string {
	a := argon{memory: argonMemory, time: argonTime, salt: make([]byte, 16)}
	_, _ = rand.Read(a.salt) // never fails
	a.key = a.derive(password, argonLength)
	return a.String()
}

const shaPrefix = "sha256$"

// HashSecret gives the hash under which a random secret of 256 bits is kept.
// It is fast: such a secret cannot be guessed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return shaPrefix + hex.EncodeToString(sum[:])
}

// Matches tells whether the secret is the one that the hash was made of, in
// time that does not depend on how much of it is right.
func Matches(hash, secret string) bool {
	if strings.HasPrefix(hash, shaPrefix) {
		return subtle.ConstantTimeCompare([]byte(hash), []byte(HashSecret(secret))) == 1
	}
	a, ok := parseArgon(hash)
	return ok && subtle.ConstantTimeCompare(a.key, a.derive(secret, len(a.key))) == 1
}

func encode(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// What is checked when there is no account or code, so that the time of the
// answer does not tell. No secret matches them.
var (
	noSecret   = shaPrefix + strings.Repeat("0", 64)
	noPassword = (&argon{memory: argonMemory, time: argonTime, salt: make([]byte, 16), key: make([]byte, argonLength)}).String()
)

// NewSecret gives 256 random bits as 43 characters.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// secretLength is the least length of a client's secret: shorter ones cannot
// hold 256 bits and would not be safe under a fast hash.
const secretLength = 43
