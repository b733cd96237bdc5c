package source

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// tokenSource keeps the access token of the source system (RFC 6749, client
// credentials) and gets a new one before it expires.
type tokenSource struct {
	client     *Client
	id, secret string
	turn       chan struct{} // held by the one who asks for a token

	mu    sync.Mutex
	value string
	renew time.Time // when to get the next one
	vain  int       // how often nobody got one
	fault error     // why, the last time
}

// spare is how long before its end a token is no longer used; a tenth of its
// life when that is less.
const spare = 30 * time.Second

func (t *tokenSource) get(ctx context.Context) (string, error) {
	v, vain, _ := t.current()
	if v != "" {
		return v, nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	// Somebody else got it meanwhile, or has just tried as often as makes sense.
	if v, now, fault := t.current(); v != "" {
		return v, nil
	} else if now != vain {
		return "", fault
	}
	v, err := t.fetch(ctx)
	if err != nil && ctx.Err() == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.vain, t.fault = t.vain+1, err
	}
	return v, err
}

func (t *tokenSource) current() (value string, vain int, fault error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client.clock().Before(t.renew) {
		value = t.value
	}
	return value, t.vain, t.fault
}

// drop forgets a token that was refused, unless there is a newer one already.
func (t *tokenSource) drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}

func (t *tokenSource) fetch(ctx context.Context) (string, error) {
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	asked := t.client.clock()
	// Both parts are form-encoded before they are put together (RFC 6749 2.3.1).
	pair := url.QueryEscape(t.id) + ":" + url.QueryEscape(t.secret)
	err := t.client.doJSON(ctx, call{
		method: http.MethodPost, path: "/auth/token", media: mediaForm, open: true, repeatable: true,
		body:   []byte(url.Values{"grant_type": {"client_credentials"}}.Encode()),
		header: map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))},
	}, &body)
	if err != nil {
		return "", err
	}
	if body.AccessToken == "" {
		return "", errors.New("the exchange gave no access token")
	}
	life := time.Duration(min(max(body.ExpiresIn, 0), 365*24*3600)) * time.Second
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value, t.renew = body.AccessToken, asked.Add(life-min(spare, life/10))
	return t.value, nil
}
