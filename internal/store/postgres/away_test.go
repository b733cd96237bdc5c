package postgres

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

// TestPassingErrorsSaySo: what a client may send again is told from what it
// may not, and says nothing of the database.
func TestPassingErrorsSaySo(t *testing.T) {
	own := fhir.Errorf(fhir.CodeConflict, "", "The slot is full.")
	plain := errors.New("a fault of ours")
	for _, c := range []struct {
		name   string
		err    error
		status int
	}{
		{"the end of a commit is unknown", ErrUnknown, http.StatusServiceUnavailable},
		{"the connection is lost", errBroken, http.StatusServiceUnavailable},
		{"others are in the way for too long", errBusy, http.StatusServiceUnavailable},
		{"the node stops", errClosed, http.StatusServiceUnavailable},
		{"it took too long", context.DeadlineExceeded, http.StatusServiceUnavailable},
		{"the transaction said no", own, http.StatusConflict},
		{"a fault", plain, http.StatusInternalServerError},
	} {
		got := passing(c.err)
		if fhir.Status(got) != c.status || !errors.Is(got, c.err) {
			t.Errorf("%s: %d, %v", c.name, fhir.Status(got), got)
		}
	}
	if passing(nil) != nil {
		t.Error("no error is an error")
	}
}

// TestServerThatIsAwayAndComesBack: callers are told to come again, and need
// nothing else than that.
func TestServerThatIsAwayAndComesBack(t *testing.T) {
	server := postgrestest.Own(t)
	s := open(t, server.URL())
	update := func(ctx context.Context) error {
		return s.Update(ctx, func(tx store.Tx) error { return tx.PutSetting("x", []byte("y")) })
	}
	view := func(ctx context.Context) error {
		return s.View(ctx, func(r store.Reader) error { _, err := r.Setting("x"); return err })
	}
	if err := update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), server.URL()); !Away(err) {
		t.Errorf("a server that is away gives %v at the start", err)
	}
	for name, do := range map[string]func(context.Context) error{"view": view} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := do(ctx); fhir.Status(err) != http.StatusServiceUnavailable && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	waiting := make(chan error, 2) // for the server
	go func() { waiting <- update(t.Context()) }()
	go func() { waiting <- view(t.Context()) }()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-waiting; err != nil {
			t.Errorf("it came back, and %v", err)
		}
	}
}

// TestTransactionOfSleeperIsEnded: a node that falls asleep in the middle of a
// transaction does not keep what it has locked.
func TestTransactionOfSleeperIsEnded(t *testing.T) {
	url := database(t)
	awake := open(t, url)
	sleeper := open(t, url+"&idle_in_transaction_session_timeout=300")
	next := func(tx store.Tx) error { _, err := tx.NextNumber("topic"); return err }
	if err := awake.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	asleep, wake, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := true
	go func() {
		done <- sleeper.Update(context.Background(), func(tx store.Tx) error {
			err := next(tx)
			if first {
				first = false
				close(asleep)
				<-wake
			}
			return err
		})
	}()
	<-asleep
	if err := awake.Update(t.Context(), next); err != nil {
		t.Errorf("while another node sleeps: %v", err)
	}
	close(wake)
	if err := <-done; err != nil { // once more, and then as if it had never slept
		t.Errorf("the sleeper: %v", err)
	}
	var last int64
	if err := awake.Update(t.Context(), func(tx store.Tx) (err error) { last, err = tx.NextNumber("topic"); return err }); err != nil || last != 4 {
		t.Errorf("the next number is %d, %v", last, err)
	}
	if idleLimit > 10*time.Second {
		t.Errorf("others wait for %v", idleLimit)
	}
}
