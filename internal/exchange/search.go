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

const maxIncluded = 1000 // resources that one page may include

func itoa(i int) string { return strconv.Itoa(i) }

func (s *Service) search(r store.Reader, p auth.Principal, grant auth.Grant, req search.Request) (SearchResult, error) {
	q := req.Query
	q.Organization = grant.Organization
	if q.Type == "AuditEvent" {
		page, err := audit.Search(r, q)
		return SearchResult{Matches: page.Resources, Total: page.Total, More: page.More}, err
	}
	var err error
	if q.Where, err = scoped(p, q.Where); err != nil {
		return SearchResult{}, err
	}
	page, err := r.Search(q)
	if err != nil {
		return SearchResult{}, err
	}
	out := SearchResult{Matches: page.Resources, Total: page.Total, More: page.More}
	out.Included, err = s.include(r, p, req, page.Resources)
	return out, err
}

// scoped gives conditions whose inner queries, those of chains and _has, find
// only what the principal may see. A type that may not be searched has no
// matches; when no other is left the condition is refused.
func scoped(p auth.Principal, where []store.Condition) ([]store.Condition, error) {
	where = slices.Clone(where)
	for i, c := range where {
		var err error
		if c.All, err = scoped(p, c.All); err != nil {
			return nil, err
		}
		if c.Any, err = scoped(p, c.Any); err != nil {
			return nil, err
		}
		if c.Link != nil {
			if c.Link, err = follow(p, *c.Link); err != nil {
				return nil, err
			}
		}
		where[i] = c
	}
	return where, nil
}

func follow(p auth.Principal, link store.Link) (*store.Link, error) {
	var subs []store.Query
	var refused error
	for _, sub := range link.Sub {
		grant, err := auth.Allow(p, auth.Search, sub.Type)
		if err != nil {
			refused = err
			continue
		}
		sub.Organization = grant.Organization
		if sub.Where, err = scoped(p, sub.Where); err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	if len(subs) == 0 && refused != nil {
		return nil, refused
	}
	link.Sub = subs
	return &link, nil
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
		Where: store.Where(store.Clause{Param: inc.Param, Any: []store.Match{{Kind: store.Reference, Compare: store.Equal, Value: m.Type + "/" + m.ID}}}),
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
