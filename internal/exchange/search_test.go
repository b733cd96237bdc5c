package exchange_test

import (
	"net/url"
	"testing"

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
