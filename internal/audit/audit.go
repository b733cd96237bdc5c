// Package audit keeps who did what, when, to which record: one row for each
// access, written in the transaction of the access itself, and shown as FHIR
// AuditEvents.
//
// It keeps ids only: no names, identity numbers or clinical content. It does
// not judge whether an access was right.
package audit

import (
	"strconv"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Outcomes of AuditEvent.outcome.
const (
	Success = "0"
	Refused = "4"
	Failed  = "8"
)

// Entry is an access: Action is C, R, U, D or E as in AuditEvent.action,
// Operation the exchange's own word for it, Target Type/id or a type.
type Entry struct {
	Action, Operation, Target string
	Organization              string // whose record it is; the principal's when empty
	Outcome                   string // Success when empty
}

// Write adds a record of an access by p to the transaction.
func Write(tx store.Tx, at time.Time, p auth.Principal, e Entry) error {
	if e.Organization == "" {
		e.Organization = p.Organization
	}
	if e.Outcome == "" {
		e.Outcome = Success
	}
	return tx.PutAudit(store.Audit{
		At: at, Action: e.Action, Operation: e.Operation, AgentKind: string(p.Kind), Agent: p.ID,
		Organization: e.Organization, Target: e.Target, Outcome: e.Outcome, Trace: p.Trace,
	})
}

type object = map[string]any

// Document renders a record as an AuditEvent.
func Document(a store.Audit) store.Resource {
	id := strconv.FormatInt(a.Seq, 10)
	entity := object{"what": object{"display": a.Target}}
	if ref, ok := fhir.ParseReference(a.Target, ""); ok && ref.Type != "Session" {
		entity = object{"what": object{"reference": a.Target}}
	}
	body := fhir.Marshal(struct {
		ResourceType string `json:"resourceType"`
		ID           string `json:"id"`
		Meta         object `json:"meta"`
		Type         object `json:"type"`
		Subtype      []any  `json:"subtype"`
		Action       string `json:"action"`
		Recorded     string `json:"recorded"`
		Outcome      string `json:"outcome"`
		Agent        []any  `json:"agent"`
		Source       object `json:"source"`
		Entity       []any  `json:"entity"`
	}{
		"AuditEvent", id, object{"versionId": "1", "lastUpdated": fhir.FormatInstant(a.At)},
		object{"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest", "display": "Restful Operation"},
		[]any{object{"code": a.Operation}},
		a.Action, fhir.FormatInstant(a.At), a.Outcome,
		[]any{object{"who": object{"display": a.AgentKind + " " + a.Agent}, "requestor": true}},
		object{"observer": object{"display": "exchange"}},
		[]any{entity},
	})
	return store.Resource{Type: "AuditEvent", ID: id, Version: 1, Updated: a.At, Method: "POST", Organization: a.Organization, Body: body}
}

// Find gives one AuditEvent of an organisation ("" for all).
func Find(r store.Reader, organization, id string) (store.Resource, error) {
	missing := fhir.Errorf(fhir.CodeNotFound, "", "There is no AuditEvent with id %s.", id)
	seq, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return store.Resource{}, missing
	}
	list, err := r.AuditTrail(store.AuditQuery{Seq: seq, Organization: organization, Count: 1})
	if err != nil {
		return store.Resource{}, err
	}
	if len(list) == 0 {
		return store.Resource{}, missing
	}
	return Document(list[0]), nil
}

// Search answers a search for AuditEvents, newest first: by entity and date,
// up to the one numbered until, or all when that is 0.
func Search(r store.Reader, q store.Query, until int64) (store.Page, error) {
	ask := store.AuditQuery{Organization: q.Organization, Until: until, Offset: q.Offset, Count: q.Count + 1}
	for _, c := range q.Where {
		c := c.Clause
		if c == nil {
			return store.Page{}, unsupported("conditions on other records")
		}
		if len(c.Any) != 1 || c.Not {
			return store.Page{}, unsupported(c.Param)
		}
		m := c.Any[0]
		switch {
		case c.Param == "entity" && m.Compare == store.Equal:
			ask.Target = m.Value
		case c.Param == "date" && (m.Compare == store.GreaterEqual || m.Compare == store.GreaterThan):
			ask.Since = time.UnixMicro(m.Low)
		default:
			return store.Page{}, unsupported(c.Param)
		}
	}
	page := store.Page{Total: -1}
	if q.Total || q.Count == 0 {
		n, err := r.AuditCount(ask)
		if err != nil || q.Count == 0 {
			return store.Page{Total: n}, err
		}
		page.Total = n
	}
	list, err := r.AuditTrail(ask)
	if err != nil {
		return store.Page{}, err
	}
	for i, a := range list {
		if i == q.Count {
			page.More = true
			break
		}
		page.Resources = append(page.Resources, Document(a))
	}
	return page, nil
}

func unsupported(param string) error {
	return fhir.Errorf(fhir.CodeNotSupported, "", "AuditEvents are found by entity and date (ge) alone, not by %s in this way.", param)
}
