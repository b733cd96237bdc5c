//go:build unix

package foreign

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// whole is the last line of a script that tries the whole FHIR interface.
var whole = regexp.MustCompile(`(?m)^(\d+) of (\d+) steps are as a client expects them$`)

// api runs such a script against an exchange of its own.
func (h *hie) api(script *exec.Cmd, atLeast int) {
	h.Helper()
	script.Env = append(os.Environ(), "JUMPA_DATA="+filepath.Dir(h.app.CredentialsFile()))
	said, err := script.CombinedOutput()
	if err != nil {
		h.Fatalf("%v\n%s", err, said)
	}
	if m := whole.FindSubmatch(said); m == nil || !bytes.Equal(m[1], m[2]) || bytes.Count(said, []byte("\nok "))+1 < atLeast {
		h.Errorf("the script did not come to its end:\n%s", said)
	}
}

func TestFHIRKitClientUsesTheWholeInterface(t *testing.T) {
	needs(t, "node")
	h := start(t)
	h.api(exec.CommandContext(h.ctx, "node", "../clients/api.mjs"), 30)
}

func TestHAPIClientUsesTheWholeInterface(t *testing.T) {
	needs(t, "javac")
	if jars, _ := filepath.Glob("../oracle/target/lib/hapi-fhir-client-*.jar"); len(jars) != 1 {
		t.Fatal("the library hapi-fhir-client is missing; make deps installs what the tests need")
	}
	h := start(t)
	h.api(exec.CommandContext(h.ctx, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "../oracle/target/lib/*", "../clients/Api.java"), 50)
}
