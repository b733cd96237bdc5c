package app

import (
	"context"
	"net/http"
	"os"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// TestNodeOutlivesItsDatabase: a node waits at its start for a database that
// is not there yet, tells when it goes, and serves again when it comes back.
func TestNodeOutlivesItsDatabase(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "jumpa-pg") // a path that the server's user can reach
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := postgrestest.Create(dir, "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop("immediate") })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(server.Stop("fast"))
	cfg := laptop(t, t.TempDir())
	cfg.Demo, cfg.DatabaseURL = false, server.URL()
	type result struct {
		app *App
		err error
	}
	started := make(chan result, 1)
	go func() {
		a, err := Start(context.WithoutCancel(t.Context()), cfg, silent())
		started <- result{a, err}
	}()
	must(server.Start())
	node := <-started
	must(node.err)
	t.Cleanup(node.app.Stop)

	readiness := func() int {
		resp, err := http.Get(node.app.URL() + "/readyz")
		must(err)
		must(resp.Body.Close())
		return resp.StatusCode
	}
	if got := readiness(); got != http.StatusOK {
		t.Errorf("with its database a node answers %d", got)
	}
	must(server.Stop("immediate"))
	if got := readiness(); got != http.StatusServiceUnavailable {
		t.Errorf("without its database a node answers %d", got)
	}
	must(server.Start())
	if got := readiness(); got != http.StatusOK {
		t.Errorf("with its database again a node answers %d", got)
	}
}

// TestNodeServesWithoutItsBroker: when Kafka is away, all nodes are without it;
// a proxy must not take them for lost. They say so, and take in what comes.
func TestNodeServesWithoutItsBroker(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	cfg.Demo, cfg.KafkaBrokers = false, "127.0.0.1:1"
	a, err := Start(context.WithoutCancel(t.Context()), cfg, silent())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	for path, want := range map[string]string{"/readyz": "ready\nbroker does not answer\n", "/healthz": "ok\n"} {
		resp, err := http.Get(a.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		if said := answerOf(t, resp); resp.StatusCode != http.StatusOK || said != want {
			t.Errorf("%s answers %d: %q", path, resp.StatusCode, said)
		}
	}
}
