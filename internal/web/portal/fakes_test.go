package portal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// morning is Tuesday 24 November 2026, 10:15 in Malaysia.
var morning = time.Date(2026, 11, 24, 2, 15, 0, 0, time.UTC)

const (
	aminah = "800101145566" // has an account
	raju   = "750505105533" // has a record, no account yet
	goodby = "246810"       // every one-time code
)

// world is what stands around the portal: a clinic, the people and their
// letter boxes, each small but real in what it remembers and refuses.
type world struct {
	mu       sync.Mutex
	now      time.Time
	views    map[string]consult.View
	owner    map[string]string // appointment to login
	consents map[string]consult.Consent
	ratings  map[string]string
	checkIns int
	joinURL  string
	broken   error // what every call of the clinic gives, when set
	hub      notify.Hub

	active    map[string]bool
	sent      []DevMessage
	tries     int
	sessions  map[string]string // cookie to login
	letters   map[string][]store.Notification
	streaming chan struct{} // receives when a page has subscribed
}

func newWorld() *world {
	return &world{
		now: morning, views: map[string]consult.View{}, owner: map[string]string{}, consents: map[string]consult.Consent{},
		ratings: map[string]string{}, active: map[string]bool{aminah: true}, sessions: map[string]string{},
		letters: map[string][]store.Notification{}, streaming: make(chan struct{}, 100),
		joinURL: "/room/#jwt=aaaa.bbbb.cccc",
	}
}

// put gives a patient an appointment.
func (w *world) put(login string, v consult.View) {
	w.mu.Lock()
	w.views[v.Appointment], w.owner[v.Appointment] = v, login
	w.mu.Unlock()
	w.hub.Wake(notify.ServiceKey(v.Service))
}

// booking is an appointment that starts some minutes after now.
func (w *world) booking(id string, inMinutes int) consult.View {
	start := w.now.Add(time.Duration(inMinutes) * time.Minute)
	return consult.View{
		Appointment: id, Service: "svc-1", State: consult.Booked, Title: "Klinik Diabetes Maya", Provider: "Klinik Kesihatan Bangi",
		Practitioner: "Dr. Lim Mei Ling", Start: start, End: start.Add(30 * time.Minute), Opens: start.Add(-30 * time.Minute),
		CheckIn: consult.Open, CanCancel: true,
	}
}

func (w *world) get(p auth.Principal, id string) (consult.View, error) {
	if w.broken != nil {
		return consult.View{}, w.broken
	}
	v, ok := w.views[id]
	if !ok || w.owner[id] != p.Login || p.Kind != auth.Patient {
		return consult.View{}, fhir.Errorf(fhir.CodeNotFound, "", "There is no such appointment.")
	}
	return v, nil
}

func (w *world) Appointments(_ context.Context, p auth.Principal) ([]consult.View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []consult.View
	for id, v := range w.views {
		if w.owner[id] == p.Login {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b consult.View) int { return a.Start.Compare(b.Start) })
	return list, w.broken
}

func (w *world) Appointment(_ context.Context, p auth.Principal, id string) (consult.View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.get(p, id)
}

func (w *world) CheckIn(_ context.Context, p auth.Principal, id string, c consult.Consent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.get(p, id)
	switch {
	case err != nil:
		return err
	case v.State == consult.Waiting:
		return nil
	case v.State != consult.Booked || v.CheckIn != consult.Open || !c.VideoConsultation:
		return fhir.Errorf(fhir.CodeBusinessRule, "", "Not now.")
	}
	w.checkIns++
	w.consents[id] = c
	v.State, v.CheckedIn, v.QueuePlace = consult.Waiting, w.now, 2
	w.views[id] = v
	return nil
}

func (w *world) Cancel(_ context.Context, p auth.Principal, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.get(p, id)
	if err != nil {
		return err
	}
	if !v.CanCancel {
		return fhir.Errorf(fhir.CodeBusinessRule, "", "Not now.")
	}
	v.State, v.CanCancel = consult.Cancelled, false
	w.views[id] = v
	return nil
}

func (w *world) Join(_ context.Context, p auth.Principal, id string) (meeting.Credentials, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.get(p, id)
	if err == nil && v.State != consult.Ready && v.State != consult.InCall {
		err = fhir.Errorf(fhir.CodeBusinessRule, "", "Not now.")
	}
	return meeting.Credentials{JoinURL: w.joinURL}, err
}

func (w *world) Rate(_ context.Context, p auth.Principal, id string, rating int, remark string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.get(p, id)
	if err != nil {
		return err
	}
	v.Rated = true
	w.views[id], w.ratings[id] = v, fmt.Sprint(rating, " ", remark)
	return nil
}

// normal is how the identity numbers of this world are read.
func normal(login string) (string, bool) {
	login = strings.ReplaceAll(login, "-", "")
	return login, len(login) == 12
}

func (w *world) SendCode(_ context.Context, _ auth.Kind, login string) error {
	login, ok := normal(login)
	if !ok {
		return fhir.Errorf(fhir.CodeValue, "", "This is not an identity number.")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tries++; w.tries > 50 {
		return fhir.Errorf(fhir.CodeThrottled, "", "Too many codes.")
	}
	if login == aminah || login == raju {
		w.sent = append([]DevMessage{{To: "••••••••" + login[8:], Code: goodby, At: w.now}}, w.sent...)
	}
	return nil
}

func (w *world) SignIn(_ context.Context, kind auth.Kind, login, code string, activate bool) (string, error) {
	login, _ = normal(login)
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind != auth.Patient || code != goodby || login != aminah && login != raju {
		return "", fhir.Errorf(fhir.CodeLogin, "", "Wrong.")
	}
	if !w.active[login] && !activate {
		return "", fhir.Errorf(fhir.CodeBusinessRule, "", "Not active.")
	}
	w.active[login] = true
	cookie := rand.Text()
	w.sessions[cookie] = login
	return cookie, nil
}

func (w *world) Lookup(_ context.Context, _ auth.Kind, cookie string) (auth.Principal, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	login, ok := w.sessions[cookie]
	if !ok {
		return auth.Principal{}, "", fhir.Errorf(fhir.CodeLogin, "", "Sign in.")
	}
	name := map[string]string{aminah: "Aminah binti Yusof", raju: "Raju a/l Muthu"}[login]
	return auth.Principal{Kind: auth.Patient, ID: "acc-" + login[8:], Login: login, Name: name}, "csrf-" + cookie, nil
}

func (w *world) SignOut(_ context.Context, cookie string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, cookie)
	return nil
}

func (w *world) Inbox(_ context.Context, p auth.Principal) ([]store.Notification, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.letters[p.Login]), nil
}

func (w *world) MarkRead(_ context.Context, p auth.Principal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.letters[p.Login] {
		w.letters[p.Login][i].Read = w.now
	}
	return nil
}

func (w *world) write(login, title, body string) {
	w.mu.Lock()
	w.letters[login] = append([]store.Notification{{Title: title, Body: body, Created: w.now}}, w.letters[login]...)
	w.mu.Unlock()
	w.hub.Wake(notify.InboxKey(login))
}

// Subscribe is the real hub; the test learns that a page listens.
func (w *world) Subscribe(keys ...string) (<-chan struct{}, func()) {
	ch, cancel := w.hub.Subscribe(keys...)
	select {
	case w.streaming <- struct{}{}:
	default:
	}
	return ch, cancel
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) devMessages() []DevMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

// serve starts the portal of this world.
func (w *world) serve(t *testing.T, change ...func(*Options)) (*httptest.Server, *Portal) {
	t.Helper()
	o := Options{
		Consultations: w, SignIns: w, Inbox: w, Signals: w, DevMessages: w.devMessages, Clock: w.clock,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(Root, p)
	// The video system, as far as the portal can see it.
	mux.HandleFunc("GET /room/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>Room</title><body><main><h1>Room</h1></main>
<script>window.say = (event) => parent.postMessage({ source: "jumpa-room", event }, "*"); say("joined");</script></body></html>`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() { p.Stop(); s.Close() })
	return s, p
}

// browser is a patient's browser without scripts.
type browser struct {
	t    *testing.T
	base string
	http *http.Client
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, base: base, http: &http.Client{Jar: jar}}
}

// answer is what came back, and from where after redirects.
type answer struct {
	status int
	path   string // with query
	body   string
	header http.Header
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Request.URL.RequestURI(), string(body), res.Header}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// post sends a form as it is.
func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

var hidden = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// submit opens a page and sends one of its forms, as a person would.
func (b *browser) submit(page, action string, fields ...string) answer {
	b.t.Helper()
	a := b.get(page)
	if !strings.Contains(a.body, `action="`+action+`"`) {
		b.t.Fatalf("%s has no form for %s:\n%s", page, action, a.body)
	}
	form := url.Values{"csrf": {hidden.FindStringSubmatch(a.body)[1]}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post(action, form)
}

// signIn signs a person in and returns the page that follows.
func (b *browser) signIn(login string) answer {
	b.t.Helper()
	b.submit(Root+"sign-in", Root+"sign-in", "identity", login)
	return b.submit(Root+"sign-in/code", Root+"sign-in/code", "code", goodby)
}

var errDisk = errors.New("disk on fire: 800101145566")

func principal(login string) auth.Principal {
	return auth.Principal{Kind: auth.Patient, ID: "acc-" + login[8:], Login: login}
}
