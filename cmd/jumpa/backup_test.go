package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// TestBackupAndRestore: what was acknowledged before a backup began is there
// when an exchange starts on what was restored from it. The exchange works all
// the while, also a little longer than the backup; and it goes on afterwards.
func TestBackupAndRestore(t *testing.T) {
	program := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	guide, err := os.ReadFile(filepath.Join(root, "docs", "deployment.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\npg_dump --format=custom --file=", "\npg_restore --exit-on-error --dbname=", "sqlite3 jumpa.db \".backup ", "remove `jumpa.db-wal` and `jumpa.db-shm`"} {
		if !strings.Contains(string(guide), line) {
			t.Errorf("the guide does not say %q, as this test does it", line)
		}
	}
	for _, c := range []struct {
		name  string
		place func(t *testing.T, data string) (environment, restored []string, backup, restore func())
	}{
		{"SQLite", func(t *testing.T, data string) (environment, restored []string, backup, restore func()) {
			file, copied := filepath.Join(data, "jumpa.db"), filepath.Join(t.TempDir(), "copy.db")
			return nil, nil, func() { program("sqlite3", file, ".backup "+copied) }, func() {
				for _, beside := range []string{"-wal", "-shm"} {
					if err := os.Remove(file + beside); err != nil && !errors.Is(err, os.ErrNotExist) {
						t.Fatal(err)
					}
				}
				program("cp", copied, file)
			}
		}},
		{"PostgreSQL", func(t *testing.T, _ string) (environment, restored []string, backup, restore func()) {
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
			url, copied := server.URL(), filepath.Join(t.TempDir(), "copy.dump")
			other := strings.Replace(url, "/postgres?", "/restored?", 1)
			return []string{"JUMPA_DATABASE_URL=" + url}, []string{"JUMPA_DATABASE_URL=" + other},
				func() { program("pg_dump", "--format=custom", "--file="+copied, url) },
				func() {
					program("psql", "--quiet", "--command=CREATE DATABASE restored", url)
					program("pg_restore", "--exit-on-error", "--dbname="+other, copied)
				}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := t.TempDir()
			environment, restored, backup, restore := c.place(t, data)
			u := start(t, data, environment, anyPorts...)
			sys := u.system(t)
			put := func(i int) error {
				doc, err := fhir.Parse(fmt.Appendf(nil, `{"resourceType":"Patient","id":"patient-%d","gender":"female"}`, i))
				if err == nil {
					_, err = sys.Put(context.Background(), doc)
				}
				return err
			}
			const before = 50
			for i := range before {
				if err := put(i); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wrote := before
			wg.Go(func() {
				for ; ctx.Err() == nil; wrote++ {
					if err := put(wrote); err != nil {
						t.Error(err)
						return
					}
				}
			})
			if r := runs(t, nil, "demo", "vci", "--data", data); r.status != 0 { // events on the topics, before
				t.Fatal(r.stderr + r.stdout)
			}
			backup()
			if r := runs(t, nil, "demo", "vci", "--data", data); r.status != 0 { // and after: the topics know what the backup does not
				t.Fatal(r.stderr + r.stdout)
			}
			cancel()
			wg.Wait()
			u.terminate(t)
			restore()

			again := start(t, data, restored, anyPorts...)
			sys = again.system(t)
			for i := range before {
				if doc, err := sys.Get(t.Context(), fmt.Sprintf("Patient/patient-%d", i)); err != nil || !doc.Get("gender").Is("female") {
					t.Fatalf("record %d: %v", i, err)
				}
			}
			if n := again.finished(t, "VCI"); n < 1 {
				t.Error("the consultation from before the backup is not there")
			}
			for i := range wrote { // as after a restore: they send again
				if err := put(i); err != nil {
					t.Fatal(err)
				}
			}
			if r := runs(t, nil, "demo", "vci", "--data", data); r.status != 0 {
				t.Error(r.stderr + r.stdout)
			}
			again.terminate(t)
		})
	}
}
