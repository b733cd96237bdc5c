package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jumpa-hie/jumpa/fhir"
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
	every time.Duration
	burst int
	clock func() time.Time

	mu   sync.Mutex
	keys recent[string, *rate.Limiter]
}

func newLimiter(burst int, every time.Duration, clock func() time.Time) *limiter {
	return &limiter{every: every, burst: burst, clock: clock, keys: recent[string, *rate.Limiter]{limit: maxKeys}}
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
