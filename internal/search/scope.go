package search

import (
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// inCompartment is the parameter under which a resource is found by the
// compartments that it belongs to, as Type/id.
const inCompartment = "_compartment"

// about reads what is searched: the whole system (""), a type (Type), a type
// within a compartment (Patient/id/Type), or all of a compartment
// (Patient/id/*). _type says which types of several.
func (r *reader) about(path string, values url.Values) error {
	r.Path = path
	parts := strings.Split(path, "/")
	switch {
	case path == "":
		return r.several(slices.DeleteFunc(Types(), func(typ string) bool { return !Stored(typ) }), values)
	case len(parts) == 1:
		if !TypeNamed(path) {
			return fhir.Errorf(fhir.CodeNotSupported, "", "%s is not a resource type of FHIR R4.", printable(path)).WithStatus(404)
		}
		r.Query.Type = path
		return nil
	case len(parts) != 3 || !fhir.ValidID(parts[1]):
		return fhir.Errorf(fhir.CodeInvalid, "", "The address of a search is that of a type, or of a type within a compartment, such as Patient/id/Encounter.")
	}
	return r.within(parts[0], parts[1], parts[2], values)
}

// within narrows the search to a compartment.
func (r *reader) within(of, id, typ string, values url.Values) error {
	c, ok := r4.LookupCompartment(of)
	if !ok {
		return fhir.Errorf(fhir.CodeNotSupported, "", "There is no compartment of %s.", printable(of)).WithStatus(404)
	}
	clause := store.Clause{Param: inCompartment, Any: []store.Match{{Kind: store.Token, Compare: store.Equal, Value: of + "/" + id}}}
	switch {
	case typ == Any:
		if err := r.several(membersOf(c), values); err != nil {
			return err
		}
	case typ == "AuditEvent" && of == "Patient":
		clause = store.Clause{Param: "entity", Any: []store.Match{{Kind: store.Reference, Compare: store.Equal, Value: of + "/" + id}}}
		r.Query.Type = typ
	case !slices.Contains(membersOf(c), typ):
		return fhir.Errorf(fhir.CodeNotSupported, "", "%s resources do not belong to the compartment of a %s.", printable(typ), of).WithStatus(404)
	default:
		r.Query.Type = typ
	}
	r.Query.Where = store.Where(clause)
	return nil
}

// membersOf gives the types of which resources may belong to a compartment.
// The resource that it is named after belongs to it, too.
func membersOf(c *r4.Compartment) []string {
	all := []string{c.Code}
	for _, m := range c.Members {
		if Stored(m.Type) && m.Type != c.Code {
			all = append(all, m.Type)
		}
	}
	slices.Sort(all)
	return all
}

// several makes it a search across those of the types that _type names, all of
// them when there is no _type.
func (r *reader) several(types []string, values url.Values) error {
	var named []string
	for name := range strings.SplitSeq(strings.Join(values["_type"], ","), ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "" || slices.Contains(named, name):
		case !TypeNamed(name):
			return fhir.Errorf(fhir.CodeInvalid, "", "_type must name resource types of FHIR R4; %s is none.", printable(name))
		case name == "AuditEvent":
			return fhir.Errorf(fhir.CodeNotSupported, "", "AuditEvents are searched by themselves, not together with other types.")
		case !slices.Contains(types, name):
			return fhir.Errorf(fhir.CodeInvalid, "", "%s resources do not belong to this compartment.", name)
		default:
			named = append(named, name)
		}
	}
	switch len(named) {
	case 0:
		r.Query.Types = types
	case 1:
		r.Query.Type = named[0]
	default:
		r.Query.Types = named
	}
	return nil
}

// types gives the types that are searched.
func (r *reader) types() []string {
	if r.Query.Type != "" {
		return []string{r.Query.Type}
	}
	return r.Query.Types
}

// typed accepts _type, which several has read, where several types may be
// searched.
func (r *reader) typed(string) (bool, error) {
	return r.Path == "" || strings.HasSuffix(r.Path, "/"+Any), nil
}

// About names what the audit trail keeps of the search: the record whose
// compartment is searched, else the type, or * for several.
func (r Request) About() string {
	if parts := strings.Split(r.Path, "/"); len(parts) == 3 {
		return parts[0] + "/" + parts[1]
	}
	if r.Query.Type == "" {
		return Any
	}
	return r.Query.Type
}

// merged makes one condition of those that a parameter is for several types.
func merged(all []store.Condition) (c store.Condition, ok bool) {
	c = all[0]
	for _, next := range all[1:] {
		if reflect.DeepEqual(c, next) {
			continue
		}
		if c.Clause == nil || next.Clause == nil || c.Not != next.Not || c.Clause.Param != next.Clause.Param || c.Clause.Not != next.Clause.Not {
			return c, false
		}
		both := *c.Clause
		both.Any = slices.Clone(both.Any)
		for _, m := range next.Clause.Any {
			if !slices.Contains(both.Any, m) {
				both.Any = append(both.Any, m)
			}
		}
		c.Clause = &both
	}
	return c, true
}

// compartments adds the compartments to which a document belongs: by what it
// refers to, and its own.
func (ix *indexer) compartments(doc *fhir.Document) {
	typ := doc.Type()
	for _, c := range r4.Compartments() {
		if typ == c.Code && doc.ID() != "" {
			ix.add(store.Entry{Param: inCompartment, Kind: store.Token, Value: typ + "/" + doc.ID()})
		}
		params := c.Params(typ)
		for _, e := range ix.entries {
			if e.Kind == store.Reference && slices.Contains(params, e.Param) && strings.HasPrefix(e.Value, c.Code+"/") {
				ix.add(store.Entry{Param: inCompartment, Kind: store.Token, Value: e.Value})
			}
		}
	}
}
