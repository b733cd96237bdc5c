package app

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// onPostgres is a node over PostgreSQL with few connections, and somebody else
// who is at the same database.
type onPostgres struct {
	*testing.T
	app   *App
	rival *pgx.Conn
}

// connections are those of each pool of the node.
const connections = 4

func newOnPostgres(t *testing.T) *onPostgres {
	t.Helper()
	address, err := url.Parse(postgrestest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	q := address.Query()
	q.Set("application_name", t.Name())
	rival, err := pgx.Connect(t.Context(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rival.Close(t.Context()) })
	q.Set("pool_max_conns", strconv.Itoa(connections))
	address.RawQuery = q.Encode()
	cfg := laptop(t, t.TempDir())
	cfg.Demo, cfg.DatabaseURL = false, address.String()
	p := &onPostgres{t, running(t, cfg), rival}
	p.write("mine", "0")
	return p
}

// write keeps a setting, which is a row.
func (p *onPostgres) write(name, text string) {
	p.Helper()
	if err := p.app.store.Update(p.Context(), func(tx store.Tx) error { return tx.PutSetting(name, []byte(text)) }); err != nil {
		p.Fatal(err)
	}
}

// overtake changes a setting from outside, as another node does.
func (p *onPostgres) overtake(name string) {
	p.Helper()
	if _, err := p.rival.Exec(p.Context(), "UPDATE setting SET value = 'theirs' WHERE name = $1", name); err != nil {
		p.Error(err)
	}
}

// kill ends the connections of transactions of the node that wait for it.
func (p *onPostgres) kill() {
	p.Helper()
	n, err := p.rival.Exec(p.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = $1 AND state LIKE 'idle in transaction%'`, p.Name())
	if err != nil || n.RowsAffected() == 0 {
		p.Errorf("%d connections were ended: %v", n.RowsAffected(), err)
	}
}

// counts reads lines of /metrics, all at once.
func (p *onPostgres) counts(lines ...string) map[string]float64 {
	p.Helper()
	text, _ := exposed(p.T, p.app)
	all := map[string]float64{}
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+" ") && strings.Contains(line, "{") {
			all[line] = 0 // labels come with the first count
			continue
		}
		n, err := strconv.ParseFloat(valueIn(p.T, text, line), 64)
		if err != nil {
			p.Fatalf("%s: %v", line, err)
		}
		all[line] = n
	}
	return all
}

// grows expects that counters grow by so much at least while something
// happens; the node's own work may add to it.
func (p *onPostgres) grows(while func(), want map[string]float64) {
	p.Helper()
	var lines []string
	for line := range want {
		lines = append(lines, line)
	}
	before := p.counts(lines...)
	while()
	after := p.counts(lines...)
	for line, by := range want {
		if got := after[line] - before[line]; got < by {
			p.Errorf("%s has grown by %v, want %v", line, got, by)
		}
	}
}

const (
	conflicts    = "jumpa_store_conflicts_total"
	retries      = "jumpa_store_retries_total"
	waiting      = "jumpa_store_waiting"
	busy         = "jumpa_store_connections_busy"
	most         = "jumpa_store_connections_most"
	updateFailed = `jumpa_store_transaction_duration_seconds_count{kind="update",outcome="failed"}`
	updateDone   = `jumpa_store_transaction_duration_seconds_count{kind="update",outcome="done"}`
	viewFailed   = `jumpa_store_transaction_duration_seconds_count{kind="view",outcome="failed"}`
)

// change reads a setting, lets something happen, and writes it, on each run
// with another of the acts.
func (p *onPostgres) change(name string, acts ...func()) error {
	run := 0
	err := p.app.store.Update(p.Context(), func(tx store.Tx) error {
		if _, err := tx.Setting(name); err != nil {
			return err
		}
		if run++; run <= len(acts) {
			acts[run-1]()
		}
		if _, err := tx.Setting(name); err != nil {
			return err
		}
		return tx.PutSetting(name, []byte("ours"))
	})
	if err == nil && run < len(acts) {
		return errors.New("the transaction did not run again")
	}
	return err
}

// holds expects what a setting says in the end.
func (p *onPostgres) holds(name, want string) {
	p.Helper()
	var got string
	if err := p.rival.QueryRow(p.Context(), "SELECT convert_from(value, 'UTF8') FROM setting WHERE name = $1", name).Scan(&got); err != nil || got != want {
		p.Errorf("%s is %q, %v; want %q", name, got, err, want)
	}
}

// TestMetricsOfConflicts lets another be faster than an update: once, and
// again when it is tried again.
func TestMetricsOfConflicts(t *testing.T) {
	for _, c := range []struct {
		name  string
		times int
		want  map[string]float64
	}{
		{"nobody is faster", 0, map[string]float64{updateDone: 1}},
		{"once", 1, map[string]float64{conflicts: 1, updateDone: 1}},
		{"three times", 3, map[string]float64{conflicts: 1, retries: 2, updateDone: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newOnPostgres(t) // which has met no conflict yet
			p.grows(func() {
				if err := p.change("mine", slices.Repeat([]func(){func() { p.overtake("mine") }}, c.times)...); err != nil {
					t.Error(err)
				}
			}, c.want)
			p.holds("mine", "ours")
		})
	}
}

// TestMetricsOfWaiting stops the one that goes alone after a conflict; others
// queue behind it, and share a commit.
func TestMetricsOfWaiting(t *testing.T) {
	p := newOnPostgres(t)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		if err := p.change("mine", func() { p.overtake("mine") }, func() { close(stopped); <-goOn }); err != nil {
			t.Error(err)
		}
	})
	<-stopped
	before := p.counts("jumpa_store_commits_total", "jumpa_store_committed_total")
	const others = 5
	for i := range others {
		work.Go(func() {
			if err := p.app.store.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting("other."+strconv.Itoa(i), []byte("x")) }); err != nil {
				t.Error(err)
			}
		})
	}
	for end := time.Now().Add(time.Minute); p.counts(waiting)[waiting] < others; {
		if time.Now().After(end) {
			t.Error("nobody waits")
			break
		}
	}
	close(goOn)
	work.Wait()
	after := p.counts("jumpa_store_commits_total", "jumpa_store_committed_total", waiting)
	if after[waiting] >= others {
		t.Errorf("%v still wait", after[waiting])
	}
	commits, committed := after["jumpa_store_commits_total"]-before["jumpa_store_commits_total"], after["jumpa_store_committed_total"]-before["jumpa_store_committed_total"]
	if committed < 1+others || committed-commits < others-1 {
		t.Errorf("%v updates in %v commits; those that wait together share one", committed, commits)
	}
}

// TestMetricsOfConnections uses up those of views: /metrics still answers before
// a scraper gives up, and says so.
func TestMetricsOfConnections(t *testing.T) {
	p := newOnPostgres(t)
	if n := p.counts(busy, most); n[most] != 2*connections || n[busy] >= n[most] {
		t.Fatalf("%v of %v connections are in use", n[busy], n[most])
	}
	var work sync.WaitGroup
	in, leave := make(chan struct{}), make(chan struct{})
	stay := func(r store.Reader) error {
		_, err := r.Setting("mine")
		in <- struct{}{}
		<-leave
		return err
	}
	for range connections {
		work.Go(func() { _ = p.app.store.View(t.Context(), stay) })
	}
	for range connections {
		<-in
	}
	began := time.Now()
	n := p.counts(busy, most, "jumpa_outbox_pending", "jumpa_outbox_oldest_seconds", "jumpa_outbox_parked", "jumpa_subscription_pending", "jumpa_subscription_dead")
	if took := time.Since(began); took > 10*time.Second { // of Prometheus, unless it is told otherwise
		t.Errorf("/metrics took %v", took)
	}
	for line, got := range n {
		switch {
		case line == most:
		case line == busy && got < connections:
			t.Errorf("%v connections are in use, want %d at least", got, connections)
		case line != busy && got != -1: // not known
			t.Errorf("%s is %v while no view has a connection; want -1", line, got)
		}
	}
	close(leave)
	work.Wait()
	if n := p.counts("jumpa_outbox_pending"); n["jumpa_outbox_pending"] < 0 {
		t.Errorf("afterwards %v", n)
	}
}

// TestMetricsOfConnectionsThatDie ends the connection of a view, which fails,
// that of an update, which runs again, and that of an update at its end, of
// which nobody can know whether it was written.
func TestMetricsOfConnectionsThatDie(t *testing.T) {
	p := newOnPostgres(t)
	p.grows(func() {
		err := p.app.store.View(t.Context(), func(r store.Reader) error {
			if _, err := r.Setting("mine"); err != nil {
				return err
			}
			p.kill()
			_, err := r.Setting("mine")
			return err
		})
		if err == nil {
			t.Error("a view goes on without its connection")
		}
	}, map[string]float64{viewFailed: 1})
	p.grows(func() {
		if err := p.change("mine", p.kill); err != nil {
			t.Error(err)
		}
	}, map[string]float64{conflicts: 1, updateDone: 1})
	p.grows(func() {
		if err := p.change("mine", p.kill, p.kill); err != nil {
			t.Error(err)
		}
	}, map[string]float64{conflicts: 1, retries: 1, updateDone: 1})
	p.holds("mine", "ours")
	p.grows(func() {
		err := p.app.store.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.Setting("mine")
			p.kill()
			return errors.Join(err, tx.PutSetting("mine", []byte("lost")))
		})
		if fhir.CodeOf(err) != fhir.CodeTransient {
			t.Errorf("an update without its connection: %v", err)
		}
	}, map[string]float64{updateFailed: 1})
	p.holds("mine", "ours")
	v := &visitor{T: t}
	if status, body := v.request(p.app, http.MethodGet, "/readyz", nil, ""); status != http.StatusOK {
		t.Errorf("/readyz answers %d: %s", status, body)
	}
}
