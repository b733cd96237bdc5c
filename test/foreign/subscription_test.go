//go:build unix

package foreign

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands of docs/subscriptions.md do what the page says.
func TestSubscriptionCommands(t *testing.T) {
	needs(t, "bash", "curl", "jq", "python3")
	h := start(t)
	script := filepath.Join(t.TempDir(), "subscriptions.sh")
	if err := os.WriteFile(script, []byte(blocks(t, "subscriptions.md", "subscriptions")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(h.ctx, "bash", script)
	cmd.Env = append(os.Environ(), "JUMPA_DATA="+filepath.Dir(h.app.CredentialsFile()))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range []string{
		h.app.URL() + "/baseR4/SubscriptionTopic/hie.vc.encounter",
		`{"status":"requested","type":"handshake","events-since-subscription-start":"0"}`,
		`"focus":"` + h.app.URL() + `/baseR4/Observation/pulse-1"`,
		`{"value":72,"unit":"/min"}`,
		`{"status":"active","type":"query-status","events-since-subscription-start":"1"}`,
	} {
		if !strings.Contains(string(out), line) {
			t.Errorf("the commands did not print %s:\n%s", line, out)
		}
	}
}
