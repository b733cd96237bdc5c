package kafka_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jumpa-hie/jumpa/internal/kafka"
)

func TestCheckTopics(t *testing.T) {
	good := map[string]string{
		"retention.ms": "259200000", "segment.ms": "21600000", "cleanup.policy": "delete", "min.insync.replicas": "2",
		"max.message.bytes": "1048588", "retention.bytes": "-1", "unclean.leader.election.enable": "false",
	}
	for _, tc := range []struct {
		name     string
		brokers  int
		replicas int16
		change   map[string]string
		want     []string // setting, is, want
	}{
		{"as it should be", 3, 3, nil, nil},
		{"shorter segments", 3, 3, map[string]string{"segment.ms": "3600000"}, nil},
		{"kept too long", 3, 3, map[string]string{"retention.ms": "604800000"}, []string{"retention.ms 604800000 259200000"}},
		{"kept for ever", 3, 3, map[string]string{"retention.ms": "-1"}, []string{"retention.ms -1 259200000"}},
		{"kept too short", 3, 3, map[string]string{"retention.ms": "259199999"}, []string{"retention.ms 259199999 259200000"}},
		{"kept by size", 3, 3, map[string]string{"retention.bytes": "1000"}, []string{"retention.bytes 1000 -1"}},
		{"compacted", 3, 3, map[string]string{"cleanup.policy": "compact"}, []string{"cleanup.policy compact delete"}},
		{"long segments", 3, 3, map[string]string{"segment.ms": "604800000"}, []string{"segment.ms 604800000 at most 21600000"}},
		{"small messages only", 3, 3, map[string]string{"max.message.bytes": "100000"}, []string{"max.message.bytes 100000 at least 1000012"}},
		{"a copy that is behind may lead", 3, 3, map[string]string{"unclean.leader.election.enable": "true"}, []string{"unclean.leader.election.enable true false"}},
		{"acknowledged by one", 3, 3, map[string]string{"min.insync.replicas": "1"}, []string{"min.insync.replicas 1 2"}},
		{"acknowledged by all", 3, 3, map[string]string{"min.insync.replicas": "3"}, []string{"min.insync.replicas 3 2"}},
		{"one copy", 3, 1, map[string]string{"min.insync.replicas": "1"}, []string{"replicas 1 at least 3"}},
		{"one copy, two to acknowledge", 3, 1, nil, []string{"replicas 1 at least 3", "min.insync.replicas 2 1"}},
		{"one broker", 1, 1, map[string]string{"min.insync.replicas": "1"}, nil},
		{"two brokers", 2, 2, map[string]string{"min.insync.replicas": "1"}, nil},
		{"two faults", 3, 3, map[string]string{"retention.ms": "1", "segment.ms": "604800000"},
			[]string{"retention.ms 1 259200000", "segment.ms 604800000 at most 21600000"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(tc.brokers))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			settings := map[string]*string{}
			for k, v := range good {
				settings[k] = kadm.StringPtr(v)
			}
			for k, v := range tc.change {
				settings[k] = kadm.StringPtr(v)
			}
			cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			for _, name := range []string{topic, "of.others"} {
				if _, err := kadm.NewClient(cl).CreateTopic(patience(t), 3, tc.replicas, settings, name); err != nil {
					t.Fatal(err)
				}
			}
			found, err := open(t, kafka.Options{Brokers: cluster.ListenAddrs()}).CheckTopics(patience(t), topic, "not.there")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, fmt.Sprintf("%s %s %s", f.Setting, f.Is, f.Want))
				if f.Topic != topic || f.Why == "" || !strings.Contains(f.String(), f.Topic+": "+f.Setting+" is "+f.Is+", want "+f.Want) {
					t.Errorf("the report is %q", f)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

// TestCheckOwnTopics sees that what the publisher makes passes its own check.
func TestCheckOwnTopics(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	p := open(t, kafka.Options{Brokers: cluster.ListenAddrs()})
	if err := p.EnsureTopics(patience(t), topic); err != nil {
		t.Fatal(err)
	}
	if found, err := p.CheckTopics(patience(t), topic); err != nil || len(found) > 0 {
		t.Errorf("found %v, error %v", found, err)
	}
	if found, err := p.CheckTopics(patience(t)); err != nil || len(found) > 0 {
		t.Errorf("of no topics: found %v, error %v", found, err)
	}
	cluster.Close()
	if _, err := p.CheckTopics(t.Context(), topic); err == nil {
		t.Error("without brokers nothing is wrong")
	}
}
