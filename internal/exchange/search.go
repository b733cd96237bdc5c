package exchange

import (
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

func itoa(i int) string { return strconv.Itoa(i) }

func (s *Service) search(r store.Reader, p auth.Principal, grant auth.Grant, req search.Request) (SearchResult, error) {
	q := req.Query
	q.Organization = grant.Organization
	if q.Type == "AuditEvent" {
		page, err := audit.Search(r, q)
		if err != nil {
			return SearchResult{}, err
		}
		return s.page(r, p, req, page)
	}
	var err error
	if q.Where, err = scoped(p, q.Where); err != nil {
		return SearchResult{}, err
	}
	page, err := r.Search(q)
	if err != nil {
		return SearchResult{}, err
	}
	return s.page(r, p, req, page)
}

// page adds to matches what they include.
func (s *Service) page(r store.Reader, p auth.Principal, req search.Request, page store.Page) (out SearchResult, err error) {
	out = SearchResult{Matches: page.Resources, Total: page.Total, More: page.More}
	out.Included, out.Notes, err = s.included(r, p, req, page.Resources)
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
