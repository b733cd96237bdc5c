package exchange

import (
	"context"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/consult"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// shaping names the parameters that say how an answer looks. They are no
// conditions.
var shaping = map[string]bool{
	"_format": true, "_pretty": true, "_summary": true, "_elements": true, "_count": true, "_offset": true,
	"_sort": true, "_total": true, "_include": true, "_revinclude": true,
}

// Condition reads the search parameters of a conditional create: a=b, or as
// clients send them too, ?a=b, Type?a=b and the whole address of that search.
// It is not ok when there are none, or when they are about another type.
func Condition(typ, text string) (values url.Values, ok bool) {
	if address, query, asked := strings.Cut(text, "?"); asked {
		if address != "" && address != typ && !strings.HasSuffix(address, "/"+typ) {
			return nil, false
		}
		text = query
	}
	values, err := url.ParseQuery(text)
	return values, err == nil && len(values) > 0
}

// one gives the only resource that meets a condition, nil when there is none.
func (s *Service) one(r store.Reader, p auth.Principal, typ string, condition url.Values) (*store.Resource, error) {
	values := make(url.Values)
	for key, list := range condition {
		name, _, _ := strings.Cut(key, ":")
		if shaping[name] {
			continue
		}
		for _, v := range list {
			if v == "" { // a search would leave it out, and meet more than was meant
				return nil, fhir.Errorf(fhir.CodeInvalid, "", "A parameter of the condition on %s has no value.", typ)
			}
		}
		values[key] = list
	}
	found, err := s.match(r, p, typ, values, 2)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, nil
	case len(found) > 1:
		return nil, fhir.Errorf(fhir.CodeMultiple, "", "More than one %s meets the condition.", typ)
	}
	return &found[0], nil
}

// settle finds out which resource a conditional update is about: the one that
// meets the condition, else a new one under the document's own id or one of
// the exchange.
func (s *Service) settle(r store.Reader, p auth.Principal, w Write) (Write, error) {
	if w.ID != "" {
		return w, nil
	}
	found, err := s.one(r, p, w.Type, w.Condition)
	if err != nil {
		return w, err
	}
	w.Condition = nil
	switch w.ID = w.Doc.ID(); {
	case found != nil && w.ID != "" && w.ID != found.ID:
		return w, fhir.Errorf(fhir.CodeInvalid, w.Type+".id", "The record that meets the condition has another id than the body.")
	case found != nil:
		w.ID = found.ID
	case w.ID == "":
		w.ID = uuid.NewString()
	default:
		w.mustBeNew = true
	}
	return w, nil
}

// DeleteMatch removes the only resource that meets a condition. That there is
// none is no error.
func (s *Service) DeleteMatch(ctx context.Context, p auth.Principal, typ string, condition url.Values, ifMatch Match) (Outcome, error) {
	out, err := s.update(ctx, func(tx store.Tx, _ *consult.Effects) (Outcome, error) {
		return s.deleteMatch(tx, p, typ, condition, ifMatch)
	})
	return out, s.refused(ctx, p, "D", "delete", typ, err)
}

func (s *Service) deleteMatch(tx store.Tx, p auth.Principal, typ string, condition url.Values, ifMatch Match) (Outcome, error) {
	if _, err := auth.Allow(p, auth.Delete, typ); err != nil {
		return Outcome{}, err
	}
	found, err := s.one(tx, p, typ, condition)
	if err != nil {
		return Outcome{}, err
	}
	if found == nil {
		return Outcome{Unchanged: true}, audit.Write(tx, s.Clock(), p, audit.Entry{Action: "D", Operation: "delete", Target: typ})
	}
	return s.delete(tx, p, typ, found.ID, ifMatch)
}
