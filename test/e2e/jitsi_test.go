package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/test/browser"
)

const shownByProsody = "shown-by-prosody-0123456789-abcdef"

// written is a log that a test reads while it grows.
type written struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// jitsi is the whole program with its calls on a Jitsi: the web app in front
// and Prosody behind it.
type jitsi struct {
	*hie
	web     *jitsitest.Web
	prosody *jitsitest.Server
	log     *written
}

func onJitsi(t *testing.T) *jitsi {
	t.Helper()
	j := &jitsi{web: jitsitest.NewSecureWeb(), log: &written{}}
	t.Cleanup(j.web.Close)
	j.prosody = jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: shownByProsody})
	t.Cleanup(j.prosody.Close)
	j.hie = startAs(t, j.log, func(c *app.Config) {
		c.MeetingProvider, c.JitsiBearer = "jitsi", shownByProsody
		c.JitsiDomain, c.JitsiControlURL = j.host(), j.prosody.URL()
	})
	j.prosody.Configure(func(o *jitsitest.Options) {
		o.LoginKeys, o.SystemKeys = j.app.URL()+"/jitsi/asap/login", j.app.URL()+"/jitsi/asap/system"
		o.Reservations, o.Events = j.app.URL()+"/jitsi/reservation", j.app.URL()+"/jitsi"
	})
	j.browser = browser.OpenTrusting(t, nil)
	return j
}

func (j *jitsi) host() string { return strings.TrimPrefix(j.web.URL, "https://") }

// addresses collects what a tab asks for.
type addresses struct {
	mu   sync.Mutex
	list []string
}

func watch(t *testing.T, tab context.Context) *addresses {
	t.Helper()
	a := &addresses{}
	err := chromedp.Listen(tab, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.list = append(a.list, e.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	browser.Do(t, tab, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		return err
	}))
	return a
}

func (a *addresses) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}

// embedded waits until the call has begun in a page and gives its token.
func (h *hie) embedded(tab context.Context) string {
	h.Helper()
	browser.Until(h.T, tab, "the call does not open", `document.querySelector("#room iframe") && jitsi.given.jwt`)
	return browser.Eval[string](h.T, tab, "jitsi.given.jwt")
}

// says lets the IFrame API tell the page something.
func (h *hie) says(tab context.Context, event, detail string) {
	h.Helper()
	browser.Eval[chromedp.Void](h.T, tab, fmt.Sprintf("jitsi.tell(%q, %s)", event, detail))
}

// policy gives the parts of the Content-Security-Policy of a path.
func (h *hie) policy(tab context.Context, path string) map[string][]string {
	h.Helper()
	header := browser.Eval[string](h.T, tab, fmt.Sprintf(`fetch(%q).then((r) => r.headers.get("content-security-policy"))`, path))
	parts := map[string][]string{}
	for part := range strings.SplitSeq(header, ";") {
		if words := strings.Fields(part); len(words) > 0 {
			parts[words[0]] = words[1:]
		}
	}
	return parts
}

// embedsOnly checks that the page of a call lets the video system's origin in,
// as far as a call needs it, and that this is all it lets in beside our own.
func (h *hie) embedsOnly(tab context.Context, visit, origin string) {
	h.Helper()
	closed, open := h.policy(tab, visit), h.policy(tab, visit+"/call")
	if !slices.Equal(closed["frame-src"], []string{"'none'"}) || !slices.Equal(closed["script-src"], []string{"'self'"}) {
		h.Errorf("a page without a call allows %v", closed)
	}
	want := maps.Clone(closed)
	want["script-src"], want["frame-src"] = []string{"'self'", origin}, []string{origin}
	if !maps.EqualFunc(open, want, slices.Equal) {
		h.Errorf("the page of a call allows %v, want %v", open, want)
	}
	stranger := jitsitest.NewSecureWeb()
	defer stranger.Close()
	for kind, insert := range map[string]string{
		"script-src-elem": `Object.assign(document.createElement("script"), { src: %q })`,
		"frame-src":       `Object.assign(document.createElement("iframe"), { src: %q })`,
		"connect-src":     `(fetch(%q).catch(() => {}), new Text(""))`,
	} {
		insert = fmt.Sprintf(insert, stranger.URL+"/external_api.js")
		if got := browser.Eval[string](h.T, tab, `new Promise((done) => {
			document.addEventListener("securitypolicyviolation", (e) => done(e.effectiveDirective), { once: true });
			document.body.append(`+insert+`); })`); got != kind {
			h.Errorf("%s of a stranger: the browser speaks of %s", kind, got)
		}
	}
	if asked := stranger.Asked(); len(asked) > 0 {
		h.Errorf("a stranger was asked for %v", asked)
	}
	for feature, want := range map[string]bool{"camera": true, "microphone": true, "display-capture": true, "geolocation": false} {
		for at, want := range map[string]bool{origin: want, stranger.URL: false} {
			if got := browser.Eval[bool](h.T, tab, fmt.Sprintf("document.featurePolicy.allowsFeature(%q, %q)", feature, at)); got != want {
				h.Errorf("%s at %s: %v, want %v", feature, at, got, want)
			}
		}
	}
}

// fits checks a page for those who see little, and on small screens.
func (h *hie) fits(tab context.Context, what string) {
	h.Helper()
	for _, size := range [][2]int64{{1280, 800}, {360, 740}, {320, 640}} {
		browser.Do(h.T, tab, chromedp.EmulateViewport(size[0], size[1]))
		if wide := browser.Eval[int64](h.T, tab, "document.documentElement.scrollWidth"); wide > size[0] {
			h.Errorf("%s is %d px wide on a screen of %d", what, wide, size[0])
		}
		for _, v := range browser.Axe(h.T, tab) {
			h.Errorf("%s at %d px: axe: %s", what, size[0], v)
		}
		for _, e := range browser.Eval[[]string](h.T, tab, `[...document.querySelectorAll("a, button, select, summary")]
			.filter((e) => e.offsetParent && !e.closest(".aside, .skip") && !e.classList.contains("skip"))
			.filter((e) => { const r = e.getBoundingClientRect(); return r.height < 43.5 || r.width < 43.5; }).map((e) => e.outerHTML.slice(0, 120))`) {
			h.Errorf("%s at %d px: too small: %s", what, size[0], e)
		}
	}
	browser.Do(h.T, tab, chromedp.EmulateViewport(1280, 800))
}

// visible is the condition that an element can be seen.
func visible(id string) string {
	return fmt.Sprintf("document.getElementById(%q)?.checkVisibility()", id)
}

// A practitioner holds a consultation at the desk on a Jitsi, from the start
// to the end that Jitsi is told of.
func TestTheDeskOnJitsi(t *testing.T) {
	j := onJitsi(t)
	patient := j.cast.Patients[3]
	desk := j.desk()
	asked := watch(t, desk)
	appointment := j.deskBooks(desk, patient)
	phone := j.phone(patient, appointment)
	j.starts(desk, appointment)
	first := j.embedded(desk)
	room := browser.Eval[string](t, desk, "jitsi.given.roomName")
	visit := "/desk/visits/" + appointment

	for script, want := range map[string]string{
		"jitsi.domain":     j.host(),
		"jitsi.given.lang": "id",
		"jitsi.given.configOverwrite.toolbarButtons.join()":              "microphone,camera,chat,settings,hangup,desktop",
		"String(jitsi.given.configOverwrite.prejoinConfig.enabled)":      "false",
		"String(jitsi.given.configOverwrite.disableInviteFunctions)":     "true",
		"String(jitsi.given.configOverwrite.localRecording.disable)":     "true",
		"String(jitsi.given.configOverwrite.securityUi.hideLobbyButton)": "true",
		`document.querySelector("#room iframe").title`:                   "Panggilan video",
	} {
		if got := browser.Eval[string](t, desk, script); got != want {
			t.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	doctor := must(j.prosody.Join(t.Context(), first, room))(t)
	if doctor.Affiliation != "owner" {
		t.Errorf("the practitioner is %s of the room", doctor.Affiliation)
	}
	browser.Until(t, phone, "the waiting room does not say that it is time", phase("ready", "incall"))
	browser.Click(t, phone, "#join")
	guest := must(j.prosody.Join(t.Context(), j.embedded(phone), room))(t)
	if guest.Affiliation != "member" {
		t.Errorf("the patient is %s of the room", guest.Affiliation)
	}
	browser.Until(t, desk, "the desk does not show that the patient is in the call", `document.querySelector("#live .chip.good")`)

	j.embedsOnly(desk, visit, j.web.URL)
	browser.Do(t, desk, chromedp.Navigate(j.app.URL()+visit+"/call"))
	second := j.embedded(desk)
	if second == first {
		t.Error("a reload uses a token again")
	}
	j.fits(desk, "the call")
	shot(t, desk, "desk-jitsi")

	// Hanging up is not the end.
	j.says(desk, "videoConferenceLeft", "{}")
	j.says(desk, "readyToClose", "{}")
	browser.Until(t, desk, "the desk does not say that the practitioner has left", visible("left"))
	browser.Until(t, desk, "the way back has no focus", `document.activeElement.id === "rejoin" && !document.getElementById("room")`)
	if browser.Eval[bool](t, desk, visible("tab")+" ?? false") {
		t.Error("whoever has left is told that the call does not appear")
	}
	j.fits(desk, "the page after hanging up")
	if got := j.encounter(appointment).Get("status").String(); got != "in-progress" || !j.prosody.Open(room) {
		t.Errorf("hanging up made the Encounter %s, or ended the call", got)
	}
	browser.Click(t, desk, "#rejoin")
	j.embedded(desk)

	// Nor is Jitsi's own "end for all": the practitioner may open it again.
	if err := doctor.Leave(); err != nil {
		t.Fatal(err)
	}
	if err := guest.Leave(); err != nil {
		t.Fatal(err)
	}
	j.says(desk, "errorOccurred", `{ error: { name: "conference.destroyed", isFatal: true } }`)
	browser.Until(t, desk, "the desk stays in a call that is over", fmt.Sprintf(`location.pathname === %q && document.querySelector("form[action$='/finish']")`, visit))
	if j.prosody.Open(room) {
		t.Fatal("the room is still open")
	}
	browser.Click(t, desk, ".tocall a")
	third := j.embedded(desk)
	must(j.prosody.Join(t.Context(), third, room))(t)

	// A camera that another program has is no reason to leave; a broken call is.
	j.says(desk, "errorOccurred", `{ name: "gum.general", isFatal: false }`)
	j.says(desk, "errorOccurred", `{ name: "conference.connectionError", isFatal: true }`)
	browser.Until(t, desk, "the desk does not say that the call failed", visible("failed"))
	if browser.Eval[bool](t, desk, visible("left")) {
		t.Error("a call that failed is called left")
	}
	browser.Until(t, desk, "there is no other way into the call", visible("tab"))
	j.fits(desk, "the page of a call that failed")
	browser.Click(t, desk, "#rejoin")
	last := j.embedded(desk)

	j.finishes(desk, appointment)
	if got := must(j.system.Session(t.Context(), mycore.Token(j.encounter(appointment))))(t).Status; got != "ended" || j.prosody.Open(room) {
		t.Errorf("after the consultation the session is %s; the call is open: %v", got, j.prosody.Open(room))
	}
	if _, err := j.prosody.Join(t.Context(), last, room); err == nil {
		t.Error("the practitioner comes back into a call that is over")
	}
	j.secret(asked, first, second, third, last)
}

// secret checks that no token is where a log would keep it: in an address that
// anybody was asked for, or in the exchange's own log.
func (j *jitsi) secret(asked *addresses, tokens ...string) {
	j.Helper()
	places := map[string]string{"the exchange's log": j.log.String(), "the video system's log": strings.Join(j.web.Asked(), "\n"), "an address": strings.Join(asked.all(), "\n")}
	for _, sign := range []string{"/visits/", "external_api.js"} {
		if !strings.Contains(places["an address"], sign) {
			j.Fatalf("the addresses lack %s: %s", sign, places["an address"])
		}
	}
	for place, text := range places {
		if text == "" {
			j.Errorf("%s is empty", place)
		}
		for _, token := range tokens {
			for part := range strings.SplitSeq(token, ".") {
				if part != strings.Split(tokens[0], ".")[0] && strings.Contains(text, part) { // the header is the same for all
					j.Errorf("%s shows a token", place)
				}
			}
		}
	}
}

// A Jitsi that does not answer, or that refuses to be embedded, can be reached
// in a tab of its own.
func TestTheDeskOpensACallThatCannotBeEmbeddedInATab(t *testing.T) {
	j := onJitsi(t)
	patient := j.cast.Patients[3]
	desk := j.desk()
	asked := watch(t, desk)
	appointment := j.deskBooks(desk, patient)
	j.phone(patient, appointment)
	j.web.Leave(true)
	j.starts(desk, appointment)
	browser.Until(t, desk, "the desk does not say that the call cannot be shown", visible("failed"))
	j.fits(desk, "the page of a call that cannot be embedded")
	visit := "/desk/visits/" + appointment
	if href := browser.Eval[string](t, desk, `document.getElementById("tab").getAttribute("href")`); href != visit+"/call/tab" {
		t.Errorf("the link leads to %s", href)
	}
	j.web.Leave(false)
	browser.Do(t, desk, chromedp.Navigate(j.app.URL()+visit+"/call/tab"))
	browser.Until(t, desk, "the call does not open in a tab", fmt.Sprintf(`location.origin === %q && location.search === "?lang=id"`, j.web.URL))
	fragment := browser.Eval[string](t, desk, `JSON.parse(new URLSearchParams(location.hash.slice(1)).get("jwt"))`)
	room := strings.TrimPrefix(browser.Eval[string](t, desk, "location.pathname"), "/")
	if doctor := must(j.prosody.Join(t.Context(), fragment, room))(t); doctor.Affiliation != "owner" {
		t.Errorf("in the tab the practitioner is %s", doctor.Affiliation)
	}
	j.secret(asked, fragment)

	browser.Do(t, desk, chromedp.Navigate(j.app.URL()+visit))
	j.finishes(desk, appointment)
	browser.Do(t, desk, chromedp.Navigate(j.app.URL()+visit+"/call/tab"))
	if path := browser.Eval[string](t, desk, "location.pathname"); path != visit {
		t.Errorf("after the end the link leads to %s", path)
	}
}

// On JaaS the call has the tenant in its path, and the token its rights.
func TestTheDeskOnJaaS(t *testing.T) {
	const tenant, keyID = "vpaas-magic-cookie-0123456789abcdef", "ed85b6"
	web := jitsitest.NewSecureWeb()
	t.Cleanup(web.Close)
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	file := filepath.Join(t.TempDir(), "jaas.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startAs(t, &written{}, func(c *app.Config) {
		c.MeetingProvider, c.JaaSAppID, c.JaaSKeyID, c.JaaSKeyFile, c.JaaSWebhookSecret = "jaas", tenant, keyID, file, "whsec_0123456789"
	})
	h.browser = browser.OpenTrusting(t, map[string]string{"8x8.vc": strings.TrimPrefix(web.URL, "https://")})
	patient := h.cast.Patients[3]
	desk := h.desk()
	appointment := h.deskBooks(desk, patient)
	h.phone(patient, appointment)
	h.starts(desk, appointment)
	token := h.embedded(desk)
	claims := must(jitsitest.VerifyJaaS(token, tenant, map[string]*rsa.PublicKey{tenant + "/" + keyID: &key.PublicKey}, time.Now()))(t)
	room, _ := claims.Claims["room"].(string)
	if got := claims.User["moderator"]; got != true && got != "true" || room == "" {
		t.Errorf("moderator %v, room %q", got, room)
	}
	for script, want := range map[string]string{
		"jitsi.domain":         "8x8.vc",
		"jitsi.given.roomName": tenant + "/" + room,
		`document.querySelector("script[src$='external_api.js']").src`: "https://8x8.vc/" + tenant + "/external_api.js",
	} {
		if got := browser.Eval[string](t, desk, script); got != want {
			t.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	h.embedsOnly(desk, "/desk/visits/"+appointment, "https://8x8.vc")
	for _, q := range web.Asked() {
		if strings.Contains(q, token) || q == "/" {
			t.Errorf("JaaS was asked for %s", q)
		}
	}
	if !slices.Contains(web.Asked(), "/"+tenant+"/"+room) {
		t.Errorf("the call itself was not opened: %v", web.Asked())
	}
}
