package portal

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

// phase is what an appointment means to its patient now.
type phase string

const (
	early     phase = "early" // booked, check-in not open yet
	mayEnter  phase = "open"  // booked, check-in open
	over      phase = "over"  // booked, check-in past
	waiting   phase = "waiting"
	ready     phase = "ready"
	inCall    phase = "incall"
	finished  phase = "finished"
	cancelled phase = "cancelled"
	noShow    phase = "noshow"
	abandoned phase = "abandoned"
)

// look is how a phase is shown.
type look struct {
	Chip    ui.Key
	Class   string // of the chip
	Action  ui.Key // of the button in the list
	Refresh int    // seconds until a browser without scripts looks again
	Live    bool   // the page listens for signals
}

var looks = map[phase]look{
	early:     {"state.booked", "off", "open.details", 300, true},
	mayEnter:  {"state.open", "act", "open.checkin", 60, true},
	over:      {"state.over", "warn", "open.details", 0, true},
	waiting:   {"state.waiting", "act pulse", "open.waiting", 15, true},
	ready:     {"state.ready", "good", "open.join", 15, true},
	inCall:    {"state.incall", "good", "rejoin", 30, true},
	finished:  {"state.finished", "off", "open.details", 0, false},
	cancelled: {"state.cancelled", "bad off", "open.details", 0, false},
	noShow:    {"state.noshow", "warn off", "open.details", 0, false},
	abandoned: {"state.abandoned", "warn off", "open.details", 0, false},
}

// phaseOf reads the phase from the state; the zero State has none.
func phaseOf(v consult.View) phase {
	switch v.State {
	case consult.Booked:
		switch v.CheckIn {
		case consult.TooEarly:
			return early
		case consult.Open:
			return mayEnter
		}
		return over
	case consult.Waiting:
		return waiting
	case consult.Ready:
		return ready
	case consult.InCall:
		return inCall
	case consult.Finished:
		return finished
	case consult.Cancelled:
		return cancelled
	case consult.NoShow:
		return noShow
	}
	return abandoned
}

// chosenKeys are the texts that the program and not a template chooses.
func chosenKeys() []ui.Key {
	keys := []ui.Key{"clinic"}
	for _, l := range looks {
		keys = append(keys, l.Chip, l.Action)
	}
	for _, m := range messages {
		keys = append(keys, m.Text)
	}
	for _, code := range []fhir.Code{fhir.CodeNotFound, fhir.CodeLogin, fhir.CodeThrottled, fhir.CodeInvalid, fhir.CodeException} {
		_, f := faultOf(fhir.Errorf(code, "", ""))
		keys = append(keys, f.Title, f.Text)
	}
	for _, s := range scale {
		keys = append(keys, s.Text)
	}
	return keys
}

// card is an appointment on a page.
type card struct {
	consult.View
	Now    time.Time
	Phase  phase
	Look   look
	Who    string // the practitioner, or else the organisation
	There  string // practitioners in the call, ", " between
	Path   string // of its page
	LookIn int    // seconds until check-in opens, when that is within the hour
	News   []store.Notification
	Scale  []step
}

// step is one answer to "how was it?".
type step struct {
	Value int
	Text  ui.Key
}

var scale = []step{{5, "rate.5"}, {4, "rate.4"}, {3, "rate.3"}, {2, "rate.2"}, {1, "rate.1"}}

func (p *Portal) card(v *visit, view consult.View) (card, error) {
	c := card{View: view, Now: v.now, Phase: phaseOf(view), Path: Root + "appointments/" + view.Appointment, Scale: scale}
	c.Look = looks[c.Phase]
	if c.Phase == finished && !view.Rated {
		c.Look.Action = "open.rate"
	}
	c.Who = view.Practitioner
	if c.Who == "" {
		c.Who = view.Provider
	}
	if c.Who == "" {
		var err error
		if c.Who, err = ui.Texts.Say(v.lang, "clinic"); err != nil {
			return c, err
		}
	}
	// Patients do not learn each other's names before they join.
	var there []string
	for _, person := range view.Present {
		if person.Role == meeting.Practitioner && person.Name != "" {
			there = append(there, person.Name)
		}
	}
	c.There = strings.Join(there, ", ")
	if wait := view.Opens.Sub(v.now); c.Phase == early && wait > 0 && wait < time.Hour {
		c.LookIn = int(wait.Seconds()) + 1
	}
	return c, nil
}

// lists are the appointments as the list shows them.
type lists struct{ Today, Coming, Past []card }

// urgency orders the appointments of today; phases without one come between.
var urgency = map[phase]int{ready: -3, inCall: -3, waiting: -2, mayEnter: -1, finished: 1, cancelled: 1, noShow: 1, abandoned: 1}

// maxPast is how many past appointments the list shows.
const maxPast = 10

func (p *Portal) list(w http.ResponseWriter, r *http.Request, v *visit) error {
	views, err := p.Consultations.Appointments(r.Context(), v.who)
	if err != nil {
		return err
	}
	var l lists
	for _, view := range views {
		c, err := p.card(v, view)
		if err != nil {
			return err
		}
		days := ui.DaysBetween(v.now, view.Start)
		underway := c.Phase == waiting || c.Phase == ready || c.Phase == inCall
		switch {
		case days == 0 || underway:
			l.Today = append(l.Today, c)
		case days > 0:
			l.Coming = append(l.Coming, c)
		default:
			l.Past = append(l.Past, c)
		}
	}
	// What needs the patient now stands first.
	slices.SortStableFunc(l.Today, func(a, b card) int { return cmp.Compare(urgency[a.Phase], urgency[b.Phase]) })
	slices.Reverse(l.Past)
	l.Past = l.Past[:min(len(l.Past), maxPast)]
	return p.show(w, r, v, http.StatusOK, "list", frame{Data: l})
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// find gives the patient's appointment that the address names.
func (p *Portal) find(r *http.Request, v *visit) (card, error) {
	id := r.PathValue("id")
	if !idForm.MatchString(id) {
		return card{}, errNothing
	}
	view, err := p.Consultations.Appointment(r.Context(), v.who, id)
	if err != nil {
		return card{}, err
	}
	return p.card(v, view)
}

func (p *Portal) appointment(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	if c.Phase == waiting || c.Phase == ready {
		if c.News, err = p.news(r.Context(), v, c.CheckedIn); err != nil {
			return err
		}
	}
	f := frame{Data: c, Refresh: c.Look.Refresh}
	if c.Look.Live {
		f.Script = "wait.js"
	}
	if r.URL.Query().Has("part") {
		return p.part(w, r, v, "appointment", "live", f)
	}
	return p.show(w, r, v, http.StatusOK, "appointment", f)
}

// news are the latest unread messages that came while the patient waits.
func (p *Portal) news(ctx context.Context, v *visit, since time.Time) ([]store.Notification, error) {
	list, err := p.Inbox.Inbox(ctx, v.who)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(n store.Notification) bool {
		return !n.Read.IsZero() || n.Created.Before(since)
	})
	return list[:min(len(list), 2)], nil
}

func (p *Portal) consent(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	if c.Phase != mayEnter {
		return leave(w, r, c.Path, "")
	}
	return p.show(w, r, v, http.StatusOK, "consent", frame{Data: c})
}

func (p *Portal) checkIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	if c.Phase == mayEnter && r.PostForm.Get("consent") != "yes" {
		return leave(w, r, c.Path+"/check-in", "consent")
	}
	err = p.Consultations.CheckIn(r.Context(), v.who, c.Appointment, consult.Consent{VideoConsultation: true, Language: string(v.lang)})
	return after(w, r, c, err)
}

func (p *Portal) mayCancel(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	if !c.CanCancel {
		return leave(w, r, c.Path, "")
	}
	return p.show(w, r, v, http.StatusOK, "cancel", frame{Data: c})
}

func (p *Portal) cancel(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	return after(w, r, c, p.Consultations.Cancel(r.Context(), v.who, c.Appointment))
}

// maxRemark is in characters.
const maxRemark = 500

func (p *Portal) rate(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	rating, err := strconv.Atoi(r.PostForm.Get("rating"))
	remark := strings.TrimSpace(r.PostForm.Get("remark"))
	if err != nil || rating < 1 || rating > 5 || utf8.RuneCountInString(remark) > maxRemark || !utf8.ValidString(remark) {
		return leave(w, r, c.Path, "rating")
	}
	return after(w, r, c, p.Consultations.Rate(r.Context(), v.who, c.Appointment, rating, remark))
}

// after answers a form about an appointment: whatever happened, the page of
// the appointment tells how things stand; a refusal is said in words.
func after(w http.ResponseWriter, r *http.Request, c card, err error) error {
	switch {
	case err == nil:
		return leave(w, r, c.Path, "")
	case fhir.CodeOf(err) == fhir.CodeBusinessRule || fhir.CodeOf(err) == fhir.CodeConflict:
		return leave(w, r, c.Path, "changed")
	}
	return err
}
