package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

// SessionKeeper keeps the sessions of virtual consultations; *consult.Service
// is one.
type SessionKeeper interface {
	CreateSession(ctx context.Context, p auth.Principal, n consult.NewSession) (consult.SessionView, error)
	Session(ctx context.Context, p auth.Principal, token string) (consult.SessionView, error)
	PractitionerJoin(ctx context.Context, p auth.Principal, token string, person meeting.Person) (meeting.Credentials, error)
	Activate(ctx context.Context, p auth.Principal, token string) (consult.SessionView, error)
	EndSession(ctx context.Context, p auth.Principal, token string) (consult.SessionView, error)
}

// Sessions is the Jitsi session API for source systems.
type Sessions struct {
	Keeper SessionKeeper
}

// Register puts the endpoints on a mux.
func (s *Sessions) Register(mux *http.ServeMux) {
	mux.Handle("/jitsi/", nothing)
	mux.Handle("/jitsi/v1/sessions", verbs{"POST": s.create})
	mux.Handle("/jitsi/v1/sessions/{token}", verbs{"GET": s.read, "PATCH": s.change})
	mux.Handle("/jitsi/v1/sessions/{token}/join", verbs{"GET": s.join})
}

type sessionBody struct {
	Token        string        `json:"token"`
	Status       string        `json:"status"`
	Room         string        `json:"room"`
	ServiceType  string        `json:"serviceType"`
	Title        string        `json:"title"`
	CreatedAt    string        `json:"createdAt"`
	ActivatedAt  string        `json:"activatedAt,omitempty"`
	EndedAt      string        `json:"endedAt,omitempty"`
	Participants []participant `json:"participants"`
}

type participant struct {
	ID   string       `json:"id"`
	Name string       `json:"name"`
	Role meeting.Role `json:"role"`
}

func sessionOf(v consult.SessionView) sessionBody {
	b := sessionBody{
		Token: v.Token, Status: v.Status, Room: v.Room, ServiceType: v.ServiceType, Title: v.Title,
		CreatedAt: instant(v.Created), ActivatedAt: instant(v.Activated), EndedAt: instant(v.Ended),
		Participants: []participant{},
	}
	for _, p := range v.Present {
		b.Participants = append(b.Participants, participant(p))
	}
	return b
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fhir.FormatInstant(t)
}

func (s *Sessions) create(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ServiceType string `json:"serviceType"`
		Title       string `json:"title"`
	}
	p := auth.FromContext(r.Context())
	if _, err := auth.Allow(p, auth.Session, ""); err != nil {
		return err // before the body is looked at
	}
	if r.ContentLength != 0 {
		if err := decode(w, r, &body); err != nil {
			return err
		}
	}
	v, err := s.Keeper.CreateSession(r.Context(), p, consult.NewSession(body))
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/jitsi/v1/sessions/"+v.Token)
	return respond(w, http.StatusCreated, sessionOf(v))
}

func (s *Sessions) read(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Keeper.Session(r.Context(), auth.FromContext(r.Context()), r.PathValue("token"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, sessionOf(v))
}

const maxName = 80 // characters of a name shown in the call

func (s *Sessions) join(w http.ResponseWriter, r *http.Request) error {
	p := auth.FromContext(r.Context())
	query := r.URL.Query()
	name := strings.TrimSpace(query.Get("name"))
	switch role := query.Get("role"); {
	case role == string(meeting.Patient):
		return fhir.Errorf(fhir.CodeForbidden, "role", "Patients join through RekodSaya.")
	case role != string(meeting.Practitioner):
		return fhir.Errorf(fhir.CodeValue, "role", "The role must be practitioner.")
	case name == "" || len([]rune(name)) > maxName || strings.ContainsFunc(name, unicode.IsControl):
		return fhir.Errorf(fhir.CodeValue, "name", "Give the name to show in the call, at most %d characters.", maxName)
	}
	// Who comes back is the same person: by the id that the source system
	// gives, or else by name.
	id := query.Get("id")
	if id == "" {
		id = name
	}
	sum := sha256.Sum256([]byte(p.ID + "\x00" + id))
	c, err := s.Keeper.PractitionerJoin(r.Context(), p, r.PathValue("token"), meeting.Person{
		ID: "practitioner-" + hex.EncodeToString(sum[:12]), Name: name, Role: meeting.Practitioner,
	})
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, c)
}

func (s *Sessions) change(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Status string `json:"status"`
	}
	p := auth.FromContext(r.Context())
	if _, err := auth.Allow(p, auth.Session, ""); err != nil {
		return err // before the body is looked at
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	act, ok := map[string]func(context.Context, auth.Principal, string) (consult.SessionView, error){
		consult.SessionActive: s.Keeper.Activate,
		consult.SessionEnded:  s.Keeper.EndSession,
	}[body.Status]
	if !ok {
		return fhir.Errorf(fhir.CodeValue, "status", "The status must be active or ended.")
	}
	v, err := act(r.Context(), p, r.PathValue("token"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, sessionOf(v))
}
