package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jumpa-hie/jumpa/internal/broker"
)

// childDir, in the environment, makes this program a broker to be killed.
const (
	childDir    = "JUMPA_TEST_BROKER_DIR"
	childListen = "JUMPA_TEST_BROKER_LISTEN"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir, os.Getenv(childListen))
	}
	os.Exit(m.Run())
}

// child runs a broker until it is killed, or until its parent is gone.
func child(dir, listen string) {
	b := &broker.Broker{Dir: dir, Listen: listen}
	if err := b.Start(context.Background()); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(b.Addr())
	io.Copy(io.Discard, os.Stdin)
	b.Stop()
	os.Exit(0)
}

// process is a broker in a process of its own.
type process struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
}

func startProcess(t *testing.T) *process {
	t.Helper()
	p := &process{t: t, dir: filepath.Join(t.TempDir(), "kafka"), addr: "127.0.0.1:0"}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childDir+"="+p.dir, childListen+"="+p.addr)
	p.cmd.Stderr = os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // open for as long as this process lives
		p.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error:") {
		p.t.Fatalf("the broker did not start: %q %v", line, err)
	}
	p.addr = strings.TrimSpace(line)
}

// kill ends the process as a power button would, but for the page cache.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *process) restart() {
	p.t.Helper()
	p.kill()
	p.start()
}

// quiet drops what the broker logs.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// running starts a broker in this process; it is stopped with the test.
func running(t *testing.T, b *broker.Broker) *broker.Broker {
	t.Helper()
	if b.Dir == "" {
		b.Dir = filepath.Join(t.TempDir(), "kafka")
	}
	if b.Listen == "" {
		b.Listen = "127.0.0.1:0"
	}
	b.Log = quiet()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.ProducerLinger(0), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// patience bounds what a test waits for.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// produce sends the messages with these numbers and gives the last offset.
func produce(t *testing.T, addr, topic string, from, to int) int64 {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "%d", i)})
	}
	cl := client(t, addr)
	defer cl.Close()
	results := cl.ProduceSync(patience(t), records...)
	if err := results.FirstErr(); err != nil {
		t.Fatal(err)
	}
	return results[len(results)-1].Record.Offset
}

// random gives a message that does not compress.
func random(size int) *kgo.Record {
	value := make([]byte, size)
	rand.Read(value)
	return &kgo.Record{Topic: topic, Key: []byte("k"), Value: value}
}

// consume reads n messages as a member of a group, commits and leaves.
func consume(t *testing.T, addr, topic, group string, n int) []string {
	t.Helper()
	cl := client(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	ctx := patience(t)
	var got []string
	for len(got) < n {
		fetches := cl.PollRecords(ctx, n-len(got))
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d of %d messages: %v", len(got), n, err)
		}
		for _, r := range fetches.Records() {
			got = append(got, string(r.Value))
		}
		if err := cl.CommitRecords(ctx, fetches.Records()...); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// kcat runs the command line client of librdkafka, an implementation that
// shares no code with this broker.
func kcat(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(patience(t), "kcat", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat %v: %v\n%s", args, err, stderr.Bytes())
	}
	return strings.Fields(string(out))
}

func kcatGroup(t *testing.T, addr, topic, group string, n int) []string {
	t.Helper()
	return kcat(t, "-b", addr, "-q", "-X", "auto.offset.reset=earliest", "-c", fmt.Sprint(n), "-f", "%s\n", "-G", group, topic)
}

// numbers gives the decimal numbers from (with) to (without).
func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}
