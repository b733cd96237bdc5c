package portal

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// callPage is the page that holds the video call.
type callPage struct {
	card
	Room string // address of the video call, with the patient's credentials
}

// call opens the video call in a frame. Each opening mints credentials of its
// own, so that a reload joins again as the same person.
func (p *Portal) call(w http.ResponseWriter, r *http.Request, v *visit) error {
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
	room, err := url.Parse(credentials.JoinURL)
	if err != nil {
		return errors.New("the meeting provider gave an address that is none") // its text holds credentials
	}
	q := room.Query()
	q.Set("lang", string(v.lang)) // both video systems speak the patient's language
	room.RawQuery = q.Encode()
	return p.show(w, r, v, http.StatusOK, "call", frame{Script: "call.js", Data: callPage{c, room.String()}})
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
