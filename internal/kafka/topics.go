package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// EnsureTopics makes those of the topics that do not exist, with the retention
// of the options. Topics that exist are left as they are.
func (p *Publisher) EnsureTopics(ctx context.Context, names ...string) error {
	refused, err := p.ensure(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if refused[name] != nil {
			return refused[name]
		}
	}
	return nil
}

// ensure gives the topics that neither exist nor can be made, with the reason.
// The error says that the brokers could not be asked.
func (p *Publisher) ensure(ctx context.Context, names []string) (refused map[string]error, err error) {
	missing := p.unknown(names)
	if len(missing) == 0 {
		return nil, nil
	}
	found, err := p.metadata(ctx, missing)
	if err != nil {
		return nil, err
	}
	refused = map[string]error{}
	var create []string
	for _, t := range found.Topics {
		name := unpointed(t.Topic)
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == nil:
			p.know(name)
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			create = append(create, name)
		default:
			refused[name] = fmt.Errorf("kafka: topic %s: %w", name, err)
		}
	}
	if len(create) == 0 {
		return refused, nil
	}
	made, err := p.create(ctx, create)
	if err != nil {
		return nil, err
	}
	for _, t := range made.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
			p.know(t.Topic)
		default:
			refused[t.Topic] = fmt.Errorf("kafka: topic %s cannot be made: %w", t.Topic, err)
		}
	}
	return refused, nil
}

// metadata asks the brokers about topics. The administration client would ask
// its memory, in which a new topic may not exist yet, and would let one topic
// that may not be seen hide the others.
func (p *Publisher) metadata(ctx context.Context, names []string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, p.client)
	if err != nil {
		return nil, fmt.Errorf("kafka: no broker answers: %w", err)
	}
	return resp, nil
}

// create makes topics. It asks first how many replicas the brokers would give
// them, for min.insync.replicas must suit that number.
func (p *Publisher) create(ctx context.Context, names []string) (*kmsg.CreateTopicsResponse, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, p.options.Partitions, p.options.Replication
		for key, value := range p.settings() {
			t.Configs = append(t.Configs, setting(key, value))
		}
		req.Topics = append(req.Topics, t)
	}
	req.ValidateOnly = true
	planned, err := req.RequestWith(ctx, p.client)
	if err != nil {
		return nil, fmt.Errorf("kafka: topics cannot be made: %w", err)
	}
	for _, plan := range planned.Topics {
		for i := range req.Topics {
			if t := &req.Topics[i]; t.Topic == plan.Topic && plan.ErrorCode == 0 {
				is := planInsync(plan)
				if want := minInsync(int(plan.ReplicationFactor), is); want != is {
					t.Configs = append(t.Configs, setting(insync, strconv.Itoa(want)))
				}
			}
		}
	}
	req.ValidateOnly = false
	resp, err := req.RequestWith(ctx, p.client)
	if err != nil {
		return nil, fmt.Errorf("kafka: topics cannot be made: %w", err)
	}
	return resp, nil
}

func setting(key, value string) kmsg.CreateTopicsRequestTopicConfig {
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = key, kmsg.StringPtr(value)
	return c
}

const insync = "min.insync.replicas"

// planInsync gives the min.insync.replicas that a topic would have; 0 when the
// brokers do not tell.
func planInsync(plan kmsg.CreateTopicsResponseTopic) int {
	for _, c := range plan.Configs {
		if c.Name == insync {
			n, _ := strconv.Atoi(unpointed(c.Value))
			return n
		}
	}
	return 0
}

// minInsync gives the min.insync.replicas for a topic with so many replicas:
// what it has, unless a message that one broker alone has would count as
// published, or nothing could be published while one broker is away. The
// replicas are -1 when the brokers do not tell.
func minInsync(replicas, is int) int {
	switch {
	case replicas >= 3 && is < 2:
		return 2
	case replicas > 0 && is > 1 && is >= replicas:
		return max(1, replicas-1)
	}
	return is
}

func unpointed(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// segmentsPerRetention says how much longer than promised a message may stay:
// a twelfth, 6 hours of 72.
const segmentsPerRetention = 12

// settings of new topics. Brokers delete whole segments, so a segment must not
// stay open for long after its first message.
func (p *Publisher) settings() map[string]string {
	retention := p.options.Retention
	return map[string]string{
		"cleanup.policy": "delete",
		"retention.ms":   strconv.FormatInt(retention.Milliseconds(), 10),
		"segment.ms":     strconv.FormatInt((retention / segmentsPerRetention).Milliseconds(), 10),
	}
}

func (p *Publisher) unknown(names []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, name := range names {
		if !p.known[name] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func (p *Publisher) know(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[name] = true
}

func (p *Publisher) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, name)
}
