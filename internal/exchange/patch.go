package exchange

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Change is a patch that has been read: what ParseJSONPatch and
// ParseFHIRPathPatch give.
type Change interface {
	// apply gives the record as the patch makes it. All that the patch does
	// not name keeps its bytes.
	apply(ctx context.Context, doc *fhir.Document) ([]byte, error)
}

// Patch is a request to change parts of a resource.
type Patch struct {
	Type      string
	ID        string     // or
	Condition url.Values // that exactly one resource meets
	Change    Change
	IfMatch   Match // which versions may be current
}

// Patch changes parts of a resource. The result is checked and kept as if it
// had been PUT.
func (s *Service) Patch(ctx context.Context, p auth.Principal, w Patch) (Outcome, error) {
	out, err := s.update(ctx, func(tx store.Tx, e *consult.Effects) (Outcome, error) {
		return s.patch(ctx, tx, e, p, w, links{})
	})
	return out, s.refused(ctx, p, "U", "patch", target(w.Type, w.ID), err)
}

func (s *Service) patch(ctx context.Context, tx store.Tx, e *consult.Effects, p auth.Principal, w Patch, names links) (Outcome, error) {
	if _, err := auth.Allow(p, auth.Update, w.Type); err != nil {
		return Outcome{}, err
	}
	if w.ID == "" {
		found, err := s.one(tx, p, w.Type, w.Condition)
		if err != nil {
			return Outcome{}, err
		}
		if found == nil {
			return Outcome{}, fhir.Errorf(fhir.CodeNotFound, "", "No %s meets the condition.", w.Type)
		}
		w.ID = found.ID
	}
	before, err := record.Load(tx, w.Type, w.ID)
	if errors.Is(err, store.ErrNotFound) {
		return Outcome{}, notFound(w.Type, w.ID)
	}
	if err != nil {
		return Outcome{}, err
	}
	if err := s.mayChange(tx, p, before); err != nil {
		return Outcome{}, err
	}
	if !before.Exists() {
		return Outcome{}, fhir.Errorf(fhir.CodeDeleted, "", "%s/%s has been deleted.", w.Type, w.ID)
	}
	if !w.IfMatch.met(before) {
		return Outcome{}, errChanged()
	}
	raw, err := applied(ctx, w.Change, before.Doc)
	if err != nil {
		return Outcome{}, err
	}
	doc, err := fhir.Parse(raw)
	if err != nil {
		return Outcome{}, unprocessable(err)
	}
	if doc.Type() != w.Type || doc.ID() != w.ID {
		return Outcome{}, fhir.Errorf(fhir.CodeBusinessRule, "", "A patch cannot change the type or the id of a record.")
	}
	issues, err := s.validate(doc)
	if err != nil {
		return Outcome{}, err
	}
	return s.put(tx, e, p, Write{Type: w.Type, ID: w.ID, Doc: doc, IfMatch: w.IfMatch}, issues, names)
}

// patchTime bounds the work on one patch: others wait to write meanwhile.
const patchTime = 2 * time.Second

func applied(ctx context.Context, c Change, doc *fhir.Document) ([]byte, error) {
	in, cancel := context.WithTimeout(ctx, patchTime)
	defer cancel()
	raw, err := c.apply(in, doc)
	if in.Err() != nil && ctx.Err() == nil {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "The patch takes too long; send it in parts or as a PUT.")
	}
	return raw, err
}

// unprocessable says that it is the result of a patch that is wrong, not the
// form of the request.
func unprocessable(err error) error {
	var e *fhir.Error
	if errors.As(err, &e) && fhir.Status(e) == 400 {
		return e.WithStatus(422)
	}
	return err
}

// errChanged says that a version is no longer the current one.
func errChanged() *fhir.Error {
	return fhir.Errorf(fhir.CodeConflict, "", "The record has changed since it was read; read it again.").WithStatus(412)
}
