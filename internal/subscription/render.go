package subscription

import (
	"bytes"
	"strconv"
	"strings"

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

// Render makes the event that announces a change on a topic. number counts the
// events of that topic from 1; baseURL is the FHIR base of the exchange. The
// same arguments give the same bytes.
func Render(m Match, c Change, number int64, baseURL string) store.Event {
	base := strings.TrimSuffix(baseURL, "/")
	subject := reference(c.After)
	id := m.Name + "/" + subject + "/_history/" + strconv.FormatInt(c.Version, 10)
	r := renderer{match: m, change: c, number: strconv.FormatInt(number, 10), base: base, id: id, payload: m.Topic.Payload}
	value := r.bundle()
	if len(value) > MaxValue && r.payload == FullResource {
		r.payload = IDOnly
		value = r.bundle()
	}
	e := store.Event{Topic: m.Name, Key: subject, Number: number, Value: value, Created: c.At}
	add := func(name, value string) { e.Headers = append(e.Headers, store.Header{Name: name, Value: value}) }
	add("ce_specversion", "1.0")
	add("ce_id", id)
	add("ce_source", base)
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

type renderer struct {
	match   Match
	change  Change
	number  string
	base    string
	id      string // ce_id
	payload Payload
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
		Name           string      `json:"name"`
		ValueReference *literal    `json:"valueReference,omitempty"`
		ValueCanonical string      `json:"valueCanonical,omitempty"`
		ValueCode      string      `json:"valueCode,omitempty"`
		ValueString    string      `json:"valueString,omitempty"`
		ValueInstant   string      `json:"valueInstant,omitempty"`
		Part           []parameter `json:"part,omitempty"`
	}
	literal struct {
		Reference string `json:"reference"`
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
	b.Write(fhir.Marshal(named(r.id)))
	b.WriteString(`,"meta":`)
	b.Write(fhir.Marshal(meta{Profile: []string{notificationShape}}))
	b.WriteString(`,"type":"history","timestamp":`)
	b.Write(fhir.Marshal(fhir.FormatInstant(r.change.At)))
	b.WriteString(`,"entry":[`)
	statusID := named(r.id + "#status")
	subscription := "Subscription/" + ID(r.match.Name)
	r.entry(&b, "urn:uuid:"+statusID, fhir.Marshal(r.status(statusID)),
		request{"GET", subscription + "/$status"}, response{Status: "200"})
	if r.payload != Empty {
		r.record(&b, r.change.After, "PUT", r.outcome())
		for _, d := range r.includes() {
			r.record(&b, d, "GET", response{Status: "200"})
		}
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// named gives a UUID that depends on nothing but the name.
func named(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String()
}

func (r *renderer) outcome() response {
	status := "200"
	if r.change.Before == nil {
		status = "201"
	}
	return response{Status: status, Etag: `W/"` + strconv.FormatInt(r.change.Version, 10) + `"`}
}

func (r *renderer) record(b *bytes.Buffer, d *fhir.Document, method string, resp response) {
	b.WriteByte(',')
	var body []byte
	if r.payload == FullResource {
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
	event := parameter{Name: "notification-event", Part: []parameter{
		{Name: "event-number", ValueString: r.number},
		{Name: "timestamp", ValueInstant: fhir.FormatInstant(r.change.At)},
	}}
	if r.payload != Empty {
		event.Part = append(event.Part, parameter{Name: "focus", ValueReference: r.absolute(r.change.After)})
		for _, d := range r.includes() {
			event.Part = append(event.Part, parameter{Name: "additional-context", ValueReference: r.absolute(d)})
		}
	}
	list := []parameter{{Name: "subscription", ValueReference: &literal{r.base + "/Subscription/" + ID(r.match.Name)}}}
	if r.payload != Empty { // the backport asks to leave the topic out of empty notifications
		list = append(list, parameter{Name: "topic", ValueCanonical: r.base + "/SubscriptionTopic/" + r.match.Topic.canonical()})
	}
	list = append(list,
		parameter{Name: "status", ValueCode: "active"},
		parameter{Name: "type", ValueCode: "event-notification"},
		parameter{Name: "events-since-subscription-start", ValueString: r.number},
		event)
	return parameters{ResourceType: "Parameters", ID: id, Meta: meta{Profile: []string{statusShape}}, Parameter: list}
}

func (r *renderer) absolute(d *fhir.Document) *literal {
	return &literal{r.base + "/" + reference(d)}
}

// includes gives the records that the topic sends along, in its order, each
// once.
func (r *renderer) includes() []*fhir.Document {
	var out []*fhir.Document
	seen := map[string]bool{reference(r.change.After): true}
	for _, typ := range r.match.Topic.Include {
		for _, d := range r.change.Includes {
			if d != nil && d.Type() == typ && !seen[reference(d)] {
				seen[reference(d)] = true
				out = append(out, d)
			}
		}
	}
	return out
}

func reference(d *fhir.Document) string { return d.Type() + "/" + d.ID() }
