package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/source"
)

// answers tells whether the exchange is ready now.
func (u *up) answers() bool { return u.ready(time.Time{}) }

// stopLimit is how long an orderly stop may take.
const stopLimit = 10 * time.Second

// terminate asks for an orderly stop and expects it.
func (u *up) terminate(t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := u.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-u.gone:
		if err != nil || time.Since(began) > stopLimit {
			t.Errorf("it has stopped after %v with %v\n%s", time.Since(began), err, u.stderr)
		}
	case <-time.After(stopLimit):
		t.Fatalf("it still runs %v after SIGTERM\n%s", stopLimit, u.stderr)
	}
}

// system is the first source system of the demo.
func (u *up) system(t *testing.T) *source.Client {
	t.Helper()
	c := u.cast.Clients[0]
	sys, err := source.New(source.Config{
		Server: u.cast.Server, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Kafka: strings.Split(u.cast.Kafka, ","),
	})
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

// appointment gives one of a patient's demo appointments by the name of its
// scene.
func (u *up) appointment(t *testing.T, patient, scene string) *fhir.Document {
	t.Helper()
	list, err := u.system(t).SearchAll(t.Context(), "Appointment", url.Values{"patient": {"Patient/" + patient}})
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range list {
		if strings.HasPrefix(doc.ID(), patient+"-"+scene) {
			return doc
		}
	}
	t.Fatalf("%s has no appointment %q", patient, scene)
	return nil
}

func TestUpStopsWhileStreamsAreOpen(t *testing.T) {
	data := t.TempDir()
	u := start(t, data, nil, anyPorts...)
	sys := u.system(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	// A source system waits for events, over the stop and the new start.
	var heard atomic.Int64
	consumer, consumed := make(chan error, 1), make(chan struct{}, 100)
	consuming, stopConsuming := context.WithCancel(ctx)
	go func() {
		consumer <- sys.Consume(consuming, source.ConsumerConfig{
			Group: "test", Topics: []string{source.EncounterTopic(u.cast.Clients[0].Organization)}, FromStart: true,
		}, func(context.Context, source.Event) error {
			heard.Add(1)
			consumed <- struct{}{}
			return nil
		})
	}()
	// A patient checks in and waits on the page.
	aminah := u.cast.Patients[0]
	browser := signIn(t, u.cast.Server, aminah)
	page := u.cast.Server + "/rekodsaya/appointments/" + u.appointment(t, aminah.ID, "open").ID()
	checkIn(t, browser, page)
	<-consumed
	live, err := browser.Get(page + "/events")
	if err != nil || live.StatusCode != http.StatusOK {
		t.Fatalf("the live page: %v %v", live, err)
	}
	defer func() { _ = live.Body.Close() }()
	// A practitioner is in the room.
	s, err := sys.CreateSession(ctx, source.NewSession{ServiceType: "VCE", Title: "Class"})
	if err != nil {
		t.Fatal(err)
	}
	way, err := sys.Join(ctx, s.Token, source.JoinRequest{Name: "Dr. Farid"})
	if err != nil {
		t.Fatal(err)
	}
	doctor, err := headless.Join(ctx, way.JoinURL, headless.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer doctor.Leave()
	// Somebody sends a request and never finishes.
	address := strings.TrimPrefix(u.cast.Server, "http://")
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	if _, err := fmt.Fprintf(slow, "POST /auth/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant", address); err != nil {
		t.Fatal(err)
	}

	u.terminate(t)
	if _, err := io.Copy(io.Discard, live.Body); err != nil {
		t.Errorf("the live page has broken off: %v", err)
	}
	if strings.Contains(u.stderr.String(), "level=ERROR") {
		t.Errorf("errors were logged:\n%s", u.stderr)
	}

	again := start(t, data, nil, "--listen", address, "--kafka-listen", u.cast.Kafka, "--udp-listen", "127.0.0.1:0")
	if !strings.Contains(fetch(t, browser, page), `data-phase="waiting"`) {
		t.Error("the patient no longer waits after the new start")
	}
	devi := again.cast.Patients[2]
	checkIn(t, signIn(t, again.cast.Server, devi), again.cast.Server+"/rekodsaya/appointments/"+again.appointment(t, devi.ID, "class").ID())
	select {
	case <-consumed:
	case err := <-consumer:
		t.Fatalf("the consumer has ended: %v", err)
	case <-ctx.Done():
		t.Fatal("the consumer heard nothing after the new start")
	}
	stopConsuming()
	if err := <-consumer; err != nil {
		t.Error(err)
	}
	again.terminate(t)
}

func checkIn(t *testing.T, browser *http.Client, page string) {
	t.Helper()
	m := csrfField.FindStringSubmatch(fetch(t, browser, page+"/check-in"))
	resp, err := browser.PostForm(page+"/check-in", url.Values{"csrf": {m[1]}, "consent": {"yes"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, resp); !strings.Contains(text, `data-phase="waiting"`) {
		t.Fatalf("the check-in led to %s", resp.Request.URL)
	}
}

// TestCredentialsForScripts holds demo.json to what scripts rely on.
func TestCredentialsForScripts(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	u := start(t, data, nil, anyPorts...)
	file := filepath.Join(data, "demo.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{data: 0o700, file: 0o600, filepath.Join(data, "jumpa.db"): 0o600, filepath.Join(data, "jumpa.db-wal"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("the mode of %s is %o, want %o", path, got, want)
		}
	}

	// No other members, and none of another type: what is missing shows below.
	var shape struct {
		Server  string `json:"server"`
		Kafka   string `json:"kafka"`
		Clients []struct {
			Name         string `json:"name"`
			ClientID     string `json:"clientId"`
			ClientSecret string `json:"clientSecret"`
			Organization string `json:"organization"`
			Email        string `json:"email"`
			Password     string `json:"password"`

			Topics []string `json:"topics"`
		} `json:"clients"`
		Patients []struct {
			ID             string `json:"id"`
			Name           string `json:"name"`
			IdentityNumber string `json:"identityNumber"`
			SignInCode     string `json:"signInCode"`
			RekodSaya      *bool  `json:"rekodSaya"`
		} `json:"patients"`
		Practitioners []struct {
			ID           string `json:"id"`
			Name         string `json:"name"`
			Username     string `json:"username"`
			Password     string `json:"password"`
			Organization string `json:"organization"`
		} `json:"practitioners"`
		Operators          *[]json.RawMessage `json:"operators"`
		HealthcareServices []struct {
			ID           string `json:"id"`
			Organization string `json:"organization"`
			ServiceType  string `json:"serviceType"`
		} `json:"healthcareServices"`
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&shape); err != nil {
		t.Fatal(err)
	}
	var generic map[string]any
	if err := json.Unmarshal(raw, &generic); err != nil {
		t.Fatal(err)
	}
	for where, text := range empty("", generic) {
		t.Errorf("%s is %v", where, text)
	}
	if shape.Operators == nil {
		t.Error("there is no member operators")
	}
	organizations := map[string]bool{}
	for _, c := range shape.Clients {
		organizations[c.Organization] = true
	}
	if len(organizations) < 2 {
		t.Errorf("%d organisations, want two", len(organizations))
	}
	for organization := range organizations {
		var kinds []string
		for _, s := range shape.HealthcareServices {
			if s.Organization == organization {
				kinds = append(kinds, s.ServiceType)
			}
		}
		slices.Sort(kinds)
		if !slices.Equal(kinds, []string{"VCE", "VCI"}) {
			t.Errorf("the services of %s are %v", organization, kinds)
		}
	}
	activated, not := 0, 0
	for _, p := range shape.Patients {
		if *p.RekodSaya {
			activated++
		} else {
			not++
		}
	}
	if activated < 3 || not < 1 {
		t.Errorf("%d patients with RekodSaya and %d without", activated, not)
	}

	sys := u.system(t)
	for _, p := range u.cast.Patients {
		if _, err := sys.Get(t.Context(), "Patient/"+p.ID); err != nil {
			t.Error(err)
		}
	}
	for _, c := range shape.Clients {
		token, _, err := sys.NotificationSession(t.Context(), c.Email, c.Password)
		if err != nil || token == "" {
			t.Errorf("%s cannot sign in to the notification API: %v", c.Email, err)
		}
	}

	u.terminate(t)
	again := start(t, data, nil, anyPorts...)
	before, after := u.cast, again.cast
	before.Server, before.Kafka, after.Server, after.Kafka = "", "", "", ""
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("the credentials are others after a new start")
	}
}

// empty finds the members that hold nothing.
func empty(at string, v any) map[string]any {
	found := map[string]any{}
	add := func(more map[string]any) {
		for k, x := range more {
			found[k] = x
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			add(empty(at+"."+k, x))
		}
	case []any:
		for i, x := range v {
			add(empty(fmt.Sprintf("%s[%d]", at, i), x))
		}
	case nil:
		found[at] = v
	case string:
		if v == "" {
			found[at] = `""`
		}
	}
	return found
}

// TestTimesAreThoseOfMalaysia: wherever the exchange runs.
func TestTimesAreThoseOfMalaysia(t *testing.T) {
	for _, zone := range []string{"America/New_York", "Pacific/Chatham"} {
		t.Run(zone, func(t *testing.T) {
			u := start(t, t.TempDir(), []string{"TZ=" + zone}, anyPorts...)
			aminah := u.cast.Patients[0]
			doc := u.appointment(t, aminah.ID, "open")
			written := doc.Get("start").String()
			if !strings.HasSuffix(written, "+08:00") {
				t.Errorf("the start is written as %s", written)
			}
			at, err := time.Parse(time.RFC3339, written)
			if err != nil {
				t.Fatal(err)
			}
			want := at.In(time.FixedZone("", 8*60*60)).Format("3:04 pm")
			browser := signIn(t, u.cast.Server, aminah)
			for _, page := range []string{"/rekodsaya/appointments", "/rekodsaya/appointments/" + doc.ID()} {
				if text := fetch(t, browser, u.cast.Server+page); !strings.Contains(text, want) {
					t.Errorf("%s does not say that the appointment is at %s", page, want)
				}
			}
		})
	}
}

// TestReferenceOfTheConfiguration holds the page to what the program prints.
func TestReferenceOfTheConfiguration(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := runs(t, nil, "config")
	if r.status != 0 || r.stdout != string(page) {
		t.Errorf("docs/configuration.md is not what `jumpa config` prints (status %d); write it anew", r.status)
	}
	help := runs(t, nil, "up", "--help")
	for _, flag := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(r.stdout, -1) {
		if !strings.Contains(help.stdout, flag) {
			t.Errorf("the page names %s, and `jumpa up` has no such flag", flag)
		}
	}
}

// TestLostMessages: when the broker's files are gone, nothing starts until
// somebody has decided to go on without them.
func TestLostMessages(t *testing.T) {
	data := t.TempDir()
	u := start(t, data, nil, anyPorts...)
	aminah := u.cast.Patients[0]
	browser := signIn(t, u.cast.Server, aminah)
	checkIn(t, browser, u.cast.Server+"/rekodsaya/appointments/"+u.appointment(t, aminah.ID, "open").ID())
	published := regexp.MustCompile(`(?m)^jumpa_outbox_published_total [1-9]`)
	for deadline := time.Now().Add(patience / 2); !published.MatchString(fetch(t, browser, u.cast.Server+"/metrics")); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the check-in was not published")
		}
	}
	u.terminate(t)
	if err := os.RemoveAll(filepath.Join(data, "broker")); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"up", "--data", data}, anyPorts...)
	runs(t, nil, args...).refused(t, "--kafka-continue", "lost")
	start(t, data, nil, append([]string{"--kafka-continue"}, anyPorts...)...).terminate(t)
	start(t, data, nil, anyPorts...).terminate(t)
}

// TestSettingsHaveAnOrder: the flag, the environment, the file.
func TestSettingsHaveAnOrder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jumpa.conf")
	settings := "# of the hospital\nJUMPA_LISTEN = nowhere\nJUMPA_KAFKA_LISTEN=nowhere\nJUMPA_VALIDATION=severe\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"up", "--config", file, "--listen", "127.0.0.1:0"}
	runs(t, nil, args...).refused(t, "--kafka-listen", "nowhere")
	runs(t, []string{"JUMPA_KAFKA_LISTEN=127.0.0.1:0"}, args...).refused(t, "JUMPA_VALIDATION", "severe")
	u := start(t, filepath.Join(dir, "data"), []string{"JUMPA_KAFKA_LISTEN=127.0.0.1:0", "JUMPA_VALIDATION=strict"},
		"--config", file, "--listen", "127.0.0.1:0", "--udp-listen", "127.0.0.1:0")
	u.terminate(t)
}
