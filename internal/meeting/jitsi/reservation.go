package jitsi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const (
	admitTimeout    = 3 * time.Second
	maxForm         = 16 << 10
	maxReservations = 20000
)

// reservation is a room that Prosody may have open, in the words of its API.
type reservation struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	MailOwner    string `json:"mail_owner"`
	StartTime    string `json:"start_time"`
	Duration     int    `json:"duration"` // seconds
	MaxOccupants int    `json:"max_occupants,omitempty"`
	Lobby        bool   `json:"lobby"`

	expires time.Time
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
	now := d.opts.Clock()
	start := r.PostForm.Get("start_time")
	if _, err := time.Parse(time.RFC3339, start); err != nil {
		start = now.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	inUse := len(d.people.Present(room)) > 0
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.reservations[room]; ok && now.Before(old.expires) {
		switch {
		case old.StartTime == start && old.MailOwner == r.PostForm.Get("mail_owner"):
			respond(w, http.StatusOK, old) // asked again, the answer was lost
			return
		case inUse:
			respond(w, http.StatusConflict, map[string]string{"conflict_id": old.ID})
			return
		}
	}
	if len(d.reservations) >= maxReservations {
		message(w, http.StatusServiceUnavailable, "There are too many calls now. Please try again in a moment.")
		return
	}
	made := reservation{
		ID: uuid.NewString(), Name: room, MailOwner: r.PostForm.Get("mail_owner"), StartTime: start,
		Duration: int(d.opts.Duration / time.Second), MaxOccupants: d.opts.MaxOccupants, expires: now.Add(d.opts.Duration),
	}
	d.reservations[room] = made
	respond(w, http.StatusCreated, made)
}

// mayOpen asks the Admission about a room. A status says why not; what
// Prosody shows to the person is a sentence made for people.
func (d *Driver) mayOpen(ctx context.Context, room string) (status int, reason string) {
	const later = "The call cannot be opened now. Please try again in a moment."
	if d.hasEnded(room) {
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

// reserved gives the reservation that a conflict named.
func (d *Driver) reserved(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for room, res := range d.reservations {
		if _, ended := d.ended[room]; res.ID == r.PathValue("id") && !ended {
			respond(w, http.StatusOK, res)
			return
		}
	}
	message(w, http.StatusNotFound, "There is no such call.")
}

// release notes that Prosody has destroyed a room. Who was in it is told by
// the events: this call may come before or after them, or belong to a call
// that is long over.
func (d *Driver) release(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for room, res := range d.reservations {
		if res.ID == r.PathValue("id") {
			delete(d.reservations, room)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
