package terminology

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The operations on sets agree, code by code, with logic in three values.
func TestSetsAreThreeValued(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var keys []key
	for system := range 3 {
		for code := range 5 {
			keys = append(keys, key{fmt.Sprint("s", system), fmt.Sprint("c", code)})
		}
	}
	draw := func() *Set {
		s := newSet()
		for _, k := range keys {
			switch random.IntN(6) {
			case 0, 1:
				s.add(member{key: k})
			case 2:
				mark(&s.maybe, k)
			case 3:
				mark(&s.except, k)
			}
		}
		for system := range 3 {
			if random.IntN(3) == 0 {
				s.leaveOpen(fmt.Sprint("s", system), gap{reason: "x"})
			}
		}
		if random.IntN(6) == 0 {
			s.leaveOpen("", gap{reason: "y"})
		}
		return s
	}
	not := map[Answer]Answer{In: Out, Out: In, Unknown: Unknown}
	and := func(a, b Answer) Answer {
		switch {
		case a == Out || b == Out:
			return Out
		case a == Unknown || b == Unknown:
			return Unknown
		}
		return In
	}
	or := func(a, b Answer) Answer { return not[and(not[a], not[b])] }
	for range 3000 {
		a, b, c := draw(), draw(), draw()
		union := a.minus(newSet()) // a copy
		union.union(b)
		for name, got := range map[string]struct {
			set  *Set
			want func(k key) Answer
		}{
			"union":     {union, func(k key) Answer { return or(a.lookup(k), b.lookup(k)) }},
			"minus":     {a.minus(b), func(k key) Answer { return and(a.lookup(k), not[b.lookup(k)]) }},
			"intersect": {a.intersect(b), func(k key) Answer { return and(a.lookup(k), b.lookup(k)) }},
			"both":      {union.minus(c).intersect(b), func(k key) Answer { return and(and(or(a.lookup(k), b.lookup(k)), not[c.lookup(k)]), b.lookup(k)) }},
		} {
			for _, k := range keys {
				if answer := got.set.lookup(k); answer != got.want(k) {
					t.Fatalf("%s of %v: %v, want %v\na %+v\nb %+v", name, k, answer, got.want(k), a, b)
				}
			}
			for i, m := range got.set.members {
				if got.set.at[m.key] != i {
					t.Fatalf("%s: %v does not stand where it should", name, m.key)
				}
			}
		}
	}
}
