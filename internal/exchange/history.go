package exchange

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// HistoryQuery asks for versions, newest first. With From and To, the
// versions that were current at some time from From until before To. Values
// are the parameters of the request, which further pages need.
type HistoryQuery struct {
	store.HistoryQuery
	From, To time.Time
	Values   url.Values
}

// allowed tells which versions somebody may see.
func (q HistoryQuery) allowed(p auth.Principal) (auth.Grant, error) {
	if q.Type == "" {
		return auth.Allow(p, auth.Read, "*") // a scope for all types, and what the organisation may see of them
	}
	return auth.Allow(p, auth.Read, q.Type)
}

// access is what the audit trail says of it.
func (q HistoryQuery) access() audit.Entry {
	about := target(q.Type, q.ID)
	if about == "" {
		about = "*"
	}
	return audit.Entry{Action: "R", Operation: "history", Target: about}
}

// History gives the first page of the versions of a resource, of a type, or of
// all types, newest first.
func (s *Service) History(ctx context.Context, p auth.Principal, q HistoryQuery) (SearchResult, error) {
	entry := q.access()
	grant, err := q.allowed(p)
	if err != nil {
		return SearchResult{}, s.refused(ctx, p, entry.Action, entry.Operation, entry.Target, err)
	}
	q.Organization = grant.Organization
	var out SearchResult
	var k *kept
	err = s.survey(ctx, func(r store.Reader) (err error) {
		if err := historyOf(r, grant, q); err != nil {
			return err
		}
		out, k, err = firstVersions(r, q)
		return err
	})
	if err != nil {
		return SearchResult{}, s.refused(ctx, p, entry.Action, entry.Operation, entry.Target, err)
	}
	return s.handOut(ctx, p, out, k, entry)
}

// historyOf looks whether there is such a record for the caller.
func historyOf(r store.Reader, grant auth.Grant, q HistoryQuery) error {
	if q.ID == "" {
		return nil
	}
	if _, err := r.Resource(q.Type, q.ID); errors.Is(err, store.ErrNotFound) {
		return notFound(q.Type, q.ID)
	} else if err != nil {
		return err
	}
	return visible(r, grant, q.Type, q.ID)
}

// firstVersions gives the first page and, when there are more, the first part
// of what is kept of them.
func firstVersions(r store.Reader, q HistoryQuery) (out SearchResult, k *kept, err error) {
	k = &kept{Kind: OfHistory, Path: target(q.Type, q.ID), Values: q.Values.Encode(), Count: q.Count}
	if !q.Since.IsZero() {
		k.Since = q.Since.UnixMicro()
	}
	if !q.To.IsZero() {
		if k.keys, err = historyAt(r, q); err != nil {
			return out, nil, err
		}
		out.Total = len(k.keys)
		k.keys = k.keys[min(q.Offset, len(k.keys)):]
		out.Matches, err = r.Resources(k.slice(Place{}), q.Organization)
	} else {
		page, err := r.History(q.HistoryQuery)
		if err != nil {
			return out, nil, err
		}
		out.Matches, out.Total = page.Resources, page.Total
		if page.More && q.Count > 0 {
			q.Count = partOf(q.Count)
			l, err := r.ListHistory(q.HistoryQuery)
			if err != nil {
				return out, nil, err
			}
			k.keys, k.Next = l.Keys, l.Last
		}
	}
	if k.Total = out.Total; len(k.keys) <= k.Count || k.Count == 0 {
		return out, nil, err
	}
	return out, k, err
}

// historyPage gives a page of a history behind the first.
func (s *Service) historyPage(ctx context.Context, p auth.Principal, asked Asked, k *kept, at Place) (out SearchResult, entry audit.Entry, err error) {
	var q HistoryQuery
	q.Type, q.ID = typeAndID(asked.Path)
	entry = q.access()
	grant, err := q.allowed(p)
	if err != nil {
		return out, entry, err
	}
	err = s.survey(ctx, func(r store.Reader) (err error) {
		if err := historyOf(r, grant, q); err != nil {
			return err
		}
		out.Matches, err = r.Resources(k.slice(at), grant.Organization)
		return err
	})
	return out, entry, err
}

// maxWalked bounds the versions among which those of a time are looked for.
const maxWalked = 5000

// historyAt gives the versions that were current in a period. It walks all
// versions, newest first: each is current until the one that was seen before
// it.
func historyAt(r store.Reader, q HistoryQuery) (keys []store.Key, err error) {
	until := make(map[string]time.Time)
	walk := q.HistoryQuery
	walk.Count = 500
	for walk.Offset = 0; ; walk.Offset += walk.Count {
		page, err := r.History(walk)
		if err != nil {
			return nil, err
		}
		if page.Total > maxWalked {
			return nil, fhir.Errorf(fhir.CodeTooCostly, "", "There are too many versions to look for those of a time; ask for the history of one record, or with _since.").WithStatus(400)
		}
		for _, res := range page.Resources {
			key := res.Type + "/" + res.ID
			end, superseded := until[key]
			until[key] = res.Updated
			if !res.Updated.Before(q.To) || superseded && !end.After(q.From) {
				continue
			}
			keys = append(keys, store.Key{Type: res.Type, ID: res.ID, Version: res.Version})
		}
		if !page.More {
			return keys, nil
		}
	}
}
