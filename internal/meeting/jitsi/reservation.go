package jitsi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const (
	admitTimeout = 3 * time.Second
	maxForm      = 16 << 10
)

// reservation is a room that Prosody may have open, in the words of its API.
// It follows from the session alone and its id is the room's name, so that any
// node can answer for it and none has to remember it.
type reservation struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	MailOwner    string `json:"mail_owner"`
	StartTime    string `json:"start_time"`
	Duration     int    `json:"duration"` // seconds
	MaxOccupants int    `json:"max_occupants,omitempty"`
	Lobby        bool   `json:"lobby"`
}

// reserve answers whether a room may open. Prosody asks once for the first
// who comes and does not say who that is: the token decided on the person.
func (d *Driver) reserve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		message(w, http.StatusBadRequest, "The request for a room cannot be read.")
		return
	}
	room := strings.ToLower(r.PostForm.Get("name"))
	if checkRoom(room) != nil {
		message(w, http.StatusForbidden, "There is no such call.")
		return
	}
	if status, reason := d.mayOpen(r.Context(), room); status != 0 {
		message(w, status, reason)
		return
	}
	respond(w, http.StatusCreated, d.reservation(room, r.PostForm.Get("mail_owner"), r.PostForm.Get("start_time")))
}

// reservation is what Prosody reads; start is now when it is no time.
func (d *Driver) reservation(room, owner, start string) reservation {
	if _, err := time.Parse(time.RFC3339, start); err != nil {
		start = d.opts.Clock().UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return reservation{
		ID: room, Name: room, MailOwner: owner, StartTime: start,
		Duration: int(d.opts.Duration / time.Second), MaxOccupants: d.opts.MaxOccupants,
	}
}

// mayOpen asks the Admission about a room. A status says why not; what
// Prosody shows to the person is a sentence made for people.
func (d *Driver) mayOpen(ctx context.Context, room string) (status int, reason string) {
	const later = "The call cannot be opened now. Please try again in a moment."
	switch ended, err := d.people.Ended(ctx, room); {
	case err != nil:
		return http.StatusServiceUnavailable, later
	case ended:
		return http.StatusForbidden, "This call has ended."
	}
	switch err := d.admit(ctx, room, meeting.Person{Role: meeting.Practitioner}); {
	case err == nil:
		return 0, ""
	case final(err):
		var e *fhir.Error
		errors.As(err, &e)
		return http.StatusForbidden, e.Diagnostics
	default:
		return http.StatusServiceUnavailable, later
	}
}

func (d *Driver) admit(ctx context.Context, room string, p meeting.Person) error {
	a := d.currentAdmission()
	if a == nil {
		return fhir.Errorf(fhir.CodeTransient, "", "The exchange is starting.")
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return a.Admit(ctx, room, p)
}

// final tells a refusal from a failure that may pass.
func final(err error) bool {
	var e *fhir.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case fhir.CodeTransient, fhir.CodeTimeout, fhir.CodeException, fhir.CodeThrottled:
		return false
	}
	return true
}

// reserved gives a reservation by its id.
func (d *Driver) reserved(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("id")
	if checkRoom(room) != nil {
		message(w, http.StatusNotFound, "There is no such call.")
		return
	}
	switch status, reason := d.mayOpen(r.Context(), room); status {
	case 0:
		respond(w, http.StatusOK, d.reservation(room, "", ""))
	case http.StatusForbidden:
		message(w, http.StatusNotFound, reason)
	default:
		message(w, status, reason)
	}
}

// release takes note of nothing: who was in a room that Prosody has destroyed
// is told by the events, and this call may come before or after them, or
// belong to a call that is long over.
func (d *Driver) release(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
