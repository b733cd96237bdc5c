package postgres

import (
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	subscriberColumns = "id, organization, client, scopes, resource, channel, ordered, status"
	progressColumns   = "subscription, done, failures, due, sent, holder, lease"
	noticeColumns     = "subscription, number, type, id, version, created, at"

	// noticeCounter begins the name of the counter of a Subscription.
	noticeCounter = "subscription:"

	selectSubscriber = "SELECT s.id, s.organization, s.client, s.scopes, s.resource, s.channel, s.ordered, s.status, " +
		"p.done, p.failures, p.due, p.sent, p.holder, p.lease, coalesce(c.value, 0) " + fromSubscriber
	fromSubscriber = "FROM subscriber s JOIN progress p ON p.subscription = s.id LEFT JOIN counter c ON c.name = '" + noticeCounter + "' || s.id "

	// forgetNotices leaves what is still to be sent.
	forgetNotices = `DELETE FROM notice WHERE at < ? AND NOT EXISTS (SELECT 1 FROM subscriber s JOIN progress p ON p.subscription = s.id
		WHERE s.id = notice.subscription AND s.status IN ('requested', 'active') AND s.channel = 'rest-hook' AND p.done < notice.number)`
)

func scanSubscriber(r row) (s store.Subscriber, err error) {
	err = r.Scan(&s.ID, &s.Organization, &s.Client, &s.Scopes, &s.Resource, &s.Channel, &s.Order, &s.Status,
		&s.Done, &s.Failures, at{&s.Due}, at{&s.Sent}, &s.Holder, at{&s.Lease}, &s.Events)
	return s, err
}

// Subscriber implements store.Reader.
func (r reader) Subscriber(id string) (store.Subscriber, error) {
	return single(r.conn, selectSubscriber+"WHERE s.id = ?", []any{id}, scanSubscriber)
}

// few is how many Subscriptions are looked through to learn the types of all.
const few = 64

// wants tells whether a Subscription may want to hear of records of a type.
// Most updates write several types, of which nobody does.
func (r reader) wants(resource string) (bool, error) {
	if r.wanted != nil {
		return r.wanted[resource], nil
	}
	types, err := many(r.conn, "SELECT resource FROM subscriber WHERE status <> 'off' ORDER BY resource LIMIT ?", []any{few + 1}, func(r row) (typ string, err error) {
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
	return many(r.conn, "SELECT "+subscriberColumns+" FROM subscriber WHERE resource = ? AND status <> 'off' ORDER BY id", []any{resource},
		func(r row) (s store.Subscriber, err error) {
			err = r.Scan(&s.ID, &s.Organization, &s.Client, &s.Scopes, &s.Resource, &s.Channel, &s.Order, &s.Status)
			return s, err
		})
}

// DueSubscribers implements store.Reader.
func (r reader) DueSubscribers(now time.Time, limit int) ([]store.Subscriber, error) {
	return many(r.conn, selectSubscriber+`WHERE s.status <> 'off' AND p.lease <= ? AND (p.due > 0 AND p.due <= ? OR
		s.status = 'active' AND s.channel = 'rest-hook' AND p.failures = 0 AND c.value > p.done) ORDER BY p.sent, s.id LIMIT ?`,
		[]any{micro(now), micro(now), limit}, scanSubscriber)
}

// Notices implements store.Reader.
func (r reader) Notices(subscription string, from, to int64, limit int) ([]store.Notice, error) {
	return many(r.conn, "SELECT "+noticeColumns+" FROM notice WHERE subscription = ? AND number >= ? AND number <= ? ORDER BY number LIMIT ?",
		[]any{subscription, from, to, limit}, func(r row) (n store.Notice, err error) {
			err = r.Scan(&n.Subscription, &n.Number, &n.Type, &n.ID, &n.Version, &n.Created, at{&n.At})
			return n, err
		})
}

// Deliveries implements store.Reader.
func (r reader) Deliveries() (d store.Deliveries, err error) {
	err = r.one(`SELECT CAST(coalesce(sum(CASE WHEN s.status IN ('requested', 'active') THEN c.value - p.done ELSE 0 END), 0) AS BIGINT),
		CAST(coalesce(sum(CASE WHEN s.status = 'error' THEN c.value - p.done ELSE 0 END), 0) AS BIGINT) `+fromSubscriber+
		"WHERE s.channel = 'rest-hook' AND c.value > p.done", nil, &d.Pending, &d.Dead)
	return d, err
}

var (
	putSubscriber = upsert("subscriber", subscriberColumns, 1)
	putProgress   = upsert("progress", progressColumns, 1)
)

// PutSubscriber implements store.Tx.
func (t *tx) PutSubscriber(s store.Subscriber) error {
	t.wanted = nil
	if err := t.exec(putSubscriber, s.ID, s.Organization, s.Client, s.Scopes, s.Resource, s.Channel, blob(s.Order), s.Status); err != nil {
		return err
	}
	return t.PutProgress(s.ID, s.Progress)
}

// PutProgress implements store.Tx.
func (t *tx) PutProgress(subscription string, p store.Progress) error {
	return t.exec(putProgress, subscription, p.Done, p.Failures, micro(p.Due), micro(p.Sent), p.Holder, micro(p.Lease))
}

// DeleteSubscriber implements store.Tx.
func (t *tx) DeleteSubscriber(id string) error {
	t.wanted = nil
	for _, d := range []struct{ query, key string }{
		{"DELETE FROM subscriber WHERE id = ?", id},
		{"DELETE FROM progress WHERE subscription = ?", id},
		{"DELETE FROM notice WHERE subscription = ?", id},
		{"DELETE FROM counter WHERE name = ?", noticeCounter + id},
	} {
		if err := t.exec(d.query, d.key); err != nil {
			return err
		}
	}
	return nil
}

// PutNotice implements store.Tx.
func (t *tx) PutNotice(n store.Notice) error {
	number, err := t.NextNumber(noticeCounter + n.Subscription)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO notice ("+noticeColumns+") VALUES ("+marks(7)+")", n.Subscription, number, n.Type, n.ID, n.Version, n.Created, micro(n.At))
}

// ReleaseSubscribers implements store.Tx.
func (t *tx) ReleaseSubscribers(holder string) error {
	return t.exec("UPDATE progress SET holder = '', lease = 0 WHERE holder = ? AND holder <> ''", holder)
}
