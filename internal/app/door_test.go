package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// The door of the running exchange: floods of headers and addresses are
// refused, addresses of the FHIR interface are taken as they are written, and
// pages of the origins that are configured may ask.
func TestTheDoor(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	cfg.CORSOrigins = "https://app.example, https://other.example/"
	a := running(t, cfg)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		name, path    string
		header, value string
		status        int
		allowed       string
	}{
		{"as it should be", "/baseR4/metadata", "X", "x", 200, ""},
		{"slashes too many", "//baseR4//metadata/", "X", "x", 200, ""},
		{"climbing", "/baseR4/../metadata", "X", "x", 404, ""},
		{"a flood in a header", "/baseR4/metadata", "X", strings.Repeat("x", 64<<10), 431, ""},
		{"a flood in the address", "/baseR4/metadata?" + strings.Repeat("x", 20<<10), "X", "x", 414, ""},
		{"a page of an origin", "/baseR4/metadata", "Origin", "https://app.example", 200, "https://app.example"},
		{"a page of another that is named", "/baseR4/metadata", "Origin", "https://other.example", 200, "https://other.example"},
		{"a page of an origin that is not", "/baseR4/metadata", "Origin", "https://evil.example", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", a.URL()+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(c.header, c.value)
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || res.Header.Get("Access-Control-Allow-Origin") != c.allowed {
				t.Errorf("%d %v %.200s, %v", res.StatusCode, res.Header, body, err)
			}
			if c.status == 404 || c.status == 414 {
				if !strings.Contains(string(body), "OperationOutcome") {
					t.Errorf("%.200s", body)
				}
			}
		})
	}
}
