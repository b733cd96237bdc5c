package subscription

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// The channels that are served.
const (
	RestHook  = "rest-hook"
	WebSocket = "websocket"
)

// Extensions of the backport to R4.
const (
	extensionFilter    = backport + "backport-filter-criteria"
	extensionContent   = backport + "backport-payload-content"
	extensionHeartbeat = backport + "backport-heartbeat-period"
	extensionTimeout   = backport + "backport-timeout"
	extensionMaxCount  = backport + "backport-max-count"
)

// Bounds of what a Subscription may ask for.
const (
	maxFilters    = 10
	maxCriteria   = 2000 // characters
	maxEndpoint   = 2000
	maxHeaders    = 20
	maxHeader     = 2000 // characters of one
	maxHeartbeat  = 7 * 24 * time.Hour
	maxTimeout    = 60 * time.Second
	maxAtOnce     = 100 // events in one notification
	defaultWait   = 10 * time.Second
	withoutValue  = "***" // stands in a stored Subscription for the value of a secret header
	formatDefault = "application/fhir+json"
)

// Order is what a Subscription asks for.
type Order struct {
	Topic     string        `json:"topic,omitempty"` // id; "" for a search
	Resource  string        `json:"resource"`
	Filters   []string      `json:"filters,omitempty"` // parameters of a search; all must be met
	Channel   string        `json:"channel"`
	Endpoint  string        `json:"endpoint,omitempty"`
	Headers   []Header      `json:"headers,omitempty"`
	Payload   Payload       `json:"payload,omitempty"` // "" for the plain notifications of R4
	Format    string        `json:"format,omitempty"`  // media type; "" when a plain notification has no content
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	Timeout   time.Duration `json:"timeout,omitempty"`
	MaxCount  int           `json:"maxCount,omitempty"`
	End       time.Time     `json:"end,omitzero"`
}

// Header is sent along with every request to a rest-hook.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Plain tells whether the notifications are those of R4 alone, without the
// Bundle of the backport.
func (o Order) Plain() bool { return o.Payload == "" }

// ReadOrder gives the order that a Subscriber was stored with.
func ReadOrder(s store.Subscriber) (o Order, err error) {
	err = json.Unmarshal(s.Order, &o)
	return o, err
}

// Marshal gives the order as a Subscriber stores it.
func (o Order) Marshal() []byte { return fhir.Marshal(o) }

// Same tells whether another order asks for the same. What may be told or sent
// hangs on nothing else.
func (o Order) Same(other Order) bool { return string(o.Marshal()) == string(other.Marshal()) }

// Wait is how long one attempt to notify may take.
func (o Order) Wait() time.Duration {
	if o.Timeout == 0 {
		return defaultWait
	}
	return o.Timeout
}

// AtOnce is how many events one notification holds at most.
func (o Order) AtOnce() int {
	if o.Plain() {
		return 1
	}
	return max(1, o.MaxCount)
}

// Read takes a Subscription apart. What the exchange could not do as it is
// asked is refused, and so is what it does not know. base is the FHIR base URL.
func (s *Set) Read(doc *fhir.Document, base string) (Order, error) {
	var o Order
	for _, step := range []func() error{
		func() error { return o.readCriteria(s, doc, base) },
		func() error { return o.readChannel(doc) },
		func() error { return o.readPayload(doc) },
		func() error { return o.readHeaders(doc) },
		func() error { return o.readTimes(doc) },
	} {
		if err := step(); err != nil {
			return Order{}, err
		}
	}
	if _, err := compile(o, base); err != nil {
		return Order{}, err
	}
	return o, nil
}

// readCriteria reads a topic with its filters, or a search as R4 has it.
func (o *Order) readCriteria(s *Set, doc *fhir.Document, base string) error {
	const element = "Subscription.criteria"
	criteria := doc.Get("criteria").String()
	switch {
	case criteria == "":
		return fhir.Errorf(fhir.CodeRequired, element, "A Subscription says in criteria what it is about: the URL of a topic, or a search such as Encounter?status=arrived.")
	case len(criteria) > maxCriteria:
		return fhir.Errorf(fhir.CodeTooLong, element, "The criteria may have at most %d characters.", maxCriteria)
	}
	if id, ok := strings.CutPrefix(criteria, Canonical(base, "")); ok {
		id, _, _ = strings.Cut(id, "|")
		topic, known := s.Find(id)
		if !known {
			return fhir.Errorf(fhir.CodeNotSupported, element, "There is no such topic; there are %s.", s.canonicals(base)).WithStatus(422)
		}
		o.Topic, o.Resource = id, topic.Resource
		return o.readFilters(doc)
	}
	criteria = strings.TrimPrefix(criteria, strings.TrimSuffix(base, "/")+"/")
	typ, query, _ := strings.Cut(criteria, "?")
	switch {
	case strings.Contains(typ, ":"):
		return fhir.Errorf(fhir.CodeNotSupported, element, "There is no such topic; there are %s.", s.canonicals(base)).WithStatus(422)
	case !search.TypeNamed(typ):
		return fhir.Errorf(fhir.CodeValue, element, "The criteria must be the URL of a topic, or begin with a resource type, such as Encounter?status=arrived.")
	case !search.Stored(typ) || typ == "Subscription":
		return fhir.Errorf(fhir.CodeNotSupported, element, "There are no notifications about records of this type.").WithStatus(422)
	}
	o.Resource = typ
	if query != "" {
		o.Filters = []string{query}
	}
	return o.readFilters(doc)
}

func (s *Set) canonicals(base string) string {
	var all []string
	for _, t := range s.topics {
		all = append(all, Canonical(base, t.ID()))
	}
	return strings.Join(all, ", ")
}

func (o *Order) readFilters(doc *fhir.Document) error {
	for n := range doc.All("_criteria.extension") {
		if !n.Get("url").Is(extensionFilter) {
			continue
		}
		element, filter := n.Path(), n.Get("valueString").String()
		typ, query, ok := strings.Cut(filter, "?")
		switch {
		case len(filter) > maxCriteria:
			return fhir.Errorf(fhir.CodeTooLong, element, "A filter may have at most %d characters.", maxCriteria)
		case !ok || query == "":
			return fhir.Errorf(fhir.CodeValue, element, "A filter reads like a search, such as %s?status=arrived.", o.Resource)
		case typ != o.Resource:
			return fhir.Errorf(fhir.CodeNotSupported, element, "What is announced is a record of type %s; filters can be about that alone.", o.Resource).WithStatus(422)
		case len(o.Filters) == maxFilters:
			return fhir.Errorf(fhir.CodeTooCostly, element, "A Subscription may have at most %d filters.", maxFilters).WithStatus(422)
		}
		o.Filters = append(o.Filters, query)
	}
	return nil
}

func (o *Order) readChannel(doc *fhir.Document) error {
	o.Channel = doc.Get("channel.type").String()
	endpoint := doc.Get("channel.endpoint").String()
	switch o.Channel {
	case RestHook:
	case WebSocket:
		return nil // the client comes to the exchange
	case "":
		return fhir.Errorf(fhir.CodeRequired, "Subscription.channel.type", "A Subscription says how it wants to be notified: rest-hook or websocket.")
	default:
		return fhir.Errorf(fhir.CodeNotSupported, "Subscription.channel.type", "Notifications go to a rest-hook or a websocket, no other channel.").WithStatus(422)
	}
	const element = "Subscription.channel.endpoint"
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		return fhir.Errorf(fhir.CodeRequired, element, "A rest-hook needs the URL that notifications are sent to.")
	case len(endpoint) > maxEndpoint:
		return fhir.Errorf(fhir.CodeTooLong, element, "The URL may have at most %d characters.", maxEndpoint)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return fhir.Errorf(fhir.CodeValue, element, "The endpoint must be an https URL.")
	case u.User != nil || u.Fragment != "":
		return fhir.Errorf(fhir.CodeValue, element, "The URL may hold no user name, password or fragment; use a header.")
	}
	o.Endpoint = endpoint
	return nil
}

// formats gives the media type of a notification for what a Subscription may
// ask for.
var formats = map[string]string{
	"application/fhir+json": formatDefault, "application/json": formatDefault,
	"application/fhir+xml": "application/fhir+xml", "application/xml": "application/fhir+xml",
}

func (o *Order) readPayload(doc *fhir.Document) error {
	const element = "Subscription.channel.payload"
	if asked := doc.Get("channel.payload").String(); asked != "" {
		plain, _, _ := strings.Cut(asked, ";")
		if o.Format = formats[strings.TrimSpace(plain)]; o.Format == "" {
			return fhir.Errorf(fhir.CodeNotSupported, element, "Notifications are application/fhir+json or application/fhir+xml.").WithStatus(422)
		}
	}
	content := doc.Get("channel._payload").Extension(extensionContent)
	o.Payload = Payload(content.Get("valueCode").String())
	switch {
	case o.Payload == "" && o.Topic == "":
		return nil
	case o.Payload == "":
		return fhir.Errorf(fhir.CodeRequired, element, "A Subscription to a topic says how much it wants to be told, in the extension %s: empty, id-only or full-resource.", extensionContent)
	case !slices.Contains([]Payload{Empty, IDOnly, FullResource}, o.Payload):
		return fhir.Errorf(fhir.CodeCodeInvalid, element, "The content must be empty, id-only or full-resource.")
	case o.Format == "":
		o.Format = formatDefault
	}
	return nil
}

// owned are headers that are the exchange's own to set, or that would change
// what a request is.
var owned = []string{
	"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "forwarded", "host", "keep-alive",
	"te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}

func (o *Order) readHeaders(doc *fhir.Document) error {
	for n := range doc.Get("channel").Get("header").Items() {
		element := n.Path()
		name, value, ok := strings.Cut(n.String(), ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		lower := strings.ToLower(name)
		switch {
		case len(o.Headers) == maxHeaders:
			return fhir.Errorf(fhir.CodeTooCostly, element, "A Subscription may have at most %d headers.", maxHeaders).WithStatus(422)
		case len(n.String()) > maxHeader:
			return fhir.Errorf(fhir.CodeTooLong, element, "A header may have at most %d characters.", maxHeader)
		case !ok || n.Kind() != fhir.String || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return fhir.Errorf(fhir.CodeValue, element, "A header reads Name: value, in characters that HTTP allows.")
		case slices.Contains(owned, lower) || strings.HasPrefix(lower, "proxy-") || strings.HasPrefix(lower, "x-forwarded-"):
			return fhir.Errorf(fhir.CodeNotSupported, element, "This header is not a Subscription's to set.").WithStatus(422)
		}
		o.Headers = append(o.Headers, Header{name, value})
	}
	return nil
}

func (o *Order) readTimes(doc *fhir.Document) error {
	channel := doc.Get("channel")
	for _, x := range []struct {
		url, value string
		least      int64
		set        func(n int64)
	}{
		{extensionHeartbeat, "valueUnsignedInt", 0, func(n int64) { o.Heartbeat = min(seconds(n), maxHeartbeat) }},
		{extensionTimeout, "valueUnsignedInt", 0, func(n int64) { o.Timeout = min(seconds(n), maxTimeout) }},
		{extensionMaxCount, "valuePositiveInt", 1, func(n int64) { o.MaxCount = int(min(n, maxAtOnce)) }},
	} {
		e := channel.Extension(x.url)
		if !e.Exists() {
			continue
		}
		n, err := strconv.ParseInt(e.Get(x.value).String(), 10, 32)
		if err != nil || n < x.least {
			return fhir.Errorf(fhir.CodeValue, e.Path(), "This must be a whole number from %d, as %s.", x.least, x.value)
		}
		x.set(n)
	}
	if end := doc.Get("end"); end.Exists() {
		at, ok := end.Time()
		if !ok {
			return fhir.Errorf(fhir.CodeValue, "Subscription.end", "The end must be an instant.")
		}
		o.End = at.UTC()
	}
	return nil
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// Filter tells whether records meet what an order asks of them.
type Filter struct{ where [][]store.Condition }

// conditions are the parameters for all types that are conditions; others
// whose names begin alike shape an answer.
var conditions = []string{"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_language"}

// compile reads the filters of an order. base is the FHIR base URL.
func compile(o Order, base string) (Filter, error) {
	var f Filter
	for _, query := range o.Filters {
		bad := func(format string, args ...any) error {
			return fhir.Errorf(fhir.CodeValue, "Subscription.criteria", "The filter on %s %s.", o.Resource, fmt.Sprintf(format, args...))
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return f, bad("cannot be read")
		}
		for key, list := range values {
			name, _, _ := strings.Cut(key, ":")
			switch {
			case strings.HasPrefix(name, "_") && !slices.Contains(conditions, name):
				return f, bad("can have conditions on the record alone")
			case slices.Contains(list, ""): // a search would leave it out, and meet more than was meant
				return f, bad("has a parameter without a value")
			}
		}
		req, err := search.Parse(o.Resource, values, base)
		var wrong *fhir.Error
		if errors.As(err, &wrong) {
			return f, fhir.Errorf(fhir.CodeValue, "Subscription.criteria", "%s", wrong.Diagnostics)
		} else if err != nil {
			return f, err
		}
		if len(req.Unknown) > 0 {
			return f, bad("has parameters that the exchange does not know: %s", strings.Join(req.Unknown, ", "))
		}
		if linked(req.Query.Where) {
			return f, bad("can have conditions on the record alone, not on those that it refers to")
		}
		f.where = append(f.where, req.Query.Where)
	}
	return f, nil
}

// linked tells whether a condition leads to other records.
func linked(where []store.Condition) bool {
	return slices.ContainsFunc(where, func(c store.Condition) bool { return c.Link != nil || linked(c.All) || linked(c.Any) })
}

// Meets tells whether a record meets all filters.
func (f Filter) Meets(r search.Record) (bool, error) {
	for _, where := range f.where {
		if ok, err := r.Meets(where); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}
