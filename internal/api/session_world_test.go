package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
	"github.com/jumpa-hie/jumpa/mycore"
)

const (
	hospitalID = "11-05060009"
	clinicID   = "11-05040012"
	aminah     = "850712055018" // has RekodSaya; a patient of the hospital
	siti       = "011130050946" // has none; a patient of the hospital
	hospitalPW = "correct horse battery staple"
)

var hospitalSecret, clinicSecret, readerSecret = auth.NewSecret(), auth.NewSecret(), auth.NewSecret()

// calls is a video system in which somebody is always there.
type calls struct {
	mu     sync.Mutex
	joined []meeting.Person
	ended  []string
	broken error
}

func (c *calls) Credentials(_ context.Context, room string, p meeting.Person) (meeting.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = append(c.joined, p)
	return meeting.Credentials{
		JoinURL: "https://meet.example/" + room + "#jwt=x", JWT: "x", Domain: "meet.example", Room: room,
		ExpiresAt: time.Date(2026, 11, 23, 9, 5, 0, 0, time.UTC),
	}, c.broken
}

func (c *calls) End(_ context.Context, room string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, room)
	return nil
}

func (c *calls) Present(context.Context, string) ([]meeting.Person, error) {
	return []meeting.Person{{ID: "practitioner-1", Name: "Dr. Farid", Role: meeting.Practitioner}}, nil
}

// systems is what source systems reach: the interfaces over real services and
// a real database, behind the whole middleware.
type systems struct {
	testing.TB
	url      string
	store    *breakable
	calls    *calls
	tokens   *auth.Tokens
	registry *prometheus.Registry
	log      *buffer
	mux      *http.ServeMux // what the tests add stands here

	mu  sync.Mutex
	now time.Time
}

// breakable is a real database until its disk fails.
type breakable struct {
	store.Store
	broken atomic.Bool
}

var errDisk = errors.New("the disk is closed for ever")

// View implements store.Store.
func (b *breakable) View(ctx context.Context, fn func(store.Reader) error) error {
	if b.broken.Load() {
		return errDisk
	}
	return b.Store.View(ctx, fn)
}

// Update implements store.Store.
func (b *breakable) Update(ctx context.Context, fn func(store.Tx) error) error {
	if b.broken.Load() {
		return errDisk
	}
	return b.Store.Update(ctx, fn)
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSystems(t testing.TB, edit ...func(*Observer)) *systems {
	t.Helper()
	sound, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sound.Close(); err != nil {
			t.Error(err)
		}
	})
	db := &breakable{Store: sound}
	s := &systems{
		TB: t, store: db, calls: &calls{}, registry: prometheus.NewRegistry(), log: &buffer{}, mux: http.NewServeMux(),
		now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC),
	}
	url := func() string { return s.url }
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.tokens, err = auth.OpenTokens(t.Context(), auth.TokenOptions{Store: db, Clock: s.clock, Issuer: url}); err != nil {
		t.Fatal(err)
	}
	x := newExchange(t, db, func() string { return s.url + Root }, s.clock, log)
	x.Consult.Meeting = s.calls
	records, err := NewFHIR(FHIROptions{Exchange: x, Base: x.Base, Clock: s.clock, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	behind := http.NewServeMux()
	records.Register(behind)
	(&OAuth{Tokens: s.tokens, URL: url, Clock: s.clock}).Register(behind)
	(&Sessions{Keeper: x.Consult}).Register(behind)
	(&Notifications{Notifier: &notify.Service{Store: db, Hub: x.Consult.Hub, Clock: s.clock}, Tokens: s.tokens}).Register(behind)
	s.mux.Handle("/", Bearer(s.tokens, behind))
	observer := NewObserver(log, s.clock, s.registry)
	for _, e := range edit {
		e(observer)
	}
	server := httptest.NewServer(observer.Watch(Tidy(s.mux)))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.people()
	return s
}

func (s *systems) people() {
	s.Helper()
	all := []string{"system/*.cruds", "session", "notify"}
	err := s.store.Update(s.Context(), func(tx store.Tx) error {
		var errs []error
		for _, c := range []auth.SourceSystem{
			{ClientID: "hospital", Organization: hospitalID, Secret: hospitalSecret, Scopes: all, Email: "htj@source.example", Password: hospitalPW},
			{ClientID: "clinic", Organization: clinicID, Secret: clinicSecret, Scopes: all},
			{ClientID: "reader", Organization: hospitalID, Secret: readerSecret, Scopes: []string{"system/*.rs"}},
		} {
			errs = append(errs, auth.PutClient(tx, s.now, c))
		}
		for id, number := range map[string]string{"aminah": aminah, "siti": siti} {
			doc, err := fhir.Parse(fmt.Appendf(nil, `{"resourceType":"Patient","id":%q,"identifier":[{"system":%q,"value":%q}]}`, id, mycore.SystemMyKad, number))
			errs = append(errs, err, tx.PutResource(store.Resource{
				Type: "Patient", ID: id, Version: 1, Updated: s.now, Method: "PUT", Organization: hospitalID, Body: doc.Bytes(),
			}, search.Index(doc), nil))
		}
		errs = append(errs, tx.PutAccount(store.Account{Kind: "patient", ID: "acc-aminah", Login: aminah, Active: true}))
		return errors.Join(errs...)
	})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *systems) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *systems) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// token gives a client's token without going through the endpoint.
func (s *systems) token(client, secret string) string {
	s.Helper()
	token, err := s.tokens.ForClient(s.Context(), client, secret, "")
	if err != nil {
		s.Fatal(err)
	}
	return token.Value
}

type reply struct {
	status int
	header http.Header
	body   string
}

// member gives a member of a JSON object.
func (r reply) member(name string) string {
	var o map[string]any
	_ = json.Unmarshal([]byte(r.body), &o) // what is none has no members
	v, _ := o[name].(string)
	return v
}

// do sends a request. A header that is set to "" is not sent.
func (s *systems) do(method, path, token, body string, header map[string]string) reply {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", mediaJSON)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for k, v := range header {
		r.Header.Set(k, v)
		if v == "" {
			r.Header.Del(k)
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(answer)}
}

// written describes all that requests can leave behind.
func (s *systems) written() string {
	s.Helper()
	var out strings.Builder
	err := s.store.View(s.Context(), func(r store.Reader) error {
		trail, err := r.AuditTrail(store.AuditQuery{Count: 1000})
		for _, a := range trail {
			fmt.Fprintln(&out, a.Operation, a.Agent)
			if strings.HasPrefix(a.Target, "Session/") {
				session, err := r.SessionByRoom(strings.TrimPrefix(a.Target, "Session/"))
				if err != nil {
					return err
				}
				fmt.Fprintln(&out, session.Status)
			}
		}
		for _, number := range []string{aminah, siti} {
			list, err := r.Notifications(number, 1000)
			if err != nil {
				return err
			}
			fmt.Fprintln(&out, len(list), "messages")
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return out.String()
}

// wantOutcome checks a refusal: its status, its form, and that it names
// nothing that it must not.
func wantOutcome(t testing.TB, r reply, status int, words string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/fhir+json;charset=utf-8" {
		t.Errorf("a refusal of type %q", got)
	}
	if !strings.Contains(r.body, `"resourceType":"OperationOutcome"`) || !strings.Contains(r.body, words) {
		t.Errorf("the outcome lacks %q: %s", words, r.body)
	}
	for _, secret := range []string{hospitalSecret, hospitalPW, aminah, "sqlite", "goroutine"} {
		if strings.Contains(r.body, secret) {
			t.Errorf("the outcome shows too much: %s", r.body)
		}
	}
}
