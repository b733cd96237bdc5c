package exchange

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// MaxEntries bounds the entries of one Bundle.
const MaxEntries = 2000

// Ask answers an entry that changes nothing, such as a search, once the writes
// are done; at is its place in the Bundle. ctx leads into the transaction. The
// error undoes everything.
type Ask func(ctx context.Context, at int) error

// entryPlan is one entry of a Bundle, understood.
type entryPlan struct {
	at     int // place in the Bundle
	method string
	full   string // fullUrl
	write  Write
	issues fhir.Issues
	change Change // of a PATCH
	asks   bool   // changes nothing: left to Ask
}

// rank orders the writes of a transaction: what others stand on comes first.
var rank = map[string]int{
	"Organization": 1, "Location": 2, "Practitioner": 3, "PractitionerRole": 4, "HealthcareService": 5,
	"Patient": 6, "Schedule": 7, "Slot": 8, "Appointment": 9, "Encounter": 10,
}

// errNotYet marks what another entry of the same transaction may still bring
// about: a match for a conditional reference, the end of the last reference to
// a record that is to be deleted.
var errNotYet = errors.New("another entry may change this")

// maxTries bounds how often the entries that could not be done yet are tried.
const maxTries = 8

// Transaction does all entries of a Bundle, or none.
func (s *Service) Transaction(ctx context.Context, p auth.Principal, bundle *fhir.Document, ask Ask) (TransactionResult, error) {
	plans, to, err := s.plan(bundle)
	if err != nil {
		return TransactionResult{}, err
	}
	var out []Outcome
	var e consult.Effects
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		out, e = make([]Outcome, len(plans)), consult.Effects{}
		b := entries{s: s, tx: tx, p: p, effects: &e, plans: slices.Clone(plans), names: links{to: maps.Clone(to)}}
		if bytes.Contains(bundle.Bytes(), []byte("/_history/")) {
			b.names.versions = make(map[string]int64)
		}
		if err := b.settle(); err != nil {
			return err
		}
		if err := b.do(ctx, out); err != nil {
			return err
		}
		if err := b.ask(ctx, ask); err != nil {
			return err
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

// entries is a transaction at work.
type entries struct {
	s       *Service
	tx      store.Tx
	p       auth.Principal
	effects *consult.Effects
	plans   []entryPlan
	names   links
}

// settle finds out which records the conditional entries are about before
// anything is written, so that references between the entries go to them. No
// two entries may write the same one.
func (b *entries) settle() error {
	written := make(map[string]string) // Type/id → method
	created := make(map[string]string) // condition of a create → Type/id
	for i := range b.plans {
		pl := &b.plans[i]
		w := &pl.write
		if pl.asks {
			continue
		}
		key, err := b.settleOne(pl, written, created)
		if err != nil {
			return within(pl.at, err)
		}
		if key == "" {
			continue // a delete of what is not there, a create of what is
		}
		if written[key] != "" {
			return within(pl.at, fhir.Errorf(fhir.CodeInvalid, "", "Two entries of the Bundle write the same record."))
		}
		written[key] = pl.method
		if pl.full != "" && pl.method != "DELETE" {
			b.names.to[pl.full] = key
			if err := b.foresee(key, w.Doc); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleOne gives the Type/id that an entry writes, "" when it writes none.
func (b *entries) settleOne(pl *entryPlan, written, created map[string]string) (key string, err error) {
	w := &pl.write
	var found *store.Resource
	switch {
	case pl.method == "PUT":
		*w, err = b.s.settle(b.tx, b.p, *w)
	case pl.method == "POST" && len(w.IfNoneExist) > 0:
		if found, err = b.s.one(b.tx, b.p, w.Type, w.IfNoneExist); err != nil {
			return "", err
		}
		condition := w.Type + "?" + w.IfNoneExist.Encode()
		to := created[condition]
		if found != nil && written[w.Type+"/"+found.ID] != "DELETE" {
			to = w.Type + "/" + found.ID
			if b.names.versions != nil {
				b.names.versions[to] = found.Version
			}
		}
		if to != "" {
			if pl.full != "" {
				b.names.to[pl.full] = to
			}
			return "", nil
		}
		created[condition] = w.Type + "/" + w.ID
	case w.ID == "": // DELETE, PATCH
		if found, err = b.s.one(b.tx, b.p, w.Type, w.Condition); found != nil {
			w.ID = found.ID
		} else if err == nil && pl.method == "PATCH" {
			err = fhir.Errorf(fhir.CodeNotFound, "", "No %s meets the condition.", w.Type)
		}
	}
	if err != nil || w.ID == "" {
		return "", err
	}
	return w.Type + "/" + w.ID, nil
}

// foresee notes the version that a record will have, when references of the
// Bundle name versions. doc is nil for a patch.
func (b *entries) foresee(key string, doc *fhir.Document) error {
	if b.names.versions == nil {
		return nil
	}
	typ, id, _ := strings.Cut(key, "/")
	before, err := record.Load(b.tx, typ, id)
	if errors.Is(err, store.ErrNotFound) {
		b.names.versions[key] = 1
		return nil
	}
	if err != nil {
		return err
	}
	b.names.versions[key] = before.Version + 1
	if doc != nil {
		same, err := identical(before, doc)
		if err != nil {
			return err
		}
		if same {
			b.names.versions[key] = before.Version
		}
	}
	return nil
}

// askTime bounds what a transaction asks for: others wait to write meanwhile.
const askTime = 5 * time.Second

// ask lets the entries be answered that change nothing.
func (b *entries) ask(ctx context.Context, ask Ask) error {
	in, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, pl := range b.plans {
		if !pl.asks {
			continue
		}
		err := ask(store.Within(in, b.tx), pl.at)
		if in.Err() != nil && ctx.Err() == nil {
			err = fhir.Errorf(fhir.CodeTooCostly, "", "What the transaction asks for takes too long; send it in a batch.")
		}
		if err != nil {
			return within(pl.at, err)
		}
	}
	return nil
}

// do writes. What cannot be done yet is tried again after the rest.
func (b *entries) do(ctx context.Context, out []Outcome) error {
	pending := slices.DeleteFunc(slices.Clone(b.plans), func(pl entryPlan) bool { return pl.asks })
	for round := 1; len(pending) > 0; round++ {
		var later []entryPlan
		var why error
		for _, pl := range pending {
			o, err := b.entry(ctx, pl)
			switch {
			case errors.Is(err, errNotYet):
				if later = append(later, pl); why == nil {
					why = within(pl.at, err)
				}
			case err != nil:
				return within(pl.at, err)
			default:
				out[pl.at] = o
			}
		}
		if len(later) == len(pending) || round == maxTries && len(later) > 0 {
			return why
		}
		pending = later
	}
	return nil
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

func (b *entries) entry(ctx context.Context, pl entryPlan) (Outcome, error) {
	w, names := pl.write, b.names.at(pl.full)
	switch pl.method {
	case "DELETE":
		if w.ID == "" {
			return b.s.deleteMatch(b.tx, b.p, w.Type, w.Condition, w.IfMatch)
		}
		return b.s.delete(b.tx, b.p, w.Type, w.ID, w.IfMatch)
	case "PATCH":
		return b.s.patch(ctx, b.tx, b.effects, b.p, Patch{Type: w.Type, ID: w.ID, Change: pl.change, IfMatch: w.IfMatch}, names)
	case "POST":
		return b.s.create(b.tx, b.effects, b.p, w, pl.issues, names)
	}
	return b.s.put(b.tx, b.effects, b.p, w, pl.issues, names)
}

// within puts the entry's place before the element of its errors.
func within(at int, err error) error {
	prefix := "Bundle.entry[" + strconv.Itoa(at) + "]"
	move := func(e *fhir.Error) *fhir.Error {
		c := *e
		if c.Expression == "" {
			c.Expression = prefix
		} else {
			of, rest, _ := strings.Cut(c.Expression, ".")
			if of != "Entry" { // an element of the resource, not of the entry itself
				rest = "resource." + rest
			}
			c.Expression = strings.TrimSuffix(prefix+"."+rest, ".")
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
	to, named := make(map[string]string), make(map[string]bool)
	for entry := range bundle.All("entry") {
		if len(plans) == MaxEntries {
			return nil, nil, fhir.Errorf(fhir.CodeTooCostly, "Bundle.entry", "A transaction has at most %d entries.", MaxEntries)
		}
		pl, err := s.planEntry(entry, len(plans))
		if err != nil {
			return nil, nil, within(len(plans), err)
		}
		if pl.full != "" && named[pl.full] {
			return nil, nil, within(len(plans), fhir.Errorf(fhir.CodeInvalid, "Entry.fullUrl", "Another entry of the Bundle has the same fullUrl."))
		}
		named[pl.full] = true
		if pl.full != "" && !pl.asks && pl.method != "DELETE" {
			to[pl.full] = pl.write.Type + "/" + pl.write.ID
		}
		plans = append(plans, pl)
	}
	for i := range plans {
		if plans[i].write.Doc == nil {
			continue
		}
		if err := s.judgeEntry(&plans[i], links{to: to}); err != nil {
			return nil, nil, within(plans[i].at, err)
		}
	}
	sort.SliceStable(plans, func(i, j int) bool { return order(plans[i]) < order(plans[j]) })
	return plans, to, nil
}

// judgeEntry judges a document as it will be once its links are followed: what
// only makes sense within the Bundle is no fault of the record.
func (s *Service) judgeEntry(pl *entryPlan, names links) error {
	w := resolver{s: s, names: names.at(pl.full), alone: true}
	if err := w.resource(pl.write.Doc.Root()); err != nil {
		return err
	}
	doc, err := pl.write.Doc.Replace(w.found)
	if err != nil {
		return err
	}
	pl.issues, err = s.validate(doc)
	return err
}

// order puts what is deleted first, those that stand on others before those,
// then what is written, and what is only asked for last.
func order(p entryPlan) int {
	r, ok := rank[p.write.Type]
	if !ok {
		r = len(rank) + 1
	}
	switch {
	case p.asks:
		return 1000
	case p.method == "DELETE":
		return -r
	}
	return r
}

// asking tells whether an entry changes nothing: operations that do are for
// batches and addresses of their own.
func asking(method, url string) bool {
	path, _, _ := strings.Cut(url, "?")
	return method == "GET" || method == "HEAD" || method == "POST" && (strings.HasSuffix(path, "/_search") || strings.Contains(path, "$"))
}

func (s *Service) planEntry(entry fhir.Node, at int) (entryPlan, error) {
	pl := entryPlan{at: at, method: entry.First("request.method").String(), full: entry.Get("fullUrl").String()}
	target := strings.TrimPrefix(strings.TrimPrefix(entry.First("request.url").String(), strings.TrimSuffix(s.Base(), "/")), "/")
	if pl.asks = asking(pl.method, target); pl.asks {
		return pl, nil
	}
	if !slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE"}, pl.method) {
		return pl, fhir.Errorf(fhir.CodeInvalid, "Entry.request.method", "Each entry needs a request whose method is GET, HEAD, POST, PUT, PATCH or DELETE.")
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
		} else if pl.method != "DELETE" {
			pl.write.Doc, pl.write.Type = doc, doc.Type()
			if !search.TypeNamed(doc.Type()) {
				return pl, fhir.Errorf(fhir.CodeNotSupported, "Entry.resource", "The resource is of no type of FHIR R4.")
			}
		}
	}
	var ok bool
	if pl.write.IfMatch, ok = ParseMatch(entry.First("request.ifMatch").String()); !ok {
		return pl, fhir.Errorf(fhir.CodeConflict, "Entry.request.ifMatch", `ifMatch must name versions, such as W/"3".`).WithStatus(412)
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
	if typ, query, conditional := strings.Cut(target, "?"); conditional {
		return s.planCondition(pl, typ, query)
	}
	ref, ok := fhir.ParseReference(target, "")
	if !ok || ref.Version != "" || pl.write.Doc != nil && (ref.Type != pl.write.Type || pl.write.Doc.ID() != "" && ref.ID != pl.write.Doc.ID()) {
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
