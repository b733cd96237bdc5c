package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// TagSystem is the system of the tags that the exchange puts into meta, and
// TagWarning the tag of a record that was stored with warnings.
const (
	TagSystem  = "https://github.com/jumpa-hie/jumpa/tags"
	TagWarning = "stored-with-warnings"
)

// Put creates or updates a resource under the sender's id.
func (s *Service) Put(ctx context.Context, p auth.Principal, w Write) (Outcome, error) {
	issues, err := s.validate(w.Doc)
	if err != nil {
		return Outcome{}, err
	}
	out, err := s.update(ctx, func(tx store.Tx, e *consult.Effects) (Outcome, error) {
		return s.put(tx, e, p, w, issues, links{})
	})
	return out, s.refused(ctx, p, "U", "update", target(w.Type, w.ID), err)
}

// Create stores a new resource under an id of the exchange, or answers with
// the one that meets IfNoneExist.
func (s *Service) Create(ctx context.Context, p auth.Principal, w Write) (Outcome, error) {
	issues, err := s.validate(w.Doc)
	if err != nil {
		return Outcome{}, err
	}
	out, err := s.update(ctx, func(tx store.Tx, e *consult.Effects) (Outcome, error) {
		return s.create(tx, e, p, w, issues, links{})
	})
	return out, s.refused(ctx, p, "C", "create", w.Type, err)
}

func (s *Service) update(ctx context.Context, fn func(tx store.Tx, e *consult.Effects) (Outcome, error)) (Outcome, error) {
	var out Outcome
	var e consult.Effects
	err := s.Store.Update(ctx, func(tx store.Tx) (err error) {
		e = consult.Effects{}
		if out, err = fn(tx, &e); err != nil {
			return err
		}
		return s.Consult.Before(tx, &e)
	})
	if err != nil {
		return Outcome{}, err
	}
	s.Consult.After(&e)
	return out, nil
}

// validate judges the form of a document; err holds all its errors and warnings.
func (s *Service) validate(doc *fhir.Document) (fhir.Issues, error) {
	issues := s.validator().Receive(context.Background(), doc, s.Mode) // bounds itself
	err := issues.Err()
	s.judged.note(len(issues) > 0, err)
	return issues, err
}

func (s *Service) validator() *mycore.Validator {
	if s.Validator == nil {
		return mycore.Standard()
	}
	return s.Validator
}

func (s *Service) create(tx store.Tx, e *consult.Effects, p auth.Principal, w Write, issues fhir.Issues, names links) (Outcome, error) {
	if _, err := auth.Allow(p, auth.Create, w.Type); err != nil {
		return Outcome{}, err
	}
	if len(w.IfNoneExist) > 0 {
		found, err := s.one(tx, p, w.Type, w.IfNoneExist)
		if err != nil {
			return Outcome{}, err
		}
		if found != nil {
			return Outcome{Resource: *found, Unchanged: true}, s.audit(tx, p, "R", "read", w.Type+"/"+found.ID)
		}
	}
	if w.ID == "" {
		w.ID = uuid.NewString()
	}
	return s.write(tx, e, p, w, "POST", nil, issues, names)
}

func (s *Service) put(tx store.Tx, e *consult.Effects, p auth.Principal, w Write, issues fhir.Issues, names links) (Outcome, error) {
	w, err := s.settle(tx, p, w)
	if err != nil {
		return Outcome{}, err
	}
	before, err := record.Load(tx, w.Type, w.ID)
	if errors.Is(err, store.ErrNotFound) {
		before, err = nil, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	action := auth.Update
	if !before.Exists() {
		action = auth.Create
	}
	if _, err := auth.Allow(p, action, w.Type); err != nil {
		return Outcome{}, err
	}
	if err := s.mayWrite(tx, p, before); err != nil {
		return Outcome{}, err
	}
	switch {
	case !w.IfMatch.met(before):
		return Outcome{}, errChanged()
	case w.mustBeNew && before.Exists():
		return Outcome{}, fhir.Errorf(fhir.CodeConflict, "", "The record with this id does not meet the condition.")
	case w.IfNoneMatchAny && before.Exists():
		return Outcome{}, fhir.Errorf(fhir.CodeConflict, "", "The record exists already.").WithStatus(412)
	}
	return s.write(tx, e, p, w, "PUT", before, issues, names)
}

// granted names the types that the organisation which provides the service may
// change though another one has sent the record.
var granted = map[string]bool{"Appointment": true, "Encounter": true}

func (s *Service) mayWrite(r store.Reader, p auth.Principal, before *record.Current) error {
	if before == nil || p.Kind != auth.Client || before.Organization == p.Organization {
		return nil
	}
	if granted[before.Type] {
		may, err := r.MaySee(before.Type, before.ID, p.Organization)
		if err != nil || may {
			return err
		}
	}
	return auth.ErrForbidden()
}

// mayChange is mayWrite for what needs a record that is there: one that the
// caller may not see is answered as if it were not. A PUT cannot: the id is
// taken.
func (s *Service) mayChange(r store.Reader, p auth.Principal, before *record.Current) error {
	err := s.mayWrite(r, p, before)
	if err == nil || fhir.CodeOf(err) != fhir.CodeForbidden {
		return err
	}
	grant, denied := auth.Allow(p, auth.Read, before.Type)
	if denied != nil {
		grant = auth.Grant{Organization: p.Organization}
	}
	if hidden := visible(r, grant, before.Type, before.ID); hidden != nil {
		return hidden
	}
	return err
}

// write stores a checked document with everything that follows from it.
func (s *Service) write(tx store.Tx, e *consult.Effects, p auth.Principal, w Write, method string,
	before *record.Current, issues fhir.Issues, names links,
) (Outcome, error) {
	doc, err := s.resolve(tx, p, w.Doc, names)
	if err != nil {
		return Outcome{}, err
	}
	rules, err := s.rules(tx, p, doc)
	if err != nil {
		return Outcome{}, err
	}
	warnings := append(issues, rules.warnings...)
	if doc, err = tagged(doc, warnings); err != nil {
		return Outcome{}, err
	}
	if doc, err = s.effects(tx, e, p, w.ID, before, doc, rules); err != nil {
		return Outcome{}, err
	}
	if same, err := identical(before, doc); err != nil || same {
		if err == nil {
			err = s.audit(tx, p, "U", "update", doc.Type()+"/"+w.ID)
		}
		return Outcome{Resource: resourceOf(before), Unchanged: true, Issues: warnings}, err
	}
	after, err := s.Records.Put(tx, record.Version{
		Doc: doc, ID: w.ID, Method: method, Before: before, By: p, Owner: owner(p, rules.provider), Provider: rules.provider,
	})
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Resource: after.Resource, Created: !before.Exists(), Issues: warnings}
	action, operation := "U", "update"
	if out.Created {
		action, operation = "C", "create"
	}
	return out, s.audit(tx, p, action, operation, doc.Type()+"/"+w.ID)
}

func resourceOf(c *record.Current) store.Resource {
	if c == nil {
		return store.Resource{}
	}
	return c.Resource
}

// owner is the organisation that a new record belongs to: the sender's, or the
// provider's when the exchange itself writes.
func owner(p auth.Principal, provider string) string {
	if p.Organization != "" {
		return p.Organization
	}
	return provider
}

func (s *Service) audit(tx store.Tx, p auth.Principal, action, operation, target string) error {
	return audit.Write(tx, s.Clock(), p, audit.Entry{Action: action, Operation: operation, Target: target})
}

// effects lets the consultation and the slots follow a document that is about
// to be stored, and gives the document as it is to be stored.
func (s *Service) effects(tx store.Tx, e *consult.Effects, p auth.Principal, id string, before *record.Current, doc *fhir.Document, r rules) (*fhir.Document, error) {
	in := consult.Received{ID: id, Before: before, Doc: doc, Provider: r.provider, Service: r.service, By: p}
	switch doc.Type() {
	case "Appointment":
		if err := s.Consult.ReceiveAppointment(tx, e, in); err != nil {
			return nil, err
		}
		var old *fhir.Document
		if before != nil {
			old = before.Doc
		}
		return doc, s.Booking.Move(tx, p, id, old, doc)
	case "Encounter":
		return s.Consult.ReceiveEncounter(tx, e, in)
	case "Slot":
		return s.Booking.Derive(tx, id, doc)
	case "Subscription":
		if s.Subscriptions != nil {
			return s.Subscriptions.Receive(tx, p, id, doc)
		}
	}
	return doc, nil
}

// tagged marks a document that is stored with warnings.
func tagged(doc *fhir.Document, issues fhir.Issues) (*fhir.Document, error) {
	for t := range doc.All("meta.tag") {
		if t.Get("system").Is(TagSystem) && t.Get("code").Is(TagWarning) {
			return doc, nil
		}
	}
	for _, i := range issues {
		if i.Severity == fhir.SeverityWarning {
			return doc.With(fhir.Append("meta.tag", json.RawMessage(`{"system":"`+TagSystem+`","code":"`+TagWarning+`"}`)))
		}
	}
	return doc, nil
}

// identical tells whether the document says what is stored already: white
// space, the order of members and the spelling of characters say nothing, and
// the version and time that the exchange gave are its own. 1.0 and 1.00 are
// not the same: in FHIR the digits tell the precision.
func identical(before *record.Current, doc *fhir.Document) (bool, error) {
	if !before.Exists() {
		return false, nil
	}
	stamped, err := doc.Stamp(before.ID, before.Version, before.Updated)
	if err != nil || bytes.Equal(stamped.Bytes(), before.Body) {
		return err == nil, err
	}
	return grow(stamped.Bytes()).same(grow(before.Body), digits), nil
}

func digits(text []byte) string { return string(text) }

// Delete removes a resource that no other record depends on.
func (s *Service) Delete(ctx context.Context, p auth.Principal, typ, id string, ifMatch Match) (Outcome, error) {
	out, err := s.update(ctx, func(tx store.Tx, _ *consult.Effects) (Outcome, error) {
		return s.delete(tx, p, typ, id, ifMatch)
	})
	return out, s.refused(ctx, p, "D", "delete", typ+"/"+id, err)
}

func (s *Service) delete(tx store.Tx, p auth.Principal, typ, id string, ifMatch Match) (Outcome, error) {
	if _, err := auth.Allow(p, auth.Delete, typ); err != nil {
		return Outcome{}, err
	}
	before, err := record.Load(tx, typ, id)
	if errors.Is(err, store.ErrNotFound) {
		return Outcome{}, notFound(typ, id)
	}
	if err != nil {
		return Outcome{}, err
	}
	if err := s.mayChange(tx, p, before); err != nil {
		return Outcome{}, err
	}
	switch {
	case !before.Exists():
		return Outcome{Resource: before.Resource, Unchanged: true}, nil
	case !ifMatch.met(before):
		return Outcome{}, errChanged()
	}
	if err := s.unused(tx, typ, id); err != nil {
		return Outcome{}, err
	}
	if typ == "Subscription" && s.Subscriptions != nil {
		if err := s.Subscriptions.Remove(tx, id); err != nil {
			return Outcome{}, err
		}
	}
	res, err := s.Records.Delete(tx, before)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Resource: res}, s.audit(tx, p, "D", "delete", typ+"/"+id)
}

// unused refuses to delete what a consultation or another record needs.
func (s *Service) unused(tx store.Reader, typ, id string) error {
	inUse := fhir.Errorf(fhir.CodeConflict, "", "%s/%s is in use by another record and cannot be deleted.", typ, id)
	inUse.Err = errNotYet
	if typ == "Appointment" {
		if _, err := tx.Consultation(id); err == nil {
			return fhir.Errorf(fhir.CodeConflict, "", "An Appointment for a virtual consultation is cancelled by its status, not deleted.")
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if typ == "Encounter" {
		if _, err := tx.ConsultationOf(id); err == nil {
			return inUse
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	users, err := tx.ReferencedBy([]store.Key{{Type: typ, ID: id}}, 1)
	if err == nil && len(users) > 0 {
		return inUse
	}
	return err
}
