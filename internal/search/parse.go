package search

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Parse reads the parameters of a search. path says what is searched: a
// resource type, several in a compartment, or with "" the whole system, as
// Request.Path has it. What it does not know it lists in Unknown; what it knows but cannot honour (a date that is
// none, a modifier that is not supported) is an error with code invalid or
// not-supported.
func (p Parser) Parse(path string, values url.Values) (Request, error) {
	r := reader{
		Request: Request{Query: store.Query{Count: DefaultCount}, Applied: url.Values{}},
		Parser:  p,
	}
	if err := r.about(path, values); err != nil {
		return Request{}, err
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys) // so that the same request always gives the same query
	for _, key := range keys {
		for _, value := range values[key] {
			if value == "" {
				continue // FHIR: a parameter without a value is as if it were not there
			}
			if !utf8.ValidString(key+value) || strings.Contains(key+value, "\x00") {
				return Request{}, fhir.Errorf(fhir.CodeInvalid, "", "A search parameter has a character that is no text.").WithStatus(400)
			}
			if err := r.parameter(key, value); err != nil {
				return Request{}, err
			}
		}
	}
	if weight(r.Query.Where) > maxWeight {
		return Request{}, fhir.Errorf(fhir.CodeTooCostly, "", "The search has too many conditions; ask with fewer alternatives.").WithStatus(400)
	}
	if len(r.Query.Where) > maxClauses {
		return Request{}, fhir.Errorf(fhir.CodeTooCostly, "", "A search may have at most %d conditions.", maxClauses).WithStatus(400)
	}
	if r.Query.Count > 0 && r.Applied.Has("_count") {
		r.Applied.Set("_count", strconv.Itoa(r.Query.Count)) // as far as it goes
	}
	return r.Request, nil
}

// maxWeight bounds the values that one request may compare with.
const maxWeight = 8000

// weight counts the values that conditions compare with.
func weight(where []store.Condition) (n int) {
	for _, c := range where {
		n += weight(c.All) + weight(c.Any)
		if c.Clause != nil {
			n += len(c.Clause.Any)
		}
		if c.Link != nil {
			for _, sub := range c.Link.Sub {
				n += 1 + weight(sub.Where)
			}
		}
	}
	return n
}

// reader is a Request in the making.
type reader struct {
	Request
	Parser
}

// results holds the parameters that shape the answer. A false return says that
// the value is not known; it is then ignored.
var results = map[string]func(r *reader, value string) (bool, error){
	"_count":      (*reader).count,
	"_offset":     (*reader).offset,
	"_sort":       (*reader).sort,
	"_filter":     (*reader).filter,
	"_total":      (*reader).total,
	"_summary":    (*reader).summary,
	"_include":    (*reader).include,
	"_revinclude": (*reader).revinclude,

	"_include:iterate":    (*reader).iterate,
	"_include:recurse":    (*reader).iterate,
	"_revinclude:iterate": (*reader).reviterate,
	"_revinclude:recurse": (*reader).reviterate,

	"_type":      (*reader).typed,
	"_contained": (*reader).contained,

	"_format": transport,
	"_pretty": transport,
}

// contained accepts that contained resources are not searched.
func (r *reader) contained(value string) (bool, error) { return value == "false", nil }

// transport accepts what concerns the HTTP answer alone.
func transport(*reader, string) (bool, error) { return true, nil }

func (r *reader) parameter(key, value string) error {
	if read, ok := results[key]; ok {
		known, err := read(r, value)
		r.applied(known, key, value, key+"="+printable(value))
		return err
	}
	known, err := r.where(key, value)
	r.applied(known, key, value, printable(key))
	return err
}

func (r *reader) applied(known bool, key, value, name string) {
	if known {
		r.Applied.Add(key, value)
	} else if !slices.Contains(r.Unknown, name) {
		r.Unknown = append(r.Unknown, name)
	}
}

func (r *reader) where(key, value string) (known bool, err error) {
	var all []store.Condition
	for _, typ := range r.types() {
		c, known, err := r.on(typ, key, value, 0)
		if !known || err != nil {
			return known, err
		}
		all = append(all, c)
	}
	c, ok := merged(all)
	if !ok {
		return true, unsupported(key, "is not the same for all types that are searched")
	}
	r.Query.Where = append(r.Query.Where, c)
	return true, nil
}

// on reads a condition on records of a type; depth references lead to them.
func (r *reader) on(typ, key, value string, depth int) (c store.Condition, known bool, err error) {
	if !strings.HasPrefix(key, "_has:") && !strings.Contains(key, ".") {
		return r.condition(typ, key, value)
	}
	if depth == maxDepth {
		return c, true, fhir.Errorf(fhir.CodeTooCostly, "", "A search may follow at most %d references in a row.", maxDepth).WithStatus(400)
	}
	var link store.Link
	if strings.HasPrefix(key, "_has:") {
		link, known, err = r.has(typ, key, value, depth)
	} else {
		link, known, err = r.chain(typ, key, value, depth)
	}
	return store.Condition{Link: &link}, known, err
}

// has reads _has:Type:reference:sub=value.
func (r *reader) has(typ, key, value string, depth int) (link store.Link, known bool, err error) {
	parts := strings.SplitN(key, ":", 4)
	if len(parts) < 4 {
		return link, false, nil
	}
	p, ok := find(parts[1], parts[2])
	if !ok || p.Kind != Reference || !p.leadsTo(typ) {
		return link, false, nil
	}
	link.Param, link.Reverse = p.Code, true
	known, err = r.leads(&link, parts[1], parts[3], value, depth)
	return link, known, err
}

// leads adds what sub=value asks of a type.
func (r *reader) leads(link *store.Link, typ, sub, value string, depth int) (known bool, err error) {
	c, known, err := r.on(typ, sub, value, depth+1)
	if known && err == nil {
		link.Sub = append(link.Sub, store.Query{Type: typ, Where: []store.Condition{c}})
	}
	return known, err
}

// chain reads head.sub=value, where head is a reference, perhaps with :Type,
// and sub may be a chain again.
func (r *reader) chain(typ, key, value string, depth int) (link store.Link, known bool, err error) {
	head, sub, _ := strings.Cut(key, ".")
	code, only, _ := strings.Cut(head, ":")
	p, ok := find(typ, code)
	if !ok || p.Kind != Reference {
		return link, false, nil
	}
	targets := p.Target
	if depth > 0 && len(targets) > maxBranches && only == "" {
		return link, true, unsupported(key, "must say the type of the reference")
	}
	if only != "" {
		if !TypeNamed(only) || !p.leadsTo(only) {
			return link, true, unsupported(head, "leads to no such type")
		}
		targets = []string{only}
	}
	link.Param = code
	for _, target := range targets {
		if _, err := r.leads(&link, target, sub, value, depth); err != nil {
			return link, true, err
		}
	}
	return link, len(link.Sub) > 0, nil
}

func (r *reader) count(value string) (bool, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return true, fhir.Errorf(fhir.CodeInvalid, "", "_count must be a whole number from 0.")
	}
	r.Query.Count = min(n, MaxCount)
	if n == 0 {
		return r.summary("count")
	}
	return true, nil
}

func (r *reader) offset(value string) (bool, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > MaxOffset {
		return true, fhir.Errorf(fhir.CodeInvalid, "", "_offset must be a whole number from 0 to %d; narrow the search instead of going further.", MaxOffset)
	}
	r.Query.Offset = n
	return true, nil
}

func (r *reader) total(value string) (bool, error) {
	switch value {
	case "accurate", "estimate": // to count is as cheap as any estimate
		r.Query.Total = true
	case "none":
		r.NoTotal = true
	default:
		return true, fhir.Errorf(fhir.CodeInvalid, "", "_total must be none, estimate or accurate.")
	}
	return true, nil
}

func (r *reader) summary(value string) (bool, error) {
	switch value {
	case "count":
		r.Query.Count, r.Query.Total = 0, true
		return true, nil
	case "false":
		return true, nil
	}
	return false, nil // whole resources are a correct, longer answer
}

func (r *reader) sort(value string) (bool, error) {
	known := true
	for name := range strings.SplitSeq(value, ",") {
		code, descending := strings.CutPrefix(name, "-")
		if code != "_id" && code != "_lastUpdated" && !r.sortable(code) {
			known = false
			continue
		}
		kind := store.Kind(0)
		if p, ok := find(r.Query.Type, code); ok {
			kind = p.stored()
		}
		r.Query.Sort = append(r.Query.Sort, store.Sort{Param: code, Kind: kind, Descending: descending})
	}
	if len(r.Query.Sort) > maxSort {
		return true, fhir.Errorf(fhir.CodeTooCostly, "", "_sort may have at most %d keys.", maxSort).WithStatus(400)
	}
	return known, nil
}

// sortable tells whether all types that are searched have a parameter whose
// values have an order.
func (r *reader) sortable(code string) bool {
	return !slices.ContainsFunc(r.types(), func(typ string) bool {
		p, ok := find(typ, code)
		return !ok || p.Kind == Composite || p.Kind == Place || p.Kind == Words
	})
}
