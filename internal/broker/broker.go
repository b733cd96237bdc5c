// Package broker is the Kafka broker inside Jumpa, so that a laptop, a
// demonstration or a test needs no other program.
//
// It runs kfake, the broker that the authors of franz-go use to test their
// client, on a directory of its own, and guards what kfake leaves open: one
// process per directory, every message on disk before it is acknowledged,
// offsets that never go back, retention by the exchange's own clock, and a
// listener that nothing but well-formed requests of a fixed list gets through.
// Each topic has one partition: all messages go through one log file anyway,
// so more would add files and no speed, and one keeps the order of a whole
// topic.
//
// It is a single node without sign-in. Expired records stay in the file, and
// out of reach of consumers, until their segment of 1 MiB is full. A disk that
// reports a failed flush goes unnoticed. Use Apache Kafka in production.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// ErrInUse says that another process uses the directory.
var ErrInUse = errors.New("the directory of the embedded Kafka broker is in use by another Jumpa; stop that one, or give this one another --data")

// Outbox is what the broker asks the exchange's own database: which offsets it
// has given out, and since when.
type Outbox interface {
	View(ctx context.Context, fn func(store.Reader) error) error
}

// Broker is an embedded broker. Dir must be set; the zero values of the rest
// are good.
type Broker struct {
	Dir         string                 // made, with mode 0700, when missing
	Listen      string                 // host:port; 127.0.0.1:9092 when empty; port 0 picks one
	AllowRemote bool                   // permits an address that other machines can reach
	Advertise   string                 // host:port that clients are told; that of Listen, or of this machine, when empty
	Outbox      Outbox                 // nil: no retention and no check of offsets
	Own         func(name string) bool // tells the topics that consumers bring into being by asking for them; those of hie.vc. when nil
	Continue    bool                   // after a loss: go on behind the lost offsets instead of refusing to start
	Retention   time.Duration          // 72 h when 0
	Every       time.Duration          // pause between two rounds of retention; 5 min when 0
	Clock       func() time.Time       // time.Now when nil
	Log         *slog.Logger           // slog.Default() when nil

	mu      sync.RWMutex
	cluster *kfake.Cluster // nil when not running
	gate    *gate
	lock    *os.File
	cancel  context.CancelFunc
	done    chan struct{}
	foreign int // topics made at the wish of clients
}

func (b *Broker) defaults() {
	if b.Listen == "" {
		b.Listen = "127.0.0.1:9092"
	}
	if b.Retention == 0 {
		b.Retention = 72 * time.Hour
	}
	if b.Every == 0 {
		b.Every = 5 * time.Minute
	}
	if b.Own == nil {
		b.Own = func(name string) bool { return len(name) > len("hie.vc.") && strings.HasPrefix(name, "hie.vc.") }
	}
	if b.Clock == nil {
		b.Clock = time.Now
	}
	if b.Log == nil {
		b.Log = slog.Default()
	}
}

// Start opens the directory, checks it against the outbox and begins to
// listen. It gives ErrInUse when another process has the directory, and an
// error of one line when the address is taken or may not be used, or when
// messages are missing. The broker runs until Stop.
func (b *Broker) Start(ctx context.Context) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		return errors.New("broker: it was started before")
	}
	b.defaults()
	if err := b.checkAddress(); err != nil {
		return err
	}
	if b.lock, err = claim(b.Dir); err != nil {
		return err
	}
	if err = b.open(ctx); err != nil {
		_ = b.lock.Close()
		return err
	}
	b.guard(b.cluster)
	b.gate.open()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel, b.done = cancel, make(chan struct{})
	go b.retain(background, b.done)
	return nil
}

// claim makes the directory private and takes it for this process.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("broker: the directory cannot be made: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it may have existed, open to others
		return nil, fmt.Errorf("broker: the directory cannot be made private: %w", err)
	}
	return lock(filepath.Join(dir, "lock"))
}

// open loads the log, and once more after a repair.
func (b *Broker) open(ctx context.Context) error {
	if err := b.load(b.Listen); err != nil {
		return err
	}
	short, err := b.shortfalls(ctx)
	if err == nil && len(short) > 0 && !b.Continue {
		err = short[0].refusal()
	}
	if err == nil && len(short) > 0 {
		address := b.gate.tcp.Addr().String()
		if err = b.repair(short); err == nil {
			b.close()
			if err = b.load(address); err != nil {
				return err
			}
		}
	}
	if err != nil {
		b.close()
	}
	return err
}

// load listens, behind a closed gate, and reads the log from disk.
func (b *Broker) load(address string) error {
	g, err := listen(address, b.Advertise)
	if err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID("jumpa"),
		kfake.DataDir(b.log()),
		kfake.SyncWrites(),
		kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":  "-1",
			"log.segment.bytes": segmentBytes,
		}),
		kfake.ListenFn(g.listenFn),
		kfake.WithLogger(logger{b.Log}),
	)
	if err != nil {
		_ = g.Close()
		return fmt.Errorf("broker: the log in %s cannot be read: %w", b.Dir, err)
	}
	b.cluster, b.gate = cluster, g
	return nil
}

func (b *Broker) log() string { return filepath.Join(b.Dir, "log") }

// close ends the cluster; it writes what it keeps in memory.
func (b *Broker) close() {
	b.cluster.Close()
	b.cluster = nil
}

// Stop ends the broker and waits until its files are closed. Clients see their
// connections end.
func (b *Broker) Stop() {
	b.mu.RLock()
	cancel, done := b.cancel, b.done
	b.mu.RUnlock()
	if cancel == nil {
		return
	}
	cancel()
	<-done
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster == nil {
		return
	}
	b.close()
	_ = b.lock.Close()
}

// Addr gives the host:port that clients are told, "" when the broker does not
// run.
func (b *Broker) Addr() string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.cluster == nil {
		return ""
	}
	return b.gate.Addr().String()
}

const segmentBytes = "1048576"

// settings of every topic. kfake's own retention can empty a partition, and an
// empty partition counts from 0 again after a restart; see retention.go.
var settings = map[string]string{
	"cleanup.policy": "delete",
	"retention.ms":   "-1",
	"segment.bytes":  segmentBytes,
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// EnsureTopics makes those of the topics that do not exist, so that consumers
// can subscribe before there is a message.
func (b *Broker) EnsureTopics(ctx context.Context, names ...string) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.cluster == nil {
		return errors.New("broker: it does not run")
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := makeTopic(b.cluster, name); err != nil {
			return fmt.Errorf("broker: topic %q cannot be made: %w", name, err)
		}
	}
	return nil
}

// makeTopic makes a topic unless it exists.
func makeTopic(cluster *kfake.Cluster, name string) error {
	if !topicName.MatchString(name) || name == "." || name == ".." {
		return kerr.InvalidTopicException
	}
	err := cluster.CreateTopic(name, 1, settings)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// logger passes on what kfake warns of. Its messages name files, topics and
// addresses, never content.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker", "message", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker", "message", fmt.Sprintf(format, args...))
	}
}
