package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

func TestCheckAndMigrate(t *testing.T) {
	database := "JUMPA_DATABASE_URL=" + postgrestest.Database(t)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, c := range []struct {
		name        string
		environment []string
		command     string
		status      int
		says        []string
	}{
		{"a laptop", nil, "check", 0, []string{"ok  configuration", "a file that will be made", "embedded broker", "embedded calls"}},
		{"an empty database", []string{database}, "check", 0, []string{"PostgreSQL, empty"}},
		{"migrate", []string{database}, "migrate", 0, []string{"has the schema of this program"}},
		{"migrate again", []string{database}, "migrate", 0, []string{"has the schema of this program"}},
		{"a database", []string{database}, "check", 0, []string{"PostgreSQL, schema 1"}},
		{"no database and no broker", []string{"JUMPA_DATABASE_URL=postgres://hie:clinic-secret@127.0.0.1:1/hie", "JUMPA_KAFKA_BROKERS=127.0.0.1:1"}, "check", 1,
			[]string{"FAILED  database", "FAILED  kafka", "ok      meetings"}},
		{"no meetings", []string{"JUMPA_MEETING_PROVIDER=jitsi", "JUMPA_JITSI_DOMAIN=meet.example.my", "JUMPA_JITSI_CONTROL_URL=http://127.0.0.1:1",
			"JUMPA_JITSI_BEARER=0123456789abcdef0123456789abcdef"}, "check", 1, []string{"FAILED  meetings", "Prosody does not answer"}},
		{"a wrong setting", []string{"JUMPA_VALIDATION=severe"}, "check", 1, []string{"FAILED  configuration", "JUMPA_VALIDATION"}},
		{"Kafka's settings without Kafka", []string{"JUMPA_KAFKA_USER=exchange"}, "check", 1, []string{"JUMPA_KAFKA_BROKERS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runs(t, c.environment, c.command, "--data", nowhere)
			if r.status != c.status || strings.Contains(r.stdout+r.stderr, "clinic-secret") {
				t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
			}
			for _, want := range c.says {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("it does not say %q:\n%s", want, r.stdout)
				}
			}
		})
	}
}

// TestADatabaseOfANewerVersion: in the middle of an upgrade, and after one that
// is taken back, an older program works on; it is refused where it would do harm.
func TestADatabaseOfANewerVersion(t *testing.T) {
	address := postgrestest.Database(t)
	database := []string{"JUMPA_DATABASE_URL=" + address}
	change := func(query string) {
		t.Helper()
		c, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(t.Context()) }()
		if _, err := c.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if r := runs(t, database, "migrate"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	change("UPDATE schema_version SET version = 999")
	for command, want := range map[string]string{"check": "PostgreSQL, schema 999 of a newer version", "migrate": "or a newer one with which it works"} {
		if r := runs(t, database, command); r.status != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: status %d, %s%s; want %q", command, r.status, r.stdout, r.stderr, want)
		}
	}
	change("INSERT INTO setting VALUES ('schema.oldest', '998')")
	for command, want := range map[string]string{"check": "FAILED  database", "migrate": "jumpa: JUMPA_DATABASE_URL: a newer version of jumpa has changed the database"} {
		if r := runs(t, database, command); r.status == 0 || !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("%s: status %d, %s%s; want %q", command, r.status, r.stdout, r.stderr, want)
		}
	}
}

func TestReady(t *testing.T) {
	u := start(t, t.TempDir(), nil, anyPorts...)
	_, at, _ := strings.Cut(u.cast.Server, "://")
	if r := runs(t, nil, "ready", "--listen", at); r.status != 0 || r.stdout != "ready\n" {
		t.Errorf("status %d, %s%s", r.status, r.stdout, r.stderr)
	}
	_, port, _ := strings.Cut(at, ":") // of a node that listens everywhere, as in a container
	if r := runs(t, []string{"JUMPA_LISTEN=0.0.0.0:" + port}, "ready"); r.status != 0 {
		t.Errorf("status %d, %s%s", r.status, r.stdout, r.stderr)
	}
	u.terminate(t)
	if r := runs(t, nil, "ready", "--listen", at); r.status != 1 || !strings.Contains(r.stderr, "no node answers at "+at) {
		t.Errorf("of a node that has stopped: status %d, %s%s", r.status, r.stdout, r.stderr)
	}
	runs(t, nil, "ready", "--listen", "here").refused(t, "--listen", "here")
}
