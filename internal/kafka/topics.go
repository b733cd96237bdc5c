package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
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
	found, err := p.admin.ListTopics(ctx, missing...)
	if err != nil {
		return nil, fmt.Errorf("kafka: no broker answers: %w", err)
	}
	refused = map[string]error{}
	var create []string
	for _, name := range missing {
		switch err := found[name].Err; {
		case err == nil && found.Has(name):
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
	made, err := p.admin.CreateTopics(ctx, p.options.Partitions, p.options.Replication, p.settings(), create...)
	if err != nil {
		return nil, fmt.Errorf("kafka: topics cannot be made: %w", err)
	}
	for _, name := range create {
		switch err := made[name].Err; {
		case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
			p.know(name)
		default:
			refused[name] = fmt.Errorf("kafka: topic %s cannot be made: %w", name, err)
		}
	}
	return refused, nil
}

// settings of new topics. Brokers delete whole segments, so a segment must not
// stay open for long after its first message.
func (p *Publisher) settings() map[string]*string {
	retention := p.options.Retention
	return map[string]*string{
		"cleanup.policy": kadm.StringPtr("delete"),
		"retention.ms":   kadm.StringPtr(strconv.FormatInt(retention.Milliseconds(), 10)),
		"segment.ms":     kadm.StringPtr(strconv.FormatInt((retention / 12).Milliseconds(), 10)),
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
