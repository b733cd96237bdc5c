package exchange_test

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// faltering is a store whose replica fails after a number of reads, another one
// each time, and which then reads from the database as it should: so all tests
// of this package show that nothing is left of the first attempt.
type faltering struct {
	store.Store
	surveys atomic.Int64 // views that might have been on the replica
}

func (s *faltering) View(ctx context.Context, fn func(store.Reader) error) error {
	if _, within := store.Running(ctx); !within && store.ReplicaAllowed(ctx) {
		left := int(s.surveys.Add(1) % 7)
		_ = s.Store.View(ctx, func(r store.Reader) error { return fn(&failing{r, left}) })
	}
	return s.Store.View(ctx, fn)
}

// failing is a reader that fails after so many reads.
type failing struct {
	store.Reader
	left int
}

var errGone = errors.New("the replica has gone")

func (f *failing) fails() error {
	if f.left--; f.left < 0 {
		return errGone
	}
	return nil
}

// tried gives what a read gives, unless it is the one that fails.
func tried[T any](f *failing, read func() (T, error)) (v T, err error) {
	if err := f.fails(); err != nil {
		return v, err
	}
	return read()
}

func (f *failing) Resource(typ, id string) (store.Resource, error) {
	return tried(f, func() (store.Resource, error) { return f.Reader.Resource(typ, id) })
}

func (f *failing) Resources(keys []store.Key, organization string) ([]store.Resource, error) {
	return tried(f, func() ([]store.Resource, error) { return f.Reader.Resources(keys, organization) })
}

func (f *failing) Search(q store.Query) (store.Page, error) {
	return tried(f, func() (store.Page, error) { return f.Reader.Search(q) })
}

func (f *failing) List(q store.Query) (store.Listing, error) {
	return tried(f, func() (store.Listing, error) { return f.Reader.List(q) })
}

func (f *failing) Values(typ, param, organization string, limit int) ([]string, error) {
	return tried(f, func() ([]string, error) { return f.Reader.Values(typ, param, organization, limit) })
}

func (f *failing) History(q store.HistoryQuery) (store.Page, error) {
	return tried(f, func() (store.Page, error) { return f.Reader.History(q) })
}

func (f *failing) ListHistory(q store.HistoryQuery) (store.Listing, error) {
	return tried(f, func() (store.Listing, error) { return f.Reader.ListHistory(q) })
}

func (f *failing) MaySee(typ, id, organization string) (bool, error) {
	return tried(f, func() (bool, error) { return f.Reader.MaySee(typ, id, organization) })
}

func (f *failing) ReferencedBy(to []store.Key, limit int) ([]store.Resource, error) {
	return tried(f, func() ([]store.Resource, error) { return f.Reader.ReferencedBy(to, limit) })
}

func (f *failing) Cursor(id string, part int) (store.Cursor, error) {
	return tried(f, func() (store.Cursor, error) { return f.Reader.Cursor(id, part) })
}

func (f *failing) AuditTrail(q store.AuditQuery) ([]store.Audit, error) {
	return tried(f, func() ([]store.Audit, error) { return f.Reader.AuditTrail(q) })
}

func (f *failing) AuditCount(q store.AuditQuery) (int, error) {
	return tried(f, func() (int, error) { return f.Reader.AuditCount(q) })
}

// What reads much may be read from a replica; what a write depends on, and a
// record by its id, is not.
func TestWhatMayBeReadFromAReplica(t *testing.T) {
	w := newWorld(t)
	for range 2 { // two versions
		w.put(hospitalSystem, `{"resourceType":"Basic","id":"b","code":{"text":"x"},"subject":{"reference":"Patient/lim"}}`)
		w.put(hospitalSystem, `{"resourceType":"Basic","id":"b","code":{"text":"y"},"subject":{"reference":"Patient/lim"}}`)
	}
	found := func(path string) exchange.SearchResult {
		out, err := w.find(hospitalSystem, path)
		if err != nil {
			t.Fatal(path, err)
		}
		return out
	}
	page := found("Patient?_count=1")
	for _, c := range []struct {
		name    string
		surveys int64
		do      func() error
	}{
		{"search", 1, func() error { found("Patient?_include=*"); return nil }},
		{"search of the audit trail", 1, func() error { found("AuditEvent?_count=1"); return nil }},
		{"page", 2, func() error { w.page(hospitalSystem, page.Pages.Next); return nil }}, // the cursor and the records
		{"history", 1, func() error {
			_, err := w.exchange.History(w.ctx, hospitalSystem, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Basic", ID: "b", Count: 5}})
			return err
		}},
		{"everything", 1, func() error {
			_, err := w.exchange.Everything(w.ctx, hospitalSystem, exchange.Everything{Type: "Patient", ID: "lim", Count: 5})
			return err
		}},
		{"labels", 1, func() error { _, err := w.exchange.LabelsOf(w.ctx, hospitalSystem, "Patient"); return err }},
		{"read", 0, func() error { _, err := w.exchange.Read(w.ctx, hospitalSystem, "Patient", "lim"); return err }},
		{"vread", 0, func() error { _, err := w.exchange.VRead(w.ctx, hospitalSystem, "Basic", "b", 1); return err }},
		{"put", 0, func() error {
			w.put(hospitalSystem, `{"resourceType":"Basic","id":"b","code":{"text":"z"}}`)
			return nil
		}},
		{"conditional delete", 0, func() error {
			_, err := w.exchange.DeleteMatch(w.ctx, hospitalSystem, "Basic", url.Values{"_id": {"none"}}, nil)
			return err
		}},
		{"validate", 0, func() error {
			_, err := w.exchange.Validate(w.ctx, hospitalSystem, exchange.Validation{Mode: "delete", Type: "Basic", ID: "b"})
			return err
		}},
	} {
		before := w.surveys.Load()
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if n := w.surveys.Load() - before; n != c.surveys {
			t.Errorf("%s: %d views might have been on a replica; want %d", c.name, n, c.surveys)
		}
	}
}
