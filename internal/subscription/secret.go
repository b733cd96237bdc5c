package subscription

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// secretNames are parts of the names of headers that hold secrets.
var secretNames = []string{"auth", "cookie", "credential", "key", "pass", "pwd", "secret", "session", "sign", "token"}

// secret tells whether the value of a header must never be shown again: by its
// name, or because it reads like credentials.
func (h Header) secret() bool {
	name := strings.ToLower(h.Name)
	for _, part := range secretNames {
		if strings.Contains(name, part) {
			return true
		}
	}
	scheme, rest, _ := strings.Cut(strings.ToLower(h.Value), " ")
	return rest != "" && (scheme == "bearer" || scheme == "basic" || scheme == "digest")
}

// Conceal gives the Subscription as it is stored and read: the values of
// secret headers stand in the order alone.
func Conceal(doc *fhir.Document, o Order) (*fhir.Document, error) {
	var edits []fhir.Edit
	single := doc.Get("channel").Get("header").Kind() != fhir.Array // one text where a list belongs
	for i, h := range o.Headers {
		if !h.secret() {
			continue
		}
		path := "channel.header." + strconv.Itoa(i)
		if single {
			path = "channel.header"
		}
		edits = append(edits, fhir.Set(path, h.Name+": "+withoutValue))
	}
	return doc.With(edits...)
}

// Recall puts the values of secret headers back that a client has read as
// hidden and now writes again. They are given to the endpoint that had them,
// and no other.
func (o *Order) Recall(before Order) error {
	for i, h := range o.Headers {
		if h.Value != withoutValue {
			continue
		}
		value, ok := before.header(h.Name)
		if !ok || origin(o.Endpoint) != origin(before.Endpoint) {
			return fhir.Errorf(fhir.CodeValue, "Subscription.channel.header["+strconv.Itoa(i)+"]",
				"The value of this header is hidden and belongs to another endpoint, or is not known; write it anew.")
		}
		o.Headers[i].Value = value
	}
	return nil
}

func (o Order) header(name string) (value string, ok bool) {
	for _, h := range o.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value, true
		}
	}
	return "", false
}

// origin gives scheme, host and port of a URL.
func origin(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}
