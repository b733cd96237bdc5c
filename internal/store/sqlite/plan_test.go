package sqlite

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// walks are the statements that may read a whole table, and why. $ is the end.
var walks = map[string]string{
	"DELETE FROM idempotent WHERE at < ?":         "clearing up, over what is kept for a few days",
	"DELETE FROM published WHERE created < ?":     "clearing up, over what is kept for a few days",
	"DELETE FROM sign_in WHERE expires < ?":       "clearing up, over those signed in",
	"DELETE FROM one_time_code WHERE expires < ?": "clearing up, over codes of the last minutes",
	"max(place) FROM published GROUP BY":          "once when the broker starts, and at its clearing up",
	"FROM audit WHERE at >= ? ORDER BY seq DESC":  "newest first until the page is full",
	"FROM audit WHERE at >= ? AND agent = ?":      "no page asks by agent alone",
	"count(*) FROM audit WHERE at >= ?$":          "an operator's question, without an organisation",
	"s.status <> 'off' AND p.lease <= ?":          "the Subscriptions that are served, of which there are hundreds",
	"THEN c.value - p.done ELSE":                  "the Subscriptions that are served, of which there are hundreds",
	"v.updated >= ?) h":                           "the history of everything, which has no address",
	"v.updated >= ? AND (r.organization = ?":      "the history of everything, which has no address",
}

// small are indexes over the few rows that wait for something.
var small = regexp.MustCompile(`^SCAN (event USING INDEX event_pending|session USING INDEX session_open_ending)$`)

// virtual are scans of what a statement has made itself.
var virtual = regexp.MustCompile(`^SCAN (\(subquery-\d+\)|ahead|h|line|k VIRTUAL TABLE INDEX 1:|s[a-z]( LEFT-JOIN)?|\d+-ROW VALUES CLAUSE|CONSTANT ROW)$`)

func TestEveryStatementUsesAnIndex(t *testing.T) {
	s := fresh(t)
	statements := exercise(t, s)
	if len(statements) < 120 {
		t.Errorf("only %d statements were prepared: the exercise is incomplete", len(statements))
	}
	used := map[string]bool{}
	for query := range statements {
		steps := plan(t, s, query)
		for _, step := range steps {
			if !strings.HasPrefix(step, "SCAN") || small.MatchString(step) || virtual.MatchString(step) {
				continue
			}
			allowed := false
			for text := range walks {
				if strings.Contains(query+"$", text) {
					allowed, used[text] = true, true
				}
			}
			if !allowed {
				t.Errorf("%s\nreads a whole table:\n  %s", query, strings.Join(steps, "\n  "))
			}
		}
	}
	for text := range walks {
		if !used[text] {
			t.Errorf("no statement with %q reads a whole table any more", text)
		}
	}
}

// A search looks only at the records that one of its clauses names.
func TestASearchIsLedByItsMostTellingClause(t *testing.T) {
	s := fresh(t)
	match := func(kind store.Kind, compare store.Compare, value string) []store.Match {
		return []store.Match{{Kind: kind, Compare: compare, Value: value}}
	}
	identifier := store.Clause{Param: "identifier", Any: match(store.Token, store.Equal, "1|nric")}
	either := store.Clause{Param: "identifier", Any: append(match(store.Token, store.Equal, "1|nric"), match(store.Token, store.Equal, "2|nric")...)}
	subject := store.Clause{Param: "subject", Any: match(store.Reference, store.Equal, "Patient/1")}
	status := store.Clause{Param: "status", Any: match(store.Token, store.Equal, "planned|")}
	notStatus := store.Clause{Param: "status", Any: status.Any, Not: true}
	name := store.Clause{Param: "name", Any: match(store.String, store.HasPrefix, "siti")}
	date := store.Clause{Param: "date", Any: match(store.Date, store.GreaterEqual, "")}
	missing := store.Clause{Param: "date", Any: match(store.Date, store.Missing, "true")}
	id := store.Clause{Param: "_id", Any: match(store.Token, store.Equal, "x")}
	updated := store.Clause{Param: "_lastUpdated", Any: match(store.Date, store.GreaterEqual, "")}

	const byValue, byRow = "SEARCH rd USING PRIMARY KEY (param=? AND value=?)", "SEARCH r USING INDEX resource_created (type=? AND rid=?)"
	const all, owned = "SEARCH r USING INDEX resource_created (type=?)", "SEARCH o USING INDEX resource_owner (type=? AND organization=?)"
	for _, c := range []struct {
		name  string
		where []store.Clause
		want  []string // steps, in this order
		never string
	}{
		{"identifier", []store.Clause{identifier}, []string{byValue, byRow}, "ORDER BY"},
		{"one of two identifiers", []store.Clause{either}, []string{byRow, "SEARCH i USING PRIMARY KEY (param=? AND value=?)"}, "ORDER BY"},
		{"status before reference", []store.Clause{status, subject}, []string{byValue, byRow, "SEARCH i USING PRIMARY KEY (param=? AND value=? AND rid=?)"}, "ORDER BY"},
		{"not a status", []store.Clause{notStatus, subject}, []string{byValue, byRow, "SEARCH i USING PRIMARY KEY (param=? AND value=? AND rid=?)"}, "ORDER BY"},
		{"text and date", []store.Clause{date, name}, []string{byRow, "SEARCH i USING PRIMARY KEY (param=? AND value>? AND value<?)"}, "ORDER BY"},
		{"date missing", []store.Clause{missing, identifier}, []string{byValue, byRow}, "ORDER BY"},
		{"id", []store.Clause{identifier, id}, []string{"SEARCH r USING INDEX sqlite_autoindex_resource_1 (type=? AND id=?)"}, "ORDER BY"},
		{"update", []store.Clause{updated}, []string{"SEARCH r USING INDEX resource_updated (type=? AND updated>?)"}, "SCAN"},
		{"only what is not", []store.Clause{notStatus}, []string{all}, "ORDER BY"},
		{"nothing", nil, []string{all}, "ORDER BY"},
	} {
		for _, organization := range []string{"", "o"} {
			t.Run(c.name+"/"+organization, func(t *testing.T) {
				var steps []string
				if err := s.Update(t.Context(), func(tx store.Tx) error {
					s.writer.forget()
					_, err := tx.Search(store.Query{Type: "Patient", Where: store.Where(c.where...), Organization: organization, Count: 10})
					return err
				}); err != nil {
					t.Fatal(err)
				}
				for query := range s.writer.statements {
					if strings.Contains(query, "r.body") {
						steps = plan(t, s, query)
					}
				}
				rest := steps
				for _, want := range c.want {
					if organization != "" && want == all {
						want = owned
					}
					i := slices.Index(rest, want)
					if i < 0 {
						t.Fatalf("no step %q in its place:\n  %s", want, strings.Join(steps, "\n  "))
					}
					rest = rest[i+1:]
				}
				if all := strings.Join(steps, "\n  "); strings.Contains(all, c.never) {
					t.Errorf("a step has %q:\n  %s", c.never, all)
				}
			})
		}
	}
}

// The history of one record reads its own versions only.
func TestTheHistoryOfOneRecordIsItsOwn(t *testing.T) {
	s := fresh(t)
	found := 0
	for query := range exercise(t, s) {
		if !strings.Contains(query, "resource_version v") || !strings.Contains(query, "r.id = ?") {
			continue
		}
		found++
		steps := plan(t, s, query)
		if !slices.ContainsFunc(steps, func(step string) bool {
			return strings.HasPrefix(step, "SEARCH v USING INDEX sqlite_autoindex_resource_version_1 (rid=?")
		}) {
			t.Errorf("%s\n  %s", query, strings.Join(steps, "\n  "))
		}
	}
	if found < 4 {
		t.Errorf("only %d statements were looked at", found)
	}
}

// plan tells how the engine will run a statement.
func plan(t *testing.T, s *Store, query string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	rows, err := s.writer.sql.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// exercise runs every method of the contract, and searches of every shape, on
// a store and gives all statements that it prepared.
func exercise(t *testing.T, s *Store) map[string]bool {
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
	prepared := map[string]bool{}
	for q := range s.writer.statements {
		prepared[q] = true
	}
	for range cap(s.readers) {
		c := <-s.readers
		for q := range c.statements {
			prepared[q] = true
		}
		s.readers <- c
	}
	for _, q := range []string{"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT job", "ROLLBACK TO job", "RELEASE job"} {
		delete(prepared, q)
	}
	return prepared
}
