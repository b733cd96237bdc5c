package terminology

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The operations on sets agree, code by code, with logic in three values. (Where
// a rule meets a value set that is not known they may say Unknown for Out, so
// that the two are drawn apart.)
func TestSetsAreThreeValued(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var keys []key
	for system := range 3 {
		for code := range 5 {
			keys = append(keys, key{fmt.Sprint("s", system), fmt.Sprint("c", code)})
		}
	}
	draw := func(ruled bool) *Set {
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
			g := gap{reason: "x"}
			switch random.IntN(4) {
			case 0:
				if !ruled {
					break
				}
				answers := []Answer{Answer(random.IntN(3)), Answer(random.IntN(3))}
				g.decide = func(code string) Answer { return answers[code[1]%2] }
				g.sure = answers[0] != Unknown && answers[1] != Unknown
				fallthrough
			case 1:
				s.leaveOpen(fmt.Sprint("s", system), g)
			}
		}
		if !ruled && random.IntN(6) == 0 {
			s.leaveOpen("", gap{reason: "y"})
		}
		return s
	}
	for i := range 3000 {
		ruled := i%2 == 0
		a, b, c := draw(ruled), draw(ruled), draw(ruled)
		union := a.minus(newSet()) // a copy
		union.union(b)
		for name, got := range map[string]struct {
			set  *Set
			want func(k key) Answer
		}{
			"union":     {union, func(k key) Answer { return either(a.lookup(k), b.lookup(k)) }},
			"minus":     {a.minus(b), func(k key) Answer { return both(a.lookup(k), not(b.lookup(k))) }},
			"intersect": {a.intersect(b), func(k key) Answer { return both(a.lookup(k), b.lookup(k)) }},
			"both":      {union.minus(c).intersect(b), func(k key) Answer { return both(both(either(a.lookup(k), b.lookup(k)), not(c.lookup(k))), b.lookup(k)) }},
		} {
			for _, k := range keys {
				answer := got.set.lookup(k)
				if answer == Unknown && got.set.Complete() {
					t.Fatalf("%s says that it is complete and cannot tell of %v", name, k)
				}
				if answer != got.want(k) {
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
