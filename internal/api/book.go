package api

import (
	"net/http"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
)

// maxGiven bounds how often a parameter of $book may be given.
const maxGiven = 20

// book answers POST [base]/Slot/id/$book and POST [base]/Appointment/$book:
// the Appointment that was made, with status 201.
func (f *FHIR) book(w http.ResponseWriter, r *http.Request) error {
	doc, err := readDocument(w, r)
	if err != nil {
		return err
	}
	if doc.Type() != "Parameters" {
		return fhir.Errorf(fhir.CodeInvalid, "resourceType", "The body of an operation is a Parameters resource.")
	}
	b := exchange.Book{Slot: r.PathValue("id"), Status: "booked"}
	if err := f.readBook(&b, doc); err != nil {
		return err
	}
	out, err := f.exchange.Book(r.Context(), auth.FromContext(r.Context()), b)
	if err != nil {
		return err
	}
	return f.written(w, r, out)
}

// readBook takes the parameters, each of the type that its definition says.
func (f *FHIR) readBook(b *exchange.Book, doc *fhir.Document) error {
	wrong := func(n fhir.Node, format string, args ...any) error {
		return fhir.Errorf(fhir.CodeInvalid, n.Path(), format, args...)
	}
	params := operationOf("$book", "Slot").params
	count := make(map[string]int)
	for n := range doc.All("parameter") {
		name := n.Get("name").String()
		p := parameterOf(params, name)
		if p == nil {
			return wrong(n, "$book has no parameter of this name.")
		}
		value := n.Get("value" + capitalized(p.typ))
		if kind := value.Kind(); kind != fhir.Object && kind != fhir.String {
			return wrong(n, "The parameter %s must be a value%s.", name, capitalized(p.typ))
		}
		if count[name]++; count[name] > 1 && p.single() || count[name] > maxGiven {
			return wrong(n, "The parameter %s is given too often.", name)
		}
		switch name {
		case "slot":
			ref, ok := fhir.ParseReference(value.Get("reference").String(), f.baseURL())
			if !ok || ref.Type != "Slot" || b.Slot != "" && b.Slot != ref.ID {
				return wrong(n, "The parameter slot must refer to a Slot, the one in the address when it names one.")
			}
			b.Slot = ref.ID
		case "patient":
			b.Patient = value
		case "participant":
			b.Participants = append(b.Participants, value)
		case "supporting-information":
			b.SupportingInfo = append(b.SupportingInfo, value)
		case "reason":
			b.Reasons = append(b.Reasons, value)
		case "identifier":
			b.Identifiers = append(b.Identifiers, value)
		case "status":
			if b.Status = value.String(); b.Status != "booked" && b.Status != "pending" {
				return wrong(n, "The status of a booking is booked or pending.")
			}
		case "description":
			b.Description = value.String()
		case "comment":
			b.Comment = value.String()
		}
	}
	switch {
	case b.Slot == "":
		return fhir.Errorf(fhir.CodeRequired, "Parameters.parameter", "Name the Slot with the parameter slot.").WithStatus(http.StatusBadRequest)
	case !b.Patient.Get("reference").Exists():
		return fhir.Errorf(fhir.CodeRequired, "Parameters.parameter", "Name the patient with the parameter patient, a valueReference.").WithStatus(http.StatusBadRequest)
	}
	return nil
}
