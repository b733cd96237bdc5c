package delivery

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Guard decides to which addresses the exchange sends notifications. Whoever
// may write a Subscription names an endpoint, and must not be able to make the
// exchange knock on doors that only it can reach.
type Guard struct {
	// Loopback allows endpoints on this machine, over http too: for a
	// development where nobody else can reach the exchange either.
	Loopback bool

	hosts    []string
	networks []netip.Prefix
	resolver *net.Resolver // nil for the machine's own
}

// NewGuard makes a Guard with the list of an operator: host names, addresses
// and networks (CIDR), separated by commas. With a list, nothing else is sent
// to; what it names may be on a private network. The error names the entry
// that is none of these.
func NewGuard(allow string, loopback bool) (*Guard, error) {
	g := &Guard{Loopback: loopback}
	for entry := range strings.SplitSeq(allow, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "" {
			continue
		}
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			g.networks = append(g.networks, prefix.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(entry); err == nil {
			g.networks = append(g.networks, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
			continue
		}
		if !hostName(entry) {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "%q is neither a host name nor an address nor a network such as 10.1.0.0/16", entry)
		}
		g.hosts = append(g.hosts, entry)
	}
	return g, nil
}

func hostName(s string) bool {
	if len(s) > 253 || strings.Trim(s, ".-") != s {
		return false
	}
	for _, c := range []byte(s) {
		if c != '.' && c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// closed are networks that no endpoint is on: this machine, private and local
// networks, what is reserved, and ways to write IPv4 addresses as IPv6.
var closed = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
	"fe80::/10", "fec0::/10", "ff00::/8",
)

// never are closed even to a host that the operator names: a name leads where
// its owner likes.
var never = prefixes("0.0.0.0/8", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fd00:ec2::/32", "fe80::/10", "ff00::/8")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// ErrAddress refuses an endpoint. It does not say what stands there.
func errAddress() *fhir.Error {
	return fhir.Errorf(fhir.CodeForbidden, "Subscription.channel.endpoint", "The exchange may not send notifications to this address.").WithStatus(422)
}

// allows decides on an address that a host has.
func (g *Guard) allows(host string, ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback() && g.Loopback:
		return true
	case within(g.networks, ip):
		return !ip.IsUnspecified() && !ip.IsMulticast()
	case slices.Contains(g.hosts, strings.ToLower(strings.TrimSuffix(host, "."))):
		return !within(never, ip)
	case len(g.hosts)+len(g.networks) > 0:
		return false
	}
	return !within(closed, ip)
}

// Check judges an endpoint by its URL alone, without asking anybody: scheme,
// port, and an address that stands for itself.
func (g *Guard) Check(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return errAddress()
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	local := g.Loopback && (err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost"))
	if u.Scheme != "https" && !local {
		return fhir.Errorf(fhir.CodeForbidden, "Subscription.channel.endpoint", "Notifications are sent over https alone.").WithStatus(422)
	}
	if err == nil && !g.allows(host, ip) || err != nil && !local && (disguised(host) || strings.EqualFold(host, "localhost")) {
		return errAddress()
	}
	if port := u.Port(); port != "" && !local {
		n, err := strconv.Atoi(port)
		if err != nil || n != 443 && (n < 1024 || n > 65535) {
			return fhir.Errorf(fhir.CodeForbidden, "Subscription.channel.endpoint", "The port must be 443, or 1024 and above.").WithStatus(422)
		}
	}
	return nil
}

// disguised tells whether a host is an address in a form that only some
// resolvers read, such as 2130706433, 0x7f.1 or 127.1.
func disguised(host string) bool {
	last := strings.ToLower(host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:])
	_, err := strconv.ParseUint(strings.TrimSuffix(last, "."), 0, 64)
	return err == nil
}

// Reach finds out whether an endpoint has an address that may be sent to.
func (g *Guard) Reach(ctx context.Context, endpoint string) error {
	if err := g.Check(endpoint); err != nil {
		return err
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return errAddress()
	}
	resolver := g.resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found, err := resolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(ip netip.Addr) bool { return g.allows(u.Hostname(), ip) }) {
		return errAddress()
	}
	return nil
}

// dial connects to an address of a host. What is checked is the address that
// is really dialled, whatever a name has meant a moment ago.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		Timeout: 10 * time.Second, Resolver: g.resolver,
		Control: func(_, real string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(real)
			if err != nil || !g.allows(host, at.Addr()) {
				return errAddress()
			}
			return nil
		},
	}
	return d.DialContext(ctx, network, address)
}

// client makes the HTTP client of all deliveries. It follows no redirect, asks
// no proxy, and keeps no cookies.
func (g *Guard) client() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: g.dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 4, MaxIdleConns: 256, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
	}
}
