package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/internal/store/storetest"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// quick spares a server the wait for its disk: none of these tests takes the
// power away.
const quick = "fsync=off"

// pair starts a server and its standby, which has the options.
func pair(t testing.TB, options ...string) (primary, standby *postgrestest.Server) {
	t.Helper()
	primary = postgrestest.Own(t, quick)
	return primary, primary.Standby(t, append(options, quick)...)
}

// withReplicas opens a store and waits until all its replicas are used.
func withReplicas(t testing.TB, database string, replicas ...string) *Store {
	t.Helper()
	s, err := OpenWithReplicas(context.Background(), database, replicas, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	awaits(t, "the replicas are used", func() bool { return s.Stats().Usable == len(replicas) })
	return s
}

// awaits waits for what another process brings about.
func awaits(t testing.TB, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

// settles waits until views are on a replica.
func settles(t testing.TB, s *Store) {
	t.Helper()
	awaits(t, "a view is on a replica", func() bool {
		before := s.Stats().OnReplica
		shown(t, s, "none")
		return s.Stats().OnReplica > before
	})
}

// spread is a store all of whose views may be read from replicas.
type spread struct{ *Store }

func (s spread) View(ctx context.Context, fn func(store.Reader) error) error {
	return s.Store.View(store.OnReplica(ctx), fn)
}

// shown gives a setting as a view shows it that may be on a replica.
func shown(t testing.TB, s *Store, name string) string {
	t.Helper()
	v, err := look(s, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func look(s *Store, name string) (v string, err error) {
	err = spread{s}.View(context.Background(), func(r store.Reader) error {
		b, err := r.Setting(name)
		if v = string(b); errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return v, err
}

func write(t testing.TB, s *Store, name, value string) {
	t.Helper()
	if err := s.Update(context.Background(), set(name, value)); err != nil {
		t.Fatal(err)
	}
}

// The whole suite, with all views on a replica.
func TestConformanceWithAReplica(t *testing.T) {
	primary, standby := pair(t)
	var served, fallbacks uint64
	storetest.Run(t, func(t *testing.T) store.Store {
		at := postgrestest.Schema(t, primary.URL(), standby.URL())
		s := withReplicas(t, at[0], at[1])
		t.Cleanup(func() { served, fallbacks = served+s.Stats().OnReplica, fallbacks+s.Stats().Fallbacks })
		return spread{s}
	})
	t.Logf("%d views on the replica, %d not", served, fallbacks)
	if served == 0 || fallbacks > served {
		t.Errorf("%d views were on the replica, %d were not", served, fallbacks)
	}
}

// Nodes write, and the replica stands still now and then. Whoever reads finds
// all that anybody was told before, and all that anybody has seen before,
// whether the replica or the database answers.
func TestNobodySeesThePast(t *testing.T) {
	primary, standby := pair(t)
	nodes := []*Store{withReplicas(t, primary.URL(), standby.URL()), withReplicas(t, primary.URL(), standby.URL())}
	var stop atomic.Bool
	var wg sync.WaitGroup
	const writers, readers = 3, 4
	var known [writers]atomic.Int64 // the highest that anybody was told of or has seen
	learn := func(i int, n int64) {
		for {
			old := known[i].Load()
			if n <= old || known[i].CompareAndSwap(old, n) {
				return
			}
		}
	}
	for i := range writers {
		wg.Go(func() {
			for n := int64(1); !stop.Load(); n++ {
				if err := nodes[int(n)%2].Update(t.Context(), set(fmt.Sprint("w", i), fmt.Sprint(n))); err != nil {
					t.Error(err)
					return
				}
				learn(i, n)
			}
		})
	}
	for i := range readers {
		wg.Go(func() {
			for turn := i; !stop.Load(); turn++ {
				ctx := t.Context()
				if turn%3 > 0 { // two on a replica, one on the database
					ctx = store.OnReplica(ctx)
				}
				var least, got [writers]int64
				for w := range writers {
					least[w] = known[w].Load()
				}
				if err := nodes[turn%2].View(ctx, func(r store.Reader) error {
					for w := range writers {
						v, err := r.Setting(fmt.Sprint("w", w))
						if err != nil && !errors.Is(err, store.ErrNotFound) {
							return err
						}
						got[w] = 0
						_, _ = fmt.Sscan(string(v), &got[w])
					}
					return nil
				}); err != nil {
					t.Error(err)
					return
				}
				for w := range writers {
					if got[w] < least[w] {
						t.Errorf("writer %d: a view shows %d; %d was known before it began", w, got[w], least[w])
						stop.Store(true)
					}
					learn(w, got[w])
				}
			}
		})
	}
	control := admin(t, standby.URL())
	served := func() uint64 { return nodes[0].Stats().OnReplica + nodes[1].Stats().OnReplica }
	fallbacks := func() uint64 { return nodes[0].Stats().Fallbacks + nodes[1].Stats().Fallbacks }
	for range 3 {
		before := served()
		awaits(t, "views are on the replica", func() bool { return stop.Load() || served() > before+200 })
		run(t, control, "SELECT pg_wal_replay_pause()")
		before = fallbacks()
		awaits(t, "views are not on the replica", func() bool { return stop.Load() || fallbacks() > before+200 })
		run(t, control, "SELECT pg_wal_replay_resume()")
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d, %d and %d writes; %d views on the replica, %d that could not be", known[0].Load(), known[1].Load(), known[2].Load(), served(), fallbacks())
}

func TestReplicaThatIsLateIsNotRead(t *testing.T) {
	primary, standby := pair(t)
	late := primary.Standby(t, quick, "recovery_min_apply_delay=1h")
	s := withReplicas(t, primary.URL(), standby.URL())
	control := admin(t, standby.URL())
	for i := range 3 {
		run(t, control, "SELECT pg_wal_replay_pause()")
		before := s.Stats()
		for n := range 3 {
			value := fmt.Sprint(i, n)
			write(t, s, "x", value)
			if got := shown(t, s, "x"); got != value {
				t.Errorf("after %s was written, a view shows %s", value, got)
			}
		}
		if after := s.Stats(); after.Fallbacks != before.Fallbacks+3 || after.OnReplica != before.OnReplica {
			t.Errorf("%d views were on a replica that stood still, %d were not; want 0 and 3", after.OnReplica-before.OnReplica, after.Fallbacks-before.Fallbacks)
		}
		run(t, control, "SELECT pg_wal_replay_resume()")
		settles(t, s)
		if got := shown(t, s, "x"); got != fmt.Sprint(i, 2) {
			t.Errorf("once it goes on, a view shows %s", got)
		}
	}
	if err := CheckReplica(t.Context(), primary.URL(), standby.URL()); err != nil {
		t.Errorf("a replica that is all right: %v", err)
	}
	if err := CheckReplica(t.Context(), primary.URL(), late.URL()); !errors.Is(err, errBehind) {
		t.Errorf("a replica that is an hour late: %v", err)
	}
}

// With synchronous replication the database waits for a standby before it
// shows a transaction, which another standby shows already. Who has seen it
// must not find it gone a moment later.
func TestReplicaShowsNothingBeforeTheDatabaseDoes(t *testing.T) {
	primary, standby := pair(t)
	s := withReplicas(t, primary.URL(), standby.URL())
	write(t, s, "x", "old")
	control := admin(t, primary.URL())
	wait := func(names string) {
		run(t, control, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
		run(t, control, "SELECT pg_reload_conf()")
		awaits(t, "the setting is taken in", func() bool {
			var is string
			c := admin(t, primary.URL())
			if err := c.QueryRow(t.Context(), "SHOW synchronous_standby_names").Scan(&is); err != nil {
				t.Fatal(err)
			}
			return is == names
		})
	}
	wait("nobody")
	done := make(chan error, 1)
	go func() { done <- s.Update(context.Background(), set("x", "new")) }()
	there := admin(t, standby.URL())
	awaits(t, "the standby shows the transaction", func() bool {
		var v []byte
		if err := there.QueryRow(t.Context(), "SELECT value FROM setting WHERE name = 'x'").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return string(v) == "new"
	})
	for range 3 {
		before := s.Stats().Fallbacks
		if first, second := shown(t, s, "x"), get(t, s, "x"); first != "old" || second != "old" {
			t.Errorf("a view that may be on a replica shows %q, and then the database %q", first, second)
		}
		if s.Stats().Fallbacks == before {
			t.Error("the view was on the replica")
		}
	}
	select {
	case err := <-done:
		t.Errorf("the update did not wait: %v", err)
	default:
	}
	wait("")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	settles(t, s)
	if got := shown(t, s, "x"); got != "new" {
		t.Errorf("afterwards a view shows %q", got)
	}
}

// A transaction that is under way on the database keeps nobody from the
// replica, whatever has been committed beside it.
func TestReplicaServesWhileATransactionIsUnderWay(t *testing.T) {
	primary, standby := pair(t)
	s := withReplicas(t, primary.URL(), standby.URL())
	long := admin(t, primary.URL())
	run(t, long, "BEGIN")
	run(t, long, "INSERT INTO setting (name, value) VALUES ('long', 'x')")
	for i := range 20 {
		write(t, s, "x", fmt.Sprint(i))
		if got := shown(t, s, "x"); got != fmt.Sprint(i) {
			t.Errorf("after %d a view shows %s", i, got)
		}
	}
	if st := s.Stats(); st.Fallbacks > 5 {
		t.Errorf("%d of 20 views were not on the replica", st.Fallbacks)
	}
	run(t, long, "COMMIT")
	if got := shown(t, s, "long"); got != "x" {
		t.Errorf("after its commit a view shows %q", got)
	}
}

func TestReplicaThatIsKilledIsNotNoticed(t *testing.T) {
	primary, standby := pair(t)
	s := withReplicas(t, primary.URL(), standby.URL())
	write(t, s, "x", "y")
	settles(t, s)
	runs := 0
	if err := (spread{s}).View(t.Context(), func(r store.Reader) error {
		v, err := r.Setting("x")
		if runs++; runs == 1 {
			if err := standby.Stop("immediate"); err != nil {
				t.Error(err)
			}
		}
		_, again := r.Setting("none")
		if string(v) != "y" || err != nil || !errors.Is(again, store.ErrNotFound) {
			return fmt.Errorf("run %d: %q, %w, %w", runs, v, err, again)
		}
		return nil
	}); err != nil || runs != 2 {
		t.Errorf("a view whose replica is killed: %v after %d runs", err, runs)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for !stop.Load() {
				if v, err := look(s, "x"); v != "y" || err != nil {
					t.Errorf("a view shows %q, %v", v, err)
					return
				}
			}
		})
	}
	for range 2 {
		if err := standby.Start(); err != nil {
			t.Fatal(err)
		}
		before := s.Stats().OnReplica
		awaits(t, "views are on the replica", func() bool { return s.Stats().OnReplica > before+100 })
		if err := standby.Stop("immediate"); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if err := CheckReplica(t.Context(), primary.URL(), standby.URL()); err == nil {
		t.Error("a replica that does not run is all right")
	}
}

// The standby ends what keeps it from replaying: here a snapshot that still
// needs rows which are gone.
func TestConflictsWithRecoveryAreNotNoticed(t *testing.T) {
	primary, standby := pair(t, "max_standby_streaming_delay=0", "hot_standby_feedback=off")
	s := withReplicas(t, primary.URL(), standby.URL())
	there := admin(t, standby.URL())
	conflict := func() {
		for _, value := range []string{"a", "b"} {
			write(t, s, "x", value)
		}
		c := admin(t, primary.URL())
		run(t, c, "VACUUM setting")
		var end string
		if err := c.QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()").Scan(&end); err != nil {
			t.Error(err)
		}
		run(t, c, "SELECT pg_switch_wal()")
		awaits(t, "the standby has replayed it", func() bool {
			var is bool
			if err := there.QueryRow(t.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", end).Scan(&is); err != nil {
				t.Error(err)
			}
			return is
		})
	}
	cancel := func() {
		run(t, there, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()")
	}
	busy := func() bool {
		var n int
		if err := there.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()").Scan(&n); err != nil {
			t.Error(err)
		}
		return n > 0
	}
	for _, c := range []struct {
		name   string
		during bool // a statement
		do     func()
		code   string
	}{
		{"between two statements", false, conflict, ""}, // the connection is ended
		{"in a statement", true, conflict, "40001"},
		{"cancelled", true, cancel, "57014"},
	} {
		write(t, s, "x", "y")
		settles(t, s)
		var first error
		runs := 0
		err := spread{s}.View(t.Context(), func(r store.Reader) error {
			if _, err := r.Setting("x"); err != nil {
				return err
			}
			if runs++; runs > 1 {
				return nil
			}
			done := make(chan struct{})
			if c.during {
				go func() {
					defer close(done)
					awaits(t, "the statement runs", busy)
					c.do()
				}()
				first = tables.One(r.(reader).conn, "SELECT 1 FROM pg_sleep(100)", nil, new(int))
			} else {
				c.do()
				close(done)
				_, first = r.Setting("x")
			}
			<-done
			return errors.New("what it makes of that")
		})
		if err != nil || runs != 2 || first == nil || c.code != "" && !is(first, c.code) {
			t.Errorf("%s: %v after %d runs; the first met %v", c.name, err, runs, first)
		}
	}
}

// A standby that somebody has promoted lives its own life from there on.
func TestReplicaThatIsPromotedIsNotRead(t *testing.T) {
	primary, standby := pair(t)
	s := withReplicas(t, primary.URL(), standby.URL())
	write(t, s, "x", "ours")
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if v, err := look(s, "x"); v != "ours" || err != nil {
					t.Errorf("a view shows %q, %v", v, err)
					return
				}
			}
		})
	}
	before := s.Stats().OnReplica
	awaits(t, "views are on the replica", func() bool { return s.Stats().OnReplica > before+20 })
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	run(t, admin(t, standby.URL()), "UPDATE setting SET value = 'its own' WHERE name = 'x'")
	fallbacks := s.Stats().Fallbacks
	awaits(t, "views go on", func() bool { return s.Stats().Fallbacks > fallbacks+100 })
	stop.Store(true)
	wg.Wait()
	if st := s.Stats(); st.Usable != 0 {
		t.Errorf("it is still used: %+v", st)
	}
	if err := CheckReplica(t.Context(), primary.URL(), standby.URL()); !errors.Is(err, errPromoted) {
		t.Errorf("the check says %v", err)
	}
}

// Replicas that are no replicas of this database, however much they look like
// one: of another system, and of the one that was the primary before.
func TestReplicasOfOthersAreNotRead(t *testing.T) {
	old := postgrestest.Own(t, quick)
	heir, left := old.Standby(t, quick), old.Standby(t, quick)
	other := postgrestest.Own(t, quick)
	stranger := other.Standby(t, quick)
	for _, server := range []*postgrestest.Server{old, other} {
		s := open(t, server.URL())
		write(t, s, "x", "theirs")
	}
	if err := heir.Promote(); err != nil {
		t.Fatal(err)
	}
	// What is left behind follows the old primary, and is ahead of the new one.
	write(t, open(t, old.URL()), "x", "past")
	s, err := OpenWithReplicas(t.Context(), heir.URL(), []string{left.URL(), stranger.URL()}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, r := range s.replicas.list {
		r.usable.Store(true) // as if nobody had looked
	}
	for i := range 20 {
		write(t, s, "x", fmt.Sprint(i))
		for _, r := range s.replicas.list {
			r.usable.Store(true)
		}
		for range 2 { // each in its turn
			if got := shown(t, s, "x"); got != fmt.Sprint(i) {
				t.Errorf("after %d a view shows %s", i, got)
			}
		}
	}
	if st := s.Stats(); st.OnReplica != 0 {
		t.Errorf("%d views were on replicas of others", st.OnReplica)
	}
	for _, c := range []struct {
		replica *postgrestest.Server
		want    error
	}{{left, errTimeline}, {stranger, errForeign}, {heir, errPromoted}} {
		if err := CheckReplica(t.Context(), heir.URL(), c.replica.URL()); !errors.Is(err, c.want) {
			t.Errorf("the check says %v; want %v", err, c.want)
		}
	}
	// One that follows the new primary is used.
	fresh := heir.Standby(t, quick)
	settles(t, withReplicas(t, heir.URL(), fresh.URL()))
}

// Whoever asks while a question is under way shares the next one.
func TestThoseWhoAskTogetherShareAQuestion(t *testing.T) {
	s := fresh(t)
	config := oneConnection(s.reads.Config())
	counted := &counter{}
	config.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	held, err := pool.Acquire(t.Context()) // so that the first question cannot be asked yet
	if err != nil {
		t.Fatal(err)
	}
	p := &positions{pool: pool}
	answers := make(chan error, 51)
	ask := func() { _, err := p.ask(t.Context()); answers <- err }
	go ask()
	awaits(t, "the first question is under way", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.asking && p.next == nil })
	started := atomic.Int64{}
	for range 50 {
		go func() { started.Add(1); ask() }()
	}
	awaits(t, "the others ask", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return started.Load() == 50 && p.next != nil })
	held.Release()
	for range 51 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := counted.n.Load(); n < 2 || n > 4 { // who was late by a moment makes one more
		t.Errorf("51 callers needed %d questions", n)
	}
	before, err := p.ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "x", "y")
	if after, err := p.ask(t.Context()); err != nil || after.flushed <= before.flushed {
		t.Errorf("after a commit the log is at %d, before it was at %d: %v", after.flushed, before.flushed, err)
	}
}

type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if q.SQL == asking {
		c.n.Add(1)
	}
	return ctx
}

func (*counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A machine that is gone sends no word of it.
func TestReplicaThatFallsSilentIsLeft(t *testing.T) {
	primary, standby := pair(t)
	way := newWay(t, standby)
	s := withReplicas(t, primary.URL(), way.url)
	write(t, s, "x", "y")
	settles(t, s)
	runs := 0
	begun := time.Now()
	if err := (spread{s}).View(t.Context(), func(r store.Reader) error {
		if runs++; runs == 1 {
			way.silent.Lock()
		}
		_, err := r.Setting("x")
		return err
	}); err != nil || runs != 2 {
		t.Errorf("a view on a replica that falls silent: %v after %d runs", err, runs)
	}
	if took := time.Since(begun); took > 4*watchLimit {
		t.Errorf("it was left after %v", took)
	}
	if v, err := look(s, "x"); v != "y" || err != nil {
		t.Errorf("another view shows %q, %v", v, err)
	}
	way.silent.Unlock()
	settles(t, s)
}

// way is a way to a server on which everything can be made to stop.
type way struct {
	url    string
	silent sync.Mutex
}

func newWay(t *testing.T, server *postgrestest.Server) *way {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "jumpa-way") // the path of a socket may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w := &way{url: "postgres://postgres@/postgres?host=" + url.QueryEscape(dir)}
	carry := func(to, from net.Conn) {
		defer func() { _, _ = to.Close(), from.Close() }()
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			w.silent.Lock()
			w.silent.Unlock() //nolint:staticcheck // it is for waiting
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", server.Socket())
			if err != nil {
				_ = near.Close()
				continue
			}
			go carry(far, near)
			go carry(near, far)
		}
	}()
	return w
}

func TestReplicasThatCannotBeUsed(t *testing.T) {
	at := database(t)
	for name, c := range map[string]struct{ database, replica string }{
		"an address that is none":      {at, "postgres://%"},
		"answers that are not on disk": {at + "&synchronous_commit=off", at},
	} {
		s, err := OpenWithReplicas(t.Context(), c.database, []string{c.replica}, nil)
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, ErrReplicas) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
