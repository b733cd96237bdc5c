package postgres

import (
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// few is how many Subscriptions are looked through to learn the types of all.
const few = 64

// wants tells whether a Subscription may want to hear of records of a type.
// Most updates write several types, of which nobody does.
func (r reader) wants(resource string) (bool, error) {
	if r.wanted != nil {
		return r.wanted[resource], nil
	}
	types, err := tables.Many(r.conn, "SELECT resource FROM subscriber WHERE status <> 'off' ORDER BY resource LIMIT ?", []any{few + 1}, func(r tables.Row) (typ string, err error) {
		err = r.Scan(&typ)
		return typ, err
	})
	if err != nil || len(types) > few {
		return true, err
	}
	r.wanted = map[string]bool{}
	for _, typ := range types {
		r.wanted[typ] = true
	}
	return r.wanted[resource], nil
}

// Subscribers implements store.Reader.
func (r reader) Subscribers(resource string) ([]store.Subscriber, error) {
	if some, err := r.wants(resource); err != nil || !some {
		return nil, err
	}
	return r.Reader.Subscribers(resource)
}

// PutSubscriber implements store.Tx.
func (t *tx) PutSubscriber(s store.Subscriber) error {
	t.wanted = nil
	return t.Writer.PutSubscriber(s)
}

// DeleteSubscriber implements store.Tx.
func (t *tx) DeleteSubscriber(id string) error {
	t.wanted = nil
	return t.Writer.DeleteSubscriber(id)
}
