package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Result is what the exchange made of a written record.
type Result struct {
	Doc     *fhir.Document // as stored
	Version int64          // counts from 1
	Created bool           // the record is new
}

// answerLimits let a page of large records in, which no single record may be.
var answerLimits = fhir.Limits{Bytes: maxAnswer, Depth: fhir.DefaultLimits.Depth + 8, Nodes: 8_000_000}

// Put creates or updates a record under the id that it carries.
func (c *Client) Put(ctx context.Context, doc *fhir.Document) (Result, error) {
	return c.put(ctx, doc, nil)
}

// PutIf updates a record if its current version is the given one, else it
// gives an Error with status 412: read the record again and repeat the change.
// When the connection broke during an update that had taken effect, the second
// try gives 412 too.
func (c *Client) PutIf(ctx context.Context, doc *fhir.Document, version int64) (Result, error) {
	return c.put(ctx, doc, map[string]string{"If-Match": `W/"` + strconv.FormatInt(version, 10) + `"`})
}

func (c *Client) put(ctx context.Context, doc *fhir.Document, header map[string]string) (Result, error) {
	if !fhir.ValidID(doc.ID()) {
		return Result{}, errors.New("the record carries no id of its own")
	}
	return c.write(ctx, call{
		method: http.MethodPut, path: fhirRoot + "/" + doc.Type() + "/" + doc.ID(),
		body: doc.Bytes(), header: header, repeatable: true,
	})
}

// Create stores a record under an id that the exchange chooses. It is never
// sent twice: after a broken connection, look whether the record is there.
func (c *Client) Create(ctx context.Context, doc *fhir.Document) (Result, error) {
	return c.write(ctx, call{method: http.MethodPost, path: fhirRoot + "/" + doc.Type(), body: doc.Bytes()})
}

func (c *Client) write(ctx context.Context, k call) (Result, error) {
	header := map[string]string{"Prefer": "return=representation"}
	for name, value := range k.header {
		header[name] = value
	}
	k.media, k.header = mediaFHIR, header
	doc, status, err := c.document(ctx, k)
	if err != nil {
		return Result{}, err
	}
	version, _ := doc.Get("meta.versionId").Int()
	return Result{Doc: doc, Version: version, Created: status == http.StatusCreated}, nil
}

func (c *Client) document(ctx context.Context, k call) (*fhir.Document, int, error) {
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, 0, err
	}
	doc, err := fhir.ParseWithin(a.body, answerLimits)
	if err != nil {
		return nil, 0, fmt.Errorf("the answer of the exchange is no FHIR record: %w", err)
	}
	return doc, a.status, nil
}

// Get reads a record by reference, such as Encounter/e1 or
// Encounter/e1/_history/2. One that is missing gives an Error with status
// 404, a deleted one with 410.
func (c *Client) Get(ctx context.Context, reference string) (*fhir.Document, error) {
	ref, err := literal(reference)
	if err != nil {
		return nil, err
	}
	path := fhirRoot + "/" + ref.String()
	if ref.Version != "" {
		path += "/_history/" + ref.Version
	}
	doc, _, err := c.document(ctx, call{method: http.MethodGet, path: path, repeatable: true})
	return doc, err
}

// Delete deletes a record. Its earlier versions stay in the history.
func (c *Client) Delete(ctx context.Context, reference string) error {
	ref, err := literal(reference)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, call{method: http.MethodDelete, path: fhirRoot + "/" + ref.String(), repeatable: true})
	return err
}

func literal(reference string) (fhir.Reference, error) {
	ref, ok := fhir.ParseReference(reference, "")
	if !ok {
		return ref, errors.New("a reference has the form Type/id")
	}
	return ref, nil
}

// Transaction sends a transaction Bundle, all of which takes effect or
// nothing, and gives the response Bundle. It is never sent twice.
func (c *Client) Transaction(ctx context.Context, bundle *fhir.Document) (*fhir.Document, error) {
	doc, _, err := c.document(ctx, call{method: http.MethodPost, path: fhirRoot, media: mediaFHIR, body: bundle.Bytes()})
	return doc, err
}

var typeForm = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)

// Search finds records of a type and gives them as they come in, page by page:
// matches, and what _include and _revinclude bring along. The first error ends
// it. The parameters travel in the body, for they may hold identity numbers,
// which do not belong into addresses.
func (c *Client) Search(ctx context.Context, typ string, params url.Values) iter.Seq2[*fhir.Document, error] {
	return func(yield func(*fhir.Document, error) bool) {
		if !typeForm.MatchString(typ) {
			yield(nil, errors.New("this is not a FHIR resource type"))
			return
		}
		next := call{
			method: http.MethodPost, path: fhirRoot + "/" + typ + "/_search",
			media: mediaForm, body: []byte(params.Encode()), repeatable: true,
		}
		for {
			page, _, err := c.document(ctx, next)
			if err == nil && (page.Type() != "Bundle" || !page.Get("type").Is("searchset")) {
				err = errors.New("the answer of the exchange is no page of search results")
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !each(page, yield) {
				return
			}
			query, more := nextPage(page)
			if !more {
				return
			}
			following := call{method: http.MethodGet, path: fhirRoot + "/" + typ + "?" + query, repeatable: true}
			if following.path == next.path {
				yield(nil, errors.New("the exchange gave the same page of search results again"))
				return
			}
			next = following
		}
	}
}

// each gives the records of a page and tells whether to go on.
func each(page *fhir.Document, yield func(*fhir.Document, error) bool) bool {
	for entry := range page.All("entry") {
		if entry.Get("search").Get("mode").Is("outcome") || !entry.Get("resource").Exists() {
			continue
		}
		doc, err := resource(entry)
		if !yield(doc, err) || err != nil {
			return false
		}
	}
	return true
}

// resource takes the record out of a Bundle's entry; the copy lets go of the
// Bundle.
func resource(entry fhir.Node) (*fhir.Document, error) {
	return fhir.Parse(bytes.Clone(entry.Get("resource").Raw()))
}

// nextPage gives the query of the link to the next page. Its host does not
// count: the exchange may know itself by another name, and the access token
// goes to the configured server alone.
func nextPage(page *fhir.Document) (query string, more bool) {
	for link := range page.All("link") {
		if link.Get("relation").Is("next") {
			_, query, more = strings.Cut(link.Get("url").String(), "?")
			return query, more
		}
	}
	return "", false
}

// SearchAll is Search with everything in one list.
func (c *Client) SearchAll(ctx context.Context, typ string, params url.Values) ([]*fhir.Document, error) {
	var all []*fhir.Document
	for doc, err := range c.Search(ctx, typ, params) {
		if err != nil {
			return nil, err
		}
		all = append(all, doc)
	}
	return all, nil
}
