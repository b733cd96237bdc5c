package exchange

import (
	"errors"
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	maxChained  = 500  // resources that the inner part of a chain may match
	maxIncluded = 1000 // resources that one page may include
)

func itoa(i int) string { return strconv.Itoa(i) }

func (s *Service) search(r store.Reader, p auth.Principal, grant auth.Grant, req search.Request) (SearchResult, error) {
	q := req.Query
	q.Organization = grant.Organization
	if q.Type == "AuditEvent" {
		page, err := audit.Search(r, q)
		return SearchResult{Matches: page.Resources, Total: page.Total, More: page.More}, err
	}
	for _, chain := range req.Chains {
		clause, err := s.chained(r, p, chain)
		if err != nil {
			return SearchResult{}, err
		}
		if len(clause.Any) == 0 {
			return SearchResult{Total: total(q, 0)}, nil
		}
		q.Where = append(q.Where, clause)
	}
	page, err := r.Search(q)
	if err != nil {
		return SearchResult{}, err
	}
	out := SearchResult{Matches: page.Resources, Total: page.Total, More: page.More}
	out.Included, err = s.include(r, p, req, page.Resources)
	return out, err
}

func total(q store.Query, n int) int {
	if q.Total || q.Count == 0 {
		return n
	}
	return -1
}

// chained turns subject.identifier=x into subject=Patient/1,Patient/2,….
func (s *Service) chained(r store.Reader, p auth.Principal, chain search.Chain) (store.Clause, error) {
	clause := store.Clause{Param: chain.Param}
	if chain.From != "" {
		clause.Param = "_id"
	}
	subs := slices.Clone(chain.Sub)
	for _, d := range chain.Deeper {
		if _, err := auth.Allow(p, auth.Search, d.Type); err != nil {
			return clause, err
		}
		inner, err := s.chained(r, p, d.Chain)
		if err != nil {
			return clause, err
		}
		if len(inner.Any) > 0 {
			subs = append(subs, store.Query{Type: d.Type, Where: []store.Clause{inner}})
		}
	}
	for _, sub := range subs {
		grant, err := auth.Allow(p, auth.Search, sub.Type)
		if err != nil {
			return clause, err
		}
		sub.Organization, sub.Count = grant.Organization, maxChained
		page, err := r.Search(sub)
		if err != nil {
			return clause, err
		}
		if page.More {
			return clause, fhir.Errorf(fhir.CodeTooCostly, "", "The condition on %s matches too many records.", chain.Param).WithStatus(400)
		}
		for _, res := range page.Resources {
			if chain.From != "" {
				if clause.Any, err = s.leadingTo(clause.Any, res, chain); err != nil {
					return clause, err
				}
				continue
			}
			clause.Any = append(clause.Any, store.Match{Kind: store.Reference, Compare: store.Equal, Value: res.Type + "/" + res.ID})
		}
	}
	return clause, nil
}

// leadingTo adds the ids of the records of type chain.From to which a record
// refers, each once.
func (s *Service) leadingTo(any []store.Match, res store.Resource, chain search.Chain) ([]store.Match, error) {
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return any, err
	}
	for _, e := range search.Index(doc, s.Base()) {
		ref, ok := fhir.ParseReference(e.Value, "")
		if e.Kind != store.Reference || e.Param != chain.Param || !ok || ref.Type != chain.From {
			continue
		}
		if m := (store.Match{Kind: store.Token, Compare: store.Equal, Value: ref.ID}); !slices.Contains(any, m) {
			any = append(any, m)
		}
	}
	return any, nil
}

// include collects what _include and _revinclude ask for, each record once.
func (s *Service) include(r store.Reader, p auth.Principal, req search.Request, matches []store.Resource) ([]store.Resource, error) {
	seen := make(map[string]bool, len(matches))
	for _, m := range matches {
		seen[m.Type+"/"+m.ID] = true
	}
	var out []store.Resource
	add := func(res store.Resource) error {
		key := res.Type + "/" + res.ID
		if seen[key] || res.Deleted() {
			return nil
		}
		if len(out) >= maxIncluded {
			return fhir.Errorf(fhir.CodeTooCostly, "", "The search would include more than %d records; ask for a smaller page.", maxIncluded).WithStatus(400)
		}
		seen[key] = true
		out = append(out, res)
		return nil
	}
	for _, m := range matches {
		for _, inc := range req.Includes {
			if inc.Type != m.Type {
				continue
			}
			if err := s.forward(r, p, m, inc, add); err != nil {
				return nil, err
			}
		}
		for _, inc := range req.RevIncludes {
			if err := s.backward(r, p, m, inc, add); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (s *Service) forward(r store.Reader, p auth.Principal, m store.Resource, inc search.Include, add func(store.Resource) error) error {
	doc, err := fhir.Parse(m.Body)
	if err != nil {
		return err
	}
	for _, entry := range search.Index(doc, s.Base()) {
		if entry.Kind != store.Reference || entry.Param != inc.Param {
			continue
		}
		ref, ok := fhir.ParseReference(entry.Value, "")
		if !ok || inc.Target != "" && inc.Target != ref.Type {
			continue
		}
		grant, err := auth.Allow(p, auth.Read, ref.Type)
		if err != nil {
			continue // what may not be read is left out
		}
		if err := visible(r, grant, ref.Type, ref.ID); err != nil {
			if fhir.CodeOf(err) == fhir.CodeNotFound {
				continue
			}
			return err
		}
		res, err := r.Resource(ref.Type, ref.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := add(res); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) backward(r store.Reader, p auth.Principal, m store.Resource, inc search.Include, add func(store.Resource) error) error {
	grant, err := auth.Allow(p, auth.Search, inc.Type)
	if err != nil {
		return nil // what may not be read is left out
	}
	page, err := r.Search(store.Query{
		Type: inc.Type, Organization: grant.Organization, Count: maxIncluded,
		Where: []store.Clause{{Param: inc.Param, Any: []store.Match{{Kind: store.Reference, Compare: store.Equal, Value: m.Type + "/" + m.ID}}}},
	})
	if err != nil {
		return err
	}
	for _, res := range page.Resources {
		if err := add(res); err != nil {
			return err
		}
	}
	return nil
}
