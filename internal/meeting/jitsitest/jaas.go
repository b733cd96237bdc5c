package jitsitest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// JaaS plays 8x8's Jitsi as a Service: it checks tokens, sends signed
// webhooks and bans people.
type JaaS struct {
	AppID   string
	Keys    map[string]*rsa.PublicKey // by kid
	Secret  string                    // of the webhooks
	Webhook string                    // where they go
	Clock   func() time.Time

	http   *httptest.Server
	client http.Client
	closed chan struct{}

	mu     sync.Mutex
	faults Faults
	guests []*Guest
	banned map[string]bool
	bans   int
	held   []func() error
}

// Guest is somebody in a room of JaaS.
type Guest struct {
	jaas    *JaaS
	room    string
	session string
	id      string
	name    string
	nick    string
}

// Start starts it; Close stops it.
func (j *JaaS) Start() {
	j.closed, j.banned = make(chan struct{}), map[string]bool{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/_jaas/jaccess/v1/access-management/{app}/ban/user/{id}", j.ban)
	j.http = httptest.NewServer(mux)
}

// Close stops it.
func (j *JaaS) Close() {
	close(j.closed)
	j.http.Close()
	j.client.CloseIdleConnections()
}

// URL is its address.
func (j *JaaS) URL() string { return j.http.URL }

// Behave changes what goes wrong; PretendKick is for bans.
func (j *JaaS) Behave(f Faults) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults = f
}

// Bans counts the requests to ban somebody.
func (j *JaaS) Bans() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bans
}

// Join enters a room with a token.
func (j *JaaS) Join(token, room string) (*Guest, error) {
	t, err := VerifyJaaS(token, j.AppID, j.Keys, j.Clock())
	if err != nil {
		return nil, err
	}
	id, _ := t.User["id"].(string)
	name, _ := t.User["name"].(string)
	j.mu.Lock()
	out := j.banned[id]
	g := &Guest{jaas: j, room: room, id: id, name: name, session: "session-of-" + room, nick: uuid.NewString()[:8]}
	if !out && t.text("room") == room {
		j.guests = append(j.guests, g)
	}
	j.mu.Unlock()
	switch {
	case t.text("room") != room:
		return nil, errors.New("not-allowed: room and token mismatched")
	case out:
		return nil, errors.New("not-allowed: banned")
	}
	return g, g.tell("PARTICIPANT_JOINED")
}

// Leave leaves the room; with the last one it is destroyed.
func (g *Guest) Leave() error {
	j := g.jaas
	j.mu.Lock()
	was := slices.Contains(j.guests, g)
	j.guests = slices.DeleteFunc(j.guests, func(o *Guest) bool { return o == g })
	last := !slices.ContainsFunc(j.guests, func(o *Guest) bool { return o.room == g.room })
	j.mu.Unlock()
	if !was {
		return nil
	}
	err := g.tell("PARTICIPANT_LEFT")
	if last {
		err = errors.Join(err, g.tell("ROOM_DESTROYED"))
	}
	return err
}

// tell sends a webhook, as often and in the order that the faults say.
func (g *Guest) tell(what string) error {
	j := g.jaas
	data := map[string]any{"conference": g.room + "@conference.8x8.vc", "isBreakout": false}
	if what != "ROOM_DESTROYED" {
		data["id"], data["name"], data["participantId"] = g.id, g.name, g.nick
	}
	body, err := json.Marshal(map[string]any{
		"idempotencyKey": uuid.NewString(), "customerId": "c", "appId": j.AppID, "eventType": what,
		"sessionId": g.session, "timestamp": j.Clock().UnixMilli(), "fqn": j.AppID + "/" + g.room, "data": data,
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	f := j.faults
	j.mu.Unlock()
	if f.LoseEvents {
		return nil
	}
	deliver := func() error {
		status, err := j.Post(body, j.Sign(body, j.Secret, j.Clock()))
		if err == nil && status/100 != 2 {
			err = fmt.Errorf("%s was answered with %d", what, status)
		}
		return err
	}
	times := 1
	if f.RepeatEvents {
		times = 2
	}
	for range times {
		if f.HoldEvents {
			j.mu.Lock()
			j.held = append(j.held, deliver)
			j.mu.Unlock()
		} else if err := deliver(); err != nil {
			return err
		}
	}
	return nil
}

// Sign gives the signature header of a webhook.
func (j *JaaS) Sign(body []byte, secret string, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "." + string(body)))
	return "t=" + t + ",v1=" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Post sends a webhook with a signature header and gives the status.
func (j *JaaS) Post(body []byte, signature string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, j.Webhook, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Jaas-Signature", signature)
	resp, err := j.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// Deliver sends the held webhooks, the last one first.
func (j *JaaS) Deliver() error {
	j.mu.Lock()
	held := j.held
	j.held = nil
	j.mu.Unlock()
	slices.Reverse(held)
	var all error
	for _, deliver := range held {
		all = errors.Join(all, deliver())
	}
	return all
}

func (j *JaaS) ban(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	j.bans++
	f := j.faults
	j.mu.Unlock()
	if f.Hang {
		select {
		case <-r.Context().Done():
		case <-j.closed:
		}
		return
	}
	if f.Status != 0 {
		w.WriteHeader(f.Status)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, err := VerifyJaaS(token, j.AppID, j.Keys, j.Clock())
	if err != nil || t.Claims["admin"] != true || r.PathValue("app") != j.AppID {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if f.PretendKick {
		return
	}
	id := r.PathValue("id")
	j.mu.Lock()
	j.banned[id] = true
	var out []*Guest
	for _, g := range j.guests {
		if g.id == id {
			out = append(out, g)
		}
	}
	j.mu.Unlock()
	for _, g := range out {
		if err := g.Leave(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}
