package portal

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

// scene is a page in a certain situation.
type scene struct {
	name, path string
	out        bool // nobody is signed in
	coded      bool // a code was asked for
	status     int  // 200 when 0
	set        func(w *world)
}

func at(id string, change func(v *consult.View)) func(w *world) {
	return func(w *world) {
		v := w.booking(id, 10)
		change(&v)
		w.put(aminah, v)
	}
}

var people = []meeting.Person{
	{ID: "p1", Name: "Dr. Lim Mei Ling", Role: meeting.Practitioner},
	{ID: "p2", Name: "Siti Rahmah", Role: meeting.Patient},
}

// scenes are all pages in all their situations.
var scenes = []scene{
	{name: "sign-in", path: "sign-in", out: true},
	{name: "sign-in-wrong", path: "sign-in?m=identity", out: true},
	{name: "activate", path: "activate", out: true},
	{name: "code", path: "sign-in/code", out: true, coded: true},
	{name: "code-wrong", path: "sign-in/code?m=code", out: true, coded: true},
	{name: "dev-inbox", path: "dev/inbox", out: true, coded: true},
	{name: "terms", path: "terms", out: true},
	{name: "list-none", path: "appointments"},
	{name: "list", path: "appointments", set: func(w *world) {
		w.put(aminah, w.booking("a-today", 10))
		at("a-ready", func(v *consult.View) { v.State, v.Title = consult.Ready, "Kaunseling Pemakanan" })(w)
		early := w.booking("a-coming", 60*24+20)
		early.CheckIn, early.Group = consult.TooEarly, true
		w.put(aminah, early)
		past := w.booking("a-past", -60*24*3)
		past.State, past.CanCancel = consult.Finished, false
		w.put(aminah, past)
		missed := w.booking("a-missed", -60*24*30)
		missed.State, missed.CanCancel = consult.NoShow, false
		w.put(aminah, missed)
		w.write(aminah, "Ubat anda", "Sila bawa senarai ubat anda.")
	}},
	{name: "early", path: "appointments/a1", set: func(w *world) {
		v := w.booking("a1", 60*24*2)
		v.CheckIn = consult.TooEarly
		w.put(aminah, v)
	}},
	{name: "open", path: "appointments/a1", set: at("a1", func(*consult.View) {})},
	{name: "over", path: "appointments/a1", set: func(w *world) {
		v := w.booking("a1", -60)
		v.CheckIn = consult.Over
		w.put(aminah, v)
	}},
	{name: "consent", path: "appointments/a1/check-in", set: at("a1", func(*consult.View) {})},
	{name: "consent-group", path: "appointments/a1/check-in?m=consent", set: at("a1", func(v *consult.View) { v.Group = true })},
	{name: "waiting", path: "appointments/a1", set: func(w *world) {
		at("a1", func(v *consult.View) { v.State, v.CheckedIn, v.QueuePlace = consult.Waiting, w.now, 3 })(w)
		w.write(aminah, "Lewat sedikit", "Doktor lewat 10 minit. Harap maaf.")
	}},
	{name: "waiting-next", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.CheckedIn, v.QueuePlace = consult.Waiting, morning, 1 })},
	{name: "waiting-group", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.Group, v.CheckedIn = consult.Waiting, true, morning })},
	{name: "ready", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.Present = consult.Ready, people[:1] })},
	{name: "ready-group", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.Group, v.Present = consult.Ready, true, people })},
	{name: "in-call", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.Present, v.CanCancel = consult.InCall, people[:1], false })},
	{name: "call", path: "appointments/a1/call", set: at("a1", func(v *consult.View) { v.State, v.Present = consult.Ready, people[:1] })},
	{name: "call-group", path: "appointments/a1/call", set: at("a1", func(v *consult.View) { v.State, v.Group, v.Present = consult.InCall, true, people })},
	{name: "finished", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.Finished, false })},
	{name: "rated", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.Rated, v.CanCancel, v.Group = consult.Finished, true, false, true })},
	{name: "cancelled", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.Cancelled, false })},
	{name: "no-show", path: "appointments/a1", set: at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.NoShow, false })},
	{name: "abandoned", path: "appointments/a1", set: at("a1", func(v *consult.View) {
		*v = consult.View{Appointment: "a1", State: consult.Abandoned, Start: v.Start, End: v.End}
	})},
	{name: "cancel", path: "appointments/a1/cancel", set: at("a1", func(*consult.View) {})},
	{name: "changed", path: "appointments/a1?m=changed", set: at("a1", func(*consult.View) {})},
	{name: "inbox-none", path: "inbox"},
	{name: "inbox", path: "inbox", set: func(w *world) {
		w.write(aminah, "Keputusan darah", "Keputusan anda sudah ada. Doktor akan menerangkannya.")
		_ = w.MarkRead(context.Background(), principal(aminah))
		w.write(aminah, "Sesi anda sudah bermula", "Buka RekodSaya untuk menyertai sesi.")
	}},
	{name: "device-test", path: "device-test"},
	{name: "not-found", path: "nowhere", status: http.StatusNotFound},
	{name: "fault", path: "appointments/a1", status: http.StatusInternalServerError, set: func(w *world) { w.broken = errDisk }},
}

// arrange makes a world and a browser for a scene.
func (s scene) arrange(t *testing.T, l ui.Lang) (*world, *browser) {
	t.Helper()
	w := newWorld()
	srv, _ := w.serve(t)
	b := newBrowser(t, srv.URL)
	b.get(Root + "sign-in?lang=" + string(l))
	switch {
	case s.coded:
		b.submit(Root+"sign-in", Root+"sign-in", "identity", aminah)
	case !s.out:
		b.signIn(aminah)
	}
	if s.set != nil {
		s.set(w)
	}
	return w, b
}

func TestPagesInAllLanguages(t *testing.T) {
	leftover := regexp.MustCompile(`\{[a-z]+\}|<no value>|ZgotmplZ|%!`)
	for _, l := range ui.Languages {
		for _, s := range scenes {
			t.Run(string(l)+"/"+s.name, func(t *testing.T) {
				_, b := s.arrange(t, l)
				a := b.get(Root + s.path)
				want := s.status
				if want == 0 {
					want = http.StatusOK
				}
				if a.status != want || a.path != Root+s.path {
					t.Fatalf("status %d at %s, want %d", a.status, a.path, want)
				}
				if m := leftover.FindString(a.body); m != "" {
					t.Errorf("the page shows %q", m)
				}
				if !strings.Contains(a.body, `<html lang="`+l.Tag()+`">`) {
					t.Error("the page does not say its language")
				}
				if n := strings.Count(a.body, "<h1"); n != 1 {
					t.Errorf("%d first headings, want 1", n)
				}
				if got := a.header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control %q", got)
				}
				if strings.Contains(a.body, "Siti Rahmah") {
					t.Error("another patient's name is on the page")
				}
				if strings.Contains(a.body, aminah) || strings.Contains(a.body, errDisk.Error()) {
					t.Error("an identity number or the cause of a fault is on the page")
				}
				for _, form := range regexp.MustCompile(`(?s)<form.*?</form>`).FindAllString(a.body, -1) {
					if !hidden.MatchString(form) {
						t.Errorf("a form without a token: %s", form)
					}
				}
			})
		}
	}
}

// A whole visit in a browser without scripts, from the first activation.
func TestVisitWithoutScripts(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	w.put(raju, w.booking("a1", 10))
	b := newBrowser(t, srv.URL)

	a := b.get(Root + "appointments/a1")
	if !strings.HasPrefix(a.path, Root+"sign-in?") {
		t.Fatalf("signed out, the page is %s", a.path)
	}
	b.submit(Root+"sign-in", Root+"sign-in", "identity", "750505-10-5533")
	a = b.submit(Root+"sign-in/code", Root+"sign-in/code", "code", goodby)
	if a.path != Root+"activate?m=inactive" {
		t.Fatalf("an account that is not active leads to %s", a.path)
	}
	a = b.submit(Root+"activate", Root+"activate", "identity", raju)
	if a.path != Root+"activate?m=terms" {
		t.Fatalf("terms not accepted lead to %s", a.path)
	}
	b.submit(Root+"activate", Root+"activate", "identity", raju, "accept", "yes")
	a = b.submit(Root+"sign-in/code", Root+"sign-in/code", "code", "000000")
	if a.path != Root+"sign-in/code?m=code" {
		t.Fatalf("a wrong code leads to %s", a.path)
	}
	a = b.submit(Root+"sign-in/code", Root+"sign-in/code", "code", " 246 810 ")
	if a.path != Root+"appointments/a1" {
		t.Fatalf("after signing in the page is %s, want the one asked for", a.path)
	}

	a = b.submit(Root+"appointments/a1/check-in", Root+"appointments/a1/check-in")
	if a.path != Root+"appointments/a1/check-in?m=consent" || w.checkIns != 0 {
		t.Fatalf("no consent leads to %s, %d check-ins", a.path, w.checkIns)
	}
	form := url.Values{"csrf": {hidden.FindStringSubmatch(a.body)[1]}, "consent": {"yes"}}
	for range 2 { // a double tap
		a = b.post(Root+"appointments/a1/check-in", form)
		if a.path != Root+"appointments/a1" || w.checkIns != 1 {
			t.Fatalf("check-in leads to %s, %d check-ins", a.path, w.checkIns)
		}
	}
	if w.consents["a1"].Language != "ms" {
		t.Errorf("consent %+v", w.consents["a1"])
	}
	if !strings.Contains(a.body, `<noscript><meta http-equiv="refresh" content="15"></noscript>`) {
		t.Error("the waiting room does not reload by itself")
	}
	if !strings.Contains(a.body, "Anda nombor 2 dalam giliran.") {
		t.Error("the waiting room does not say the place in the queue")
	}

	v := w.views["a1"]
	v.State = consult.Ready
	w.put(raju, v)
	if a = b.get(Root + "appointments/a1"); !strings.Contains(a.body, `href="/rekodsaya/appointments/a1/call"`) {
		t.Error("no way into the call")
	}
	if a = b.get(Root + "appointments/a1/call"); !strings.Contains(a.body, `src="/room/?lang=ms#jwt=aaaa.bbbb.cccc" allow="camera; microphone; autoplay; display-capture"`) {
		t.Error("no room in the call page")
	}

	v.State, v.CanCancel = consult.Finished, false
	w.put(raju, v)
	if a = b.get(Root + "appointments/a1/call"); a.path != Root+"appointments/a1" {
		t.Errorf("the call of a finished visit leads to %s", a.path)
	}
	rating := Root + "appointments/a1/rating"
	if a = b.submit(Root+"appointments/a1", rating, "rating", "6"); a.path != Root+"appointments/a1?m=rating" {
		t.Errorf("rating 6 leads to %s", a.path)
	}
	if a = b.submit(Root+"appointments/a1", rating, "rating", "4", "remark", strings.Repeat("ந", 501)); a.path != Root+"appointments/a1?m=rating" {
		t.Errorf("a long remark leads to %s", a.path)
	}
	if a = b.submit(Root+"appointments/a1", rating, "rating", "4", "remark", " Baik "); w.ratings["a1"] != "4 Baik" {
		t.Errorf("rating %q at %s", w.ratings["a1"], a.path)
	}
	if a = b.submit(Root+"appointments", Root+"sign-out"); a.path != Root+"sign-in?m=bye" {
		t.Errorf("signing out leads to %s", a.path)
	}
	if a = b.get(Root + "appointments"); !strings.HasPrefix(a.path, Root+"sign-in") || len(w.sessions) != 0 {
		t.Errorf("signed out, the list is %s", a.path)
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	w.put(aminah, w.booking("a1", 10))
	in, out := newBrowser(t, srv.URL), newBrowser(t, srv.URL)
	in.signIn(aminah)
	out.submit(Root+"sign-in", Root+"sign-in", "identity", aminah)
	sent := len(w.sent)
	other := newBrowser(t, srv.URL)
	foreign := hidden.FindStringSubmatch(other.signIn(aminah).body)[1]
	sent++ // other's own

	for _, c := range []struct {
		b    *browser
		path string
	}{
		{in, "sign-out"}, {in, "appointments/a1/check-in"}, {in, "appointments/a1/cancel"}, {in, "appointments/a1/rating"}, {in, "inbox/read"},
		{out, "sign-in"}, {out, "activate"}, {out, "sign-in/code"}, {out, "sign-in/again"},
	} {
		for _, token := range []string{"", "csrf-", "guess", foreign} {
			form := url.Values{"csrf": {token}, "consent": {"yes"}, "identity": {aminah}, "accept": {"yes"}, "code": {goodby}, "rating": {"5"}}
			if a := c.b.post(Root+c.path, form); a.status != http.StatusForbidden {
				t.Errorf("%s with token %q: status %d, want 403", c.path, token, a.status)
			}
		}
	}
	if w.views["a1"].State != consult.Booked || len(w.ratings) != 0 || len(w.sessions) != 2 || len(w.sent) != sent {
		t.Errorf("something was done: %+v %v %d sessions, %d codes", w.views["a1"], w.ratings, len(w.sessions), len(w.sent))
	}
}

func TestPatientsSeeOnlyTheirOwn(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	w.put(raju, w.booking("hers-not", 10))
	b := newBrowser(t, srv.URL)
	csrf := hidden.FindStringSubmatch(b.signIn(aminah).body)[1]
	for _, path := range []string{"", "/check-in", "/cancel", "/call", "/present", "/events"} {
		if a := b.get(Root + "appointments/hers-not" + path); a.status != http.StatusNotFound {
			t.Errorf("GET %q: status %d", path, a.status)
		}
	}
	for _, path := range []string{"/check-in", "/cancel", "/rating"} {
		form := url.Values{"csrf": {csrf}, "consent": {"yes"}, "rating": {"1"}}
		if a := b.post(Root+"appointments/hers-not"+path, form); a.status != http.StatusNotFound {
			t.Errorf("POST %q: status %d", path, a.status)
		}
	}
	if a := b.get(Root + "appointments/..%2f..%2fsecret"); a.status != http.StatusNotFound {
		t.Errorf("an id that is none: status %d", a.status)
	}
	if w.views["hers-not"].State != consult.Booked {
		t.Error("somebody else's appointment was changed")
	}
}

func TestErrorsInTheLanguageOfThePatient(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	w.put(aminah, w.booking("a1", 10))
	b := newBrowser(t, srv.URL)
	b.signIn(aminah)
	b.get(Root + "appointments?lang=ta")
	csrf := hidden.FindStringSubmatch(b.get(Root + "appointments/a1/cancel").body)[1]

	w.broken = errDisk
	a := b.get(Root + "appointments/a1")
	if !regexp.MustCompile(`class="trace">[0-9a-f]{32}<`).MatchString(a.body) || !strings.Contains(a.body, "மன்னிக்கவும்") {
		t.Error("a fault does not show its number, or not in Tamil")
	}
	w.broken = nil
	clear(w.sessions)
	a = b.post(Root+"appointments/a1/cancel", url.Values{"csrf": {csrf}})
	if a.status != http.StatusUnauthorized || !strings.Contains(a.body, "மீண்டும் உள்நுழையுங்கள்") {
		t.Errorf("a form after the session's end: status %d", a.status)
	}
	if a = b.get(Root + "appointments/a1/events"); a.status != http.StatusUnauthorized {
		t.Errorf("a stream after the session's end: status %d", a.status)
	}
	if a = b.get(Root + "appointments/a1"); !strings.Contains(a.path, "m=ended") {
		t.Errorf("a page after the session's end leads to %s", a.path)
	}
	w.tries = 50
	a = b.submit(Root+"sign-in", Root+"sign-in", "identity", aminah)
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "அதிகமான முயற்சிகள்") {
		t.Errorf("too many tries: status %d", a.status)
	}
}

func TestRefusalShowsHowThingsStand(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	w.put(aminah, w.booking("a1", 10))
	b := newBrowser(t, srv.URL)
	b.signIn(aminah)
	csrf := hidden.FindStringSubmatch(b.get(Root + "appointments/a1/check-in").body)[1]
	v := w.views["a1"]
	v.State, v.CanCancel = consult.Cancelled, false // by the clinic, meanwhile
	w.put(aminah, v)
	for _, path := range []string{"/check-in", "/cancel"} {
		a := b.post(Root+"appointments/a1"+path, url.Values{"csrf": {csrf}, "consent": {"yes"}})
		if a.path != Root+"appointments/a1?m=changed" || !strings.Contains(a.body, "Temu janji ini telah dibatalkan.") {
			t.Errorf("%s leads to %s", path, a.path)
		}
	}
	if a := b.get(Root + "appointments/a1/check-in"); a.path != Root+"appointments/a1" {
		t.Errorf("the consent page of a cancelled appointment leads to %s", a.path)
	}
}

func TestExactTimes(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	v := w.booking("a1", 45)
	v.CheckIn = consult.TooEarly
	w.put(aminah, v)
	v = w.booking("a2", 60*24*2)
	v.CheckIn = consult.TooEarly
	w.put(aminah, v)
	b := newBrowser(t, srv.URL)
	b.signIn(aminah)
	for _, c := range []struct{ lang, id, want string }{
		{"ms", "a1", "Anda boleh daftar masuk mulai 10:30 pagi."},
		{"en", "a1", "You can check in from 10:30 am."},
		{"zh", "a1", "您可以从 上午 10:30 开始报到。"},
		{"ta", "a1", "காலை 10:30 முதல் நீங்கள் வருகையைப் பதிவு செய்யலாம்."},
		{"ms", "a2", "Anda boleh daftar masuk mulai Khamis, 26 November 2026, 9:45 pagi."},
		{"en", "a2", "You can check in from Thursday, 26 November 2026, 9:45 am."},
	} {
		b.get(Root + "appointments?lang=" + c.lang)
		a := b.get(Root + "appointments/" + c.id)
		if !strings.Contains(a.body, c.want) {
			t.Errorf("%s: no %q", c.lang, c.want)
		}
	}
	if a := b.get(Root + "appointments/a1"); !strings.Contains(a.body, `data-in="901"`) {
		t.Error("the page does not know when to look again")
	}
}

func TestCookies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		w := newWorld()
		srv, p := w.serve(t, func(o *Options) { o.Secure = secure })
		cookie, err := p.seal.shut(entry{Token: "tok", Login: aminah, Expires: w.now.Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(cookie, aminah) {
			t.Error("the identity number is readable in the cookie")
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+Root+"sign-in/code",
			strings.NewReader(url.Values{"csrf": {"tok"}, "code": {goodby}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.AddCookie(&http.Cookie{Name: entryCookie, Value: cookie})
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		found := false
		for _, c := range res.Cookies() {
			if c.Name == sessionCookie {
				found = c.HttpOnly && c.Secure == secure && c.SameSite == http.SameSiteLaxMode && c.Path == Root && c.Value != ""
			}
		}
		if !found {
			t.Errorf("secure %t: cookies %v", secure, res.Cookies())
		}
	}
}

func TestSealRefusesTampering(t *testing.T) {
	s, err := newSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.shut(entry{Login: aminah})
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := s.open(text); !ok || e.Login != aminah {
		t.Errorf("opened %+v, %t", e, ok)
	}
	for _, bad := range []string{"", "!", "AAAA", text[:len(text)-2], "A" + text[1:]} {
		if bad == text {
			continue
		}
		if _, ok := s.open(bad); ok {
			t.Errorf("%q was opened", bad)
		}
	}
}

func TestIdentityNumbersThatAreNone(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	for _, from := range []string{"sign-in", "activate"} {
		for _, typed := range []string{"", "   ", "123", strings.Repeat("9", 41)} {
			a := newBrowser(t, srv.URL).submit(Root+from, Root+from, "identity", typed, "accept", "yes")
			if a.path != Root+from+"?m=identity" {
				t.Errorf("%s with %q leads to %s", from, typed, a.path)
			}
		}
	}
	if len(w.sent) != 0 {
		t.Errorf("%d codes were sent", len(w.sent))
	}
}

func TestNextStaysHere(t *testing.T) {
	for next, want := range map[string]bool{
		Root + "appointments/a1": true, Root + "inbox": true, Root + "appointments": true,
		"": false, "//evil.example": false, "https://evil.example": false, Root + "../ops/": false, Root + "sign-out": false,
		Root + "appointments/../../ops": false, Root + "appointments\\evil": false, Root + "appointments?x": false,
	} {
		if got := own(next); got != want {
			t.Errorf("%q: %t", next, got)
		}
	}
}

func TestDemoInboxOnlyInDemoMode(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t, func(o *Options) { o.DevMessages = nil })
	b := newBrowser(t, srv.URL)
	b.submit(Root+"sign-in", Root+"sign-in", "identity", aminah)
	if a := b.get(Root + "dev/inbox"); a.status != http.StatusNotFound || strings.Contains(a.body, goodby) {
		t.Errorf("the codes are shown: status %d", a.status)
	}
	if a := b.get(Root + "sign-in/code"); strings.Contains(a.body, "dev/inbox") {
		t.Error("the page links to the codes")
	}
}

func TestUnknownPersonLooksLikeAnyOther(t *testing.T) {
	w := newWorld()
	srv, _ := w.serve(t)
	pages := map[string]string{}
	for _, login := range []string{aminah, "990909149999"} {
		b := newBrowser(t, srv.URL)
		a := b.submit(Root+"sign-in", Root+"sign-in", "identity", login)
		pages[login] = a.path + hidden.ReplaceAllString(a.body, "")
	}
	if pages[aminah] != pages["990909149999"] {
		t.Error("the page tells whether a number is known")
	}
}

// Only the page of the call lets the video system in.
func TestTheCallPageAloneEmbeds(t *testing.T) {
	const origin = "https://meet.example"
	for _, c := range []struct {
		name, origin, joinURL string
		page                  string
		frames, scripts       string
		camera                string
	}{
		{"our own calls", "", "/room/vc-a#jwt=x", "call", "frame-src 'self'", "script-src 'self';", "camera=(self)"},
		{"beside our own calls", "", "/room/vc-a#jwt=x", "", "frame-src 'none'", "script-src 'self';", "camera=(self)"},
		{"calls on Jitsi", origin, origin + "/vc-a#jwt=x", "call", "frame-src " + origin, "script-src 'self' " + origin + ";", `camera=(self "` + origin + `")`},
		{"beside calls on Jitsi", origin, origin + "/vc-a#jwt=x", "", "frame-src 'none'", "script-src 'self';", "camera=(self)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.joinURL = c.joinURL
			srv, _ := w.serve(t, func(o *Options) { o.RoomOrigin = c.origin })
			at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.Ready, false })(w)
			b := newBrowser(t, srv.URL)
			b.signIn(aminah)
			a := b.get(Root + "appointments/a1/" + c.page)
			if c.page == "" {
				a = b.get(Root + "appointments/a1")
			}
			csp := a.header.Get("Content-Security-Policy")
			if a.status != http.StatusOK || !strings.HasSuffix(csp, c.frames) || !strings.Contains(csp, c.scripts) || strings.Contains(csp, "unsafe") {
				t.Errorf("%d, policy %q", a.status, csp)
			}
			if pp := a.header.Get("Permissions-Policy"); !strings.Contains(pp, c.camera) {
				t.Errorf("permissions %q", pp)
			}
			if got := a.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("a page with credentials is kept: %q", got)
			}
		})
	}
}

func TestACallElsewhereIsNotEmbedded(t *testing.T) {
	w := newWorld()
	w.joinURL = "https://evil.example/vc-a#jwt=secret"
	srv, _ := w.serve(t, func(o *Options) { o.RoomOrigin = "https://meet.example" })
	at("a1", func(v *consult.View) { v.State, v.CanCancel = consult.Ready, false })(w)
	b := newBrowser(t, srv.URL)
	b.signIn(aminah)
	for _, page := range []string{"call", "call/tab"} {
		if a := b.get(Root + "appointments/a1/" + page); a.status != http.StatusInternalServerError || strings.Contains(a.body, "evil") {
			t.Errorf("%s: %d %s", page, a.status, a.path)
		}
	}
}

// A text that no page uses is a text that nobody keeps right.
func TestEveryTextIsUsed(t *testing.T) {
	texts, err := os.ReadFile(filepath.Join("..", "ui", "texts", "portal.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, pattern := range []string{"pages/*.html", "*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, n := range names {
			body, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(n, "_test.go") {
				all.Write(body)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\[(.+)\]$`).FindAllStringSubmatch(string(texts), -1) {
		if !strings.Contains(all.String(), `"`+m[1]+`"`) {
			t.Errorf("no page uses %q", m[1])
		}
	}
}
