//go:build unix

package fault

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// cluster is many nodes over one PostgreSQL, its replica and one broker, behind
// a balancer, with a network between them that can be troubled.
type cluster struct {
	*site
	t         testing.TB
	database  *postgrestest.Server
	replica   *postgrestest.Server // nil on a bare network
	broker    *process
	toBroker  *wire
	toReplica *wire
	toStore   []*wire // of each node
}

// network is what lies between the nodes, the database and the broker.
type network bool

// The networks: wires that can be troubled, or nothing.
const (
	wires network = true
	bare  network = false
)

const shownByProsody = "a-bearer-that-is-known-to-prosody-alone"

func newCluster(t testing.TB, nodes int, broker string, between network) *cluster {
	t.Helper()
	dir := folder(t)
	c := &cluster{t: t, site: &site{tardy: true}}
	var err error
	if err = os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the server's own user passes through
		t.Fatal(err)
	}
	data := filepath.Join(dir, "pg")
	if err = os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if c.database, err = postgrestest.Create(data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.database.Stop("immediate") })

	at := free(t, "tcp")
	c.kafka = at
	if between == wires {
		c.toBroker = newWire(t, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", at) })
		c.kafka = c.toBroker.addr()
		c.replica = c.database.Standby(t)
		c.toReplica = newWire(t, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.replica.Socket())
		})
	}
	if broker == "apache" {
		c.broker = apache(t, dir, at, c.kafka)
	} else {
		c.broker = embedded(t, dir, at, c.kafka)
	}
	c.broker.start()
	c.broker.ready()

	jitsi := jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: shownByProsody})
	t.Cleanup(jitsi.Close)
	front := newBalancer(t)
	c.url = front.URL
	env := func() []string {
		store, replica := c.database.URL(), ""
		if between == wires {
			w := newWire(t, func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", c.database.Socket())
			})
			c.toStore = append(c.toStore, w)
			store = behind(w)
			replica = behind(c.toReplica)
		}
		return []string{
			"JUMPA_DATABASE_URL=" + store, "JUMPA_DATABASE_REPLICA_URL=" + replica, "JUMPA_KAFKA_BROKERS=" + c.kafka,
			"JUMPA_PUBLIC_URL=" + c.url, "JUMPA_TRUSTED_PROXIES=127.0.0.1", "JUMPA_MEETING_PROVIDER=jitsi", "JUMPA_JITSI_DOMAIN=meet.example.my",
			"JUMPA_JITSI_CONTROL_URL=" + jitsi.URL(), "JUMPA_JITSI_BEARER=" + shownByProsody,
		}
	}
	people := node(t, dir, "people", env(), "up")
	c.toStore = nil
	people.start() // to leave the people of the demo in the database
	people.ready()
	c.data = filepath.Join(dir, "people")
	c.cast = credentials(t, c.data)
	people.stop()
	for i := range nodes {
		n := node(t, dir, fmt.Sprintf("node-%d", i+1), env(), "serve")
		c.nodes = append(c.nodes, n)
		n.start()
		front.add(n.url[len("http://"):])
	}
	c.ready()
	jitsi.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = c.url+"/jitsi/asap/login", c.url+"/jitsi/asap/system"
		o.Reservations, o.Events = c.url+"/jitsi/reservation", c.url+"/jitsi"
	})
	return c
}

// behind gives the address of a PostgreSQL behind a wire.
func behind(w *wire) string { return "postgres://postgres@" + w.addr() + "/postgres?sslmode=disable" }

// ready waits until all nodes are.
func (c *cluster) ready() {
	c.t.Helper()
	c.broker.ready()
	for _, n := range c.nodes {
		n.ready()
	}
}

// restart ends everything at once and starts it again, so that all that is
// found afterwards comes from the disks.
func (c *cluster) restart() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.kill()
	}
	c.broker.kill()
	c.crash()
	c.recover()
	c.broker.start()
	for _, n := range c.nodes {
		n.start()
	}
	c.ready()
}

// replay has the replica stand still or go on.
func (c *cluster) replay(what string) {
	c.t.Helper()
	at, err := pgx.Connect(context.Background(), c.replica.URL())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = at.Close(context.Background()) }()
	if _, err := at.Exec(context.Background(), "SELECT pg_wal_replay_"+what+"()"); err != nil {
		c.t.Error(err)
	}
}

// onReplica gives how many reads of the nodes, since each was started, were on
// the replica.
func (c *cluster) onReplica() (reads float64) {
	c.t.Helper()
	for _, n := range c.nodes {
		text, err := n.metric(context.Background(), "jumpa_store_replica_reads_total")
		if err != nil {
			c.t.Error(err)
			continue
		}
		of, err := strconv.ParseFloat(text, 64)
		if err != nil {
			c.t.Error(err)
		}
		reads += of
	}
	return reads
}

func (c *cluster) crash() {
	c.t.Helper()
	if err := c.database.Stop("immediate"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) recover() {
	c.t.Helper()
	if err := c.database.Start(); err != nil {
		c.t.Fatal(err)
	}
}
