package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// A migration changes tables that nodes are reading and writing. Whoever waits
// for a lock on a table holds up all that come later, so it waits for a moment
// only, lets them through, and tries again.
const (
	lockLimit = 300 * time.Millisecond
	lockAgain = 1500 * time.Millisecond
)

// lockPatience is how long a migration is tried.
var lockPatience = time.Minute

// ErrHeld says that a migration could not begin for a minute, because somebody
// else holds a table, such as a backup, or brings the schema up at this moment.
var ErrHeld = errors.New("the schema could not be changed: a backup or another process holds a table")

// migrations gives those of this program.
func migrations() ([]store.Migration, error) {
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, err
	}
	return store.Migrations(files)
}

// migrate brings the schema to the newest version that is known here, one
// migration at a time. A newer one stays as it is. Of several processes that
// start together one does it, and the others wait.
func migrate(ctx context.Context, config *pgx.ConnConfig, known []store.Migration) error {
	config = config.Copy()
	for name, value := range map[string]string{"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": fmt.Sprint(lockLimit.Milliseconds())} {
		config.RuntimeParams[name] = value
	}
	// After a statement of the extended protocol a transaction keeps its snapshot,
	// for which an index that is made concurrently would wait for ever.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	for begin := time.Now(); ; {
		has, oldest, err := versions(ctx, c)
		switch {
		case err != nil:
			return err
		case oldest > len(known):
			return ErrNewer
		case has < 0:
			return fmt.Errorf("the database has the schema version %d, which never was", has)
		case has >= len(known):
			return nil
		}
		err = next(ctx, c, config, known)
		switch {
		case err == nil:
			begin = time.Now()
		case !is(err, "55P03", "40P01"): // somebody else holds a table
			return err
		case time.Since(begin) > lockPatience:
			return fmt.Errorf("%w: %w", ErrHeld, err)
		default:
			select {
			case <-time.After(lockAgain/2 + rand.N(lockAgain)): //nolint:gosec // no secret
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// versions tells how many migrations a database has seen, 0 when it is empty,
// and how many a program has to know to work with it. It locks nothing.
func versions(ctx context.Context, c *pgx.Conn) (has, oldest int, err error) {
	err = c.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&has)
	if is(err, "42P01") { // no such table
		return 0, 0, nil
	}
	if err != nil || has < 1 {
		return has, 0, err
	}
	var said []byte
	err = c.QueryRow(ctx, "SELECT value FROM setting WHERE name = $1", store.OldestSetting).Scan(&said)
	if errors.Is(err, pgx.ErrNoRows) {
		return has, 0, nil
	}
	if err == nil {
		oldest, err = strconv.Atoi(string(said))
	}
	return has, oldest, err
}

// next runs the next migration, and does nothing when another process has run
// the last one meanwhile. The lock keeps others from doing the same, and not
// from looking or from a backup.
func next(ctx context.Context, c *pgx.Conn, config *pgx.ConnConfig, known []store.Migration) error {
	_, err := c.Exec(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)")
	if err != nil && !is(err, "23505", "42P07", "42710", "XX000") { // another process has made it at this moment
		return err
	}
	return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "LOCK TABLE schema_version IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		var has int
		if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&has); err != nil || has >= len(known) {
			return err
		}
		m, script := known[has], ""
		if m.Apart {
			if err := apart(ctx, config, m); err != nil {
				return fmt.Errorf("migration %s: %w", m.Name, err)
			}
		} else {
			script = m.Text + ";\n"
		}
		if m.Oldest > 0 {
			script += fmt.Sprintf("INSERT INTO setting VALUES ('%s', '%d') ON CONFLICT (name) DO UPDATE SET value = excluded.value;\n", store.OldestSetting, m.Oldest)
		}
		script += fmt.Sprintf("DELETE FROM schema_version;\nINSERT INTO schema_version VALUES (%d);", has+1)
		if _, err := tx.Exec(ctx, script); err != nil {
			return fmt.Errorf("migration %s: %w", m.Name, err)
		}
		return nil
	})
}

// apart runs the statements of a migration outside a transaction. They may wait
// for locks, because such statements hold nobody up meanwhile.
func apart(ctx context.Context, config *pgx.ConnConfig, m store.Migration) error {
	config = config.Copy()
	config.RuntimeParams["lock_timeout"] = "0"
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	for statement := range strings.SplitSeq(m.Text, ";\n") {
		if _, err := c.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Version tells how many migrations a database has seen, 0 when it is empty,
// and how many this program knows. It gives ErrNewer when this program cannot
// work with the database, and changes nothing.
func Version(ctx context.Context, url string) (has, ours int, err error) {
	known, err := migrations()
	if err != nil {
		return 0, 0, err
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return 0, 0, err
	}
	config.ConnectTimeout = 5 * time.Second
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	has, oldest, err := versions(ctx, c)
	if err == nil && oldest > len(known) {
		err = ErrNewer
	}
	return has, len(known), err
}
