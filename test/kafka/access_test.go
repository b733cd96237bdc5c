package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/jumpa-hie/jumpa/internal/kafka"
)

// ours starts an Apache Kafka whose users the test may manage.
func ours(t *testing.T) *server {
	t.Helper()
	if elsewhere != "" {
		t.Skip("the users of KAFKA_BROKERS are not ours to manage")
	}
	return apache(t)
}

func config(t *testing.T, ca, certificate, key string) *tls.Config {
	t.Helper()
	c, err := kafka.TLS(ca, certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSignIn tries every way to sign in, and ways that must not work.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := ours(t)
	a := admin(t, s.open)
	var users []kadm.UpsertSCRAM
	for name, mechanism := range map[string]kadm.ScramMechanism{"scram512": kadm.ScramSha512, "scram256": kadm.ScramSha256} {
		users = append(users, kadm.UpsertSCRAM{User: name, Mechanism: mechanism, Iterations: 4096, Password: name + "-password"})
	}
	if made, err := a.AlterUserSCRAMs(patience(t), nil, users); err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	for _, name := range []string{"scram512", "scram256", "plain", "token", "certificate"} {
		grant(t, a, name, "hie.vc.from."+name, kadm.OpCreate, kadm.OpWrite)
	}
	strangers := newAuthority(t, t.TempDir())
	cert, key := s.pki.issueFiles("certificate")
	foreignCert, foreignKey := strangers.issueFiles("certificate")
	trusted := config(t, s.pki.ca(), "", "")
	tokenOf := func(a *authority) kafka.Token {
		return func(context.Context) (string, error) { return a.token("token"), nil }
	}

	for _, tc := range []struct {
		name    string
		options kafka.Options
		user    string // who gets in
		refusal string // else, of the error
	}{
		{"SCRAM-SHA-512", kafka.Options{TLS: trusted, Mechanism: "SCRAM-SHA-512", User: "scram512", Password: "scram512-password"}, "scram512", ""},
		{"SCRAM-SHA-256", kafka.Options{TLS: trusted, Mechanism: "SCRAM-SHA-256", User: "scram256", Password: "scram256-password"}, "scram256", ""},
		{"PLAIN", kafka.Options{TLS: trusted, Mechanism: "PLAIN", User: "plain", Password: "plain-password"}, "plain", ""},
		{"OAUTHBEARER", kafka.Options{TLS: trusted, Mechanism: "OAUTHBEARER", Token: tokenOf(s.pki)}, "token", ""},
		{"certificate", kafka.Options{TLS: config(t, s.pki.ca(), cert, key)}, "certificate", ""},

		{"wrong password", kafka.Options{TLS: trusted, Mechanism: "SCRAM-SHA-512", User: "scram512", Password: "scram256-password"}, "", "SASL"},
		{"wrong mechanism", kafka.Options{TLS: trusted, Mechanism: "SCRAM-SHA-256", User: "scram512", Password: "scram512-password"}, "", "SASL"},
		{"wrong password of PLAIN", kafka.Options{TLS: trusted, Mechanism: "PLAIN", User: "plain", Password: "wrong"}, "", "SASL"},
		{"token of strangers", kafka.Options{TLS: trusted, Mechanism: "OAUTHBEARER", Token: tokenOf(strangers)}, "", "oauth"},
		{"no token", kafka.Options{TLS: trusted, Mechanism: "OAUTHBEARER", Token: func(context.Context) (string, error) { return "", errors.New("the issuer is away") }}, "", "the issuer is away"},
		{"broker of strangers", kafka.Options{TLS: config(t, strangers.ca(), "", ""), Mechanism: "SCRAM-SHA-512", User: "scram512", Password: "scram512-password"}, "", "x509"},
		{"certificate of strangers", kafka.Options{TLS: config(t, s.pki.ca(), foreignCert, foreignKey)}, "", "tls: "},
		{"no certificate", kafka.Options{TLS: trusted}, "", "tls: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.options.Brokers = []string{s.signIn}
			if tc.options.Mechanism == "" {
				tc.options.Brokers = []string{s.mutual}
			}
			p := publisher(t, tc.options)
			if tc.user != "" { // only this user may write there
				eventually(t, func(ctx context.Context) error { return p.EnsureTopics(ctx, "hie.vc.from."+tc.user) })
				publish(t, p, numbered("hie.vc.from."+tc.user, 0, 10)...)
				if n := len(all(t, &kind{addr: s.open}, "hie.vc.from."+tc.user)); n != 10 {
					t.Errorf("%d of 10 messages arrived", n)
				}
				return
			}
			if err := p.Ping(patience(t)); err == nil || !strings.Contains(err.Error(), tc.refusal) {
				t.Errorf("the error is %v, want one of %q", err, tc.refusal)
			}
		})
	}
}

// eventually waits until what was granted is known to the broker: users and
// rights arrive a moment after they were accepted.
func eventually(t *testing.T, works func(context.Context) error) {
	t.Helper()
	ctx := patience(t)
	for {
		err := works(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func grant(t *testing.T, a *kadm.Client, user, topic string, operations ...kadm.ACLOperation) {
	t.Helper()
	acl := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(operations...)
	made, err := a.CreateACLs(patience(t), acl)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range made {
		if m.Err != nil {
			t.Fatal(m.Err)
		}
	}
}

// TestAccess runs the commands of docs/kafka.md and sees what the users may do
// then. The id of one organisation begins with that of the other.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := ours(t)
	recipes := commands(t)
	if len(recipes) != 4 {
		t.Fatalf("docs/kafka.md has %d blocks of commands, want one for the exchange and one for an organisation, and the same for other topics", len(recipes))
	}
	run(t, recipes[0], "broker="+s.open, "exchange_password=secret")
	const short, long = "11-0506", "11-05060009"
	for _, id := range []string{short, long} {
		run(t, recipes[1], "broker="+s.open, "organization="+id, "password="+id+"-secret")
	}

	run(t, recipes[2], "broker="+s.open)
	run(t, recipes[3], "broker="+s.open, "organization="+short)

	exchange := publisher(t, kafka.Options{Brokers: []string{s.signIn}, TLS: config(t, s.pki.ca(), "", ""), Mechanism: "SCRAM-SHA-512", User: "jumpa", Password: "secret"})
	var topics []string
	for _, id := range []string{short, long} {
		topics = append(topics, "hie.vc.encounter."+id, "hie.vc.appointment."+id, "hie.lab.request."+id)
	}
	topics = append(topics, "hie.vc.slot")
	eventually(t, func(ctx context.Context) error { return exchange.EnsureTopics(ctx, topics...) })
	if found, err := exchange.CheckTopics(patience(t), topics...); err != nil || len(found) > 0 {
		t.Errorf("the exchange finds %v, error %v", found, err)
	}
	for i, name := range topics {
		publish(t, exchange, numbered(name, 10*i, 10*i+10)...)
	}

	t.Run("a topic that is not the exchange's holds up no other", func(t *testing.T) {
		published, err := exchange.Publish(patience(t), append(numbered("of.others", 0, 2), numbered(topics[0], 10, 12)...))
		if !errors.Is(err, kerr.TopicAuthorizationFailed) || len(published) != 2 {
			t.Errorf("published %v, error %v", published, err)
		}
	})
	for _, tc := range []struct {
		user, password, topic, group string
		want                         error
	}{
		{short, short + "-secret", "hie.vc.encounter." + short, short + ".records", nil},
		{short, short + "-secret", "hie.vc.appointment." + short, short + ".records", nil},
		{long, long + "-secret", "hie.vc.encounter." + long, long + ".records", nil},
		{long, long + "-secret", "hie.vc.appointment." + long, "", nil},
		{short, short + "-secret", "hie.lab.request." + short, short + ".records", nil},
		{short, short + "-secret", "hie.vc.slot", short + ".records", nil},
		{short, short + "-secret", "hie.lab.request." + long, short + ".records", kerr.TopicAuthorizationFailed},
		{long, long + "-secret", "hie.vc.slot", long + ".records", kerr.TopicAuthorizationFailed}, // nobody has said so
		{short, short + "-secret", "hie.vc.encounter." + long, "", kerr.TopicAuthorizationFailed},
		{short, short + "-secret", "hie.vc.appointment." + long, "", kerr.TopicAuthorizationFailed},
		{long, long + "-secret", "hie.vc.encounter." + short, "", kerr.TopicAuthorizationFailed},
		{short, short + "-secret", "hie.vc.encounter." + short, long + ".records", kerr.GroupAuthorizationFailed},
		{short, short + "-secret", "hie.vc.encounter." + short, short, kerr.GroupAuthorizationFailed},
		{"jumpa", "secret", "hie.vc.encounter." + short, "", kerr.TopicAuthorizationFailed},
	} {
		t.Run(fmt.Sprintf("%s reads %s in group %q", tc.user, tc.topic, tc.group), func(t *testing.T) {
			if tc.want == nil {
				eventually(t, func(ctx context.Context) error { return s.reads(ctx, t, tc.user, tc.password, tc.topic, tc.group) })
			} else if err := s.reads(patience(t), t, tc.user, tc.password, tc.topic, tc.group); !errors.Is(err, tc.want) {
				t.Errorf("the error is %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("an organisation cannot write", func(t *testing.T) {
		p := publisher(t, kafka.Options{Brokers: []string{s.signIn}, TLS: config(t, s.pki.ca(), "", ""), Mechanism: "SCRAM-SHA-512", User: short, Password: short + "-secret"})
		published, err := p.Publish(patience(t), numbered("hie.vc.encounter."+short, 0, 1))
		// Who may write nowhere is refused before the topic is looked at.
		if !errors.Is(err, kerr.ClusterAuthorizationFailed) || len(published) > 0 {
			t.Errorf("published %v, error %v", published, err)
		}
	})
	t.Run("Kafka's own client reads", func(t *testing.T) {
		file := filepath.Join(s.dir, "consumer.properties")
		write(t, file, strings.Join([]string{
			"security.protocol=SASL_SSL", "ssl.truststore.type=PEM", "ssl.truststore.location=" + s.pki.ca(), "sasl.mechanism=SCRAM-SHA-512",
			"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"" + long + "\" password=\"" + long + "-secret\";", "",
		}, "\n"))
		out := tool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", s.signIn, "--command-config", file,
			"--topic", "hie.vc.encounter."+long, "--group", long+".java", "--from-beginning", "--max-messages", "10")
		if n := len(strings.Fields(out)); n != 10 {
			t.Errorf("%d messages: %q", n, out)
		}
	})
	t.Run("a client of another make reads, by certificate", func(t *testing.T) { // not by password: see docs/kafka.md
		cert, key := s.pki.issueFiles(long)
		out := kcat(t, "-b", s.mutual, "-X", "security.protocol=SSL", "-X", "ssl.ca.location="+s.pki.ca(),
			"-X", "ssl.certificate.location="+cert, "-X", "ssl.key.location="+key,
			"-X", "auto.offset.reset=earliest", "-q", "-f", "%s\n", "-c", "10", "-G", long+".kcat", "hie.vc.encounter."+long)
		if n := len(strings.Fields(out)); n != 10 {
			t.Errorf("%d messages: %q", n, out)
		}
	})
}

// reads gives nil once the user has a message of the topic, or the refusal.
func (s *server) reads(ctx context.Context, t *testing.T, user, password, topic, group string) error {
	t.Helper()
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.signIn), kgo.DialTLSConfig(config(t, s.pki.ca(), "", "")), kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if group != "" {
		opts = append(opts, kgo.ConsumerGroup(group))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if fetches.NumRecords() > 0 {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
	}
}

// commands gives the blocks of shell commands of docs/kafka.md.
func commands(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, rest := range strings.Split(string(page), "```sh\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		out = append(out, block)
	}
	return out
}

// run runs commands as an administrator who has Kafka's tools at hand.
func run(t *testing.T, script string, variables ...string) {
	t.Helper()
	dir := t.TempDir()
	for name, class := range map[string]string{"kafka-configs.sh": "kafka.admin.ConfigCommand", "kafka-acls.sh": "org.apache.kafka.tools.AclCommand"} {
		line := "#!/bin/sh\nexec"
		for _, arg := range java(t, class).Args {
			line += " '" + arg + "'"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(line+" \"$@\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "admin.properties"), "")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH")), variables...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
}
