package desk

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/source"
)

const (
	sessionCookie = "desk_session"
	doorCookie    = "desk_door"
	maxForm       = 64 << 10 // bytes
)

// access says who may open a page.
type access bool

const (
	open   access = false
	signed access = true
)

// turn is one request: who comes, in which language, and when.
type turn struct {
	lang   ui.Lang
	now    time.Time
	cookie string
	session
	signed bool
	trace  string
}

// page serves one request; its error is shown in one place.
type page func(w http.ResponseWriter, r *http.Request, t *turn) error

var (
	errForm  = errors.New("the form did not come from this site, or it is too old")
	errLogin = errors.New("nobody is signed in")
	errBusy  = errors.New("too many requests")
)

// wrap does what all pages have in common, before and after.
func (d *Desk) wrap(who access, serve page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &turn{lang: ui.LangOf(r), now: d.Clock(), trace: ui.TraceOf(r)}
		if l, ok := ui.ParseLang(r.URL.Query().Get("lang")); ok && r.Method == http.MethodGet {
			ui.KeepLang(w, l, d.Secure)
			http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
			return
		}
		if err := d.admit(w, r, t, who, serve); err != nil {
			d.fail(w, r, t, err)
		}
	})
}

// admit finds out who comes, and lets only those in who may.
func (d *Desk) admit(w http.ResponseWriter, r *http.Request, t *turn, who access, serve page) error {
	whole := r.Method == http.MethodGet && !isPart(r)
	if c, err := r.Cookie(sessionCookie); err == nil {
		t.cookie = c.Value
		t.session, t.signed = d.sessions.find(c.Value, whole)
	}
	if who == signed && !t.signed {
		if !whole {
			return errLogin
		}
		http.Redirect(w, r, Root+"sign-in?"+url.Values{"next": {r.URL.Path}}.Encode(), http.StatusSeeOther)
		return nil
	}
	if r.Method != http.MethodPost {
		return serve(w, r, t)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return errForm
	}
	want := t.csrf
	if !t.signed {
		c, err := r.Cookie(doorCookie)
		if err != nil {
			return errForm
		}
		want = c.Value
	}
	if !equal(want, r.PostForm.Get("csrf")) {
		return errForm
	}
	return serve(w, r, t)
}

// isPart tells whether a script asks for a part of a page.
func isPart(r *http.Request) bool {
	return r.URL.Query().Has("part") || r.URL.Path == Root+"events"
}

// board is that of the practitioner's organisation.
func (d *Desk) board(t *turn) *board { return d.boards[t.who.Organization] }

// frame is what every page gets; Data is the page's own.
type frame struct {
	Lang      ui.Lang
	Languages []ui.Lang
	SwitchTo  string // path that the language switch leads to
	Now       time.Time
	Name      string // of the practitioner, "" when nobody is signed in
	Clinic    string
	CSRF      string
	Page      string
	Note      note
	Script    string // file, "" for none
	Data      any
}

func (d *Desk) dress(r *http.Request, t *turn, name string, f frame) frame {
	f.Lang, f.Languages, f.SwitchTo, f.Now, f.Page = t.lang, ui.Languages, r.URL.Path, t.now, name
	if t.signed {
		f.Name, f.CSRF, f.Clinic = t.who.Name, t.csrf, d.board(t).org.Name
	}
	if f.Note == (note{}) {
		f.Note = t.note
	}
	return f
}

// show renders a page, or its live part when a script asks for that.
func (d *Desk) show(w http.ResponseWriter, r *http.Request, t *turn, status int, name string, f frame) error {
	part := "layout"
	if r.URL.Query().Has("part") {
		part = "live"
	}
	body, err := d.pages.Render(t.lang, name, part, d.dress(r, t, name, f))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", t.lang.Tag())
	w.WriteHeader(status)
	_, _ = w.Write(body) // the browser may have gone away
	return nil
}

// leave answers a form: the browser opens path with GET and shows the note.
func (d *Desk) leave(w http.ResponseWriter, r *http.Request, t *turn, path string, n note) error {
	d.sessions.leave(t.cookie, n)
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

// refusal is what the exchange said when it refused an act for a reason that a
// practitioner can understand.
func refusal(err error) (sentence string, ok bool) {
	var refused *source.Error
	if !errors.As(err, &refused) || refused.Status >= 500 || refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden {
		return "", false
	}
	var all []string
	for _, is := range refused.Issues {
		if is.Diagnostics != "" && is.Severity != "information" {
			all = append(all, is.Diagnostics)
		}
	}
	return strings.Join(all, " "), true
}

// problems is what a record that was being written has against it.
func problems(err error) (sentence string, ok bool) {
	var issues fhir.Issues
	var one *fhir.Error
	switch {
	case errors.As(err, &issues):
		var all []string
		for _, is := range issues {
			all = append(all, is.Diagnostics)
		}
		return strings.Join(all, " "), true
	case errors.As(err, &one):
		return one.Diagnostics, true
	}
	return refusal(err)
}

// fault is an error page.
type fault struct {
	Title, Text ui.Key
	Trace       string // shown when not empty
}

func faultOf(err error) (int, fault) {
	var refused *source.Error
	switch {
	case errors.Is(err, errNothing):
		return http.StatusNotFound, fault{Title: "desk.error.nothing.title", Text: "desk.error.nothing"}
	case errors.Is(err, errForm):
		return http.StatusForbidden, fault{Title: "desk.error.form.title", Text: "desk.error.form"}
	case errors.Is(err, errLogin):
		return http.StatusUnauthorized, fault{Title: "desk.error.login.title", Text: "desk.error.login"}
	case errors.Is(err, errBusy):
		return http.StatusTooManyRequests, fault{Title: "desk.error.busy.title", Text: "desk.error.busy"}
	case errors.As(err, &refused):
		return http.StatusBadGateway, fault{Title: "desk.error.exchange.title", Text: "desk.error.exchange"}
	}
	return http.StatusInternalServerError, fault{Title: "desk.error.fault.title", Text: "desk.error.fault"}
}

// fail shows an error in the practitioner's language.
func (d *Desk) fail(w http.ResponseWriter, r *http.Request, t *turn, err error) {
	if r.Context().Err() != nil {
		return // the browser went away
	}
	status, f := faultOf(err)
	if status >= http.StatusInternalServerError {
		f.Trace = t.trace
		d.Log.Error("desk: a page failed", "method", r.Method, "route", r.Pattern, "practitioner", t.who.ID, "trace", t.trace, "error", err)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "60")
	}
	r.URL.RawQuery = "" // a whole page, also when a part was asked for
	if err := d.show(w, r, t, status, "error", frame{Data: f}); err != nil {
		d.Log.Error("desk: the error page failed", "trace", t.trace, "error", err)
		http.Error(w, "desk: "+t.trace, http.StatusInternalServerError)
	}
}

// chosenKeys are the texts that the program chooses while it runs.
func chosenKeys() (keys []ui.Key) {
	for _, s := range states {
		keys = append(keys, s.Text)
	}
	for _, n := range []note{noteStarted, noteUntold, noteReminded, noteFinished, noteMissed, noteCancelled, noteBooked, noteGroup, noteHours, noteRefused} {
		keys = append(keys, n.Text)
	}
	for _, err := range []error{errNothing, errForm, errLogin, errBusy, &source.Error{}, errors.New("")} {
		_, f := faultOf(err)
		keys = append(keys, f.Title, f.Text)
	}
	for _, key := range formFaults {
		keys = append(keys, key)
	}
	for _, list := range [][]option{outcomes, reasons} {
		for _, o := range list {
			keys = append(keys, o.Text)
		}
	}
	return keys
}
