package fhir

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Edit changes one place of a document; everything else keeps its bytes.
type Edit struct {
	path string
	raw  []byte // nil removes
	add  bool   // append to a list instead of replacing
}

// Set puts a JSON value at a dotted path of members and list positions, such
// as meta.versionId or identifier.0.value. Missing objects and lists on the way
// are made; a position behind the end of a list adds to it.
func Set(path string, value any) Edit { return Edit{path: path, raw: Marshal(value)} }

// Append adds a JSON value to the end of the list at path, making the list
// when there is none.
func Append(path string, value any) Edit { return Edit{path: path, raw: Marshal(value), add: true} }

// Remove deletes what stands at path; nothing happens when nothing does.
func Remove(path string) Edit { return Edit{path: path} }

// Marshal gives value as JSON without HTML escapes; raw JSON passes unchanged.
func Marshal(value any) []byte {
	if raw, ok := value.(json.RawMessage); ok {
		return raw
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		panic("fhir: value cannot be JSON: " + err.Error()) // a programming error
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// With gives a document with the edits applied in order.
func (d *Document) With(edits ...Edit) (*Document, error) {
	for _, e := range edits {
		raw, err := e.apply(d)
		if err != nil {
			return nil, err
		}
		if d, err = Parse(raw); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Replacement is another value for a node of a document.
type Replacement struct {
	Node  Node
	Value any
}

// Replace gives a document in which nodes have other values; they come in the
// order of the document, and none stands within another. However many they
// are, the document is read once more.
func (d *Document) Replace(list []Replacement) (*Document, error) {
	if len(list) == 0 {
		return d, nil
	}
	out, at := make([]byte, 0, len(d.raw)+64), int32(0)
	for _, r := range list {
		x := d.nodes[r.Node.i]
		if r.Node.d != d || x.start < at {
			return nil, Errorf(CodeException, "", "The replacements are not in the order of the document.")
		}
		out = append(append(out, d.raw[at:x.start]...), Marshal(r.Value)...)
		at = x.end
	}
	return Parse(append(out, d.raw[at:]...))
}

// Stamp sets id, meta.versionId and meta.lastUpdated: all that the exchange
// changes in a document that it was sent.
func (d *Document) Stamp(id string, version int64, updated time.Time) (*Document, error) {
	meta := d.Root().Get("meta")
	if meta.Exists() && meta.Kind() != Object {
		return nil, Errorf(CodeStructure, meta.Path(), "meta must be an object.")
	}
	edits := []Edit{{path: "meta", raw: stamped(meta, strconv.FormatInt(version, 10), FormatInstant(updated))}}
	if d.ID() != id {
		edits = append(edits, Set("id", id))
	}
	return d.With(edits...)
}

// stamped gives a meta object with its version and time, and all else as it was.
func stamped(meta Node, version, updated string) []byte {
	if !meta.Exists() {
		return []byte(`{"versionId":"` + version + `","lastUpdated":"` + updated + `"}`)
	}
	out := []byte{'{'}
	values := map[string]string{"versionId": version, "lastUpdated": updated}
	at := meta.d.nodes[meta.i].start + 1
	for child := range meta.Children() {
		if value, ok := values[child.Name()]; ok {
			x := meta.d.nodes[child.i]
			out = append(append(out, meta.d.raw[at:x.start]...), Marshal(value)...)
			at = x.end
			delete(values, child.Name())
		}
	}
	out = append(out, meta.d.raw[at:meta.d.nodes[meta.i].end-1]...)
	for _, name := range []string{"versionId", "lastUpdated"} {
		if value, ok := values[name]; ok {
			if len(bytes.TrimSpace(out)) > 1 {
				out = append(bytes.TrimRight(out, " \t\r\n"), ',')
			}
			out = append(append(append(out, Marshal(name)...), ':'), Marshal(value)...)
		}
	}
	return append(out, '}')
}

func (e Edit) apply(d *Document) ([]byte, error) {
	n := d.Root()
	parts := strings.Split(e.path, ".")
	for i, part := range parts {
		child := n.step(part)
		if child.Exists() {
			n = child
			continue
		}
		if e.raw == nil {
			return d.raw, nil
		}
		return n.insert(parts[i:], e)
	}
	x := d.nodes[n.i]
	switch {
	case e.raw == nil:
		return n.cut(), nil
	case e.add && n.Kind() == Array:
		return n.insertItem(e.raw), nil
	case e.add:
		return nil, Errorf(CodeStructure, n.Path(), "This element must be a list.")
	default:
		return splice(d.raw, int(x.start), int(x.end), e.raw), nil
	}
}

// step gives the member or item that a part of a path names. A single object
// where a list belongs is its item 0, as for Items.
func (n Node) step(part string) Node {
	if n.Kind() != Array {
		child := n.Get(part)
		if !child.Exists() && part == "0" && n.Kind() == Object && n.i != 0 {
			return n
		}
		return child
	}
	at, err := strconv.Atoi(part)
	if err != nil {
		return Node{}
	}
	for c := range n.Children() {
		if at == 0 {
			return c
		}
		at--
	}
	return Node{}
}

// insert makes the missing members parts below n. New top-level id and meta
// go to the front, where readers look for them; all else goes to the end.
func (n Node) insert(parts []string, e Edit) ([]byte, error) {
	switch {
	case n.Kind() == Array && !position(parts[0]):
		return nil, Errorf(CodeStructure, n.Path(), "This element is a list.")
	case n.Kind() == Object && position(parts[0]):
		return nil, Errorf(CodeStructure, n.Path(), "This element must be a list.")
	case n.Kind() != Array && n.Kind() != Object:
		return nil, Errorf(CodeStructure, n.Path(), "This element must be an object.")
	}
	value := e.raw
	if e.add {
		value = append(append([]byte{'['}, value...), ']')
	}
	for i := len(parts) - 1; i > 0; i-- {
		if position(parts[i]) {
			value = slices.Concat([]byte{'['}, value, []byte{']'})
		} else {
			value = slices.Concat([]byte{'{'}, Marshal(parts[i]), []byte{':'}, value, []byte{'}'})
		}
	}
	if n.Kind() == Array {
		return n.insertItem(value), nil
	}
	member := append(append(Marshal(parts[0]), ':'), value...)
	x := n.d.nodes[n.i]
	if n.i == 0 && (parts[0] == "id" || parts[0] == "meta") {
		after := n.Get("resourceType")
		if parts[0] == "meta" && n.Get("id").Exists() {
			after = n.Get("id")
		}
		end := int(n.d.nodes[after.i].end)
		return splice(n.d.raw, end, end, append([]byte{','}, member...)), nil
	}
	end := int(x.end) - 1
	if x.next > n.i+1 {
		member = append([]byte{','}, member...)
		end = n.lastEnd()
	}
	return splice(n.d.raw, end, end, member), nil
}

// position tells whether a part of a path is a place in a list.
func position(part string) bool {
	_, err := strconv.ParseUint(part, 10, 31)
	return err == nil
}

func (n Node) insertItem(value []byte) []byte {
	x := n.d.nodes[n.i]
	end := int(x.end) - 1
	if x.next > n.i+1 {
		end = n.lastEnd()
		value = append([]byte{','}, value...)
	}
	return splice(n.d.raw, end, end, value)
}

// lastEnd is the byte behind the last child.
func (n Node) lastEnd() int {
	end := 0
	for c := range n.Children() {
		end = int(n.d.nodes[c.i].end)
	}
	return end
}

// cut removes the node with its name and one comma.
func (n Node) cut() []byte {
	x := n.d.nodes[n.i]
	start, end := int(x.start), int(x.end)
	if x.keyStart > 0 {
		start = int(x.keyStart) - 1
	}
	raw := n.d.raw
	if comma := bytes.IndexFunc(raw[end:], notSpace); raw[end+comma] == ',' {
		end += comma + 1
	} else if before := bytes.LastIndexFunc(raw[:start], notSpace); raw[before] == ',' {
		start = before
	}
	return splice(raw, start, end, nil)
}

func notSpace(r rune) bool { return r != ' ' && r != '\t' && r != '\n' && r != '\r' }

func splice(raw []byte, start, end int, with []byte) []byte {
	out := make([]byte, 0, len(raw)-(end-start)+len(with))
	out = append(out, raw[:start]...)
	out = append(out, with...)
	return append(out, raw[end:]...)
}
