package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestAlertsFireAndRest has Prometheus itself judge the alerts by the cases of
// alerts_test.yaml. Each alert has a case in which it fires, which notices when
// it does not, and one in which it rests.
func TestAlertsFireAndRest(t *testing.T) {
	alerts, cases := read(t, "deploy", "prometheus", "alerts.yaml"), read(t, "deploy", "prometheus", "alerts_test.yaml")
	judge := func(rules string) (string, error) {
		dir := t.TempDir()
		for name, text := range map[string]string{"alerts.yaml": rules, "alerts_test.yaml": cases} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("promtool", "test", "rules", "alerts_test.yaml")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := judge(alerts); err != nil {
		t.Fatalf("promtool, which make deps installs: %v\n%s", err, out)
	}
	never := documents(t, alerts)[0]
	var names []string
	for _, g := range at(never, "groups").([]any) {
		for _, r := range at(g, "rules").([]any) {
			names = append(names, fmt.Sprint(at(r, "alert")))
			r.(map[string]any)["expr"] = "vector(1) > 1"
		}
	}
	text, err := yaml.Marshal(never)
	if err != nil {
		t.Fatal(err)
	}
	missed, err := judge(string(text))
	if err == nil || len(names) < 10 {
		t.Fatalf("of %d alerts that never fire none is missed", len(names))
	}
	for _, name := range names {
		if !strings.Contains(missed, `alertname="`+name+`"`) {
			t.Errorf("no case notices when %s never fires", name)
		}
		if !strings.Contains(cases, `"`+name+" rests: ") {
			t.Errorf("%s has no case in which it rests", name)
		}
	}
}
