package fhir

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bound what Parse accepts.
type Limits struct {
	Bytes int // size of the document
	Depth int // nesting of objects and arrays
	Nodes int // values in the document
}

// DefaultLimits are generous for clinical documents and small enough that no
// document can exhaust the exchange.
var DefaultLimits = Limits{Bytes: 4 << 20, Depth: 64, Nodes: 400_000}

// Document is one resource: its exact bytes and an index over them. It is
// immutable and may be used by many goroutines.
type Document struct {
	raw   []byte
	nodes []node
}

// Kind is the JSON kind of a node.
type Kind uint8

// The kinds of a node. None is the kind of a node that does not exist.
const (
	None Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// node is one JSON value. Children of an object or array follow it in
// document order; next is the index behind the whole subtree.
type node struct {
	start, end       int32 // the value's bytes
	keyStart, keyEnd int32 // the member's name without quotes, 0,0 when there is none
	parent, next     int32
	at               int32 // the position in an array
	kind             Kind
	escaped          bool // the string holds a backslash
	keyEscaped       bool
}

// Parse reads a document within DefaultLimits.
func Parse(raw []byte) (*Document, error) { return ParseWithin(raw, DefaultLimits) }

// ParseWithin reads one JSON object. The document keeps raw; the caller must
// not change it afterwards. Whatever is not a single, well-formed JSON object
// with a resourceType is refused with an Error.
func ParseWithin(raw []byte, lim Limits) (*Document, error) {
	if len(raw) > lim.Bytes {
		return nil, Errorf(CodeTooLong, "", "The document is larger than %d bytes.", lim.Bytes)
	}
	raw = bytes.Trim(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(raw) == 0 {
		return nil, Errorf(CodeStructure, "", "The body is empty; a JSON resource is expected.")
	}
	if !utf8.Valid(raw) {
		return nil, Errorf(CodeStructure, "", "The document is not valid UTF-8.")
	}
	s := scanner{raw: raw, lim: lim, nodes: make([]node, 0, len(raw)/24+8)}
	if raw[0] != '{' {
		return nil, Errorf(CodeStructure, "", "The document must be one JSON object.")
	}
	if err := s.value(-1, 0); err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(raw) {
		return nil, s.fail("there is text after the end of the object")
	}
	d := &Document{raw: raw, nodes: s.nodes}
	rt := d.Root().Get("resourceType")
	if rt.Kind() != String || !validTypeName(rt.String()) {
		return nil, Errorf(CodeStructure, "resourceType", "The document has no valid resourceType.")
	}
	if id := d.Root().Get("id"); id.Exists() && (id.Kind() != String || !ValidID(id.String())) {
		return nil, Errorf(CodeValue, rt.String()+".id", "The id must be 1 to 64 letters, digits, '-' or '.'.").WithStatus(400)
	}
	return d, nil
}

// maxName bounds an id and the name of a type, in bytes.
const maxName = 64

// ValidID tells whether s is a FHIR id: 1 to 64 letters, digits, - or dots.
func ValidID(s string) bool {
	for i := range len(s) {
		if c := s[i]; !letter(c) && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// validTypeName tells whether s has the form of a resource type: a capital
// before other letters.
func validTypeName(s string) bool {
	for i := range len(s) {
		if !letter(s[i]) {
			return false
		}
	}
	return len(s) > 1 && len(s) <= maxName && s[0] <= 'Z'
}

func letter(c byte) bool { return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }

// Bytes gives the exact bytes of the document. They must not be changed.
func (d *Document) Bytes() []byte { return d.raw }

// Root gives the resource's own object.
func (d *Document) Root() Node { return Node{d, 0} }

// Type gives the resourceType.
func (d *Document) Type() string { return d.Root().Get("resourceType").String() }

// ID gives the resource's id, "" when it has none.
func (d *Document) ID() string { return d.Root().Get("id").String() }

// Get is Root().First(path).
func (d *Document) Get(path string) Node { return d.Root().First(path) }

// All is Root().All(path).
func (d *Document) All(path string) iter.Seq[Node] { return d.Root().All(path) }

// Node is one value in a document. The zero Node does not exist: all its
// methods work and find nothing.
type Node struct {
	d *Document
	i int32
}

// Exists tells whether the node is there.
func (n Node) Exists() bool { return n.d != nil }

// Kind gives the JSON kind.
func (n Node) Kind() Kind {
	if n.d == nil {
		return None
	}
	return n.d.nodes[n.i].kind
}

// Raw gives the node's exact bytes, nil when it does not exist.
func (n Node) Raw() []byte {
	if n.d == nil {
		return nil
	}
	x := &n.d.nodes[n.i]
	return n.d.raw[x.start:x.end:x.end] // nobody appends into the document
}

// String gives the text of a string, the literal of a number or boolean, and
// "" for anything else.
func (n Node) String() string {
	if n.d == nil {
		return ""
	}
	if x := &n.d.nodes[n.i]; x.escaped {
		return unescape(n.d.raw[x.start:x.end])
	}
	return string(n.text())
}

// text gives the bytes that String does, as they stand in the document.
func (n Node) text() []byte {
	x := &n.d.nodes[n.i]
	switch x.kind {
	case String:
		return n.d.raw[x.start+1 : x.end-1]
	case Number, Bool:
		return n.d.raw[x.start:x.end]
	}
	return nil
}

// Is tells whether the node is a string, number or boolean that reads s.
func (n Node) Is(s string) bool {
	switch n.Kind() {
	case String, Number, Bool:
		if n.d.nodes[n.i].escaped {
			return n.String() == s
		}
		return string(n.text()) == s
	}
	return false
}

// Int gives the value of an integer, or of a string that holds one: the
// samples of MY Core send integers as strings.
func (n Node) Int() (int64, bool) {
	if n.Kind() != Number && n.Kind() != String {
		return 0, false
	}
	v, err := strconv.ParseInt(n.String(), 10, 64)
	return v, err == nil
}

// Bool gives the value of a boolean; ok is false for any other kind.
func (n Node) Bool() (value, ok bool) {
	ok = n.Kind() == Bool
	return ok && n.Is("true"), ok
}

// Name gives the member name under which the node stands, "" in an array.
func (n Node) Name() string {
	if n.d == nil {
		return ""
	}
	x := &n.d.nodes[n.i]
	if x.keyEscaped {
		return unescape(n.d.raw[x.keyStart-1 : x.keyEnd+1])
	}
	return string(n.d.raw[x.keyStart:x.keyEnd])
}

// Get gives a member of an object. A node that is no object has no members.
func (n Node) Get(name string) Node {
	if n.Kind() != Object {
		return Node{}
	}
	x := &n.d.nodes[n.i]
	for c := n.i + 1; c < x.next; c = n.d.nodes[c].next {
		k := &n.d.nodes[c]
		if k.keyEscaped {
			if (Node{n.d, c}).Name() == name {
				return Node{n.d, c}
			}
		} else if string(n.d.raw[k.keyStart:k.keyEnd]) == name {
			return Node{n.d, c}
		}
	}
	return Node{}
}

// Children gives the members of an object or the items of an array, in order.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if k := n.Kind(); k != Object && k != Array {
			return
		}
		x := &n.d.nodes[n.i]
		for c := n.i + 1; c < x.next; c = n.d.nodes[c].next {
			if !yield(Node{n.d, c}) {
				return
			}
		}
	}
}

// Items gives the items of an array, the node itself when it is any other
// value (MY Core samples write single objects where lists belong), and
// nothing when it does not exist.
func (n Node) Items() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		switch n.Kind() {
		case None:
		case Array:
			for c := range n.Children() {
				if !yield(c) {
					return
				}
			}
		default:
			yield(n)
		}
	}
}

// Len counts the items.
func (n Node) Len() int {
	count := 0
	for range n.Items() {
		count++
	}
	return count
}

// All walks a dotted path of member names, going into every item of every
// list on the way, and gives what it finds at the end.
func (n Node) All(path string) iter.Seq[Node] {
	return func(yield func(Node) bool) { n.walk(path, yield) }
}

func (n Node) walk(path string, yield func(Node) bool) bool {
	name, rest, more := strings.Cut(path, ".")
	for item := range n.Items() {
		m := item.Get(name)
		if !m.Exists() {
			continue
		}
		if more {
			if !m.walk(rest, yield) {
				return false
			}
			continue
		}
		for leaf := range m.Items() {
			if !yield(leaf) {
				return false
			}
		}
	}
	return true
}

// First gives the first node that All finds.
func (n Node) First(path string) Node {
	for m := range n.All(path) {
		return m
	}
	return Node{}
}

// Extension gives the extension with the given url.
func (n Node) Extension(url string) Node {
	for e := range n.All("extension") {
		if e.Get("url").Is(url) {
			return e
		}
	}
	return Node{}
}

// Path gives the node's place as a FHIRPath, such as Slot.extension[0].url.
func (n Node) Path() string {
	if n.d == nil {
		return ""
	}
	if n.i == 0 {
		return n.d.Type()
	}
	x := &n.d.nodes[n.i]
	parent := Node{n.d, x.parent}
	if parent.Kind() != Array {
		return parent.Path() + "." + n.Name()
	}
	return parent.Path() + "[" + strconv.Itoa(int(x.at)) + "]"
}

func unescape(quoted []byte) string {
	var s string
	if json.Unmarshal(quoted, &s) != nil { // the scanner has checked it
		return ""
	}
	return s
}
