package store

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// OldestSetting is the setting in which a database says how many migrations a
// program has to know to work with it. It is there once a migration has said so.
const OldestSetting = "schema.oldest"

// Migration brings the schema of a database from one version to the next. A
// file 0002.sql holds the second one. It may begin with comments that say how
// it is meant:
//
//	-- oldest: 2    programs that know fewer migrations than this cannot work with
//	                what it leaves. Without it those that ran before run on.
//	-- apart        its statements, each ending a line with a semicolon, run one
//	                by one outside a transaction, as CREATE INDEX CONCURRENTLY
//	                must; after a crash all of them run again.
type Migration struct {
	Name   string // of its file
	Text   string // SQL
	Oldest int    // 0 when nothing is said
	Apart  bool
}

// Migrations reads the files of a folder; the first is numbered 0001.
func Migrations(files fs.FS) (all []Migration, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if want := fmt.Sprintf("%04d.sql", i+1); name != want {
			return nil, fmt.Errorf("migration %s should be %s", name, want)
		}
		m := Migration{Name: name, Text: string(text)}
		for line := range strings.Lines(m.Text) {
			said, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
			if !ok {
				break
			}
			if oldest, ok := strings.CutPrefix(said, "oldest: "); ok {
				if m.Oldest, err = strconv.Atoi(oldest); err != nil || m.Oldest < 1 || m.Oldest > i+1 {
					return nil, fmt.Errorf("migration %s: oldest is %q, which is no migration up to itself", name, oldest)
				}
			}
			m.Apart = m.Apart || said == "apart"
		}
		all = append(all, m)
	}
	return all, nil
}
