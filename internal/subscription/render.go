package subscription

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	backport          = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
	notificationShape = backport + "backport-subscription-notification-r4"
	statusShape       = backport + "backport-subscription-status-r4"
	contentType       = "application/fhir+json; fhirVersion=4.0"
)

// MaxValue is the size in bytes up to which a notification carries whole
// records. A larger one is sent as id-only, for Kafka's brokers and clients
// refuse messages over 1 MiB unless every one of them is told otherwise.
const MaxValue = 900_000

// Render makes the event that announces a change on a topic; baseURL is the
// FHIR base of the exchange. The same arguments give the same bytes. It says 0
// where its number within the topic belongs, which Numbered fills in: a number
// that is taken while a change is made would let no two of them go on at once.
func Render(m Match, c Change, baseURL string) store.Event {
	subject := reference(c.After)
	id := m.Name + "/" + subject + "/_history/" + strconv.FormatInt(c.Version, 10)
	n := Notification{
		Name: id, Subscription: ID(m.Name), Topic: m.Topic.ID(), Status: Active, Kind: EventNotification, At: c.At, Payload: m.Topic.Payload,
		Events: []Event{{
			At: c.At, Version: c.Version, Created: c.Before == nil, Focus: c.After, Includes: m.Topic.Included(c.After, c.Includes),
		}},
	}
	e := store.Event{Topic: m.Name, Key: subject, Value: n.Bundle(baseURL), Created: c.At}
	add := func(name, value string) { e.Headers = append(e.Headers, store.Header{Name: name, Value: value}) }
	add("ce_specversion", "1.0")
	add("ce_id", id)
	add("ce_source", strings.TrimSuffix(baseURL, "/"))
	add("ce_type", strings.ReplaceAll(m.Topic.EventType, Status, legal(c.After.Get("status").String())))
	add("ce_subject", subject)
	add("ce_time", fhir.FormatInstant(c.At))
	add("ce_partitionkey", subject)
	add("content-type", contentType)
	if c.Trace != "" {
		add("traceparent", c.Trace)
	}
	return e
}

// Numbered gives the value of an event of Render with its number, from 1.
func Numbered(value []byte, number int64) []byte {
	said := func(n int64) []byte { return []byte(`"valueString":"` + strconv.FormatInt(n, 10) + `"`) }
	return bytes.Replace(value, said(0), said(number), 2) // the total and the event's own; what clients wrote comes behind them
}

// Included gives the records that the topic sends along with focus, in its
// order, each once.
func (t Topic) Included(focus *fhir.Document, candidates []*fhir.Document) []*fhir.Document {
	var out []*fhir.Document
	seen := map[string]bool{reference(focus): true}
	for _, typ := range t.Include {
		for _, d := range candidates {
			if d != nil && d.Type() == typ && !seen[reference(d)] {
				seen[reference(d)] = true
				out = append(out, d)
			}
		}
	}
	return out
}

// Kind is what a notification is for, in the words of R5.
type Kind string

// The kinds of notifications.
const (
	Handshake         Kind = "handshake"
	Heartbeat         Kind = "heartbeat"
	EventNotification Kind = "event-notification"
	QueryStatus       Kind = "query-status"
	QueryEvent        Kind = "query-event"
)

// The statuses of a Subscription.
const (
	Requested = "requested"
	Active    = "active"
	Failed    = "error"
	Off       = "off"
)

// Notification is one message to a subscriber.
type Notification struct {
	Name         string // tells it from all others; ids in the Bundle are made of it
	Subscription string // id
	Topic        string // id, "" when the Subscription is about a search
	Status       string // of the Subscription
	Kind         Kind
	Total        int64 // events since the Subscription began
	At           time.Time
	Events       []Event
	Payload      Payload
	Error        string // what has failed, "" when nothing has
}

// Event is one change in a Notification.
type Event struct {
	Number   int64
	At       time.Time
	Version  int64 // of Focus
	Created  bool
	Focus    *fhir.Document // nil when the subscriber may not see it
	Includes []*fhir.Document
}

// Bundle gives the notification as a Bundle of type history. One that is
// larger than MaxValue carries no whole records.
func (n Notification) Bundle(baseURL string) []byte {
	r := renderer{n, strings.TrimSuffix(baseURL, "/")}
	value := r.bundle()
	if len(value) > MaxValue && n.Payload == FullResource {
		r.Payload = IDOnly
		value = r.bundle()
	}
	return value
}

// Size is about how many bytes the records of an event have.
func (e Event) Size() int {
	if e.Focus == nil {
		return 0
	}
	size := len(e.Focus.Bytes())
	for _, d := range e.Includes {
		size += len(d.Bytes())
	}
	return size
}

// Parameters gives what the first entry of the Bundle says: how the
// Subscription is.
func (n Notification) Parameters(baseURL string) []byte {
	r := renderer{n, strings.TrimSuffix(baseURL, "/")}
	return fhir.Marshal(r.status(named(n.Name + "#status")))
}

type renderer struct {
	Notification
	base string
}

// The shapes that the exchange itself authors. Stored documents do not pass
// through them: they are copied.
type (
	parameters struct {
		ResourceType string      `json:"resourceType"`
		ID           string      `json:"id"`
		Meta         meta        `json:"meta"`
		Parameter    []parameter `json:"parameter"`
	}
	meta struct {
		Profile []string `json:"profile"`
	}
	parameter struct {
		Name                 string      `json:"name"`
		ValueReference       *literal    `json:"valueReference,omitempty"`
		ValueCodeableConcept *concept    `json:"valueCodeableConcept,omitempty"`
		ValueCanonical       string      `json:"valueCanonical,omitempty"`
		ValueCode            string      `json:"valueCode,omitempty"`
		ValueString          string      `json:"valueString,omitempty"`
		ValueInstant         string      `json:"valueInstant,omitempty"`
		Part                 []parameter `json:"part,omitempty"`
	}
	literal struct {
		Reference string `json:"reference"`
	}
	concept struct {
		Text string `json:"text"`
	}
	request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	response struct {
		Status string `json:"status"`
		Etag   string `json:"etag,omitempty"`
	}
)

func (r *renderer) bundle() []byte {
	var b bytes.Buffer
	b.WriteString(`{"resourceType":"Bundle","id":`)
	b.Write(fhir.Marshal(named(r.Name)))
	b.WriteString(`,"meta":`)
	b.Write(fhir.Marshal(meta{Profile: []string{notificationShape}}))
	b.WriteString(`,"type":"history","timestamp":`)
	b.Write(fhir.Marshal(fhir.FormatInstant(r.At)))
	b.WriteString(`,"entry":[`)
	statusID := named(r.Name + "#status")
	r.entry(&b, "urn:uuid:"+statusID, fhir.Marshal(r.status(statusID)),
		request{"GET", "Subscription/" + r.Subscription + "/$status"}, response{Status: "200"})
	if r.Payload != Empty {
		for _, e := range r.Events {
			if e.Focus == nil {
				continue
			}
			r.record(&b, e.Focus, "PUT", e.outcome())
			for _, d := range e.Includes {
				r.record(&b, d, "GET", response{Status: "200"})
			}
		}
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// named gives a UUID that depends on nothing but the name.
func named(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String()
}

func (e Event) outcome() response {
	status := "200"
	if e.Created {
		status = "201"
	}
	return response{Status: status, Etag: `W/"` + strconv.FormatInt(e.Version, 10) + `"`}
}

func (r *renderer) record(b *bytes.Buffer, d *fhir.Document, method string, resp response) {
	b.WriteByte(',')
	var body []byte
	if r.Payload == FullResource {
		body = d.Bytes()
	}
	r.entry(b, r.base+"/"+reference(d), body, request{method, reference(d)}, resp)
}

func (r *renderer) entry(b *bytes.Buffer, fullURL string, resource []byte, req request, resp response) {
	b.WriteString(`{"fullUrl":`)
	b.Write(fhir.Marshal(fullURL))
	if resource != nil {
		b.WriteString(`,"resource":`)
		b.Write(resource)
	}
	b.WriteString(`,"request":`)
	b.Write(fhir.Marshal(req))
	b.WriteString(`,"response":`)
	b.Write(fhir.Marshal(resp))
	b.WriteByte('}')
}

func (r *renderer) status(id string) parameters {
	list := []parameter{{Name: "subscription", ValueReference: &literal{r.base + "/Subscription/" + r.Subscription}}}
	if r.Payload != Empty && r.Topic != "" { // the backport asks to leave the topic out of empty notifications
		list = append(list, parameter{Name: "topic", ValueCanonical: Canonical(r.base, r.Topic)})
	}
	list = append(list,
		parameter{Name: "status", ValueCode: r.Status},
		parameter{Name: "type", ValueCode: string(r.Kind)},
		parameter{Name: "events-since-subscription-start", ValueString: strconv.FormatInt(r.Total, 10)})
	for _, e := range r.Events {
		list = append(list, parameter{Name: "notification-event", Part: r.event(e)})
	}
	if r.Error != "" {
		list = append(list, parameter{Name: "error", ValueCodeableConcept: &concept{r.Error}})
	}
	return parameters{ResourceType: "Parameters", ID: id, Meta: meta{Profile: []string{statusShape}}, Parameter: list}
}

func (r *renderer) event(e Event) []parameter {
	part := []parameter{
		{Name: "event-number", ValueString: strconv.FormatInt(e.Number, 10)},
		{Name: "timestamp", ValueInstant: fhir.FormatInstant(e.At)},
	}
	if r.Payload == Empty || e.Focus == nil {
		return part
	}
	part = append(part, parameter{Name: "focus", ValueReference: r.absolute(e.Focus)})
	for _, d := range e.Includes {
		part = append(part, parameter{Name: "additional-context", ValueReference: r.absolute(d)})
	}
	return part
}

func (r *renderer) absolute(d *fhir.Document) *literal {
	return &literal{r.base + "/" + reference(d)}
}

func reference(d *fhir.Document) string { return d.Type() + "/" + d.ID() }
