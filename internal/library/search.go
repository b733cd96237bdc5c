package library

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// find gives the resources of some types that meet a query, in the order that it
// asks for, else in that of the library.
func (l *Library) find(types []string, q store.Query) ([]*book, error) {
	var found []*book
	for _, typ := range types {
		for _, b := range l.shelves[typ].indexed() {
			record := search.Record{ID: b.item.ID, Updated: l.made, Entries: b.values()}
			meets, err := record.Meets(q.Where)
			if err != nil {
				return nil, err
			}
			if meets {
				found = append(found, b)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *book) int {
		for _, by := range q.Sort {
			if c := order(a, b, by); c != 0 {
				return c
			}
		}
		return 0
	})
	return found, nil
}

// indexed gives all resources once it is known what they are found by: at the
// first search they are made and read by as many at once as there are processors.
func (s *shelf) indexed() []*book {
	all := s.all()
	s.index.Do(func() {
		var wait sync.WaitGroup
		workers := runtime.GOMAXPROCS(0)
		for first := range workers {
			wait.Go(func() {
				for i := first; i < len(all); i += workers {
					all[i].values()
				}
			})
		}
		wait.Wait()
	})
	return all
}

func pageOf(all []*book, offset, count int) (page store.Page) {
	all = all[min(offset, len(all)):]
	if len(all) > count {
		all, page.More = all[:count], true
	}
	for _, b := range all {
		page.Resources = append(page.Resources, b.open())
	}
	return page
}

// order compares by the lowest value of a parameter, for a descending order by
// the highest. What has none comes last.
func order(a, b *book, by store.Sort) int {
	switch by.Param {
	case "_lastUpdated":
		return 0 // all at once
	case "_id":
		return turned(cmp.Compare(a.item.ID, b.item.ID), by.Descending)
	}
	x, y := a.extreme(by), b.extreme(by)
	switch {
	case x == nil && y == nil:
		return 0
	case x == nil:
		return 1
	case y == nil:
		return -1
	}
	return turned(compare(x, y), by.Descending)
}

func compare(x, y *store.Entry) int {
	return cmp.Or(strings.Compare(x.Value, y.Value), cmp.Compare(x.Low, y.Low))
}

func turned(c int, around bool) int {
	if around {
		return -c
	}
	return c
}

// extreme gives the value by which a resource is sorted.
func (b *book) extreme(by store.Sort) *store.Entry {
	var best *store.Entry
	for i := range b.values() {
		e := &b.values()[i]
		if e.Param == by.Param && (best == nil || turned(compare(e, best), by.Descending) < 0) {
			best = e
		}
	}
	return best
}
