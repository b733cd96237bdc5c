package api

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
)

// meta answers [base]/Type/id/$meta, also of one version.
func (f *FHIR) meta(w http.ResponseWriter, r *http.Request) error {
	res, err := f.readVersion(r)
	if err != nil {
		return gone(w, res, err)
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return err
	}
	describe(w, res)
	return writeMeta(w, doc.Get("meta").Raw())
}

func writeMeta(w http.ResponseWriter, meta []byte) error {
	body := append([]byte(`{"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":`), meta...)
	return writeBody(w, http.StatusOK, append(body, `}]}`...))
}

// metaOfAll answers [base]/$meta and [base]/Type/$meta: the labels that are in
// use.
func (f *FHIR) metaOfAll(w http.ResponseWriter, r *http.Request) error {
	meta, err := f.exchange.LabelsOf(r.Context(), auth.FromContext(r.Context()), r.PathValue("type"))
	if err != nil {
		return err
	}
	return writeMeta(w, meta)
}

func (f *FHIR) metaAdd(w http.ResponseWriter, r *http.Request) error {
	return f.label(w, r, exchange.Labels{})
}

func (f *FHIR) metaDelete(w http.ResponseWriter, r *http.Request) error {
	return f.label(w, r, exchange.Labels{Remove: true})
}

// label answers $meta-add and $meta-delete of a record or of one version.
func (f *FHIR) label(w http.ResponseWriter, r *http.Request, l exchange.Labels) error {
	l.Type, l.ID = r.PathValue("type"), r.PathValue("id")
	if text := r.PathValue("version"); text != "" {
		version, err := versionNumber(text)
		if err != nil {
			return err
		}
		l.Version = version
	}
	doc, err := readDocument(w, r)
	if err != nil {
		return err
	}
	if doc.Type() != "Parameters" {
		return fhir.Errorf(fhir.CodeInvalid, "resourceType", "The body of an operation is a Parameters resource.")
	}
	given := 0
	for n := range doc.All("parameter") {
		if n.Get("name").Is("meta") && n.Get("valueMeta").Kind() == fhir.Object {
			l.Meta = n.Get("valueMeta")
			given++
		}
	}
	if given != 1 {
		return fhir.Errorf(fhir.CodeInvalid, "Parameters.parameter", "Send one parameter, meta, with a valueMeta that holds profiles, tags or security labels.")
	}
	res, err := f.exchange.Label(r.Context(), auth.FromContext(r.Context()), l)
	if err != nil {
		return gone(w, res, err)
	}
	if doc, err = fhir.Parse(res.Body); err != nil {
		return err
	}
	describe(w, res)
	return writeMeta(w, doc.Get("meta").Raw())
}

// validate answers [base]/Type/$validate and [base]/Type/id/$validate. What is
// wrong is said in an OperationOutcome with status 200: the question was
// answered.
func (f *FHIR) validate(w http.ResponseWriter, r *http.Request) error {
	v := exchange.Validation{Type: r.PathValue("type"), ID: r.PathValue("id"), Mode: r.URL.Query().Get("mode"), Profiles: r.URL.Query()["profile"]}
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		doc, err := readDocument(w, r)
		if err != nil {
			return err
		}
		if err := readValidation(&v, doc); err != nil {
			return err
		}
	}
	if v.Doc != nil {
		if err := sameType(v.Doc, v.Type); err != nil {
			return err
		}
		if v.ID != "" && v.Doc.ID() != "" && v.Doc.ID() != v.ID {
			return fhir.Errorf(fhir.CodeInvalid, v.Type+".id", "The id in the body must be the one in the address.")
		}
	}
	if v.Mode == "delete" && v.ID == "" {
		return fhir.Errorf(fhir.CodeInvalid, "", "Name the record that is to be deleted by its id in the address.")
	}
	if len(v.Profiles) > maxProfiles {
		return fhir.Errorf(fhir.CodeTooCostly, "", "A document is judged by at most %d profiles at once.", maxProfiles).WithStatus(http.StatusBadRequest)
	}
	issues, err := f.exchange.Validate(r.Context(), auth.FromContext(r.Context()), v)
	if err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, fhir.Outcome(issues, ""))
}

// maxProfiles bounds the profiles that one $validate may name.
const maxProfiles = 20

// readValidation takes the body: Parameters, or the resource itself.
func readValidation(v *exchange.Validation, doc *fhir.Document) error {
	wrapped := doc.Type() == "Parameters"
	if wrapped && v.Type == "Parameters" {
		wrapped = false
		for n := range doc.All("parameter") {
			wrapped = wrapped || n.Get("name").Is("resource")
		}
	}
	if !wrapped {
		v.Doc = doc
		return nil
	}
	for n := range doc.All("parameter") {
		value := n.Get("valueCode").String() + n.Get("valueString").String() + n.Get("valueUri").String() + n.Get("valueCanonical").String()
		switch n.Get("name").String() {
		case "resource":
			inner, err := fhir.Parse(n.Get("resource").Raw())
			if err != nil {
				return err
			}
			v.Doc = inner
		case "mode":
			v.Mode = value
		case "profile":
			v.Profiles = append(v.Profiles, value)
		}
	}
	return nil
}

// everything answers [base]/Patient/id/$everything and the same of Encounter.
func (f *FHIR) everything(w http.ResponseWriter, r *http.Request) error {
	q := exchange.Everything{Type: r.PathValue("type"), ID: r.PathValue("id"), Count: 2 * search.MaxCount}
	place := path.Join(q.Type, q.ID, "$everything")
	given, err := parametersOf(w, r)
	if err != nil {
		return err
	}
	values, at, err := f.openPage(r, place, given)
	if err != nil {
		return err
	}
	if at != nil {
		return f.page(w, r, place, given, *at)
	}
	_, rest, err := shapeOf(values)
	if err != nil {
		return err
	}
	var h exchange.HistoryQuery
	h.Count = q.Count
	if err := readHistory(&h, rest); err != nil { // _count, _offset and _since are the same
		return err
	}
	q.Count, q.Offset, q.Since = h.Count, h.Offset, h.Since
	known := []string{"_count", "_offset", "_since", "_type", "_format", "_pretty", "_summary"}
	if q.Type == "Patient" {
		known = append(known, "start", "end")
	}
	for name, values := range rest {
		if !slices.Contains(known, name) {
			return fhir.Errorf(fhir.CodeNotSupported, "", "$everything takes _type, _since, _count, _summary and _elements, and start and end of a patient's care.")
		}
		if name != "start" && name != "end" {
			continue
		}
		from, until, err := fhir.ParseDate(values[0])
		if err != nil {
			return fhir.Errorf(fhir.CodeInvalid, "", "%s must be a date such as 2026-11-23.", name)
		}
		if name == "start" {
			q.Start = from
		} else {
			q.End = until
		}
	}
	for name := range strings.SplitSeq(strings.Join(rest["_type"], ","), ",") {
		if name == "" {
			continue
		}
		if !search.TypeNamed(name) {
			return fhir.Errorf(fhir.CodeInvalid, "", "_type must name resource types of FHIR R4.")
		}
		q.Types = append(q.Types, name)
	}
	q.Values = values
	found, err := f.exchange.Everything(r.Context(), auth.FromContext(r.Context()), q)
	if err != nil {
		return err
	}
	asked := exchange.Asked{Kind: exchange.OfEverything, Path: path.Join(q.Type, q.ID), Values: values}
	return f.writeResult(w, r, place, asked, found, f.self(r, place, given, values))
}

// parametersOf reads the parameters of an operation, from the address or from
// Parameters in the body.
func parametersOf(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	values := r.URL.Query()
	if r.Method != http.MethodPost || r.ContentLength == 0 {
		return values, nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == "application/x-www-form-urlencoded" {
		return nil, fhir.Errorf(fhir.CodeNotSupported, "", "Send Parameters with Content-Type: %s.", mediaFHIR).WithStatus(http.StatusUnsupportedMediaType)
	}
	doc, err := readDocument(w, r)
	if err != nil {
		return nil, err
	}
	if doc.Type() != "Parameters" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "resourceType", "The body of an operation is a Parameters resource.")
	}
	for n := range doc.All("parameter") {
		for c := range n.Children() {
			if strings.HasPrefix(c.Name(), "value") {
				text := c.String()
				if i, ok := c.Int(); ok {
					text = strconv.FormatInt(i, 10)
				}
				values.Add(n.Get("name").String(), text)
			}
		}
	}
	return values, nil
}
