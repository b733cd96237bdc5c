package kafka_test

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// lossy is a network between clients and a broker that loses answers.
type lossy struct {
	address, target string
	lose            atomic.Int32 // so many answers to come, to requests that publish
	lost            atomic.Int32
}

func newLossy(t *testing.T, address, target string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &lossy{address: address, target: target}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.connect(client)
		}
	}()
	return p
}

// connect passes requests and answers on until an answer is lost, with its
// connection, or a side is gone.
func (p *lossy) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var doomed sync.Map // correlation ids of requests
	go func() {
		defer func() { _ = server.Close() }()
		pass(client, server, func(frame []byte) bool {
			const produce = 0
			if len(frame) >= 8 && binary.BigEndian.Uint16(frame) == produce && p.lose.Add(-1) >= 0 {
				doomed.Store(binary.BigEndian.Uint32(frame[4:]), true)
			}
			return true
		})
	}()
	pass(server, client, func(frame []byte) bool {
		if len(frame) < 4 {
			return false
		}
		_, drop := doomed.Load(binary.BigEndian.Uint32(frame))
		if drop {
			p.lost.Add(1)
		}
		return !drop
	})
}

// pass copies messages of Kafka's protocol while keep wants them.
func pass(from io.Reader, to io.Writer, keep func(frame []byte) bool) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(from, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(from, frame); err != nil || !keep(frame) {
			return
		}
		if _, err := to.Write(append(size[:], frame...)); err != nil {
			return
		}
	}
}

// testLost loses answers of the broker to requests that it has carried out:
// the client repeats them, and the broker knows them by their numbers.
func testLost(t *testing.T, k *kind) {
	if k.lossy == nil {
		t.Skip("the brokers of KAFKA_BROKERS are reached as they are")
	}
	network := k.lossy(t)
	far := &kind{addr: network.address}
	name, p := topic(t, far), far.publisher(t)
	publish(t, p, numbered(name, 0, 7)...)
	const answers, events = 3, 140
	network.lose.Store(answers)
	for from := 7; from < events; from += 7 {
		publish(t, p, numbered(name, from, from+7)...)
	}
	if n := network.lost.Load(); n != answers {
		t.Fatalf("%d answers were lost, not %d", n, answers)
	}
	seen := map[string]int{}
	last := map[string]int{}
	for _, r := range all(t, far, name) {
		seen[string(r.Value)]++
		n, err := strconv.Atoi(string(r.Value))
		if err != nil || n < last[string(r.Key)] {
			t.Errorf("%s: event %d came after %d (%v)", r.Key, n, last[string(r.Key)], err)
		}
		last[string(r.Key)] = n
	}
	for n := range events {
		if times := seen[strconv.Itoa(n)]; times != 1 {
			t.Errorf("event %d is there %d times", n, times)
		}
	}
}
