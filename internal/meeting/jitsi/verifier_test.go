package jitsi_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
)

// python finds an interpreter that has PyJWT.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import jwt, cryptography").Run() == nil {
			return name
		}
	}
	t.Skip("there is no Python with PyJWT; test/deps.sh installs it")
	return ""
}

// Verifiers that share nothing with us or with the server that plays Prosody,
// one of them inside a real Prosody, take our tokens and refuse what must be
// refused.
func TestIndependentVerifiersJudgeTheTokens(t *testing.T) {
	w := newWorld(t, func(o *jitsi.Options) { o.Vault = &vault{} }) // its keys rotate
	logins, systems := w.url+"/jitsi/asap/login", w.url+"/jitsi/asap/system"
	token := func(p meeting.Person) string { return w.credentials(p).JWT }
	good := token(patient)
	if err := w.driver.End(t.Context(), vc+"-other"); err != nil {
		t.Fatal(err)
	}
	system := w.prosody.Shown()[0]
	w.pass(-10 * time.Minute)
	expired := token(patient)
	w.pass(20 * time.Minute)
	early := token(patient)
	w.pass(-10 * time.Minute)

	parts := strings.Split(good, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	decode := func(part string) string {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal([]byte(decode(parts[0])), &header); err != nil {
		t.Fatal(err)
	}
	promoted := parts[0] + "." + encode(strings.Replace(decode(parts[1]), `"moderator":false`, `"moderator":true`, 1)) + "." + parts[2]
	if promoted == good {
		t.Fatal("the token says nothing about moderators")
	}
	unsigned := encode(`{"typ":"JWT","alg":"none","kid":"`+header.KeyID+`"}`) + "." + parts[1] + "."
	sum := sha256.Sum256([]byte(header.KeyID))
	_, key := w.ask("GET", "/jitsi/asap/login/"+hex.EncodeToString(sum[:])+".pem", "", "", "")
	confused := encode(`{"typ":"JWT","alg":"HS256","kid":"`+header.KeyID+`"}`) + "." + parts[1]
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(confused))
	confused += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))

	type c struct {
		name, token, repository, room, want string
		change                              func(map[string]string)
	}
	cases := []c{
		{name: "a patient", token: good, repository: logins, room: vc, want: "accepted"},
		{name: "a practitioner", token: token(doctor), repository: logins, room: vc, want: "accepted"},
		{name: "the exchange itself", token: system, repository: systems, room: vc + "-other", want: "accepted"},
		{name: "another room", token: good, repository: logins, room: vc + "-other", want: "room"},
		{name: "another deployment", token: good, repository: logins, room: vc, want: "room",
			change: func(m map[string]string) { m["muc"] = "muc.other" }},
		{name: "somebody else's tokens", token: good, repository: logins, room: vc, want: "issuer",
			change: func(m map[string]string) { m["issuer"] = "other" }},
		{name: "for something else", token: good, repository: logins, room: vc, want: "audience",
			change: func(m map[string]string) { m["audience"] = "other" }},
		{name: "a login where the system is asked for", token: good, repository: systems, room: vc, want: "key"},
		{name: "the system where logins are asked for", token: system, repository: logins, room: vc + "-other", want: "key"},
		{name: "a patient who would be a moderator", token: promoted, repository: logins, room: vc, want: "signature"},
		{name: "without a signature", token: unsigned, repository: logins, room: vc, want: "header"},
		{name: "signed with the public key", token: confused, repository: logins, room: vc, want: "header"},
		{name: "too late", token: expired, repository: logins, room: vc, want: "late"},
		{name: "too early", token: early, repository: logins, room: vc, want: "early"},
	}
	if err := w.driver.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	cases = append(cases, c{name: "after a rotation", token: token(patient), repository: logins, room: vc, want: "accepted"})

	var asked []map[string]string
	for _, c := range cases {
		m := map[string]string{
			"token": c.token, "repository": c.repository, "room": c.room,
			"issuer": "jumpa", "audience": "jitsi", "muc": "muc.meet.jitsi",
		}
		if c.change != nil {
			c.change(m)
		}
		asked = append(asked, m)
	}
	for name, verifier := range map[string]func(*testing.T, []map[string]string) []string{"PyJWT": judgedInPython, "Prosody": judgedInProsody} {
		t.Run(name, func(t *testing.T) {
			verdicts := verifier(t, asked)
			if len(verdicts) != len(cases) {
				t.Fatalf("%d verdicts on %d tokens", len(verdicts), len(cases))
			}
			for i, c := range cases {
				if verdicts[i] != c.want {
					t.Errorf("%s: %s, want %s", c.name, verdicts[i], c.want)
				}
			}
		})
	}
}

func judgedInPython(t *testing.T, cases []map[string]string) (verdicts []string) {
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), python(t), "testdata/verifier.py")
	run.Stdin = bytes.NewReader(input)
	var complaint strings.Builder
	run.Stderr = &complaint
	output, err := run.Output()
	if err == nil {
		err = json.Unmarshal(output, &verdicts)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	return verdicts
}

const prosodyConfig = `
run_as_root = true
daemonize = false
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s"
plugin_paths = { "%[2]s" }
modules_enabled = { "http", "judge_tokens" }
c2s_ports = {}
s2s_ports = {}
https_ports = {}
http_ports = { %[3]d }
http_interfaces = { "127.0.0.1" }
http_default_host = "meet.jitsi"
log = { { levels = { min = "warn" }, to = "console" } }
VirtualHost "meet.jitsi"
`

// judgedInProsody starts a Prosody with a module of ours.
func judgedInProsody(t *testing.T, cases []map[string]string) (verdicts []string) {
	program, err := exec.LookPath("prosody")
	if err != nil {
		t.Skip("there is no Prosody; test/deps.sh installs it")
	}
	plugins, err := filepath.Abs("testdata/prosody")
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), deadAddress(t)
	_, port, _ := net.SplitHostPort(address)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prosody.cfg.lua")
	if err := os.WriteFile(config, fmt.Appendf(nil, prosodyConfig, dir, plugins, number), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var log journal
	run := exec.CommandContext(ctx, program, "-F", "--config", config)
	run.Stdout, run.Stderr = &log, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); _ = run.Wait() }()
	judge := func(c map[string]string) (string, error) {
		body, err := json.Marshal(c)
		if err != nil {
			return "", err
		}
		resp, err := http.Post("http://"+address+"/judge", "application/json", bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%d", resp.StatusCode)
		}
		return string(answer), err
	}
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for tick := time.Tick(20 * time.Millisecond); ; {
		if _, err = judge(cases[0]); err == nil {
			break
		}
		select {
		case <-tick:
		case <-ready.Done():
			t.Fatalf("Prosody does not judge: %v: %s", err, log.String())
		}
	}
	for _, c := range cases {
		verdict, err := judge(c)
		if err != nil {
			t.Fatalf("%v: %s", err, log.String())
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts
}
