package fault

import (
	"context"
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
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/app"
)

// patience bounds what is waited for; a machine may be slow.
const patience = 2 * time.Minute

// process is the real program in a process of its own. It keeps its data and
// its ports over all its lives.
type process struct {
	t      *testing.T
	binary string
	data   string
	log    string // file with what all its lives wrote to standard error
	args   []string
	url    string
	kafka  string

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// build makes the binary and finds free ports for it.
func build(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, binary: filepath.Join(dir, "jumpa"), data: filepath.Join(dir, "data"), log: filepath.Join(dir, "log")}
	out, err := exec.Command("go", "build", "-o", p.binary, "github.com/jumpa-hie/jumpa/cmd/jumpa").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	web, kafka, udp := free(t, "tcp"), free(t, "tcp"), free(t, "udp")
	p.url, p.kafka = "http://"+web, kafka
	p.args = []string{"up", "--data", p.data, "--listen", web, "--kafka-listen", kafka, "--udp-listen", udp}
	t.Cleanup(p.kill)
	return p
}

// free finds a port outside the range from which systems take the ports of
// outgoing connections: while the program is down, nobody must get its port.
func free(t *testing.T, network string) string {
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
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	p.cmd, p.gone = cmd, gone
}

// ready waits until the store and the broker answer.
func (p *process) ready() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if status, err := p.get(ctx, "/readyz"); err == nil && status == http.StatusOK {
			return
		}
		select {
		case <-p.gone:
			p.t.Fatalf("the exchange ended by itself:\n%s", p.tail())
		case <-ctx.Done():
			p.t.Fatalf("the exchange does not become ready:\n%s", p.tail())
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
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.gone:
		p.t.Errorf("the exchange ended by itself:\n%s", p.tail())
	default:
	}
	_ = p.cmd.Process.Kill()
	<-p.gone
	p.cmd = nil
}

// tail gives the last lines of the log.
func (p *process) tail() string {
	raw, _ := os.ReadFile(p.log)
	return string(raw[max(0, len(raw)-4000):])
}

// logged gives the lines of a level in the log, and where a panic begins.
func (p *process) logged(level string) (lines []string) {
	raw, _ := os.ReadFile(p.log)
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "level="+level) || strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// credentials gives the logins that the first life has written.
func (p *process) credentials() app.Credentials {
	p.t.Helper()
	c, err := app.ReadCredentials(p.data)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// drained waits until every committed event is with the broker.
func (p *process) drained(ctx context.Context) error {
	for {
		n, err := p.metric(ctx, "jumpa_outbox_pending")
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
