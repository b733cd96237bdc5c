package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

func (w *world) browsers(edit ...func(*Browsers)) *Browsers {
	b := &Browsers{
		Store: w.store, Courier: w, Directory: w, Normalize: mycore.NormalizeIdentityNumber, Clock: w.clock, Wait: true,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, e := range edit {
		e(b)
	}
	w.t.Cleanup(b.Stop)
	return OpenBrowsers(b)
}

// activate gives a person an active account.
func (w *world) activate(login string) {
	w.update(func(tx store.Tx) error {
		return tx.PutAccount(store.Account{
			Kind: string(Patient), ID: "account-of-" + login[8:], Login: login, Name: w.people[login], Active: true, Created: w.now,
		})
	})
}

func (w *world) send(b *Browsers, login string) string {
	w.t.Helper()
	if err := b.SendCode(w.t.Context(), Patient, login); err != nil {
		w.t.Fatal(err)
	}
	return w.code()
}

// other gives six digits that are not the code.
func other(code string) string {
	if code == "000000" {
		return "111111"
	}
	return "000000"
}

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	w.activate(aminah)
	b := w.browsers()
	code := w.send(b, "850712-05-5018")
	if !regexp.MustCompile(`^\d{6}$`).MatchString(code) {
		t.Fatalf("code %q", code)
	}
	cookie, err := b.SignIn(t.Context(), Patient, aminah, code, false)
	if err != nil {
		t.Fatal(err)
	}
	p, csrf, err := b.Lookup(WithTrace(t.Context(), "abc"), Patient, cookie)
	if err != nil {
		t.Fatal(err)
	}
	want := Principal{Kind: Patient, ID: "account-of-5018", Login: aminah, Name: "Aminah binti Rahman", Trace: "abc"}
	if fmt.Sprint(p) != fmt.Sprint(want) || len(csrf) < 43 || csrf == cookie {
		t.Errorf("principal %+v", p)
	}
	_, err = b.SignIn(t.Context(), Patient, aminah, code, false)
	wantCode(t, err, fhir.CodeLogin) // a code is good once

	second, err := b.SignIn(t.Context(), Patient, aminah, w.send(b, aminah), false)
	if err != nil || second == cookie {
		t.Fatalf("a second browser: %v", err)
	}
	if _, again, _ := b.Lookup(t.Context(), Patient, second); again == csrf {
		t.Error("two browsers share a CSRF token")
	}
	if err := b.SignOut(t.Context(), cookie); err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Lookup(t.Context(), Patient, cookie)
	wantCode(t, err, fhir.CodeLogin)
	if _, _, err := b.Lookup(t.Context(), Patient, second); err != nil {
		t.Errorf("signing one browser out signed out the other: %v", err)
	}
	if got := strings.Join(w.trail(), " "); got != "sign-out sign-in sign-in" {
		t.Errorf("audit trail %q", got)
	}
}

func TestSignInRefuses(t *testing.T) {
	long := strings.Repeat("1", 10_000)
	for _, c := range []struct {
		name, login string
		code        func(sent string) string
		before      func(w *world)
		kind        Kind
		want        fhir.Code
	}{
		{name: "wrong code", login: aminah, code: other, want: fhir.CodeLogin},
		{name: "no code", login: aminah, code: func(string) string { return "" }, want: fhir.CodeLogin},
		{name: "endless code", login: aminah, code: func(string) string { return long }, want: fhir.CodeLogin},
		{name: "somebody else's code", login: siti, want: fhir.CodeLogin},
		{name: "nobody", login: nobody, want: fhir.CodeLogin},
		{name: "no number", login: "'; --", want: fhir.CodeLogin},
		{name: "expired", login: aminah, before: func(w *world) { w.pass(CodeLife) }, want: fhir.CodeLogin},
		{name: "the record has gone", login: aminah, before: func(w *world) { delete(w.people, aminah) }, want: fhir.CodeLogin},
		{name: "not activated", login: aminah, before: func(w *world) { w.change("patient", aminah, deactivate) }, want: fhir.CodeBusinessRule},
		{name: "not a patient", login: aminah, kind: Operator, want: fhir.CodeNotSupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.activate(aminah)
			b := w.browsers()
			code := w.send(b, aminah)
			if c.code != nil {
				code = c.code(code)
			}
			if c.before != nil {
				c.before(w)
			}
			if c.kind == "" {
				c.kind = Patient
			}
			cookie, err := b.SignIn(t.Context(), c.kind, c.login, code, false)
			wantCode(t, err, c.want)
			if cookie != "" {
				t.Error("a cookie was given")
			}
			if got := w.trail(); len(got) != 0 {
				t.Errorf("audit trail %q, but nothing happened", got)
			}
			if _, there := w.account("patient", siti); there {
				t.Error("an account was made")
			}
		})
	}
}

func deactivate(a *store.Account) { a.Active = false }

func TestActivation(t *testing.T) {
	w := newWorld(t)
	b := w.browsers()
	code := w.send(b, siti)
	_, err := b.SignIn(t.Context(), Patient, siti, code, false)
	wantCode(t, err, fhir.CodeBusinessRule)
	if a, there := w.account("patient", siti); there {
		t.Fatalf("an account was made without consent: %+v", a)
	}
	cookie, err := b.SignIn(t.Context(), Patient, siti, code, true) // the code is not spent by the refusal
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := b.Lookup(t.Context(), Patient, cookie)
	if err != nil || p.Name != "Siti Khadijah binti Musa" || p.Login != siti || p.ID == "" || strings.Contains(p.ID, siti) {
		t.Errorf("principal %+v, error %v", p, err)
	}
	if got := strings.Join(w.trail(), " "); got != "sign-in activate" {
		t.Errorf("audit trail %q", got)
	}
	if _, err := b.SignIn(t.Context(), Patient, siti, w.send(b, siti), false); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if a, _ := w.account("patient", siti); a.ID != p.ID {
		t.Error("the second sign-in has another account")
	}
}

func TestOneCodeHasFiveTries(t *testing.T) {
	w := newWorld(t)
	w.activate(aminah)
	b := w.browsers()
	code := w.send(b, aminah)
	for range maxTries {
		_, err := b.SignIn(t.Context(), Patient, aminah, other(code), false)
		wantCode(t, err, fhir.CodeLogin)
	}
	_, err := b.SignIn(t.Context(), Patient, aminah, code, false)
	wantCode(t, err, fhir.CodeLogin)
	if _, err := b.SignIn(t.Context(), Patient, aminah, w.send(b, aminah), false); err != nil {
		t.Errorf("a new code: %v", err)
	}
}

// TestTriesAtTheSameTime races guesses against each other: no more than five
// may be compared with the code, and a right one is good for one sign-in.
func TestTriesAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	w.activate(aminah)
	b := w.browsers(func(b *Browsers) { b.Clock = w.clock })
	code := w.send(b, aminah)
	var mu sync.Mutex
	var all sync.WaitGroup
	signedIn := 0
	for range 8 {
		all.Go(func() {
			if _, err := b.SignIn(context.Background(), Patient, aminah, code, false); err == nil {
				mu.Lock()
				signedIn++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if signedIn != 1 {
		t.Errorf("one code signed in %d browsers", signedIn)
	}
	w.pass(10 * time.Minute)
	code = w.send(b, aminah)
	for range 8 {
		all.Go(func() { _, _ = b.SignIn(context.Background(), Patient, aminah, other(code), false) })
	}
	all.Wait()
	err := w.store.View(t.Context(), func(r store.Reader) error {
		sent, err := r.OneTimeCode(string(Patient), aminah)
		if sent.Attempts != maxTries {
			t.Errorf("%d tries were compared, want %d", sent.Attempts, maxTries)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSendCodeDoesNotTellWhoIsKnown(t *testing.T) {
	w := newWorld(t)
	w.activate(aminah)
	var log bytes.Buffer
	b := w.browsers(func(b *Browsers) { b.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for login, sent := range map[string]int{aminah: 1, siti: 1, nobody: 0} {
		before := w.deliveries()
		if err := b.SendCode(t.Context(), Patient, login); err != nil {
			t.Errorf("somebody with %d codes sent: %v", sent, err)
		}
		if got := w.deliveries() - before; got != sent {
			t.Errorf("%d codes were sent, want %d", got, sent)
		}
	}
	w.fail = errors.New("the gateway is down")
	for _, login := range []string{aminah, nobody} {
		if err := b.SendCode(t.Context(), Patient, login); err != nil {
			t.Errorf("with a courier that fails: %v", err)
		}
	}
	if got := log.String(); !strings.Contains(got, "gateway is down") || strings.Contains(got, aminah) {
		t.Errorf("log %q", got)
	}
	for _, bad := range []string{"", "x", "'; --", strings.Repeat("9", 5000)} {
		wantCode(t, b.SendCode(t.Context(), Patient, bad), fhir.CodeValue)
	}
	wantCode(t, b.SendCode(t.Context(), Operator, aminah), fhir.CodeNotSupported)
}

// slow is a courier that waits until it is let go or told to stop.
type slow struct{ arrived, proceed chan struct{} }

func (s *slow) SendCode(ctx context.Context, _, _ string) error {
	s.arrived <- struct{}{}
	select {
	case <-s.proceed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestSlowCourierDoesNotHoldUpTheAnswer(t *testing.T) {
	w := newWorld(t)
	courier := &slow{arrived: make(chan struct{}), proceed: make(chan struct{})}
	b := w.browsers(func(b *Browsers) { b.Courier, b.Wait = courier, false })
	request, cancel := context.WithCancel(t.Context())
	if err := b.SendCode(request, Patient, aminah); err != nil {
		t.Fatal(err)
	}
	<-courier.arrived
	cancel() // the request is over; the delivery is not
	courier.proceed <- struct{}{}

	if err := b.SendCode(t.Context(), Patient, aminah); err != nil {
		t.Fatal(err)
	}
	<-courier.arrived
	b.Stop() // returns although the courier would wait for ever
	b.Stop()
	if err := b.SendCode(t.Context(), Patient, aminah); err != nil { // nothing arrives any more
		t.Fatal(err)
	}
}

func TestDeliveriesAreBounded(t *testing.T) {
	w := newWorld(t)
	courier := &slow{arrived: make(chan struct{}, maxDeliveries), proceed: make(chan struct{})}
	b := w.browsers(func(b *Browsers) { b.Courier, b.Wait = courier, false })
	for range maxDeliveries {
		w.pass(time.Minute)
		if err := b.SendCode(t.Context(), Patient, aminah); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Hour)
	for _, login := range []string{aminah, nobody} { // the answer is the same
		wantCode(t, b.SendCode(t.Context(), Patient, login), fhir.CodeTransient)
	}
}

func TestRatesOfSigningIn(t *testing.T) {
	w := newWorld(t)
	b := w.browsers()
	for range 5 {
		if err := b.SendCode(t.Context(), Patient, aminah); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.SendCode(t.Context(), Patient, aminah), fhir.CodeThrottled)
	wantCode(t, b.SendCode(t.Context(), Patient, "850712-05-5018"), fhir.CodeThrottled) // the same person
	wantCode(t, b.SendCode(t.Context(), Patient, siti), "")
	if got := w.deliveries(); got != 6 {
		t.Errorf("%d codes were sent, want 6", got)
	}
	for range 10 {
		_, err := b.SignIn(t.Context(), Patient, nobody, "000000", false)
		wantCode(t, err, fhir.CodeLogin)
	}
	_, err := b.SignIn(t.Context(), Patient, nobody, "000000", false)
	wantCode(t, err, fhir.CodeThrottled)
	w.pass(30 * time.Second)
	wantCode(t, b.SendCode(t.Context(), Patient, aminah), "")
}

func TestOneAddressCannotTryEverybody(t *testing.T) {
	w := newWorld(t)
	b := w.browsers()
	b.addresses = newLimiter("test", 20, time.Second, w.clock)
	at := func(address string, i int) error {
		return b.SendCode(WithRemote(t.Context(), address), Patient, fmt.Sprintf("9001010%05d", i))
	}
	for i := range 20 {
		wantCode(t, at("203.0.113.7", i), "")
	}
	wantCode(t, at("203.0.113.7", 20), fhir.CodeThrottled)
	wantCode(t, at("198.51.100.1", 21), "")
}

func TestStandingCodeOfADemo(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx store.Tx) error {
		return PutDemoPatient(tx, w.now, DemoPatient{ID: "demo", IdentityNumber: aminah, Name: "Aminah", Code: "246810", Active: true})
	})
	open := w.browsers()
	var cookie string
	for range 2 { // again and again
		var err error
		if cookie, err = open.SignIn(t.Context(), Patient, aminah, "246810", false); err != nil {
			t.Fatal(err)
		}
	}
	_, err := open.SignIn(t.Context(), Patient, aminah, "246811", false)
	wantCode(t, err, fhir.CodeLogin)

	closed := w.browsers(func(b *Browsers) { b.RefuseDemo = true })
	before := len(w.trail())
	_, err = closed.SignIn(t.Context(), Patient, aminah, "246810", true)
	wantCode(t, err, fhir.CodeLogin)
	_, _, err = closed.Lookup(t.Context(), Patient, cookie)
	wantCode(t, err, fhir.CodeLogin)
	sent := w.deliveries()
	wantCode(t, closed.SendCode(t.Context(), Patient, aminah), "")
	if w.deliveries() != sent {
		t.Error("a demo account is sent a code although demos are refused")
	}
	code := w.send(open, aminah)
	_, err = closed.SignIn(t.Context(), Patient, aminah, code, true)
	wantCode(t, err, fhir.CodeLogin)
	if after := len(w.trail()); after != before {
		t.Errorf("%d audit records for what was refused", after-before)
	}
}

func TestStandingCodeIsForDemosAlone(t *testing.T) {
	w := newWorld(t)
	w.activate(aminah)
	w.change("patient", aminah, func(a *store.Account) { a.SecretHash = HashPassword("246810") })
	_, err := w.browsers().SignIn(t.Context(), Patient, aminah, "246810", false)
	wantCode(t, err, fhir.CodeLogin)
}

func TestLookupRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   Kind
		cookie string
		before func(w *world)
		want   fhir.Code
	}{
		{"no cookie", Patient, "none", nil, fhir.CodeLogin},
		{"endless cookie", Patient, strings.Repeat("x", 5000), nil, fhir.CodeLogin},
		{"another kind", Operator, "", nil, fhir.CodeLogin},
		{"after half a day", Patient, "", func(w *world) { w.pass(SignInLife) }, fhir.CodeExpired},
		{"account closed", Patient, "", func(w *world) { w.change("patient", aminah, deactivate) }, fhir.CodeLogin},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.activate(aminah)
			b := w.browsers()
			cookie, err := b.SignIn(t.Context(), Patient, aminah, w.send(b, aminah), false)
			if err != nil {
				t.Fatal(err)
			}
			if c.before != nil {
				c.before(w)
			}
			if c.cookie != "" {
				cookie = c.cookie
			}
			p, csrf, err := b.Lookup(t.Context(), c.kind, cookie)
			wantCode(t, err, c.want)
			if p.Kind != "" || csrf != "" {
				t.Errorf("principal %+v", p)
			}
		})
	}
}

func TestDatabaseKeepsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.activate(aminah)
	b := w.browsers()
	code := w.send(b, aminah)
	err := w.store.View(t.Context(), func(r store.Reader) error {
		sent, err := r.OneTimeCode(string(Patient), aminah)
		if strings.Contains(sent.CodeHash, code) || !strings.HasPrefix(sent.CodeHash, "$argon2id$") {
			t.Errorf("the code is kept as %q", sent.CodeHash)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := b.SignIn(t.Context(), Patient, aminah, code, false)
	if err != nil {
		t.Fatal(err)
	}
	err = w.store.View(t.Context(), func(r store.Reader) error {
		if _, err := r.SignIn(cookie); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the cookie is kept as it is: %v", err)
		}
		_, err := r.SignIn(HashSecret(cookie))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SignOut(t.Context(), "not a cookie"); err != nil {
		t.Errorf("signing out twice: %v", err)
	}
}
