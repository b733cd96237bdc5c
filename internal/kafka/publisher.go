// Package kafka sends events to Apache Kafka or to any broker that speaks its
// protocol.
//
// It is the client side only: it makes topics when they are first needed and
// publishes with acknowledgement of all replicas. It publishes what it is
// given, in that order, and neither remembers nor repeats anything: what a
// failed call did not return must be published again.
package kafka

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Options say how to reach the brokers and how to make topics. Brokers must be
// set; the zero values of the rest are good.
type Options struct {
	Brokers     []string      // host:port
	TLS         *tls.Config   // nil: no TLS
	Mechanism   string        // SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER (both only with TLS); "": no sign-in
	User        string        // of the mechanism
	Password    string        // of the mechanism
	Token       Token         // of OAUTHBEARER
	Partitions  int32         // of new topics; 3 when 0
	Replication int16         // of new topics; the broker's default when 0
	Retention   time.Duration // of new topics; 72 h when 0
}

// Token gives a token of OAUTHBEARER that is still valid. It is asked whenever
// a connection signs in.
type Token func(ctx context.Context) (string, error)

// Publisher publishes events. It is safe for concurrent use, but only the
// events of one call keep their order.
type Publisher struct {
	client  *kgo.Client
	admin   *kadm.Client
	options Options

	mu    sync.Mutex
	known map[string]bool // topics that exist
}

// Open makes a Publisher. It opens no connection: brokers that are away show
// when publishing, or with Ping.
func Open(o Options) (*Publisher, error) {
	if len(o.Brokers) == 0 {
		return nil, errors.New("kafka: no broker is named")
	}
	if o.Partitions == 0 {
		o.Partitions = 3
	}
	if o.Replication == 0 {
		o.Replication = -1
	}
	if o.Retention == 0 {
		o.Retention = 72 * time.Hour
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID("jumpa"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Gzip is the one compression that every client can undo by itself;
		// kafkajs and others lack Snappy, which would be the default.
		kgo.ProducerBatchCompression(kgo.GzipCompression().WithLevel(gzip.BestSpeed)),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(10_000),
		kgo.DialTimeout(5 * time.Second),
		kgo.ConnIdleTimeout(5 * time.Minute),
		// A call must end when its context does. Otherwise an exchange could not
		// stop while its broker is away; events may then arrive twice.
		kgo.AllowIdempotentProduceCancellation(),
		// A record waits for fresh metadata after a failure; the default of five
		// seconds would be the least delay after any broker's restart.
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
	}
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS))
	}
	mechanism, err := o.signIn()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Publisher{client: client, admin: kadm.NewClient(client), options: o, known: map[string]bool{}}, nil
}

func (o Options) signIn() (sasl.Mechanism, error) {
	auth := scram.Auth{User: o.User, Pass: o.Password}
	switch o.Mechanism {
	case "":
		return nil, nil
	case "SCRAM-SHA-512":
		return auth.AsSha512Mechanism(), nil
	case "SCRAM-SHA-256":
		return auth.AsSha256Mechanism(), nil
	case "PLAIN":
		if o.TLS == nil {
			return nil, errors.New("kafka: PLAIN sends the password in clear and needs TLS")
		}
		return plain.Auth{User: o.User, Pass: o.Password}.AsMechanism(), nil
	case "OAUTHBEARER":
		if o.TLS == nil {
			return nil, errors.New("kafka: OAUTHBEARER sends the token in clear and needs TLS")
		}
		if o.Token == nil {
			return nil, errors.New("kafka: OAUTHBEARER needs a source of tokens")
		}
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := o.Token(ctx)
			return oauth.Auth{Token: token}, err
		}), nil
	}
	return nil, fmt.Errorf("kafka: the sign-in mechanism %q is not known; use SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER", o.Mechanism)
}

// Ping tells whether a broker answers.
func (p *Publisher) Ping(ctx context.Context) error {
	if err := p.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: no broker answers: %w", err)
	}
	return nil
}

// Close ends all connections. Calls that are under way fail.
func (p *Publisher) Close() { p.client.Close() }

// Publish sends the events in their order and waits until all replicas in sync
// have them. It returns the place of each event that arrived, and an error
// when any did not. A call that is cut short by ctx may have published events
// that it does not return.
func (p *Publisher) Publish(ctx context.Context, events []store.Event) ([]store.Published, error) {
	names := make([]string, 0, len(events))
	for _, e := range events {
		names = append(names, e.Topic)
	}
	refused, err := p.ensure(ctx, names)
	if err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, 0, len(events))
	seqs := make(map[*kgo.Record]int64, len(events))
	for _, e := range events {
		if reason := refused[e.Topic]; reason != nil {
			err = firstOf(err, reason)
			continue
		}
		r := record(e)
		records = append(records, r)
		seqs[r] = e.Seq
	}
	var published []store.Published
	var refusals Refused
	for _, result := range p.client.ProduceSync(ctx, records...) {
		r := result.Record
		if result.Err == nil {
			published = append(published, store.Published{Seq: seqs[r], Topic: r.Topic, Partition: r.Partition, Offset: r.Offset})
			continue
		}
		p.forget(r.Topic)
		why := fmt.Errorf("kafka: topic %s: %w", r.Topic, result.Err)
		if poisonous(why) {
			refusals.events = append(refusals.events, seqs[r])
			refusals.err = firstOf(refusals.err, why)
		}
		err = firstOf(err, why)
	}
	if refusals.err != nil {
		return published, &refusals
	}
	return published, err
}

// Refused says that brokers refuse events for what they are: the same events
// will be refused again.
type Refused struct {
	events []int64
	err    error // the first reason
}

// Error implements error.
func (r *Refused) Error() string { return r.err.Error() }

// Unwrap gives the reason.
func (r *Refused) Unwrap() error { return r.err }

// Refused gives the Seq of the events, or of those that were sent together
// with one that is at fault.
func (r *Refused) Refused() []int64 { return r.events }

// poisonous tells whether it is the message that is refused, and not its topic,
// its sender or the moment.
func poisonous(err error) bool {
	for _, known := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.CorruptMessage, kerr.UnsupportedForMessageFormat} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// record leaves the timestamp to the client: the 72 hours of a message count
// from when it can be read, also after an outage. Its event time is in ce_time.
func record(e store.Event) *kgo.Record {
	r := &kgo.Record{Topic: e.Topic, Key: []byte(e.Key), Value: e.Value}
	for _, h := range e.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
	}
	return r
}
