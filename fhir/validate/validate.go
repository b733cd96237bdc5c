package validate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

const structureURL = "http://hl7.org/fhir/StructureDefinition/"

// Options say what a Validator knows besides R4. The zero Options serve.
type Options struct {
	// Base is the URL of this server; references below it are its own.
	Base string

	// References tells whether the targets of references exist; nil: nobody
	// is asked.
	References References

	// Terms gives the value sets, when one is first asked for; nil: those of R4.
	Terms func() *terminology.Service

	// Code judges a code by its code system, and its display where there is
	// one; nil: no code system is known.
	Code func(system, code, display string) CodeFault

	// Searches tells that this server follows a search in place of a reference
	// (Patient?identifier=…) wherever it is written, not in transactions alone.
	Searches bool

	// BestPractice reports what R4 only recommends for every resource: a
	// narrative (dom-6).
	BestPractice bool

	MaxIssues int           // 0: 100
	Timeout   time.Duration // 0: 2 seconds
}

// References knows which resources there are. It is used by many goroutines.
type References interface {
	Exists(ctx context.Context, r fhir.Reference) (bool, error)
}

// CodeFault is what is wrong with a code of a code system.
type CodeFault uint8

// Where not all codes of a system are known, no code of it is at fault.
const (
	NoFault CodeFault = iota
	NoSuchCode
	WrongDisplay
)

// Validator judges documents. It may be used by many goroutines at once.
type Validator struct {
	opts Options

	adding   sync.Mutex
	profiles atomic.Pointer[registry]
}

// New makes a Validator that knows R4.
func New(opts Options) *Validator {
	if opts.MaxIssues <= 0 {
		opts.MaxIssues = 100
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 2 * time.Second
	}
	if opts.Terms == nil {
		opts.Terms = terminology.R4
	}
	v := &Validator{opts: opts}
	v.profiles.Store(&registry{})
	return v
}

// Judgement says how one document is judged.
type Judgement struct {
	// Profiles are the canonical URLs of the profiles to lay over it, with
	// |version where one version is meant. The document's own are added.
	Profiles []string

	// Severity gives the severity with which a broken rule is reported, "" for
	// one that is not to be reported; nil: the severity of the rule.
	Severity func(Finding) fhir.Severity
}

// Finding is a rule that a document breaks.
type Finding struct {
	Key      string // of the rule, such as min, binding or dom-2
	Profile  string // URL of the definition that has it
	Element  string // path of the definition's element, "" when it does not matter
	Type     string // of the element, where one is known
	Severity fhir.Severity
}

// Validate judges a document by R4, by the given profiles (their URLs), and by
// those that the document itself names and the Validator knows. It gives
// nothing for a document without faults; issues.Err() tells whether one of
// them is an error. At most Options.MaxIssues are given; when there
// are more, warnings give way to errors, and the last issue says so.
func (v *Validator) Validate(ctx context.Context, doc *fhir.Document, profiles ...string) fhir.Issues {
	return v.Judge(ctx, doc, Judgement{Profiles: profiles})
}

// Judge is Validate with a say in how grave each finding is.
func (v *Validator) Judge(ctx context.Context, doc *fhir.Document, j Judgement) fhir.Issues {
	ctx, cancel := context.WithTimeout(ctx, v.opts.Timeout)
	defer cancel()
	r := run{v: v, ctx: ctx, known: v.profiles.Load(), severity: j.Severity}
	r.document(doc.Root(), j.Profiles)
	if last := v.opts.MaxIssues - 1; last > 0 && len(r.issues) > last && !r.ended && (r.more || r.errors > last) {
		e := fhir.Errorf(fhir.CodeTooCostly, "", "There may be more issues; mend these and try again.")
		e.Severity = fhir.SeverityInformation
		r.issues[last] = e
	}
	return r.issues
}

// run is one validation.
type run struct {
	v        *Validator
	ctx      context.Context
	known    *registry // the profiles at the start
	severity func(Finding) fhir.Severity

	issues fhir.Issues
	errors int
	more   bool // issues were left out
	ended  bool // the time is over
	steps  int
	depth  int // how deeply profiles ask for each other

	path []step // where the walk is

	// resource is the resource at hand, container the one that holds it when
	// it is contained, else the same; bundle is the Bundle around both.
	resource, container, bundle fhir.Node

	ids map[string]bool // of the elements of the resource at hand

	seen map[seen]*fhir.Error // what was reported, to say it once

	entries   map[string]fhir.Node // of a Bundle, by fullUrl
	entriesOf fhir.Node
}

// step is one name on the path: its place in a list (-1: no list), and the type
// that its name says.
type step struct {
	name, typ string
	at        int32
	def, of   string // the path of the definition, and the type, of what stands here

	node, extra fhir.Node // what stands here
}

type seen struct{ expression, key, profile string }

// structural are the keys whose issue is said once, though several profiles
// find it.
var structural = map[string]bool{"min": true, "max": true, "type": true, "binding": true, "ref-target": true}

func (r *run) push(name, typ string, at int) {
	r.path = append(r.path, step{name: name, typ: typ, at: int32(at)})
}

// stand notes what the definition says of the element at hand.
func (r *run) stand(def, of string, n, extra fhir.Node) {
	top := &r.path[len(r.path)-1]
	top.def, top.of, top.node, top.extra = def, of, n, extra
}

func (r *run) pop() { r.path = r.path[:len(r.path)-1] }

func itoa(i int) string { return strconv.Itoa(i) }

// here gives the FHIRPath of the element at hand.
func (r *run) here() string {
	var b strings.Builder
	for i, s := range r.path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
		if s.typ != "" {
			b.WriteString(".ofType(" + s.typ + ")")
		}
		if s.at >= 0 {
			b.WriteString("[" + strconv.Itoa(int(s.at)) + "]")
		}
	}
	return b.String()
}

// source is where a rule comes from: its key, the profile that has it ("" for
// the definition of R4), and the path of the element in that definition.
type source struct{ key, profile, element string }

// of gives the source of a rule of R4 by the path of the element that has it.
func of(key, path string) source { return source{key, "", path} }

// fail reports an error at the element at hand.
func (r *run) fail(s source, code fhir.Code, format string, args ...any) {
	r.report(fhir.SeverityError, s, code, r.here(), format, args...)
}

func (r *run) warn(s source, code fhir.Code, format string, args ...any) {
	r.report(fhir.SeverityWarning, s, code, r.here(), format, args...)
}

// report adds an issue. Of an element and a rule it is said once, with the
// greatest severity that it was found with. A list that is full gives up a
// warning for an error.
func (r *run) report(severity fhir.Severity, s source, code fhir.Code, expression, format string, args ...any) {
	if r.ended {
		return
	}
	if s.profile == "" {
		typ, _, _ := strings.Cut(s.element, ".")
		s.profile = structureURL + typ
	}
	if r.severity != nil {
		f := Finding{Key: s.key, Profile: s.profile, Element: s.element, Severity: severity}
		if len(r.path) > 0 {
			f.Type = r.path[len(r.path)-1].of
		}
		if severity = r.severity(f); severity == "" {
			return
		}
	}
	at := seen{expression: expression, key: s.key}
	if kind, _, _ := strings.Cut(s.key, ":"); !structural[kind] {
		at.profile = s.profile
	}
	if before := r.seen[at]; before != nil {
		if severity != fhir.SeverityError || before.Severity == "" {
			return
		}
		if i := slices.Index(r.issues, before); i >= 0 {
			r.issues = slices.Delete(r.issues, i, i+1)
		}
	}
	if len(r.issues) >= r.v.opts.MaxIssues && !r.room(severity) {
		return
	}
	e := fhir.Errorf(code, expression, "%s: %s (rule %s of %s)", expression, fmt.Sprintf(format, args...), s.key, s.profile)
	if severity != fhir.SeverityError {
		e.Severity = severity
	} else {
		r.errors++
	}
	r.issues = append(r.issues, e)
	if r.seen == nil {
		r.seen = map[seen]*fhir.Error{}
	}
	if len(r.seen) < 10*r.v.opts.MaxIssues {
		r.seen[at] = e
	}
}

// room tells whether there is place for one more issue after the list was full.
func (r *run) room(severity fhir.Severity) bool {
	r.more = true
	if severity != fhir.SeverityError || r.errors >= r.v.opts.MaxIssues {
		return false
	}
	for i := len(r.issues) - 1; i >= 0; i-- {
		if r.issues[i].Severity != "" {
			r.issues = append(r.issues[:i], r.issues[i+1:]...)
			return true
		}
	}
	return false
}

// full tells whether nothing more can be found out: the time is over, or every
// place is taken by an error.
func (r *run) full() bool {
	if r.steps++; r.steps%64 == 0 && !r.ended && r.ctx.Err() != nil {
		r.stop()
	}
	return r.ended || r.errors >= r.v.opts.MaxIssues
}

// stop ends the run because its time is over.
func (r *run) stop() {
	if r.ended {
		return
	}
	e := fhir.Errorf(fhir.CodeTooCostly, "", "The document could not be judged to its end within %v; what stands before this was found until then.", r.v.opts.Timeout)
	if len(r.issues) >= r.v.opts.MaxIssues {
		r.issues = r.issues[:r.v.opts.MaxIssues-1]
	}
	r.issues = append(r.issues, e)
	r.errors++
	r.ended = true
}

// document judges a whole document.
func (r *run) document(root fhir.Node, profiles []string) {
	typ := root.Get("resourceType").String()
	r.resource, r.container = root, root
	r.push(typ, "", -1)
	if !r4.IsResource(typ) {
		r.fail(of("type", "Resource"), fhir.CodeNotSupported,
			"R4 has no such resource type that a document can have. Write resourceType as in http://hl7.org/fhir/R4/resourcelist.html.")
		return
	}
	if typ == "Bundle" {
		r.bundle = root
	}
	r.resourceContent(root, typ)
	r.apply(root, typ, profiles)
}
