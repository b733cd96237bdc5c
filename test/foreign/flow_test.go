//go:build unix

package foreign

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/app"
)

// flows are those of docs/integration.md with the patients whom their scripts
// choose from the demo.
var flows = []struct {
	name     string
	patients func([]app.DemoPatient) []app.DemoPatient
}{
	{"vci", func(all []app.DemoPatient) []app.DemoPatient { return all[1:2] }},
	{"vce", func(all []app.DemoPatient) []app.DemoPatient { return all[4:6] }},
}

func TestDocumentedCommands(t *testing.T) {
	needs(t, "bash", "curl", "jq", "kcat")
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			h := start(t)
			script := filepath.Join(t.TempDir(), f.name+".sh")
			if err := os.WriteFile(script, []byte("set -euo pipefail\n"+blocks(t, "integration.md", f.name)), 0o600); err != nil {
				t.Fatal(err)
			}
			h.run(exec.CommandContext(h.ctx, "bash", script), f.patients(h.cast.Patients)...)
		})
	}
}

func TestJavaScriptClients(t *testing.T) {
	needs(t, "node")
	const clients = "../clients"
	for _, library := range []string{"fhir-kit-client", "kafkajs"} {
		if _, err := os.Stat(filepath.Join(clients, "node_modules", library)); err != nil {
			t.Fatalf("the library %s is missing; make deps installs what the tests need", library)
		}
	}
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			h := start(t)
			h.run(exec.CommandContext(h.ctx, "node", filepath.Join(clients, f.name+".mjs")), f.patients(h.cast.Patients)...)
		})
	}
}
