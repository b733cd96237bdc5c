package jitsi_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
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

func decoded(t *testing.T, part string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// promoted makes a patient's token say that its holder is a moderator.
func promoted(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	claims := strings.Replace(decoded(t, parts[1]), `"moderator":false`, `"moderator":true`, 1)
	if claims == decoded(t, parts[1]) {
		t.Fatal("the token says nothing about moderators")
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + parts[2]
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
	var header struct {
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal([]byte(decoded(t, parts[0])), &header); err != nil {
		t.Fatal(err)
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
		{name: "a patient who would be a moderator", token: promoted(t, good), repository: logins, room: vc, want: "signature"},
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

// judgedInProsody asks a module of ours in a Prosody.
func judgedInProsody(t *testing.T, cases []map[string]string) (verdicts []string) {
	address := startProsody(t, cases[0]["repository"])
	for _, c := range cases {
		body, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post("http://"+address+"/judge", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", c["token"], resp.StatusCode, err)
		}
		verdicts = append(verdicts, string(answer))
	}
	return verdicts
}
