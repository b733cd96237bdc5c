package subscription

import (
	"bytes"
	"slices"
	"sync"

	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Book remembers the orders of Subscribers, so that each is read once and not
// again with every change of a record. Set and Base are set before use.
type Book struct {
	Set  *Set
	Base func() string // FHIR base URL

	mu    sync.Mutex
	known map[string]page
}

// page is an order as it was read.
type page struct {
	raw        []byte
	order      Order
	filter     Filter
	unreadable bool // written for other search parameters than there are now
}

// maxPages bounds what is remembered.
const maxPages = 10_000

// Wants tells whether a Subscriber is to be told of a change; r is the record
// after it. That the Subscriber may see the record is for the caller to know.
func (b *Book) Wants(s store.Subscriber, c Change, r search.Record) bool {
	p := b.page(s)
	if p.unreadable || c.After == nil || c.After.Type() != p.order.Resource {
		return false
	}
	if p.order.Topic != "" {
		topic, known := b.Set.Find(p.order.Topic)
		if !known {
			return false
		}
		told := topic.tells(c)
		if !slices.Contains(told, s.Organization) && !slices.Contains(told, "") {
			return false
		}
	}
	meets, err := p.filter.Meets(r)
	return meets && err == nil // a filter that cannot be judged was refused when it was written
}

func (b *Book) page(s store.Subscriber) page {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.known[s.ID]; ok && bytes.Equal(p.raw, s.Order) {
		return p
	}
	p := page{raw: s.Order}
	var err error
	if p.order, err = ReadOrder(s); err == nil {
		p.filter, err = compile(p.order, b.Base())
	}
	p.unreadable = err != nil
	if b.known == nil || len(b.known) >= maxPages {
		b.known = make(map[string]page)
	}
	b.known[s.ID] = p
	return p
}
