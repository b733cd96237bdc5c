package source

import (
	"context"
	"net/http"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Notification is one message to the inboxes of patients.
type Notification struct {
	Title      string
	Body       string
	PatientIDs []string // identity numbers, such as MyKad numbers

	// IdempotencyKey makes the message safe to send again: it arrives once.
	// Without a key, Notify never sends twice.
	IdempotencyKey string

	// Session is a token of NotificationSession. When it is empty, the
	// client's own access token is used.
	Session string
}

// NotificationResult says what became of the message to one patient.
type NotificationResult struct {
	PatientID string `json:"patientId"`
	Status    string `json:"status"`
}

// Notify sends a message and gives one result for each patient.
func (c *Client) Notify(ctx context.Context, n Notification) ([]NotificationResult, error) {
	k := call{
		method: http.MethodPost, path: "/api/v2/notification-script", media: mediaJSON,
		body:   fhir.Marshal(map[string]any{"title": n.Title, "body": n.Body, "patientIds": n.PatientIDs}),
		bearer: n.Session, repeatable: n.IdempotencyKey != "",
	}
	if n.IdempotencyKey != "" {
		k.header = map[string]string{"Idempotency-Key": n.IdempotencyKey}
	}
	var body struct {
		Results []NotificationResult `json:"results"`
	}
	err := c.doJSON(ctx, k, &body)
	return body.Results, err
}

// NotificationSession signs in to the notification API alone, by email and
// password, as systems do that have no client id. Give the token to Notify.
func (c *Client) NotificationSession(ctx context.Context, email, password string) (token string, expires time.Time, err error) {
	var body struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expiresAt"`
	}
	err = c.doJSON(ctx, call{
		method: http.MethodPost, path: "/api/v2/user/session", media: mediaJSON, open: true,
		body: fhir.Marshal(map[string]string{"email": email, "password": password}),
	}, &body)
	return body.Token, body.ExpiresAt, err
}
