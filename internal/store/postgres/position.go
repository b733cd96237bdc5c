package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A view on a replica must show what one on the database could have shown
// between its beginning and its end. So it is held between two answers of the
// database. The first tells how far its log is on disk: everything that anybody
// was told is before there, and the snapshot is taken once the replica has
// replayed as much. The second tells that all which the snapshot shows can be
// seen on the database too: a replica shows a transaction as soon as its commit
// is on disk, which may be before the database does, as with synchronous
// replication. It is asked for only when the replica had gone on in between.
// Nothing is compared with a clock.

// position is how far the database is: the first three columns of asking.
type position struct {
	flushed  int64 // its log is on disk up to there
	shown    snapshot
	system   int64
	timeline int32
}

// stand is where a replica is, and what it shows.
type stand struct {
	standby  bool
	replayed int64 // its log, when its snapshot had been taken
	system   int64
	timeline int32
	next     int64   // transactions from there on are not in its snapshot
	newer    []int64 // transactions that may be in its snapshot and were not in that of a position
}

// asking is asked of the database. The place is taken after the snapshot of
// the statement. The timeline is that of the log which is being written.
const asking = `SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint, pg_current_snapshot()::text,
	(SELECT system_identifier FROM pg_control_system()),
	('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int`

const replaying = `SELECT coalesce(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'), 0)::bigint`

// maxNewer bounds the transactions that a replica may be ahead.
const maxNewer = 10000

// standing is asked of a replica as the first statement of a view. Everything
// in it is evaluated after the snapshot has been taken: what is in recovery now
// was so then. A standby does not tell which transactions are running in its
// snapshot (its list is empty), so that each is asked for by itself. The
// timelines of the control file may be late, never early.
var standing = `SELECT pg_is_in_recovery(), coalesce(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'), 0)::bigint,
	(SELECT system_identifier FROM pg_control_system()),
	greatest((SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery())),
	next,
	ARRAY(SELECT x::text::bigint FROM (
		SELECT pg_snapshot_xip(theirs)
		UNION ALL SELECT n::text::xid8 FROM generate_series(pg_snapshot_xmax(theirs)::text::bigint, least(next - 1, pg_snapshot_xmax(theirs)::text::bigint + ` + strconv.Itoa(maxNewer) + `)) AS n
	) AS xids (x) WHERE CASE WHEN x::text::bigint < next THEN pg_xact_status(x) = 'committed' ELSE false END)
	FROM (SELECT $1::text::pg_snapshot AS theirs, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) AS snapshots`

// Why a replica will not do.
var (
	errPrimary  = errors.New("the database does not say how far it is")
	errBehind   = errors.New("it has not replayed yet what the database has committed")
	errAhead    = errors.New("it shows what the database does not show yet")
	errPromoted = errors.New("it is not a standby: it was never one, or has been promoted")
	errForeign  = errors.New("it is a standby of another system")
	errTimeline = errors.New("it follows another timeline than that of the database, or has not told of the new one yet")
)

// covers tells that the database shows all that a replica shows.
func (p position) covers(at stand) bool {
	return at.replayed <= p.flushed && !slices.ContainsFunc(at.newer, func(xid int64) bool { return !p.shown.has(xid) })
}

// snapshot is a pg_snapshot: what had ended when it was taken.
type snapshot struct {
	text    string
	next    int64   // had not begun to end, and all after it
	running []int64 // of those before
}

func parseSnapshot(text string) (s snapshot, err error) {
	s.text = text
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("%q is not a snapshot", text)
	}
	if s.next, err = strconv.ParseInt(parts[1], 10, 64); err != nil || parts[2] == "" {
		return s, err
	}
	for one := range strings.SplitSeq(parts[2], ",") {
		xid, err := strconv.ParseInt(one, 10, 64)
		if err != nil {
			return s, err
		}
		s.running = append(s.running, xid)
	}
	return s, nil
}

// has tells that a transaction had ended.
func (s snapshot) has(xid int64) bool { return xid < s.next && !slices.Contains(s.running, xid) }

// oneTrip bounds what takes one round trip.
const oneTrip = time.Second

// positions asks the database how far it is, for as many as want to know at
// the same time: one question is under way at most, and whoever comes
// meanwhile shares the next one, which begins after they came.
type positions struct {
	pool *pgxpool.Pool // of one connection

	mu     sync.Mutex
	asking bool
	next   *question // has not been asked yet
}

type question struct {
	done chan struct{}
	is   position
	err  error
}

// ask gives a position of the database at some moment after it was called.
func (p *positions) ask(ctx context.Context) (position, error) {
	p.mu.Lock()
	if p.next == nil {
		p.next = &question{done: make(chan struct{})}
	}
	q := p.next
	if !p.asking {
		p.asking = true
		go p.work()
	}
	p.mu.Unlock()
	select {
	case <-q.done:
		return q.is, q.err
	case <-ctx.Done():
		return position{}, fmt.Errorf("%w: %w", errPrimary, ctx.Err())
	}
}

// work asks until nobody wants to know any more.
func (p *positions) work() {
	for {
		p.mu.Lock()
		q := p.next
		p.next, p.asking = nil, q != nil
		p.mu.Unlock()
		if q == nil {
			return
		}
		if q.is, q.err = p.once(); q.err != nil {
			q.err = fmt.Errorf("%w: %w", errPrimary, q.err)
		}
		close(q.done)
	}
}

func (p *positions) once() (is position, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), oneTrip)
	defer cancel()
	text := ""
	if err = p.pool.QueryRow(ctx, asking).Scan(&is.flushed, &text, &is.system, &is.timeline); err != nil {
		return is, err
	}
	is.shown, err = parseSnapshot(text)
	return is, err
}

// catchUp is how long a view waits for a replica to be where the database is,
// and for the database to be where the replica is.
const catchUp = 50 * time.Millisecond

// prove begins a view on a replica whose snapshot is one that the database
// could have given after prove was called.
func prove(ctx context.Context, database *positions, c *conn) error {
	ctx, cancel := context.WithTimeout(ctx, oneTrip)
	defer cancel()
	now, err := database.ask(ctx)
	if err != nil {
		return err
	}
	var at stand
	for begun := time.Now(); ; rest(ctx) {
		if at, err = c.stand(ctx, now); !errors.Is(err, errBehind) || time.Since(begun) > catchUp {
			break
		}
	}
	for begun := time.Now(); err == nil && !now.covers(at); {
		if time.Since(begun) > catchUp {
			return errAhead
		}
		if now, err = database.ask(ctx); err == nil && !now.covers(at) {
			rest(ctx)
		}
	}
	return err
}

func rest(ctx context.Context) {
	select {
	case <-time.After(2 * time.Millisecond):
	case <-ctx.Done():
	}
}

// stand begins a view on a replica and tells what it shows, or why it will not
// do. How far the replica has replayed is asked before the snapshot is taken,
// in a transaction of its own: a snapshot shows what had been replayed before.
func (c *conn) stand(ctx context.Context, now position) (at stand, err error) {
	batch := &pgx.Batch{}
	if c.sql.Conn().PgConn().TxStatus() != 'I' {
		batch.Queue("ROLLBACK")
	}
	before := int64(0)
	batch.Queue("BEGIN READ ONLY")
	batch.Queue(replaying).QueryRow(func(r pgx.Row) error { return r.Scan(&before) })
	batch.Queue("COMMIT")
	batch.Queue(beginView)
	batch.Queue(standing, now.shown.text).QueryRow(func(r pgx.Row) error {
		return r.Scan(&at.standby, &at.replayed, &at.system, &at.timeline, &at.next, &at.newer)
	})
	err = c.told(c.sql.SendBatch(ctx, batch).Close())
	switch {
	case err != nil:
		return at, err
	case at.system != now.system:
		return at, errForeign
	case !at.standby:
		return at, errPromoted
	case at.timeline != now.timeline:
		return at, errTimeline
	case before < now.flushed:
		return at, errBehind
	case at.next > now.shown.next+maxNewer:
		return at, errAhead
	}
	return at, nil
}
