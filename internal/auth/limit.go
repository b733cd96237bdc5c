package auth

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jumpa-hie/jumpa/fhir"
)

// limiter bounds attempts by key: a burst, then one in each interval.
type limiter struct {
	every time.Duration
	burst int
	clock func() time.Time

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

// maxKeys bounds the memory of a limiter. When it is full those keys are
// forgotten that have had no attempt for a while.
const maxKeys = 100_000

// allow takes one attempt for the key; the error has code throttled.
func (l *limiter) allow(key string) error {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = make(map[string]*rate.Limiter)
	}
	k := l.keys[key]
	if k == nil {
		if len(l.keys) >= maxKeys {
			l.forget(now)
		}
		k = rate.NewLimiter(rate.Every(l.every), l.burst)
		l.keys[key] = k
	}
	if !k.AllowN(now, 1) {
		return fhir.Errorf(fhir.CodeThrottled, "", "Too many attempts. Wait a few minutes and try again.")
	}
	return nil
}

// forget drops the keys that are back at their full burst; if none is, all.
func (l *limiter) forget(now time.Time) {
	for key, k := range l.keys {
		if k.TokensAt(now) >= float64(l.burst) {
			delete(l.keys, key)
		}
	}
	if len(l.keys) >= maxKeys {
		clear(l.keys)
	}
}

type remoteKey struct{}

// WithRemote returns a context that carries the address a request came from.
func WithRemote(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, remoteKey{}, address)
}

func remote(ctx context.Context) string {
	address, _ := ctx.Value(remoteKey{}).(string)
	return address
}
