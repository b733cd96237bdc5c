// Package subscription decides which changes of a record are announced on
// which topic, and writes the announcement that source systems receive.
//
// A topic is data: a name template, criteria over the elements of one resource
// type, the elements whose change counts, and what is sent along. One renderer
// makes the FHIR R4 subscription notification Bundle with its CloudEvents
// headers; the documents inside keep the bytes in which they are stored.
//
// The package is pure: it neither stores nor sends, and it announces no
// deletions.
package subscription

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Category says who may read a topic, in the words of MY Core.
type Category string

// The categories. Internal: the organisation that is told. Affiliate: the
// same, about what another facility did. Public: every source system.
const (
	Internal  Category = "internal"
	Affiliate Category = "affiliate"
	Public    Category = "public"
)

// Payload is how much of a record a notification carries.
type Payload string

// The payloads of the R4 subscription backport.
const (
	Empty        Payload = "empty"         // only that something happened
	IDOnly       Payload = "id-only"       // and to which record
	FullResource Payload = "full-resource" // and the record with what it includes
)

// Organization stands in a topic's name for the id of the organisation that is
// told.
const Organization = "{organization}"

// Status stands in a topic's event type for the status of the record.
const Status = "{status}"

// Criterion holds when the element at the dotted path has one of the values: a
// plain text, or for a Coding or CodeableConcept a code or system|code.
type Criterion struct {
	Element string   `json:"element" yaml:"element"`
	Any     []string `json:"any" yaml:"any,flow"`
}

// Topic is one kind of announcement. Operators write topics in files, with the
// names of the tags.
type Topic struct {
	Name     string   `json:"name" yaml:"name"` // template, such as hie.vc.encounter.{organization}
	Title    string   `json:"title" yaml:"title"`
	Category Category `json:"category" yaml:"category"`
	Resource string   `json:"resource" yaml:"resource"` // the type of the record announced
	// Recipients names the elements whose references say which organisations
	// are told, as dotted paths such as performer: an Organization itself, of
	// another record the organisation that it belongs to. They may read the
	// record from then on. Without it the organisation that provides the
	// service is told, which the exchange knows for the types of provided
	// alone.
	Recipients []string    `json:"recipients,omitempty" yaml:"recipients,omitempty,flow"`
	Include    []string    `json:"include" yaml:"include,flow"` // types sent along, in this order
	Criteria   []Criterion `json:"criteria" yaml:"criteria"`    // all must hold after the change
	// Changes names the elements whose change is announced, as dotted paths.
	// A new record is always announced, and so is one that newly meets the
	// criteria or newly names a recipient.
	Changes []string `json:"changes" yaml:"changes,flow"`
	// ByOthers leaves out what the organisation that is told did itself.
	ByOthers  bool    `json:"byOthers" yaml:"byOthers"`
	Payload   Payload `json:"payload" yaml:"payload"`
	EventType string  `json:"eventType" yaml:"eventType"` // ce_type, such as my.gov.moh.hie.vc.encounter-{status}.v1
}

// Default gives the topics of the virtual consultation.
func Default() []Topic {
	return []Topic{{
		Name:      "hie.vc.encounter." + Organization,
		Title:     "Virtual Consultation Encounter",
		Category:  Internal,
		Resource:  "Encounter",
		Include:   []string{"Patient", "Appointment"},
		Criteria:  []Criterion{{Element: "class", Any: []string{"VR"}}},
		Changes:   []string{"status"},
		Payload:   FullResource,
		EventType: "my.gov.moh.hie.vc.encounter-" + Status + ".v1",
	}, {
		Name:      "hie.vc.appointment." + Organization,
		Title:     "Virtual Consultation Appointment Affiliate",
		Category:  Affiliate,
		Resource:  "Appointment",
		Include:   []string{"Patient"},
		Criteria:  []Criterion{{Element: "serviceType", Any: []string{"VCI", "VCE", "VCMDT", "VCD"}}},
		Changes:   []string{"status", "start", "end", "slot.reference"},
		ByOthers:  true,
		Payload:   FullResource,
		EventType: "my.gov.moh.hie.vc.appointment-" + Status + ".v1",
	}}
}

// Topics gives the topics of the set.
func (s *Set) Topics() []Topic { return slices.Clone(s.topics) }

// Names gives the topics of an organisation by the names they have on the
// broker; for "" those that every organisation may read.
func (s *Set) Names(organization string) []string {
	var names []string
	for _, t := range s.topics {
		if (t.Category == Public) == (organization == "") {
			names = append(names, t.For(organization))
		}
	}
	return names
}

// Owns tells whether a name on the broker is that of one of the topics, for
// any organisation.
func (s *Set) Owns(name string) bool {
	return slices.ContainsFunc(s.topics, func(t Topic) bool { return t.owns(name) })
}

func (t Topic) owns(name string) bool {
	before, after, perOrganization := strings.Cut(t.Name, Organization)
	if !perOrganization {
		return name == t.Name
	}
	return len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
}

// For gives the topic's name on the broker for an organisation.
func (t Topic) For(organization string) string {
	return strings.ReplaceAll(t.Name, Organization, legal(organization))
}

const longestOrganization = 90

// legal turns an id into characters that Kafka allows in a topic's name. Ids
// of FHIR stay as they are; different ids never become the same name.
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

// ID gives the id of the topic: its name without the organisation.
func (t Topic) ID() string {
	return strings.Trim(strings.ReplaceAll(t.Name, Organization, ""), ".-_")
}

// ID gives the id of the Subscription that stands behind a topic on the
// broker: its name, or a hash of it when it is no valid FHIR id.
func ID(name string) string {
	if fhir.ValidID(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// Canonical gives the URL by which a topic is named to clients, below the FHIR
// base URL.
func Canonical(base, id string) string {
	return strings.TrimSuffix(base, "/") + "/SubscriptionTopic/" + id
}

// Find gives the topic with an id.
func (s *Set) Find(id string) (Topic, bool) {
	i := slices.IndexFunc(s.topics, func(t Topic) bool { return t.ID() == id })
	if i < 0 {
		return Topic{}, false
	}
	return s.topics[i], true
}
