package play

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// shown gives a page as it would have come.
func shown(t testing.TB, body string) *page {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return &page{status: http.StatusOK, url: &url.URL{Path: "/here"}, root: root}
}

func TestHiddenFields(t *testing.T) {
	const forms = `<form action="/language"><input type=hidden name=csrf value=other></form>
		<main><form method=post action="/check-in"><p><input type="hidden" name="csrf" value="a&amp;b">
		<input type=hidden name=version value="3"><input name=remark value=seen><input type=checkbox name=consent value=yes>
		<button name=go value=1>Go</button></form></main>`
	for _, c := range []struct {
		name, body, path string
		want             url.Values // nil: there is no such form
	}{
		{"of the form with this action", forms, "/check-in", url.Values{"csrf": {"a&b"}, "version": {"3"}}},
		{"of another form", forms, "/language", url.Values{"csrf": {"other"}}},
		{"no such form", forms, "/rating", nil},
		{"a form that hides nothing", `<form action="/x"><input name=a></form>`, "/x", url.Values{}},
		{"an action that only begins so", forms, "/check", nil},
		{"half a page", `<form action="/x"><input type=hidden name=a value=1`, "/x", url.Values{}},
		{"no page", "", "/x", nil},
	} {
		got := hiddenFields(shown(t, c.body), c.path)
		if (got == nil) != (c.want == nil) || got.Encode() != c.want.Encode() {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHeadingsAndText(t *testing.T) {
	for _, c := range []struct{ body, heading, text string }{
		{"<h1>Good <b>morning</b>,\n Siti</h1><p>You have</p> <p>no mail.</p>", "Good morning , Siti", "Good morning , Siti You have no mail."},
		{"<h2>Inbox</h2>", "no heading", "Inbox"},
		{"<h1>One</h1><h1>Two</h1>", "One", "One Two"},
		{"", "no heading", ""},
	} {
		pg := shown(t, c.body)
		if got := pg.heading(); got != c.heading {
			t.Errorf("%q has the heading %q, want %q", c.body, got, c.heading)
		}
		if got := text(pg.root); got != c.text {
			t.Errorf("%q reads %q, want %q", c.body, got, c.text)
		}
	}
}

// site serves pages by path, with the status that a page begins with, if any.
func site(t *testing.T, pages map[string]string) *Patient {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := pages[r.Method+" "+r.URL.EscapedPath()]
		switch {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			body = "<h1>Not here</h1>"
		case strings.HasPrefix(body, "/"):
			http.Redirect(w, r, body, http.StatusSeeOther)
			return
		case strings.HasPrefix(body, "refused"):
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		_ = r.ParseForm()
		body = strings.ReplaceAll(body, "{form}", html.EscapeString(r.PostForm.Encode()))
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return NewPatient(server.URL)
}

func TestForms(t *testing.T) {
	p := site(t, map[string]string{
		"GET /a":       `<form action="/a/send"><input type=hidden name=csrf value=c><input type=hidden name=kind value=old></form>`,
		"GET /b":       `<h1>Nothing to do</h1>`,
		"GET /c":       `<form action="/c/send"></form>`,
		"POST /a/send": `<h1>{form}</h1>`,
		"POST /c/send": `refused <h1>Too late</h1>`,
	})
	for _, c := range []struct{ page, action, want, fault string }{
		{"/a", "/a/send", "csrf=c&kind=new&more=yes", ""},
		{"/b", "/b/send", "", "no form for /b/send: Nothing to do"},
		{"/c", "/c/send", "", "answers 422: Too late"},
		{"/d", "", "", "/d answers 404: Not here"},
	} {
		pg, err := p.open(t.Context(), c.page)
		if err == nil {
			pg, err = p.submit(t.Context(), pg, c.action, url.Values{"kind": {"new"}, "more": {"yes"}})
		}
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", c.page, err, c.fault)
			}
		case err != nil || pg.heading() != c.want:
			t.Errorf("%s: %v, sent was %q", c.page, err, pg.heading())
		}
	}
}

// What the pages of an appointment say, and what is told when they do not.
func TestAppointmentPages(t *testing.T) {
	p := site(t, map[string]string{
		"GET /rekodsaya/appointments/a%2F1":      `<main data-phase="waiting"><h1>Wait</h1><i data-phase="ready"></i></main>`,
		"GET /rekodsaya/appointments/a%2F1/call": `<iframe src="/ad"></iframe><iframe id=room src="https://x/vc-1#jwt=a&amp;b"></iframe>`,
		"GET /rekodsaya/appointments/b":          `<h1>Something else</h1>`,
		"GET /rekodsaya/appointments/b/call":     `/rekodsaya/appointments/b`,
	})
	for _, c := range []struct {
		name        string
		do          func() (string, error)
		want, fault string
	}{
		{"phase", func() (string, error) { return p.Phase(t.Context(), "a/1") }, "waiting", ""},
		{"no phase", func() (string, error) { return p.Phase(t.Context(), "b") }, "", "does not show its state"},
		{"no page", func() (string, error) { return p.Phase(t.Context(), "c") }, "", "answers 404: Not here"},
		{"call", func() (string, error) { return p.Join(t.Context(), "a/1") }, "https://x/vc-1#jwt=a&b", ""},
		{"led away from the call", func() (string, error) { return p.Join(t.Context(), "b") }, "", "/rekodsaya/appointments/b has no call: Something else"},
		{"no check-in", func() (string, error) { return "", p.CheckIn(t.Context(), "b") }, "", "answers 404"},
		{"no rating", func() (string, error) { return "", p.Rate(t.Context(), "b", "5", "") }, "", "no form for /rekodsaya/appointments/b/rating"},
		{"no inbox", func() (string, error) { return p.Inbox(t.Context()) }, "", "answers 404"},
		{"no sign-in", func() (string, error) { return "", p.SignIn(t.Context(), "1", "2") }, "", "/rekodsaya/sign-in answers 404"},
	} {
		got, err := c.do()
		if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, got, err, c.want, c.fault)
		}
	}
}

// A page that stays as it is must not be waited for when its live signal has
// ended.
func TestAwaitNoticesThatTheSignalEnds(t *testing.T) {
	p := site(t, map[string]string{
		"GET /rekodsaya/appointments/a":        `<main data-phase="waiting"></main>`,
		"GET /rekodsaya/appointments/a/events": "event: look\n\n",
	})
	if err := p.Await(t.Context(), "a", "early", "waiting"); err != nil {
		t.Errorf("what the page says already: %v", err)
	}
	if err := p.Await(t.Context(), "a", "ready"); err == nil || !strings.Contains(err.Error(), "live signal of the page ended") {
		t.Errorf("%v", err)
	}
}
