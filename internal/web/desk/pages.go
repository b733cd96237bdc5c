package desk

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// doorPage is the sign-in page.
type doorPage struct {
	Next  string
	Wrong bool
}

func (d *Desk) door(w http.ResponseWriter, r *http.Request, t *turn) error {
	if t.signed {
		http.Redirect(w, r, Root, http.StatusSeeOther)
		return nil
	}
	return d.showDoor(w, r, t, http.StatusOK, doorPage{Next: r.URL.Query().Get("next")})
}

func (d *Desk) showDoor(w http.ResponseWriter, r *http.Request, t *turn, status int, p doorPage) error {
	token := secret()
	d.setCookie(w, doorCookie, token, 3600)
	return d.show(w, r, t, status, "signin", frame{CSRF: token, Data: p})
}

func (d *Desk) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: Root, MaxAge: maxAge, HttpOnly: true, Secure: d.Secure, SameSite: http.SameSiteLaxMode,
	})
}

func (d *Desk) signIn(w http.ResponseWriter, r *http.Request, t *turn) error {
	name := strings.ToLower(strings.TrimSpace(r.PostForm.Get("username")))
	if !d.sessions.mayTry(name) {
		return errBusy
	}
	next := r.PostForm.Get("next")
	for _, p := range d.Practitioners {
		if p.Username == name && p.Password(r.PostForm.Get("password")) {
			d.setCookie(w, sessionCookie, d.sessions.open(p), int(shift.Seconds()))
			d.setCookie(w, doorCookie, "", -1)
			if !own(next) {
				next = Root
			}
			http.Redirect(w, r, next, http.StatusSeeOther)
			return nil
		}
	}
	return d.showDoor(w, r, t, http.StatusUnauthorized, doorPage{Next: next, Wrong: true})
}

// own tells whether next is a page of the desk.
func own(next string) bool {
	u, err := url.Parse(next)
	return err == nil && u.Host == "" && u.Scheme == "" && u.RawQuery == "" && strings.HasPrefix(u.Path, Root) &&
		!strings.Contains(next, "\\") && !strings.Contains(next, "..")
}

func (d *Desk) signOut(w http.ResponseWriter, r *http.Request, t *turn) error {
	d.sessions.close(t.cookie)
	d.setCookie(w, sessionCookie, "", -1)
	http.Redirect(w, r, Root+"sign-in", http.StatusSeeOther)
	return nil
}

// events is the live stream of the board.
func (d *Desk) events(w http.ResponseWriter, r *http.Request, t *turn) error {
	wake, cancel := d.board(t).watch()
	defer cancel()
	if !d.streams.Serve(w, r, t.who.ID, wake) {
		return errBusy
	}
	return nil
}

// column is a lane of the board.
type column struct {
	Name    string // arriving, waiting, session or done
	Entries []entry
}

// todayPage is the board.
type todayPage struct {
	day
	Mine    bool // only those of this practitioner, and of nobody in particular
	Columns []column
	Done    []entry
}

func (d *Desk) today(w http.ResponseWriter, r *http.Request, t *turn) error {
	v, err := d.board(t).look(r.Context())
	if err != nil {
		return err
	}
	p := todayPage{Mine: r.URL.Query().Has("mine")}
	if p.Mine {
		v = v.of(t.who.ID)
	}
	p.day, p.Done = v, v.lane(laneDone)
	for i, name := range []string{"arriving", "waiting", "session"} {
		p.Columns = append(p.Columns, column{name, v.lane(lane(i))})
	}
	return d.show(w, r, t, http.StatusOK, "today", frame{Script: "desk.js", Data: p})
}

// of keeps what is a practitioner's, or nobody's.
func (v day) of(practitioner string) day {
	mine := day{Services: v.Services}
	for _, e := range v.Entries {
		if e.Practitioner == practitioner || e.Practitioner == "" {
			mine.Entries = append(mine.Entries, e)
		}
	}
	return mine
}

// visitPage is the page of one entry, with the call when there is one.
type visitPage struct {
	entry
	day      day
	Room     *ui.Call // with the practitioner's credentials; nil without a call
	Card     card
	Outcomes []option
	Reasons  []option
}

// Waiting names everybody who waits, so that this page rings as well.
func (p visitPage) Waiting() string { return p.day.Waiting() }

// Others are the entries that wait beside this one.
func (p visitPage) Others() (list []entry) {
	for _, e := range p.day.lane(laneWaiting) {
		if e.ID != p.ID {
			list = append(list, e)
		}
	}
	return list
}

// card is what the practitioner checks before the talk begins.
type card struct {
	Identity  string // the last four characters of the identity number
	BirthDate string
	Gender    string
}

func (d *Desk) visit(w http.ResponseWriter, r *http.Request, t *turn) error {
	p, err := d.find(r, t)
	if err != nil {
		return err
	}
	return d.showVisit(w, r, t, p)
}

// find gives the entry that an address names.
func (d *Desk) find(r *http.Request, t *turn) (visitPage, error) {
	v, err := d.board(t).look(r.Context())
	if err != nil {
		return visitPage{}, err
	}
	e, _, ok := v.find(r.PathValue("id"))
	if !ok {
		return visitPage{}, errNothing
	}
	return visitPage{entry: e, day: v}, nil
}

func (d *Desk) showVisit(w http.ResponseWriter, r *http.Request, t *turn, p visitPage) error {
	p.Outcomes, p.Reasons = outcomes, reasons
	if !p.IsGroup && !isPart(r) {
		p.Card = d.card(r, t, p.Patient)
	}
	return d.show(w, r, t, http.StatusOK, "visit", frame{Script: "desk.js", Data: p})
}

// card reads the Patient; without it, the page has the name alone.
func (d *Desk) card(r *http.Request, t *turn, patient string) card {
	doc, err := d.board(t).org.Client.Get(r.Context(), "Patient/"+patient)
	if err != nil {
		return card{}
	}
	c := card{BirthDate: doc.Get("birthDate").String(), Gender: doc.Get("gender").String()}
	if numbers := mycore.IdentityNumbers(doc); len(numbers) > 0 {
		c.Identity = numbers[0][max(0, len(numbers[0])-4):]
	}
	return c
}

// call opens the call beside the visit.
func (d *Desk) call(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.join(w, r, t, func(p visitPage, room ui.Call) error {
		p.Room = &room
		ui.AllowCall(w.Header(), d.RoomOrigin)
		return d.showVisit(w, r, t, p)
	})
}

// tab leads to the call at the video system itself, for browsers in which it
// cannot be on a page of ours.
func (d *Desk) tab(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.join(w, r, t, func(p visitPage, room ui.Call) error {
		to := room.Address
		if to == "" {
			to = p.Path() + "/call"
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	})
}

// join lets the practitioner into the call of an open visit, and opens it by
// open. Each opening asks for credentials of its own, so that a reload joins
// again as the same person.
func (d *Desk) join(w http.ResponseWriter, r *http.Request, t *turn, open func(visitPage, ui.Call) error) error {
	p, err := d.find(r, t)
	if err != nil {
		return err
	}
	if isPart(r) {
		return d.showVisit(w, r, t, p)
	}
	if !p.Open() {
		http.Redirect(w, r, p.Path(), http.StatusSeeOther)
		return nil
	}
	credentials, err := d.board(t).org.Client.Join(r.Context(), p.session(), source.JoinRequest{Name: t.who.Name, ID: t.who.ID})
	if err != nil {
		if said, ok := refusal(err); ok {
			return d.leave(w, r, t, p.Path(), noteRefused.with(said))
		}
		return err
	}
	room, err := ui.CallOf(credentials.JoinURL, d.RoomOrigin, t.lang)
	if err != nil {
		return err
	}
	return open(p, room)
}
