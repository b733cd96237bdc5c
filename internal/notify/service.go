package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Bounds of a message.
const (
	maxTitle    = 120 // characters
	maxBody     = 1000
	maxPatients = 500
	maxKey      = 200
	maxInbox    = 100 // messages shown
)

// Message is what a source system tells patients. PatientIDs are identity
// numbers such as MyKad numbers. A message with an IdempotencyKey that was
// sent before is not sent again.
type Message struct {
	Title          string
	Body           string
	PatientIDs     []string
	IdempotencyKey string
}

// Status is what became of a message to one patient.
type Status string

// Statuses.
const (
	Delivered    Status = "delivered"     // it is in the patient's inbox
	NotActivated Status = "not-activated" // the patient has not activated RekodSaya
	Unknown      Status = "unknown"       // the sender has no patient with this number
)

// Result tells what became of one of the PatientIDs.
type Result struct {
	PatientID string `json:"patientId"`
	Status    Status `json:"status"`
}

// Service writes to the inboxes of patients.
type Service struct {
	Store store.Store
	Hub   *Hub
	Clock func() time.Time
}

// Send delivers a message to the inbox of each patient whom the sender's
// organisation knows and who has activated RekodSaya, and reports on every id
// in its order.
func (s *Service) Send(ctx context.Context, p auth.Principal, m Message) ([]Result, error) {
	grant, err := auth.Allow(p, auth.Notify, "")
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	var results []Result
	var wake []string
	err = s.Store.Update(ctx, func(tx store.Tx) (err error) {
		results, wake, err = s.send(tx, p, grant.Organization, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Hub.Wake(wake...)
	return results, nil
}

// answered is what is remembered under an idempotency key.
type answered struct {
	Digest  string   `json:"digest"`
	Results []Result `json:"results"`
}

func (s *Service) send(tx store.Tx, p auth.Principal, organization string, m Message) (results []Result, wake []string, err error) {
	digest := m.digest()
	if m.IdempotencyKey != "" {
		raw, err := tx.Idempotent(p.ID, m.IdempotencyKey)
		if err == nil {
			var before answered
			if err := json.Unmarshal(raw, &before); err != nil {
				return nil, nil, err
			}
			if before.Digest != digest {
				return nil, nil, fhir.Errorf(fhir.CodeConflict, "", "This Idempotency-Key was used for another message.")
			}
			return before.Results, nil, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, nil, err
		}
	}
	told := make(map[string]Status)
	for _, id := range m.PatientIDs {
		number, ok := mycore.NormalizeIdentityNumber(id)
		status, again := told[number]
		if !ok {
			status = Unknown
		} else if !again {
			if status, err = s.deliver(tx, organization, number, m); err != nil {
				return nil, nil, err
			}
			told[number] = status
			if status == Delivered {
				wake = append(wake, InboxKey(number))
			}
		}
		results = append(results, Result{PatientID: id, Status: status})
	}
	if err := tx.PutAudit(store.Audit{
		At: s.Clock(), Action: "E", Operation: "notify", AgentKind: string(p.Kind), Agent: p.ID,
		Organization: organization, Target: "Communication", Outcome: "0", Trace: p.Trace,
	}); err != nil {
		return nil, nil, err
	}
	if m.IdempotencyKey == "" {
		return results, wake, nil
	}
	return results, wake, tx.PutIdempotent(p.ID, m.IdempotencyKey, fhir.Marshal(answered{digest, results}), s.Clock())
}

// deliver writes to one inbox.
func (s *Service) deliver(tx store.Tx, organization, number string, m Message) (Status, error) {
	known, err := Known(tx, organization, number)
	if err != nil || !known {
		return Unknown, err
	}
	account, err := tx.Account(string(auth.Patient), number)
	if errors.Is(err, store.ErrNotFound) || err == nil && !account.Active {
		return NotActivated, nil
	}
	if err != nil {
		return Unknown, err
	}
	return Delivered, tx.PutNotification(store.Notification{
		ID: uuid.NewString(), IdentityNumber: number, Title: m.Title, Body: m.Body, Sender: organization, Created: s.Clock(),
	})
}

// Known tells whether an organisation ("" for any) has a Patient record with
// the identity number.
func Known(r store.Reader, organization, number string) (bool, error) {
	page, err := r.Search(ByIdentityNumber(number, organization, 1))
	return len(page.Resources) > 0, err
}

// ByIdentityNumber asks for the Patient records of a person that an
// organisation ("" for any) may see.
func ByIdentityNumber(number, organization string, count int) store.Query {
	var any []store.Match
	for _, system := range mycore.IdentitySystems {
		any = append(any, store.Match{Kind: store.Token, Compare: store.Equal, Value: search.TokenValue(number, system)})
	}
	return store.Query{
		Type: "Patient", Organization: organization, Count: count,
		Where: []store.Clause{{Param: "identifier", Any: any}},
	}
}

func (m Message) check() error {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' }
	switch {
	case strings.TrimSpace(m.Title) == "" || len([]rune(m.Title)) > maxTitle || strings.ContainsFunc(m.Title, unicode.IsControl):
		return fhir.Errorf(fhir.CodeValue, "title", "The title must have 1 to %d characters on one line.", maxTitle)
	case strings.TrimSpace(m.Body) == "" || len([]rune(m.Body)) > maxBody || strings.ContainsFunc(m.Body, control):
		return fhir.Errorf(fhir.CodeValue, "body", "The body must have 1 to %d characters.", maxBody)
	case len(m.PatientIDs) == 0 || len(m.PatientIDs) > maxPatients:
		return fhir.Errorf(fhir.CodeValue, "patientIds", "Name 1 to %d patients.", maxPatients)
	case len(m.IdempotencyKey) > maxKey:
		return fhir.Errorf(fhir.CodeValue, "Idempotency-Key", "The key must have at most %d characters.", maxKey)
	}
	return nil
}

func (m Message) digest() string {
	sum := sha256.Sum256(fhir.Marshal([]any{m.Title, m.Body, m.PatientIDs}))
	return hex.EncodeToString(sum[:])
}

// Inbox gives the messages of a patient, the newest first.
func (s *Service) Inbox(ctx context.Context, p auth.Principal) (list []store.Notification, err error) {
	if p.Kind != auth.Patient {
		return nil, auth.ErrForbidden()
	}
	err = s.Store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.Notifications(p.Login, maxInbox)
		return err
	})
	return list, err
}

// MarkRead marks all messages of a patient as read.
func (s *Service) MarkRead(ctx context.Context, p auth.Principal) error {
	if p.Kind != auth.Patient {
		return auth.ErrForbidden()
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		list, err := tx.Notifications(p.Login, maxInbox)
		if err != nil {
			return err
		}
		for _, n := range list {
			if !n.Read.IsZero() {
				continue
			}
			n.Read = s.Clock()
			if err := tx.PutNotification(n); err != nil {
				return err
			}
		}
		return nil
	})
}
