// Package audit keeps who did what, when, to which record: one row for each
// access, written in the transaction of the access itself, and shown as FHIR
// AuditEvents.
//
// It keeps ids only: no names, identity numbers or clinical content. It does
// not judge whether an access was right.
package audit

import (
	"strconv"
	"strings"
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
		[]any{agent(a)},
		object{"observer": object{"display": "exchange"}},
		[]any{entity},
	})
	return store.Resource{Type: "AuditEvent", ID: id, Version: 1, Updated: a.At, Method: "POST", Organization: a.Organization, Body: body}
}

func agent(a store.Audit) object {
	o := object{"who": object{"display": strings.TrimSpace(a.AgentKind + " " + a.Agent)}, "requestor": true}
	if a.AgentKind != "" {
		o["role"] = []any{object{"coding": []any{object{"code": a.AgentKind}}}}
	}
	if a.Agent != "" {
		o["altId"] = a.Agent
	}
	return o
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

// Search answers a search for AuditEvents, newest first, up to the one numbered
// until, or all when that is 0.
func Search(r store.Reader, q store.Query, until int64) (store.Page, error) {
	ask := store.AuditQuery{Organization: q.Organization, Until: until, Offset: q.Offset, Count: q.Count + 1}
	for _, c := range q.Where {
		if err := add(&ask, c); err != nil {
			return store.Page{}, err
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

// fields says which field of a record a search parameter looks at.
var fields = map[string]store.AuditField{
	"action": store.AuditAction, "subtype": store.AuditOperation, "agent-role": store.AuditAgentKind, "altid": store.AuditAgent,
	"entity": store.AuditTarget, "patient": store.AuditTarget, "outcome": store.AuditOutcome,
}

// add adds a condition of a search to a query.
func add(ask *store.AuditQuery, c store.Condition) error {
	if c.Clause == nil || c.Not {
		return unsupported("conditions of this kind")
	}
	clause := *c.Clause
	name, view, _ := strings.Cut(clause.Param, ":") // such as the words that go with a code
	field, known := fields[name]
	switch {
	case name == "date" && !clause.Not && len(clause.Any) == 1 && clause.Any[0].Compare != store.Missing:
		return within(ask, clause.Any[0])
	case name == "date" && len(clause.Any) == 1 && clause.Any[0].Compare == store.Missing:
		field = store.AuditAction // which all records have, as they have a date
	case !known:
		return unsupported(clause.Param + " in this way")
	}
	test := store.AuditTest{Field: field, Not: clause.Not}
	for _, m := range clause.Any {
		value := m.Value
		switch {
		case view != "": // which no record has
			continue
		case m.Compare == store.Missing: // no record is without any of these
			if m.Value == "true" {
				continue
			}
			return nil
		case m.Kind == store.Token && (m.Compare == store.Equal || m.Compare == store.HasPrefix):
			code, system, _ := strings.Cut(value, "|")
			if value = code; m.Compare == store.Equal && system != "" {
				continue // codes of an audit record stand for themselves
			}
		case m.Compare != store.Equal:
			return unsupported(clause.Param + " in this way")
		}
		test.Any = append(test.Any, value)
	}
	ask.Where = append(ask.Where, test)
	return nil
}

// within narrows a query to a range of time. Records have instants.
func within(ask *store.AuditQuery, m store.Match) error {
	var from, to time.Time
	low, high := time.UnixMicro(m.Low), time.UnixMicro(m.High)
	switch m.Compare {
	case store.Equal, store.Overlaps:
		from, to = low, high
	case store.GreaterEqual:
		from = low
	case store.GreaterThan, store.StartsAfter:
		from = high
	case store.LessThan, store.EndsBefore:
		to = low
	case store.LessEqual:
		to = high
	default:
		return unsupported("date by this prefix")
	}
	if from.After(ask.Since) {
		ask.Since = from
	}
	if !to.IsZero() && (ask.Before.IsZero() || to.Before(ask.Before)) {
		ask.Before = to
	}
	return nil
}

func unsupported(what string) error {
	return fhir.Errorf(fhir.CodeNotSupported, "", "AuditEvents are not found by %s; they are found by action, agent-role, altid, date, entity, outcome, patient and subtype.", what)
}
