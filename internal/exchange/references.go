package exchange

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// maxReferences bounds the references of one document.
const maxReferences = 5000

// links says where the names lead under which the entries of a Bundle refer to
// each other. The zero value is for a document that comes alone.
type links struct {
	to       map[string]string // fullUrl → Type/id
	versions map[string]int64  // Type/id → the version that the Bundle makes
	root     string            // of the fullUrl of the entry at hand: https://host/base/, or ""
}

// at gives the links as the entry with the given fullUrl sees them.
func (l links) at(full string) links {
	l.root = ""
	if parts := strings.Split(full, "/"); len(parts) > 3 {
		if _, ok := fhir.ParseReference(strings.Join(parts[len(parts)-2:], "/"), ""); ok {
			l.root = strings.Join(parts[:len(parts)-2], "/") + "/"
		}
	}
	return l
}

// find gives the Type/id to which a name leads: a fullUrl, one with a version,
// or Type/id beside the entry's own.
func (l links) find(name string) (to string, ok bool) {
	if len(l.to) == 0 {
		return "", false
	}
	name, _, versioned := strings.Cut(name, "/_history/")
	if to, ok = l.to[name]; !ok && l.root != "" {
		to, ok = l.to[l.root+name]
	}
	if version := l.versions[to]; ok && versioned && version > 0 {
		to += "/_history/" + itoa(int(version))
	}
	return to, ok
}

// resolve rewrites what only makes sense on its way in: references to other
// entries of the Bundle, also in uris and in the links of a narrative, the
// guide's Type/urn:uuid:…, and conditional references such as
// Patient?identifier=system|value. All else keeps its bytes, and so do the
// entries of a Bundle within, which refer to each other.
func (s *Service) resolve(r store.Reader, p auth.Principal, doc *fhir.Document, names links) (*fhir.Document, error) {
	w := resolver{s: s, r: r, p: p, names: names}
	if err := w.resource(doc.Root()); err != nil {
		return nil, err
	}
	return doc.Replace(w.found)
}

type resolver struct {
	s     *Service
	r     store.Reader
	p     auth.Principal
	names links
	found []fhir.Replacement
	alone bool // without the database: what only it can tell is passed over
	count int
}

func (w *resolver) resource(n fhir.Node) error {
	typ := n.Get("resourceType").String()
	if typ == "Bundle" {
		return nil
	}
	var content *r4.Element
	if t, ok := r4.LookupType(typ); ok {
		content = t.Root
	}
	return w.object(n, content)
}

// object walks through an object of which content is the definition, nil when
// R4 has none.
func (w *resolver) object(n fhir.Node, content *r4.Element) error {
	for c := range n.Children() {
		el, typ, _ := content.Child(c.Name())
		if err := w.value(c, el, typ); err != nil {
			return err
		}
	}
	return nil
}

func (w *resolver) value(n fhir.Node, el *r4.Element, typ string) error {
	switch n.Kind() {
	case fhir.Array:
		for c := range n.Children() {
			if err := w.value(c, el, typ); err != nil {
				return err
			}
		}
	case fhir.Object:
		if typ == "Resource" || n.Get("resourceType").Exists() {
			return w.resource(n)
		}
		return w.object(n, el.Content(typ))
	case fhir.String:
		return w.text(n, typ)
	}
	return nil
}

// linking are the types of primitives, beside references, that may name an
// entry. A canonical names a definition and stays; an oid or a uuid could not
// hold the address that would take its place.
var linking = map[string]bool{"uri": true, "url": true}

func (w *resolver) text(n fhir.Node, typ string) error {
	to := ""
	switch {
	case n.Name() == "reference":
		if w.count++; w.count > maxReferences {
			return fhir.Errorf(fhir.CodeTooCostly, "", "The document has more than %d references.", maxReferences)
		}
		var err error
		if to, err = w.reference(n); err != nil {
			return err
		}
	case len(w.names.to) == 0:
	case linking[typ]:
		to, _ = w.names.find(n.String())
	case typ == "xhtml":
		if text := n.String(); strings.Contains(text, "<") {
			if with := w.narrative(text); with != text {
				to = with
			}
		}
	}
	if to != "" {
		w.found = append(w.found, fhir.Replacement{Node: n, Value: to})
	}
	return nil
}

// anchor finds the addresses in a narrative.
var anchor = regexp.MustCompile(`(?i)(<(?:a|img)\s[^<>]*?\b(?:href|src)\s*=\s*["'])([^"'<>]+)`)

func (w *resolver) narrative(text string) string {
	return anchor.ReplaceAllStringFunc(text, func(tag string) string {
		parts := anchor.FindStringSubmatch(tag)
		if to, ok := w.names.find(parts[2]); ok {
			return parts[1] + to
		}
		return tag
	})
}

// reference gives what to write in place of a reference, "" to keep it.
func (w *resolver) reference(n fhir.Node) (string, error) {
	text := n.String()
	name := text
	if i := strings.Index(text, "/urn:uuid:"); i > 0 {
		name = text[i+1:]
	}
	if to, ok := w.names.find(name); ok {
		return to, nil
	}
	if w.alone {
		return "", nil
	}
	if strings.HasPrefix(name, "urn:uuid:") || strings.HasPrefix(name, "urn:oid:") {
		return "", fhir.Errorf(fhir.CodeBusinessRule, n.Path(), "No entry of the Bundle has this urn as its fullUrl.")
	}
	typ, query, ok := strings.Cut(text, "?")
	if !ok || !search.TypeNamed(typ) {
		return "", nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fhir.Errorf(fhir.CodeValue, n.Path(), "This conditional reference cannot be read.")
	}
	page, err := w.s.match(w.r, w.p, typ, values, 2)
	switch {
	case err != nil:
		return "", misput(n.Path(), err)
	case len(page) == 0:
		unmet := fhir.Errorf(fhir.CodeBusinessRule, n.Path(), "No %s matches this conditional reference.", typ)
		unmet.Err = errNotYet
		return "", unmet
	case len(page) > 1:
		return "", fhir.Errorf(fhir.CodeMultiple, n.Path(), "More than one %s matches this conditional reference.", typ)
	}
	return typ + "/" + page[0].ID, nil
}

// misput says where in a document the condition stands that is wrong.
func misput(path string, err error) error {
	var e *fhir.Error
	if !errors.As(err, &e) || e.Expression != "" || fhir.Status(e) != 400 {
		return err
	}
	at := e.WithStatus(422)
	at.Expression = path
	return at
}

// match finds resources by search parameters, for conditional references and
// conditional creates. Unknown parameters are refused: they would match too much.
func (s *Service) match(r store.Reader, p auth.Principal, typ string, values url.Values, count int) ([]store.Resource, error) {
	req, err := s.ParseSearch(typ, values)
	if err != nil {
		return nil, err
	}
	switch {
	case len(req.Unknown) > 0:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "The condition on %s has search parameters that the exchange does not know: %s.", typ, strings.Join(req.Unknown, ", "))
	case len(req.Query.Where) == 0:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "The condition on %s has no search parameters.", typ)
	}
	req.Query.Count = count
	return s.search(r, p, req)
}

// base gives what is stored, when a reference names a resource of the exchange.
func (s *Service) local(n fhir.Node) (fhir.Reference, bool) {
	return fhir.ParseReference(n.String(), s.Base())
}
