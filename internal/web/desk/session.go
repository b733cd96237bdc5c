package desk

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

const (
	shift       = 12 * time.Hour // after which a practitioner signs in again
	maxSessions = 10_000
	maxNames    = 10_000 // of the limiter

	tries      = 5           // wrong passwords for one username
	tryEvery   = time.Minute // after those
	triesTotal = 100         // wrong passwords for all usernames
)

// session is a practitioner's browser.
type session struct {
	who   Practitioner
	csrf  string
	until time.Time
	note  note // shown once
}

// note is a sentence on top of the next page. Detail is what the exchange
// said.
type note struct {
	Text   ui.Key
	Detail string
	Good   bool
}

// sessions are the signed-in browsers, by the hash of their cookie. They end
// with the process.
type sessions struct {
	clock func() time.Time

	mu    sync.Mutex
	list  map[[32]byte]*session
	names map[string]*rate.Limiter
	all   *rate.Limiter
}

func newSessions(clock func() time.Time) *sessions {
	return &sessions{
		clock: clock, list: map[[32]byte]*session{}, names: map[string]*rate.Limiter{},
		all: rate.NewLimiter(rate.Every(time.Second), triesTotal),
	}
}

// mayTry takes one attempt to sign in under a name.
func (s *sessions) mayTry(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if !s.all.AllowN(now, 1) {
		return false
	}
	if len(s.names) >= maxNames {
		clear(s.names)
	}
	if s.names[name] == nil {
		s.names[name] = rate.NewLimiter(rate.Every(tryEvery), tries)
	}
	return s.names[name].AllowN(now, 1)
}

// open signs a practitioner in and gives the cookie.
func (s *sessions) open(who Practitioner) string {
	cookie := secret()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, who.Username)
	for key, other := range s.list {
		if s.clock().After(other.until) || len(s.list) >= maxSessions {
			delete(s.list, key)
		}
	}
	s.list[sha256.Sum256([]byte(cookie))] = &session{who: who, csrf: secret(), until: s.clock().Add(shift)}
	return cookie
}

// find gives a copy of the session of a cookie, with the note that waited.
func (s *sessions) find(cookie string, takeNote bool) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.list[sha256.Sum256([]byte(cookie))]
	if !ok || s.clock().After(found.until) {
		return session{}, false
	}
	copied := *found
	if takeNote {
		found.note = note{}
	}
	return copied, true
}

// leave keeps a note for the next page.
func (s *sessions) leave(cookie string, n note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.list[sha256.Sum256([]byte(cookie))]; ok {
		found.note = n
	}
}

func (s *sessions) close(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, sha256.Sum256([]byte(cookie)))
}

// secret gives 256 random bits.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func equal(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
