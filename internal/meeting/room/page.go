package room

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

//go:embed static
var files embed.FS

// languages of the page, the first one being what is shown when a browser asks
// for none of them.
var languages = []string{"en", "ms", "zh", "ta"}

// staticFiles are what the page loads, under /room/static/.
var staticFiles = []string{"room.js", "call.js", "devices.js", "room.css"}

// page is the web page of a call, the same for every room: it learns who
// joins from the fragment of its address, which never reaches the server.
type page struct {
	template  *template.Template
	texts     map[string]map[string]string // by language, by key
	ancestors []string
	static    http.Handler
}

func newPage(ancestors []string) (*page, error) {
	p := &page{ancestors: ancestors}
	raw, err := files.ReadFile("static/texts.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &p.texts); err != nil {
		return nil, fmt.Errorf("texts of the call page: %w", err)
	}
	if p.template, err = template.ParseFS(files, "static/room.html"); err != nil {
		return nil, fmt.Errorf("call page: %w", err)
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	serve := http.StripPrefix("/room/static/", http.FileServerFS(static))
	p.static = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		serve.ServeHTTP(w, req)
	})
	return p, nil
}

// servePage answers every well-formed room name alike, so that it tells
// nobody which rooms there are.
func (r *Room) servePage(w http.ResponseWriter, req *http.Request) {
	room := req.PathValue("room")
	if !roomName.MatchString(room) {
		http.NotFound(w, req)
		return
	}
	lang := chooseLanguage(req)
	texts := r.page.texts[lang]
	encoded, err := json.Marshal(texts)
	if err != nil {
		http.Error(w, reasons[codeUnavailable], http.StatusInternalServerError)
		return
	}
	r.secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	view := struct {
		Lang, Room, Texts, Parents string
		T                          map[string]string
	}{lang, room, string(encoded), strings.Join(r.page.ancestors, " "), texts}
	if err := r.page.template.Execute(w, view); err != nil {
		r.opts.Log.Warn("call page", "error", err)
	}
}

func (r *Room) secure(h http.Header) {
	connect := "'self'"
	// Some browsers do not count a WebSocket to the page's own host as 'self'.
	if u, err := url.Parse(r.opts.PublicURL()); err == nil && u.Host != "" {
		scheme := "wss"
		if u.Scheme == "http" {
			scheme = "ws"
		}
		connect += " " + scheme + "://" + u.Host
	}
	ancestors := strings.Join(append([]string{"'self'"}, r.page.ancestors...), " ")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"media-src 'self' blob: mediastream:; connect-src "+connect+"; form-action 'none'; base-uri 'none'; frame-ancestors "+ancestors)
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), geolocation=()")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// chooseLanguage follows ?lang=, then what the browser prefers.
func chooseLanguage(req *http.Request) string {
	known := make(map[string]bool, len(languages))
	for _, l := range languages {
		known[l] = true
	}
	if lang := req.URL.Query().Get("lang"); known[lang] {
		return lang
	}
	type preference struct {
		lang   string
		weight float64
	}
	var wishes []preference
	for _, part := range strings.SplitN(req.Header.Get("Accept-Language"), ",", 20) {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			if parsed, err := strconv.ParseFloat(q, 64); err == nil {
				weight = parsed
			}
		}
		if known[base] && weight > 0 {
			wishes = append(wishes, preference{base, weight})
		}
	}
	if len(wishes) == 0 {
		return languages[0]
	}
	sort.SliceStable(wishes, func(i, j int) bool { return wishes[i].weight > wishes[j].weight })
	return wishes[0].lang
}
