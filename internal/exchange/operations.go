package exchange

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Validation asks what the exchange would say to a document, or to a deletion.
type Validation struct {
	Type, ID string         // ID may be empty
	Doc      *fhir.Document // nil for the stored document
	Mode     string         // create, update, delete, profile, or empty: the form alone
	Profiles []string
}

// modes gives what somebody must be allowed to do to ask about it.
var modes = map[string]auth.Action{"create": auth.Create, "update": auth.Update, "delete": auth.Delete, "profile": auth.Read, "": auth.Read}

// Validate judges without changing anything. The error says that the question
// cannot be answered; what is wrong with the document is in the issues.
func (s *Service) Validate(ctx context.Context, p auth.Principal, v Validation) (fhir.Issues, error) {
	about := target(v.Type, v.ID)
	action, known := modes[v.Mode]
	if !known {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "The mode must be create, update, delete or profile.")
	}
	if _, err := auth.Allow(p, action, v.Type); err != nil {
		return nil, s.refused(ctx, p, "E", "validate", about, err)
	}
	if v.Mode == "profile" && len(v.Profiles) == 0 {
		return nil, fhir.Errorf(fhir.CodeRequired, "", "Name the profile by which the record is to be judged.").WithStatus(400)
	}
	if v.Mode == "update" && v.ID == "" && v.Doc != nil {
		if v.ID = v.Doc.ID(); v.ID == "" {
			return nil, fhir.Errorf(fhir.CodeRequired, "", "An update is of a record with an id. Name it in the address or in the resource.").WithStatus(400)
		}
	}
	if v.Doc == nil && v.Mode != "delete" {
		if v.ID == "" {
			return nil, fhir.Errorf(fhir.CodeRequired, "", "Send the resource that is to be validated.").WithStatus(400)
		}
		res, err := s.Read(ctx, p, v.Type, v.ID)
		if err != nil {
			return nil, err
		}
		if v.Doc, err = fhir.Parse(res.Body); err != nil {
			return nil, err
		}
	}
	var issues fhir.Issues
	taken := true // as far as the form goes
	if v.Doc != nil {
		issues = s.validator().Answer(ctx, v.Doc, s.Mode, v.Profiles...)
		if _, err := s.validate(v.Doc); err != nil {
			taken = false
		} else if issues.Err() != nil && (v.Mode == "create" || v.Mode == "update") {
			issues = append(issues, informationf("The exchange takes in such a record all the same, and stores it with these as warnings."))
		}
	}
	err := s.Store.View(ctx, func(r store.Reader) error { return s.rehearse(r, p, v, taken, &issues) })
	if err != nil {
		return nil, s.refused(ctx, p, "E", "validate", about, err)
	}
	return issues, s.trail(ctx, p, audit.Entry{Action: "E", Operation: "validate", Target: about})
}

func informationf(format string, args ...any) *fhir.Error {
	e := fhir.Errorf(fhir.CodeInformational, "", format, args...)
	e.Severity = fhir.SeverityInformation
	return e
}

// rehearse goes through what a write does before it writes.
func (s *Service) rehearse(r store.Reader, p auth.Principal, v Validation, sound bool, issues *fhir.Issues) error {
	note := func(err error) error {
		var list fhir.Issues
		var one *fhir.Error
		switch {
		case err == nil:
		case fhir.CodeOf(err) == fhir.CodeForbidden:
			return err
		case errors.As(err, &list):
			*issues = append(*issues, list...)
		case errors.As(err, &one):
			*issues = append(*issues, one)
		default:
			return err
		}
		return nil
	}
	if v.Mode != "create" && v.Mode != "update" && v.Mode != "delete" {
		return nil
	}
	if v.ID != "" {
		before, err := record.Load(r, v.Type, v.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			before = nil
		case err != nil:
			return err
		}
		may := s.mayWrite
		if v.Mode == "delete" {
			may = s.mayChange
		}
		if err := may(r, p, before); err != nil {
			return note(err)
		}
		switch {
		case v.Mode == "delete" && before == nil:
			return note(notFound(v.Type, v.ID))
		case v.Mode == "delete" && before.Exists():
			return note(s.unused(r, v.Type, v.ID))
		case v.Mode == "create" && before.Exists():
			*issues = append(*issues, fhir.Errorf(fhir.CodeDuplicate, "", "The record exists already."))
		}
	}
	if v.Mode == "delete" || !sound {
		return nil
	}
	doc, err := s.resolve(r, p, v.Doc, links{})
	if err != nil {
		return note(err)
	}
	found, err := s.rules(r, p, doc)
	*issues = append(*issues, found.warnings...)
	return note(err)
}

// maxEverything bounds the records of one $everything.
const maxEverything = 1000

// Everything asks for a patient or an encounter with all that refers to it,
// and with what that refers to. Values are the parameters of the request,
// which further pages need.
type Everything struct {
	Type, ID      string
	Types         []string // only these; empty for all
	Since         time.Time
	Start, End    time.Time // of the care: what is dated otherwise is left out
	Offset, Count int
	Values        url.Values
}

// careDates are the search parameters that date the care that a record is
// about. The first that a record has counts.
var careDates = []string{
	"date", "effective", "effective-time", "occurrence", "period", "onset-date", "event-date", "whenhandedover",
	"authoredon", "authored", "authored-on", "sent", "issued", "created", "recorded-date", "recorded",
}

// inCare tells whether a record is about care within the time that was asked
// for. One without a date of care may be, and is.
func (s *Service) inCare(q Everything, res store.Resource) bool {
	if q.Start.IsZero() && q.End.IsZero() || res.Type == q.Type && res.ID == q.ID {
		return true
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return true
	}
	entries := search.Index(doc, s.Base())
	for _, param := range careDates {
		dated := false
		for _, e := range entries {
			if e.Param != param || e.Kind != store.Date {
				continue
			}
			dated = true
			if (q.Start.IsZero() || e.High > q.Start.UnixMicro()) && (q.End.IsZero() || e.Low < q.End.UnixMicro()) {
				return true
			}
		}
		if dated {
			return false
		}
	}
	return true
}

// Everything gives the first page: the record itself, then what refers to it
// and what those records name, by type and id. What the caller may not see is
// left out.
func (s *Service) Everything(ctx context.Context, p auth.Principal, q Everything) (SearchResult, error) {
	entry := q.access()
	var out SearchResult
	var k *kept
	err := s.survey(ctx, func(r store.Reader) error {
		center, err := q.center(r, p)
		if err != nil {
			return err
		}
		all, err := s.around(r, p, q, center)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(res store.Resource) bool {
			return len(q.Types) > 0 && !slices.Contains(q.Types, res.Type) || res.Updated.Before(q.Since) || !s.inCare(q, res)
		})
		from := min(q.Offset, len(all))
		to := min(from+q.Count, len(all))
		out = SearchResult{Matches: all[from:to], Total: len(all)}
		if k = nil; to == len(all) || q.Count == 0 {
			return nil
		}
		k = &kept{Kind: OfEverything, Path: target(q.Type, q.ID), Values: q.Values.Encode(), Count: q.Count, Total: len(all)}
		for _, res := range all[from:] {
			k.keys = append(k.keys, store.Key{Type: res.Type, ID: res.ID, Version: res.Version})
		}
		return nil
	})
	if err != nil {
		return SearchResult{}, s.refused(ctx, p, entry.Action, entry.Operation, entry.Target, err)
	}
	return s.handOut(ctx, p, out, k, entry)
}

// access is what the audit trail says of it.
func (q Everything) access() audit.Entry {
	return audit.Entry{Action: "R", Operation: "everything", Target: target(q.Type, q.ID)}
}

// center gives the record that all is about.
func (q Everything) center(r store.Reader, p auth.Principal) (store.Resource, error) {
	grant, err := auth.Allow(p, auth.Read, q.Type)
	if err != nil {
		return store.Resource{}, err
	}
	center, err := r.Resource(q.Type, q.ID)
	if errors.Is(err, store.ErrNotFound) {
		return center, notFound(q.Type, q.ID)
	}
	if err != nil {
		return center, err
	}
	if err := visibleRecord(r, grant, center); err != nil {
		return center, err
	}
	if center.Deleted() {
		return center, fhir.Errorf(fhir.CodeDeleted, "", "%s/%s has been deleted.", q.Type, q.ID)
	}
	return center, nil
}

// everythingPage gives a page behind the first.
func (s *Service) everythingPage(ctx context.Context, p auth.Principal, asked Asked, k *kept, at Place) (out SearchResult, entry audit.Entry, err error) {
	var q Everything
	q.Type, q.ID = typeAndID(asked.Path)
	err = s.survey(ctx, func(r store.Reader) (err error) {
		if _, err := q.center(r, p); err != nil {
			return err
		}
		out.Matches, err = s.asListed(r, p, auth.Read, k.slice(at))
		return err
	})
	return out, q.access(), err
}

// around collects the record, those that refer to it, and those to which they
// refer.
func (s *Service) around(r store.Reader, p auth.Principal, q Everything, center store.Resource) ([]store.Resource, error) {
	users, err := r.ReferencedBy([]store.Key{{Type: center.Type, ID: center.ID}}, maxEverything+1)
	if err != nil {
		return nil, err
	}
	if len(users) > maxEverything {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "More than %d records refer to this one; search for them by their type.", maxEverything).WithStatus(400)
	}
	slices.SortFunc(users, func(a, b store.Resource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
	})
	seen := map[string]bool{center.Type + "/" + center.ID: true}
	all := []store.Resource{center}
	for _, res := range users {
		if seen[res.Type+"/"+res.ID] {
			continue
		}
		seen[res.Type+"/"+res.ID] = true
		shown, err := s.shown(r, p, res.Type, res.ID)
		if err != nil {
			return nil, err
		}
		if shown {
			all = append(all, res)
		}
	}
	var ground []store.Resource
	for _, res := range all {
		if !s.inCare(q, res) {
			continue
		}
		found, err := s.ground(r, p, q.Type, res, seen)
		if err != nil {
			return nil, err
		}
		if ground = append(ground, found...); len(ground) > maxEverything {
			return nil, fhir.Errorf(fhir.CodeTooCostly, "", "More than %d records belong to this one; search for them by their type.", maxEverything).WithStatus(400)
		}
	}
	return append(all, ground...), nil
}

// ground gives what a record refers to, as far as it was not seen before. What
// is all about one patient leads to no other.
func (s *Service) ground(r store.Reader, p auth.Principal, about string, res store.Resource, seen map[string]bool) ([]store.Resource, error) {
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return nil, err
	}
	var out []store.Resource
	var walk func(n fhir.Node) error
	walk = func(n fhir.Node) error {
		if n.Name() == "reference" && n.Kind() == fhir.String {
			ref, ok := s.local(n)
			key := ref.Type + "/" + ref.ID
			if !ok || ref.Type == "Patient" && about == "Patient" || seen[key] {
				return nil
			}
			seen[key] = true
			shown, err := s.shown(r, p, ref.Type, ref.ID)
			if err != nil || !shown {
				return err
			}
			found, err := r.Resource(ref.Type, ref.ID)
			if errors.Is(err, store.ErrNotFound) || err == nil && found.Deleted() {
				return nil
			}
			out = append(out, found)
			return err
		}
		for c := range n.Children() {
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	return out, walk(doc.Root())
}

// shown tells whether somebody may read a record.
func (s *Service) shown(r store.Reader, p auth.Principal, typ, id string) (bool, error) {
	grant, err := auth.Allow(p, auth.Read, typ)
	if err != nil {
		return false, nil // left out
	}
	err = visible(r, grant, typ, id)
	if fhir.CodeOf(err) == fhir.CodeNotFound && err != nil {
		return false, nil
	}
	return err == nil, err
}
