package source

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// NewSession is what a session begins with. Both may be empty.
type NewSession struct {
	ServiceType string `json:"serviceType,omitempty"` // VCI or VCE
	Title       string `json:"title,omitempty"`       // shown to all in the call: no patient's name
}

// Session is one room of a virtual consultation. Its token is a secret: it
// belongs into the records and nowhere else.
type Session struct {
	Token        string        `json:"token"`
	Status       string        `json:"status"` // created, active or ended
	Room         string        `json:"room"`
	ServiceType  string        `json:"serviceType"`
	Title        string        `json:"title"`
	CreatedAt    time.Time     `json:"createdAt"`
	ActivatedAt  time.Time     `json:"activatedAt"` // zero before
	EndedAt      time.Time     `json:"endedAt"`     // zero before
	Participants []Participant `json:"participants"`
}

// Participant is somebody in the room now.
type Participant struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"` // practitioner or patient
}

// JoinRequest says who joins. Name, at most 80 characters, is shown in the
// call; ID is the source system's own for this person, so that one who comes
// back takes the old place (the name counts when it is empty).
type JoinRequest struct {
	Name, ID string
}

// Credentials let one practitioner into one room. Open JoinURL in a browser;
// JWT, Domain and Room are for an embedded call.
type Credentials struct {
	JoinURL   string    `json:"joinUrl"`
	JWT       string    `json:"jwt"`
	Domain    string    `json:"domain"`
	Room      string    `json:"room"`
	ExpiresAt time.Time `json:"expiresAt"`
}

const sessions = "/jitsi/v1/sessions"

// CreateSession opens a session of its own, as a group consultation (VCE)
// needs. That of an individual one is opened by the patient's check-in. It is
// never sent twice: a session without records does no harm.
func (c *Client) CreateSession(ctx context.Context, n NewSession) (Session, error) {
	return c.session(ctx, call{method: http.MethodPost, path: sessions, media: mediaJSON, body: fhir.Marshal(n)})
}

// Session reads a session by its token.
func (c *Client) Session(ctx context.Context, token string) (Session, error) {
	return c.session(ctx, call{method: http.MethodGet, path: at(token), repeatable: true})
}

// Activate starts a session: every patient who waits for it may join.
func (c *Client) Activate(ctx context.Context, token string) (Session, error) {
	return c.change(ctx, token, "active")
}

// End ends a session and its call for everybody. The Encounters stay as they
// are; finish them with FinishEncounter and Put.
func (c *Client) End(ctx context.Context, token string) (Session, error) {
	return c.change(ctx, token, "ended")
}

func (c *Client) change(ctx context.Context, token, status string) (Session, error) {
	body := fhir.Marshal(map[string]string{"status": status})
	return c.session(ctx, call{method: http.MethodPatch, path: at(token), media: mediaJSON, body: body, repeatable: true})
}

func (c *Client) session(ctx context.Context, k call) (Session, error) {
	var s Session
	err := c.doJSON(ctx, k, &s)
	return s, err
}

// Join gives a practitioner of the source system what is needed to enter.
func (c *Client) Join(ctx context.Context, token string, who JoinRequest) (Credentials, error) {
	query := url.Values{"role": {"practitioner"}, "name": {who.Name}}
	if who.ID != "" {
		query.Set("id", who.ID)
	}
	var creds Credentials
	err := c.doJSON(ctx, call{method: http.MethodGet, path: at(token) + "/join?" + query.Encode(), repeatable: true}, &creds)
	return creds, err
}

func at(token string) string { return sessions + "/" + url.PathEscape(token) }
