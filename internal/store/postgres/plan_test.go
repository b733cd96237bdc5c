package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/query"
)

// walks are the statements that may read a whole table, and why. $ is the end.
var walks = map[string]string{
	"max(place) FROM published GROUP BY":        "once when the broker starts, and at its clearing up",
	"FROM audit WHERE at >= $1 AND agent = $2":  "no page asks by agent alone",
	"count(*) FROM audit WHERE at >= $1$":       "an operator's question, without an organisation",
	"s.status <> 'off' AND p.lease <= $1":       "the Subscriptions that are served, of which there are hundreds",
	"THEN c.value - p.done ELSE":                "the Subscriptions that are served, of which there are hundreds",
	"DELETE FROM notice WHERE at < $1":          "clearing up, over the Subscriptions that are served",
	"r.updated >= $1 AND r.type = $2 UNION ALL": "the history of all records of a type",
	"r.updated >= $1 UNION ALL":                 "the history of everything, which has no address",
	"r.updated >= $1 AND (r.organization = $2":  "the history of everything, which has no address",
}

// recorder remembers statements with arguments of each.
type recorder struct {
	sync.Mutex
	seen map[string][]any
}

func (*recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (*recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (*recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (r *recorder) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	r.Lock()
	defer r.Unlock()
	r.seen[data.SQL] = data.Args
}
func (*recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// fill makes a database of fifty thousand rows in each table.
func fill(t *testing.T, c *pgx.Conn) {
	t.Helper()
	const rows = "generate_series(1, 50000) n"
	for _, name := range []string{"token", "text", "reference", "date"} {
		p := query.Param("Patient", name)
		if name == "date" {
			run(t, c, fmt.Sprintf("INSERT INTO index_date SELECT %d::bigint + n %% 10, n * 100, n * 100 + 50, n FROM "+rows, p))
			continue
		}
		run(t, c, fmt.Sprintf("INSERT INTO index_value SELECT %d::bigint + n %% 10, 'x' || n, n FROM "+rows, p))
	}
	for _, query := range []string{
		"INSERT INTO resource (type, id, version, updated, method, organization, body) SELECT CASE n % 20 WHEN 0 THEN 'Patient' ELSE 'Type' || n % 20 END, 'x' || n, 2, n, 'PUT', 'o' || n % 50, 'body' FROM " + rows,
		"INSERT INTO resource_version SELECT n, 1, CASE n % 20 WHEN 0 THEN 'Patient' ELSE 'Type' || n % 20 END, n, 'POST', 'body' FROM " + rows,
		"INSERT INTO index_reference SELECT 'Patient/' || n, n, 1 FROM " + rows,
		"INSERT INTO granted SELECT n, 'o' || n % 50 FROM " + rows,
		"INSERT INTO session SELECT 't' || n, 'r' || n, 'ended', 'VCI', 'o', '', n, n, n, n FROM " + rows,
		"INSERT INTO consultation SELECT 'a' || n, 'e' || n, 'p' || n, 'o', 'h' || n % 50, 'VCI', 't' || n, CASE n % 100 WHEN 0 THEN 'waiting' ELSE 'finished' END, n, n, n, n, n, n FROM " + rows,
		"INSERT INTO booking SELECT 's' || n, 'a' || n FROM " + rows,
		"INSERT INTO account SELECT CASE n % 100 WHEN 0 THEN 'client' ELSE 'patient' END, 'i' || n, 'l' || n, '', '', 'o', '', true, n, false FROM " + rows,
		"INSERT INTO sign_in SELECT 'h' || n, 'patient', 'i' || n, '', n, n + 1000 FROM " + rows,
		"INSERT INTO one_time_code SELECT 'patient', 'l' || n, '', n + 1000, 0 FROM " + rows,
		"INSERT INTO notification SELECT 'n' || n, 'i' || n, '', '', '', '', n, 0 FROM " + rows,
		"INSERT INTO idempotent SELECT 'p' || n % 20, 'k' || n, '', n + 1000 FROM " + rows,
		"INSERT INTO cursor SELECT 'c' || n / 5, n % 5, '', n + 1000 FROM " + rows,
		"INSERT INTO attempts SELECT 'k' || n, n + 1000 FROM " + rows,
		"INSERT INTO signal (key, at) SELECT 'k', n + 1000 FROM " + rows,
		"INSERT INTO setting SELECT 'n' || n, '' FROM " + rows,
		"INSERT INTO counter SELECT 'n' || n, n FROM " + rows,
		"INSERT INTO event (topic, key, number, headers, value, created, published) SELECT 't' || n % 20, 'k', n, '[]', '', n, n + 1000 FROM " + rows,
		"INSERT INTO published SELECT 't' || n % 20, n % 8, n, n FROM " + rows,
		"INSERT INTO audit (at, action, operation, agent_kind, agent, organization, target, outcome, trace) SELECT n, 'R', 'read', 'client', 'c', 'o' || n % 20, 'Patient/x' || n, '0', '' FROM " + rows,
		"INSERT INTO subscriber SELECT 's' || n, 'o' || n % 50, 'c', '', 'Type' || n % 20, 'rest-hook', '', 'active' FROM " + rows,
		"INSERT INTO progress SELECT 's' || n, n, 0, n + 1000, n, '', 0 FROM " + rows,
		"INSERT INTO notice SELECT 's' || n, 1, 'Type', 'x', 1, true, n + 1000 FROM " + rows,
		"ANALYZE",
	} {
		run(t, c, query)
	}
}

func TestNoStatementReadsAWholeTable(t *testing.T) {
	url := database(t)
	seen := &recorder{seen: map[string][]any{}}
	s, err := observed(t.Context(), url, seen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := admin(t, url)
	fill(t, c)
	run(t, c, "SET random_page_cost = 1.1") // as the store's own connections
	run(t, c, "SET jit = off")
	exercise(t, s)
	if len(seen.seen) < 110 {
		t.Errorf("only %d statements were run: the exercise is incomplete", len(seen.seen))
	}
	scan, parameter := regexp.MustCompile(`Seq Scan on (\w+)`), regexp.MustCompile(`\$\d+`)
	check := func(query, kind string, steps []string) {
		plan := strings.Join(steps, "\n  ")
		if !scan.MatchString(plan) {
			return
		}
		for text := range walks {
			if strings.Contains(query+"$", text) {
				return
			}
		}
		t.Errorf("%s plan of\n%s\nreads a whole table:\n  %s", kind, query, plan)
	}
	explain := func(query string, args ...any) []string {
		rows, err := c.Query(t.Context(), query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return steps
	}
	for query, args := range seen.seen {
		if !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "INSERT") && !strings.HasPrefix(query, "UPDATE") && !strings.HasPrefix(query, "DELETE") {
			continue
		}
		check(query, "the", explain("EXPLAIN "+query, args...))
		if strings.Contains(query, "index_") && strings.HasPrefix(query, "SELECT") {
			continue // a search, whose plan hangs on its arguments
		}
		// The server may settle for one plan for all arguments.
		run(t, c, "SET plan_cache_mode = force_generic_plan")
		run(t, c, "PREPARE general AS "+query)
		call := "EXPLAIN EXECUTE general"
		if len(args) > 0 {
			call += "(" + strings.TrimSuffix(strings.Repeat("NULL,", len(args)), ",") + ")"
		}
		check(parameter.ReplaceAllStringFunc(query, strings.ToLower), "the general", explain(call))
		run(t, c, "DEALLOCATE general")
		run(t, c, "SET plan_cache_mode = auto")
	}
}

// exercise runs every method of the contract, and searches of every shape, on
// a store.
func exercise(t *testing.T, s *Store) {
	t.Helper()
	quiet := func(err error) error {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	drop := func(_ any, err error) error { return quiet(err) }
	entries := []store.Entry{{Param: "a", Kind: store.Token, Value: "x|"}, {Param: "b", Kind: store.Date, Low: 1, High: 2}, {Param: "c", Kind: store.Reference, Value: "Patient/x"}}
	now := time.UnixMicro(1)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.NextNumber("n")
		return errors.Join(err,
			tx.PutResource(store.Resource{Type: "Patient", ID: "p", Version: 1}, entries, nil),
			tx.PutResource(store.Resource{Type: "Patient", ID: "p", Version: 2}, nil, entries),
			tx.Grant("Patient", "p", "o"), tx.PutSession(store.Session{Token: "t"}), tx.PutConsultation(store.Consultation{Appointment: "a"}),
			tx.Book("s", "a"), tx.Unbook("s", "a"), tx.PutAccount(store.Account{}), tx.PutSignIn(store.SignIn{}), tx.DeleteSignIn("h"),
			tx.PutOneTimeCode(store.OneTimeCode{}), tx.DeleteOneTimeCode("k", "l"), tx.PutNotification(store.Notification{}),
			tx.PutIdempotent("p", "k", nil, now), tx.PutSetting("s", nil), tx.PutCursor(store.Cursor{ID: "c"}), tx.PutAudit(store.Audit{}), tx.PutEvent(store.Event{}),
			tx.MarkPublished(now, []store.Published{{Seq: 1}}), tx.PutSubscriber(store.Subscriber{ID: "s"}),
			tx.PutNotice(store.Notice{Subscription: "s"}), tx.ReleaseSubscribers("n"), tx.DeleteSubscriber("s"), tx.Forget(now, now))
	})
	if err != nil {
		t.Fatal(err)
	}
	any := func(m store.Match) []store.Match { return []store.Match{m} }
	clauses := [][]store.Clause{
		nil,
		{{Param: "_id", Any: any(store.Match{Value: "x"})}},
		{{Param: "_lastUpdated", Any: any(store.Match{Kind: store.Date, Compare: store.GreaterEqual})}},
		{{Param: "token", Any: any(store.Match{Kind: store.Token, Compare: store.Equal})}},
		{{Param: "token", Any: []store.Match{{Kind: store.Token, Compare: store.Equal}, {Kind: store.Token, Compare: store.Equal}}}},
		{{Param: "text", Any: any(store.Match{Kind: store.String, Compare: store.HasPrefix, Value: "x"})}},
		{{Param: "date", Any: any(store.Match{Kind: store.Date, Compare: store.Equal})}},
		{{Param: "date", Any: any(store.Match{Kind: store.Date, Compare: store.GreaterEqual})}, {Param: "date", Any: any(store.Match{Kind: store.Date, Compare: store.LessThan})}},
		{{Param: "reference", Any: any(store.Match{Kind: store.Reference, Compare: store.Equal})}, {Param: "token", Any: any(store.Match{Kind: store.Token, Compare: store.Equal})}},
		{{Param: "token", Any: any(store.Match{Kind: store.Token, Compare: store.Equal}), Not: true}},
		{{Param: "token", Any: any(store.Match{Kind: store.Token, Compare: store.Missing, Value: "true"})}},
	}
	sorts := [][]store.Sort{nil, {{Param: "_lastUpdated", Descending: true}}, {{Param: "date"}}}
	err = s.View(t.Context(), func(r store.Reader) error {
		var errs []error
		for _, where := range clauses {
			for _, sort := range sorts {
				for _, organization := range []string{"", "o"} {
					q := store.Query{Type: "Patient", Where: store.Where(where...), Sort: sort, Organization: organization, Count: 10, Total: true}
					errs = append(errs, drop(r.Search(q)), drop(r.List(q)))
				}
			}
		}
		for _, q := range []store.HistoryQuery{{Type: "Patient", ID: "p"}, {Type: "Patient"}, {}} {
			for _, organization := range []string{"", "o"} {
				q.Organization, q.Count = organization, 10
				errs = append(errs, drop(r.History(q)), drop(r.ListHistory(q)))
			}
		}
		for _, q := range []store.AuditQuery{{}, {Seq: 1}, {Target: "t"}, {Agent: "a"}, {Organization: "o"}, {Target: "t", Organization: "o"}} {
			errs = append(errs, drop(r.AuditTrail(q)), drop(r.AuditCount(q)))
		}
		return errors.Join(append(errs,
			drop(r.ResourceVersion("Patient", "p", 1)), drop(r.MaySee("Patient", "p", "o")), drop(r.ReferencedBy([]store.Key{{Type: "Patient", ID: "p"}}, 1)),
			drop(r.Session("t")), drop(r.SessionByRoom("r")), drop(r.OpenEndings(1)),
			drop(r.Consultation("a")), drop(r.ConsultationOf("e")), drop(r.ConsultationsWith("t")), drop(r.ConsultationsFor([]string{"p"})),
			drop(r.ConsultationsFor([]string{"p", "q"})), drop(r.Ahead(store.Consultation{})), drop(r.Due([]string{"a", "b"}, now, 1)), drop(r.Booked("s")),
			drop(r.Account("k", "l")), drop(r.AccountByID("k", "i")), drop(r.Accounts("k")), drop(r.SignIn("h")), drop(r.OneTimeCode("k", "l")),
			drop(r.Notifications("i", 1)), drop(r.Idempotent("p", "k")), drop(r.Setting("s")), drop(r.Cursor("c", 1)),
			drop(r.Resources([]store.Key{{Type: "Patient", ID: "p"}}, "")), drop(r.Resources([]store.Key{{Type: "Patient", ID: "p", Version: 1}}, "o")),
			drop(r.PendingEvents(1)), drop(r.LastPublished()), drop(r.PublishedSince("t", now)),
			drop(r.Subscriber("s")), drop(r.Subscribers("Type1")), drop(r.DueSubscribers(now, 1)), drop(r.Notices("s", 1, 9, 1)), drop(r.Deliveries()))...)
	})
	if err != nil {
		t.Fatal(err)
	}
}
