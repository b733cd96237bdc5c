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
	"regexp"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Category says who may read a topic, in the words of MY Core.
type Category string

// The categories. Internal: the organisation that provides the service.
// Affiliate: the same, about what another facility did. Public: every source
// system.
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

// Organization stands in a topic's name for the id of the organisation that
// provides the service.
const Organization = "{organization}"

// Status stands in a topic's event type for the status of the record.
const Status = "{status}"

// Criterion holds when the element at the dotted path has one of the values: a
// plain text, or for a Coding or CodeableConcept a code or system|code.
type Criterion struct {
	Element string   `json:"element"`
	Any     []string `json:"any"`
}

// Topic is one kind of announcement.
type Topic struct {
	Name     string      `json:"name"` // template, such as hie.vc.encounter.{organization}
	Title    string      `json:"title"`
	Category Category    `json:"category"`
	Resource string      `json:"resource"` // the type of the record announced
	Include  []string    `json:"include"`  // types sent along, in this order
	Criteria []Criterion `json:"criteria"` // all must hold after the change
	// Changes names the elements whose change is announced, as dotted paths.
	// A new record is always announced, and so is one that newly meets the
	// criteria.
	Changes []string `json:"changes"`
	// ByOthers leaves out what the providing organisation did itself.
	ByOthers  bool    `json:"byOthers"`
	Payload   Payload `json:"payload"`
	EventType string  `json:"eventType"` // ce_type, such as my.gov.moh.hie.vc.encounter-{status}.v1
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

// Set is a checked list of topics.
type Set struct{ topics []Topic }

// New checks topics and makes a Set of them. The error is a fhir.Error that
// names the topic at fault.
func New(topics []Topic) (*Set, error) {
	seen := map[string]bool{}
	for _, t := range topics {
		if err := t.check(); err != nil {
			return nil, err
		}
		// Kafka takes names that differ only in . and _ for the same.
		plain := strings.ReplaceAll(t.Name, "_", ".")
		if seen[plain] {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "Two topics are named %q.", t.Name)
		}
		seen[plain] = true
	}
	return &Set{topics: slices.Clone(topics)}, nil
}

var (
	topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,150}$`)
	typeName  = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)
	element   = regexp.MustCompile(`^[a-zA-Z]+(\.[a-zA-Z]+)*$`)
	eventType = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,150}$`)
)

func (t Topic) check() error {
	bad := func(format string, args ...any) error {
		return fhir.Errorf(fhir.CodeInvalid, "", "Topic %q: %s.", t.Name, fmt.Sprintf(format, args...))
	}
	perOrganization := strings.Count(t.Name, Organization)
	badType := func(s string) bool { return !typeName.MatchString(s) }
	badElement := func(s string) bool { return !element.MatchString(s) }
	switch {
	case !topicName.MatchString(strings.ReplaceAll(t.Name, Organization, "")) || perOrganization > 1:
		return bad("the name may hold letters, digits, '.', '_', '-' and one %s", Organization)
	case !slices.Contains([]Category{Internal, Affiliate, Public}, t.Category):
		return bad("the category must be internal, affiliate or public")
	case !slices.Contains([]Payload{Empty, IDOnly, FullResource}, t.Payload):
		return bad("the payload must be empty, id-only or full-resource")
	case t.Category != Public && perOrganization == 0:
		return bad("only a public topic may do without %s in its name", Organization)
	case t.Category == Public && t.Payload == FullResource:
		return bad("a public topic may not carry whole records")
	case badType(t.Resource) || slices.ContainsFunc(t.Include, badType):
		return bad("a resource type is not valid")
	case len(t.Criteria) == 0:
		return bad("there must be a criterion")
	case slices.ContainsFunc(t.Criteria, func(c Criterion) bool { return badElement(c.Element) || len(c.Any) == 0 }):
		return bad("a criterion needs an element and a value")
	case slices.ContainsFunc(t.Changes, badElement):
		return bad("an element under changes is not valid")
	case !eventType.MatchString(strings.ReplaceAll(t.EventType, Status, "")):
		return bad("the event type may hold letters, digits, '.', '_', '-' and %s", Status)
	}
	return nil
}

// Topics gives the topics of the set.
func (s *Set) Topics() []Topic { return slices.Clone(s.topics) }

// Names gives the topics that an organisation may read, by the names they
// have on the broker.
func (s *Set) Names(organization string) []string {
	var names []string
	for _, t := range s.topics {
		names = append(names, t.For(organization))
	}
	return names
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
