package store_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jumpa-hie/jumpa/internal/store"
)

func TestMigrations(t *testing.T) {
	folder := func(texts ...string) fstest.MapFS {
		files := fstest.MapFS{}
		for i, text := range texts {
			files[[]string{"0001.sql", "0002.sql", "0003.sql"}[i]] = &fstest.MapFile{Data: []byte(text)}
		}
		return files
	}
	all, err := store.Migrations(folder("-- Records.\nCREATE TABLE a (b int);", "-- oldest: 1\n-- apart\nSELECT 1;\n", "SELECT 2;\n-- oldest: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []store.Migration{{Name: "0001.sql"}, {Name: "0002.sql", Oldest: 1, Apart: true}, {Name: "0003.sql"}} {
		got := all[i]
		if got.Text == "" {
			t.Errorf("%s has no text", want.Name)
		}
		if got.Text = ""; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	for says, files := range map[string]fstest.MapFS{
		"should be 0001.sql":        {"0002.sql": {Data: []byte("SELECT 1")}},
		"should be 0002.sql":        {"0001.sql": {Data: []byte("SELECT 1")}, "0003.sql": {Data: []byte("SELECT 1")}},
		`oldest is "2"`:             folder("-- oldest: 2\nSELECT 1"),
		`oldest is "0"`:             folder("-- oldest: 0\nSELECT 1"),
		`oldest is "the first one"`: folder("-- oldest: the first one\nSELECT 1"),
	} {
		if _, err := store.Migrations(files); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}
