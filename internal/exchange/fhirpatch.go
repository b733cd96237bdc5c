package exchange

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// Bounds of a FHIRPath Patch, which reads the record anew for each operation.
const (
	maxPathOperations = 100
	maxPathBytes      = 16 << 20 // record's size times operations
)

// ParseFHIRPathPatch reads a FHIRPath Patch: a Parameters resource whose
// operations add, insert, delete, replace and move elements.
func ParseFHIRPathPatch(doc *fhir.Document) (Change, error) {
	if doc.Type() != "Parameters" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "resourceType", "A FHIRPath Patch is a Parameters resource; a JSON Patch has Content-Type: application/json-patch+json.")
	}
	var patch pathPatch
	for n := range doc.All("parameter") {
		if len(patch) == maxPathOperations {
			return nil, fhir.Errorf(fhir.CodeTooCostly, "Parameters.parameter", "A FHIRPath Patch has at most %d operations.", maxPathOperations)
		}
		op, err := parsePathOperation(n)
		if err != nil {
			return nil, err
		}
		patch = append(patch, op)
	}
	if len(patch) == 0 {
		return nil, fhir.Errorf(fhir.CodeRequired, "Parameters.parameter", "The patch has no operation.").WithStatus(400)
	}
	return patch, nil
}

type pathPatch []pathOperation

type pathOperation struct {
	kind, name          string
	path                *fhirpath.Expression
	index, from, to     int
	value               fhir.Node // the part that holds it
	where               string    // in the Parameters
	hasIndex, hasSource bool
}

func parsePathOperation(n fhir.Node) (op pathOperation, err error) {
	op.where = n.Path()
	bad := func(format string, args ...any) (pathOperation, error) {
		return op, fhir.Errorf(fhir.CodeInvalid, op.where, format, args...)
	}
	if !n.Get("name").Is("operation") {
		return bad("The parameters of a FHIRPath Patch are named operation.")
	}
	to := false
	for part := range n.All("part") {
		name := part.Get("name").String()
		number := func(into *int) bool {
			i, ok := part.Get("valueInteger").Int()
			*into = int(i)
			return ok && i >= 0 && i < 1<<20
		}
		ok := true
		switch name {
		case "type":
			op.kind = part.Get("valueCode").String() + part.Get("valueString").String()
		case "path":
			op.path, err = fhirpath.Compile(part.Get("valueString").String())
			if err != nil {
				return bad("The path is not FHIRPath.")
			}
		case "name":
			op.name = part.Get("valueString").String()
		case "value":
			op.value = part
		case "index":
			ok, op.hasIndex = number(&op.index), true
		case "source":
			ok, op.hasSource = number(&op.from), true
		case "destination":
			ok, to = number(&op.to), true
		default:
			return bad("An operation has the parts type, path, name, value, index, source and destination.")
		}
		if !ok {
			return bad("%s must be a valueInteger from 0.", name)
		}
	}
	needs, known := map[string]bool{
		"add": op.name != "" && op.value.Exists(), "insert": op.hasIndex && op.value.Exists(), "delete": true,
		"replace": op.value.Exists(), "move": op.hasSource && to,
	}[op.kind]
	switch {
	case !known:
		return bad("The type of an operation is add, insert, delete, replace or move.")
	case op.path == nil:
		return bad("The operation needs a path.")
	case !needs:
		return bad("The operation lacks a part: add needs name and value, insert index and value, replace value, move source and destination.")
	}
	return op, nil
}

// apply implements Change.
func (p pathPatch) apply(ctx context.Context, doc *fhir.Document) ([]byte, error) {
	if len(p)*len(doc.Bytes()) > maxPathBytes {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "The patch has too many operations for a record of this size.")
	}
	raw := doc.Bytes()
	for _, op := range p {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := fhir.Parse(raw)
		if err != nil {
			return nil, err
		}
		if raw, err = op.do(ctx, d); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// refuse says why an operation cannot be done on this record.
func (op pathOperation) refuse(format string, args ...any) error {
	return fhir.Errorf(fhir.CodeBusinessRule, op.where, format, args...)
}

func (op pathOperation) do(ctx context.Context, doc *fhir.Document) ([]byte, error) {
	found, err := op.path.Evaluate(ctx, doc.Root(), fhirpath.Options{})
	if err != nil {
		var problem *fhir.Error
		if errors.As(err, &problem) && ctx.Err() == nil {
			return nil, op.refuse("The path cannot be evaluated on this record: %s", problem.Diagnostics)
		}
		return nil, err
	}
	var places [][]string
	for _, v := range found {
		steps, ok := stepsTo(v)
		if !ok {
			return nil, op.refuse("The path gives a computed value; it must give elements of the record.")
		}
		places = append(places, steps)
	}
	e := patching{root: grow(doc.Bytes()), typ: doc.Type()}
	switch {
	case op.kind == "delete" && len(places) == 0:
		return doc.Bytes(), nil
	case op.kind != "insert" && op.kind != "move" && len(places) != 1:
		return nil, op.refuse("The path gives %d elements; it must give one.", len(places))
	case len(places) == 0:
		return nil, op.refuse("The path gives no list.")
	}
	switch op.kind {
	case "add":
		err = e.add(op, places[0])
	case "insert":
		err = e.insert(op, places)
	case "delete":
		err = e.remove(op, places[0])
	case "replace":
		err = e.replace(op, places[0])
	case "move":
		err = e.move(op, places)
	}
	return e.root.write(nil), err
}

// stepsTo gives the place of an element of the record.
func stepsTo(v fhirpath.Value) ([]string, bool) {
	if !v.Node().Exists() {
		return nil, false
	}
	_, path, deeper := strings.Cut(v.Node().Path(), ".")
	if !deeper {
		return nil, true // the record itself
	}
	var steps []string
	for part := range strings.SplitSeq(path, ".") {
		name, at, in := strings.Cut(part, "[")
		steps = append(steps, name)
		for in {
			var i string
			i, at, _ = strings.Cut(at, "]")
			steps = append(steps, i)
			_, at, in = strings.Cut(at, "[")
		}
	}
	return steps, true
}

// patching is a record in the middle of an operation.
type patching struct {
	root *tree
	typ  string
}

// spot is where an element stands: in an object under a name, perhaps in a
// list there.
type spot struct {
	in   *tree
	name string
	at   int // -1: in no list
	def  *r4.Element
}

func (e patching) spot(op pathOperation, steps []string) (s spot, err error) {
	s.at = -1
	if len(steps) == 0 {
		return s, op.refuse("The whole record cannot be changed in this way.")
	}
	last := len(steps) - 1
	if _, number := strconv.Atoi(steps[last]); number == nil && last > 0 {
		s.at, _ = strconv.Atoi(steps[last])
		last--
	}
	s.name = steps[last]
	in, problem := walk(e.root, steps[:last])
	if problem != nil || in.kind != fhir.Object {
		return s, op.refuse("The path gives an element that has no place of its own.")
	}
	s.in = in
	if s.at >= 0 {
		if list := in.get(s.name); list == nil || s.at >= len(list.items) || list.kind != fhir.Array {
			return s, op.refuse("The path gives an element that has no place of its own.")
		}
	}
	if content := e.content(steps[:last]); content != nil {
		s.def, _, _ = content.Child(s.name)
	}
	return s, nil
}

// content gives the definition of what is inside of an object, nil when R4
// has none.
func (e patching) content(steps []string) *r4.Element {
	t, ok := r4.LookupType(e.typ)
	if !ok {
		return nil
	}
	content, in := t.Root, e.root
	var el *r4.Element
	var typ string
	for _, step := range steps {
		if in == nil || content == nil {
			return nil
		}
		if in.kind == fhir.Array {
			in = in.items[max(0, position(step, len(in.items)-1))].value
		} else {
			if el, typ, ok = content.Child(step); !ok {
				return nil
			}
			in = in.get(step)
		}
		if in == nil || in.kind == fhir.Array {
			continue
		}
		if rt := in.get("resourceType"); rt != nil {
			typ = unquoted(rt.text)
		}
		content = el.Content(typ)
	}
	return content
}

func (e patching) add(op pathOperation, place []string) error {
	in, problem := walk(e.root, place)
	if problem != nil || in.kind != fhir.Object {
		return op.refuse("The path of an add gives the element to which something is added.")
	}
	content := e.content(place)
	if content == nil {
		return op.refuse("R4 does not define this element, so that nothing can be added to it.")
	}
	m, err := op.member(content, op.name, op.value)
	if err != nil {
		return err
	}
	return op.addMember(in, m)
}

// member is a value with the name under which it stands.
type member struct {
	el           *r4.Element
	name         string
	value, under *tree // under holds id and extensions of a primitive
}

func (op pathOperation) addMember(in *tree, m member) error {
	if m.el.List() {
		list := in.get(m.name)
		if list == nil && in.get("_"+m.name) != nil {
			return op.refuse("The list has extensions without values; change it with a PUT.")
		}
		at := 0
		if list != nil {
			at = 1
			if list.kind == fhir.Array {
				at = len(list.items)
			}
		}
		insertItem(in, m, at)
		return nil
	}
	for _, name := range spellings(m.el) {
		if in.get(name) != nil || in.get("_"+name) != nil {
			return op.refuse("%s is there already; replace it.", m.el.Name)
		}
	}
	if m.value != nil {
		in.set(m.name, m.value)
	}
	if m.under != nil {
		in.set("_"+m.name, m.under)
	}
	return nil
}

// spellings gives the names under which an element may stand.
func spellings(el *r4.Element) []string {
	if !el.Choice {
		return []string{el.Name}
	}
	var names []string
	for _, t := range el.Types {
		names = append(names, el.Name+strings.ToUpper(t.Code[:1])+t.Code[1:])
	}
	return names
}

func null() *tree { return &tree{kind: fhir.Null, text: []byte("null")} }

func list() *tree { return &tree{kind: fhir.Array} }

// insertItem puts a value into a list, which is made when there is none, and
// keeps the list of its items' extensions in step.
func insertItem(in *tree, m member, at int) {
	items := in.get(m.name)
	switch {
	case items == nil:
		items = list()
		in.set(m.name, items)
	case items.kind != fhir.Array: // one value where a list belongs
		one := items
		items = list()
		items.insert(0, &branch{value: one})
		in.set(m.name, items)
	}
	before := len(items.items)
	value := m.value
	if value == nil {
		value = null()
	}
	items.insert(at, &branch{value: value})
	under := in.get("_" + m.name)
	if under == nil && m.under == nil {
		return
	}
	if under == nil || under.kind != fhir.Array {
		under = list()
		in.set("_"+m.name, under)
	}
	for len(under.items) < before {
		under.insert(len(under.items), &branch{value: null()})
	}
	extra := m.under
	if extra == nil {
		extra = null()
	}
	under.insert(at, &branch{value: extra})
}

// whole gives the spot of a list, all of whose items the path must give.
func (e patching) whole(op pathOperation, places [][]string) (spot, error) {
	s, err := e.spot(op, places[0])
	if err != nil {
		return s, err
	}
	if s.def == nil || !s.def.List() {
		return s, op.refuse("The path must give a list.")
	}
	parent := places[0][:len(places[0])-1]
	for _, p := range places {
		if len(p) != len(places[0]) || !slices.Equal(p[:len(p)-1], parent) {
			return s, op.refuse("The path must give one list.")
		}
	}
	if items := s.in.get(s.name); items.kind == fhir.Array && len(items.items) != len(places) {
		return s, op.refuse("The path must give the whole list.")
	}
	return s, nil
}

func (e patching) insert(op pathOperation, places [][]string) error {
	s, err := e.whole(op, places)
	if err != nil {
		return err
	}
	if op.index > len(places) {
		return op.refuse("The list has %d items; there is no place %d.", len(places), op.index)
	}
	m, err := op.valueOf(s.def, op.value)
	if err != nil {
		return err
	}
	m.name = s.name
	insertItem(s.in, m, op.index)
	return nil
}

func (e patching) move(op pathOperation, places [][]string) error {
	s, err := e.whole(op, places)
	if err != nil {
		return err
	}
	if op.from >= len(places) || op.to >= len(places) {
		return op.refuse("The list has %d items; source and destination must be among them.", len(places))
	}
	for _, name := range []string{s.name, "_" + s.name} {
		items := s.in.get(name)
		if items == nil || items.kind != fhir.Array {
			continue
		}
		for len(items.items) < len(places) {
			items.insert(len(items.items), &branch{value: null()})
		}
		moved := items.remove(op.from)
		items.insert(op.to, &branch{value: moved})
	}
	return nil
}

func (e patching) remove(op pathOperation, place []string) error {
	s, err := e.spot(op, place)
	if err != nil {
		return err
	}
	for _, name := range []string{s.name, "_" + s.name} {
		at := s.in.find(name)
		if at < 0 {
			continue
		}
		if items := s.in.items[at].value; s.at >= 0 && items.kind == fhir.Array {
			if s.at < len(items.items) {
				items.remove(s.at)
			}
			if len(items.items) > 0 {
				continue // FHIR has no empty lists
			}
		}
		s.in.remove(at)
	}
	return nil
}

func (e patching) replace(op pathOperation, place []string) error {
	s, err := e.spot(op, place)
	if err != nil {
		return err
	}
	if s.def == nil {
		return op.refuse("R4 does not define this element; change it with a PUT.")
	}
	m, err := op.valueOf(s.def, op.value)
	if err != nil {
		return err
	}
	if m.under != nil || m.value == nil {
		return op.refuse("A primitive with extensions is replaced with a PUT.")
	}
	b := s.in.items[s.in.find(s.name)]
	if s.at >= 0 {
		b = b.value.items[s.at]
	} else if s.name != m.name { // another type of a choice
		b.lead, b.name = append(fhir.Marshal(m.name), ':'), m.name
		if under := s.in.find("_" + s.name); under >= 0 {
			s.in.remove(under)
		}
	}
	b.value = m.value
	return nil
}

// member reads a value for the child of an element that has the given name.
func (op pathOperation) member(content *r4.Element, name string, part fhir.Node) (member, error) {
	el, _, ok := content.Child(name)
	if !ok {
		return member{}, op.refuse("R4 does not define %s here.", printableName(name))
	}
	return op.valueOf(el, part)
}

func printableName(s string) string {
	if len(s) > 64 || !fhir.ValidID(s) {
		return "the element"
	}
	return s
}

// valueOf reads the value of an element: value[x], or parts for an element of
// no type of its own.
func (op pathOperation) valueOf(el *r4.Element, part fhir.Node) (member, error) {
	m := member{el: el, name: el.Name}
	if part.Get("part").Exists() {
		typ := ""
		if len(el.Types) == 1 {
			typ = el.Types[0].Code
		}
		content := el.Content(typ)
		if content == nil || el.Choice {
			return m, op.refuse("%s has no parts.", el.Name)
		}
		m.value = &tree{kind: fhir.Object}
		for p := range part.All("part") {
			child, err := op.member(content, p.Get("name").String(), p)
			if err != nil {
				return m, err
			}
			if err := op.addMember(m.value, child); err != nil {
				return m, err
			}
		}
		return m, nil
	}
	if res := part.Get("resource"); res.Exists() {
		m.value = grow(res.Raw())
		return m, nil
	}
	for c := range part.Children() {
		name, under := strings.CutPrefix(c.Name(), "_")
		suffix, is := strings.CutPrefix(name, "value")
		if !is || suffix == "" {
			continue
		}
		if el.Choice {
			m.name = el.Name + suffix
			if !slices.Contains(spellings(el), m.name) {
				return m, op.refuse("%s cannot be of the type %s.", el.Name, suffix)
			}
		}
		if under {
			m.under = grow(c.Raw())
		} else {
			m.value = grow(c.Raw())
		}
	}
	if m.value == nil && m.under == nil {
		return m, fhir.Errorf(fhir.CodeInvalid, op.where, "The value is missing.")
	}
	return m, nil
}
