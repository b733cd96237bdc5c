package kafka_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jumpa-hie/jumpa/internal/kafka"
)

// Brokers whose min.insync.replicas is higher than their topics have replicas
// would take nothing. The exchange makes its topics so that they do.
func TestNewTopicsCanBeWritten(t *testing.T) {
	t.Parallel()
	s := ours(t)
	two := "2"
	if changed, err := admin(t, s.open).AlterBrokerConfigs(patience(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.insync.replicas", Value: &two}}); err != nil || changed[0].Err != nil {
		t.Fatal(err, changed)
	}
	p := publisher(t, kafka.Options{Brokers: []string{s.open}})
	const name = "hie.vc.encounter.h1"
	eventually(t, func(ctx context.Context) error { // until the brokers know of the new default
		described, err := admin(t, s.open).DescribeBrokerConfigs(ctx, 1)
		if err != nil {
			return err
		}
		for _, c := range described[0].Configs {
			if c.Key == "min.insync.replicas" && c.MaybeValue() == two {
				return nil
			}
		}
		return fmt.Errorf("the brokers do not have the new default: %v", described[0].Err)
	})
	if err := p.EnsureTopics(patience(t), name); err != nil {
		t.Fatal(err)
	}
	if found, err := p.CheckTopics(patience(t), name); err != nil || len(found) > 0 {
		t.Errorf("of a new topic: %v, error %v", found, err)
	}
	publish(t, p, numbered(name, 0, 10)...)
}
