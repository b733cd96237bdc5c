package library

import (
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// maxLinked bounds the records through which a condition may lead from stored
// records to derived ones, or the other way round.
const maxLinked = 500

// linked gives conditions on records of a type in which each that crosses from
// stored records to derived ones, or back, is worked out: the engine knows
// stored ones alone, the library its own.
func (r reader) linked(typ string, where []store.Condition) ([]store.Condition, error) {
	if !slices.ContainsFunc(where, leads) {
		return where, nil
	}
	out := slices.Clone(where)
	for i := range out {
		c := &out[i]
		var err error
		switch {
		case c.Link != nil:
			not := c.Not
			*c, err = r.cross(typ, *c.Link)
			c.Not = not
		case c.Any != nil:
			c.Any, err = r.linked(typ, c.Any)
		case c.All != nil:
			c.All, err = r.linked(typ, c.All)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func leads(c store.Condition) bool {
	return c.Link != nil || slices.ContainsFunc(c.Any, leads) || slices.ContainsFunc(c.All, leads)
}

func (r reader) cross(typ string, l store.Link) (store.Condition, error) {
	stays := store.Link{Param: l.Param, Reverse: l.Reverse}
	named := store.Clause{Param: l.Param}
	if l.Reverse {
		named.Param = "_id"
	}
	for _, sub := range l.Sub {
		if !r.library.Has(typ) && (l.Reverse || !r.library.Has(sub.Type)) {
			var err error
			if sub.Where, err = r.linked(sub.Type, sub.Where); err != nil {
				return store.Condition{}, err
			}
			stays.Sub = append(stays.Sub, sub)
			continue
		}
		sub.Count = maxLinked
		page, err := r.Search(sub)
		if err != nil {
			return store.Condition{}, err
		}
		if page.More {
			return store.Condition{}, fhir.Errorf(fhir.CodeTooCostly, "", "The condition by %s leads through too many records; make it narrower.", l.Param).WithStatus(400)
		}
		for _, res := range page.Resources {
			if named.Any, err = r.name(named.Any, typ, l, res); err != nil {
				return store.Condition{}, err
			}
		}
	}
	switch {
	case len(stays.Sub) == len(l.Sub):
		return store.Condition{Link: &stays}, nil
	case len(stays.Sub) == 0:
		return store.Condition{Clause: &named}, nil
	}
	return store.Condition{Any: []store.Condition{{Clause: &named}, {Link: &stays}}}, nil
}

// name adds the match for the resource at the other end of a link, or for those
// of the type to which it refers.
func (r reader) name(all []store.Match, typ string, l store.Link, res store.Resource) ([]store.Match, error) {
	if !l.Reverse {
		return append(all, store.Match{Kind: store.Reference, Compare: store.Equal, Value: res.Type + "/" + res.ID}), nil
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return all, err
	}
	for _, p := range search.Pointers(doc, r.library.base()) {
		m := store.Match{Kind: store.Token, Compare: store.Equal, Value: p.ID}
		if p.Param == l.Param && p.Type == typ && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return all, nil
}
