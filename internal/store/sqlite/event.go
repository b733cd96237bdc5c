package sqlite

import (
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// NumberEvents implements store.Tx.
func (t *tx) NumberEvents(list []store.Event) error {
	for _, e := range list {
		if err := t.Exec("UPDATE event SET number = ? WHERE seq = ?", e.Number, e.Seq); err != nil {
			return err
		}
	}
	return nil
}

// UnparkEvent implements store.Tx.
func (t *tx) UnparkEvent(seq int64) error {
	if err := tables.One(t.conn, "SELECT seq FROM parked WHERE seq = ?", []any{seq}, &seq); err != nil {
		return err
	}
	if err := t.Exec("INSERT INTO event ("+tables.EventColumns+") SELECT "+tables.EventColumns+" FROM parked WHERE seq = ?", seq); err != nil {
		return err
	}
	return t.Exec("DELETE FROM parked WHERE seq = ?", seq)
}

// MarkPublished implements store.Tx.
func (t *tx) MarkPublished(when time.Time, list []store.Published) error {
	for _, p := range list {
		if err := t.Exec("INSERT OR IGNORE INTO published (topic, part, place, created) SELECT ?, ?, ?, created FROM event WHERE seq = ?",
			p.Topic, p.Partition, p.Offset, p.Seq); err != nil {
			return err
		}
		if err := t.Exec("UPDATE event SET published = ? WHERE seq = ?", tables.Micro(when), p.Seq); err != nil {
			return err
		}
	}
	return nil
}

// FreshNumber implements store.Tx. There is one writer: nobody waits.
func (t *tx) FreshNumber(counter string) (int64, error) { return t.NextNumber(counter) }
