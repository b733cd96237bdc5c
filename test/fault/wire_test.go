package fault

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// wire is the network between two parts: a proxy that can be cut, stall, be
// slow, or break off in the middle of what it carries.
type wire struct {
	listener net.Listener
	dial     func(context.Context) (net.Conn, error)

	mu    sync.Mutex
	state trouble
	heal  chan struct{} // closed when what stalls goes on
	ends  map[net.Conn]struct{}
	done  bool
	wg    sync.WaitGroup
}

// trouble is what is wrong with a wire. The zero value is a good one.
type trouble struct {
	cut   bool          // nothing is connected
	stall bool          // nothing gets through; nobody is told
	delay time.Duration // of all that is carried
	torn  int           // one in so many pieces is carried half, and the connection ends
}

// newWire listens at a free port and carries all that comes to where dial
// leads.
func newWire(t testing.TB, dial func(context.Context) (net.Conn, error)) *wire {
	t.Helper()
	l, err := net.Listen("tcp", free(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, dial: dial, heal: make(chan struct{}), ends: map[net.Conn]struct{}{}}
	w.wg.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) close() {
	w.mu.Lock()
	w.done = true
	w.mu.Unlock()
	w.set(trouble{cut: true})
	_ = w.listener.Close()
	w.wg.Wait()
}

// set makes the trouble; the zero trouble mends the wire.
func (w *wire) set(now trouble) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = now
	if !now.stall {
		close(w.heal)
		w.heal = make(chan struct{})
	}
	if now.cut {
		for c := range w.ends {
			_ = c.Close()
		}
	}
}

// hold notes a connection, so that a cut ends it.
func (w *wire) hold(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.cut || w.done {
		_ = c.Close()
		return false
	}
	w.ends[c] = struct{}{}
	return true
}

func (w *wire) drop(c net.Conn) {
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, c)
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.wg.Go(func() {
			if !w.hold(near) {
				return
			}
			defer w.drop(near)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			far, err := w.dial(ctx)
			if err != nil || !w.hold(far) {
				return
			}
			defer w.drop(far)
			w.wg.Go(func() { w.carry(near, far) })
			w.carry(far, near)
		})
	}
}

// carry moves bytes until one side ends; then both do.
func (w *wire) carry(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			whole := w.pass()
			if !whole {
				n /= 2
			}
			if _, err := to.Write(piece[:n]); err != nil || !whole {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass holds a piece up as the trouble wants; false when only half of it is
// to arrive.
func (w *wire) pass() bool {
	for {
		w.mu.Lock()
		now, heal := w.state, w.heal
		w.mu.Unlock()
		if now.stall {
			<-heal
			continue
		}
		if now.delay > 0 {
			time.Sleep(now.delay)
		}
		return now.torn == 0 || rand.IntN(now.torn) > 0
	}
}
