package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const whole = "[hello]\nms: Hai {name}\nen: Hello {name}\nzh: 您好 {name}\nta: வணக்கம் {name}\n"

func TestCatalogueRefusesGaps(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"whole":             {"# remark\n" + whole, ""},
		"language missing":  {"[hello]\nms: Hai\nen: Hello\nzh: 您好\n", `missing in ta`},
		"empty text":        {"[hello]\nms: Hai\nen: \nzh: 您好\nta: வணக்கம்\n", "cannot read"},
		"other places":      {strings.Replace(whole, "Hello {name}", "Hello {who}", 1), "other places in en"},
		"place forgotten":   {strings.Replace(whole, "Hello {name}", "Hello", 1), "other places in en"},
		"twice":             {whole + whole, "there twice"},
		"language twice":    {whole + "ms: Hai lagi\n", "cannot read"},
		"unknown language":  {whole + "fr: Bonjour\n", "cannot read"},
		"text without key":  {"ms: Hai\n", "cannot read"},
		"line of rubbish":   {whole + "rubbish\n", "cannot read"},
		"key without texts": {"[hello]\n", "missing in ms"},
	} {
		_, err := load(fstest.MapFS{"texts/a.txt": {Data: []byte(c.text)}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestPagesRefuseUnknownTexts(t *testing.T) {
	c, err := load(fstest.MapFS{"texts/a.txt": {Data: []byte(whole)}})
	if err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{
		`{{t "hello" "name" .}}`:                                 "",
		`{{if .}}{{range .}}{{t "gone"}}{{end}}{{end}}`:          `no text "gone"`,
		`{{with .}}{{else}}<a title="{{t "gone"}}">x</a>{{end}}`: `no text "gone"`,
		`{{define "part"}}{{t "gone"}}{{end}}`:                   `no text "gone"`,
		`{{say (t "gone")}}`:                                     `no text "gone"`,
		`{{template "layout" (t "gone")}}`:                       `no text "gone"`,
		`{{t .Key}}`:                                             "written out",
		`{{t "hello"}}`:                                          "has places [name]",
		`{{t "hello" "who" .}}`:                                  "has places [name]",
		`{{t "hello" "name"}}`:                                   "has places [name]",
		`{{t "hello" "name" . "name" .}}`:                        "has places [name]",
		`{{t "hello" . .}}`:                                      "written out",
		`{{unknown}}`:                                            "not defined",
	} {
		fsys := fstest.MapFS{
			"_layout.html": {Data: []byte(`{{define "layout"}}{{template "main" .}}{{end}}`)},
			"a.html":       {Data: []byte(`{{define "main"}}` + strings.Replace(page, "{{define", "{{end}}{{define", 1) + `{{end}}`)},
		}
		if strings.Contains(page, "{{define") {
			fsys["a.html"] = &fstest.MapFile{Data: []byte(`{{define "main"}}{{end}}` + page)}
		}
		_, err := c.ParsePages(fsys, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", page, err, want)
		}
	}
}

func TestRenderEscapes(t *testing.T) {
	c, err := load(fstest.MapFS{"texts/a.txt": {Data: []byte(whole)}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.ParsePages(fstest.MapFS{
		"_layout.html": {Data: []byte(`{{define "layout"}}<p>{{t "hello" "name" .}}</p>{{end}}`)},
		"a.html":       {Data: []byte(`{{define "main"}}{{end}}`)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for l, want := range map[Lang]string{Malay: "<p>Hai &lt;b&gt;{name}</p>", Tamil: "<p>வணக்கம் &lt;b&gt;{name}</p>"} {
		got, err := p.Render(l, "a", "layout", "<b>{name}")
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", l, got, err)
		}
	}
	if _, err := p.Render(Malay, "b", "layout", ""); err == nil {
		t.Error("a page that is not there was rendered")
	}
}

func TestTimesInWords(t *testing.T) {
	now := time.Date(2026, 11, 24, 2, 15, 0, 0, time.UTC)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, Malaysia) }
	for _, c := range []struct {
		l    Lang
		got  string
		want string
	}{
		{Malay, Texts.Day(Malay, at(24, 10, 0), now), "Hari ini, Selasa, 24 November 2026"},
		{English, Texts.Day(English, at(25, 0, 5), now), "Tomorrow, Wednesday, 25 November 2026"},
		{Chinese, Texts.Day(Chinese, at(29, 10, 0), now), "2026年11月29日，星期日"},
		{Tamil, Texts.Day(Tamil, at(23, 23, 59), now), "திங்கட்கிழமை, 23 நவம்பர் 2026"},
		{Malay, Texts.Clock(Malay, at(24, 0, 0)), "12:00 pagi"},
		{Malay, Texts.Clock(Malay, at(24, 12, 30)), "12:30 tengah hari"},
		{Malay, Texts.Clock(Malay, at(24, 14, 5)), "2:05 petang"},
		{Malay, Texts.Clock(Malay, at(24, 20, 0)), "8:00 malam"},
		{English, Texts.Clock(English, at(24, 0, 0)), "12:00 am"},
		{English, Texts.Clock(English, at(24, 12, 0)), "12:00 pm"},
		{Chinese, Texts.Clock(Chinese, at(24, 9, 0)), "上午 9:00"},
		{Chinese, Texts.Clock(Chinese, at(24, 18, 0)), "晚上 6:00"},
		{Tamil, Texts.Clock(Tamil, at(24, 15, 0)), "பிற்பகல் 3:00"},
		{Tamil, Texts.Clock(Tamil, at(24, 19, 0)), "இரவு 7:00"},
		{English, Texts.Hours(English, at(24, 10, 0), at(24, 10, 30)), "10:00 am to 10:30 am"},
		{English, Texts.Hours(English, at(24, 10, 0), time.Time{}), "10:00 am"},
		{Malay, Texts.Moment(Malay, at(24, 10, 30), now), "10:30 pagi"},
		{Malay, Texts.Moment(Malay, at(25, 10, 30), now), "Esok, Rabu, 25 November 2026, 10:30 pagi"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.l, c.got, c.want)
		}
	}
}

func TestDaysAreMalaysian(t *testing.T) {
	lateUTC := time.Date(2026, 11, 23, 16, 30, 0, 0, time.UTC) // 00:30 on the 24th in Malaysia
	if d := DaysBetween(lateUTC, time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)); d != 0 {
		t.Errorf("%d days, want 0", d)
	}
	if d := DaysBetween(lateUTC, lateUTC.Add(-time.Hour)); d != -1 {
		t.Errorf("%d days, want -1", d)
	}
}

// Each script must be in its own language's texts, and only there.
func TestTextsAreInTheirOwnScript(t *testing.T) {
	tamil, han := regexp.MustCompile(`\p{Tamil}`), regexp.MustCompile(`\p{Han}`)
	for _, key := range Texts.Keys() {
		e := Texts.entries[key]
		for _, l := range Languages {
			text := e.text[l]
			isTime := strings.HasPrefix(string(key), "date.")
			if tamil.MatchString(text) != (l == Tamil) && !isTime {
				t.Errorf("%s in %s: Tamil letters are missing or out of place: %q", key, l, text)
			}
			if han.MatchString(text) != (l == Chinese) && !isTime {
				t.Errorf("%s in %s: Chinese characters are missing or out of place: %q", key, l, text)
			}
		}
	}
}

func TestLanguageIsKept(t *testing.T) {
	w := httptest.NewRecorder()
	KeepLang(w, Tamil, true)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if got := LangOf(r); got != Malay {
		t.Errorf("without a choice: %s", got)
	}
	c := w.Result().Cookies()[0]
	r.AddCookie(c)
	if got := LangOf(r); got != Tamil || !c.Secure || !c.HttpOnly {
		t.Errorf("kept %s in %v", got, c)
	}
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: langCookie, Value: "xx"})
	if got := LangOf(r); got != Malay {
		t.Errorf("an unknown language gives %s", got)
	}
}

func TestScriptsImportByContent(t *testing.T) {
	first, second := fstest.MapFS{"live.js": {Data: []byte("export let a;")}}, fstest.MapFS{"page.js": {Data: []byte(`import { a } from "./live.js";`)}}
	s, err := NewStatic("/x/", first, second)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(s.assets["page.js"].plain), `import { a } from "`+s.paths["live.js"]+`";`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := NewStatic("/x/", second); err == nil {
		t.Error("a script that imports nothing is served")
	}
}

func TestStaticFiles(t *testing.T) {
	s, err := NewStatic("/x/static/", Shared(), fstest.MapFS{"a.js": {Data: []byte("let a = 1;")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path("gone.css"); err == nil {
		t.Error("a path to nothing")
	}
	path, err := s.Path("ui.css")
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, header ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	plain, small := get(path), get(path, "Accept-Encoding", "gzip")
	if plain.StatusCode != http.StatusOK || !strings.HasPrefix(plain.Header.Get("Content-Type"), "text/css") || !strings.Contains(plain.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%d %v", plain.StatusCode, plain.Header)
	}
	packed, err := io.ReadAll(small.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(packed) > 12<<10 {
		t.Errorf("the style sheet has %d bytes packed, at most 12 KB", len(packed))
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := io.ReadAll(plain.Body); err != nil || !bytes.Equal(unpacked, want) {
		t.Errorf("packed and plain differ: %v", err)
	}
	if again := get(path, "If-None-Match", plain.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: %d", again.StatusCode)
	}
	if gone := get("/x/static/../secret"); gone.StatusCode != http.StatusNotFound {
		t.Errorf("outside: %d", gone.StatusCode)
	}
	if js := get("/x/static/a.js"); !strings.HasPrefix(js.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("script as %q", js.Header.Get("Content-Type"))
	}
}
