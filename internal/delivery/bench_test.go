package delivery_test

import (
	"fmt"
	"testing"
)

// What a write of a record costs beside Subscriptions that do not want it, and
// beside some that do.
func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct{ others, told int }{{0, 0}, {200, 0}, {0, 10}} {
		b.Run(fmt.Sprintf("others=%d/told=%d", c.others, c.told), func(b *testing.B) {
			w := newWorld(b, database(b))
			for i := range c.others + c.told {
				criteria := "Observation?status=final"
				if i < c.others {
					criteria = fmt.Sprintf("Observation?status=final&code=c%d", i)
				}
				w.put(hospitalSystem, sub{id: fmt.Sprint("s", i), criteria: criteria, endpoint: "http://127.0.0.1:9", content: "empty"}.String())
			}
			n := 0
			for b.Loop() {
				n++
				w.put(hospitalSystem, observation("o1", n, "final"))
			}
		})
	}
}
