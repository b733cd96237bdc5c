package exchange

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// tree is a JSON value that can be changed while all else in it keeps its
// bytes, white space included.
type tree struct {
	kind  fhir.Kind
	text  []byte // of a value that has no children
	items []*branch
	tail  []byte // white space before the end of an empty object or list
}

// branch is a child of an object or list.
type branch struct {
	lead  []byte // from the last comma up to the value: white space and the name
	name  string // of a member
	value *tree
	trail []byte // white space up to the next comma or the end
}

// grow reads a value that fhir.Parse has found well formed.
func grow(raw []byte) *tree {
	g := grower{raw: raw}
	g.space()
	return g.value()
}

type grower struct {
	raw []byte
	at  int
}

func (g *grower) space() []byte {
	from := g.at
	for g.at < len(g.raw) && strings.IndexByte(" \t\r\n", g.raw[g.at]) >= 0 {
		g.at++
	}
	return g.raw[from:g.at]
}

func (g *grower) value() *tree {
	switch c := g.raw[g.at]; c {
	case '{', '[':
		return g.container(c)
	case '"':
		return &tree{kind: fhir.String, text: g.quoted()}
	default:
		from := g.at
		for g.at < len(g.raw) && strings.IndexByte(",]} \t\r\n", g.raw[g.at]) < 0 {
			g.at++
		}
		t := &tree{kind: fhir.Number, text: g.raw[from:g.at]}
		switch c {
		case 't', 'f':
			t.kind = fhir.Bool
		case 'n':
			t.kind = fhir.Null
		}
		return t
	}
}

func (g *grower) container(open byte) *tree {
	t := &tree{kind: fhir.Array}
	if open == '{' {
		t.kind = fhir.Object
	}
	g.at++
	for {
		from := g.at
		space := g.space()
		if c := g.raw[g.at]; c == '}' || c == ']' {
			t.tail = space
			g.at++
			return t
		}
		b := &branch{}
		if t.kind == fhir.Object {
			_ = json.Unmarshal(g.quoted(), &b.name) // the parser has checked it
			g.space()
			g.at++ // the colon
			g.space()
		}
		b.lead = g.raw[from:g.at]
		b.value = g.value()
		b.trail = g.space()
		t.items = append(t.items, b)
		g.at++
		if g.raw[g.at-1] != ',' {
			return t
		}
	}
}

func (g *grower) quoted() []byte {
	from := g.at
	for g.at++; g.raw[g.at] != '"'; g.at++ {
		if g.raw[g.at] == '\\' {
			g.at++
		}
	}
	g.at++
	return g.raw[from:g.at]
}

// write gives the value as JSON.
func (t *tree) write(to []byte) []byte {
	if t.kind != fhir.Object && t.kind != fhir.Array {
		return append(to, t.text...)
	}
	brackets := [2]byte{'[', ']'}
	if t.kind == fhir.Object {
		brackets = [2]byte{'{', '}'}
	}
	to = append(to, brackets[0])
	for i, b := range t.items {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, b.lead...)
		to = append(b.value.write(to), b.trail...)
	}
	if len(t.items) == 0 {
		to = append(to, t.tail...)
	}
	return append(to, brackets[1])
}

// find gives the place of a member, -1 when there is none.
func (t *tree) find(name string) int {
	if t.kind == fhir.Object {
		for i, b := range t.items {
			if b.name == name {
				return i
			}
		}
	}
	return -1
}

func (t *tree) get(name string) *tree {
	if i := t.find(name); i >= 0 {
		return t.items[i].value
	}
	return nil
}

// set puts a member, in its place when there is one.
func (t *tree) set(name string, v *tree) {
	if i := t.find(name); i >= 0 {
		t.items[i].value = v
		return
	}
	t.insert(len(t.items), &branch{lead: append(fhir.Marshal(name), ':'), name: name, value: v})
}

func (t *tree) insert(at int, b *branch) {
	if at > 0 && at == len(t.items) { // the white space before the end stays there
		b.trail, t.items[at-1].trail = t.items[at-1].trail, nil
	}
	t.items = append(t.items, nil)
	copy(t.items[at+1:], t.items[at:])
	t.items[at] = b
}

func (t *tree) remove(at int) *tree {
	b := t.items[at]
	t.items = append(t.items[:at], t.items[at+1:]...)
	return b.value
}

// same tells whether two values say the same: members in any order, numbers
// by what spell makes of them.
func (t *tree) same(o *tree, spell func([]byte) string) bool {
	if t.kind != o.kind {
		return false
	}
	switch t.kind {
	case fhir.Object:
		if len(t.items) != len(o.items) {
			return false
		}
		members := make(map[string]*tree, len(o.items))
		for _, b := range o.items {
			members[b.name] = b.value
		}
		for _, b := range t.items {
			if other, ok := members[b.name]; !ok || !b.value.same(other, spell) {
				return false
			}
		}
		return true
	case fhir.Array:
		if len(t.items) != len(o.items) {
			return false
		}
		for i, b := range t.items {
			if !b.value.same(o.items[i].value, spell) {
				return false
			}
		}
		return true
	case fhir.String:
		return bytes.Equal(t.text, o.text) || unquoted(t.text) == unquoted(o.text)
	case fhir.Number:
		return spell(t.text) == spell(o.text)
	}
	return bytes.Equal(t.text, o.text)
}

func unquoted(text []byte) string {
	var s string
	_ = json.Unmarshal(text, &s) // the parser has checked it
	return s
}

// number gives one spelling for all that have the same value.
func number(text []byte) string {
	s := strings.ToLower(string(text))
	s, negative := strings.CutPrefix(s, "-")
	s, power, _ := strings.Cut(s, "e")
	exponent, err := strconv.ParseInt(power, 10, 32)
	if power != "" && err != nil {
		return string(text) // beyond all measure: only itself
	}
	whole, fraction, _ := strings.Cut(s, ".")
	exponent -= int64(len(fraction))
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0"
	}
	exponent += int64(len(digits) - len(short))
	if negative {
		short = "-" + short
	}
	return short + "e" + strconv.FormatInt(exponent, 10)
}
