package kafka_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/kafka"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const topic = "hie.vc.encounter.h1"

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func embedded(t *testing.T, dir, listen string) *broker.Broker {
	t.Helper()
	b := &broker.Broker{Dir: dir, Listen: listen}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func open(t *testing.T, o kafka.Options) *kafka.Publisher {
	t.Helper()
	p, err := kafka.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func events(topic string, from, to int64) []store.Event {
	var out []store.Event
	for i := from; i < to; i++ {
		out = append(out, store.Event{
			Seq: i, Topic: topic, Key: fmt.Sprintf("Encounter/%d", i%3), Number: i, Value: fmt.Appendf(nil, "value %d", i),
			Headers: []store.Header{{Name: "ce_id", Value: fmt.Sprint(i)}, {Name: "content-type", Value: "application/fhir+json; fhirVersion=4.0"}},
		})
	}
	return out
}

// read gives the first n records of a topic.
func read(t *testing.T, addr, topic string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := patience(t)
	var out []*kgo.Record
	for len(out) < n {
		out = append(out, cl.PollRecords(ctx, n-len(out)).Records()...)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records", len(out), n)
		}
	}
	return out
}

func TestPublish(t *testing.T) {
	b := embedded(t, t.TempDir(), "127.0.0.1:0")
	p := open(t, kafka.Options{Brokers: []string{b.Addr()}})
	if err := p.Ping(patience(t)); err != nil {
		t.Fatal(err)
	}
	sent := events(topic, 1, 201)
	published, err := p.Publish(patience(t), sent)
	if err != nil || len(published) != len(sent) {
		t.Fatalf("%d published: %v", len(published), err)
	}
	slices.SortFunc(published, func(a, b store.Published) int { return int(a.Seq - b.Seq) })
	for i, r := range read(t, b.Addr(), topic, len(sent)) {
		e := sent[i]
		if string(r.Key) != e.Key || string(r.Value) != string(e.Value) || len(r.Headers) != 2 || r.Headers[0].Key != "ce_id" || string(r.Headers[0].Value) != e.Headers[0].Value {
			t.Fatalf("record %d is %s %s %v", i, r.Key, r.Value, r.Headers)
		}
		if want := (store.Published{Seq: e.Seq, Topic: topic, Partition: r.Partition, Offset: r.Offset}); published[i] != want {
			t.Errorf("the place of event %d is %v, want %v", i, published[i], want)
		}
	}
	if _, err := p.Publish(patience(t), nil); err != nil {
		t.Errorf("publishing nothing: %v", err)
	}
}

// TestCompression sees that consumers of other makers can read the messages:
// not all of them know Snappy, LZ4 or Zstandard.
func TestCompression(t *testing.T) {
	b := embedded(t, t.TempDir(), "127.0.0.1:0")
	p := open(t, kafka.Options{Brokers: []string{b.Addr()}})
	large := events(topic, 1, 2)
	large[0].Value = bytes.Repeat([]byte("compressible "), 1000)
	if _, err := p.Publish(patience(t), large); err != nil {
		t.Fatal(err)
	}
	const none, gzip = 0, 1
	if got := read(t, b.Addr(), topic, 1)[0].Attrs.CompressionType(); got != none && got != gzip {
		t.Errorf("the batch has the compression %d", got)
	}
}

// TestRefusedTopic sees that a topic that cannot be made holds up no other.
func TestRefusedTopic(t *testing.T) {
	b := embedded(t, t.TempDir(), "127.0.0.1:0")
	p := open(t, kafka.Options{Brokers: []string{b.Addr()}})
	batch := append(events("not/legal", 1, 3), events(topic, 3, 5)...)
	published, err := p.Publish(patience(t), batch)
	if err == nil || len(published) != 2 || published[0].Topic != topic {
		t.Errorf("published %v, error %v", published, err)
	}
	if err := p.EnsureTopics(patience(t), topic, "not/legal"); err == nil {
		t.Error("an illegal topic was made")
	}
}

// TestRefusedEvent sees that an event that no broker takes is named, and that
// those beside it arrive.
func TestRefusedEvent(t *testing.T) {
	b := embedded(t, t.TempDir(), "127.0.0.1:0")
	p := open(t, kafka.Options{Brokers: []string{b.Addr()}})
	sent := events(topic, 1, 4)
	sent[1].Value = make([]byte, 2<<20)
	_, _ = rand.Read(sent[1].Value) // which no compression makes smaller
	published, err := p.Publish(patience(t), sent)
	if len(published) != 2 {
		t.Errorf("published %v", published)
	}
	var refused *kafka.Refused
	if !errors.As(err, &refused) || !slices.Equal(refused.Refused(), []int64{2}) || !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("the error is %v", err)
	}
}

func TestBrokerAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	b := embedded(t, dir, "127.0.0.1:0")
	addr := b.Addr()
	p := open(t, kafka.Options{Brokers: []string{addr}})
	if _, err := p.Publish(patience(t), events(topic, 1, 2)); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if published, err := p.Publish(short, events(topic, 2, 3)); err == nil || len(published) != 0 {
		t.Errorf("published %v without a broker, error %v", published, err)
	}
	if err := p.Ping(short); err == nil {
		t.Error("a broker that is away answers")
	}
	embedded(t, dir, addr)
	if _, err := p.Publish(patience(t), events(topic, 2, 4)); err != nil {
		t.Fatalf("after the broker came back: %v", err)
	}
	var got []string
	for _, r := range read(t, addr, topic, 3) {
		got = append(got, string(r.Value))
	}
	if want := []string{"value 1", "value 2", "value 3"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

// TestLostAcknowledgement cuts the connection while the broker has a batch and
// has not answered: the call ends with its context, and what is published
// again arrives.
func TestLostAcknowledgement(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	addr := cluster.ListenAddrs()[0]
	p := open(t, kafka.Options{Brokers: []string{addr}, Partitions: 1})
	if err := p.EnsureTopics(patience(t), topic); err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		close(arrived)
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(patience(t))
	result := make(chan error)
	go func() {
		_, err := p.Publish(ctx, events(topic, 1, 2))
		result <- err
	}()
	<-arrived
	cancel()
	if err := <-result; err == nil {
		t.Error("a call without an answer gave no error")
	}
	close(release)
	if _, err := p.Publish(patience(t), events(topic, 1, 3)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := 1; !seen["value 1"] || !seen["value 2"]; n++ {
		seen[string(read(t, addr, topic, n)[n-1].Value)] = true
	}
}

func TestTopicSettings(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for name, replication := range map[string]int16{topic: 3, "two.copies": 2, "one.copy": 1, "as.the.brokers.have.it": 0} {
		p := open(t, kafka.Options{Brokers: cluster.ListenAddrs(), Replication: replication})
		if err := p.EnsureTopics(patience(t), name, name, name+".more"); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	topics, err := admin.ListTopics(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := topics[topic].Partitions; len(got) != 3 || len(got[0].Replicas) != 3 {
		t.Errorf("the topic has the partitions %v", got)
	}
	configs, err := admin.DescribeTopicConfigs(patience(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"retention.ms": "259200000", "segment.ms": "21600000", "cleanup.policy": "delete", "min.insync.replicas": "2"}
	for _, c := range configs[0].Configs {
		if v, ok := want[c.Key]; ok {
			if c.MaybeValue() != v {
				t.Errorf("%s is %s, want %s", c.Key, c.MaybeValue(), v)
			}
			delete(want, c.Key)
		}
	}
	if len(want) > 0 {
		t.Errorf("not set: %v", want)
	}
	for name, want := range map[string]string{topic + ".more": "2", "two.copies": "1", "one.copy": "1", "as.the.brokers.have.it": "2"} {
		configs, err := admin.DescribeTopicConfigs(patience(t), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "min.insync.replicas" && c.MaybeValue() != want {
				t.Errorf("%s: min.insync.replicas is %s with %d replicas, want %s", name, c.MaybeValue(), len(topics[name].Partitions[0].Replicas), want)
			}
		}
	}
}

func TestSignIn(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "hie", "right"), kfake.Superuser("SCRAM-SHA-256", "hie", "right"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for _, tc := range []struct {
		mechanism, password string
		ok                  bool
	}{
		{"SCRAM-SHA-512", "right", true},
		{"SCRAM-SHA-256", "right", true},
		{"SCRAM-SHA-512", "wrong", false},
	} {
		p := open(t, kafka.Options{Brokers: cluster.ListenAddrs(), Mechanism: tc.mechanism, User: "hie", Password: tc.password})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := p.Ping(ctx); (err == nil) != tc.ok {
			t.Errorf("%s with the %s password: %v", tc.mechanism, tc.password, err)
		}
		cancel()
	}
	for _, o := range []kafka.Options{
		{Mechanism: "PLAIN"}, {Mechanism: "GSSAPI"}, {Mechanism: "OAUTHBEARER", TLS: &tls.Config{}},
		{Mechanism: "OAUTHBEARER", Token: func(context.Context) (string, error) { return "", nil }},
	} {
		o.Brokers = []string{"127.0.0.1:1"}
		if _, err := kafka.Open(o); err == nil {
			t.Errorf("%s was accepted", o.Mechanism)
		}
	}
	open(t, kafka.Options{Brokers: []string{"127.0.0.1:1"}, Mechanism: "PLAIN", TLS: &tls.Config{}})
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := open(t, kafka.Options{Brokers: []string{addr}})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, events(topic, 1, 2)); err == nil {
		t.Error("published to nobody")
	}
	if _, err := kafka.Open(kafka.Options{}); err == nil {
		t.Error("no brokers were accepted")
	}
}
