package tables

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

func scanSubscriber(r Row) (s store.Subscriber, err error) {
	err = r.Scan(&s.ID, &s.Organization, &s.Client, &s.Scopes, &s.Resource, &s.Channel, &s.Order, &s.Status,
		&s.Done, &s.Failures, At{&s.Due}, At{&s.Sent}, &s.Holder, At{&s.Lease}, &s.Events)
	return s, err
}

// Subscriber implements store.Reader.
func (r Reader) Subscriber(id string) (store.Subscriber, error) {
	return Single(r.Conn, selectSubscriber+"WHERE s.id = ?", []any{id}, scanSubscriber)
}

// Subscribers implements store.Reader.
func (r Reader) Subscribers(resource string) ([]store.Subscriber, error) {
	return Many(r.Conn, "SELECT "+subscriberColumns+" FROM subscriber WHERE resource = ? AND status <> 'off' ORDER BY id", []any{resource},
		func(r Row) (s store.Subscriber, err error) {
			err = r.Scan(&s.ID, &s.Organization, &s.Client, &s.Scopes, &s.Resource, &s.Channel, &s.Order, &s.Status)
			return s, err
		})
}

// DueSubscribers implements store.Reader.
func (r Reader) DueSubscribers(now time.Time, limit int) ([]store.Subscriber, error) {
	return Many(r.Conn, selectSubscriber+`WHERE s.status <> 'off' AND p.lease <= ? AND (p.due > 0 AND p.due <= ? OR
		s.status = 'active' AND s.channel = 'rest-hook' AND p.failures = 0 AND c.value > p.done) ORDER BY p.sent, s.id LIMIT ?`,
		[]any{Micro(now), Micro(now), limit}, scanSubscriber)
}

// Notices implements store.Reader.
func (r Reader) Notices(subscription string, from, to int64, limit int) ([]store.Notice, error) {
	return Many(r.Conn, "SELECT "+noticeColumns+" FROM notice WHERE subscription = ? AND number >= ? AND number <= ? ORDER BY number LIMIT ?",
		[]any{subscription, from, to, limit}, func(r Row) (n store.Notice, err error) {
			err = r.Scan(&n.Subscription, &n.Number, &n.Type, &n.ID, &n.Version, &n.Created, At{&n.At})
			return n, err
		})
}

// Deliveries implements store.Reader.
func (r Reader) Deliveries() (d store.Deliveries, err error) {
	err = One(r.Conn, `SELECT CAST(coalesce(sum(CASE WHEN s.status IN ('requested', 'active') THEN c.value - p.done ELSE 0 END), 0) AS BIGINT),
		CAST(coalesce(sum(CASE WHEN s.status = 'error' THEN c.value - p.done ELSE 0 END), 0) AS BIGINT) `+fromSubscriber+
		"WHERE s.channel = 'rest-hook' AND c.value > p.done", nil, &d.Pending, &d.Dead)
	return d, err
}

var (
	putSubscriber = upsert("subscriber", subscriberColumns, 1)
	putProgress   = upsert("progress", progressColumns, 1)
)

// PutSubscriber implements store.Tx.
func (w Writer) PutSubscriber(s store.Subscriber) error {
	if err := w.Conn.Exec(putSubscriber, s.ID, s.Organization, s.Client, s.Scopes, s.Resource, s.Channel, Blob(s.Order), s.Status); err != nil {
		return err
	}
	return w.PutProgress(s.ID, s.Progress)
}

// PutProgress implements store.Tx.
func (w Writer) PutProgress(subscription string, p store.Progress) error {
	return w.Conn.Exec(putProgress, subscription, p.Done, p.Failures, Micro(p.Due), Micro(p.Sent), p.Holder, Micro(p.Lease))
}

// DeleteSubscriber implements store.Tx.
func (w Writer) DeleteSubscriber(id string) error {
	for _, d := range []struct{ query, key string }{
		{"DELETE FROM subscriber WHERE id = ?", id},
		{"DELETE FROM progress WHERE subscription = ?", id},
		{"DELETE FROM notice WHERE subscription = ?", id},
		{"DELETE FROM counter WHERE name = ?", noticeCounter + id},
	} {
		if err := w.Conn.Exec(d.query, d.key); err != nil {
			return err
		}
	}
	return nil
}

// PutNotice implements store.Tx.
func (w Writer) PutNotice(n store.Notice) error {
	number, err := w.NextNumber(noticeCounter + n.Subscription)
	if err != nil {
		return err
	}
	return w.Conn.Exec("INSERT INTO notice ("+noticeColumns+") VALUES ("+marks(7)+")", n.Subscription, number, n.Type, n.ID, n.Version, n.Created, Micro(n.At))
}

// ReleaseSubscribers implements store.Tx.
func (w Writer) ReleaseSubscribers(holder string) error {
	return w.Conn.Exec("UPDATE progress SET holder = '', lease = 0 WHERE holder = ? AND holder <> ''", holder)
}
