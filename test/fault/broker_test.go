package fault

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/broker"
)

// These, in the environment, make this program an embedded broker.
const (
	brokerDir       = "FAULT_BROKER_DIR"
	brokerListen    = "FAULT_BROKER_LISTEN"
	brokerAdvertise = "FAULT_BROKER_ADVERTISE"
)

// serveBroker serves until the process is killed.
func serveBroker() {
	b := &broker.Broker{Dir: os.Getenv(brokerDir), Listen: os.Getenv(brokerListen), Advertise: os.Getenv(brokerAdvertise)}
	if err := b.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "panic: the broker did not start:", err)
		os.Exit(1)
	}
	select {}
}

// ownBroker makes a broker in a process of its own. Clients reach it at the
// address that it is told to advertise.
func ownBroker(t *testing.T, dir, listen, advertise string) *process {
	t.Helper()
	p := &process{
		t: t, name: "broker", binary: os.Args[0], log: filepath.Join(dir, "broker.log"),
		env: []string{brokerDir + "=" + filepath.Join(dir, "broker"), brokerListen + "=" + listen, brokerAdvertise + "=" + advertise},
		up: func(ctx context.Context) bool {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", listen)
			if err != nil {
				return false
			}
			return c.Close() == nil
		},
	}
	t.Cleanup(p.kill)
	return p
}
