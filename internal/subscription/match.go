package subscription

import (
	"slices"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// Change is what happened to one record.
type Change struct {
	Before   *fhir.Document // nil when the record is new
	After    *fhir.Document // as stored, with its id; nil when it was deleted
	Version  int64          // of After
	At       time.Time
	Provider string           // id of the organisation that provides the service
	By       string           // id of the organisation that made the change; "" for a patient or the exchange itself
	Includes []*fhir.Document // records that belong to it; a topic sends those that it includes
	Trace    string           // W3C traceparent of the request, "" when there is none
}

// Match is a topic on which a change is to be announced.
type Match struct {
	Topic Topic
	Name  string // of the topic on the broker
}

// Match gives the topics on which the change is to be announced. It does not
// look at Includes: load those that the matches name before rendering.
func (s *Set) Match(c Change) []Match {
	if c.After == nil {
		return nil
	}
	var found []Match
	for _, t := range s.topics {
		if t.announces(c) {
			found = append(found, Match{Topic: t, Name: t.For(c.Provider)})
		}
	}
	return found
}

func (t Topic) announces(c Change) bool {
	switch {
	case c.After.Type() != t.Resource:
		return false
	case t.Category != Public && c.Provider == "": // nobody to tell
		return false
	case t.ByOthers && c.By == c.Provider:
		return false
	case !t.meets(c.After):
		return false
	case c.Before == nil || !t.meets(c.Before):
		return true
	}
	return slices.ContainsFunc(t.Changes, func(path string) bool { return !same(c.Before, c.After, path) })
}

func (t Topic) meets(d *fhir.Document) bool {
	for _, c := range t.Criteria {
		if !c.holds(d) {
			return false
		}
	}
	return true
}

func (c Criterion) holds(d *fhir.Document) bool {
	for n := range d.All(c.Element) {
		for _, v := range values(n) {
			if slices.Contains(c.Any, v) {
				return true
			}
		}
	}
	return false
}

// values gives what a criterion can be compared with: the text of a primitive,
// code and system|code of a Coding, those of all codings of a CodeableConcept.
func values(n fhir.Node) []string {
	if n.Kind() != fhir.Object {
		return []string{n.String()}
	}
	var out []string
	if code := n.Get("code"); code.Exists() {
		out = append(out, code.String(), n.Get("system").String()+"|"+code.String())
	}
	for coding := range n.All("coding") {
		code := coding.Get("code").String()
		out = append(out, code, coding.Get("system").String()+"|"+code)
	}
	return out
}

// same tells whether the element has the same values in both documents. Times
// are the same when they are the same instant, however written.
func same(a, b *fhir.Document, path string) bool {
	as, bs := slices.Collect(a.All(path)), slices.Collect(b.All(path))
	return slices.EqualFunc(as, bs, func(x, y fhir.Node) bool {
		if x.Kind() == fhir.Object || y.Kind() == fhir.Object {
			return string(x.Raw()) == string(y.Raw())
		}
		if x.String() == y.String() {
			return true
		}
		xt, xok := x.Time()
		yt, yok := y.Time()
		return xok && yok && xt.Equal(yt)
	})
}
