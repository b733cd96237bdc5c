package delivery_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

// childPath, in the environment, makes this program an exchange to be killed:
// it writes so many records as childWrites says, delivers, and tells when it
// has written and when it has delivered everything.
const (
	childPath   = "JUMPA_TEST_DELIVERY_DATABASE"
	childHook   = "JUMPA_TEST_DELIVERY_HOOK"
	childWrites = "JUMPA_TEST_DELIVERY_WRITES"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		child(path)
		os.Exit(0)
	}
	postgrestest.Run(m)
}

// parent stands in for a test in a child: what fails ends the process.
type parent struct{ testing.TB }

func (parent) Helper()                           {}
func (parent) Cleanup(func())                    {}
func (parent) Fatal(args ...any)                 { fmt.Println(append([]any{"error:"}, args...)...); os.Exit(1) }
func (p parent) Fatalf(format string, a ...any)  { p.Fatal(fmt.Sprintf(format, a...)) }
func (parent) Errorf(format string, args ...any) { fmt.Printf("error: "+format+"\n", args...) }

func child(path string) {
	p := parent{}
	st, err := sqlite.Open(context.Background(), path)
	if err != nil {
		p.Fatal(err)
	}
	w := worldOf(p, st)
	w.service.Clock, w.service.Poll, w.service.Retry = time.Now, 20*time.Millisecond, 10*time.Millisecond
	if _, err := w.try(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: os.Getenv(childHook), content: "id-only", maxCount: 5, status: "active"}.String()); err != nil {
		p.Fatal(err)
	}
	w.start()
	writes, _ := strconv.Atoi(os.Getenv(childWrites))
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }() // the parent is gone
	for range writes {
		w.put(hospitalSystem, observation("o1", rand.IntN(1<<30), "final"))
		fmt.Println("written")
	}
	for s := w.subscriber("s1"); s.Status != "active" || s.Done < s.Events; s = w.subscriber("s1") {
		if s.Status == "error" {
			p.Fatal("the Subscription was given up")
		}
		<-w.settled
	}
	fmt.Println("events", w.subscriber("s1").Events)
}

// An exchange is killed again and again while it writes and delivers. Every
// event arrives, each at least once, in their order and without a gap.
func TestKilled(t *testing.T) {
	path, r := database(t), newReceiver(t)
	// Some answers are lost, so that kills meet retries too.
	r.does(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if strings.Contains(string(body), "event-notification") && rand.IntN(10) == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	run := func(writes, kill int) string {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childPath+"="+path, childHook+"="+r.URL, childWrites+"="+strconv.Itoa(writes))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close() }()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := ""
		for n := 0; lines.Scan(); {
			if last = lines.Text(); strings.HasPrefix(last, "error") {
				t.Fatal(last)
			}
			if n++; n == kill {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		return last
	}
	for range 8 {
		run(50, 1+rand.IntN(45))
	}
	var events int64
	if _, err := fmt.Sscanf(run(1, 0), "events %d", &events); err != nil || events < 9 {
		t.Fatalf("%d events, %v", events, err)
	}
	inOrder(t, r, events)
}

// inOrder looks at all that a receiver has had: the first arrivals are 1, 2, 3
// … to the last, and what comes again goes no further back than a batch.
func inOrder(t *testing.T, r *receiver, last int64) {
	t.Helper()
	var seen int64
	for len(r.came) > 0 {
		g := <-r.came
		m := read(t, g.body)
		if m.kind == "event-notification" && m.total != m.numbers[len(m.numbers)-1] {
			t.Errorf("%d events since the start, and number %d", m.total, m.numbers[len(m.numbers)-1])
		}
		for _, n := range m.numbers {
			if n > seen+1 {
				t.Fatalf("event %d came after %d", n, seen)
			}
			seen = max(seen, n)
		}
	}
	if seen != last {
		t.Errorf("%d events of %d arrived", seen, last)
	}
}

// Whatever an endpoint does, event numbers are 1, 2, 3 … without a gap, and
// once it is well again everything has arrived or can be asked for.
func TestNumbersWithoutGaps(t *testing.T) {
	for range 4 {
		w := newWorld(t, database(t))
		w.service.Retry, w.service.Longest, w.service.GiveUp = time.Second, time.Second, time.Hour
		r := newReceiver(t)
		w.start()
		w.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty", maxCount: 1 + rand.IntN(5)}.String())
		w.until("s1", has("active"))
		r.does(func(w http.ResponseWriter, _ *http.Request) {
			switch rand.IntN(6) {
			case 0:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 1:
				panic(http.ErrAbortHandler)
			case 2:
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(http.StatusFound)
			}
		})
		const writes = 60
		for n := range writes {
			w.put(hospitalSystem, observation("o1", n, "final"))
			if rand.IntN(4) == 0 {
				w.pass(2 * time.Second)
			}
			if n%10 == 0 { // what is refused raises no number
				doc, err := fhir.Parse([]byte(observation("o1", -1, "final")))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.exchange.Put(t.Context(), hospitalSystem, exchange.Write{Type: "Observation", ID: "o1", Doc: doc, IfMatch: exchange.Match{999}}); err == nil {
					t.Error("a record that was changed meanwhile was written")
				}
			}
		}
		for done := false; !done; {
			select {
			case s := <-w.settled:
				if s.Failures > 0 {
					w.pass(2 * time.Second)
				}
				done = s.Done == writes
			case <-time.After(patience):
				t.Fatalf("%+v\n%s", w.subscriber("s1"), w.log)
			}
		}
		if s := w.subscriber("s1"); s.Events != writes {
			t.Errorf("%d events of %d writes", s.Events, writes)
		}
		inOrder(t, r, writes)
	}
}

// Two nodes share one database: each Subscription is attended to by one of
// them at a time, and a node that has died is taken over from.
func TestTwoNodes(t *testing.T) {
	path := database(t)
	one := newWorld(t, path)
	two := worldOf(t, one.store)
	two.service.Node = "two"
	r := newReceiver(t)
	one.start()
	one.put(hospitalSystem, sub{id: "s1", criteria: "Observation", endpoint: r.URL, content: "empty"}.String())
	one.until("s1", has("active"))
	r.next(t)
	hold := make(chan struct{})
	r.does(func(http.ResponseWriter, *http.Request) { <-hold })
	one.put(hospitalSystem, observation("o1", 1, "final"))
	r.next(t) // one is at it
	two.start()
	two.service.Wake()
	other := newReceiver(t)
	two.put(clinicSystem, sub{id: "s2", criteria: "Observation", endpoint: other.URL, content: "empty"}.String())
	two.service.Wake()
	other.next(t) // two has looked, and has found s2 alone
	two.until("s2", has("active"))
	if len(r.came) > 0 {
		t.Error("both nodes attended to one Subscription")
	}
	// The lease of one ends without a word from it.
	two.pass(time.Minute)
	r.next(t)
	close(hold)
	two.until("s1", func(s store.Subscriber) bool { return s.Done == 1 })
	// What one has to say of it now counts no more.
	one.put(hospitalSystem, observation("o1", 2, "final"))
	two.service.Wake()
	for {
		if m := read(t, r.next(t).body); m.numbers[0] == 2 {
			break
		}
	}
}
