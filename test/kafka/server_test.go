// Package kafka_test proves the client of Jumpa and the exchange itself on Apache
// Kafka. `make deps` fetches what it needs. KAFKA_BROKERS names another
// cluster; tests that must kill the broker or manage its users are skipped
// there.
package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// elsewhere is the cluster to test on instead of one of our own.
var elsewhere = os.Getenv("KAFKA_BROKERS")

// patience bounds what is waited for; a machine may be slow.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// free finds a port outside the range from which systems take the ports of
// outgoing connections: while the broker is down, nobody must get its port.
func free(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}

// flags keep the Java programs small and quick to start.
var flags = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"}

// java gives a Java program of Apache Kafka. The test fails when there is no
// Java or no Kafka.
func java(t *testing.T, class string, args ...string) *exec.Cmd {
	t.Helper()
	lib, err := filepath.Abs("target/lib")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Fatal("java is missing: run `make deps`")
	}
	if jars, _ := filepath.Glob(filepath.Join(lib, "kafka-server-*.jar")); len(jars) == 0 {
		t.Fatal("the jars of Apache Kafka are missing: run `make deps`")
	}
	all := append([]string{"-cp", filepath.Join(lib, "*")}, flags...)
	return exec.Command("java", append(append(all, class), args...)...)
}

// tool runs a command line tool of Apache Kafka and gives what it wrote to
// standard output.
func tool(t *testing.T, class string, args ...string) string {
	t.Helper()
	var fault strings.Builder
	cmd := java(t, class, args...)
	cmd.Stderr = &fault
	dieWithParent(cmd)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", class, args, err, out, fault.String())
	}
	return string(out)
}

// server is one node of Apache Kafka. It keeps its data and its ports over all
// its lives.
type server struct {
	open, signIn, mutual string // host:port of the listeners
	near, far            string // a listener, and how it is told to clients
	dir                  string
	pki                  *authority

	t    *testing.T
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// apache starts a server and waits until it answers.
func apache(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), open: free(t), signIn: free(t), mutual: free(t), near: free(t), far: free(t)}
	s.pki = newAuthority(t, s.dir)
	template, err := os.ReadFile("server.properties")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"DIR": s.dir, "OPEN": s.open, "SIGNIN": s.signIn, "MUTUAL": s.mutual, "NEAR": s.near, "FAR": s.far, "CONTROLLER": free(t)}
	var text strings.Builder
	for line := range strings.Lines(string(template)) {
		if !strings.HasPrefix(line, "#") {
			for name, value := range values {
				line = strings.ReplaceAll(line, "${"+name+"}", value)
			}
		}
		text.WriteString(line)
	}
	write(t, s.properties(), text.String())
	tool(t, "kafka.tools.StorageTool", "format", "--standalone", "-t", "anVtcGEtanVtcGEtanVtcA", "-c", s.properties())
	t.Cleanup(s.kill)
	s.start()
	s.ready()
	return s
}

func (s *server) properties() string { return filepath.Join(s.dir, "server.properties") }

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start begins a life and does not wait until the server answers.
func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := java(s.t, "kafka.Kafka", s.properties())
	cmd.Args = append([]string{
		"java", "-Xmx256m",
		"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://" + filepath.Join(s.dir, "jwks.json"),
		"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files=" + filepath.Join(s.dir, "jwks.json"),
	}, cmd.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	s.cmd, s.gone = cmd, gone
}

// ready waits until the server answers.
func (s *server) ready() {
	s.t.Helper()
	ctx := patience(s.t)
	for {
		select {
		case <-s.gone:
			s.t.Fatalf("Apache Kafka ended by itself:\n%s", s.log())
		case <-ctx.Done():
			s.t.Fatalf("Apache Kafka does not become ready:\n%s", s.log())
		default:
		}
		if err := answers(ctx, s.open); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// answers gives nil when the broker knows itself as the controller.
func answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr) // quicker than the client's own attempts
	if err != nil {
		return err
	}
	_ = conn.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	seen, err := kadm.NewClient(cl).BrokerMetadata(ctx)
	if err == nil && (len(seen.Brokers) == 0 || seen.Controller < 0) {
		err = errors.New("no broker is ready")
	}
	return err
}

// log gives the last lines of what the server wrote.
func (s *server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// kill ends a life at once: nothing is flushed, nobody is told.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.gone
	s.cmd = nil
}

// admin gives an administrator of the brokers.
func admin(t *testing.T, addr string) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(addr, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}
