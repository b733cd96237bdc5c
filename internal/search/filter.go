package search

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Bounds of a _filter.
const (
	maxFilter  = 5000 // bytes
	maxTests   = 50
	maxNesting = 20 // brackets within one another
)

// filter is a _filter as it is written: a test of a parameter, or two filters
// with and or or between them, or what is not to hold.
type filter struct {
	at          int    // where it begins
	op          string // and, or, not; of a test a comparison
	left, right *filter
	path        []filterStep
	value       string
}

// filterStep is a parameter in a path. A filter in brackets speaks of the
// records to which it leads.
type filterStep struct {
	at     int
	name   string
	inside *filter
}

// filter reads the parameter _filter.
func (r *reader) filter(value string) (bool, error) {
	p := filterParser{text: value}
	if len(value) > maxFilter {
		return true, fhir.Errorf(fhir.CodeTooCostly, "", "A _filter may have at most %d bytes.", maxFilter).WithStatus(400)
	}
	f, err := p.read()
	if err != nil {
		return true, err
	}
	c, err := r.filtered(r.Query.Type, f, 0)
	if err == nil {
		r.Query.Where = append(r.Query.Where, c)
	}
	return true, err
}

// filterParser reads the grammar of a _filter, in which and and or follow one
// another from left to right.
type filterParser struct {
	text  string
	at    int
	tests int
	deep  int
}

func wrong(at int, format string, args ...any) error {
	return fhir.Errorf(fhir.CodeInvalid, "", "_filter, at character %d: "+format, append([]any{at + 1}, args...)...)
}

func (p *filterParser) read() (*filter, error) {
	f, err := p.logical()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, wrong(p.at, "here the filter should end, or go on with and or or.")
	}
	return f, nil
}

func (p *filterParser) logical() (*filter, error) {
	if p.deep++; p.deep > maxNesting {
		return nil, wrong(p.at, "there are more than %d brackets within one another.", maxNesting)
	}
	defer func() { p.deep-- }()
	left, err := p.unit()
	if err != nil {
		return nil, err
	}
	for {
		before := p.at
		op := strings.ToLower(p.word())
		if op != "and" && op != "or" {
			p.at = before
			return left, nil
		}
		right, err := p.unit()
		if err != nil {
			return nil, err
		}
		left = &filter{at: left.at, op: op, left: left, right: right}
	}
}

func (p *filterParser) unit() (*filter, error) {
	p.space()
	begin := p.at
	if strings.EqualFold(p.word(), "not") {
		if p.space(); p.peek() != '(' {
			return nil, wrong(p.at, "after not there must be a filter in brackets.")
		}
		f, err := p.bracketed('(', ')')
		return &filter{at: begin, op: "not", left: f}, err
	}
	p.at = begin
	if p.peek() == '(' {
		return p.bracketed('(', ')')
	}
	return p.test()
}

func (p *filterParser) bracketed(open, end byte) (*filter, error) {
	begin := p.at
	p.at++
	f, err := p.logical()
	if err != nil {
		return nil, err
	}
	if p.space(); p.peek() != end {
		return nil, wrong(begin, "this %c is never closed.", open)
	}
	p.at++
	return f, nil
}

// test reads path comparison value.
func (p *filterParser) test() (*filter, error) {
	f := &filter{at: p.at}
	if p.tests++; p.tests > maxTests {
		return nil, wrong(p.at, "there are more than %d tests.", maxTests)
	}
	for {
		s := filterStep{at: p.at}
		s.name = p.name()
		if s.name == "" {
			return nil, wrong(p.at, "here the name of a search parameter should be.")
		}
		if p.peek() == '[' {
			var err error
			if s.inside, err = p.bracketed('[', ']'); err != nil {
				return nil, err
			}
			if p.peek() != '.' {
				return nil, wrong(p.at, "after ] there must be a full stop and a further parameter.")
			}
		}
		f.path = append(f.path, s)
		if p.peek() != '.' {
			break
		}
		p.at++
	}
	p.space()
	at := p.at
	f.op = strings.ToLower(p.word())
	if _, ok := filterOps[f.op]; !ok {
		return nil, wrong(at, "here a comparison should be: %s.", strings.Join(filterOpNames, ", "))
	}
	p.space()
	at = p.at
	var err error
	if f.value, err = p.literal(); err == nil && f.value == "" {
		err = wrong(at, "here a value should be.")
	}
	return f, err
}

func (p *filterParser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *filterParser) space() {
	for p.at < len(p.text) {
		c, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsSpace(c) {
			return
		}
		p.at += n
	}
}

func (p *filterParser) word() string {
	p.space()
	begin := p.at
	for c := p.peek(); c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'; c = p.peek() {
		p.at++
	}
	return p.text[begin:p.at]
}

// name reads the name of a parameter, after which a colon may say the type of
// what a reference leads to.
func (p *filterParser) name() string {
	begin := p.at
	for {
		c := p.peek()
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (p.at == begin || !(c >= '0' && c <= '9' || c == '-' || c == ':')) {
			return p.text[begin:p.at]
		}
		p.at++
	}
}

// literal reads a JSON string, or what stands until the next space or bracket.
func (p *filterParser) literal() (value string, err error) {
	begin := p.at
	if p.peek() != '"' {
		for p.at < len(p.text) {
			c, n := utf8.DecodeRuneInString(p.text[p.at:])
			if unicode.IsSpace(c) || c == ')' || c == ']' {
				break
			}
			if c == '(' || c == '[' || c == '"' {
				return "", wrong(p.at, "a value with brackets or quotation marks in it stands in quotation marks.")
			}
			p.at += n
		}
		return p.text[begin:p.at], nil
	}
	for p.at++; p.at < len(p.text) && p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	if p.at >= len(p.text) {
		return "", wrong(begin, "this quotation mark is never closed.")
	}
	p.at++
	if err := json.Unmarshal([]byte(p.text[begin:p.at]), &value); err != nil {
		return "", wrong(begin, "this text in quotation marks cannot be read.")
	}
	return value, nil
}

// errUnknown tells that a type does not have a parameter.
type errUnknown struct{ error }

func (e errUnknown) Unwrap() error { return e.error }

// filtered gives the condition of a filter on records of a type, to which depth
// references have led.
func (r *reader) filtered(typ string, f *filter, depth int) (c store.Condition, err error) {
	switch f.op {
	case "and", "or":
		left, err := r.filtered(typ, f.left, depth)
		if err != nil {
			return c, err
		}
		right, err := r.filtered(typ, f.right, depth)
		if f.op == "and" {
			return store.Condition{All: []store.Condition{left, right}}, err
		}
		return store.Condition{Any: []store.Condition{left, right}}, err
	case "not":
		inner, err := r.filtered(typ, f.left, depth)
		return store.Condition{Not: true, All: []store.Condition{inner}}, err
	}
	return r.tested(typ, f, f.path, depth)
}

// tested gives the condition of a test whose path begins at a type.
func (r *reader) tested(typ string, f *filter, path []filterStep, depth int) (c store.Condition, err error) {
	step := path[0]
	code, only, _ := strings.Cut(step.name, ":")
	p, ok := lookup(typ, code)
	if !ok {
		return c, errUnknown{wrong(step.at, "%s has no search parameter %s.", typ, printable(code))}
	}
	if len(path) == 1 {
		if only != "" {
			return c, wrong(step.at, "a type can be named only where a further parameter follows.")
		}
		any, err := r.compared(p, f)
		if err != nil {
			return c, err
		}
		return gather(any, false), nil
	}
	if p.Kind != Reference {
		return c, wrong(step.at, "%s is no reference, so nothing can follow it.", code)
	}
	if depth == maxDepth {
		return c, wrong(step.at, "a search may follow at most %d references in a row.", maxDepth)
	}
	targets := p.Target
	switch {
	case only != "" && (!TypeNamed(only) || !p.leadsTo(only)):
		return c, wrong(step.at, "%s leads to no %s.", code, printable(only))
	case only != "":
		targets = []string{only}
	case len(targets) == 0 || depth > 0 && len(targets) > maxBranches:
		return c, wrong(step.at, "%s leads to many types: say which, as %s:Patient.", code, code)
	}
	link := store.Link{Param: code}
	for _, target := range targets {
		var where []store.Condition
		err = nil
		if step.inside != nil {
			inner, e := r.filtered(target, step.inside, depth+1)
			if err = e; err == nil {
				where = append(where, inner)
			}
		}
		if err == nil {
			var inner store.Condition
			inner, err = r.tested(target, f, path[1:], depth+1)
			where = append(where, inner)
		}
		if _, unknown := err.(errUnknown); err != nil && !unknown { //nolint:errorlint // made here
			return c, err
		}
		if err == nil {
			link.Sub = append(link.Sub, store.Query{Type: target, Where: where})
		}
	}
	if len(link.Sub) == 0 {
		return c, err // that of the last type
	}
	return store.Condition{Link: &link}, nil
}

// filterOps tells which types of parameters a comparison is for; nil for all.
var filterOps = map[string][]string{
	"eq": {"string", "token", "date", "number", "quantity", "reference", "uri", "composite"},
	"ne": {"string", "token", "date", "number", "quantity", "reference", "uri"},
	"co": {"string", "uri"}, "sw": {"string", "uri"}, "ew": {"string", "uri"},
	"gt": ordered, "lt": ordered, "ge": ordered, "le": ordered, "ap": ordered, "sa": ordered, "eb": ordered,
	"pr": nil,
	"po": {"date"},
	"ss": {"token"}, "sb": {"token"}, "in": {"token"},
	"re": {"reference"},
}

var (
	ordered       = []string{"date", "number", "quantity"}
	filterOpNames = []string{"eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "re"}
)

// compared gives the alternatives of a test of one parameter.
func (r *reader) compared(p Param, f *filter) (any []store.Condition, err error) {
	if types := filterOps[f.op]; types != nil && !slices.Contains(types, p.Type()) || p.Kind == Place || p.Kind == Membership {
		return nil, wrong(f.at, "%s is of type %s, which cannot be compared by %s.", p.Code, p.Type(), f.op)
	}
	value := strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(f.value)
	switch f.op {
	case "pr":
		any, err = r.present(p, f)
	case "eq", "re", "ne":
		if any, err = r.equal(p, value); err == nil && f.op == "ne" {
			any, err = r.unequal(p, any)
		}
	case "co", "sw", "ew":
		any, err = p.partly(f.op, value)
	case "in":
		any, err = r.members(p)(value)
	case "ss", "sb": // the value subsumes what is there, or is subsumed by it
		any, err = r.hierarchy(p, f.op == "ss")(value)
	case "po":
		if any, err = r.date(p)(value); err == nil {
			any[0].Clause.Any[0].Compare = store.Overlaps
		}
	default:
		any, err = r.plain(p)(f.op + value)
	}
	if err != nil {
		return nil, placed(f.at, err)
	}
	return any, nil
}

// placed tells where in a _filter an error comes from.
func placed(at int, err error) error {
	var e *fhir.Error
	if !errors.As(err, &e) {
		return err
	}
	return fhir.Errorf(e.Code, "", "_filter, at character %d: %s", at+1, e.Diagnostics).WithStatus(400)
}

func (r *reader) present(p Param, f *filter) ([]store.Condition, error) {
	if f.value != "true" && f.value != "false" || !slices.Contains(modifiersOf[p.Kind], "missing") {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s pr must be followed by true or false.", p.Code)
	}
	return p.missing(map[string]string{"true": "false", "false": "true"}[f.value])
}

// equal finds whole values, where a search is content with how they begin.
func (r *reader) equal(p Param, value string) ([]store.Condition, error) {
	switch p.Kind {
	case String, Name:
		folded, err := p.folded(value)
		return is(p.Code, store.String, store.Equal, folded), err
	case Date, Updated, Number, Quantity:
		return r.plain(p)("eq" + value)
	}
	return r.plain(p)(value)
}

// unequal finds records with an entry that none of the alternatives meets.
func (r *reader) unequal(p Param, any []store.Condition) ([]store.Condition, error) {
	if len(any) == 1 && any[0].Clause != nil && len(any[0].Clause.Any) == 1 && p.Kind != Identity {
		m := &any[0].Clause.Any[0]
		m.Not = !m.Not
		return any, nil
	}
	not := gather(any, true)
	if p.Kind == Identity {
		return []store.Condition{not}, nil
	}
	there, err := p.missing("false")
	return []store.Condition{{All: append(there[:1:1], not)}}, err
}

// partly finds values that contain a text, or begin or end with it.
func (p Param) partly(op, value string) ([]store.Condition, error) {
	compare := map[string]store.Compare{"co": store.Contains, "sw": store.HasPrefix, "ew": store.HasSuffix}[op]
	switch p.Kind {
	case String, Name:
		folded, err := p.folded(value)
		return is(p.Code, store.String, compare, folded), err
	case Words:
		return p.words(value)
	}
	address := strings.TrimSuffix(TokenValue(unescape(value), ""), "|")
	if op == "ew" {
		address += "|"
	}
	return is(p.Code, store.Token, compare, address), nil
}
