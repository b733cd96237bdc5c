package portal

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/preset"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
	chromium "github.com/jumpa-hie/jumpa/test/browser"
)

// tab is one tab of a real browser on a small phone.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	bytes    float64
}

func newTab(t *testing.T, process context.Context) *tab {
	t.Helper()
	b := &tab{t: t, ctx: chromium.Tab(t, process, 360, 740, "about:blank")}
	b.screen(360, 740)
	call(b, network.Enable, network.EnableParams{})
	call(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	if err := chromedp.Listen(b.ctx, b.count); err != nil {
		t.Fatal(err)
	}
	return b
}

// screen makes the tab one of a phone of this size.
func (b *tab) screen(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch))
}

// count adds up what goes over the network.
func (b *tab) count(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			b.requests = append(b.requests, e.Request.URL)
		}
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	chromium.Do(b.t, b.ctx, steps...)
}

// click clicks on what a selector finds, also while the page is replaced.
func (b *tab) click(selector string) {
	b.t.Helper()
	chromium.Click(b.t, b.ctx, selector)
}

func call[P, R any](b *tab, cmd cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, cmd, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func eval[T any](b *tab, script string) T {
	b.t.Helper()
	return chromium.Eval[T](b.t, b.ctx, script)
}

// until waits until a condition in the page holds, also across navigations.
func (b *tab) until(condition string) {
	b.t.Helper()
	chromium.Until(b.t, b.ctx, "never: "+condition, condition)
}

// accessible reports what a checker finds wrong with the page.
func (b *tab) accessible() {
	b.t.Helper()
	for _, v := range chromium.Axe(b.t, b.ctx) {
		b.t.Errorf("axe: %s", v)
	}
}

// be makes the browser the one that has b's cookies.
func (b *tab) be(person *browser) {
	b.t.Helper()
	call(b, network.ClearBrowserCookies, cdp.Empty{})
	u, err := url.Parse(person.base + Root)
	if err != nil {
		b.t.Fatal(err)
	}
	var cookies []*network.CookieParam
	for _, c := range person.http.Jar.Cookies(u) {
		cookies = append(cookies, &network.CookieParam{Name: c.Name, Value: c.Value, URL: u.String()})
	}
	call(b, network.SetCookies, network.SetCookiesParams{Cookies: cookies})
}

// open loads a page, with the first look of its script, and starts counting.
func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"))
	b.mu.Lock()
	b.requests, b.bytes = nil, 0
	b.mu.Unlock()
	b.do(chromedp.Navigate(address))
	b.until(`!document.querySelector('script[src*="wait.js"]') || performance.getEntriesByType("resource").some((e) => e.name.includes("?part"))`)
}

func (b *tab) traffic() ([]string, float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, b.bytes
}

// smallTargets finds what is too small for a thumb; links within sentences may be small.
const smallTargets = `[...document.querySelectorAll("a, button, input:not([type=hidden]), textarea, label.tick, label.choice, summary")]
	.filter((e) => !e.closest(".aside, .skip") && !e.classList.contains("skip") && !["checkbox", "radio"].includes(e.type) && e.offsetParent)
	.filter((e) => { const r = e.getBoundingClientRect(); return r.height < 43.5 || r.width < 43.5; })
	.map((e) => e.outerHTML.slice(0, 120))`

// Every page in every language on a phone of 360 × 740: accessible, light,
// without anything of a third party, and nothing to scroll sideways. Run with
// -artifacts to keep the pictures.
func TestPagesInChromium(t *testing.T) {
	b := newTab(t, chromium.Open(t))
	for _, l := range ui.Languages {
		for _, s := range scenes {
			t.Run(string(l)+"/"+s.name, func(t *testing.T) {
				b.t = t
				w, person := s.arrange(t, l)
				b.be(person)
				b.open(person.base + Root + s.path)
				if !strings.HasPrefix(s.name, "call") {
					b.weigh(person.base)
				}
				b.accessible()
				for _, e := range eval[[]string](b, smallTargets) {
					t.Errorf("too small: %s", e)
				}
				b.picture(strings.ReplaceAll(t.Name(), "/", "-"))
				b.screen(320, 640)
				if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > 320 {
					t.Errorf("%d px wide on a screen of 320", wide)
				}
				b.screen(360, 740)
				if got := eval[string](b, "document.documentElement.lang"); got != l.Tag() || w == nil {
					t.Errorf("lang %q, want %q", got, l.Tag())
				}
			})
		}
	}
}

func (b *tab) weigh(base string) {
	b.t.Helper()
	requests, size := b.traffic()
	if len(requests) > 8 || size > 60<<10 {
		b.t.Errorf("%d requests, %.0f bytes; at most 8 and 60 KB: %v", len(requests), size, requests)
	}
	if len(requests) == 0 || size == 0 {
		b.t.Error("nothing was counted")
	}
	for _, r := range requests {
		if !strings.HasPrefix(r, base) {
			b.t.Errorf("a request to somebody else: %s", r)
		}
	}
}

// picture keeps what the screen shows, when the test is run with -artifacts.
func (b *tab) picture(name string) {
	b.t.Helper()
	if f := flag.Lookup("test.artifacts"); f == nil || f.Value.String() != "true" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// visible is a condition for until.
func visible(css string) string {
	q, _ := json.Marshal(css) // a string: cannot fail
	return fmt.Sprintf("document.querySelector(%s)?.checkVisibility()", q)
}

func TestWaitingRoomChangesByItself(t *testing.T) {
	w, person, _ := waitingPatient(t)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(person.base + Root + "appointments/a1")
	eval[chromedp.Void](b, "window.same = true")
	b.click("#sound")
	b.until(`document.getElementById("sound").getAttribute("aria-pressed") === "true"`)

	v := w.views["a1"]
	v.QueuePlace = 1
	w.put(aminah, v)
	b.until(`document.querySelector("#live .big").textContent === "Giliran anda seterusnya."`)
	w.write(aminah, "Lewat", "Doktor lewat sedikit.")
	b.until(`document.getElementById("live").textContent.includes("Doktor lewat sedikit.")`)
	v.State, v.Present = consult.Ready, people[:1]
	w.put(aminah, v)
	b.until(visible("#join"))
	b.until(`document.title === "● Sedia – RekodSaya"`)
	if got := eval[string](b, `document.getElementById("say").textContent`); !strings.Contains(got, "Dr. Lim Mei Ling sudah sedia") {
		t.Errorf("a screen reader hears %q", got)
	}
	if !eval[bool](b, "window.same === true") {
		t.Error("the page was loaded again")
	}
	v.State = consult.Cancelled
	w.put(aminah, v)
	b.until(`document.querySelector("[data-phase=cancelled]")`)
}

func TestCheckInOpensByItself(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	v := w.booking("a1", 31)
	v.CheckIn, v.Opens = consult.TooEarly, w.now.Add(time.Second)
	w.put(aminah, v)
	person := newBrowser(t, srv.URL)
	person.signIn(aminah)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(srv.URL + Root + "appointments/a1")
	v.CheckIn = consult.Open
	w.mu.Lock()
	w.views["a1"] = v // the clock alone changed it: no signal
	w.mu.Unlock()
	b.until(visible(`a[href$="/check-in"]`))
}

func TestReturnAfterSleepAndOutage(t *testing.T) {
	w, person, p := waitingPatient(t)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(person.base + Root + "appointments/a1")
	v := w.views["a1"]
	v.State = consult.Ready
	w.mu.Lock()
	w.views["a1"] = v // no signal: it was lost
	w.mu.Unlock()
	if got := eval[string](b, `document.querySelector("[data-phase]").dataset.phase`); got != "waiting" {
		t.Fatalf("phase %s", got)
	}
	p.Stop() // every stream ends, as when a phone sleeps or a node is replaced
	b.until(visible("#join"))
}

func TestDeviceTest(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	person := newBrowser(t, srv.URL)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(srv.URL + Root + "device-test")
	b.click("#start")
	b.until(visible(`[data-result="camera"]`))
	b.until(visible(`[data-result="mic"]`))
	b.click("#play")
	b.until(visible("#heard"))
	b.click("#no")
	b.until(visible(`[data-result="nospeaker"]`))
	b.click("#yes")
	b.until(visible(`[data-result="speaker"]`))
	b.accessible()
	b.picture("device-works")
}

func TestDeviceTestWhenRefused(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	person := newBrowser(t, srv.URL)
	b := newTab(t, chromium.OpenRefusing(t))
	b.be(person)
	b.open(srv.URL + Root + "device-test?lang=en")
	b.click("#start")
	b.until(visible(`[data-advice="refused"]`))
	b.accessible()
	b.picture("device-refused")
	if eval[bool](b, visible("#results")) {
		t.Error("results are shown without a camera")
	}
}

func TestCallPage(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.Ready, false })(w)
	person := newBrowser(t, srv.URL)
	person.signIn(aminah)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(srv.URL + Root + "appointments/a1")
	b.click("#join")
	b.until(visible("#joined"))
	b.until(`document.getElementById("present").textContent.includes("Menunggu Dr. Lim Mei Ling")`)

	v := w.views["a1"]
	v.State, v.Present = consult.InCall, []meeting.Person{people[0]}
	w.put(aminah, v)
	b.until(`document.getElementById("present").textContent.includes("Dalam panggilan: Dr. Lim Mei Ling")`)

	eval[chromedp.Void](b, `postMessage({ source: "jumpa-room", event: "ended" }, "*")`) // not from the room
	eval[chromedp.Void](b, `document.getElementById("room").contentWindow.say("nonsense")`)
	eval[chromedp.Void](b, `document.getElementById("room").contentWindow.say("left")`)
	b.until(visible("#left"))
	b.until(`document.activeElement.id === "rejoin"`)
	b.picture("call-left")
	b.click("#rejoin")
	b.until(visible("#joined"))
	eval[chromedp.Void](b, `document.getElementById("room").contentWindow.say("failed")`)
	b.until(visible("#failed"))
	b.click("#rejoin")
	b.until(visible("#joined"))
	v.State = consult.Finished
	w.put(aminah, v)
	b.until(`location.pathname === "/rekodsaya/appointments/a1" && document.querySelector("[data-phase=finished]")`)
	if res := person.get(Root + "appointments/a1/call"); res.status != http.StatusOK || res.path != Root+"appointments/a1" {
		t.Errorf("the call is still there: %d %s", res.status, res.path)
	}
}

// onJitsi is a patient who may join a call that takes place on a Jitsi.
func onJitsi(t *testing.T) (*jitsitest.Web, *world, *browser) {
	t.Helper()
	jitsi := jitsitest.NewWeb()
	t.Cleanup(jitsi.Close)
	w := newWorld()
	w.joinURL = jitsi.URL + "/vc-abc" + preset.Fragment("aaaa.bbbb.cccc", meeting.Patient)
	srv, _ := w.serve(t, func(o *Options) { o.RoomOrigin = jitsi.URL })
	at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.Ready, false })(w)
	person := newBrowser(t, srv.URL)
	person.signIn(aminah)
	return jitsi, w, person
}

func TestCallOnJitsi(t *testing.T) {
	jitsi, _, person := onJitsi(t)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(person.base + Root + "appointments/a1/call")
	b.until(visible("#joined"))
	for script, want := range map[string]string{
		"jitsi.domain":         strings.TrimPrefix(jitsi.URL, "http://"),
		"jitsi.given.roomName": "vc-abc",
		"jitsi.given.jwt":      "aaaa.bbbb.cccc",
		"jitsi.given.lang":     "id",
		"jitsi.given.configOverwrite.toolbarButtons.join()":     "microphone,camera,chat,settings,hangup",
		"String(jitsi.given.configOverwrite.p2p.enabled)":       "true",
		"String(jitsi.given.configOverwrite.giphy.enabled)":     "false",
		"String(jitsi.given.configOverwrite.gravatar.disabled)": "true",
	} {
		if got := eval[string](b, script); got != want {
			t.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	b.accessible()
	for _, e := range eval[[]string](b, smallTargets) {
		t.Errorf("too small: %s", e)
	}
	b.picture("call-jitsi")
	// What is not the video system's own is light, and no address has the token.
	requests, _ := b.traffic()
	ours := 0
	for _, r := range requests {
		if strings.HasPrefix(r, person.base) {
			ours++
		}
		if strings.Contains(r, "bbbb") {
			t.Errorf("a request shows the token: %s", r)
		}
	}
	size := eval[float64](b, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
		.filter((e) => e.name.startsWith(location.origin)).reduce((sum, e) => sum + e.transferSize, 0)`)
	if ours == 0 || ours > 8 || size == 0 || size > 60<<10 {
		t.Errorf("%d requests of ours with %.0f bytes; at most 8 and 60 KB: %v", ours, size, requests)
	}
	for _, q := range jitsi.Asked() {
		if strings.Contains(q, "bbbb") {
			t.Errorf("the log of the video system shows the token: %s", q)
		}
	}

	eval[chromedp.Void](b, `jitsi.tell("errorOccurred", { name: "gum.general", isFatal: false })`)
	eval[chromedp.Void](b, `jitsi.tell("videoConferenceLeft", {})`)
	b.until(visible("#connecting"))
	eval[chromedp.Void](b, `jitsi.tell("readyToClose", {})`)
	b.until(`location.pathname === "/rekodsaya/appointments/a1" && document.querySelector("#join")`)
	b.click("#join")
	b.until(visible("#joined"))
	eval[chromedp.Void](b, `jitsi.tell("errorOccurred", { error: { name: "conference.destroyed", isFatal: true } })`)
	b.until(`location.pathname === "/rekodsaya/appointments/a1" && document.querySelector("#join")`)
	b.click("#join")
	b.until(visible("#joined"))
	eval[chromedp.Void](b, `jitsi.tell("errorOccurred", { name: "conference.connectionError", isFatal: true })`)
	b.until(visible("#failed"))
	b.until(visible("#tab"))
	b.accessible()
}

func TestACallThatCannotBeEmbeddedOpensInATab(t *testing.T) {
	jitsi, w, person := onJitsi(t)
	jitsi.Leave(true)
	b := newTab(t, chromium.Open(t))
	b.be(person)
	b.open(person.base + Root + "appointments/a1/call?lang=en")
	b.open(person.base + Root + "appointments/a1/call")
	b.until(visible("#failed"))
	b.accessible()
	if href := eval[string](b, `document.getElementById("tab").getAttribute("href")`); href != Root+"appointments/a1/call/tab" {
		t.Errorf("the link leads to %s", href)
	}
	jitsi.Leave(false)
	b.do(chromedp.Navigate(person.base + Root + "appointments/a1/call/tab"))
	b.until(`location.origin === "` + jitsi.URL + `" && location.pathname === "/vc-abc" && location.search === "?lang=en" && location.hash.includes("aaaa.bbbb.cccc")`)
	v := w.views["a1"]
	v.State = consult.Finished
	w.put(aminah, v)
	if a := person.get(Root + "appointments/a1/call/tab"); a.path != Root+"appointments/a1" {
		t.Errorf("after the end the link leads to %s", a.path)
	}
}
