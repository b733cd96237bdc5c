package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
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
// in its order; an id that comes twice is told once. Errors have code login,
// forbidden, value, or conflict for a key that was used for another message.
func (s *Service) Send(ctx context.Context, p auth.Principal, m Message) ([]Result, error) {
	grant, err := auth.Allow(p, auth.Notify, "")
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	people, err := s.find(ctx, grant.Organization, m.PatientIDs)
	if err != nil {
		return nil, err
	}
	var statuses []Status
	var wake []string
	err = s.Store.Update(ctx, func(tx store.Tx) (err error) {
		wake = nil
		if statuses, err = m.before(tx, p); err != nil || statuses != nil {
			return err
		}
		if statuses, wake, err = s.send(tx, p, grant.Organization, m, people); err != nil {
			return err
		}
		return s.Hub.Announce(tx, s.Clock(), wake...)
	})
	if err != nil {
		return nil, err
	}
	s.Hub.Wake(wake...)
	results := make([]Result, len(m.PatientIDs))
	for i, id := range m.PatientIDs {
		results[i] = Result{id, statuses[i]}
	}
	return results, nil
}

// recipient is what is known of the person behind a patientId.
type recipient struct {
	status  Status
	number  string // normalized
	account string // id
}

// find looks the people up before the transaction that writes, which others
// wait for. Who is who changes seldom, and not within a request.
func (s *Service) find(ctx context.Context, organization string, ids []string) (people map[string]recipient, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		people = make(map[string]recipient)
		for _, id := range ids {
			if _, again := people[id]; again {
				continue
			}
			if people[id], err = look(r, organization, id); err != nil {
				return err
			}
		}
		return nil
	})
	return people, err
}

func look(r store.Reader, organization, id string) (recipient, error) {
	number, ok := mycore.NormalizeIdentityNumber(id)
	if !ok {
		return recipient{status: Unknown}, nil
	}
	known, err := Known(r, organization, number)
	if err != nil || !known {
		return recipient{status: Unknown}, err
	}
	account, err := r.Account(string(auth.Patient), number)
	if errors.Is(err, store.ErrNotFound) || err == nil && !account.Active {
		return recipient{status: NotActivated}, nil
	}
	return recipient{Delivered, number, account.ID}, err
}

// answered is what is remembered under an idempotency key. It names nobody:
// the same message has the same patientIds.
type answered struct {
	Digest   string   `json:"digest"`
	Statuses []Status `json:"statuses"`
}

// before gives the answer that the message got before, nil for none.
func (m Message) before(r store.Reader, p auth.Principal) ([]Status, error) {
	if m.IdempotencyKey == "" {
		return nil, nil
	}
	raw, err := r.Idempotent(p.ID, m.IdempotencyKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a answered
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, err
	}
	if a.Digest != m.digest() || len(a.Statuses) != len(m.PatientIDs) {
		return nil, fhir.Errorf(fhir.CodeConflict, "", "This Idempotency-Key was used for another message; use a new one.")
	}
	return a.Statuses, nil
}

// send writes to the inboxes, the audit trail and the memory of the key.
func (s *Service) send(tx store.Tx, p auth.Principal, organization string, m Message, people map[string]recipient) (statuses []Status, wake []string, err error) {
	now := s.Clock()
	told := make(map[string]bool)
	for _, id := range m.PatientIDs {
		to := people[id]
		statuses = append(statuses, to.status)
		if to.status != Delivered || told[to.number] {
			continue
		}
		told[to.number] = true
		wake = append(wake, InboxKey(to.number), PatientKey(to.account))
		if err := tx.PutNotification(store.Notification{
			ID: uuid.NewString(), IdentityNumber: to.number, Title: m.Title, Body: m.Body, Sender: organization, Created: now,
		}); err != nil {
			return nil, nil, err
		}
	}
	if err := s.trail(tx, p, "E", "notify"); err != nil || m.IdempotencyKey == "" {
		return statuses, wake, err
	}
	return statuses, wake, tx.PutIdempotent(p.ID, m.IdempotencyKey, fhir.Marshal(answered{m.digest(), statuses}), now)
}

// trail writes the audit record of what was done to messages.
func (s *Service) trail(tx store.Tx, p auth.Principal, action, operation string) error {
	return tx.PutAudit(store.Audit{
		At: s.Clock(), Action: action, Operation: operation, AgentKind: string(p.Kind), Agent: p.ID,
		Organization: p.Organization, Target: "Communication", Outcome: "0", Trace: p.Trace,
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
	for _, form := range forms(number) {
		for _, system := range mycore.IdentitySystems {
			any = append(any, store.Match{Kind: store.Token, Compare: store.Equal, Value: search.TokenValue(form, system)})
		}
	}
	return store.Query{
		Type: "Patient", Organization: organization, Count: count,
		Where: store.Where(store.Clause{Param: "identifier", Any: any}),
	}
}

var myKad = regexp.MustCompile(`^\d{12}$`)

// forms gives the ways in which records hold a normalized identity number: a
// MyKad number also with the dashes that are printed on the card.
func forms(number string) []string {
	if !myKad.MatchString(number) {
		return []string{number}
	}
	return []string{number, number[:6] + "-" + number[6:8] + "-" + number[8:]}
}

// hidden tells of a character that does not show, or that turns the direction
// of the text around it so that it reads as another one.
func hidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

func (m Message) check() error {
	control := func(r rune) bool { return hidden(r) && r != '\n' }
	visible := func(r rune) bool { return r > ' ' && r < 0x7f }
	switch {
	case strings.TrimSpace(m.Title) == "" || len([]rune(m.Title)) > maxTitle || strings.ContainsFunc(m.Title, hidden):
		return fhir.Errorf(fhir.CodeValue, "title", "The title must have 1 to %d characters on one line.", maxTitle)
	case strings.TrimSpace(m.Body) == "" || len([]rune(m.Body)) > maxBody || strings.ContainsFunc(m.Body, control):
		return fhir.Errorf(fhir.CodeValue, "body", "The body must have 1 to %d characters, none of them hidden.", maxBody)
	case len(m.PatientIDs) == 0 || len(m.PatientIDs) > maxPatients:
		return fhir.Errorf(fhir.CodeValue, "patientIds", "Name 1 to %d patients.", maxPatients)
	case len(m.IdempotencyKey) > maxKey || strings.ContainsFunc(m.IdempotencyKey, func(r rune) bool { return !visible(r) }):
		return fhir.Errorf(fhir.CodeValue, "Idempotency-Key", "The Idempotency-Key must have at most %d letters, digits and signs, without spaces.", maxKey)
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
		fresh := 0
		for _, n := range list {
			if !n.Read.IsZero() {
				continue
			}
			fresh++
			n.Read = s.Clock()
			if err := tx.PutNotification(n); err != nil {
				return err
			}
		}
		if fresh == 0 {
			return nil
		}
		return s.trail(tx, p, "U", "inbox-read")
	})
}
