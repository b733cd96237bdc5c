package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/broker"
	"github.com/jumpa-hie/jumpa/internal/kafka"
	"github.com/jumpa-hie/jumpa/internal/outbox"
)

// openBroker starts the embedded broker, or uses the configured ones, and the
// relay that brings events there.
func (a *App) openBroker(ctx context.Context) error {
	if a.cfg.KafkaBrokers != "" {
		a.brokers = strings.Split(a.cfg.KafkaBrokers, ",")
	} else {
		if err := a.alone(ctx, dutyBroker, "JUMPA_KAFKA_BROKERS: another node with an embedded broker uses this database; several nodes need Apache Kafka"); err != nil {
			return err
		}
		b := &broker.Broker{
			Dir: filepath.Join(a.cfg.Data, "broker"), Listen: a.cfg.KafkaListen, Outbox: a.store, Clock: a.clock, Log: a.log,
			Continue: a.cfg.KafkaContinue, Own: a.topics.Owns,
		}
		if err := b.Start(ctx); err != nil {
			return usage("%v", err)
		}
		a.onStop(b.Stop)
		a.brokers = []string{b.Addr()}
	}
	var err error
	if a.kafka, err = a.cfg.kafka(a.brokers); err != nil {
		return err
	}
	a.onStop(a.kafka.Close)
	a.relay = &outbox.Relay{Store: a.store, Publisher: a.trace.Publisher(a.kafka), Clock: a.clock, Log: a.log}
	if duty := a.duty(dutyRelay); duty != nil {
		a.relay.Duty = duty
	}
	if err := a.relay.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	a.onStop(a.relay.Stop)
	return nil
}

// kafka makes the client of the brokers that the configuration names.
func (c Config) kafka(brokers []string) (*kafka.Publisher, error) {
	o := kafka.Options{Brokers: brokers}
	if c.KafkaBrokers != "" {
		o.Mechanism, o.User, o.Password = c.KafkaMechanism, c.KafkaUser, c.KafkaPassword
		if c.KafkaTokenFile != "" {
			o.Token = tokenFile(c.KafkaTokenFile)
		}
		if c.KafkaCA+c.KafkaCertificate+c.KafkaKey != "" {
			ca := c.KafkaCA
			if ca == systemCA {
				ca = ""
			}
			tls, err := kafka.TLS(ca, c.KafkaCertificate, c.KafkaKey)
			if err != nil {
				return nil, usage("JUMPA_KAFKA_CA, JUMPA_KAFKA_CERTIFICATE, JUMPA_KAFKA_KEY: %v", err)
			}
			o.TLS = tls
		}
	}
	p, err := kafka.Open(o)
	if err != nil {
		return nil, usage("JUMPA_KAFKA_…: %v", err)
	}
	return p, nil
}

// systemCA stands for the authorities that the operating system trusts.
const systemCA = "system"

// tokenFile reads the token anew at every sign-in: whoever gives it out writes
// a fresh one in time.
func tokenFile(name string) kafka.Token {
	return func(context.Context) (string, error) {
		text, err := os.ReadFile(name)
		return strings.TrimSpace(string(text)), err
	}
}
