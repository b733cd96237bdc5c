package exchange

import (
	"context"
	"errors"
	"net/url"
	"strings"
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

	judged judgements
}

// survey is View for what reads much and decides nothing: searches, histories,
// $everything, $meta of a type, and the pages of them. It may read from a
// replica of the database, and fn may run twice. Everything else reads from the
// database itself: what a write depends on, and what a single statement finds.
func (s *Service) survey(ctx context.Context, fn func(store.Reader) error) error {
	return s.Store.View(store.OnReplica(ctx), fn)
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
			if _, err := r.Resource(typ, id); err == nil && visible(r, grant, typ, id) == nil {
				return fhir.Errorf(fhir.CodeNotFound, "", "%s/%s has no such version.", typ, id)
			}
			return notFound(typ, id)
		}
		if err != nil {
			return err
		}
		if err := visibleRecord(r, grant, res); err != nil {
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

// others marks a record that is there, but not for the one who asks.
type others struct{ owner string }

func (others) Error() string { return "the record belongs to another organisation" }

// visible refuses a record of another organisation as if it were not there.
func visible(r store.Reader, grant auth.Grant, typ, id string) error {
	if grant.Organization == "" {
		return nil
	}
	may, err := r.MaySee(typ, id, grant.Organization)
	if err != nil || may {
		return err
	}
	hidden := notFound(typ, id)
	switch res, err := r.Resource(typ, id); {
	case err == nil:
		hidden.Err = others{res.Organization}
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return hidden
}

// visibleRecord is visible for a record that is at hand: its owner may see it.
func visibleRecord(r store.Reader, grant auth.Grant, res store.Resource) error {
	if res.Organization == grant.Organization {
		return nil
	}
	return visible(r, grant, res.Type, res.ID)
}

// refused writes the audit record of an access that was refused for what the
// principal is, and gives the error that refuses it. The record of an access
// to what the principal must not know of is its owner's: in the principal's
// own trail it would tell that there is such a record.
func (s *Service) refused(ctx context.Context, p auth.Principal, action, operation, target string, err error) error {
	var hidden others
	if !errors.As(err, &hidden) && fhir.CodeOf(err) != fhir.CodeForbidden {
		return err
	}
	entry := audit.Entry{Action: action, Operation: operation, Target: target, Organization: hidden.owner, Outcome: audit.Refused}
	if unwritten := s.trail(ctx, p, entry); unwritten != nil {
		return unwritten
	}
	return err
}

// trail writes the audit record of an access that changes nothing else.
func (s *Service) trail(ctx context.Context, p auth.Principal, e audit.Entry) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return audit.Write(tx, s.Clock(), p, e) })
}

// typeAndID takes a target apart.
func typeAndID(target string) (typ, id string) {
	typ, id, _ = strings.Cut(target, "/")
	return typ, id
}

func target(typ, id string) string {
	if id == "" {
		return typ
	}
	return typ + "/" + id
}

// ParseSearch reads the parameters of a search; path is what is searched, as in
// search.Parser.
func (s *Service) ParseSearch(path string, values url.Values) (search.Request, error) {
	return search.Parser{Base: s.Base(), Terminology: s.Terminology, Clock: s.Clock}.Parse(path, values)
}
