package api

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
)

// expand answers $expand.
func (f *FHIR) expand(w http.ResponseWriter, r *http.Request) error {
	q, err := f.readQuestion(w, r, "expand")
	if err != nil {
		return err
	}
	page, err := q.page()
	if err != nil {
		return err
	}
	vs, set, err := q.set()
	if err != nil {
		return err
	}
	if err := q.versions(); err != nil {
		return err
	}
	x, err := set.Expand(page)
	if err != nil {
		return err
	}
	out := expandedSet{
		ResourceType: "ValueSet", ID: vs.ID, URL: vs.URL, Version: vs.Version, Name: vs.Name, Title: vs.Title, Status: cmp.Or(vs.Status, "active"),
		Expansion: expansion{
			Identifier: "urn:uuid:" + uuid.NewString(), Timestamp: fhir.FormatInstant(f.clock()), Total: x.Total,
			Parameter: q.used(x), Contains: containedOf(x.Contains),
		},
	}
	if x.Unclosed {
		out.Expansion.Extension = []outExtension{{URL: "http://hl7.org/fhir/StructureDefinition/valueset-unclosed", ValueBoolean: true}}
	}
	if page.Count != nil || q.text("offset") != "" {
		out.Expansion.Offset = &page.Offset
	}
	if whole, _, err := q.flag("includeDefinition"); err != nil {
		return err
	} else if whole {
		out.Compose = vs.Document().Get("compose").Raw()
	}
	return writeBody(w, http.StatusOK, fhir.Marshal(out))
}

// page reads what part of a value set is asked for.
func (q question) page() (p terminology.Page, err error) {
	p = terminology.Page{Filter: q.text("filter"), Language: q.language(), Without: q.values["exclude-system"]}
	nested, said := false, false
	for name, to := range map[string]*bool{
		"activeOnly": &p.ActiveOnly, "excludeNotForUI": &p.ForUI, "includeDesignations": &p.Designations, "excludeNested": &nested,
	} {
		given := false
		if *to, given, err = q.flag(name); err != nil {
			return p, err
		}
		said = said || given && name == "excludeNested"
	}
	p.Nested = said && !nested // a flat list unless the caller asks for more
	offset, err := q.number("offset")
	if err != nil {
		return p, err
	}
	if offset != nil {
		p.Offset = *offset
	}
	if p.Count, err = q.number("count"); err != nil {
		return p, err
	}
	for _, d := range q.values["designation"] { // a language, or use|value
		if language, ok := strings.CutPrefix(d, "urn:ietf:bcp:47|"); ok {
			d = language
		}
		p.Designations, p.Languages = true, append(p.Languages, d)
	}
	return p, nil
}

// versions refuses a question about a version of a system that is not here.
func (q question) versions() error {
	for _, name := range []string{"system-version", "check-system-version", "force-system-version"} {
		for _, canonical := range q.values[name] {
			if system, version, ok := strings.Cut(canonical, "|"); ok {
				if _, err := q.terms.System(system, version); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// used lists the parameters and the versions that made an expansion.
func (q question) used(x terminology.Expansion) (list []outParameter) {
	for _, name := range []string{"activeOnly", "excludeNested", "excludeNotForUI", "includeDesignations"} {
		if text := q.text(name); text != "" {
			is := text == "true"
			list = append(list, outParameter{Name: name, ValueBoolean: &is})
		}
	}
	for _, name := range []string{"offset", "count"} {
		if n, err := q.number(name); err == nil && n != nil {
			list = append(list, outParameter{Name: name, ValueInteger: n})
		}
	}
	if text := q.text("filter"); text != "" {
		list = append(list, outParameter{Name: "filter", ValueString: text})
	}
	if text := q.text("displayLanguage"); text != "" {
		list = append(list, outParameter{Name: "displayLanguage", ValueCode: text})
	}
	for _, s := range x.Systems {
		if s.Version != "" {
			list = append(list, outParameter{Name: "version", ValueURI: s.System + "|" + s.Version})
		}
	}
	return list
}

type expandedSet struct {
	ResourceType string    `json:"resourceType"`
	ID           string    `json:"id,omitempty"`
	URL          string    `json:"url,omitempty"`
	Version      string    `json:"version,omitempty"`
	Name         string    `json:"name,omitempty"`
	Title        string    `json:"title,omitempty"`
	Status       string    `json:"status"`
	Compose      rawJSON   `json:"compose,omitempty"`
	Expansion    expansion `json:"expansion"`
}

type expansion struct {
	Extension  []outExtension `json:"extension,omitempty"`
	Identifier string         `json:"identifier"`
	Timestamp  string         `json:"timestamp"`
	Total      int            `json:"total"`
	Offset     *int           `json:"offset,omitempty"`
	Parameter  []outParameter `json:"parameter,omitempty"`
	Contains   []contained    `json:"contains,omitempty"`
}

type outExtension struct {
	URL          string `json:"url"`
	ValueBoolean bool   `json:"valueBoolean"`
}

type contained struct {
	System      string           `json:"system,omitempty"`
	Abstract    bool             `json:"abstract,omitempty"`
	Inactive    bool             `json:"inactive,omitempty"`
	Version     string           `json:"version,omitempty"`
	Code        string           `json:"code"`
	Display     string           `json:"display,omitempty"`
	Designation []outDesignation `json:"designation,omitempty"`
	Contains    []contained      `json:"contains,omitempty"`
}

type outDesignation struct {
	Language string     `json:"language,omitempty"`
	Use      *outCoding `json:"use,omitempty"`
	Value    string     `json:"value"`
}

type outCoding struct {
	System  string `json:"system,omitempty"`
	Version string `json:"version,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

func containedOf(list []terminology.Contained) (out []contained) {
	for _, c := range list {
		o := contained{
			System: c.System, Abstract: c.Abstract, Inactive: c.Inactive, Version: c.Version, Code: c.Code, Display: c.Display,
			Contains: containedOf(c.Contains),
		}
		for _, d := range c.Designations {
			o.Designation = append(o.Designation, outDesignation{d.Language, useOf(d), d.Value})
		}
		out = append(out, o)
	}
	return out
}

func useOf(d terminology.Designation) *outCoding {
	if d.Use.Code == "" {
		return nil
	}
	return &outCoding{System: d.Use.System, Code: d.Use.Code, Display: d.Use.Display}
}
