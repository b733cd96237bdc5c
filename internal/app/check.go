package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Finding is what a check says of one part of an installation.
type Finding struct {
	Part string // configuration, database, replica, kafka, topics, meetings
	OK   bool
	Odd  bool // OK, and to be looked at
	Says string
}

// Check looks at a configuration and at everything that it names, and changes
// nothing. A part that cannot be judged, because another one fails, is left
// out.
func Check(ctx context.Context, cfg Config) (found []Finding) {
	add := func(part string, err error, format string, args ...any) bool {
		f := Finding{Part: part, OK: err == nil, Says: fmt.Sprintf(format, args...)}
		if err != nil {
			f.Says = strings.Join(strings.Fields(err.Error()), " ")
		}
		found = append(found, f)
		return f.OK
	}
	if !add("configuration", cfg.check(), "every setting can be used") {
		return found
	}
	topics, err := cfg.topics()
	if !add("topics", err, "%s", told(topics)) {
		return found
	}
	if odd := warning(topics); odd != "" {
		found = append(found, Finding{Part: "topics", OK: true, Odd: true, Says: odd})
	}
	says, current, err := checkDatabase(ctx, cfg)
	add("database", err, "%s", says)
	if err == nil && cfg.shared() {
		for i, u := range cfg.replicas() {
			err := postgres.CheckReplica(ctx, cfg.DatabaseURL, u)
			if err != nil {
				err = fmt.Errorf("%d of JUMPA_DATABASE_REPLICA_URL is not used: %w", i+1, err)
			}
			add("replica", err, "%d is a standby of the database, and not late", i+1)
		}
	}
	if cfg.KafkaBrokers != "" {
		found = append(found, checkKafka(ctx, cfg, topics, current)...)
	} else {
		add("kafka", nil, "the embedded broker, for one machine")
	}
	says, err = checkMeetings(ctx, cfg)
	add("meetings", err, "%s", says)
	return found
}

// checkDatabase tells, with current, whether the database is as this program
// would leave it.
func checkDatabase(ctx context.Context, cfg Config) (says string, current bool, err error) {
	if !cfg.shared() {
		if _, err := os.Stat(cfg.databaseFile()); errors.Is(err, os.ErrNotExist) {
			return "SQLite, in a file that will be made", false, nil
		} else if err != nil {
			return "", false, cause(err)
		}
		return "SQLite, for one machine", false, nil // which may be in use: it is not opened
	}
	has, ours, err := postgres.Version(ctx, cfg.DatabaseURL)
	switch {
	case err != nil:
		return "", false, fmt.Errorf("JUMPA_DATABASE_URL: %w", err)
	case has > ours:
		return fmt.Sprintf("PostgreSQL, schema %d of a newer version of jumpa, with which this one works too", has), true, nil
	case has == 0:
		return "PostgreSQL, empty: the first start or `jumpa migrate` fills it", false, nil
	case has < ours:
		return fmt.Sprintf("PostgreSQL, schema %d: the next start or `jumpa migrate` brings it to %d", has, ours), false, nil
	}
	return fmt.Sprintf("PostgreSQL, schema %d", has), true, nil
}

func checkKafka(ctx context.Context, cfg Config, topics *subscription.Set, database bool) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client, err := cfg.kafka(strings.Split(cfg.KafkaBrokers, ","))
	if err == nil {
		defer client.Close()
		err = client.Ping(ctx)
	}
	if err != nil {
		return []Finding{{Part: "kafka", Says: err.Error()}}
	}
	found := []Finding{{Part: "kafka", OK: true, Says: "a broker answers"}}
	if !database {
		return found
	}
	names, err := topicsOf(ctx, cfg, topics)
	if err != nil {
		return append(found, Finding{Part: "topics", Says: err.Error()})
	}
	wrong, err := client.CheckTopics(ctx, names...)
	switch {
	case err != nil:
		found = append(found, Finding{Part: "topics", Says: err.Error()})
	case len(wrong) == 0:
		found = append(found, Finding{Part: "topics", OK: true, Says: fmt.Sprintf("%d are as they should be, or will be made", len(names))})
	}
	for _, f := range wrong {
		found = append(found, Finding{Part: "topics", Says: f.String()})
	}
	return found
}

// topicsOf names the topics of all organisations.
func topicsOf(ctx context.Context, cfg Config, topics *subscription.Set) (names []string, err error) {
	st, err := openStore(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return organizationTopics(ctx, st, topics)
}

// told lists topics for the operator.
func told(topics *subscription.Set) string {
	if topics == nil {
		return ""
	}
	var all []string
	for _, t := range topics.Topics() {
		all = append(all, fmt.Sprintf("%s (%s %s, %s)", t.Name, t.Category, t.Resource, t.Payload))
	}
	return strings.Join(all, ", ")
}

// organizationTopics names the topics of all organisations, and those that all
// may read.
func organizationTopics(ctx context.Context, st store.Store, topics *subscription.Set) (names []string, err error) {
	names = topics.Names("")
	err = st.View(ctx, func(r store.Reader) error {
		for offset := 0; ; offset += organizationsAtOnce {
			page, err := r.Search(store.Query{Type: "Organization", Offset: offset, Count: organizationsAtOnce})
			if err != nil {
				return err
			}
			for _, o := range page.Resources {
				names = append(names, topics.Names(o.ID)...)
			}
			if !page.More {
				return nil
			}
		}
	})
	return names, err
}

func checkMeetings(ctx context.Context, cfg Config) (says string, err error) {
	switch cfg.MeetingProvider {
	case "jitsi":
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.JitsiControlURL, nil)
		if err != nil {
			return "", errors.New("JUMPA_JITSI_CONTROL_URL is not a URL")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", errors.New("JUMPA_JITSI_CONTROL_URL: Prosody does not answer")
		}
		_ = resp.Body.Close()
		return "Jitsi Meet at " + cfg.JitsiDomain + ": Prosody answers", nil
	case "jaas":
		if _, err := readKey(cfg.JaaSKeyFile); err != nil {
			return "", fmt.Errorf("JUMPA_JAAS_KEY_FILE: %w", err)
		}
		return "Jitsi as a Service, with a key that can sign", nil
	}
	return "the embedded calls, for one machine", nil
}

// Migrate brings the database to the schema of this program, as every start
// does, and ends.
func Migrate(ctx context.Context, cfg Config) error {
	return withStore(ctx, cfg, func(store.Store) error { return nil })
}

// Ready asks the node that a configuration describes, on this machine, whether
// it is ready. The error says what the node says.
func Ready(ctx context.Context, cfg Config) error {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return usage("--listen: %q is no HOST:PORT", cfg.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() { // all addresses of the machine
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a node looks for three
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return errors.New("no node answers at " + cfg.Listen)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 100)) // what came is enough
		return fmt.Errorf("the node is not ready: %s", strings.TrimSpace(string(said)))
	}
	return nil
}
