package main

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
)

// TestDemoAndLoad plays and measures against one exchange, as a visitor does,
// and looks at what is there afterwards.
func TestDemoAndLoad(t *testing.T) {
	data := t.TempDir()
	u := start(t, data, nil, anyPorts...)

	for _, c := range []struct {
		flow, kind string
		patients   int
	}{{"vci", mycore.ServiceIndividual, 1}, {"vce", mycore.ServiceEducation, 3}} {
		t.Run("demo "+c.flow, func(t *testing.T) {
			before := u.finished(t, c.kind)
			r := runs(t, nil, "demo", c.flow, "--data", data)
			if r.status != 0 || r.stderr != "" {
				t.Fatalf("status %d, errors %q\n%s", r.status, r.stderr, r.stdout)
			}
			wantSteps(t, r.stdout)
			if !strings.HasPrefix(r.stdout, "Playing "+c.kind+" against "+u.cast.Server+"\n") {
				t.Errorf("it begins with %.60q", r.stdout)
			}
			if n := u.finished(t, c.kind) - before; n != c.patients {
				t.Errorf("%d consultations have finished, want %d", n, c.patients)
			}
			u.quiet(t, r.stdout)
		})
	}

	t.Run("load fhir", func(t *testing.T) {
		r := runs(t, nil, "load", "fhir", "--data", data, "--clients", "4", "--duration", "1s")
		written, read := reported(t, r, `PUT Appointment +(\d+) in .* failed 0\n`), reported(t, r, `GET by id +(\d+) in .* failed 0\n`)
		if r.status != 0 || written == 0 || read == 0 {
			t.Fatalf("status %d, errors %q\n%s", r.status, r.stderr, r.stdout)
		}
		if n := u.count(t, "Appointment", "load-", "booked"); n != written {
			t.Errorf("%d writes are reported, %d Appointments are there", written, n)
		}
		u.quiet(t, r.stdout)
	})

	t.Run("load checkin", func(t *testing.T) {
		const rate = 5
		r := runs(t, nil, "load", "checkin", "--data", data, "--rate", strconv.Itoa(rate), "--duration", "1s")
		sent, lost := reported(t, r, `check-in +(\d+) in .* failed 0\n`), reported(t, r, `tap to topic +5 arrived, 5 acknowledged, (\d+) lost`)
		if r.status != 0 || sent != rate || lost != 0 {
			t.Fatalf("status %d, errors %q\n%s", r.status, r.stderr, r.stdout)
		}
		if n := u.count(t, "Appointment", "burst-", "checked-in"); n != rate+1 { // one went ahead
			t.Errorf("%d are checked in", n)
		}
		u.quiet(t, r.stdout)
	})

	t.Run("a wrong credential ends the play at its first step", func(t *testing.T) {
		other := t.TempDir()
		raw, err := os.ReadFile(data + "/demo.json")
		if err != nil {
			t.Fatal(err)
		}
		broken := strings.ReplaceAll(string(raw), u.cast.Clients[0].ClientSecret, "guess")
		if err := os.WriteFile(other+"/demo.json", []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		r := runs(t, nil, "demo", "vci", "--data", other)
		if r.status != 1 || !strings.Contains(r.stderr, "jumpa: step 1 ") || !strings.Contains(r.stdout, " 1  FAILED") || strings.Contains(r.stdout, " 2  ") {
			t.Errorf("status %d, errors %q\n%s", r.status, r.stderr, r.stdout)
		}
	})

	u.terminate(t)
	for command, flow := range map[string]string{"demo": "vci", "load": "fhir"} {
		if r := runs(t, nil, command, flow, "--data", data); r.status != 1 || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s of an exchange that has stopped: status %d, errors %q", command, r.status, r.stderr)
		}
	}
}

var stepLine = regexp.MustCompile(`(?m)^( ?\d+)  (.*)\n      observed in [0-9.]+(ms|s|m[0-9.]+s|µs): .+$`)

// wantSteps expects all steps of a flow, in order, each with what was observed.
func wantSteps(t *testing.T, out string) {
	t.Helper()
	told := stepLine.FindAllStringSubmatch(out, -1)
	if len(told) != 12 || !strings.HasSuffix(out, "All 12 steps were observed.\n") || strings.Contains(out, "FAILED") {
		t.Fatalf("%d steps:\n%s", len(told), out)
	}
	for i, m := range told {
		if want := fmt.Sprintf("%2d", i+1); m[1] != want || m[2] == "" {
			t.Errorf("step %s is %q %q", want, m[1], m[2])
		}
	}
}

// reported gives the number that a pattern finds in what a command printed.
func reported(t *testing.T, r result, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(r.stdout)
	if m == nil {
		t.Fatalf("the report does not have %s: status %d, errors %q\n%s", pattern, r.status, r.stderr, r.stdout)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// all gives the records of a status that the first source system has.
func (u *up) all(t *testing.T, typ, status string) []*fhir.Document {
	t.Helper()
	list, err := u.system(t).SearchAll(t.Context(), typ, url.Values{"status": {status}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (u *up) count(t *testing.T, typ, prefix, status string) (n int) {
	t.Helper()
	for _, doc := range u.all(t, typ, status) {
		if strings.HasPrefix(doc.ID(), prefix) {
			n++
		}
	}
	return n
}

// finished counts the consultations of a kind that have come to their end.
func (u *up) finished(t *testing.T, kind string) (n int) {
	t.Helper()
	for _, doc := range u.all(t, "Encounter", "finished") {
		if mycore.ServiceType(doc) == kind {
			n++
		}
	}
	return n
}

// quiet expects that no secret and no identity number was printed: people put
// such output into mails.
func (u *up) quiet(t *testing.T, out string) {
	t.Helper()
	for _, c := range u.cast.Clients {
		if strings.Contains(out, c.ClientSecret) || strings.Contains(out, c.Password) {
			t.Errorf("a secret is printed:\n%s", out)
		}
	}
	for _, p := range u.cast.Patients {
		if strings.Contains(out, p.IdentityNumber) {
			t.Errorf("an identity number is printed:\n%s", out)
		}
	}
	for _, doc := range u.all(t, "Encounter", "finished") {
		if token := mycore.Token(doc); token != "" && strings.Contains(out, token) {
			t.Errorf("the token of a session is printed:\n%s", out)
		}
	}
}
