package source

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says where the exchange is and who the source system is.
type Config struct {
	Server       string   // URL of the exchange without /baseR4, such as https://hie.example.my
	ClientID     string   // handed over at registration, with the secret
	ClientSecret string   // goes to Server/auth/token only
	Kafka        []string // host:port of the brokers; needed by Consume alone

	// KafkaOptions are for TLS and sign-in at the brokers, such as
	// kgo.DialTLSConfig and kgo.SASL.
	KafkaOptions []kgo.Opt

	// HTTPClient carries all requests. When nil, one with a timeout of 30 s
	// that follows no redirects is made.
	HTTPClient *http.Client
}

// Client is a source system's connection to the exchange. It is safe for
// concurrent use, keeps no background work of its own and needs no closing.
type Client struct {
	server string // without a slash at the end
	http   *http.Client
	token  tokenSource
	kafka  []string
	opts   []kgo.Opt
	clock  func() time.Time
	wait   waitFunc
}

const (
	fhirRoot    = "/baseR4"
	httpTimeout = 30 * time.Second
)

// New checks the configuration and makes a Client. It opens no connection.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the server must be a plain URL such as https://hie.example.my")
	}
	server := strings.TrimRight(c.Server, "/")
	if strings.HasSuffix(server, fhirRoot) {
		return nil, fmt.Errorf("give the server without %s at its end", fhirRoot)
	}
	client := &Client{server: server, http: c.HTTPClient, kafka: c.Kafka, opts: c.KafkaOptions, clock: time.Now, wait: sleep}
	if client.http == nil {
		client.http = &http.Client{
			Timeout:       httpTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	client.token = tokenSource{client: client, id: c.ClientID, secret: c.ClientSecret, turn: make(chan struct{}, 1)}
	return client, nil
}
