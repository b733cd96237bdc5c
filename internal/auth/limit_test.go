package auth

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	l := newLimiter("test", 3, time.Minute, func() time.Time { return now })
	try := func(key string, want fhir.Code) func() {
		t.Helper()
		back, err := l.take(key)
		wantCode(t, err, want)
		return back
	}
	for range 3 {
		try("a", "")
	}
	try("a", fhir.CodeThrottled)
	try("b", "") // another key is free
	now = now.Add(59 * time.Second)
	try("a", fhir.CodeThrottled)
	now = now.Add(time.Second)
	back := try("a", "")
	try("a", fhir.CodeThrottled)
	back()
	try("a", "")
	try("a", fhir.CodeThrottled)
}

func TestTakeAllTakesAllOrNothing(t *testing.T) {
	clock := func() time.Time { return time.Unix(0, 0) }
	wide, narrow := newLimiter("test", 2, time.Minute, clock), newLimiter("test", 1, time.Minute, clock)
	both := []attempt{{wide, "k"}, {narrow, "k"}}
	if _, err := takeAll(both...); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err := takeAll(both...)
		wantCode(t, err, fhir.CodeThrottled)
	}
	_, err := wide.take("k")
	wantCode(t, err, "") // what was refused took nothing
	_, err = wide.take("k")
	wantCode(t, err, fhir.CodeThrottled)
}

func TestRecentIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	r := recent[string, int]{limit: 10}
	r.put("used", 1)
	for i := range 1000 {
		r.put(strconv.Itoa(i), i)
		if _, ok := r.get("used"); !ok {
			t.Fatalf("what is used was forgotten after %d others", i)
		}
		if r.len() > r.limit {
			t.Fatalf("%d entries, at most %d are allowed", r.len(), r.limit)
		}
	}
	if _, ok := r.get("0"); ok {
		t.Error("what was not used is still there")
	}
	r.put("used", 2)
	if v, _ := r.get("used"); v != 2 {
		t.Errorf("put did not replace: %d", v)
	}
}

func TestRemote(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.7":             "203.0.113.7",
		"::ffff:203.0.113.7":      "203.0.113.7",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":     "2001:db8:1:2::/64",
		"fe80::1%eth0":            "fe80::/64",
		"":                        "",
		"a socket of the machine": "a socket of the machine",
	} {
		if got := remote(WithRemote(context.Background(), address)); got != want {
			t.Errorf("%q counts as %q, want %q", address, got, want)
		}
	}
}

// TestLimitOfManyNodes sees that attempts on different nodes count together,
// and that those which were right do not.
func TestLimitOfManyNodes(t *testing.T) {
	w := newWorld(t)
	now := w.clock()
	node := func() attempt {
		return attempt{newLimiter("test", 3, time.Minute, func() time.Time { return now }), "850712055018"}
	}
	a, b := node(), node()
	take := func(n attempt) (func(context.Context) error, error) {
		return takeTogether(t.Context(), w.store, true, n)
	}
	for i := range 10 {
		right, err := take([]attempt{a, b}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		if err := right(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []attempt{a, b, a} {
		if _, err := take(n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := take(b); fhir.CodeOf(err) != fhir.CodeThrottled {
		t.Errorf("the fourth attempt on both nodes together: %v", err)
	}
	now = now.Add(time.Minute)
	if _, err := take(b); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestLimitOfNodeWhoseClockIsAhead sees that what such a node counts, or has
// counted before its clock was set back, keeps nobody away from the others.
func TestLimitOfNodeWhoseClockIsAhead(t *testing.T) {
	w := newWorld(t)
	node := func(ahead time.Duration) attempt {
		return attempt{newLimiter("test", 3, time.Minute, func() time.Time { return w.clock().Add(ahead) }), "850712055018"}
	}
	wrong, right := node(time.Hour), node(0)
	if _, err := takeTogether(t.Context(), w.store, true, wrong); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := takeTogether(t.Context(), w.store, true, right); err != nil {
			t.Errorf("a node whose clock is right: %v", err)
		}
	}
	if _, err := takeTogether(t.Context(), w.store, true, right); fhir.CodeOf(err) != fhir.CodeThrottled {
		t.Errorf("the fourth attempt there: %v", err)
	}
}
