package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	mediaFHIR = "application/fhir+json"
	mediaJSON = "application/json"
	mediaForm = "application/x-www-form-urlencoded"

	maxAnswer = 64 << 20 // bytes of a response
)

// Calls that may be sent twice are tried this often. Between two tries the
// client waits as long as the exchange asks, or else longer each time; when
// the exchange asks for more than maxPause, the call fails at once.
const (
	tries      = 5
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	maxPause   = time.Minute
)

// call is one request to the exchange.
type call struct {
	method, path string // path and query below the server
	media        string // of the body
	body         []byte
	header       map[string]string
	bearer       string // a token to use instead of the client's own
	open         bool   // needs no token
	repeatable   bool   // may be sent twice without harm
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// passing are the statuses after which another try makes sense; 0 is no answer.
var passing = map[int]bool{
	0: true, http.StatusTooManyRequests: true,
	http.StatusBadGateway: true, http.StatusServiceUnavailable: true, http.StatusGatewayTimeout: true,
}

// do sends a call, again where that is safe and of use, and gives the answer
// if its status is 2xx.
func (c *Client) do(ctx context.Context, k call) (answer, error) {
	renewed := false
	for try := 1; ; try++ {
		bearer, err := c.bearer(ctx, k)
		if err != nil {
			return answer{}, err
		}
		a, err := c.send(ctx, k, bearer)
		switch {
		case err == nil && a.status/100 == 2:
			return a, nil
		case ctx.Err() != nil:
			return answer{}, context.Cause(ctx)
		case err == nil && a.status == http.StatusUnauthorized && !k.open && k.bearer == "" && !renewed:
			renewed = true
			c.token.drop(bearer) // revoked, or the exchange has a new key
			continue
		case err == nil:
			err = refusal(a.status, a.body)
		}
		pause := c.pause(try, a.header)
		if !k.repeatable || !passing[a.status] || try == tries || pause > maxPause {
			return answer{}, err
		}
		if cut := c.wait(ctx, pause); cut != nil {
			return answer{}, fmt.Errorf("%w; before that: %w", cut, err)
		}
	}
}

func (c *Client) bearer(ctx context.Context, k call) (string, error) {
	if k.open || k.bearer != "" {
		return k.bearer, nil
	}
	return c.token.get(ctx)
}

// send sends a call once. The status of the answer is 0 when there is none.
func (c *Client) send(ctx context.Context, k call, bearer string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, k.method, c.server+k.path, bytes.NewReader(k.body))
	if err != nil {
		return answer{}, errors.New("the request cannot be made") // the cause would show the address
	}
	req.Header.Set("Accept", mediaFHIR+", "+mediaJSON+";q=0.9")
	if len(k.body) > 0 {
		req.Header.Set("Content-Type", k.media)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for name, value := range k.header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, unreachable(err)
	}
	if len(body) > maxAnswer {
		return answer{status: resp.StatusCode}, fmt.Errorf("the answer of the exchange is larger than %d bytes", maxAnswer)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// unreachable leaves the address out of an error: it may hold a session token.
func unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("the exchange cannot be reached: %w", err)
}

// pause gives how long to wait before another try: what Retry-After asks for
// (seconds or a date), or else twice as long each time, less up to a half so
// that many clients do not come back at once.
func (c *Client) pause(try int, h http.Header) time.Duration {
	asked := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(asked, 10, 32); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(asked); err == nil {
		return max(0, at.Sub(c.clock()))
	}
	return backoff(try)
}

func backoff(try int) time.Duration {
	d := min(lastPause, firstPause<<min(try-1, 10))
	return d - rand.N(d/2)
}

// waitFunc waits and gives an error when ctx ends before.
type waitFunc func(ctx context.Context, d time.Duration) error

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// doJSON is do with an answer in plain JSON.
func (c *Client) doJSON(ctx context.Context, k call, to any) error {
	a, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, to); err != nil {
		return errors.New("the answer of the exchange is not the JSON that was expected")
	}
	return nil
}
