// Package record keeps versions of FHIR documents: it stamps them, indexes
// them for search, lets the right organisations see them, and puts the events
// that they cause into the outbox, all in the caller's transaction.
//
// It judges nothing: what may be written is decided by the packages above.
package record

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Keeper writes versions. Its fields are set once, before use.
type Keeper struct {
	Clock  func() time.Time
	Topics *subscription.Set
	Base   func() string // the FHIR base URL that events name

	once sync.Once
	book *subscription.Book
}

// Current is a resource with its document. Doc is nil after a deletion.
type Current struct {
	store.Resource
	Doc *fhir.Document
}

// Exists tells whether there is a document that is not deleted.
func (c *Current) Exists() bool { return c != nil && c.Doc != nil }

// Load gives the current version; store.ErrNotFound when there never was one.
func Load(r store.Reader, typ, id string) (*Current, error) {
	res, err := r.Resource(typ, id)
	if err != nil {
		return nil, err
	}
	c := &Current{Resource: res}
	if res.Deleted() {
		return c, nil
	}
	c.Doc, err = fhir.Parse(res.Body)
	return c, err
}

// Find gives the current document, or nil when there is none or it is deleted.
func Find(r store.Reader, typ, id string) (*Current, error) {
	c, err := Load(r, typ, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil || c.Doc == nil {
		return nil, err
	}
	return c, nil
}

// Version is a new version to be kept.
type Version struct {
	Doc      *fhir.Document
	ID       string
	Method   string // POST or PUT
	Before   *Current
	By       auth.Principal
	Owner    string // organisation that owns a new record; an update keeps its owner
	Provider string // organisation that provides the service; sees the record too
}

// Put writes the version and its events and gives what was stored.
func (k *Keeper) Put(tx store.Tx, v Version) (*Current, error) {
	res := store.Resource{Type: v.Doc.Type(), ID: v.ID, Version: 1, Updated: k.Clock(), Method: v.Method, Organization: v.Owner}
	var before *fhir.Document
	if v.Before != nil {
		res.Version = v.Before.Version + 1
		res.Organization = v.Before.Organization
		before = v.Before.Doc
	}
	doc, err := v.Doc.Stamp(v.ID, res.Version, res.Updated)
	if err != nil {
		return nil, err
	}
	res.Body = doc.Bytes()
	entries := k.index(doc)
	add, remove := search.Diff(k.index(before), entries)
	if err := tx.PutResource(res, add, remove); err != nil {
		return nil, err
	}
	if v.Provider != "" && v.Provider != res.Organization {
		if err := tx.Grant(res.Type, res.ID, v.Provider); err != nil {
			return nil, err
		}
	}
	c := &Current{Resource: res, Doc: doc}
	change := subscription.Change{
		Before: before, After: doc, Version: res.Version, At: res.Updated,
		Provider: v.Provider, By: v.By.Organization, Trace: traceparent(v.By.Trace), Base: k.Base(),
	}
	if change.Owners, err = k.owners(tx, before, doc, change.Base); err != nil {
		return nil, err
	}
	if err := k.announce(tx, change, res.Organization); err != nil {
		return nil, err
	}
	return c, k.notice(tx, change, entries)
}

// Relabel keeps a document in the place of the one that a version has: the
// same but for the profiles, tags and security labels of its meta. before is
// that document, nil for a version that is not the current one, which nobody
// searches for.
func (k *Keeper) Relabel(tx store.Tx, res store.Resource, before, doc *fhir.Document) (store.Resource, error) {
	res.Body = doc.Bytes()
	if before == nil {
		return res, tx.Relabel(res, nil, nil)
	}
	add, remove := search.Diff(k.index(before), k.index(doc))
	return res, tx.Relabel(res, add, remove)
}

// Delete writes a deletion.
func (k *Keeper) Delete(tx store.Tx, before *Current) (store.Resource, error) {
	res := store.Resource{
		Type: before.Type, ID: before.ID, Version: before.Version + 1,
		Updated: k.Clock(), Method: "DELETE", Organization: before.Organization,
	}
	return res, tx.PutResource(res, nil, k.index(before.Doc))
}

func (k *Keeper) index(doc *fhir.Document) []store.Entry {
	if doc == nil {
		return nil
	}
	return search.Index(doc, k.Base())
}

// traceparent continues the trace of a request, "" when there is none.
func traceparent(trace string) string {
	if trace == "" {
		return ""
	}
	var span [8]byte
	_, _ = rand.Read(span[:]) // never fails
	return "00-" + trace + "-" + hex.EncodeToString(span[:]) + "-01"
}
