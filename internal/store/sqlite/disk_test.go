package sqlite

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
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
		if err := s.writer.one(fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, &pages); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.writer.one("PRAGMA page_count", nil, &pages); err != nil {
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
