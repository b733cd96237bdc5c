package record

import (
	"strings"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// Subscriber gives the principal on whose behalf a Subscription was written.
func Subscriber(s store.Subscriber) auth.Principal {
	return auth.Principal{Kind: auth.Client, ID: s.Client, Organization: s.Organization, Scopes: strings.Fields(s.Scopes)}
}

// Sees tells whether somebody may see a record.
func Sees(r store.Reader, p auth.Principal, typ, id string) (bool, error) {
	grant, err := auth.Allow(p, auth.Read, typ)
	if err != nil {
		return false, nil // an answer, no failure
	}
	if grant.Organization == "" {
		return true, nil
	}
	return r.MaySee(typ, id, grant.Organization)
}

// notice numbers an event for every Subscription that is to be told of the
// change. It costs one question where nobody subscribes.
func (k *Keeper) notice(tx store.Tx, c subscription.Change, entries []store.Entry) error {
	k.once.Do(func() { k.book = &subscription.Book{Set: k.Topics, Base: k.Base} })
	typ, id := c.After.Type(), c.After.ID()
	list, err := tx.Subscribers(typ)
	if err != nil {
		return err
	}
	after := search.Record{ID: id, Updated: c.At, Entries: entries}
	for _, s := range list {
		if !k.book.Wants(s, c, after) {
			continue
		}
		sees, err := Sees(tx, Subscriber(s), typ, id)
		if err != nil {
			return err
		}
		if !sees {
			continue
		}
		err = tx.PutNotice(store.Notice{Subscription: s.ID, Type: typ, ID: id, Version: c.Version, Created: c.Before == nil, At: c.At})
		if err != nil {
			return err
		}
	}
	return nil
}
