package api

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// bundle writes a Bundle as it goes: stored resources keep their bytes and
// are not held in memory twice. An error of writing means that the caller has
// gone, and is not reported.
type bundle struct {
	w       *bufio.Writer
	entries int
	named   map[string]bool // by fullUrl; nil where one may come again, as in a history
}

// newBundle begins with what stands before the entries. updated is an instant,
// total is left out when negative.
func newBundle(w io.Writer, typ, updated string, total int, links []link) *bundle {
	b := &bundle{w: bufio.NewWriterSize(w, 16<<10)}
	if strings.HasSuffix(typ, "-response") {
		b.named = map[string]bool{}
	}
	b.text(`{"resourceType":"Bundle","meta":{"lastUpdated":`)
	b.quote(updated)
	b.text(`},"type":`)
	b.quote(typ)
	if total >= 0 {
		b.text(`,"total":` + strconv.Itoa(total))
	}
	for i, l := range links {
		b.text([]string{`,"link":[`, `,`}[min(i, 1)] + `{"relation":`)
		b.quote(l.relation)
		b.text(`,"url":`)
		b.quote(l.url)
		b.text(`}`)
	}
	if len(links) > 0 {
		b.text(`]`)
	}
	return b
}

// link is one link of a Bundle.
type link struct{ relation, url string }

// entry writes one entry. Raw JSON in resource, search, request and response
// goes in as it is; what is empty is left out.
type entry struct {
	fullURL                             string
	resource, search, request, response []byte
}

func (b *bundle) add(e entry) {
	if b.entries == 0 {
		b.text(`,"entry":[`)
	} else {
		b.text(`,`)
	}
	b.entries++
	separator := `{`
	member := func(name string, raw []byte) {
		if len(raw) > 0 {
			b.text(separator + `"` + name + `":`)
			b.raw(raw)
			separator = `,`
		}
	}
	if e.fullURL != "" && !b.named[e.fullURL] {
		if b.named != nil {
			b.named[e.fullURL] = true
		}
		member("fullUrl", fhir.Marshal(e.fullURL))
	}
	member("resource", e.resource)
	member("search", e.search)
	member("request", e.request)
	member("response", e.response)
	if separator == `{` {
		b.text(`{`)
	}
	b.text(`}`)
}

func (b *bundle) end() {
	if b.entries > 0 {
		b.text(`]`)
	}
	b.text(`}`)
	_ = b.w.Flush() // the caller has gone
}

func (b *bundle) text(s string)  { _, _ = b.w.WriteString(s) }
func (b *bundle) raw(s []byte)   { _, _ = b.w.Write(s) }
func (b *bundle) quote(s string) { b.raw(fhir.Marshal(s)) }

// response is the response of a Bundle's entry.
type response struct {
	Status       string `json:"status"`
	Location     string `json:"location,omitempty"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
	Outcome      any    `json:"outcome,omitempty"`
}

func responseTo(status string, res store.Resource) response {
	return response{Status: status, ETag: etag(res.Version), LastModified: fhir.FormatInstant(res.Updated)}
}

// request is the request of a Bundle's entry.
type request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}
