package jitsi

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Vault keeps the private keys. Update changes what is kept under a name in
// one atomic step; old is nil at first.
type Vault interface {
	Update(ctx context.Context, name string, change func(old []byte) (changed []byte, err error)) error
}

const (
	keyBits      = 2048
	keyRotation  = 30 * 24 * time.Hour
	keyOverlap   = 24 * time.Hour // an old key stays public this long
	keyFreshness = time.Minute    // another process may have rotated meanwhile
	missPause    = time.Second    // between looks for keys that are not known
)

// key is one key pair as it is kept.
type key struct {
	ID      string    `json:"kid"`
	Private string    `json:"private"` // PKCS #8, PEM
	Made    time.Time `json:"made"`
	Retired time.Time `json:"retired,omitzero"`

	private *rsa.PrivateKey
	public  []byte // PEM
}

// ring is the keys of one repository: one that signs and those that still
// verify. The login keys and the system keys must never be the same: a token
// that lets a person in would else end other people's calls.
type ring struct {
	name  string
	vault Vault
	clock func() time.Time

	mu     sync.Mutex
	keys   map[string]*key // by the name of the public file
	newest *key
	loaded time.Time
	missed time.Time
}

// fileOf is where Prosody looks for the public key of a kid.
func fileOf(kid string) string {
	sum := sha256.Sum256([]byte(kid))
	return hex.EncodeToString(sum[:]) + ".pem"
}

// signer gives the key that signs now.
func (r *ring) signer(ctx context.Context) (jose.SigningKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	if r.newest == nil || now.Sub(r.loaded) >= keyFreshness || due(r.newest, now) {
		if err := r.load(ctx, due); err != nil && r.newest == nil {
			return jose.SigningKey{}, err
		}
	}
	return jose.SigningKey{
		Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: r.newest.private, KeyID: r.newest.ID},
	}, nil
}

// rotate makes a new key now.
func (r *ring) rotate(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.load(ctx, func(*key, time.Time) bool { return true })
}

// public gives the file of a public key.
func (r *ring) public(ctx context.Context, file string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	if k := r.keys[file]; k != nil && !withdrawn(k, now) {
		return k.public, true
	}
	if now.Sub(r.missed) < missPause && !r.loaded.IsZero() {
		return nil, false
	}
	r.missed = now
	if r.load(ctx, due) != nil {
		return nil, false
	}
	if k := r.keys[file]; k != nil {
		return k.public, true
	}
	return nil, false
}

func due(newest *key, now time.Time) bool {
	return newest == nil || now.Sub(newest.Made) >= keyRotation
}

func withdrawn(k *key, now time.Time) bool {
	return !k.Retired.IsZero() && now.Sub(k.Retired) >= keyOverlap
}

// load reads the keys, and makes a new one when wanted says so. The caller
// holds the lock.
func (r *ring) load(ctx context.Context, wanted func(newest *key, now time.Time) bool) error {
	kept, err := r.update(ctx, wanted, nil)
	if errors.Is(err, errWanted) {
		// Made while the vault is not locked: it takes a while.
		fresh, failed := makeKey(r.name, r.clock())
		if failed != nil {
			return failed
		}
		kept, err = r.update(ctx, wanted, fresh)
	}
	if err != nil {
		return err
	}
	keys := map[string]*key{}
	var newest *key
	for _, k := range kept {
		if err := k.parse(); err != nil {
			return err
		}
		keys[fileOf(k.ID)] = k
		if k.Retired.IsZero() {
			newest = k
		}
	}
	r.keys, r.newest, r.loaded = keys, newest, r.clock()
	return nil
}

var errWanted = errors.New("jitsi: a new key is wanted")

// update reads the kept keys, drops the withdrawn ones and lets fresh take
// over where one is wanted; errWanted when there is none.
func (r *ring) update(ctx context.Context, wanted func(*key, time.Time) bool, fresh *key) (kept []*key, err error) {
	now := r.clock()
	err = r.vault.Update(ctx, "jitsi."+r.name+".keys", func(old []byte) ([]byte, error) {
		var all []*key
		if old != nil && json.Unmarshal(old, &all) != nil {
			return nil, errors.New("jitsi: the kept keys cannot be read")
		}
		var newest *key
		kept = kept[:0]
		for _, k := range all {
			if withdrawn(k, now) {
				continue
			}
			kept = append(kept, k)
			if k.Retired.IsZero() {
				newest = k
			}
		}
		if wanted(newest, now) {
			if fresh == nil {
				return nil, errWanted
			}
			if newest != nil {
				newest.Retired = now
			}
			kept = append(kept, fresh)
		}
		return json.Marshal(kept)
	})
	return kept, err
}

func makeKey(repository string, now time.Time) (*key, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return &key{
		ID:      "jumpa/" + repository + "-" + hex.EncodeToString(random[:]),
		Private: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), Made: now,
	}, nil
}

func (k *key) parse() error {
	invalid := errors.New("jitsi: a kept key cannot be read")
	block, _ := pem.Decode([]byte(k.Private))
	if block == nil {
		return invalid
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return invalid
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return invalid
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return invalid
	}
	k.private = private
	k.public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return nil
}
