package library

import (
	"context"
	"slices"
	"strconv"
	"strings"

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

// Search implements store.Reader. In a search across types the library's
// resources stand behind the stored ones.
func (r reader) Search(q store.Query) (page store.Page, err error) {
	stored, own, found, err := r.divided(q)
	switch {
	case err != nil:
		return page, err
	case !own:
		return r.Reader.Search(stored)
	}
	page.Total = -1
	if q.Total || q.Count == 0 {
		page.Total = 0
	}
	skip := q.Offset
	if len(stored.Types) > 0 {
		if page, err = r.Reader.Search(stored); err != nil {
			return page, err
		}
		if len(page.Resources) > 0 {
			skip = 0
		} else if skip > 0 {
			stored.Count = 0
			all, err := r.Reader.Search(stored)
			if err != nil {
				return page, err
			}
			skip = max(0, skip-all.Total)
		}
	}
	if page.Total >= 0 {
		page.Total += len(found)
	}
	if q.Count > 0 && !page.More {
		rest := pageOf(found, skip, q.Count-len(page.Resources))
		page.Resources, page.More = append(page.Resources, rest.Resources...), rest.More
	}
	return page, nil
}

// divided gives what a query asks of the store and what it finds in the
// library; own is false when it has nothing to do with the library.
func (r reader) divided(q store.Query) (stored store.Query, own bool, found []*book, err error) {
	if q.Where, err = r.linked(q.Type, q.Where); err != nil {
		return q, true, nil, err
	}
	stored = q
	types := q.Types
	if q.Type != "" {
		types = []string{q.Type}
	}
	var mine []string
	for _, typ := range types {
		if r.library.Has(typ) {
			mine = append(mine, typ)
		}
	}
	if len(mine) == 0 {
		return stored, false, nil, nil
	}
	stored.Type, stored.Types = "", slices.DeleteFunc(slices.Clone(q.Types), r.library.Has)
	if q.Type == "" && slices.ContainsFunc(q.Where, leads) {
		return stored, true, nil, nil // a condition on what refers to stored records
	}
	found, err = r.library.find(mine, q)
	return stored, true, found, err
}

// List implements store.Reader. The library stands still, so that a place in it
// is a number of resources.
func (r reader) List(q store.Query) (l store.Listing, err error) {
	stored, own, found, err := r.divided(q)
	switch {
	case err != nil:
		return l, err
	case !own:
		return r.Reader.List(stored)
	}
	within := strings.HasPrefix(q.After, shelfMark)
	if len(stored.Types) > 0 && (q.Before || !within) {
		if within {
			stored.After, stored.Before = "", false
		}
		if l, err = r.Reader.List(stored); err != nil || l.More || q.Before && !within {
			return l, err
		}
		if len(l.Keys) > 0 {
			q.Offset = 0
		} else if q.Offset > 0 && !within {
			stored.Count, stored.After = 0, ""
			all, err := r.Reader.Search(stored)
			if err != nil {
				return l, err
			}
			q.Offset = max(0, q.Offset-all.Total)
		}
	}
	return listed(l, found, placed(q.After, q.Offset), q.Before, q.Count)
}

// Values implements store.Reader.
func (r reader) Values(typ, param, organization string, limit int) ([]string, error) {
	s := r.library.shelves[typ]
	if s == nil {
		return r.Reader.Values(typ, param, organization, limit)
	}
	var all []string
	for _, b := range s.indexed() {
		for _, e := range b.values() {
			if e.Param == param {
				all = append(all, e.Value)
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(limit, len(all))], nil
}

// shelfMark begins a Listing.Last that is a place in the library.
const shelfMark = "@"

// placed gives the place at which a list begins that goes on behind another, or
// from an offset on.
func placed(after string, offset int) string {
	if after != "" || offset == 0 {
		return after
	}
	return shelfMark + strconv.Itoa(offset)
}

// listed adds books to a listing.
func listed(l store.Listing, found []*book, after string, before bool, count int) (store.Listing, error) {
	from, to := 0, len(found)
	if place, within := strings.CutPrefix(after, shelfMark); within {
		n, err := strconv.Atoi(place)
		if err != nil || n < 0 {
			return l, fhir.Errorf(fhir.CodeInvalid, "", "There is no such place in a list.")
		}
		if from = min(n, to); before {
			from, to = 0, from
		}
	}
	end := min(to, from+max(0, count-len(l.Keys)))
	for _, b := range found[from:end] {
		l.Keys = append(l.Keys, store.Key{Type: b.shelf.typ, ID: b.item.ID, Version: 1})
	}
	if l.Last, l.More = "", end < to; l.More {
		l.Last = shelfMark + strconv.Itoa(end)
	}
	return l, nil
}

// ListHistory implements store.Reader.
func (r reader) ListHistory(q store.HistoryQuery) (store.Listing, error) {
	if !r.library.Has(q.Type) {
		return r.Reader.ListHistory(q)
	}
	return listed(store.Listing{}, r.past(q), placed(q.After, q.Offset), false, q.Count)
}

// History implements store.Reader. The history of all types is the store's.
func (r reader) History(q store.HistoryQuery) (store.Page, error) {
	if !r.library.Has(q.Type) {
		return r.Reader.History(q)
	}
	all := r.past(q)
	page := pageOf(all, q.Offset, q.Count)
	page.Total = len(all)
	return page, nil
}

// past gives the resources whose only version a history has.
func (r reader) past(q store.HistoryQuery) (all []*book) {
	if r.library.made.Before(q.Since) {
		return nil
	}
	for _, b := range r.library.shelves[q.Type].all() {
		if q.ID == "" || q.ID == b.item.ID {
			all = append(all, b)
		}
	}
	return all
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

func (t tx) Values(typ, param, organization string, limit int) ([]string, error) {
	return t.reads.Values(typ, param, organization, limit)
}

func (t tx) ListHistory(q store.HistoryQuery) (store.Listing, error) { return t.reads.ListHistory(q) }

func (t tx) History(q store.HistoryQuery) (store.Page, error) { return t.reads.History(q) }

func (t tx) PutResource(r store.Resource, add, remove []store.Entry) error {
	if t.reads.library.Has(r.Type) {
		return fhir.Errorf(fhir.CodeForbidden, "", "The %s resources of this exchange are made by itself and cannot be changed.", r.Type)
	}
	return t.Tx.PutResource(r, add, remove)
}
