package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// patience bounds what is waited for; a machine may be slow.
const patience = 2 * time.Minute

// program is the real program, built once for all tests.
var program struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	if os.Getenv(brokerDir) != "" {
		serveBroker()
	}
	postgrestest.Run(m, func() { _ = os.RemoveAll(program.dir) })
}

// build gives the path of the real program.
func build(t testing.TB) string {
	t.Helper()
	program.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "jumpa-fault"); program.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", program.dir, "github.com/jumpa-hie/jumpa/cmd/jumpa").CombinedOutput()
		if err != nil {
			program.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "jumpa")
}

// coming builds a version of the program that is still to come: it has one more
// migration.
func coming(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	schema, err := filepath.Abs("../../internal/store/postgres/schema")
	if err != nil {
		t.Fatal(err)
	}
	have, err := filepath.Glob(filepath.Join(schema, "*.sql"))
	if err != nil || len(have) == 0 {
		t.Fatalf("%d migrations, %v", len(have), err)
	}
	migration := filepath.Join(dir, "migration.sql")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(schema, fmt.Sprintf("%04d.sql", len(have)+1)): migration}})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		migration:                          "ALTER TABLE resource ADD COLUMN place text NOT NULL DEFAULT '';\nALTER TABLE consultation ADD COLUMN place text NOT NULL DEFAULT '';\n",
		filepath.Join(dir, "overlay.json"): string(overlay),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "jumpa")
	out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "github.com/jumpa-hie/jumpa/cmd/jumpa").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// folder is a directory for the data and logs of one run. When the run fails
// it stays, so that its logs can be read.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "jumpa-fault-run") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// site is an exchange under test, of one node or of many.
type site struct {
	url   string // where people and systems reach it
	kafka string
	data  string // directory with the demo's credentials
	cast  app.Credentials
	nodes []*process

	// tardy says that a request which got no answer may be carried out later,
	// by a node that slept.
	tardy bool
}

// drained waits until every committed event is with the broker.
func (s *site) drained(ctx context.Context) error {
	for {
		n, err := s.nodes[0].metric(ctx, "jumpa_outbox_pending")
		if err == nil && n == "0" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the outbox still holds %s events: %w", n, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// process is a program in a process of its own. It keeps its data and its
// ports over all its lives.
type process struct {
	t      testing.TB
	name   string
	binary string
	args   []string
	env    []string
	log    string // file with what all its lives wrote to standard error
	url    string
	up     func(context.Context) bool // whether it is ready

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// node makes a process of the exchange, in a directory, at a free port.
func node(t testing.TB, dir, name string, env []string, args ...string) *process {
	t.Helper()
	web := free(t, "tcp")
	p := &process{
		t: t, name: name, binary: build(t), log: filepath.Join(dir, name+".log"), url: "http://" + web, env: env,
		args: append(args, "--data", filepath.Join(dir, name), "--listen", web),
	}
	p.up = func(ctx context.Context) bool {
		status, err := p.get(ctx, "/readyz")
		return err == nil && status == http.StatusOK
	}
	t.Cleanup(p.kill)
	return p
}

// single is one node with everything in it, over SQLite.
func single(t testing.TB) *site {
	t.Helper()
	dir, kafka := folder(t), free(t, "tcp")
	p := node(t, dir, "node", nil, "up", "--kafka-listen", kafka, "--udp-listen", free(t, "udp"))
	p.start()
	p.ready()
	s := &site{url: p.url, kafka: kafka, data: filepath.Join(dir, "node"), nodes: []*process{p}}
	s.cast = credentials(t, s.data)
	return s
}

// credentials gives the logins that a demo has written.
func credentials(t testing.TB, data string) app.Credentials {
	t.Helper()
	c, err := app.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// free finds a port outside the range from which systems take the ports of
// outgoing connections: while the program is down, nobody must get its port.
func free(t testing.TB, network string) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		var c io.Closer
		var err error
		if network == "udp" {
			c, err = net.ListenPacket(network, address)
		} else {
			c, err = net.Listen(network, address)
		}
		if err == nil {
			_ = c.Close()
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}

// start begins a life and does not wait for it to be ready.
func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.binary, p.args...)
	cmd.Stderr = log
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "JUMPA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, p.env...)
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	p.cmd, p.gone = cmd, gone
}

// ready waits until it is.
func (p *process) ready() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !p.up(ctx) {
		select {
		case <-p.gone:
			p.t.Fatalf("%s ended by itself:\n%s", p.name, p.tail())
		case <-ctx.Done():
			p.t.Fatalf("%s does not become ready:\n%s", p.name, p.tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) get(ctx context.Context, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// kill ends a life at once: nothing is flushed, nobody is told.
func (p *process) kill() { p.end((*os.Process).Kill) }

// stop ends a life as an operator does, and waits.
func (p *process) stop() {
	p.end(func(running *os.Process) error { return running.Signal(os.Interrupt) })
}

func (p *process) end(how func(*os.Process) error) {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.gone:
		p.t.Errorf("%s ended by itself:\n%s", p.name, p.tail())
	default:
	}
	_ = how(p.cmd.Process)
	<-p.gone
	p.cmd = nil
}

// tail gives the last lines of the log.
func (p *process) tail() string {
	raw, _ := os.ReadFile(p.log)
	return string(raw[max(0, len(raw)-4000):])
}

// logged gives the lines of the log that hold one of the words, and where a
// panic begins.
func (p *process) logged(words ...string) (lines []string) {
	raw, _ := os.ReadFile(p.log)
	for line := range strings.Lines(string(raw)) {
		found := strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:")
		for _, w := range words {
			found = found || strings.Contains(line, w)
		}
		if found {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func (p *process) metric(ctx context.Context, name string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.New("there is no metric " + name)
}
