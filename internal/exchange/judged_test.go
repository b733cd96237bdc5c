package exchange_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/mycore"
)

func document(t testing.TB, body string) *fhir.Document {
	t.Helper()
	doc, err := fhir.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// said lists the elements at which there are errors, or warnings.
func said(issues fhir.Issues, severity fhir.Severity) (list []string) {
	for _, i := range issues {
		if i.Severity == severity || i.Severity == "" && severity == fhir.SeverityError {
			list = append(list, i.Expression)
		}
	}
	return list
}

// Whatever way a record comes in, it is judged by the same rules: what is wrong
// in every mode is refused, all else is told and tagged, or refused when strict.
func TestEveryWayInIsJudged(t *testing.T) {
	ways := map[string]func(w *world, patch, body string) (fhir.Issues, error){
		"put": func(w *world, _, body string) (fhir.Issues, error) {
			out, err := w.try(hospitalSystem, body)
			return out.Issues, err
		},
		"create": func(w *world, _, body string) (fhir.Issues, error) {
			doc := document(w, body)
			out, err := w.exchange.Create(w.ctx, hospitalSystem, exchange.Write{Type: doc.Type(), Doc: doc})
			return out.Issues, err
		},
		"patch": func(w *world, patch, _ string) (fhir.Issues, error) {
			w.put(hospitalSystem, w.appointment(wish{}))
			change, err := exchange.ParseJSONPatch([]byte(patch))
			if err != nil {
				w.Fatal(err)
			}
			out, err := w.exchange.Patch(w.ctx, hospitalSystem, exchange.Patch{Type: "Appointment", ID: "app-1", Change: change})
			return out.Issues, err
		},
		"transaction": func(w *world, _, body string) (fhir.Issues, error) {
			out, err := w.exchange.Transaction(w.ctx, hospitalSystem, document(w, `{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"http://hie.example/baseR4/Appointment/app-1","resource":`+body+`,"request":{"method":"PUT","url":"Appointment/app-1"}}]}`), nil)
			if err != nil {
				return nil, err
			}
			return out.Entries[0].Issues, nil
		},
	}
	for _, c := range []struct {
		name, patch string
		edit        fhir.Edit
		grave       bool
		at          string // the element, below Appointment; a transaction may put its entry before it
	}{
		{"no specialty", `[{"op":"remove","path":"/specialty"}]`, fhir.Remove("specialty"), true, "specialty"},
		{"no such day", `[{"op":"add","path":"/created","value":"2026-02-30"}]`, fhir.Set("created", "2026-02-30"), true, "created"},
		{"a code that R4 does not have", `[{"op":"replace","path":"/participant/0/status","value":"maybe"}]`, fhir.Set("participant.0.status", "maybe"), true, "participant[0].status"},
		{"no appointment type", `[{"op":"remove","path":"/appointmentType"}]`, fhir.Remove("appointmentType"), false, "appointmentType"},
		{"an element of nobody", `[{"op":"add","path":"/colour","value":"red"}]`, fhir.Set("colour", "red"), false, "colour"},
	} {
		for way, send := range ways {
			for mode, refuses := range map[mycore.Mode]bool{mycore.Lenient: c.grave, mycore.Strict: true} {
				w := newWorld(t)
				broken, err := document(t, w.appointment(wish{})).With(c.edit)
				if err != nil {
					t.Fatal(err)
				}
				w.exchange.Mode = mode
				issues, err := send(w, c.patch, string(broken.Bytes()))
				severity := fhir.SeverityWarning
				if refuses {
					severity = fhir.SeverityError
					if err == nil || !errors.As(err, &issues) {
						t.Errorf("%s, %s, mode %d: %v", c.name, way, mode, err)
						continue
					}
				} else if err != nil {
					t.Errorf("%s, %s, mode %d: %v", c.name, way, mode, err)
					continue
				}
				if list := said(issues, severity); !slices.ContainsFunc(list, func(s string) bool {
					return strings.HasSuffix(s, "Appointment."+c.at) || strings.HasSuffix(s, "resource."+c.at)
				}) {
					t.Errorf("%s, %s, mode %d: %s at %v", c.name, way, mode, severity, list)
				}
			}
		}
	}
}

// The line by which a record is judged is the exchange's, unless the record
// names another.
func TestLineOfARecord(t *testing.T) {
	w := newWorld(t)
	const lacking = "Appointment.supportingInformation" // which 1.0.0 asks for, and 2024 does not
	claims := func(version string) string {
		return strings.Replace(w.appointment(wish{}), `"status"`, `"meta":{"profile":["`+mycore.Profile("Appointment")+version+`"]},"status"`, 1)
	}
	for _, c := range []struct {
		line mycore.Line
		body string
		want bool
	}{
		{mycore.Line2024, w.appointment(wish{}), false},
		{mycore.Line100, w.appointment(wish{}), true},
		{mycore.Line2024, claims("|1.0.0"), true},
		{mycore.Line100, claims("|2024"), false},
		{mycore.Line2024, claims(""), false},
		{mycore.Line100, claims(""), true},
	} {
		w.exchange.Validator = mycore.NewValidator(c.line, validate.Options{Base: "http://hie.example/baseR4"})
		out, err := w.try(hospitalSystem, c.body)
		if got := slices.Contains(said(out.Issues, fhir.SeverityWarning), lacking); err != nil || got != c.want {
			t.Errorf("%s, %.120s: %v, %v %v", c.line, c.body, got, out.Issues, err)
		}
	}
}
