package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Finding is something about a topic that an operator should mend.
type Finding struct {
	Topic   string
	Setting string // name of the topic's setting, or "replicas"
	Is      string
	Want    string
	Why     string // what happens otherwise
}

func (f Finding) String() string {
	return fmt.Sprintf("topic %s: %s is %s, want %s: %s", f.Topic, f.Setting, f.Is, f.Want, f.Why)
}

// CheckTopics tells what is wrong with the topics that exist among the named
// ones: those that others made, or changed, may keep messages too long or not
// long enough, or lose them with a broker. It changes nothing. Topics that do
// not exist are left out. The error says that the brokers could not be asked,
// or refused to tell.
func (p *Publisher) CheckTopics(ctx context.Context, names ...string) ([]Finding, error) {
	if len(names) == 0 { // the client would take this for all topics
		return nil, nil
	}
	cluster, err := p.metadata(ctx, names)
	if err != nil {
		return nil, err
	}
	var existing []string
	copies := map[string]int{}
	for _, t := range cluster.Topics {
		name := unpointed(t.Topic)
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
		case err != nil:
			return nil, fmt.Errorf("kafka: topic %s: %w", name, err)
		default:
			existing = append(existing, name)
			copies[name] = fewest(t.Partitions)
		}
	}
	slices.Sort(existing)
	if len(existing) == 0 {
		return nil, nil
	}
	described, err := p.admin.DescribeTopicConfigs(ctx, existing...)
	if err != nil {
		return nil, fmt.Errorf("kafka: the settings of topics cannot be read: %w", err)
	}
	var found []Finding
	for _, name := range existing {
		c, err := described.On(name, nil)
		if err == nil {
			err = c.Err
		}
		if err != nil {
			return nil, fmt.Errorf("kafka: the settings of topic %s cannot be read: %w", name, err)
		}
		t := topicCheck{topic: name, settings: map[string]string{}, replicas: copies[name], brokers: len(cluster.Brokers)}
		for _, s := range c.Configs {
			t.settings[s.Key] = s.MaybeValue()
		}
		t.retention(p.options.Retention)
		t.sizes()
		t.durability()
		found = append(found, t.found...)
	}
	return found, nil
}

// fewest gives the replicas of the partition that has the fewest.
func fewest(partitions []kmsg.MetadataResponseTopicPartition) int {
	var counts []int
	for _, p := range partitions {
		counts = append(counts, len(p.Replicas))
	}
	if len(counts) == 0 {
		return 0
	}
	return slices.Min(counts)
}

type topicCheck struct {
	topic             string
	settings          map[string]string
	replicas, brokers int
	found             []Finding
}

func (t *topicCheck) find(setting, want, why string) {
	is := t.settings[setting]
	if setting == replicas {
		is = strconv.Itoa(t.replicas)
	}
	if is == "" {
		is = "not set"
	}
	t.found = append(t.found, Finding{t.topic, setting, is, want, why})
}

const replicas = "replicas"

// number gives a setting, and false when it is none that can be compared.
func (t *topicCheck) number(setting string) (int64, bool) {
	n, err := strconv.ParseInt(t.settings[setting], 10, 64)
	return n, err == nil
}

// retention sees that messages stay for as long as was promised, and that
// their segments close in time to be deleted then.
func (t *topicCheck) retention(want time.Duration) {
	ms := want.Milliseconds()
	if t.settings["cleanup.policy"] != "delete" {
		t.find("cleanup.policy", "delete", "older messages of a key would go early, the latest never")
	}
	switch is, ok := t.number("retention.ms"); {
	case !ok || is < 0 || is > ms:
		t.find("retention.ms", strconv.FormatInt(ms, 10), "records of patients stay longer than "+want.String())
	case is < ms:
		t.find("retention.ms", strconv.FormatInt(ms, 10), "consumers that are away may miss messages")
	}
	if is, ok := t.number("retention.bytes"); ok && is >= 0 {
		t.find("retention.bytes", "-1", "messages go early when there are many")
	}
	if is, ok := t.number("segment.ms"); !ok || is > ms/segmentsPerRetention {
		t.find("segment.ms", "at most "+strconv.FormatInt(ms/segmentsPerRetention, 10), "expired messages stay until their segment is closed")
	}
}

// largest is what brokers take without being told: the exchange keeps its
// messages below.
const largest = 1_000_012

func (t *topicCheck) sizes() {
	if is, ok := t.number("max.message.bytes"); ok && is < largest {
		t.find("max.message.bytes", "at least "+strconv.Itoa(largest), "a large message would hold up its topic")
	}
}

// durability sees that a message that was acknowledged outlives a broker, and
// that messages are taken while one is away. One broker alone cannot promise
// either.
func (t *topicCheck) durability() {
	if t.settings["unclean.leader.election.enable"] == "true" {
		t.find("unclean.leader.election.enable", "false", "acknowledged messages may be lost")
	}
	if want := min(t.brokers, 3); t.replicas < want {
		t.find(replicas, fmt.Sprintf("at least %d", want), "messages are lost or held up with a broker")
	}
	is, _ := t.number(insync)
	switch want := minInsync(t.replicas, int(is)); {
	case want > int(is):
		t.find(insync, strconv.Itoa(want), "messages that only one broker has are acknowledged, and lost with it")
	case want < int(is):
		t.find(insync, strconv.Itoa(want), "nothing can be published while one broker is away")
	}
}
