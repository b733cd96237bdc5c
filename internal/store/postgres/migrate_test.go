package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// observed is Open with an observer of all statements.
func observed(ctx context.Context, url string, tracer pgx.QueryTracer) (*Store, error) {
	known, err := migrations()
	if err != nil {
		return nil, err
	}
	return connect(ctx, url, known, tracer)
}

// newer opens a database as a version of this program that is still to come,
// with more migrations.
func newer(ctx context.Context, url string, more ...store.Migration) (*Store, error) {
	known, err := migrations()
	if err != nil {
		return nil, err
	}
	return connect(ctx, url, append(known, more...), nil)
}

var (
	column = store.Migration{Name: "0002.sql", Text: "ALTER TABLE resource ADD COLUMN place text NOT NULL DEFAULT 'here'; CREATE TABLE place (name text PRIMARY KEY)"}
	// An index as every migration must make it on a table that is there already.
	index = store.Migration{Name: "0003.sql", Apart: true, Text: "-- apart\nDROP INDEX CONCURRENTLY IF EXISTS resource_place;\nCREATE INDEX CONCURRENTLY resource_place ON resource (place);\n"}
	// What only programs may see that know the first three.
	removal = store.Migration{Name: "0004.sql", Text: "ALTER TABLE audit DROP COLUMN trace", Oldest: 3}
)

// writing has a node write as fast as it can until the test says stop, which
// gives the longest that it waited.
func writing(t *testing.T, s *Store) (stop func() time.Duration) {
	var wg sync.WaitGroup
	var longest time.Duration
	var n int64
	ctx, cancel := context.WithCancel(context.Background())
	wrote := make(chan struct{})
	wg.Go(func() {
		for ; ctx.Err() == nil; n++ {
			begin := time.Now()
			err := s.Update(context.Background(), func(tx store.Tx) (err error) { _, err = step(tx, "the old node"); return err })
			if err != nil {
				t.Errorf("the old node: %v", err)
				return
			}
			longest = max(longest, time.Since(begin))
			if n == 0 {
				close(wrote)
			}
		}
	})
	<-wrote
	return func() time.Duration {
		cancel()
		wg.Wait()
		acknowledged := []int64{n}
		if err := s.View(t.Context(), func(r store.Reader) error {
			is, err := r.Resource("Encounter", "the old node")
			if is.Version != acknowledged[0] {
				t.Errorf("%d changes were acknowledged, version %d is there", acknowledged[0], is.Version)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		return longest
	}
}

// TestVersionsSideBySide: while an old node writes, new ones bring the schema
// up. The old one goes on, comes back after a crash, and is refused only by a
// migration that it cannot live with.
func TestVersionsSideBySide(t *testing.T) {
	url := database(t)
	old := open(t, url)
	stop := writing(t, old)
	var latest *Store
	for _, more := range [][]store.Migration{{column}, {column, index}} {
		s, err := newer(t.Context(), url, more...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		latest = s
	}
	again := open(t, url) // the old version, started anew
	stop()
	for name, s := range map[string]*Store{"the new node": latest, "an old node after a crash": again} {
		if err := s.Update(t.Context(), func(tx store.Tx) error { _, err := step(tx, name); return err }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []*Store{old, again, latest} {
		if err := s.View(t.Context(), func(r store.Reader) error {
			for _, writer := range []string{"the old node", "the new node", "an old node after a crash"} {
				if _, err := r.Resource("Encounter", writer); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if has, ours, err := Version(t.Context(), url); err != nil || has != ours+2 {
		t.Errorf("the database has schema %d of %d, %v", has, ours, err)
	}

	s, err := newer(t.Context(), url, column, index, removal)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := Open(t.Context(), url); !errors.Is(err, ErrNewer) {
		t.Errorf("a program that cannot work with the schema: %v", err)
	}
	if _, _, err := Version(t.Context(), url); !errors.Is(err, ErrNewer) {
		t.Errorf("and when it asks: %v", err)
	}
	if s, err := newer(t.Context(), url, column, index); err != nil {
		t.Errorf("a program that knows enough: %v", err)
	} else {
		_ = s.Close()
	}
}

// TestManyNodesMigrateAtOnce: each migration runs once, and all wait for it.
func TestManyNodesMigrateAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		url  string
	}{{"an empty database", database(t)}, {"an old one", func() string { url := database(t); open(t, url); return url }()}} {
		t.Run(c.name, func(t *testing.T) {
			each(t, 6, func(int) error {
				s, err := newer(t.Context(), c.url, column, index)
				if err != nil {
					return err
				}
				return errors.Join(s.Update(t.Context(), set("x", "y")), s.Close())
			})
			valid(t, c.url)
		})
	}
}

// valid demands that the index of the migration serves.
func valid(t *testing.T, url string) {
	t.Helper()
	var is bool
	if err := admin(t, url).QueryRow(t.Context(), "SELECT indisvalid FROM pg_index WHERE indexrelid = 'resource_place'::regclass").Scan(&is); err != nil || !is {
		t.Errorf("the index is valid: %t, %v", is, err)
	}
}

// TestAMigrationIsKilled in the middle, of either kind; the next node does it
// again.
func TestAMigrationIsKilled(t *testing.T) {
	for _, c := range []struct {
		name string
		m    store.Migration
		busy string // the statement in which it dies
	}{
		{"in a transaction", store.Migration{Name: "0002.sql", Text: column.Text + "; SELECT pg_sleep(600)"}, "%pg_sleep(600)%"},
		{"apart", index, "CREATE INDEX CONCURRENTLY resource_place%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := database(t)
			known := []store.Migration{c.m}
			if c.m.Apart {
				s, err := newer(t.Context(), url, column)
				if err != nil {
					t.Fatal(err)
				}
				_ = s.Close()
				known = []store.Migration{column, c.m}
			} else {
				open(t, url)
			}
			look := admin(t, url)
			if c.m.Apart { // an index waits for a snapshot that is older than it
				reader := admin(t, url)
				run(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ")
				run(t, reader, "SELECT count(*) FROM resource")
			}
			failed := make(chan error, 1)
			go func() {
				s, err := newer(context.Background(), url, known...)
				if err == nil {
					_ = s.Close()
				}
				failed <- err
			}()
			for killed := 0; killed == 0; time.Sleep(time.Millisecond) {
				if err := look.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active' AND pid <> pg_backend_pid()", c.busy).Scan(&killed); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-failed; err == nil {
				t.Error("a migration that was killed has succeeded")
			}
			if has, ours, err := Version(t.Context(), url); err != nil || has != ours+len(known)-1 {
				t.Errorf("afterwards the database has schema %d of %d, %v", has, ours, err)
			}
			if c.m.Apart {
				return // the index is left behind, useless: see below
			}
			s, err := newer(t.Context(), url, column, index)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			valid(t, url)
		})
	}
}

// TestAnIndexThatWasLeftBehind by a process that was killed is made anew.
func TestAnIndexThatWasLeftBehind(t *testing.T) {
	url := database(t)
	s, err := newer(t.Context(), url, column)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	c := admin(t, url)
	run(t, c, "INSERT INTO resource (type, id, version, updated, method, organization, body) SELECT 'T', n::text, 1, 1, 'PUT', 'o', '' FROM generate_series(1, 2) n")
	if _, err := c.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY resource_place ON resource (place)"); !is(err, "23505") {
		t.Fatal(err) // it fails at its second row, and stays, not valid
	}
	if s, err = newer(t.Context(), url, column, index); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	valid(t, url)
}

// TestAMigrationHoldsNobodyUp: somebody reads all tables for a long while, as a
// backup does. A node of the same version starts nevertheless. A migration
// that needs a table to itself waits for its turn without keeping those from
// it that do not; when there is none it gives up and says why.
func TestAMigrationHoldsNobodyUp(t *testing.T) {
	url := database(t)
	old := open(t, url)
	backup := admin(t, url)
	run(t, backup, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	for _, table := range []string{"resource", "audit", "setting", "schema_version"} {
		run(t, backup, "LOCK TABLE "+table+" IN ACCESS SHARE MODE")
	}
	started := make(chan error, 1)
	go func() {
		s, err := Open(context.Background(), url)
		if err == nil {
			err = s.Close()
		}
		started <- err
	}()
	select {
	case err := <-started:
		if err != nil {
			t.Errorf("a node that starts during a backup: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("a node cannot start during a backup")
	}

	patience := lockPatience
	lockPatience = 0
	_, err := newer(t.Context(), url, column)
	lockPatience = patience
	if !errors.Is(err, ErrHeld) || !strings.Contains(fmt.Sprint(err), "0002.sql") {
		t.Errorf("a migration that cannot have its table: %v", err)
	}

	stop := writing(t, old)
	watch := admin(t, url)
	tried := func() (n int) {
		if err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = 'resource'::regclass").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	go func() {
		s, err := newer(context.Background(), url, column)
		if err == nil {
			err = s.Close()
		}
		started <- err
	}()
	for tries, waits := 0, false; tries < 2; time.Sleep(5 * time.Millisecond) {
		now := tried() > 0
		if now && !waits {
			tries++
		}
		waits = now
	}
	if longest := stop(); longest > lockLimit+5*time.Second {
		t.Errorf("the old node waited for %s", longest)
	} else {
		t.Logf("the old node waited for %s at most", longest)
	}
	run(t, backup, "ROLLBACK")
	if err := <-started; err != nil {
		t.Error(err)
	}
}

// harmful are words of a migration that would stop nodes, by failing their
// statements or by holding a large table for long, and what to write instead.
// The first ones are allowed to a migration that says who can live with it.
var harmful = []struct{ pattern, instead string }{
	{`\bDROP (TABLE|COLUMN)|\bRENAME\b|\bSET NOT NULL|\bALTER COLUMN \w+ (SET DATA )?TYPE`, "say with `-- oldest:` which programs do without it"},
	{`\bADD (COLUMN )?(IF NOT EXISTS )?\w+ [\w ()"]*\bNOT NULL\b(?:[^,;]*)`, "give it a DEFAULT"},
	{`\bCREATE (UNIQUE )?INDEX (IF NOT EXISTS )?\w+ ON (\w+)`, "CREATE INDEX CONCURRENTLY in a file that is `-- apart`, behind DROP INDEX CONCURRENTLY IF EXISTS"},
	{`\bADD CONSTRAINT\b[^,;]*`, "NOT VALID, and validate it apart"},
	{`(?:^|;)\s*(UPDATE|DELETE)\b`, "have the program do it bit by bit"},
}

// harm tells what is wrong with a migration of tables that are in use.
func harm(m store.Migration) (found []string) {
	for i, h := range harmful {
		for _, hit := range regexp.MustCompile(`(?im)`+h.pattern).FindAllStringSubmatch(m.Text, -1) {
			switch {
			case i == 0 && m.Oldest > 0, strings.Contains(hit[0], "DEFAULT"), strings.Contains(hit[0], "NOT VALID"):
			case len(hit) == 4 && strings.Contains(m.Text, "CREATE TABLE "+hit[3]): // nobody uses it yet
			default:
				found = append(found, fmt.Sprintf("%s: %q: %s", m.Name, strings.TrimSpace(hit[0]), h.instead))
			}
		}
	}
	return found
}

func TestMigrationsSpareTheNodes(t *testing.T) {
	known, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range append(known[1:], column, index, removal) {
		for _, wrong := range harm(m) {
			t.Error(wrong)
		}
	}
	for _, text := range []string{
		"ALTER TABLE audit DROP COLUMN trace", "DROP TABLE audit", "ALTER TABLE audit RENAME trace TO track",
		"ALTER TABLE audit ALTER COLUMN seq TYPE text", "ALTER TABLE audit ALTER COLUMN trace SET NOT NULL",
		"ALTER TABLE audit ADD COLUMN place text NOT NULL", "ALTER TABLE audit ADD place text COLLATE \"C\" NOT NULL;",
		"CREATE INDEX audit_trace ON audit (trace)", "create unique index audit_trace on audit (trace)",
		"ALTER TABLE audit ADD CONSTRAINT c CHECK (trace <> '')", "SELECT 1;\nUPDATE audit SET trace = ''",
	} {
		if len(harm(store.Migration{Text: text})) == 0 {
			t.Errorf("%q was let through", text)
		}
	}
	for _, text := range []string{
		"CREATE TABLE place (name text);\nCREATE INDEX place_name ON place (name);", "ALTER TABLE audit ADD CONSTRAINT c CHECK (trace <> '') NOT VALID",
		"ALTER TABLE audit ADD COLUMN place text NOT NULL DEFAULT ''", "ALTER TABLE audit ADD COLUMN place text",
	} {
		if wrong := harm(store.Migration{Text: text}); len(wrong) > 0 {
			t.Errorf("%q was refused: %s", text, wrong)
		}
	}
}
