package exchange

import (
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	maxIncluded = 1000 // resources that one page may include
	maxRounds   = 10   // references in a row that :iterate follows
)

// inclusion collects what _include and _revinclude ask for, each version of a
// record once. It goes in rounds: the references of all that the round before
// has found are read together.
type inclusion struct {
	*Service
	reader store.Reader
	p      auth.Principal
	req    search.Request
	seen   map[store.Key]bool
	out    []store.Resource
	round  int
	full   bool // there was more than may be included
	deep   bool // there was more, further away
}

// included gives what a page includes, and warnings of what it leaves out.
func (s *Service) included(r store.Reader, p auth.Principal, req search.Request, matches []store.Resource) ([]store.Resource, fhir.Issues, error) {
	if len(req.Includes)+len(req.RevIncludes) == 0 {
		return nil, nil, nil
	}
	in := &inclusion{Service: s, reader: r, p: p, req: req, seen: make(map[store.Key]bool, len(matches))}
	for _, m := range matches {
		in.seen[store.Key{Type: m.Type, ID: m.ID, Version: m.Version}] = true
	}
	for fresh := matches; len(fresh) > 0 && !in.full; in.round++ {
		before := len(in.out)
		if err := in.follow(fresh); err != nil {
			return nil, nil, err
		}
		fresh = in.out[before:]
	}
	var notes fhir.Issues
	switch {
	case in.full:
		notes = append(notes, fhir.Warningf(fhir.CodeTooCostly, "", "The page includes only %d of the records that it could include; ask for a smaller page or for fewer includes.", maxIncluded))
	case in.deep:
		notes = append(notes, fhir.Warningf(fhir.CodeTooCostly, "", "References are followed over %d records in a row; what lies further is not included.", maxRounds))
	}
	return in.out, notes, nil
}

// add takes records in that were not seen before.
func (in *inclusion) add(found []store.Resource) {
	for _, res := range found {
		key := store.Key{Type: res.Type, ID: res.ID, Version: res.Version}
		if in.seen[key] || res.Deleted() {
			continue
		}
		if in.round == maxRounds {
			in.deep = true
			return
		}
		if len(in.out) == maxIncluded {
			in.full = true
			return
		}
		in.seen[key] = true
		in.out = append(in.out, res)
	}
}

// follow goes one step from the records: behind the first round by what
// iterates alone.
func (in *inclusion) follow(from []store.Resource) error {
	counts := func(inc search.Include) bool { return inc.Iterate || in.round == 0 }
	forward, backward := filter(in.req.Includes, counts), filter(in.req.RevIncludes, counts)
	if len(forward) > 0 {
		if err := in.forward(from, forward); err != nil {
			return err
		}
	}
	for _, inc := range backward {
		if err := in.backward(from, inc); err != nil {
			return err
		}
	}
	return nil
}

func filter(list []search.Include, keep func(search.Include) bool) (out []search.Include) {
	for _, inc := range list {
		if keep(inc) {
			out = append(out, inc)
		}
	}
	return out
}

// forward reads what the records refer to.
func (in *inclusion) forward(from []store.Resource, includes []search.Include) error {
	var keys []store.Key
	var urls []search.Pointer
	covered := func(typ, param, to string) bool {
		return slices.ContainsFunc(includes, func(inc search.Include) bool { return inc.Covers(typ, param, to) })
	}
	for _, res := range from {
		doc, err := fhir.Parse(res.Body)
		if err != nil {
			return err
		}
		for _, to := range search.Pointers(doc, in.Base()) {
			if to.URL == "" {
				if covered(res.Type, to.Param, to.Type) {
					keys = append(keys, keyOf(to.Reference))
				}
				continue
			}
			to.Targets = slices.DeleteFunc(slices.Clone(to.Targets), func(target string) bool { return !covered(res.Type, to.Param, target) })
			urls = append(urls, to)
		}
	}
	found, err := in.readable(keys)
	if err != nil {
		return err
	}
	in.add(found)
	return in.canonical(urls)
}

// keyOf gives the key of a reference; a version that is no number is none of
// this exchange.
func keyOf(ref fhir.Reference) store.Key {
	k := store.Key{Type: ref.Type, ID: ref.ID}
	if ref.Version != "" {
		var err error
		if k.Version, err = strconv.ParseInt(ref.Version, 10, 64); err != nil || k.Version < 1 {
			k.Version = -1
		}
	}
	return k
}

// readable gives those records that the caller may read and that are new.
func (in *inclusion) readable(keys []store.Key) ([]store.Resource, error) {
	asked := make(map[store.Key]bool)
	keys = slices.DeleteFunc(keys, func(k store.Key) bool {
		known := asked[k] || in.seen[k]
		asked[k] = true
		return known
	})
	return visibleOf(in.reader, in.p, auth.Read, keys)
}

// canonical reads what canonical URLs name: the version that a URL asks for,
// else the newest.
func (in *inclusion) canonical(urls []search.Pointer) error {
	byType := make(map[string][]store.Match)
	var types []string
	for _, to := range urls {
		for _, typ := range to.Targets {
			if !search.Has(typ, "url") {
				continue
			}
			if byType[typ] == nil {
				types = append(types, typ)
			}
			m := store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: search.TokenValue(to.URL, "")}
			if !slices.Contains(byType[typ], m) {
				byType[typ] = append(byType[typ], m)
			}
		}
	}
	for _, typ := range types {
		found, err := in.searched(typ, store.Where(store.Clause{Param: "url", Any: byType[typ]}), []store.Sort{{Param: "_lastUpdated", Descending: true}})
		if err != nil {
			return err
		}
		for _, to := range urls {
			if !slices.Contains(to.Targets, typ) {
				continue
			}
			i := slices.IndexFunc(found, func(res store.Resource) bool {
				doc, err := fhir.Parse(res.Body)
				return err == nil && doc.Get("url").Is(to.URL) && (to.Version == "" || doc.Get("version").Is(to.Version))
			})
			if i >= 0 {
				in.add(found[i : i+1])
			}
		}
	}
	return nil
}

// searched gives the records of a type that meet conditions, as far as the
// caller may find them.
func (in *inclusion) searched(typ string, where []store.Condition, sort []store.Sort) ([]store.Resource, error) {
	grant, err := auth.Allow(in.p, auth.Search, typ)
	if err != nil {
		return nil, nil // left out
	}
	page, err := in.reader.Search(store.Query{
		Type: typ, Where: where, Organization: grant.Organization, Count: maxIncluded + 1, Sort: sort,
	})
	return page.Resources, err
}

// backward reads what refers to the records.
func (in *inclusion) backward(from []store.Resource, inc search.Include) error {
	if inc.Type == search.Any {
		return in.referring(from)
	}
	var clauses []store.Clause
	for _, p := range inc.References() {
		clause := store.Clause{Param: p.Code}
		for _, res := range from {
			if !inc.Covers(inc.Type, p.Code, res.Type) {
				continue
			}
			if p.Kind == search.Reference {
				clause.Any = append(clause.Any, store.Match{Kind: store.Reference, Compare: store.Equal, Value: res.Type + "/" + res.ID})
			} else if url := urlOf(res); url != "" {
				clause.Any = append(clause.Any, store.Match{Kind: store.Token, Compare: store.HasPrefix, Value: search.TokenValue(url, "")})
			}
		}
		if len(clause.Any) > 0 {
			clauses = append(clauses, clause)
		}
	}
	if len(clauses) == 0 {
		return nil
	}
	found, err := in.searched(inc.Type, []store.Condition{{Any: store.Where(clauses...)}}, nil)
	in.add(found)
	return err
}

// urlOf gives the canonical URL of a definition.
func urlOf(res store.Resource) string {
	if !search.Has(res.Type, "url") {
		return ""
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return ""
	}
	return doc.Get("url").String()
}

// referring reads all that refers to the records, by whatever parameter.
func (in *inclusion) referring(from []store.Resource) error {
	to := make([]store.Key, len(from))
	for i, res := range from {
		to[i] = store.Key{Type: res.Type, ID: res.ID}
	}
	found, err := in.reader.ReferencedBy(to, 2*maxIncluded)
	if err != nil {
		return err
	}
	if len(found) == 2*maxIncluded {
		in.full = true
	}
	keys := make([]store.Key, 0, len(found))
	for _, res := range found {
		keys = append(keys, store.Key{Type: res.Type, ID: res.ID, Version: res.Version})
	}
	shown, err := in.readable(keys)
	in.add(shown)
	return err
}
