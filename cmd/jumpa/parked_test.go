package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

func TestParked(t *testing.T) {
	url := postgrestest.Database(t)
	database := []string{"JUMPA_DATABASE_URL=" + url}
	st, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var seq int64
	err = st.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.PutEvent(store.Event{Topic: "hie.vc.encounter.h1", Key: "Encounter/e1", Value: []byte("12345"), Created: time.Now()}); err != nil {
			return err
		}
		pending, err := tx.PendingEvents(1)
		if err != nil {
			return err
		}
		seq = pending[0].Seq
		return tx.ParkEvent(seq, time.Now(), "MESSAGE_TOO_LARGE")
	})
	if err != nil {
		t.Fatal(err)
	}
	number := strconv.FormatInt(seq, 10)
	if r := runs(t, database, "parked"); r.status != 0 || !strings.Contains(r.stdout, "Encounter/e1") || !strings.Contains(r.stdout, "MESSAGE_TOO_LARGE") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	runs(t, database, "parked", "--replay", number, "--replay", "4711").refused(t, "4711")
	if r := runs(t, database, "parked", "--replay", number); r.status != 0 || !strings.Contains(r.stdout, "1 events are pending again") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	err = st.View(t.Context(), func(r store.Reader) error {
		pending, err := r.PendingEvents(10)
		if len(pending) != 1 || pending[0].Seq != seq {
			t.Errorf("pending are %+v", pending)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
