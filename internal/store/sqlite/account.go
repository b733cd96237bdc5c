package sqlite

import (
	"errors"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

const accountColumns = "kind, id, login, secret_hash, name, organization, scopes, active, created, demo"

func scanAccount(r row) (a store.Account, err error) {
	err = r.Scan(&a.Kind, &a.ID, &a.Login, &a.SecretHash, &a.Name, &a.Organization, &a.Scopes, &a.Active, at{&a.Created}, &a.Demo)
	return a, err
}

// Account implements store.Reader.
func (r reader) Account(kind, login string) (store.Account, error) {
	return single(r.conn, "SELECT "+accountColumns+" FROM account WHERE kind = ? AND login = ?", []any{kind, login}, scanAccount)
}

// AccountByID implements store.Reader.
func (r reader) AccountByID(kind, id string) (store.Account, error) {
	return single(r.conn, "SELECT "+accountColumns+" FROM account WHERE kind = ? AND id = ?", []any{kind, id}, scanAccount)
}

// Accounts implements store.Reader.
func (r reader) Accounts(kind string) ([]store.Account, error) {
	return many(r.conn, "SELECT "+accountColumns+" FROM account WHERE kind = ? ORDER BY id", []any{kind}, scanAccount)
}

// PutAccount implements store.Tx. A login that another account has is an error.
func (t *tx) PutAccount(a store.Account) error {
	return t.exec("INSERT INTO account ("+accountColumns+") VALUES ("+marks(10)+`) ON CONFLICT (kind, id) DO UPDATE SET
		login = excluded.login, secret_hash = excluded.secret_hash, name = excluded.name, organization = excluded.organization,
		scopes = excluded.scopes, active = excluded.active, created = excluded.created, demo = excluded.demo`,
		a.Kind, a.ID, a.Login, a.SecretHash, a.Name, a.Organization, a.Scopes, a.Active, micro(a.Created), a.Demo)
}

// SignIn implements store.Reader.
func (r reader) SignIn(hash string) (s store.SignIn, err error) {
	err = r.one("SELECT hash, kind, account, csrf, created, expires FROM sign_in WHERE hash = ?", []any{hash},
		&s.Hash, &s.Kind, &s.Account, &s.CSRF, at{&s.Created}, at{&s.Expires})
	return s, err
}

// PutSignIn implements store.Tx.
func (t *tx) PutSignIn(s store.SignIn) error {
	return t.exec("INSERT OR REPLACE INTO sign_in (hash, kind, account, csrf, created, expires) VALUES ("+marks(6)+")",
		s.Hash, s.Kind, s.Account, s.CSRF, micro(s.Created), micro(s.Expires))
}

// DeleteSignIn implements store.Tx.
func (t *tx) DeleteSignIn(hash string) error {
	return t.exec("DELETE FROM sign_in WHERE hash = ?", hash)
}

// OneTimeCode implements store.Reader.
func (r reader) OneTimeCode(kind, login string) (c store.OneTimeCode, err error) {
	err = r.one("SELECT kind, login, code_hash, expires, attempts FROM one_time_code WHERE kind = ? AND login = ?", []any{kind, login},
		&c.Kind, &c.Login, &c.CodeHash, at{&c.Expires}, &c.Attempts)
	return c, err
}

// PutOneTimeCode implements store.Tx.
func (t *tx) PutOneTimeCode(c store.OneTimeCode) error {
	return t.exec("INSERT OR REPLACE INTO one_time_code (kind, login, code_hash, expires, attempts) VALUES ("+marks(5)+")",
		c.Kind, c.Login, c.CodeHash, micro(c.Expires), c.Attempts)
}

// DeleteOneTimeCode implements store.Tx.
func (t *tx) DeleteOneTimeCode(kind, login string) error {
	return t.exec("DELETE FROM one_time_code WHERE kind = ? AND login = ?", kind, login)
}

const notificationColumns = "id, identity_number, title, body, token, sender, created, read_at"

// Notifications implements store.Reader: the newest first.
func (r reader) Notifications(identityNumber string, limit int) ([]store.Notification, error) {
	return many(r.conn, "SELECT "+notificationColumns+" FROM notification WHERE identity_number = ? ORDER BY created DESC, id DESC LIMIT ?",
		[]any{identityNumber, limit}, func(r row) (n store.Notification, err error) {
			err = r.Scan(&n.ID, &n.IdentityNumber, &n.Title, &n.Body, &n.Token, &n.Sender, at{&n.Created}, at{&n.Read})
			return n, err
		})
}

// PutNotification implements store.Tx.
func (t *tx) PutNotification(n store.Notification) error {
	return t.exec("INSERT OR REPLACE INTO notification ("+notificationColumns+") VALUES ("+marks(8)+")",
		n.ID, n.IdentityNumber, n.Title, n.Body, n.Token, n.Sender, micro(n.Created), micro(n.Read))
}

// Attempts implements store.Reader.
func (r reader) Attempts(key string) (until time.Time, err error) {
	err = r.one("SELECT until FROM attempts WHERE key = ?", []any{key}, at{&until})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return until, err
}

// PutAttempts implements store.Tx.
func (t *tx) PutAttempts(key string, until time.Time) error {
	return t.exec("INSERT INTO attempts (key, until) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = excluded.until", key, micro(until))
}

// Idempotent implements store.Reader.
func (r reader) Idempotent(principal, key string) (response []byte, err error) {
	err = r.one("SELECT response FROM idempotent WHERE principal = ? AND key = ?", []any{principal, key}, &response)
	return response, err
}

// PutIdempotent implements store.Tx.
func (t *tx) PutIdempotent(principal, key string, response []byte, when time.Time) error {
	return t.exec("INSERT OR REPLACE INTO idempotent (principal, key, response, at) VALUES ("+marks(4)+")", principal, key, blob(response), micro(when))
}

// Setting implements store.Reader.
func (r reader) Setting(name string) (value []byte, err error) {
	err = r.one("SELECT value FROM setting WHERE name = ?", []any{name}, &value)
	return value, err
}

// PutSetting implements store.Tx.
func (t *tx) PutSetting(name string, value []byte) error {
	return t.exec("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, blob(value))
}

// NextNumber implements store.Tx.
func (t *tx) NextNumber(counter string) (int64, error) { return t.NextNumbers(counter, 1) }

// NextNumbers implements store.Tx.
func (t *tx) NextNumbers(counter string, n int) (first int64, err error) {
	err = t.one("INSERT INTO counter (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2 RETURNING value - ?2 + 1", []any{counter, n}, &first)
	return first, err
}

// FreshNumber implements store.Tx. There is one writer: nobody waits.
func (t *tx) FreshNumber(counter string) (int64, error) { return t.NextNumber(counter) }
