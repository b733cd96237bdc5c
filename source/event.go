package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Event says that a record changed.
type Event struct {
	ID      string    // names the event; one that arrives again has the same
	Type    string    // such as my.gov.moh.hie.vc.encounter-arrived.v1
	Subject string    // the changed record, such as Encounter/e1
	Topic   string    // on which it came
	Time    time.Time // of the change

	// Focus is the changed record as it was then, Included what belongs to
	// it. Both are nil on a topic that carries references only, and when the
	// record is too large for a message: then Get the Subject.
	Focus    *fhir.Document
	Included []*fhir.Document

	// Bundle is the notification as it came.
	Bundle *fhir.Document
}

// ParseEvent reads a message of the exchange: CloudEvents headers (ce_id and
// so on) and a notification Bundle of R4 subscriptions.
func ParseEvent(headers map[string]string, value []byte) (Event, error) {
	e := Event{ID: headers["ce_id"], Type: headers["ce_type"], Subject: headers["ce_subject"]}
	if headers["ce_specversion"] != "1.0" || e.ID == "" || e.Type == "" {
		return Event{}, errors.New("the message is no event: its CloudEvents headers are missing")
	}
	focus, ok := fhir.ParseReference(e.Subject, "")
	if !ok {
		return Event{}, errors.New("the message is no event: ce_subject is no reference")
	}
	at, err := time.Parse(time.RFC3339, headers["ce_time"])
	if err != nil {
		return Event{}, errors.New("the message is no event: ce_time is no time")
	}
	e.Time = at
	e.Topic, _, _ = strings.Cut(e.ID, "/"+e.Subject+"/")
	bundle, err := fhir.ParseWithin(value, answerLimits)
	if err != nil || bundle.Type() != "Bundle" || !bundle.Get("type").Is("history") {
		return Event{}, errors.New("the message is no event: its value is no notification Bundle")
	}
	e.Bundle = bundle
	for entry := range bundle.All("entry") {
		typ := entry.Get("resource").Get("resourceType")
		if !typ.Exists() || typ.Is("Parameters") {
			continue // a reference only, or the status of the subscription
		}
		doc, err := resource(entry)
		if err != nil {
			return Event{}, fmt.Errorf("the message holds a broken record: %w", err)
		}
		if doc.Type() == focus.Type && doc.ID() == focus.ID {
			e.Focus = doc
		} else {
			e.Included = append(e.Included, doc)
		}
	}
	return e, nil
}

// EncounterTopic gives the topic of the virtual Encounters that an
// organisation provides, by the id of the Organization. Where the operator has
// named the topics otherwise, see TopicName.
func EncounterTopic(organization string) string {
	return TopicName("hie.vc.encounter.{organization}", organization)
}

// AppointmentTopic gives the topic of the virtual Appointments of an
// organisation that somebody else changed.
func AppointmentTopic(organization string) string {
	return TopicName("hie.vc.appointment.{organization}", organization)
}

// TopicName gives the name of an organisation's topic from what the operator
// has told of it, such as hie.lab.request.{organization}. Ids of FHIR stand in
// it as they are.
func TopicName(template, organization string) string {
	return strings.ReplaceAll(template, "{organization}", legal(organization))
}

const longestOrganization = 90

// legal turns an id into characters that Kafka allows in a topic's name, in
// the same way as the exchange.
func legal(id string) string {
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	if b.Len() <= longestOrganization {
		return b.String()
	}
	sum := sha256.Sum256([]byte(id))
	return b.String()[:longestOrganization-34] + "__" + hex.EncodeToString(sum[:16])
}

// Seen remembers the ids of the latest events, so that a handler can pass over
// one that arrives again. It forgets when the program ends: acts that must not
// happen twice need a key in the source system's own database. It is safe for
// concurrent use.
type Seen struct {
	mu   sync.Mutex
	ids  map[string]bool
	ring []string
	next int
}

const defaultSeen = 10_000

// NewSeen makes a Seen that remembers size ids; 10,000 when size is not
// positive.
func NewSeen(size int) *Seen {
	if size <= 0 {
		size = defaultSeen
	}
	return &Seen{ids: make(map[string]bool), ring: make([]string, size)}
}

// Has tells whether the event was added and is not forgotten yet.
func (s *Seen) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

// Add remembers an event; call it when the work for it is done. The oldest one
// is forgotten when there are too many.
func (s *Seen) Add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[id] {
		return
	}
	delete(s.ids, s.ring[s.next])
	s.ids[id] = true
	s.ring[s.next] = id
	s.next = (s.next + 1) % len(s.ring)
}
