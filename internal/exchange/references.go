package exchange

import (
	"net/url"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// maxReferences bounds the references of one document.
const maxReferences = 5000

// resolve rewrites the references of a document that only make sense on their
// way in: a urn:uuid of another entry of its Bundle (ids, may be nil), the
// guide's Type/urn:uuid:…, and conditional references such as
// Patient?identifier=system|value. All others keep their bytes.
func (s *Service) resolve(r store.Reader, p auth.Principal, doc *fhir.Document, ids map[string]string) (*fhir.Document, error) {
	var edits []fhir.Edit
	count := 0
	var walk func(n fhir.Node, path string) error
	walk = func(n fhir.Node, path string) error {
		if n.Name() == "reference" && n.Kind() == fhir.String {
			if count++; count > maxReferences {
				return fhir.Errorf(fhir.CodeTooCostly, "", "The document has more than %d references.", maxReferences)
			}
			to, err := s.target(r, p, n, ids)
			if err == nil && to != "" {
				edits = append(edits, fhir.Set(path, to))
			}
			return err
		}
		at := 0
		for c := range n.Children() {
			step := c.Name()
			if n.Kind() == fhir.Array {
				step = itoa(at)
				at++
			}
			if err := walk(c, join(path, step)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(doc.Root(), ""); err != nil {
		return nil, err
	}
	return doc.With(edits...)
}

func join(path, step string) string {
	if path == "" {
		return step
	}
	return path + "." + step
}

// target gives the reference to write in place of n, "" to keep it.
func (s *Service) target(r store.Reader, p auth.Principal, n fhir.Node, ids map[string]string) (string, error) {
	text := n.String()
	urn := text
	if i := strings.Index(text, "/urn:uuid:"); i > 0 {
		urn = text[i+1:]
	}
	if to, ok := ids[urn]; ok {
		return to, nil
	}
	if strings.HasPrefix(urn, "urn:uuid:") {
		return "", fhir.Errorf(fhir.CodeBusinessRule, n.Path(), "No entry of the Bundle has this urn:uuid as its fullUrl.")
	}
	typ, query, ok := strings.Cut(text, "?")
	if !ok || strings.ContainsAny(typ, "/:") {
		return "", nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fhir.Errorf(fhir.CodeValue, n.Path(), "This conditional reference cannot be read.")
	}
	page, err := s.match(r, p, typ, values, 2)
	switch {
	case err != nil:
		return "", err
	case len(page) == 0:
		return "", fhir.Errorf(fhir.CodeBusinessRule, n.Path(), "No %s matches this conditional reference.", typ)
	case len(page) > 1:
		return "", fhir.Errorf(fhir.CodeMultiple, n.Path(), "More than one %s matches this conditional reference.", typ)
	}
	return typ + "/" + page[0].ID, nil
}

// match finds resources by search parameters, for conditional references and
// conditional creates. Unknown parameters are refused: they would match too much.
func (s *Service) match(r store.Reader, p auth.Principal, typ string, values url.Values, count int) ([]store.Resource, error) {
	grant, err := auth.Allow(p, auth.Search, typ)
	if err != nil {
		return nil, err
	}
	req, err := s.ParseSearch(typ, values)
	if err != nil {
		return nil, err
	}
	if len(req.Unknown) > 0 || len(req.Query.Where) == 0 {
		return nil, fhir.Errorf(fhir.CodeValue, "", "The condition on %s needs search parameters that the exchange knows.", typ)
	}
	req.Query.Count = count
	out, err := s.search(r, p, grant, req)
	return out.Matches, err
}

// base gives what is stored, when a reference names a resource of the exchange.
func (s *Service) local(n fhir.Node) (fhir.Reference, bool) {
	return fhir.ParseReference(n.String(), s.Base())
}
