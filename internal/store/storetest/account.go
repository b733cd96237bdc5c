package storetest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

func account(kind, login string) func(store.Reader) (store.Account, error) {
	return func(r store.Reader) (store.Account, error) { return r.Account(kind, login) }
}

func accountByID(kind, id string) func(store.Reader) (store.Account, error) {
	return func(r store.Reader) (store.Account, error) { return r.AccountByID(kind, id) }
}

func signIn(hash string) func(store.Reader) (store.SignIn, error) {
	return func(r store.Reader) (store.SignIn, error) { return r.SignIn(hash) }
}

func code(kind, login string) func(store.Reader) (store.OneTimeCode, error) {
	return func(r store.Reader) (store.OneTimeCode, error) { return r.OneTimeCode(kind, login) }
}

func answer(principal, key string) func(store.Reader) ([]byte, error) {
	return func(r store.Reader) ([]byte, error) { return r.Idempotent(principal, key) }
}

func setting(name string) func(store.Reader) ([]byte, error) {
	return func(r store.Reader) ([]byte, error) { return r.Setting(name) }
}

var accountTests = []test{
	{"attempts are kept until they count no more", func(t *testing.T, s store.Store) {
		until := func(key string) time.Time {
			return read(t, s, func(r store.Reader) (time.Time, error) { return r.Attempts(key) })
		}
		if !until("a").IsZero() {
			t.Error("there are attempts that nobody made")
		}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutAttempts("a", minute(1)), tx.PutAttempts("b", minute(9)))
		})
		write(t, s, func(tx store.Tx) error { return tx.PutAttempts("a", minute(2)) })
		equal(t, "attempts", []time.Time{until("a"), until("b")}, []time.Time{minute(2), minute(9)})
		write(t, s, func(tx store.Tx) error { return tx.Forget(minute(0), minute(3)) })
		equal(t, "later", []time.Time{until("a"), until("b")}, []time.Time{{}, minute(9)})
	}},
	{"an account is found by its login and by its id", func(t *testing.T, s store.Store) {
		want := store.Account{Kind: "client", ID: "c1", Login: "hospital", SecretHash: "hash", Name: "Hospital 华", Organization: "org-a",
			Scopes: "system/*.read", Active: true, Created: monday, Demo: true}
		write(t, s, func(tx store.Tx) error { return tx.PutAccount(want) })
		equal(t, "by login", read(t, s, account("client", "hospital")), want)
		equal(t, "by id", read(t, s, accountByID("client", "c1")), want)
		absent(t, s, "an id as a login", account("client", "c1"))
		absent(t, s, "a login as an id", accountByID("client", "hospital"))
		absent(t, s, "another kind", account("patient", "hospital"))
		absent(t, s, "an id of another kind", accountByID("patient", "c1"))
		absent(t, s, "a login in other letters", account("client", "Hospital"))
	}},
	{"an account is replaced by its id", func(t *testing.T, s store.Store) {
		old := store.Account{Kind: "patient", ID: "p1", Login: "800101", SecretHash: "old", Active: true, Created: monday}
		next := store.Account{Kind: "patient", ID: "p1", Login: "800102", SecretHash: "new", Created: monday}
		write(t, s, func(tx store.Tx) error { return tx.PutAccount(old) })
		write(t, s, func(tx store.Tx) error { return tx.PutAccount(next) })
		equal(t, "the account", read(t, s, accountByID("patient", "p1")), next)
		absent(t, s, "the login of before", account("patient", "800101"))
	}},
	{"a login belongs to one account of its kind", func(t *testing.T, s store.Store) {
		first := store.Account{Kind: "patient", ID: "p1", Login: "800101", Created: monday}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutAccount(first), tx.PutAccount(store.Account{Kind: "operator", ID: "p1", Login: "800101"}))
		})
		second := store.Account{Kind: "patient", ID: "p2", Login: "800101"}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutAccount(second) }); err == nil {
			t.Error("a second account took the login")
		}
		equal(t, "the first", read(t, s, account("patient", "800101")), first)
		absent(t, s, "the second", accountByID("patient", "p2"))
	}},
	{"all accounts of a kind, by id", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			for _, a := range []store.Account{{Kind: "client", ID: "b", Login: "1"}, {Kind: "client", ID: "a", Login: "2"}, {Kind: "patient", ID: "c", Login: "3"}} {
				if err := tx.PutAccount(a); err != nil {
					return err
				}
			}
			return nil
		})
		got := []string{}
		for _, a := range read(t, s, func(r store.Reader) ([]store.Account, error) { return r.Accounts("client") }) {
			got = append(got, a.ID)
		}
		equal(t, "accounts", got, []string{"a", "b"})
		equal(t, "a kind without accounts", len(read(t, s, func(r store.Reader) ([]store.Account, error) { return r.Accounts("operator") })), 0)
	}},
	{"a signed-in browser", func(t *testing.T, s store.Store) {
		want := store.SignIn{Hash: "h1", Kind: "patient", Account: "p1", CSRF: "csrf", Created: minute(1), Expires: minute(30)}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutSignIn(want), tx.PutSignIn(store.SignIn{Hash: "h2", Expires: minute(30)}))
		})
		equal(t, "by hash", read(t, s, signIn("h1")), want)
		want.Expires = minute(60)
		write(t, s, func(tx store.Tx) error { return tx.PutSignIn(want) })
		equal(t, "replaced", read(t, s, signIn("h1")), want)
		for range 2 {
			write(t, s, func(tx store.Tx) error { return tx.DeleteSignIn("h1") })
		}
		absent(t, s, "signed out", signIn("h1"))
		equal(t, "the other browser", read(t, s, signIn("h2")).Hash, "h2")
	}},
	{"one-time codes", func(t *testing.T, s store.Store) {
		want := store.OneTimeCode{Kind: "patient", Login: "800101", CodeHash: "hash", Expires: minute(5), Attempts: 2}
		other := store.OneTimeCode{Kind: "operator", Login: "800101", CodeHash: "other", Expires: minute(5)}
		write(t, s, func(tx store.Tx) error { return errors.Join(tx.PutOneTimeCode(want), tx.PutOneTimeCode(other)) })
		equal(t, "the code", read(t, s, code("patient", "800101")), want)
		want.CodeHash, want.Attempts = "next", 0
		write(t, s, func(tx store.Tx) error { return tx.PutOneTimeCode(want) })
		equal(t, "the next code", read(t, s, code("patient", "800101")), want)
		for range 2 {
			write(t, s, func(tx store.Tx) error { return tx.DeleteOneTimeCode("patient", "800101") })
		}
		absent(t, s, "used", code("patient", "800101"))
		equal(t, "the code of another", read(t, s, code("operator", "800101")), other)
	}},
	{"the inbox is newest first and belongs to one patient", func(t *testing.T, s store.Store) {
		note := func(id, to string, at int) store.Notification {
			return store.Notification{ID: id, IdentityNumber: to, Title: "Title " + id, Body: "Body\n" + id, Token: "token", Sender: "org-a", Created: minute(at)}
		}
		n1, n2, n3 := note("n1", "800101", 1), note("n2", "800101", 3), note("n3", "800101", 2)
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutNotification(n1), tx.PutNotification(n2), tx.PutNotification(n3), tx.PutNotification(note("n4", "900202", 4)))
		})
		inbox := func(of string, limit int) []store.Notification {
			t.Helper()
			return read(t, s, func(r store.Reader) ([]store.Notification, error) { return r.Notifications(of, limit) })
		}
		equal(t, "the inbox", inbox("800101", 10), []store.Notification{n2, n3, n1})
		equal(t, "the newest two", inbox("800101", 2), []store.Notification{n2, n3})
		equal(t, "the inbox of nobody", len(inbox("", 10)), 0)
		n3.Read = minute(9)
		write(t, s, func(tx store.Tx) error { return tx.PutNotification(n3) })
		equal(t, "after one was read", inbox("800101", 10), []store.Notification{n2, n3, n1})
	}},
	{"an answer is kept under principal and key", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.PutIdempotent("c1", "k1", []byte("one\x00\xff"), monday), tx.PutIdempotent("c2", "k1", []byte{}, monday), tx.PutIdempotent("c3", "k1", nil, monday))
		})
		equal(t, "the answer", read(t, s, answer("c1", "k1")), []byte("one\x00\xff"))
		equal(t, "an empty answer", len(read(t, s, answer("c2", "k1"))), 0)
		equal(t, "no answer, but a key", len(read(t, s, answer("c3", "k1"))), 0)
		absent(t, s, "another key", answer("c1", "k2"))
		absent(t, s, "another principal", answer("c4", "k1"))
		write(t, s, func(tx store.Tx) error { return tx.PutIdempotent("c1", "k1", []byte("two"), monday) })
		equal(t, "replaced", read(t, s, answer("c1", "k1")), []byte("two"))
	}},
	{"settings", func(t *testing.T, s store.Store) {
		absent(t, s, "a setting that nobody made", setting("key"))
		for _, value := range [][]byte{[]byte("\x00\x01binary\xff"), {}, nil, bytes.Repeat([]byte("long"), 1<<16)} {
			write(t, s, func(tx store.Tx) error { return tx.PutSetting("key", value) })
			if got := read(t, s, setting("key")); !bytes.Equal(got, value) {
				t.Errorf("got %d bytes; want %d", len(got), len(value))
			}
		}
		absent(t, s, "another setting", setting("Key"))
	}},
	{"what is no longer needed is forgotten", func(t *testing.T, s store.Store) {
		before, now := minute(10), minute(100)
		just := time.Microsecond
		write(t, s, func(tx store.Tx) error {
			return errors.Join(
				tx.PutIdempotent("c", "old", []byte("x"), before.Add(-just)), tx.PutIdempotent("c", "young", []byte("x"), before),
				tx.PutSignIn(store.SignIn{Hash: "expired", Created: before, Expires: now.Add(-just)}),
				tx.PutSignIn(store.SignIn{Hash: "valid", Created: monday, Expires: now}),
				tx.PutOneTimeCode(store.OneTimeCode{Kind: "patient", Login: "expired", Expires: now.Add(-just)}),
				tx.PutOneTimeCode(store.OneTimeCode{Kind: "patient", Login: "valid", Expires: now}),
				tx.PutAccount(store.Account{Kind: "patient", ID: "p", Login: "l", Created: monday}),
				tx.PutNotification(store.Notification{ID: "n", IdentityNumber: "i", Created: monday}),
				tx.PutAudit(store.Audit{At: monday, Action: "R"}),
				tx.PutResource(record("Patient", "p1", 1, monday), nil, nil),
				tx.PutSetting("s", []byte("x")),
			)
		})
		for range 2 {
			write(t, s, func(tx store.Tx) error { return tx.Forget(before, now) })
			absent(t, s, "an old key", answer("c", "old"))
			absent(t, s, "an expired sign-in", signIn("expired"))
			absent(t, s, "an expired code", code("patient", "expired"))
			read(t, s, answer("c", "young"))
			read(t, s, signIn("valid"))
			read(t, s, code("patient", "valid"))
			read(t, s, account("patient", "l"))
			read(t, s, current("Patient", "p1"))
			read(t, s, setting("s"))
			equal(t, "the inbox", len(read(t, s, func(r store.Reader) ([]store.Notification, error) { return r.Notifications("i", 9) })), 1)
			equal(t, "the audit trail", read(t, s, audits(store.AuditQuery{})), 1)
		}
	}},
}
