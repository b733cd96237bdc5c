package fhirpath

import (
	"bytes"
	"hash/maphash"
	"strings"
	"unicode"

	"github.com/jumpa-hie/jumpa/fhir"
)

func (m *machine) equalAll(a, b Collection) truth {
	if len(a) == 0 || len(b) == 0 || m.err != nil {
		return unknown
	}
	if len(a) != len(b) {
		return isFalse
	}
	result := isTrue
	for i := range a {
		switch m.equal(&a[i], &b[i]) {
		case isFalse:
			return isFalse
		case unknown:
			result = unknown
		}
	}
	return result
}

// equal compares two values as = does.
func (m *machine) equal(a, b *Value) truth {
	if !m.step(1) {
		return unknown
	}
	// The usual case, without copying the text: a coded element and a literal.
	if a.kind == kNode && b.kind == kString && a.node.Kind() == fhir.String && textual(a.typ) {
		if raw := a.node.Raw(); len(raw) < 512 && !escaped(raw) {
			return truthOf(string(raw[1:len(raw)-1]) == b.text)
		}
	}
	if a.kind == kNode && b.kind == kNode {
		if a.node == b.node && a.node.Exists() {
			return isTrue
		}
		if a.node.Kind() == fhir.Object && b.node.Kind() == fhir.Object && (!quantityType(a.typ) || !quantityType(b.typ)) {
			return truthOf(m.equalJSON(a.node, b.node))
		}
	}
	x, ok1 := m.system(a)
	y, ok2 := m.system(b)
	if !ok1 || !ok2 {
		switch {
		case !ok1 && !ok2 && a.kind == kNode && b.kind == kNode && a.node.Kind() == b.node.Kind():
			if a.node.Kind() == fhir.Object { // quantities with a comparator
				return truthOf(m.equalJSON(a.node, b.node))
			}
			if a.ext.Exists() && b.ext.Exists() { // nothing but extensions
				return truthOf(m.equalJSON(a.ext, b.ext))
			}
		case ok1 && b.node.Kind() != fhir.Object, ok2 && a.node.Kind() != fhir.Object:
			return unknown // one of them has no value
		}
		return isFalse
	}
	meet(&x, &y, a, b)
	switch {
	case x.number() && y.number():
		return truthOf(x.num.cmp(y.num) == 0)
	case x.kind == kQuantity && y.kind == kQuantity:
		c, ok := m.compareQuantity(&x, &y)
		if !ok {
			return unknown
		}
		return truthOf(c == 0)
	case x.temporal() && y.temporal() && (x.kind == kTime) == (y.kind == kTime):
		p, ok1 := x.moment()
		q, ok2 := y.moment()
		c, ok := p.compare(q)
		if !ok1 || !ok2 || !ok {
			return unknown
		}
		return truthOf(c == 0)
	case x.kind != y.kind:
		return isFalse
	case x.kind == kBoolean:
		return truthOf(x.flag == y.flag)
	}
	return truthOf(x.text == y.text && x.typ == y.typ)
}

func escaped(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }

// textual tells whether a type holds text and nothing else.
func textual(typ string) bool { return primitive(typ) == kString }

// equalJSON compares two elements member by member.
func (m *machine) equalJSON(a, b fhir.Node) bool {
	if !m.step(1) || a.Kind() != b.Kind() {
		return false
	}
	if a == b {
		return true
	}
	switch a.Kind() {
	case fhir.Object:
		n := 0
		for range b.Children() {
			n++
		}
		for c := range a.Children() {
			m.scan(b)
			if n--; n < 0 || !m.equalJSON(c, b.Get(c.Name())) {
				return false
			}
		}
		return n == 0
	case fhir.Array:
		n := a.Len()
		if n != b.Len() {
			return false
		}
		others := make([]fhir.Node, 0, n)
		for c := range b.Children() {
			others = append(others, c)
		}
		i := 0
		for c := range a.Children() {
			if !m.equalJSON(c, others[i]) {
				return false
			}
			i++
		}
		return true
	case fhir.Number:
		x, ok1 := parseDecimal(a.String())
		y, ok2 := parseDecimal(b.String())
		if ok1 && ok2 {
			return x.cmp(y) == 0
		}
	}
	return m.step(len(a.Raw())/256) && a.String() == b.String()
}

// equivalentAll compares two collections as ~ does, in any order.
func (m *machine) equivalentAll(a, b Collection) bool {
	if len(a) != len(b) {
		return false
	}
	used := make([]bool, len(b))
next:
	for i := range a {
		for j := range b {
			if !used[j] && m.equivalent(&a[i], &b[j], 0) {
				used[j] = true
				continue next
			}
			if m.err != nil {
				return false
			}
		}
		return false
	}
	return true
}

func (m *machine) equivalent(a, b *Value, depth int) bool {
	if !m.step(1) || depth > MaxDepth {
		return false
	}
	x, ok1 := m.system(a)
	y, ok2 := m.system(b)
	if !ok1 && !ok2 && a.kind == kNode && b.kind == kNode {
		return m.equivalentElement(a, b, depth)
	}
	if !ok1 || !ok2 {
		return false
	}
	meet(&x, &y, a, b)
	switch {
	case x.number() && y.number():
		return x.num.equivalent(y.num)
	case x.kind == kQuantity && y.kind == kQuantity:
		return m.units(&x, &y) && equivalentQuantity(&x, &y)
	case x.temporal() && y.temporal() && (x.kind == kTime) == (y.kind == kTime):
		p, ok1 := x.moment()
		q, ok2 := y.moment()
		c, ok := p.compare(q)
		return ok1 && ok2 && ok && c == 0
	case x.kind != y.kind:
		return false
	case x.kind == kBoolean:
		return x.flag == y.flag
	case x.kind == kString:
		return x.text == y.text || strings.EqualFold(plainSpace(x.text), plainSpace(y.text))
	}
	return x.text == y.text && x.typ == y.typ
}

// plainSpace makes all white space the same.
func plainSpace(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, s)
}

// equivalentElement compares the children of two elements, each by name.
func (m *machine) equivalentElement(a, b *Value, depth int) bool {
	names := func(v *Value) ([]string, fhir.Node) {
		from := v.node
		if from.Kind() != fhir.Object {
			from = v.ext
		}
		var ns []string
		for c := range from.Children() {
			ns = append(ns, c.Name())
		}
		return ns, from
	}
	as, from := names(a)
	bs, to := names(b)
	if len(as) != len(bs) || from.Kind() != to.Kind() {
		return false
	}
	for _, name := range as {
		m.scan(to)
		other := to.Get(name)
		if !other.Exists() {
			return false
		}
		typ := m.typeOf(a.typ, strings.TrimPrefix(name, "_"), a.node.Kind() == fhir.Object)
		var xs, ys Collection
		for c := range from.Get(name).Items() {
			xs = append(xs, element(c, fhir.Node{}, typ))
		}
		for c := range other.Items() {
			ys = append(ys, element(c, fhir.Node{}, typ))
		}
		if len(xs) != len(ys) || !m.step(len(xs)) {
			return false
		}
		used := make([]bool, len(ys))
	next:
		for i := range xs {
			for j := range ys {
				if !used[j] && (xs[i].node.Kind() == fhir.Null && ys[j].node.Kind() == fhir.Null || m.equivalent(&xs[i], &ys[j], depth+1)) {
					used[j] = true
					continue next
				}
			}
			return false
		}
	}
	return true
}

// set collects values that differ from one another.
type set struct {
	m     *machine
	items Collection
	index map[uint64][]int // made when there are many
}

const manyItems = 12

// find tells whether a value is among the items.
func (s *set) find(v *Value) bool {
	if len(s.items) < manyItems {
		for i := range s.items {
			if s.m.equal(v, &s.items[i]) == isTrue {
				return true
			}
		}
		return false
	}
	if s.index == nil {
		s.index = map[uint64][]int{}
		for i := range s.items {
			h := s.m.hash(&s.items[i])
			s.index[h] = append(s.index[h], i)
		}
	}
	for _, i := range s.index[s.m.hash(v)] {
		if s.m.equal(v, &s.items[i]) == isTrue {
			return true
		}
	}
	return false
}

// add adds a value unless it is there.
func (s *set) add(v *Value) {
	if s.m.err != nil || s.find(v) || !s.m.room(len(s.items)+1) {
		return
	}
	if s.index != nil {
		h := s.m.hash(v)
		s.index[h] = append(s.index[h], len(s.items))
	}
	s.items = append(s.items, *v)
}

var seed = maphash.MakeSeed()

// hash is the same for values that are equal.
func (m *machine) hash(v *Value) uint64 {
	if v.kind == kNode && v.node.Kind() == fhir.Object && !quantityType(v.typ) {
		return m.hashJSON(v.node)
	}
	s, ok := m.system(v)
	switch {
	case !ok:
		return 1
	case s.temporal():
		return 2
	case s.kind == kString:
		return maphash.String(seed, s.text)
	case s.number():
		return maphash.String(seed, s.num.trim().String())
	case s.kind == kQuantity:
		if s.text == "1" {
			return maphash.String(seed, s.num.trim().String())
		}
		return 3
	case s.kind == kBoolean && s.flag:
		return 4
	}
	return 5
}

func (m *machine) hashJSON(n fhir.Node) (h uint64) {
	if !m.step(1) {
		return 0
	}
	switch n.Kind() {
	case fhir.Object:
		for c := range n.Children() { // in any order
			h += maphash.String(seed, c.Name()) ^ m.hashJSON(c)*31
		}
	case fhir.Array:
		for c := range n.Children() {
			h = h*31 + m.hashJSON(c)
		}
	case fhir.String:
		m.step(len(n.Raw()) / 256)
		h = maphash.String(seed, n.String())
	default:
		h = uint64(n.Kind())
	}
	return h
}

// union gives the values of both without repetition.
func (m *machine) union(a, b Collection) Collection {
	if len(a)+len(b) == 1 {
		return m.join(a, b)
	}
	return m.distinct(a, b)
}

func (m *machine) distinct(cs ...Collection) Collection {
	n := 0
	for _, c := range cs {
		n += len(c)
	}
	if n == 0 {
		return nil
	}
	s := set{m: m, items: make(Collection, 0, n)}
	for _, c := range cs {
		for i := range c {
			s.add(&c[i])
		}
	}
	if m.err != nil {
		return nil
	}
	return s.items
}
