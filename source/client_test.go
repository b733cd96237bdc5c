package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNewRefuses(t *testing.T) {
	for _, server := range []string{"", "hie.example.my", "ftp://hie", "https://", "https://u:p@hie", "https://hie?x=1", "https://hie/baseR4", "https://hie/baseR4/", "https://hie:x"} {
		if _, err := New(Config{Server: server}); err == nil {
			t.Errorf("%q was accepted", server)
		} else if server != "" && strings.Contains(err.Error(), "u:p") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestRecords(t *testing.T) {
	e, c := newExchange(t)
	ctx := t.Context()
	doc := document(t, `{"resourceType":"Patient","id":"p1","x":1.00}`)
	first, err := c.Put(ctx, doc)
	if err != nil || first.Version != 1 || !first.Created || !first.Doc.Get("x").Is("1.00") {
		t.Fatalf("first Put: %+v, %v", first, err)
	}
	if r, err := c.PutIf(ctx, first.Doc, 1); err != nil || r.Version != 2 || r.Created {
		t.Errorf("PutIf: %+v, %v", r, err)
	}
	_, err = c.PutIf(ctx, first.Doc, 1)
	wantStatus(t, err, http.StatusPreconditionFailed, "conflict")
	if d, err := c.Get(ctx, "Patient/p1"); err != nil || !d.Get("meta.versionId").Is("2") {
		t.Errorf("Get: %v", err)
	}
	if d, err := c.Get(ctx, "Patient/p1/_history/1"); err != nil || !d.Get("meta.versionId").Is("1") {
		t.Errorf("Get of a version: %v", err)
	}
	if r, err := c.Create(ctx, document(t, `{"resourceType":"Patient"}`)); err != nil || r.Doc.ID() != "made" || !r.Created {
		t.Errorf("Create: %+v, %v", r, err)
	}
	if err := c.Delete(ctx, "Patient/p1"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	_, err = c.Get(ctx, "Patient/p1")
	wantStatus(t, err, http.StatusNotFound, "not-found")
	bundle, _ := NewTransaction(doc)
	if d, err := c.Transaction(ctx, bundle); err != nil || !d.Get("type").Is("transaction-response") {
		t.Errorf("Transaction: %v", err)
	}
	if n := e.sent("POST /auth/token"); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
}

func TestReferencesAreChecked(t *testing.T) {
	e, c := newExchange(t)
	for _, ref := range []string{"", "p1", "Patient/", "Patient/../x", "Patient/p1?x=1", "https://elsewhere/Patient/p1"} {
		if _, err := c.Get(t.Context(), ref); err == nil {
			t.Errorf("%q was read", ref)
		}
		if err := c.Delete(t.Context(), ref); err == nil {
			t.Errorf("%q was deleted", ref)
		}
	}
	if _, err := c.Put(t.Context(), document(t, `{"resourceType":"Patient"}`)); err == nil {
		t.Error("a record without id was put")
	}
	if _, err := c.SearchAll(t.Context(), "Patient/p1", nil); err == nil {
		t.Error("a search in no type")
	}
	if len(e.log) > 0 {
		t.Errorf("requests were sent: %v", e.log)
	}
}

func wantStatus(t *testing.T, err error, status int, code string) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != status || refused.Issues[0].Code != code {
		t.Errorf("the error is %v, want %d %s", err, status, code)
	}
}

func TestSearchGoesThroughAllPages(t *testing.T) {
	e, c := newExchange(t)
	e.fail(fault{}, fault{status: 503, retryAfter: "1"})
	all, err := c.SearchAll(t.Context(), "Appointment", url.Values{"patient.identifier": {"910503145678"}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, d := range all {
		ids = append(ids, d.Type()+"/"+d.ID())
	}
	if got := strings.Join(ids, " "); got != "Appointment/m0 Appointment/m1 Appointment/m2 Appointment/m3 Appointment/m4 Slot/s" {
		t.Errorf("found %s", got)
	}
	for _, line := range e.log {
		if strings.Contains(line, "910503145678") {
			t.Errorf("an identity number stands in an address: %s", line)
		}
	}
	if !slices.Contains(e.bodies, "patient.identifier=910503145678") {
		t.Errorf("the parameters did not arrive: %q", e.bodies)
	}
}

func TestSearchEndsWhereTheCallerStops(t *testing.T) {
	e, c := newExchange(t)
	for range c.Search(t.Context(), "Appointment", nil) {
		break
	}
	if n := e.sent("GET"); n != 0 {
		t.Errorf("%d more pages were read", n)
	}
	e.fail(fault{status: 400, body: `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}`})
	n := 0
	for doc, err := range c.Search(t.Context(), "Appointment", nil) {
		n++
		if doc != nil {
			t.Error("a record came with the error")
		}
		wantStatus(t, err, 400, "invalid")
	}
	if n != 1 {
		t.Errorf("%d results", n)
	}
}

// TestTrying: what is sent again and what is not. Each row is one call against
// the faults; sent counts the requests beside those for tokens.
func TestTrying(t *testing.T) {
	busy := fault{status: 503, retryAfter: "7"}
	calls := map[string]func(context.Context, *Client) error{
		"get":   func(ctx context.Context, c *Client) error { _, err := c.Session(ctx, token); return err },
		"patch": func(ctx context.Context, c *Client) error { _, err := c.Activate(ctx, token); return err },
		"join": func(ctx context.Context, c *Client) error {
			_, err := c.Join(ctx, token, JoinRequest{Name: "N"})
			return err
		},
		"delete": func(ctx context.Context, c *Client) error { return c.Delete(ctx, "Patient/p1") },
		"put": func(ctx context.Context, c *Client) error {
			_, err := c.Put(ctx, document(t, `{"resourceType":"Patient","id":"p1"}`))
			return err
		},
		"create": func(ctx context.Context, c *Client) error {
			_, err := c.Create(ctx, document(t, `{"resourceType":"Patient"}`))
			return err
		},
		"session": func(ctx context.Context, c *Client) error { _, err := c.CreateSession(ctx, NewSession{}); return err },
		"transaction": func(ctx context.Context, c *Client) error {
			_, err := c.Transaction(ctx, document(t, `{"resourceType":"Bundle"}`))
			return err
		},
		"notify": func(ctx context.Context, c *Client) error {
			_, err := c.Notify(ctx, Notification{Title: "t", PatientIDs: []string{"p1"}})
			return err
		},
		"notify with a key": func(ctx context.Context, c *Client) error {
			_, err := c.Notify(ctx, Notification{Title: "t", PatientIDs: []string{"p1"}, IdempotencyKey: "k"})
			return err
		},
	}
	for _, row := range []struct {
		call   string
		faults []fault
		sent   int
		ok     bool
		wait   time.Duration // the first one, 0: any
	}{
		{"get", []fault{{}, {}}, 3, true, 0},
		{"get", []fault{busy}, 2, true, 7 * time.Second},
		{"get", []fault{{status: 429, retryAfter: nine.Add(20 * time.Second).UTC().Format(http.TimeFormat)}}, 2, true, 20 * time.Second},
		{"get", []fault{{status: 429, retryAfter: "3600"}}, 1, false, 0},
		{"get", []fault{{status: 502}, {status: 504}}, 3, true, 0},
		{"get", []fault{busy, busy, busy, busy, busy, busy}, 5, false, 7 * time.Second},
		{"get", []fault{{status: 500}}, 1, false, 0},
		{"get", []fault{{status: 409}}, 1, false, 0},
		{"get", []fault{{status: 302}}, 1, false, 0},
		{"put", []fault{{after: true}, busy}, 3, true, 0},
		{"patch", []fault{{after: true}}, 2, true, 0},
		{"join", []fault{busy}, 2, true, 0},
		{"delete", []fault{{after: true}}, 2, true, 0},
		{"notify with a key", []fault{{after: true}, busy}, 3, true, 0},
		{"notify", []fault{busy}, 1, false, 0},
		{"create", []fault{{after: true}}, 1, false, 0},
		{"session", []fault{busy}, 1, false, 0},
		{"transaction", []fault{busy}, 1, false, 0},
		{"create", []fault{{status: 401}}, 2, true, 0}, // it took no effect
		{"create", []fault{{status: 401}, {status: 401}}, 2, false, 0},
	} {
		t.Run(fmt.Sprint(row.call, row.faults), func(t *testing.T) {
			e, c := newExchange(t)
			e.fail(row.faults...)
			err := calls[row.call](t.Context(), c)
			if (err == nil) != row.ok {
				t.Errorf("the error is %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), e.URL)) {
				t.Errorf("the error shows the address: %v", err)
			}
			if n := e.sent("") - e.sent("POST /auth/token"); n != row.sent {
				t.Errorf("sent %d times, want %d: %v", n, row.sent, e.log)
			}
			if row.wait > 0 && e.waits[0] != row.wait {
				t.Errorf("waited %v, want %v", e.waits, row.wait)
			}
		})
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	for try := 1; try < 100; try++ {
		top := min(lastPause, firstPause<<min(try-1, 10))
		if d := backoff(try); d > top || d <= top/2 {
			t.Fatalf("pause %v after try %d", d, try)
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	e, c := newExchange(t)
	e.fail(fault{status: 503})
	ctx, cancel := context.WithCancel(t.Context())
	c.wait = func(ctx context.Context, d time.Duration) error {
		cancel()
		return sleep(ctx, time.Hour)
	}
	_, err := c.Get(ctx, "Patient/p1")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	wantStatus(t, err, 503, "transient")
	if _, err := c.Get(ctx, "Patient/p1"); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestTokens(t *testing.T) {
	e, c := newExchange(t)
	use := func() {
		t.Helper()
		if _, err := c.Session(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(want int) {
		t.Helper()
		if n := e.sent("POST /auth/token"); n != want {
			t.Errorf("%d tokens were asked for, want %d", n, want)
		}
	}
	advance := func(d time.Duration) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.now = e.now.Add(d)
	}
	use()
	advance(269 * time.Second)
	use()
	asked(1)
	advance(2 * time.Second) // 29 s before the end
	use()
	asked(2)
	e.mu.Lock()
	e.valid = "another" // revoked
	e.mu.Unlock()
	use()
	asked(3)
	e.mu.Lock()
	e.expires, e.valid = 0, "another"
	e.mu.Unlock()
	use()
	use() // a token without a life serves one call
	asked(5)
}

func TestManyCallsShareAToken(t *testing.T) {
	e, c := newExchange(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Session(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := e.sent("POST /auth/token"); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Calls that wait for the same token fail together, and do not try one after
// the other what has just failed.
func TestManyCallsShareAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		c, err := New(Config{Server: "https://hie.example", ClientID: clientID, ClientSecret: clientSecret, HTTPClient: &http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				if !up {
					return nil, errors.New("no route")
				}
				w := httptest.NewRecorder()
				_, _ = w.WriteString(`{"access_token":"a","expires_in":300,"resourceType":"Patient"}`)
				return w.Result(), nil
			}),
		}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := c.Get(t.Context(), "Patient/p1"); err == nil || !strings.Contains(err.Error(), "no route") {
					t.Errorf("the error is %v", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > tries*(time.Second+lastPause) {
			t.Errorf("20 calls fail after %v", took)
		}
		up = true
		if _, err := c.Get(t.Context(), "Patient/p1"); err != nil {
			t.Errorf("once it works again: %v", err)
		}
	})
}

func TestWrongSecret(t *testing.T) {
	e, _ := newExchange(t)
	c, err := New(Config{Server: e.URL, ClientID: clientID, ClientSecret: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Get(t.Context(), "Patient/p1")
	wantStatus(t, err, http.StatusUnauthorized, "invalid_client")
	if strings.Contains(err.Error(), "hunter2") || len(e.log) != 1 {
		t.Errorf("%d requests, error %v", len(e.log), err)
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		issues           int
	}{
		{"outcome", `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","diagnostics":"The slot is full.","expression":["Appointment.slot"]},{"severity":"warning","code":"value"}]}`,
			"the exchange answered 409 (conflict): The slot is full.", 2},
		{"details", `{"resourceType":"OperationOutcome","issue":[{"code":"conflict","details":{"text":"Full."}}]}`, "the exchange answered 409 (conflict): Full.", 1},
		{"only a code", `{"resourceType":"OperationOutcome","issue":[{"code":"conflict"}]}`, "the exchange answered 409 (conflict)", 1},
		{"no issues", `{"resourceType":"OperationOutcome"}`, "the exchange answered 409 (exception): Conflict", 1},
		{"a proxy's page", `<html>Siti</html>`, "the exchange answered 409 (exception): Conflict", 1},
		{"endless", `{"resourceType":"OperationOutcome","issue":[` + strings.Repeat(`{"code":"x"},`, 500) + `{}]}`, "the exchange answered 409 (x)", maxIssues},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := refusal(409, []byte(c.body))
			if e.Error() != c.want || len(e.Issues) != c.issues {
				t.Errorf("%d issues, %q", len(e.Issues), e)
			}
		})
	}
	full := refusal(409, []byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"conflict","expression":["Appointment.slot"]}]}`))
	if is := full.Issues[0]; is.Severity != "error" || !slices.Equal(is.Expression, []string{"Appointment.slot"}) {
		t.Errorf("issue %+v", is)
	}
}

func TestSessions(t *testing.T) {
	e, c := newExchange(t)
	ctx := t.Context()
	s, err := c.CreateSession(ctx, NewSession{ServiceType: "VCE", Title: "Class"})
	if err != nil || s.Token != token || s.ServiceType != "VCE" || s.Title != "Class" || !s.CreatedAt.Equal(nine) || !s.EndedAt.IsZero() || len(s.Participants) != 1 {
		t.Errorf("CreateSession: %+v, %v", s, err)
	}
	if s, err := c.Activate(ctx, token); err != nil || s.Status != "active" {
		t.Errorf("Activate: %+v, %v", s, err)
	}
	creds, err := c.Join(ctx, token, JoinRequest{Name: "Dr Lim & co", ID: "7"})
	if err != nil || creds.JWT != "id=7&name=Dr+Lim+%26+co&role=practitioner" || creds.Room != "x" || creds.JoinURL == "" || !creds.ExpiresAt.Equal(nine.Add(5*time.Minute)) {
		t.Errorf("Join: %+v, %v", creds, err)
	}
	if s, err := c.End(ctx, token); err != nil || s.Status != "ended" {
		t.Errorf("End: %+v, %v", s, err)
	}
	if s, err := c.Session(ctx, token); err != nil || s.Status != "ended" {
		t.Errorf("Session: %+v, %v", s, err)
	}
	e.fail(fault{status: 200, body: "<html>"})
	if _, err := c.Session(ctx, token); err == nil {
		t.Error("a page of a proxy passed for a session")
	}
}

func TestNotifications(t *testing.T) {
	_, c := newExchange(t)
	ctx := t.Context()
	message := Notification{Title: "Ready", Body: "You can now join.", PatientIDs: []string{"p1", "910503145678"}, IdempotencyKey: "e1-ready"}
	results, err := c.Notify(ctx, message)
	if err != nil || !slices.Equal(results, []NotificationResult{{"p1", "delivered"}, {"910503145678", "delivered"}}) {
		t.Errorf("Notify: %v, %v", results, err)
	}
	session, expires, err := c.NotificationSession(ctx, "a@b.my", "x")
	if err != nil || session != "mail" || !expires.Equal(nine.Add(time.Hour)) {
		t.Fatalf("NotificationSession: %s %v %v", session, expires, err)
	}
	message.Session = session
	if results, err := c.Notify(ctx, message); err != nil || results[0].Status != "repeated" {
		t.Errorf("Notify: %v, %v", results, err)
	}
	message.Session = "expired"
	_, err = c.Notify(ctx, message)
	wantStatus(t, err, http.StatusUnauthorized, "login")
}

// TestSlowExchange: a call ends with its context although the answer hangs.
func TestSlowExchange(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	_, c := newExchange(t)
	c.http = &http.Client{Transport: slow{arrived, release}}
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Get(ctx, "Patient/p1")
		done <- err
	}()
	<-arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// slow is a connection on which nothing comes back.
type slow struct{ arrived, release chan struct{} }

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	close(s.arrived)
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-s.release:
		return nil, errors.New("released")
	}
}
