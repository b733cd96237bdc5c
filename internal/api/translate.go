package api

import (
	"net/http"
	"net/url"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// translate answers $translate.
func (f *FHIR) translate(w http.ResponseWriter, r *http.Request) error {
	q, err := f.readQuestion(w, r, "translate")
	if err != nil {
		return err
	}
	ask := terminology.Translation{Target: q.text("targetsystem")}
	if ask.Reverse, _, err = q.flag("reverse"); err != nil {
		return err
	}
	if ask.Codings, err = q.codings("coding", "codeableConcept"); err != nil {
		return err
	}
	if code := q.text("code"); code != "" {
		ask.Codings = append(ask.Codings, terminology.Coding{System: q.text("system"), Code: code})
	}
	if len(ask.Codings) == 0 {
		return missing("Name what is to be translated: code with system, coding or codeableConcept.")
	}
	maps, err := f.conceptMaps(r, q)
	if err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, parametersBody(translated(f.terms, maps, ask)))
}

// conceptMaps gives the maps that a question names, one as a rule.
func (f *FHIR) conceptMaps(r *http.Request, q question) ([]*terminology.ConceptMap, error) {
	doc := q.at
	address, source, target := q.text("url"), q.text("source"), q.text("target")
	switch {
	case doc != nil:
	case len(q.parts["conceptMap"]) > 0:
		var err error
		if doc, err = fhir.Parse(q.parts["conceptMap"][0].Raw()); err != nil {
			return nil, err
		}
	case address != "":
		if version := q.text("conceptMapVersion"); version != "" {
			address += "|" + version
		}
		if m, ok := f.terms.ConceptMap(address); ok {
			return []*terminology.ConceptMap{m}, nil
		}
		var err error
		if doc, err = f.storedMap(r, address); err != nil {
			return nil, err
		}
	case source != "" || target != "":
		maps := f.terms.ConceptMaps(source, target)
		if len(maps) == 0 {
			return nil, fhir.Errorf(fhir.CodeNotFound, "", "No concept map between these value sets is known here.")
		}
		return maps, nil
	default:
		return nil, missing("Name the concept map: url, or source and target; or send it as conceptMap.")
	}
	m, err := terminology.ReadConceptMap(doc)
	return []*terminology.ConceptMap{m}, err
}

// storedMap gives a concept map that the caller may read, by its URL.
func (f *FHIR) storedMap(r *http.Request, address string) (*fhir.Document, error) {
	req, err := f.exchange.ParseSearch("ConceptMap", url.Values{"url": {address}, "_sort": {"-_lastUpdated"}, "_count": {"1"}})
	if err != nil {
		return nil, err
	}
	found, err := f.exchange.Search(r.Context(), auth.FromContext(r.Context()), req)
	if err != nil {
		return nil, err
	}
	if len(found.Matches) == 0 {
		return nil, fhir.Errorf(fhir.CodeNotFound, "", "The concept map is not known here.")
	}
	return fhir.Parse(found.Matches[0].Body)
}

// translated says what became of a translation.
func translated(terms *terminology.Service, maps []*terminology.ConceptMap, ask terminology.Translation) []outParameter {
	result := false
	var list []outParameter
	for _, m := range maps {
		for _, match := range terms.Translate(m, ask) {
			result = result || match.Matches()
			p := outParameter{Name: "match", Part: []outParameter{{Name: "equivalence", ValueCode: match.Equivalence}}}
			if match.Code != "" {
				p.Part = append(p.Part, outParameter{Name: "concept", ValueCoding: &outCoding{System: match.System, Version: match.Version, Code: match.Code, Display: match.Display}})
			}
			if m.URL != "" {
				p.Part = append(p.Part, outParameter{Name: "source", ValueURI: m.URL})
			}
			list = append(list, p)
		}
	}
	head := []outParameter{{Name: "result", ValueBoolean: &result}}
	if !result {
		head = append(head, outParameter{Name: "message", ValueString: "The concept map leads from this code to none."})
	}
	return append(head, list...)
}
