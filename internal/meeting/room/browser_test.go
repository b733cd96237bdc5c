package room_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/test/browser"
)

// enter opens address for a person of its own. When the test fails, it tells
// what this person's page knows of the call.
func enter(t *testing.T, chromium context.Context, address string) context.Context {
	t.Helper()
	page := browser.Tab(t, chromium, 800, 600, address)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(page, 5*time.Second)
		defer cancel()
		stats, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(async () => JSON.stringify(await jumpaRoom.stats()))()`, chromedp.EvalAwaitPromise))
		t.Logf("the page of %s: %s %v", strings.Split(address, "#")[0], stats, err)
	})
	return page
}

const mediaFlows = `{ const s = await jumpaRoom.stats(); return s.framesDecoded > 5 && s.audioBytesReceived > 500; }`

func TestTwoPagesSeeAndHearEachOtherAndOneReloads(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	chromium := browser.Open(t)
	doctor := enter(t, chromium, h.link(t, "vc-one", "doctor", meeting.Practitioner))
	patient := enter(t, chromium, h.link(t, "vc-one", "patient", meeting.Patient))
	browser.Until(t, doctor, "no media for the doctor", mediaFlows)
	browser.Until(t, patient, "no media for the patient", mediaFlows)
	for _, page := range []context.Context{doctor, patient} {
		if address := browser.Eval[string](t, page, `location.href`); strings.Contains(address, "jwt") {
			t.Error("the JWT is still in the address bar")
		}
	}
	browser.Until(t, doctor, "the patient has no tile", `document.querySelector("#tiles").innerText.includes("Name of patient")`)

	seat := browser.Eval[string](t, patient, `(async () => (await jumpaRoom.stats()).seat)()`)
	browser.Do(t, patient, chromedp.Reload())
	browser.Until(t, patient, "no media after the reload", mediaFlows)
	if again := browser.Eval[string](t, patient, `(async () => (await jumpaRoom.stats()).seat)()`); again != seat {
		t.Errorf("seat %q after the reload, %q before", again, seat)
	}
	frames := browser.Eval[int](t, doctor, `(async () => (await jumpaRoom.stats()).bySeat["`+seat+`"].framesDecoded)()`)
	browser.Until(t, doctor, "the doctor does not see the patient again", fmt.Sprintf(`(await jumpaRoom.stats()).bySeat[%q].framesDecoded > %d`, seat, frames+5))
	if n := browser.Eval[int](t, doctor, `document.querySelectorAll("#tiles > li").length`); n != 2 {
		t.Errorf("the doctor sees %d tiles", n)
	}
	h.clinic.await(t, "joined doctor", "joined patient")

	browser.Click(t, doctor, "#end")
	browser.Click(t, doctor, "#confirm-yes")
	for _, page := range []context.Context{doctor, patient} {
		browser.Until(t, page, "the end is not shown", `document.getElementById("finished-title").innerText === "The call has ended"`)
	}
	h.clinic.await(t, "joined doctor", "joined patient", "end doctor", "left doctor", "left patient")
}

func TestPageButtons(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	chromium := browser.Open(t)
	doctor := enter(t, chromium, h.link(t, "vc-one", "doctor", meeting.Practitioner))
	browser.Until(t, doctor, "no media", mediaFlows)
	waitMedia(t, patient, 1)
	seat := browser.Eval[string](t, doctor, `(async () => (await jumpaRoom.stats()).seat)()`)
	sees := func(what string, ok func(headless.PersonStats) bool) {
		t.Helper()
		wait(t, patient, what, func(s headless.Stats) bool { return ok(s.People[seat]) })
	}
	browser.Click(t, doctor, "#microphone")
	browser.Click(t, doctor, "#camera")
	sees("both off", func(p headless.PersonStats) bool { return !p.Audio && !p.Video })
	off := patient.Stats().People[seat]
	browser.Click(t, doctor, "#microphone")
	browser.Click(t, doctor, "#camera")
	sees("both on and flowing", func(p headless.PersonStats) bool {
		return p.Audio && p.Video && p.AudioPackets > off.AudioPackets+5 && p.Frames > off.Frames+5
	})
	browser.Click(t, doctor, "#mute-all")
	browser.Click(t, doctor, "#confirm-yes")
	wait(t, patient, "muted", func(s headless.Stats) bool { return !s.Audio })
	browser.Until(t, doctor, "the mute is not shown", `document.getElementById("tiles").innerText.includes("microphone off")`)
	browser.Click(t, doctor, "#sound-only")
	sees("sound only", func(p headless.PersonStats) bool { return p.Audio && !p.Video })
	browser.Click(t, doctor, "#show-people")
	browser.Click(t, doctor, "#people button")
	browser.Click(t, doctor, "#confirm-yes")
	waitEnded(t, patient, "removed")
	browser.Until(t, doctor, "the removed person is not listed", `!document.getElementById("removed-block").hidden`)
	browser.Click(t, doctor, "#leave")
	browser.Until(t, doctor, "leaving is not shown", `document.getElementById("finished-title").innerText === "You have left the call"`)
	browser.Click(t, doctor, "#again")
	browser.Until(t, doctor, "no way back", `document.querySelectorAll("#tiles > li").length === 1`)
}

func TestPageWithoutDevicesJoinsAndSaysSo(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	page := enter(t, browser.OpenRefusing(t), h.link(t, "vc-one", "patient", meeting.Patient))
	browser.Until(t, page, "the page does not receive", mediaFlows)
	browser.Until(t, page, "the refusal is not explained", `document.getElementById("notice").innerText.includes("not allowed")`)
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
	page := enter(t, browser.Open(t), h.link(t, "vc-one", "patient", meeting.Patient))
	browser.Until(t, page, "no media", mediaFlows)
	waitMedia(t, doctor, 1)
	// The exchange goes away and comes back, as after a restart.
	h.room.Stop()
	browser.Until(t, page, "the loss is not shown", `document.getElementById("status").innerText.includes("Reconnecting")`)
	if err := h.room.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	waitMedia(t, again, 1)
	browser.Until(t, page, "the page is not connected again", `document.getElementById("status").innerText === "Connected" && (await jumpaRoom.stats()).framesDecoded > 5`)
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
	page := enter(t, browser.Open(t), outside.URL)
	frame := func(link string) {
		browser.Eval[bool](t, page, fmt.Sprintf(`(() => { const f = document.createElement("iframe"); f.allow = "camera; microphone"; f.width = 400; f.height = 600; f.src = %q; document.body.replaceChildren(f); return true; })()`, link))
	}
	frame(h.link(t, "vc-one", "doctor", meeting.Practitioner))
	said := func(want string) {
		t.Helper()
		script := fmt.Sprintf(`(async () => { for (let i = 0; i < 200 && !seen.includes(%q); i++) await new Promise(r => setTimeout(r, 50)); return seen.join(", "); })()`, want)
		if got := browser.Eval[string](t, page, script); !strings.Contains(got, want) {
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
	chromium := browser.Open(t)
	for _, lang := range []string{"en", "ms", "zh", "ta"} {
		link := strings.Replace(h.link(t, "vc-one", "doctor", meeting.Practitioner), "#", "?lang="+lang+"#", 1)
		page := enter(t, chromium, "about:blank")
		browser.Do(t, page, chromedp.EmulateViewport(360, 640), chromedp.Navigate(link))
		browser.Until(t, page, "no media", mediaFlows)
		if got := browser.Eval[string](t, page, `document.documentElement.lang`); got != lang {
			t.Errorf("language is %s, want %s", got, lang)
		}
		small := browser.Eval[string](t, page, `[...document.querySelectorAll("button")].filter(b => b.offsetParent && (b.offsetHeight < 48 || b.offsetWidth < 48 || b.scrollWidth > b.clientWidth + 1 || !b.innerText.trim())).map(b => b.id).join(" ")`)
		if small != "" {
			t.Errorf("%s: too small or too full: %s", lang, small)
		}
		if browser.Eval[bool](t, page, `document.documentElement.scrollWidth > 360`) {
			t.Errorf("%s: the page is wider than the screen", lang)
		}
		if tiles := browser.Eval[float64](t, page, `document.getElementById("tiles").offsetHeight`); tiles < 200 {
			t.Errorf("%s: only %v pixels are left for the pictures", lang, tiles)
		}
	}
}
