package portal

import (
	"net/http"
	"path"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

func (p *Portal) start(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.signed() {
		return leave(w, r, Root+"appointments", "")
	}
	return leave(w, r, Root+"sign-in", "")
}

func (p *Portal) terms(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := p.enter(w, v); err != nil {
		return err
	}
	return p.show(w, r, v, http.StatusOK, "terms", frame{})
}

// enter gives somebody who is not signed in the cookie that goes with the
// forms of the page.
func (p *Portal) enter(w http.ResponseWriter, v *visit) error {
	if v.signed() {
		return nil
	}
	return p.keepEntry(w, v.entry)
}

func (p *Portal) signIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.door(w, r, v, "signin")
}

func (p *Portal) activate(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.door(w, r, v, "activate")
}

// door shows a page with the form for the identity number.
func (p *Portal) door(w http.ResponseWriter, r *http.Request, v *visit, name string) error {
	if v.signed() {
		return leave(w, r, Root+"appointments", "")
	}
	if next := r.URL.Query().Get("next"); own(next) {
		v.entry.Next = next
	}
	if err := p.enter(w, v); err != nil {
		return err
	}
	return p.show(w, r, v, http.StatusOK, name, frame{})
}

// own tells whether next is a page of the portal that a signed-in patient may
// be sent to.
func own(next string) bool {
	if len(next) > 200 || next != path.Clean(next) || strings.ContainsAny(next, "\\?#") {
		return false
	}
	for _, section := range []string{"appointments", "inbox", "device-test"} {
		if next == Root+section || strings.HasPrefix(next, Root+section+"/") {
			return true
		}
	}
	return false
}

func (p *Portal) sendCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.begin(w, r, v, "sign-in", false)
}

func (p *Portal) sendActivation(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.PostForm.Get("accept") != "yes" {
		return leave(w, r, Root+"activate", "terms")
	}
	return p.begin(w, r, v, "activate", true)
}

// maxLogin is in bytes; what an identity number is, the sign-ins know.
const maxLogin = 40

// begin has a code sent to the person with the identity number of the form.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request, v *visit, from string, activate bool) error {
	login := strings.TrimSpace(r.PostForm.Get("identity"))
	if login == "" || len(login) > maxLogin {
		return leave(w, r, Root+from, "identity")
	}
	switch err := p.SignIns.SendCode(r.Context(), auth.Patient, login); {
	case err == nil:
	case fhir.CodeOf(err) == fhir.CodeValue:
		return leave(w, r, Root+from, "identity")
	default:
		return err
	}
	v.entry.Login, v.entry.Activate = login, activate
	if err := p.keepEntry(w, v.entry); err != nil {
		return err
	}
	return leave(w, r, Root+"sign-in/code", "")
}

// codePage is the page for the one-time code.
type codePage struct{ Activate, Dev bool }

func (p *Portal) code(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.signed() || v.entry.Login == "" {
		return p.start(w, r, v)
	}
	if err := p.enter(w, v); err != nil {
		return err
	}
	return p.show(w, r, v, http.StatusOK, "code", frame{Data: codePage{v.entry.Activate, p.DevMessages != nil}})
}

func (p *Portal) enterCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.signed() || v.entry.Login == "" {
		return p.start(w, r, v)
	}
	code := strings.Join(strings.Fields(r.PostForm.Get("code")), "")
	if code == "" || len(code) > 20 {
		return leave(w, r, Root+"sign-in/code", "code")
	}
	cookie, err := p.SignIns.SignIn(r.Context(), auth.Patient, v.entry.Login, code, v.entry.Activate)
	switch {
	case err == nil:
	case fhir.CodeOf(err) == fhir.CodeLogin || fhir.CodeOf(err) == fhir.CodeExpired:
		return leave(w, r, Root+"sign-in/code", "code")
	case fhir.CodeOf(err) == fhir.CodeBusinessRule:
		return leave(w, r, Root+"activate", "inactive")
	default:
		return err
	}
	p.setCookie(w, sessionCookie, cookie, 0)
	p.setCookie(w, entryCookie, "", -1)
	if own(v.entry.Next) {
		return leave(w, r, v.entry.Next, "")
	}
	return leave(w, r, Root+"appointments", "")
}

func (p *Portal) sendAgain(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.signed() || v.entry.Login == "" {
		return p.start(w, r, v)
	}
	if err := p.SignIns.SendCode(r.Context(), auth.Patient, v.entry.Login); err != nil {
		return err
	}
	return leave(w, r, Root+"sign-in/code", "sent")
}

func (p *Portal) signOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := p.SignIns.SignOut(r.Context(), v.cookie); err != nil {
		return err
	}
	p.setCookie(w, sessionCookie, "", -1)
	return leave(w, r, Root+"sign-in", "bye")
}

// devInbox shows the codes of demo mode.
func (p *Portal) devInbox(w http.ResponseWriter, r *http.Request, v *visit) error {
	if p.DevMessages == nil {
		return errNothing
	}
	if err := p.enter(w, v); err != nil {
		return err
	}
	return p.show(w, r, v, http.StatusOK, "dev", frame{Data: p.DevMessages()})
}

// device is the test of camera, microphone and speaker; ?for= names the
// appointment to go back to.
func (p *Portal) device(w http.ResponseWriter, r *http.Request, v *visit) error {
	back := Root
	if id := r.URL.Query().Get("for"); idForm.MatchString(id) && v.signed() {
		back = Root + "appointments/" + id
	}
	if err := p.enter(w, v); err != nil {
		return err
	}
	return p.show(w, r, v, http.StatusOK, "device", frame{Script: "device.js", Data: back})
}
