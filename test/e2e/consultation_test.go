package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
	"github.com/jumpa-hie/jumpa/test/browser"
)

// hie is the whole program, started for one test, with a hospital's system
// and a browser full of people.
type hie struct {
	*testing.T
	app     *app.App
	cast    app.Credentials
	system  *source.Client
	browser context.Context
}

func start(t *testing.T) *hie {
	t.Helper()
	h := startWithout(t)
	h.browser = browser.Open(t)
	return h
}

// startWithout starts the program without a browser.
func startWithout(t *testing.T) *hie {
	t.Helper()
	return startAs(t, io.Discard, func(*app.Config) {})
}

// startAs starts the program with other settings and a log, without a browser.
func startAs(t *testing.T, log io.Writer, set func(*app.Config)) *hie {
	t.Helper()
	cfg := app.Defaults()
	cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	set(&cfg)
	a, err := app.Start(context.WithoutCancel(t.Context()), cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	cast, _ := a.Credentials()
	c := cast.Clients[0]
	sys, err := source.New(source.Config{Server: a.URL(), ClientID: c.ClientID, ClientSecret: c.ClientSecret, Kafka: []string{a.Kafka()}})
	if err != nil {
		t.Fatal(err)
	}
	return &hie{T: t, app: a, cast: cast, system: sys}
}

// must unwraps what a source system's call gives.
func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// shot takes the pictures of the documents, when a directory for them is named.
func shot(t *testing.T, tab context.Context, name string) {
	t.Helper()
	browser.Screenshot(t, tab, os.Getenv("JUMPA_SCREENSHOTS"), name)
}

// phone opens RekodSaya for a patient, signs in by hand and checks in.
func (h *hie) phone(patient app.DemoPatient, appointment string) context.Context {
	h.Helper()
	tab := browser.Tab(h.T, h.browser, 360, 740, h.app.URL()+"/rekodsaya/")
	browser.Do(h.T, tab, chromedp.SendKeys(chromedp.ID("identity"), patient.IdentityNumber), chromedp.Click(chromedp.CSS("main form .button")))
	browser.Until(h.T, tab, "no page for the code", `document.getElementById("code")`)
	browser.Do(h.T, tab, chromedp.SendKeys(chromedp.ID("code"), patient.SignInCode), chromedp.Click(chromedp.CSS("main form .button")))
	browser.Until(h.T, tab, "not signed in", `location.pathname.startsWith("/rekodsaya/appointments")`)
	shot(h.T, tab, "portal")
	browser.Do(h.T, tab, chromedp.Navigate(h.app.URL()+"/rekodsaya/appointments/"+appointment))
	browser.Click(h.T, tab, "a.go")
	browser.Until(h.T, tab, "no consent", `document.querySelector("input[name=consent]")`)
	browser.Do(h.T, tab, chromedp.Click(chromedp.CSS("input[name=consent]")), chromedp.Click(chromedp.CSS("main form .button")))
	browser.Until(h.T, tab, "not in the waiting room", phase("waiting", "ready"))
	return tab
}

// phase is a condition on what the page of an appointment says.
func phase(names ...string) string {
	return fmt.Sprintf(`%q.split(" ").includes(document.querySelector("[data-phase]").dataset.phase)`, strings.Join(names, " "))
}

// encounter gives the one Encounter of an Appointment.
func (h *hie) encounter(appointment string) *fhir.Document {
	h.Helper()
	list := must(h.system.SearchAll(h.Context(), "Encounter", map[string][]string{"appointment": {"Appointment/" + appointment}}))(h.T)
	if len(list) != 1 {
		h.Fatalf("the appointment has %d Encounters", len(list))
	}
	return list[0]
}

// desk opens the clinic's desk and signs the practitioner in.
func (h *hie) desk() context.Context {
	h.Helper()
	who := h.cast.Practitioners[0]
	tab := browser.Tab(h.T, h.browser, 1280, 800, h.app.URL()+"/desk/")
	browser.Do(h.T, tab, chromedp.SendKeys(chromedp.ID("username"), who.Username), chromedp.SendKeys(chromedp.ID("password"), who.Password),
		chromedp.Click(chromedp.CSS("main form .button")))
	browser.Until(h.T, tab, "the practitioner is not signed in", `document.querySelector(".lanes")`)
	return tab
}

// deskBooks books a patient at the desk and gives the Appointment's id.
func (h *hie) deskBooks(tab context.Context, patient app.DemoPatient) string {
	h.Helper()
	browser.Do(h.T, tab, chromedp.Navigate(h.app.URL()+"/desk/book"), chromedp.SendKeys(chromedp.ID("patient"), patient.IdentityNumber),
		chromedp.Click(chromedp.CSS("main form .button")))
	browser.Until(h.T, tab, "the appointment is not made", `document.querySelector(".note.good") && document.querySelector(".lanes")`)
	return h.booked(patient)[0]
}

// deskBooksGroup makes a group at the desk and gives the Appointments' ids in
// the order of the patients.
func (h *hie) deskBooksGroup(tab context.Context, patients []app.DemoPatient) (ids []string) {
	h.Helper()
	var numbers []string
	for _, p := range patients {
		numbers = append(numbers, p.IdentityNumber)
	}
	browser.Do(h.T, tab, chromedp.Navigate(h.app.URL()+"/desk/group"), chromedp.SendKeys(chromedp.ID("patients"), strings.Join(numbers, "\n")),
		chromedp.Click(chromedp.CSS("main form .button")))
	browser.Until(h.T, tab, "the group is not made", `document.querySelector(".note.good") && document.querySelector(".lanes")`)
	for _, p := range patients {
		ids = append(ids, h.booked(p)[0])
	}
	return ids
}

// booked lists the Appointments of a patient that the desk has made, the
// newest first.
func (h *hie) booked(patient app.DemoPatient) (ids []string) {
	h.Helper()
	list := must(h.system.SearchAll(h.Context(), "Appointment", map[string][]string{"patient": {"Patient/" + patient.ID}, "_sort": {"-_lastUpdated"}}))(h.T)
	for _, doc := range list {
		ids = append(ids, doc.ID())
	}
	return ids
}

// starts lets everybody in who waits for an entry of the board.
func (h *hie) starts(tab context.Context, appointment string) {
	h.Helper()
	button := fmt.Sprintf(`.lane.waiting form[action$="/%s/start"] button`, appointment)
	browser.Until(h.T, tab, "the desk does not show who waits", fmt.Sprintf(`document.querySelector(%q)`, button))
	browser.Click(h.T, tab, button)
	browser.Until(h.T, tab, "the desk does not open the call", `document.getElementById("room")`)
	if got := browser.Eval[string](h.T, tab, `document.querySelector("main > .note").className`); got != "note good" {
		h.Errorf("after the start: %s", browser.Eval[string](h.T, tab, `document.querySelector("main > .note").innerText`))
	}
}

// inRoom is the room's own view: of the page itself, or of the frame in it.
const inRoom = `(document.getElementById("room")?.contentWindow?.jumpaRoom ?? window.jumpaRoom)`

// media is the condition that picture and sound of so many people arrive.
func media(people int) string {
	return fmt.Sprintf(`{ const s = await %s.stats(); const by = Object.values(s.bySeat); return s.state !== "failed" && by.filter(p => p.framesDecoded > 5).length >= %d && s.audioBytesReceived > 500; }`, inRoom, people)
}

// finishes writes at the desk that the consultation is over.
func (h *hie) finishes(tab context.Context, appointments ...string) {
	h.Helper()
	browser.Click(h.T, tab, `form[action$="/finish"] .button`)
	browser.Until(h.T, tab, "the desk does not go back to the board", `document.querySelector(".lanes")`)
	for _, id := range appointments {
		if got := h.encounter(id).Get("status").String(); got != "finished" {
			h.Errorf("the Encounter is %q after it was finished", got)
		}
		if got := must(h.system.Get(h.Context(), "Appointment/"+id))(h.T).Get("status").String(); got != "fulfilled" {
			h.Errorf("the Appointment is %q after the Encounter was finished", got)
		}
	}
}

func TestIndividualConsultationInTwoTabs(t *testing.T) {
	h := start(t)
	patient := h.cast.Patients[3]
	desk := h.desk()
	appointment := h.deskBooks(desk, patient)
	phone := h.phone(patient, appointment)
	shot(t, phone, "waiting")
	browser.Do(t, desk, chromedp.Navigate(h.app.URL()+"/desk/?lang=en"))
	shot(t, desk, "desk")
	h.starts(desk, appointment)
	browser.Until(t, phone, "the waiting room does not say that it is time", phase("ready"))
	browser.Click(t, phone, "#join")
	browser.Until(t, phone, "the patient sees and hears nobody", media(1))
	browser.Until(t, desk, "the practitioner sees and hears nobody", media(1))
	shot(t, desk, "call")
	if got := h.encounter(appointment).Get("status").String(); got != "in-progress" {
		t.Errorf("the Encounter is %q during the call", got)
	}

	for name, page := range map[string]context.Context{"patient": phone, "practitioner": desk} {
		browser.Do(t, page, chromedp.Reload())
		browser.Until(t, page, "no media after the reload of the "+name, media(1))
		browser.Until(t, desk, "the practitioner sees not one patient alone", `(await `+inRoom+`.stats()).peers === 1`)
		browser.Until(t, desk, "the practitioner has no media after the reload of the "+name, media(1))
		browser.Until(t, phone, "the patient has no media after the reload of the "+name, media(1))
	}

	h.cutNetwork(phone, desk)

	h.finishes(desk, appointment)
	if got := must(h.system.Session(t.Context(), mycore.Token(h.encounter(appointment))))(t).Status; got != "ended" {
		t.Errorf("the session is %q after the consultation", got)
	}
	browser.Until(t, phone, "the patient is not asked for a rating", `document.querySelector("input[name=rating]")`)
	browser.Click(t, phone, "input[name=rating][value='5']")
	browser.Click(t, phone, "form[action$=rating] .button")
	browser.Until(t, phone, "the rating was not taken", `!document.querySelector("input[name=rating]")`)
	enc := h.encounter(appointment)
	if enc.Root().Extension(mycore.ExtensionEncounterRating).First("extension.valueCodeableConcept.coding.code").String() != "5" {
		t.Errorf("the rating is not on the Encounter: %s", enc.Root().Get("extension").Raw())
	}
}

// outage is how long the patient's network is gone.
const outage = 30 * time.Second

// cutNetwork takes the patient's network away for half a minute and expects
// the call to come back by itself.
func (h *hie) cutNetwork(phone, desk context.Context) {
	h.Helper()
	browser.Network(h.T, phone, false)
	browser.Until(h.T, phone, "the lost network is not shown", `(await `+inRoom+`.stats()).state !== "connected"`)
	browser.Eval[bool](h.T, phone, fmt.Sprintf(`new Promise(r => setTimeout(() => r(true), %d))`, outage.Milliseconds()))
	before := browser.Eval[int](h.T, desk, `(async () => (await `+inRoom+`.stats()).framesDecoded)()`)
	browser.Network(h.T, phone, true)
	browser.Until(h.T, phone, "no media after the network is back", media(1))
	browser.Until(h.T, desk, "the practitioner does not see the patient again", fmt.Sprintf(`(await %s.stats()).framesDecoded > %d`, inRoom, before+10))
}

func TestGroupConsultationWithThreePatients(t *testing.T) {
	h := start(t)
	patients := h.cast.Patients[3:6]
	desk := h.desk()
	appointments := h.deskBooksGroup(desk, patients)
	var phones []context.Context
	token := ""
	for i, patient := range patients {
		phones = append(phones, h.phone(patient, appointments[i]))
		switch got := mycore.Token(h.encounter(appointments[i])); {
		case i == 0:
			token = got
		case got != token:
			t.Error("the Encounters of the group do not carry one token")
		}
	}
	h.starts(desk, h.first(desk, appointments))
	for _, phone := range phones {
		browser.Until(t, phone, "the waiting room does not say that it is time", phase("ready", "incall"))
		browser.Click(t, phone, "#join")
		browser.Until(t, phone, "the call does not open", `document.getElementById("room")`)
	}
	for _, page := range append(phones, desk) {
		browser.Until(t, page, "not everybody is seen and heard", media(len(phones)))
	}
	browser.Until(t, desk, "the roster does not show who is in the call", `document.querySelectorAll(".roster .chip.good").length === 3`)
	h.finishes(desk, appointments...)
	for _, phone := range phones {
		browser.Until(t, phone, "a patient is not told that it is over", `document.querySelector("input[name=rating]")`)
	}
}

// first gives the Appointment that names a group on the board.
func (h *hie) first(desk context.Context, appointments []string) string {
	h.Helper()
	for _, id := range appointments {
		if browser.Eval[bool](h.T, desk, fmt.Sprintf(`document.querySelector('a[href$="/visits/%s"]') !== null`, id)) {
			return id
		}
	}
	h.Fatal("the group is not on the board")
	return ""
}
