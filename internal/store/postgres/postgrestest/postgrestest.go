// Package postgrestest starts a real PostgreSQL for tests: one server for each
// test program, and in it an empty database for each test.
//
// It uses the newest server that is installed, or the one that
// JUMPA_TEST_POSTGRES names. It is for tests alone: its servers trust everybody
// and keep nothing.
package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL that the tests started, in a directory of its own,
// behind a socket in it.
type Server struct {
	bin, dir, data string
	options        []string
}

// shared is the server of all tests that neither harm nor measure it. It need
// not outlive the machine.
var shared struct {
	sync.Once
	dir    string // to be removed
	server *Server
	url    string
	err    error
}

// Run runs the tests of a package, as its TestMain, and then cleans up and
// stops the server.
func Run(m *testing.M, cleanup ...func()) {
	code := m.Run()
	for _, clean := range cleanup {
		clean()
	}
	if shared.server != nil {
		_ = shared.server.Stop("immediate")
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// binaries gives the directory of the newest server that is installed.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		if path, err := exec.LookPath("initdb"); err == nil {
			return filepath.Dir(path), nil
		}
		return "", fmt.Errorf("there is no PostgreSQL under /usr/lib/postgresql: run `make deps`, or name a server in JUMPA_TEST_POSTGRES")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// Installed tells whether servers can be made here.
func Installed() bool {
	_, err := binaries()
	return err == nil
}

// Create makes a server in dir and starts it.
func Create(dir string, options ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s, err := at(bin, dir, options)
	if err != nil {
		return nil, err
	}
	if err := s.run("initdb", "--pgdata", s.data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	return s, s.Start()
}

// at gives a server that will be in dir. The path of a socket may not be long,
// and the server's user must reach it.
func at(bin, dir string, options []string) (*Server, error) {
	if os.Getuid() == 0 { // the server refuses to be root
		if out, err := exec.Command("chown", "postgres", dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("chown: %w: %s", err, out)
		}
	}
	return &Server{bin: bin, dir: dir, data: filepath.Join(dir, "data"), options: options}, nil
}

// Promote makes a standby a server of its own.
func (s *Server) Promote() error {
	return s.run("pg_ctl", "promote", "--wait", "--timeout=120", "--pgdata", s.data)
}

func (s *Server) run(program string, args ...string) error {
	line := append([]string{filepath.Join(s.bin, program)}, args...)
	if os.Getuid() == 0 {
		line = append([]string{"runuser", "-u", "postgres", "--"}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("%s: %w: %s\n%s", program, err, out, log)
	}
	return nil
}

// Start starts the server and waits until it answers.
func (s *Server) Start() error {
	options := fmt.Sprintf("-c listen_addresses='' -c unix_socket_directories='%s' -c shared_buffers=64MB", s.dir)
	for _, o := range s.options {
		options += " -c " + o
	}
	return s.run("pg_ctl", "start", "--wait", "--timeout=120", "--pgdata", s.data, "--log", filepath.Join(s.dir, "log"), "--options", options)
}

// Stop stops the server in a mode of pg_ctl: fast, or immediate for a crash.
func (s *Server) Stop(mode string) error {
	return s.run("pg_ctl", "stop", "--wait", "--timeout=120", "--mode", mode, "--pgdata", s.data)
}

// Own starts a server for one test, with the durability of production.
func Own(t testing.TB, options ...string) *Server {
	t.Helper()
	if os.Getenv("JUMPA_TEST_POSTGRES") != "" && !Installed() {
		t.Skip("the tests use a server that they cannot stop")
	}
	return forTest(t, func(dir string) (*Server, error) { return Create(dir, options...) })
}

// Standby starts a hot standby of the server for one test, which follows its log.
func (s *Server) Standby(t testing.TB, options ...string) *Server {
	t.Helper()
	return forTest(t, func(dir string) (*Server, error) {
		standby, err := at(s.bin, dir, options)
		if err != nil {
			return nil, err
		}
		err = standby.run("pg_basebackup", "--pgdata", standby.data, "--host", s.dir, "--username=postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
		if err != nil {
			return nil, err
		}
		return standby, standby.Start()
	})
}

func forTest(t testing.TB, start func(dir string) (*Server, error)) *Server {
	t.Helper()
	// t.TempDir is closed to other users above the directory itself.
	dir, err := os.MkdirTemp("/tmp", "jumpa-pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop("immediate") })
	return s
}

// Socket gives the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// URL gives the address of the server.
func (s *Server) URL() string {
	return "postgres://postgres@/postgres?host=" + url.QueryEscape(s.dir)
}

// anyServer gives the address of a server for tests.
func anyServer(t testing.TB) string {
	t.Helper()
	shared.Do(func() {
		if shared.url = os.Getenv("JUMPA_TEST_POSTGRES"); shared.url != "" {
			return
		}
		if shared.dir, shared.err = os.MkdirTemp("/tmp", "jumpa-pg"); shared.err != nil {
			return
		}
		if shared.server, shared.err = Create(shared.dir, "fsync=off", "full_page_writes=off"); shared.err == nil {
			shared.url = shared.server.URL()
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.url
}

var databases atomic.Int64

// Database makes an empty schema, which is a database to the store, removes it
// when the test ends, and gives its address.
func Database(t testing.TB) string {
	t.Helper()
	return Schema(t, anyServer(t))[0]
}

// Schema is Database at the first of several servers, given by their addresses.
// The others are its standbys: it gives the address of the schema at each.
func Schema(t testing.TB, servers ...string) (addresses []string) {
	t.Helper()
	name := fmt.Sprintf("jumpa_test_%d_%d", time.Now().UnixNano(), databases.Add(1))
	query := func(text string) {
		ctx := context.Background()
		c, err := pgx.Connect(ctx, servers[0])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(ctx) }()
		if _, err := c.Exec(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	query("CREATE SCHEMA " + name)
	t.Cleanup(func() { query("DROP SCHEMA " + name + " CASCADE") })
	for _, server := range servers {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		values := u.Query()
		values.Set("search_path", name)
		u.RawQuery = values.Encode()
		addresses = append(addresses, u.String())
	}
	return addresses
}
