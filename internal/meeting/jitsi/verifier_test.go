package jitsi_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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

// A verifier that shares nothing with us or with the server that plays Prosody
// takes our tokens, and refuses what must be refused.
func TestAnIndependentVerifierJudgesTheTokens(t *testing.T) {
	interpreter := python(t)
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
		{name: "another room", token: good, repository: logins, room: vc + "-other", want: "room and token mismatched"},
		{name: "another deployment", token: good, repository: logins, room: vc, want: "room and token mismatched",
			change: func(m map[string]string) { m["muc"] = "muc.other" }},
		{name: "somebody else's tokens", token: good, repository: logins, room: vc, want: "InvalidIssuerError",
			change: func(m map[string]string) { m["issuer"] = "other" }},
		{name: "for something else", token: good, repository: logins, room: vc, want: "InvalidAudienceError",
			change: func(m map[string]string) { m["audience"] = "other" }},
		{name: "a login where the system is asked for", token: good, repository: systems, room: vc, want: "no public key: 404"},
		{name: "the system where logins are asked for", token: system, repository: logins, room: vc + "-other", want: "no public key: 404"},
		{name: "a patient who would be a moderator", token: promoted, repository: logins, room: vc, want: "InvalidSignatureError"},
		{name: "without a signature", token: unsigned, repository: logins, room: vc, want: "invalid alg, or no kid"},
		{name: "signed with the public key", token: confused, repository: logins, room: vc, want: "invalid alg, or no kid"},
		{name: "too late", token: expired, repository: logins, room: vc, want: "ExpiredSignatureError"},
		{name: "too early", token: early, repository: logins, room: vc, want: "ImmatureSignatureError"},
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
	input, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), interpreter, "testdata/verifier.py")
	run.Stdin = bytes.NewReader(input)
	var complaint strings.Builder
	run.Stderr = &complaint
	output, err := run.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	var verdicts []string
	if err := json.Unmarshal(output, &verdicts); err != nil || len(verdicts) != len(cases) {
		t.Fatalf("%d verdicts: %s", len(verdicts), output)
	}
	for i, c := range cases {
		if verdicts[i] != c.want {
			t.Errorf("%s: %s, want %s", c.name, verdicts[i], c.want)
		}
	}
}
