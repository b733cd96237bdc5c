//go:build unix

package fault

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/lease"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
)

// Environment variables of the faults of many nodes.
const (
	seedsVariable  = "JUMPA_FAULT_SEEDS"  // how many seeds to play, 2 when not set
	faultsVariable = "JUMPA_FAULT_FAULTS" // how many faults each seed has, 5 when not set
	onlyVariable   = "JUMPA_FAULT_ONLY"   // words in the names of the faults to play, all when not set
)

// fault is something that goes wrong, and is mended.
type fault struct {
	name   string
	strike func(*cluster, *rand.Rand)
}

// a random time.
func some(r *rand.Rand, least, most time.Duration) {
	time.Sleep(least + time.Duration(r.Int64N(int64(most-least))))
}

// troubled makes a trouble for a while.
func troubled(w *wire, now trouble, r *rand.Rand, least, most time.Duration) {
	w.set(now)
	some(r, least, most)
	w.set(trouble{})
}

func (c *cluster) any(r *rand.Rand) int { return r.IntN(len(c.nodes)) }

const (
	moment = 50 * time.Millisecond
	short  = time.Second
	long   = 4 * time.Second
)

var faults = []fault{
	{"a node is killed", func(c *cluster, r *rand.Rand) {
		n := c.nodes[c.any(r)]
		n.kill()
		some(r, moment, short)
		n.start()
	}},
	{"all nodes are killed", func(c *cluster, r *rand.Rand) {
		for _, n := range c.nodes {
			n.kill()
		}
		some(r, moment, short)
		for _, n := range c.nodes {
			n.start()
		}
	}},
	{"a node is killed while it starts", func(c *cluster, r *rand.Rand) {
		n := c.nodes[c.any(r)]
		for range 3 {
			n.kill()
			n.start()
			some(r, moment, short)
		}
	}},
	{"a node sleeps for longer than a lease", func(c *cluster, r *rand.Rand) {
		n := c.nodes[c.any(r)]
		_ = n.cmd.Process.Signal(syscall.SIGSTOP)
		some(r, lease.DefaultTerm+short, lease.DefaultTerm+long)
		_ = n.cmd.Process.Signal(syscall.SIGCONT)
	}},
	{"all nodes sleep", func(c *cluster, r *rand.Rand) {
		for _, n := range c.nodes {
			_ = n.cmd.Process.Signal(syscall.SIGSTOP)
		}
		some(r, short, lease.DefaultTerm+long)
		for _, n := range c.nodes {
			_ = n.cmd.Process.Signal(syscall.SIGCONT)
		}
	}},
	{"the broker is killed", func(c *cluster, r *rand.Rand) {
		c.broker.kill()
		some(r, moment, long)
		c.broker.start()
	}},
	{"the database crashes", func(c *cluster, r *rand.Rand) {
		c.crash()
		some(r, moment, short)
		c.recover()
	}},
	{"the database crashes and a node is killed", func(c *cluster, r *rand.Rand) {
		n := c.nodes[c.any(r)]
		c.crash()
		n.kill()
		n.start() // before the database
		some(r, moment, short)
		c.recover()
	}},
	{"the database is cut off", func(c *cluster, r *rand.Rand) {
		troubled(c.toStore[c.any(r)], trouble{cut: true}, r, moment, long)
	}},
	{"the database falls silent", func(c *cluster, r *rand.Rand) {
		troubled(c.toStore[c.any(r)], trouble{stall: true}, r, short, 2*lease.DefaultTerm)
	}},
	{"the database is far away", func(c *cluster, r *rand.Rand) {
		troubled(c.toStore[c.any(r)], trouble{delay: time.Duration(1+r.IntN(40)) * time.Millisecond}, r, short, long)
	}},
	{"words of the database break off", func(c *cluster, r *rand.Rand) {
		troubled(c.toStore[c.any(r)], trouble{torn: 40}, r, short, long)
	}},
	{"the replica is killed", func(c *cluster, r *rand.Rand) {
		if err := c.replica.Stop("immediate"); err != nil {
			c.t.Fatal(err)
		}
		some(r, moment, long)
		if err := c.replica.Start(); err != nil {
			c.t.Fatal(err)
		}
	}},
	{"the replica stands still", func(c *cluster, r *rand.Rand) {
		c.replay("pause")
		some(r, short, long)
		c.replay("resume")
	}},
	{"the replica falls silent", func(c *cluster, r *rand.Rand) {
		troubled(c.toReplica, trouble{stall: true}, r, short, 2*lease.DefaultTerm)
	}},
	{"words of the replica break off", func(c *cluster, r *rand.Rand) {
		troubled(c.toReplica, trouble{torn: 40}, r, short, long)
	}},
	{"the broker is cut off", func(c *cluster, r *rand.Rand) {
		troubled(c.toBroker, trouble{cut: true}, r, moment, long)
	}},
	{"the broker falls silent", func(c *cluster, r *rand.Rand) {
		troubled(c.toBroker, trouble{stall: true}, r, short, 2*lease.DefaultTerm)
	}},
	{"words of the broker break off", func(c *cluster, r *rand.Rand) {
		troubled(c.toBroker, trouble{torn: 10}, r, short, long)
	}},
	{"the disk of the broker is full", func(c *cluster, r *rand.Rand) {
		c.broker.fill()
		some(r, short, long)
		select {
		case <-c.broker.gone: // as Apache Kafka does; its operator makes room and starts it
			c.broker.cmd = nil
			c.broker.start()
		default:
			c.broker.empty()
		}
	}},
	{"the nodes are replaced one by one", func(c *cluster, r *rand.Rand) { c.replace(r) }},
}

// replace stops the nodes one after another as an upgrade does, and starts
// them again.
func (c *cluster) replace(r *rand.Rand) {
	for _, n := range c.nodes {
		n.renew(r)
	}
}

// renew stops a node as an upgrade does, and starts it again.
func (p *process) renew(r *rand.Rand) {
	p.stop()
	p.start()
	p.ready()
	some(r, askEvery, 2*askEvery) // until the balancer knows
}

// upgrade replaces two nodes by those of another version, the first of which
// changes the schema. In between the other one is started anew, as it was.
func (c *cluster) upgrade(r *rand.Rand, binary string) {
	first, second := c.nodes[0], c.nodes[1]
	first.binary = binary
	first.renew(r)
	second.renew(r)
	second.binary = binary
	second.renew(r)
}

// TestNobodyNoticesThatNodesAreReplaced sees that every request is answered,
// when it is sent again as documented, while all nodes are replaced: by those of
// a version that changes the schema, and once more.
func TestNobodyNoticesThatNodesAreReplaced(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	seed := fromEnvironment(t, seedVariable, uint64(rand.Uint32()))
	t.Logf("%s=%d", seedVariable, seed)
	c, next := newCluster(t, 2, "embedded", wires), coming(t)
	r := rand.New(rand.NewPCG(seed, 0))
	l := playing(t, c.site, seed, c.restart, func() {
		some(r, moment, short)
		c.upgrade(r, next)
		c.replace(r)
	})
	if has, ours, err := postgres.Version(t.Context(), c.database.URL()); err != nil || has != ours+1 {
		t.Errorf("after the upgrade the database has schema %d of %d, %v", has, ours, err)
	}
	if len(l.unknown) > 0 {
		t.Errorf("requests without an answer: %v", l.unknown)
	}
}

// TestNothingAcknowledgedIsLostOnManyNodes plays seeds: in each, faults at
// random times while hospitals and patients are at work, and then the audit.
func TestNothingAcknowledgedIsLostOnManyNodes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	seeds, first := fromEnvironment(t, seedsVariable, 2), uint64(rand.Uint32())
	if given := fromEnvironment(t, seedVariable, 0); given != 0 {
		seeds, first = 1, given
	}
	count := int(fromEnvironment(t, faultsVariable, 5))
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("%s=%d", seedVariable, seed), func(t *testing.T) { playSeed(t, seed, count) })
	}
}

func playSeed(t *testing.T, seed uint64, count int) {
	began := time.Now()
	kind := brokerOf(t, seed)
	c := newCluster(t, 2, kind, wires)
	r := rand.New(rand.NewPCG(seed, 0))
	playing(t, c.site, seed, c.restart, func() {
		deck := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.Contains(f.name, os.Getenv(onlyVariable)) })
		r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for i := range count {
			f := deck[i%len(deck)]
			some(r, moment, short)
			since := time.Now()
			f.strike(c, r)
			c.ready()
			t.Logf("%6.1fs: %s, for %.1fs", since.Sub(began).Seconds(), f.name, time.Since(since).Seconds())
		}
	})
	for _, n := range append([]*process{c.broker}, c.nodes...) {
		for _, line := range n.logged("panic in") {
			t.Errorf("%s has logged: %s", n.name, line)
		}
	}
	reads := c.onReplica()
	if reads == 0 {
		t.Error("nothing was read from the replica")
	}
	t.Logf("%v reads of the last start were on the replica", reads)
	t.Logf("%d faults with the %s broker; the seed took %v", count, kind, time.Since(began).Round(time.Second))
}
