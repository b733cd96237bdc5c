package exchange

import (
	"context"
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

func itoa(i int) string { return strconv.Itoa(i) }

// allowed gives a query that finds what the principal may see. A type that may
// not be searched has no matches; when no other is left the query is refused.
// What the exchange is made of is part of a search of several types when they
// are named.
func allowed(p auth.Principal, req search.Request) (store.Query, error) {
	q := req.Query
	types := q.Types
	if q.Type != "" {
		types = []string{q.Type}
	}
	var may []string
	var refused error
	q.Organization, q.Open = "", nil
	for _, typ := range types {
		if q.Type == "" && auth.Derived(typ) && !req.Applied.Has("_type") {
			continue
		}
		grant, err := auth.Allow(p, auth.Search, typ)
		switch {
		case err != nil:
			refused = err
			continue
		case grant.Organization == "":
			q.Open = append(q.Open, typ)
		default:
			q.Organization = grant.Organization
		}
		may = append(may, typ)
	}
	if len(may) == 0 {
		return q, refused
	}
	if q.Type == "" {
		q.Types = may
	}
	var err error
	q.Where, err = scoped(p, q.Where)
	return q, err
}

// find gives the matches of a query; until bounds AuditEvents.
func find(r store.Reader, q store.Query, until int64) (store.Page, error) {
	if q.Type == "AuditEvent" {
		return audit.Search(r, q, until)
	}
	return r.Search(q)
}

// search gives the matches that the principal may see.
func (s *Service) search(r store.Reader, p auth.Principal, req search.Request) ([]store.Resource, error) {
	q, err := allowed(p, req)
	if err != nil {
		return nil, err
	}
	page, err := find(r, q, 0)
	return page.Resources, err
}

// Search gives the first page of matches and what they include.
func (s *Service) Search(ctx context.Context, p auth.Principal, req search.Request) (SearchResult, error) {
	entry := accessOf(req)
	q, err := allowed(p, req)
	if err != nil {
		return SearchResult{}, s.refused(ctx, p, entry.Action, entry.Operation, entry.Target, err)
	}
	var out SearchResult
	var k *kept
	err = s.survey(ctx, func(r store.Reader) (err error) {
		if out, k, err = firstPage(r, q, req); err != nil {
			return err
		}
		out.Included, out.Notes, err = s.included(r, p, req, out.Matches)
		return err
	})
	if err != nil {
		return SearchResult{}, err
	}
	return s.handOut(ctx, p, out, k, entry)
}

// accessOf is what the audit trail says of a search.
func accessOf(req search.Request) audit.Entry {
	return audit.Entry{Action: "E", Operation: "search", Target: req.About()}
}

// firstPage gives the matches of the first page and, when there are more, the
// first part of what is kept of them. The total is known for free when they
// are all at hand.
func firstPage(r store.Reader, q store.Query, req search.Request) (out SearchResult, k *kept, err error) {
	page, l, err := beginning(r, q)
	if err != nil {
		return out, nil, err
	}
	free := page.Total < 0 && !req.NoTotal && q.Offset == 0
	out = SearchResult{Matches: page.Resources, Total: page.Total}
	if !page.More || q.Count == 0 {
		if free {
			out.Total = len(page.Resources)
		}
		return out, nil, nil
	}
	k = &kept{Kind: OfSearch, Path: req.Path, Values: req.Applied.Encode(), Count: q.Count, Total: page.Total, Next: l.Last, keys: l.Keys}
	switch {
	case q.Type == "AuditEvent":
		k.more = true
		k.Until, err = strconv.ParseInt(page.Resources[0].ID, 10, 64)
	case free && !l.More:
		k.Total = len(l.Keys)
	}
	return out, k, err
}

// beginning gives the first page and, when there are more matches, their list.
// An order that has to be worked out is worked out once, for the list, and the
// page is read by its names.
func beginning(r store.Reader, q store.Query) (page store.Page, l store.Listing, err error) {
	part := q
	part.Count = partOf(q.Count)
	if len(q.Sort) == 0 || q.Count == 0 || q.Type == "AuditEvent" {
		page, err = find(r, q, 0)
		if err == nil && page.More && q.Count > 0 && q.Type != "AuditEvent" {
			l, err = r.List(part)
		}
		return page, l, err
	}
	page.Total = -1
	if q.Total {
		count := q
		count.Count = 0
		counted, err := r.Search(count)
		if err != nil {
			return page, l, err
		}
		page.Total = counted.Total
	}
	if l, err = r.List(part); err != nil {
		return page, l, err
	}
	page.More = len(l.Keys) > q.Count
	page.Resources, err = r.Resources(l.Keys[:min(q.Count, len(l.Keys))], "")
	return page, l, err
}

// searchPage gives a page of a search behind the first.
func (s *Service) searchPage(ctx context.Context, p auth.Principal, asked Asked, k *kept, at Place) (out SearchResult, entry audit.Entry, err error) {
	req, err := s.ParseSearch(asked.Path, asked.Values)
	if err != nil {
		return out, entry, err
	}
	entry = accessOf(req)
	q, err := allowed(p, req)
	if err != nil {
		return out, entry, err
	}
	err = s.survey(ctx, func(r store.Reader) (err error) {
		if k.Until > 0 {
			q.Offset, q.Total = at.Offset, false
			var page store.Page
			page, err = find(r, q, k.Until)
			out.Matches, k.more = page.Resources, page.More
		} else {
			out.Matches, err = s.asListed(r, p, auth.Search, k.slice(at))
		}
		if err != nil {
			return err
		}
		out.Included, out.Notes, err = s.included(r, p, req, out.Matches)
		return err
	})
	return out, entry, err
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
