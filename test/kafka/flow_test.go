package kafka_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// TestFlows plays both kinds of consultation with the program as it is
// delivered, over PostgreSQL and Kafka. It starts before Kafka does, and Kafka
// is killed between the two.
func TestFlows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary, data, url := filepath.Join(dir, "jumpa"), filepath.Join(dir, "data"), ""
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/jumpa-hie/jumpa/cmd/jumpa").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	k := production(t)
	revive := func() {}
	if k.kill != nil {
		k.kill()
		revive = k.revive
	}
	web := free(t)
	url = "http://" + web
	up := program(binary, "up", "--data", data, "--listen", web, "--udp-listen", freeUDP(t))
	up.Env = append(up.Env, "JUMPA_KAFKA_BROKERS="+k.addr, "JUMPA_DATABASE_URL="+postgrestest.Database(t))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	up.Stderr = log
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = up.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = up.Process.Signal(os.Interrupt)
		<-gone
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the exchange wrote:\n%s", text[max(0, len(text)-4000):])
		}
	})
	status := func(want int) {
		t.Helper()
		ctx := patience(t)
		for {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == want {
					return
				}
			}
			select {
			case <-gone:
				t.Fatal("the exchange ended by itself")
			case <-ctx.Done():
				t.Fatalf("the exchange does not say %d", want)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	demo := func(flow string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := program(binary, "demo", flow, "--data", data)
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		defer stop()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("jumpa demo %s: %v\n%s", flow, err, out)
		}
	}

	if k.kill != nil {
		status(http.StatusServiceUnavailable)
	}
	revive()
	status(http.StatusOK)
	demo("vci")
	if k.kill != nil {
		k.kill()
		status(http.StatusServiceUnavailable)
	}
	revive()
	status(http.StatusOK)
	demo("vce")

	topics, err := admin(t, k.addr).ListTopics(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name := range topics {
		if strings.HasPrefix(name, "hie.vc.encounter.") {
			seen += len(all(t, k, name))
		}
	}
	if seen == 0 {
		t.Error("the brokers have no announcement: the flows took another way")
	}
}

// program runs the exchange's program without the settings of this process.
func program(binary string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "JUMPA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	dieWithParent(cmd)
	return cmd
}

func freeUDP(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := free(t)
		if c, err := net.ListenPacket("udp", address); err == nil {
			_ = c.Close()
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}
