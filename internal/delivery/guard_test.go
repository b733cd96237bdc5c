package delivery_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/store"
)

func guard(t testing.TB, allow string, loopback bool) *delivery.Guard {
	t.Helper()
	g, err := delivery.NewGuard(allow, loopback)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Addresses that stand in the URL are judged without asking anybody.
func TestEndpointsByTheirURL(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		open     bool // without a list, on a public address
		dev      bool // where the exchange listens on loopback
	}{
		{"https://hooks.example/x", true, true},
		{"https://hooks.example:443/x", true, true},
		{"https://hooks.example:8443/x", true, true},
		{"https://hooks.example:65535/x", true, true},
		{"https://hooks.example:22/x", false, false},
		{"https://hooks.example:80/x", false, false},
		{"https://hooks.example:0/x", false, false},
		{"http://hooks.example/x", false, false},
		{"ftp://hooks.example/x", false, false},
		{"gopher://127.0.0.1:6379/_x", false, true}, // the order refuses the scheme
		{"https://8.8.8.8/x", true, true},
		{"https://[2606:4700:4700::1111]/x", true, true},
		{"http://127.0.0.1:9999/x", false, true},
		{"https://127.0.0.1/x", false, true},
		{"http://127.255.255.254/x", false, true},
		{"http://localhost:9999/x", false, true},
		{"http://[::1]:9999/x", false, true},
		{"http://[::ffff:127.0.0.1]/x", false, true},
		{"https://localhost/x", false, true},
		{"https://2130706433/x", false, false},
		{"https://0x7f000001/x", false, false},
		{"https://0x7f.1/x", false, false},
		{"https://127.1/x", false, false},
		{"https://0177.0.0.1/x", false, false},
		{"https://hooks.example.1/x", false, false},
		{"https://hooks1.example/x", true, true},
		{"https://10.0.0.1/x", false, false},
		{"https://172.16.0.1/x", false, false},
		{"https://172.31.255.255/x", false, false},
		{"https://172.32.0.1/x", true, true},
		{"https://192.168.1.1/x", false, false},
		{"https://100.64.0.1/x", false, false},
		{"https://100.100.100.200/x", false, false},
		{"https://169.254.169.254/latest/meta-data", false, false},
		{"https://[::ffff:169.254.169.254]/x", false, false},
		{"https://[::ffff:a9fe:a9fe]/x", false, false},
		{"https://[64:ff9b::a9fe:a9fe]/x", false, false},
		{"https://[2002:a9fe:a9fe::1]/x", false, false},
		{"https://[::a9fe:a9fe]/x", false, false},
		{"https://[fd00:ec2::254]/x", false, false},
		{"https://[fe80::1]/x", false, false},
		{"https://[fe80::1%25eth0]/x", false, false},
		{"https://[fc00::1]/x", false, false},
		{"https://[fec0::1]/x", false, false},
		{"https://[ff02::1]/x", false, false},
		{"https://[2001::1]/x", false, false},
		{"https://[2001:db8::1]/x", false, false},
		{"https://[::]/x", false, false},
		{"https://0.0.0.0/x", false, false},
		{"https://0.1.2.3/x", false, false},
		{"https://168.63.129.16/x", false, false},
		{"https://192.0.0.192/x", false, false},
		{"https://192.0.2.1/x", false, false},
		{"https://198.18.0.1/x", false, false},
		{"https://198.51.100.1/x", false, false},
		{"https://203.0.113.1/x", false, false},
		{"https://224.0.0.1/x", false, false},
		{"https://239.255.255.250/x", false, false},
		{"https://255.255.255.255/x", false, false},
	} {
		if err := guard(t, "", false).Check(c.endpoint); (err == nil) != c.open {
			t.Errorf("%s: %v, want open %v", c.endpoint, err, c.open)
		}
		if strings.HasPrefix(c.endpoint, "gopher") {
			continue
		}
		if err := guard(t, "", true).Check(c.endpoint); (err == nil) != c.dev {
			t.Errorf("%s in development: %v, want open %v", c.endpoint, err, c.dev)
		}
	}
}

// An operator's list opens private networks, and closes all else. A host that
// it names cannot lead to this machine or to what machines in a cloud ask.
func TestListOfTheOperator(t *testing.T) {
	g := guard(t, " hooks.hospital.example , 10.1.0.0/16,192.168.7.7, fd12::/16 ,127.0.0.5", false)
	for _, c := range []struct {
		host, ip string
		want     bool
	}{
		{"other.example", "10.1.2.3", true},
		{"other.example", "10.2.0.1", false},
		{"other.example", "192.168.7.7", true},
		{"other.example", "::ffff:192.168.7.7", true},
		{"other.example", "192.168.7.8", false},
		{"other.example", "fd12::1", true},
		{"other.example", "8.8.8.8", false},
		{"hooks.hospital.example", "8.8.8.8", true},
		{"Hooks.Hospital.Example.", "172.16.1.1", true},
		{"hooks.hospital.example", "127.0.0.1", false},
		{"hooks.hospital.example", "::1", false},
		{"hooks.hospital.example", "169.254.169.254", false},
		{"hooks.hospital.example", "fe80::1", false},
		{"hooks.hospital.example", "ff02::1", false},
		{"evil.hooks.hospital.example", "8.8.8.8", false},
		{"other.example", "127.0.0.5", true}, // written down by the operator
		{"other.example", "127.0.0.6", false},
	} {
		if got := g.Allows(c.host, netip.MustParseAddr(c.ip)); got != c.want {
			t.Errorf("%s at %s: %v", c.host, c.ip, got)
		}
	}
	for _, bad := range []string{"https://hooks.example", "10.0.0.0/33", "a b", "hook*", "host:8443", "-x"} {
		if _, err := delivery.NewGuard(bad, false); err == nil {
			t.Errorf("%q was taken for a host", bad)
		}
	}
}

// names is a name server that answers with one address after another.
func names(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	var asked atomic.Int32
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				at := min(int(asked.Add(1))-1, len(addresses)-1)
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addresses[at]).As4()},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// A name that means a public address when it is looked up, and this machine
// when it is dialled, reaches nothing.
func TestRebinding(t *testing.T) {
	r := newReceiver(t)
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, "", false)
	g.Resolve(names(t, "8.8.8.8", "127.0.0.1"))
	endpoint := "https://rebind.example:" + port + "/"
	if err := g.Reach(t.Context(), endpoint); err != nil {
		t.Fatalf("at the first look: %v", err)
	}
	for _, scheme := range []string{"https", "http"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", scheme+"://rebind.example:"+port+"/", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.Client().Do(req)
		if err == nil {
			_ = resp.Body.Close()
			t.Fatalf("%s was reached: %d", scheme, resp.StatusCode)
		}
		if !strings.Contains(err.Error(), "may not send") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	if len(r.came) > 0 {
		t.Error("the receiver was reached")
	}
	if err := g.Reach(t.Context(), endpoint); err == nil {
		t.Error("a name of this machine may be sent to")
	}
}

// No proxy of the environment is asked: it would dial for the exchange, and
// nobody would look at the address.
func TestNoProxy(t *testing.T) {
	proxy := newReceiver(t)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	g := guard(t, "", false)
	g.Resolve(names(t, "127.0.0.1"))
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://proxied.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := g.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the request went out")
	}
	if len(proxy.came) > 0 {
		t.Error("the proxy was asked")
	}
}

// A Subscription to an endpoint that may not be reached is refused when it is
// written, or is in error when its name turns out to lead there.
func TestForbiddenEndpoints(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	w.service.Guard = guard(t, "", false)
	w.service.Guard.Resolve(names(t, "127.0.0.1"))
	for _, endpoint := range []string{r.URL, "https://169.254.169.254/", "https://10.0.0.1/", "http://hooks.example/", "file:///etc/passwd", "https://user:pass@hooks.example/", "//hooks.example/", "https:///x"} {
		if _, err := w.try(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: endpoint, content: "empty"}.String()); err == nil {
			t.Errorf("%s was taken", endpoint)
		}
	}
	w.start()
	for i, s := range []sub{{payload: "application/fhir+json"}, {content: "empty"}} {
		s.id, s.criteria, s.endpoint = fmt.Sprint("s", i), "Observation", "https://inside.example:"+port+"/"
		w.put(hospitalSystem, s.String())
		w.until(s.id, has("error"))
		if doc := w.read(hospitalSystem, "Subscription", s.id); !strings.Contains(doc.Get("error").String(), "may not send") {
			t.Errorf("%s", doc.Bytes())
		}
	}
	if len(r.came) > 0 {
		t.Errorf("the receiver was reached: %v", <-r.came)
	}
}

// A list that is changed counts for Subscriptions that are there.
func TestListThatIsChanged(t *testing.T) {
	w := newWorld(t, database(t))
	r := newReceiver(t)
	w.start()
	w.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty"}.String())
	w.until("s1", has("active"))
	r.next(t)
	w.service.Stop()

	later := worldOf(t, w.store)
	later.service.Guard = guard(t, "hooks.example", false)
	later.service.Retry, later.service.GiveUp = time.Second, time.Millisecond
	later.put(hospitalSystem, observation("o1", 1, "final"))
	later.start()
	later.until("s1", func(s store.Subscriber) bool { return s.Status == "error" && s.Done == 0 })
	if len(r.came) > 0 {
		t.Error("the receiver was reached")
	}
}
