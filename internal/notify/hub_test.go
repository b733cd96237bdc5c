package notify_test

import (
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/notify"
)

func TestHub(t *testing.T) {
	var h notify.Hub
	h.Wake("nobody waits for this")
	a, cancelA := h.Subscribe("x", "y")
	b, cancelB := h.Subscribe("y")
	h.Wake("x")
	if len(a) != 1 || len(b) != 0 {
		t.Errorf("x woke %d and %d", len(a), len(b))
	}
	h.Wake("x", "y", "y") // merged into one
	if len(a) != 1 || len(b) != 1 {
		t.Errorf("x and y woke %d and %d", len(a), len(b))
	}
	<-a
	<-b
	cancelA()
	cancelA()
	h.Wake("x", "y")
	if len(a) != 0 || len(b) != 1 {
		t.Errorf("after leaving: %d and %d", len(a), len(b))
	}
	cancelB()
}

func TestHubFromManySides(t *testing.T) {
	var h notify.Hub
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				woken, cancel := h.Subscribe("k")
				h.Wake("k")
				<-woken
				cancel()
			}
		})
	}
	all.Wait()
}
