package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
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
	for _, name := range []string{"exact", "composition", "useSupplement"} {
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
	if len(all) > maxCodings {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "One question is about at most %d codes.", maxCodings).WithStatus(http.StatusBadRequest)
	}
	return all, nil
}

// maxCodings bounds the codes of one CodeableConcept.
const maxCodings = 50

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
		var err error
		if url, err = bindingOf(q.text("context")); err != nil {
			return nil, nil, err
		}
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

// bindingOf gives the value set to which R4 binds the element that a context names,
// such as http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender.
func bindingOf(context string) (string, error) {
	if context == "" {
		return "", missing("Name the value set: url or context, or send it as valueSet.")
	}
	structure, path, _ := strings.Cut(context, "#")
	typ, rest, _ := strings.Cut(path, ".")
	t, ok := r4.LookupType(typ)
	if !ok || structure != "http://hl7.org/fhir/StructureDefinition/"+typ {
		return "", fhir.Errorf(fhir.CodeNotSupported, "", "The context must name an element of a type of R4, as in http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender.")
	}
	el, _, ok := t.Element(rest)
	if !ok || el.Binding == nil {
		return "", fhir.Errorf(fhir.CodeNotFound, "", "The context names no element that R4 binds to a value set.")
	}
	return el.Binding.ValueSet, nil
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
