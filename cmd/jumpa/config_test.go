package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Secret of Kubernetes, mounted as a file of YAML or JSON, is the one thing
// that every command needs.
func TestCommandsTakeYAML(t *testing.T) {
	for name, text := range map[string]string{
		"jumpa.yaml": "JUMPA_DATA: PLACE\nJUMPA_LISTEN: 127.0.0.1:0\nJUMPA_KAFKA_LISTEN: 127.0.0.1:0\nJUMPA_UDP_LISTEN: 127.0.0.1:0\nJUMPA_CHECK_IN_BEFORE: 45m\nJUMPA_OTLP_RATIO: 0.5\n",
		"jumpa.json": `{"JUMPA_DATA": "PLACE", "JUMPA_LISTEN": "127.0.0.1:0", "JUMPA_KAFKA_LISTEN": "127.0.0.1:0", "JUMPA_UDP_LISTEN": "127.0.0.1:0", "JUMPA_OTLP_RATIO": 0.5}`,
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			file := filepath.Join(t.TempDir(), name)
			write := func(text string) {
				if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "PLACE", data)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(text)
			for _, c := range []struct {
				args []string
				says string
			}{
				{[]string{"check"}, "a file that will be made"},
				{[]string{"migrate"}, "has the schema of this program"},
				{[]string{"check"}, "SQLite, for one machine"}, // in JUMPA_DATA
				{[]string{"register", "klinik", "--organization", "11-1"}, "client secret"},
				{[]string{"parked"}, "SEQ"},
			} {
				if r := runs(t, nil, append(c.args, "--config", file)...); r.status != 0 || !strings.Contains(r.stdout, c.says) {
					t.Errorf("%v: status %d, not %q\n%s%s", c.args, r.status, c.says, r.stdout, r.stderr)
				}
			}
			serve := command(t, nil, "serve", "--config", file)
			out, err := serve.StdoutPipe()
			if err == nil {
				err = serve.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			answered := false
			for lines := bufio.NewScanner(out); !answered && lines.Scan(); {
				if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "FHIR" {
					resp, err := http.Get(fields[2])
					if err != nil {
						t.Fatal(err)
					}
					answered = resp.StatusCode == http.StatusOK
					_ = resp.Body.Close()
				}
			}
			if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, out)
			if err := serve.Wait(); err != nil || !answered {
				t.Errorf("serve answered: %v, and ended with %v", answered, err)
			}

			write(strings.Replace(text, "JUMPA_LISTEN", "JUMPA_LISTENS", 1))
			for _, args := range [][]string{{"serve"}, {"up"}, {"check"}, {"migrate"}, {"parked"}, {"register", "klinik", "--organization", "11-1"}} {
				runs(t, nil, append(args, "--config", file)...).refused(t, "--config", "line ", file, `"JUMPA_LISTENS"`)
			}
		})
	}
}

func TestSecretsOfAFileAreNotShown(t *testing.T) {
	const secret = "s3cr3t-of-the-hospital"
	for name, text := range map[string]string{
		"a mapping": "JUMPA_DATABASE_URL:\n  url: postgres://hie:" + secret + "@db/hie\n",
		"twice":     "JUMPA_KAFKA_PASSWORD: x\nJUMPA_KAFKA_PASSWORD: " + secret + "\n",
		"an alias":  "JUMPA_KAFKA_PASSWORD: *" + secret + "\n",
		"no names":  "postgres://hie:" + secret + "@db/hie\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "jumpa.yml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := runs(t, nil, "serve", "--config", file)
			r.refused(t, "--config", file)
			if strings.Contains(r.stderr, secret) {
				t.Errorf("it says %q", r.stderr)
			}
		})
	}
}
