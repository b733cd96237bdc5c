package room

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
)

func testRoom(t *testing.T) *Room {
	t.Helper()
	r, err := New(Options{
		PublicURL: func() string { return "https://vc.example/" }, Secret: []byte(strings.Repeat("k", 32)),
		FrameAncestors: []string{"https://clinic.example"},
		Clock:          func() time.Time { return time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, r *Room, path, accept string) *http.Response {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("Accept-Language", accept)
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	p, err := newPage(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(p.texts)), slices.Sorted(slices.Values(languages)); !slices.Equal(got, want) {
		t.Fatalf("languages are %v, want %v", got, want)
	}
	want := slices.Sorted(maps.Keys(p.texts["en"]))
	for _, lang := range languages {
		if got := slices.Sorted(maps.Keys(p.texts[lang])); !slices.Equal(got, want) {
			t.Errorf("%s has the keys %v, want %v", lang, got, want)
		}
		for key, text := range p.texts[lang] {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %s is empty", lang, key)
			}
		}
	}
}

// TestEveryUsedTextExists looks at the keys that the page and its script name outright.
func TestEveryUsedTextExists(t *testing.T) {
	p, err := newPage(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`(?:\{\{\.T\.|\bT\.|status\(")([A-Za-z-]+)`)
	found := 0
	for _, name := range []string{"static/room.html", "static/room.js"} {
		raw, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range key.FindAllStringSubmatch(string(raw), -1) {
			found++
			if _, ok := p.texts["en"][m[1]]; !ok {
				t.Errorf("%s uses the text %q, which is not in the catalogue", name, m[1])
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d uses of texts were found", found)
	}
	for code := range reasons {
		_, title := p.texts["en"][code+"Title"]
		_, text := p.texts["en"][code+"Text"]
		if code != codeUnavailable && !text || (code != codeUnavailable && code != codeForbidden && code != codeNotNow && !title) {
			t.Errorf("the refusal %q has no text of its own", code)
		}
	}
}

func TestPageIsSafeToEmbedAndToServe(t *testing.T) {
	r := testRoom(t)
	res := get(t, r, "/room/vc-1", "")
	html := body(t, res)
	policy := res.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'self' https://clinic.example", "connect-src 'self' wss://vc.example"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, pattern := range map[string]string{
		"inline script": `<script[^>]*>[^<]`, "inline handler": `\son[a-z]+=`, "inline style": `<style|\sstyle=`, "other host": `(?:src|href)="(?:https?:)?//`,
	} {
		if regexp.MustCompile(pattern).MatchString(html) {
			t.Errorf("the page has an %s", name)
		}
	}
	for _, asset := range staticFiles {
		if res := get(t, r, "/room/static/"+asset, ""); res.StatusCode != http.StatusOK || len(body(t, res)) == 0 {
			t.Errorf("%s: %s", asset, res.Status)
		}
	}
	for _, path := range []string{"/room/static/texts.json", "/room/static/room.html", "/room/", "/room/a%20b", "/room/" + strings.Repeat("a", 200)} {
		if res := get(t, r, path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func TestLanguageOfThePage(t *testing.T) {
	r := testRoom(t)
	for _, tt := range []struct{ query, accept, want string }{
		{"", "", "en"},
		{"", "fr", "en"},
		{"", "ms-MY,en;q=0.8", "ms"},
		{"", "en;q=0.5, zh-Hans-SG;q=0.9", "zh"},
		{"", "ta;q=0, ms;q=0.1", "ms"},
		{"?lang=ta", "ms", "ta"},
		{"?lang=xx", "zh", "zh"},
	} {
		res := get(t, r, "/room/vc-1"+tt.query, tt.accept)
		if html := body(t, res); !strings.Contains(html, `<html lang="`+tt.want+`">`) || !strings.Contains(html, r.page.texts[tt.want]["leave"]) {
			t.Errorf("%q with %q is not in %s", tt.query, tt.accept, tt.want)
		}
	}
}

func TestCredentials(t *testing.T) {
	r := testRoom(t)
	p := meeting.Person{ID: "p-1", Name: "  " + strings.Repeat("ஆ", 300), Role: meeting.Patient}
	got, err := r.Credentials(t.Context(), "vc-1", p)
	if err != nil {
		t.Fatal(err)
	}
	if got.JoinURL != "https://vc.example/room/vc-1#jwt="+got.JWT || got.Domain != "vc.example" || got.Room != "vc-1" {
		t.Errorf("credentials are %+v", got)
	}
	if want := r.opts.Clock().Add(5 * time.Minute); !got.ExpiresAt.Equal(want) {
		t.Errorf("they expire at %v, want %v", got.ExpiresAt, want)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(got.JWT, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	now := float64(r.opts.Clock().Unix())
	for key, want := range map[string]any{"room": "vc-1", "sub": "p-1", "role": "patient", "aud": "enter", "exp": now + 300, "nbf": now - 10} {
		if c[key] != want {
			t.Errorf("%s is %v, want %v", key, c[key], want)
		}
	}
	if name := []rune(c["name"].(string)); len(name) != maxNameLength {
		t.Errorf("the name has %d letters", len(name))
	}
	granted := c["features"].(map[string]any)
	for feature, want := range map[string]bool{"audio": true, "recording": false, "transcription": false, "end-conference": false, "mute-all": false} {
		if v, ok := granted[feature]; !ok || v != want {
			t.Errorf("feature %s is %v", feature, v)
		}
	}
	for name, bad := range map[string]struct {
		room string
		p    meeting.Person
	}{
		"room":   {"a/b", p},
		"person": {"vc-1", meeting.Person{Role: meeting.Patient}},
		"role":   {"vc-1", meeting.Person{ID: "p", Role: "owner"}},
	} {
		if _, err := r.Credentials(t.Context(), bad.room, bad.p); err == nil {
			t.Errorf("credentials for a wrong %s", name)
		}
	}
}

func TestKeyFrameOfVP8(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload []byte
		want    bool
	}{
		{"key frame, short descriptor", []byte{0x10, 0x50, 0x9d}, true},
		{"inter frame", []byte{0x10, 0x51, 0x9d}, false},
		{"key frame with a long picture id", []byte{0x90, 0x80, 0x81, 0x02, 0x50, 0x9d}, true},
		{"second partition", []byte{0x11, 0x50}, false},
		{"continued", []byte{0x00, 0x50}, false},
		{"empty", nil, false},
		{"cut off", []byte{0x90, 0x80}, false},
	} {
		if got := isKeyFrame(tt.payload); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
