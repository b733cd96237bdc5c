package app

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Config says how an exchange runs. The zero value, filled in by Defaults,
// runs on a laptop. Each field can be set by the environment variable in its
// tag, or by a file that uses the same names; the command line wins over both.
type Config struct {
	Data             string        `env:"JUMPA_DATA" flag:"--data" help:"directory of the database, the broker's log and the demo credentials"`
	Listen           string        `env:"JUMPA_LISTEN" flag:"--listen" help:"address of the HTTP server"`
	KafkaListen      string        `env:"JUMPA_KAFKA_LISTEN" flag:"--kafka-listen" help:"address of the embedded Kafka-protocol broker"`
	UDPListen        string        `env:"JUMPA_UDP_LISTEN" flag:"--udp-listen" help:"address of the UDP port for embedded calls"`
	PublicURL        string        `env:"JUMPA_PUBLIC_URL" help:"URL under which people and systems reach the exchange; http:// and the listen address when empty"`
	TrustedProxies   string        `env:"JUMPA_TRUSTED_PROXIES" help:"addresses or networks of reverse proxies whose X-Forwarded-For is believed, separated by commas; attempts to sign in are counted by address"`
	Validation       string        `env:"JUMPA_VALIDATION" help:"lenient stores records with warnings, strict refuses them"`
	MYCore           string        `env:"JUMPA_MYCORE" help:"line of MY Core's profiles that records are judged by: 1.0.0, the published package, or 2024, the guide's later artefacts"`
	CORSOrigins      string        `env:"JUMPA_CORS_ORIGINS" help:"web origins whose pages may use the FHIR interface from a browser, such as https://app.example, separated by commas; * for all, none when empty"`
	CheckInBefore    time.Duration `env:"JUMPA_CHECK_IN_BEFORE" help:"check-in opens this long before the start of an appointment"`
	Grace            time.Duration `env:"JUMPA_GRACE" help:"a checked-in consultation may start this long after its end"`
	CodeCourierURL   string        `env:"JUMPA_CODE_COURIER_URL" help:"HTTPS address that delivers one-time codes; the development inbox when empty, on loopback only"`
	KafkaBrokers     string        `env:"JUMPA_KAFKA_BROKERS" help:"addresses of Apache Kafka, separated by commas; the embedded broker when empty"`
	KafkaCA          string        `env:"JUMPA_KAFKA_CA" help:"PEM file of the authorities that the brokers' certificates stand on, or system for those of the operating system; no TLS when empty"`
	KafkaCertificate string        `env:"JUMPA_KAFKA_CERTIFICATE" help:"PEM file of the exchange's own certificate"`
	KafkaKey         string        `env:"JUMPA_KAFKA_KEY" help:"PEM file of its private key"`
	KafkaMechanism   string        `env:"JUMPA_KAFKA_MECHANISM" help:"how to sign in: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER; not at all when empty"`
	KafkaUser        string        `env:"JUMPA_KAFKA_USER" help:"user of SCRAM or PLAIN"`
	KafkaPassword    string        `env:"JUMPA_KAFKA_PASSWORD" help:"password of SCRAM or PLAIN; keep it secret"`
	KafkaTokenFile   string        `env:"JUMPA_KAFKA_TOKEN_FILE" help:"file that holds the token of OAUTHBEARER, read at every sign-in"`

	Topics string `env:"JUMPA_TOPICS" help:"file of the topics on which records are announced, YAML or JSON; those of the virtual consultation when empty"`

	MeetingProvider string `env:"JUMPA_MEETING_PROVIDER" help:"room, the embedded calls; jitsi, a Jitsi Meet of one's own; jaas, 8x8's Jitsi as a Service"`
	DatabaseURL     string `env:"JUMPA_DATABASE_URL" help:"postgres://… of a PostgreSQL database, or the file of a SQLite database; jumpa.db in the data directory when empty"`

	DatabaseReplicaURL string `env:"JUMPA_DATABASE_REPLICA_URL" help:"postgres://… of hot standbys of the PostgreSQL database, separated by commas; searches, histories and $everything are read from them, as fresh as ever; none when empty"`

	HookAllow  string        `env:"JUMPA_HOOK_ALLOW" help:"hosts, addresses and networks (such as 10.1.0.0/16), separated by commas, to which notifications of Subscriptions may be sent; all public addresses when empty"`
	HookGiveUp time.Duration `env:"JUMPA_HOOK_GIVE_UP" help:"how long a rest-hook that fails is tried again before its Subscription is in error"`

	Log          string        `env:"JUMPA_LOG" help:"how the log is written: text or json"`
	LogLevel     string        `env:"JUMPA_LOG_LEVEL" help:"debug, info, warn or error: what is less grave is not logged"`
	OTLPEndpoint string        `env:"JUMPA_OTLP_ENDPOINT" help:"address of an OpenTelemetry collector that takes traces over HTTP, such as http://127.0.0.1:4318; no traces when empty"`
	OTLPRatio    float64       `env:"JUMPA_OTLP_RATIO" help:"how many of the traces that begin here are sent, from 0 to 1; where a caller has decided, that holds"`
	Drain        time.Duration `env:"JUMPA_DRAIN" help:"how long a node that is being stopped goes on while /readyz fails, so that balancers turn away from it first; 5s behind a balancer"`

	JitsiDomain       string `env:"JUMPA_JITSI_DOMAIN" help:"jitsi: public host of its web app"`
	JitsiControlURL   string `env:"JUMPA_JITSI_CONTROL_URL" help:"jitsi: Prosody's HTTP port on the private network"`
	JitsiBearer       string `env:"JUMPA_JITSI_BEARER" help:"jitsi: what Prosody shows in reservation requests and events, 32 characters or more; keep it secret"`
	JitsiAppID        string `env:"JUMPA_JITSI_APP_ID" help:"jitsi: issuer of the tokens, Prosody's app_id"`
	JitsiXMPPDomain   string `env:"JUMPA_JITSI_XMPP_DOMAIN" help:"jitsi: Prosody's main virtual host"`
	JitsiMUC          string `env:"JUMPA_JITSI_MUC" help:"jitsi: Prosody's component of the rooms; muc. and the virtual host when empty"`
	JitsiSharedSecret string `env:"JUMPA_JITSI_SHARED_SECRET" help:"jitsi: signs with HS256, for development only; keep it secret"`

	JaaSAppID         string `env:"JUMPA_JAAS_APP_ID" help:"jaas: the AppID, vpaas-magic-cookie-…"`
	JaaSKeyID         string `env:"JUMPA_JAAS_KEY_ID" help:"jaas: id of the API key"`
	JaaSKeyFile       string `env:"JUMPA_JAAS_KEY_FILE" help:"jaas: file of the API key's private key, PEM"`
	JaaSWebhookSecret string `env:"JUMPA_JAAS_WEBHOOK_SECRET" help:"jaas: secret of the webhook endpoint /jaas/events; keep it secret"`

	KafkaContinue bool `env:"-" help:"go on behind messages that the embedded broker has lost"`
	Demo          bool `env:"-" help:"keep demo people, services and appointments around now"`
}

// Defaults gives the configuration of a laptop.
func Defaults() Config {
	return Config{
		Data: "jumpa-data", Listen: "127.0.0.1:8080", KafkaListen: "127.0.0.1:9092", UDPListen: "127.0.0.1:10000",
		Validation: "lenient", MYCore: string(mycore.Line2024), CheckInBefore: 30 * time.Minute, Grace: 30 * time.Minute, MeetingProvider: "room", Demo: true,
		HookGiveUp: 30 * time.Minute, Log: "text", LogLevel: "info", OTLPRatio: 0.1, JitsiAppID: "jumpa", JitsiXMPPDomain: "meet.jitsi",
	}
}

// UsageError is a mistake that the operator can mend: one line that names the
// flag or variable to change.
type UsageError struct {
	Line string
	Err  error // the cause; may be nil
}

// Error implements error.
func (e *UsageError) Error() string { return e.Line }

// Unwrap gives the cause.
func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error { return &UsageError{Line: fmt.Sprintf(format, args...)} }

// check refuses a configuration that cannot run.
func (c Config) check() error {
	for _, a := range []struct{ flag, value string }{
		{"--listen", c.Listen}, {"--kafka-listen", c.KafkaListen}, {"--udp-listen", c.UDPListen},
	} {
		if _, _, err := net.SplitHostPort(a.value); err != nil {
			return usage("%s: %q is not HOST:PORT", a.flag, a.value)
		}
	}
	if _, err := c.mode(); err != nil {
		return err
	}
	if signs := c.KafkaMechanism + c.KafkaUser + c.KafkaPassword + c.KafkaTokenFile + c.KafkaCA + c.KafkaCertificate + c.KafkaKey; signs != "" && c.KafkaBrokers == "" {
		return usage("JUMPA_KAFKA_BROKERS: needed for the other settings of Kafka; the embedded broker has no sign-in")
	}
	if _, err := c.proxies(); err != nil {
		return err
	}
	if _, err := c.topics(); err != nil {
		return err
	}
	if !slices.Contains(mycore.Lines, mycore.Line(c.MYCore)) {
		return usage("JUMPA_MYCORE: %q is neither %s nor %s", c.MYCore, mycore.Line100, mycore.Line2024)
	}
	if err := c.checkCalls(); err != nil {
		return err
	}
	for _, u := range []struct{ name, value string }{{"JUMPA_PUBLIC_URL", c.PublicURL}, {"JUMPA_CODE_COURIER_URL", c.CodeCourierURL}, {"JUMPA_OTLP_ENDPOINT", c.OTLPEndpoint}} {
		if u.value == "" {
			continue
		}
		if parsed, err := url.Parse(u.value); err != nil || parsed.Host == "" || !strings.HasPrefix(parsed.Scheme, "http") {
			return usage("%s: %q is not an http or https URL", u.name, u.value)
		}
	}
	for _, o := range c.origins() {
		if parsed, err := url.Parse(o); o != "*" && (err != nil || parsed.Host == "" || !strings.HasPrefix(parsed.Scheme, "http") || strings.Trim(o, "/") != parsed.Scheme+"://"+parsed.Host) {
			return usage("JUMPA_CORS_ORIGINS: %q is not a web origin such as https://app.example", o)
		}
	}
	if !c.loopback() && c.Demo {
		return usage("--listen: %s is not a loopback address; demo credentials work on loopback only, add --no-demo", c.Listen)
	}
	if !c.loopback() && c.CodeCourierURL == "" {
		return usage("JUMPA_CODE_COURIER_URL: needed to deliver one-time codes when --listen is not a loopback address")
	}
	if _, err := delivery.NewGuard(c.HookAllow, c.loopback()); err != nil {
		return usage("JUMPA_HOOK_ALLOW: %v", err)
	}
	for _, u := range c.replicas() {
		if !postgresURL(u) {
			return usage("JUMPA_DATABASE_REPLICA_URL: each address must begin with postgres://")
		}
	}
	if c.HookGiveUp <= 0 {
		return usage("JUMPA_HOOK_GIVE_UP must be longer than nothing")
	}
	if _, err := c.Logger(io.Discard); err != nil {
		return err
	}
	if !(c.OTLPRatio >= 0 && c.OTLPRatio <= 1) { // NaN too
		return usage("JUMPA_OTLP_RATIO must be from 0 to 1")
	}
	if c.Drain < 0 || c.Drain > maxDrain {
		return usage("JUMPA_DRAIN must be from 0s to %s", maxDrain)
	}
	if c.CheckInBefore < 0 || c.Grace < 0 {
		return usage("JUMPA_CHECK_IN_BEFORE and JUMPA_GRACE must not be negative")
	}
	return nil
}

// origins gives the web origins that may use the FHIR interface.
func (c Config) origins() []string {
	return strings.FieldsFunc(c.CORSOrigins, func(r rune) bool { return r == ',' || r == ' ' })
}

func (c Config) mode() (mycore.Mode, error) {
	switch c.Validation {
	case "lenient":
		return mycore.Lenient, nil
	case "strict":
		return mycore.Strict, nil
	}
	return 0, usage("JUMPA_VALIDATION: %q is neither lenient nor strict", c.Validation)
}

// loopback tells whether only this machine can reach the HTTP server.
func (c Config) loopback() bool {
	host, _, _ := net.SplitHostPort(c.Listen)
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// proxies gives the networks of the reverse proxies.
func (c Config) proxies() (list []netip.Prefix, err error) {
	for text := range strings.SplitSeq(c.TrustedProxies, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		network, err := netip.ParsePrefix(text)
		if address, notNetwork := netip.ParseAddr(text); err != nil && notNetwork == nil {
			network, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return nil, usage("JUMPA_TRUSTED_PROXIES: %q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		list = append(list, network.Masked())
	}
	return list, nil
}

// shared tells whether other nodes may use the same database.
func (c Config) shared() bool { return postgresURL(c.DatabaseURL) }

func postgresURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// replicas gives the addresses of the replicas. One address may name several
// hosts, with commas of its own.
func (c Config) replicas() (list []string) {
	for part := range strings.SplitSeq(c.DatabaseReplicaURL, ",") {
		switch part = strings.TrimSpace(part); {
		case part == "":
		case len(list) > 0 && !postgresURL(part):
			list[len(list)-1] += "," + part
		default:
			list = append(list, part)
		}
	}
	return list
}

// databaseFile is where the SQLite database is.
func (c Config) databaseFile() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL
	}
	return filepath.Join(c.Data, "jumpa.db")
}

// makeData makes the data directory, or says why it cannot be used.
func (c Config) makeData() error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return usage("--data: %s cannot be made: %v", c.Data, cause(err))
	}
	probe, err := os.CreateTemp(c.Data, ".probe-*")
	if err != nil {
		return usage("--data: %s is not writable: %v", c.Data, cause(err))
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
