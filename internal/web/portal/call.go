package portal

import (
	"net/http"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
)

// callPage is the page that holds the video call.
type callPage struct {
	card
	Room ui.Call // with the patient's credentials
}

// call opens the video call on a page.
func (p *Portal) call(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.join(w, r, v, func(c card, room ui.Call) error {
		ui.AllowCall(w.Header(), p.RoomOrigin)
		return p.show(w, r, v, http.StatusOK, "call", frame{Script: "call.js", Data: callPage{c, room}})
	})
}

// tab leads to the call at the video system itself, for browsers in which it
// cannot be on a page of ours.
func (p *Portal) tab(w http.ResponseWriter, r *http.Request, v *visit) error {
	return p.join(w, r, v, func(c card, room ui.Call) error {
		if room.Address == "" {
			return leave(w, r, c.Path+"/call", "")
		}
		http.Redirect(w, r, room.Address, http.StatusSeeOther)
		return nil
	})
}

// join lets the patient into the call when it is time, and opens it by open.
// Each opening mints credentials of its own, so that a reload joins again as
// the same person.
func (p *Portal) join(w http.ResponseWriter, r *http.Request, v *visit, open func(card, ui.Call) error) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	if c.Phase != ready && c.Phase != inCall {
		return leave(w, r, c.Path, "")
	}
	credentials, err := p.Consultations.Join(r.Context(), v.who, c.Appointment)
	switch {
	case err == nil:
	case fhir.CodeOf(err) == fhir.CodeBusinessRule || fhir.CodeOf(err) == fhir.CodeConflict:
		return leave(w, r, c.Path, "changed")
	default:
		return err
	}
	room, err := ui.CallOf(credentials.JoinURL, p.RoomOrigin, v.lang)
	if err != nil {
		return err
	}
	return open(c, room)
}

// present is the part of the call page that says who is there.
func (p *Portal) present(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	return p.part(w, r, v, "call", "present", frame{Data: callPage{card: c}})
}

func (p *Portal) inbox(w http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := p.Inbox.Inbox(r.Context(), v.who)
	if err != nil {
		return err
	}
	page := inboxPage{List: list}
	for _, n := range list {
		page.Unread = page.Unread || n.Read.IsZero()
	}
	return p.show(w, r, v, http.StatusOK, "inbox", frame{Data: page})
}

type inboxPage struct {
	List   []store.Notification
	Unread bool
}

func (p *Portal) markRead(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := p.Inbox.MarkRead(r.Context(), v.who); err != nil {
		return err
	}
	return leave(w, r, Root+"inbox", "")
}
