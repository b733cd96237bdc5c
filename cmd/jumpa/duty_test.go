package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/lease"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// served is `jumpa serve` at work, as a scraper knows it.
type served struct {
	t       *testing.T
	name    string
	address string
	env     []string
	data    string
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	gone    chan error
}

// start starts the node and waits until it is ready.
func (s *served) start() {
	s.t.Helper()
	s.cmd = command(s.t, s.env, "serve", "--data", s.data, "--listen", s.address)
	s.stderr.Reset()
	s.cmd.Stderr = &s.stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	gone := make(chan error, 1)
	s.gone = gone
	go func(cmd *exec.Cmd) { gone <- cmd.Wait(); close(gone) }(s.cmd)
	s.t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-gone })
	for end := time.Now().Add(patience); ; {
		resp, err := http.Get("http://" + s.address + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-gone:
			s.t.Fatalf("%s has ended: %v\n%s", s.name, err, &s.stderr)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s is not ready: %s", s.name, &s.stderr)
		}
	}
}

// end sends a signal and waits until the node has gone.
func (s *served) end(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	<-s.gone
}

var dutyLine = regexp.MustCompile(`(?m)^jumpa_duty_held\{duty="([a-z]+)"\} ([01])$`)

// duties gives those that the node has, as /metrics says; none when it does not
// answer.
func (s *served) duties() (held []string) {
	resp, err := http.Get("http://" + s.address + "/metrics")
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil
	}
	for _, m := range dutyLine.FindAllStringSubmatch(string(text), -1) {
		if m[2] == "1" {
			held = append(held, m[1])
		}
	}
	slices.Sort(held)
	return held
}

// scraper looks at two nodes all the time.
type scraper struct {
	a, b *served

	looked chan struct{} // something new was seen

	mu   sync.Mutex
	has  map[string]string // node by duty, as seen last
	twos []string          // duties that two nodes had at the same time
	seen int
}

func (s *scraper) run(stop <-chan struct{}) {
	before := s.a.duties()
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		other, after := s.b.duties(), s.a.duties()
		s.mu.Lock()
		s.seen++
		s.has = map[string]string{}
		for _, d := range after {
			s.has[d] = s.a.name
		}
		for _, d := range other {
			if slices.Contains(before, d) && slices.Contains(after, d) { // the first had it before and after the second was asked
				s.twos = append(s.twos, d)
			}
			if !slices.Contains(after, d) {
				s.has[d] = s.b.name
			}
		}
		s.mu.Unlock()
		select {
		case s.looked <- struct{}{}:
		default:
		}
		before = after
	}
}

// until waits until a node has all duties, and tells how long each took.
func (s *scraper) until(t *testing.T, node *served) map[string]time.Duration {
	t.Helper()
	began, took := time.Now(), map[string]time.Duration{}
	for len(took) < len(looks) {
		s.mu.Lock()
		for d, name := range s.has {
			if name == node.name && took[d] == 0 {
				took[d] = time.Since(began)
			}
		}
		s.mu.Unlock()
		select {
		case <-s.looked:
		case <-time.After(patience - time.Since(began)):
			t.Fatalf("%s has %v of the duties after %v\n%s", node.name, took, time.Since(began), &node.stderr)
		}
	}
	return took
}

// looks are how often a node looks at a duty that another has.
var looks = map[string]time.Duration{"relay": 500 * time.Millisecond, "timers": lease.DefaultTerm / 4, "calls": lease.DefaultTerm / 4}

// slack is for a machine that has other things to do.
const slack = 6 * time.Second

// TestDutiesChangeHands kills the node that has the duties, and stops the one
// that has them then: a scraper of both sees each duty go to the other in the
// time that is promised, and never with two.
func TestDutiesChangeHands(t *testing.T) {
	kafka := &broker.Broker{Dir: t.TempDir(), Listen: "127.0.0.1:0"}
	if err := kafka.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Stop)
	jitsi := jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi"})
	t.Cleanup(jitsi.Close)
	database := postgrestest.Database(t)
	node := func(name string) *served {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		return &served{t: t, name: name, address: address, data: t.TempDir(), env: []string{
			"JUMPA_DATABASE_URL=" + database, "JUMPA_KAFKA_BROKERS=" + kafka.Addr(), "JUMPA_DRAIN=0s", "JUMPA_MEETING_PROVIDER=jitsi",
			"JUMPA_JITSI_DOMAIN=meet.example.my", "JUMPA_JITSI_CONTROL_URL=" + jitsi.URL(), "JUMPA_JITSI_BEARER=" + strings.Repeat("b", 32),
		}}
	}
	s := &scraper{a: node("a"), b: node("b"), looked: make(chan struct{}, 1)}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	defer func() { close(stop); watching.Wait() }()
	watching.Go(func() { s.run(stop) })

	s.a.start()
	s.until(t, s.a)
	s.b.start()
	if held := s.b.duties(); len(held) > 0 {
		t.Errorf("the second node has %v while the first is well", held)
	}

	for _, step := range []struct {
		what     string
		from, to *served
		signal   syscall.Signal
		within   func(look time.Duration) time.Duration
	}{
		{"killed", s.a, s.b, syscall.SIGKILL, func(look time.Duration) time.Duration { return lease.DefaultTerm + 2*look }},
		{"stopped", s.b, s.a, syscall.SIGTERM, func(look time.Duration) time.Duration { return look }},
	} {
		step.from.end(step.signal)
		for duty, took := range s.until(t, step.to) {
			t.Logf("%s: %s is the other's after %v", step.what, duty, took.Round(10*time.Millisecond))
			if most := step.within(looks[duty]); took > most+slack {
				t.Errorf("%s: %s is the other's after %v; at most %v is promised", step.what, duty, took, most)
			}
		}
		step.from.start()
		if held := step.from.duties(); len(held) > 0 {
			t.Errorf("%s, and back, it has %v, which the other has", step.what, held)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.twos) > 0 || s.seen < 50 {
		t.Errorf("in %d looks, two nodes had the duties %v", s.seen, s.twos)
	}
}
