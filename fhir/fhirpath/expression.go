package fhirpath

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Expression is a compiled expression. It is immutable: many goroutines may
// evaluate it at once.
type Expression struct {
	text string
	root *expr
}

// Compile reads an expression of at most MaxLength bytes and MaxDepth levels.
func Compile(text string) (*Expression, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &Expression{text, root}, nil
}

// MustCompile is Compile for expressions that are part of the program.
func MustCompile(text string) *Expression {
	e, err := Compile(text)
	if err != nil {
		panic(err)
	}
	return e
}

// String gives the text of the expression.
func (e *Expression) String() string { return e.text }

// Options say what an evaluation knows besides the node. The zero Options
// serve for a resource.
type Options struct {
	Model Model // nil: R4

	// Type is the node's type as the model names it, "" for a resource;
	// Sibling is the member _name beside a primitive.
	Type    string
	Sibling fhir.Node

	// Resource is %resource, the resource that holds the node, and
	// RootResource %rootResource, which differs for contained resources. When
	// they are missing, the node stands for %resource, and %resource for
	// %rootResource.
	Resource, RootResource fhir.Node

	Variables   map[string]Collection // %name
	Resolver    Resolver              // nil: resolve() finds only what the root resource holds
	Terminology Terminology           // nil: memberOf() and the like are errors
	Profiles    Profiles              // nil: conformsTo() is an error

	// Now is the time of now(), today() and timeOfDay(); zero is the time of
	// the evaluation, in Malaysia.
	Now time.Time

	// Trace receives what trace() is given. It is nil by default, so that
	// nothing of a patient comes into a log.
	Trace func(name string, values Collection)

	// Strict refuses names that the types on the way do not have, and the
	// order of what has none; see Expression.Check.
	Strict bool

	Limits Limits // a zero limit is the default one
}

// Limits bound an evaluation.
type Limits struct {
	Steps int // operations and items, in all
	Items int // of one collection
	Bytes int // of all strings that are made
}

// DefaultLimits let every constraint of R4 run over large documents.
var DefaultLimits = Limits{Steps: 4_000_000, Items: 200_000, Bytes: 16 << 20}

// Resolver finds what a reference refers to. A nil document means that there
// is nothing, which is no error.
type Resolver interface {
	Resolve(ctx context.Context, reference string) (*fhir.Document, error)
}

// Terminology answers questions about codes. The value is a code, Coding or
// CodeableConcept.
type Terminology interface {
	MemberOf(ctx context.Context, v Value, valueSet string) (bool, error)
	// Subsumes tells whether a is b or an ancestor of b.
	Subsumes(ctx context.Context, a, b Value) (bool, error)
}

// Profiles judges conformance to a profile by its canonical URL. An unknown
// profile is an error.
type Profiles interface {
	ConformsTo(ctx context.Context, v Value, profile string) (bool, error)
}

// ReferenceTypes is a Resolver for search indexes: it finds nothing but the
// type and id that a literal reference names, as resolve() is Patient needs.
type ReferenceTypes struct{}

// Resolve makes a resource of the type and id that a reference names.
func (ReferenceTypes) Resolve(_ context.Context, reference string) (*fhir.Document, error) {
	parts := strings.Split(reference, "/")
	if n := len(parts); n > 4 && parts[n-2] == "_history" {
		parts = parts[:n-2]
	}
	if n := len(parts); n > 2 {
		parts = parts[n-2:]
	}
	r, ok := fhir.ParseReference(strings.Join(parts, "/"), "")
	if !ok {
		return nil, nil
	}
	return fhir.Parse([]byte(`{"resourceType":"` + r.Type + `","id":"` + r.ID + `"}`))
}

// machine is the state of one evaluation.
type machine struct {
	ctx   context.Context
	opts  Options
	model Model
	err   error // the first error; everything stops at it

	steps, bytes, most int
	now                time.Time
	at                 *expr // what is evaluated, for errors

	context, resource, root Collection

	arena []Value // small results are cut from here
	first [40]Value
}

var machines = sync.Pool{New: func() any { return new(machine) }}

// Evaluate evaluates the expression on a node. The node is %context and $this.
func (e *Expression) Evaluate(ctx context.Context, node fhir.Node, opts Options) (Collection, error) {
	return e.EvaluateOn(ctx, element(node, opts.Sibling, opts.Type), opts)
}

// EvaluateOn is Evaluate on a value of an earlier result, which knows its type.
// Type and Sibling of the options are not used.
func (e *Expression) EvaluateOn(ctx context.Context, v Value, opts Options) (Collection, error) {
	m := machines.Get().(*machine)
	m.start(ctx, v, opts)
	var c Collection
	if m.err == nil && opts.Strict {
		m.err = e.Check(m.model, v.typ)
	}
	if m.err == nil {
		c = m.eval(e.root, env{this: m.context})
	}
	err := m.err
	if err == nil && len(c) > 0 {
		c = append(make(Collection, 0, len(c)), c...)
	}
	m.stop()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (m *machine) start(ctx context.Context, v Value, opts Options) {
	m.ctx, m.opts, m.model, m.err, m.now = ctx, opts, opts.Model, nil, opts.Now
	if m.model == nil {
		m.model = R4()
	}
	lim := opts.Limits
	m.steps, m.most, m.bytes = lim.Steps, lim.Items, lim.Bytes
	if m.steps == 0 {
		m.steps = DefaultLimits.Steps
	}
	if m.most == 0 {
		m.most = DefaultLimits.Items
	}
	if m.bytes == 0 {
		m.bytes = DefaultLimits.Bytes
	}
	m.at = nil
	m.arena = m.first[:0]
	if v.kind != kNode || v.node.Exists() || v.ext.Exists() {
		m.context = m.one(v)
	}
	if err := ctx.Err(); err != nil {
		m.ended(err)
	}
}

// stop forgets the document and goes back to the pool.
func (m *machine) stop() {
	*m = machine{}
	machines.Put(m)
}

// holder gives %resource and %rootResource.
func (m *machine) holder(root bool) Collection {
	if m.resource == nil {
		m.resource = m.context
		if m.opts.Resource.Exists() {
			m.resource = m.one(Of(m.opts.Resource, ""))
		}
		m.root = m.resource
		if m.opts.RootResource.Exists() {
			m.root = m.one(Of(m.opts.RootResource, ""))
		}
	}
	if root {
		return m.root
	}
	return m.resource
}

func (m *machine) fail(x *expr, code fhir.Code, message string, cause error) Collection {
	if m.err == nil {
		e := &Error{Code: code, Message: message, Err: cause}
		if x != nil {
			e.Offset = int(x.pos)
		}
		m.err = e
	}
	return nil
}

func (m *machine) invalid(x *expr, message string) Collection {
	return m.fail(x, fhir.CodeInvalid, message, nil)
}

func (m *machine) ended(cause error) {
	code := fhir.CodeException
	if errors.Is(cause, context.DeadlineExceeded) {
		code = fhir.CodeTimeout
	}
	m.fail(m.at, code, "the evaluation was stopped", cause)
}

// step counts n operations; false means that the evaluation is over.
func (m *machine) step(n int) bool {
	if m.err != nil {
		return false
	}
	before := m.steps
	m.steps -= n
	if m.steps < 0 {
		m.fail(m.at, fhir.CodeTooCostly, "the evaluation takes too many steps", nil)
		return false
	}
	if before>>10 != m.steps>>10 {
		if err := m.ctx.Err(); err != nil {
			m.ended(err)
			return false
		}
	}
	return true
}

// system is Value.system; what is long counts for more than one step.
func (m *machine) system(v *Value) (Value, bool) {
	switch {
	case v.kind != kNode:
		if len(v.text) > 512 && !m.step(len(v.text)/256) {
			return Value{}, false
		}
		return *v, v.kind != kNone
	case v.node.Kind() == fhir.Object:
		m.scan(v.node)
	default:
		m.step(len(v.node.Raw()) / 256)
	}
	if m.err != nil {
		return Value{}, false
	}
	return v.system()
}

// scan counts looking for a member in an object: one of very many members is
// found slowly.
func (m *machine) scan(n fhir.Node) {
	if len(n.Raw()) < 4096 {
		return
	}
	members := 0
	for range n.Children() {
		members++
	}
	m.step(members / 16)
}

// made counts the bytes of a string that was made.
func (m *machine) made(n int) bool {
	if m.bytes -= n; m.bytes < 0 {
		m.fail(m.at, fhir.CodeTooCostly, "the evaluation makes too much text", nil)
	}
	return m.err == nil
}

// room tells whether a collection of n items is within the limit.
func (m *machine) room(n int) bool {
	if n > m.most {
		m.fail(m.at, fhir.CodeTooCostly, "a collection has too many items", nil)
	}
	return m.err == nil
}

const chunk = 64

// one gives a collection of one value.
func (m *machine) one(v Value) Collection {
	b := m.build()
	b.add(v)
	return b.done()
}

// builder collects values in the arena. Nothing else may use the arena between
// build and done.
type builder struct {
	m     *machine
	start int
}

func (m *machine) build() builder { return builder{m, len(m.arena)} }

func (b *builder) add(v Value) {
	m := b.m
	if len(m.arena) == cap(m.arena) {
		n := len(m.arena) - b.start
		next := make([]Value, n, max(chunk, 2*n))
		copy(next, m.arena[b.start:])
		b.start, m.arena = 0, next
	}
	m.arena = append(m.arena, v)
	m.room(len(m.arena) - b.start)
}

func (b *builder) done() Collection {
	if b.start == len(b.m.arena) {
		return nil
	}
	return b.m.arena[b.start:len(b.m.arena):len(b.m.arena)]
}
