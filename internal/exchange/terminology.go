package exchange

import (
	"context"
	"errors"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Ask lets somebody ask about codes, and keeps that it was asked. With an id it
// gives the definition that the question is about, without one nil. A definition
// that is the record of an organisation needs what reading it needs.
func (s *Service) Ask(ctx context.Context, p auth.Principal, operation, typ, id string) (*fhir.Document, error) {
	about := target(typ, id)
	grant, err := auth.Allow(p, auth.Ask, typ)
	if err == nil && id != "" && grant.Organization != "" {
		grant, err = auth.Allow(p, auth.Read, typ)
	}
	if err != nil {
		return nil, s.refused(ctx, p, "E", operation, about, err)
	}
	var doc *fhir.Document
	if id != "" {
		err := s.Store.View(ctx, func(r store.Reader) error {
			res, err := r.Resource(typ, id)
			if errors.Is(err, store.ErrNotFound) {
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
			doc, err = fhir.Parse(res.Body)
			return err
		})
		if err != nil {
			return nil, s.refused(ctx, p, "E", operation, about, err)
		}
	}
	return doc, s.trail(ctx, p, audit.Entry{Action: "E", Operation: operation, Target: about})
}
