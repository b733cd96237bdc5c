package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/app"
)

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// signIn signs a patient in and gives the browser.
func signIn(t *testing.T, server string, who app.DemoPatient) *http.Client {
	t.Helper()
	jar, _ := cookiejar.New(nil) // never fails
	browser := &http.Client{Jar: jar}
	page := fetch(t, browser, server+"/rekodsaya/sign-in?lang=en")
	for _, step := range []struct{ path, field, value string }{
		{"/rekodsaya/sign-in", "identity", who.IdentityNumber},
		{"/rekodsaya/sign-in/code", "code", who.SignInCode},
	} {
		m := csrfField.FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("the page before %s has no form", step.path)
		}
		resp, err := browser.PostForm(server+step.path, url.Values{"csrf": {m[1]}, step.field: {step.value}})
		if err != nil {
			t.Fatal(err)
		}
		page = body(t, resp)
		if step.field == "code" && resp.Request.URL.Path != "/rekodsaya/appointments" {
			t.Fatalf("signing in led to %s", resp.Request.URL)
		}
	}
	return browser
}

func fetch(t *testing.T, browser *http.Client, address string) string {
	t.Helper()
	resp, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s", address, resp.Status)
	}
	return body(t, resp)
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
