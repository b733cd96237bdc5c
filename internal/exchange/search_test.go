package exchange_test

import (
	"net/url"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/search"
)

// A chain follows several references, and _has follows them backwards.
func TestSearchAlongReferences(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	for _, c := range []struct {
		typ, key, value string
		want            int
	}{
		{"Patient", "_has:Appointment:patient:_id", "app-1", 1},
		{"Patient", "_has:Appointment:patient:_id", "app-2", 0},
		{"Patient", "_has:Appointment:actor:status", "booked", 1},
		{"Appointment", "patient._has:Appointment:patient:_id", "app-1", 1},
		{"Appointment", "patient:Patient._has:Appointment:patient:_id", "app-2", 0},
		{"Appointment", "_filter", "status eq booked and not (_id eq app-2)", 1},
		{"Appointment", "_filter", "patient[_id ne nobody or gender pr true or _lastUpdated gt 2000].active ne false or status eq booked", 1},
		{"Appointment", "_filter", "slot.status eq nothing", 0},
		{"Appointment", "_list", "nobody", 0},
		{"Location", "near", "3.1|101.7|1|km", 0},
	} {
		req, err := search.Parse(c.typ, url.Values{c.key: {c.value}}, "")
		if err != nil || len(req.Unknown) > 0 {
			t.Fatal(c.key, req.Unknown, err)
		}
		found, err := w.exchange.Search(w.ctx, hospitalSystem, req)
		if err != nil || len(found.Matches) != c.want {
			t.Errorf("%s?%s=%s: %d found, %v, want %d", c.typ, c.key, c.value, len(found.Matches), err, c.want)
		}
	}
}

// What lies at the end of a reference counts only for those who may see it, and
// a type that somebody may not search at all is refused.
func TestSearchAlongReferencesOfOthers(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	narrow := hospitalSystem
	narrow.Scopes = []string{"system/Patient.rs", "system/Appointment.rs"}
	for _, c := range []struct {
		name            string
		p               auth.Principal
		typ, key, value string
		want            int
		code            fhir.Code
	}{
		{"one's own, backwards", hospitalSystem, "Patient", "_has:Appointment:patient:status", "booked", 1, ""},
		{"those of others, backwards", clinicSystem, "Patient", "_has:Appointment:patient:status", "booked", 0, ""},
		{"those of others, through two references", clinicSystem, "Patient", "_has:Appointment:patient:slot.status", "free,busy", 0, ""},
		{"those of others, in a filter", clinicSystem, "Appointment", "_filter", "patient._id ne nobody", 0, ""},
		{"one's own, in a filter", hospitalSystem, "Appointment", "_filter", "patient._id ne nobody", 1, ""},
		{"a type that may be searched", narrow, "Appointment", "patient.active:not", "false", 1, ""},
		{"one of several types that may be searched", narrow, "Appointment", "actor._id:not", "nobody", 1, ""},
		{"a type that may not be searched", narrow, "Appointment", "slot.status", "free", 0, fhir.CodeForbidden},
		{"the same behind a type that may", narrow, "Patient", "_has:Appointment:patient:slot.status", "free", 0, fhir.CodeForbidden},
	} {
		req, err := w.exchange.ParseSearch(c.typ, url.Values{c.key: {c.value}})
		if err != nil || len(req.Unknown) > 0 {
			t.Fatal(c.name, req.Unknown, err)
		}
		found, err := w.exchange.Search(w.ctx, c.p, req)
		if len(found.Matches) != c.want || c.code == "" && err != nil || c.code != "" && fhir.CodeOf(err) != c.code {
			t.Errorf("%s: %d found, %v; want %d, %q", c.name, len(found.Matches), err, c.want, c.code)
		}
	}
}
