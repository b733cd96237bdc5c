package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func environment(pairs ...string) func(string) (string, bool) {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "jumpa.conf")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSettingsComeFromFileAndEnvironment(t *testing.T) {
	name := file(t, "\n# places\r\nJUMPA_DATA = /srv/jumpa data\r\n  JUMPA_GRACE=90m\nJUMPA_PUBLIC_URL=https://hie.example.my/?a=b\nJUMPA_KAFKA_BROKERS=\nJUMPA_LISTEN=127.0.0.1:1")
	cfg, err := Read(name, environment("JUMPA_LISTEN", "127.0.0.1:2", "JUMPA_VALIDATION", "strict", "JUMPA_GRACE", "", "PATH", "/bin"))
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Data, want.Grace, want.PublicURL = "/srv/jumpa data", 90*time.Minute, "https://hie.example.my/?a=b" // from the file
	want.Listen, want.Validation = "127.0.0.1:2", "strict"                                                   // from the environment
	if cfg != want {
		t.Errorf("read %+v\nwant %+v", cfg, want)
	}
	if cfg, err := Read("", environment()); err != nil || cfg != Defaults() {
		t.Errorf("without file and environment: %+v, %v", cfg, err)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"unknown name":     {"JUMPA_DATA=x\n\nJUMPA_DATABSE_URL=y\n", `line 3 of FILE: "JUMPA_DATABSE_URL" is not a setting`},
		"another's name":   {"PATH=/bin\n", `line 1 of FILE: "PATH" is not a setting`},
		"lower case":       {"jumpa_data=x\n", `"jumpa_data" is not a setting`},
		"what is no value": {"JUMPA_DATA\n", "line 1 of FILE is not NAME=value"},
		"twice":            {"JUMPA_DATA=x\nJUMPA_DATA=y\n", "line 2 of FILE: JUMPA_DATA was set above"},
		"a section":        {"[server]\n", "line 1 of FILE is not NAME=value"},
		"no duration":      {"JUMPA_GRACE=30\n", `JUMPA_GRACE: "30" is not a duration`},
		"a demo":           {"-=true\n", `"-" is not a setting`},
	} {
		t.Run(name, func(t *testing.T) {
			at := file(t, c.text)
			_, err := Read(at, environment())
			var mistake *UsageError
			if want := strings.ReplaceAll(c.says, "FILE", at); !errors.As(err, &mistake) || !strings.Contains(mistake.Line, want) || strings.Contains(mistake.Line, "\n") {
				t.Errorf("the error is %v, want %q", err, want)
			}
		})
	}
}

func TestEverySettingIsExplained(t *testing.T) {
	page := Reference()
	for name := range names() {
		rows := 0
		for line := range strings.Lines(page) {
			if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `"+name+"` |") {
				rows++
				if len(cells) != 6 || strings.TrimSpace(cells[4]) == "" {
					t.Errorf("%s has no meaning, or a | in its text: %s", name, line)
				}
			}
		}
		if rows != 1 {
			t.Errorf("%s has %d rows", name, rows)
		}
	}
}

func TestWhatIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.8.8.8:0": true, "[::1]:8080": true, "localhost:80": true,
		"0.0.0.0:8080": false, ":8080": false, "[::]:80": false, "192.168.1.7:80": false, "example.my:80": false, "127.0.0.1.example.my:80": false,
	} {
		if got := (Config{Listen: address}).loopback(); got != want {
			t.Errorf("%s is loopback: %v, want %v", address, got, want)
		}
	}
}

func TestOriginsOfPages(t *testing.T) {
	for text, want := range map[string]struct {
		origins string
		refused bool
	}{
		"":                    {"", false},
		"*":                   {"*", false},
		"https://app.example": {"https://app.example", false},
		"https://a.example, http://localhost:3000/": {"https://a.example http://localhost:3000/", false},
		"app.example":                {"app.example", true},
		"https://app.example/path":   {"https://app.example/path", true},
		"https://app.example?x":      {"https://app.example?x", true},
		"ftp://app.example":          {"ftp://app.example", true},
		"https://*.app.example, x y": {"https://*.app.example x y", true},
	} {
		cfg := Defaults()
		cfg.CORSOrigins = text
		if got := strings.Join(cfg.origins(), " "); got != want.origins {
			t.Errorf("%q gives %q", text, got)
		}
		err := cfg.check()
		if mine := err != nil && strings.Contains(err.Error(), "JUMPA_CORS_ORIGINS"); mine != want.refused {
			t.Errorf("%q: %v", text, err)
		}
	}
}
