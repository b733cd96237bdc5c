package outbox_test

import (
	"fmt"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// TestNumbers sees that events count up within their topic in the order in
// which they are sent, that one which is sent again keeps its number, and that
// it stands in what is sent.
func TestNumbers(t *testing.T) {
	st := database(t)
	for _, topic := range []string{"x", "y", "x", "x"} {
		err := st.Update(t.Context(), func(tx store.Tx) error {
			return tx.PutEvent(store.Event{Topic: topic, Key: "k", Created: start, Value: []byte(`{"valueString":"0"} {"valueString":"0"} {"valueString":"0"}`)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	o := newOutside(func(call int, events []store.Event) (arrive, acknowledge []store.Event) {
		if call == 1 {
			return events, nil
		}
		return events, events
	})
	startRelay(t, relay(st, o))
	st.untilPending(t, 0)
	numbers := map[int64]int64{} // by Seq
	for i, e := range o.log {
		if before := numbers[e.Seq]; before != 0 && before != e.Number {
			t.Errorf("event %d has the number %d, and %d when it is sent again", e.Seq, before, e.Number)
		}
		numbers[e.Seq] = e.Number
		if want := fmt.Sprintf(`{"valueString":"%d"} {"valueString":"%[1]d"} {"valueString":"0"}`, e.Number); string(e.Value) != want {
			t.Errorf("arrival %d says %s", i, e.Value)
		}
	}
	if len(o.log) != 8 || numbers[1] != 1 || numbers[2] != 1 || numbers[3] != 2 || numbers[4] != 3 {
		t.Errorf("%d arrivals; the numbers are %v", len(o.log), numbers)
	}
}
