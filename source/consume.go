package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ConsumerConfig says what to consume. Members of one Group share the work;
// where each topic stands is kept by the brokers under the group's name.
type ConsumerConfig struct {
	Group     string
	Topics    []string // by name; see EncounterTopic, AppointmentTopic and TopicName
	FromStart bool     // a new group begins with what the topics still hold (72 h), else with what comes next

	// Foreign is told of a message that is no event of the exchange; when it
	// gives nil, the message is passed over. Without it, and when it gives an
	// error, Consume ends.
	Foreign func(err error) error
}

const (
	pollRecords   = 100
	topicRefresh  = 10 * time.Second // how soon a topic that is made later is found
	commitTimeout = 10 * time.Second
	commitEvery   = time.Second // at the latest, once an event is done
)

// Consume calls handler for each event, one at a time, until ctx ends (then it
// gives nil) or the brokers refuse for good. An event counts as done when the
// handler gave nil; the brokers know of it within a second. One that fails is
// tried again, after 200 ms at first and 5 seconds at most, and holds up those
// behind it. After a crash or when the group changes, the last events may come
// again: see Seen. When another member takes over a partition, the context of
// the handler ends.
func (c *Client) Consume(ctx context.Context, cfg ConsumerConfig, handler func(context.Context, Event) error) error {
	if len(c.kafka) == 0 || cfg.Group == "" || len(cfg.Topics) == 0 || slices.Contains(cfg.Topics, "") {
		return errors.New("a consumer needs brokers, a group and topics")
	}
	k := &consumer{handler: handler, foreign: cfg.Foreign, wait: c.wait, held: make(map[partition]holding)}
	start := kgo.NewOffset().AtEnd()
	if cfg.FromStart {
		start = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.kafka...), kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(cfg.Topics...),
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // rather twice than never
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.MetadataMaxAge(topicRefresh),
		kgo.OnPartitionsAssigned(k.assigned), kgo.OnPartitionsRevoked(k.gone), kgo.OnPartitionsLost(k.gone),
	}, c.opts...)...)
	if err != nil {
		return fmt.Errorf("the consumer cannot be set up: %w", err)
	}
	k.client = client
	defer client.CloseAllowingRebalance()
	for {
		err := k.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

type partition struct {
	topic  string
	number int32
}

// holding is the time during which a partition is this member's.
type holding struct {
	ctx context.Context
	end context.CancelFunc
}

type consumer struct {
	client  *kgo.Client
	handler func(context.Context, Event) error
	foreign func(error) error
	wait    waitFunc

	done      []*kgo.Record // handled, not committed yet
	committed time.Time

	mu   sync.Mutex
	held map[partition]holding
}

var errTakenOver = errors.New("another member of the group has taken over")

func (k *consumer) assigned(ctx context.Context, _ *kgo.Client, parts map[string][]int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range all(parts) {
		held, end := context.WithCancel(ctx)
		k.held[p] = holding{held, end}
	}
}

func (k *consumer) gone(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for p := range all(parts) {
		if h, ok := k.held[p]; ok {
			h.end()
			delete(k.held, p)
		}
	}
}

func all(parts map[string][]int32) func(yield func(partition) bool) {
	return func(yield func(partition) bool) {
		for topic, numbers := range parts {
			for _, n := range numbers {
				if !yield(partition{topic, n}) {
					return
				}
			}
		}
	}
}

// round polls once and handles what came. Whose the partitions are is noted
// before the group may change again; records of a partition that went away
// meanwhile are left to its new owner.
func (k *consumer) round(ctx context.Context) error {
	fetches := k.client.PollRecords(ctx, pollRecords)
	k.mu.Lock()
	owned := make(map[partition]context.Context, len(k.held))
	for p, h := range k.held {
		owned[p] = h.ctx
	}
	k.mu.Unlock()
	k.client.AllowRebalance()
	if err := k.rest(ctx, fetches); err != nil {
		return err
	}
	for _, r := range fetches.Records() {
		if ctx.Err() != nil {
			break
		}
		held, ok := owned[partition{r.Topic, r.Partition}]
		if !ok || held.Err() != nil {
			continue
		}
		if err := k.finish(ctx, held, r); err != nil {
			return errors.Join(err, k.commit(ctx))
		}
		if time.Since(k.committed) >= commitEvery {
			if err := k.commit(ctx); err != nil {
				return err
			}
		}
	}
	return k.commit(ctx)
}

// commit tells the brokers what is done, also when ctx has ended meanwhile. A
// commit that fails for a while does no harm: at worst the events come again.
func (k *consumer) commit(ctx context.Context) error {
	k.committed = time.Now()
	if len(k.done) == 0 {
		return nil
	}
	done := k.done
	k.done = nil
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer stop()
	if err := k.client.CommitRecords(ctx, done...); refused(err) {
		return fmt.Errorf("committing to Kafka: %w", err)
	}
	return nil
}

// refusals are the errors of brokers that will not go away by waiting.
var refusals = []error{
	kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.UnsupportedVersion,
	kerr.InvalidTopicException, kerr.InvalidGroupID, kgo.ErrClientClosed,
}

func refused(err error) bool {
	return slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

// rest looks at what went wrong with a poll: a refusal is an error; after
// anything else, such as brokers that are away, it pauses and polling goes on.
func (k *consumer) rest(ctx context.Context, fetches kgo.Fetches) error {
	errs := fetches.Errors()
	for _, e := range errs {
		if refused(e.Err) {
			return fmt.Errorf("reading from Kafka: %w", e.Err)
		}
	}
	if len(errs) > 0 && fetches.NumRecords() == 0 {
		return k.wait(ctx, firstPause)
	}
	return nil
}

// finish handles one record until it succeeds.
func (k *consumer) finish(ctx, held context.Context, r *kgo.Record) error {
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(held, func() { cancel(errTakenOver) })()
	err := k.handle(working, r)
	if held.Err() != nil {
		return nil // the new owner handles it
	}
	if err == nil {
		k.done = append(k.done, r)
	}
	return err
}

func (k *consumer) handle(ctx context.Context, r *kgo.Record) error {
	headers := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	event, err := ParseEvent(headers, r.Value)
	if err != nil {
		err = fmt.Errorf("topic %s, partition %d, offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		if k.foreign == nil {
			return err
		}
		return k.foreign(err)
	}
	event.Topic = r.Topic
	for try := 1; ; try++ {
		if err := k.handler(ctx, event); err == nil {
			return nil
		}
		if err := k.commit(ctx); err != nil { // it may be long until the next
			return err
		}
		if err := k.wait(ctx, backoff(try)); err != nil {
			return err
		}
	}
}
