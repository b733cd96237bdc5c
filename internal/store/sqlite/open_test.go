package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// raw runs statements on a database that no store has open.
func raw(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// made gives the path of a database with one setting in it, closed.
func made(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	s := reopen(t, path)
	mustPut(t, s, "kept", "yes")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustPut(t testing.TB, s *Store, name, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting(name, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

// setting reads a setting; "" when there is none.
func setting(t testing.TB, s *Store, name string) string {
	t.Helper()
	var value []byte
	err := s.View(t.Context(), func(r store.Reader) (err error) {
		value, err = r.Setting(name)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return string(value)
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	path := made(t)
	for i := range 3 {
		s := reopen(t, path)
		if got := setting(t, s, "kept"); got != "yes" {
			t.Fatalf("opening %d: %q", i, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPathMayHoldAnyCharacters(t *testing.T) {
	for _, name := range []string{"with space.db", "klinik-华.db", "50%25 ?#&.db", "a;b'c\"d.db"} {
		if runtime.GOOS == "windows" && name != "with space.db" {
			continue
		}
		dir := t.TempDir()
		s := reopen(t, filepath.Join(dir, name))
		mustPut(t, s, "x", "y")
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var mode string
		if err := s.writer.sql.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
			t.Errorf("%s: journal mode %s, %v: the options were not understood", name, mode, err)
		}
	}
}

func TestEveryConnectionPutsCommitsOnDisk(t *testing.T) {
	s := fresh(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := s.writer.sql.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %s", pragma, got, err, want)
		}
	}
}

func TestOneStoreAtATime(t *testing.T) {
	path := made(t)
	s := reopen(t, path)
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second store in this process: %v; want ErrInUse", err)
	}
	// Another process, as an operator would start it by mistake.
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(ErrInUse.Error())) {
		t.Errorf("another process: %v, %s", err, out)
	}
	mustPut(t, s, "still", "here")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, reopen(t, path), "still"); got != "here" {
		t.Errorf("after closing: %q", got)
	}
}

// newer makes a database one of a version that is still to come.
const newer = "PRAGMA user_version = 9999"

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T) string
		want    error // nil for any
	}{
		{"a newer version", func(t *testing.T) string {
			path := made(t)
			raw(t, path, newer+"; INSERT INTO setting VALUES ('schema.oldest', CAST('9999' AS BLOB))")
			return path
		}, ErrNewer},
		{"a version that never was", func(t *testing.T) string {
			path := made(t)
			raw(t, path, "PRAGMA user_version = -1")
			return path
		}, nil},
		{"tables without a version", func(t *testing.T) string {
			path := made(t)
			raw(t, path, "PRAGMA user_version = 0")
			return path
		}, nil},
		{"a file that is no database", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "test.db")
			if err := os.WriteFile(path, bytes.Repeat([]byte("this is no database\n"), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, nil},
		{"a directory", func(t *testing.T) string { return t.TempDir() }, nil},
		{"a directory that is not there", func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "test.db") }, os.ErrNotExist},
		{"a directory that may not be written", func(t *testing.T) string {
			if runtime.GOOS == "windows" || os.Geteuid() == 0 {
				t.Skip("this user may write everywhere")
			}
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o500); err != nil { //nolint:gosec // a directory
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) //nolint:gosec // a directory
			return filepath.Join(dir, "test.db")
		}, os.ErrPermission},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.prepare(t)
			before, _ := os.ReadFile(path)
			for range 2 { // the second time as well: the first left no lock behind
				s, err := Open(t.Context(), path)
				if err == nil {
					_ = s.Close()
					t.Fatal("it was opened")
				}
				if errors.Is(err, ErrInUse) || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%v; want %v", err, c.want)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAFailedOpenKeepsNoFileOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	path := made(t)
	raw(t, path, newer+"; INSERT INTO setting VALUES ('schema.oldest', CAST('9999' AS BLOB))")
	opened := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range list {
			if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && filepath.Dir(to) == filepath.Dir(path) {
				n++
			}
		}
		return n
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNewer) {
		t.Fatal(err)
	}
	if n := opened(); n > 0 {
		t.Errorf("%d files are still open", n)
	}
}

func TestOpenWithAContextThatHasEnded(t *testing.T) {
	path := made(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if got := setting(t, reopen(t, path), "kept"); got != "yes" {
		t.Errorf("afterwards: %q", got)
	}
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	raw(t, path, "CREATE TABLE audit (somebody TEXT)") // the schema's last table cannot be made
	if _, err := Open(t.Context(), path); err == nil {
		t.Fatal("it was opened")
	}
	raw(t, path, "DROP TABLE audit") // fails if the failed migration still held the file
	s := reopen(t, path)
	mustPut(t, s, "x", "y")
}
