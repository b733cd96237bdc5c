package sqlite

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/tables"
)

// TestFullDiskLeavesNothingBehind: SQLite rolls a transaction back by itself
// when the disk is full. What its update still does must not be written
// outside of it.
func TestFullDiskLeavesNothingBehind(t *testing.T) {
	s := fresh(t)
	mustPut(t, s, "before", "yes")
	var pages int
	limit := func(pages int) {
		t.Helper()
		if err := tables.One(s.writer, fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, &pages); err != nil {
			t.Fatal(err)
		}
	}
	if err := tables.One(s.writer, "PRAGMA page_count", nil, &pages); err != nil {
		t.Fatal(err)
	}
	limit(pages)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(
			tx.PutSetting("large", []byte(strings.Repeat("x", 1<<20))),
			tx.PutSetting("before", []byte("no")), // for which there is room
		)
	})
	if fhir.Status(err) != http.StatusServiceUnavailable {
		t.Errorf("a full disk gives %v", err)
	}
	if got := setting(t, s, "before"); got != "yes" {
		t.Errorf("half of an update was written: %q", got)
	}
	limit(1 << 20)
	mustPut(t, s, "after", "yes")
	if got := setting(t, s, "after"); got != "yes" {
		t.Errorf("with room again: %q", got)
	}
}

// TestRefusalsStandOnWhatIsStored: an update that is refused because of what
// another one has just written is not answered so when that is rolled back.
func TestRefusalsStandOnWhatIsStored(t *testing.T) {
	s := fresh(t)
	mustPut(t, s, "place", "free")
	var pages int
	if err := tables.One(s.writer, "PRAGMA page_count", nil, &pages); err != nil {
		t.Fatal(err)
	}
	if err := tables.One(s.writer, fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, &pages); err != nil {
		t.Fatal(err)
	}
	taken := errors.New("the place is taken")
	take := func(tx store.Tx) error {
		if is, err := tx.Setting("place"); err != nil || string(is) != "free" {
			return errors.Join(err, taken)
		}
		return tx.PutSetting("place", []byte("mine"))
	}
	grow := func(tx store.Tx) error { return tx.PutSetting("large", []byte(strings.Repeat("x", 1<<20))) }

	batch := []*job{} // one commit
	for _, fn := range []func(store.Tx) error{take, take, grow} {
		batch = append(batch, &job{ctx: t.Context(), fn: fn, answer: make(chan error, 1)})
	}
	s.queue <- &job{ctx: t.Context(), answer: make(chan error, 1), fn: func(store.Tx) error {
		for _, j := range batch { // while the writer is busy
			s.queue <- j
		}
		return nil
	}}
	for i, j := range batch {
		if err := <-j.answer; err == nil || errors.Is(err, taken) {
			t.Errorf("update %d of a commit that failed is answered with %v", i, err)
		}
	}
	if got := setting(t, s, "place"); got != "free" {
		t.Errorf("the place is %q", got)
	}
}
