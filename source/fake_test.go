package source

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
)

// exchange is a small exchange: it keeps records and sessions, checks tokens,
// and can be told to fail.
type exchange struct {
	*httptest.Server
	t  *testing.T
	mu sync.Mutex

	now     time.Time
	faults  []fault  // of the next requests beside those for tokens
	log     []string // method and path of all requests
	headers []http.Header
	bodies  []string
	issued  int
	valid   string // the one token that counts
	expires int    // seconds of a token
	records map[string][]string
	keys    map[string]bool // Idempotency-Keys
	status  string          // of the session
	waits   []time.Duration // of the client
}

// fault replaces the answer to one request.
type fault struct {
	status     int // 0: the connection breaks
	retryAfter string
	body       string
	after      bool // the request takes effect before
}

const (
	clientID     = "htj:phis"
	clientSecret = "a+b %&/ü"
)

func newExchange(t *testing.T) (*exchange, *Client) {
	e := &exchange{t: t, now: nine, expires: 300, records: map[string][]string{}, keys: map[string]bool{}, status: "created"}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	c, err := New(Config{Server: e.URL + "/", ClientID: clientID, ClientSecret: clientSecret})
	if err != nil {
		t.Fatal(err)
	}
	c.clock = e.clock
	c.wait = func(ctx context.Context, d time.Duration) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.waits = append(e.waits, d)
		e.now = e.now.Add(d)
		return ctx.Err()
	}
	return e, c
}

func (e *exchange) clock() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *exchange) fail(faults ...fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, faults...)
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, r.Method+" "+r.URL.RequestURI())
	e.headers = append(e.headers, r.Header)
	e.bodies = append(e.bodies, string(body))
	if r.URL.Path == "/auth/token" {
		e.token(w, r, body)
		return
	}
	if len(e.faults) > 0 {
		f := e.faults[0]
		e.faults = e.faults[1:]
		if f.after {
			e.answer(httptest.NewRecorder(), r, body)
		}
		if f.status == 0 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if f.retryAfter != "" {
			w.Header().Set("Retry-After", f.retryAfter)
		}
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, f.body)
		return
	}
	e.answer(w, r, body)
}

func (e *exchange) token(w http.ResponseWriter, r *http.Request, body []byte) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != clientID || secret != clientSecret || string(body) != "grant_type=client_credentials" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"The client id or secret is not right."}`)
		return
	}
	e.issued++
	e.valid = fmt.Sprintf("token-%d", e.issued)
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, e.valid, e.expires)
}

func outcomeOf(w http.ResponseWriter, err *fhir.Error) {
	w.WriteHeader(fhir.Status(err))
	_, _ = w.Write(fhir.Outcome(err, "trace"))
}

func (e *exchange) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api/v2/user/session":
		_, _ = io.WriteString(w, `{"token":"mail","expiresAt":"2026-11-23T10:00:00.000+08:00"}`)
	case r.Header.Get("Authorization") == "Bearer mail" && path[0] == "api":
		e.notify(w, r, body)
	case r.Header.Get("Authorization") != "Bearer "+e.valid:
		outcomeOf(w, fhir.Errorf(fhir.CodeLogin, "", "Sign in again."))
	case path[0] == "api":
		e.notify(w, r, body)
	case path[0] == "jitsi":
		e.session(w, r, path, body)
	case len(path) == 1:
		_, _ = io.WriteString(w, `{"resourceType":"Bundle","type":"transaction-response"}`)
	case len(path) == 3 && path[2] == "_search", len(path) == 2 && r.Method == http.MethodGet:
		e.search(w, r, path[1], body)
	default:
		e.record(w, r, path, body)
	}
}

func (e *exchange) record(w http.ResponseWriter, r *http.Request, path []string, body []byte) {
	if r.Method == http.MethodPost {
		path = append(path, "made")
	}
	ref := path[1] + "/" + path[2]
	versions := e.records[ref]
	switch r.Method {
	case http.MethodGet:
		if len(versions) == 0 {
			outcomeOf(w, fhir.Errorf(fhir.CodeNotFound, "", "There is no such record."))
			return
		}
		at := len(versions)
		if len(path) == 5 {
			_, _ = fmt.Sscan(path[4], &at)
		}
		_, _ = io.WriteString(w, versions[at-1])
	case http.MethodDelete:
		delete(e.records, ref)
		w.WriteHeader(http.StatusNoContent)
	default:
		if m := r.Header.Get("If-Match"); m != "" && m != fmt.Sprintf(`W/"%d"`, len(versions)) {
			outcomeOf(w, fhir.Errorf(fhir.CodeConflict, "", "The record has changed since.").WithStatus(http.StatusPreconditionFailed))
			return
		}
		doc, err := fhir.Parse(body)
		if err == nil {
			doc, err = doc.Stamp(path[2], int64(len(versions)+1), e.now)
		}
		if err != nil {
			outcomeOf(w, fhir.Errorf(fhir.CodeStructure, "", "bad"))
			return
		}
		e.records[ref] = append(versions, string(doc.Bytes()))
		if len(versions) == 0 {
			w.WriteHeader(http.StatusCreated)
		}
		if r.Header.Get("Prefer") == "return=representation" {
			_, _ = w.Write(doc.Bytes())
		}
	}
}

// search has three pages: two matches each but for the last, which has an
// included record and a note.
func (e *exchange) search(w http.ResponseWriter, r *http.Request, typ string, body []byte) {
	page := 0
	_, _ = fmt.Sscanf(r.URL.Query().Get("_page"), "p%d", &page)
	var entries []string
	for i := range 2 - page/2 {
		entries = append(entries, fmt.Sprintf(`{"resource":{"resourceType":%q,"id":"m%d"},"search":{"mode":"match"}}`, typ, 2*page+i))
	}
	link := fmt.Sprintf(`{"relation":"next","url":"https://public.example%s/%s?_page=p%d"}`, fhirRoot, typ, page+1)
	if page == 2 {
		link = `{"relation":"self","url":"https://public.example"}`
		entries = append(entries, `{"resource":{"resourceType":"Slot","id":"s"},"search":{"mode":"include"}}`,
			`{"resource":{"resourceType":"OperationOutcome"},"search":{"mode":"outcome"}}`)
	}
	_, _ = fmt.Fprintf(w, `{"resourceType":"Bundle","type":"searchset","link":[%s],"entry":[%s]}`, link, strings.Join(entries, ","))
}

func (e *exchange) session(w http.ResponseWriter, r *http.Request, path []string, body []byte) {
	var in map[string]string
	_ = json.Unmarshal(body, &in)
	switch {
	case r.Method == http.MethodPost:
		w.WriteHeader(http.StatusCreated)
	case len(path) == 5:
		_, _ = fmt.Fprintf(w, `{"joinUrl":"https://meet/x#jwt","jwt":%q,"domain":"meet","room":"x","expiresAt":"2026-11-23T09:05:00+08:00"}`, r.URL.RawQuery)
		return
	case r.Method == http.MethodPatch:
		e.status = in["status"]
	}
	_, _ = fmt.Fprintf(w, `{"token":%q,"status":%q,"room":"x","serviceType":%q,"title":%q,"createdAt":"2026-11-23T09:00:00.000+08:00","participants":[{"id":"1","name":"N","role":"patient"}]}`,
		token, e.status, in["serviceType"], in["title"])
}

func (e *exchange) notify(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		Title, Body string
		PatientIDs  []string
	}
	_ = json.Unmarshal(body, &in)
	status := "delivered"
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		if e.keys[key] {
			status = "repeated"
		}
		e.keys[key] = true
	}
	results := []map[string]string{}
	for _, id := range in.PatientIDs {
		results = append(results, map[string]string{"patientId": id, "status": status})
	}
	_, _ = w.Write(fhir.Marshal(map[string]any{"results": results}))
}

// sent counts the requests whose line begins so.
func (e *exchange) sent(prefix string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, line := range e.log {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}
