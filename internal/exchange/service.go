package exchange

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/booking"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// Service is the FHIR side of the exchange. Its fields are set once, before use.
type Service struct {
	Store   store.Store
	Records *record.Keeper
	Booking *booking.Desk
	Consult *consult.Service
	// Subscriptions serves them; with nil they are records like any other.
	Subscriptions *delivery.Service
	Mode          mycore.Mode
	// Validator judges what comes in and what $validate asks about; nil for
	// MY Core's newest line.
	Validator *mycore.Validator
	// Terminology answers the modifiers of searches that ask for value sets and
	// subtrees of codes; nil when there is none.
	Terminology search.Terminology
	Base        func() string // FHIR base URL
	Clock       func() time.Time
}

// Read gives the current version of a resource. With an error that says it
// was deleted comes the version that is the deletion.
func (s *Service) Read(ctx context.Context, p auth.Principal, typ, id string) (store.Resource, error) {
	return s.read(ctx, p, typ, id, "read", func(r store.Reader) (store.Resource, error) { return r.Resource(typ, id) })
}

// VRead gives one version of a resource.
func (s *Service) VRead(ctx context.Context, p auth.Principal, typ, id string, version int64) (store.Resource, error) {
	return s.read(ctx, p, typ, id, "vread", func(r store.Reader) (store.Resource, error) { return r.ResourceVersion(typ, id, version) })
}

func (s *Service) read(ctx context.Context, p auth.Principal, typ, id, operation string,
	get func(store.Reader) (store.Resource, error),
) (store.Resource, error) {
	grant, err := auth.Allow(p, auth.Read, typ)
	if err != nil {
		return store.Resource{}, s.refused(ctx, p, "R", operation, typ+"/"+id, err)
	}
	var res store.Resource
	err = s.Store.View(ctx, func(r store.Reader) (err error) {
		if typ == "AuditEvent" {
			res, err = audit.Find(r, grant.Organization, id)
			return err
		}
		if res, err = get(r); errors.Is(err, store.ErrNotFound) {
			return notFound(typ, id)
		}
		if err != nil {
			return err
		}
		if err := visible(r, grant, typ, id); err != nil {
			return err
		}
		if res.Deleted() {
			return fhir.Errorf(fhir.CodeDeleted, "", "%s/%s has been deleted.", typ, id)
		}
		return nil
	})
	if fhir.CodeOf(err) == fhir.CodeDeleted && err != nil {
		return res, err
	}
	if err != nil {
		return store.Resource{}, s.refused(ctx, p, "R", operation, typ+"/"+id, err)
	}
	return res, s.trail(ctx, p, audit.Entry{Action: "R", Operation: operation, Target: typ + "/" + id})
}

func notFound(typ, id string) *fhir.Error {
	return fhir.Errorf(fhir.CodeNotFound, "", "There is no %s with id %s.", typ, id)
}

// errOthers marks a record that is there, but not for the one who asks.
var errOthers = errors.New("the record belongs to another organisation")

// visible refuses a record of another organisation as if it were not there.
func visible(r store.Reader, grant auth.Grant, typ, id string) error {
	if grant.Organization == "" {
		return nil
	}
	may, err := r.MaySee(typ, id, grant.Organization)
	if err == nil && !may {
		hidden := notFound(typ, id)
		hidden.Err = errOthers
		return hidden
	}
	return err
}

// refused writes the audit record of an access that was refused for what the
// principal is, and gives the error that refuses it.
func (s *Service) refused(ctx context.Context, p auth.Principal, action, operation, target string, err error) error {
	if !errors.Is(err, errOthers) && fhir.CodeOf(err) != fhir.CodeForbidden {
		return err
	}
	if unwritten := s.trail(ctx, p, audit.Entry{Action: action, Operation: operation, Target: target, Outcome: audit.Refused}); unwritten != nil {
		return unwritten
	}
	return err
}

// trail writes the audit record of an access that changes nothing else.
func (s *Service) trail(ctx context.Context, p auth.Principal, e audit.Entry) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return audit.Write(tx, s.Clock(), p, e) })
}

// HistoryQuery asks for versions, newest first. With From and To, the
// versions that were current at some time from From until before To.
type HistoryQuery struct {
	store.HistoryQuery
	From, To time.Time
}

// History gives versions of a resource, of a type, or of all types, newest
// first.
func (s *Service) History(ctx context.Context, p auth.Principal, q HistoryQuery) (store.Page, error) {
	typ, about := q.Type, target(q.Type, q.ID)
	if typ == "" {
		typ, about = "*", "*" // a scope for all types, and what the organisation may see of them
	}
	grant, err := auth.Allow(p, auth.Read, typ)
	if err != nil {
		return store.Page{}, s.refused(ctx, p, "R", "history", about, err)
	}
	q.Organization = grant.Organization
	var page store.Page
	err = s.Store.View(ctx, func(r store.Reader) (err error) {
		if q.ID != "" {
			if _, err := r.Resource(q.Type, q.ID); errors.Is(err, store.ErrNotFound) {
				return notFound(q.Type, q.ID)
			} else if err != nil {
				return err
			}
			if err := visible(r, grant, q.Type, q.ID); err != nil {
				return err
			}
		}
		if q.To.IsZero() {
			page, err = r.History(q.HistoryQuery)
		} else {
			page, err = historyAt(r, q)
		}
		return err
	})
	if err != nil {
		return store.Page{}, s.refused(ctx, p, "R", "history", about, err)
	}
	return page, s.trail(ctx, p, audit.Entry{Action: "R", Operation: "history", Target: about})
}

// maxWalked bounds the versions among which those of a time are looked for.
const maxWalked = 5000

// historyAt gives the versions that were current in a period. It walks all
// versions, newest first: each is current until the one that was seen before
// it.
func historyAt(r store.Reader, q HistoryQuery) (store.Page, error) {
	var out store.Page
	until := make(map[string]time.Time)
	walk := q.HistoryQuery
	walk.Count = 500
	for walk.Offset = 0; ; walk.Offset += walk.Count {
		page, err := r.History(walk)
		if err != nil {
			return out, err
		}
		if page.Total > maxWalked {
			return out, fhir.Errorf(fhir.CodeTooCostly, "", "There are too many versions to look for those of a time; ask for the history of one record, or with _since.").WithStatus(400)
		}
		for _, res := range page.Resources {
			key := res.Type + "/" + res.ID
			end, superseded := until[key]
			until[key] = res.Updated
			if !res.Updated.Before(q.To) || superseded && !end.After(q.From) {
				continue
			}
			if out.Total++; out.Total > q.Offset && len(out.Resources) < q.Count {
				out.Resources = append(out.Resources, res)
			}
		}
		if !page.More {
			out.More = out.Total > q.Offset+len(out.Resources)
			return out, nil
		}
	}
}

func target(typ, id string) string {
	if id == "" {
		return typ
	}
	return typ + "/" + id
}

// ParseSearch reads the parameters of a search.
func (s *Service) ParseSearch(typ string, values url.Values) (search.Request, error) {
	return search.Parser{Base: s.Base(), Terminology: s.Terminology, Clock: s.Clock}.Parse(typ, values)
}

// Search gives one page of matches and what they include.
func (s *Service) Search(ctx context.Context, p auth.Principal, req search.Request) (SearchResult, error) {
	grant, err := auth.Allow(p, auth.Search, req.Query.Type)
	if err != nil {
		return SearchResult{}, s.refused(ctx, p, "E", "search", req.Query.Type, err)
	}
	var out SearchResult
	err = s.Store.View(ctx, func(r store.Reader) error {
		out, err = s.search(r, p, grant, req)
		return err
	})
	if err != nil {
		return SearchResult{}, err
	}
	return out, s.trail(ctx, p, audit.Entry{Action: "E", Operation: "search", Target: req.Query.Type})
}
