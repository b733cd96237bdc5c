package subscription

import (
	"iter"
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
	Base     string           // FHIR base URL, under which references may name records in full

	// Owners tells for which organisation each of the References of both
	// versions stands: an Organization for itself, another record for the one
	// that it belongs to.
	Owners map[fhir.Reference]string
}

// Match is a topic on which a change is to be announced.
type Match struct {
	Topic        Topic
	Name         string // of the topic on the broker
	Organization string // id of the one that is told; "" on a public topic
}

// Match gives the topics on which the change is to be announced. It does not
// look at Includes: load those that the matches name before rendering.
func (s *Set) Match(c Change) []Match {
	var found []Match
	for _, t := range s.topics {
		for _, organization := range t.tells(c) {
			found = append(found, Match{Topic: t, Name: t.For(organization), Organization: organization})
		}
	}
	return found
}

// tells gives the organisations that are told of a change; "" stands for all,
// on a public topic.
func (t Topic) tells(c Change) []string {
	if c.After == nil || c.After.Type() != t.Resource || !t.meets(c.After) {
		return nil
	}
	news := c.Before == nil || !t.meets(c.Before) ||
		slices.ContainsFunc(t.Changes, func(path string) bool { return !same(c.Before, c.After, path) })
	var told, before []string
	if !news && len(t.Recipients) > 0 {
		before = t.named(c.Before, c)
	}
	for _, organization := range t.audience(c) {
		switch {
		case t.ByOthers && c.By == organization:
		case news || len(t.Recipients) > 0 && !slices.Contains(before, organization):
			told = append(told, organization)
		}
	}
	return told
}

// audience gives the organisations that a topic is for, when it is about the
// record of a change.
func (t Topic) audience(c Change) []string {
	switch {
	case t.Category == Public:
		return []string{""}
	case len(t.Recipients) > 0:
		return t.named(c.After, c)
	case c.Provider == "": // nobody to tell
		return nil
	}
	return []string{c.Provider}
}

// named gives the organisations that the recipients of a record stand for,
// each once.
func (t Topic) named(d *fhir.Document, c Change) []string {
	var ids []string
	for ref := range t.references(d, c.Base) {
		if id := c.Owners[ref]; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// references gives what the recipients of a record refer to.
func (t Topic) references(d *fhir.Document, base string) iter.Seq[fhir.Reference] {
	return func(yield func(fhir.Reference) bool) {
		for _, path := range t.Recipients {
			for n := range d.All(path + ".reference") {
				ref, ok := fhir.ParseReference(n.String(), base)
				ref.Version = ""
				if ok && !yield(ref) {
					return
				}
			}
		}
	}
}

// References gives the records to which a record refers as recipients, each
// once, in the topics whose criteria it meets. It stops one behind limit.
func (s *Set) References(d *fhir.Document, base string, limit int) (found []fhir.Reference) {
	for _, t := range s.topics {
		if len(t.Recipients) == 0 || d.Type() != t.Resource || !t.meets(d) {
			continue
		}
		for ref := range t.references(d, base) {
			if slices.Contains(found, ref) {
				continue
			}
			if found = append(found, ref); len(found) > limit {
				return found
			}
		}
	}
	return found
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
