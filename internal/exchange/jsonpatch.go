package exchange

import (
	"context"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// maxOperations bounds the operations of one patch.
const maxOperations = 500

// ParseJSONPatch reads a JSON Patch (RFC 6902).
func ParseJSONPatch(body []byte) (Change, error) {
	wrapped := append(append([]byte(`{"resourceType":"Patch","patch":`), body...), '}')
	doc, err := fhir.ParseWithin(wrapped, fhir.Limits{
		Bytes: fhir.DefaultLimits.Bytes + 64, Depth: fhir.DefaultLimits.Depth + 2, Nodes: fhir.DefaultLimits.Nodes,
	})
	if err != nil || doc.Root().Get("patch").Kind() != fhir.Array {
		return nil, fhir.Errorf(fhir.CodeStructure, "", "The body must be a JSON Patch: a list of operations.")
	}
	members := 0
	for range doc.Root().Children() {
		members++
	}
	if members != 2 {
		return nil, fhir.Errorf(fhir.CodeStructure, "", "The body must be a JSON Patch: a list of operations.")
	}
	var patch jsonPatch
	for n := range doc.Root().Get("patch").Children() {
		if len(patch) == maxOperations {
			return nil, fhir.Errorf(fhir.CodeTooCostly, "", "A patch has at most %d operations.", maxOperations)
		}
		op, err := parseOperation(n)
		if err != nil {
			err.Diagnostics = "Operation " + strconv.Itoa(len(patch)+1) + " of the patch: " + err.Diagnostics
			return nil, err
		}
		patch = append(patch, op)
	}
	return patch, nil
}

// jsonPatch is the operations of a JSON Patch.
type jsonPatch []jsonOperation

type jsonOperation struct {
	op         string
	path, from []string
	value      []byte
}

func parseOperation(n fhir.Node) (op jsonOperation, problem *fhir.Error) {
	op.op = n.Get("op").String()
	pointers, value := 1, false
	switch op.op {
	case "add", "replace", "test":
		value = true
	case "move", "copy":
		pointers = 2
	case "remove":
	default:
		return op, fhir.Errorf(fhir.CodeInvalid, "", "op must be add, remove, replace, move, copy or test.")
	}
	for i, to := range []*[]string{&op.path, &op.from}[:pointers] {
		name := []string{"path", "from"}[i]
		text := n.Get(name)
		var ok bool
		if *to, ok = pointer(text.String()); !ok || text.Kind() != fhir.String {
			return op, fhir.Errorf(fhir.CodeInvalid, "", "%s must be a JSON Pointer, such as /name/0/family.", name)
		}
	}
	if op.value = n.Get("value").Raw(); value && op.value == nil {
		return op, fhir.Errorf(fhir.CodeInvalid, "", "The value is missing.")
	}
	return op, nil
}

// pointer reads a JSON Pointer (RFC 6901).
func pointer(s string) (steps []string, ok bool) {
	if s == "" {
		return nil, true
	}
	if s[0] != '/' {
		return nil, false
	}
	for step := range strings.SplitSeq(s[1:], "/") {
		for i := 0; i < len(step); i++ {
			if step[i] == '~' && (i+1 == len(step) || step[i+1] != '0' && step[i+1] != '1') {
				return nil, false
			}
		}
		steps = append(steps, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
	}
	return steps, true
}

// apply implements Change.
func (p jsonPatch) apply(ctx context.Context, doc *fhir.Document) ([]byte, error) {
	root := grow(doc.Bytes())
	room := fhir.DefaultLimits.Bytes // for all that the patch adds: copies of copies grow fast
	for i, op := range p {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := op.do(&root, &room); err != nil {
			err.Diagnostics = "Operation " + strconv.Itoa(i+1) + " of the patch (" + op.op + "): " + err.Diagnostics
			return nil, err
		}
	}
	return root.write(nil), nil
}

func (op jsonOperation) do(root **tree, room *int) *fhir.Error {
	spend := func(raw []byte) *fhir.Error {
		if *room -= len(raw); *room < 0 {
			return fhir.Errorf(fhir.CodeTooLong, "", "The patch makes the record too large.")
		}
		return nil
	}
	switch op.op {
	case "test":
		at, err := walk(*root, op.path)
		if err == nil && !at.same(grow(op.value), number) {
			err = fhir.Errorf(fhir.CodeBusinessRule, "", "The record has another value there.")
		}
		return err
	case "remove":
		_, err := take(*root, op.path)
		return err
	case "replace":
		if _, err := walk(*root, op.path); err != nil {
			return err
		}
		if err := spend(op.value); err != nil {
			return err
		}
		if len(op.path) == 0 {
			*root = grow(op.value)
			return nil
		}
		return replace(*root, op.path, grow(op.value))
	case "move":
		if len(op.path) > len(op.from) && equalSteps(op.path[:len(op.from)], op.from) {
			return fhir.Errorf(fhir.CodeBusinessRule, "", "A value cannot be moved into itself.")
		}
		if equalSteps(op.path, op.from) {
			_, err := walk(*root, op.from)
			return err
		}
		moved, err := take(*root, op.from)
		if err != nil {
			return err
		}
		return put(root, op.path, moved)
	case "copy":
		original, err := walk(*root, op.from)
		if err != nil {
			return err
		}
		raw := original.write(nil)
		if err := spend(raw); err != nil {
			return err
		}
		return put(root, op.path, grow(raw))
	}
	if err := spend(op.value); err != nil { // add
		return err
	}
	return put(root, op.path, grow(op.value))
}

func equalSteps(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func nowhere() *fhir.Error {
	return fhir.Errorf(fhir.CodeBusinessRule, "", "The record has nothing at this place.")
}

// walk gives the value at a place.
func walk(t *tree, steps []string) (*tree, *fhir.Error) {
	for _, step := range steps {
		i := t.find(step)
		if t.kind == fhir.Array {
			i = position(step, len(t.items)-1)
		}
		if i < 0 {
			return nil, nowhere()
		}
		t = t.items[i].value
	}
	return t, nil
}

// position reads a place in a list, -1 when it is none or above last.
func position(step string, last int) int {
	i, err := strconv.Atoi(step)
	if err != nil || i < 0 || i > last || step != strconv.Itoa(i) {
		return -1
	}
	return i
}

// take removes the value at a place and gives it.
func take(t *tree, steps []string) (*tree, *fhir.Error) {
	if len(steps) == 0 {
		return nil, fhir.Errorf(fhir.CodeBusinessRule, "", "The whole record cannot be removed by a patch.")
	}
	last := len(steps) - 1
	t, err := walk(t, steps[:last])
	if err != nil {
		return nil, err
	}
	i := t.find(steps[last])
	if t.kind == fhir.Array {
		i = position(steps[last], len(t.items)-1)
	}
	if i < 0 {
		return nil, nowhere()
	}
	return t.remove(i), nil
}

// replace puts another value in the place of one that is there.
func replace(t *tree, steps []string, v *tree) *fhir.Error {
	last := len(steps) - 1
	t, err := walk(t, steps[:last])
	if err != nil {
		return err
	}
	i := t.find(steps[last])
	if t.kind == fhir.Array {
		i = position(steps[last], len(t.items)-1)
	}
	if i < 0 {
		return nowhere()
	}
	t.items[i].value = v
	return nil
}

// put adds a value: a member, which may be there already, or an item of a list
// before the one at its place ("-" for the end).
func put(root **tree, steps []string, v *tree) *fhir.Error {
	if len(steps) == 0 {
		*root = v
		return nil
	}
	last := len(steps) - 1
	t, err := walk(*root, steps[:last])
	if err != nil {
		return err
	}
	switch t.kind {
	case fhir.Object:
		t.set(steps[last], v)
		return nil
	case fhir.Array:
		at := len(t.items)
		if steps[last] != "-" {
			at = position(steps[last], len(t.items))
		}
		if at < 0 {
			return nowhere()
		}
		t.insert(at, &branch{value: v})
		return nil
	}
	return nowhere()
}
