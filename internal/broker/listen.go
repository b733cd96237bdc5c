package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// checkAddress refuses an address that other machines can reach: the messages
// are health records, and the broker asks nobody who they are.
func (b *Broker) checkAddress() error {
	host, _, err := net.SplitHostPort(b.Listen)
	if err != nil {
		return fmt.Errorf("the Kafka address %q is not host:port; set it with --kafka-listen", b.Listen)
	}
	if b.Advertise != "" {
		if _, _, err := net.SplitHostPort(b.Advertise); err != nil {
			return fmt.Errorf("the advertised Kafka address %q is not host:port", b.Advertise)
		}
	}
	if ip := net.ParseIP(host); b.AllowRemote || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("the embedded Kafka broker has no sign-in and may not listen on %s, which other machines can reach: use --kafka-listen 127.0.0.1:9092", b.Listen)
}

const (
	maxConnections = 1024
	acceptPause    = 50 * time.Millisecond
)

// gate is the listener given to kfake. Nobody gets in before open: the log is
// checked first.
type gate struct {
	tcp    net.Listener
	told   net.Addr // what clients are told
	opened chan struct{}
	closed chan struct{}
	once   sync.Once
	slots  chan struct{}
}

func listen(address, advertise string) (*gate, error) {
	tcp, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the Kafka address %s is taken by another program; choose another with --kafka-listen", address)
	}
	if err != nil {
		return nil, fmt.Errorf("the Kafka address %s cannot be used (--kafka-listen): %w", address, err)
	}
	g := &gate{
		tcp: tcp, told: reachable(tcp.Addr()),
		opened: make(chan struct{}), closed: make(chan struct{}),
		slots: make(chan struct{}, maxConnections),
	}
	if advertise != "" {
		g.told = hostPort(advertise)
	}
	return g, nil
}

// reachable gives an address that a client can connect to: for a listener on
// all addresses, the first of this machine that others can reach.
func reachable(addr net.Addr) net.Addr {
	listening, ok := addr.(*net.TCPAddr)
	if !ok || !listening.IP.IsUnspecified() {
		return addr
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		own = nil // loopback, below
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return &net.TCPAddr{IP: n.IP, Port: listening.Port}
		}
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: listening.Port}
}

type hostPort string

func (hostPort) Network() string  { return "tcp" }
func (h hostPort) String() string { return string(h) }

func (g *gate) listenFn(string, string) (net.Listener, error) { return g, nil }

func (g *gate) open() { close(g.opened) }

// Addr gives the address that clients are told.
func (g *gate) Addr() net.Addr { return g.told }

// Close ends listening; kfake ends the connections.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.tcp.Close()
}

// Accept waits for the next client. kfake stops listening at the first error,
// so it sees none before the gate is closed.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case <-g.opened:
	case <-g.closed:
		return nil, net.ErrClosed
	}
	select {
	case g.slots <- struct{}{}:
	case <-g.closed:
		return nil, net.ErrClosed
	}
	for {
		tcp, err := g.tcp.Accept()
		if err == nil {
			return &conn{Conn: tcp, leave: sync.OnceFunc(func() { <-g.slots })}, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		pause := time.NewTimer(acceptPause) // out of file handles, most likely
		select {
		case <-pause.C:
		case <-g.closed:
			pause.Stop()
			return nil, net.ErrClosed
		}
	}
}
