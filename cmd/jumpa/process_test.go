package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// asJumpa, in the environment, makes this program the command itself.
const asJumpa = "TEST_AS_JUMPA"

func TestMain(m *testing.M) {
	if os.Getenv(asJumpa) != "" {
		main()
	}
	postgrestest.Run(m)
}

// patience bounds what is waited for; a machine may be slow.
const patience = 3 * time.Minute

// command prepares the command in a process of its own, without settings of
// the environment but for the given ones.
func command(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "JUMPA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, asJumpa+"=1"), environment...)
	cmd.Dir = t.TempDir()
	return cmd
}

// result is how a command ended.
type result struct {
	status         int
	stdout, stderr string
}

func runs(t *testing.T, environment []string, args ...string) result {
	t.Helper()
	cmd := command(t, environment, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the status says it
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// refused expects exit status 2 and one line that holds all the words.
func (r result) refused(t *testing.T, words ...string) {
	t.Helper()
	if r.status != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "jumpa: ") {
		t.Errorf("status %d, want 2 and one line; output %q, errors %q", r.status, r.stdout, r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("%q does not say %q", r.stderr, w)
		}
	}
}

// up is `jumpa up` at work.
type up struct {
	*exec.Cmd
	data   string
	cast   app.Credentials
	stderr *bytes.Buffer
	gone   chan error
}

// anyPorts lets the system choose.
var anyPorts = []string{"--listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--udp-listen", "127.0.0.1:0"}

// start starts `jumpa up` and waits until it is ready.
func start(t *testing.T, data string, environment []string, ports ...string) *up {
	t.Helper()
	u := &up{data: data, stderr: &bytes.Buffer{}, gone: make(chan error, 1)}
	u.Cmd = command(t, environment, append([]string{"up", "--data", data}, ports...)...)
	u.Stderr = u.stderr
	began := time.Now()
	if err := u.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { u.gone <- u.Wait(); close(u.gone) }()
	t.Cleanup(func() { _ = u.Process.Kill(); <-u.gone })
	for !u.ready(began) {
		select {
		case err := <-u.gone:
			t.Fatalf("it has ended: %v\n%s", err, u.stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return u
}

// ready tells whether the credentials were written by this life, and the
// exchange answers.
func (u *up) ready(began time.Time) bool {
	info, err := os.Stat(filepath.Join(u.data, "demo.json"))
	if err != nil || info.ModTime().Before(began.Truncate(time.Second)) {
		return false
	}
	if u.cast, err = app.ReadCredentials(u.data); err != nil {
		return false
	}
	resp, err := http.Get(u.cast.Server + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// occupied is an address that somebody else listens on.
func occupied(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c.LocalAddr().String()
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}
