package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Another name and ids instead of records: the demo, the desk and listen go on,
// and consumers ask for the records.
func TestTopicsOfAFile(t *testing.T) {
	printed := runs(t, nil, "config", "--topics")
	file := filepath.Join(t.TempDir(), "topics.yaml")
	text := strings.NewReplacer("name: hie.vc.", "name: kkm.", "full-resource", "id-only").Replace(printed.stdout)
	if printed.status != 0 || strings.Count(text, "kkm.") != 2 || strings.Count(text, "id-only") != 2 {
		t.Fatalf("status %d\n%s%s", printed.status, printed.stdout, printed.stderr)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	setting := []string{"JUMPA_TOPICS=" + file}
	r := runs(t, setting, "check")
	if r.status != 0 || !strings.Contains(r.stdout, "ok  topics         kkm.encounter.{organization} (internal Encounter, id-only), kkm.appointment.{organization}") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}

	data := t.TempDir()
	u := start(t, data, setting, anyPorts...)
	if r := runs(t, nil, "demo", "vci", "--data", data); r.status != 0 {
		t.Fatalf("the demo ends with %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	for _, args := range [][]string{nil, {"--topic", "kkm.encounter." + u.cast.Clients[0].Organization}} {
		cmd := command(t, nil, append([]string{"listen", "--data", data, "--from-start", "--group", "g" + strings.Join(args, "")}, args...)...)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		heard := false
		for lines := bufio.NewScanner(out); !heard && lines.Scan(); {
			heard = strings.Contains(lines.Text(), "  kkm.encounter."+u.cast.Clients[0].Organization+"  my.gov.moh.hie.vc.encounter-finished.v1  Encounter/")
		}
		if !heard {
			t.Errorf("listen %v does not hear of the Encounter", args)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func TestTopicsThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topics.yaml")
	if err := os.WriteFile(file, []byte("- name: hie.lab.{organization}\n  recipient: [performer]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setting := []string{"JUMPA_TOPICS=" + file}
	words := []string{"JUMPA_TOPICS", "line 2 of " + file, "hie.lab.{organization}", `"recipient"`}
	runs(t, setting, append([]string{"up"}, anyPorts...)...).refused(t, words...)
	runs(t, setting, append([]string{"serve"}, anyPorts...)...).refused(t, words...)
	r := runs(t, setting, "check")
	for _, word := range append(words, "FAILED  configuration") {
		if r.status != 1 || !strings.Contains(r.stdout, word) {
			t.Errorf("status %d, and not %q\n%s%s", r.status, word, r.stdout, r.stderr)
		}
	}
}
