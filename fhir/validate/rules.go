package validate

import (
	"context"
	"errors"
	"sort"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// rule is a constraint that is ready to be evaluated.
type rule struct {
	key, human string
	warning    bool
	contained  bool // has a meaning only where there are contained resources
	expr       *fhirpath.Expression
}

// native are the rules that the walk itself judges, and says more about.
var native = map[string]bool{"ele-1": true, "ext-1": true, "txt-1": true, "txt-2": true, "ref-1": true}

// corrected are the rules of R4 that would refuse right records, as later
// releases have them: an answer is of FHIR's type boolean.
var corrected = map[string]string{"que-7": "operator = 'exists' implies (answer is boolean)"}

// Skipped is a rule that is not evaluated, and why.
type Skipped struct{ Key, Profile, Reason string }

var (
	compiled  sync.Map // *r4.Constraint → *rule, nil for one that is skipped
	ofElement sync.Map // *r4.Element → []*rule
)

func ruleOf(c *r4.Constraint) *rule {
	if x, ok := compiled.Load(c); ok {
		return x.(*rule)
	}
	var made *rule
	if !native[c.Key] {
		text := c.Expression
		if better, ok := corrected[c.Key]; ok {
			text = better
		}
		made, _ = newRule(c.Key, c.Severity, c.Human, text)
	}
	x, _ := compiled.LoadOrStore(c, made)
	return x.(*rule)
}

func newRule(key, severity, human, expression string) (*rule, error) {
	expr, err := fhirpath.Compile(expression)
	if err != nil {
		return nil, err
	}
	return &rule{
		key: key, human: strings.TrimSpace(human), warning: severity == "warning", expr: expr,
		contained: strings.HasPrefix(expression, "contained."),
	}, nil
}

// rulesOf gives the rules of an element of R4, compiled once.
func rulesOf(el *r4.Element) []*rule {
	if len(el.Constraints) == 0 || len(el.Constraints) == 1 && native[el.Constraints[0].Key] {
		return nil
	}
	if x, ok := ofElement.Load(el); ok {
		return x.([]*rule)
	}
	var list []*rule
	for _, c := range el.Constraints {
		if made := ruleOf(c); made != nil {
			list = append(list, made)
		}
	}
	x, _ := ofElement.LoadOrStore(el, list)
	return x.([]*rule)
}

// Skipped gives the rules of R4 and of the profiles that cannot be evaluated.
func (v *Validator) Skipped() []Skipped {
	found := map[Skipped]bool{}
	var walk func(*r4.Element)
	walk = func(el *r4.Element) {
		for _, c := range el.Constraints {
			if native[c.Key] {
				continue
			}
			if _, err := fhirpath.Compile(c.Expression); err != nil {
				typ, _, _ := strings.Cut(el.Path, ".")
				found[Skipped{c.Key, structureURL + typ, err.Error()}] = true
			}
		}
		for _, c := range el.Children {
			walk(c)
		}
	}
	for _, t := range r4.Types() {
		walk(t.Root)
	}
	for _, s := range v.skippedOfProfiles() {
		found[s] = true
	}
	list := make([]Skipped, 0, len(found))
	for s := range found {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].Key+list[i].Profile < list[j].Key+list[j].Profile
	})
	return list
}

// invariants evaluates the rules of an element of R4 on a value.
func (r *run) invariants(path string, el *r4.Element, n, extra fhir.Node, typ string) {
	for _, x := range rulesOf(el) {
		if x.key == "dom-6" && !r.v.opts.BestPractice {
			continue
		}
		r.evaluate(of(x.key, path), x, n, extra, typ)
	}
}

// evaluate judges one rule.
func (r *run) evaluate(s source, x *rule, n, extra fhir.Node, typ string) {
	if r.ended || x.contained && !n.Get("contained").Exists() || x.warning && len(r.issues) >= r.v.opts.MaxIssues {
		return
	}
	r.decide(s, x, n, fhirpath.Options{
		Type: typ, Sibling: extra, Resource: r.resource, RootResource: r.container,
		Resolver: fhirpath.ReferenceTypes{}, Terminology: valueSets{r.v}, Profiles: conformance{r},
	})
}

// decide evaluates a rule and reports it when it is broken.
func (r *run) decide(s source, x *rule, n fhir.Node, opts fhirpath.Options) {
	result, err := x.expr.Evaluate(r.ctx, n, opts)
	if err != nil {
		if r.ctx.Err() != nil {
			r.stop()
			return
		}
		if len(r.issues) > 0 {
			return // it stumbles over what was found already
		}
		why := "its expression does not fit what stands here"
		var e *fhirpath.Error
		if errors.As(err, &e) {
			why = e.Message
		}
		r.warn(s, fhir.CodeNotSupported, "This rule could not be judged here: %s.", why)
		return
	}
	if ok, known := result.Bool(); ok || !known && len(result) == 0 {
		return
	}
	severity := fhir.SeverityError
	if x.warning {
		severity = fhir.SeverityWarning
	}
	r.report(severity, s, fhir.CodeInvariant, r.here(), "%s.", strings.TrimRight(x.human, ". "))
}

// contained judges what no rule in FHIRPath says of contained resources: each
// has an id of its own.
func (r *run) contained(n fhir.Node) {
	list := n.Get("contained")
	if list.Kind() != fhir.Array {
		return
	}
	ids := map[string]bool{}
	i := 0
	for c := range list.Children() {
		id := c.Get("id")
		r.push("contained", "", i)
		switch {
		case id.Kind() != fhir.String:
			r.fail(of("contained-id", "DomainResource"), fhir.CodeRequired, "A contained resource needs an id, by which # refers to it.")
		case ids[id.String()]:
			r.fail(of("contained-id", "DomainResource"), fhir.CodeDuplicate, "Another contained resource has the same id. Give each its own.")
		default:
			ids[id.String()] = true
		}
		r.pop()
		i++
	}
}

// valueSets answers memberOf() from the value sets that are known.
type valueSets struct{ v *Validator }

var errUnknownSet = errors.New("the codes of this value set are not known")

func (t valueSets) MemberOf(_ context.Context, x fhirpath.Value, valueSet string) (bool, error) {
	set, ok := t.v.codes(valueSet)
	if !ok {
		return false, errUnknownSet
	}
	if x.Node().Kind() == fhir.Object {
		in, _ := hasCode(set, x.Type(), x.Node())
		return in, nil
	}
	return set.hasCode(x.String()), nil
}

func (t valueSets) Subsumes(context.Context, fhirpath.Value, fhirpath.Value) (bool, error) {
	return false, errors.New("the hierarchy of codes is not known")
}
