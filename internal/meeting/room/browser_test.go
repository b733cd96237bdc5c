package room_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
)

// browse starts a Chromium with a camera that shows a test picture and a
// microphone that beeps. granted false leaves the question for them open, which
// a browser without a window answers with no.
func browse(t *testing.T, granted bool) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
	)
	if granted {
		options = append(options, chromedp.Flag("use-fake-ui-for-media-stream", true))
	}
	allocator, stop := chromedp.NewExecAllocator(ctxOf(t), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab opens address for a person of its own: nothing is shared with other tabs.
func tab(t *testing.T, browser context.Context, address string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	do(t, ctx, chromedp.Navigate(address))
	return ctx
}

func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func eval[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

// until waits in the page for the condition, a JavaScript expression that may await.
func until(t *testing.T, ctx context.Context, what, condition string) {
	t.Helper()
	script := fmt.Sprintf(`(async () => { for (let i = 0; i < 300; i++) { if (await (async () => %s)()) return true; await new Promise(r => setTimeout(r, 50)); } return false; })()`, condition)
	if !eval[bool](t, ctx, script) {
		t.Fatalf("%s; the page says %q and %s", what, eval[string](t, ctx, `document.body.innerText`), eval[string](t, ctx, `(async () => JSON.stringify(await jumpaRoom.stats()))()`))
	}
}

const mediaFlows = `{ const s = await jumpaRoom.stats(); return s.framesDecoded > 5 && s.audioBytesReceived > 500; }`

func TestTwoPagesSeeAndHearEachOtherAndOneReloads(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	browser := browse(t, true)
	doctor := tab(t, browser, h.link(t, "vc-one", "doctor", meeting.Practitioner))
	patient := tab(t, browser, h.link(t, "vc-one", "patient", meeting.Patient))
	until(t, doctor, "no media for the doctor", mediaFlows)
	until(t, patient, "no media for the patient", mediaFlows)
	for _, page := range []context.Context{doctor, patient} {
		if address := eval[string](t, page, `location.href`); strings.Contains(address, "jwt") {
			t.Error("the JWT is still in the address bar")
		}
	}
	until(t, doctor, "the patient has no tile", `document.querySelector("#tiles").innerText.includes("Name of patient")`)

	seat := eval[string](t, patient, `(async () => (await jumpaRoom.stats()).seat)()`)
	do(t, patient, chromedp.Reload())
	until(t, patient, "no media after the reload", mediaFlows)
	if again := eval[string](t, patient, `(async () => (await jumpaRoom.stats()).seat)()`); again != seat {
		t.Errorf("seat %q after the reload, %q before", again, seat)
	}
	frames := eval[int](t, doctor, `(async () => (await jumpaRoom.stats()).bySeat["`+seat+`"].framesDecoded)()`)
	until(t, doctor, "the doctor does not see the patient again", fmt.Sprintf(`(await jumpaRoom.stats()).bySeat[%q].framesDecoded > %d`, seat, frames+5))
	if n := eval[int](t, doctor, `document.querySelectorAll("#tiles > li").length`); n != 2 {
		t.Errorf("the doctor sees %d tiles", n)
	}
	h.clinic.await(t, "joined doctor", "joined patient")

	do(t, doctor, chromedp.Click(chromedp.ID("end")), chromedp.Click(chromedp.ID("confirm-yes")))
	for _, page := range []context.Context{doctor, patient} {
		until(t, page, "the end is not shown", `document.getElementById("finished-title").innerText === "The call has ended"`)
	}
	h.clinic.await(t, "joined doctor", "joined patient", "end doctor", "left doctor", "left patient")
}

func TestPageButtons(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	browser := browse(t, true)
	doctor := tab(t, browser, h.link(t, "vc-one", "doctor", meeting.Practitioner))
	until(t, doctor, "no media", mediaFlows)
	waitMedia(t, patient, 1)
	seat := eval[string](t, doctor, `(async () => (await jumpaRoom.stats()).seat)()`)
	sees := func(what string, ok func(headless.PersonStats) bool) {
		t.Helper()
		wait(t, patient, what, func(s headless.Stats) bool { return ok(s.People[seat]) })
	}
	do(t, doctor, chromedp.Click(chromedp.ID("microphone")), chromedp.Click(chromedp.ID("camera")))
	sees("both off", func(p headless.PersonStats) bool { return !p.Audio && !p.Video })
	off := patient.Stats().People[seat]
	do(t, doctor, chromedp.Click(chromedp.ID("microphone")), chromedp.Click(chromedp.ID("camera")))
	sees("both on and flowing", func(p headless.PersonStats) bool {
		return p.Audio && p.Video && p.AudioPackets > off.AudioPackets+5 && p.Frames > off.Frames+5
	})
	do(t, doctor, chromedp.Click(chromedp.ID("mute-all")), chromedp.Click(chromedp.ID("confirm-yes")))
	wait(t, patient, "muted", func(s headless.Stats) bool { return !s.Audio })
	until(t, doctor, "the mute is not shown", `document.getElementById("tiles").innerText.includes("microphone off")`)
	do(t, doctor, chromedp.Click(chromedp.ID("sound-only")))
	sees("sound only", func(p headless.PersonStats) bool { return p.Audio && !p.Video })
	do(t, doctor, chromedp.Click(chromedp.ID("show-people")), chromedp.Click(chromedp.CSS("#people button")), chromedp.Click(chromedp.ID("confirm-yes")))
	waitEnded(t, patient, "removed")
	until(t, doctor, "the removed person is not listed", `!document.getElementById("removed-block").hidden`)
	do(t, doctor, chromedp.Click(chromedp.ID("leave")))
	until(t, doctor, "leaving is not shown", `document.getElementById("finished-title").innerText === "You have left the call"`)
	do(t, doctor, chromedp.Click(chromedp.ID("again")))
	until(t, doctor, "no way back", `document.querySelectorAll("#tiles > li").length === 1`)
}

func TestPageWithoutDevicesJoinsAndSaysSo(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	page := tab(t, browse(t, false), h.link(t, "vc-one", "patient", meeting.Patient))
	until(t, page, "the page does not receive", mediaFlows)
	until(t, page, "the refusal is not explained", `document.getElementById("notice").innerText.includes("not allowed")`)
	wait(t, doctor, "the person is there, without sound and picture", func(s headless.Stats) bool {
		for _, p := range s.People {
			return !p.Audio && !p.Video && !p.Away
		}
		return false
	})
}

func TestPageComesBackAfterALostNetwork(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	page := tab(t, browse(t, true), h.link(t, "vc-one", "patient", meeting.Patient))
	until(t, page, "no media", mediaFlows)
	waitMedia(t, doctor, 1)
	// The exchange goes away and comes back, as after a restart.
	h.room.Stop()
	until(t, page, "the loss is not shown", `document.getElementById("status").innerText.includes("Reconnecting")`)
	if err := h.room.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	waitMedia(t, again, 1)
	until(t, page, "the page is not connected again", `document.getElementById("status").innerText === "Connected" && (await jumpaRoom.stats()).framesDecoded > 5`)
}

func TestFramedPageTellsItsParent(t *testing.T) {
	var outside *httptest.Server
	h := newHouse(t, func(o *room.Options) {
		outside = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><body><script>window.seen = []; addEventListener("message", e => seen.push(e.data.source + " " + e.data.event + " " + e.data.reason));</script></body>`)
		}))
		o.FrameAncestors = []string{outside.URL}
	})
	t.Cleanup(outside.Close)
	h.clinic.activate()
	page := tab(t, browse(t, true), outside.URL)
	frame := func(link string) {
		eval[bool](t, page, fmt.Sprintf(`(() => { const f = document.createElement("iframe"); f.allow = "camera; microphone"; f.width = 400; f.height = 600; f.src = %q; document.body.replaceChildren(f); return true; })()`, link))
	}
	frame(h.link(t, "vc-one", "doctor", meeting.Practitioner))
	said := func(want string) {
		t.Helper()
		script := fmt.Sprintf(`(async () => { for (let i = 0; i < 200 && !seen.includes(%q); i++) await new Promise(r => setTimeout(r, 50)); return seen.join(", "); })()`, want)
		if got := eval[string](t, page, script); !strings.Contains(got, want) {
			t.Fatalf("the frame said %q, want %q", got, want)
		}
	}
	said("jumpa-room joined ")
	if err := h.room.End(ctxOf(t), "vc-one"); err != nil {
		t.Fatal(err)
	}
	said("jumpa-room ended ended")
	frame(h.url + "/room/vc-two")
	said("jumpa-room failed invalid")
}

func TestNarrowPageFits(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	browser := browse(t, true)
	for _, lang := range []string{"en", "ms", "zh", "ta"} {
		link := strings.Replace(h.link(t, "vc-one", "doctor", meeting.Practitioner), "#", "?lang="+lang+"#", 1)
		page := tab(t, browser, "about:blank")
		do(t, page, chromedp.EmulateViewport(360, 640), chromedp.Navigate(link))
		until(t, page, "no media", mediaFlows)
		if got := eval[string](t, page, `document.documentElement.lang`); got != lang {
			t.Errorf("language is %s, want %s", got, lang)
		}
		small := eval[string](t, page, `[...document.querySelectorAll("button")].filter(b => b.offsetParent && (b.offsetHeight < 48 || b.offsetWidth < 48 || b.scrollWidth > b.clientWidth + 1 || !b.innerText.trim())).map(b => b.id).join(" ")`)
		if small != "" {
			t.Errorf("%s: too small or too full: %s", lang, small)
		}
		if eval[bool](t, page, `document.documentElement.scrollWidth > 360`) {
			t.Errorf("%s: the page is wider than the screen", lang)
		}
		if tiles := eval[float64](t, page, `document.getElementById("tiles").offsetHeight`); tiles < 200 {
			t.Errorf("%s: only %v pixels are left for the pictures", lang, tiles)
		}
	}
}
