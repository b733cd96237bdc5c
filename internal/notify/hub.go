// Package notify brings messages to patients: the inbox of the portal and the
// live signal that tells an open page to look again.
//
// A signal carries no content; the page asks the server for the state. Where
// several nodes share a database, signals go to the others through it: they
// are written with the change that they tell of, and read a few times a second.
package notify

import (
	"slices"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// Hub wakes whoever waits for a key. The zero Hub is ready to use.
type Hub struct {
	// Shared says that other nodes have hubs, which Announce tells. It is set
	// once, before use.
	Shared bool

	mu   sync.Mutex
	subs map[string]map[chan struct{}]struct{}
}

// Subscribe gives a channel that receives after each Wake of one of the keys.
// Wakes that come faster than they are read are merged into one.
func (h *Hub) Subscribe(keys ...string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[string]map[chan struct{}]struct{})
	}
	for _, k := range keys {
		if h.subs[k] == nil {
			h.subs[k] = make(map[chan struct{}]struct{})
		}
		h.subs[k][ch] = struct{}{}
	}
	return ch, func() { h.drop(ch, keys) }
}

func (h *Hub) drop(ch chan struct{}, keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		delete(h.subs[k], ch)
		if len(h.subs[k]) == 0 {
			delete(h.subs, k)
		}
	}
}

// Wake signals all subscribers of the keys.
func (h *Hub) Wake(keys ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		for ch := range h.subs[k] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

// Announce leaves word of a change for the hubs of other nodes, in the
// transaction that makes it. It does nothing when there are none.
func (h *Hub) Announce(tx store.Tx, at time.Time, keys ...string) error {
	if !h.Shared {
		return nil
	}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		if err := tx.PutSignal(k, at); err != nil {
			return err
		}
	}
	return nil
}

// PatientKey is the key of what happens to an account.
func PatientKey(id string) string { return "patient:" + id }

// ServiceKey is the key of what happens in the queue of a HealthcareService.
func ServiceKey(id string) string { return "service:" + id }

// InboxKey is the key of messages to a person.
func InboxKey(identityNumber string) string { return "inbox:" + identityNumber }
