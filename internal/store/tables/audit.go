package tables

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// PutAudit implements store.Tx.
func (w Writer) PutAudit(a store.Audit) error {
	return w.Conn.Exec("INSERT INTO audit (at, action, operation, agent_kind, agent, organization, target, outcome, trace) VALUES ("+marks(9)+")",
		Micro(a.At), a.Action, a.Operation, a.AgentKind, a.Agent, a.Organization, a.Target, a.Outcome, a.Trace)
}

// AuditTrail implements store.Reader.
func (r Reader) AuditTrail(q store.AuditQuery) ([]store.Audit, error) {
	where, args := r.audited(q)
	return Many(r.Conn, "SELECT seq, at, action, operation, agent_kind, agent, organization, target, outcome, trace FROM audit WHERE "+
		where+" ORDER BY seq DESC LIMIT ? OFFSET ?", append(args, q.Count, q.Offset),
		func(r Row) (a store.Audit, err error) {
			err = r.Scan(&a.Seq, At{&a.At}, &a.Action, &a.Operation, &a.AgentKind, &a.Agent, &a.Organization, &a.Target, &a.Outcome, &a.Trace)
			return a, err
		})
}

// AuditCount implements store.Reader.
func (r Reader) AuditCount(q store.AuditQuery) (n int, err error) {
	where, args := r.audited(q)
	err = One(r.Conn, "SELECT count(*) FROM audit WHERE "+where, args, &n)
	return n, err
}

// audited is the condition of a query. An organisation has done so much that its
// records are read only when there is nothing better to go by.
func (r Reader) audited(q store.AuditQuery) (where string, args []any) {
	clauses, args := []string{"at >= ?"}, []any{Micro(q.Since)}
	organization := "organization"
	if q.Target != "" || slices.ContainsFunc(q.Where, func(t store.AuditTest) bool { return t.Field == store.AuditTarget && !t.Not }) {
		organization = r.Aside + organization
	}
	for _, f := range []struct{ column, value string }{{"target", q.Target}, {"agent", q.Agent}, {organization, q.Organization}} {
		if f.value != "" {
			clauses, args = append(clauses, f.column+" = ?"), append(args, f.value)
		}
	}
	if q.Seq != 0 {
		clauses, args = append(clauses, "seq = ?"), append(args, q.Seq)
	}
	if q.Until != 0 {
		clauses, args = append(clauses, "seq <= ?"), append(args, q.Until)
	}
	if !q.Before.IsZero() {
		clauses, args = append(clauses, "at < ?"), append(args, Micro(q.Before))
	}
	for _, test := range q.Where {
		in := " IN ("
		if test.Not {
			in = " NOT IN ("
		}
		clauses, args = append(clauses, string(test.Field)+in+marks(len(test.Any))+")"), append(args, anys(test.Any)...)
	}
	return strings.Join(clauses, " AND "), args
}
