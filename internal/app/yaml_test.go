package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func named(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsComeFromYAML(t *testing.T) {
	want := Defaults()
	want.Data, want.Grace, want.PublicURL, want.OTLPRatio = "/srv/jumpa data", 90*time.Minute, "https://hie.example.my/?a=b", 0.25
	want.KafkaPassword, want.JitsiSharedSecret = "00012", "0x1F" // as they are written
	want.Listen, want.KafkaUser = "127.0.0.1:2", "true"          // the first from the environment
	for name, text := range map[string]string{
		"jumpa.yaml": "# places\nJUMPA_DATA: /srv/jumpa data # the disk\nJUMPA_GRACE: 90m\nJUMPA_PUBLIC_URL: 'https://hie.example.my/?a=b'\nJUMPA_OTLP_RATIO: 0.25\n" +
			"JUMPA_KAFKA_PASSWORD: 00012\nJUMPA_JITSI_SHARED_SECRET: 0x1F\nJUMPA_LISTEN: 127.0.0.1:1\nJUMPA_KAFKA_USER: true\nJUMPA_KAFKA_BROKERS:\nJUMPA_TOPICS: ~\nJUMPA_LOG: ''\n",
		"jumpa.YML":  "---\nJUMPA_DATA: \"/srv/jumpa data\"\nJUMPA_GRACE: 1h30m\nJUMPA_PUBLIC_URL: https://hie.example.my/?a=b\nJUMPA_OTLP_RATIO: .25\nJUMPA_KAFKA_PASSWORD: '00012'\nJUMPA_JITSI_SHARED_SECRET: 0x1F\nJUMPA_KAFKA_USER: \"true\"\n...\n",
		"jumpa.json": `{"JUMPA_DATA":"\/srv\/jumpa data","JUMPA_GRACE":"90m",` + "\n\t" + `"JUMPA_PUBLIC_URL":"https://hie.example.my/?a=b","JUMPA_OTLP_RATIO":0.25,"JUMPA_KAFKA_PASSWORD":"00012","JUMPA_JITSI_SHARED_SECRET":"0x1F","JUMPA_KAFKA_USER":true,"JUMPA_KAFKA_BROKERS":null}`,
	} {
		cfg, err := Read(named(t, name, text), environment("JUMPA_LISTEN", "127.0.0.1:2", "JUMPA_GRACE", ""))
		if err != nil || cfg != want {
			t.Errorf("%s: %v\nread %+v\nwant %+v", name, err, cfg, want)
		}
	}
	for _, text := range []string{"", "# nothing yet\n", "{}", "---\n"} {
		if cfg, err := Read(named(t, "jumpa.yaml", text), environment()); err != nil || cfg != Defaults() {
			t.Errorf("%q: %+v, %v", text, cfg, err)
		}
	}
	// JSON has escapes that YAML has not.
	cfg, err := Read(named(t, "jumpa.json", `{"JUMPA_KAFKA_PASSWORD":"\ud83d\ude00\/\\/\u00e9\\\/","JUMPA_KAFKA_USER":"\\ud83d\\ude00"}`), environment())
	if want := `😀/\/é\/`; err != nil || cfg.KafkaPassword != want || cfg.KafkaUser != `\ud83d\ude00` {
		t.Errorf("read %q and %q, want %q; %v", cfg.KafkaPassword, cfg.KafkaUser, want, err)
	}
	// By another name it is a file of lines.
	if _, err := Read(named(t, "jumpa.conf", "JUMPA_DATA: x\n"), environment()); err == nil || !strings.Contains(err.Error(), "is not NAME=value") {
		t.Errorf("a .conf of YAML: %v", err)
	}
}

// The example in the reference can be used as it stands there.
func TestYAMLOfTheReference(t *testing.T) {
	_, block, _ := strings.Cut(Reference(), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	cfg, err := Read(named(t, "jumpa.yaml", block), environment())
	if err != nil || cfg.CORSOrigins != "*" || cfg.Grace != 45*time.Minute || cfg.OTLPRatio != 0.5 || !cfg.shared() {
		t.Errorf("read %+v, %v", cfg, err)
	}
}

func TestYAMLThatIsRefused(t *testing.T) {
	const secret = "s3cr3t-of-the-hospital"
	for name, c := range map[string]struct{ text, says string }{
		"unknown name":          {"JUMPA_DATA: x\n\nJUMPA_DATABSE_URL: " + secret, `line 3 of FILE: "JUMPA_DATABSE_URL" is not a setting`},
		"lower case":            {"jumpa_data: x\n", `line 1 of FILE: "jumpa_data" is not a setting`},
		"a demo":                {"'-': true\n", `line 1 of FILE: "-" is not a setting`},
		"a value for a name":    {"JUMPA_DATA: x\n? postgres://jumpa:" + secret + "@db/hie\n", "line 2 of FILE: what stands there is not a setting"},
		"twice":                 {"JUMPA_DATA: x\nJUMPA_LOG: text\nJUMPA_DATA: " + secret + "\n", `line 3 of FILE: "JUMPA_DATA" was set above`},
		"twice, once empty":     {"JUMPA_DATA:\nJUMPA_DATA: " + secret + "\n", `line 2 of FILE: "JUMPA_DATA" was set above`},
		"a section":             {"server:\n  JUMPA_DATA: x\n", `line 1 of FILE: "server" is not a setting`},
		"nesting":               {"JUMPA_KAFKA_PASSWORD:\n  value: " + secret + "\n", "line 2 of FILE has a list or a mapping as JUMPA_KAFKA_PASSWORD"},
		"a list":                {"JUMPA_DATA: x\nJUMPA_KAFKA_BROKERS: [a:1, b:2]\n", "line 2 of FILE has a list or a mapping as JUMPA_KAFKA_BROKERS"},
		"a list alone":          {"- JUMPA_DATA: x\n", "line 1 of FILE is not NAME: value"},
		"a text alone":          {secret + "\n", "line 1 of FILE is not NAME: value"},
		"NAME=value":            {"JUMPA_KAFKA_PASSWORD=" + secret + "\nJUMPA_LOG=text\n", "line 1 of FILE is not NAME: value"},
		"several lines":         {"JUMPA_KAFKA_PASSWORD: |\n  " + secret + "\n  more\n", "line 1 of FILE has several lines as JUMPA_KAFKA_PASSWORD"},
		"two documents":         {"JUMPA_DATA: x\n---\nJUMPA_DATA: " + secret + "\n", "line 2 of FILE begins a second document"},
		"two documents of JSON": {"{\"JUMPA_DATA\": \"x\"}\n{\"JUMPA_DATA\": \"" + secret + "\"}\n", "FILE cannot be read as YAML"},
		"an alias":              {"JUMPA_KAFKA_USER: &a " + secret + "\nJUMPA_KAFKA_PASSWORD: *a\n", "line 1 of FILE has an anchor"},
		"a text like an alias":  {"JUMPA_DATA: x\nJUMPA_KAFKA_PASSWORD: *" + secret + "\n", "FILE cannot be read as YAML"},
		"a text like a tag":     {"JUMPA_DATA: x\nJUMPA_KAFKA_PASSWORD: !" + secret + "\n", "FILE has an anchor, an alias or a tag"},
		"binary":                {"JUMPA_KAFKA_PASSWORD: !!binary czNjcjN0\n", "line 1 of FILE has an anchor, an alias or a tag"},
		"a merge":               {"<<: {JUMPA_DATA: " + secret + "}\n", "line 1 of FILE"},
		"an open quote":         {"JUMPA_DATA: x\nJUMPA_KAFKA_PASSWORD: '" + secret + "\n", "of FILE cannot be read as YAML"},
		"a colon too many":      {"JUMPA_DATA: x\nJUMPA_KAFKA_PASSWORD: a: " + secret + "\n", "line 2 of FILE cannot be read as YAML"},
		"broken JSON":           {`{"JUMPA_KAFKA_PASSWORD":"` + secret + `"`, "of FILE cannot be read as YAML"},
		"not UTF-8":             {"JUMPA_KAFKA_PASSWORD: " + secret + "\xff\n", "FILE cannot be read as YAML"},
		"no duration":           {"JUMPA_GRACE: 30\n", `JUMPA_GRACE: "30" is not a duration`},
		"no number":             {"JUMPA_OTLP_RATIO: half\n", `JUMPA_OTLP_RATIO: "half" is not a number`},
		"too large":             {"JUMPA_DATA: x\n#" + strings.Repeat(secret, maxFile/len(secret)+1), "FILE is larger than 1048576 bytes"},
		"very deep":             {"JUMPA_DATA: " + strings.Repeat("[", 100_000), "FILE cannot be read as YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			at := named(t, "jumpa.yaml", c.text)
			_, err := Read(at, environment())
			var mistake *UsageError
			if want := strings.ReplaceAll(c.says, "FILE", at); !errors.As(err, &mistake) || !strings.Contains(mistake.Line, want) ||
				strings.Contains(mistake.Line, "\n") || strings.Contains(mistake.Line, secret) {
				t.Errorf("the error is %v, want %q", err, want)
			}
		})
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "absent.yaml"), named(t, "jumpa.conf", "#"+strings.Repeat("x", maxFile))} {
		if _, err := Read(name, environment()); err == nil || !strings.HasPrefix(err.Error(), "--config: "+name+" ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
