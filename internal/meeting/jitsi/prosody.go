package jitsi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	maxCensus    = 8 << 20
	maxAtOnce    = 16 // control calls under way
	maxIdleConns = 4
)

// What can go wrong with Prosody. None of it carries an address or a token.
var (
	errResting   = errors.New("jitsi: Prosody did not answer a moment ago")
	errNoAnswer  = errors.New("jitsi: Prosody does not answer")
	errTooLate   = errors.New("jitsi: Prosody did not answer in time")
	errRefused   = errors.New("jitsi: Prosody refuses our system key; look at its key repository setting")
	errAnswer    = errors.New("jitsi: Prosody's answer makes no sense")
	errStillOpen = errors.New("jitsi: the room is still open")
	errNotThere  = errors.New("jitsi: Prosody does not know the room or the participant")
)

// prosody is the client of Prosody's HTTP modules. After a call without an
// answer it rests, so that many rooms do not wait for one dead server in turn.
type prosody struct {
	base   string
	host   string
	muc    string
	limits Limits
	clock  func() time.Time
	token  func(ctx context.Context, room string) (string, error)
	client *http.Client
	slots  chan struct{}

	mu    sync.Mutex
	until time.Time // it rests until then
}

func newProsody(base *url.URL, d *Driver) *prosody {
	var transport http.RoundTripper = &http.Transport{Proxy: nil, MaxIdleConnsPerHost: maxIdleConns, IdleConnTimeout: 90 * time.Second}
	if d.opts.Transport != nil {
		transport = d.opts.Transport(transport)
	}
	return &prosody{
		base: strings.TrimRight(base.Scheme+"://"+base.Host+base.Path, "/"), host: d.opts.ControlHost, muc: d.opts.MUC,
		limits: d.opts.Limits, clock: d.opts.Clock, token: d.system, slots: make(chan struct{}, maxAtOnce),
		client: &http.Client{
			Transport: transport,
			// A redirect would carry the system token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// do sends one request and gives status and body.
func (p *prosody) do(ctx context.Context, method, path, room string, body []byte, limit int64) (int, []byte, error) {
	p.mu.Lock()
	resting := p.clock().Before(p.until)
	p.mu.Unlock()
	if resting {
		return 0, nil, errResting
	}
	ctx, cancel := context.WithTimeout(ctx, p.limits.Call)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return 0, nil, errTooLate
	}
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errAnswer
	}
	req.Host = p.host
	if room != "" {
		token, err := p.token(ctx, room)
		if err != nil {
			return 0, nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.client.Do(req)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		if body, err = io.ReadAll(io.LimitReader(resp.Body, limit)); err == nil {
			if resp.StatusCode >= http.StatusInternalServerError {
				return resp.StatusCode, nil, errNoAnswer
			}
			return resp.StatusCode, body, nil
		}
	}
	p.mu.Lock()
	p.until = p.clock().Add(p.limits.Rest)
	p.mu.Unlock()
	if ctx.Err() != nil {
		return 0, nil, errTooLate
	}
	return 0, nil, errNoAnswer
}

// end asks for the end of a room. That it is not known is as good.
func (p *prosody) end(ctx context.Context, room string) error {
	query := url.Values{"conference": {room + "@" + p.muc}}
	status, _, err := p.do(ctx, http.MethodPost, "/end-meeting?"+query.Encode(), room, nil, 1<<16)
	if err == nil && status != http.StatusNotFound {
		err = verdict(status)
	}
	return err
}

// kick asks to put a participant out.
func (p *prosody) kick(ctx context.Context, room, nick string) error {
	body, err := json.Marshal(map[string]string{"participantId": nick})
	if err != nil {
		return err
	}
	status, _, err := p.do(ctx, http.MethodPut, "/kick-participant?"+url.Values{"room": {room}}.Encode(), room, body, 1<<16)
	if err != nil {
		return err
	}
	return verdict(status)
}

func verdict(status int) error {
	switch status {
	case http.StatusOK, http.StatusNoContent:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return errRefused
	case http.StatusNotFound:
		return errNotThere
	}
	return errAnswer
}

// census gives the rooms that have somebody inside. It sends no token: the
// module asks for none.
func (p *prosody) census(ctx context.Context) (map[string]bool, error) {
	status, body, err := p.do(ctx, http.MethodGet, "/room-census", "", nil, maxCensus)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, errAnswer
	}
	var answer struct {
		Rooms json.RawMessage `json:"room_census"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Rooms) == 0 {
		return nil, errAnswer
	}
	open := map[string]bool{}
	if string(answer.Rooms) == "{}" { // an empty table of Lua
		return open, nil
	}
	var rooms []struct {
		Name         string `json:"room_name"`
		Participants *int   `json:"participants"`
	}
	if json.Unmarshal(answer.Rooms, &rooms) != nil || rooms == nil {
		return nil, errAnswer
	}
	for _, r := range rooms {
		node, domain, qualified := strings.Cut(r.Name, "@")
		if node == "" || r.Participants == nil {
			return nil, errAnswer
		}
		if qualified && domain != p.muc || *r.Participants < 1 {
			continue
		}
		open[node] = true
	}
	return open, nil
}
