package portal

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

// tune opens the stream of an appointment and gives its lines; the channel is
// closed when the stream ends.
func (b *browser) tune(ctx context.Context, id string) (<-chan string, int) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+Root+"appointments/"+id+"/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		defer res.Body.Close()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			if s.Text() != "" {
				lines <- s.Text()
			}
		}
	}()
	return lines, res.StatusCode
}

func expect(t *testing.T, lines <-chan string, want ...string) {
	t.Helper()
	for _, l := range want {
		select {
		case got, ok := <-lines:
			if !ok || got != l {
				t.Fatalf("line %q (open %t), want %q", got, ok, l)
			}
		case <-t.Context().Done():
			t.Fatalf("no line, want %q", l)
		}
	}
}

func waitingPatient(t *testing.T, change ...func(*Portal)) (*world, *browser, *Portal) {
	t.Helper()
	w := newWorld()
	srv, p := w.serve(t)
	for _, c := range change {
		c(p)
	}
	at("a1", func(v *consult.View) { v.State, v.CheckedIn, v.QueuePlace = consult.Waiting, w.now, 3 })(w)
	b := newBrowser(t, srv.URL)
	b.signIn(aminah)
	return w, b, p
}

func TestStreamSaysOnlyLookAgain(t *testing.T) {
	w, b, p := waitingPatient(t)
	lines, _ := b.tune(t.Context(), "a1")
	expect(t, lines, "retry: 1000", "event: look", "data: again")
	v := w.views["a1"]
	v.QueuePlace = 2
	w.put(aminah, v) // somebody before left
	expect(t, lines, "event: look", "data: again")
	w.write(aminah, "Rahsia", "Isi surat")
	expect(t, lines, "event: look", "data: again")
	if a := b.get(Root + "appointments/a1?part"); !strings.Contains(a.body, "Anda nombor 2 dalam giliran.") || !strings.Contains(a.body, "Isi surat") || strings.Contains(a.body, "<html") {
		t.Errorf("the part of the page is %s", a.body)
	}
	p.Stop()
	p.Stop()
	if l, ok := <-lines; ok {
		t.Errorf("after Stop: %q", l)
	}
}

func TestStreamBeats(t *testing.T) {
	_, b, _ := waitingPatient(t, func(p *Portal) { p.streams.Beat = time.Millisecond })
	lines, _ := b.tune(t.Context(), "a1")
	expect(t, lines, "retry: 1000", "event: look", "data: again", ": still here", ": still here")
}

func TestStreamEndsAfterItsLife(t *testing.T) {
	_, b, p := waitingPatient(t, func(p *Portal) { p.streams.Life = time.Millisecond })
	lines, _ := b.tune(t.Context(), "a1")
	expect(t, lines, "retry: 1000", "event: look", "data: again")
	if l, ok := <-lines; ok {
		t.Errorf("still there: %q", l)
	}
	if n := p.streams.Open(); n != 0 {
		t.Errorf("streams of %d people are still counted", n)
	}
}

func TestStreamsOfOneAccountAreBounded(t *testing.T) {
	_, b, _ := waitingPatient(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range ui.MaxStreams {
		lines, status := b.tune(ctx, "a1")
		if status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		expect(t, lines, "retry: 1000")
	}
	if _, status := b.tune(ctx, "a1"); status != http.StatusTooManyRequests {
		t.Errorf("one more: status %d", status)
	}
}

// The clients are bare connections, so that what is measured is the server.
func TestStreamsAreCheap(t *testing.T) {
	const streams, most = 400, 60 << 10 // bytes each: 5,000 stay under 300 MB
	w := newWorld()
	srv, _ := w.serve(t)
	for i := range streams {
		login := fmt.Sprintf("%012d", i)
		v := w.booking(fmt.Sprint("a", i), 10)
		v.State = consult.Waiting
		w.put(login, v)
		w.sessions["cookie"+login] = login
	}
	used := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := used()
	for i := range streams {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %sappointments/a%d/events HTTP/1.1\r\nHost: x\r\nCookie: %s=cookie%012d\r\n\r\n", Root, i, sessionCookie, i)
		var got []byte
		for buf := make([]byte, 1024); !strings.Contains(string(got), ui.LookAgain); {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("stream %d: %v after %q", i, err, got)
			}
			got = append(got, buf[:n]...)
		}
	}
	each := (used() - before) / streams
	t.Logf("%d bytes for one stream", each)
	if each > most {
		t.Errorf("one stream takes %d bytes, at most %d", each, most)
	}
}
