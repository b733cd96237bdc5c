package kafka_test

import (
	"bufio"
	"bytes"
	"context"
	crypto "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/kafka"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// kind is a broker to test, as addr.
type kind struct {
	addr       string
	partitions int    // of new topics
	retention  string // of new topics
	kill       func() // nil when it cannot be killed
	revive     func()
	lossy      func(*testing.T) *lossy // a way there that loses answers
}

// childDir, in the environment, makes this program an embedded broker.
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
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
		os.Exit(0)
	}
	postgrestest.Run(m, func() { _ = os.RemoveAll(built.dir) })
}

// embedded runs the embedded broker in a process of its own.
func embedded(t *testing.T) *kind {
	dir := filepath.Join(t.TempDir(), "kafka")
	var cmd *exec.Cmd
	k := &kind{addr: free(t), partitions: 1, retention: "-1"}
	k.kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	k.revive = func() {
		cmd = exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childListen+"="+k.addr)
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
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.HasPrefix(line, "error:") {
			t.Fatalf("the embedded broker did not start: %q %v", line, err)
		}
	}
	k.lossy = func(t *testing.T) *lossy { // a broker of its own: it has one address
		b := &broker.Broker{Dir: filepath.Join(t.TempDir(), "kafka"), Listen: free(t), Advertise: free(t)}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Stop)
		return newLossy(t, b.Advertise, b.Listen)
	}
	k.revive()
	t.Cleanup(func() { k.kill() })
	return k
}

// production runs Apache Kafka, or uses the one of KAFKA_BROKERS.
func production(t *testing.T) *kind {
	k := &kind{partitions: 3, retention: "259200000"}
	if elsewhere != "" {
		k.addr = elsewhere
		return k
	}
	s := apache(t)
	k.addr, k.kill = s.open, s.kill
	k.revive = s.start // clients wait until it is ready
	k.lossy = func(t *testing.T) *lossy { return newLossy(t, s.far, s.near) }
	return k
}

// TestBrokers holds both brokers to the same promises.
func TestBrokers(t *testing.T) {
	t.Parallel()
	for _, b := range []struct {
		name  string
		start func(*testing.T) *kind
	}{{"embedded", embedded}, {"Apache Kafka", production}} {
		t.Run(b.name, func(t *testing.T) {
			k := b.start(t)
			t.Run("topics have partitions and a retention", func(t *testing.T) { testTopics(t, k) })
			t.Run("settings of topics are checked", func(t *testing.T) { testCheck(t, k) })
			t.Run("order per key", func(t *testing.T) { testOrder(t, k) })
			t.Run("lost answers", func(t *testing.T) { testLost(t, k) })
			t.Run("exact bytes", func(t *testing.T) { testExact(t, k) })
			t.Run("groups go on", func(t *testing.T) { testGroups(t, k) })
			t.Run("large messages", func(t *testing.T) { testLarge(t, k) })
			t.Run("killed", func(t *testing.T) { testKilled(t, k) })
		})
	}
}

// topic gives a name that no other test uses.
func topic(t *testing.T, k *kind) string {
	t.Helper()
	name := "hie.vc.test." + strings.ToLower(crypto.Text())
	if elsewhere != "" && k.addr == elsewhere {
		a := admin(t, k.addr)
		t.Cleanup(func() { _, _ = a.DeleteTopics(patience(t), name) })
	}
	return name
}

func publisher(t *testing.T, o kafka.Options) *kafka.Publisher {
	t.Helper()
	p, err := kafka.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (k *kind) publisher(t *testing.T) *kafka.Publisher {
	t.Helper()
	return publisher(t, kafka.Options{Brokers: strings.Split(k.addr, ",")})
}

// numbered gives events that carry their numbers, of seven keys.
func numbered(topic string, from, to int) []store.Event {
	var out []store.Event
	for i := from; i < to; i++ {
		out = append(out, store.Event{
			Seq: int64(i), Topic: topic, Key: fmt.Sprintf("Encounter/%d", i%7), Number: int64(i), Value: []byte(strconv.Itoa(i)),
			Headers: []store.Header{{Name: "ce_id", Value: strconv.Itoa(i)}},
		})
	}
	return out
}

func publish(t *testing.T, p *kafka.Publisher, events ...store.Event) []store.Published {
	t.Helper()
	published, err := p.Publish(patience(t), events)
	if err != nil || len(published) != len(events) {
		t.Fatalf("%d of %d events published: %v", len(published), len(events), err)
	}
	return published
}

// all reads what is in a topic.
func all(t *testing.T, k *kind, topic string) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(k.addr, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := patience(t)
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) { left += int(o.Offset) })
	var out []*kgo.Record
	for len(out) < left {
		out = append(out, cl.PollFetches(ctx).Records()...)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d messages", len(out), left)
		}
	}
	return out
}

func testTopics(t *testing.T, k *kind) {
	name := topic(t, k)
	p := k.publisher(t)
	for range 2 { // the second time it is there
		if err := p.EnsureTopics(patience(t), name); err != nil {
			t.Fatal(err)
		}
	}
	a := admin(t, k.addr)
	found, err := a.ListTopics(patience(t), name)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(found[name].Partitions); got != k.partitions {
		t.Errorf("the topic has %d partitions, want %d", got, k.partitions)
	}
	described, err := a.DescribeTopicConfigs(patience(t), name)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, c := range described[0].Configs {
		settings[c.Key] = c.MaybeValue()
	}
	if settings["retention.ms"] != k.retention || settings["cleanup.policy"] != "delete" {
		t.Errorf("the topic has retention.ms %q and cleanup.policy %q", settings["retention.ms"], settings["cleanup.policy"])
	}
}

// testCheck sees that what the publisher makes passes its own check, and what
// others have changed does not.
func testCheck(t *testing.T, k *kind) {
	if k.retention == "-1" {
		t.Skip("the embedded broker has its own retention, and lets nobody change settings")
	}
	name, p := topic(t, k), k.publisher(t)
	if err := p.EnsureTopics(patience(t), name); err != nil {
		t.Fatal(err)
	}
	if found, err := p.CheckTopics(patience(t), name, name+".missing"); err != nil || len(found) > 0 {
		t.Errorf("of a new topic: %v, error %v", found, err)
	}
	set := func(key, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: kadm.StringPtr(value)}
	}
	changed, err := admin(t, k.addr).AlterTopicConfigs(patience(t), []kadm.AlterConfig{
		set("retention.ms", "604800000"), set("segment.ms", "604800000"), set("max.message.bytes", "1000"), set("min.insync.replicas", "5"),
	}, name)
	if err == nil {
		_, err = changed.On(name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"retention.ms is 604800000, want 259200000", "segment.ms is 604800000, want at most 21600000",
		"max.message.bytes is 1000, want at least 1000012", "min.insync.replicas is 5, want ",
	}
	eventually(t, func(ctx context.Context) error {
		found, err := p.CheckTopics(ctx, name)
		if err == nil && len(found) != len(want) {
			err = fmt.Errorf("found %v", found)
		}
		for i := 0; err == nil && i < len(want); i++ {
			if report := "topic " + name + ": " + want[i]; !strings.HasPrefix(found[i].String(), report) {
				err = fmt.Errorf("the report is %q, want %q", found[i], report)
			}
		}
		return err
	})
}

func testOrder(t *testing.T, k *kind) {
	name, p := topic(t, k), k.publisher(t)
	places := map[store.Published]string{}
	const events = 700
	for from := 0; from < events; from += 100 {
		sent := numbered(name, from, from+100)
		for _, place := range publish(t, p, sent...) {
			number := place.Seq
			place.Seq = 0
			places[place] = strconv.FormatInt(number, 10)
		}
	}
	last, where := map[string]int{}, map[string]int32{}
	log := all(t, k, name)
	for _, r := range log {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatal(err)
		}
		key := string(r.Key)
		if at, seen := where[key]; seen && (at != r.Partition || n <= last[key]) {
			t.Errorf("%s: event %d in partition %d came after %d in %d", key, n, r.Partition, last[key], at)
		}
		last[key], where[key] = n, r.Partition
		if got := places[store.Published{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}]; got != string(r.Value) {
			t.Errorf("at %d/%d is event %d, not %q as Publish said", r.Partition, r.Offset, n, got)
		}
	}
	if len(log) != events || len(last) != 7 {
		t.Errorf("%d messages with %d keys", len(log), len(last))
	}
}

// testExact reads with three clients what one has written.
func testExact(t *testing.T, k *kind) {
	name := topic(t, k)
	var every []byte
	for b := range 256 {
		every = append(every, byte(b))
	}
	binary := store.Event{Topic: name, Key: "Encounter/华", Value: every, Headers: []store.Header{
		{Name: "ce_id", Value: "tab\tand 华"}, {Name: "ce_id", Value: "again"}, {Name: "empty", Value: ""},
	}}
	p := publisher(t, kafka.Options{Brokers: strings.Split(k.addr, ","), Partitions: 1})
	line := binary
	line.Seq, line.Value = 1, []byte("\"华\" "+strings.Repeat("compressible ", 1000))
	publish(t, p, binary, line)

	got := all(t, k, name)
	for i, e := range []store.Event{binary, line} {
		r := got[i]
		var headers []store.Header
		for _, h := range r.Headers {
			headers = append(headers, store.Header{Name: h.Key, Value: string(h.Value)})
		}
		if string(r.Key) != e.Key || !bytes.Equal(r.Value, e.Value) || !slices.Equal(headers, e.Headers) {
			t.Errorf("message %d has the key %q, %d bytes and the headers %q", i, r.Key, len(r.Value), headers)
		}
	}
	const gzip = 1
	if c := got[1].Attrs.CompressionType(); c != gzip {
		t.Errorf("the compression is %d, not gzip, the only one that every client knows", c)
	}

	for offset, e := range []store.Event{binary, line} {
		out := kcat(t, "-C", "-b", k.addr, "-t", name, "-p", "0", "-o", strconv.Itoa(offset), "-c", "1", "-q", "-D", "", "-f", "%k|%h|%s")
		if want := e.Key + "|ce_id=tab\tand 华,ce_id=again,empty=|" + string(e.Value); out != want {
			t.Errorf("kcat reads %q, want %q", out, want)
		}
	}
	out := tool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", k.addr, "--topic", name,
		"--partition", "0", "--offset", "1", "--max-messages", "1", "--formatter-property", "print.key=true", "--formatter-property", "print.headers=true",
		"--formatter-property", "key.separator=|", "--formatter-property", "headers.separator=,")
	if want := "ce_id:tab\tand 华,ce_id:again,empty:|" + line.Key + "|" + string(line.Value) + "\n"; out != want {
		t.Errorf("the Java client reads %q, want %q", out, want)
	}
}

// kcat runs a client of another make.
func kcat(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Fatal("kcat is missing: run `make deps`")
	}
	cmd := exec.CommandContext(patience(t), "kcat", args...)
	var fault strings.Builder
	cmd.Stderr = &fault
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat %q: %v\n%s", args, err, fault.String())
	}
	return string(out)
}

// testGroups sees that what one member has committed comes to no other, also
// to one of another make and after the broker was killed.
func testGroups(t *testing.T, k *kind) {
	name := topic(t, k)
	group := name + ".group"
	p := k.publisher(t)
	publish(t, p, numbered(name, 0, 40)...)
	var got []string
	add := func(out string, want int) {
		t.Helper()
		lines := strings.Fields(out)
		if len(lines) != want {
			t.Fatalf("%d messages instead of %d: %q", len(lines), want, out)
		}
		got = append(got, lines...)
	}
	java := func(n int) string {
		return tool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", k.addr, "--topic", name,
			"--group", group, "--from-beginning", "--max-messages", strconv.Itoa(n))
	}
	add(java(10), 10)
	if k.kill != nil {
		k.kill()
		k.revive()
	}
	publish(t, p, numbered(name, 40, 60)...)
	add(kcat(t, "-b", k.addr, "-X", "auto.offset.reset=earliest", "-q", "-f", "%s\n", "-c", "20", "-G", group, name), 20)

	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(k.addr, ",")...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := patience(t)
	for len(got) < 60 && ctx.Err() == nil {
		for _, r := range cl.PollFetches(ctx).Records() {
			got = append(got, string(r.Value))
		}
	}
	slices.Sort(got)
	if distinct := len(slices.Compact(slices.Clone(got))); len(got) != 60 || distinct != 60 {
		t.Errorf("the group got %d messages, %d of them different, want 60", len(got), distinct)
	}
}

// testLarge sends the largest event that the exchange makes, and one that no
// broker takes as it is set up by default.
func testLarge(t *testing.T, k *kind) {
	name, p := topic(t, k), k.publisher(t)
	random := func(n int) []byte {
		b := make([]byte, n)
		_, _ = crypto.Read(b) // never fails
		return b
	}
	var sent []store.Event
	for i := range 8 { // in one call: together they are more than one request may hold
		e := numbered(name, i, i+1)[0]
		e.Key, e.Value = "Encounter/1", append(binary.BigEndian.AppendUint32(nil, uint32(i)), random(subscription.MaxValue-4)...)
		sent = append(sent, e)
	}
	tooLarge := numbered(name, 8, 9)[0]
	tooLarge.Value = random(2 << 20)
	published, err := p.Publish(patience(t), append(slices.Clone(sent), tooLarge))
	if len(published) != len(sent) || !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("%d of %d published: %v", len(published), len(sent), err)
	}
	got := all(t, k, name)
	if len(got) != len(sent) {
		t.Fatalf("%d messages, want %d", len(got), len(sent))
	}
	for i, r := range got {
		if !bytes.Equal(r.Value, sent[i].Value) {
			t.Errorf("message %d has other bytes", i)
		}
	}
}
