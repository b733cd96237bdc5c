package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/library"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Subscriptions is what the operations on Subscriptions need;
// delivery.Service is one.
type Subscriptions interface {
	Status(ctx context.Context, p auth.Principal, id string) ([]byte, error)
	Statuses(ctx context.Context, p auth.Principal, ids, statuses []string) ([][]byte, error)
	Events(ctx context.Context, p auth.Principal, q delivery.EventQuery) ([]byte, error)
	Token(ctx context.Context, p auth.Principal, ids []string) (delivery.Token, error)
	Set() *subscription.Set
}

var errNoSubscriptions = fhir.Errorf(fhir.CodeNotSupported, "", "This exchange serves no Subscriptions.").WithStatus(http.StatusNotFound)

// subscriptionStatus answers [base]/Subscription/$status and
// [base]/Subscription/id/$status.
func (f *FHIR) subscriptionStatus(w http.ResponseWriter, r *http.Request) error {
	values, err := f.askedOf(w, r)
	if err != nil {
		return err
	}
	ctx, p := r.Context(), auth.FromContext(r.Context())
	var bodies [][]byte
	if id := r.PathValue("id"); id != "" {
		body, err := f.subs.Status(ctx, p, id)
		if err != nil {
			return err
		}
		bodies = [][]byte{body}
	} else if bodies, err = f.subs.Statuses(ctx, p, listed(values, "id"), listed(values, "status")); err != nil {
		return err
	}
	self := []link{{"self", f.baseURL() + strings.TrimPrefix(r.URL.Path, Root)}}
	w.Header().Set("Content-Type", mediaFHIR)
	b := newBundle(w, "searchset", fhir.FormatInstant(f.clock()), len(bodies), self)
	for _, body := range bodies {
		doc, err := fhir.Parse(body)
		if err != nil {
			return err
		}
		b.add(entry{fullURL: "urn:uuid:" + doc.ID(), resource: body, search: modeMatch})
	}
	b.end()
	return nil
}

// subscriptionEvents answers [base]/Subscription/id/$events.
func (f *FHIR) subscriptionEvents(w http.ResponseWriter, r *http.Request) error {
	values, err := f.askedOf(w, r)
	if err != nil {
		return err
	}
	body, err := f.subs.Events(r.Context(), auth.FromContext(r.Context()), delivery.EventQuery{
		ID: r.PathValue("id"), Since: values.Get("eventsSinceNumber"), Until: values.Get("eventsUntilNumber"), Content: values.Get("content"),
	})
	if err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, body)
}

// bindingToken answers [base]/Subscription/$get-ws-binding-token and
// [base]/Subscription/id/$get-ws-binding-token.
func (f *FHIR) bindingToken(w http.ResponseWriter, r *http.Request) error {
	values, err := f.askedOf(w, r)
	if err != nil {
		return err
	}
	ids := listed(values, "id")
	if id := r.PathValue("id"); id != "" {
		ids = []string{id}
	}
	token, err := f.subs.Token(r.Context(), auth.FromContext(r.Context()), ids)
	if err != nil {
		return err
	}
	type value = map[string]string
	out := []value{{"name": "token", "valueString": token.Value}, {"name": "expiration", "valueDateTime": fhir.FormatDateTime(token.Expires)}}
	for _, id := range token.Subscriptions {
		out = append(out, value{"name": "subscription", "valueString": id})
	}
	out = append(out, value{"name": "websocket-url", "valueUrl": f.socketURL()})
	return writeBody(w, http.StatusOK, fhir.Marshal(struct {
		ResourceType string  `json:"resourceType"`
		Parameter    []value `json:"parameter"`
	}{"Parameters", out}))
}

// askedOf gives the parameters of an operation on Subscriptions.
func (f *FHIR) askedOf(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if f.subs == nil {
		return nil, errNoSubscriptions
	}
	return parametersOf(w, r)
}

// listed gives the values of a parameter, which may also stand in one,
// separated by commas.
func listed(values url.Values, name string) (list []string) {
	for _, v := range values[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}

// socketURL gives the address at which websockets are opened.
func (f *FHIR) socketURL() string {
	origin := strings.TrimSuffix(f.baseURL(), Root)
	return strings.Replace(origin, "http", "ws", 1) + SocketPath
}

// topicType is the type in the URLs of topics. R4 does not have it: its
// resources are Basic, as the backport shows them.
const topicType = "SubscriptionTopic"

// topic answers the URL of a topic, and [base]/SubscriptionTopic with all.
func (f *FHIR) topic(w http.ResponseWriter, r *http.Request, format error) error {
	switch {
	case auth.FromContext(r.Context()).Kind == "":
		return fhir.Errorf(fhir.CodeLogin, "", "This needs an access token.")
	case format != nil:
		return format
	}
	set := f.subs.Set()
	if id := r.PathValue("id"); id != "" {
		t, known := set.Find(id)
		if !known {
			return fhir.Errorf(fhir.CodeNotFound, "", "There is no topic at this address.")
		}
		return writeBody(w, http.StatusOK, t.Basic(f.baseURL()))
	}
	w.Header().Set("Content-Type", mediaFHIR)
	b := newBundle(w, "searchset", fhir.FormatInstant(f.clock()), len(set.Topics()), []link{{"self", f.baseURL() + "/" + topicType}})
	for _, t := range set.Topics() {
		b.add(entry{fullURL: subscription.Canonical(f.baseURL(), t.ID()), resource: t.Basic(f.baseURL()), search: modeMatch})
	}
	b.end()
	return nil
}

// SubscriptionDefinitions gives the profile of Subscriptions and its extensions.
func SubscriptionDefinitions() []library.Item {
	var all []library.Item
	for _, doc := range subscription.Definitions() {
		all = append(all, library.Item{ID: doc.ID(), Make: func() any { return doc }})
	}
	return all
}

const (
	extensionTopic  = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
	extensionSocket = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket"
)

// describeSubscriptions adds the topics, as the backport has them, to what is
// said of the type Subscription.
func (f *FHIR) describeSubscriptions(c *capabilityOfType) {
	if c.Type != "Subscription" || f.subs == nil {
		return
	}
	c.SupportedProfile = append(c.SupportedProfile, subscription.Profile)
	for _, t := range f.subs.Set().Topics() {
		c.Extension = append(c.Extension, extension{URL: extensionTopic, ValueCanonical: subscription.Canonical(f.baseURL(), t.ID())})
	}
}
