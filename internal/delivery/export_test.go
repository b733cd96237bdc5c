package delivery

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// OnSettled lets a test know of each act that was written down.
func (s *Service) OnSettled(fn func(store.Subscriber)) { s.settled = fn }

// SetRandom takes chance out of pauses: half is the pause itself.
func (s *Service) SetRandom(fn func() float64) { s.random = fn }

// Pause gives the pause after so many failures.
func (s *Service) Pause(failures int) time.Duration {
	s.prepare()
	return s.pause(failures)
}

// Given tells whether an endpoint is given up after so many failures.
func (s *Service) Given(failures int) bool {
	s.prepare()
	return s.given(failures)
}

// Resolve makes a Guard ask other name servers.
func (g *Guard) Resolve(r *net.Resolver) { g.resolver = r }

// Allows decides on an address.
func (g *Guard) Allows(host string, ip netip.Addr) bool { return g.allows(host, ip) }

// Client gives the HTTP client of deliveries.
func (g *Guard) Client() *http.Client { return g.client() }
