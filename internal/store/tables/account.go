package tables

import (
	"errors"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

const accountColumns = "kind, id, login, secret_hash, name, organization, scopes, active, created, demo"

func scanAccount(r Row) (a store.Account, err error) {
	err = r.Scan(&a.Kind, &a.ID, &a.Login, &a.SecretHash, &a.Name, &a.Organization, &a.Scopes, &a.Active, At{&a.Created}, &a.Demo)
	return a, err
}

// Account implements store.Reader.
func (r Reader) Account(kind, login string) (store.Account, error) {
	return Single(r.Conn, "SELECT "+accountColumns+" FROM account WHERE kind = ? AND login = ?", []any{kind, login}, scanAccount)
}

// AccountByID implements store.Reader.
func (r Reader) AccountByID(kind, id string) (store.Account, error) {
	return Single(r.Conn, "SELECT "+accountColumns+" FROM account WHERE kind = ? AND id = ?", []any{kind, id}, scanAccount)
}

// Accounts implements store.Reader.
func (r Reader) Accounts(kind string) ([]store.Account, error) {
	return Many(r.Conn, "SELECT "+accountColumns+" FROM account WHERE kind = ? ORDER BY id", []any{kind}, scanAccount)
}

var putAccount = upsert("account", accountColumns, 2)

// PutAccount implements store.Tx. A login that another account has is an error.
func (w Writer) PutAccount(a store.Account) error {
	return w.Conn.Exec(putAccount,
		a.Kind, a.ID, a.Login, a.SecretHash, a.Name, a.Organization, a.Scopes, a.Active, Micro(a.Created), a.Demo)
}

// SignIn implements store.Reader.
func (r Reader) SignIn(hash string) (s store.SignIn, err error) {
	err = One(r.Conn, "SELECT hash, kind, account, csrf, created, expires FROM sign_in WHERE hash = ?", []any{hash},
		&s.Hash, &s.Kind, &s.Account, &s.CSRF, At{&s.Created}, At{&s.Expires})
	return s, err
}

var putSignIn = upsert("sign_in", "hash, kind, account, csrf, created, expires", 1)

// PutSignIn implements store.Tx.
func (w Writer) PutSignIn(s store.SignIn) error {
	return w.Conn.Exec(putSignIn,
		s.Hash, s.Kind, s.Account, s.CSRF, Micro(s.Created), Micro(s.Expires))
}

// DeleteSignIn implements store.Tx.
func (w Writer) DeleteSignIn(hash string) error {
	return w.Conn.Exec("DELETE FROM sign_in WHERE hash = ?", hash)
}

// OneTimeCode implements store.Reader.
func (r Reader) OneTimeCode(kind, login string) (c store.OneTimeCode, err error) {
	err = One(r.Conn, "SELECT kind, login, code_hash, expires, attempts FROM one_time_code WHERE kind = ? AND login = ?", []any{kind, login},
		&c.Kind, &c.Login, &c.CodeHash, At{&c.Expires}, &c.Attempts)
	return c, err
}

var putOneTimeCode = upsert("one_time_code", "kind, login, code_hash, expires, attempts", 2)

// PutOneTimeCode implements store.Tx.
func (w Writer) PutOneTimeCode(c store.OneTimeCode) error {
	return w.Conn.Exec(putOneTimeCode,
		c.Kind, c.Login, c.CodeHash, Micro(c.Expires), c.Attempts)
}

// DeleteOneTimeCode implements store.Tx.
func (w Writer) DeleteOneTimeCode(kind, login string) error {
	return w.Conn.Exec("DELETE FROM one_time_code WHERE kind = ? AND login = ?", kind, login)
}

const notificationColumns = "id, identity_number, title, body, token, sender, created, read_at"

// Notifications implements store.Reader: the newest first.
func (r Reader) Notifications(identityNumber string, limit int) ([]store.Notification, error) {
	return Many(r.Conn, "SELECT "+notificationColumns+" FROM notification WHERE identity_number = ? ORDER BY created DESC, id DESC LIMIT ?",
		[]any{identityNumber, limit}, func(r Row) (n store.Notification, err error) {
			err = r.Scan(&n.ID, &n.IdentityNumber, &n.Title, &n.Body, &n.Token, &n.Sender, At{&n.Created}, At{&n.Read})
			return n, err
		})
}

var putNotification = upsert("notification", notificationColumns, 1)

// PutNotification implements store.Tx.
func (w Writer) PutNotification(n store.Notification) error {
	return w.Conn.Exec(putNotification,
		n.ID, n.IdentityNumber, n.Title, n.Body, n.Token, n.Sender, Micro(n.Created), Micro(n.Read))
}

// Attempts implements store.Reader.
func (r Reader) Attempts(key string) (until time.Time, err error) {
	err = One(r.Conn, "SELECT until FROM attempts WHERE key = ?", []any{key}, At{&until})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return until, err
}

// PutAttempts implements store.Tx.
func (w Writer) PutAttempts(key string, until time.Time) error {
	return w.Conn.Exec("INSERT INTO attempts (key, until) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET until = excluded.until", key, Micro(until))
}

// Idempotent implements store.Reader.
func (r Reader) Idempotent(principal, key string) (response []byte, err error) {
	err = One(r.Conn, "SELECT response FROM idempotent WHERE principal = ? AND key = ?", []any{principal, key}, &response)
	return response, err
}

var putIdempotent = upsert("idempotent", "principal, key, response, at", 2)

// PutIdempotent implements store.Tx.
func (w Writer) PutIdempotent(principal, key string, response []byte, when time.Time) error {
	return w.Conn.Exec(putIdempotent, principal, key, Blob(response), Micro(when))
}

// Setting implements store.Reader.
func (r Reader) Setting(name string) (value []byte, err error) {
	err = One(r.Conn, "SELECT value FROM setting WHERE name = ?", []any{name}, &value)
	return value, err
}

var putSetting = upsert("setting", "name, value", 1)

// PutSetting implements store.Tx.
func (w Writer) PutSetting(name string, value []byte) error {
	return w.Conn.Exec(putSetting, name, Blob(value))
}

// NextNumber implements store.Tx.
func (w Writer) NextNumber(counter string) (int64, error) { return w.NextNumbers(counter, 1) }

// TakeNumbers takes as many numbers of a counter as are asked for, and gives the
// last.
const TakeNumbers = "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value RETURNING value"

// NextNumbers implements store.Tx.
func (w Writer) NextNumbers(counter string, n int) (first int64, err error) {
	err = One(w.Conn, TakeNumbers, []any{counter, n}, &first)
	return first - int64(n) + 1, err
}
