package api

import (
	"context"
	"net/http"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/notify"
)

// Notifier sends messages to patients; *notify.Service is one.
type Notifier interface {
	Send(ctx context.Context, p auth.Principal, m notify.Message) ([]notify.Result, error)
}

// Notifications is the notification API of the guide.
type Notifications struct {
	Notifier Notifier
	Tokens   TokenIssuer
}

// Register puts the endpoints on a mux.
func (n *Notifications) Register(mux *http.ServeMux) {
	mux.Handle("/api/", nothing)
	mux.Handle("/api/v2/user/session", verbs{"POST": n.session})
	mux.Handle("/api/v2/notification-script", verbs{"POST": n.send})
}

func (n *Notifications) session(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	token, err := n.Tokens.ForNotifier(r.Context(), body.Email, body.Password)
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, map[string]string{"token": token.Value, "expiresAt": fhir.FormatInstant(token.Expires)})
}

func (n *Notifications) send(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Title      string   `json:"title"`
		Body       string   `json:"body"`
		PatientIDs []string `json:"patientIds"`
	}
	p := auth.FromContext(r.Context())
	if _, err := auth.Allow(p, auth.Notify, ""); err != nil {
		return err // before the body is looked at
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	results, err := n.Notifier.Send(r.Context(), p, notify.Message{
		Title: body.Title, Body: body.Body, PatientIDs: body.PatientIDs, IdempotencyKey: r.Header.Get("Idempotency-Key"),
	})
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, map[string]any{"results": results})
}
