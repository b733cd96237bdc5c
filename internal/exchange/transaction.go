package exchange

import (
	"context"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const maxEntries = 500 // of one transaction

// entryPlan is one entry of a Bundle, understood.
type entryPlan struct {
	at     int // place in the Bundle
	method string
	full   string // fullUrl
	write  Write
	issues fhir.Issues
	change Change          // of a PATCH
	search *search.Request // of a GET
}

// rank orders the writes of a transaction: what others stand on comes first.
var rank = map[string]int{
	"Organization": 1, "Location": 2, "Practitioner": 3, "PractitionerRole": 4, "HealthcareService": 5,
	"Patient": 6, "Schedule": 7, "Slot": 8, "Appointment": 9, "Encounter": 10,
}

var methodRank = map[string]int{"DELETE": 0, "POST": 1, "PUT": 1, "PATCH": 1, "GET": 2}

// Transaction does all entries of a Bundle, or none.
func (s *Service) Transaction(ctx context.Context, p auth.Principal, bundle *fhir.Document) (TransactionResult, error) {
	plans, ids, err := s.plan(bundle)
	if err != nil {
		return TransactionResult{}, err
	}
	var out []Outcome
	var e consult.Effects
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		out, e = make([]Outcome, len(plans)), consult.Effects{}
		plans, ids, err := s.settleAll(tx, p, plans, ids)
		if err != nil {
			return err
		}
		for _, pl := range plans {
			o, err := s.entry(ctx, tx, &e, p, pl, ids)
			if err != nil {
				return within(pl.at, err)
			}
			out[pl.at] = o
		}
		if err := latest(tx, out); err != nil {
			return err
		}
		return s.Consult.Before(tx, &e)
	})
	if err != nil {
		return TransactionResult{}, s.refused(ctx, p, "E", "transaction", "Bundle", err)
	}
	s.Consult.After(&e)
	return TransactionResult{Entries: out}, nil
}

// settleAll finds out which records the conditional entries are about before
// anything is written, so that references between the entries go to them. No
// two entries may write the same one.
func (s *Service) settleAll(r store.Reader, p auth.Principal, plans []entryPlan, ids map[string]string) ([]entryPlan, map[string]string, error) {
	plans, ids = slices.Clone(plans), maps.Clone(ids)
	written := make(map[string]bool)
	for i := range plans {
		pl := &plans[i]
		w := &pl.write
		var found *store.Resource
		var err error
		switch {
		case pl.method == "GET":
			continue
		case pl.method == "PUT":
			*w, err = s.settle(r, p, *w)
		case pl.method == "POST" && len(w.IfNoneExist) > 0:
			if found, err = s.one(r, p, w.Type, w.IfNoneExist); found != nil && pl.full != "" {
				ids[pl.full] = w.Type + "/" + found.ID
			}
		case w.ID == "": // DELETE, PATCH
			if found, err = s.one(r, p, w.Type, w.Condition); found != nil {
				w.ID = found.ID
			} else if err == nil && pl.method == "PATCH" {
				err = fhir.Errorf(fhir.CodeNotFound, "", "No %s meets the condition.", w.Type)
			}
		}
		if err != nil {
			return nil, nil, within(pl.at, err)
		}
		key := w.Type + "/" + w.ID
		if w.ID != "" && written[key] {
			return nil, nil, within(pl.at, fhir.Errorf(fhir.CodeInvalid, "", "Two entries of the Bundle write the same record."))
		}
		written[key] = true
		if pl.full != "" && pl.method == "PUT" {
			ids[pl.full] = key
		}
	}
	return plans, ids, nil
}

// latest shows each resource as the whole transaction has left it: a booking
// changes the Slot that an earlier entry wrote.
func latest(r store.Reader, out []Outcome) error {
	for i, o := range out {
		if o.Resource.ID == "" || o.Resource.Deleted() {
			continue
		}
		res, err := r.Resource(o.Resource.Type, o.Resource.ID)
		if err != nil {
			return err
		}
		out[i].Resource = res
	}
	return nil
}

func (s *Service) entry(ctx context.Context, tx store.Tx, e *consult.Effects, p auth.Principal, pl entryPlan, ids map[string]string) (Outcome, error) {
	w := pl.write
	switch pl.method {
	case "DELETE":
		if w.ID == "" {
			return s.deleteMatch(tx, p, w.Type, w.Condition, w.IfMatch)
		}
		return s.delete(tx, p, w.Type, w.ID, w.IfMatch)
	case "PATCH":
		return s.patch(ctx, tx, e, p, Patch{Type: w.Type, ID: w.ID, Change: pl.change, IfMatch: w.IfMatch}, ids)
	case "POST":
		out, err := s.create(tx, e, p, w, pl.issues, ids)
		if err == nil && out.Unchanged { // it existed: references go there
			ids[pl.full] = w.Type + "/" + out.Resource.ID
		}
		return out, err
	case "PUT":
		return s.put(tx, e, p, w, pl.issues, ids)
	}
	if pl.search != nil {
		return s.searchEntry(tx, p, *pl.search)
	}
	grant, err := auth.Allow(p, auth.Read, w.Type)
	if err != nil {
		return Outcome{}, err
	}
	res, err := tx.Resource(w.Type, w.ID)
	if err != nil || res.Deleted() {
		return Outcome{}, notFound(w.Type, w.ID)
	}
	if err := visible(tx, grant, w.Type, w.ID); err != nil {
		return Outcome{}, err
	}
	return Outcome{Resource: res}, s.audit(tx, p, "R", "read", w.Type+"/"+w.ID)
}

func (s *Service) searchEntry(tx store.Tx, p auth.Principal, req search.Request) (Outcome, error) {
	grant, err := auth.Allow(p, auth.Search, req.Query.Type)
	if err != nil {
		return Outcome{}, err
	}
	found, err := s.search(tx, p, grant, req)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Found: &found, Request: req}, s.audit(tx, p, "E", "search", req.Query.Type)
}

// within puts the entry's place before the element of its errors.
func within(at int, err error) error {
	prefix := "Bundle.entry[" + strconv.Itoa(at) + "]"
	move := func(e *fhir.Error) *fhir.Error {
		c := *e
		if c.Expression == "" {
			c.Expression = prefix
		} else {
			_, rest, _ := strings.Cut(c.Expression, ".")
			c.Expression = strings.TrimSuffix(prefix+".resource."+rest, ".")
		}
		return &c
	}
	switch e := err.(type) { //nolint:errorlint // the rules return these themselves
	case *fhir.Error:
		return move(e)
	case fhir.Issues:
		out := make(fhir.Issues, len(e))
		for i, x := range e {
			out[i] = move(x)
		}
		return out
	}
	return err
}

// plan reads a Bundle, gives ids to its new resources, and puts its entries
// into the order in which they are done.
func (s *Service) plan(bundle *fhir.Document) ([]entryPlan, map[string]string, error) {
	if bundle.Type() != "Bundle" || !bundle.Get("type").Is("transaction") {
		return nil, nil, fhir.Errorf(fhir.CodeInvalid, "Bundle.type", "A Bundle of type transaction is expected here.")
	}
	var plans []entryPlan
	ids := make(map[string]string)
	for entry := range bundle.All("entry") {
		if len(plans) == maxEntries {
			return nil, nil, fhir.Errorf(fhir.CodeTooCostly, "Bundle.entry", "A transaction has at most %d entries.", maxEntries)
		}
		pl, err := s.planEntry(entry, len(plans))
		if err != nil {
			return nil, nil, within(len(plans), err)
		}
		key := pl.write.Type + "/" + pl.write.ID
		if full := entry.Get("fullUrl").String(); full != "" && pl.method != "GET" {
			ids[full], pl.full = key, full
		}
		plans = append(plans, pl)
	}
	sort.SliceStable(plans, func(i, j int) bool { return order(plans[i]) < order(plans[j]) })
	return plans, ids, nil
}

func order(p entryPlan) int {
	r, ok := rank[p.write.Type]
	if !ok {
		r = len(rank) + 1
	}
	return methodRank[p.method]*100 + r
}

func (s *Service) planEntry(entry fhir.Node, at int) (entryPlan, error) {
	pl := entryPlan{at: at, method: entry.First("request.method").String()}
	target := strings.TrimPrefix(strings.TrimPrefix(entry.First("request.url").String(), s.Base()), "/")
	if _, ok := methodRank[pl.method]; !ok {
		return pl, fhir.Errorf(fhir.CodeNotSupported, "Entry.request.method", "The method must be GET, POST, PUT, PATCH or DELETE.")
	}
	resource := entry.Get("resource")
	if resource.Exists() {
		doc, err := fhir.Parse(resource.Raw())
		if err != nil {
			return pl, err
		}
		if pl.method == "PATCH" {
			if pl.change, err = parseChange(doc); err != nil {
				return pl, err
			}
		} else {
			pl.write.Doc, pl.write.Type = doc, doc.Type()
			if pl.issues, err = s.validate(doc); err != nil {
				return pl, err
			}
		}
	}
	if m := entry.First("request.ifMatch").String(); m != "" {
		v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(m, "W/"), `"`), 10, 64)
		if err != nil || v < 1 {
			return pl, fhir.Errorf(fhir.CodeValue, "Entry.request.ifMatch", "ifMatch must be a version such as W/\"3\".")
		}
		pl.write.IfMatch = v
	}
	switch pl.method {
	case "POST":
		return s.planCreate(pl, entry, target)
	case "PUT":
		pl.write.IfNoneMatchAny = entry.First("request.ifNoneMatch").Is("*")
	}
	if (pl.method == "PUT" || pl.method == "PATCH") && !resource.Exists() {
		return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.resource", "A %s needs a resource.", pl.method)
	}
	typ, query, conditional := strings.Cut(target, "?")
	if conditional || pl.method == "GET" && search.TypeNamed(target) {
		return s.planCondition(pl, typ, query)
	}
	ref, ok := fhir.ParseReference(target, "")
	if !ok || pl.write.Doc != nil && (ref.Type != pl.write.Type || pl.write.Doc.ID() != "" && ref.ID != pl.write.Doc.ID()) {
		return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.request.url", "The url must be Type/id and agree with the resource.")
	}
	pl.write.Type, pl.write.ID = ref.Type, ref.ID
	return pl, nil
}

func (s *Service) planCreate(pl entryPlan, entry fhir.Node, target string) (entryPlan, error) {
	if pl.write.Doc == nil || target != "" && target != pl.write.Type {
		return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.request.url", "A POST needs a resource of the type that its url names.")
	}
	pl.write.ID = uuid.NewString()
	if condition := entry.First("request.ifNoneExist").String(); condition != "" {
		values, ok := Condition(pl.write.Type, condition)
		if !ok {
			return pl, fhir.Errorf(fhir.CodeValue, "Entry.request.ifNoneExist", "The condition cannot be read.")
		}
		pl.write.IfNoneExist = values
	}
	return pl, nil
}

// planCondition reads an entry whose url has search parameters.
func (s *Service) planCondition(pl entryPlan, typ, query string) (entryPlan, error) {
	values, err := url.ParseQuery(query)
	if err != nil || !search.TypeNamed(typ) || pl.write.Doc != nil && pl.write.Type != typ {
		return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.request.url", "The url must be Type?parameters and agree with the resource.")
	}
	pl.write.Type, pl.write.Condition = typ, values
	if pl.method == "GET" {
		req, err := s.ParseSearch(typ, values)
		pl.search = &req
		return pl, err
	}
	return pl, nil
}

// parseChange reads the patch of an entry: Parameters, or a Binary that holds
// a JSON Patch.
func parseChange(doc *fhir.Document) (Change, error) {
	if doc.Type() != "Binary" {
		return ParseFHIRPathPatch(doc)
	}
	body, err := base64.StdEncoding.DecodeString(doc.Get("data").String())
	if err != nil || !doc.Get("contentType").Is("application/json-patch+json") {
		return nil, fhir.Errorf(fhir.CodeInvalid, "Binary.data", "A PATCH has a Binary with a JSON Patch (application/json-patch+json, in base64), or Parameters.")
	}
	return ParseJSONPatch(body)
}
