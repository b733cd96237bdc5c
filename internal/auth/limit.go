package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// recent is a map of bounded size. Once full, it forgets what was not used
// since it was half full. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	limit      int // at most this many, at least 2
	young, old map[K]V
}

func (r *recent[K, V]) get(k K) (v V, ok bool) {
	if v, ok = r.young[k]; ok {
		return v, true
	}
	if v, ok = r.old[k]; ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if _, there := r.young[k]; !there && len(r.young) >= r.limit/2 {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.young = make(map[K]V)
	}
	r.young[k] = v
}

func (r *recent[K, V]) len() int { return len(r.young) + len(r.old) }

// maxKeys bounds the memory of a limiter.
const maxKeys = 100_000

// limiter bounds attempts by key: a burst, then one in each interval.
type limiter struct {
	name  string // among the limiters of an exchange
	every time.Duration
	burst int
	clock func() time.Time

	mu   sync.Mutex
	keys recent[string, *rate.Limiter]
}

func newLimiter(name string, burst int, every time.Duration, clock func() time.Time) *limiter {
	return &limiter{name: name, every: every, burst: burst, clock: clock, keys: recent[string, *rate.Limiter]{limit: maxKeys}}
}

// take takes an attempt for the key, which giveBack returns: for attempts that
// turned out to be right. The error has code throttled.
func (l *limiter) take(key string) (giveBack func(), err error) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.keys.get(key)
	if !ok {
		k = rate.NewLimiter(rate.Every(l.every), l.burst)
		l.keys.put(key, k)
	}
	if k.TokensAt(now) < 1 {
		return nil, throttled()
	}
	taken := k.ReserveN(now, 1)
	return func() { taken.CancelAt(now) }, nil
}

func throttled() error {
	return fhir.Errorf(fhir.CodeThrottled, "", "Too many attempts. Wait a few minutes and try again.")
}

// attempt is what one attempt is counted under.
type attempt struct {
	limit *limiter
	key   string
}

// takeTogether is takeAll for nodes that share a store: each counts for itself
// first, which keeps a flood away from the store, and then all together. right
// gives the attempts back.
func takeTogether(ctx context.Context, s store.Store, shared bool, attempts ...attempt) (right func(context.Context) error, err error) {
	giveBack, err := takeAll(attempts...)
	if err != nil || !shared {
		return func(context.Context) error { giveBack(); return nil }, err
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		for _, a := range attempts {
			if err := a.count(tx, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		giveBack()
		return nil, err
	}
	return func(ctx context.Context) error {
		giveBack()
		return s.Update(ctx, func(tx store.Tx) error {
			for _, a := range attempts {
				if err := a.count(tx, -1); err != nil {
					return err
				}
			}
			return nil
		})
	}, nil
}

// count adds attempts to those of all nodes, or gives them back. What is kept
// is the time at which none will count any more.
func (a attempt) count(tx store.Tx, n int) error {
	sum := sha256.Sum256([]byte(a.limit.name + " " + a.key)) // the key may be an identity number
	key, now := hex.EncodeToString(sum[:16]), a.limit.clock()
	until, err := tx.Attempts(key)
	if err != nil {
		return err
	}
	full := time.Duration(a.limit.burst) * a.limit.every
	if until.Before(now) || until.Sub(now) > full { // the latter is from a node whose clock is or was ahead: none by ours gets there
		until = now
	}
	until = until.Add(time.Duration(n) * a.limit.every)
	if n > 0 && until.Sub(now) > full {
		return throttled()
	}
	return tx.PutAttempts(key, until)
}

// takeAll takes an attempt of each, or of none.
func takeAll(attempts ...attempt) (giveBack func(), err error) {
	var taken []func()
	giveBack = func() {
		for _, back := range taken {
			back()
		}
	}
	for _, a := range attempts {
		back, err := a.limit.take(a.key)
		if err != nil {
			giveBack()
			return nil, err
		}
		taken = append(taken, back)
	}
	return giveBack, nil
}

type remoteKey struct{}

// WithRemote returns a context that carries the IP address a request came from.
func WithRemote(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, remoteKey{}, address)
}

// remote gives what attempts from an address are counted under: the address,
// or the network of an IPv6 address, for a household has all of it.
func remote(ctx context.Context) string {
	address, _ := ctx.Value(remoteKey{}).(string)
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	network, _ := ip.WithZone("").Prefix(64) // 64 bits are in every IPv6 address
	return network.String()
}

type traceKey struct{}

// WithTrace returns a context that carries the W3C trace id of a request.
func WithTrace(ctx context.Context, trace string) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// Trace gives the trace id of a request, "" when there is none.
func Trace(ctx context.Context) string {
	trace, _ := ctx.Value(traceKey{}).(string)
	return trace
}
