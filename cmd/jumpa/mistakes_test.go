package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // to make a database look newer
)

func TestMistakesAreAnsweredWithOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		words []string
	}{
		"unknown flag":              {[]string{"up", "--liste", "127.0.0.1:1"}, []string{"--liste"}},
		"unknown command":           {[]string{"start"}, []string{"start"}},
		"a word too many":           {[]string{"up", "now"}, []string{"now"}},
		"flag without a value":      {[]string{"up", "--listen"}, []string{"--listen"}},
		"no such flow":              {[]string{"demo", "vcx"}, []string{"vci", "vce", "vcx"}},
		"not a number":              {[]string{"load", "checkin", "--rate", "many"}, []string{"--rate", "many"}},
		"not a duration":            {[]string{"load", "fhir", "--duration", "long"}, []string{"--duration", "long"}},
		"address without a port":    {[]string{"up", "--listen", "localhost"}, []string{"--listen", "localhost", "HOST:PORT"}},
		"Kafka without a port":      {[]string{"up", "--kafka-listen", "9092"}, []string{"--kafka-listen", "9092"}},
		"UDP without a port":        {[]string{"up", "--udp-listen", "x"}, []string{"--udp-listen", `"x"`}},
		"demo for everybody":        {[]string{"up", "--listen", "0.0.0.0:0"}, []string{"--listen", "--no-demo", "loopback"}},
		"no way to deliver codes":   {[]string{"serve", "--listen", "0.0.0.0:0"}, []string{"JUMPA_CODE_COURIER_URL", "--listen"}},
		"no demo to play against":   {[]string{"demo", "vci"}, []string{"--data", "demo.json", "jumpa up"}},
		"no demo to listen to":      {[]string{"listen", "--data", "nowhere"}, []string{"--data", "nowhere"}},
		"no demo to load":           {[]string{"load", "fhir"}, []string{"--data", "demo.json"}},
		"no file of settings":       {[]string{"up", "--config", "absent.conf"}, []string{"--config", "absent.conf"}},
		"broker open to everybody":  {append([]string{"up", "--listen", "127.0.0.1:0"}, "--kafka-listen", "0.0.0.0:0"), []string{"--kafka-listen"}},
		"host that is not this one": {[]string{"up", "--no-demo", "--listen", "127.0.0.1:99999"}, []string{"--listen", "99999"}},
	} {
		t.Run(name, func(t *testing.T) { runs(t, nil, c.args...).refused(t, c.words...) })
	}
}

func TestSettingsOfTheEnvironmentAreChecked(t *testing.T) {
	for name, value := range map[string]string{
		"JUMPA_VALIDATION":           "severe",
		"JUMPA_MYCORE":               "2025",
		"JUMPA_CHECK_IN_BEFORE":      "soon",
		"JUMPA_GRACE":                "-5m",
		"JUMPA_DRAIN":                "2h",
		"JUMPA_LOG":                  "xml",
		"JUMPA_OTLP_ENDPOINT":        "collector:4317",
		"JUMPA_OTLP_RATIO":           "1.5",
		"JUMPA_LOG_LEVEL":            "loud",
		"JUMPA_PUBLIC_URL":           "hie.example.my",
		"JUMPA_CODE_COURIER_URL":     "mailto:x",
		"JUMPA_MEETING_PROVIDER":     "zoom",
		"JUMPA_DATABASE_REPLICA_URL": "standby:5432",
		"JUMPA_TRUSTED_PROXIES":      "10.0.0.0/8, proxy",
	} {
		t.Run(name, func(t *testing.T) {
			runs(t, []string{name + "=" + value}, append([]string{"up"}, anyPorts...)...).refused(t, name)
		})
	}
}

// A node waits at its start for a database; commands do not.
func TestDatabaseThatIsAway(t *testing.T) {
	const name = "JUMPA_DATABASE_URL"
	runs(t, []string{name + "=postgres://127.0.0.1:1/hie"}, "migrate").refused(t, name)
}

func TestPortsThatAreTaken(t *testing.T) {
	for flag, network := range map[string]string{"--listen": "tcp", "--kafka-listen": "tcp", "--udp-listen": "udp"} {
		t.Run(flag, func(t *testing.T) {
			address := occupied(t, network)
			// the later flag wins
			r := runs(t, nil, append(append([]string{"up"}, anyPorts...), flag, address)...)
			r.refused(t, flag, address)
		})
	}
}

func TestDataDirectoriesThatCannotBeUsed(t *testing.T) {
	up := func(data string) []string { return append([]string{"up", "--data", data}, anyPorts...) }

	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		runs(t, nil, up(file)...).refused(t, "--data", file)
		runs(t, nil, up(filepath.Join(file, "below"))...).refused(t, "--data", file)
	})
	t.Run("not writable", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if f, err := os.Create(filepath.Join(dir, "x")); err == nil {
			_ = f.Close()
			t.Skip("this user may write everywhere")
		}
		runs(t, nil, up(dir)...).refused(t, "--data", dir, "writable")
	})
	t.Run("no database", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "jumpa.db"), []byte("This is a letter and no database at all.\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		runs(t, nil, up(dir)...).refused(t, "--data", dir)
	})
	t.Run("in use and newer", func(t *testing.T) {
		dir := t.TempDir()
		first := start(t, dir, nil, anyPorts...)
		runs(t, nil, up(dir)...).refused(t, "--data", dir, "another jumpa")
		if !first.answers() {
			t.Error("the first one was disturbed")
		}
		first.terminate(t)

		db, err := sql.Open("sqlite", filepath.Join(dir, "jumpa.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("PRAGMA user_version = 9999; INSERT INTO setting VALUES ('schema.oldest', CAST('9999' AS BLOB))"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		runs(t, nil, up(dir)...).refused(t, "--data", dir, "newer")
	})
}
