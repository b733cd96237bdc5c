package postgres

import (
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// TestCrowd sees that one conflict makes a short crowd, that each try which
// meets another doubles it, and that it is forgotten when all was quiet for as
// long.
func TestCrowd(t *testing.T) {
	var c crowd
	now := time.Now()
	expected := func(want time.Duration) {
		t.Helper()
		if !c.expects(now.Add(want-1)) || c.expects(now.Add(want)) {
			t.Errorf("a crowd for %v, want %v", time.Duration(c.until.Load()-instant(now)), want)
		}
	}
	if c.expects(now) {
		t.Fatal("a crowd at the start")
	}
	for range 3 { // of those that run together the first counts
		c.note(now, now, true)
		expected(leastCrowd)
	}
	for want := 2 * leastCrowd; want < 4*mostCrowd; want *= 2 {
		now = now.Add(time.Duration(c.pause.Load()))
		c.note(now, now, true)
		expected(min(want, mostCrowd))
	}
	now = now.Add(mostCrowd)
	c.note(now, now, false)
	c.note(now, now, true)
	expected(mostCrowd) // too soon to be forgotten
	now = now.Add(2*mostCrowd + 1)
	c.note(now, now, false)
	c.note(now, now, true)
	expected(leastCrowd)
}

// TestALaneThatSleeps holds the lock of the lanes, as a node does that falls
// asleep in the middle: the others go on without it.
func TestALaneThatSleeps(t *testing.T) {
	url := database(t)
	s := open(t, url)
	c := admin(t, url)
	for _, mode := range []string{"ROW SHARE", "EXCLUSIVE"} {
		run(t, c, "BEGIN; LOCK TABLE lane IN "+mode+" MODE")
		each(t, 20, func(i int) error {
			return s.Update(t.Context(), func(tx store.Tx) error {
				_, err := tx.NextNumber("n") // one conflicts with the other, and goes to the lane
				return err
			})
		})
		if mode == "EXCLUSIVE" && s.impatient.Load() == 0 {
			t.Error("nobody has waited for the lock")
		}
		run(t, c, "ROLLBACK")
	}
	var n int64
	if err := s.Update(t.Context(), func(tx store.Tx) (err error) { n, err = tx.NextNumber("n"); return err }); err != nil || n != 41 {
		t.Errorf("the next number is %d, %v", n, err)
	}
}
