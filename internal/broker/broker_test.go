package broker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jumpa-hie/jumpa/internal/broker"
)

const topic = "hie.vc.encounter.h1"

func TestKcatResumesAfterKill(t *testing.T) {
	p := startProcess(t)
	produce(t, p.addr, topic, 0, 100)
	got := kcatGroup(t, p.addr, topic, "desk", 60)
	p.restart()
	produce(t, p.addr, topic, 100, 150)
	got = append(got, kcatGroup(t, p.addr, topic, "desk", 90)...)
	if want := numbers(0, 150); !slices.Equal(got, want) {
		t.Errorf("kcat read %v, want %v", got, want)
	}
}

func TestFranzResumesAfterKillAndStop(t *testing.T) {
	p := startProcess(t)
	produce(t, p.addr, topic, 0, 20)
	got := consume(t, p.addr, topic, "desk", 12)
	p.restart()
	got = append(got, consume(t, p.addr, topic, "desk", 4)...)
	p.kill()

	b := running(t, &broker.Broker{Dir: p.dir})
	produce(t, b.Addr(), topic, 20, 25)
	got = append(got, consume(t, b.Addr(), topic, "desk", 3)...)
	b.Stop()
	b.Stop() // once more does nothing
	if b.Addr() != "" {
		t.Error("a stopped broker has an address")
	}
	running(t, b)
	got = append(got, consume(t, b.Addr(), topic, "desk", 6)...)
	if want := numbers(0, 25); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

// TestAcknowledgedSurvivesKill kills the broker under load: every message that
// was acknowledged must be there afterwards.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	p := startProcess(t)
	ctx := patience(t)
	var acked []string
	for round := range 4 {
		cl := client(t, p.addr)
		results := make(chan string, 1000)
		for i := range 1000 {
			r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "%d-%d", round, i)}
			cl.Produce(ctx, r, func(r *kgo.Record, err error) {
				if err == nil {
					results <- string(r.Value)
				}
			})
		}
		for range 10 + 30*round {
			select {
			case v := <-results:
				acked = append(acked, v)
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			}
		}
		p.kill()
		cl.Close()
		for len(results) > 0 {
			acked = append(acked, <-results)
		}
		p.start()
	}
	admin := kadm.NewClient(client(t, p.addr))
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	there := map[string]bool{}
	for _, v := range consume(t, p.addr, topic, "count", int(end.Offset)) {
		there[v] = true
	}
	for _, v := range acked {
		if !there[v] {
			t.Errorf("message %s was acknowledged and is lost", v)
		}
	}
	if len(acked) < 4*10 {
		t.Errorf("only %d messages were acknowledged", len(acked))
	}
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := running(t, &broker.Broker{Dir: dir})
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %o", info.Mode().Perm())
	}
	second := &broker.Broker{Dir: dir, Listen: "127.0.0.1:0"}
	if err := second.Start(t.Context()); !errors.Is(err, broker.ErrInUse) {
		t.Errorf("a second broker on the directory: %v", err)
	}
	second.Stop() // was never started
	b.Stop()
	running(t, second)
	if err := b.EnsureTopics(t.Context(), topic); err == nil {
		t.Error("a stopped broker made a topic")
	}
}

func TestAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tc := range []struct {
		listen string
		remote bool
		want   string // in the error; "" when it may start
	}{
		{"127.0.0.1:0", false, ""},
		{"localhost:0", false, ""},
		{"0.0.0.0:0", false, "--kafka-listen"},
		{":0", false, "--kafka-listen"},
		{"192.0.2.7:9092", false, "--kafka-listen"},
		{"example.org:9092", false, "--kafka-listen"},
		{"127.0.0.1", false, "host:port"},
		{"0.0.0.0:0", true, ""},
		{taken.Addr().String(), false, "taken by another program; choose another with --kafka-listen"},
	} {
		t.Run(tc.listen, func(t *testing.T) {
			b := &broker.Broker{Dir: t.TempDir(), Listen: tc.listen, AllowRemote: tc.remote, Log: quiet()}
			err := b.Start(t.Context())
			defer b.Stop()
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("error %v, want one line with %q", err, tc.want)
			}
			if err != nil { // the directory is free again
				running(t, &broker.Broker{Dir: b.Dir})
			}
		})
	}
}

func TestAdvertise(t *testing.T) {
	b := running(t, &broker.Broker{Listen: "0.0.0.0:0", AllowRemote: true, Advertise: "hie.example:9092"})
	if b.Addr() != "hie.example:9092" {
		t.Errorf("clients are told %s", b.Addr())
	}
	b = running(t, &broker.Broker{Listen: "0.0.0.0:0", AllowRemote: true})
	if produce(t, b.Addr(), topic, 0, 1); strings.HasPrefix(b.Addr(), "0.") || strings.HasPrefix(b.Addr(), "[::]") {
		t.Errorf("clients are told %s", b.Addr())
	}
}

func TestTopics(t *testing.T) {
	p := startProcess(t)
	ctx := patience(t)

	// A consumer is there before the first message, and the broker is killed
	// right after.
	early := client(t, p.addr, kgo.ConsumeTopics("hie.vc.encounter.early"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	admin := kadm.NewClient(early)
	for {
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if topics.Has("hie.vc.encounter.early") {
			break
		}
	}
	produce(t, p.addr, "hie.vc.encounter.early", 0, 1)
	fetches := early.PollFetches(ctx)
	if err := fetches.Err(); err != nil || len(fetches.Records()) != 1 {
		t.Errorf("the early consumer got %d messages: %v", len(fetches.Records()), err)
	}
	p.restart()
	if got := consume(t, p.addr, "hie.vc.encounter.early", "g", 1); got[0] != "0" {
		t.Errorf("after the kill: %v", got)
	}

	admin = kadm.NewClient(client(t, p.addr))
	wish := kadm.StringPtr("1000")
	made, err := admin.CreateTopics(ctx, 7, 1, map[string]*string{"retention.ms": wish}, "made.by.client", "made/illegal", "hie.vc.encounter.early")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"made.by.client": nil, "made/illegal": kerr.InvalidTopicException, "hie.vc.encounter.early": kerr.TopicAlreadyExists} {
		if got := made[name].Err; !errors.Is(got, want) {
			t.Errorf("making %s: %v, want %v", name, got, want)
		}
	}
	if _, err := admin.ListTopics(ctx, "other.topic"); err != nil {
		t.Fatal(err)
	}
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if topics.Has("other.topic") {
		t.Error("asking for a topic that is not the exchange's made it")
	}
	configs, err := admin.DescribeTopicConfigs(ctx, "made.by.client", "hie.vc.encounter.early")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs {
		if n := len(topics[c.Name].Partitions); n != 1 {
			t.Errorf("%s has %d partitions", c.Name, n)
		}
		for _, v := range c.Configs {
			if v.Key == "retention.ms" && v.MaybeValue() != "-1" {
				t.Errorf("%s: the broker's own retention is on: %s", c.Name, v.MaybeValue())
			}
		}
	}
	for _, err := range []error{
		second(admin.DeleteTopics(ctx, "made.by.client")),
		second(admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, At: 1}}})),
		second(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: wish}}, topic)),
	} {
		if err == nil {
			t.Error("a client may delete or change")
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestEnsureTopics(t *testing.T) {
	b := running(t, &broker.Broker{})
	if err := b.EnsureTopics(t.Context(), topic, "hie.vc.appointment.h1", topic); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureTopics(t.Context(), "a b"); err == nil {
		t.Error("an illegal name was accepted")
	}
	b.Stop()
	running(t, b)
	if got := kcat(t, "-b", b.Addr(), "-L"); !slices.Contains(got, `"`+topic+`"`) {
		t.Errorf("kcat lists %v", got)
	}
}

// exchange sends bytes on a fresh connection and gives the answer, nil when the
// broker hangs up.
func exchange(t *testing.T, addr string, request []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the broker neither answers nor hangs up")
		}
		return nil
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func frame(key, version int16) []byte {
	f := []byte{0, 0, 0, 10}
	f = binary.BigEndian.AppendUint16(f, uint16(key))
	f = binary.BigEndian.AppendUint16(f, uint16(version))
	return append(f, 0, 0, 0, 1, 0xff, 0xff) // correlation 1, no client id
}

func TestMalformed(t *testing.T) {
	b := running(t, &broker.Broker{})
	for name, request := range map[string][]byte{
		"unknown request":        frame(999, 0),
		"negative key":           frame(-1, 0),
		"request not served":     frame(20, 0), // DeleteTopics
		"version not served":     frame(0, 2),
		"a web browser":          []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"4 GiB":                  {0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0},
		"no room for a header":   {0, 0, 0, 2, 0, 3, 0, 0},
		"a body that is no body": append(frame(3, 4)[:13:13], 0xff),
	} {
		if got := exchange(t, b.Addr(), request); got != nil {
			t.Errorf("%s: the broker answered %x", name, got)
		}
	}
	produce(t, b.Addr(), topic, 0, 1)
	if got := consume(t, b.Addr(), topic, "g", 1); got[0] != "0" {
		t.Errorf("afterwards: %v", got)
	}
}

func TestApiVersions(t *testing.T) {
	b := running(t, &broker.Broker{})
	for range 2500 { // more often than a hook lives
		exchange(t, b.Addr(), frame(18, 0))
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := resp.ReadFrom(exchange(t, b.Addr(), frame(18, 0))[4:]); err != nil {
		t.Fatal(err)
	}
	keys := map[int16][2]int16{}
	for _, k := range resp.ApiKeys {
		keys[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	if got, ok := keys[17]; !ok || got[0] != 0 {
		t.Errorf("SaslHandshake is listed as %v; librdkafka wants version 0", got)
	}
	for _, key := range []int16{20, 21, 33, 37, 44} {
		if _, ok := keys[key]; ok {
			t.Errorf("%s is offered", kmsg.NameForKey(key))
		}
	}
	resp = kmsg.NewPtrApiVersionsResponse()
	newer := frame(18, 9)
	newer = append(newer, 0, 2, 'a', 2, '1', 0, 0xff, 0xff, 0xff, 0xff, 0) // tags, name, version, cluster, node, tags
	newer[3] += 11
	if err := resp.ReadFrom(exchange(t, b.Addr(), newer)[4:]); err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 {
		t.Errorf("the answer to a newer client is %+v", resp)
	}
}

func TestStartTwice(t *testing.T) {
	b := running(t, &broker.Broker{})
	if err := b.Start(context.Background()); err == nil {
		t.Error("it started twice")
	}
	produce(t, b.Addr(), topic, 0, 1)
}

// A consumer that is there early brings the exchange's topics into being, and
// no others.
func TestOwnTopics(t *testing.T) {
	b := running(t, &broker.Broker{Own: func(name string) bool { return strings.HasPrefix(name, "hie.lab.") }})
	ctx := patience(t)
	early := client(t, b.Addr(), kgo.ConsumeTopics("hie.vc.encounter.h1", "hie.lab.request.h1"))
	admin := kadm.NewClient(early)
	for {
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if topics.Has("hie.lab.request.h1") {
			if topics.Has("hie.vc.encounter.h1") {
				t.Error("a consumer made a topic that is not the exchange's")
			}
			return
		}
	}
}
