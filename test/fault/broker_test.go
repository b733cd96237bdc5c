package fault

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/broker"
)

// brokerVariable names the broker of many nodes: embedded, or apache for a node
// of Apache Kafka, which `make deps` fetches. When it is not set, odd seeds
// have the latter.
const brokerVariable = "JUMPA_FAULT_BROKER"

func brokerOf(t *testing.T, seed uint64) (kind string) {
	t.Helper()
	switch kind = os.Getenv(brokerVariable); {
	case kind == "apache", kind == "embedded":
	case kind != "":
		t.Fatalf("%s: %q is neither embedded nor apache", brokerVariable, kind)
	case seed%2 == 1:
		kind = "apache"
	default:
		kind = "embedded"
	}
	return kind
}

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

// embedded makes an embedded broker in a process of its own. Clients reach it at the
// address that it is told to advertise.
func embedded(t testing.TB, dir, listen, advertise string) *process {
	t.Helper()
	p := &process{
		t: t, name: "broker", binary: os.Args[0], log: filepath.Join(dir, "broker.log"),
		env: []string{brokerDir + "=" + filepath.Join(dir, "broker"), brokerListen + "=" + listen, brokerAdvertise + "=" + advertise},
		up:  listens(listen),
	}
	t.Cleanup(p.kill)
	return p
}

func listens(address string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
}

// apache makes a node of Apache Kafka.
func apache(t testing.TB, dir, listen, advertise string) *process {
	t.Helper()
	lib, err := filepath.Abs(filepath.Join("..", "kafka", "target", "lib"))
	if err != nil {
		t.Fatal(err)
	}
	java, err := exec.LookPath("java")
	if found, _ := filepath.Glob(filepath.Join(lib, "kafka-server-*.jar")); err != nil || len(found) == 0 {
		t.Fatal("Java or the jars of Apache Kafka are missing: run `make deps`")
	}
	controller, near := free(t, "tcp"), free(t, "tcp")
	settings := filepath.Join(dir, "kafka.properties")
	text := strings.NewReplacer("LISTEN", listen, "ADVERTISE", advertise, "NEAR", near, "AT", controller, "DIR", filepath.Join(dir, "broker")).Replace(`
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=AT
controller.listener.names=INNER
inter.broker.listener.name=CLOSE
listeners=OUTER://LISTEN,CLOSE://NEAR,INNER://AT
advertised.listeners=OUTER://ADVERTISE,CLOSE://NEAR
listener.security.protocol.map=OUTER:PLAINTEXT,CLOSE:PLAINTEXT,INNER:PLAINTEXT
log.dirs=DIR
auto.create.topics.enable=false
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
`)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options := []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", filepath.Join(lib, "*")}
	format := exec.Command(java, append(slices.Clone(options), "kafka.tools.StorageTool", "format", "--standalone", "-t", "anVtcGEtanVtcGEtanVtcA", "-c", settings)...)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := &process{
		t: t, name: "broker", binary: java, log: filepath.Join(dir, "broker.log"), args: append(slices.Clone(options), "kafka.Kafka", settings), up: listens(listen),
	}
	t.Cleanup(p.kill)
	return p
}
