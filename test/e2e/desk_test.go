package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/test/browser"
)

// clerk is somebody at the desk with a browser without scripts.
type clerk struct {
	*testing.T
	server string
	http   *http.Client
}

type answer struct {
	status int
	path   string
	body   string
}

func (h *hie) clerk() *clerk {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.Fatal(err)
	}
	return &clerk{h.T, h.app.URL(), &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func (c *clerk) do(req *http.Request, err error) answer {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Request.URL.Path, string(body)}
}

func (c *clerk) get(path string) answer {
	c.Helper()
	return c.do(http.NewRequestWithContext(c.Context(), http.MethodGet, c.server+path, nil))
}

func (c *clerk) post(path string, form url.Values) answer {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, c.server+path, strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return c.do(req, err)
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// submit fills in the form of a page.
func (c *clerk) submit(on, path string, pairs ...string) answer {
	c.Helper()
	found := csrfField.FindStringSubmatch(c.get(on).body)
	if found == nil {
		c.Fatalf("%s has no form", on)
	}
	form := url.Values{"csrf": {found[1]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.post(path, form)
}

func (c *clerk) signIn(who app.DemoPractitioner) answer {
	c.Helper()
	return c.submit("/desk/sign-in", "/desk/sign-in", "username", who.Username, "password", who.Password)
}

// want fails unless the answer has the status and holds every text.
func (a answer) want(t *testing.T, what string, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %d at %s, want %d", what, a.status, a.path, status)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s: the page lacks %q", what, text)
		}
	}
}

// soon gives a time of a form, in Malaysia.
func soon(ahead time.Duration) (date, clock string) {
	at := time.Now().In(ui.Malaysia).Add(ahead)
	return at.Format("2006-01-02"), at.Format("15:04")
}

func TestDeskKeepsStrangersOut(t *testing.T) {
	h := startWithout(t)
	who := h.cast.Practitioners[0]
	stranger := h.clerk()
	for _, path := range []string{"/desk/", "/desk/book", "/desk/group", "/desk/hours", "/desk/visits/x", "/desk/visits/x/call"} {
		if a := stranger.get(path); a.path != "/desk/sign-in" {
			t.Errorf("%s leads to %s", path, a.path)
		}
	}
	stranger.get("/desk/events").want(t, "events", http.StatusUnauthorized)
	stranger.post("/desk/visits/x/start", nil).want(t, "an act", http.StatusUnauthorized)
	stranger.post("/desk/sign-in", url.Values{"username": {who.Username}, "password": {who.Password}}).want(t, "a sign-in without the form", http.StatusForbidden)
	stranger.submit("/desk/sign-in", "/desk/sign-in", "username", who.Username, "password", "x").want(t, "a wrong password", http.StatusUnauthorized, "tidak betul")
	for range 10 {
		stranger.submit("/desk/sign-in", "/desk/sign-in", "username", who.Username, "password", "x")
	}
	stranger.signIn(who).want(t, "after too many tries", http.StatusTooManyRequests)

	other := h.clerk()
	if a := other.signIn(h.cast.Practitioners[1]); a.path != "/desk/" {
		t.Fatalf("a practitioner is led to %s", a.path)
	}
	other.post("/desk/book", url.Values{"csrf": {"guessed"}}).want(t, "a guessed token", http.StatusForbidden)
	if a := other.get("/desk/"); strings.Contains(a.body, "Aminah") || !strings.Contains(a.body, "Lim Wei Sheng") {
		t.Error("the board does not show the own organisation's patients alone")
	}
	patients := h.system.Search(t.Context(), "Appointment", url.Values{"patient": {"Patient/" + h.cast.Patients[0].ID}})
	for doc, err := range patients {
		if err != nil {
			t.Fatal(err)
		}
		other.get("/desk/visits/"+doc.ID()).want(t, "a visit of another organisation", http.StatusNotFound)
		other.submit("/desk/", "/desk/visits/"+doc.ID()+"/cancel").want(t, "an act on a visit of another organisation", http.StatusNotFound)
	}
	other.submit("/desk/", "/desk/sign-out")
	if a := other.get("/desk/"); a.path != "/desk/sign-in" {
		t.Error("after the sign-out the board is still shown")
	}
}

func TestDeskBooksAndCallsOff(t *testing.T) {
	h := startWithout(t)
	c := h.clerk()
	c.signIn(h.cast.Practitioners[0])
	service, class := h.service("VCI"), h.service("VCE")
	patient := h.cast.Patients[4]
	from := time.Hour
	if _, midnight := ui.DayOf(time.Now()); time.Until(midnight) < 2*from+time.Minute { // hours do not reach over midnight
		from = time.Until(midnight) + time.Minute
	}
	date, clock := soon(from)
	_, until := soon(from + time.Hour)

	c.submit("/desk/hours", "/desk/hours", "service", service, "date", date, "time", clock, "until", until, "minutes", "20", "places", "1").
		want(t, "hours", http.StatusOK, "Masa klinik telah dibuka")
	page := c.get("/desk/book").body
	slots := regexp.MustCompile(`<option value="([0-9a-f-]{36})">`).FindAllStringSubmatch(page, -1)
	if len(slots) != 3 {
		t.Fatalf("%d slots are offered, want 3", len(slots))
	}
	c.submit("/desk/book", "/desk/book", "patient", patient.IdentityNumber, "slot", slots[0][1]).want(t, "a slot", http.StatusOK, "Temu janji telah dibuat", patient.Name)
	if page := c.get("/desk/book").body; strings.Contains(page, slots[0][1]) {
		t.Error("a slot without places is still offered")
	}
	c.submit("/desk/book", "/desk/book", "patient", patient.IdentityNumber, "slot", slots[0][1], "service", service, "date", date, "time", clock, "minutes", "20").
		want(t, "the slot again", http.StatusUnprocessableEntity, "Semak tarikh")
	id := h.booked(patient)[0]
	c.submit("/desk/visits/"+id, "/desk/visits/"+id+"/no-show").want(t, "somebody who did not come", http.StatusOK)
	c.submit("/desk/", "/desk/visits/"+id+"/cancel").want(t, "a second end", http.StatusOK, "HIE tidak menerima")

	good := []string{"service", class, "date", date, "time", clock, "minutes", "30", "places", "3", "patients", ""}
	group := func(changes ...string) answer {
		form := append(append([]string{}, good...), changes...)
		return c.submit("/desk/group", "/desk/group", form...)
	}
	numbers := h.cast.Patients[2].IdentityNumber + "\r\n\r\n" + h.cast.Patients[6].IdentityNumber + "\r\n"
	for what, fields := range map[string][]string{
		"nobody":               {"patients", " \n "},
		"an unknown number":    {"patients", "010101010101"},
		"no number":            {"patients", "<script>"},
		"too few places":       {"patients", numbers, "places", "1"},
		"places that are none": {"patients", numbers, "places", "many"},
		"no length":            {"patients", numbers, "minutes", ""},
		"no date":              {"patients", numbers, "date", "31-12-2026"},
		"a foreign service":    {"patients", numbers, "service", "kkpd-vce"},
		"the wrong kind":       {"patients", numbers, "service", service},
	} {
		a := group(fields...)
		a.want(t, what, http.StatusUnprocessableEntity, `role="alert"`)
		if strings.Contains(a.body, "<script>") {
			t.Errorf("%s: the page holds what was typed as it is", what)
		}
	}
	group("patients", numbers).want(t, "a group", http.StatusOK, "Kumpulan telah dibuat")
	first := h.booked(h.cast.Patients[2])[0]
	c.get("/desk/visits/"+first).want(t, "the roster", http.StatusOK, h.cast.Patients[2].Name, h.cast.Patients[6].Name, "0/2")
	second := h.booked(h.cast.Patients[6])[0]
	if a := c.submit("/desk/visits/"+first, "/desk/visits/"+second+"/cancel"); !strings.Contains(a.path, "/desk/visits/") {
		t.Errorf("cancelling one of a group leads to %s", a.path)
	}
	if got := must(h.system.Get(t.Context(), "Appointment/"+second))(t).Get("status").String(); got != "cancelled" {
		t.Errorf("the Appointment is %q", got)
	}
}

// A group where one patient cannot be reached and one never comes.
func TestDeskFinishesGroupByAttendance(t *testing.T) {
	h := startWithout(t)
	c := h.clerk()
	c.signIn(h.cast.Practitioners[0])
	date, clock := soon(0)
	here, absent, unreachable := h.cast.Patients[3], h.cast.Patients[4], h.cast.Patients[6]
	c.submit("/desk/group", "/desk/group", "service", h.service("VCE"), "date", date, "time", clock, "minutes", "30", "places", "10",
		"patients", strings.Join([]string{here.IdentityNumber, absent.IdentityNumber, unreachable.IdentityNumber}, "\n")).want(t, "a group", http.StatusOK)
	id := h.booked(here)[0]
	patient := play.NewPatient(h.app.URL())
	if err := patient.SignIn(t.Context(), here.IdentityNumber, here.SignInCode); err != nil {
		t.Fatal(err)
	}
	if err := patient.CheckIn(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	a := c.submit("/desk/", "/desk/visits/"+id+"/start")
	a.want(t, "the start", http.StatusOK, unreachable.Name, `id="room"`)
	if !strings.HasSuffix(a.path, "/call") {
		t.Errorf("the start leads to %s", a.path)
	}
	if inbox, err := patient.Inbox(t.Context()); err != nil || !strings.Contains(inbox, "Konsultasi maya bermula") {
		t.Errorf("the patient's inbox holds %q, %v", inbox, err)
	}
	c.submit("/desk/", "/desk/visits/"+id+"/finish").want(t, "the finish", http.StatusOK, "Konsultasi selesai")
	for p, want := range map[app.DemoPatient]string{here: "fulfilled", absent: "noshow", unreachable: "noshow"} {
		if got := must(h.system.Get(t.Context(), "Appointment/"+h.booked(p)[0]))(t).Get("status").String(); got != want {
			t.Errorf("%s: the Appointment is %q, want %q", p.ID, got, want)
		}
	}
	outcome := h.encounter(id).Root().Get("extension").Raw()
	if !bytes.Contains(outcome, []byte(`"code":"2"`)) {
		t.Errorf("a patient who never joined has the outcome %s", outcome)
	}
	// what was finished stays finished
	c.submit("/desk/", "/desk/visits/"+id+"/start").want(t, "a start afterwards", http.StatusOK, "HIE tidak menerima")
}

// What happens elsewhere shows on the board by itself.
func TestBoardFollowsTheTopics(t *testing.T) {
	h := start(t)
	desk := h.desk()
	browser.Eval[bool](t, desk, `(window.same = true)`)
	var id string
	for doc, err := range h.system.Search(t.Context(), "Appointment", url.Values{"patient": {"Patient/" + h.cast.Patients[0].ID}, "status": {"booked"}}) {
		if err != nil {
			t.Fatal(err)
		}
		id = doc.ID()
	}
	patient := play.NewPatient(h.app.URL())
	if err := patient.SignIn(t.Context(), h.cast.Patients[0].IdentityNumber, h.cast.Patients[0].SignInCode); err != nil {
		t.Fatal(err)
	}
	if err := patient.CheckIn(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	browser.Until(t, desk, "the board does not show the arrival", `window.same && document.querySelector(".lane.waiting .button.go") && !document.getElementById("toast").hidden`)
	if got := browser.Eval[string](t, desk, `document.title`); !strings.HasPrefix(got, "(1) ") {
		t.Errorf("the title is %q", got)
	}
}

func TestDeskIsAccessible(t *testing.T) {
	h := start(t)
	desk := browser.Tab(t, h.browser, 1280, 800, h.app.URL()+"/desk/sign-in")
	look := func(what string) {
		t.Helper()
		for _, v := range browser.Axe(t, desk) {
			t.Errorf("%s: %s", what, v)
		}
	}
	look("sign-in")
	who := h.cast.Practitioners[0]
	browser.Do(t, desk, chromedp.SendKeys(chromedp.ID("username"), who.Username), chromedp.SendKeys(chromedp.ID("password"), who.Password))
	browser.Click(t, desk, "main form .button")
	browser.Until(t, desk, "not signed in", `document.querySelector(".lanes")`)
	visit := browser.Eval[string](t, desk, `document.querySelector(".lane h3 a").pathname`)
	for _, lang := range ui.Languages {
		for _, page := range []string{"/desk/", "/desk/book", "/desk/group", "/desk/hours", visit, "/desk/visits/none"} {
			browser.Do(t, desk, chromedp.Navigate(h.app.URL()+page+"?lang="+string(lang)))
			look(string(lang) + " " + page)
		}
	}
	browser.Do(t, desk, chromedp.EmulateViewport(360, 740), chromedp.Navigate(h.app.URL()+"/desk/"))
	if wide := browser.Eval[int](t, desk, `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("the board is %d px wide on a phone", wide)
	}
}

// service gives the hospital's HealthcareService of a kind.
func (h *hie) service(kind string) string {
	for _, s := range h.cast.HealthcareServices {
		if s.Organization == h.cast.Clients[0].Organization && s.ServiceType == kind {
			return s.ID
		}
	}
	h.Fatalf("no service of kind %s", kind)
	return ""
}
