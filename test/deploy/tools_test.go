package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// chosen is what an operator writes into deploy/.env.
var chosen = map[string]string{
	"JUMPA_HOST": "hie.example.my", "JITSI_HOST": "meet.example.my", "POSTGRES_PASSWORD": "chosen",
	"JITSI_BEARER": strings.Repeat("b", 32), "JUMPA_CODE_COURIER_URL": "https://sms.example.my/codes",
}

// dotenv writes variables as deploy/.env has them.
func dotenv(t *testing.T, variables map[string]string) string {
	t.Helper()
	var text strings.Builder
	for name, value := range variables {
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// compose loads compose files as `docker compose` does.
func compose(t *testing.T, files, envFiles, environment []string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions(files, cli.WithEnv(environment), cli.WithEnvFiles(envFiles...), cli.WithDotEnv, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

// composed is deploy/compose.yaml with what an operator chose.
func composed(t *testing.T, variables map[string]string) *types.Project {
	t.Helper()
	p, err := compose(t, []string{filepath.Join(root, "deploy", "compose.yaml")}, []string{dotenv(t, variables)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestComposeIsReadByItsLoader sees what Compose makes of the files, and that
// nothing can be forgotten without being told.
func TestComposeIsReadByItsLoader(t *testing.T) {
	p := composed(t, chosen)
	if p.Name != "jumpa" || len(p.Services) != 5 {
		t.Errorf("%s has %d services", p.Name, len(p.Services))
	}
	for _, name := range []string{"jumpa-1", "jumpa-2"} {
		s := p.Services[name]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.HealthCheck == nil || !slices.Equal(s.HealthCheck.Test, []string{"CMD", "/jumpa", "ready"}) {
			t.Errorf("%s may do too much, or nobody asks how it is: %+v", name, s)
		}
		if context := s.Build.Context; context == "" || s.Build.Dockerfile == "" {
			t.Errorf("%s is built from %q", name, context)
		} else if _, err := os.Stat(filepath.Join(context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
	}
	if mounted := p.Services["proxy"].Volumes[0].Source; filepath.Base(mounted) != "Caddyfile" {
		t.Errorf("the proxy has %s", mounted)
	} else if _, err := os.Stat(mounted); err != nil {
		t.Error(err)
	}
	for name := range chosen {
		without := map[string]string{}
		for n, v := range chosen {
			if n != name {
				without[n] = v
			}
		}
		_, err := compose(t, []string{filepath.Join(root, "deploy", "compose.yaml")}, []string{dotenv(t, without)}, nil)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestJitsiIsJoinedToTheExchange reads the settings of docker-jitsi-meet in the
// order of the guide, over a compose file with its services.
func TestJitsiIsJoinedToTheExchange(t *testing.T) {
	theirs := filepath.Join(t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(theirs, []byte(`
services:
  web:
    image: web
    ports: ['${HTTP_PORT}:8000', '${HTTPS_PORT}:8443']
    environment: [PUBLIC_URL, DISABLE_HTTPS, ENABLE_PREJOIN_PAGE]
    networks:
      meet.jitsi:
  prosody:
    image: prosody
    environment: [JWT_ASAP_KEYSERVER, XMPP_CONFIGURATION, GLOBAL_CONFIG, XMPP_DOMAIN]
    volumes: ['/etc:/config']
    networks:
      meet.jitsi:
        aliases: ['xmpp.meet.jitsi']
networks:
  meet.jitsi:
`), 0o600); err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	their := dotenv(t, map[string]string{"HTTP_PORT": "8000", "HTTPS_PORT": "8443", "XMPP_DOMAIN": "other.example"})
	p, err := compose(t, []string{theirs, filepath.Join(root, "deploy", "jitsi.compose.yaml")},
		[]string{their, dotenv(t, chosen), filepath.Join(root, "deploy", "jitsi.env")}, []string{"JUMPA=" + repository})
	if err != nil {
		t.Fatal(err)
	}
	prosody, web, ours := p.Services["prosody"], p.Services["web"], composed(t, chosen)
	for name, want := range map[string]string{
		"JITSI_BEARER":       chosen["JITSI_BEARER"],
		"XMPP_DOMAIN":        "meet.jitsi",
		"XMPP_CONFIGURATION": `reservations_api_headers = { ["Authorization"] = "Bearer ` + chosen["JITSI_BEARER"] + `" }`,
		"GLOBAL_CONFIG":      `prosody_password_public_key_repo_url = "http://jumpa:8081/jitsi/asap/system"`,
	} {
		if got := prosody.Environment[name]; got == nil || *got != want {
			t.Errorf("Prosody gets %s = %v, want %s", name, got, want)
		}
	}
	if got := web.Environment["PUBLIC_URL"]; got == nil || *got != "https://meet.example.my" {
		t.Errorf("the web app is at %v", got)
	}
	for _, port := range web.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("the web app can be reached at %s:%s, round the proxy", port.HostIP, port.Published)
		}
	}
	if mount := prosody.Volumes[len(prosody.Volumes)-1]; mount.Target != "/config/conf.d/jumpa-events.cfg.lua" {
		t.Errorf("Prosody has %s", mount.Target)
	} else if _, err := os.Stat(mount.Source); err != nil {
		t.Error(err)
	}
	// What one side names, the other side is called.
	names := map[string]string{ // where it is named, and the alias in it
		*ours.Services["jumpa-1"].Environment["JUMPA_JITSI_CONTROL_URL"]: prosody.Networks["jitsi"].Aliases[0],
		*ours.Services["proxy"].Environment["JITSI_WEB"]:                 web.Networks["jitsi"].Aliases[0],
		*prosody.Environment["JWT_ASAP_KEYSERVER"]:                       ours.Services["proxy"].Networks["jitsi"].Aliases[0],
	}
	for where, name := range names {
		if !strings.Contains(where, name+":") {
			t.Errorf("%s does not name %s", where, name)
		}
	}
	if a, b := ours.Networks["jitsi"].Name, p.Networks["jitsi"].Name; a != "jitsi" || b != "jitsi" {
		t.Errorf("they are on the networks %s and %s", a, b)
	}
}

// tool runs a program that `make deps` installs.
func tool(t *testing.T, environment []string, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run `make deps`", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestFilesAreReadByTheirPrograms has the programs for which the files of
// deploy/ are written look at them.
func TestFilesAreReadByTheirPrograms(t *testing.T) {
	t.Run("the addresses by Caddy", func(t *testing.T) {
		environment := []string{"HOME=" + t.TempDir(), "JITSI_WEB=jitsi-web:8000"}
		for name, value := range chosen {
			environment = append(environment, name+"="+value)
		}
		if out := tool(t, environment, "caddy", "validate", "--adapter", "caddyfile", "--config", "deploy/Caddyfile"); !strings.Contains(out, "Valid configuration") {
			t.Error(out)
		}
	})
	t.Run("the unit by systemd", func(t *testing.T) {
		program, err := exec.LookPath("true") // in the place of one that is not installed
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), "jumpa.service")
		text := strings.Replace(read(t, "deploy", "systemd", "jumpa.service"), "/usr/local/bin/jumpa", program, 1)
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := tool(t, nil, "systemd-analyze", "verify", "--man=no", unit); strings.Contains(out, "jumpa.service") {
			t.Error(out)
		}
	})
	t.Run("the events by Lua", func(t *testing.T) {
		tool(t, nil, "luac", "-p", "deploy/prosody-events.cfg.lua")
	})
}
