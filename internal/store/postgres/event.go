package postgres

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// PutEvent implements store.Tx.
func (t *tx) PutEvent(e store.Event) error {
	headers, err := json.Marshal(e.Headers)
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO event (topic, key, number, headers, value, created) VALUES ("+marks(6)+")",
		e.Topic, e.Key, e.Number, string(headers), blob(e.Value), micro(e.Created))
}

// NumberEvents implements store.Tx.
func (t *tx) NumberEvents(list []store.Event) error {
	seqs, numbers := make([]int64, len(list)), make([]int64, len(list))
	for i, e := range list {
		seqs[i], numbers[i] = e.Seq, e.Number
	}
	return t.exec("UPDATE event SET number = n.number FROM unnest(?::bigint[], ?::bigint[]) AS n (seq, number) WHERE event.seq = n.seq", seqs, numbers)
}

const eventColumns = "seq, topic, key, number, headers, value, created"

// scanEvent reads the eventColumns and what stands behind them.
func scanEvent(r row, more ...any) (e store.Event, err error) {
	var headers string
	if err := r.Scan(append([]any{&e.Seq, &e.Topic, &e.Key, &e.Number, &headers, &e.Value, at{&e.Created}}, more...)...); err != nil {
		return e, err
	}
	return e, json.Unmarshal([]byte(headers), &e.Headers)
}

// PendingEvents implements store.Reader.
func (r reader) PendingEvents(limit int) ([]store.Event, error) {
	return many(r.conn, "SELECT "+eventColumns+" FROM event WHERE published = 0 ORDER BY seq LIMIT ?",
		[]any{limit}, func(r row) (store.Event, error) { return scanEvent(r) })
}

// ParkEvent implements store.Tx.
func (t *tx) ParkEvent(seq int64, when time.Time, reason string) error {
	if err := t.exec("INSERT INTO parked ("+eventColumns+", at, reason) SELECT "+eventColumns+", ?, ? FROM event WHERE seq = ? AND published = 0",
		micro(when), reason, seq); err != nil {
		return err
	}
	return t.exec("DELETE FROM event WHERE seq = ? AND published = 0", seq)
}

// UnparkEvent implements store.Tx.
func (t *tx) UnparkEvent(seq int64) error {
	if err := t.one("SELECT seq FROM parked WHERE seq = ?", []any{seq}, &seq); err != nil {
		return err
	}
	if err := t.exec("INSERT INTO event ("+eventColumns+") OVERRIDING SYSTEM VALUE SELECT "+eventColumns+" FROM parked WHERE seq = ?", seq); err != nil {
		return err
	}
	return t.exec("DELETE FROM parked WHERE seq = ?", seq)
}

// ParkedEvents implements store.Reader.
func (r reader) ParkedEvents(limit int) ([]store.Parked, error) {
	return many(r.conn, "SELECT "+eventColumns+", at, reason FROM parked ORDER BY seq LIMIT ?", []any{limit}, func(r row) (p store.Parked, err error) {
		p.Event, err = scanEvent(r, at{&p.At}, &p.Reason)
		return p, err
	})
}

// MarkPublished implements store.Tx.
func (t *tx) MarkPublished(when time.Time, list []store.Published) error {
	n := len(list)
	topics, parts, places, seqs := make([]string, n), make([]int32, n), make([]int64, n), make([]int64, n)
	for i, p := range list {
		topics[i], parts[i], places[i], seqs[i] = text(p.Topic), p.Partition, p.Offset, p.Seq
	}
	if err := t.exec(`INSERT INTO published (topic, part, place, created) SELECT p.topic, p.part, p.place, e.created
		FROM unnest(?::text[], ?::integer[], ?::bigint[], ?::bigint[]) AS p (topic, part, place, seq) JOIN event e ON e.seq = p.seq
		ON CONFLICT DO NOTHING`, topics, parts, places, seqs); err != nil {
		return err
	}
	return t.exec("UPDATE event SET published = ? WHERE seq = ANY(?)", micro(when), seqs)
}

// PutSignal implements store.Tx.
func (t *tx) PutSignal(key string, when time.Time) error {
	return t.exec("INSERT INTO signal (key, at) VALUES (?, ?)", key, micro(when))
}

// Signals implements store.Reader.
func (r reader) Signals(after int64, limit int) ([]store.Signal, error) {
	return many(r.conn, "SELECT seq, key FROM signal WHERE seq > ? ORDER BY seq LIMIT ?", []any{after, limit}, func(r row) (s store.Signal, err error) {
		err = r.Scan(&s.Seq, &s.Key)
		return s, err
	})
}

// LastSignal implements store.Reader.
func (r reader) LastSignal() (last int64, err error) {
	err = r.one("SELECT coalesce(max(seq), 0) FROM signal", nil, &last)
	return last, err
}

// LastPublished implements store.Reader.
func (r reader) LastPublished() ([]store.Published, error) {
	return many(r.conn, "SELECT topic, part, max(place) FROM published GROUP BY topic, part ORDER BY topic, part", nil,
		func(r row) (p store.Published, err error) {
			err = r.Scan(&p.Topic, &p.Partition, &p.Offset)
			return p, err
		})
}

// PublishedSince implements store.Reader.
func (r reader) PublishedSince(topic string, since time.Time) (map[int32]int64, error) {
	list, err := many(r.conn, "SELECT part, min(place) FROM published WHERE topic = ? AND created >= ? GROUP BY part", []any{topic, micro(since)},
		func(r row) (p store.Published, err error) {
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
func (t *tx) Forget(before, now time.Time) error {
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
		if err := t.exec(f.query, micro(f.limit)); err != nil {
			return err
		}
	}
	return nil
}

// PutAudit implements store.Tx.
func (t *tx) PutAudit(a store.Audit) error {
	return t.exec("INSERT INTO audit (at, action, operation, agent_kind, agent, organization, target, outcome, trace) VALUES ("+marks(9)+")",
		micro(a.At), a.Action, a.Operation, a.AgentKind, a.Agent, a.Organization, a.Target, a.Outcome, a.Trace)
}

// AuditTrail implements store.Reader.
func (r reader) AuditTrail(q store.AuditQuery) ([]store.Audit, error) {
	where, args := audited(q)
	return many(r.conn, "SELECT seq, at, action, operation, agent_kind, agent, organization, target, outcome, trace FROM audit WHERE "+
		where+" ORDER BY seq DESC LIMIT ? OFFSET ?", append(args, q.Count, q.Offset),
		func(r row) (a store.Audit, err error) {
			err = r.Scan(&a.Seq, at{&a.At}, &a.Action, &a.Operation, &a.AgentKind, &a.Agent, &a.Organization, &a.Target, &a.Outcome, &a.Trace)
			return a, err
		})
}

// AuditCount implements store.Reader.
func (r reader) AuditCount(q store.AuditQuery) (n int, err error) {
	where, args := audited(q)
	err = r.one("SELECT count(*) FROM audit WHERE "+where, args, &n)
	return n, err
}

func audited(q store.AuditQuery) (where string, args []any) {
	clauses, args := []string{"at >= ?"}, []any{micro(q.Since)}
	for _, f := range []struct{ column, value string }{{"target", q.Target}, {"agent", q.Agent}, {"organization", q.Organization}} {
		if f.value != "" {
			clauses, args = append(clauses, f.column+" = ?"), append(args, f.value)
		}
	}
	if q.Seq != 0 {
		clauses, args = append(clauses, "seq = ?"), append(args, q.Seq)
	}
	if q.Until != 0 {
		clauses, args = append(clauses, "seq <= ?"), append(args, q.Until)
	}
	if !q.Before.IsZero() {
		clauses, args = append(clauses, "at < ?"), append(args, micro(q.Before))
	}
	for _, test := range q.Where {
		in := " IN ("
		if test.Not {
			in = " NOT IN ("
		}
		marked := marks(len(test.Any))
		if marked == "" {
			marked = "NULL" // nothing is in it
		}
		clauses = append(clauses, string(test.Field)+in+marked+")")
		for _, value := range test.Any {
			args = append(args, value)
		}
	}
	return strings.Join(clauses, " AND "), args
}
