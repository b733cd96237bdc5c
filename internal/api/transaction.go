package api

import (
	"bytes"
	"context"
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

// maxBundle bounds a Bundle sent to the base, which holds many documents.
var maxBundle = fhir.Limits{Bytes: 4 * maxBody, Depth: fhir.DefaultLimits.Depth + 3, Nodes: 1_000_000}

// transaction answers a Bundle sent to the base: a transaction is done whole
// or not at all, the entries of a batch each alone.
func (f *FHIR) transaction(w http.ResponseWriter, r *http.Request) error {
	doc, err := readWithin(w, r, maxBundle)
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
	var entries []fhir.Node
	for n := range doc.All("entry") {
		entries = append(entries, n)
	}
	asked := make(map[int]entry)
	done, err := f.exchange.Transaction(r.Context(), auth.FromContext(r.Context()), doc, func(ctx context.Context, at int) error {
		answer, err := f.ask(r.WithContext(ctx), entries[at])
		asked[at] = answer
		return err
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	b := newBundle(w, "transaction-response", fhir.FormatInstant(f.clock()), -1, []link{{"self", f.baseURL()}})
	for i, out := range done.Entries {
		if answer, ok := asked[i]; ok {
			b.add(answer)
			continue
		}
		b.add(f.doneEntry(out, prefer(r)["return"]))
	}
	b.end()
	return nil
}

func (f *FHIR) doneEntry(out exchange.Outcome, returns string) entry {
	res := out.Resource
	if res.ID == "" || res.Deleted() {
		answer := response{Status: "204 No Content"}
		if res.Version > 0 {
			answer.ETag, answer.LastModified = etag(res.Version), fhir.FormatInstant(res.Updated)
		}
		return entry{response: fhir.Marshal(answer)}
	}
	status := "200 OK"
	if out.Created {
		status = "201 Created"
	}
	answer := responseTo(status, res)
	answer.Location = versionPath(res)
	if len(out.Issues) > 0 || returns == "OperationOutcome" {
		answer.Outcome = json.RawMessage(fhir.Outcome(out.Issues, ""))
	}
	e := entry{fullURL: f.fullURL(res), response: fhir.Marshal(answer)}
	if returns == "representation" {
		e.resource = res.Body
	}
	return e
}

// ask answers an entry of a transaction that changes nothing, as if it had
// come alone. The error is what the answer would have been.
func (f *FHIR) ask(r *http.Request, n fhir.Node) (entry, error) {
	sub, err := f.batchRequest(r, n)
	if err != nil {
		return entry{}, err
	}
	if !reads(sub, f.routes) {
		return entry{}, fhir.Errorf(fhir.CodeNotSupported, "Entry.request.url", "This operation cannot be part of a transaction; send it in a batch or alone.")
	}
	answer := &batchAnswer{header: make(http.Header), status: http.StatusOK, base: f.baseURL()}
	f.ServeHTTP(answer, sub)
	if answer.status < http.StatusBadRequest {
		return answer.entry(sub.Method == http.MethodHead), nil
	}
	return entry{}, issuesOf(answer)
}

// issuesOf gives the error that an answer tells of.
func issuesOf(a *batchAnswer) error {
	unknown := fhir.Errorf(fhir.CodeException, "", "The entry cannot be answered.").WithStatus(a.status)
	doc, err := fhir.Parse(a.body.Bytes())
	if err != nil {
		return unknown
	}
	var issues fhir.Issues
	for i := range doc.All("issue") {
		e := fhir.Errorf(fhir.Code(i.Get("code").String()), i.First("expression").String(), "%s", i.Get("diagnostics").String()).WithStatus(a.status)
		e.Severity = fhir.Severity(i.Get("severity").String())
		issues = append(issues, e)
	}
	if issues.Err() == nil {
		return unknown
	}
	return issues
}

// oneByOne sends each entry through the interface as a request of its own.
func (f *FHIR) oneByOne(w http.ResponseWriter, r *http.Request, doc *fhir.Document) error {
	if doc.Root().Get("entry").Len() > exchange.MaxEntries {
		return fhir.Errorf(fhir.CodeTooCostly, "Bundle.entry", "A batch has at most %d entries.", exchange.MaxEntries)
	}
	w.WriteHeader(http.StatusOK)
	b := newBundle(w, "batch-response", fhir.FormatInstant(f.clock()), -1, []link{{"self", f.baseURL()}})
	for n := range doc.All("entry") {
		answer := &batchAnswer{header: make(http.Header), status: http.StatusOK, base: f.baseURL()}
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
	if strings.HasSuffix(sub.URL.Path, "/_search") { // its parameters stand in the url
		body, media = nil, "application/x-www-form-urlencoded"
		sub.Body, sub.ContentLength = http.NoBody, 0
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
	base   string
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
		ETag:   a.header.Get("ETag"), Location: strings.TrimPrefix(a.header.Get("Location"), a.base+"/"),
	}
	if at, err := http.ParseTime(a.header.Get("Last-Modified")); err == nil {
		answer.LastModified = fhir.FormatInstant(at)
	}
	switch body := a.body.Bytes(); {
	case len(body) == 0 || head:
		return entry{response: fhir.Marshal(answer)}
	case a.status >= http.StatusBadRequest, answer.Location != "" && bytes.HasPrefix(body, []byte(`{"resourceType":"OperationOutcome"`)):
		answer.Outcome = json.RawMessage(body)
		return entry{response: fhir.Marshal(answer)}
	default:
		full, _, _ := strings.Cut(a.header.Get("Content-Location"), "/_history/")
		return entry{fullURL: full, resource: body, response: fhir.Marshal(answer)}
	}
}
