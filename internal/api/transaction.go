package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
)

const maxBatch = 500 // entries of one batch

// transaction answers a Bundle sent to the base: a transaction is done whole
// or not at all, the entries of a batch each alone.
func (f *FHIR) transaction(w http.ResponseWriter, r *http.Request) error {
	doc, err := readDocument(w, r)
	if err != nil {
		return err
	}
	if doc.Type() != "Bundle" {
		return fhir.Errorf(fhir.CodeInvalid, "resourceType", "A Bundle is expected here; send other resources to their own address.")
	}
	switch typ := doc.Get("type"); {
	case typ.Is("transaction"):
		return f.together(w, r, doc)
	case typ.Is("batch"):
		return f.oneByOne(w, r, doc)
	}
	return fhir.Errorf(fhir.CodeInvalid, "Bundle.type", "The Bundle must be of type transaction or batch.")
}

func (f *FHIR) together(w http.ResponseWriter, r *http.Request, doc *fhir.Document) error {
	done, err := f.exchange.Transaction(r.Context(), auth.FromContext(r.Context()), doc)
	if err != nil {
		return err
	}
	methods := make([]string, 0, len(done.Entries))
	for n := range doc.All("entry") {
		methods = append(methods, n.First("request.method").String())
	}
	whole := prefer(r)["return"] == "representation"
	w.WriteHeader(http.StatusOK)
	b := newBundle(w, "transaction-response", fhir.FormatInstant(f.clock()), -1, []link{{"self", f.baseURL()}})
	for i, out := range done.Entries {
		b.add(f.doneEntry(out, whole || i < len(methods) && methods[i] == http.MethodGet))
	}
	b.end()
	return nil
}

func (f *FHIR) doneEntry(out exchange.Outcome, whole bool) entry {
	if out.Found != nil {
		var page bytes.Buffer
		f.writePage(&page, out.Request, *out.Found, f.selfOf(out.Request), shape{})
		return entry{resource: page.Bytes(), response: fhir.Marshal(response{Status: "200 OK"})}
	}
	res := out.Resource
	if res.ID == "" || res.Deleted() {
		return entry{response: fhir.Marshal(response{Status: "204 No Content"})}
	}
	status := "200 OK"
	if out.Created {
		status = "201 Created"
	}
	answer := responseTo(status, res)
	answer.Location = versionPath(res)
	if len(out.Issues) > 0 {
		answer.Outcome = json.RawMessage(fhir.Outcome(out.Issues, ""))
	}
	e := entry{fullURL: f.fullURL(res), response: fhir.Marshal(answer)}
	if whole {
		e.resource = res.Body
	}
	return e
}

// oneByOne sends each entry through the interface as a request of its own.
func (f *FHIR) oneByOne(w http.ResponseWriter, r *http.Request, doc *fhir.Document) error {
	if doc.Root().Get("entry").Len() > maxBatch {
		return fhir.Errorf(fhir.CodeTooCostly, "Bundle.entry", "A batch has at most %d entries.", maxBatch)
	}
	w.WriteHeader(http.StatusOK)
	b := newBundle(w, "batch-response", fhir.FormatInstant(f.clock()), -1, []link{{"self", f.baseURL()}})
	for n := range doc.All("entry") {
		answer := &batchAnswer{header: make(http.Header), status: http.StatusOK}
		if sub, err := f.batchRequest(r, n); err != nil {
			answer.status = fhir.Status(err)
			answer.body.Write(fhir.Outcome(err, ""))
		} else {
			f.ServeHTTP(answer, sub)
		}
		b.add(answer.entry(n.First("request.method").Is(http.MethodHead)))
	}
	b.end()
	return nil
}

// batchHeaders says which members of an entry's request are headers.
var batchHeaders = map[string]string{
	"ifMatch": "If-Match", "ifModifiedSince": "If-Modified-Since", "ifNoneMatch": "If-None-Match", "ifNoneExist": "If-None-Exist",
}

func (f *FHIR) batchRequest(r *http.Request, n fhir.Node) (*http.Request, error) {
	method := n.First("request.method").String()
	target := strings.Trim(strings.TrimPrefix(n.First("request.url").String(), f.baseURL()), "/")
	if target == "" {
		target = n.First("resource.resourceType").String()
	}
	if target == "" || method == "" {
		return nil, fhir.Errorf(fhir.CodeInvalid, n.Path()+".request", "The entry needs a request with method and url.")
	}
	body, media := n.Get("resource").Raw(), mediaFHIR
	if method == http.MethodPatch && n.First("resource.resourceType").Is("Binary") {
		var err error
		if body, err = base64.StdEncoding.DecodeString(n.First("resource.data").String()); err != nil {
			return nil, fhir.Errorf(fhir.CodeInvalid, n.Path()+".resource", "The data of a Binary is in base64.")
		}
		media = n.First("resource.contentType").String()
	}
	sub, err := http.NewRequestWithContext(r.Context(), method, Root+"/"+target, bytes.NewReader(body))
	if err != nil || path.Clean(sub.URL.Path) != strings.TrimSuffix(sub.URL.Path, "/") { // which the mux would redirect
		return nil, fhir.Errorf(fhir.CodeInvalid, n.Path()+".request", "The entry's request cannot be read.")
	}
	sub.Header.Set("Content-Type", media)
	sub.Header["Prefer"] = r.Header["Prefer"]
	if len(sub.Header["Prefer"]) == 0 {
		sub.Header.Set("Prefer", "return=minimal")
	}
	for member, header := range batchHeaders {
		if value := n.First("request." + member).String(); value != "" {
			if at, _, err := fhir.ParseDate(value); err == nil && member == "ifModifiedSince" { // an instant in a Bundle
				value = at.UTC().Format(http.TimeFormat)
			}
			sub.Header.Set(header, value)
		}
	}
	return sub, nil
}

// batchAnswer keeps the answer to one entry of a batch.
type batchAnswer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *batchAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *batchAnswer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

// Write implements http.ResponseWriter.
func (a *batchAnswer) Write(p []byte) (int, error) {
	a.wrote = true
	return a.body.Write(p)
}

// entry gives the answer without what net/http would not send to a HEAD.
func (a *batchAnswer) entry(head bool) entry {
	answer := response{
		Status: strings.TrimSpace(strconv.Itoa(a.status) + " " + http.StatusText(a.status)),
		ETag:   a.header.Get("ETag"), Location: a.header.Get("Location"),
	}
	if at, err := http.ParseTime(a.header.Get("Last-Modified")); err == nil {
		answer.LastModified = fhir.FormatInstant(at)
	}
	switch body := a.body.Bytes(); {
	case len(body) == 0 || head:
		return entry{response: fhir.Marshal(answer)}
	case a.status >= http.StatusBadRequest:
		answer.Outcome = json.RawMessage(body)
		return entry{response: fhir.Marshal(answer)}
	default:
		return entry{resource: body, response: fhir.Marshal(answer)}
	}
}
