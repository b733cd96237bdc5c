package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// question is what somebody asks about codes: the parameters, from the address
// or from Parameters in the body, and the definition that stands at an address
// with an id.
type question struct {
	terms  *terminology.Service
	values map[string][]string    // of primitive types, as text
	parts  map[string][]fhir.Node // of all other types
	at     *fhir.Document         // nil without an id
	header http.Header
}

// readQuestion reads a question about codes, and has it kept who asked.
func (f *FHIR) readQuestion(w http.ResponseWriter, r *http.Request, operation string) (question, error) {
	q := question{terms: f.terms, values: r.URL.Query(), parts: map[string][]fhir.Node{}, header: r.Header}
	typ := r.PathValue("type")
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		doc, err := readDocument(w, r)
		if err != nil {
			return q, err
		}
		switch doc.Type() {
		case "Parameters":
			q.read(doc)
		case typ: // the one resource that the operation takes
			q.parts[lowered(typ)] = []fhir.Node{doc.Root()}
		default:
			return q, fhir.Errorf(fhir.CodeInvalid, "resourceType", "The body of an operation is a Parameters resource.")
		}
	}
	if name := q.unanswerable(); name != "" {
		return q, fhir.Errorf(fhir.CodeNotSupported, "", "The parameter %s cannot be used here.", name)
	}
	var err error
	q.at, err = f.exchange.Ask(r.Context(), auth.FromContext(r.Context()), operation, typ, r.PathValue("id"))
	return q, err
}

func lowered(typ string) string { return strings.ToLower(typ[:1]) + typ[1:] }

func (q question) read(doc *fhir.Document) {
	for p := range doc.All("parameter") {
		name := p.Get("name").String()
		if resource := p.Get("resource"); resource.Exists() {
			q.parts[name] = append(q.parts[name], resource)
		}
		for c := range p.Children() {
			if !strings.HasPrefix(c.Name(), "value") {
				continue
			}
			if c.Kind() == fhir.Object {
				q.parts[name] = append(q.parts[name], c)
			} else {
				q.values[name] = append(q.values[name], c.String())
			}
		}
	}
}

// unanswerable names a parameter that would change the answer in a way that is
// not possible here.
func (q question) unanswerable() string {
	for _, name := range []string{"context", "contextDirection", "exact", "composition", "useSupplement"} {
		if q.text(name) != "" || len(q.parts[name]) > 0 {
			return name
		}
	}
	return ""
}

// text gives the first value of a parameter.
func (q question) text(name string) string {
	if len(q.values[name]) == 0 {
		return ""
	}
	return q.values[name][0]
}

func (q question) flag(name string) (value, given bool, err error) {
	switch q.text(name) {
	case "":
		return false, false, nil
	case "true", "false":
		return q.text(name) == "true", true, nil
	}
	return false, false, fhir.Errorf(fhir.CodeInvalid, "", "%s must be true or false.", name)
}

// number gives a parameter that counts, nil when it is not there.
func (q question) number(name string) (*int, error) {
	text := q.text(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be a whole number from 0.", name)
	}
	return &n, nil
}

// language is that of displays.
func (q question) language() string {
	return cmp.Or(q.text("displayLanguage"), q.header.Get("Accept-Language"))
}

func missing(what string) error {
	return fhir.Errorf(fhir.CodeRequired, "", "%s", what).WithStatus(http.StatusBadRequest)
}

// system gives the code system that is asked about: the one at the address,
// the one that was sent, or the one that a parameter names.
func (q question) system(name string) (*terminology.CodeSystem, error) {
	version := q.text("version")
	switch {
	case q.at != nil:
		return terminology.ReadCodeSystem(q.at)
	case len(q.parts["codeSystem"]) > 0:
		doc, err := fhir.Parse(q.parts["codeSystem"][0].Raw())
		if err != nil {
			return nil, err
		}
		return terminology.ReadCodeSystem(doc)
	}
	url := cmp.Or(q.text(name), q.text("system"))
	if url == "" {
		codings, err := q.codings("coding", "codingA", "codingB", "codeableConcept")
		if err != nil {
			return nil, err
		}
		for _, c := range codings {
			if url == "" {
				url, version = c.System, cmp.Or(version, c.Version)
			}
		}
	}
	if url == "" {
		return nil, missing("Name the code system: " + name + ", or a coding with its system.")
	}
	return q.terms.System(url, version)
}

// codings gives the codings that some parameters hold. In an address a coding
// is system|code.
func (q question) codings(names ...string) (all []terminology.Coding, err error) {
	for _, name := range names {
		for _, text := range q.values[name] {
			system, code, ok := strings.Cut(text, "|")
			if !ok {
				return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s in an address is written system|code.", name)
			}
			all = append(all, terminology.Coding{System: system, Code: code})
		}
		for _, n := range q.parts[name] {
			if name == "codeableConcept" {
				for c := range n.All("coding") {
					all = append(all, codingOf(c))
				}
				continue
			}
			all = append(all, codingOf(n))
		}
	}
	return all, nil
}

func codingOf(n fhir.Node) terminology.Coding {
	return terminology.Coding{
		System: n.Get("system").String(), Version: n.Get("version").String(), Code: n.Get("code").String(), Display: n.Get("display").String(),
	}
}

// lookup answers [base]/CodeSystem/$lookup.
func (f *FHIR) lookup(w http.ResponseWriter, r *http.Request) error {
	q, err := f.readQuestion(w, r, "lookup")
	if err != nil {
		return err
	}
	code := q.text("code")
	codings, err := q.codings("coding")
	if err != nil {
		return err
	}
	if code == "" && len(codings) > 0 {
		code = codings[0].Code
	}
	if code == "" {
		return missing("Name the code: code with system, or coding.")
	}
	cs, err := q.system("system")
	if err != nil {
		return err
	}
	c, err := cs.Concept(code)
	if err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, parametersBody(describeConcept(cs, c, q.values["property"], q.language())))
}

// validateCode answers $validate-code of code systems and of value sets.
func (f *FHIR) validateCode(w http.ResponseWriter, r *http.Request) error {
	q, err := f.readQuestion(w, r, "validate-code")
	if err != nil {
		return err
	}
	check := terminology.Check{Language: q.language()}
	if check.Abstract, _, err = q.flag("abstract"); err != nil {
		return err
	}
	if check.Codings, err = q.codings("coding", "codeableConcept"); err != nil {
		return err
	}
	for i := range check.Codings {
		check.Codings[i].Display = cmp.Or(check.Codings[i].Display, q.text("display"))
	}
	if code := q.text("code"); code != "" { // whose system is that of the code system or value set
		check.Codings, check.Infer = append(check.Codings, terminology.Coding{Code: code, Display: q.text("display")}), true
	} else if len(q.parts["coding"])+len(q.values["coding"])+len(q.parts["codeableConcept"]) == 0 {
		return missing("Name what is to be checked: code, coding or codeableConcept.")
	}
	var verdict terminology.Verdict
	if r.PathValue("type") == "CodeSystem" {
		verdict, err = q.checkInSystem(check)
	} else {
		verdict, err = q.checkInSet(check)
	}
	if err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, parametersBody(verdictParameters(verdict)))
}

func (q question) checkInSystem(check terminology.Check) (terminology.Verdict, error) {
	cs, err := q.system("url")
	if err != nil {
		return terminology.Verdict{}, err
	}
	return q.terms.Check(cs, check)
}

func (q question) checkInSet(check terminology.Check) (terminology.Verdict, error) {
	_, set, err := q.set()
	if err != nil {
		return terminology.Verdict{}, err
	}
	for i := range check.Codings {
		c := &check.Codings[i]
		if c.System == "" && check.Infer {
			c.System = q.text("system")
		}
		c.Version = cmp.Or(c.Version, q.text("systemVersion"))
	}
	return set.Check(check)
}

// set gives the value set that is asked about, with its definition.
func (q question) set() (*terminology.ValueSet, *terminology.Set, error) {
	doc := q.at
	if doc == nil && len(q.parts["valueSet"]) > 0 {
		var err error
		if doc, err = fhir.Parse(q.parts["valueSet"][0].Raw()); err != nil {
			return nil, nil, err
		}
	}
	if doc != nil {
		vs, err := terminology.ReadValueSet(doc)
		if err != nil {
			return nil, nil, err
		}
		set, err := q.terms.Compile(vs)
		return vs, set, err
	}
	url := q.text("url")
	if url == "" {
		return nil, nil, missing("Name the value set: url, or send it as valueSet.")
	}
	if version := q.text("valueSetVersion"); version != "" {
		url += "|" + version
	}
	set, err := q.terms.Set(url)
	if err != nil {
		return nil, nil, err
	}
	vs, _ := q.terms.ValueSet(url)
	return vs, set, nil
}

// subsumes answers $subsumes.
func (f *FHIR) subsumes(w http.ResponseWriter, r *http.Request) error {
	q, err := f.readQuestion(w, r, "subsumes")
	if err != nil {
		return err
	}
	codes := []string{q.text("codeA"), q.text("codeB")}
	for i, name := range []string{"codingA", "codingB"} {
		codings, err := q.codings(name)
		if err != nil {
			return err
		}
		if codes[i] == "" && len(codings) > 0 {
			codes[i] = codings[0].Code
		}
	}
	if slices.Contains(codes, "") {
		return missing("Name two codes: codeA and codeB with system, or codingA and codingB.")
	}
	cs, err := q.system("system")
	if err != nil {
		return err
	}
	codings, err := q.codings("codingA", "codingB")
	if err != nil {
		return err
	}
	for _, c := range codings {
		if other, known := q.terms.CodeSystem(c.System); c.System != "" && c.System != cs.URL && (!known || other.URL != cs.URL) {
			return fhir.Errorf(fhir.CodeInvalid, "", "Both codes must be of one code system, %s.", cs.URL)
		}
	}
	outcome, err := cs.Relation(codes[0], codes[1])
	if err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, parametersBody([]outParameter{{Name: "outcome", ValueCode: outcome}}))
}

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
