package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/kafka"
	"github.com/jumpa-hie/jumpa/internal/outbox"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// childDir, in the environment, makes this program a broker to be killed.
const (
	childDir    = "JUMPA_TEST_BROKER_DIR"
	childListen = "JUMPA_TEST_BROKER_LISTEN"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		b := &broker.Broker{Dir: dir, Listen: os.Getenv(childListen)}
		if err := b.Start(context.Background()); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		io.Copy(io.Discard, os.Stdin) // until the parent is gone
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// startBroker runs a broker in a process of its own and gives the way to kill
// it and its address.
func startBroker(t *testing.T, dir, listen string) (kill func(), addr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childListen+"="+listen)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error:") {
		t.Fatalf("the broker did not start: %q %v", line, err)
	}
	return func() { cmd.Process.Kill(); cmd.Wait() }, strings.TrimSpace(line)
}

// TestKilledBroker kills the broker at random points while events are
// committed and relayed. Every event must be on the broker in the end, at the
// place that the outbox says, and each key in its order.
func TestKilledBroker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	kill, addr := startBroker(t, dir, "127.0.0.1:0")
	t.Cleanup(func() { kill() })
	p, err := kafka.Open(kafka.Options{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	st := database(t)
	r := relay(st, p)
	r.Timeout = 2 * time.Second
	startRelay(t, r)

	const topics, rounds, perRound = 3, 6, 120
	for round := range rounds {
		victim, later := rand.IntN(perRound), rand.IntN(2) == 0
		for i := range perRound {
			n := round*perRound + i
			commit(t, st, fmt.Sprintf("hie.vc.encounter.h%d", n%topics), n, fmt.Sprintf("Encounter/%d", n%7))
			r.Wake()
			if i == victim {
				if later { // not before the next commit, which may be the relay's
					<-st.committed
				}
				kill()
				kill, _ = startBroker(t, dir, addr)
			}
		}
	}
	st.untilPending(t, 0)
	r.Stop()

	log := arrived(t, addr, topics)
	checkOrder(t, log, rounds*perRound, true)
	t.Logf("%d events, %d messages", rounds*perRound, len(log))
	checkPlaces(t, st, log)
}

// arrived reads all that is on the broker. Seq is the number of the event.
func arrived(t *testing.T, addr string, topics int) []store.Event {
	t.Helper()
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprintf("hie.vc.encounter.h%d", i))
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := patience(t)
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, names...)
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) { left += int(o.Offset) })
	var log []store.Event
	for left > 0 {
		for _, rec := range cl.PollFetches(ctx).Records() {
			n, err := strconv.Atoi(string(rec.Value))
			if err != nil {
				t.Fatal(err)
			}
			// Number keeps the offset, Seq the event.
			log = append(log, store.Event{Topic: rec.Topic, Key: string(rec.Key), Seq: int64(n) + 1, Number: rec.Offset})
			left--
		}
		if ctx.Err() != nil {
			t.Fatalf("%d messages are missing", left)
		}
	}
	return log
}

// checkPlaces sees that the highest offsets in the outbox are on the broker.
func checkPlaces(t *testing.T, st store.Store, log []store.Event) {
	t.Helper()
	ends := map[string]int64{}
	for _, e := range log {
		ends[e.Topic] = max(ends[e.Topic], e.Number)
	}
	err := st.View(t.Context(), func(r store.Reader) error {
		last, err := r.LastPublished()
		for _, p := range last {
			if p.Offset != ends[p.Topic] {
				t.Errorf("the outbox takes %d for the highest offset of %s, which is %d", p.Offset, p.Topic, ends[p.Topic])
			}
		}
		if len(last) != len(ends) {
			t.Errorf("the outbox knows %d topics of %d", len(last), len(ends))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var _ outbox.Publisher = (*kafka.Publisher)(nil)
