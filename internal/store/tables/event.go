package tables

import (
	"encoding/json"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// PutEvent implements store.Tx.
func (w Writer) PutEvent(e store.Event) error {
	headers, err := json.Marshal(e.Headers)
	if err != nil {
		return err
	}
	return w.Conn.Exec("INSERT INTO event (topic, key, number, headers, value, created) VALUES ("+marks(6)+")",
		e.Topic, e.Key, e.Number, string(headers), Blob(e.Value), Micro(e.Created))
}

// EventColumns are those that an event has before it is published, and a parked
// one too.
const EventColumns = "seq, topic, key, number, headers, value, created"

// scanEvent reads the EventColumns and what stands behind them.
func scanEvent(r Row, more ...any) (e store.Event, err error) {
	var headers string
	if err := r.Scan(append([]any{&e.Seq, &e.Topic, &e.Key, &e.Number, &headers, &e.Value, At{&e.Created}}, more...)...); err != nil {
		return e, err
	}
	return e, json.Unmarshal([]byte(headers), &e.Headers)
}

// PendingEvents implements store.Reader.
func (r Reader) PendingEvents(limit int) ([]store.Event, error) {
	return Many(r.Conn, "SELECT "+EventColumns+" FROM event WHERE published = 0 ORDER BY seq LIMIT ?",
		[]any{limit}, func(r Row) (store.Event, error) { return scanEvent(r) })
}

// ParkEvent implements store.Tx.
func (w Writer) ParkEvent(seq int64, when time.Time, reason string) error {
	if err := w.Conn.Exec("INSERT INTO parked ("+EventColumns+", at, reason) SELECT "+EventColumns+", ?, ? FROM event WHERE seq = ? AND published = 0",
		Micro(when), reason, seq); err != nil {
		return err
	}
	return w.Conn.Exec("DELETE FROM event WHERE seq = ? AND published = 0", seq)
}

// ParkedEvents implements store.Reader.
func (r Reader) ParkedEvents(limit int) ([]store.Parked, error) {
	return Many(r.Conn, "SELECT "+EventColumns+", at, reason FROM parked ORDER BY seq LIMIT ?", []any{limit}, func(r Row) (p store.Parked, err error) {
		p.Event, err = scanEvent(r, At{&p.At}, &p.Reason)
		return p, err
	})
}

// PutSignal implements store.Tx.
func (w Writer) PutSignal(key string, when time.Time) error {
	return w.Conn.Exec("INSERT INTO signal (key, at) VALUES (?, ?)", key, Micro(when))
}

// Signals implements store.Reader.
func (r Reader) Signals(after int64, limit int) ([]store.Signal, error) {
	return Many(r.Conn, "SELECT seq, key FROM signal WHERE seq > ? ORDER BY seq LIMIT ?", []any{after, limit}, func(r Row) (s store.Signal, err error) {
		err = r.Scan(&s.Seq, &s.Key)
		return s, err
	})
}

// LastSignal implements store.Reader.
func (r Reader) LastSignal() (last int64, err error) {
	err = One(r.Conn, "SELECT coalesce(max(seq), 0) FROM signal", nil, &last)
	return last, err
}

// LastPublished implements store.Reader.
func (r Reader) LastPublished() ([]store.Published, error) {
	return Many(r.Conn, "SELECT topic, part, max(place) FROM published GROUP BY topic, part ORDER BY topic, part", nil,
		func(r Row) (p store.Published, err error) {
			err = r.Scan(&p.Topic, &p.Partition, &p.Offset)
			return p, err
		})
}

// PublishedSince implements store.Reader.
func (r Reader) PublishedSince(topic string, since time.Time) (map[int32]int64, error) {
	list, err := Many(r.Conn, "SELECT part, min(place) FROM published WHERE topic = ? AND created >= ? GROUP BY part", []any{topic, Micro(since)},
		func(r Row) (p store.Published, err error) {
			err = r.Scan(&p.Partition, &p.Offset)
			return p, err
		})
	oldest := make(map[int32]int64, len(list))
	for _, p := range list {
		oldest[p.Partition] = p.Offset
	}
	return oldest, err
}

// Forget implements store.Tx. The last place of each partition is remembered.
func (w Writer) Forget(before, now time.Time) error {
	for _, f := range []struct {
		query string
		limit time.Time
	}{
		{"DELETE FROM event WHERE published > 0 AND published < ?", before},
		{"DELETE FROM published WHERE created < ? AND place < (SELECT max(p.place) FROM published p WHERE p.topic = published.topic AND p.part = published.part)", before},
		{forgetNotices, before},
		{"DELETE FROM idempotent WHERE at < ?", before},
		{"DELETE FROM sign_in WHERE expires < ?", now},
		{"DELETE FROM one_time_code WHERE expires < ?", now},
		{"DELETE FROM cursor WHERE expires < ?", now},
		{"DELETE FROM attempts WHERE until < ?", now},
		{"DELETE FROM signal WHERE at < ?", now.Add(-time.Hour)},
	} {
		if err := w.Conn.Exec(f.query, Micro(f.limit)); err != nil {
			return err
		}
	}
	return nil
}
