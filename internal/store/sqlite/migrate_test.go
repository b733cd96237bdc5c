package sqlite

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// TestAnOlderProgramOpensANewerFile: whoever goes back to the version before
// works on with what the newer one has left, until a migration says that it
// cannot.
func TestAnOlderProgramOpensANewerFile(t *testing.T) {
	path := made(t)
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := store.Migrations(files)
	if err != nil {
		t.Fatal(err)
	}
	newer := func(more ...store.Migration) {
		t.Helper()
		s, err := open(t.Context(), path, append(ours[:len(ours):len(ours)], more...))
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "newer", "was here")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	adds := store.Migration{Name: "adds", Text: "ALTER TABLE audit ADD COLUMN place TEXT NOT NULL DEFAULT ''"}
	newer(adds)
	s := reopen(t, path)
	mustPut(t, s, "older", "too")
	if got := setting(t, s, "newer"); got != "was here" {
		t.Errorf("the older program reads %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer(adds, store.Migration{Name: "takes away", Text: "ALTER TABLE audit DROP COLUMN trace", Oldest: len(ours) + 1})
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNewer) {
		t.Errorf("a program that cannot work with the file: %v", err)
	}
	newer(adds, store.Migration{}) // the one before the last knows enough
}
