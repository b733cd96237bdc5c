package library

import (
	"context"
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Over lays the library over a store: resources of the types that the library
// has are read and searched in memory, and cannot be written. Everything else
// is the store's.
func (l *Library) Over(s store.Store) store.Store { return shelved{s, l} }

type shelved struct {
	store.Store
	library *Library
}

func (s shelved) View(ctx context.Context, fn func(store.Reader) error) error {
	return s.Store.View(ctx, func(r store.Reader) error { return fn(reader{r, s.library}) })
}

func (s shelved) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(t store.Tx) error { return fn(tx{t, reader{t, s.library}}) })
}

type reader struct {
	store.Reader
	library *Library
}

// Resource implements store.Reader.
func (r reader) Resource(typ, id string) (store.Resource, error) {
	s := r.library.shelves[typ]
	if s == nil {
		return r.Reader.Resource(typ, id)
	}
	if b := s.find(id); b != nil {
		return b.open(), nil
	}
	return store.Resource{}, store.ErrNotFound
}

// ResourceVersion implements store.Reader: there is the first version alone.
func (r reader) ResourceVersion(typ, id string, version int64) (store.Resource, error) {
	if !r.library.Has(typ) {
		return r.Reader.ResourceVersion(typ, id, version)
	}
	if version != 1 {
		return store.Resource{}, store.ErrNotFound
	}
	return r.Resource(typ, id)
}

// Resources implements store.Reader.
func (r reader) Resources(keys []store.Key, organization string) ([]store.Resource, error) {
	stored := slices.DeleteFunc(slices.Clone(keys), func(k store.Key) bool { return r.library.Has(k.Type) })
	if len(stored) == len(keys) {
		return r.Reader.Resources(keys, organization)
	}
	rest, err := r.Reader.Resources(stored, organization)
	if err != nil {
		return nil, err
	}
	var all []store.Resource
	for _, k := range keys {
		switch s := r.library.shelves[k.Type]; {
		case s != nil:
			if b := s.find(k.ID); b != nil && k.Version <= 1 {
				all = append(all, b.open())
			}
		case len(rest) > 0 && rest[0].Type == k.Type && rest[0].ID == k.ID && (k.Version == 0 || k.Version == rest[0].Version):
			all, rest = append(all, rest[0]), rest[1:]
		}
	}
	return all, nil
}

// MaySee implements store.Reader.
func (r reader) MaySee(typ, id, organization string) (bool, error) {
	if !r.library.Has(typ) {
		return r.Reader.MaySee(typ, id, organization)
	}
	return true, nil
}

// Search implements store.Reader.
func (r reader) Search(q store.Query) (store.Page, error) {
	if s := r.library.shelves[q.Type]; s != nil {
		return s.search(q)
	}
	return r.Reader.Search(q)
}

// List implements store.Reader. The library stands still, so a place is a
// number of resources.
func (r reader) List(q store.Query) (store.Listing, error) {
	s := r.library.shelves[q.Type]
	if s == nil {
		return r.Reader.List(q)
	}
	return listing(q.After, q.Before, q.Count, func(offset, count int) (store.Page, error) {
		q.Offset, q.Count, q.Total = offset, count, false
		return s.search(q)
	})
}

// ListHistory implements store.Reader.
func (r reader) ListHistory(q store.HistoryQuery) (store.Listing, error) {
	if !r.library.Has(q.Type) {
		return r.Reader.ListHistory(q)
	}
	return listing(q.After, false, q.Count, func(offset, count int) (store.Page, error) {
		q.Offset, q.Count = offset, count
		return r.History(q)
	})
}

func listing(after string, before bool, count int, find func(offset, count int) (store.Page, error)) (l store.Listing, err error) {
	place := 0
	if after != "" {
		if place, err = strconv.Atoi(after); err != nil {
			return l, err
		}
	}
	if before {
		place, count = 0, min(count, place)
	}
	page, err := find(place, count)
	for _, res := range page.Resources {
		l.Keys = append(l.Keys, store.Key{Type: res.Type, ID: res.ID, Version: res.Version})
	}
	if l.More = page.More; l.More {
		l.Last = strconv.Itoa(place + len(l.Keys))
	}
	return l, err
}

// History implements store.Reader. The history of all types is the store's.
func (r reader) History(q store.HistoryQuery) (store.Page, error) {
	s := r.library.shelves[q.Type]
	if s == nil {
		return r.Reader.History(q)
	}
	var all []*book
	if !r.library.made.Before(q.Since) {
		for _, b := range s.all() {
			if q.ID == "" || q.ID == b.item.ID {
				all = append(all, b)
			}
		}
	}
	page := pageOf(all, q.Offset, q.Count)
	page.Total = len(all)
	return page, nil
}

// tx is a transaction whose reads see the library.
type tx struct {
	store.Tx
	reads reader
}

func (t tx) Resource(typ, id string) (store.Resource, error) { return t.reads.Resource(typ, id) }

func (t tx) ResourceVersion(typ, id string, version int64) (store.Resource, error) {
	return t.reads.ResourceVersion(typ, id, version)
}

func (t tx) Resources(keys []store.Key, organization string) ([]store.Resource, error) {
	return t.reads.Resources(keys, organization)
}

func (t tx) MaySee(typ, id, organization string) (bool, error) {
	return t.reads.MaySee(typ, id, organization)
}

func (t tx) Search(q store.Query) (store.Page, error) { return t.reads.Search(q) }

func (t tx) List(q store.Query) (store.Listing, error) { return t.reads.List(q) }

func (t tx) ListHistory(q store.HistoryQuery) (store.Listing, error) { return t.reads.ListHistory(q) }

func (t tx) History(q store.HistoryQuery) (store.Page, error) { return t.reads.History(q) }

func (t tx) PutResource(r store.Resource, add, remove []store.Entry) error {
	if t.reads.library.Has(r.Type) {
		return fhir.Errorf(fhir.CodeForbidden, "", "The %s resources of this exchange are made by itself and cannot be changed.", r.Type)
	}
	return t.Tx.PutResource(r, add, remove)
}
