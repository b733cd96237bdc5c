package postgres

import (
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// NumberEvents implements store.Tx.
func (t *tx) NumberEvents(list []store.Event) error {
	seqs, numbers := make([]int64, len(list)), make([]int64, len(list))
	for i, e := range list {
		seqs[i], numbers[i] = e.Seq, e.Number
	}
	return t.Exec("UPDATE event SET number = n.number FROM unnest(?::bigint[], ?::bigint[]) AS n (seq, number) WHERE event.seq = n.seq", seqs, numbers)
}

// UnparkEvent implements store.Tx.
func (t *tx) UnparkEvent(seq int64) error {
	if err := tables.One(t.conn, "SELECT seq FROM parked WHERE seq = ?", []any{seq}, &seq); err != nil {
		return err
	}
	if err := t.Exec("INSERT INTO event ("+tables.EventColumns+") OVERRIDING SYSTEM VALUE SELECT "+tables.EventColumns+" FROM parked WHERE seq = ?", seq); err != nil {
		return err
	}
	return t.Exec("DELETE FROM parked WHERE seq = ?", seq)
}

// MarkPublished implements store.Tx.
func (t *tx) MarkPublished(when time.Time, list []store.Published) error {
	n := len(list)
	topics, parts, places, seqs := make([]string, n), make([]int32, n), make([]int64, n), make([]int64, n)
	for i, p := range list {
		topics[i], parts[i], places[i], seqs[i] = text(p.Topic), p.Partition, p.Offset, p.Seq
	}
	if err := t.Exec(`INSERT INTO published (topic, part, place, created) SELECT p.topic, p.part, p.place, e.created
		FROM unnest(?::text[], ?::integer[], ?::bigint[], ?::bigint[]) AS p (topic, part, place, seq) JOIN event e ON e.seq = p.seq
		ON CONFLICT DO NOTHING`, topics, parts, places, seqs); err != nil {
		return err
	}
	return t.Exec("UPDATE event SET published = ? WHERE seq = ANY(?)", tables.Micro(when), seqs)
}
