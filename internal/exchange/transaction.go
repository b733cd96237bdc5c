package exchange

import (
	"context"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
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
}

// rank orders the writes of a transaction: what others stand on comes first.
var rank = map[string]int{
	"Organization": 1, "Location": 2, "Practitioner": 3, "PractitionerRole": 4, "HealthcareService": 5,
	"Patient": 6, "Schedule": 7, "Slot": 8, "Appointment": 9, "Encounter": 10,
}

var methodRank = map[string]int{"DELETE": 0, "POST": 1, "PUT": 1, "GET": 2}

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
		for _, pl := range plans {
			o, err := s.entry(tx, &e, p, pl, ids)
			if err != nil {
				return within(pl.at, err)
			}
			out[pl.at] = o
		}
		return latest(tx, out)
	})
	if err != nil {
		return TransactionResult{}, s.refused(ctx, p, "E", "transaction", "Bundle", err)
	}
	s.Consult.After(&e)
	return TransactionResult{Entries: out}, nil
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

func (s *Service) entry(tx store.Tx, e *consult.Effects, p auth.Principal, pl entryPlan, ids map[string]string) (Outcome, error) {
	w := pl.write
	switch pl.method {
	case "DELETE":
		return s.delete(tx, p, w.Type, w.ID, w.IfMatch)
	case "POST":
		out, err := s.create(tx, e, p, w, pl.issues, ids)
		if err == nil && out.Unchanged { // it existed: references go there
			ids[pl.full] = w.Type + "/" + out.Resource.ID
		}
		return out, err
	case "PUT":
		return s.put(tx, e, p, w, pl.issues, ids)
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
	targets := make(map[string]bool)
	for entry := range bundle.All("entry") {
		if len(plans) == maxEntries {
			return nil, nil, fhir.Errorf(fhir.CodeTooCostly, "Bundle.entry", "A transaction has at most %d entries.", maxEntries)
		}
		pl, err := s.planEntry(entry, len(plans))
		if err != nil {
			return nil, nil, within(len(plans), err)
		}
		key := pl.write.Type + "/" + pl.write.ID
		if pl.method != "GET" && targets[key] {
			return nil, nil, fhir.Errorf(fhir.CodeInvalid, entry.Path(), "Two entries of the Bundle write the same record.")
		}
		targets[key] = true
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
		return pl, fhir.Errorf(fhir.CodeNotSupported, "Entry.request.method", "The method must be GET, POST, PUT or DELETE.")
	}
	if resource := entry.Get("resource"); resource.Exists() {
		doc, err := fhir.Parse(resource.Raw())
		if err != nil {
			return pl, err
		}
		pl.write.Doc, pl.write.Type = doc, doc.Type()
		if pl.issues, err = s.validate(doc); err != nil {
			return pl, err
		}
	}
	switch pl.method {
	case "POST":
		if pl.write.Doc == nil || target != "" && target != pl.write.Type {
			return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.request.url", "A POST needs a resource of the type that its url names.")
		}
		pl.write.ID = uuid.NewString()
		values, err := url.ParseQuery(strings.TrimPrefix(entry.First("request.ifNoneExist").String(), "?"))
		if err != nil {
			return pl, fhir.Errorf(fhir.CodeValue, "Entry.request.ifNoneExist", "The condition cannot be read.")
		}
		pl.write.IfNoneExist = values
		return pl, nil
	case "PUT":
		if pl.write.Doc == nil {
			return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.resource", "A PUT needs a resource.")
		}
	}
	ref, ok := fhir.ParseReference(target, "")
	if !ok || pl.write.Doc != nil && (ref.Type != pl.write.Type || pl.write.Doc.ID() != "" && ref.ID != pl.write.Doc.ID()) {
		return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.request.url", "The url must be Type/id and agree with the resource.")
	}
	pl.write.Type, pl.write.ID = ref.Type, ref.ID
	if m := entry.First("request.ifMatch").String(); m != "" {
		v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(m, "W/"), `"`), 10, 64)
		if err != nil {
			return pl, fhir.Errorf(fhir.CodeValue, "Entry.request.ifMatch", "ifMatch must be a version such as W/\"3\".")
		}
		pl.write.IfMatch = v
	}
	return pl, nil
}
