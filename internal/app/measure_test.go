package app

import (
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// exposed gives /metrics, and the names and labels of our own metrics in it.
func exposed(t *testing.T, a *App) (text string, labels map[string]string) {
	t.Helper()
	resp, err := http.Get(at(a) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text = answerOf(t, resp)
	labels = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (jumpa_[a-z_]+) `).FindAllStringSubmatch(text, -1) {
		names := map[string]bool{}
		for _, line := range regexp.MustCompile(`(?m)^`+m[1]+`(?:_bucket|_sum|_count)?\{(.*)\} `).FindAllStringSubmatch(text, -1) {
			for _, label := range regexp.MustCompile(`(?:^|,)([a-z]+)="`).FindAllStringSubmatch(line[1], -1) {
				if label[1] != "le" {
					names[label[1]] = true
				}
			}
		}
		labels[m[1]] = strings.Join(slices.Sorted(maps.Keys(names)), ", ")
	}
	return text, labels
}

// TestMetricsAreExplained compares the table of docs/operations.md with what a
// node exposes, labels included.
func TestMetricsAreExplained(t *testing.T) {
	a := running(t, laptop(t, t.TempDir()))
	v := &visitor{T: t, cast: a.cast}
	v.request(a, http.MethodGet, "/healthz", nil, "") // so that one request has been counted
	_, have := exposed(t, a)
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(jumpa_[a-z_]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		told[m[1]] = strings.ReplaceAll(m[2], "`", "")
		if told[m[1]] == "–" {
			told[m[1]] = ""
		}
	}
	if len(told) < 25 {
		t.Fatalf("only %d metrics were found in the page", len(told))
	}
	for name, labels := range have {
		if is, ok := told[name]; !ok || is != labels {
			t.Errorf("docs/operations.md says of %s that its labels are %q (%v); they are %q", name, is, ok, labels)
		}
	}
	for name := range told {
		if _, ok := have[name]; !ok && name != "jumpa_data_free_bytes" { // which not every system tells
			t.Errorf("docs/operations.md tells of %s, which is not there", name)
		}
	}
}

// TestLogLinesOfTheGuide sees that what docs/operations.md tells to look for in
// the log is what the program writes there.
func TestLogLinesOfTheGuide(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, row := range regexp.MustCompile(`(?m)^\|[^|\n]*\|[^|\n]*\|([^|\n]*)\|[^|\n]*\|[^|\n]*\|$`).FindAllStringSubmatch(string(page), -1) {
		for _, line := range regexp.MustCompile("`([^`]* [^`]*)`").FindAllStringSubmatch(row[1], -1) {
			lines++
			if !strings.Contains(source.String(), `"`+line[1]) {
				t.Errorf("docs/operations.md tells to look for %q, which is never logged", line[1])
			}
		}
	}
	if lines < 12 {
		t.Errorf("only %d lines were found in the page", lines)
	}
}

// value gives the value of one line of /metrics.
func value(t *testing.T, a *App, line string) string {
	t.Helper()
	text, _ := exposed(t, a)
	return valueIn(t, text, line)
}

// valueIn gives the value of one line of what /metrics has said.
func valueIn(t *testing.T, text, line string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("/metrics has no %s", line)
	}
	return m[1]
}

// TestMetricsCount does what the metrics count and looks at them.
func TestMetricsCount(t *testing.T) {
	a := running(t, laptop(t, t.TempDir()))
	v := &visitor{T: t, cast: a.cast}
	v.signInSystem(a)
	p := a.cast.Patients[0]
	before := value(t, a, `jumpa_validation_total{outcome="refused"}`)
	header := map[string]string{"Authorization": "Bearer " + v.token, "Content-Type": "application/fhir+json"}
	if status, body := v.request(a, http.MethodPut, "/baseR4/Patient/odd", header, `{"resourceType":"Patient","id":"odd","gender":"none of these"}`); status/100 != 4 {
		t.Fatalf("a document that is wrong gets %d: %s", status, body)
	}
	if after := value(t, a, `jumpa_validation_total{outcome="refused"}`); after == before {
		t.Errorf("a refused document is not counted: %s", after)
	}
	if _, err := a.access.browsers.SignIn(t.Context(), auth.Patient, p.IdentityNumber, "000000", false); err == nil {
		t.Fatal("a wrong code is right")
	}
	v.request(a, http.MethodPost, "/auth/token", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, "grant_type=client_credentials&client_id="+a.cast.Clients[0].ClientID+"&client_secret=wrong")
	for line, want := range map[string]string{
		`jumpa_sign_in_refused_total{reason="wrong",who="person"}`:     "1",
		`jumpa_sign_in_refused_total{reason="wrong",who="system"}`:     "1",
		`jumpa_sign_in_refused_total{reason="throttled",who="person"}`: "0",
		`jumpa_duty_held{duty="timers"}`:                               "1",
		`jumpa_http_requests_in_flight`:                                "1", // that of /metrics
		`jumpa_http_streams{surface="portal"}`:                         "0",
		`jumpa_store_conflicts_total`:                                  "0",
	} {
		if got := value(t, a, line); got != want {
			t.Errorf("%s is %s; want %s", line, got, want)
		}
	}
	if s := a.engine.Stats(); s.Commits == 0 || s.Committed < s.Commits {
		t.Errorf("the store has made %d commits of %d updates", s.Commits, s.Committed)
	}
}
