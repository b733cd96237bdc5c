package portal

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

const (
	sessionCookie = "rekodsaya_session"
	maxForm       = 16 << 10 // bytes
)

// visit is one request: who comes, in which language, and when.
type visit struct {
	lang   ui.Lang
	now    time.Time
	who    auth.Principal // zero when nobody is signed in
	cookie string         // of the session, "" without
	csrf   string
	entry  entry // of somebody who is not signed in
	trace  string
}

func (v *visit) signed() bool { return v.who.Kind == auth.Patient }

// token is what each form must carry.
func (v *visit) token() string {
	if v.signed() {
		return v.csrf
	}
	return v.entry.Token
}

// page serves one request; its error is shown in one place.
type page func(w http.ResponseWriter, r *http.Request, v *visit) error

// wrap does what all pages have in common, before and after.
func (p *Portal) wrap(who access, serve page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{lang: ui.LangOf(r), now: p.Clock(), trace: ui.TraceOf(r)}
		if l, ok := ui.ParseLang(r.URL.Query().Get("lang")); ok && r.Method == http.MethodGet {
			ui.KeepLang(w, l, p.Secure)
			http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
			return
		}
		if err := p.admit(w, r, v, who, serve); err != nil {
			p.fail(w, r, v, err)
		}
	})
}

// admit finds out who comes, and lets only those in who may.
func (p *Portal) admit(w http.ResponseWriter, r *http.Request, v *visit, who access, serve page) error {
	if c, err := r.Cookie(sessionCookie); err == nil && c.Value != "" {
		v.cookie = c.Value
		v.who, v.csrf, err = p.SignIns.Lookup(r.Context(), auth.Patient, c.Value)
		if code := fhir.CodeOf(err); err != nil && code != fhir.CodeLogin && code != fhir.CodeExpired && code != fhir.CodeNotFound {
			return err
		} else if err != nil {
			v.who = auth.Principal{}
		}
	}
	known := false
	if !v.signed() {
		v.entry, known = p.entryOf(r)
	}
	if who == signed && !v.signed() {
		return p.turnAway(w, r, v)
	}
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return fhir.Errorf(fhir.CodeInvalid, "", "The form could not be read.")
		}
		fresh := v.signed() || known
		if want := v.token(); !fresh || want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(r.PostForm.Get("csrf"))) != 1 {
			return errForm
		}
	}
	r = r.WithContext(auth.WithPrincipal(r.Context(), v.who))
	return serve(w, r, v)
}

// turnAway sends somebody who is not signed in to the sign-in page, and from
// there back to where they wanted to go.
func (p *Portal) turnAway(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.Method != http.MethodGet || isPart(r) {
		return fhir.Errorf(fhir.CodeLogin, "", "Sign in first.")
	}
	q := url.Values{"next": {r.URL.Path}}
	if v.cookie != "" {
		p.setCookie(w, sessionCookie, "", -1)
		q.Set("m", "ended")
	}
	http.Redirect(w, r, Root+"sign-in?"+q.Encode(), http.StatusSeeOther)
	return nil
}

// isPart tells whether a script asks for a part of a page.
func isPart(r *http.Request) bool {
	return r.URL.Query().Has("part") || strings.HasSuffix(r.URL.Path, "/events") || strings.HasSuffix(r.URL.Path, "/present")
}

// message is a sentence on top of a page, after a form was sent.
type message struct {
	Text  ui.Key
	Class string // of the note: bad, good or neither
}

// messages are those that a redirect may name with ?m=.
var messages = map[string]message{
	"identity": {"message.identity", "bad"},
	"code":     {"message.code", "bad"},
	"inactive": {"message.inactive", "bad"},
	"terms":    {"message.terms", "bad"},
	"consent":  {"message.consent", "bad"},
	"rating":   {"message.rating", "bad"},
	"changed":  {"message.changed", "bad"},
	"form":     {"message.form", "bad"},
	"sent":     {"message.sent", "good"},
	"ended":    {"message.ended", ""},
	"bye":      {"message.bye", ""},
}

// frame is what every page gets; Data is the page's own.
type frame struct {
	Lang      ui.Lang
	Languages []ui.Lang
	SwitchTo  string // path that the language switch leads to
	Now       time.Time
	Name      string // of who is signed in, "" without
	Signed    bool
	CSRF      string
	Unread    int
	Page      string
	Message   message
	Refresh   int    // seconds until a browser without scripts looks again; 0 never
	Script    string // file, "" for none
	Data      any
}

// show renders a page with status.
func (p *Portal) show(w http.ResponseWriter, r *http.Request, v *visit, status int, name string, f frame) error {
	f = p.dress(r, v, name, f)
	if v.signed() && status < http.StatusInternalServerError {
		list, err := p.Inbox.Inbox(r.Context(), v.who)
		if err != nil {
			return err
		}
		for _, n := range list {
			if n.Read.IsZero() {
				f.Unread++
			}
		}
	}
	body, err := p.pages.Render(v.lang, name, "layout", f)
	if err != nil {
		return err
	}
	send(w, v, status, body)
	return nil
}

// dress fills in what all pages have.
func (p *Portal) dress(r *http.Request, v *visit, name string, f frame) frame {
	f.Lang, f.Languages, f.Now, f.Page = v.lang, ui.Languages, v.now, name
	f.Signed, f.Name, f.CSRF = v.signed(), v.who.Name, v.token()
	f.Message = messages[r.URL.Query().Get("m")]
	if r.Method == http.MethodPost {
		f.SwitchTo = Root
	}
	return f
}

// part renders a piece of a page for a script.
func (p *Portal) part(w http.ResponseWriter, r *http.Request, v *visit, name, part string, f frame) error {
	body, err := p.pages.Render(v.lang, name, part, p.dress(r, v, name, f))
	if err != nil {
		return err
	}
	send(w, v, http.StatusOK, body)
	return nil
}

func send(w http.ResponseWriter, v *visit, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.lang.Tag())
	w.WriteHeader(status)
	_, _ = w.Write(body) // the browser may have gone away
}

// leave answers a form: the browser opens path with GET.
func leave(w http.ResponseWriter, r *http.Request, path, msg string) error {
	if msg != "" {
		path += "?m=" + msg
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

var (
	errForm    = fhir.Errorf(fhir.CodeForbidden, "", "The form did not come from this site, or it is too old.")
	errNothing = fhir.Errorf(fhir.CodeNotFound, "", "There is no such page.")
)

// fault is an error page.
type fault struct {
	Title, Text ui.Key
	Trace       string // shown when not empty
	SignIn      bool   // leads to the sign-in page
}

// faultOf chooses the page of an error. What is forbidden looks like what is
// not there.
func faultOf(err error) (int, fault) {
	if errors.Is(err, errForm) {
		return http.StatusForbidden, fault{Title: "error.form.title", Text: "error.form"}
	}
	switch fhir.CodeOf(err) {
	case fhir.CodeNotFound, fhir.CodeDeleted, fhir.CodeForbidden:
		return http.StatusNotFound, fault{Title: "error.notfound.title", Text: "error.notfound"}
	case fhir.CodeLogin, fhir.CodeExpired:
		return http.StatusUnauthorized, fault{Title: "error.expired.title", Text: "error.expired", SignIn: true}
	case fhir.CodeThrottled:
		return http.StatusTooManyRequests, fault{Title: "error.throttled.title", Text: "error.throttled"}
	case fhir.CodeInvalid:
		return http.StatusBadRequest, fault{Title: "error.form.title", Text: "error.form"}
	case fhir.CodeTransient, fhir.CodeTimeout:
		return http.StatusServiceUnavailable, fault{Title: "error.fault.title", Text: "error.fault"}
	}
	return http.StatusInternalServerError, fault{Title: "error.fault.title", Text: "error.fault"}
}

// fail shows an error in the patient's language.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	if r.Context().Err() != nil {
		return // the browser went away
	}
	status, f := faultOf(err)
	if status >= http.StatusInternalServerError {
		f.Trace = v.trace
		p.Log.Error("portal: a page failed", "method", r.Method, "route", r.Pattern, "account", v.who.ID, "trace", v.trace, "error", err)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "300")
	}
	if err := p.show(w, r, v, status, "error", frame{Data: f}); err != nil {
		p.Log.Error("portal: the error page failed", "trace", v.trace, "error", err)
		http.Error(w, "RekodSaya: "+v.trace, http.StatusInternalServerError)
	}
}

// nothing is every address that has no page.
func (p *Portal) nothing(http.ResponseWriter, *http.Request, *visit) error { return errNothing }
