package auth

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/store/sqlite"
)

const (
	issuer   = "https://hie.example"
	hospital = "11-05060009"
	secret   = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG" // 43 characters
	password = "correct horse battery staple"
	email    = "htj@source.example"

	aminah = "850712055018" // has an active account
	siti   = "011130050946" // has a record, no account
	nobody = "900101015555" // has neither
)

var clientScopes = []string{"system/*.cruds", "session", "notify"}

// world is a real database with a clock that the test turns, a directory of
// two people and a courier that keeps what it is given.
type world struct {
	t     testing.TB
	store store.Store

	mu     sync.Mutex
	now    time.Time
	people map[string]string // identity number to name
	sent   []delivery
	fail   error // of the courier and the directory, when set
}

type delivery struct{ login, code string }

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		t: t, store: db, now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC),
		people: map[string]string{aminah: "Aminah binti Rahman", siti: "Siti Khadijah binti Musa"},
	}
	w.update(func(tx store.Tx) error {
		return PutClient(tx, w.now, SourceSystem{
			ClientID: "HTJ", Name: "Hospital", Organization: hospital, Secret: secret, Scopes: clientScopes, Email: email, Password: password,
		})
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Known implements Directory.
func (w *world) Known(_ context.Context, login string) (string, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, ok := w.people[login]
	return name, ok, nil
}

// SendCode implements Courier.
func (w *world) SendCode(_ context.Context, login, code string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	w.sent = append(w.sent, delivery{login, code})
	return nil
}

// code gives the code sent last.
func (w *world) code() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) == 0 {
		w.t.Fatal("no code was sent")
	}
	return w.sent[len(w.sent)-1].code
}

func (w *world) deliveries() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

func (w *world) update(fn func(tx store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) account(kind, login string) (a store.Account, there bool) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(r store.Reader) (err error) {
		a, err = r.Account(kind, login)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	return a, err == nil
}

// change changes an account.
func (w *world) change(kind, login string, edit func(*store.Account)) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		a, err := tx.Account(kind, login)
		if err != nil {
			return err
		}
		edit(&a)
		return tx.PutAccount(a)
	})
}

// trail gives the operations of the audit trail, the newest first.
func (w *world) trail() (operations []string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(r store.Reader) error {
		list, err := r.AuditTrail(store.AuditQuery{Count: 1000})
		for _, a := range list {
			if identityNumber.MatchString(a.Agent + a.Target) {
				w.t.Errorf("the audit trail names a person: %+v", a)
			}
			operations = append(operations, a.Operation)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return operations
}

var identityNumber = regexp.MustCompile(`^\d{12}$|/\d{12}$`)

func (w *world) tokens(refuseDemo bool) *Tokens {
	w.t.Helper()
	tokens, err := OpenTokens(w.t.Context(), TokenOptions{
		Store: w.store, Clock: w.clock, Issuer: func() string { return issuer }, RefuseDemo: refuseDemo,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return tokens
}

func wantCode(t testing.TB, err error, want fhir.Code) {
	t.Helper()
	var got fhir.Code
	if err != nil {
		got = fhir.CodeOf(err)
	}
	if got != want {
		t.Fatalf("error %v, want code %q", err, want)
	}
}
