package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/kafka"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/source"
)

// TestFlows plays both kinds of consultation with the program as it is
// delivered, over PostgreSQL and Kafka. It starts before Kafka does, and Kafka
// is killed between the two.
func TestFlows(t *testing.T) {
	t.Parallel()
	dir, binary, url := t.TempDir(), jumpa(t), ""
	data := filepath.Join(dir, "data")
	k := production(t)
	revive := func() {}
	if k.kill != nil {
		k.kill()
		revive = k.revive
	}
	web := free(t)
	url = "http://" + web
	up := program(binary, "up", "--data", data, "--listen", web, "--udp-listen", freeUDP(t))
	up.Env = append(up.Env, "JUMPA_KAFKA_BROKERS="+k.addr, "JUMPA_DATABASE_URL="+postgrestest.Database(t), "JUMPA_TOPICS=../../deploy/topics.yaml")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	up.Stderr = log
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = up.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = up.Process.Signal(os.Interrupt)
		<-gone
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the exchange wrote:\n%s", text[max(0, len(text)-4000):])
		}
	})
	const withBroker, alone = "ready\n", "ready\nbroker does not answer\n"
	says := func(want string) {
		t.Helper()
		ctx := patience(t)
		for {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				body, _ := io.ReadAll(resp.Body) // what came is compared
				_ = resp.Body.Close()
				if string(body) == want {
					return
				}
			}
			select {
			case <-gone:
				t.Fatal("the exchange ended by itself")
			case <-ctx.Done():
				t.Fatalf("the exchange does not say %q", want)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	demo := func(flow string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := program(binary, "demo", flow, "--data", data)
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		defer stop()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("jumpa demo %s: %v\n%s", flow, err, out)
		}
	}

	if k.kill != nil {
		says(alone)
	}
	revive()
	says(withBroker)
	demo("vci")
	if k.kill != nil {
		k.kill()
		says(alone)
	}
	revive()
	says(withBroker)
	demo("vce")

	topics, err := admin(t, k.addr).ListTopics(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name := range topics {
		if strings.HasPrefix(name, "hie.vc.encounter.") {
			seen += len(all(t, k, name))
		}
	}
	if seen == 0 {
		t.Error("the brokers have no announcement: the flows took another way")
	}
	t.Run("a configured topic", func(t *testing.T) { laboratory(t, k, data) })
}

// laboratory has the first organisation of the demo ask the second one for a
// test, on a topic of deploy/topics.yaml.
func laboratory(t *testing.T, k *kind, data string) {
	cast, err := app.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	asks, asked := cast.Clients[0], cast.Clients[1].Organization
	sys, err := source.New(source.Config{Server: cast.Server, ClientID: asks.ClientID, ClientSecret: asks.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	request, err := fhir.Parse([]byte(`{"resourceType":"ServiceRequest","id":"lab-1","status":"active","intent":"order","category":[{"coding":[{"code":"108252007"}]}],` +
		`"code":{"text":"Full blood count"},"subject":{"reference":"Patient/demo-lim"},"performer":[{"reference":"Organization/` + asked + `"}]}`))
	if err == nil {
		_, err = sys.Put(patience(t), request)
	}
	if err != nil {
		t.Fatal(err)
	}
	topic := source.TopicName("hie.lab.request.{organization}", asked)
	eventually(t, func(ctx context.Context) error {
		topics, err := admin(t, k.addr).ListTopics(ctx, topic, "hie.vc.slot")
		if err != nil || topics.Error() != nil {
			return errors.Join(err, topics.Error()) // they come within a minute
		}
		got := all(t, k, topic)
		if len(got) == 1 && string(got[0].Key) == "ServiceRequest/lab-1" && strings.Contains(string(got[0].Value), "Full blood count") {
			return nil
		}
		return fmt.Errorf("%s has %d messages", topic, len(got))
	})
	found, err := publisher(t, kafka.Options{Brokers: strings.Split(k.addr, ",")}).CheckTopics(patience(t), topic, "hie.vc.slot")
	if err != nil || len(found) > 0 {
		t.Errorf("the topics that the exchange has made: %v, %v", found, err)
	}
}

// TestSettings signs the program in at the brokers in every way that has
// settings, and with wrong ones.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := ours(t)
	users := []kadm.UpsertSCRAM{{User: "exchange", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "exchange-password"}}
	if made, err := admin(t, s.open).AlterUserSCRAMs(patience(t), nil, users); err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	ca := "JUMPA_KAFKA_CA=" + s.pki.ca()
	cert, key := s.pki.issueFiles("certificate")
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, s.pki.token("token")+"\n")
	scram := []string{ca, "JUMPA_KAFKA_MECHANISM=SCRAM-SHA-512", "JUMPA_KAFKA_USER=exchange"}
	for _, tc := range []struct {
		name, broker string
		settings     []string
		fails        string // "" when a broker answers
	}{
		{"SCRAM", s.signIn, append(scram, "JUMPA_KAFKA_PASSWORD=exchange-password"), ""},
		{"PLAIN", s.signIn, []string{ca, "JUMPA_KAFKA_MECHANISM=PLAIN", "JUMPA_KAFKA_USER=plain", "JUMPA_KAFKA_PASSWORD=plain-password"}, ""},
		{"OAUTHBEARER", s.signIn, []string{ca, "JUMPA_KAFKA_MECHANISM=OAUTHBEARER", "JUMPA_KAFKA_TOKEN_FILE=" + token}, ""},
		{"certificate", s.mutual, []string{ca, "JUMPA_KAFKA_CERTIFICATE=" + cert, "JUMPA_KAFKA_KEY=" + key}, ""},
		{"wrong password", s.signIn, append(scram, "JUMPA_KAFKA_PASSWORD=wrong-password"), "SASL"},
		{"authority of the system", s.signIn, append(scram[1:], "JUMPA_KAFKA_PASSWORD=exchange-password", "JUMPA_KAFKA_CA=system"), "x509"},
		{"password in clear", s.open, []string{"JUMPA_KAFKA_MECHANISM=PLAIN", "JUMPA_KAFKA_PASSWORD=plain-password"}, "needs TLS"},
		{"key without certificate", s.mutual, []string{ca, "JUMPA_KAFKA_KEY=" + key}, "go together"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check := func(ctx context.Context) error {
				cmd := program(jumpa(t), "check", "--data", t.TempDir())
				cmd.Env = append(append(cmd.Env, "JUMPA_KAFKA_BROKERS="+tc.broker), tc.settings...)
				out, err := cmd.CombinedOutput()
				said := string(out)
				switch {
				case strings.Contains(said, "-password"):
					t.Errorf("it shows a password:\n%s", said)
				case tc.fails == "" && err == nil && strings.Contains(said, "a broker answers"):
					return nil
				case tc.fails != "" && err != nil && strings.Contains(said, tc.fails):
					return nil
				}
				return fmt.Errorf("%v\n%s", err, said)
			}
			eventually(t, check)
		})
	}
}

// built is the program as it is delivered.
var built struct {
	sync.Once
	dir string
	err error
}

// jumpa builds the program once and gives its file.
func jumpa(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "jumpa"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "jumpa"), "github.com/jumpa-hie/jumpa/cmd/jumpa").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "jumpa")
}

// program runs the exchange's program without the settings of this process.
func program(binary string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "JUMPA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	dieWithParent(cmd)
	return cmd
}

func freeUDP(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := free(t)
		if c, err := net.ListenPacket("udp", address); err == nil {
			_ = c.Close()
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}
