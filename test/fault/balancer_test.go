package fault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// balancer stands before the nodes as an operator's proxy does: it takes them
// in turn, leaves out those that say they are not ready, goes to another one
// where none answers the door, and gives up on an answer that does not come.
type balancer struct {
	*httptest.Server
	carrier *http.Transport

	mu    sync.Mutex
	nodes []string        // addresses
	out   map[string]bool // not ready
	next  int
}

const (
	askEvery     = 500 * time.Millisecond
	answerWithin = 10 * time.Second
)

func newBalancer(t testing.TB) *balancer {
	t.Helper()
	b := &balancer{out: map[string]bool{}, carrier: &http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, ResponseHeaderTimeout: answerWithin, MaxIdleConnsPerHost: 64,
	}}
	b.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "a.node"})
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		Transport:     b,
		FlushInterval: -1,                         // streams
		ErrorLog:      log.New(io.Discard, "", 0), // nodes are meant to die
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.watch(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		b.CloseClientConnections()
		b.Close()
		b.carrier.CloseIdleConnections()
	})
	return b
}

func (b *balancer) add(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = append(b.nodes, address)
}

// turn gives the nodes in the order in which they are to be tried.
func (b *balancer) turn() (order []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	var last []string
	for i := range b.nodes {
		n := b.nodes[(b.next+i)%len(b.nodes)]
		if b.out[n] {
			last = append(last, n)
		} else {
			order = append(order, n)
		}
	}
	return append(order, last...)
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	err := errors.New("there is no node")
	for _, n := range b.turn() {
		again := r.Clone(r.Context())
		again.URL.Host = n
		again.Body, again.ContentLength = http.NoBody, int64(len(body))
		if len(body) > 0 {
			again.Body = io.NopCloser(bytes.NewReader(body))
		}
		var resp *http.Response
		if resp, err = b.carrier.RoundTrip(again); err == nil {
			return resp, nil
		}
		if door := (*net.OpError)(nil); !errors.As(err, &door) || door.Op != "dial" {
			return nil, err // it may have been heard: only the client knows whether it may be sent again
		}
	}
	return nil, err
}

// watch asks the nodes whether they are ready.
func (b *balancer) watch(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		nodes := append([]string{}, b.nodes...)
		b.mu.Unlock()
		var wg sync.WaitGroup
		for _, n := range nodes {
			wg.Go(func() {
				limited, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				status, err := (&process{url: "http://" + n}).get(limited, "/readyz")
				b.mu.Lock()
				defer b.mu.Unlock()
				b.out[n] = err != nil || status != http.StatusOK
			})
		}
		wg.Wait()
	}
}
