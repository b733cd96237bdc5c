package main

import (
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/source"
)

// secretOf finds a value in what register prints.
func (r result) secretOf(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(r.stdout) {
		if v, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no %s in %q, %q", name, r.stdout, r.stderr)
	return ""
}

func TestRegisteredSystemIsLetIn(t *testing.T) {
	data := t.TempDir()
	args := []string{"register", "klinik", "--organization", "11-1", "--email", "klinik@source.example", "--data", data}
	void := runs(t, nil, args...)
	given := runs(t, nil, args...)
	u := start(t, data, nil, anyPorts...)
	runs(t, nil, args...).refused(t, "--data", "in use")

	for _, c := range []struct {
		name, secret, password string
		ok                     bool
	}{
		{"new secrets", given.secretOf(t, "client secret"), given.secretOf(t, "password"), true},
		{"secrets that were replaced", void.secretOf(t, "client secret"), void.secretOf(t, "password"), false},
	} {
		client, err := source.New(source.Config{Server: u.cast.Server, ClientID: "klinik", ClientSecret: c.secret})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.SearchAll(t.Context(), "Appointment", nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, _, err := client.NotificationSession(t.Context(), "klinik@source.example", c.password); (err == nil) != c.ok {
			t.Errorf("%s for notifications: %v", c.name, err)
		}
	}
}

func TestRegistrationsThatAreNone(t *testing.T) {
	data := t.TempDir()
	runs(t, nil, "register", "--data", data).refused(t, "--organization")
	runs(t, nil, "register", "klinik", "--data", data).refused(t, "--organization")
	runs(t, nil, "register", "klinik", "--organization", "", "--data", data).refused(t, "organisation")
	runs(t, nil, "register", strings.Repeat("k", 300), "--organization", "11-1", "--data", data).refused(t, "at most 200")
	if runs(t, nil, "register", "klinik", "--organization", "11-1", "--email", "a@b.example", "--data", data).status != 0 {
		t.Fatal("a good registration is refused")
	}
	runs(t, nil, "register", "other", "--organization", "11-1", "--email", "a@b.example", "--data", data).refused(t, "Another account")
}
