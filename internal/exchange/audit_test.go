package exchange_test

import (
	"testing"

	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Every access leaves one record of who did what to which record, also one
// that was refused for what the principal is.
func TestEveryAccessIsAudited(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	mute := hospitalSystem
	mute.Scopes = nil
	record := "Appointment/app-1"
	for _, c := range []struct {
		name    string
		access  func() error
		by      auth.Principal
		want    audit.Entry
		refused bool
	}{
		{"a read", func() error { _, err := w.exchange.Read(w.ctx, hospitalSystem, "Appointment", "app-1"); return err }, hospitalSystem, audit.Entry{Action: "R", Operation: "read", Target: record}, false},
		{"a version", func() error {
			_, err := w.exchange.VRead(w.ctx, hospitalSystem, "Appointment", "app-1", 1)
			return err
		}, hospitalSystem, audit.Entry{Action: "R", Operation: "vread", Target: record}, false},
		{"a history", func() error {
			_, err := w.exchange.History(w.ctx, hospitalSystem, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Appointment", ID: "app-1", Count: 1}})
			return err
		}, hospitalSystem, audit.Entry{Action: "R", Operation: "history", Target: record}, false},
		{"a write", func() error {
			_, err := w.try(hospitalSystem, w.appointment(wish{}))
			return err
		}, hospitalSystem, audit.Entry{Action: "U", Operation: "update", Target: record}, false},
		{"a read of another's record", func() error { _, err := w.exchange.Read(w.ctx, clinicSystem, "Appointment", "app-1"); return err }, clinicSystem, audit.Entry{Action: "R", Operation: "read", Target: record}, true},
		{"a history of another's record", func() error {
			_, err := w.exchange.History(w.ctx, clinicSystem, exchange.HistoryQuery{HistoryQuery: store.HistoryQuery{Type: "Appointment", ID: "app-1", Count: 1}})
			return err
		}, clinicSystem, audit.Entry{Action: "R", Operation: "history", Target: record}, true},
		{"a write over another's record", func() error {
			_, err := w.try(clinicSystem, w.appointment(wish{}))
			return err
		}, clinicSystem, audit.Entry{Action: "U", Operation: "update", Target: record}, true},
		{"a deletion of another's record", func() error {
			_, err := w.exchange.Delete(w.ctx, clinicSystem, "Appointment", "app-1", nil)
			return err
		}, clinicSystem, audit.Entry{Action: "D", Operation: "delete", Target: record}, true},
		{"a read without the scope", func() error { _, err := w.exchange.Read(w.ctx, mute, "Appointment", "app-1"); return err }, mute, audit.Entry{Action: "R", Operation: "read", Target: record}, true},
	} {
		before := w.audits()
		err := c.access()
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
		after := w.audits()
		if len(after) != len(before)+1 {
			t.Errorf("%s leaves %d records", c.name, len(after)-len(before))
			continue
		}
		got := after[0]
		outcome := audit.Success
		if c.refused {
			outcome = audit.Refused
		}
		if got.Action != c.want.Action || got.Operation != c.want.Operation || got.Target != c.want.Target || got.Agent != c.by.ID || got.Outcome != outcome {
			t.Errorf("%s leaves %+v", c.name, got)
		}
	}
}

// audits gives all audit records, the newest first.
func (w *world) audits() []store.Audit {
	w.Helper()
	var list []store.Audit
	w.view(func(r store.Reader) (err error) { list, err = r.AuditTrail(store.AuditQuery{Count: 1000}); return err })
	return list
}

// TestAuditEventsAreFound asks for the records of accesses by all that they
// hold.
func TestAuditEventsAreFound(t *testing.T) {
	w := newWorld(t)
	w.put(hospitalSystem, w.appointment(wish{}))
	if _, err := w.exchange.Read(w.ctx, hospitalSystem, "Appointment", "app-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.exchange.Read(w.ctx, clinicSystem, "Appointment", "app-1"); err == nil {
		t.Fatal("somebody reads another's record")
	}
	const about = "entity=Appointment/app-1"
	for _, c := range []struct {
		query string
		by    auth.Principal
		want  int // -1 for a refusal
	}{
		{about, hospitalSystem, 3}, // with the attempt of the clinic, which does not learn from its own that there is something
		{about, clinicSystem, 0},
		{about + "&action=C", hospitalSystem, 1},
		{about + "&action=C,R", hospitalSystem, 3},
		{about + "&action:not=C", hospitalSystem, 2},
		{about + "&subtype=read", hospitalSystem, 2},
		{about + "&subtype=|read", hospitalSystem, 2},
		{about + "&subtype=http://example.org|read", hospitalSystem, 0},
		{about + "&outcome=4", hospitalSystem, 1},
		{about + "&outcome=4", clinicSystem, 0},
		{about + "&agent-role=client", hospitalSystem, 3},
		{about + "&agent-role=patient", hospitalSystem, 0},
		{about + "&altid=" + hospitalSystem.ID, hospitalSystem, 2},
		{about + "&altid=nobody", hospitalSystem, 0},
		{about + "&action:missing=false", hospitalSystem, 3},
		{about + "&action:missing=true", hospitalSystem, 0},
		{"entity=Appointment/app-1,Appointment/app-2", hospitalSystem, 3},
		{about + "&date=" + w.now.Format("2006-01-02"), hospitalSystem, 3},
		{about + "&date=ge2100", hospitalSystem, 0},
		{about + "&date=lt2100&date=gt2000", hospitalSystem, 3},
		{about + "&date=lt2000", hospitalSystem, 0},
		{about + "&date=ne2000", hospitalSystem, -1},
		{about + "&date:missing=false", hospitalSystem, 3},
		{about + "&date:missing=true", hospitalSystem, 0},
		{about + "&subtype:text=read", hospitalSystem, 0},
		{about + "&entity:identifier=x", hospitalSystem, 0},
		{"patient=siti", hospitalSystem, 1}, // her record was written
	} {
		found, err := w.find(c.by, "AuditEvent?"+c.query)
		switch {
		case (err != nil) != (c.want < 0):
			t.Errorf("%s: %v", c.query, err)
		case err == nil && len(found.Matches) != c.want:
			t.Errorf("%s finds %d for %s, not %d", c.query, len(found.Matches), c.by.ID, c.want)
		}
	}
}
